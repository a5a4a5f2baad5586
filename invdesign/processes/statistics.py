"""How many carriers a band holds when its quasi-Fermi level is at eta (over kT, from the band edge inwards).

Boltzmann: n = N exp(eta). Fermi-Dirac with a parabolic band: n = N F_1/2(eta), by the approximation of Bednarczyk and
Bednarczyk (1978, DOI 10.1016/0375-9601(78)90283-9), which is within 0.4 % everywhere and 2e-5 below eta = -10.

Rates keep detailed balance by the law of mass action in the activities N exp(eta): what takes a carrier is proportional
to n, and what brings one is slowed down by n/(N exp(eta)), the share of the states it finds free.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ITERATIONS = 40
"""Of Newton's iteration for a neutral level; ten are enough for a hundred carriers per state."""


class Degeneracy(NamedTuple):
    """How far carriers are from Boltzmann's statistics: electrons, then holes."""

    level: Float[Array, "2 ..."]
    """eta."""
    log_free: Float[Array, "2 ..."]
    """ln of n/(N exp(eta))."""
    slope: Float[Array, "2 ..."]
    """d ln n/d eta, 1 in Boltzmann's limit."""


def log_free(level: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln of F_1/2(eta)/exp(eta); 0 where there are few carriers."""
    argument = level**4 + 50 + 33.6 * level * (1 - 0.68 * jnp.exp(-0.17 * (level + 1) ** 2))
    log_xi = np.log(0.75 * np.sqrt(np.pi)) - 0.375 * jnp.log(argument)
    return -jnp.logaddexp(0.0, level + log_xi)


def degeneracy(level: Float[Array, "2 ..."]) -> Degeneracy:
    """Of electrons and holes whose levels are at eta."""
    free, slope = jax.jvp(log_free, (level,), (jnp.ones_like(level),))
    return Degeneracy(level, free, 1 + slope)


def neutral_level(
    log_nc: Float[Array, "..."],
    log_nv: Float[Array, "..."],
    gap: Float[Array, "..."],
    doping: Float[Array, "..."],
    guess: Float[Array, "..."],
) -> Float[Array, "..."]:
    """eta of electrons where n - p = doping (cm^-3) at equilibrium.

    Densities of states as ln of cm^-3, `gap` over kT.
    """

    def log_or_nothing(density: Array) -> Array:
        return jnp.where(density > 0, jnp.log(jnp.where(density > 0, density, 1.0)), -jnp.inf)

    log_donors, log_acceptors = log_or_nothing(doping), log_or_nothing(-doping)

    def excess(level: Array) -> Array:
        # of n + acceptors over p + donors, by logarithms: in the cold all of them may be too small for numbers
        log_n = log_nc + level + log_free(level)
        log_p = log_nv - gap - level + log_free(-gap - level)
        return jnp.logaddexp(log_n, log_acceptors) - jnp.logaddexp(log_p, log_donors)

    def newton(function: Callable, start: Array) -> Array:
        def improve(_: Int[Array, ""], level: Array) -> Array:
            value, slope = jax.jvp(function, (level,), (jnp.ones_like(level),))
            return level - value / slope

        return jax.lax.fori_loop(0, ITERATIONS, improve, start)

    def invert(slope: Callable, value: Array) -> Array:
        return value / slope(jnp.ones_like(value))

    return jax.lax.custom_root(excess, jax.lax.stop_gradient(guess), newton, invert)
