"""Stationary state of a machine of a few states, by elimination of states, without subtractions.

Leaving out a state s turns every way i -> s -> j into a jump of rate q_is q_sj / (sum of all rates out of s), and the
populations of the others stay (Grassmann, Taksar and Heyman 1985, DOI 10.1287/opre.33.5.1107): sums of positive
products, so that a population of 1e-30 keeps its digits. Here jumps also remember how many pairs have recombined, and
how many photons have been absorbed, on their way. Ways that lead back to where they began are cycles of the machine.
A cycle without photons and its reverse differ by the exponential of its affinity alone, the same for every pair
whatever recombines it, so that their difference needs no subtraction either; a cycle with photons has no reverse.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Events = tuple[int, int]
"""Pairs that recombine on a way (thermal generation counts as -1), and photons absorbed on it."""


class Jump(NamedTuple):
    """One jump process: what it adds to the host per forward step, and the states of the dot before and after."""

    name: str
    host: tuple[int, int, int, int]
    """Electrons and holes here, electrons and holes where they land."""
    origin: int
    target: int
    pairs: int = 0
    """Pairs that recombine per forward step."""
    factors: tuple[float, float] = (1, 1)
    """Of the forward and the backward rate, over those that all jumps of this name have in common."""
    binding: int = 0
    """Binding energies that the dot gains per forward step."""


class Cycles(NamedTuple):
    """What a machine completes, 1/s."""

    thermal: dict[int, Float[Array, "..."]]
    """Cycles in which so many pairs are generated and no photon is absorbed."""
    lit: Float[Array, "..."]
    """Pairs that leave the machine in cycles that absorb photons: photons less the pairs that recombine."""

    def recombination(self, affinity: Float[Array, "..."]) -> Float[Array, "..."]:
        """Net recombination, 1/s, where the carriers that the machine takes have this affinity (per pair)."""
        each = [pairs * rate * jnp.expm1(pairs * affinity) for pairs, rate in self.thermal.items()]
        return sum(each, jnp.zeros(())) - self.lit


def completed_cycles(
    jumps: Sequence[Jump],
    rates: Sequence[tuple[Float[Array, "..."], Float[Array, "..."]]],
    light: Sequence[Float[Array, "..."] | None],
) -> tuple[Float[Array, "state ..."], Cycles]:
    """Stationary populations, and the cycles of one machine.

    `rates` are the forward and the thermal backward rate of each jump, `light` is that at which photons do the same as
    its backward step, 1/s. Every state must lead to state 0.
    """
    # products of rates overflow in strong fields; the result is homogeneous in them, so that a frozen unit is exact
    every = [rate for pair in rates for rate in pair] + [rate for rate in light if rate is not None]
    unit = jax.lax.stop_gradient(sum(every, jnp.zeros(())))
    ways: dict[tuple[int, int], dict[Events, Array]] = {}
    loops: dict[int, dict[Events, Array]] = {}

    def add(to: dict[Events, Array], events: Events, rate: Array) -> None:
        to[events] = to[events] + rate if events in to else rate

    def total(classes: dict[Events, Array]) -> Array:
        return sum(classes.values(), jnp.zeros(()))

    def effort(state: int) -> int:
        """Products that leaving out a state takes."""
        into, out = ([len(classes) for way, classes in ways.items() if way[end] == state] for end in (1, 0))
        return sum(into) * sum(out)

    for jump, (forward, backward), photons in zip(jumps, rates, light, strict=True):
        start, end = jump.origin, jump.target
        add(ways.setdefault((start, end), {}), (jump.pairs, 0), forward / unit)
        add(ways.setdefault((end, start), {}), (-jump.pairs, 0), backward / unit)
        if photons is not None:
            add(ways.setdefault((end, start), {}), (0, 1), photons / unit)
    states = 1 + max(max(way) for way in ways)
    left, fed = set(range(states)), []
    while len(left) > 1:
        gone = min(sorted(left - {0}), key=effort)
        left.remove(gone)
        into = {way[0]: ways.pop(way) for way in list(ways) if way[1] == gone}
        out = {way[1]: ways.pop(way) for way in list(ways) if way[0] == gone}
        inverse = 1 / sum((total(classes) for classes in out.values()), jnp.zeros(()))
        entered = {start: total(classes) * inverse for start, classes in into.items()}
        fed.append((gone, entered))
        for start, arriving in into.items():
            for events, rate in loops.get(gone, {}).items():
                add(loops.setdefault(start, {}), events, entered[start] * rate)
            for end, leaving in out.items():
                for (a, b), first in arriving.items():
                    for (c, d), second in leaving.items():
                        pairs, photons = events = (a + c, b + d)
                        if start != end:
                            add(ways.setdefault((start, end), {}), events, first * second * inverse)
                        elif pairs < 0 or (photons and pairs != photons):
                            # cycles that recombine pairs in the dark are known from their reverse
                            add(loops.setdefault(start, {}), events, first * second * inverse)
    populations = {0: jnp.ones_like(unit)}
    for state, entered in reversed(fed):
        populations[state] = sum((populations[start] * rate for start, rate in entered.items()), jnp.zeros(()))
    everything = total({(state, 0): size for state, size in populations.items()})
    cycles = {events: rate * unit / everything for events, rate in loops.get(0, {}).items()}
    lit = [(photons - pairs) * rate for (pairs, photons), rate in cycles.items() if photons]
    thermal = {-pairs: rate for (pairs, photons), rate in cycles.items() if not photons}
    found = jnp.stack([populations[state] / everything for state in range(states)])
    return found, Cycles(thermal, sum(lit, jnp.zeros(())))
