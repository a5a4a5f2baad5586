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

Escape = tuple[Float[Array, "..."], ...]
"""Enhancement, over the rate without field, of the exchange of electrons and of holes with the host here; where dots
reach beyond that, of the exchange with the host where carriers land, too."""


class Landing(NamedTuple):
    """The host at the places where electrons and holes land that tunnel from dots, as seen from the dots."""

    electrons: Float[Array, "..."]
    """ln of the density that electrons would have here with the quasi-Fermi level there, over that here."""
    holes: Float[Array, "..."]


class Exchange(NamedTuple):
    """Rates of one dot with one part of the host, 1/s."""

    capture_n: Float[Array, "..."]
    emission_n: Float[Array, "..."]
    capture_p: Float[Array, "..."]
    emission_p: Float[Array, "..."]


class DotRates(NamedTuple):
    """First-order rates of one dot, 1/s."""

    here: Exchange
    """With the host where the dot is."""
    far: Exchange | None
    """With the host where tunnelling carriers land; None where tunnelling is counted as local."""
    recombination: Float[Array, "..."]
    thermal_generation: Float[Array, "..."]
    excitation: Float[Array, "..."]

    @property
    def total(self) -> Exchange:
        """With all of the host."""
        return self.here if self.far is None else Exchange(*map(jnp.add, self.here, self.far))

    @property
    def of_jumps(self) -> tuple[tuple[Array, Array], ...]:
        """Forward and backward rate of every jump, per dot in the state that it leaves, in the order of `jumps`."""
        rates = []
        for part in (self.here, self.far):
            if part is not None:
                electrons, holes = (part.capture_n, part.emission_n), (part.capture_p, part.emission_p)
                rates += [electrons, electrons, holes, holes]
        return (*rates, (self.recombination, self.thermal_generation + self.excitation))


class Jump(NamedTuple):
    """One jump process: what it adds to the host per forward step, and the states of the dot before and after."""

    name: str
    host: tuple[int, int, int, int]
    """Electrons and holes here, electrons and holes where they land."""
    origin: int
    target: int


_Host = tuple[int, int, int, int]


def _exchange(names: tuple[str, str], electrons: _Host, holes: _Host) -> tuple[Jump, ...]:
    return (
        Jump(names[0], electrons, EMPTY, ELECTRON),
        Jump(names[0], electrons, HOLE, EXCITON),
        Jump(names[1], holes, EMPTY, HOLE),
        Jump(names[1], holes, ELECTRON, EXCITON),
    )


_HERE = _exchange(("electron exchange with dots", "hole exchange with dots"), (-1, 0, 0, 0), (0, -1, 0, 0))
_FAR = _exchange(("electron tunnelling with dots", "hole tunnelling with dots"), (0, 0, -1, 0), (0, 0, 0, -1))
_PAIRS = (Jump("dot recombination", (0, 0, 0, 0), EXCITON, EMPTY),)

FILLED = (ELECTRON, HOLE, EXCITON)
"""The states that are unknowns; the empty state follows from the sum."""


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
    nonlocal_: bool = eqx.field(static=True, default=False)
    """Whether tunnelling carriers land where the barrier ends, and not where the dot is."""

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """All jumps of the dots, tunnelling apart or not."""
        return _HERE + _FAR + _PAIRS if self.nonlocal_ else _HERE + _PAIRS

    @property
    def host_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds per forward step to (n, p) here and, with tunnelling apart, where carriers land."""
        return tuple(jump.host if self.nonlocal_ else jump.host[:2] for jump in self.jumps)

    @property
    def dot_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds to the states `FILLED`."""
        return tuple(tuple((jump.target == state) - (jump.origin == state) for state in FILLED) for jump in self.jumps)

    def escape(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Escape:
        """Enhancement of the exchanges with the host by the field (V/cm); the same at both ends of an edge."""
        both = self.electron_escape, self.hole_escape
        if not self.nonlocal_:
            return tuple(one.enhancement(field, kT) for one in both)
        over = tuple(one.thermionic(field, kT) for one in both)
        return over + tuple(one.tunnelling(field, kT) for one in both)

    def rates(
        self, site: Site, escape: Escape, excitation: Float[Array, "..."], landing: Landing | None = None
    ) -> DotRates:
        """Rates at a site; `excitation` is the optical excitation rate of an empty dot, 1/s.

        An enhancement by the field multiplies capture and emission alike, which keeps detailed balance; what is
        captured from the place where tunnelling carriers land has the quasi-Fermi level there.
        """

        def exchange(n: Array, p: Array, by_n: Array, by_p: Array) -> Exchange:
            cn, cp = self.capture_coefficient * by_n, self.capture_coefficient * by_p
            return Exchange(cn * n, cn * self.electron_release, cp * p, cp * self.hole_release)

        far = None
        if self.nonlocal_ and landing is not None:
            far = exchange(site.n * jnp.exp(landing.electrons), site.p * jnp.exp(landing.holes), *escape[2:])
        here = exchange(site.n, site.p, *escape[:2])
        return DotRates(here, far, self.recombination, self.recombination * self.thermal_ratio, excitation)

    def one_way(self, rates: DotRates, populations: Float[Array, "4 ..."]) -> Float[Array, "2 jump ..."]:
        """Forward and backward rates of all jumps, cm^-3 s^-1."""
        pairs = list(zip(self.jumps, rates.of_jumps, strict=True))
        forward = jnp.stack([rate * populations[jump.origin] for jump, (rate, _) in pairs])
        backward = jnp.stack([rate * populations[jump.target] for jump, (_, rate) in pairs])
        return self.density * jnp.stack([forward, backward])

    def slopes(
        self, rates: DotRates, populations: Float[Array, "4 ..."], steepness: Escape
    ) -> tuple[list[Float[Array, "local ..."]], list[Float[Array, "3 ..."]]]:
        """Derivatives of the net rate of every jump by local variables and by the populations `FILLED`, cm^-3 s^-1.

        Local variables are ln n, ln p, the field and, with tunnelling apart, ln n and ln p as seen where carriers
        land. Mass action: a forward rate is proportional to the carrier it takes. `steepness` is d ln(enhancement)/d
        field of each exchange with the host. A population grows at the cost of the empty state.
        """
        by_local, by_state = [], []
        for jump, taken_from, (forward, backward) in zip(
            self.jumps, self.host_stoichiometry, rates.of_jumps, strict=True
        ):
            taken = self.density * forward * populations[jump.origin]
            net = taken - self.density * backward * populations[jump.target]
            steep = sum((-factor * of for factor, of in zip(taken_from, steepness, strict=True)), jnp.zeros(()))
            by_host = [-factor * taken for factor in taken_from]
            by_local.append(jnp.stack([*by_host[:2], steep * net, *by_host[2:]]))
            lost_empty = (jump.origin == EMPTY) * forward - (jump.target == EMPTY) * backward
            gains = [(jump.origin == state) * forward - (jump.target == state) * backward for state in FILLED]
            by_state.append(self.density * jnp.stack(jnp.broadcast_arrays(*(gain - lost_empty for gain in gains))))
        return by_local, by_state

    def stationary(
        self, site: Site, rates: DotRates, landing: Landing | None = None
    ) -> tuple[Float[Array, "4 ..."], Float[Array, "..."], Float[Array, "2 ..."] | None]:
        """Stationary populations, the net recombination rate through the dots (cm^-3 s^-1), without subtractions.

        Also the part of it that electrons, and that holes, come to from where tunnelling ones land.

        The populations are ratios of sums over rooted spanning trees (matrix-tree theorem), each a sum of positive
        products.
        The net rate is the sum over the two cycles through X -> 0, (forward - backward product) times the trees that
        hang on
        the cycle, and the difference of products is written with expm1 of the affinity: near equilibrium
        c n P - e P would lose all digits.
        """
        # products of rates overflow in strong fields; the result is homogeneous in them, so that a frozen unit is exact
        of_host = rates.total
        all_rates = (*of_host, rates.recombination, rates.thermal_generation, rates.excitation)
        unit = jax.lax.stop_gradient(sum(all_rates))
        a, en, b, ep, k, g0, light = (rate / unit for rate in all_rates)
        g = g0 + light
        # rooted spanning trees of the graph 0-e, 0-h, e-X, h-X, X-0
        e_out, h_out = en + b, ep + a  # ways out of e and of h
        tree_0 = k * e_out * h_out + en * ep * (e_out + h_out)
        tree_x = g * e_out * h_out + a * b * (e_out + h_out)
        tree_e = h_out * (a * (k + ep) + g * ep) + a * ep * e_out
        tree_h = e_out * (b * (k + en) + g * en) + b * en * h_out
        total = tree_0 + tree_e + tree_h + tree_x
        populations = jnp.stack([tree_0, tree_e, tree_h, tree_x]) / total

        def net(affinity: Array) -> Array:
            drive = en * ep * (g0 * jnp.expm1(affinity) - light)
            return self.density * unit * drive * (e_out + h_out) / total

        if rates.far is None or landing is None:
            return populations, net(site.affinity), None
        # the dot sees a mixture of the host here and there
        shares = rates.far.emission_n / of_host.emission_n, rates.far.emission_p / of_host.emission_p
        apart = tuple(jnp.expm1(level) for level in landing)
        mixed = site.affinity + sum(jnp.log1p(share * by) for share, by in zip(shares, apart, strict=True))
        rate = net(mixed)
        # what is lost there: its share, and what flows through the dots from there to here
        waiting = populations[EMPTY] + populations[HOLE], populations[EMPTY] + populations[ELECTRON]
        captures = rates.here.capture_n, rates.here.capture_p
        through = [self.density * c * free * by for c, free, by in zip(captures, waiting, apart, strict=True)]
        far = jnp.stack([share * (rate + more) for share, more in zip(shares, through, strict=True)])
        return populations, rate, far
