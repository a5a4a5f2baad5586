"""Damped Newton iteration inside a continuation in bias and light, differentiated by the implicit-function theorem.

One `while_loop` serves both: an iteration either improves the trial point or, when that has converged, accepts it and
steps on along the tangent; a trial that fails is repeated with half the step. Batches advance independently of each
other.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int

from invdesign.device.device import Ohmic
from invdesign.results import Status
from invdesign.solve import landing
from invdesign.solve.assembly import (
    CHARGES,
    EdgeBalance,
    EdgeLinearisation,
    Light,
    System,
    assemble,
    balance,
    collect,
    conservation,
    current_beside_A,
    follow,
    free_rows,
    ion_number,
    ion_slopes,
    ionic_charge,
    join_balances,
    join_rows,
    landing_places,
    linearise,
    to_nodes,
)
from invdesign.solve.landing import FarRows
from invdesign.solve.tridiagonal import Bordered, solve


class Settings(eqx.Module):
    """Knobs of the nonlinear solver."""

    tolerance: float = eqx.field(static=True, default=1e-4)
    """Largest update (over kT/q) of an accepted point; at the target one more step follows, which squares it."""
    iterations_per_step: int = eqx.field(static=True, default=30)
    iterations: int = eqx.field(static=True, default=2000)
    first_step: float = eqx.field(static=True, default=20.0)
    """First continuation step in bias, over kT/q."""
    growth: float = eqx.field(static=True, default=1.5)
    """Length of a step over that of the accepted one before it."""
    smallest_step: float = eqx.field(static=True, default=1e-4)
    """Smallest step, as a fraction of the whole way."""


DEEPEST_FALL = -0.95
"""Largest relative fall of a density in one step."""

DEFAULTS = Settings()
UNFINISHED = -1


class State(eqx.Module):
    """A solution: unknowns of all nodes, the junction voltage, and the levels of ions at rest, over kT/q."""

    u: Float[Array, "node unknown"]
    v: Float[Array, ""]
    ions: Float[Array, " ionic"]

    @property
    def globals(self) -> Float[Array, " global"]:
        """The unknowns that are not of a node."""
        return jnp.concatenate([self.v[None], self.ions])


def _state(u: Float[Array, "node unknown"], circuit: Float[Array, " global"]) -> State:
    return State(u, circuit[0], circuit[1:])


class Outcome(eqx.Module):
    """A state and how it was reached."""

    state: State
    status: Int[Array, ""]
    iterations: Int[Array, ""]

    @property
    def converged(self) -> Bool[Array, ""]:
        return self.status == Status.CONVERGED


class Target(eqx.Module):
    """Where the device is to be operated: applied voltage (over kT/q) and light."""

    voltage: Float[Array, ""]
    light: Light


def terminal_current_A(system: System, state: State, edges: EdgeBalance) -> Float[Array, ""]:
    """Current into the anode (A), with what flows beside the junction, from the balances of the edges."""
    return system.ampere * edges.conduction[system.read_edge] + current_beside_A(system, state.u, state.v)


def current_A(system: System, state: State, light: Light) -> Float[Array, ""]:
    """Terminal current into the anode (A) of a state."""
    return terminal_current_A(system, state, balance(system, state.u, state.v, light))


def equations(
    system: System, state: State, target: Target
) -> tuple[Float[Array, "node unknown"], Float[Array, " global"]]:
    """All equations of the device in its circuit; zero at the operating point.

    The rows of the nodes, and Kirchhoff's law of the series resistance over kT/q.
    """
    return _close(system, state, target, balance(system, state.u, state.v, target.light))


def _close(
    system: System, state: State, target: Target, edges: EdgeBalance
) -> tuple[Float[Array, "node unknown"], Float[Array, " global"]]:
    drop = system.series_resistance_ohm * terminal_current_A(system, state, edges) / system.kT
    ions = ionic_charge(system, state.u, state.ions)
    rows = collect(system, state.u, state.v, edges, ions)
    return rows, jnp.concatenate([(state.v + drop - target.voltage)[None], conservation(system, ions)])


def linearised(
    system: System, state: State, target: Target
) -> tuple[Bordered, tuple[Float[Array, "node unknown"], Float[Array, " global"]]]:
    """Newton's linear system: the derivative of the equations, which is the dc small-signal matrix, and the equations.

    Both from one pass over the edges.
    """
    edges = linearise(system, state.u, state.v, target.light)
    by_level = ion_slopes(system, state.u, state.ions)
    rows, far, _ = join_rows(system, [follow(part, 0.0) for part in edges])
    rigid = jnp.sum(by_level, axis=0)  # a potential raises the charge by as much as the level of the ions lowers it
    rows = rows.at[0, 0, 0].add(-rigid[0]).at[0, 3, 1].add(-rigid[1])
    matrix, _ = bordered(system, state.u, state.v, edges, rows, far, 0.0)
    if system.ionic:
        matrix = with_ions(system, matrix, to_nodes(by_level))
    return matrix, _close(system, state, target, join_balances(system, state.u, [part.balance for part in edges]))


def with_ions(system: System, matrix: Bordered, charge: Float[Array, "ionic node"]) -> Bordered:
    """Add the ions' levels and the conservation of their numbers; `charge` at the nodes by each level, per cm^2."""
    inside = charge.at[:, jnp.array([0, -1])].set(0.0)  # the potential of the outer nodes is that of the contacts
    columns = jnp.pad(inside.T[:, None], ((0, 0), (0, system.unknowns - 1), (0, 0)))
    size = jnp.stack([ion_number(system, layer) for layer in system.ionic])
    by_node = jnp.pad(-(charge / size[:, None])[..., None], ((0, 0), (0, 0), (0, system.unknowns - 1)))
    return Bordered(
        matrix.core,
        jnp.concatenate([matrix.columns, columns], axis=2),
        jnp.concatenate([matrix.rows, by_node]),
        jax.scipy.linalg.block_diag(matrix.corner, jnp.diag(jnp.sum(charge, axis=1) / size)),
        matrix.far,
    )


def bordered(
    system: System,
    u: Float[Array, "node unknown"],
    v: Float[Array, ""],
    edges: Sequence[EdgeLinearisation],
    rows: Inexact[Array, "unknown of 2 edge"],
    far: FarRows | None,
    store: Inexact[Array, ""] | float,
    load_ohm: Float[Array, ""] | float = 0.0,
    read_edge: Int[Array, ""] | int | None = None,
) -> tuple[Bordered, tuple[Inexact[Array, "node unknown"], Inexact[Array, ""]]]:
    """The device in its circuit, v + Z I/kT = V/kT: the matrix, and the terminal current (A) by its unknowns.

    `rows` and `far` are those of the linearised edges, their dots eliminated at the rate factor `store`. `load_ohm`
    adds to the series resistance; the current is read on `read_edge`.
    """
    core, column = assemble(system, u, v, rows)
    read = system.read_edge if read_edge is None else read_edge
    displacement, *flows = system.join([part.along for part in edges])[..., read]
    current = store * displacement + sum(charge * flow for charge, flow in zip(CHARGES, flows, strict=False))
    by_node, by_v = terminal(system, u, v, system.ampere * current, read)
    off_band, where = None, landing_places(system, u)
    if far is not None and where is not None:
        taken, field = system.join([(part.balance.far, part.field) for part in edges])
        free = jnp.ones((system.nodes, 3)).at[0].set(free_rows(system, 0)).at[-1].set(free_rows(system, 1))
        off_band = landing.links(where, far, taken, field, free, system.far_edges)
        by_v_there = where.scatter(far.by_unknowns[:, 6], system.nodes)
        column = column.at[:, 1:].add(-by_v_there.T * free[:, 1:])
        by_ends, by_level, over_by_v = landing.read(where, far, taken, field, read)
        over = to_nodes(by_ends).at[1:].add(by_level).T
        by_node, by_v = by_node + system.ampere * over, by_v + system.ampere * over_by_v
    ratio = (system.series_resistance_ohm + load_ohm) / system.kT
    border = ratio * by_node[None], (1 + ratio * by_v)[None, None]
    return Bordered(core, column[..., None], *border, off_band), (by_node, by_v)


def terminal(
    system: System,
    u: Float[Array, "node unknown"],
    v: Float[Array, ""],
    current: Inexact[Array, " of"],
    read_edge: Int[Array, ""] | int,
) -> tuple[Inexact[Array, "node unknown"], Inexact[Array, ""]]:
    """Derivative of the terminal current (A) by all unknowns and the junction voltage.

    `current` has that of the current over `read_edge` by the unknowns of the edge.
    """
    by_node, by_v = jax.grad(current_beside_A, (1, 2))(system, u, v)
    left, right = current[:-1].reshape(2, -1)
    by_node = by_node.astype(current.dtype).at[read_edge].add(left).at[read_edge + 1].add(right)
    return by_node, current[-1] + by_v


def advance(state: State, update: State) -> State:
    """Newton's update, bent where it is large.

    Carrier densities obey nearly linear equations, so that an update of a quasi-Fermi potential is taken for the
    relative change of the density, n -> n (1 + d): the step is then ln(1 + d). Potentials beyond kT/q grow only
    logarithmically.
    """

    def of_density(relative: Array) -> Array:
        return jnp.log1p(jnp.maximum(relative, DEEPEST_FALL))

    def limit(x: Array) -> Array:
        size = jnp.abs(x)
        return jnp.where(size > 1, jnp.sign(x) * (1 + jnp.log(jnp.maximum(size, 1.0))), x)

    psi, *levels = update.u.T
    steps = [charge * of_density(charge * phi) for charge, phi in zip(CHARGES, levels, strict=False)]
    step = jnp.stack([limit(psi), *steps], axis=1)
    return State(state.u + step, state.v + limit(update.v), state.ions + limit(update.ions))


def _size(update: State) -> Float[Array, ""]:
    return jnp.maximum(jnp.max(jnp.abs(update.u)), jnp.max(jnp.abs(update.globals)))


def _between(start: Target, end: Target, fraction: Array) -> Target:
    return jax.tree.map(lambda a, b: a + fraction * (b - a), start, end)


class Stage(IntEnum):
    """What a walk is doing."""

    AT_TARGET = 0
    """Newton's iteration at the target from a guess; if it fails, the next stage begins."""
    AT_ORIGIN = 1
    """Newton's iteration at the origin from a cold guess."""
    UNDER_WAY = 2
    """Stepping from the solution at the origin to the target."""


class _Loop(NamedTuple):
    stage: Array
    accepted: State
    trial: State
    reached: Array
    step: Array
    tries: Array
    total: Array
    settled: Array
    status: Array


def walk(
    system: System,
    start: State,
    origin: Target,
    target: Target,
    settings: Settings = DEFAULTS,
    stage: Stage | Int[Array, ""] = Stage.UNDER_WAY,
) -> Outcome:
    """Find the solution at `target`, beginning with `stage`. Not differentiable: see `differentiable`."""
    system, start, origin, target = jax.lax.stop_gradient((system, start, origin, target))
    way = jnp.abs(target.voltage - origin.voltage)
    first = jnp.clip(settings.first_step / jnp.maximum(way, settings.first_step), 1e-3, 1.0)
    cold = equilibrium_guess(system)

    def running(loop: _Loop) -> Array:
        return (loop.status == UNFINISHED) & (loop.total < settings.iterations)

    def body(loop: _Loop) -> _Loop:
        goal = jnp.minimum(loop.reached + loop.step, 1.0)
        fraction = jnp.where(loop.stage == Stage.AT_TARGET, 1.0, jnp.where(loop.stage == Stage.AT_ORIGIN, 0.0, goal))
        here = _between(origin, target, fraction)
        u, v = solve(*linearised(system, loop.trial, here), refinements=0)
        update = _state(-u, -v)
        size = _size(update)
        moved = advance(loop.trial, update)
        good = size < settings.tolerance
        bad = ~good & (~jnp.isfinite(size) | (loop.tries + 1 >= settings.iterations_per_step))
        under_way = loop.stage == Stage.UNDER_WAY
        at_origin = loop.stage == Stage.AT_ORIGIN
        at_target = ~at_origin & (~under_way | (goal >= 1.0))
        arrived = loop.settled & jnp.isfinite(size)

        # a step that worked is followed by a longer one, from a point extrapolated along it
        ahead = jnp.minimum(settings.growth * (goal - loop.reached), 1.0 - goal)
        slope = jnp.where(under_way, ahead / jnp.maximum(goal - loop.reached, 1e-30), 0.0)
        extrapolated = jax.tree.map(lambda new, old: new + slope * (new - old), moved, loop.accepted)
        shorter = 0.25 * loop.step
        restart = bad & (loop.stage == Stage.AT_TARGET)
        lost = bad & (at_origin | (under_way & (shorter < settings.smallest_step)))

        def choose(on_good: State, on_bad: State, otherwise: State) -> State:
            return jax.tree.map(lambda g, b, o: jnp.where(good, g, jnp.where(bad, b, o)), on_good, on_bad, otherwise)

        back = jax.tree.map(lambda c, a: jnp.where(restart, c, a), cold, loop.accepted)
        return _Loop(
            jnp.where(restart, int(Stage.AT_ORIGIN), jnp.where(good & at_origin, int(Stage.UNDER_WAY), loop.stage)),
            choose(moved, back, loop.accepted),
            choose(extrapolated, back, moved),
            jnp.where(good & under_way, goal, loop.reached),
            jnp.where(good & under_way, jnp.maximum(ahead, 1e-12), jnp.where(bad & under_way, shorter, loop.step)),
            jnp.where(good | bad, 0, loop.tries + 1),
            loop.total + 1,
            good & at_target,
            jnp.where(arrived, int(Status.CONVERGED), jnp.where(lost, int(Status.STEP_TOO_SMALL), UNFINISHED)),
        )

    zero = jnp.zeros((), jnp.int64)
    begin = _Loop(zero + stage, start, start, jnp.zeros(()), first, zero, zero, zero > 0, zero + UNFINISHED)
    end = jax.lax.while_loop(running, body, begin)
    status = jnp.where(end.status == UNFINISHED, int(Status.OUT_OF_ITERATIONS), end.status)
    return Outcome(end.accepted, status, end.total)


def differentiable(system: System, outcome: Outcome, target: Target) -> Outcome:
    """The outcome as a function of system and target, by the implicit-function theorem; a failed one is constant."""
    state = _solution(jax.lax.stop_gradient(outcome.state), outcome.converged, system, target)
    return Outcome(state, outcome.status, outcome.iterations)


@eqx.filter_custom_jvp
def _solution(state: State, converged: Bool[Array, ""], system: System, target: Target) -> State:
    """The state, as a function of what it solves."""
    del converged, system, target
    return state


@_solution.def_jvp
def _implicit(primals: tuple, tangents: tuple) -> tuple[State, State]:
    """d(state) = -matrix^-1 d(equations); none where the state is no solution."""
    _, converged, system, target = primals
    state = _solution(*primals)
    rest, moved = eqx.filter_jvp(lambda s, t: equations(s, state, t), (system, target), tangents[2:])
    rows, circuit = (jnp.zeros_like(at) if by is None else by for at, by in zip(rest, moved, strict=True))
    u, v = solve(linearised(system, state, target)[0], (rows, circuit))
    return state, jax.tree.map(lambda d: jnp.where(converged, -d, 0.0), _state(u, v))


def equilibrium_guess(system: System) -> State:
    """Local charge neutrality inside, the contacts' potentials at the ends."""
    along = system.join([Ohmic().potential(region.bulk, system.kT) for region in system.regions])
    left, right = system.contact_potentials
    psi = jnp.concatenate([left[None], (along[:-1] + along[1:]) / 2, right[None]])
    zero = jnp.zeros_like(psi)
    levels = [jnp.mean(psi[start : end + 1]) for start, end in (layer.run for layer in system.ionic)]
    u = jnp.stack([psi, *[zero] * (system.unknowns - 1)], axis=1)
    return State(u, jnp.zeros(()), jnp.asarray(levels))
