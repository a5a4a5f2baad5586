"""Steady light during the operating point: what shines on a device, as wavelengths and the irradiance in each."""

from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.constants import BOLTZMANN_EV_PER_K, HC_EV_NM
from invdesign.materials.tables import read_curves
from invdesign.schema import InputError, quantity, setting

MOST_POINTS = 200
"""A measured spectrum with more rows is gathered in this many steps of equal ratio (1.3 % from 280 to 4000 nm)."""
W_PER_CM2_OF_W_PER_M2 = 1e-4


class Illumination(eqx.Module):
    """Steady light during the operating point."""

    kind: eqx.AbstractClassVar[str]

    def spectrum(self) -> tuple[Float[Array, " wavelength"], Float[Array, " wavelength"]] | None:
        """Wavelengths (nm) and the irradiance in each (W/cm^2), or None for darkness."""
        return None


class Dark(Illumination):
    """No light."""

    kind: ClassVar[str] = "dark"


class Monochromatic(Illumination):
    """One wavelength."""

    kind: ClassVar[str] = "monochromatic"
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="of the light")
    irradiance_W_per_cm2: Float[Array, ""] = quantity("W/cm2", lower=0, doc="power per area outside the device")

    def spectrum(self) -> tuple[Float[Array, " wavelength"], Float[Array, " wavelength"]]:
        return self.wavelength_nm[None], self.irradiance_W_per_cm2[None]


class Blackbody(Illumination):
    """A thermal lamp or the sun: Planck's spectrum between two wavelengths, scaled to a total irradiance."""

    kind: ClassVar[str] = "blackbody"
    source_temperature_K: Float[Array, ""] = quantity(
        "K", lower=300, upper=20000, default=5778.0, doc="of the black body"
    )
    irradiance_W_per_cm2: Float[Array, ""] = quantity("W/cm2", lower=0, doc="in all wavelengths between the limits")
    shortest_nm: Float[Array, ""] = quantity("nm", lower=200, upper=1e5, default=300.0, doc="begin of its spectrum")
    longest_nm: Float[Array, ""] = quantity("nm", lower=200, upper=1e5, default=1600.0, doc="end of its spectrum")
    points: int = eqx.field(static=True, default=66, kw_only=True, metadata=dict(doc="wavelengths of the spectrum"))

    def check(self) -> None:
        low, high = float(self.shortest_nm), float(self.longest_nm)
        if low >= high:
            raise InputError(f"shortest_nm={low:g} must be below longest_nm={high:g}")

    def spectrum(self) -> tuple[Float[Array, " wavelength"], Float[Array, " wavelength"]]:
        wavelength = jnp.linspace(self.shortest_nm, self.longest_nm, self.points)
        x = HC_EV_NM / (wavelength * BOLTZMANN_EV_PER_K * self.source_temperature_K)
        shape = wavelength**-5.0 / jnp.expm1(x)
        # trapezoid weights: the ends count half
        shape = shape * jnp.ones(self.points).at[0].set(0.5).at[-1].set(0.5)
        return wavelength, self.irradiance_W_per_cm2 * shape / jnp.sum(shape)


class Measured(Illumination):
    """A spectrum from a CSV file with the header wavelength_nm,irradiance_W_per_m2_nm (the unit of ASTM G173).

    Ascending wavelengths; lines that begin with # are comments. Integrated by the trapezoid rule on the file's own
    grid. Of more than `MOST_POINTS` rows, neighbours are gathered at their mean wavelength, weighted with the
    irradiance, so that a gathered step has the power *and* the photons of its rows: sum P lambda = lambda_mean sum P.
    """

    kind: ClassVar[str] = "spectrum"
    file: str = setting(doc="a path; the header is wavelength_nm,irradiance_W_per_m2_nm")
    irradiance_W_per_cm2: Float[Array, ""] | None = quantity(
        "W/cm2", lower=0, default=None, doc="total that the spectrum is scaled to; null takes it as it is"
    )
    scale: Float[Array, ""] = quantity("1", lower=0, default=1.0, doc="factor on top, e.g. a number of suns")
    shortest_nm: float = setting(default=100.0, lower=100, upper=1e5, doc="rows of shorter wavelengths are left out")
    longest_nm: float = setting(default=1e5, lower=100, upper=1e5, doc="rows of longer wavelengths are left out")

    def check(self) -> None:
        self._lines()

    def spectrum(self) -> tuple[Float[Array, " wavelength"], Float[Array, " wavelength"]]:
        wavelength, power = self._lines()
        total = jnp.ones(()) if self.irradiance_W_per_cm2 is None else self.irradiance_W_per_cm2 / np.sum(power)
        return jnp.asarray(wavelength), self.scale * total * jnp.asarray(power)

    def _lines(self) -> tuple[Float[np.ndarray, " wavelength"], Float[np.ndarray, " wavelength"]]:
        """Wavelengths (nm) and the irradiance (W/cm^2) in each, of the file within its limits."""
        wavelength, irradiance = _load(self.file)
        inside = (wavelength >= self.shortest_nm) & (wavelength <= self.longest_nm)
        if np.count_nonzero(inside) < 2:
            raise InputError(
                f"file={self.file}: fewer than two rows lie between shortest_nm={self.shortest_nm:g} and "
                f"longest_nm={self.longest_nm:g}; the file covers {wavelength[0]:g} to {wavelength[-1]:g} nm"
            )
        wavelength, irradiance = wavelength[inside], irradiance[inside]
        width = np.diff(wavelength)
        power = W_PER_CM2_OF_W_PER_M2 * irradiance * (np.append(width, 0) + np.append(0, width)) / 2
        if not power.any():
            raise InputError(f"file={self.file}: the irradiance is zero everywhere; use kind: dark")
        return gathered(wavelength, power)


def gathered(
    wavelength_nm: Float[np.ndarray, " row"], power: Float[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """At most `MOST_POINTS` lines with the power and the photons of many; few lines are left as they are."""
    if len(wavelength_nm) <= MOST_POINTS:
        return wavelength_nm, power
    edges = np.geomspace(wavelength_nm[0], wavelength_nm[-1], MOST_POINTS + 1)[1:-1]
    _, step = np.unique(np.searchsorted(edges, wavelength_nm), return_inverse=True)
    total = np.bincount(step, power)
    mean = np.bincount(step, wavelength_nm * power) / np.where(total > 0, total, 1.0)
    return mean[total > 0], total[total > 0]


@lru_cache(maxsize=64)
def _load(file: str) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Read a spectrum once."""
    path = Path(file)
    if not path.is_file():
        raise InputError(f"file={file}: there is no such spectrum; give the path of a CSV file")
    wavelength, irradiance = read_curves(path, file, ("wavelength_nm", "irradiance_W_per_m2_nm"))
    if (irradiance < 0).any():
        raise InputError(f"file={file}: the irradiance must not be negative")
    return wavelength, irradiance
