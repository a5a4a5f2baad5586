"""Quantum dots in a host: machines of a few states, and their jumps.

A dot has as many places for electrons as for holes: one of each (states: empty, e, h, exciton X), or two of each, so
that there are charged excitons and biexcitons, too (nine states). Every dot of density N exchanges electrons and holes
with the host, one at a time, and recombines them in pairs, where the backward rate carries thermal generation and
optical excitation. All rates of one dot are in 1/s.

Energies are additive, and places alike. So i electrons in r places leave i times as fast as one, the next is captured
(r - i)/r times as fast as by an empty dot, pairs recombine i j times as fast as one, and light finds (r - i)(r - j)/r^2
of the absorption of an empty dot: wherever hardly any dot holds a carrier, the number of places makes no difference.
Three and four carriers recombine by the Auger effect besides: a carrier takes the energy of a pair and cools down in
the dot.

Where carriers of a dot attract and repel each other they do so by one binding energy per two of them (constant
interaction): whatever the dot holds, a carrier is bound by that energy times the opposite charge that it finds, and a
pair recombines with the energy of the exciton. Capture stays; what leaves is slower or faster by Boltzmann's factor.

A dot with a trap has twice as many states, those with the trap empty and again with it full. The trap takes an electron
from the dot (e -> 0 and X -> h, the trap fills) or a hole (h -> 0 and X -> e, it empties); its reverse jumps emit into
the dot's own levels, and neither touches the host.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.processes.field_emission import BarrierEscape
from invdesign.processes.hopping import DotHop, Hopping, Neighbours, dot_hop, neighbours
from invdesign.processes.machine import Jump, completed_cycles
from invdesign.processes.site import Site
from invdesign.processes.statistics import Degeneracy

EMPTY = 0
"""The first of the states."""
STATE_NAMES = {
    (0, 0): "empty",
    (1, 0): "electron",
    (0, 1): "hole",
    (1, 1): "exciton",
    (2, 0): "two_electrons",
    (0, 2): "two_holes",
    (2, 1): "negative_trion",
    (1, 2): "positive_trion",
    (2, 2): "biexciton",
}
"""By the numbers of electrons and holes."""
EXCHANGE = "electron exchange with dots", "hole exchange with dots"
TUNNELLING = "electron tunnelling with dots", "hole tunnelling with dots"
HOPPING = "electron hopping between dots", "hole hopping between dots"
RECOMBINATION = "dot recombination"
TRION_AUGER, BIEXCITON_AUGER = "Auger recombination of trions", "Auger recombination of biexcitons"
TRAPPING = "electron trapping in dots", "hole trapping in dots"


class DotState(NamedTuple):
    """What a dot holds."""

    electrons: int
    holes: int
    trapped: int = 0
    """1 where its trap is full."""

    @property
    def carriers(self) -> tuple[int, int]:
        """Electrons and holes in its own levels."""
        return self.electrons, self.holes

    @property
    def bonds(self) -> int:
        """Two of its carriers that attract each other, less two that repel each other: i j - i(i-1)/2 - j(j-1)/2."""
        i, j = self.carriers
        return i * j - i * (i - 1) // 2 - j * (j - 1) // 2

    @property
    def charge(self) -> int:
        """Against the empty dot, elementary charges."""
        return self.holes - self.electrons - self.trapped


def list_states(places: int, trapped: bool) -> tuple[DotState, ...]:
    """All states of a dot with so many places for electrons and for holes, with a trap or without; few carriers first.

    One place: 0, e, h, X.
    """
    pairs = sorted(product(range(places + 1), repeat=2), key=lambda pair: (max(pair), sum(pair), pair[1]))
    return tuple(DotState(i, j, trap) for trap in ((0, 1) if trapped else (0,)) for i, j in pairs)


def places_of(states: Sequence[DotState]) -> int:
    """For electrons, and as many for holes."""
    return max(state.electrons for state in states)


Escape = tuple[Float[Array, "..."], ...]
"""Enhancement, over the rate without field, of the exchange of electrons and of holes with the host here; where dots
reach beyond that, of the exchange with the host where carriers land, or with other dots, too."""


class Landing(NamedTuple):
    """What carriers reach from dots besides the host here: the host where tunnelling ones land, or other dots."""

    electrons: Float[Array, "..."]
    """ln of the density that electrons would have here with the quasi-Fermi level there, over that here."""
    holes: Float[Array, "..."]


class Exchange(NamedTuple):
    """Rates of one dot with the host, here or where carriers land, or with other dots, 1/s."""

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


class Auger(eqx.Module):
    """Pairs that recombine in a dot while another carrier takes their energy: rates of one dot, 1/s."""

    trion: Float[Array, "..."]
    """Of a charged exciton, of either sign."""
    trion_generation: Float[Array, "..."]
    """Its reverse: a pair generated beside a carrier."""
    biexciton: Float[Array, "..."]
    biexciton_generation: Float[Array, "..."]


class DotRates(NamedTuple):
    """First-order rates of one dot, 1/s: into or out of an empty dot; `Jump.factors` of those of others."""

    here: Exchange
    """With the host where the dot is."""
    far: Exchange | None
    """With the host where tunnelling carriers land, or with other dots; None where there is only the host here."""
    recombination: Float[Array, "..."]
    thermal_generation: Float[Array, "..."]
    excitation: Float[Array, "..."]
    traps: Traps | None = None
    auger: Auger | None = None
    """Of dots with two places for each carrier; None where they have one."""
    bound: Float[Array, "..."] | None = None
    """exp(-E_b/kT) of the binding energy; None where carriers of a dot do not attract each other."""
    crowding: tuple[Array, Array] | None = None
    """d ln(rates with other dots)/d(their level), of electrons and of holes."""

    @property
    def total(self) -> Exchange:
        """With all that there is around."""
        return self.here if self.far is None else Exchange(*map(jnp.add, self.here, self.far))

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """Those that these are the rates of."""
        return list_jumps(_places(self.auger), None if self.far is None else TUNNELLING, self.traps is not None)

    @property
    def of_jumps(self) -> tuple[tuple[Array, Array], ...]:
        """Forward and backward rate of every jump, per dot in the state that it leaves, in the order of `jumps`."""
        return self._of_jumps(self.thermal_generation + self.excitation)

    @property
    def without_light(self) -> tuple[tuple[Array, Array], ...]:
        """The same in the dark."""
        return self._of_jumps(self.thermal_generation)

    @property
    def of_light(self) -> tuple[Array | None, ...]:
        """What light adds to each backward rate."""
        return tuple(
            _times(jump.factors[1], self.excitation) if jump.name == RECOMBINATION else None for jump in self.jumps
        )

    def _of_jumps(self, generation: Array) -> tuple[tuple[Array, Array], ...]:
        pairs = {RECOMBINATION: (self.recombination, generation)}
        for names, part in ((EXCHANGE, self.here), (TUNNELLING, self.far)):
            if part is not None:
                pairs |= {names[0]: (part.capture_n, part.emission_n), names[1]: (part.capture_p, part.emission_p)}
        if self.traps is not None:
            pairs[TRAPPING[0]] = self.traps.electron_capture, self.traps.electron_release
            pairs[TRAPPING[1]] = self.traps.hole_capture, self.traps.hole_release
        if self.auger is not None:
            pairs[TRION_AUGER] = self.auger.trion, self.auger.trion_generation
            pairs[BIEXCITON_AUGER] = self.auger.biexciton, self.auger.biexciton_generation
        return tuple(
            (_times(jump.factors[0], pairs[jump.name][0]), self._released(jump, pairs[jump.name][1]))
            for jump in self.jumps
        )

    def _released(self, jump: Jump, rate: Array) -> Array:
        """Backward, out of the bond that the jump has made."""
        rate = _times(jump.factors[1], rate)
        return rate if self.bound is None or not jump.binding else rate * self.bound**jump.binding


def _of_all_jumps(rates: DotRates, populations: Float[Array, "state ..."]) -> Float[Array, "2 jump ..."]:
    """Forward and backward rates of all jumps, per dot in the state that they leave, 1/s."""
    shape = populations.shape[1:]
    ways = zip(*rates.of_jumps, strict=True)
    return jnp.stack([jnp.stack([jnp.broadcast_to(rate, shape) for rate in way]) for way in ways])


def _places(auger: Auger | None) -> int:
    return 1 if auger is None else 2


def _times(factor: float, rate: Array) -> Array:
    return rate if factor == 1 else factor * rate


_NOWHERE = (0, 0, 0, 0)
_TAKEN = ((-1, 0, 0, 0), (0, -1, 0, 0)), ((0, 0, -1, 0), (0, 0, 0, -1))
"""An electron or a hole, from the host here or from where tunnelling ones land, or from other dots."""


def list_jumps(places: int, far: tuple[str, str] | None, trapped: bool) -> tuple[Jump, ...]:
    """All jumps of dots with so many places for each carrier, with a trap or without; `far` are the names of what
    electrons and holes exchange with other places than the host here, if they do."""
    states = list_states(places, trapped)
    index = {state: k for k, state in enumerate(states)}
    jumps = []

    def add(
        name: str,
        start: DotState,
        change: tuple[int, int, int],
        factors: tuple[float, float] = (1, 1),
        host: tuple[int, int, int, int] = _NOWHERE,
        pairs: int = 0,
    ) -> None:
        end = DotState(*(a + b for a, b in zip(start, change, strict=True)))
        if end in index:
            # of a pair that recombines the energy of the exciton has it
            binding = 0 if change[0] == change[1] else end.bonds - start.bonds
            jumps.append(Jump(name, host, index[start], index[end], pairs, factors, binding))

    for part, names in enumerate((EXCHANGE,) if far is None else (EXCHANGE, far)):
        for trap in (0, 1) if trapped else (0,):
            for carrier, name in enumerate(names):
                host = _TAKEN[part][carrier]
                for state in states:
                    if state.trapped == trap:
                        held = state.carriers[carrier]
                        captured = (places - held) / places, held + 1
                        add(name, state, (1 - carrier, carrier, 0), captured, host)
    for state in states:
        free = (places + 1 - state.electrons) * (places + 1 - state.holes) / places**2
        add(RECOMBINATION, state, (-1, -1, 0), (state.electrons * state.holes, free), pairs=1)
    for state in states:
        if state.electrons and state.holes and sum(state.carriers) > 2:
            add(TRION_AUGER if sum(state.carriers) == 3 else BIEXCITON_AUGER, state, (-1, -1, 0), pairs=1)
    for state in states:
        add(TRAPPING[0], state, (-1, 0, 1))
    for state in states:
        add(TRAPPING[1], state, (0, -1, -1), pairs=1)
    return tuple(jumps)


def carriers_of(states: Sequence[DotState]) -> list[tuple[int, int]]:
    """Electrons and holes in the dot's own levels, every combination once."""
    return list(dict.fromkeys(state.carriers for state in states))


def by_carriers(populations: Float[Array, "state ..."], states: Sequence[DotState]) -> Float[Array, "carriers ..."]:
    """Populations of the states `carriers_of`, whatever the trap."""
    found = {held: jnp.zeros(()) for held in carriers_of(states)}
    for share, state in zip(populations, states, strict=True):
        found[state.carriers] = found[state.carriers] + share
    return jnp.stack(list(found.values()))


def occupation(populations: Float[Array, "state ..."], states: Sequence[DotState]) -> Float[Array, "..."]:
    """Mean occupation of the places for electrons and for holes, 1 where all are full."""
    places = 2 * places_of(states)
    return _weighted([sum(state.carriers) / places for state in states], populations)


def _weighted(weights: Sequence[float], populations: Float[Array, "state ..."]) -> Float[Array, "..."]:
    """Sum of populations, each with its weight; nothing of those without."""
    pairs = zip(weights, populations, strict=True)
    return sum((_times(weight, share) for weight, share in pairs if weight), jnp.zeros(()))


class Excitation(NamedTuple):
    """What light does to a dot: the states before and after, and the absorption over that of an empty dot."""

    start: int
    end: int
    absorption: float


def excited(states: Sequence[DotState]) -> list[Excitation]:
    """States between which one photon lifts a dot."""
    places = places_of(states)
    return [
        Excitation(jump.target, jump.origin, jump.factors[1])
        for jump in list_jumps(places, None, any(state.trapped for state in states))
        if jump.name == RECOMBINATION
    ]


def sum_over_jumps(
    stoichiometry: Sequence[Sequence[int]], per_jump: Float[Array, "jump ..."]
) -> Float[Array, "column ..."]:
    """What all jumps together add to each column of their stoichiometry."""
    columns = [
        sum((factor * per_jump[jump] for jump, factor in enumerate(column) if factor), jnp.zeros(per_jump.shape[1:]))
        for column in zip(*stoichiometry, strict=True)
    ]
    return jnp.stack(columns)


def _beside(constants: np.ndarray, arrays: Array) -> Array:
    """Numbers of each jump, to be multiplied with arrays that have the jumps on their first axis."""
    return jnp.expand_dims(jnp.asarray(constants), range(constants.ndim, constants.ndim + arrays.ndim - 1))


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
    auger: Auger | None = None
    """Of dots with two places for each carrier; None where they have one."""
    bound: Float[Array, "..."] | None = None
    """exp(-E_b/kT) of the binding energy; None where carriers of a dot do not attract each other."""
    hopping: Hopping | None = None
    """None: carriers move in the host alone."""
    nonlocal_: bool = eqx.field(static=True, default=False)
    """Whether tunnelling carriers land where the barrier ends, and not where the dot is; not together with hopping."""

    @property
    def far(self) -> tuple[str, str] | None:
        """Names of the exchange with other places than the host here; None where there is none."""
        if self.hopping is not None:
            return HOPPING
        return TUNNELLING if self.nonlocal_ else None

    @property
    def jumps(self) -> tuple[Jump, ...]:
        """All jumps of the dots."""
        return list_jumps(_places(self.auger), self.far, self.traps is not None)

    @property
    def states(self) -> tuple[DotState, ...]:
        """Of one dot."""
        return list_states(_places(self.auger), self.traps is not None)

    @property
    def filled(self) -> range:
        """The states that are unknowns; the population of the empty one follows from the sum."""
        return range(1, len(self.states))

    def charge(self, populations: Float[Array, "state ..."]) -> Float[Array, "..."]:
        """Of all dots, elementary charges per cm^3."""
        empty = jnp.zeros(()) if self.traps is None else self.traps.empty_charge
        return self.density * sum(
            (state.charge * share for state, share in zip(self.states, populations, strict=True) if state.charge), empty
        )

    @property
    def host_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds per forward step to (n, p) here and, if there is a `far`, to those there."""
        return tuple(jump.host[:2] if self.far is None else jump.host for jump in self.jumps)

    @property
    def held(self) -> Float[np.ndarray, "2 filled"]:
        """Electrons and holes in the dot's own levels, in the states `filled`."""
        return np.array([self.states[state].carriers for state in self.filled], float).T

    @property
    def balance_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """The same; where carriers go to other dots, what the dot's own levels gain is added to what the others lose.

        A hop then counts for nothing: what other dots lose is what the host gains, what recombines and what dots store,
        rates that are far slower than hops and would keep no digits beside them.
        """
        if self.hopping is None:
            return self.host_stoichiometry
        states = self.states
        gains = [np.subtract(states[jump.target].carriers, states[jump.origin].carriers) for jump in self.jumps]
        return tuple(
            (*taken[:2], *(int(far + gained) for far, gained in zip(taken[2:], gain, strict=True)))
            for taken, gain in zip(self.host_stoichiometry, gains, strict=True)
        )

    @property
    def dot_stoichiometry(self) -> tuple[tuple[int, ...], ...]:
        """What each of them adds to the states `filled`."""
        return tuple(
            tuple((jump.target == state) - (jump.origin == state) for state in self.filled) for jump in self.jumps
        )

    def escape(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Escape:
        """Enhancement of the exchanges with the host by the field (V/cm); the same at both ends of an edge."""
        if self.nonlocal_:
            over, through = (
                self.by_carrier(part, field, kT) for part in (BarrierEscape.thermionic, BarrierEscape.tunnelling)
            )
            return over + through
        here = self.by_carrier(BarrierEscape.enhancement, field, kT)
        return here if self.hopping is None else (*here, *(jnp.ones_like(one) for one in here))

    def by_carrier(self, formula: Callable, field: Float[Array, "..."], kT: Float[Array, ""]) -> tuple[Array, Array]:
        """A formula of `BarrierEscape` for electrons and for holes, written once for the compiler."""
        both = jax.tree.map(lambda *pair: jnp.stack(pair), self.electron_escape, self.hole_escape)
        electrons, holes = jax.vmap(formula, (0, None, None))(both, field, kT)
        return electrons, holes

    def rates(
        self, site: Site, escape: Escape, excitation: Float[Array, "..."], landing: Landing | None = None
    ) -> DotRates:
        """Rates at a site; `excitation` is the optical excitation rate of an empty dot, 1/s.

        An enhancement by the field multiplies capture and emission alike, which keeps detailed balance; what is
        captured from the place where tunnelling carriers land, or from other dots, has the quasi-Fermi level there.
        """

        free = (1.0, 1.0) if site.degeneracy is None else jnp.exp(site.degeneracy.log_free)
        releases = self.electron_release * free[0], self.hole_release * free[1]

        def exchange(n: Array, p: Array, by_n: Array, by_p: Array) -> Exchange:
            cn, cp = self.capture_coefficient * by_n, self.capture_coefficient * by_p
            return Exchange(cn * n, cn * releases[0], cp * p, cp * releases[1])

        far, crowding = None, None
        if self.far is not None and landing is not None:
            n, p = site.n * jnp.exp(landing.electrons), site.p * jnp.exp(landing.holes)
            if self.hopping is None:
                far = exchange(n, p, *escape[2:])
            else:
                far, crowding = self._with_neighbours(self.hopping, n / free[0], p / free[1])
        here = exchange(site.n, site.p, *escape[:2])
        generation = self.recombination * self.thermal_ratio
        inside = excitation, self.traps, self.auger, self.bound
        return DotRates(here, far, self.recombination, generation, *inside, crowding)

    @property
    def _shares(self) -> Float[Array, "size 1 edge"] | None:
        """Of the dots of each size in the number of dots."""
        return self.density / jnp.sum(self.density, axis=0) if self.density.ndim > 2 else None

    def _with_neighbours(self, hopping: Hopping, n: Array, p: Array) -> tuple[Exchange, tuple[Array, Array]]:
        """Hops out of and into a dot, at these activities of the other dots."""

        def around(activity: Array, release: Array) -> Neighbours:
            return neighbours(activity, release, self._shares, _places(self.auger))

        electrons, holes = around(n, self.electron_release), around(p, self.hole_release)
        out_n, out_p = hopping.electron_rate * electrons.vacancy, hopping.hole_rate * holes.vacancy
        exchange = Exchange(out_n * n / self.electron_release, out_n, out_p * p / self.hole_release, out_p)
        return exchange, (electrons.crowding, holes.crowding)

    def hops(
        self,
        log_activities: Float[Array, "2 2 edge"],
        affinities: Float[Array, "2 edge"],
        length: Float[Array, " edge"],
    ) -> tuple[DotHop, DotHop] | None:
        """Hops of electrons and of holes along edges of a length (cm); the arrays are of electrons, then of holes."""
        if self.hopping is None:
            return None
        spacing, dots = self.hopping.spacing, jnp.sum(self.density, axis=tuple(range(self.density.ndim - 1)))

        def hop(carrier: int, rate: Array, release: Array) -> DotHop:
            velocity, around = rate * spacing**2 / (6 * length), (release, self._shares, _places(self.auger))
            return dot_hop(velocity, dots, log_activities[carrier], affinities[carrier], *around)

        electrons = hop(0, self.hopping.electron_rate, self.electron_release)
        return electrons, hop(1, self.hopping.hole_rate, self.hole_release)

    def one_way(self, rates: DotRates, populations: Float[Array, "state ..."]) -> Float[Array, "2 jump ..."]:
        """Forward and backward rates of all jumps, cm^-3 s^-1."""
        return self.density * _of_all_jumps(rates, populations) * self._leaving(populations)

    def _leaving(self, populations: Float[Array, "state ..."]) -> Float[Array, "2 jump ..."]:
        """Populations of the states that jumps leave, forward and backward."""
        return populations[np.array([[jump.origin for jump in self.jumps], [jump.target for jump in self.jumps]])]

    def slopes(
        self,
        rates: DotRates,
        populations: Float[Array, "state ..."],
        steepness: Escape,
        degeneracy: Degeneracy | None = None,
    ) -> tuple[Float[Array, "jump local ..."], Float[Array, "jump filled ..."]]:
        """Derivatives of the net rate of every jump by local variables and by the populations `filled`, cm^-3 s^-1.

        Local variables are the levels of electrons and holes, the field and, with tunnelling apart or hopping, those
        levels as seen where carriers land. Mass action: a forward rate is proportional to the carrier it takes; where
        carriers are degenerate, both directions have what levels do to n/exp(level) besides, and where they go to other
        dots what levels do to the places that are free there. `steepness` is d ln(enhancement)/d
        field of each exchange with the host. A population grows at the cost of the empty state.
        """
        ways = self.density * _of_all_jumps(rates, populations)
        taken, given = ways * self._leaving(populations)
        net = taken - given
        # what a forward step takes from each place
        takes = -np.array(self.host_stoichiometry, float)
        steep = sum((_beside(takes[:, k], net) * of for k, of in enumerate(steepness)), jnp.zeros(()))
        by_level = _beside(takes, taken) * taken[:, None]
        if rates.crowding is not None:
            for carrier, crowding in enumerate(rates.crowding, 2):
                by_level = by_level.at[:, carrier].add(_beside(takes[:, carrier], net) * crowding * net)
        if degeneracy is not None:
            with_bands = takes[:, :2] if self.hopping is not None else takes
            for carrier in range(2):
                exchanged = _beside(np.sum(with_bands[:, carrier::2], axis=1), net)
                by_level = by_level.at[:, carrier].add(exchanged * (degeneracy.slope[carrier] - 1) * net)
        by_local = jnp.concatenate([by_level[:, :2], (steep * net)[:, None], by_level[:, 2:]], axis=1)
        # one dot more in a state that a jump leaves is one less in the empty state
        states = np.arange(len(self.states))
        leaves = np.array([[jump.origin == states, jump.target == states] for jump in self.jumps], float)
        leaves = leaves[..., self.filled] - leaves[..., [EMPTY]]
        forward, backward = (_beside(leaves[:, way], net) * ways[way][:, None] for way in (0, 1))
        return by_local, forward - backward

    def stationary(
        self, site: Site, rates: DotRates, landing: Landing | None = None
    ) -> tuple[Float[Array, "state ..."], Float[Array, "..."], Float[Array, "2 ..."] | None]:
        """Stationary populations, the net recombination rate through the dots (cm^-3 s^-1), without subtractions.

        Also the part of it that electrons, and that holes, come to from where tunnelling ones land or from other dots.

        The net rate is what the cycles of the machine complete: without photons, forward over backward is exp(affinity)
        per pair, so that the difference of both is written with expm1: near equilibrium c n P - e P would lose all
        digits.
        """
        of_host = rates.total
        mixture = rates._replace(here=of_host, far=None)
        populations, cycles = completed_cycles(mixture.jumps, mixture.without_light, mixture.of_light)

        def net(affinity: Array) -> Array:
            return self.density * cycles.recombination(affinity)

        if rates.far is None or landing is None:
            return populations, net(site.affinity), None
        # the dot sees a mixture of the host here and there
        shares = rates.far.emission_n / of_host.emission_n, rates.far.emission_p / of_host.emission_p
        apart = tuple(jnp.expm1(level) for level in landing)
        mixed = site.affinity + sum(jnp.log1p(share * by) for share, by in zip(shares, apart, strict=True))
        rate = net(mixed)
        # what is lost there: its share, and what flows through the dots from there to here
        places = places_of(self.states)
        free = [[(places - held) / places for held in state.carriers] for state in self.states]
        waiting = [_weighted(parts, populations) for parts in zip(*free, strict=True)]
        captures = rates.here.capture_n, rates.here.capture_p
        through = [self.density * c * ready * by for c, ready, by in zip(captures, waiting, apart, strict=True)]
        far = jnp.stack([share * (rate + more) for share, more in zip(shares, through, strict=True)])
        return populations, rate, far
