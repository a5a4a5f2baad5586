"""What the instrument adds to the noise of the device, as a current at its input.

The device is read by a transimpedance amplifier, which holds it at its bias: a short circuit for the noise. Without
further words it is noiseless.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.constants import BOLTZMANN_EV_PER_K, ELEMENTARY_CHARGE_C
from invdesign.schema import quantity


class Readout(eqx.Module):
    """The instrument that reads the current."""

    kind: eqx.AbstractClassVar[str]

    def noise(self, admittance: Complex[Array, ""], omega: Float[Array, ""]) -> Float[Array, ""]:
        """Density of the current noise (A^2/Hz, one-sided) with a device of this admittance (S) at its input."""
        return jnp.zeros(())


class Noiseless(Readout):
    """Detectivity is that of the device alone."""

    kind: ClassVar[str] = "noiseless"


class Amplifier(Readout):
    """A transimpedance amplifier with white voltage and current noise and the thermal noise of its feedback resistor.

    S = i_a^2 + e_n^2 |Y + 1/R_f + i w C|^2 + 4kT/R_f, Y the admittance of the device: the amplifier's voltage noise
    stands across all that hangs on its input, and drives a current through it (Haus et al. 1960, DOI
    10.1109/JRPROC.1960.287381, for the two sources; they are taken as independent).
    """

    kind: ClassVar[str] = "amplifier"
    voltage_noise_V_per_rtHz: Float[Array, ""] = quantity("V/Hz^1/2", lower=0, default=0.0, doc="e_n")
    current_noise_A_per_rtHz: Float[Array, ""] = quantity("A/Hz^1/2", lower=0, default=0.0, doc="i_a")
    feedback_ohm: Float[Array, ""] | None = quantity(
        "ohm", lower=0, open_lower=True, default=None, doc="R_f; null leaves its thermal noise out"
    )
    capacitance_F: Float[Array, ""] = quantity(
        "F", lower=0, default=0.0, doc="C of the amplifier's input, feedback and cable, besides the device's own"
    )
    temperature_K: Float[Array, ""] = quantity("K", lower=0, default=300.0, doc="of the feedback resistor")

    def noise(self, admittance: Complex[Array, ""], omega: Float[Array, ""]) -> Float[Array, ""]:
        feedback = jnp.zeros(()) if self.feedback_ohm is None else 1 / self.feedback_ohm
        real = jnp.real(admittance) + feedback
        imaginary = jnp.imag(admittance) + omega * self.capacitance_F
        thermal = 4 * BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * self.temperature_K * feedback
        driven = self.voltage_noise_V_per_rtHz**2 * (real**2 + imaginary**2)
        return self.current_noise_A_per_rtHz**2 + driven + thermal
