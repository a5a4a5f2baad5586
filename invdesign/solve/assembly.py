"""From a device to its equations: sums over mesh edges of what hops along them and of what jumps at their ends.

Unknowns of a node, all over kT/q: the potential `psi` (vacuum level at zero), and the quasi-Fermi potentials of
electrons and holes, each RELATIVE TO ITS OWN CONTACT: `phi_n - V_cathode` and `phi_p - V_anode`. A majority
quasi-Fermi level that is flat to 1e-15 keeps all its digits only in this form; without it the dark current in a doped
layer is round-off. The cathode is at zero, the anode at the junction voltage `v`, which is the one global unknown (it
differs from the applied voltage by the drop on the series resistance). Where carriers hop between dots every node of
the device has two unknowns more, the quasi-Fermi potentials of electrons and holes in dots, which are those of the host
where there are no such dots.

Rows of a node: Poisson's equation and the balances of electrons and holes, each `inflow - outflow + generation -
recombination` in particles per cm^2 (and per second); and those of what dots give to the dots around, `inflow - outflow
- gain of the dots at the node`, which store nothing. An edge belongs to one layer and is cut in two "halves", one for
each of its nodes, where their cells meet (`device.mesh`); a node on a material interface collects from either side with
either material, which keeps order 2 there.

Arrays over edges have them on their last axis, and the two ends of an edge on the axis before.
"""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Contact, Device, Layer
from invdesign.materials.semiconductor import Bulk, Electrical
from invdesign.processes.dots import (
    DotEnsemble,
    DotRates,
    DotState,
    Escape,
    Landing,
    by_carriers,
    list_states,
    sum_over_jumps,
)
from invdesign.processes.field_emission import BarrierEscape
from invdesign.processes.hopping import DotHop
from invdesign.processes.ions import MobileIons
from invdesign.processes.site import Site
from invdesign.processes.statistics import Degeneracy, degeneracy, log_free
from invdesign.processes.transport import Hop, hop
from invdesign.solve.landing import Arrival, FarRows, Places, arrival, places
from invdesign.solve.leakage import Leak
from invdesign.solve.tridiagonal import BlockTridiagonal, eliminate


class Light(eqx.Module):
    """Absorbed photons of each edge, as its two nodes get them, cm^-2 s^-1, by what absorbs them."""

    host: Float[Array, "2 edge"]
    dots: Float[Array, "*size 2 edge"]
    """One axis more where dots are of several sizes (`over_sizes`)."""


class Region(eqx.Module):
    """The edges of all layers that have the same kinds of processes; they are computed together."""

    bulk: Bulk
    """With one value per edge in every leaf."""
    halves: Float[Array, "2 edge"]
    """Parts of each edge that belong to its left and right node, cm."""
    runs: tuple[tuple[int, int], ...] = eqx.field(static=True)
    """First edge and end of each layer of the region, among the edges of the device."""

    @property
    def lengths(self) -> Float[Array, " edge"]:
        """Of the edges, cm."""
        return jnp.sum(self.halves, axis=0)

    def take(self, per_edge: Array) -> Array:
        """The region's part of an array over all edges."""
        return jnp.concatenate([per_edge[..., start:end] for start, end in self.runs], axis=-1)


class IonicLayer(eqx.Module):
    """Mobile ions and the edges of their layer, which they cannot leave."""

    ions: MobileIons
    run: tuple[int, int] = eqx.field(static=True)
    """First edge and end."""


class System(eqx.Module):
    """The discretised device."""

    regions: tuple[Region, ...]
    halves: Float[Array, "2 edge"]
    """Parts of all edges, left to right, that belong to their left and right node, cm."""
    contacts: tuple[Contact, Contact]
    contact_bulks: tuple[Bulk, Bulk]
    contact_potentials: Float[Array, "2"]
    kT: Float[Array, ""]
    area_cm2: Float[Array, ""]
    series_resistance_ohm: Float[Array, ""]
    shunt_conductance_S: Float[Array, ""]
    leaks: tuple[Leak, ...]
    """Layers that break down softly."""
    ionic: tuple[IonicLayer, ...]
    """Layers with ions at rest under the bias and the light of the operating point."""
    frozen_charge: Float[Array, "2 edge"]
    """Charge of ions that stand still in half of each edge, elementary charges per cm^2."""
    layer_edges: tuple[int, ...] = eqx.field(static=True)
    """Edges of each layer that carries current, left to right."""
    anode: int = eqx.field(static=True)
    """0 where the anode is the left contact, 1 where it is the right one."""
    read_edge: int = eqx.field(static=True)
    """Edge at which the terminal current is read."""

    @property
    def lengths(self) -> Float[Array, " edge"]:
        """All edges from left to right, cm."""
        return jnp.sum(self.halves, axis=0)

    @property
    def far_edges(self) -> tuple[int, ...]:
        """Edges of layers whose dots' tunnelling carriers land away from the dot."""
        return tuple(
            edge
            for region in self.regions
            if region.bulk.dots is not None and region.bulk.dots.nonlocal_
            for run in region.runs
            for edge in range(*run)
        )

    @property
    def hopping(self) -> bool:
        """Whether carriers hop between dots anywhere."""
        return any(region.bulk.dots is not None and region.bulk.dots.hopping is not None for region in self.regions)

    @property
    def unknowns(self) -> int:
        """Of a node."""
        return 5 if self.hopping else 3

    @property
    def hopping_nodes(self) -> np.ndarray:
        """1 for nodes between which carriers hop from dot to dot, 0 for the others."""
        found = np.zeros(self.nodes)
        for region in self.regions:
            if region.bulk.dots is not None and region.bulk.dots.hopping is not None:
                for start, end in region.runs:
                    found[start : end + 1] = 1
        return found

    @property
    def sizes(self) -> tuple[int, ...]:
        """The axis that arrays over dots have besides ends and edges: the number of their sizes, or none.

        In several local fields all sizes are there for each, and with traps all that twice, first for dots without.
        """
        shapes = [region.bulk.dots.density.shape[:-2] for region in self.regions if region.bulk.dots is not None]
        return max(shapes, default=())

    @property
    def dot_states(self) -> tuple[DotState, ...]:
        """States of one dot, the same in all layers; those of the simplest dot where there are none."""
        dots = (region.bulk.dots for region in self.regions)
        return next((one.states for one in dots if one is not None), list_states(1, False))

    @property
    def nodes(self) -> int:
        """Mesh nodes."""
        return sum(self.layer_edges) + 1

    @property
    def polarity(self) -> int:
        """Sign of the terminal current (into the anode) against the current density along +x."""
        return 1 if self.anode == 0 else -1

    @property
    def ampere(self) -> Float[Array, ""]:
        """Terminal current (A) of a particle current density along +x (cm^-2 s^-1)."""
        return self.polarity * ELEMENTARY_CHARGE_C * self.area_cm2

    def by_layer(self, per_edge: Array) -> list[Array]:
        """Cut an array over all edges into one per layer."""
        return jnp.split(per_edge, np.cumsum(self.layer_edges)[:-1], axis=-1)

    def join(self, parts: Sequence[Any]) -> Any:
        """Trees of arrays over the edges of each region, as one tree over all edges."""
        places = []
        for index, region in enumerate(self.regions):
            ends = accumulate(end - start for start, end in region.runs)
            for (start, stop), end in zip(region.runs, ends, strict=True):
                places.append((start, index, end - (stop - start), end))

        def put_together(*arrays: Array) -> Array:
            return jnp.concatenate([arrays[index][..., start:end] for _, index, start, end in sorted(places)], axis=-1)

        return jax.tree.map(put_together, *parts)

    def over_edges(self, function: Callable, *per_edge: Any) -> list:
        """Apply `function(bulk, kT, halves, *per_edge)` to the edges of each region; one result per region.

        `per_edge` are arrays over all edges, trees of them, or None.
        """
        return [
            function(region.bulk, self.kT, region.halves, *jax.tree.map(region.take, per_edge))
            for region in self.regions
        ]

    def boundary(self, side: int, v: Float[Array, ""]) -> Float[Array, " unknown"]:
        """Contact potential and quasi-Fermi potentials of the metal at one side, in the unknowns' own references."""
        zero = jnp.zeros_like(v)
        potential = self.contact_potentials[side]
        if side == self.anode:
            potential, levels = potential + v, (v, zero)
        else:
            levels = (zero, -v)
        return jnp.stack([potential, *levels, *levels][: self.unknowns])


def discretise(device: Device) -> System:
    """Put a device on its mesh. Differentiable in every quantity of the device."""
    kT = device.kT
    layers = [device.layers[name] for name in device.electrical]
    counts = [layer.edges for layer in layers]
    halves = [device.thickness_cm(name) * jnp.asarray(device.mesh(name).halves) for name in device.electrical]
    bulks = [
        with_surfaces(device.bulk(name), layer, kT, parts)
        for name, layer, parts in zip(device.electrical, layers, halves, strict=True)
    ]
    ends = list(accumulate(counts))
    kinds: dict[object, list[int]] = {}
    for index, bulk in enumerate(bulks):
        shapes = tuple(leaf.shape[:-1] for leaf in jax.tree.leaves(bulk))
        kinds.setdefault((jax.tree.structure(bulk), shapes), []).append(index)
    regions = []
    for members in kinds.values():

        def spread(*leaves: Array, members: list[int] = members) -> Array:
            of_layers = zip(members, leaves, strict=True)
            parts = [jnp.broadcast_to(leaf, (*leaf.shape[:-1], counts[i])) for i, leaf in of_layers]
            return jnp.concatenate(parts, axis=-1)

        regions.append(
            Region(
                jax.tree.map(spread, *(bulks[i] for i in members)),
                jnp.concatenate([halves[i] for i in members], axis=1),
                tuple((ends[i] - counts[i], ends[i]) for i in members),
            )
        )
    ionic, leaks = [], []
    for layer, parts, end, count in zip(layers, halves, ends, counts, strict=True):
        if isinstance(layer.material, Electrical) and layer.material.ions is not None:
            ionic.append(IonicLayer(layer.material.ions, (end - count, end)))
        if layer.leakage is not None:
            inside = 0 if layer.leakage.face == "left" else count - 1
            direction = 1 if device.anode == "right" else -1
            leaks.append(Leak(layer.leakage.process(), jnp.sum(parts[:, inside]), end - count + inside, direction))
    contacts = (device.contacts.left, device.contacts.right)
    outermost = (bulks[0], bulks[-1])
    finest = max(device.active, key=lambda name: device.layers[name].edges)
    read = device.electrical.index(finest)
    return System(
        tuple(regions),
        jnp.concatenate(halves, axis=1),
        contacts,
        outermost,
        jnp.stack([contact.potential(bulk, kT) for contact, bulk in zip(contacts, outermost, strict=True)]),
        kT,
        device.area_cm2,
        device.terminals.series_resistance_ohm,
        device.shunt_conductance_S_per_cm2 * device.area_cm2,
        tuple(leaks),
        tuple(ionic),
        jnp.zeros((2, sum(counts))),
        tuple(counts),
        0 if device.anode == "left" else 1,
        ends[read] - counts[read] + counts[read] // 2,
    )


def with_surfaces(bulk: Bulk, layer: Layer, kT: Float[Array, ""], halves: Float[Array, "2 edge"]) -> Bulk:
    """A layer's numbers with the recombination at its faces."""
    processes = []
    for surface, end, edge in ((layer.left_surface, 0, 0), (layer.right_surface, 1, -1)):
        if surface is not None:
            per_volume = jnp.zeros_like(halves).at[end, edge].set(1 / halves[end, edge])
            processes.append(surface.process(kT, per_volume))
    return eqx.tree_at(lambda b: b.recombination, bulk, (*bulk.recombination, *processes))


def no_light(system: System) -> Light:
    """Darkness."""
    nothing = jnp.zeros((*system.sizes, 2, system.nodes - 1))
    return Light(jnp.zeros((2, system.nodes - 1)), nothing)


def over_sizes(per_size: Inexact[Array, "..."], leading: int = 0) -> Inexact[Array, "..."]:
    """Sum over the sizes of dots: their axis, if there is one, stands between `leading` others and ends and edges."""
    return jnp.sum(per_size, axis=tuple(range(leading, per_size.ndim - 2)))


# --- the edges of one region -------------------------------------------------------------------------------------


class EdgeState(NamedTuple):
    """Everything that happens on edges, in jump language."""

    site: Site
    """Both ends of every edge."""
    hops: Hop
    """Of electrons and of holes (first axis)."""
    displacement: Float[Array, " edge"]
    """eps E, in elementary charges per cm^2."""
    between_dots: tuple[DotHop, DotHop] | None
    """Of electrons and holes; None where there are none."""


class EdgeDots(NamedTuple):
    """The dots at the ends of edges."""

    rates: DotRates
    populations: Float[Array, "state *size 2 edge"]
    recombination: Float[Array, "*carrier 2 edge"]
    """Net rate through the dots, cm^-3 s^-1; where dots are on the move, net loss of electrons and of holes to them."""
    far: Float[Array, "2 2 edge"] | None
    """The part of it that electrons and holes come to from where tunnelling ones land, or from other dots."""
    change: Float[Array, "filled *size 2 edge"] | None = None
    """Of the filled states since the beginning of a step, where dots are on the move."""


class DotPast(NamedTuple):
    """What the populations of dots on the move are reached from, in an implicit step of rate factor `store`."""

    before: Float[Array, "filled *size 2 edge"]
    """All states but the empty one at the beginning of the step."""
    gained: Float[Array, "filled *size 2 edge"]
    """What earlier stages of the step add."""
    store: Float[Array, ""]
    """1/s: store * (populations - before - gained) = net gain."""


class EdgeBalance(NamedTuple):
    """What edges add to the rows of their nodes."""

    rows: Float[Array, "unknown 2 edge"]
    conduction: Float[Array, " edge"]
    """Current density along +x over q, cm^-2 s^-1."""
    far: Float[Array, "2 2 edge"] | None
    """Electrons and holes per cm^2 and second that dots at the ends take from where tunnelling ones land; None where
    tunnelling is local in the whole device."""


class EdgeLinearisation(NamedTuple):
    """The balances of edges and their derivatives, with the dots kept as unknowns of their own.

    What happens at an end depends on its dots and on the local variables: the field and the levels of electrons and
    holes over kT, which unless carriers are degenerate are ln n and ln p but for a constant. What goes along the edge
    depends on the unknowns of both nodes and the junction voltage.
    """

    balance: EdgeBalance
    rows: Float[Array, "row local 2 edge"]
    """Charge, loss of electrons, loss of holes by the local variables; 3 of each, or with the losses at the places
    where tunnelling carriers land, and ln n and ln p as seen there, 5; or with those of other dots, to which what the
    dots' own levels gain is added (`DotEnsemble.balance_stoichiometry`), and their levels."""
    along: Float[Array, "unknown of edge"]
    """Displacement, electrons and holes to the right, and those between dots, by the unknowns of the edge."""
    field: Float[Array, " edge"]
    """Derivative of the field by the left potential, V/cm."""
    stored: Float[Array, "2 2 edge"]
    """Electrons and holes per cm^2 in half an edge by their levels: their number, less where they are degenerate."""
    dots: "DotLinearisation | None"
    landing: Arrival | None


class DotLinearisation(NamedTuple):
    """Derivatives that the dots (all states but the empty one) bring in."""

    rows: Float[Array, "row filled *size 2 edge"]
    """Rows of the host by the dots at the same end."""
    local: Float[Array, "filled local *size 2 edge"]
    """Rows of the dots by the local variables."""
    own: Float[Array, "filled filled *size 2 edge"]
    """Rows of the dots by the dots."""
    stored: Float[Array, "*size 2 edge"]
    """Dots per cm^2 in half an edge."""
    kept: Float[Array, "row filled *size 2 edge"] | None
    """What those rows of the host store by the dots; None where carriers do not hop between dots."""
    change: Float[Array, "filled *size 2 edge"] | None
    """Of the dots since the beginning of a step, where they are on the move."""


def edge_state(
    bulk: Bulk,
    kT: Float[Array, ""],
    halves: Float[Array, "2 edge"],
    x: Float[Array, "unknown 2 edge"],
    v: Float[Array, ""],
) -> EdgeState:
    """Sites and hops of edges; `x` holds the unknowns of both nodes, `v` is the junction voltage."""
    psi, phi_n, phi_p = x[:3]
    length = jnp.sum(halves, axis=0)
    field = -(psi[1] - psi[0]) * kT / length
    (log_n, log_p), degenerate = _log_densities(bulk, kT, x[:3], v)
    log_ni2 = bulk.log_nc + bulk.log_nv - bulk.band_gap / kT
    if degenerate is not None:
        log_ni2 += jnp.sum(degenerate.log_free, axis=0)
    splitting = v + phi_p - phi_n
    site = Site(log_n, log_p, jnp.exp(log_n), jnp.exp(log_p), jnp.exp(log_ni2), splitting, field, kT, degenerate)
    velocity = jnp.stack([bulk.electron_mobility, bulk.hole_mobility]) * kT / length
    left, right = jnp.stack([log_n, log_p], axis=1)
    hops = hop(velocity, left, right, jnp.stack([phi_n[1] - phi_n[0], phi_p[0] - phi_p[1]]))
    between_dots = None
    if bulk.dots is not None and len(x) > 3:
        dot_n, dot_p = x[3:]
        activities = jnp.stack([bulk.log_nc, bulk.log_nv])[:, None] + _levels(bulk, kT, jnp.stack([psi, *x[3:]]), v)
        between_dots = bulk.dots.hops(activities, jnp.stack([dot_n[1] - dot_n[0], dot_p[0] - dot_p[1]]), length)
    return EdgeState(site, hops, _permittivity(bulk) * field, between_dots)


def _log_densities(
    bulk: Bulk, kT: Float[Array, ""], x: Float[Array, "3 *any"], v: Float[Array, ""]
) -> tuple[tuple[Float[Array, "*any"], Float[Array, "*any"]], Degeneracy | None]:
    """ln of both densities (cm^-3) at these unknowns of a node."""
    electrons, holes = _levels(bulk, kT, x, v)
    if not bulk.fermi_dirac:
        return (bulk.log_nc + electrons, bulk.log_nv + holes), None
    degenerate = degeneracy(jnp.stack([electrons, holes]))
    in_band = degenerate.level + degenerate.log_free
    return (bulk.log_nc + in_band[0], bulk.log_nv + in_band[1]), degenerate


def _levels(bulk: Bulk, kT: Float[Array, ""], x: Float[Array, "3 *any"], v: Float[Array, ""]) -> Float[Array, "2 *any"]:
    """How far quasi-Fermi levels of electrons and holes are within their band, over kT."""
    psi, phi_n, phi_p = x
    affinity, gap = bulk.electron_affinity / kT, bulk.band_gap / kT
    return jnp.stack([psi + affinity - phi_n, (v + phi_p) - psi - affinity - gap])


def _permittivity(bulk: Bulk) -> Float[Array, " edge"]:
    """In elementary charges per V and cm."""
    return bulk.permittivity * VACUUM_PERMITTIVITY_F_PER_CM / ELEMENTARY_CHARGE_C


def edge_dots(
    bulk: Bulk,
    state: EdgeState,
    halves: Float[Array, "2 edge"],
    photons: Float[Array, "*size 2 edge"],
    landing: Arrival | None = None,
    escape: Escape | None = None,
    past: DotPast | None = None,
) -> EdgeDots | None:
    """Dots at both ends of edges, if there are any: stationary ones, or what they became if they have a past.

    `photons` are absorbed by dots, as the two nodes of an edge get them (`Light`).
    """
    dots, site = bulk.dots, state.site
    if dots is None:
        return None
    enhancement = dots.escape(site.field, site.kT) if escape is None else escape
    seen = None if landing is None else landing.seen
    rates = dots.rates(site, enhancement, photons / (halves * dots.density), seen)
    if past is not None:
        return _moving_dots(dots, rates, past)
    populations, net, far = dots.stationary(site, rates, seen)
    return EdgeDots(rates, populations, over_sizes(net), None if far is None else over_sizes(far, 1))


def _moving_dots(dots: DotEnsemble, rates: DotRates, past: DotPast) -> EdgeDots:
    """Implicit step of the populations, which are linear in themselves: solved for their change, to keep its digits.

    The exchange with the host is the sum of one-way jumps, whose difference has no more digits than each of them.
    """

    def net(populations: Array) -> Array:
        forward, backward = dots.one_way(rates, populations)
        return forward - backward

    def with_empty(filled: Array) -> Float[Array, "state *size 2 edge"]:
        return jnp.concatenate([1 - jnp.sum(filled, axis=0, keepdims=True), filled])

    before = with_empty(past.before)
    none = (jnp.zeros_like(rates.here.capture_n),) * len(dots.host_stoichiometry[0])
    by_dots = sum_over_jumps(dots.dot_stoichiometry, dots.slopes(rates, before, none)[1])
    driven = sum_over_jumps(dots.dot_stoichiometry, net(before)) / dots.density
    own = past.store * _unit_matrix(by_dots) - by_dots / dots.density
    change = eliminate(own, (driven + past.store * past.gained)[:, None])[:, 0]
    populations = with_empty(past.before + change)
    lost = -over_sizes(sum_over_jumps(dots.host_stoichiometry, net(populations)), 1)
    here, far = lost[:2], None if dots.far is None else lost[2:]
    return EdgeDots(rates, populations, here if far is None else here + far, far, change)


def _unit_matrix(like: Array) -> Float[Array, "..."]:
    """Of the size of the first two axes, to be broadcast along the others."""
    return jnp.expand_dims(jnp.eye(len(like)), range(2, like.ndim))


def carriers_gained(
    halves: Float[Array, "2 edge"], site: Site, moved: Float[Array, "unknown 2 edge"], by_v: Float[Array, ""]
) -> Float[Array, "2 2 edge"]:
    """Electrons and holes per cm^2 that half an edge has more than before the unknowns moved to where they are.

    Written with the change of the unknowns, which keeps digits that a difference of densities has not.
    """
    psi, phi_n, phi_p = moved[:3]
    grown = jnp.stack([psi - phi_n, by_v + phi_p - psi])
    if site.degeneracy is not None:
        grown += site.degeneracy.log_free - log_free(site.degeneracy.level - grown)
    return -halves * site.densities * jnp.expm1(-grown)


def host_recombination(bulk: Bulk, site: Site) -> Float[Array, "2 edge"]:
    """Net recombination of the host, cm^-3 s^-1."""
    thermal = sum((process.backward(site) for process in bulk.recombination), jnp.zeros_like(site.n))
    return thermal * jnp.expm1(site.affinity)


def recombination(bulk: Bulk, site: Site, dots: EdgeDots | None) -> Float[Array, "*carrier 2 edge"]:
    """Net recombination of host and dots, cm^-3 s^-1; of electrons and of holes where dots are on the move."""
    host = host_recombination(bulk, site)
    return host if dots is None else host + dots.recombination


def _balance(
    bulk: Bulk,
    halves: Float[Array, "2 edge"],
    state: EdgeState,
    dots: EdgeDots | None,
    host: Float[Array, "2 edge"],
    landing: Arrival | None,
    hopping: bool,
) -> EdgeBalance:
    """`hopping` says whether there are rows of the dots among themselves."""
    site = state.site
    charge = site.p - site.n + bulk.doping
    if bulk.dots is not None and dots is not None:
        charge += over_sizes(bulk.dots.charge(dots.populations))
    loss = jnp.broadcast_to(halves * recombination(bulk, site, dots) - host, (2, *site.n.shape))
    far = None
    if landing is not None:
        far = jnp.zeros_like(loss) if dots is None or dots.far is None else halves * dots.far
        loss -= far
    flows = [state.displacement, *state.hops.net]
    inside = [halves * charge, -loss[0], -loss[1]]
    if hopping:
        flows += [one.hop.net for one in state.between_dots or ()] or [jnp.zeros_like(flows[0])] * 2
        inside += [jnp.zeros_like(charge)] * 2 if far is None else list(-far)
        far = None
    conduction = sum((sign * flow for sign, flow in zip(CHARGES, flows[1:], strict=False)), jnp.zeros(()))
    leaves = jnp.array([-1.0, 1.0])[:, None]
    return EdgeBalance(jnp.stack(inside) + jnp.stack(flows)[:, None] * leaves, conduction, far)


def edge_balance(
    bulk: Bulk,
    kT: Float[Array, ""],
    halves: Float[Array, "2 edge"],
    x: Float[Array, "unknown 2 edge"],
    host: Float[Array, "2 edge"],
    photons: Float[Array, "*size 2 edge"],
    landing: Arrival | None,
    v: Float[Array, ""],
) -> EdgeBalance:
    """Stationary balance of edges: dots at their stationary populations, net rates written with expm1."""
    state = edge_state(bulk, kT, halves, x, v)
    dots = edge_dots(bulk, state, halves, photons, landing)
    return _balance(bulk, halves, state, dots, host, landing, len(x) > 3)


def _by_local(function: Callable[[Site], Array], site: Site) -> Float[Array, "3 2 edge"]:
    """Derivatives of a function of every place on its own, by the levels of electrons and holes there, which are ln n
    and ln p but for a constant unless carriers are degenerate, and by the field, V/cm."""

    def moved(everywhere: Array) -> Array:
        """What moves everywhere by the same moves every place by itself."""
        electrons, holes, field = everywhere
        by_n, by_p = site.slopes * jnp.reshape(everywhere[:2], (2, 1, 1))
        ni2 = site.ni2
        if site.degeneracy is not None:
            ni2 = site.ni2 * jnp.exp(by_n + by_p - electrons - holes)
        return function(
            dataclasses.replace(
                site,
                log_n=site.log_n + by_n,
                log_p=site.log_p + by_p,
                n=site.n * jnp.exp(by_n),
                p=site.p * jnp.exp(by_p),
                ni2=ni2,
                affinity=site.affinity + electrons + holes,
                field=site.field + field,
            )
        )

    return jnp.moveaxis(jax.jacfwd(moved)(jnp.zeros(3)), -1, 0)


def edge_linearisation(
    bulk: Bulk,
    kT: Float[Array, ""],
    halves: Float[Array, "2 edge"],
    x: Float[Array, "unknown 2 edge"],
    host: Float[Array, "2 edge"],
    photons: Float[Array, "*size 2 edge"],
    landing: Arrival | None,
    v: Float[Array, ""],
    past: DotPast | None = None,
) -> EdgeLinearisation:
    """Differentiate edges: sums over one-way jumps at the stationary populations, or at those of dots with a past."""
    state = edge_state(bulk, kT, halves, x, v)
    site, length = state.site, jnp.sum(halves, axis=0)
    ensemble, escape, steepness = bulk.dots, None, None
    if ensemble is not None:
        escape, slope = jax.jvp(lambda f: ensemble.escape(f, kT), (site.field,), (jnp.ones_like(site.field),))
        steepness = tuple(by / jnp.where(of > 0, of, 1.0) for by, of in zip(slope, escape, strict=True))
    filled = edge_dots(bulk, state, halves, photons, landing, escape, past)
    zero = jnp.zeros_like(site.n)
    stored = site.densities * site.slopes
    charge = jnp.stack([-stored[0], stored[1], zero])
    loss = _by_local(lambda at: host_recombination(bulk, at), site)
    rows, dots = jnp.stack([charge, loss, loss]), None
    if ensemble is not None and filled is not None and steepness is not None:
        by_local, by_dots = ensemble.slopes(filled.rates, filled.populations, steepness, site.degeneracy)
        host_by_local, host_by_dots = (sum_over_jumps(ensemble.balance_stoichiometry, by) for by in (by_local, by_dots))
        host_by_local = over_sizes(host_by_local, 2)
        beyond = [(0, len(host_by_local) - 2)] * 2 + [(0, 0)] * 2
        rows = jnp.pad(rows, beyond).at[1:].add(-host_by_local)
        count = halves * ensemble.density
        charges = np.array([ensemble.states[state].charge for state in ensemble.filled], float)
        charge_by_dots = jnp.expand_dims(charges, range(1, host_by_dots.ndim - 1)) * ensemble.density
        charge_by_dots = jnp.broadcast_to(charge_by_dots, host_by_dots.shape[1:])
        dots = DotLinearisation(
            halves * jnp.concatenate([charge_by_dots[None], -host_by_dots]),
            halves * sum_over_jumps(ensemble.dot_stoichiometry, by_local),
            halves * sum_over_jumps(ensemble.dot_stoichiometry, by_dots),
            count,
            _kept(ensemble, count),
            filled.change,
        )
    return EdgeLinearisation(
        _balance(bulk, halves, state, filled, host, landing, len(x) > 3),
        halves * rows,
        _along(state, _permittivity(bulk) * kT / length, len(x)),
        kT / length,
        halves * stored,
        dots,
        landing,
    )


def _kept(dots: DotEnsemble, count: Float[Array, "*size 2 edge"]) -> Float[Array, "row filled *size 2 edge"] | None:
    """Of `count` dots: rows of other dots have with hops what the dots' own levels gain."""
    if dots.hopping is None:
        return None
    held = np.concatenate([np.zeros((3, len(dots.filled))), dots.held])
    return jnp.expand_dims(held, range(2, 2 + count.ndim)) * count


ROW_SIGNS = np.array([1.0, -1.0, -1.0, -1.0, -1.0])
"""Of (charge, loss of electrons, loss of holes, both where tunnelling ones land or to other dots) in rows of nodes."""
CHARGES = (-1, 1, -1, 1)
"""Of electrons and holes, in the host and in dots."""

# The unknowns of an edge are those of the left node, those of the right node, and v. A carrier of charge c and
# quasi-Fermi potential phi has the level c (phi - psi), holes with v besides; c phi drops along a hop.


def _of_level(carrier: int, end: int, unknowns: int) -> Float[np.ndarray, " of"]:
    """Derivative of a carrier's level at an end of an edge by the unknowns of the edge."""
    column, charge = np.zeros(2 * unknowns + 1), CHARGES[carrier]
    column[end * unknowns] = -charge
    column[end * unknowns + 1 + carrier] = charge
    column[-1] = max(charge, 0)
    return column


def _of_hop(carrier: int, unknowns: int) -> tuple[Float[np.ndarray, " of"], ...]:
    """The same of both levels, and of what drives a hop."""
    drop = np.zeros(2 * unknowns + 1)
    drop[[1 + carrier, unknowns + 1 + carrier]] = CHARGES[carrier], -CHARGES[carrier]
    return _of_level(carrier, 0, unknowns), _of_level(carrier, 1, unknowns), drop


def _of_field(unknowns: int) -> Float[np.ndarray, " of"]:
    """Of the drop of the potential."""
    column = np.zeros(2 * unknowns + 1)
    column[[0, unknowns]] = 1, -1
    return column


def _chain(slopes: Sequence[Array], columns: Sequence[Float[np.ndarray, " of"]]) -> Float[Array, "of edge"]:
    return sum((slope * column[:, None] for slope, column in zip(slopes, columns, strict=True)), jnp.zeros(()))


def _along(
    state: EdgeState, permittivity_over_length: Float[Array, " edge"], unknowns: int
) -> Float[Array, "unknown of edge"]:
    left, right, by_affinity = state.hops.slopes
    levels = state.site.slopes
    hops = list(zip(left * levels[:, 0], right * levels[:, 1], by_affinity, strict=True))
    if unknowns > 3:
        still = (jnp.zeros_like(permittivity_over_length),) * 3
        hops += [still] * 2 if state.between_dots is None else [one.slopes for one in state.between_dots]
    rows = [_chain([permittivity_over_length], [_of_field(unknowns)])]
    return jnp.stack(rows + [_chain(slopes, _of_hop(carrier, unknowns)) for carrier, slopes in enumerate(hops)])


class Followed(NamedTuple):
    """Linearised balances of edges when the dots follow the unknowns."""

    rows: Inexact[Array, "unknown of 2 edge"]
    """Of the nodes, by the unknowns of the edges."""
    far: FarRows | None
    dots: "FollowedDots | None"


class FollowedDots(NamedTuple):
    """What the dots of an edge bring to its balances, and how they follow: own * dots = local variables + source."""

    rows: Inexact[Array, "row filled *size 2 edge"]
    """Of the host by the dots."""
    own: Inexact[Array, "filled filled *size 2 edge"]


def follow(edges: EdgeLinearisation, store: Inexact[Array, ""] | float) -> Followed:
    """Eliminate the dots, which follow at the rate factor `store` (i omega; 0: dc)."""
    electrons, holes = edges.stored
    zero = jnp.zeros_like(electrons)
    storage = jnp.stack([jnp.stack(row) for row in ([zero] * 3, [electrons, zero, zero], [zero, holes, zero])])
    beyond = [(0, len(edges.rows) - 3)] * 2 + [(0, 0)] * 2
    local, dots = edges.rows + store * jnp.pad(storage, beyond), None
    if edges.dots is not None:
        own = store * edges.dots.stored * _unit_matrix(edges.dots.own) - edges.dots.own
        by_dots = edges.dots.rows if edges.dots.kept is None else edges.dots.rows + store * edges.dots.kept
        dots = FollowedDots(by_dots, own)
        followed = eliminate(own, edges.dots.local.astype(own.dtype))
        through = [by_dots[:, k, None] * followed[k] for k in range(len(own))]
        local += over_sizes(sum(through, jnp.zeros(())), 2)
    unknowns = len(edges.along)

    def by_level(carrier: int) -> Float[Array, "of 2 1"]:
        return jnp.asarray(np.stack([_of_level(carrier, end, unknowns) for end in (0, 1)], axis=1))[:, :, None]

    by_field = jnp.asarray(_of_field(unknowns))[:, None, None] * edges.field
    columns = [by_level(0), by_level(1), by_field]
    if edges.landing is not None and len(local) > 3:
        if unknowns > 3:
            columns += [by_level(2), by_level(3)]
        else:
            # the logarithms as seen where carriers land have the potential of the end, but not its quasi-Fermi levels
            without = jnp.asarray([1.0, 0, 0, 1, 0, 0, 1])[:, None, None]
            slopes = edges.landing.by_field
            columns += [without * by_level(k) + slopes[k] * by_field for k in (0, 1)]
    spread = sum((local[:, k, None] * column for k, column in enumerate(columns)), jnp.zeros(()))
    leaves = jnp.array([-1.0, 1.0])[:, None]
    signs = jnp.asarray(ROW_SIGNS)[:, None, None, None]
    if unknowns > 3:
        spread = jnp.pad(spread, [(0, unknowns - len(spread)), *[(0, 0)] * 3])
    rows = signs[:unknowns] * spread[:unknowns] + edges.along[:, :, None] * leaves
    if edges.landing is None or unknowns > 3:
        return Followed(rows, None, dots)
    if len(local) == 3:
        shapes = (2, 7, *zero.shape), (3, 2, *zero.shape), (2, 2, *zero.shape)
        return Followed(rows, FarRows(*(jnp.zeros(shape, local.dtype) for shape in shapes)), dots)
    by_level_there = jnp.asarray([-1.0, 1.0])[:, None, None] * local[:, 3:]
    return Followed(rows, FarRows(spread[3:], signs[:3] * by_level_there[:3], by_level_there[3:]), dots)


# --- all edges ---------------------------------------------------------------------------------------------------


def edge_unknowns(u: Inexact[Array, "node unknown"]) -> Inexact[Array, "unknown 2 edge"]:
    """The unknowns of both nodes of each edge, or what else nodes have as many of."""
    return jnp.stack([u[:-1].T, u[1:].T], axis=1)


def over_states(
    system: System, function: Callable, u: Float[Array, "node unknown"], v: Float[Array, ""], *per_edge: Any
) -> list:
    """Apply `function(bulk, kT, halves, x, *per_edge, v)` to each region at given unknowns; one result per region."""

    def at(bulk: Bulk, kT: Array, halves: Array, *arrays: Any) -> Any:
        return function(bulk, kT, halves, *arrays, v)

    return system.over_edges(at, edge_unknowns(u), *per_edge)


def balance(system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], light: Light) -> EdgeBalance:
    """Balances of all edges."""
    parts = over_states(system, edge_balance, u, v, light.host, light.dots, arrivals(system, u))
    return join_balances(system, u, parts)


def linearise(
    system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], light: Light
) -> list[EdgeLinearisation]:
    """Balances of all edges with their derivatives, dots kept apart; one per region."""
    return over_states(system, edge_linearisation, u, v, light.host, light.dots, arrivals(system, u))


def join_balances(system: System, u: Float[Array, "node unknown"], parts: Sequence[EdgeBalance]) -> EdgeBalance:
    """Balances of regions as one, with the current of carriers on their way between dots and landing places."""
    edges: EdgeBalance = system.join(parts)
    where = landing_places(system, u)
    if where is None or edges.far is None:
        return edges
    appeared = to_nodes(edges.far) - where.scatter(edges.far, system.nodes)
    to_the_right = jnp.cumsum(appeared[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return edges._replace(conduction=edges.conduction + to_the_right[1] - to_the_right[0])


def join_rows(
    system: System, parts: Sequence[Followed]
) -> tuple[Inexact[Array, "unknown of 2 edge"], FarRows | None, list[FollowedDots | None]]:
    """Rows of all edges, what landing places add to them, and the dots of every region."""
    rows, far = system.join([(part.rows, part.far) for part in parts])
    return rows, far, [part.dots for part in parts]


def landing_places(system: System, u: Float[Array, "node unknown"]) -> Places | None:
    """Where tunnelling carriers land, or None if all tunnelling is local."""
    if not system.far_edges:
        return None
    psi = edge_unknowns(u)[0]
    field = (psi[0] - psi[1]) * system.kT / system.lengths

    def signed(ensemble: DotEnsemble, field: Array) -> Float[Array, "2 edge"]:
        """Electrons go against the field, holes with it."""
        weight = ensemble.density / over_sizes(jnp.atleast_2d(ensemble.density))
        electrons, holes = (
            over_sizes(jnp.atleast_2d(weight * distance))[0]
            for distance in ensemble.by_carrier(BarrierEscape.landing_cm, field, system.kT)
        )
        return jnp.sign(field) * jnp.stack([-electrons, holes])

    parts = []
    for region in system.regions:
        here, dots = region.take(field), region.bulk.dots
        if dots is None or not dots.nonlocal_:
            parts.append((jnp.zeros((2, here.size)),) * 2)
        else:
            parts.append(jax.jvp(lambda f, dots=dots: signed(dots, f), (here,), (jnp.ones_like(here),)))
    reach, slope = system.join(parts)
    positions = jnp.concatenate([jnp.zeros(1), jnp.cumsum(system.lengths)])
    counts = np.asarray(system.layer_edges)
    last = np.repeat(np.cumsum(counts), counts)
    return places(positions, reach, slope, (jnp.asarray(last - np.repeat(counts, counts)), jnp.asarray(last)))


def arrivals(system: System, u: Float[Array, "node unknown"]) -> Arrival | None:
    """What dots see where their tunnelling carriers land, or among each other."""
    if system.hopping:
        _, electrons, holes, dot_electrons, dot_holes = edge_unknowns(u)
        levels = Landing(electrons - dot_electrons, dot_holes - holes)
        return Arrival(levels, jnp.zeros((2, *electrons.shape)))
    where = landing_places(system, u)
    return None if where is None else arrival(where, edge_unknowns(u)[1:], u[:, 1:].T)


def edge_states(system: System, u: Float[Array, "node unknown"], v: Float[Array, ""]) -> list[EdgeState]:
    """Sites and hops, one per region."""
    return over_states(system, edge_state, u, v)


def all_dots(
    system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], light: Light
) -> list[tuple[EdgeState, EdgeDots | None]]:
    """Sites and hops, and stationary dots, one per region."""

    def at(bulk: Bulk, kT: Array, halves: Array, x: Array, photons: Array, landing: Arrival | None, v: Array) -> Any:
        state = edge_state(bulk, kT, halves, x, v)
        return state, edge_dots(bulk, state, halves, photons, landing)

    return over_states(system, at, u, v, light.dots, arrivals(system, u))


def populations(
    system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], light: Light
) -> Float[Array, "state *size 2 edge"]:
    """Stationary dot populations at all edge ends, zeros where there are no dots."""
    parts = []
    for state, dots in all_dots(system, u, v, light):
        none = jnp.zeros((len(system.dot_states), *system.sizes, *state.site.n.shape))
        parts.append(none if dots is None else dots.populations)
    return system.join(parts)


def mean_populations(
    system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], light: Light
) -> Float[Array, "carriers 2 edge"]:
    """The same by what the dots' own levels hold (`carriers_of`), averaged over all dots of an edge end, whatever their
    size and their trap."""
    found = by_carriers(populations(system, u, v, light), system.dot_states)
    if not system.sizes:
        return found
    weights = []
    for region in system.regions:
        density = jnp.ones(()) if region.bulk.dots is None else region.bulk.dots.density
        weights.append(jnp.broadcast_to(density, (*system.sizes, 1, region.lengths.size)))
    weight = system.join(weights)
    return over_sizes(found * weight, 1) / over_sizes(weight)


def to_nodes(ends: Inexact[Array, "*any 2 edge"]) -> Inexact[Array, "*any node"]:
    """Sum what edges add to their left and right nodes."""
    zero = jnp.zeros_like(ends[..., 0, :1])
    return jnp.concatenate([ends[..., 0, :], zero], axis=-1) + jnp.concatenate([zero, ends[..., 1, :]], axis=-1)


def _metal_densities(system: System, side: int, v: Array) -> Float[Array, "2"]:
    """Carrier densities (cm^-3) at equilibrium with the metal of a contact."""
    return jnp.exp(jnp.stack(_log_densities(system.contact_bulks[side], system.kT, system.boundary(side, v)[:3], v)[0]))


def contact_affinities(system: System, side: int, u: Float[Array, " unknown"], v: Array) -> Float[Array, "2"]:
    """ln of the rate of electrons and holes into a contact over the rate out of it."""
    metal = system.boundary(side, v)
    return jnp.stack([metal[1] - u[1], u[2] - metal[2]])


def contact_nodes(u: Float[Array, "node unknown"], side: int) -> Float[Array, "2 unknown"]:
    """The unknowns at a contact and at the node next to it, whose edge has the contact's field."""
    return u[:2] if side == 0 else u[-1:-3:-1]


def _rates_out_of_metal(system: System, side: int, u: Float[Array, "2 unknown"], v: Array) -> Float[Array, "2"] | None:
    """Electrons and holes that a metal emits, cm^-2 s^-1; None where its carriers are pinned at equilibrium."""
    contact, bulk, kT = system.contacts[side], system.contact_bulks[side], system.kT
    if contact.velocities is None:
        return None
    inward_field = (u[0, 0] - u[1, 0]) * kT / system.lengths[-side]
    enhancement = contact.enhancement(bulk, inward_field, kT)
    return jnp.stack(contact.velocities) * jnp.stack(enhancement) * _metal_densities(system, side, v)


def contact_exchange(system: System, side: int, u: Float[Array, "2 unknown"], v: Array) -> Float[Array, "2"]:
    """Net loss of electrons and holes to a contact, cm^-2 s^-1 (zero where its carriers are pinned at equilibrium).

    `u` are the `contact_nodes`.
    """
    emitted = _rates_out_of_metal(system, side, u, v)
    return jnp.zeros(2) if emitted is None else emitted * jnp.expm1(contact_affinities(system, side, u[0], v))


def contact_rates(system: System, side: int, u: Float[Array, "2 unknown"], v: Array) -> Float[Array, "2"]:
    """Sum of the one-way rates of electrons and holes across a contact, cm^-2 s^-1; `u` are the `contact_nodes`."""
    emitted = _rates_out_of_metal(system, side, u, v)
    return jnp.zeros(2) if emitted is None else emitted * (1 + jnp.exp(contact_affinities(system, side, u[0], v)))


def boundary_rows(
    system: System, side: int, u: Float[Array, "2 unknown"], v: Array, rows: Float[Array, " unknown"]
) -> Float[Array, " unknown"]:
    """Replace the rows of a boundary node by its contact's conditions; `u` are the `contact_nodes`."""
    pinned = u[0] - system.boundary(side, v)
    if system.contacts[side].velocities is None:
        return pinned
    return jnp.concatenate([pinned[:1], rows[1:3] - contact_exchange(system, side, u, v), rows[3:]])


def free_rows(system: System, side: int) -> Float[Array, " unknown"]:
    """1 for the rows of a boundary node that are balances, 0 for those that pin an unknown to its contact."""
    free = 0.0 if system.contacts[side].velocities is None else 1.0
    return jnp.full(system.unknowns, free).at[0].set(0.0)


def _same_levels(system: System, u: Float[Array, "node unknown"]) -> Float[Array, "node unknown"]:
    """Rows of nodes without hops between dots: their quasi-Fermi potentials of dots are those of the host."""
    return jnp.zeros_like(u).at[:, 3:].set((u[:, 3:] - u[:, 1:3]) * (1 - system.hopping_nodes[:, None]))


def current_beside_A(system: System, u: Float[Array, "node unknown"], v: Float[Array, ""]) -> Float[Array, ""]:
    """Current into the anode (A) beside the junction: through the shunt and through leaking layers."""
    leaked = sum((leak.net(u[:, 0], v, system.kT) for leak in system.leaks), jnp.zeros(()))
    return system.shunt_conductance_S * v * system.kT + ELEMENTARY_CHARGE_C * system.area_cm2 * leaked


def ionic_charge(
    system: System, u: Float[Array, "node unknown"], levels: Float[Array, " ionic"]
) -> Float[Array, "ionic 2 edge"]:
    """Charge of the ions at rest in half of each edge (elementary charges per cm^2), one layer of ions after another.

    `levels` are their electrochemical potentials over kT/q.
    """
    psi = edge_unknowns(u)[0]
    charge = jnp.zeros((len(system.ionic), *psi.shape))
    for index, layer in enumerate(system.ionic):
        run = slice(*layer.run)
        charge = charge.at[index, :, run].set(layer.ions.excess(levels[index], psi[:, run]))
    return charge * system.halves


def end_fields(
    system: System, u: Float[Array, "node unknown"], v: Float[Array, ""], ions: Float[Array, " ionic"], light: Light
) -> Float[Array, "2 edge"]:
    """Field along +x at both ends of every edge, V/cm: that of the edge and of the charge between its middle and the
    end, by Poisson's equation; so that eps F is the same on both sides of an interface.
    """
    charged, flux = balance(system, u, v, light).rows[0], jnp.asarray([-1.0, 1.0])[:, None]
    ionic = system.frozen_charge + jnp.sum(ionic_charge(system, u, ions), axis=0)
    permittivity = system.join([_permittivity(region.bulk) for region in system.regions])
    return flux * (charged + ionic) / permittivity


def ion_slopes(
    system: System, u: Float[Array, "node unknown"], levels: Float[Array, " ionic"]
) -> Float[Array, "ionic 2 edge"]:
    """Derivative of the charge in half of each edge by the level of its layer."""
    return jax.jvp(lambda at: ionic_charge(system, u, at), (levels,), (jnp.ones_like(levels),))[1]


def ion_number(system: System, layer: IonicLayer) -> Float[Array, ""]:
    """Charge of all ions of a layer, elementary charges per cm^2."""
    return layer.ions.charge * layer.ions.density * jnp.sum(system.lengths[slice(*layer.run)])


def conservation(system: System, charge: Float[Array, "ionic 2 edge"]) -> Float[Array, " ionic"]:
    """Share of the ions of each layer that there are too many of; zero at the operating point."""
    size = jnp.asarray([ion_number(system, layer) for layer in system.ionic])
    return jnp.sum(charge, axis=(1, 2)) / size


def collect(
    system: System,
    u: Float[Array, "node unknown"],
    v: Float[Array, ""],
    edges: EdgeBalance,
    ions: Float[Array, "ionic 2 edge"],
) -> Float[Array, "node unknown"]:
    """Rows of all nodes from the balances of all edges and the charge of ions in their halves (per cm^2)."""
    charge = system.frozen_charge + jnp.sum(ions, axis=0)
    rows = to_nodes(edges.rows.at[0].add(charge)).T
    where = landing_places(system, u)
    if where is not None and edges.far is not None:
        rows = rows.at[:, 1:].add(-where.scatter(edges.far, system.nodes).T)
    if system.hopping:
        rows += _same_levels(system, u)
    left = boundary_rows(system, 0, contact_nodes(u, 0), v, rows[0])
    right = boundary_rows(system, 1, contact_nodes(u, 1), v, rows[-1])
    return rows.at[0].set(left).at[-1].set(right)


def assemble(
    system: System,
    u: Float[Array, "node unknown"],
    v: Float[Array, ""],
    by_unknowns: Inexact[Array, "unknown of 2 edge"],
) -> tuple[BlockTridiagonal, Inexact[Array, "node unknown"]]:
    """Blocks and the column of the junction voltage from the edges' derivatives, with the contacts' rows put in."""
    unknowns = system.unknowns
    left, right, column = by_unknowns[:, :unknowns], by_unknowns[:, unknowns:-1], by_unknowns[:, -1]
    zero = jnp.zeros_like(left[:, :, 0, :1])
    diagonal = to_nodes(jnp.stack([left[:, :, 0], right[:, :, 1]], axis=2))
    if system.hopping:
        apart = 1 - system.hopping_nodes
        for carrier in (0, 1):
            diagonal = diagonal.at[3 + carrier, 3 + carrier].add(apart).at[3 + carrier, 1 + carrier].add(-apart)
    upper = jnp.concatenate([right[:, :, 0], zero], axis=-1)
    lower = jnp.concatenate([zero, left[:, :, 1]], axis=-1)
    lower, diagonal, upper, columns = (jnp.moveaxis(a, -1, 0) for a in (lower, diagonal, upper, to_nodes(column)))
    for side, node in ((0, 0), (1, -1)):
        free = free_rows(system, side)

        def own_rows(at_nodes: Array, at_v: Array, side: int = side) -> Array:
            return boundary_rows(system, side, at_nodes, at_v, jnp.zeros(unknowns))

        own, by_v = jax.jacfwd(own_rows, (0, 1))(contact_nodes(u, side), v)
        diagonal = diagonal.at[node].set(free[:, None] * diagonal[node] + own[:, 0])
        columns = columns.at[node].set(free * columns[node] + by_v)
        if side == 0:
            upper = upper.at[node].set(free[:, None] * upper[node] + own[:, 1])
        else:
            lower = lower.at[node].set(free[:, None] * lower[node] + own[:, 1])
    return BlockTridiagonal(lower, diagonal, upper), columns
