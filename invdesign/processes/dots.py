"""Quantum dots in a host: a machine of four states (empty 0, one electron e, one hole h, exciton X) and its jumps.

Every dot of density N exchanges electrons with the host on 0<->e and h<->X, holes on 0<->h and e<->X, and recombines on
X<->0, where the backward rate carries thermal generation and optical excitation. All rates of one dot are in 1/s.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.field_emission import BarrierEscape
from invdesign.processes.site import Site

EMPTY, ELECTRON, HOLE, EXCITON = range(4)

Escape = tuple[Float[Array, "..."], Float[Array, "..."]]
"""Enhancement of the exchange of electrons and of holes by the field."""


class DotRates(NamedTuple):
    """First-order rates of one dot, 1/s."""

    capture_n: Float[Array, "..."]
    emission_n: Float[Array, "..."]
    capture_p: Float[Array, "..."]
    emission_p: Float[Array, "..."]
    recombination: Float[Array, "..."]
    thermal_generation: Float[Array, "..."]
    excitation: Float[Array, "..."]

    @property
    def of_jumps(self) -> tuple[tuple[Array, Array], ...]:
        """Forward and backward rate of every jump in `JUMPS`, per dot in the state that it leaves."""
        electrons, holes = (self.capture_n, self.emission_n), (self.capture_p, self.emission_p)
        pairs = (self.recombination, self.thermal_generation + self.excitation)
        return electrons, electrons, holes, holes, pairs


class Jump(NamedTuple):
    """One jump process: what it adds to (n, p, dot states) per forward step, and its states before and after."""

    name: str
    electrons: int
    holes: int
    origin: int
    target: int


JUMPS: tuple[Jump, ...] = (
    Jump("electron exchange with dots", -1, 0, EMPTY, ELECTRON),
    Jump("electron exchange with dots", -1, 0, HOLE, EXCITON),
    Jump("hole exchange with dots", 0, -1, EMPTY, HOLE),
    Jump("hole exchange with dots", 0, -1, ELECTRON, EXCITON),
    Jump("dot recombination", 0, 0, EXCITON, EMPTY),
)

FILLED = (ELECTRON, HOLE, EXCITON)
"""The states that are unknowns; the empty state follows from the sum."""

HOST_STOICHIOMETRY = tuple((jump.electrons, jump.holes) for jump in JUMPS)
"""What each jump adds to (n, p) per forward step."""
DOT_STOICHIOMETRY = tuple(tuple((jump.target == state) - (jump.origin == state) for state in FILLED) for jump in JUMPS)
"""What it adds to the states `FILLED`."""


def sum_over_jumps(stoichiometry: Sequence[Sequence[int]], per_jump: Sequence[Array]) -> list[Array]:
    """What all jumps together add to each column of their stoichiometry."""
    return [
        sum((factor * of_jump for factor, of_jump in zip(column, per_jump, strict=True) if factor), jnp.zeros(()))
        for column in zip(*stoichiometry, strict=True)
    ]


class DotEnsemble(eqx.Module):
    """Identical dots in a host."""

    density: Float[Array, "..."]
    """N, cm^-3."""
    capture_coefficient: Float[Array, "..."]
    """c = 1/(N tau_c), cm^3/s, the same for electrons and holes."""
    electron_release: Float[Array, "..."]
    """n_1 = N_c exp(-phi_e/kT)/g_e, cm^-3: thermal emission over capture coefficient."""
    hole_release: Float[Array, "..."]
    recombination: Float[Array, "..."]
    """1/tau of the exciton, 1/s."""
    thermal_ratio: Float[Array, "..."]
    """g_e g_h exp(-E_x/kT): thermal generation over recombination."""
    electron_escape: BarrierEscape
    hole_escape: BarrierEscape

    def escape(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Escape:
        """Enhancement of the exchange of electrons and holes by the field (V/cm); the same at both ends of an edge."""
        return self.electron_escape.enhancement(field, kT), self.hole_escape.enhancement(field, kT)

    def rates(self, site: Site, escape: Escape, excitation: Float[Array, "..."]) -> DotRates:
        """Rates at a site; `excitation` is the optical excitation rate of an empty dot, 1/s.

        The field's enhancement multiplies capture and emission alike (its local form), which keeps detailed balance.
        """
        cn, cp = (self.capture_coefficient * enhancement for enhancement in escape)
        return DotRates(
            cn * site.n,
            cn * self.electron_release,
            cp * site.p,
            cp * self.hole_release,
            self.recombination,
            self.recombination * self.thermal_ratio,
            excitation,
        )

    def one_way(self, rates: DotRates, populations: Float[Array, "4 ..."]) -> Float[Array, "2 jump ..."]:
        """Forward and backward rates of `JUMPS`, cm^-3 s^-1."""
        pairs = list(zip(JUMPS, rates.of_jumps, strict=True))
        forward = jnp.stack([rate * populations[jump.origin] for jump, (rate, _) in pairs])
        backward = jnp.stack([rate * populations[jump.target] for jump, (_, rate) in pairs])
        return self.density * jnp.stack([forward, backward])

    def slopes(
        self, rates: DotRates, populations: Float[Array, "4 ..."], steepness: Escape
    ) -> tuple[list[Float[Array, "3 ..."]], list[Float[Array, "3 ..."]]]:
        """Derivatives of the net rate of every jump by (ln n, ln p, field) and by the populations `FILLED`, cm^-3 s^-1.

        Mass action: a forward rate is proportional to the carrier it takes. `steepness` is d ln(enhancement)/d field
        of electrons and holes. A population grows at the cost of the empty state.
        """
        by_local, by_state = [], []
        for jump, (forward, backward) in zip(JUMPS, rates.of_jumps, strict=True):
            taken = self.density * forward * populations[jump.origin]
            net = taken - self.density * backward * populations[jump.target]
            steep = -jump.electrons * steepness[0] - jump.holes * steepness[1]
            by_local.append(jnp.stack([-jump.electrons * taken, -jump.holes * taken, steep * net]))
            lost_empty = (jump.origin == EMPTY) * forward - (jump.target == EMPTY) * backward
            gains = [(jump.origin == state) * forward - (jump.target == state) * backward for state in FILLED]
            by_state.append(self.density * jnp.stack(jnp.broadcast_arrays(*(gain - lost_empty for gain in gains))))
        return by_local, by_state

    def stationary(self, site: Site, rates: DotRates) -> tuple[Float[Array, "4 ..."], Float[Array, "..."]]:
        """Stationary populations and the net recombination rate through the dots (cm^-3 s^-1), without subtractions.

        The populations are ratios of sums over rooted spanning trees (matrix-tree theorem), each a sum of positive
        products.
        The net rate is the sum over the two cycles through X -> 0, (forward - backward product) times the trees that
        hang on
        the cycle, and the difference of products is written with expm1 of the affinity: near equilibrium
        c n P - e P would lose all digits.
        """
        # products of rates overflow in strong fields; the result is homogeneous in them, so that a frozen unit is exact
        unit = jax.lax.stop_gradient(sum(rates))
        a, en, b, ep, k, g0, light = (rate / unit for rate in rates)
        g = g0 + light
        # rooted spanning trees of the graph 0-e, 0-h, e-X, h-X, X-0
        e_out, h_out = en + b, ep + a  # ways out of e and of h
        tree_0 = k * e_out * h_out + en * ep * (e_out + h_out)
        tree_x = g * e_out * h_out + a * b * (e_out + h_out)
        tree_e = h_out * (a * (k + ep) + g * ep) + a * ep * e_out
        tree_h = e_out * (b * (k + en) + g * en) + b * en * h_out
        total = tree_0 + tree_e + tree_h + tree_x
        populations = jnp.stack([tree_0, tree_e, tree_h, tree_x]) / total
        drive = en * ep * (g0 * jnp.expm1(site.affinity) - light)
        return populations, self.density * unit * drive * (e_out + h_out) / total
