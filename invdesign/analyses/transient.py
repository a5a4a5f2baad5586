"""Response in time: the same equations, integrated with light and voltage as functions of time (SPICE's .tran).

With the balances F(u, P) of nodes and dots and their stores S, the state obeys dS/dt = F. The populations P of the dots
are unknowns; they see only their edge end and are eliminated there in every solve. Poisson's equation has no store; the
circuit's is the displacement on the edge at which the current is read. Ions stand still.

A step has five implicit stages of one rate factor, 1/(h/4) (SDIRK4 of Hairer and Wanner, Solving Ordinary Differential
Equations II, DOI 10.1007/978-3-642-05221-7, table IV.6.5): order 4, L-stable, the last stage being the result, with an
embedded order 3. No derivative at the beginning of a step is used, so that light may jump there. Every stage obeys
stores' change = h * (sum of what flowed at the stages), in the densities and not in their logarithms: no charge is
lost, whatever the tolerance.
"""

from abc import abstractmethod
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invdesign.analyses.illumination import light_of
from invdesign.analyses.operating_point import freeze, reach, under_own_light
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Device
from invdesign.materials.semiconductor import Bulk
from invdesign.processes.dots import ELECTRON, EXCITON, HOLE, by_carriers, excited
from invdesign.solve.assembly import (
    ROW_SIGNS,
    DotPast,
    EdgeLinearisation,
    Light,
    System,
    arrivals,
    collect,
    edge_linearisation,
    edge_states,
    edge_unknowns,
    follow,
    free_rows,
    join_balances,
    join_rows,
    landing_places,
    over_sizes,
    over_states,
    populations,
    to_nodes,
)
from invdesign.solve.landing import Arrival
from invdesign.solve.newton import State, Target, advance, bordered, current_A
from invdesign.solve.tridiagonal import Bordered, eliminate, solve

TIMES = np.array([1 / 4, 3 / 4, 11 / 20, 1 / 2, 1])
"""Of the stages, in units of the step."""
WEIGHTS = np.array(
    [
        [1 / 4, 0, 0, 0, 0],
        [1 / 2, 1 / 4, 0, 0, 0],
        [17 / 50, -1 / 25, 1 / 4, 0, 0],
        [371 / 1360, -137 / 2720, 15 / 544, 1 / 4, 0],
        [25 / 24, -49 / 48, 125 / 16, -85 / 12, 1 / 4],
    ]
)
"""Of the stages in one another; the last row is the step."""
ERROR_WEIGHTS = WEIGHTS[-1] - np.array([59 / 48, -17 / 96, 225 / 32, -85 / 12, 0])
"""The step less the embedded one of order 3."""
DIAGONAL = 1 / 4


class Settings(eqx.Module):
    """Knobs of the time integration."""

    tolerance: float = eqx.field(static=True, default=1e-5)
    """Largest error of a step: of potentials over kT/q, of densities over themselves plus `density_floor_cm3`."""
    density_floor_cm3: float = eqx.field(static=True, default=1e10)
    """Carriers or dots in a state, cm^-3, of which smaller densities need not be right."""
    first_step: float = eqx.field(static=True, default=1e-3)
    """First step, in units of the first time asked for."""
    growth: float = eqx.field(static=True, default=5.0)
    """Most by which a step is longer than the one before."""
    smallest_step: float = eqx.field(static=True, default=1e-10)
    """Smallest step, in units of the time to the next output."""
    steps: int = eqx.field(static=True, default=5000)
    """Most steps, repeated ones included, between two outputs."""
    newton_tolerance: float = eqx.field(static=True, default=1e-8)
    """Largest last update of a stage, over kT/q; the error that it leaves is the square."""
    newton_iterations: int = eqx.field(static=True, default=12)


DEFAULTS = Settings()
UNFINISHED = -1


class TransientStatus(IntEnum):
    """How the integration up to a time ended."""

    REACHED = 0
    STEP_TOO_SMALL = 1
    OUT_OF_STEPS = 2
    NO_START = 3

    @property
    def message(self) -> str:
        """One sentence: what happened and what to try."""
        return _MESSAGES[self]


_MESSAGES = {
    TransientStatus.REACHED: "reached",
    TransientStatus.STEP_TOO_SMALL: (
        "the time step became too small: the device is probably beyond its limits under this light or voltage; try "
        "weaker light, a finer mesh or a larger tolerance"
    ),
    TransientStatus.OUT_OF_STEPS: "the steps ran out before the time was reached; allow more, or a larger tolerance",
    TransientStatus.NO_START: "the stationary state at the beginning was not found; try another bias or light",
}


# --- light and voltage in time -----------------------------------------------------------------------------------


def _number(value: Any) -> Float[Array, ""]:
    return jnp.asarray(value, jnp.float64)


class Shape(eqx.Module):
    """A dimensionless function of time."""

    @abstractmethod
    def __call__(self, time_s: Float[Array, ""], middle_s: Float[Array, ""]) -> Float[Array, ""]:
        """Value at a time between two outputs with this middle."""


class Square(Shape):
    """1 from `start_s` to `end_s`; from the beginning for good if they are left out.

    Both, if within the transient, must be among the times asked for.
    """

    start_s: Float[Array, ""] = eqx.field(converter=_number, default=0.0)
    end_s: Float[Array, ""] = eqx.field(converter=_number, default=jnp.inf)

    def __call__(self, time_s: Float[Array, ""], middle_s: Float[Array, ""]) -> Float[Array, ""]:
        # judged in the middle, so that a step ends before a jump and the next begins after it
        return jnp.where((middle_s > self.start_s) & (middle_s < self.end_s), 1.0, 0.0)


class Sine(Shape):
    """sin(2 pi f t)."""

    frequency_Hz: Float[Array, ""] = eqx.field(converter=_number)

    def __call__(self, time_s: Float[Array, ""], middle_s: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sin(2 * jnp.pi * self.frequency_Hz * time_s)


class Drive(eqx.Module):
    """Voltage and light in time: base + shape(t) * added."""

    base: Target
    added: Target
    shape: Shape

    def at(self, time_s: Float[Array, ""], middle_s: Float[Array, ""]) -> Target:
        """Voltage (over kT/q) and light at a time between two outputs with this middle."""
        size = self.shape(time_s, middle_s)
        return jax.tree.map(lambda base, added: base + size * added, self.base, self.added)


# --- one step ----------------------------------------------------------------------------------------------------


class Moment(eqx.Module):
    """The state of a device that changes."""

    u: Float[Array, "node 3"]
    v: Float[Array, ""]
    """Unknowns of the nodes and the junction voltage, as at an operating point."""
    dots: Float[Array, "filled *size 2 edge"]
    """Populations of all states but the empty one at both ends of every edge, zero where there are no dots."""


class Stores(eqx.Module):
    """What the balances store, and its changes and rates of change."""

    carriers: Float[Array, "2 2 edge"]
    """Electrons and holes in half an edge, cm^-2."""
    dots: Float[Array, "filled *size 2 edge"]
    """Populations of all states but the empty one."""
    displacement: Float[Array, " edge"]
    """eps E on an edge, elementary charges per cm^2."""


def _stores(system: System) -> Stores:
    edges = system.nodes - 1
    return Stores(
        jnp.zeros((2, 2, edges)), jnp.zeros((system.dot_states - 1, *system.sizes, 2, edges)), jnp.zeros(edges)
    )


class _Trial(NamedTuple):
    """A stage at trial unknowns, its dots already solved for."""

    moment: Moment
    edges: list[EdgeLinearisation]
    rate: Stores
    """Rate of change that the implicit formula says, 1/s."""
    conduction: Float[Array, " edge"]
    rows: Float[Array, "node 3"]
    circuit: Float[Array, " global"]
    """Equations of the nodes and of the circuit; zero at the solution."""


def _trial(system: System, start: Moment, change: State, gained: Stores, store: Array, target: Target) -> _Trial:
    """Equations of a stage: store * (stores - those at the start - gained) = flows.

    Changes of stores are written with those of the unknowns, which keep digits that differences of stores have not.
    """
    u, v = start.u + change.u, start.v + change.v

    def kernel(
        bulk: Bulk,
        kT: Array,
        length: Array,
        x: Array,
        host: Array,
        light: Array,
        landing: Arrival | None,
        old: Array,
        new: Array,
        v: Array,
    ) -> EdgeLinearisation:
        return edge_linearisation(bulk, kT, length, x, host, light, landing, v, DotPast(old, new, store))

    light = target.light
    edges = over_states(system, kernel, u, v, light.host, light.dots, arrivals(system, u), start.dots, gained.dots)
    psi, phi_n, phi_p = edge_unknowns(change.u)
    balance = join_balances(system, u, [part.balance for part in edges])
    stored = system.join([part.stored for part in edges])
    carriers = -stored * jnp.expm1(-jnp.stack([psi - phi_n, change.v + phi_p - psi]))
    displacement = system.join([part.along[0, 0] for part in edges]) * (psi[0] - psi[1])
    dots = system.join([_change(system, part) for part in edges])
    moved = Stores(carriers, dots, displacement)
    rate = jax.tree.map(lambda new, before: store * (new - before), moved, gained)
    # Poisson's equation for the changes: it holds at the start, and ions do not move
    held = over_sizes(_dots_per_end(system) * _charge(system, dots))
    charge = carriers[1] - carriers[0] + held
    poisson = charge + jnp.stack([-displacement, displacement])
    rows = jnp.concatenate([poisson[None], balance.rows[1:] - rate.carriers])
    still = -system.frozen_charge[None]
    nodes = collect(system, u, v, balance._replace(rows=rows), still)
    through = (balance.conduction + rate.displacement)[system.read_edge]
    current = system.ampere * through + system.shunt_conductance_S * v * system.kT
    circuit = v + system.series_resistance_ohm * current / system.kT - target.voltage
    return _Trial(Moment(u, v, start.dots + dots), edges, rate, balance.conduction, nodes, circuit[None])


def _charge(system: System, change: Float[Array, "filled *size 2 edge"]) -> Float[Array, "*size 2 edge"]:
    """Charge that a change of populations brings to one dot, elementary charges."""
    of_one = next((region.bulk.dots.charges for region in system.regions if region.bulk.dots is not None), (0,) * 4)
    return jnp.tensordot(jnp.asarray(of_one[1:], jnp.float64), change, 1)


def _change(system: System, edges: EdgeLinearisation) -> Float[Array, "filled *size 2 edge"]:
    """Of the populations since the start of a step."""
    if edges.dots is None or edges.dots.change is None:
        return jnp.zeros((system.dot_states - 1, *system.sizes, *edges.stored.shape[1:]))
    return edges.dots.change


def _dots_per_end(system: System) -> Float[Array, "*size 1 edge"]:
    """Dots in half an edge, cm^-2."""
    parts = []
    for region in system.regions:
        none = jnp.zeros((*system.sizes, 1, region.lengths.size))
        parts.append(none if region.bulk.dots is None else none + region.lengths / 2 * region.bulk.dots.density)
    return system.join(parts)


def _matrix(system: System, trial: _Trial, store: Array) -> tuple[Bordered, list[Array | None]]:
    """Derivative of the equations of a stage, the dots eliminated; also the dots' own matrices."""
    rows, far, own = join_rows(system, [follow(part, store) for part in trial.edges])
    matrix, _ = bordered(system, trial.moment.u, trial.moment.v, trial.edges, rows, far, store)
    return matrix, own


class _Stage(NamedTuple):
    change: State
    size: Array
    tries: Array


def _solve_stage(
    system: System, start: Moment, guess: State, gained: Stores, store: Array, target: Target, settings: Settings
) -> tuple[State, Bool[Array, ""]]:
    """Newton's iteration for the change since the start of the step; whether it converged."""

    def running(loop: _Stage) -> Array:
        busy = loop.tries < settings.newton_iterations
        return busy & (loop.size > settings.newton_tolerance) & ~jnp.isnan(loop.size)

    def improve(loop: _Stage) -> _Stage:
        trial = _trial(system, start, loop.change, gained, store, target)
        u, v = solve(_matrix(system, trial, store)[0], (trial.rows, trial.circuit), refinements=0)
        update = State(-u, -v[0], jnp.zeros(0))
        size = jnp.maximum(jnp.max(jnp.abs(u)), jnp.max(jnp.abs(v)))
        return _Stage(advance(loop.change, update), size, loop.tries + 1)

    end = jax.lax.while_loop(running, improve, _Stage(guess, jnp.asarray(jnp.inf), jnp.zeros((), int)))
    return end.change, end.size <= settings.newton_tolerance


def _error(system: System, trial: _Trial, error: Stores, store: Array, settings: Settings) -> Array:
    """Error of a step over the tolerance: what the error of the stores becomes in one implicit step.

    That damps what relaxes within the step, which the embedded method sees too large (Hairer and Wanner, IV.8).
    """
    matrix, own = _matrix(system, trial, store)
    source, forced = store * error.carriers, []
    charge = jnp.zeros_like(source[0])
    by_region = []
    for region, part, dots in zip(system.regions, trial.edges, own, strict=True):
        if part.dots is None or dots is None:
            forced.append(jnp.zeros((system.dot_states - 1, *system.sizes, *part.stored.shape[1:])))
            by_region.append(jnp.zeros((5, *part.stored.shape[1:])))
            continue
        pushed = eliminate(dots, (store * part.dots.stored * region.take(error.dots))[:, None])[:, 0]
        onto_host = over_sizes(sum((part.dots.rows[:, k] * pushed[k] for k in range(len(pushed))), jnp.zeros(())), 1)
        forced.append(pushed)
        count = len(part.dots.rows)
        signed = ROW_SIGNS[:count, None, None] * onto_host
        by_region.append(jnp.pad(signed, ((0, 5 - count), (0, 0), (0, 0))))
    onto_rows = system.join(by_region)
    rows = to_nodes(jnp.concatenate([charge[None], source]) + onto_rows[:3])
    where = landing_places(system, trial.moment.u)
    if where is not None:
        rows = rows.at[1:].add(where.scatter(onto_rows[3:], system.nodes))
    rows = rows.T
    rows = rows.at[0].multiply(free_rows(system, 0)).at[-1].multiply(free_rows(system, 1))
    ratio = system.series_resistance_ohm * system.ampere / system.kT
    u, v = solve(matrix, (-rows, (ratio * store * error.displacement[system.read_edge])[None]), refinements=0)
    psi, phi_n, phi_p = edge_unknowns(u)
    log_n, log_p = psi - phi_n, v[0] + phi_p - psi
    worst = jnp.maximum(jnp.max(jnp.abs(psi)), jnp.abs(v[0]))
    levels = jnp.zeros_like(psi[None]) if where is None else where.gather(u[:, 1:].T)
    floor = settings.density_floor_cm3
    for region, part, dots, pushed in zip(system.regions, trial.edges, own, forced, strict=True):
        log = jnp.stack([region.take(log_n), region.take(log_p)])
        density = part.stored / (region.lengths / 2)
        worst = jnp.maximum(worst, jnp.max(jnp.abs(log) * density / (density + floor)))
        if part.dots is None or dots is None or region.bulk.dots is None:
            continue
        own = region.take(psi)
        field = part.field * (own[0] - own[1])
        local = jnp.concatenate([log, jnp.broadcast_to(field, log[:1].shape)])
        if part.landing is not None and len(part.rows) > 3:
            there = region.take(levels)
            seen = jnp.stack([own - there[0], v[0] + there[1] - own]) + part.landing.by_field * field
            local = jnp.concatenate([local, seen])
        by_local = eliminate(dots, part.dots.local)
        moved = pushed + sum((by_local[:, k] * local[k] for k in range(len(local))), jnp.zeros(()))
        size = jnp.abs(region.take(trial.moment.dots)) + floor / region.bulk.dots.density
        worst = jnp.maximum(worst, jnp.max(jnp.abs(moved) / size))
    return worst / settings.tolerance


class Step(NamedTuple):
    """What a step leads to."""

    moment: Moment
    current: Float[Array, " edge"]
    """Conduction plus displacement at its end, cm^-2 s^-1 along +x."""
    charge: Float[Array, ""]
    """That has gone into the anode, C."""
    error: Float[Array, ""]
    """Over the tolerance; infinite where a stage failed."""


def take_step(
    system: System, drive: Drive, start: Moment, time: Array, middle: Array, step: Array, settings: Settings
) -> Step:
    """One step of length `step` (s) from `time`, between two outputs with this middle."""
    store = 1 / (DIAGONAL * step)

    def stage(carry: tuple, row: tuple) -> tuple[tuple, _Trial]:
        rates, currents, change, good, index = carry
        weights, at = row
        gained = jax.tree.map(lambda rate: step * jnp.tensordot(weights, rate, 1), rates)
        target = drive.at(time + at * step, middle)
        change, solved = _solve_stage(system, start, change, gained, store, target, settings)
        trial = _trial(system, start, change, gained, store, target)
        rates = jax.tree.map(lambda all_, one: all_.at[index].set(one), rates, trial.rate)
        through = trial.conduction + trial.rate.displacement
        terminal = system.ampere * through[system.read_edge]
        terminal += system.shunt_conductance_S * trial.moment.v * system.kT
        return (rates, currents.at[index].set(terminal), change, good & solved, index + 1), trial

    count = len(TIMES)
    rates = jax.tree.map(lambda one: jnp.zeros((count, *one.shape)), _stores(system))
    still = State(jnp.zeros_like(start.u), jnp.zeros_like(start.v), jnp.zeros(0))
    begin = (rates, jnp.zeros(count), still, jnp.ones((), bool), jnp.zeros((), int))
    before = jnp.asarray(WEIGHTS - DIAGONAL * np.eye(count))
    (rates, currents, _, good, _), trials = jax.lax.scan(stage, begin, (before, jnp.asarray(TIMES)))
    trial = jax.tree.map(lambda of_stages: of_stages[-1], trials)
    errors = jax.tree.map(lambda rate: step * jnp.tensordot(jnp.asarray(ERROR_WEIGHTS), rate, 1), rates)
    error = _error(system, trial, errors, store, settings)
    error = jnp.where(good & jnp.isfinite(error), error, jnp.inf)
    charge = step * jnp.asarray(WEIGHTS[-1]) @ currents
    return Step(trial.moment, trial.conduction + trial.rate.displacement, charge, error)


# --- all steps ---------------------------------------------------------------------------------------------------


class Transient(eqx.Module):
    """A device at a list of times, ascending, after a start at zero."""

    time_s: Float[Array, " time"]
    current_A: Float[Array, " time"]
    """Into the anode, displacement and shunt included."""
    charge_C: Float[Array, " time"]
    """Its integral since the start."""
    current_density_A_per_cm2: Float[Array, "time edge"]
    """Conduction plus displacement at every edge, positive where it flows forward; the same everywhere in theory."""
    moment: Moment
    """States, with the times on the first axis."""
    status: Int[Array, " time"]
    """A `TransientStatus`; after a failure all later times have it, and repeat the last state."""
    steps: Int[Array, " time"]
    """Steps since the output before, repeated ones included."""


class _Loop(NamedTuple):
    moment: Moment
    time: Array
    step: Array
    current: Array
    charge: Array
    steps: Array
    status: Array


def integrate(
    system: System,
    start: Moment,
    drive: Drive,
    times_s: Float[Array, " time"],
    settings: Settings = DEFAULTS,
    started: Bool[Array, ""] | bool = True,
) -> Transient:
    """Follow a device from `start` at time zero through `times_s` (ascending, s, the first above zero).

    Derivatives in forward mode are those of the steps taken, their lengths held fixed.
    """

    def interval(carry: tuple[_Loop, Array], end: Array) -> tuple[tuple[_Loop, Array], _Loop]:
        loop, begin = carry
        middle, width = (begin + end) / 2, end - begin

        def running(loop: _Loop) -> Array:
            return loop.status == UNFINISHED

        def forward(loop: _Loop) -> _Loop:
            left = end - loop.time
            last = loop.step >= left
            # two equal steps where a whole one would leave a sliver behind
            step = jax.lax.stop_gradient(jnp.where(last, left, jnp.minimum(loop.step, left / 2)))
            new = take_step(system, drive, loop.moment, loop.time, middle, step, settings)
            good = new.error <= 1
            ratio = jnp.clip(0.9 * jnp.maximum(new.error, 1e-10) ** -0.25, 0.1, settings.growth)
            proposed = step * jnp.where(good, ratio, jnp.minimum(ratio, 0.5))
            # where the output cut a step short the longer one is still good
            cut = good & (step < loop.step)
            proposed = jax.lax.stop_gradient(jnp.where(cut, jnp.maximum(proposed, loop.step), proposed))
            lost = ~good & (proposed < settings.smallest_step * width)
            worn = loop.steps + 1 >= settings.steps
            status = jnp.where(lost, int(TransientStatus.STEP_TOO_SMALL), UNFINISHED)
            status = jnp.where(~lost & worn, int(TransientStatus.OUT_OF_STEPS), status)
            status = jnp.where(good & last, int(TransientStatus.REACHED), status)
            moment = jax.tree.map(lambda a, b: jnp.where(good, a, b), new.moment, loop.moment)
            return _Loop(
                moment,
                jnp.where(good, jnp.where(last, end, loop.time + step), loop.time),
                proposed,
                jnp.where(good, new.current, loop.current),
                jnp.where(good, loop.charge + new.charge, loop.charge),
                loop.steps + 1,
                status,
            )

        fresh = loop._replace(
            steps=jnp.zeros_like(loop.steps),
            status=jnp.where(loop.status == TransientStatus.REACHED, UNFINISHED, loop.status),
        )
        done = jax.lax.while_loop(running, forward, fresh)
        return (done, end), done

    begun = jnp.where(jnp.asarray(started), int(TransientStatus.REACHED), int(TransientStatus.NO_START))
    first = jax.lax.stop_gradient(settings.first_step * times_s[0])
    zero = jnp.zeros(())
    none = jnp.zeros(system.nodes - 1)
    begin = _Loop(start, zero, first, none, zero, jnp.zeros((), int), begun)
    _, done = jax.lax.scan(interval, (begin, zero), times_s)
    shunt = system.shunt_conductance_S * done.moment.v * system.kT
    return Transient(
        times_s,
        system.ampere * done.current[:, system.read_edge] + shunt,
        done.charge,
        system.polarity * ELEMENTARY_CHARGE_C * done.current,
        done.moment,
        done.status,
        done.steps,
    )


# --- starts ------------------------------------------------------------------------------------------------------


def at_rest(system: System, state: State, light: Light) -> Moment:
    """A stationary state as the start of a transient."""
    return Moment(state.u, state.v, populations(system, state.u, state.v, light)[1:])


def pumped(system: System, moment: Moment, photons: Light) -> Moment:
    """A state just after a pulse that is shorter than everything else: `photons` absorbed in each half edge, cm^-2.

    A dot that is hit at least once while empty holds an exciton: with m photons per dot on average, the empty ones
    become P_0 exp(-m) (Poisson's law); further photons are lost. In the host every photon leaves a pair at its node, in
    both materials of an interface by their densities. Neither moves charge, so that the potential stays.
    """
    per_end = _dots_per_end(system)
    hits = jnp.where(per_end > 0, photons.dots / jnp.where(per_end > 0, per_end, 1.0), 0.0)
    empty = jnp.where(per_end > 0, 1 - jnp.sum(moment.dots, axis=0, keepdims=True), 0.0)
    dots = jnp.concatenate([empty, moment.dots])
    for start, end in excited(system.dot_states):
        lifted = -jnp.expm1(-hits) * dots[start]
        dots = dots.at[start].add(-lifted).at[end].add(lifted)
    dots = dots[1:]
    sites = [edge.site for edge in edge_states(system, moment.u, moment.v)]
    density = system.join([jnp.stack([site.n, site.p]) for site in sites])
    stored = to_nodes(density * system.lengths / 2)
    inner = jnp.ones(system.nodes).at[0].set(0.0).at[-1].set(0.0)  # the contacts take what they get at once
    rise = jnp.log1p(inner * to_nodes(photons.host) / stored)
    u = moment.u.at[:, 1].add(-rise[0]).at[:, 2].add(rise[1])
    return Moment(u, moment.v, dots)


def _prepared(
    device: Device, voltage_V: Float[Array, ""] | float, load_ohm: Float[Array, ""] | float
) -> tuple[System, Target, Moment, Bool[Array, ""]]:
    """The device in its circuit at rest under its own light, its ions standing still from then on."""
    system, light = under_own_light(device)
    resistance = system.series_resistance_ohm + load_ohm
    system = eqx.tree_at(lambda s: s.series_resistance_ohm, system, resistance)
    target = Target(jnp.asarray(voltage_V, jnp.float64) / system.kT, light)
    outcome = reach(system, target)
    system = freeze(system, outcome.state)
    return system, target, at_rest(system, outcome.state, light), outcome.converged


def _none(target: Target) -> Target:
    return jax.tree.map(jnp.zeros_like, target)


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function, with floats as arrays, so that another number needs no other program."""
    compiled: Any = eqx.filter_jit(function)

    def as_array(value: Any) -> Any:
        return _number(value) if isinstance(value, float) else value

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Result:
        return compiled(*map(as_array, args), **{name: as_array(value) for name, value in kwargs.items()})

    return cast(Callable[Arguments, Result], call)


def _of_one_wavelength(
    device: Device, wavelength_nm: Float[Array, ""] | float, per_area: Float[Array, ""] | float
) -> Light:
    """Photons absorbed of an irradiance (W/cm^2, per second) or of a fluence (J/cm^2)."""
    return light_of(device, jnp.asarray(wavelength_nm, jnp.float64)[None], jnp.asarray(per_area, jnp.float64))


# --- for users ---------------------------------------------------------------------------------------------------


@_compiled
def light_pulse(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, ""] | float,
    irradiance_W_per_cm2: Float[Array, ""] | float,
    shape: Shape,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Transient:
    """Light of one wavelength added to the device's own in a shape of time, from the stationary state without it.

    `load_ohm` is in series with the device, besides its own series resistance; the voltage stands across all.
    """
    system, target, start, converged = _prepared(device, voltage_V, load_ohm)
    added = Target(jnp.zeros(()), _of_one_wavelength(device, wavelength_nm, irradiance_W_per_cm2))
    return integrate(system, start, Drive(target, added, shape), times_s, settings, converged)


class Switching(eqx.Module):
    """Rise and fall of the current when light is switched on and, after it has settled, off."""

    rise_s: Float[Array, ""]
    fall_s: Float[Array, ""]
    """From 10 to 90 % of the change between the stationary currents; nan where the current does not get there."""
    dark_A: Float[Array, ""]
    lit_A: Float[Array, ""]
    """Stationary currents."""
    on: Transient
    off: Transient


@_compiled
def rise_and_fall_times(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, ""] | float,
    irradiance_W_per_cm2: Float[Array, ""] | float,
    load_ohm: Float[Array, ""] | float = 50.0,
    earliest_s: Float[Array, ""] | float = 1e-12,
    latest_s: Float[Array, ""] | float = 1e-3,
    points: int = 109,
    settings: Settings = DEFAULTS,
) -> Switching:
    """Switch light of one wavelength on and off, on top of the device's own, and time the current.

    The outputs, from `earliest_s` to `latest_s` after either switch, stand at equal ratios of time.
    """
    system, target, dark, converged = _prepared(device, voltage_V, load_ohm)
    more = _of_one_wavelength(device, wavelength_nm, irradiance_W_per_cm2)
    bright = Target(target.voltage, jax.tree.map(jnp.add, target.light, more))
    outcome = reach(system, bright)
    lit = at_rest(system, outcome.state, bright.light)
    times = jnp.geomspace(earliest_s, latest_s, points)
    ends = [current_A(system, _state(moment), at.light) for moment, at in ((dark, target), (lit, bright))]
    runs, spans = [], []
    for start, at, (before, after) in ((dark, bright, ends), (lit, target, ends[::-1])):
        run = integrate(system, start, Drive(at, _none(at), Square()), times, settings, converged & outcome.converged)
        share = (run.current_A - before) / (after - before)
        spans.append(first_crossing(times, share, 0.9) - first_crossing(times, share, 0.1))
        runs.append(run)
    return Switching(spans[0], spans[1], ends[0], ends[1], runs[0], runs[1])


def _state(moment: Moment) -> State:
    return State(moment.u, moment.v, jnp.zeros(0))


def first_crossing(times: Float[Array, " time"], share: Float[Array, " time"], level: float) -> Float[Array, ""]:
    """Time at which a share of a change, zero at time zero, first reaches a level; nan if it never does.

    Between outputs the rest, 1 - share, is taken to decay exponentially.
    """
    times = jnp.concatenate([jnp.zeros(1), times])
    rest = -jnp.log(jnp.maximum(1 - jnp.concatenate([jnp.zeros(1), share]), 1e-3))
    sought = -np.log1p(-level)
    above = rest >= sought
    place = jnp.maximum(jnp.argmax(above), 1)
    low, high = rest[place - 1], rest[place]
    part = (sought - low) / jnp.where(high > low, high - low, 1.0)
    return jnp.where(jnp.any(above), times[place - 1] + part * (times[place] - times[place - 1]), jnp.nan)


class Absorbance(eqx.Module):
    """What a pump changes in the active layers, averaged over their depth."""

    time_s: Float[Array, " time"]
    dots: Float[Array, " time"]
    """Rise of the mean occupation of the dots' two levels, (P_e + P_h + 2 P_X)/2: the bleach of the exciton, whose
    line absorbs in proportion to 1 - (occupation of the electron's level) - (of the hole's)."""
    host_cm3: Float[Array, " time"]
    """Rise of (n + p)/2, to which the bleach at the host's band edge is proportional, cm^-3."""
    at_once: Float[Array, "2"]
    """Both just after the pump."""
    transient: Transient


@_compiled
def transient_absorption(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    pump_wavelength_nm: Float[Array, ""] | float,
    fluence_J_per_cm2: Float[Array, ""] | float,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Absorbance:
    """Pump a stationary device with a short pulse and follow the occupation of its levels.

    Absorption of the pump is that of the empty device; only filling of the dots limits it (see `pumped`). The probe
    is taken not to disturb.
    """
    system, target, rest, converged = _prepared(device, voltage_V, load_ohm)
    photons = _of_one_wavelength(device, pump_wavelength_nm, fluence_J_per_cm2)
    start = pumped(system, rest, photons)
    run = integrate(system, start, Drive(target, _none(target), Square()), times_s, settings, converged)
    active, per_end = _active_lengths(device, system), _dots_per_end(system)

    def levels(moment: Moment) -> Float[Array, "2"]:
        sites = [edge.site for edge in edge_states(system, moment.u, moment.v)]
        carriers = system.join([(site.n + site.p) / 2 for site in sites])
        states = by_carriers(jnp.concatenate([jnp.zeros_like(moment.dots[:1]), moment.dots]))
        filling = (states[ELECTRON] + states[HOLE]) / 2 + states[EXCITON]
        number = over_sizes(per_end)
        mean = over_sizes(filling * per_end) / jnp.where(number > 0, number, 1.0)
        both = jnp.stack([mean, carriers])
        return jnp.sum(both * active, axis=(1, 2)) / (2 * jnp.sum(active))

    before = levels(rest)
    dots, host = (jax.vmap(levels)(run.moment) - before).T
    return Absorbance(times_s, dots, host, levels(start) - before, run)


def _active_lengths(device: Device, system: System) -> Float[Array, " edge"]:
    """Length of every edge of the active layers, zero for the others."""
    counts = [device.layers[name].edges for name in device.electrical]
    inside = np.repeat([name in device.active for name in device.electrical], counts)
    return system.lengths * jnp.asarray(inside, jnp.float64)
