"""Stationary state of a machine of a few states, by elimination of states, without subtractions.

Leaving out a state s turns every way i -> s -> j into a jump of rate q_is q_sj / (sum of all rates out of s), and the
populations of the others stay (Grassmann, Taksar and Heyman 1985, DOI 10.1287/opre.33.5.1107): sums of positive
products, so that a population of 1e-30 keeps its digits. Here jumps also remember how many pairs have recombined on
their way. Ways that lead back to where they began, with a pair more or less, are cycles of the machine; a cycle and its
reverse differ by the exponential of its affinity alone, so that their difference needs no subtraction either.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pairs = tuple[int, int]
"""Pairs that recombine on a way, by two channels."""


class Jump(NamedTuple):
    """One jump process: what it adds to the host per forward step, and the states of the dot before and after."""

    name: str
    host: tuple[int, int, int, int]
    """Electrons and holes here, electrons and holes where they land."""
    origin: int
    target: int
    pairs: Pairs = (0, 0)
    """Pairs that recombine per forward step: in the levels of the dot, which light can undo, and through its trap."""


def completed_cycles(
    jumps: Sequence[Jump], rates: Sequence[tuple[Float[Array, "..."], Float[Array, "..."]]]
) -> tuple[Float[Array, "state ..."], dict[Pairs, Float[Array, "..."]]]:
    """Stationary populations, and how often one machine completes the reverse of cycles that recombine `Pairs`, 1/s.

    `rates` are the forward and the backward rate of each jump, 1/s. Every state must lead to state 0. The net
    recombination is the sum over cycles of sum(pairs) * rate * expm1(affinity of the cycle).
    """
    # products of rates overflow in strong fields; the result is homogeneous in them, so that a frozen unit is exact
    unit = jax.lax.stop_gradient(sum((rate for pair in rates for rate in pair), jnp.zeros(())))
    ways: dict[tuple[int, int], dict[Pairs, Array]] = {}
    loops: dict[int, dict[Pairs, Array]] = {}

    def add(to: dict[Pairs, Array], pairs: Pairs, rate: Array) -> None:
        to[pairs] = to[pairs] + rate if pairs in to else rate

    def total(classes: dict[Pairs, Array]) -> Array:
        return sum(classes.values(), jnp.zeros(()))

    for jump, (forward, backward) in zip(jumps, rates, strict=True):
        (direct, trapped), start, end = jump.pairs, jump.origin, jump.target
        add(ways.setdefault((start, end), {}), jump.pairs, forward / unit)
        add(ways.setdefault((end, start), {}), (-direct, -trapped), backward / unit)
    states = 1 + max(max(way) for way in ways)
    left, fed = set(range(states)), []
    while len(left) > 1:
        gone = min(left - {0}, key=lambda state: sum(state in way for way in ways))
        left.remove(gone)
        into = {way[0]: ways.pop(way) for way in list(ways) if way[1] == gone}
        out = {way[1]: ways.pop(way) for way in list(ways) if way[0] == gone}
        inverse = 1 / sum((total(classes) for classes in out.values()), jnp.zeros(()))
        entered = {start: total(classes) * inverse for start, classes in into.items()}
        fed.append((gone, entered))
        for start, arriving in into.items():
            for pairs, rate in loops.get(gone, {}).items():
                add(loops.setdefault(start, {}), pairs, entered[start] * rate)
            for end, leaving in out.items():
                for (a, b), first in arriving.items():
                    for (c, d), second in leaving.items():
                        pairs = (a + c, b + d)
                        if start != end:
                            add(ways.setdefault((start, end), {}), pairs, first * second * inverse)
                        elif sum(pairs) < 0:
                            add(loops.setdefault(start, {}), pairs, first * second * inverse)
    populations = {0: jnp.ones_like(unit)}
    for state, entered in reversed(fed):
        populations[state] = sum((populations[start] * rate for start, rate in entered.items()), jnp.zeros(()))
    everything = total({(state, 0): size for state, size in populations.items()})
    cycles = {(-a, -b): rate * unit / everything for (a, b), rate in loops.get(0, {}).items()}
    return jnp.stack([populations[state] / everything for state in range(states)]), cycles
