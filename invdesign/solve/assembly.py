"""From a device to its equations: sums over mesh edges of what hops along them and of what jumps at their ends.

Unknowns of a node, all over kT/q: the potential `psi` (vacuum level at zero), and the quasi-Fermi potentials of electrons and
holes, each RELATIVE TO ITS OWN CONTACT: `phi_n - V_cathode` and `phi_p - V_anode`. A majority quasi-Fermi level that is flat to
1e-15 keeps all its digits only in this form; without it the dark current in a doped layer is round-off. The cathode is at
zero, the anode at the junction voltage `v`, which is the one global unknown (it differs from the applied voltage by the drop
on the series resistance).

Rows of a node: Poisson's equation and the balances of electrons and holes, each `inflow - outflow + generation -
recombination` in particles per cm^2 (and per second). An edge belongs to one layer and gives half its length to each of its
nodes; a node on a material interface collects from either side with either material, which keeps order 2 there.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Contact, Device
from invdesign.device.mesh import edge_lengths
from invdesign.materials.semiconductor import Bulk
from invdesign.processes.dots import JUMPS
from invdesign.processes.site import Site
from invdesign.processes.transport import Hop, hop
from invdesign.solve.tridiagonal import BlockTridiagonal

PSI, ELECTRONS, HOLES = range(3)

#: what each dot jump adds to (e, h, X) per forward step; the empty state follows from the sum
_DOT_STOICHIOMETRY = tuple(
    tuple((jump.target == state) - (jump.origin == state) for state in (1, 2, 3)) for jump in JUMPS
)
#: what it adds to (psi row: nothing, n, p)
_HOST_STOICHIOMETRY = tuple((0, jump.electrons, jump.holes) for jump in JUMPS)


class Light(eqx.Module):
    """Absorbed photons in each half edge (cm^-2 s^-1) of one layer, by what absorbs them."""

    host: Float[Array, "edge 2"]
    dots: Float[Array, "edge 2"]


class Region(eqx.Module):
    """One layer on the mesh."""

    bulk: Bulk
    lengths: Float[Array, " edge"]
    """cm."""


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
    displacement: Float[Array, ""]


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


class System(eqx.Module):
    """The discretised device."""

    regions: tuple[Region, ...]
    contacts: tuple[Contact, Contact]
    contact_potentials: Float[Array, "2"]
    kT: Float[Array, ""]
    area_cm2: Float[Array, ""]
    series_resistance_ohm: Float[Array, ""]
    shunt_conductance_S: Float[Array, ""]
    anode: int = eqx.field(static=True)
    """0 where the anode is the left contact, 1 where it is the right one."""
    read_edge: int = eqx.field(static=True)
    """Edge at which the terminal current is read."""

    @property
    def edges(self) -> tuple[int, ...]:
        """Edges of each region."""
        return tuple(region.lengths.shape[0] for region in self.regions)

    @property
    def nodes(self) -> int:
        """Mesh nodes."""
        return sum(self.edges) + 1

    @property
    def polarity(self) -> int:
        """Sign of the terminal current (into the anode) against the current density along +x."""
        return 1 if self.anode == 0 else -1

    @property
    def lengths(self) -> Float[Array, " edge"]:
        """All edge lengths, cm."""
        return jnp.concatenate([region.lengths for region in self.regions])

    def split(self, per_edge: Array) -> list[Array]:
        """Cut an array over all edges into one per region."""
        ends = [sum(self.edges[: i + 1]) for i in range(len(self.edges))]
        return jnp.split(per_edge, ends[:-1])

    # --- boundary values -------------------------------------------------------------------------------------------

    def boundary(self, side: int, v: Float[Array, ""]) -> Float[Array, "3"]:
        """Contact potential and quasi-Fermi potentials of the metal at one side, in the unknowns' own references."""
        zero = jnp.zeros_like(v)
        if side == self.anode:
            return jnp.stack([self.contact_potentials[side] + v, v, zero])
        return jnp.stack([self.contact_potentials[side], zero, -v])


def discretise(device: Device) -> System:
    """Put a device on its mesh. Differentiable in every quantity of the device."""
    kT = device.kT
    regions = tuple(
        Region(device.layers[name].material.bulk(kT), edge_lengths(device.thickness_cm(name), device.layers[name].edges))  # type: ignore[attr-defined]
        for name in device.electrical
    )
    contacts = (device.contacts.left, device.contacts.right)
    potentials = [contacts[0].potential(regions[0].bulk, kT), contacts[1].potential(regions[-1].bulk, kT)]
    counts = [region.lengths.shape[0] for region in regions]
    widest = device.electrical.index(device.active)
    return System(
        regions,
        contacts,
        jnp.stack(potentials),
        kT,
        device.area_cm2,
        device.terminals.series_resistance_ohm,
        device.shunt_conductance_S_per_cm2 * device.area_cm2,
        0 if device.anode == "left" else 1,
        sum(counts[:widest]) + counts[widest] // 2,
    )


def no_light(system: System) -> tuple[Light, ...]:
    """Darkness."""
    return tuple(Light(jnp.zeros((n, 2)), jnp.zeros((n, 2))) for n in system.edges)


# --- one edge ----------------------------------------------------------------------------------------------------


def _edge_state(bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"]) -> EdgeState:
    """Sites and hops of an edge; `x` holds the unknowns of the left node, the right node, and the junction voltage."""
    v = x[6]
    affinity_n, gap = bulk.electron_affinity / kT, bulk.band_gap / kT
    log_ni2 = bulk.log_nc + bulk.log_nv - gap
    field = -(x[3] - x[0]) * kT / length

    def site(u: Float[Array, "3"]) -> Site:
        log_n = bulk.log_nc + u[0] + affinity_n - u[1]
        log_p = bulk.log_nv + (v + u[2]) - u[0] - affinity_n - gap
        split = v + u[2] - u[1]
        return Site(log_n, log_p, jnp.exp(log_n), jnp.exp(log_p), jnp.exp(log_ni2), split, field, kT)

    left, right = site(x[0:3]), site(x[3:6])
    electron = hop(bulk.electron_mobility * kT / length, left.log_n, right.log_n, x[4] - x[1])
    hole = hop(bulk.hole_mobility * kT / length, left.log_p, right.log_p, x[2] - x[5])
    permittivity = bulk.permittivity * VACUUM_PERMITTIVITY_F_PER_CM / ELEMENTARY_CHARGE_C
    return EdgeState((left, right), electron, hole, permittivity * field)


def _rows(state: EdgeState, charge: list[Array], loss_n: list[Array], loss_p: list[Array]) -> Float[Array, "2 3"]:
    """Rows of both nodes from an edge's hops and from the charge and losses (per cm^2) in its halves."""
    d, n, p = state.displacement, state.electron.net, state.hole.net
    left = jnp.stack([charge[0] - d, -n - loss_n[0], -p - loss_p[0]])
    right = jnp.stack([charge[1] + d, n - loss_n[1], p - loss_p[1]])
    return jnp.stack([left, right])


def _excitation(bulk: Bulk, photons: Array, half: Array) -> Array:
    """Optical excitation rate of one empty dot, 1/s."""
    return photons / (half * bulk.dots.density) if bulk.dots is not None else jnp.zeros_like(half)


def edge_balance(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], host: Float[Array, "2"], dots: Float[Array, "2"]
) -> EdgeBalance:
    """Stationary balance of an edge: dots at their stationary populations, net rates written with expm1."""
    state = _edge_state(bulk, kT, length, x)
    half = length / 2
    charge, loss = [], []
    for site, host_photons, dot_photons in zip(state.sites, host, dots, strict=True):
        rate = sum(process.backward(site) for process in bulk.recombination) * jnp.expm1(site.affinity)
        density = site.p - site.n + bulk.doping
        if bulk.dots is not None:
            rates = bulk.dots.rates(site, _excitation(bulk, dot_photons, half))
            populations, through_dots = bulk.dots.stationary(site, rates)
            rate += through_dots
            density += bulk.dots.density * (populations[2] - populations[1])
        charge.append(half * density)
        loss.append(half * rate - host_photons)
    return EdgeBalance(_rows(state, charge, loss, loss), state.hole.net - state.electron.net, state.displacement)


def _jump_rows(
    bulk: Bulk,
    kT: Array,
    length: Array,
    x: Float[Array, "7"],
    populations: Float[Array, "2 4"],
    shift: Float[Array, "2 3"],
    dots: Float[Array, "2"],
) -> tuple[Array, Array, Array, Array, Array]:
    """Rows, dot balances, storage and fluxes of an edge as sums over its one-way jumps; only its derivatives are used.

    The populations are `populations` displaced by `shift` in (e, h, X) at the cost of the empty state.
    """
    state = _edge_state(bulk, kT, length, x)
    half = length / 2
    charge, loss_n, loss_p, dot_rows, storage = [], [], [], [], []
    for end, site in enumerate(state.sites):
        rate = sum(process.backward(site) for process in bulk.recombination) * jnp.expm1(site.affinity)
        density = site.p - site.n + bulk.doping
        n, p, dot_row = rate, rate, jnp.zeros(3)
        if bulk.dots is not None:
            filling = populations[end] + jnp.concatenate([-jnp.sum(shift[end], keepdims=True), shift[end]])
            rates = bulk.dots.rates(site, _excitation(bulk, dots[end], half))
            forward, backward = bulk.dots.one_way(rates, filling)
            net = forward - backward
            host = jnp.asarray(_HOST_STOICHIOMETRY, jnp.float64).T @ net
            n, p = n - host[1], p - host[2]
            dot_row = jnp.asarray(_DOT_STOICHIOMETRY, jnp.float64).T @ net
            density += bulk.dots.density * (filling[2] - filling[1])
        charge.append(half * density)
        loss_n.append(half * n)
        loss_p.append(half * p)
        dot_rows.append(half * dot_row)
        storage.append(half * jnp.stack([jnp.zeros_like(half), site.n, site.p]))
    conduction = state.hole.net - state.electron.net
    rows = _rows(state, charge, loss_n, loss_p)
    return rows, jnp.stack(dot_rows), jnp.stack(storage), conduction, state.displacement


def edge_populations(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], dots: Float[Array, "2"]
) -> Float[Array, "2 4"]:
    """Stationary dot populations at both ends of an edge (zeros without dots)."""
    if bulk.dots is None:
        return jnp.zeros((2, 4))
    state = _edge_state(bulk, kT, length, x)
    filled = []
    for site, photons in zip(state.sites, dots, strict=True):
        rates = bulk.dots.rates(site, _excitation(bulk, photons, length / 2))
        filled.append(bulk.dots.stationary(site, rates)[0])
    return jnp.stack(filled)


def edge_linearisation(
    bulk: Bulk, kT: Array, length: Array, x: Float[Array, "7"], dots: Float[Array, "2"]
) -> EdgeLinearisation:
    """Differentiate an edge's one-way jumps at its stationary populations."""
    populations = edge_populations(bulk, kT, length, x, dots)

    def by_state(x: Array, shift: Array) -> tuple[Array, Array, Array, Array, Array]:
        return _jump_rows(bulk, kT, length, x, populations, shift, dots)

    zero = jnp.zeros((2, 3))
    rows, dot_rows, storage, conduction, displacement = jax.jacfwd(by_state, 0)(x, zero)
    density = jnp.zeros(()) if bulk.dots is None else bulk.dots.density
    # the rows are linear in the populations, and an end sees only its own dots
    both = jax.jacfwd(lambda one: by_state(x, jnp.stack([one, one])))(jnp.zeros(3))
    return EdgeLinearisation(
        rows, both[0], dot_rows, both[1], storage, density * length / 2, conduction, displacement
    )


# --- all edges ---------------------------------------------------------------------------------------------------


def _edge_unknowns(system: System, u: Float[Array, "node 3"], v: Float[Array, ""]) -> list[Float[Array, "edge 7"]]:
    both = jnp.concatenate([u[:-1], u[1:], jnp.full((u.shape[0] - 1, 1), v)], axis=1)
    return system.split(both)


def _over_edges(function, region: Region, kT: Array, *per_edge: Array):  # type: ignore[no-untyped-def]
    """Apply a function of (bulk, kT, length, x, ...) to all edges of a region."""
    return jax.vmap(lambda length, *rest: function(region.bulk, kT, length, *rest))(region.lengths, *per_edge)


def balance(system: System, u: Float[Array, "node 3"], v: Float[Array, ""], light: tuple[Light, ...]) -> EdgeBalance:
    """Balances of all edges."""
    parts = [
        _over_edges(edge_balance, region, system.kT, x, lit.host, lit.dots)
        for region, x, lit in zip(system.regions, _edge_unknowns(system, u, v), light, strict=True)
    ]
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


def linearise(system: System, u: Array, v: Array, light: tuple[Light, ...]) -> EdgeLinearisation:
    """Linearisations of all edges, dots kept apart."""
    parts = [
        _over_edges(edge_linearisation, region, system.kT, x, lit.dots)
        for region, x, lit in zip(system.regions, _edge_unknowns(system, u, v), light, strict=True)
    ]
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


def populations(system: System, u: Array, v: Array, light: tuple[Light, ...]) -> Float[Array, "edge 2 4"]:
    """Stationary dot populations at all edge ends."""
    parts = [
        _over_edges(edge_populations, region, system.kT, x, lit.dots)
        for region, x, lit in zip(system.regions, _edge_unknowns(system, u, v), light, strict=True)
    ]
    return jnp.concatenate(parts)


def edge_states(system: System, u: Array, v: Array) -> list[EdgeState]:
    """Sites and hops of all edges, one entry per region."""
    return [
        _over_edges(_edge_state, region, system.kT, x)
        for region, x in zip(system.regions, _edge_unknowns(system, u, v), strict=True)
    ]


def _to_nodes(ends: Array) -> Array:
    """Sum what edges add to their left and right nodes, (edge, 2, ...) -> (node, ...)."""
    zero = jnp.zeros_like(ends[:1, 0])
    return jnp.concatenate([ends[:, 0], zero]) + jnp.concatenate([zero, ends[:, 1]])


def _metal_densities(system: System, side: int, v: Array) -> tuple[Float[Array, "3"], Float[Array, "2"]]:
    """Boundary values of a contact and the carrier densities (cm^-3) at equilibrium with its metal."""
    metal = system.boundary(side, v)
    bulk, kT = system.regions[-side].bulk, system.kT
    log_n = bulk.log_nc + metal[0] + bulk.electron_affinity / kT - metal[1]
    log_p = bulk.log_nv + (v + metal[2]) - metal[0] - (bulk.electron_affinity + bulk.band_gap) / kT
    return metal, jnp.exp(jnp.stack([log_n, log_p]))


def contact_exchange(system: System, side: int, u: Float[Array, "3"], v: Array) -> Float[Array, "2"]:
    """Net loss of electrons and holes to a contact, cm^-2 s^-1 (zero where its carriers are pinned at equilibrium)."""
    velocities = system.contacts[side].velocities
    if velocities is None:
        return jnp.zeros(2)
    metal, density = _metal_densities(system, side, v)
    affinity = jnp.stack([metal[1] - u[1], u[2] - metal[2]])
    return jnp.stack(velocities) * density * jnp.expm1(affinity)


def contact_rates(system: System, side: int, u: Float[Array, "3"], v: Array) -> Float[Array, "2"]:
    """Sum of the one-way rates of electrons and holes across a contact, cm^-2 s^-1."""
    velocities = system.contacts[side].velocities
    if velocities is None:
        return jnp.zeros(2)
    metal, density = _metal_densities(system, side, v)
    affinity = jnp.stack([metal[1] - u[1], u[2] - metal[2]])
    return jnp.stack(velocities) * density * (1 + jnp.exp(affinity))


def boundary_rows(system: System, side: int, u: Float[Array, "3"], v: Array, rows: Float[Array, "3"]) -> Float[Array, "3"]:
    """Replace the rows of a boundary node by its contact's conditions."""
    pinned = u - system.boundary(side, v)
    if system.contacts[side].velocities is None:
        return pinned
    return jnp.concatenate([pinned[:1], rows[1:] - contact_exchange(system, side, u, v)])


def free_rows(system: System, side: int) -> Float[Array, "3"]:
    """1 for the rows of a boundary node that are balances, 0 for those that pin an unknown to its contact."""
    return jnp.asarray([0.0, 0.0, 0.0] if system.contacts[side].velocities is None else [0.0, 1.0, 1.0])


def residual(system: System, u: Float[Array, "node 3"], v: Float[Array, ""], light: tuple[Light, ...]) -> Float[Array, "node 3"]:
    """Rows of all nodes; zero at the operating point."""
    rows = _to_nodes(balance(system, u, v, light).rows)
    return rows.at[0].set(boundary_rows(system, 0, u[0], v, rows[0])).at[-1].set(
        boundary_rows(system, 1, u[-1], v, rows[-1])
    )


def assemble(
    system: System, u: Array, v: Array, by_unknowns: Inexact[Array, "edge 2 3 7"]
) -> tuple[BlockTridiagonal, Inexact[Array, "node 3"]]:
    """Blocks and the column of the junction voltage from the edges' derivatives, with the contacts' rows put in."""
    left, right, column = by_unknowns[..., 0:3], by_unknowns[..., 3:6], by_unknowns[..., 6]
    zero = jnp.zeros_like(left[:1, 0])
    diagonal = jnp.concatenate([left[:, 0], zero]) + jnp.concatenate([zero, right[:, 1]])
    upper = jnp.concatenate([right[:, 0], zero])
    lower = jnp.concatenate([zero, left[:, 1]])
    columns = _to_nodes(column)
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


def jacobian(system: System, u: Array, v: Array, light: tuple[Light, ...]) -> tuple[BlockTridiagonal, Float[Array, "node 3"]]:
    """Derivative of `residual` by the unknowns and by the junction voltage."""

    def rows(bulk: Bulk, kT: Array, length: Array, x: Array, host: Array, dots: Array) -> Array:
        return jax.jacfwd(lambda x: edge_balance(bulk, kT, length, x, host, dots).rows)(x)

    parts = [
        _over_edges(rows, region, system.kT, x, lit.host, lit.dots)
        for region, x, lit in zip(system.regions, _edge_unknowns(system, u, v), light, strict=True)
    ]
    return assemble(system, u, v, jnp.concatenate(parts))
