"""Current noise of the terminals: every jump is a Langevin source of white, one-sided density 2 (forward + backward).

S_I(f) = sum |transfer . stoichiometry|^2 S_source / area. Nothing else is put in: 4kT Re Y at equilibrium and 2qI of
a saturated junction come out (fluctuation-dissipation theorem; Langevin method of van Vliet and Fassett, in
Fluctuation Phenomena in Solids, 1965). Transport between nodes is a diffusion and has 4 (f - b)/ln(f/b) instead,
which does not depend on the mesh.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.analyses.small_signal import SmallSignal, Transfer, host_transfers
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.solve.assembly import all_dots, contact_nodes, contact_rates


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


def noise(small: SmallSignal, transfer: Transfer, shunt_fano: Float[Array, ""] | float = 1.0) -> Noise:
    """Noise density at the frequency of `transfer`, split by process and by place.

    `shunt_fano` is the Fano factor of the leakage path (see `device.Shunt`).
    """
    system, state = small.system, small.state
    by_process: dict[str, Array] = {}
    places = []
    node = transfer.node
    ends = host_transfers(system, state, node, transfer.direct, transfer.read_edge)
    reads = jnp.zeros(system.nodes - 1, complex).at[transfer.read_edge].set(transfer.direct)

    def add(name: str, density: Array) -> Array:
        by_process[name] = by_process.get(name, jnp.zeros(())) + jnp.sum(density)
        return density

    for region, (edge, dots) in zip(system.regions, all_dots(system, state.u, state.v, small.light), strict=True):
        bulk, halves, site = region.bulk, region.halves, edge.site
        y, z, read = (region.take(array) for array in (ends, transfer.dots, reads))
        place = add("electron transport", _square(y[1, 1] - y[1, 0] - read) * edge.electron.noise)
        place += add("hole transport", _square(y[2, 1] - y[2, 0] + read) * edge.hole.noise)
        pair = 2 * _square(y[1] + y[2])
        for process in bulk.recombination:
            rate = process.backward(site) * (1 + jnp.exp(site.affinity))
            place += add(process.name, jnp.sum(pair * rate * halves, axis=0))
        place += add("photogeneration", jnp.sum(pair * region.take(small.light.host), axis=0))
        if bulk.dots is not None and dots is not None:
            both = jnp.sum(bulk.dots.one_way(dots.rates, dots.populations), axis=0)
            for index, jump in enumerate(bulk.dots.jumps):
                stoichiometry = (*jump.host, *bulk.dots.dot_stoichiometry[index])
                transfers = zip(stoichiometry, (*y[1:], *z), strict=True)
                gain = sum((factor * at for factor, at in transfers if factor), jnp.zeros(()))
                place += add(jump.name, 2 * jnp.sum(_square(gain) * both[index] * halves, axis=0))
        places.append(place)
    for side, at in ((0, 0), (1, -1)):
        for carrier, both in enumerate(contact_rates(system, side, contact_nodes(state.u, side), state.v)):
            add("contact exchange", _square(node[at, 1 + carrier]) * 2 * both)
    by_process = {name: density / system.area_cm2 for name, density in by_process.items()}
    kT_joule = system.kT * ELEMENTARY_CHARGE_C
    by_process["series resistance"] = 4 * kT_joule * system.series_resistance_ohm * _square(transfer.admittance)
    excess = 1 - shunt_fano + shunt_fano * x_coth_x(state.v / 2)
    by_process["shunt"] = 4 * kT_joule * system.shunt_conductance_S * excess * _square(transfer.parallel)
    return Noise(by_process, system.join(places) / system.area_cm2)
