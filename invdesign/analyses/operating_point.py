"""The stationary state of a device at a bias and under its light, and sweeps of it (SPICE's .op and .dc)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from invdesign.analyses.illumination import steady_light
from invdesign.compiled import compiled
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Device, Frozen
from invdesign.solve.assembly import Light, System, balance, discretise, end_fields, ionic_charge, no_light
from invdesign.solve.newton import (
    DEFAULTS,
    Outcome,
    Settings,
    Stage,
    State,
    Target,
    differentiable,
    equilibrium_guess,
    terminal_current_A,
    walk,
)


class OperatingPoint(eqx.Module):
    """A solved device."""

    device: Device
    system: System
    light: Light
    voltage_V: Float[Array, ""]
    outcome: Outcome

    @property
    def state(self) -> State:
        """Unknowns of all nodes."""
        return self.outcome.state

    @property
    def converged(self) -> Bool[Array, ""]:
        return self.outcome.converged

    @property
    def status(self) -> Int[Array, ""]:
        """A `results.Status`."""
        return self.outcome.status

    @property
    @compiled
    def current_A(self) -> Float[Array, ""]:
        """Terminal current into the anode, with what flows beside the junction."""
        edges = balance(self.system, self.state.u, self.state.v, self.light)
        return terminal_current_A(self.system, self.state, edges)

    @property
    def current_density_A_per_cm2(self) -> Float[Array, " edge"]:
        """Conduction current density at every edge, positive where it flows forward; the same everywhere in theory."""
        flows = balance(self.system, self.state.u, self.state.v, self.light).conduction
        return self.system.polarity * ELEMENTARY_CHARGE_C * flows

    @property
    def field_V_per_cm(self) -> Float[Array, " edge"]:
        """Mean electric field along +x on every edge."""
        return -jnp.diff(self.state.u[:, 0]) * self.system.kT / self.system.lengths

    @property
    def end_field_V_per_cm(self) -> Float[Array, "2 edge"]:
        """Electric field along +x at both ends of every edge, in the material of the edge."""
        return end_fields(self.system, self.state.u, self.state.v, self.state.ions, self.light)


@compiled
def prepare(device: Device) -> System:
    """The discretised device, its ions frozen where they came to rest if they are to be."""
    system = discretise(device)
    if not system.ionic or not isinstance(device.ions, Frozen):
        return system
    rested = reach(system, Target(-device.ions.reverse_bias_V / system.kT, no_light(system)))
    return freeze(system, rested.state)


def freeze(system: System, state: State) -> System:
    """The system with its ions standing still where they are in `state`."""
    charge = system.frozen_charge + jnp.sum(ionic_charge(system, state.u, state.ions), axis=0)
    return eqx.tree_at(lambda s: (s.ionic, s.frozen_charge), system, ((), charge))


def under_own_light(device: Device) -> tuple[System, Light]:
    """The discretised device and its own illumination."""
    system, light = prepare(device), steady_light(device)
    return system, no_light(system) if light is None else light


def reach(system: System, target: Target, warm: State | None = None, settings: Settings = DEFAULTS) -> Outcome:
    """Solve at `target`: from `warm`, a state nearby, if there is one and it works, else cold from equilibrium."""
    dark = Target(jnp.zeros(()), no_light(system))
    start, stage = (equilibrium_guess(system), Stage.AT_ORIGIN) if warm is None else (warm, Stage.AT_TARGET)
    return differentiable(system, walk(system, start, dark, target, settings, stage), target)


@compiled
def operate(
    device: Device,
    voltage_V: Float[Array, ""] | float = 0.0,
    *,
    warm: State | None = None,
    settings: Settings = DEFAULTS,
) -> OperatingPoint:
    """Operating point at a voltage (forward positive, V) under the device's own illumination.

    `warm` is the state of a similar device or bias on the same mesh. A solve that fails is returned with its status.
    """
    system, light = under_own_light(device)
    voltage = jnp.asarray(voltage_V, jnp.float64)
    outcome = reach(system, Target(voltage / system.kT, light), warm, settings)
    return OperatingPoint(device, system, light, voltage, outcome)


class Sweep(eqx.Module):
    """Operating points along a list of voltages."""

    voltage_V: Float[Array, " point"]
    current_A: Float[Array, " point"]
    edge_spread: Float[Array, " point"]
    """(max - min)/|mean| of the current density over the mesh: what round-off leaves of a constant."""
    status: Int[Array, " point"]
    state: State


@compiled
def sweep(device: Device, voltage_V: Float[Array, " point"], settings: Settings = DEFAULTS) -> Sweep:
    """Walk through voltages in their order, each from the one before; the first is reached cold."""
    return sweep_system(*under_own_light(device), voltage_V, settings)


def sweep_system(
    system: System, light: Light, voltage_V: Float[Array, " point"], settings: Settings = DEFAULTS
) -> Sweep:
    """`sweep` of a device that is discretised already."""
    dark = Target(jnp.zeros(()), no_light(system))

    def step(carry: tuple, voltage: Array) -> tuple[tuple, Outcome]:
        (last, at), (before, was), stage = carry
        # along the secant through the two points before
        ratio = jnp.where(at == was, 0.0, (voltage - at) / jnp.where(at == was, 1.0, at - was))
        guess = jax.tree.map(lambda a, b: a + jnp.clip(ratio, -2.0, 2.0) * (a - b), last, before)
        outcome = walk(system, guess, dark, Target(voltage / system.kT, light), settings, stage)
        new = ((outcome.state, voltage), (last, at), jnp.full_like(stage, Stage.AT_TARGET))
        return jax.tree.map(lambda a, b: jnp.where(outcome.converged, a, b), new, carry), outcome

    cold = (equilibrium_guess(system), jnp.zeros(()))
    start = jax.lax.stop_gradient((cold, cold, jnp.asarray(int(Stage.AT_ORIGIN))))
    walked: Outcome = jax.lax.scan(step, start, jax.lax.stop_gradient(voltage_V))[1]

    def finish(outcome: Outcome, voltage: Array) -> tuple[Array, Array, State]:
        outcome = differentiable(system, outcome, Target(voltage / system.kT, light))
        edges = balance(system, outcome.state.u, outcome.state.v, light)
        flows = edges.conduction
        spread = (jnp.max(flows) - jnp.min(flows)) / jnp.maximum(jnp.abs(jnp.mean(flows)), 1e-300)
        return terminal_current_A(system, outcome.state, edges), spread, outcome.state

    current, spread, state = jax.vmap(finish)(walked, voltage_V)
    return Sweep(voltage_V, current, spread, walked.status, state)
