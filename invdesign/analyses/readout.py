"""What the instrument adds to the noise of the device, as a current at its input, and what its user reports.

The device is read by a transimpedance amplifier, which holds it at its bias: a short circuit for the noise. Without
further words it is noiseless.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.analyses.noise import flicker_Hz
from invdesign.constants import BOLTZMANN_EV_PER_K, ELEMENTARY_CHARGE_C
from invdesign.schema import quantity


class Readout(eqx.Module):
    """The instrument that reads the current, and the areas that its user goes by.

    With light on the part A_ill of the device and a power reckoned for A_power, a responsivity R is reported as
    R A_ill/A_power, and D* with the root of whatever area is taken for the device's.
    """

    kind: eqx.AbstractClassVar[str]
    illuminated_area_cm2: Float[Array, ""] | None = quantity(
        "cm2", lower=0, open_lower=True, default=None, doc="that the light falls on; null: the device's"
    )
    power_area_cm2: Float[Array, ""] | None = quantity(
        "cm2", lower=0, open_lower=True, default=None, doc="that the reported power is reckoned for; null: illuminated"
    )
    detectivity_area_cm2: Float[Array, ""] | None = quantity(
        "cm2", lower=0, open_lower=True, default=None, doc="in the reported detectivity; null: the device's"
    )

    def noise(self, admittance: Complex[Array, ""], omega: Float[Array, ""]) -> Float[Array, ""]:
        """Density of the current noise (A^2/Hz, one-sided) with a device of this admittance (S) at its input."""
        return jnp.zeros(())

    def reported_share(self, area_cm2: Float[Array, ""]) -> Float[Array, ""]:
        """Reported over true responsivity of a device of this area; light beside the device is lost."""
        if self.illuminated_area_cm2 is None and self.power_area_cm2 is None:
            return jnp.ones(())
        lit = area_cm2 if self.illuminated_area_cm2 is None else self.illuminated_area_cm2
        return jnp.minimum(lit, area_cm2) / (lit if self.power_area_cm2 is None else self.power_area_cm2)

    def reported_area(self, area_cm2: Float[Array, ""]) -> Float[Array, ""]:
        """The area in the reported detectivity of a device of this area, cm^2."""
        return area_cm2 if self.detectivity_area_cm2 is None else self.detectivity_area_cm2


class Noiseless(Readout):
    """Detectivity is that of the device alone."""

    kind: ClassVar[str] = "noiseless"


class Amplifier(Readout):
    """An amplifier with voltage and current noise, and the thermal noise of its feedback or load resistor.

    S = i_a^2 + e_n^2 |Y + 1/R + i w C|^2 + 4kT/R, Y the admittance of the device: the amplifier's voltage noise
    stands across all that hangs on the input, and drives a current through it (Haus et al. 1960, DOI
    10.1109/JRPROC.1960.287381, for the two sources; they are taken as independent). Referred to the input, a resistor
    that feeds back and one that the device is loaded with are the same. Towards low frequencies both sources rise, by
    1 + (corner/f)^exponent in power; unlike 1/f noise of the device that needs no current.
    """

    kind: ClassVar[str] = "amplifier"
    voltage_noise_V_per_rtHz: Float[Array, ""] = quantity("V/Hz^1/2", lower=0, default=0.0, doc="e_n, white")
    current_noise_A_per_rtHz: Float[Array, ""] = quantity("A/Hz^1/2", lower=0, default=0.0, doc="i_a, white")
    voltage_corner_Hz: Float[Array, ""] = quantity("Hz", lower=0, default=0.0, doc="where e_n^2 has doubled")
    current_corner_Hz: Float[Array, ""] = quantity("Hz", lower=0, default=0.0, doc="where i_a^2 has doubled")
    corner_exponent: Float[Array, ""] = quantity(
        "1", lower=1, upper=3, default=1.0, doc="1: 1/f noise; 2: a drift that walks at random"
    )
    feedback_ohm: Float[Array, ""] | None = quantity(
        "ohm", lower=0, open_lower=True, default=None, doc="R, also of a load; null leaves its thermal noise out"
    )
    capacitance_F: Float[Array, ""] = quantity(
        "F", lower=0, default=0.0, doc="C of the amplifier's input, feedback and cable, besides the device's own"
    )
    temperature_K: Float[Array, ""] = quantity("K", lower=0, default=300.0, doc="of the resistor")

    def noise(self, admittance: Complex[Array, ""], omega: Float[Array, ""]) -> Float[Array, ""]:
        feedback = jnp.zeros(()) if self.feedback_ohm is None else 1 / self.feedback_ohm
        real = jnp.real(admittance) + feedback
        imaginary = jnp.imag(admittance) + omega * self.capacitance_F
        thermal = 4 * BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * self.temperature_K * feedback
        current, voltage = (
            white**2 * (1 + (corner / flicker_Hz(omega)) ** self.corner_exponent)
            for white, corner in (
                (self.current_noise_A_per_rtHz, self.current_corner_Hz),
                (self.voltage_noise_V_per_rtHz, self.voltage_corner_Hz),
            )
        )
        return current + voltage * (real**2 + imaginary**2) + thermal
