"""Photo-response from the adjoint solution: one solve gives the response to every wavelength.

No difference of a light and a dark current is taken: the transfers of a small-signal solution are contracted with the
absorbed photons that either node of every edge gets, in the dots (an exciton each, if the dot is empty) and in the host
(a pair each).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.analyses.illumination import Absorption
from invdesign.analyses.small_signal import SmallSignal, Transfer
from invdesign.compiled import compiled
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.processes.dots import excited
from invdesign.solve.assembly import over_sizes, populations


@compiled
def quantum_efficiency(small: SmallSignal, transfer: Transfer, absorption: Absorption) -> Complex[Array, " wavelength"]:
    """Electrons in the circuit per incident photon, with phase; positive where light drives the reverse current."""
    system, state = small.system, small.state
    pairs = transfer.node[:, 1] + transfer.node[:, 2]
    by_pair = jnp.stack([pairs[:-1], pairs[1:]])
    before = populations(system, state.u, state.v, small.light)
    gain = jnp.concatenate([jnp.zeros_like(transfer.dots[:1]), transfer.dots])
    lifts = [
        before[lift.start] * (gain[lift.end] - gain[lift.start]) * lift.absorption
        for lift in excited(system.dot_states)
    ]
    by_exciton = sum(lifts, jnp.zeros(()))
    total = jnp.sum(by_pair * absorption.host + over_sizes(by_exciton * absorption.dots, 1), axis=(1, 2))
    return -total / (ELEMENTARY_CHARGE_C * system.area_cm2)


def response_power(
    small: SmallSignal,
    absorption: Absorption,
    frequency_Hz: Float[Array, " frequency"],
    load_ohm: Float[Array, ""] | float,
) -> Float[Array, " frequency"]:
    """|response|^2 into a load, at the first wavelength of `absorption`."""

    def at(frequency: Float[Array, ""]) -> Float[Array, ""]:
        response = quantum_efficiency(small, small.transfer(frequency, load_ohm), absorption)[0]
        return jnp.real(response) ** 2 + jnp.imag(response) ** 2

    return jax.lax.map(at, frequency_Hz)


def bandwidth(
    small: SmallSignal,
    absorption: Absorption,
    load_ohm: Float[Array, ""] | float = 50.0,
    lowest_Hz: float = 1.0,
    highest_Hz: float = 1e10,
) -> Float[Array, ""]:
    """The 3-dB bandwidth: first frequency at which |response|^2 is half its value at `lowest_Hz`, in Hz.

    Scans, each between the neighbours of the crossing in the one before, bracket it, and a secant finds it in the last
    bracket (undifferentiated). Another secant, between points half a bracket on either side, carries the derivative: by
    symmetry it is right to the square of their distance. Where the response never falls that far, the highest frequency
    is returned.
    """
    points, rounds = 25, 3
    frozen = jax.lax.stop_gradient((small, absorption))
    start, stop = jnp.log(lowest_Hz), jnp.log(highest_Hz)

    def log_power(log_f: Float[Array, " frequency"], small: SmallSignal, absorption: Absorption) -> Array:
        return jnp.log(response_power(small, absorption, jnp.exp(log_f), load_ohm))

    def narrow(index: int | Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, _, level, fell = carry
        log_f = jnp.linspace(low, high, points)
        power = log_power(log_f, *frozen)
        level = jnp.where(index == 0, power[0] - jnp.log(2.0), level)
        below = power < level
        first = jnp.clip(jnp.argmax(below), 1, points - 1)
        fell = jnp.where(index == 0, jnp.any(below), fell)
        low, high, above = log_f[first - 1], log_f[first], power[first - 1] - level
        return low, high, low + above / fall(power[first - 1], power[first]) * (high - low), level, fell

    def fall(before: Array, after: Array) -> Array:
        drop = jax.lax.stop_gradient(before - after)
        return jnp.where(drop > 0, drop, 1.0)

    nothing = jnp.zeros(())
    found = jax.lax.fori_loop(0, rounds, narrow, (start, stop, nothing, nothing, jnp.zeros((), bool)))
    low, high, middle, _, fell = jax.lax.stop_gradient(found)
    width = high - low
    steady, before, after = log_power(jnp.stack([start, middle - width / 2, middle + width / 2]), small, absorption)
    above = (before + after) / 2 - (steady - jnp.log(2.0))
    crossing = middle + above / fall(before, after) * width
    return jnp.where(fell, jnp.exp(crossing), highest_Hz)
