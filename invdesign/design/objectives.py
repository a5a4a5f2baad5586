"""What is maximised, and where the figures of merit are read."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from equinox import AbstractClassVar
from jaxtyping import Array, Float

from invdesign.design.grids import WavelengthGrid
from invdesign.figures.registry import Characterisation
from invdesign.schema import quantity


class Objective(eqx.Module):
    """A figure of merit to be maximised, as its decadic logarithm."""

    kind: AbstractClassVar[str]
    figure: AbstractClassVar[str]
    """The name of the figure it is the logarithm of."""
    frequency_Hz: eqx.AbstractVar[Float[Array, ""]]

    @property
    @abstractmethod
    def wavelengths_nm(self) -> Float[Array, " wavelength"]:
        """Wavelengths it is computed at; single figures of merit are reported at the first."""

    @abstractmethod
    def mean_log10(self, values: Float[Array, " wavelength"]) -> Float[Array, ""]:
        """log10 of a number that is known at `wavelengths_nm`, as the objective averages it."""

    def value(self, c: Characterisation) -> Float[Array, ""]:
        """The objective of a characterised device."""
        return self.mean_log10(getattr(c, self.figure))


class AtOneWavelength(Objective):
    """log10 of a figure of merit at one wavelength."""

    wavelength_nm: Float[Array, ""] = quantity(
        "nm", lower=100, upper=1e5, doc="of the light; without it the device's design wavelength"
    )
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3, doc="of signal and noise")

    @property
    def wavelengths_nm(self) -> Float[Array, " wavelength"]:
        return self.wavelength_nm[None]

    def mean_log10(self, values: Float[Array, " wavelength"]) -> Float[Array, ""]:
        return jnp.log10(values[0])


class Detectivity(AtOneWavelength):
    """log10 of the specific detectivity at one wavelength."""

    kind: ClassVar[str] = "detectivity"
    figure: ClassVar[str] = "detectivity_Jones"


class BandDetectivity(Objective):
    """log10 of the specific detectivity, averaged over a band of wavelengths."""

    kind: ClassVar[str] = "band_detectivity"
    figure: ClassVar[str] = "detectivity_Jones"
    band: WavelengthGrid
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3, doc="of signal and noise")
    points: int = eqx.field(static=True, init=False)

    def __post_init__(self) -> None:
        self.points = len(self.band.values)  # where the numbers are traced it is too late to count them

    @property
    def wavelength_nm(self) -> Float[Array, ""]:
        """The middle of the band, where the single figures of merit are reported."""
        return (self.band.start_nm + self.band.stop_nm) / 2

    @property
    def wavelengths_nm(self) -> Float[Array, " wavelength"]:
        inside = self.band.start_nm + self.band.step_nm * jnp.arange(self.points, dtype=jnp.float64)
        return jnp.concatenate([self.wavelength_nm[None], inside])

    def mean_log10(self, values: Float[Array, " wavelength"]) -> Float[Array, ""]:
        return jnp.mean(jnp.log10(values[1:]))


class Responsivity(AtOneWavelength):
    """log10 of the responsivity at one wavelength."""

    kind: ClassVar[str] = "responsivity"
    figure: ClassVar[str] = "responsivity_A_per_W"
