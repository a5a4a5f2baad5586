"""From a good candidate to an optimum: sequential quadratic programming, multipliers and the optimality conditions."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree
from scipy.optimize import Bounds, minimize, nnls

from .problem import Evaluation, Problem
from .settings import OptimizerSettings

BOUND_TOLERANCE = 1e-6  # a variable nearer to a bound than this part of its range is at the bound


@dataclasses.dataclass(frozen=True)
class Multipliers:
    """Multipliers of a maximum and how well they satisfy the optimality conditions.

    At a maximum the gradient of the objective is held in balance by the active constraints and bounds,
    grad f + sum_j m_j grad g_j + lower - upper = 0 with m, lower, upper >= 0, all zero where not active (Karush 1939,
    Kuhn and Tucker 1951; Nocedal and Wright, Numerical Optimization (2006), theorem 12.1).
    `constraints[j]` is at once d(optimum)/d(slack): what the objective gains if g_j >= -1 d were allowed, per d.
    `residual` is the largest component of the imbalance, divided by the larger of 1 and that of grad f.
    All are nan for a design that is not feasible, or whose derivatives could not be found.
    """

    constraints: Float[np.ndarray, " constraint"]
    lower: Float[np.ndarray, " variable"]
    upper: Float[np.ndarray, " variable"]
    residual: float


def no_multipliers(constraints: int, variables: int) -> Multipliers:
    """Where the optimality conditions say nothing."""
    unknown = np.full(variables, np.nan)
    return Multipliers(np.full(constraints, np.nan), unknown, unknown, float("nan"))


def multipliers_at(
    z: Float[np.ndarray, " variable"],
    gradient: Float[np.ndarray, " variable"],
    constraints: Float[np.ndarray, " constraint"],
    jacobian: Float[np.ndarray, "constraint variable"],
    tolerance: float,
) -> Multipliers:
    """The non-negative multipliers of the active constraints and bounds that balance `gradient` best (least squares).

    A constraint is active if it is below `tolerance`.
    """
    active = np.flatnonzero(constraints <= tolerance)
    at_lower, at_upper = np.flatnonzero(z <= BOUND_TOLERANCE), np.flatnonzero(z >= 1 - BOUND_TOLERANCE)
    unit = np.eye(len(z))
    columns = np.concatenate([jacobian[active], unit[at_lower], -unit[at_upper]]).T
    solution = nnls(columns, -gradient)[0] if columns.shape[1] else np.zeros(0)
    imbalance = gradient + columns @ solution
    result = Multipliers(
        np.zeros(len(constraints)),
        np.zeros(len(z)),
        np.zeros(len(z)),
        float(np.max(np.abs(imbalance)) / max(1.0, np.max(np.abs(gradient)))),
    )
    split = np.split(solution, [len(active), len(active) + len(at_lower)])
    result.constraints[active], result.lower[at_lower], result.upper[at_upper] = split
    return result


@dataclasses.dataclass(frozen=True)
class Optimum:
    """A local optimum, or the best that was found of one.

    `violation` is the worst constraint violation (0 if none); `starts` counts the starts that ended nearest to it;
    `polished` is False if the polish could not improve on the search.
    """

    z: Float[np.ndarray, " variable"]
    objective: float
    constraints: Float[np.ndarray, " constraint"]
    gradient: Float[np.ndarray, " variable"]
    jacobian: Float[np.ndarray, "constraint variable"]
    multipliers: Multipliers
    violation: float
    feasible: bool
    polished: bool
    evaluations: int
    starts: int = 0


def value_and_jacobian(problem: Problem, z: Any, carry: PyTree) -> tuple[Evaluation, Any]:
    """One evaluation and the derivatives of the objective (first row) and the constraints with respect to z."""

    def outputs(z: Any) -> tuple[Any, Evaluation]:
        evaluation = problem.evaluate(z, carry)
        return jnp.concatenate([evaluation.objective[None], evaluation.constraints]), evaluation

    values, pull_back, evaluation = jax.vjp(outputs, z, has_aux=True)
    (rows,) = jax.vmap(pull_back)(jnp.eye(len(values)))
    return evaluation, rows


class Stopped(Exception):
    """The polish was told to stop."""


class _Memory:
    """Evaluations of one polish: the latest one is kept for the separate calls by the optimiser, and the best one."""

    def __init__(self, evaluate: Callable[..., Any], carry: PyTree, tolerance: float, stop: threading.Event) -> None:
        self.evaluate, self.carry, self.tolerance, self.stop = evaluate, carry, tolerance, stop
        self.key, self.values, self.rows = b"", np.zeros(0), np.zeros((0, 0))
        self.best: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self.highest = -np.inf
        self.evaluations = 0

    def at(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objective and constraints in one array, and their derivatives.

        A failed evaluation looks like a very bad objective beside the last good one, so that the line search of the
        optimiser turns back.
        """
        if z.tobytes() == self.key:
            return self.values, self.rows
        if self.stop.is_set():
            raise Stopped
        evaluation, rows = self.evaluate(np.clip(z, 0.0, 1.0), self.carry)
        values = np.concatenate([np.asarray(evaluation.objective)[None], np.asarray(evaluation.constraints)])
        rows = np.asarray(rows)
        self.evaluations += 1
        self.key = z.tobytes()
        if bool(evaluation.ok) and np.isfinite(values).all() and np.isfinite(rows).all():
            self.values, self.rows, self.carry = values, rows, evaluation.carry
            self.highest = max(self.highest, values[0])
            if self.best is None or self._rank(values) > self._rank(self.best[1]):
                self.best = (np.clip(z, 0.0, 1.0), values, rows)
        elif self.best is None:
            raise ArithmeticError("the candidate cannot be evaluated")
        else:
            self.values = np.concatenate([[self.values[0] - 10.0 - abs(self.highest)], self.values[1:]])
        return self.values, self.rows

    def _rank(self, values: np.ndarray) -> tuple[bool, float]:
        violation = np.max(-values[1:], initial=0.0)
        return (True, values[0]) if violation <= self.tolerance else (False, -violation)


def polish(
    evaluate: Callable[..., tuple[Evaluation, Any]],
    z: Float[np.ndarray, " variable"],
    carry: PyTree,
    settings: OptimizerSettings,
    stop: threading.Event,
) -> Optimum | None:
    """Improve the candidate `z` by SLSQP (D. Kraft, report DFVLR-FB 88-28, 1988) with exact derivatives.

    `evaluate` is the compiled `value_and_jacobian`. Constraints are kept at >= 0 up to round-off; only if that gives no
    feasible design does a violation up to the feasibility tolerance count. None if the candidate itself cannot be
    evaluated. Raises `Stopped` once `stop` is set.
    """
    # The optimiser's own end point satisfies the constraints almost exactly: do not let an iterate beat it that gained
    # its objective by using the tolerance up.
    strict = min(settings.feasibility_tolerance, 1e-8)
    memory = _Memory(evaluate, carry, strict, stop)
    try:
        start, _ = memory.at(z)
    except ArithmeticError:
        return None
    constraints = {"type": "ineq", "fun": lambda z: memory.at(z)[0][1:], "jac": lambda z: memory.at(z)[1][1:]}
    minimize(
        lambda z: -memory.at(z)[0][0],
        z,
        jac=lambda z: -memory.at(z)[1][0],
        bounds=Bounds(0.0, 1.0),
        constraints=[constraints] if len(start) > 1 else [],
        method="SLSQP",
        options={"ftol": settings.polish_tolerance, "maxiter": settings.polish_steps},
    )
    assert memory.best is not None
    best_z, values, rows = memory.best
    return optimum_at(best_z, values, rows, settings, not np.array_equal(best_z, z), memory.evaluations)


def optimum_at(
    z: Float[np.ndarray, " variable"],
    values: Float[np.ndarray, " output"],
    rows: Float[np.ndarray, "output variable"],
    settings: OptimizerSettings,
    polished: bool,
    evaluations: int,
) -> Optimum:
    """The optimum made from an evaluated design, with its multipliers; the outputs are as in `value_and_jacobian`."""
    violation = float(np.max(-values[1:], initial=0.0))
    feasible = violation <= settings.feasibility_tolerance
    active_below = max(settings.feasibility_tolerance, 1e-8)
    multipliers = multipliers_at(z, rows[0], values[1:], rows[1:], active_below)
    return Optimum(
        z=z,
        objective=float(values[0]),
        constraints=values[1:],
        gradient=rows[0],
        jacobian=rows[1:],
        multipliers=multipliers if feasible else no_multipliers(len(values) - 1, len(z)),
        violation=violation,
        feasible=feasible,
        polished=polished,
        evaluations=evaluations,
    )


def distance(a: Any, b: Any) -> float:
    """The largest difference of a variable, as a part of its range."""
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


def distinct(points: list[Any], position: Callable[[Any], Any], apart: float) -> list[Any]:
    """The points in their order without those nearer than `apart` to an earlier one."""
    kept: list[Any] = []
    for point in points:
        if all(distance(position(point), position(other)) > apart for other in kept):
            kept.append(point)
    return kept
