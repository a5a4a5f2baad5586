"""Theorems and identities that any device must obey, measured: how far a solved device is from each.

None of them knows what the right answer is. Each says that two numbers, computed along different ways, are the same.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from invdesign.analyses.illumination import Absorption
from invdesign.analyses.noise import MOBILITY, noise
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import SmallSignal, small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Shunt
from invdesign.materials.semiconductor import Bulk
from invdesign.processes.dots import HOPPING
from invdesign.processes.recombination import Recombination
from invdesign.processes.site import Site
from invdesign.solve.assembly import (
    EdgeState,
    Light,
    System,
    all_dots,
    balance,
    contact_affinities,
    recombination,
    to_nodes,
)
from invdesign.solve.newton import Outcome, Stage, State, Target, current_A, differentiable, walk

FDT_OF_REAL_PART = 1e-6
FDT_OF_MODULUS = 1e-13
"""Round-off allowed in 4kT Re Y: the second one matters where the admittance is that of a capacitor."""


@eqx.filter_jit
def travel(system: System, start: State, origin: Target, target: Target) -> Outcome:
    """From a guess or solution `start` at `origin` to `target`: one compiled program for all biases and lights."""
    return differentiable(system, walk(system, start, origin, target, stage=Stage.AT_ORIGIN), target)


def imbalance(forward: Array, backward: Array) -> Float[Array, ""]:
    """Largest |forward - backward|/(forward + backward); pairs of rates that are both zero are balanced."""
    total = forward + backward
    return jnp.max(jnp.where(total > 0, jnp.abs(forward - backward) / jnp.where(total > 0, total, 1.0), 0.0))


@eqx.filter_jit
def detailed_balance(system: System, state: State, light: Light) -> dict[str, Float[Array, ""]]:
    """Imbalance of the rates of every process; zero at equilibrium. Hops and pair jumps: tanh(affinity/2)."""
    worst: dict[str, Array] = {}

    def add(name: str, value: Array) -> None:
        worst[name] = jnp.maximum(worst.get(name, jnp.zeros(())), value)

    def of_affinity(affinity: Array) -> Array:
        return jnp.max(jnp.abs(jnp.tanh(affinity / 2)))

    for region, (edge, dots) in zip(system.regions, all_dots(system, state.u, state.v, light), strict=True):
        bulk, site = region.bulk, edge.site
        for name, affinity in zip(("electron transport", "hole transport"), edge.hops.affinity, strict=True):
            add(name, of_affinity(affinity))
        for name, between in zip(HOPPING, edge.between_dots or (), strict=False):
            add(name, of_affinity(between.hop.affinity))
        for process in bulk.recombination:
            backward = process.backward(site)
            add(process.name, imbalance(backward * jnp.exp(site.affinity), backward))
        if bulk.dots is not None and dots is not None:
            forward, backward = bulk.dots.one_way(dots.rates, dots.populations)
            for index, jump in enumerate(bulk.dots.jumps):
                add(jump.name, imbalance(forward[index], backward[index]))
    for side, at in ((0, 0), (1, -1)):
        add("contact exchange", of_affinity(contact_affinities(system, side, state.u[at], state.v)))
    return worst


def spread(values: Array) -> Float[Array, ""]:
    """(max - min)/|mean| along the first axis, the largest of it; of complex numbers max |difference from the mean|."""
    mean = jnp.mean(values, axis=0)
    return jnp.max(jnp.max(jnp.abs(values - mean), axis=0) * 2 / jnp.maximum(jnp.abs(mean), 1e-300))


@eqx.filter_jit
def current_densities(system: System, state: State, light: Light) -> Float[Array, " edge"]:
    """Conduction current density at every edge, A/cm^2, forward positive."""
    return system.polarity * ELEMENTARY_CHARGE_C * balance(system, state.u, state.v, light).conduction


@eqx.filter_jit
def terminal_current(system: System, state: State, light: Light) -> Float[Array, ""]:
    """Current into the anode, A."""
    return current_A(system, state, light)


@eqx.filter_jit
def carrier_budget(system: System, state: State, light: Light) -> Float[Array, "2"]:
    """Flux out minus (generation - recombination) inside, over the largest of them, for electrons and holes.

    Inside are all nodes but the two at the contacts.
    """
    halves, edges = [], all_dots(system, state.u, state.v, light)
    for region, (edge, dots) in zip(system.regions, edges, strict=True):
        halves.append(region.halves * recombination(region.bulk, edge.site, dots) - region.take(light.host))
    loss = to_nodes(system.join(halves))[1:-1]
    flows = system.join([_flows(edge) for edge, _ in edges])
    errors = []
    for net in flows:
        size = jnp.maximum(jnp.maximum(jnp.abs(net[0]), jnp.abs(net[-1])), jnp.sum(jnp.abs(loss)))
        errors.append((net[-1] - net[0] + jnp.sum(loss)) / jnp.maximum(size, 1e-300))
    return jnp.abs(jnp.stack(errors))


def _flows(edge: EdgeState) -> Float[Array, "2 edge"]:
    """Electrons and holes to the right, in the host and from dot to dot."""
    if edge.between_dots is None:
        return edge.hops.net
    return edge.hops.net + jnp.stack([between.hop.net for between in edge.between_dots])


class Spectrum(eqx.Module):
    """Small-signal numbers at a list of frequencies and reading edges."""

    admittance: Complex[Array, "*point"]
    noise: Float[Array, "*point"]
    eqe: Complex[Array, "*point wavelength"]


@eqx.filter_jit
def spectrum(
    small: SmallSignal,
    frequency_Hz: Float[Array, " point"],
    read_edge: Int[Array, " point"],
    light: Absorption,
    shunt: Shunt | None = None,
) -> Spectrum:
    """Admittance, noise and photo-response at pairs of a frequency and an edge at which the current is read."""

    def at(point: tuple[Array, Array]) -> Spectrum:
        transfer = small.transfer(point[0], 0.0, point[1])
        density = noise(small, transfer, shunt).total
        return Spectrum(transfer.admittance, density, quantum_efficiency(small, transfer, light))

    return jax.lax.map(at, (frequency_Hz, read_edge))


def fluctuation_dissipation(system: System, points: Spectrum) -> Float[Array, " point"]:
    """|S_I - 4kT Re Y| over its allowance 4kT (1e-6 Re Y + 1e-13 |Y|); at most 1 at equilibrium."""
    real, modulus = jnp.real(points.admittance), jnp.abs(points.admittance)
    four_kT = 4 * system.kT * ELEMENTARY_CHARGE_C
    allowed = four_kT * (FDT_OF_REAL_PART * real + FDT_OF_MODULUS * modulus)
    return jnp.abs(points.noise - four_kT * real) / allowed


class Unthrottled(Recombination):
    """A process whose thermal generation does not respond to the carriers that it frees."""

    name: ClassVar[str] = "recombination"
    process: Recombination

    def backward(self, site: Site) -> Float[Array, "..."]:
        return jax.lax.stop_gradient(self.process.backward(site))


@eqx.filter_jit
def fano_factors(system: System, state: State, light: Light) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """S_I/2qI of all jumps within the junction at zero frequency: as it is, and of carriers that cross independently.

    Generation that slows down when carriers are about (the denominator of Shockley, Read and Hall) makes the first less
    than 1. The second leaves that response out of the linearisation. Where both agree, carriers are independent, and
    a saturated junction must have 1.
    """
    system = eqx.tree_at(lambda s: (s.shunt_conductance_S, s.leaks), system, (jnp.zeros(()), ()))

    def independent(bulk: Bulk) -> Bulk:
        processes = tuple(Unthrottled(process=process) for process in bulk.recombination)
        return eqx.tree_at(lambda b: b.recombination, bulk, processes)

    regions = tuple(eqx.tree_at(lambda r: r.bulk, region, independent(region.bulk)) for region in system.regions)
    shot = 2 * ELEMENTARY_CHARGE_C * jnp.abs(current_A(system, state, light))
    linear = [small_signal(s, state, light) for s in (system, eqx.tree_at(lambda s: s.regions, system, regions))]
    densities = [noise(small, small.transfer(0.0)) for small in linear]
    real, unthrottled = ((density.total - density.by_process[MOBILITY]) / shot for density in densities)
    return real, unthrottled


@eqx.filter_jit
def dc_conductance(system: System, outcome: Outcome, target: Target) -> Float[Array, ""]:
    """dI/dV from the derivative of the stationary equations, S: no small-signal analysis is involved."""

    def current(voltage: Array) -> Array:
        moved = differentiable(system, outcome, Target(voltage, target.light))
        return current_A(system, moved.state, target.light)

    return jax.jvp(current, (target.voltage,), (1 / system.kT,))[1]


@eqx.filter_jit
def collection(system: System, state: State, light: Light) -> Float[Array, " node"]:
    """Share of the pairs generated at each node that reach the circuit into a short, at zero frequency."""
    transfer = small_signal(system, state, light).transfer(0.0)
    return -jnp.real(transfer.node[:, 1] + transfer.node[:, 2]) / (ELEMENTARY_CHARGE_C * system.area_cm2)


@eqx.filter_jit
def splitting(system: System, outcome: Outcome, target: Target) -> Float[Array, " node"]:
    """Part of a small voltage by which the quasi-Fermi levels split at each node, d(phi_p - phi_n)/dV.

    At equilibrium this is the collection (reciprocity: Donolato 1985, DOI 10.1063/1.95654; Rau 2007, DOI
    10.1103/PhysRevB.76.085303).
    """

    def state(voltage: Array) -> State:
        return differentiable(system, outcome, Target(voltage, target.light)).state

    moved = jax.jvp(state, (target.voltage,), (jnp.ones(()),))[1]
    return moved.u[:, 2] + moved.v - moved.u[:, 1]


def settled(values: Array) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Of estimates along a scan (first axis) the one that agrees best with the one before it, and its place."""
    place = 1 + jnp.argmin(jnp.abs(jnp.diff(values)))
    return values[place], place


def central_differences(
    function: Callable[[Array], Array], x: Float[Array, " variable"], first_step: float = 8e-3, halvings: int = 7
) -> Float[Array, " variable"]:
    """Gradient by central differences, extrapolated (Richardson), at the step with the least noise and curvature."""
    gradient = []
    for index in range(x.shape[0]):
        slopes = []
        for k in range(halvings + 1):
            h = first_step / 2**k
            step = jnp.zeros_like(x).at[index].set(h)
            slopes.append((function(x + step) - function(x - step)) / (2 * h))
        slopes = jnp.stack(slopes)
        gradient.append(settled((4 * slopes[1:] - slopes[:-1]) / 3)[0])
    return jnp.stack(gradient)
