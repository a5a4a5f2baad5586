"""From a device to its equations: sums over mesh edges of what hops along them and of what jumps at their ends.

Unknowns of a node, all over kT/q: the potential `psi` (vacuum level at zero), and the quasi-Fermi potentials of
electrons and holes, each RELATIVE TO ITS OWN CONTACT: `phi_n - V_cathode` and `phi_p - V_anode`. A majority
quasi-Fermi level that is flat to 1e-15 keeps all its digits only in this form; without it the dark current in a doped
layer is round-off. The cathode is at zero, the anode at the junction voltage `v`, which is the one global unknown (it
differs from the applied voltage by the drop on the series resistance).

Rows of a node: Poisson's equation and the balances of electrons and holes, each `inflow - outflow + generation -
recombination` in particles per cm^2 (and per second). An edge belongs to one layer and gives half its length to each
of its nodes; a node on a material interface collects from either side with either material, which keeps order 2 there.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Contact, Device
from invdesign.device.mesh import edge_lengths
from invdesign.materials.semiconductor import Bulk
from invdesign.processes.dots import DOT_STOICHIOMETRY, ELECTRON, HOLE, HOST_STOICHIOMETRY, DotRates, Escape
from invdesign.processes.site import Site
from invdesign.processes.transport import Hop, hop
from invdesign.solve.tridiagonal import BlockTridiagonal, eliminate


class Light(eqx.Module):
    """Absorbed photons in each half edge, cm^-2 s^-1, by what absorbs them."""

    host: Float[Array, "edge 2"]
    dots: Float[Array, "edge 2"]


class Region(eqx.Module):
    """The edges of all layers that have the same kinds of processes; they are computed together."""

    bulk: Bulk
    """With one value per edge in every leaf."""
    lengths: Float[Array, " edge"]
    """cm."""
    where: tuple[int, ...] = eqx.field(static=True)
    """Indices of the edges in the device."""

    def take(self, per_edge: Array) -> Array:
        """The region's part of an array over all edges."""
        return per_edge[np.asarray(self.where)]


class System(eqx.Module):
    """The discretised device."""

    regions: tuple[Region, ...]
    lengths: Float[Array, " edge"]
    """All edges from left to right, cm."""
    contacts: tuple[Contact, Contact]
    contact_bulks: tuple[Bulk, Bulk]
    contact_potentials: Float[Array, "2"]
    kT: Float[Array, ""]
    area_cm2: Float[Array, ""]
    series_resistance_ohm: Float[Array, ""]
    shunt_conductance_S: Float[Array, ""]
    layer_edges: tuple[int, ...] = eqx.field(static=True)
    """Edges of each layer that carries current, left to right."""
    anode: int = eqx.field(static=True)
    """0 where the anode is the left contact, 1 where it is the right one."""
    read_edge: int = eqx.field(static=True)
    """Edge at which the terminal current is read."""

    @property
    def nodes(self) -> int:
        """Mesh nodes."""
        return sum(self.layer_edges) + 1

    @property
    def polarity(self) -> int:
        """Sign of the terminal current (into the anode) against the current density along +x."""
        return 1 if self.anode == 0 else -1

    def by_layer(self, per_edge: Array) -> list[Array]:
        """Cut an array over all edges into one per layer."""
        return jnp.split(per_edge, np.cumsum(self.layer_edges)[:-1])

    def join(self, parts: list) -> Any:
        """Trees of arrays over the edges of each region, as one tree over all edges."""
        order = np.argsort(np.concatenate([region.where for region in self.regions]))
        return jax.tree.map(lambda *arrays: jnp.concatenate(arrays)[order], *parts)

    def over_edges(self, function: Callable, *per_edge: Array) -> list:
        """Apply `function(bulk, kT, length, *per_edge)` to every edge; one result per region."""
        return [
            jax.vmap(function, (0, None, 0) + (0,) * len(per_edge))(
                region.bulk, self.kT, region.lengths, *(region.take(array) for array in per_edge)
            )
            for region in self.regions
        ]

    def boundary(self, side: int, v: Float[Array, ""]) -> Float[Array, "3"]:
        """Contact potential and quasi-Fermi potentials of the metal at one side, in the unknowns' own references."""
        zero = jnp.zeros_like(v)
        if side == self.anode:
            return jnp.stack([self.contact_potentials[side] + v, v, zero])
        return jnp.stack([self.contact_potentials[side], zero, -v])


def discretise(device: Device) -> System:
    """Put a device on its mesh. Differentiable in every quantity of the device."""
    kT = device.kT
    layers = [device.layers[name] for name in device.electrical]
    bulks = [device.bulk(name) for name in device.electrical]
    counts = [layer.edges for layer in layers]
    lengths = [edge_lengths(device.thickness_cm(name), device.layers[name].edges) for name in device.electrical]
    starts = np.cumsum([0, *counts])
    kinds: dict[object, list[int]] = {}
    for index, bulk in enumerate(bulks):
        kinds.setdefault(jax.tree.structure(bulk), []).append(index)
    regions = []
    for members in kinds.values():

        def spread(*leaves: Array, members: list[int] = members) -> Array:
            return jnp.concatenate([jnp.full(counts[i], leaf) for i, leaf in zip(members, leaves, strict=True)])

        where = tuple(int(edge) for i in members for edge in range(starts[i], starts[i + 1]))
        region_lengths = jnp.concatenate([lengths[i] for i in members])
        regions.append(Region(jax.tree.map(spread, *(bulks[i] for i in members)), region_lengths, where))
    contacts = (device.contacts.left, device.contacts.right)
    ends = (bulks[0], bulks[-1])
    finest = max(device.active, key=lambda name: device.layers[name].edges)
    read = device.electrical.index(finest)
    return System(
        tuple(regions),
        jnp.concatenate(lengths),
        contacts,
        ends,
        jnp.stack([contact.potential(bulk, kT) for contact, bulk in zip(contacts, ends, strict=True)]),
        kT,
        device.area_cm2,
        device.terminals.series_resistance_ohm,
        device.shunt_conductance_S_per_cm2 * device.area_cm2,
        tuple(counts),
        0 if device.anode == "left" else 1,
        int(starts[read]) + counts[read] // 2,
    )


def no_light(system: System) -> Light:
    """Darkness."""
    nothing = jnp.zeros((system.nodes - 1, 2))
    return Light(nothing, nothing)


# --- one edge ----------------------------------------------------------------------------------------------------


class EdgeState(NamedTuple):
    """Everything that happens on one edge, in jump language."""

    sites: tuple[Site, Site]
    electron: Hop
    hole: Hop
    displacement: Float[Array, ""]
    """eps E, in elementary charges per cm^2."""


class EdgeBalance(NamedTuple):
    """What one edge adds to the rows of its two nodes."""

    rows: Float[Array, "2 3"]
    conduction: Float[Array, ""]
    """Current density along +x over q, cm^-2 s^-1."""


class EdgeLinearisation(NamedTuple):
    """Derivatives of an edge's balances with its dots kept as unknowns of their own.

    The last axis runs over the 6 unknowns of both nodes and the junction voltage.
    """

    rows: Float[Array, "2 3 7"]
    rows_by_dots: Float[Array, "2 3 3"]
    """Rows of a node by the dots (e, h, X) at the same end."""
    dots: Float[Array, "2 3 7"]
    dots_by_dots: Float[Array, "2 3 3"]
    storage: Float[Array, "2 3 7"]
    dot_storage: Float[Array, ""]
    """Dots per cm^2 in half an edge."""
    conduction: Float[Array, "7"]
    displacement: Float[Array, "7"]


def edge_state(bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"]) -> EdgeState:
    """Sites and hops of an edge; `x` holds the unknowns of the left node, the right node, and the junction voltage."""
    v = x[6]
    affinity, gap = bulk.electron_affinity / kT, bulk.band_gap / kT
    ni2 = jnp.exp(bulk.log_nc + bulk.log_nv - gap)
    field = -(x[3] - x[0]) * kT / length

    def site(u: Float[Array, "3"]) -> Site:
        log_n = bulk.log_nc + u[0] + affinity - u[1]
        log_p = bulk.log_nv + (v + u[2]) - u[0] - affinity - gap
        return Site(log_n, log_p, jnp.exp(log_n), jnp.exp(log_p), ni2, v + u[2] - u[1], field, kT)

    left, right = site(x[0:3]), site(x[3:6])
    electron = hop(bulk.electron_mobility * kT / length, left.log_n, right.log_n, x[4] - x[1])
    hole = hop(bulk.hole_mobility * kT / length, left.log_p, right.log_p, x[2] - x[5])
    permittivity = bulk.permittivity * VACUUM_PERMITTIVITY_F_PER_CM / ELEMENTARY_CHARGE_C
    return EdgeState((left, right), electron, hole, permittivity * field)


def dot_rates(bulk: Bulk, state: EdgeState, length: Array, photons: Float[Array, "2"]) -> list[DotRates]:
    """Rates of one dot at both ends of an edge; `photons` are those absorbed by dots in either half (cm^-2 s^-1)."""
    assert bulk.dots is not None
    escape = bulk.dots.escape(state.sites[0].field, state.sites[0].kT)
    excitation = photons / (length / 2 * bulk.dots.density)
    return [bulk.dots.rates(site, escape, light) for site, light in zip(state.sites, excitation, strict=True)]


def _rows(
    state: EdgeState, charge: Float[Array, "2"], loss_n: Float[Array, "2"], loss_p: Float[Array, "2"]
) -> Float[Array, "2 3"]:
    """Rows of both nodes from an edge's hops and from the charge and losses (per cm^2) in its halves."""
    d, n, p = state.displacement, state.electron.net, state.hole.net
    left = jnp.stack([charge[0] - d, -n - loss_n[0], -p - loss_p[0]])
    right = jnp.stack([charge[1] + d, n - loss_n[1], p - loss_p[1]])
    return jnp.stack([left, right])


def host_recombination(bulk: Bulk, site: Site) -> Float[Array, ""]:
    """Net recombination of the host, cm^-3 s^-1."""
    return sum(process.backward(site) for process in bulk.recombination) * jnp.expm1(site.affinity)


def both_ends(parts: Sequence[Any]) -> Any:
    """The trees of the left and the right end as one tree, with the ends along the first axis."""
    return jax.tree.map(lambda *ends: jnp.stack(ends), *parts)


def edge_balance(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], host: Float[Array, "2"], dots: Float[Array, "2"]
) -> EdgeBalance:
    """Stationary balance of an edge: dots at their stationary populations, net rates written with expm1."""
    state = edge_state(bulk, kT, length, x)
    half = length / 2
    sites = both_ends(state.sites)
    recombination = jax.vmap(lambda site: host_recombination(bulk, site))(sites)
    density = sites.p - sites.n + bulk.doping
    if bulk.dots is not None:
        rates = both_ends(dot_rates(bulk, state, length, dots))
        populations, through_dots = jax.vmap(bulk.dots.stationary)(sites, rates)
        recombination += through_dots
        density += bulk.dots.density * (populations[:, HOLE] - populations[:, ELECTRON])
    loss = half * recombination - host
    return EdgeBalance(_rows(state, half * density, loss, loss), state.hole.net - state.electron.net)


def edge_populations(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], dots: Float[Array, "2"]
) -> Float[Array, "2 4"]:
    """Stationary dot populations at both ends of an edge (zeros without dots)."""
    if bulk.dots is None:
        return jnp.zeros((2, 4))
    state = edge_state(bulk, kT, length, x)
    rates = both_ends(dot_rates(bulk, state, length, dots))
    return jax.vmap(bulk.dots.stationary)(both_ends(state.sites), rates)[0]


def _end_linearisation(
    bulk: Bulk,
    half: Array,
    site: Site,
    populations: Float[Array, "4"],
    photons: Float[Array, ""],
    escape: tuple[Escape, Escape] | None,
) -> Float[Array, "8 6"]:
    """Derivatives of what happens at one end of an edge, as sums over one-way jumps.

    Rows: charge, losses of electrons and holes, balances of the dot states (e, h, X), stored electrons and holes.
    Columns: ln n, ln
    p, field, and the populations of (e, h, X) at the cost of the empty state. `escape` is the field's enhancement and
    its slope: a
    first derivative is all that is wanted, and the barrier integrals need not be carried along in six directions.
    """

    def happens(moved: Float[Array, "6"]) -> Float[Array, "8"]:
        n, p = site.n * jnp.exp(moved[0]), site.p * jnp.exp(moved[1])
        here = dataclasses.replace(site, n=n, p=p, affinity=site.affinity + moved[0] + moved[1])
        loss_n = loss_p = host_recombination(bulk, here)
        density, dot_row = p - n + bulk.doping, jnp.zeros(3)
        if bulk.dots is not None and escape is not None:
            enhanced = jax.tree.map(lambda value, slope: value + slope * moved[2], *escape)
            filling = populations + jnp.concatenate([-jnp.sum(moved[3:], keepdims=True), moved[3:]])
            rates = bulk.dots.rates(here, enhanced, photons / (half * bulk.dots.density))
            forward, backward = bulk.dots.one_way(rates, filling)
            net = forward - backward
            gain_n, gain_p = jnp.asarray(HOST_STOICHIOMETRY, jnp.float64).T @ net
            loss_n, loss_p = loss_n - gain_n, loss_p - gain_p
            dot_row = jnp.asarray(DOT_STOICHIOMETRY, jnp.float64).T @ net
            density += bulk.dots.density * (filling[HOLE] - filling[ELECTRON])
        return half * jnp.concatenate([jnp.stack([density, loss_n, loss_p]), dot_row, jnp.stack([n, p])])

    return jax.jacfwd(happens)(jnp.zeros(6))


def edge_linearisation(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], dots: Float[Array, "2"]
) -> EdgeLinearisation:
    """Differentiate an edge's one-way jumps at its stationary populations."""
    populations = edge_populations(bulk, kT, length, x, dots)
    state = edge_state(bulk, kT, length, x)
    half = length / 2
    escape = None
    if bulk.dots is not None:
        ensemble, field = bulk.dots, state.sites[0].field
        escape = jax.jvp(lambda f: ensemble.escape(f, kT), (field,), (jnp.ones_like(field),))
    ends = jax.vmap(lambda site, filling, photons: _end_linearisation(bulk, half, site, filling, photons, escape))(
        both_ends(state.sites), populations, dots
    )

    def hops(x: Float[Array, "7"]) -> tuple[Array, Array, Array]:
        moved = edge_state(bulk, kT, length, x)
        return moved.electron.net, moved.hole.net, moved.displacement

    electron, hole, displacement = jax.jacfwd(hops)(x)
    # ln n = psi - phi_n, ln p = v + phi_p - psi, and the field, by the seven unknowns of the edge
    slope = kT / length
    by_left = jnp.asarray([[1.0, -1, 0, 0, 0, 0, 0], [-1, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]])
    by_right = jnp.asarray([[0.0, 0, 0, 1, -1, 0, 0], [0, 0, 0, -1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]])
    by_unknowns = jnp.stack([by_left, by_right]).at[:, 2, 0].set(slope).at[:, 2, 3].set(-slope)
    local = ends[:, :, :3] @ by_unknowns
    out = jnp.stack([displacement, electron, hole])
    sign = jnp.asarray([1.0, -1.0, -1.0])[:, None]
    rows = jnp.stack([sign * local[0, :3] - out, sign * local[1, :3] + out])
    storage = jnp.concatenate([jnp.zeros((2, 1, 7)), local[:, 6:]], axis=1)
    density = jnp.zeros(()) if bulk.dots is None else bulk.dots.density
    return EdgeLinearisation(
        rows,
        sign * ends[:, :3, 3:],
        local[:, 3:6],
        ends[:, 3:6, 3:],
        storage,
        density * half,
        hole - electron,
        displacement,
    )


# --- all edges ---------------------------------------------------------------------------------------------------


def edge_unknowns(u: Float[Array, "node 3"], v: Float[Array, ""]) -> Float[Array, "edge 7"]:
    """The unknowns that each edge sees."""
    return jnp.concatenate([u[:-1], u[1:], jnp.full((u.shape[0] - 1, 1), v)], axis=1)


def balance(system: System, u: Float[Array, "node 3"], v: Float[Array, ""], light: Light) -> EdgeBalance:
    """Balances of all edges."""
    return system.join(system.over_edges(edge_balance, edge_unknowns(u, v), light.host, light.dots))


def linearise(system: System, u: Float[Array, "node 3"], v: Float[Array, ""], light: Light) -> EdgeLinearisation:
    """Linearisations of all edges, dots kept apart."""
    return system.join(system.over_edges(edge_linearisation, edge_unknowns(u, v), light.dots))


def populations(system: System, u: Array, v: Array, light: Light) -> Float[Array, "edge 2 4"]:
    """Stationary dot populations at all edge ends."""
    return system.join(system.over_edges(edge_populations, edge_unknowns(u, v), light.dots))


def edge_states(system: System, u: Array, v: Array) -> EdgeState:
    """Sites and hops of all edges."""
    return system.join(system.over_edges(edge_state, edge_unknowns(u, v)))


def to_nodes(ends: Inexact[Array, "edge 2 *any"]) -> Inexact[Array, "node *any"]:
    """Sum what edges add to their left and right nodes."""
    zero = jnp.zeros_like(ends[:1, 0])
    return jnp.concatenate([ends[:, 0], zero]) + jnp.concatenate([zero, ends[:, 1]])


def without_dots(
    edges: EdgeLinearisation, store: Inexact[Array, ""] | float
) -> tuple[Inexact[Array, "edge 2 3 7"], Inexact[Array, "edge 2 3 3"]]:
    """Eliminate the dots' populations at the rate factor `store` (i omega; 0 for dc).

    Returns the rows by the unknowns alone, and the dots' own matrix (the identity where there are none).
    """
    has_dots = edges.dot_storage[:, None, None, None] > 0
    own = store * edges.dot_storage[:, None, None, None] * jnp.eye(3) - edges.dots_by_dots
    own = jnp.where(has_dots, own, jnp.eye(3))
    # leading axes to the back: elimination then works on whole arrays of scalars
    followed = jnp.moveaxis(
        eliminate(jnp.moveaxis(own, (0, 1), (2, 3)), jnp.moveaxis(edges.dots.astype(own.dtype), (0, 1), (2, 3))),
        (2, 3),
        (0, 1),
    )
    return edges.rows - store * edges.storage + edges.rows_by_dots @ followed, own


def _metal_densities(system: System, side: int, v: Array) -> Float[Array, "2"]:
    """Carrier densities (cm^-3) at equilibrium with the metal of a contact."""
    metal = system.boundary(side, v)
    bulk, kT = system.contact_bulks[side], system.kT
    log_n = bulk.log_nc + metal[0] + bulk.electron_affinity / kT - metal[1]
    log_p = bulk.log_nv + (v + metal[2]) - metal[0] - (bulk.electron_affinity + bulk.band_gap) / kT
    return jnp.exp(jnp.stack([log_n, log_p]))


def contact_affinities(system: System, side: int, u: Float[Array, "3"], v: Array) -> Float[Array, "2"]:
    """ln of the rate of electrons and holes into a contact over the rate out of it."""
    metal = system.boundary(side, v)
    return jnp.stack([metal[1] - u[1], u[2] - metal[2]])


def contact_exchange(system: System, side: int, u: Float[Array, "3"], v: Array) -> Float[Array, "2"]:
    """Net loss of electrons and holes to a contact, cm^-2 s^-1 (zero where its carriers are pinned at equilibrium)."""
    velocities = system.contacts[side].velocities
    if velocities is None:
        return jnp.zeros(2)
    density = _metal_densities(system, side, v)
    return jnp.stack(velocities) * density * jnp.expm1(contact_affinities(system, side, u, v))


def contact_rates(system: System, side: int, u: Float[Array, "3"], v: Array) -> Float[Array, "2"]:
    """Sum of the one-way rates of electrons and holes across a contact, cm^-2 s^-1."""
    velocities = system.contacts[side].velocities
    if velocities is None:
        return jnp.zeros(2)
    density = _metal_densities(system, side, v)
    return jnp.stack(velocities) * density * (1 + jnp.exp(contact_affinities(system, side, u, v)))


def boundary_rows(
    system: System, side: int, u: Float[Array, "3"], v: Array, rows: Float[Array, "3"]
) -> Float[Array, "3"]:
    """Replace the rows of a boundary node by its contact's conditions."""
    pinned = u - system.boundary(side, v)
    if system.contacts[side].velocities is None:
        return pinned
    return jnp.concatenate([pinned[:1], rows[1:] - contact_exchange(system, side, u, v)])


def free_rows(system: System, side: int) -> Float[Array, "3"]:
    """1 for the rows of a boundary node that are balances, 0 for those that pin an unknown to its contact."""
    return jnp.asarray([0.0, 0.0, 0.0] if system.contacts[side].velocities is None else [0.0, 1.0, 1.0])


def residual(system: System, u: Float[Array, "node 3"], v: Float[Array, ""], light: Light) -> Float[Array, "node 3"]:
    """Rows of all nodes; zero at the operating point."""
    return collect(system, u, v, balance(system, u, v, light))


def collect(
    system: System, u: Float[Array, "node 3"], v: Float[Array, ""], edges: EdgeBalance
) -> Float[Array, "node 3"]:
    """Rows of all nodes from the balances of all edges."""
    rows = to_nodes(edges.rows)
    left = boundary_rows(system, 0, u[0], v, rows[0])
    right = boundary_rows(system, 1, u[-1], v, rows[-1])
    return rows.at[0].set(left).at[-1].set(right)


def assemble(
    system: System, u: Array, v: Array, by_unknowns: Inexact[Array, "edge 2 3 7"]
) -> tuple[BlockTridiagonal, Inexact[Array, "node 3"]]:
    """Blocks and the column of the junction voltage from the edges' derivatives, with the contacts' rows put in."""
    left, right, column = by_unknowns[..., 0:3], by_unknowns[..., 3:6], by_unknowns[..., 6]
    zero = jnp.zeros_like(left[:1, 0])
    diagonal = jnp.concatenate([left[:, 0], zero]) + jnp.concatenate([zero, right[:, 1]])
    upper = jnp.concatenate([right[:, 0], zero])
    lower = jnp.concatenate([zero, left[:, 1]])
    columns = to_nodes(column)
    for side, node, inner in ((0, 0, upper), (1, -1, lower)):
        free = free_rows(system, side)
        own, by_v = jax.jacfwd(lambda a, b: boundary_rows(system, side, a, b, jnp.zeros(3)), (0, 1))(u[node], v)  # noqa: B023
        diagonal = diagonal.at[node].set(free[:, None] * diagonal[node] + own)
        columns = columns.at[node].set(free * columns[node] + by_v)
        inner_row = free[:, None] * inner[node]
        if side == 0:
            upper = upper.at[0].set(inner_row)
        else:
            lower = lower.at[-1].set(inner_row)
    return BlockTridiagonal(lower, diagonal, upper), columns
