"""Current noise of the terminals: every jump is a Langevin source of white, one-sided density 2 (forward + backward).

S_I(f) = sum |transfer . stoichiometry|^2 S_source / area. Nothing else is put in: 4kT Re Y at equilibrium and 2qI of
a saturated junction come out (fluctuation-dissipation theorem; Langevin method of van Vliet and Fassett, in
Fluctuation Phenomena in Solids, 1965). Transport between nodes is a diffusion and has 4 (f - b)/ln(f/b) instead,
which does not depend on the mesh.

On top of the jumps there may be slow fluctuations of a mobility or a conductance, with spectra that fall with frequency
and rise with the square of a current: at equilibrium they are silent.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.analyses.small_signal import SmallSignal, Transfer, host_transfers
from invdesign.compiled import compiled
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Shunt
from invdesign.processes.dots import HOPPING
from invdesign.solve.assembly import CHARGES, all_dots, contact_nodes, contact_rates, over_sizes

FLICKER_FLOOR_HZ = 1e-4
"""Below it 1/f spectra are flat: nothing is measured for longer."""
MOBILITY, LEAKAGE = "flicker of mobility", "flicker of leakage"


class Noise(NamedTuple):
    """One-sided current noise density, A^2/Hz."""

    by_process: dict[str, Float[Array, ""]]
    """By names, which are sorted."""
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


def flicker_Hz(omega: Float[Array, ""]) -> Float[Array, ""]:
    """The frequency that spectra of slow fluctuations see."""
    return jnp.maximum(omega / (2 * jnp.pi), FLICKER_FLOOR_HZ)


@compiled
def noise(small: SmallSignal, transfer: Transfer, shunt: Shunt | None = None) -> Noise:
    """Noise density at the frequency of `transfer`, split by process and by place.

    Without `shunt` a leakage path is taken for a few tunnelling paths without flicker (see `device.Shunt`). Mobilities
    have independent 1/f noise everywhere: of N carriers that carry I, alpha_H I^2/(f N) (Hooge 1969, DOI
    10.1016/0375-9601(69)90076-0; as a source in the transport equations: Kleinpenning 1980, DOI
    10.1016/0378-4363(80)90088-9), here with every carrier's own net flux.
    """
    system, state = small.system, small.state
    by_process: dict[str, Array] = {}
    places = []
    node = transfer.node
    ends = host_transfers(system, state, node, transfer.direct, transfer.read_edge)
    frequency = flicker_Hz(transfer.omega)
    reads = jnp.zeros(system.nodes - 1, complex).at[transfer.read_edge].set(transfer.direct)

    def add(name: str, density: Array) -> Array:
        by_process[name] = by_process.get(name, jnp.zeros(())) + jnp.sum(density)
        return density

    for region, (edge, dots) in zip(system.regions, all_dots(system, state.u, state.v, small.light), strict=True):
        bulk, halves, site = region.bulk, region.halves, edge.site
        y, z, read = (region.take(array) for array in (ends, transfer.dots, reads))
        moved = [gain[1] - gain[0] + charge * read for charge, gain in zip(CHARGES, y[1:], strict=True)]
        by_electron, by_hole, *by_hops = map(_square, moved)
        electrons, holes = edge.hops.noise
        place = add("electron transport", by_electron * electrons)
        place += add("hole transport", by_hole * holes)
        for name, by_hop, one in zip(HOPPING, by_hops, edge.between_dots, strict=True) if edge.between_dots else ():
            place += add(name, by_hop * one.hop.noise)
        mobilities = jnp.stack([bulk.electron_mobility, bulk.hole_mobility])
        electrons, holes = edge.hops.hooge(mobilities * system.kT / region.lengths)
        slow = by_electron * electrons + by_hole * holes
        place += add(MOBILITY, bulk.hooge_parameter * slow / (region.lengths * frequency))
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
                place += add(jump.name, 2 * jnp.sum(over_sizes(_square(gain) * both[index]) * halves, axis=0))
        places.append(place)
    for side, at in ((0, 0), (1, -1)):
        for carrier, both in enumerate(contact_rates(system, side, contact_nodes(state.u, side), state.v)):
            add("contact exchange", _square(node[at, 1 + carrier]) * 2 * both)
    by_process = {name: density / system.area_cm2 for name, density in by_process.items()}
    kT_joule = system.kT * ELEMENTARY_CHARGE_C
    by_process["series resistance"] = 4 * kT_joule * system.series_resistance_ohm * _square(transfer.admittance)
    fano = 1.0 if shunt is None else shunt.fano
    excess = 1 - fano + fano * x_coth_x(state.v / 2)
    if system.leaks:
        shots = sum(leak.both_ways(state.u[:, 0], state.v, system.kT) for leak in system.leaks)
        charge = 2 * ELEMENTARY_CHARGE_C**2 * system.area_cm2
        by_process["leakage of layers"] = charge * shots * _square(transfer.parallel)
    by_process["shunt"] = 4 * kT_joule * system.shunt_conductance_S * excess * _square(transfer.parallel)
    if shunt is not None:
        relative = shunt.flicker_cm2 / (system.area_cm2 * frequency**shunt.flicker_exponent)
        current = system.shunt_conductance_S * system.kT * state.v
        by_process[LEAKAGE] = relative * current**2 * _square(transfer.parallel)
    return Noise(by_process, system.join(places) / system.area_cm2)
