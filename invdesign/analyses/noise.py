"""Current noise of the terminals: every jump is a Langevin source of white, one-sided density 2 (forward + backward).

S_I(f) = sum |transfer . stoichiometry|^2 S_source / area. Nothing else is put in: 4kT Re Y at equilibrium and 2qI of
a saturated junction come out (fluctuation-dissipation theorem; Langevin method of van Vliet and Fassett, in
Fluctuation Phenomena in Solids, 1965). Transport between nodes is a diffusion and has 4 (f - b)/ln(f/b) instead,
which does not depend on the mesh.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.analyses.small_signal import SmallSignal, Transfer
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.processes.dots import DOT_STOICHIOMETRY, HOST_STOICHIOMETRY, JUMPS
from invdesign.solve.assembly import (
    EdgeState,
    Region,
    contact_rates,
    dot_rates,
    edge_populations,
    edge_state,
    edge_unknowns,
)


class Noise(NamedTuple):
    """One-sided current noise density, A^2/Hz."""

    by_process: dict[str, Float[Array, ""]]
    by_edge: Float[Array, " edge"]
    """What arises on each mesh edge (contacts and circuit left out)."""

    @property
    def total(self) -> Float[Array, ""]:
        return sum(self.by_process.values(), jnp.zeros(()))


def _square(x: Array) -> Array:
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2


def x_coth_x(x: Float[Array, ""]) -> Float[Array, ""]:
    """x coth x, even and smooth."""
    near = jnp.abs(x) < 0.05
    y = jnp.where(near, x, 0.0) ** 2
    safe = jnp.where(near, 1.0, x)
    return jnp.where(near, 1 + y / 3 * (1 - y / 15 * (1 - 2 * y / 21)), safe / jnp.tanh(safe))


def _dot_sources(
    region: Region, edge: EdgeState, photons: Array, filling: Array, y: Array, z: Array
) -> Float[Array, "edge 2 jump"]:
    """Squared transfers of all dot jumps, times the sums of their one-way rates (cm^-3 s^-1)."""
    rates = jax.vmap(dot_rates)(region.bulk, edge, region.lengths, photons)
    both_ends = jax.tree.map(lambda *ends: jnp.stack(ends, axis=1), *rates)
    ensemble = region.bulk.dots
    one_way = jax.vmap(lambda dots, *ends: jax.vmap(lambda *end: dots.one_way(*end))(*ends))(
        ensemble, both_ends, filling
    )
    host = jnp.asarray(HOST_STOICHIOMETRY, y.dtype)
    dots = jnp.asarray(DOT_STOICHIOMETRY, z.dtype)
    gain = y[..., 1:] @ host.T + z @ dots.T
    return _square(gain) * (one_way[:, :, 0] + one_way[:, :, 1])


def noise(small: SmallSignal, transfer: Transfer, shunt_fano: Float[Array, ""] | float = 1.0) -> Noise:
    """Noise density at the frequency of `transfer`, split by process and by place.

    `shunt_fano` is the Fano factor of the leakage path (see `device.Shunt`).
    """
    system, state = small.system, small.state
    by_process: dict[str, Array] = {}
    places = []
    node = transfer.node
    ends = jnp.stack([node[:-1], node[1:]], axis=1)
    reads = jnp.zeros(system.nodes - 1, complex).at[transfer.read_edge].set(transfer.direct)
    unknowns = edge_unknowns(state.u, state.v)

    def add(name: str, density: Array) -> Array:
        by_process[name] = by_process.get(name, jnp.zeros(())) + jnp.sum(density)
        return density

    states = system.over_edges(edge_state, unknowns)
    filled = system.over_edges(edge_populations, unknowns, small.light.dots)
    for region, edge, filling in zip(system.regions, states, filled, strict=True):
        half = region.lengths / 2
        y, z, read = (region.take(array) for array in (ends, transfer.dots, reads))
        place = add("electron transport", _square(y[:, 1, 1] - y[:, 0, 1] - read) * edge.electron.noise)
        place += add("hole transport", _square(y[:, 1, 2] - y[:, 0, 2] + read) * edge.hole.noise)
        sites = jax.tree.map(lambda *ends: jnp.stack(ends, axis=1), *edge.sites)
        pair = 2 * _square(y[..., 1] + y[..., 2])
        for process in region.bulk.recombination:
            thermal = jax.vmap(lambda p, ends: jax.vmap(p.backward)(ends))(process, sites)
            rate = thermal * (1 + jnp.exp(sites.affinity))
            place += add(process.name, jnp.sum(pair * rate, axis=1) * half)
        place += add("photogeneration", jnp.sum(pair * region.take(small.light.host), axis=1))
        if region.bulk.dots is not None:
            sources = _dot_sources(region, edge, region.take(small.light.dots), filling, y, z)
            for index, jump in enumerate(JUMPS):
                place += add(jump.name, 2 * half * jnp.sum(sources[..., index], axis=1))
        places.append(place)
    for side, at in ((0, 0), (1, -1)):
        for carrier, both in enumerate(contact_rates(system, side, state.u[at], state.v)):
            add("contact exchange", _square(node[at, 1 + carrier]) * 2 * both)
    by_process = {name: density / system.area_cm2 for name, density in by_process.items()}
    kT_joule = system.kT * ELEMENTARY_CHARGE_C
    by_process["series resistance"] = 4 * kT_joule * system.series_resistance_ohm * _square(transfer.admittance)
    excess = 1 - shunt_fano + shunt_fano * x_coth_x(state.v / 2)
    by_process["shunt"] = 4 * kT_joule * system.shunt_conductance_S * excess * _square(transfer.parallel)
    return Noise(by_process, system.join(places) / system.area_cm2)
