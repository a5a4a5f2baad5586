"""Photo-response from the adjoint solution: one solve gives the response to every wavelength.

No difference of a light and a dark current is taken: the transfers of a small-signal solution are contracted with the
photons absorbed in every half edge, in the dots (an exciton each, if the dot is empty) and in the host (a pair each).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.analyses.illumination import Absorption
from invdesign.analyses.small_signal import SmallSignal, Transfer
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.processes.dots import EMPTY, EXCITON
from invdesign.solve.assembly import populations


def quantum_efficiency(
    small: SmallSignal, transfer: Transfer, absorption: Absorption
) -> Complex[Array, " wavelength"]:
    """Electrons in the circuit per incident photon, with phase; positive where light drives the reverse current."""
    system, state = small.system, small.state
    pairs = transfer.node[:, 1] + transfer.node[:, 2]
    by_pair = jnp.stack([pairs[:-1], pairs[1:]], axis=1)
    empty = populations(system, state.u, state.v, small.light)[..., EMPTY]
    by_exciton = transfer.dots[..., EXCITON - 1] * empty
    total = jnp.einsum("eh,ehw->w", by_pair, absorption.host) + jnp.einsum("eh,ehw->w", by_exciton, absorption.dots)
    return -total / (ELEMENTARY_CHARGE_C * system.area_cm2)


class Bandwidth(eqx.Module):
    """Where the photo-response has fallen by 3 dB in power."""

    frequency_Hz: Float[Array, ""]
    relative: Float[Array, " frequency"]
    """|response| over its low-frequency value on the scan."""
    scan_Hz: Float[Array, " frequency"]


def bandwidth(
    small: SmallSignal,
    absorption: Absorption,
    load_ohm: Float[Array, ""] | float = 50.0,
    lowest_Hz: float = 1.0,
    highest_Hz: float = 1e10,
    points: int = 41,
) -> Bandwidth:
    """First frequency at which |response|^2 is half its value at `lowest_Hz`, for the first wavelength of `absorption`.

    A scan brackets the crossing, bisection refines it (both undifferentiated), and one Newton step carries the derivative. Where
    the response never falls that far, the highest frequency is returned.
    """

    def power(small: SmallSignal, absorption: Absorption, log_f: Array) -> Array:
        response = quantum_efficiency(small, small.transfer(jnp.exp(log_f), load_ohm), absorption)[0]
        return jnp.log(jnp.real(response) ** 2 + jnp.imag(response) ** 2)

    frozen = jax.lax.stop_gradient((small, absorption))
    log_f = jnp.linspace(jnp.log(lowest_Hz), jnp.log(highest_Hz), points)
    scan = jax.lax.map(lambda x: power(*frozen, x), log_f)
    level = scan[0] - jnp.log(2.0)
    below = scan < level
    first = jnp.where(jnp.any(below), jnp.argmax(below), points - 1)

    def bisect(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = power(*frozen, middle) > level
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.fori_loop(0, 12, bisect, (log_f[jnp.maximum(first - 1, 0)], log_f[first]))
    guess = (low + high) / 2
    slope = jax.jvp(lambda x: power(*frozen, x), (guess,), (jnp.ones(()),))[1]
    drop = power(small, absorption, guess) - power(small, absorption, log_f[0]) + jnp.log(2.0)
    crossing = jnp.where(jnp.any(below), guess - drop / jnp.where(slope < 0, slope, -1.0), log_f[-1])
    return Bandwidth(jnp.exp(crossing), jnp.exp((scan - scan[0]) / 2), jnp.exp(log_f))
