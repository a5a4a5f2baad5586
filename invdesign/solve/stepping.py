"""Integration in time of the balances, with light and voltage as functions of time.

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
from enum import IntEnum
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.materials.semiconductor import Bulk
from invdesign.solve.assembly import (
    DotPast,
    EdgeLinearisation,
    Light,
    System,
    arrivals,
    carriers_gained,
    collect,
    current_beside_A,
    edge_linearisation,
    edge_state,
    edge_unknowns,
    follow,
    join_balances,
    join_rows,
    over_sizes,
    over_states,
    populations,
)
from invdesign.solve.landing import Arrival
from invdesign.solve.newton import State, Target, advance, bordered
from invdesign.solve.tridiagonal import Bordered, solve

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


def number(value: Any) -> Float[Array, ""]:
    """A float64 scalar, so that another number needs no other program."""
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

    start_s: Float[Array, ""] = eqx.field(converter=number, default=0.0)
    end_s: Float[Array, ""] = eqx.field(converter=number, default=jnp.inf)

    def __call__(self, time_s: Float[Array, ""], middle_s: Float[Array, ""]) -> Float[Array, ""]:
        # judged in the middle, so that a step ends before a jump and the next begins after it
        return jnp.where((middle_s > self.start_s) & (middle_s < self.end_s), 1.0, 0.0)


class Sine(Shape):
    """sin(2 pi f t)."""

    frequency_Hz: Float[Array, ""] = eqx.field(converter=number)

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

    u: Float[Array, "node unknown"]
    v: Float[Array, ""]
    """Unknowns of the nodes and the junction voltage, as at an operating point."""
    dots: Float[Array, "filled *size 2 edge"]
    """Populations of all states but the empty one at both ends of every edge, zero where there are no dots."""


def at_rest(system: System, state: State, light: Light) -> Moment:
    """A stationary state as the start of a transient."""
    return Moment(state.u, state.v, populations(system, state.u, state.v, light)[1:])


class Stores(eqx.Module):
    """What the balances store, and its changes and rates of change."""

    carriers: Float[Array, "2 2 edge"]
    """Electrons and holes in half an edge, cm^-2."""
    dots: Float[Array, "filled *size 2 edge"]
    """Populations of all states but the empty one."""
    displacement: Float[Array, " edge"]
    """eps E on an edge, elementary charges per cm^2."""


class _Trial(NamedTuple):
    """A stage at trial unknowns, its dots already solved for."""

    moment: Moment
    edges: list[EdgeLinearisation]
    rate: Stores
    """Rate of change that the implicit formula says, 1/s."""
    conduction: Float[Array, " edge"]
    rows: Float[Array, "node unknown"]
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
        halves: Array,
        x: Array,
        host: Array,
        light: Array,
        landing: Arrival | None,
        old: Array,
        new: Array,
        moved: Array,
        v: Array,
    ) -> tuple[EdgeLinearisation, Array]:
        site = edge_state(bulk, kT, halves, x, v).site
        past = DotPast(old, new, store)
        edges = edge_linearisation(bulk, kT, halves, x, host, light, landing, v, past)
        return edges, carriers_gained(halves, site, moved, change.v)

    light, by_edge = target.light, edge_unknowns(change.u)
    around = light.host, light.dots, arrivals(system, u), start.dots, gained.dots, by_edge
    parts = over_states(system, kernel, u, v, *around)
    edges, carriers, psi = [part for part, _ in parts], system.join([grown for _, grown in parts]), by_edge[0]
    balance = join_balances(system, u, [part.balance for part in edges])
    displacement = system.join([part.along[0, 0] for part in edges]) * (psi[0] - psi[1])
    dots = system.join([_change(system, part) for part in edges])
    moved = Stores(carriers, dots, displacement)
    rate = jax.tree.map(lambda new, before: store * (new - before), moved, gained)
    # Poisson's equation for the changes: it holds at the start, and ions do not move
    held = over_sizes(dots_per_end(system) * _charge(system, dots))
    charge = carriers[1] - carriers[0] + held
    poisson = charge + jnp.stack([-displacement, displacement])
    rows = jnp.concatenate([poisson[None], balance.rows[1:3] - rate.carriers, balance.rows[3:]])
    still = -system.frozen_charge[None]
    nodes = collect(system, u, v, balance._replace(rows=rows), still)
    through = (balance.conduction + rate.displacement)[system.read_edge]
    current = system.ampere * through + current_beside_A(system, u, v)
    circuit = v + system.series_resistance_ohm * current / system.kT - target.voltage
    return _Trial(Moment(u, v, start.dots + dots), edges, rate, balance.conduction, nodes, circuit[None])


def _charge(system: System, change: Float[Array, "filled *size 2 edge"]) -> Float[Array, "*size 2 edge"]:
    """Charge that a change of populations brings to one dot, elementary charges."""
    of_one = [state.charge for state in system.dot_states[1:]]
    return jnp.tensordot(jnp.asarray(of_one, jnp.float64), change, 1)


def _change(system: System, edges: EdgeLinearisation) -> Float[Array, "filled *size 2 edge"]:
    """Of the populations since the start of a step."""
    if edges.dots is None or edges.dots.change is None:
        return jnp.zeros((len(system.dot_states) - 1, *system.sizes, *edges.stored.shape[1:]))
    return edges.dots.change


def dots_per_end(system: System) -> Float[Array, "*size 2 edge"]:
    """Dots in half an edge, cm^-2."""
    parts = []
    for region in system.regions:
        none = jnp.zeros((*system.sizes, *region.halves.shape))
        parts.append(none if region.bulk.dots is None else none + region.halves * region.bulk.dots.density)
    return system.join(parts)


def _matrix(system: System, trial: _Trial, store: Array) -> Bordered:
    """Derivative of the equations of a stage by its unknowns, the dots eliminated."""
    rows, far, _ = join_rows(system, [follow(part, store) for part in trial.edges])
    return bordered(system, trial.moment.u, trial.moment.v, trial.edges, rows, far, store)[0]


class _Stage(NamedTuple):
    change: State
    size: Array
    tries: Array


def _newton(
    system: System, start: Moment, guess: State, gained: Stores, store: Array, target: Target, settings: Settings
) -> tuple[State, Bool[Array, ""]]:
    """Newton's iteration for the change since the start of the step, and whether it converged. Not differentiable."""
    system, start, guess, gained, store, target = jax.lax.stop_gradient((system, start, guess, gained, store, target))

    def running(loop: _Stage) -> Array:
        busy = loop.tries < settings.newton_iterations
        return busy & (loop.size > settings.newton_tolerance) & ~jnp.isnan(loop.size)

    def improve(loop: _Stage) -> _Stage:
        trial = _trial(system, start, loop.change, gained, store, target)
        u, v = solve(_matrix(system, trial, store), (trial.rows, trial.circuit), refinements=0)
        update = State(-u, -v[0], jnp.zeros(0))
        size = jnp.maximum(jnp.max(jnp.abs(u)), jnp.max(jnp.abs(v)))
        return _Stage(advance(loop.change, update), size, loop.tries + 1)

    end = jax.lax.while_loop(running, improve, _Stage(guess, jnp.asarray(jnp.inf), jnp.zeros((), int)))
    return end.change, end.size <= settings.newton_tolerance


@eqx.filter_custom_jvp
def _solution(change: State, system: System, start: Moment, gained: Stores, store: Array, target: Target) -> State:
    """The change since the start of the step, as a function of what it solves."""
    del system, start, gained, store, target
    return change


@_solution.def_jvp
def _implicit(primals: tuple, tangents: tuple) -> tuple[State, State]:
    """d(change) = -matrix^-1 d(equations), by the implicit-function theorem."""
    change, system, start, gained, store, target = primals

    def equations(*at: Any) -> tuple[Array, Array]:
        trial = _trial(at[0], at[1], change, *at[2:])
        return trial.rows, trial.circuit

    equal, moved = eqx.filter_jvp(equations, primals[1:], tangents[1:])
    rows, circuit = (jnp.zeros_like(at) if by is None else by for at, by in zip(equal, moved, strict=True))
    matrix = _matrix(system, _trial(system, start, change, gained, store, target), store)
    u, v = solve(matrix, (rows, circuit))
    return change, State(-u, -v[0], jnp.zeros(0))


def _error(
    system: System,
    start: Moment,
    change: State,
    gained: Stores,
    target: Target,
    store: Array,
    error: Stores,
    settings: Settings,
) -> Float[Array, ""]:
    """Error of a step over the tolerance: what the error of the stores becomes in one implicit step.

    That damps what relaxes within the step, which the embedded method sees too large (Hairer and Wanner, IV.8).
    """

    def reached(gained: Stores) -> tuple[Moment, _Trial]:
        trial = _trial(system, start, _solution(change, system, start, gained, store, target), gained, store, target)
        return trial.moment, trial

    moment, off, trial = jax.jvp(reached, (gained,), (error,), has_aux=True)
    floor = settings.density_floor_cm3 * system.halves
    carriers = system.join([part.stored for part in trial.edges])
    dots = dots_per_end(system)
    psi, phi_n, phi_p = edge_unknowns(off.u)[:3]
    errors = (
        psi,
        off.v,
        jnp.stack([psi - phi_n, off.v + phi_p - psi]) * carriers / (carriers + floor),
        off.dots * dots / (jnp.abs(moment.dots) * dots + floor),
    )
    return jnp.max(jnp.stack([jnp.max(jnp.abs(each)) for each in errors])) / settings.tolerance


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

    def added(weights: Array, rates: Stores) -> Stores:
        return jax.tree.map(lambda rate: step * jnp.tensordot(weights, rate, 1), rates)

    def stage(carry: tuple, row: tuple) -> tuple[tuple, _Trial]:
        rates, currents, change, good, index = carry
        weights, at = row
        gained = added(weights, rates)
        target = drive.at(time + at * step, middle)
        change, solved = _newton(system, start, change, gained, store, target, settings)
        change = _solution(change, system, start, gained, store, target)
        trial = _trial(system, start, change, gained, store, target)
        rates = jax.tree.map(lambda all_, one: all_.at[index].set(one), rates, trial.rate)
        through = trial.conduction + trial.rate.displacement
        terminal = system.ampere * through[system.read_edge]
        terminal += current_beside_A(system, trial.moment.u, trial.moment.v)
        return (rates, currents.at[index].set(terminal), change, good & solved, index + 1), trial

    count = len(TIMES)
    none = Stores(*(jnp.zeros((*shape, system.nodes - 1)) for shape in ((2, 2), start.dots.shape[:-1], ())))
    rates = jax.tree.map(lambda one: jnp.stack([one] * count), none)
    still = State(jnp.zeros_like(start.u), jnp.zeros_like(start.v), jnp.zeros(0))
    begin = (rates, jnp.zeros(count), still, jnp.ones((), bool), jnp.zeros((), int))
    before = jnp.asarray(WEIGHTS - DIAGONAL * np.eye(count))
    (rates, currents, change, good, _), trials = jax.lax.scan(stage, begin, (before, jnp.asarray(TIMES)))
    trial = jax.tree.map(lambda of_stages: of_stages[-1], trials)
    last = added(before[-1], rates), drive.at(time + step, middle), store, added(jnp.asarray(ERROR_WEIGHTS), rates)
    error = _error(*jax.lax.stop_gradient((system, start, change, *last)), settings)
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

    A time may come again, which costs nothing. Derivatives, in forward mode, are those of the steps taken, their
    lengths held fixed: every stage by the implicit-function theorem.
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
            status=jnp.where((loop.status == TransientStatus.REACHED) & (end > begin), UNFINISHED, loop.status),
        )
        done = jax.lax.while_loop(running, forward, fresh)
        return (done, end), done

    begun = jnp.where(jnp.asarray(started), int(TransientStatus.REACHED), int(TransientStatus.NO_START))
    first = jax.lax.stop_gradient(settings.first_step * times_s[0])
    zero = jnp.zeros(())
    none = jnp.zeros(system.nodes - 1)
    begin = _Loop(start, zero, first, none, zero, jnp.zeros((), int), begun)
    _, done = jax.lax.scan(interval, (begin, zero), times_s)
    beside = jax.vmap(current_beside_A, (None, 0, 0))(system, done.moment.u, done.moment.v)
    return Transient(
        times_s,
        system.ampere * done.current[:, system.read_edge] + beside,
        done.charge,
        system.polarity * ELEMENTARY_CHARGE_C * done.current,
        done.moment,
        done.status,
        done.steps,
    )
