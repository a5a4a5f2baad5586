"""Complex permittivity of a material at optical frequencies: closed forms, tables, and a mixed-halide perovskite.

All models return eps = (n + ik)^2 with k >= 0 and are smooth in the wavelength and in their parameters. E is the photon
energy in eV. Parametric models may be used outside the range of the data they were fitted to (`covers` says where they
are not); tables never are: outside they return nan, and `require` says so in words before it comes to that.
"""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float
from scipy.interpolate import PchipInterpolator

from invdesign.constants import HC_EV_NM
from invdesign.materials.tables import read_curves
from invdesign.schema import InputError, quantity, setting

Wavelengths = Float[Array, " wavelength"]
Permittivity = Complex[Array, " wavelength"]

DATA = Path(__file__).parents[1] / "data"
"""n,k tables that come with the package."""


class OpticalModel(eqx.Module):
    """A material's response to light."""

    kind: eqx.AbstractClassVar[str]
    extrapolates: ClassVar[bool] = True
    """Whether the model may be used outside `range_nm`."""

    range_nm: eqx.AbstractVar[tuple[float, float] | None]
    """Wavelengths of the data behind it; None if there are no limits."""
    source: eqx.AbstractVar[str]

    @abstractmethod
    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        """Complex relative permittivity at vacuum wavelengths in nm."""

    def shifted(self, gap_shift_eV: Float[Array, ""]) -> "OpticalModel":
        """The same material with a wider gap; a model of one composition only stays as it is."""
        return self

    def covers(self, wavelength_nm: Float[np.ndarray | Array, " wavelength"]) -> Bool[np.ndarray, " wavelength"]:
        """Which wavelengths lie within the data (concrete values)."""
        wavelength = np.asarray(wavelength_nm)
        low, high = self.range_nm or (0.0, math.inf)
        return (wavelength >= low) & (wavelength <= high)

    def require(self, wavelength_nm: Float[np.ndarray | Array, " wavelength"]) -> None:
        """Raise InputError if a wavelength (concrete) is outside a model that cannot be extrapolated."""
        outside = np.asarray(wavelength_nm)[~self.covers(wavelength_nm)]
        if not self.extrapolates and outside.size:
            low, high = self.range_nm or (0.0, math.inf)
            name = getattr(self, "file", self.kind)
            raise InputError(
                f"wavelength {outside[0]:g} nm is outside the n,k table '{name}', which covers {low:g} to {high:g} nm; "
                "a table is never extrapolated"
            )


class Constant(OpticalModel):
    """The same n and k at every wavelength."""

    kind: ClassVar[str] = "constant"
    n: Float[Array, ""] = quantity("1", lower=0, open_lower=True, doc="refractive index")
    k: Float[Array, ""] = quantity("1", lower=0, default=0.0, doc="extinction coefficient")
    range_nm: tuple[float, float] | None = setting(
        default=None, doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(default="", doc="where its numbers come from")

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        ones = jnp.ones_like(wavelength_nm)
        return jax.lax.complex((self.n**2 - self.k**2) * ones, 2 * self.n * self.k * ones)


class Cauchy(OpticalModel):
    """A transparent glass: n = n0 + a/L^2 + b L^2, L the wavelength in um."""

    kind: ClassVar[str] = "cauchy"
    n0: Float[Array, ""] = quantity("1", lower=0, open_lower=True, doc="n of infinitely long waves")
    inverse_square_um2: Float[Array, ""] = quantity("um2", default=0.0, doc="a, the rise towards the ultraviolet")
    square_per_um2: Float[Array, ""] = quantity("1/um2", default=0.0, doc="b, the fall towards the infrared")
    range_nm: tuple[float, float] | None = setting(
        default=None, doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(default="", doc="where its numbers come from")

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        square = (wavelength_nm / 1000) ** 2
        return _real((self.n0 + self.inverse_square_um2 / square + self.square_per_um2 * square) ** 2)


class Resonance(eqx.Module):
    """One loss-free resonance of a Sellmeier formula."""

    strength: Float[Array, ""] = quantity("1", doc="its part of the static permittivity")
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=0, open_lower=True, doc="of the resonance")


class Sellmeier(OpticalModel):
    """A transparent dielectric: eps = eps_inf + sum of s lambda^2/(lambda^2 - lambda_0^2)."""

    kind: ClassVar[str] = "sellmeier"
    resonances: tuple[Resonance, ...]
    eps_infinity: Float[Array, ""] = quantity("1", lower=0, default=1.0, doc="what resonances at higher energies add")
    range_nm: tuple[float, float] | None = setting(
        default=None, doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(default="", doc="where its numbers come from")

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        square = wavelength_nm**2
        terms = [r.strength * square / (square - r.wavelength_nm**2) for r in self.resonances]
        return _real(sum(terms, self.eps_infinity * jnp.ones_like(wavelength_nm)))


class Oscillator(eqx.Module):
    """A damped resonance of strength s, energy E0 and full width G: s E0^2/(E0^2 - E^2 - i G E)."""

    strength: Float[Array, ""] = quantity("1", lower=0, doc="its part of the static permittivity")
    energy_eV: Float[Array, ""] = quantity("eV", lower=0, open_lower=True, doc="of the resonance")
    width_eV: Float[Array, ""] = quantity("eV", lower=0, open_lower=True, doc="of the resonance")


class Lorentz(OpticalModel):
    """Metals, conductive oxides: eps = eps_inf + sum of oscillators - E_p^2/(E^2 + i g E) of free carriers (Drude)."""

    kind: ClassVar[str] = "lorentz"
    eps_infinity: Float[Array, ""] = quantity("1", lower=0, default=1.0, doc="what resonances at higher energies add")
    oscillators: tuple[Oscillator, ...] = ()
    plasma_eV: Float[Array, ""] = quantity("eV", lower=0, default=0.0, doc="plasma energy of the free carriers")
    damping_eV: Float[Array, ""] = quantity(
        "eV", lower=0, default=0.1, open_lower=True, doc="hbar over their free time"
    )
    range_nm: tuple[float, float] | None = setting(
        default=None, doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(default="", doc="where its numbers come from")

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        energy = HC_EV_NM / wavelength_nm
        bound = [lorentzian(energy, o.strength, o.energy_eV, o.width_eV) for o in self.oscillators]
        free = self.plasma_eV**2 / (energy**2 + self.damping_eV**2)
        real = self.eps_infinity - free + sum(term.real for term in bound)
        return jax.lax.complex(real, free * self.damping_eV / energy + sum(term.imag for term in bound))


class TaucLorentz(OpticalModel):
    """An amorphous semiconductor or wide-gap oxide, transparent below its gap.

    Im eps = A E0 C (E - Eg)^2 / (E [(E^2 - E0^2)^2 + C^2 E^2]) above Eg, else 0; Re eps is its Kramers-Kronig transform
    in closed form (G. E. Jellison and F. A. Modine, doi:10.1063/1.118064, erratum doi:10.1063/1.118155). The infinite
    slope of its logarithms at E = Eg is rounded over 1 meV.
    """

    kind: ClassVar[str] = "tauc_lorentz"
    amplitude_eV: Float[Array, ""] = quantity("eV", lower=0, doc="A")
    energy_eV: Float[Array, ""] = quantity("eV", lower=0, open_lower=True, doc="E0, the peak")
    width_eV: Float[Array, ""] = quantity("eV", lower=0, open_lower=True, doc="C, below 2 E0")
    gap_eV: Float[Array, ""] = quantity("eV", lower=0, open_lower=True, doc="Eg")
    eps_infinity: Float[Array, ""] = quantity("1", lower=0, default=1.0, doc="what resonances at higher energies add")
    range_nm: tuple[float, float] | None = setting(
        default=None, doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(default="", doc="where its numbers come from")

    def check(self) -> None:
        if self.width_eV >= 2 * self.energy_eV:
            raise InputError(f"width_eV={float(self.width_eV):g}: must be below 2 energy_eV = {2 * self.energy_eV:g}")

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        e = HC_EV_NM / wavelength_nm
        a, e0, c, eg = self.amplitude_eV, self.energy_eV, self.width_eV, self.gap_eV
        imag = a * e0 * c * jnp.maximum(e - eg, 0) ** 2 / (e * ((e**2 - e0**2) ** 2 + c**2 * e**2))
        alpha, gamma2 = jnp.sqrt(4 * e0**2 - c**2), e0**2 - c**2 / 2
        a_ln = (eg**2 - e0**2) * e**2 + eg**2 * c**2 - e0**2 * (e0**2 + 3 * eg**2)
        a_atan = (e**2 - e0**2) * (e0**2 + eg**2) + eg**2 * c**2
        distance = jnp.sqrt((e - eg) ** 2 + 1e-6)
        bracket = (
            c * a_ln / (2 * alpha * e0) * jnp.log((e0**2 + eg**2 + alpha * eg) / (e0**2 + eg**2 - alpha * eg))
            - a_atan / e0 * (jnp.pi - jnp.arctan((2 * eg + alpha) / c) + jnp.arctan((alpha - 2 * eg) / c))
            + 2 * e0 * eg / alpha * (e**2 - gamma2) * (jnp.pi + 2 * jnp.arctan(2 * (gamma2 - eg**2) / (alpha * c)))
            - e0 * c * (e**2 + eg**2) / e * jnp.log(distance / (e + eg))
            + 2 * e0 * c * eg * jnp.log(distance * (e + eg) / jnp.sqrt((e0**2 - eg**2) ** 2 + eg**2 * c**2))
        )
        zeta4 = (e**2 - gamma2) ** 2 + alpha**2 * c**2 / 4
        return jax.lax.complex(self.eps_infinity + a / (jnp.pi * zeta4) * bracket, imag)


class Table(OpticalModel):
    """Measured n and k: a CSV file with the header wavelength_nm,n,k, ascending; lines that begin with # are comments.

    Interpolated by monotone cubics, so that the derivative is continuous and k never turns negative.
    """

    kind: ClassVar[str] = "table"
    extrapolates: ClassVar[bool] = False
    file: str = setting(doc="a path, or the name of a table that comes with the package")
    source: str = setting(default="", doc="where its numbers come from")

    def check(self) -> None:
        _load(self.file)

    @property
    def range_nm(self) -> tuple[float, float]:  # type: ignore[override]
        knots = _load(self.file).wavelength
        return float(knots[0]), float(knots[-1])

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        table = _load(self.file)
        piece = jnp.clip(jnp.searchsorted(jnp.asarray(table.wavelength), wavelength_nm) - 1, 0, len(table.n) - 1)
        step = wavelength_nm - jnp.asarray(table.wavelength)[piece]
        n, k = (_cubic(jnp.asarray(part)[piece], step) for part in (table.n, table.k))
        low, high = self.range_nm
        inside = (wavelength_nm >= low) & (wavelength_nm <= high)
        n, k = jnp.where(inside, n, jnp.nan), jnp.where(inside, jnp.maximum(k, 0), jnp.nan)
        return jax.lax.complex(n**2 - k**2, 2 * n * k)


class MapbHalideSpectrum(OpticalModel):
    """MAPb(I1-xBrx)3, whose spectrum moves with its gap E_g(x) = 1.57 + 0.39 x + 0.33 x^2 eV.

    Im eps is an edge of width w times a continuum, an excitonic correction and three Gaussian bands, all measured from
    the edge; Re eps is its Kramers-Kronig transform plus a pole at 7 eV. Fitted to films of MAPbI3 (300-1500 nm, rms
    error of n 0.007, of k 0.008) and to crystals of MAPbBr3 (280-2400 nm, 0.004 and 0.003); every parameter is
    interpolated in x. The sub-gap k of the MAPbI3 table (0.02) is an artefact of its fit and was left out: below the
    gap k falls as exp(E/w).
    """

    kind: ClassVar[str] = "mapb_halide"
    band_gap_eV: Float[Array, ""] = quantity("eV", lower=1.56, upper=2.4, doc="of the composition: 1.644 at x = 1/6")
    range_nm: tuple[float, float] | None = setting(
        default=(300.0, 1500.0), doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(
        default="n,k: Phillips et al. 2015, DOI 10.1016/j.dib.2015.10.026 (I), McCleese et al. 2024, "
        "DOI 10.1002/adpr.202400019 (Br); gap: Noh et al. 2013, DOI 10.1021/nl400349b",
        doc="where its numbers come from",
    )

    def shifted(self, gap_shift_eV: Float[Array, ""]) -> "MapbHalideSpectrum":
        return dataclasses.replace(self, band_gap_eV=self.band_gap_eV + gap_shift_eV)

    @property
    def bromide_fraction(self) -> Float[Array, ""]:
        """x of the gap."""
        # a gap slightly below that of MAPbI3 is a sample of it, not a negative x: the root stays real down to 1.46 eV
        return (jnp.sqrt(0.39**2 + 4 * 0.33 * (self.band_gap_eV - 1.57)) - 0.39) / (2 * 0.33)

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        x = self.bromide_fraction
        p = jax.tree.map(lambda iodide, bromide: iodide + (bromide - iodide) * x, _MAPBI3, _MAPBBR3)
        edge = self.band_gap_eV + p.offset

        def absorption(energy: Array) -> Array:
            above = energy - edge
            bands = sum(a * jnp.exp(-(((above - centre) / s) ** 2)) for a, centre, s in p.bands)
            exciton = p.exciton * jnp.exp(-(((above - 0.02) / p.exciton_width) ** 2))
            # no data beyond 4.5 eV: let the continuum end smoothly near 6 eV
            return jax.nn.sigmoid(above / p.width) * (p.continuum + exciton + bands) / (1 + (energy / 6) ** 8)

        energy = HC_EV_NM / wavelength_nm
        real = p.eps_infinity + p.pole / (49 - energy**2) + kramers_kronig(absorption, energy, 0.8, 20.0, 0.02)
        return jax.lax.complex(real, absorption(energy))


class _Halide(NamedTuple):
    """Parameters of one end of the alloy; energies in eV, from the edge."""

    offset: float
    """Edge minus the gap law."""
    width: float
    continuum: float
    exciton: float
    exciton_width: float
    bands: tuple[tuple[float, float, float], ...]
    """Amplitude, centre, width of the Gaussians."""
    eps_infinity: float
    pole: float


_MAPBI3 = _Halide(
    offset=-0.0131,
    width=0.0189,
    continuum=0.7103,
    exciton=-0.5874,
    exciton_width=0.0408,
    bands=((1.1277, 0.6605, 0.4422), (3.0836, 1.8279, 0.6322), (1.6966, 2.8929, 0.4041)),
    eps_infinity=0.8706,
    pole=110.7718,
)
_MAPBBR3 = _Halide(
    offset=0.0338,
    width=0.0182,
    continuum=1.0157,
    exciton=0.7084,
    exciton_width=0.0518,
    bands=((1.0912, 0.9826, 0.4133), (3.781, 1.9445, 0.6199), (2.0, 3.0762, 0.5)),
    eps_infinity=1.5858,
    pole=43.3919,
)


def kramers_kronig(
    absorption: Callable[[Array], Array], energy_eV: Wavelengths, lower_eV: float, upper_eV: float, step: float
) -> Wavelengths:
    """Re eps - 1 of the imaginary part `absorption`, which must vanish outside `lower_eV` to `upper_eV`.

    The principal value (2/pi) P int E' Im eps(E')/(E'^2 - E^2) dE' is a sum over points s = (j + 1/2) step of ln(E'/E):
    the pole lies half-way between two of them and cancels, and for a smooth `absorption` the error falls exponentially
    with 1/step (features narrower than step E are not resolved).
    """
    first = jnp.floor(jnp.log(lower_eV / energy_eV) / step)
    count = math.ceil(math.log(upper_eV / lower_eV) / step)
    s = (first + jnp.arange(count, dtype=jnp.float64)[:, None] + 0.5) * step
    return 2 / jnp.pi * step * jnp.sum(absorption(energy_eV * jnp.exp(s)) / -jnp.expm1(-2 * s), axis=0)


def lorentzian(energy: Array, strength: Array | float, resonance: Array | float, width: Array | float) -> Array:
    """s E0^2/(E0^2 - E^2 - i G E)."""
    detuning, loss = resonance**2 - energy**2, width * energy
    scale = strength * resonance**2 / (detuning**2 + loss**2)
    return jax.lax.complex(scale * detuning, scale * loss)


def require(models: Iterable[OpticalModel], wavelength_nm: Float[np.ndarray | Array, " wavelength"]) -> None:
    """Raise InputError if one of the models is a table that does not cover all wavelengths (concrete values)."""
    for model in models:
        model.require(wavelength_nm)


def extrapolated(
    models: Iterable[OpticalModel], wavelength_nm: Float[np.ndarray | Array, " wavelength"]
) -> Bool[np.ndarray, " wavelength"]:
    """Where any of the models is used outside its data (concrete values)."""
    covered = np.ones(np.shape(wavelength_nm), bool)
    for model in models:
        covered &= model.covers(wavelength_nm)
    return ~covered


def _real(values: Float[Array, " wavelength"]) -> Permittivity:
    return jax.lax.complex(values, jnp.zeros_like(values))


# Tables -------------------------------------------------------------------------------------------------------------


class _Pieces(NamedTuple):
    """Cubic pieces between the knots: coefficients of falling powers."""

    wavelength: Float[np.ndarray, " knot"]
    n: Float[np.ndarray, "piece 4"]
    k: Float[np.ndarray, "piece 4"]


def _cubic(coefficients: Float[Array, "wavelength 4"], step: Wavelengths) -> Wavelengths:
    a, b, c, d = coefficients.T
    return ((a * step + b) * step + c) * step + d


@lru_cache(maxsize=64)
def _load(file: str) -> _Pieces:
    """Read a table once. Raises InputError in one sentence for anything wrong with it."""
    path = Path(file) if Path(file).is_file() else DATA / file
    ours = ", ".join(sorted(entry.name for entry in DATA.glob("*.csv")))
    if not path.is_file():
        raise InputError(f"file={file}: there is no such n,k table; give a path or one of {ours}")
    wavelength, n, k = read_curves(path, file, ("wavelength_nm", "n", "k"))
    if (n <= 0).any() or (k < 0).any():
        raise InputError(f"file={file}: n must be positive and k must not be negative")
    return _Pieces(wavelength, *(PchipInterpolator(wavelength, values).c.T for values in (n, k)))
