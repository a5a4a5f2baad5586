"""The whole optimisation: starts, search, polish, result."""

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Float

from ..schema import InputError
from .batches import available_cores, compile_for, split, to_host
from .lagrangian import CONVERGED, FAILED, RUNNING, Search, begin, outer_iteration
from .polish import Optimum, distance, distinct, no_multipliers, optimum_at, polish, value_and_jacobian
from .problem import Problem
from .result import Progress, Result, Starts, Status
from .settings import OptimizerSettings, build_optimizer
from .starts import spread_starts
from .state import SearchState, load_state, save_state


def initial_state(
    problem: Problem,
    baseline: Float[np.ndarray, " variable"],
    settings: OptimizerSettings,
    optimizer: optax.GradientTransformationExtraArgs,
    identity: dict[str, Any] | None = None,
) -> SearchState:
    """The state before the first step.

    Raises `InputError` if there is nothing to vary or the baseline is not a point of the unit box.
    """
    baseline = np.asarray(baseline, float)
    if not problem.names:
        raise InputError("There is nothing to optimise: the design has no free variable.")
    if baseline.shape != (len(problem.names),):
        raise InputError(f"The baseline has {baseline.size} values; the problem has {len(problem.names)} variables.")
    for name, value in zip(problem.names, baseline, strict=True):
        if not 0 <= value <= 1:
            raise InputError(f"The baseline of {name} lies outside its bounds (at {value:g} of its range).")
    starts = spread_starts(baseline, settings.starts, settings.seed)
    batches = []
    for number, points in enumerate(split(starts, min(settings.batch, settings.starts))):
        search: Search = to_host(jax.vmap(lambda z: begin(problem, optimizer, settings, z))(points))
        filler = np.arange(len(points)) + number * len(points) >= settings.starts
        batches.append(eqx.tree_at(lambda s: s.status, search, np.where(filler, FAILED, search.status)))
    described = {
        "settings": dataclasses.asdict(settings),
        "names": problem.names,
        "constraint_names": problem.constraint_names,
        "baseline": baseline.tolist(),
        "problem": identity or {},
    }
    return SearchState(described, tuple(batches), (0,) * len(batches))


class _Run:
    """The bookkeeping of one call of `maximise`: time, work done, and the callback."""

    def __init__(self, problem: Problem, settings: OptimizerSettings, on_progress: Callable[[Progress], None] | None):
        self.problem, self.settings, self.on_progress = problem, settings, on_progress
        self.begun = self.work_begun = time.monotonic()
        self.work_before = 0.0

    def search_work(self, state: SearchState) -> float:
        per_iteration = self.settings.batch * self.settings.inner_steps
        last = self.settings.outer_iterations
        done = sum(last if self.finished(state, i) else n for i, n in enumerate(state.iterations))
        return float(per_iteration * done)

    def finished(self, state: SearchState, batch: int) -> bool:
        idle = not np.any(state.batches[batch].status == RUNNING)
        return idle or state.iterations[batch] >= self.settings.outer_iterations

    def report(self, stage: str, state: SearchState, polished: int, candidates: int) -> None:
        if self.on_progress is None:
            return
        settings = self.settings
        polish_work = 2.0 * settings.polish_steps  # an evaluation with all derivatives counts for two
        done = self.search_work(state) + polished * polish_work
        total = settings.batch * settings.inner_steps * settings.outer_iterations * len(state.batches)
        total += candidates * polish_work
        searches = merged(state, settings)
        violation, objective = record_violations(searches.best), searches.best.objective
        feasible = violation <= settings.feasibility_tolerance
        best = best_record(searches, settings)
        worst = int(np.argmin(searches.best.constraints[best])) if self.problem.constraint_names else None
        known = worst is not None and bool(np.isfinite(violation[best]))
        elapsed = time.monotonic() - self.work_begun
        advanced = done - self.work_before
        self.on_progress(
            Progress(
                stage=stage,
                fraction=min(1.0, done / total),
                starts=settings.starts,
                alive=int(np.sum(searches.status == RUNNING)) if stage != "polish" else 0,
                failed=int(np.sum(searches.status == FAILED)),
                feasible=int(np.sum(feasible)),
                evaluations=int(np.sum(searches.evaluations)),
                best_objective=float(objective[best]) if feasible[best] else None,
                worst_constraint=self.problem.constraint_names[worst] if known and worst is not None else None,
                worst_value=float(searches.best.constraints[best][worst]) if known else None,
                elapsed_s=state.wall_s,
                eta_s=elapsed * (total - done) / advanced if advanced > 0 else None,
            )
        )


def merged(state: SearchState, settings: OptimizerSettings) -> Search:
    """All starts in one batch, in their order, without the fillers of the last batch."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: settings.starts], *state.batches)


def record_violations(records: Any) -> Float[np.ndarray, " start"]:
    """The worst violation of each record of a batch, inf where nothing is recorded."""
    worst = np.max(-records.constraints, axis=1, initial=0.0)
    return np.where(np.isfinite(records.objective), worst, np.inf)


def best_record(searches: Search, settings: OptimizerSettings) -> int:
    """The start with the best feasible record or else the least violating one."""
    violation = record_violations(searches.best)
    feasible = violation <= settings.feasibility_tolerance
    if feasible.any():
        return int(np.argmax(np.where(feasible, searches.best.objective, -np.inf)))
    return int(np.argmin(violation))


def choose_candidates(searches: Search, settings: OptimizerSettings) -> list[np.ndarray]:
    """Distinct designs worth a polish, the most promising first.

    The first is the best record. The others are ranked by what their objective would be after repair: each violated
    constraint costs its violation times its multiplier (what it is worth at the optimum) and the initial penalty.
    """
    ranked = [(np.inf, searches.best.z[best_record(searches, settings)])]
    for record in (searches.best, searches.last):
        price = searches.multipliers + settings.penalty
        merit = record.objective - np.sum(price * np.maximum(0.0, -record.constraints), axis=1)
        ranked += [(m, z) for m, z, f in zip(merit, record.z, record.objective, strict=True) if np.isfinite(f)]
    ranked.sort(key=lambda pair: -pair[0])  # stable: ties keep the order of the starts
    points = distinct([z for _, z in ranked], lambda z: z, settings.cluster_distance)
    return points[: max(1, settings.polish_count)]


def maximise(
    problem: Problem,
    baseline: Float[np.ndarray, " variable"],
    settings: OptimizerSettings | None = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    state_path: str | Path | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    workers: int | None = None,
) -> Result:
    """Find the best feasible design of `problem`, beginning at `baseline` and at starts spread over the box.

    `optimizer` replaces the one named by the settings. `workers` threads (default: one per core) share the batches of
    starts and then the polishes; the result does not depend on their number. With `state_path` the state of the search
    is saved after each outer iteration of a batch; `resume=True` continues from there, to the same result bit for bit
    except for times. A polish is not saved and starts again. `identity` (JSON data) describes what `problem` is, so
    that the state of another one is not resumed by mistake. Raises `InputError` for bad settings, baseline or state.
    """
    settings = settings or OptimizerSettings()
    inner = optax.with_extra_args_support(optimizer) if optimizer is not None else build_optimizer(settings)
    if optimizer is not None:
        identity = {**(identity or {}), "optimizer": "custom"}
    run = _Run(problem, settings, on_progress)
    state = initial_state(problem, baseline, settings, inner, identity)
    z_start = 0.5 * (1 + np.sin(merged(state, settings).angle))
    if resume:
        if state_path is None:
            raise InputError("There is no search to resume: no state file is given.")
        state = load_state(state_path, state)
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers or available_cores())
    try:
        return _run(problem, settings, inner, state, z_start, state_path, run, pool, stop)
    finally:  # also on an interrupt: what is running ends soon and is not waited for
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _run(
    problem: Problem,
    settings: OptimizerSettings,
    optimizer: optax.GradientTransformationExtraArgs,
    state: SearchState,
    z_start: np.ndarray,
    state_path: str | Path | None,
    run: _Run,
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> Result:
    wall_before, compile_before = state.wall_s, state.compile_s

    def clocked(state: SearchState, compile_s: float) -> SearchState:
        wall_s = wall_before + time.monotonic() - run.begun
        return dataclasses.replace(state, wall_s=wall_s, compile_s=compile_before + compile_s)

    # Both compilations side by side: the polish is not needed before the search has ended.
    def advance(problem: Problem, search: Search) -> Search:
        return jax.vmap(outer_iteration(problem, optimizer, settings))(search)

    unfinished = [i for i in range(len(state.batches)) if not run.finished(state, i)]
    run.report("compile", state, 0, settings.polish_count)
    carry = problem.initial_carry()
    compile_advance = pool.submit(compile_for, problem, advance, state.batches[0]) if unfinished else None
    compile_derivatives = pool.submit(compile_for, problem, value_and_jacobian, np.zeros(len(problem.names)), carry)
    compile_s = 0.0
    if compile_advance is not None:
        compiled, compile_s = compile_advance.result()
        run.work_begun, run.work_before = time.monotonic(), run.search_work(state)
        running: dict[Future, int] = {pool.submit(compiled, state.batches[i]): i for i in unfinished}
        while running:
            # Results are taken up one by one and by batch, never by time: a batch depends on nothing but itself.
            for future in sorted(wait(running, return_when=FIRST_COMPLETED).done, key=running.__getitem__):
                i = running.pop(future)
                batches, iterations = list(state.batches), list(state.iterations)
                batches[i], iterations[i] = future.result(), iterations[i] + 1
                state = dataclasses.replace(state, batches=tuple(batches), iterations=tuple(iterations))
                if not run.finished(state, i):
                    running[pool.submit(compiled, batches[i])] = i
                state = clocked(state, compile_s)
                if state_path is not None:
                    save_state(state_path, state)
                run.report("search", state, 0, settings.polish_count)

    derivatives, seconds = compile_derivatives.result()
    compile_s = max(compile_s, seconds)  # they ran at the same time
    searches = merged(state, settings)
    found: list[Optimum] = []
    evaluations = int(np.sum(searches.evaluations))
    if np.isfinite(record_violations(searches.best)).any():
        candidates = choose_candidates(searches, settings)
        run.work_begun, run.work_before = time.monotonic(), run.search_work(state)
        if settings.polish_count:
            polishes = [pool.submit(polish, derivatives, z, carry, settings, stop) for z in candidates]
            for number, future in enumerate(polishes):
                optimum = future.result()
                if optimum is not None:
                    found.append(optimum)
                state = clocked(state, compile_s)
                run.report("polish", state, number + 1, len(candidates))
        else:
            evaluation, rows = derivatives(candidates[0], carry)
            values = np.concatenate([evaluation.objective[None], evaluation.constraints])
            found = [optimum_at(candidates[0], values, rows, settings, False, 1)]
        evaluations += sum(optimum.evaluations for optimum in found)
        found = found or [_without_derivatives(searches, settings)]
    return _result(problem, settings, searches, z_start, found, evaluations, clocked(state, compile_s))


def _without_derivatives(searches: Search, settings: OptimizerSettings) -> Optimum:
    """The best record as it is, for a problem whose derivatives fail."""
    i = best_record(searches, settings)
    z, constraints = np.asarray(searches.best.z[i]), np.asarray(searches.best.constraints[i])
    violation = float(record_violations(searches.best)[i])
    unknown, rows = np.full(len(z), np.nan), np.full((len(constraints), len(z)), np.nan)
    multipliers = no_multipliers(len(constraints), len(z))
    feasible = violation <= settings.feasibility_tolerance
    objective = float(searches.best.objective[i])
    return Optimum(z, objective, constraints, unknown, rows, multipliers, violation, feasible, False, 0)


def _result(
    problem: Problem,
    settings: OptimizerSettings,
    searches: Search,
    z_start: np.ndarray,
    found: list[Optimum],
    evaluations: int,
    state: SearchState,
) -> Result:
    feasible = sorted((o for o in found if o.feasible), key=lambda o: -o.objective)
    best = feasible[0] if feasible else min(found, key=lambda o: o.violation, default=None)
    optima = distinct(feasible, lambda o: o.z, settings.cluster_distance)
    violation = record_violations(searches.best)
    recorded = np.isfinite(violation)
    z_final = np.where(recorded[:, None], searches.best.z, np.nan)

    def nearest(z: np.ndarray) -> int:
        return int(np.argmin([distance(z, o.z) for o in optima])) if optima else -1

    # A search stops short of its optimum, which only the polish reaches: the nearest one it is, however far.
    ended = recorded & (searches.status != FAILED)
    membership = np.array([nearest(z) if end else -1 for z, end in zip(z_final, ended, strict=True)], int)
    optima = [dataclasses.replace(o, starts=int(np.sum(membership == i))) for i, o in enumerate(optima)]
    words = {CONVERGED: "converged", FAILED: "failed", RUNNING: "step_limit"}
    return Result(
        names=tuple(problem.names),
        constraint_names=tuple(problem.constraint_names),
        status=Status.feasible if feasible else Status.none_feasible if best is not None else Status.all_failed,
        best=optima[0] if optima else best,
        optima=tuple(optima),
        starts=Starts(
            z_start=z_start,
            z_final=z_final,
            objective=np.where(recorded, searches.best.objective, np.nan),
            violation=np.where(recorded, violation, np.nan),
            feasible=violation <= settings.feasibility_tolerance,
            status=tuple(words[int(status)] for status in searches.status),
            evaluations=np.asarray(searches.evaluations),
            optimum=membership,
        ),
        evaluations=evaluations,
        wall_s=state.wall_s,
        compile_s=state.compile_s,
    )
