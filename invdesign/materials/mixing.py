"""Lead-sulphide dots as an optical medium, and the effective medium that dots and host form together."""

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Complex, Float

from invdesign.constants import HC_EV_NM
from invdesign.materials.optical import OpticalModel, kramers_kronig, lorentzian
from invdesign.schema import quantity, setting

Wavelengths = Float[Array, " wavelength"]
Permittivity = Complex[Array, " wavelength"]

BULK_PBS_INFINITY = 2.1588
BULK_PBS = (
    (1.0684, 0.6195, 0.60774),
    (3.2674, 1.9317, 1.0089),
    (9.9043, 3.156, 1.4641),
    (1.9148, 5.659, 3.1948),
)
"""Bulk PbS, 220-1800 nm: strength, energy and width (eV) of its oscillators."""

PEAK_HEIGHT = 3.24
"""Im eps at the exciton of dots of 4.32 nm and 1 eV with a dispersion of 5 %, calibrated as `dot_permittivity` says."""
ONSET, ONSET_WIDTH = 0.7, 0.4
"""Where the dots absorb half as much as the bulk, and how softly that begins: above the exciton, in units of the
confinement energy."""
BULK_EXCITON_EV = 0.41
"""Exciton energy of very large dots, where the size law of Moreels et al. ends."""


def dot_permittivity(
    wavelength_nm: Wavelengths,
    exciton_energy_eV: Float[Array, ""],
    diameter_nm: Float[Array, ""],
    size_dispersion: Float[Array, ""],
) -> Permittivity:
    """Complex permittivity of PbS dots.

    Im eps is that of bulk PbS (four Lorentz oscillators), which small dots keep at high energy, faded out towards the
    exciton and cut off at it, plus a Gaussian peak there; Re eps follows from it by Kramers and Kronig.
    `size_dispersion` is the relative spread of diameters.

    * Fading out stands for the higher transitions, which move with the confinement energy E_x - 0.41 eV. It is chosen
      for a valley behind the peak of a fifth of its height; there is no second peak.
    * At a dispersion of 5 % the peak's height gives an intrinsic absorption of 1.06e4 cm^-1 in a solvent (n = 1.5) for
      1 eV dots and varies as d^-0.68/E_x (19600 r^2.32 per M cm, r in nm: L. Cademartiri et al.,
      doi:10.1021/ja063166u). Other dispersions keep its area, which per dot grows about as d^1.3, as measured by
      I. Moreels et al. (doi:10.1021/nn900863a). At 400 nm the bulk gives 1.76e5 cm^-1; theirs is 1.71e5.
    * Its width is that of the diameters, |dE_x/dd| d times their dispersion, and of the homogeneous line, 25 meV at
      0.92 eV to 55 meV at 1.3 eV (R. H. Gilmore et al., doi:10.1021/acs.nanolett.6b04201), added in squares. The
      homogeneous line is Gaussian, too: the wings of a Lorentzian would absorb far below the exciton, against detailed
      balance.
    """
    energy = HC_EV_NM / wavelength_nm
    width = exciton_width_eV(exciton_energy_eV, diameter_nm, size_dispersion)
    narrowing = exciton_width_eV(exciton_energy_eV, diameter_nm, jnp.float64(0.05)) / width
    height = PEAK_HEIGHT * (diameter_nm / 4.32) ** -0.68 / exciton_energy_eV * narrowing
    confinement = exciton_energy_eV - BULK_EXCITON_EV
    onset, onset_width = exciton_energy_eV + ONSET * confinement, ONSET_WIDTH * confinement

    def peak(e: Array) -> Array:
        return height * jnp.exp(-(((e - exciton_energy_eV) / width) ** 2) / 2)

    def kept(e: Array) -> Array:
        """Share of the bulk's Im eps that is left."""
        return ndtr((e - onset) / onset_width) * ndtr((e - exciton_energy_eV) / width)

    def change(e: Array) -> Array:
        """What confinement adds to the bulk's Im eps; it vanishes at high energy, which the bulk's own does not."""
        return peak(e) - (1 - kept(e)) * bulk_pbs(e).imag

    bulk = bulk_pbs(energy)
    real = bulk.real + kramers_kronig(change, energy, 0.05, 6.0, 0.0125)
    return jax.lax.complex(real, peak(energy) + kept(energy) * bulk.imag)


def exciton_width_eV(
    exciton_energy_eV: Float[Array, ""], diameter_nm: Float[Array, ""], size_dispersion: Float[Array, ""]
) -> Float[Array, ""]:
    """Standard deviation of the exciton line: dispersion of diameters and homogeneous width, added in squares."""
    d = diameter_nm
    slope = (0.0504 * d + 0.283) / (0.0252 * d**2 + 0.283 * d) ** 2  # of 1/(0.0252 d^2 + 0.283 d), Moreels et al.
    homogeneous = 0.025 * jnp.exp(math.log(55 / 25) * (exciton_energy_eV - 0.92) / 0.38) / math.sqrt(8 * math.log(2))
    return jnp.sqrt((slope * d * size_dispersion) ** 2 + homogeneous**2)


def bulk_pbs(energy_eV: Float[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """Permittivity of bulk PbS: four Lorentz oscillators fitted to SOPRA's data, rms error of n 0.05, of k 0.03."""
    terms = [lorentzian(energy_eV, *oscillator) for oscillator in BULK_PBS]
    return sum(terms[1:], terms[0]) + BULK_PBS_INFINITY


# Mixing -------------------------------------------------------------------------------------------------------------


class Mixing(eqx.Module):
    """An effective medium of spheres in a host."""

    kind: eqx.AbstractClassVar[str]

    @abstractmethod
    def mix(
        self, host: Permittivity, dots: Permittivity, fraction: Float[Array, ""]
    ) -> tuple[Permittivity, Wavelengths]:
        """Effective permittivity, and the dots' share of its absorption, f Im eps_d |E_d/<E>|^2 / Im eps_eff.

        `fraction` is the dots' volume fraction f, from 0 to 1.
        """


class MaxwellGarnett(Mixing):
    """Spheres that touch the host only: (eps - eps_h)/(eps + 2 eps_h) = f (eps_d - eps_h)/(eps_d + 2 eps_h).

    J. C. Maxwell Garnett, doi:10.1098/rsta.1904.0024. Exact for few dots; consistent in sharing the power at all f.
    """

    kind: ClassVar[str] = "maxwell_garnett"

    def mix(
        self, host: Permittivity, dots: Permittivity, fraction: Float[Array, ""]
    ) -> tuple[Permittivity, Wavelengths]:
        f = fraction.astype(host.dtype)
        inside = 3 * host / (dots + 2 * host)  # field in a dot over the field around it
        mean = 1 - f + f * inside
        mixed = (f * inside * dots + (1 - f) * host) / mean
        in_dots = fraction * dots.imag * _square(inside / mean)
        return mixed, _share(in_dots, mixed.imag)


class Bruggeman(Mixing):
    """Grains of both kinds in their own mixture: sum of f_i (eps_i - eps)/(eps_i + 2 eps) = 0.

    D. A. G. Bruggeman, doi:10.1002/andp.19354160705. The powers in the two kinds of grain do not add up to Im eps (0.9
    of it at f = 0.29): the share is that of their sum.
    """

    kind: ClassVar[str] = "bruggeman"

    def mix(
        self, host: Permittivity, dots: Permittivity, fraction: Float[Array, ""]
    ) -> tuple[Permittivity, Wavelengths]:
        f = fraction.astype(host.dtype)
        b = (3 * f - 1) * dots + (2 - 3 * f) * host
        mixed = (b + jnp.sqrt(b**2 + 8 * dots * host)) / 4
        in_dots = fraction * dots.imag * _square(3 * mixed / (dots + 2 * mixed))
        in_host = (1 - fraction) * host.imag * _square(3 * mixed / (host + 2 * mixed))
        return mixed, _share(in_dots, in_dots + in_host)


def _square(z: Permittivity) -> Wavelengths:
    return z.real**2 + z.imag**2


def _share(part: Wavelengths, whole: Wavelengths) -> Wavelengths:
    """part/whole in [0, 1]; 0 where nothing absorbs."""
    some = whole > 1e-30
    return jnp.clip(jnp.where(some, part, 0.0) / jnp.where(some, whole, 1.0), 0.0, 1.0)


class DotFilm(OpticalModel):
    """A film of PbS dots in a transparent matrix (their ligands), for layers that are a plain semiconductor."""

    kind: ClassVar[str] = "pbs_dot_film"
    exciton_energy_eV: Float[Array, ""] = quantity("eV", lower=0.5, upper=2, doc="of the exciton peak")
    diameter_nm: Float[Array, ""] = quantity("nm", lower=2, upper=12, doc="of a dot")
    volume_fraction: Float[Array, ""] = quantity("1", lower=0, upper=1, doc="part of the volume that dots fill")
    matrix_index: Float[Array, ""] = quantity("1", lower=1, default=1.6, doc="refractive index of the ligands")
    size_dispersion: Float[Array, ""] = quantity("1", lower=0, upper=0.5, default=0.05, doc="relative, of the diameter")
    mixing: Mixing = Bruggeman()
    range_nm: tuple[float, float] | None = setting(
        default=(220.0, 1800.0), doc="wavelengths it holds for; beyond, it extrapolates"
    )
    source: str = setting(
        default="bulk PbS: SOPRA data; exciton: see invdesign.materials.mixing", doc="where its numbers come from"
    )

    def permittivity(self, wavelength_nm: Wavelengths) -> Permittivity:
        dots = dot_permittivity(wavelength_nm, self.exciton_energy_eV, self.diameter_nm, self.size_dispersion)
        matrix = jnp.full_like(dots, 1.0) * (self.matrix_index**2).astype(dots.dtype)
        return self.mixing.mix(matrix, dots, self.volume_fraction)[0]
