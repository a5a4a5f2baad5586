"""Quantum dots in a host: a machine of four states (empty 0, one electron e, one hole h, exciton X) and its jumps.

Every dot of density N exchanges electrons with the host on 0<->e and h<->X, holes on 0<->h and e<->X, and recombines on
X<->0, where the backward rate carries thermal generation and optical excitation. All rates of one dot are in 1/s.

A dot with a trap is a machine of eight states, these four with the trap empty and again with it full. The trap takes
an electron from the dot (e -> 0 and X -> h, the trap fills) or a hole (h -> 0 and X -> e, it empties); its reverse
jumps emit into the dot's own levels, and neither touches the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.field_emission import BarrierEscape
from invdesign.processes.machine import Jump, completed_cycles
from invdesign.processes.site import Site
from invdesign.processes.statistics import Degeneracy

EMPTY, ELECTRON, HOLE, EXCITON = range(4)
FULL_TRAP = 4
"""Added to the state of a dot whose trap is full."""
CARRIER_CHARGES = (0, -1, 1, 0)
"""Of a dot's own carriers, in its four states."""

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


class Traps(eqx.Module):
    """The trap of a dot: rates of one dot, 1/s."""

    electron_capture: Float[Array, "..."]
    """From the dot's electron level, where the trap is empty."""
    electron_release: Float[Array, "..."]
    """Back into it, where the trap is full and the level free."""
    hole_capture: Float[Array, "..."]
    """From the dot's hole level, where the trap is full."""
    hole_release: Float[Array, "..."]
    empty_charge: Float[Array, "..."]
    """Of a dot whose trap is empty: 1 of a donor, 0 of an acceptor; one less when it is full."""

    @property
    def idle(self) -> "Traps":
        """Of dots without a trap: that of an acceptor so high above their levels that it never fills."""
        none = jnp.zeros_like(self.electron_capture)
        return Traps(none, self.electron_capture, self.hole_capture, none, none)


class DotRates(NamedTuple):
    """First-order rates of one dot, 1/s."""

    here: Exchange
    """With the host where the dot is."""
    far: Exchange | None
    """With the host where tunnelling carriers land; None where tunnelling is counted as local."""
    recombination: Float[Array, "..."]
    thermal_generation: Float[Array, "..."]
    excitation: Float[Array, "..."]
    traps: Traps | None = None

    @property
    def total(self) -> Exchange:
        """With all of the host."""
        return self.here if self.far is None else Exchange(*map(jnp.add, self.here, self.far))

    @property
    def of_jumps(self) -> tuple[tuple[Array, Array], ...]:
        """Forward and backward rate of every jump, per dot in the state that it leaves, in the order of `jumps`."""
        rates, twice = [], 1 if self.traps is None else 2
        for part in (self.here, self.far):
            if part is not None:
                electrons, holes = (part.capture_n, part.emission_n), (part.capture_p, part.emission_p)
                rates += [electrons, electrons, holes, holes] * twice
        rates += [(self.recombination, self.thermal_generation + self.excitation)] * twice
        if self.traps is not None:
            rates += [(self.traps.electron_capture, self.traps.electron_release)] * 2
            rates += [(self.traps.hole_capture, self.traps.hole_release)] * 2
        return tuple(rates)


_Host = tuple[int, int, int, int]
_NOWHERE = (0, 0, 0, 0)


def _exchange(names: tuple[str, str], electrons: _Host, holes: _Host, traps: Sequence[int]) -> list[Jump]:
    return [
        Jump(name, host, trap + origin, trap + target)
        for trap in traps
        for name, host, origin, target in (
            (names[0], electrons, EMPTY, ELECTRON),
            (names[0], electrons, HOLE, EXCITON),
            (names[1], holes, EMPTY, HOLE),
            (names[1], holes, ELECTRON, EXCITON),
        )
    ]


def list_jumps(far: bool, trapped: bool) -> tuple[Jump, ...]:
    """All jumps of dots, with tunnelling `far` away apart from other exchange or not, with a trap or without."""
    traps = (0, FULL_TRAP) if trapped else (0,)
    jumps = _exchange(("electron exchange with dots", "hole exchange with dots"), (-1, 0, 0, 0), (0, -1, 0, 0), traps)
    if far:
        names = "electron tunnelling with dots", "hole tunnelling with dots"
        jumps += _exchange(names, (0, 0, -1, 0), (0, 0, 0, -1), traps)
    jumps += [Jump("dot recombination", _NOWHERE, trap + EXCITON, trap + EMPTY, (1, 0)) for trap in traps]
    if trapped:
        electrons, holes = ((ELECTRON, EMPTY), (EXCITON, HOLE)), ((HOLE, EMPTY), (EXCITON, ELECTRON))
        jumps += [Jump("electron trapping in dots", _NOWHERE, start, FULL_TRAP + end) for start, end in electrons]
        jumps += [Jump("hole trapping in dots", _NOWHERE, FULL_TRAP + start, end, (0, 1)) for start, end in holes]
    return tuple(jumps)


def by_carriers(populations: Float[Array, "state ..."]) -> Float[Array, "4 ..."]:
    """Populations of the states empty, e, h and X, whatever the trap."""
    return sum((populations[trap : trap + FULL_TRAP] for trap in range(0, len(populations), FULL_TRAP)), jnp.zeros(()))


def excited(states: int) -> list[tuple[int, int]]:
    """States between which light lifts a dot: before, after."""
    return [(trap + EMPTY, trap + EXCITON) for trap in range(0, states, FULL_TRAP)]


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
    traps: Traps | None = None
    nonlocal_: bool = eqx.field(static=True, default=False)
    """Whether tunnelling carriers land where the barrier ends, and not where the dot is."""

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """All jumps of the dots, tunnelling apart or not."""
        return list_jumps(self.nonlocal_, self.traps is not None)

    @property
    def states(self) -> int:
        """Of one dot: 4, or 8 with a trap."""
        return FULL_TRAP if self.traps is None else 2 * FULL_TRAP

    @property
    def filled(self) -> range:
        """The states that are unknowns; the population of the empty one follows from the sum."""
        return range(1, self.states)

    @property
    def charges(self) -> tuple[int, ...]:
        """Of a dot in each state against the empty one, elementary charges."""
        full = () if self.traps is None else tuple(charge - 1 for charge in CARRIER_CHARGES)
        return CARRIER_CHARGES + full

    def charge(self, populations: Float[Array, "state ..."]) -> Float[Array, "..."]:
        """Of all dots, elementary charges per cm^3."""
        empty = jnp.zeros(()) if self.traps is None else self.traps.empty_charge
        return self.density * sum(
            (one * share for one, share in zip(self.charges, populations, strict=True) if one), empty
        )

    @property
    def host_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds per forward step to (n, p) here and, with tunnelling apart, where carriers land."""
        return tuple(jump.host if self.nonlocal_ else jump.host[:2] for jump in self.jumps)

    @property
    def dot_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds to the states `filled`."""
        return tuple(
            tuple((jump.target == state) - (jump.origin == state) for state in self.filled) for jump in self.jumps
        )

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

        free = (1.0, 1.0) if site.degeneracy is None else jnp.exp(site.degeneracy.log_free)
        releases = self.electron_release * free[0], self.hole_release * free[1]

        def exchange(n: Array, p: Array, by_n: Array, by_p: Array) -> Exchange:
            cn, cp = self.capture_coefficient * by_n, self.capture_coefficient * by_p
            return Exchange(cn * n, cn * releases[0], cp * p, cp * releases[1])

        far = None
        if self.nonlocal_ and landing is not None:
            far = exchange(site.n * jnp.exp(landing.electrons), site.p * jnp.exp(landing.holes), *escape[2:])
        here = exchange(site.n, site.p, *escape[:2])
        return DotRates(here, far, self.recombination, self.recombination * self.thermal_ratio, excitation, self.traps)

    def one_way(self, rates: DotRates, populations: Float[Array, "state ..."]) -> Float[Array, "2 jump ..."]:
        """Forward and backward rates of all jumps, cm^-3 s^-1."""
        pairs = list(zip(self.jumps, rates.of_jumps, strict=True))
        forward = jnp.stack([rate * populations[jump.origin] for jump, (rate, _) in pairs])
        backward = jnp.stack([rate * populations[jump.target] for jump, (_, rate) in pairs])
        return self.density * jnp.stack([forward, backward])

    def slopes(
        self,
        rates: DotRates,
        populations: Float[Array, "state ..."],
        steepness: Escape,
        degeneracy: Degeneracy | None = None,
    ) -> tuple[list[Float[Array, "local ..."]], list[Float[Array, "filled ..."]]]:
        """Derivatives of the net rate of every jump by local variables and by the populations `filled`, cm^-3 s^-1.

        Local variables are the levels of electrons and holes, the field and, with tunnelling apart, those levels as
        seen where carriers land. Mass action: a forward rate is proportional to the carrier it takes; where carriers
        are degenerate, both directions have what levels do to n/exp(level) besides. `steepness` is d ln(enhancement)/d
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
            if degeneracy is not None:
                for carrier in range(2):
                    exchanged = sum(-factor for factor in taken_from[carrier::2])
                    by_host[carrier] += exchanged * (degeneracy.slope[carrier] - 1) * net
            by_local.append(jnp.stack([*by_host[:2], steep * net, *by_host[2:]]))
            lost_empty = (jump.origin == EMPTY) * forward - (jump.target == EMPTY) * backward
            gains = [(jump.origin == state) * forward - (jump.target == state) * backward for state in self.filled]
            by_state.append(self.density * jnp.stack(jnp.broadcast_arrays(*(gain - lost_empty for gain in gains))))
        return by_local, by_state

    def stationary(
        self, site: Site, rates: DotRates, landing: Landing | None = None
    ) -> tuple[Float[Array, "state ..."], Float[Array, "..."], Float[Array, "2 ..."] | None]:
        """Stationary populations, the net recombination rate through the dots (cm^-3 s^-1), without subtractions.

        Also the part of it that electrons, and that holes, come to from where tunnelling ones land.

        The net rate is what the cycles of the machine complete: in each, forward over backward is exp(affinity) per
        pair, less by g_0/(g_0 + light) where light can undo it, so that the difference of both is written with expm1:
        near equilibrium c n P - e P would lose all digits.
        """
        of_host = rates.total
        mixture = rates._replace(here=of_host, far=None)
        populations, cycles = completed_cycles(list_jumps(False, self.traps is not None), mixture.of_jumps)
        by_light = jnp.log1p(rates.excitation / rates.thermal_generation)

        def net(affinity: Array) -> Array:
            each = [
                sum(pairs) * rate * jnp.expm1(sum(pairs) * affinity - pairs[0] * by_light)
                for pairs, rate in cycles.items()
            ]
            return self.density * sum(each, jnp.zeros(()))

        if rates.far is None or landing is None:
            return populations, net(site.affinity), None
        # the dot sees a mixture of the host here and there
        shares = rates.far.emission_n / of_host.emission_n, rates.far.emission_p / of_host.emission_p
        apart = tuple(jnp.expm1(level) for level in landing)
        mixed = site.affinity + sum(jnp.log1p(share * by) for share, by in zip(shares, apart, strict=True))
        rate = net(mixed)
        # what is lost there: its share, and what flows through the dots from there to here
        states = by_carriers(populations)
        waiting = states[EMPTY] + states[HOLE], states[EMPTY] + states[ELECTRON]
        captures = rates.here.capture_n, rates.here.capture_p
        through = [self.density * c * free * by for c, free, by in zip(captures, waiting, apart, strict=True)]
        far = jnp.stack([share * (rate + more) for share, more in zip(shares, through, strict=True)])
        return populations, rate, far
