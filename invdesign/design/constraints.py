"""What a design must satisfy. One class reports a constraint and gives the optimiser its slack.

A slack is >= 0 where the constraint holds, and of order one: ln(limit/value) for an upper limit, ln(value/limit) for
a lower one. `scale` multiplies every limit; the derivative of a slack by it, times a multiplier, prices the limit.
"""

import dataclasses
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.device.device import Device
from invdesign.figures.registry import Characterisation
from invdesign.materials.quantum_dots import DotsInHost, MapbHalide
from invdesign.schema import quantity, setting

LOW_FREQUENCY_HZ = 1.0
"""Where the photo-response is taken as that of steady light."""


class Limit(NamedTuple):
    """One number with its limit."""

    name: str
    unit: str
    upper: bool
    """True for an upper limit."""
    limit: Float[Array, ""]
    """With its margin."""
    value: Float[Array, ""] | None
    """None if it is a figure of merit of the same name, which costs more than the slack."""
    slack: Float[Array, ""]


class Constraint(eqx.Module):
    """A family of limits that is switched on and off together."""

    enabled: eqx.AbstractVar[bool]
    margin: eqx.AbstractVar[Float[Array, ""]]

    @abstractmethod
    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        """The limits that apply to a characterised device."""

    @abstractmethod
    def names(self, device: Device) -> list[str]:
        """Names of these limits, in their order."""


def at_most(name: str, unit: str, value: Array, limit: Array) -> Limit:
    """An upper limit of a positive number."""
    return Limit(name, unit, True, limit, value, jnp.log(limit) - jnp.log(value))


def at_least(name: str, unit: str, value: Array, limit: Array) -> Limit:
    """A lower limit of a positive number."""
    return Limit(name, unit, False, limit, value, jnp.log(value) - jnp.log(limit))


class PeakField(Constraint):
    """The smoothed peak of the mean field in every layer stays below its breakdown field."""

    enabled: bool = setting(default=True, doc="whether it counts")
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=0.9, default=0.0, doc="part of the breakdown field kept in reserve"
    )

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        breakdown, peak = c.breakdown_field_V_per_cm, c.peak_field_V_per_cm
        return [
            at_most(f"peak_field_{name}", "V/cm", peak[name], scale * (1 - self.margin) * breakdown[name])
            for name in peak
        ]

    def names(self, device: Device) -> list[str]:
        return [f"peak_field_{name}" for name in device.electrical]


class Bandwidth(Constraint):
    """The 3-dB bandwidth of the photo-response: |response|^2 at the limit is at least half of its low-frequency
    value."""

    enabled: bool = setting(default=True, doc="whether it counts")
    min_Hz: Float[Array, ""] = quantity(
        "Hz", lower=0, open_lower=True, default=6e4, doc="3-dB bandwidth of the photo-response"
    )
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        limit = scale * (1 + self.margin) * self.min_Hz
        steady, modulated = c.response_power(jnp.stack([jnp.asarray(LOW_FREQUENCY_HZ), limit]))
        return [Limit("bandwidth", "Hz", False, limit, None, jnp.log(2 * modulated / steady))]

    def names(self, device: Device) -> list[str]:
        return ["bandwidth"]


class Bromide(Constraint):
    """The bromide fraction of every mixed-halide host: photostability."""

    enabled: bool = setting(default=True, doc="whether it counts")
    max: Float[Array, ""] = quantity(
        "1", lower=0, upper=1, default=0.2, doc="largest bromide fraction of a mixed-halide layer"
    )
    margin: Float[Array, ""] = quantity("1", lower=0, upper=0.9, default=0.0, doc="part of the limit kept in reserve")

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        limit = scale * (1 - self.margin) * self.max
        # a fraction may be zero: linear, in units of the limit
        return [
            Limit(f"bromide_{name}", "1", True, limit, x, (limit - x) / jnp.maximum(self.max, 0.01))
            for name, x in bromide_fractions(c.device).items()
        ]

    def names(self, device: Device) -> list[str]:
        return [f"bromide_{name}" for name in bromide_fractions(device)]


class DarkCurrent(Constraint):
    """The current at the operating bias without any light."""

    enabled: bool = setting(default=False, doc="whether it counts")
    max_A: Float[Array, ""] = quantity("A", lower=0, open_lower=True, default=1e-6, doc="at the operating bias")
    margin: Float[Array, ""] = quantity("1", lower=0, upper=0.9, default=0.0, doc="part of the limit kept in reserve")

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        limit = scale * (1 - self.margin) * self.max_A
        current = c.dark_current_A
        # at zero bias the current is zero: linear there, logarithmic beyond the limit
        size = jnp.sqrt(current**2 + (1e-6 * limit) ** 2)
        return [at_most("dark_current", "A", size, limit)]

    def names(self, device: Device) -> list[str]:
        return ["dark_current"]


class Gain(Constraint):
    """The gain at the objective's wavelength."""

    enabled: bool = setting(default=False, doc="whether it counts")
    min: Float[Array, ""] = quantity("1", lower=0, open_lower=True, default=1.0, doc="smallest value")
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        return [at_least("gain", "1", c.eqe[0] / c.absorptance[0], scale * (1 + self.margin) * self.min)]

    def names(self, device: Device) -> list[str]:
        return ["gain"]


class Absorptance(Constraint):
    """The absorptance of one layer at the objective's wavelength."""

    enabled: bool = setting(default=False, doc="whether it counts")
    layer: str = setting(default="QDiP", doc="whose absorptance it is")
    min: Float[Array, ""] = quantity("1", lower=0, upper=1, open_lower=True, default=0.5, doc="smallest value")
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        value = c.absorption.layers[self.layer][0]
        return [at_least(f"absorptance_{self.layer}", "1", value, scale * (1 + self.margin) * self.min)]

    def names(self, device: Device) -> list[str]:
        return [f"absorptance_{self.layer}"]


class Constraints(eqx.Module):
    """What a design must satisfy."""

    peak_field: PeakField = PeakField()
    bandwidth: Bandwidth = Bandwidth()
    bromide: Bromide = Bromide()
    dark_current: DarkCurrent = DarkCurrent()
    gain: Gain = Gain()
    absorptance: Absorptance = Absorptance()

    def limits(self, c: Characterisation, scale: Float[Array, ""] | float = 1.0) -> list[Limit]:
        """All limits that are switched on."""
        return [limit for family in self._families.values() if family.enabled for limit in family.limits(c, scale)]

    def with_margins(self, part: Float[Array, ""] | float) -> "Constraints":
        """The same with so much of every margin: 0 leaves the limits alone."""
        return dataclasses.replace(
            self,
            **{name: dataclasses.replace(one, margin=part * one.margin) for name, one in self._families.items()},
        )

    @property
    def _families(self) -> dict[str, Constraint]:
        """All kinds of limits, by their names in the settings."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def names(self, device: Device) -> tuple[str, ...]:
        """Names of the limits that are switched on, in their order."""
        return tuple(name for one in self._families.values() if one.enabled for name in one.names(device))


def bromide_fractions(device: Device) -> dict[str, Float[Array, ""]]:
    """The bromide fraction of every layer with a mixed-halide host."""
    found = {}
    for name in device.electrical:
        material = device.layers[name].material
        host = material.host if isinstance(material, DotsInHost) else material
        if isinstance(host, MapbHalide):
            found[name] = host.bromide_fraction
    return found
