"""Carriers that hop from dot to dot, in the mean field of the dots around.

A carrier leaves its dot at the rate k if all neighbours are free and at its own energy, exp(-dE/kT) as fast for one
that is dE above (Miller and Abrahams 1960, DOI 10.1103/PhysRev.120.745), and not for one whose place is taken. The
neighbours are taken to be as full as one quasi-Fermi level makes them. Each dot exchanges carriers with them as it does
with the host; what dots give to their neighbours and do not get back flows on along the film, with the mobility
k a^2/6kT of a random walk between places a apart (Guyot-Sionnest 2012, DOI 10.1021/jz300048y). Exclusion, one energy or
several: in all cases forward over backward rate is the exponential of the difference of two quasi-Fermi levels.

Of a level is spoken as an activity: the density that the host's band would have if its quasi-Fermi level were that one.
Of r places in a dot each is full with a/(a + r n_1), n_1 being the dots' release density. Sizes are on a first axis, in
front of those of ends and edges, where there are several.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.transport import Hop, hop


class Hopping(eqx.Module):
    """Hops of all dots of a film."""

    electron_rate: Float[Array, "..."]
    """k, 1/s: out of a dot, all neighbours together."""
    hole_rate: Float[Array, "..."]
    spacing: Float[Array, "..."]
    """a, cm, from the middle of a dot to that of its neighbour."""


class Neighbours(NamedTuple):
    """What a dot of every size finds around it."""

    vacancy: Float[Array, "..."]
    """Of a carrier that hops away, over the rate k: 1 where all neighbours are free and none is above."""
    crowding: Float[Array, "..."]
    """d ln(vacancy)/d(level of the neighbours over kT)."""


class DotHop(NamedTuple):
    """Exchange of one kind of carrier between the dots at the two nodes of an edge (rates in cm^-2 s^-1)."""

    hop: Hop
    crowding: Float[Array, "2 edge"]
    """d ln(both one-way rates)/d(level at either end), besides that of the carriers which are there to hop."""

    @property
    def slopes(self) -> tuple[Array, Array, Array]:
        """Derivatives of the net flux by the levels of the left and the right dots and by their difference."""
        left, right, by_affinity = self.hop.slopes
        return left + (left + right) * self.crowding[0], right + (left + right) * self.crowding[1], by_affinity


def _vacancy(
    activity: Float[Array, "..."], release: Float[Array, "..."], shares: Float[Array, "size ..."] | None, places: int
) -> Float[Array, "..."]:
    if shares is None:
        return places * release / (activity + places * release)
    lower = jnp.minimum(release[:, None], release)
    return jnp.sum(shares * places * lower / (activity + places * release), axis=1)


def neighbours(
    activity: Float[Array, "..."], release: Float[Array, "..."], shares: Float[Array, "size ..."] | None, places: int
) -> Neighbours:
    """What dots of every size, with these `shares` of the number of dots, find around them; None: all are alike."""

    def log_vacancy(level: Array) -> Array:
        return jnp.log(_vacancy(activity * jnp.exp(level), release, shares, places))

    zero = jnp.zeros(jnp.shape(activity))
    found, crowding = jax.jvp(log_vacancy, (zero,), (jnp.ones_like(zero),))
    return Neighbours(jnp.exp(found), crowding)


def dot_hop(
    velocity: Float[Array, " edge"],
    density: Float[Array, "..."],
    log_activity: Float[Array, "2 edge"],
    affinity: Float[Array, " edge"],
    release: Float[Array, "..."],
    shares: Float[Array, "size ..."] | None,
    places: int,
) -> DotHop:
    """Hops along edges in a film with `density` dots (cm^-3).

    `velocity` is the diffusion constant of single carriers among free dots over the length of the edge, cm/s, and
    `affinity` the drop of the dots' electrochemical potential from left to right over kT. From dots with the level of
    one end to those with the level of the other there are density * activity * S hops in a time 1/k, with an S that is
    the same for both directions: hop rates between two dots obey detailed balance, whatever their sizes.
    """

    def log_exchange(left: Array, right: Array) -> Float[Array, " edge"]:
        activity = jnp.exp(log_activity)
        ready = places / (activity[0] * jnp.exp(left) + places * release)
        each = ready * _vacancy(activity[1] * jnp.exp(right), release, shares, places)
        weighted = each if shares is None else shares * each
        return jnp.log(jnp.sum(weighted, axis=tuple(range(weighted.ndim - 1))))

    zero, one = jnp.zeros_like(affinity), jnp.ones_like(affinity)
    common, by_left = jax.jvp(lambda at: log_exchange(at, zero), (zero,), (one,))
    by_right = jax.jvp(lambda at: log_exchange(zero, at), (zero,), (one,))[1]
    log_hopping = jnp.log(density) + log_activity + common
    return DotHop(hop(velocity, log_hopping[0], log_hopping[1], affinity), jnp.stack([by_left, by_right]))
