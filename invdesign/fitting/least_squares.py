"""Bounded nonlinear least squares from several starts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares

from invdesign.fitting.residuals import Evaluation, Residuals
from invdesign.fitting.settings import FitterSettings
from invdesign.optimize.batches import available_cores
from invdesign.optimize.starts import MARGIN, spread_starts

AT_BOUND = 1e-3
"""A parameter this near to a bound, as a part of its range, is on it if the residuals push it there."""
SAME = 0.02
"""Solutions that are nearer to each other than this, in every parameter, are one."""


class Solution(NamedTuple):
    """Where one start ended."""

    z: Float[np.ndarray, " parameter"]
    cost: float
    """Half the sum of the losses; chi^2/2 for the linear loss."""
    evaluation: Evaluation
    converged: bool
    message: str
    starts: int = 1
    """How many starts ended here."""

    @property
    def failed(self) -> int:
        """Measured points that the model has no value for."""
        return int(np.sum(self.evaluation.failed))


class _Memory:
    """One evaluation at a time, remembered, and refusal of steps that lose points the model had values for.

    The trust region shrinks where residuals are not finite, so that such a step is taken back and a shorter one tried.
    """

    def __init__(self, residuals: Residuals, free: Bool[np.ndarray, " parameter"], full: Float[np.ndarray, " all"]):
        self.residuals, self.free, self.full = residuals, free, full
        self.last: tuple[np.ndarray, Evaluation] | None = None
        self.most_failed = len(residuals.measured.y)
        self.begun = False

    def at(self, z: Float[np.ndarray, " free"]) -> Evaluation:
        if self.last is None or not np.array_equal(self.last[0], z):
            full = self.full.copy()
            full[self.free] = z
            self.last = (np.array(z), self.residuals(full))
        return self.last[1]

    def residual(self, z: Float[np.ndarray, " free"]) -> Float[np.ndarray, " row"]:
        evaluation = self.at(z)
        failed = int(evaluation.failed.sum())
        if self.begun and failed > self.most_failed:
            return np.full_like(evaluation.residual, np.inf)
        if not self.begun:
            self.begun, self.most_failed = True, failed
        return evaluation.residual

    def jacobian(self, z: Float[np.ndarray, " free"]) -> Float[np.ndarray, "row free"]:
        evaluation = self.at(z)  # the solver asks for it where it has accepted a step
        self.most_failed = int(evaluation.failed.sum())
        return evaluation.jacobian[:, self.free]


def solve(
    residuals: Residuals,
    start: Float[np.ndarray, " parameter"],
    settings: FitterSettings,
    free: Bool[np.ndarray, " parameter"] | None = None,
) -> Solution:
    """The minimum that is reached from `start`, with the parameters that are not `free` held there.

    A trust region of Levenberg and Marquardt's kind, reflected at the bounds: M. A. Branch, T. F. Coleman and Y. Li,
    SIAM J. Sci. Comput. 21, 1 (1999), doi:10.1137/S1064827595289108.
    """
    free = np.ones(len(start), bool) if free is None else free
    start = np.asarray(start, float)
    memory = _Memory(residuals, free, start)
    if not free.any():
        evaluation = residuals(start)
        return Solution(start, cost(evaluation, settings), evaluation, True, "nothing is free")
    # on a bound the solver's scaled steps vanish
    inside = np.clip(start[free], MARGIN * AT_BOUND, 1 - MARGIN * AT_BOUND)
    found: Any = least_squares(
        memory.residual,
        inside,
        jac=memory.jacobian,  # type: ignore[arg-type]
        bounds=(0.0, 1.0),
        method="trf",
        x_scale="jac",
        loss=settings.loss,
        f_scale=settings.loss_scale,
        ftol=settings.tolerance,
        xtol=settings.tolerance,
        gtol=1e-12,
        max_nfev=settings.evaluations,
    )
    full = start.copy()
    full[free] = found.x
    message = "converged" if found.status > 0 else "out of evaluations; give more, or start nearer"
    return Solution(full, float(found.cost), memory.at(found.x), found.status > 0, message)


def solve_all(
    residuals: Residuals,
    baseline: Float[np.ndarray, " parameter"],
    settings: FitterSettings,
    on_progress: Callable[[int, Solution], None] = lambda done, best: None,
) -> list[Solution]:
    """The distinct minima that the baseline and the best of some scrambled Sobol points lead to, the best first."""
    return solve_from(residuals, best_starts(residuals, baseline, settings), settings, on_progress)


def best_starts(
    residuals: Residuals,
    baseline: Float[np.ndarray, " parameter"],
    settings: FitterSettings,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Float[np.ndarray, " parameter"]]:
    """The baseline, and the best of some scrambled Sobol points; `on_progress` hears how many were looked at."""
    points = spread_starts(baseline, 1 + settings.candidates if settings.starts > 1 else 1, settings.seed)
    costs: list[float] = []
    with ThreadPoolExecutor(available_cores()) as pool:
        for one in pool.map(lambda point: cost(residuals(point), settings), points[1:]):
            costs.append(one)
            on_progress(len(costs))
    return [points[0], *points[1:][np.argsort(costs)[: settings.starts - 1]]]


def solve_from(
    residuals: Residuals,
    starts: Sequence[Float[np.ndarray, " parameter"]],
    settings: FitterSettings,
    on_progress: Callable[[int, Solution], None] = lambda done, best: None,
) -> list[Solution]:
    """The distinct minima that the starts lead to, the best first.

    Minima with fewer failed points come before those with more.
    """
    ended: list[Solution] = []
    with ThreadPoolExecutor(available_cores()) as pool:
        for solution in pool.map(lambda start: solve(residuals, start, settings), starts):
            ended.append(solution)
            on_progress(len(ended), min(ended, key=_rank))
    distinct: list[Solution] = []
    for solution in sorted(ended, key=_rank):
        place = next((i for i, other in enumerate(distinct) if np.max(np.abs(other.z - solution.z)) < SAME), None)
        if place is None:
            distinct.append(solution)
        else:
            distinct[place] = distinct[place]._replace(starts=distinct[place].starts + 1)
    return distinct


def _rank(solution: Solution) -> tuple[int, float]:
    return solution.failed, solution.cost


def cost(evaluation: Evaluation, settings: FitterSettings) -> float:
    """Half the sum of the losses of an evaluation."""
    return float(0.5 * np.sum(_loss(evaluation.residual, settings)))


def _loss(residual: Float[np.ndarray, " row"], settings: FitterSettings) -> Float[np.ndarray, " row"]:
    scale = settings.loss_scale
    z = (residual / scale) ** 2
    if settings.loss == "soft_l1":
        return scale**2 * 2 * (np.sqrt(1 + z) - 1)
    if settings.loss == "huber":
        return scale**2 * np.where(z <= 1, z, 2 * np.sqrt(z) - 1)
    if settings.loss == "cauchy":
        return scale**2 * np.log1p(z)
    return residual**2


def weights(residual: Float[np.ndarray, " row"], settings: FitterSettings) -> Float[np.ndarray, " row"]:
    """Derivative of the loss by the square of the residual: 1 for least squares, less for outliers."""
    z = (residual / settings.loss_scale) ** 2
    if settings.loss == "soft_l1":
        return 1 / np.sqrt(1 + z)
    if settings.loss == "huber":
        return np.where(z <= 1, 1.0, 1 / np.sqrt(np.maximum(z, 1.0)))
    if settings.loss == "cauchy":
        return 1 / (1 + z)
    return np.ones_like(residual)


def at_bounds(solution: Solution, settings: FitterSettings) -> list[str | None]:
    """For every parameter: the bound it is pushed against, or None."""
    evaluation = solution.evaluation
    gradient = evaluation.jacobian.T @ (weights(evaluation.residual, settings) * evaluation.residual)
    found: list[str | None] = []
    for place, slope in zip(solution.z, gradient, strict=True):
        low, high = place < AT_BOUND and slope > 0, place > 1 - AT_BOUND and slope < 0
        found.append("lower" if low else "upper" if high else None)
    return found
