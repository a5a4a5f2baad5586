"""How well parameters are known: covariance, intervals, profiles, and what the data cannot tell apart.

The residuals are whitened, so that chi^2 has a scale: with the standard deviations taken at their word, a parameter's
68 % interval is where the least chi^2 of all others has risen by 1 (Press et al., Numerical Recipes, 3rd ed., 2007,
section 15.6). Linearised at the minimum this is the covariance (J^T W J)^-1, W the weights of a robust loss; a profile
follows the rise itself (D. J. Venzon and S. H. Moolgavkar, J. R. Stat. Soc. C 37, 87 (1988), doi:10.2307/2347496).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from invdesign.fitting.least_squares import Solution, solve, weights
from invdesign.fitting.residuals import Residuals
from invdesign.fitting.settings import FitterSettings
from invdesign.optimize.batches import available_cores

LEVELS = {"68": float(norm.isf(0.32 / 2)), "95": float(norm.isf(0.05 / 2))}
"""Half widths, in standard deviations, of the intervals that hold 68 % and 95 % of a normal distribution."""
UNKNOWN = 0.25
"""A standard deviation beyond this part of the box is no knowledge: the box itself has 0.29."""
MENTIONED = 0.25
"""Share of a direction, in magnitude, from which a parameter is named."""
GROWTH = 4.0
"""A profile's step over the one before it, at most."""


class Linearised(NamedTuple):
    """The neighbourhood of a minimum, in places of the box. Parameters on a bound are held there."""

    free: Bool[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    """nan for parameters that are held."""
    singular_values: Float[np.ndarray, " direction"]
    """Of the weighted Jacobian: the data know a direction to 1/this part of the box. Descending."""
    directions: Float[np.ndarray, "direction parameter"]

    @property
    def sigma(self) -> Float[np.ndarray, " parameter"]:
        """Standard deviations."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Float[np.ndarray, "parameter parameter"]:
        """Correlation coefficients."""
        return np.clip(self.covariance / np.outer(self.sigma, self.sigma), -1, 1)  # round-off may go beyond


def linearise(solution: Solution, held: Sequence[bool], settings: FitterSettings) -> Linearised:
    """Covariance and singular directions at a minimum. A direction the data say nothing about has a huge variance."""
    free = ~np.asarray(held, bool)
    evaluation = solution.evaluation
    weighted = evaluation.jacobian * np.sqrt(weights(evaluation.residual, settings))[:, None]
    count = len(free)
    covariance = np.full((count, count), np.nan)
    directions = np.zeros((int(free.sum()), count))
    if not free.any():
        return Linearised(free, covariance, np.zeros(0), directions)
    _, values, rows = np.linalg.svd(weighted[:, free], full_matrices=False)
    if len(values) < len(rows[0]):  # fewer rows than parameters
        _, values, rows = np.linalg.svd(weighted[:, free], full_matrices=True)
        values = np.append(values, np.zeros(len(rows) - len(values)))
    variances = 1 / np.maximum(values, 1e-8 * max(values[0], 1e-8)) ** 2
    covariance[np.ix_(free, free)] = (rows.T * variances) @ rows
    directions[:, free] = rows
    return Linearised(free, covariance, values, directions)


def in_words(linearised: Linearised, names: Sequence[str], logarithmic: Sequence[bool]) -> list[str]:
    """The combinations of parameters that the data do not settle, one sentence each, the vaguest first."""
    sentences = []
    pairs = zip(linearised.singular_values[::-1], linearised.directions[::-1], strict=True)
    for value, direction in pairs:
        if value * UNKNOWN >= 1:
            break
        named = [int(place) for place in np.argsort(-np.abs(direction)) if abs(direction[place]) >= MENTIONED]
        lead = np.sign(direction[named[0]])
        ups = [names[place] for place in named if direction[place] * lead > 0]
        downs = [names[place] for place in named if direction[place] * lead < 0]
        what = f"raising {' and '.join(ups)}" + (f" while lowering {' and '.join(downs)}" if downs else "")
        if len(named) == 1:
            what = f"{names[named[0]]} alone"
        known = f"known to {1 / value:.2g} of its range" if value > 1e-6 else "not known at all"
        scale = " (logarithms)" if any(logarithmic[place] for place in named) and len(named) > 1 else ""
        sentences.append(f"{what}{scale} hardly changes any curve: this combination is {known}")
    return sentences


class Profile(NamedTuple):
    """The least cost of all other parameters along one of them."""

    z: Float[np.ndarray, " point"]
    """Ascending, the minimum among them."""
    rise: Float[np.ndarray, " point"]
    """Of twice the cost (chi^2 for least squares) above the minimum."""
    intervals: dict[str, tuple[float | None, float | None]]
    """By level; None where the box ends first, or the refits did."""
    others: Float[np.ndarray, "point parameter"]
    """All parameters at the points."""


def profile(residuals: Residuals, best: Solution, place: int, linear: Linearised, settings: FitterSettings) -> Profile:
    """Refit all other parameters at a few places of one, on either side, until the 95 % level is passed."""
    sides = [_side(residuals, best, place, sign, linear, settings) for sign in (-1.0, 1.0)]
    points = [*sides[0][::-1], (float(best.z[place]), 0.0, best.z), *sides[1]]
    z = np.array([point[0] for point in points])
    rise = np.array([point[1] for point in points])
    ends = [_crossings(float(best.z[place]), side) for side in sides]
    intervals = {level: (ends[0][level], ends[1][level]) for level in LEVELS}
    return Profile(z, rise, intervals, np.stack([point[2] for point in points]))


_Point = tuple[float, float, Float[np.ndarray, " parameter"]]


def _side(
    residuals: Residuals, best: Solution, place: int, sign: float, linear: Linearised, settings: FitterSettings
) -> list[_Point]:
    """Places, rises of twice the cost, and all parameters, outwards from the minimum."""
    room = best.z[place] if sign < 0 else 1 - best.z[place]
    if room < 1e-6:
        return []
    sigma = linear.sigma[place]
    if not (np.isfinite(sigma) and sigma > 0):  # held at a bound: as if it were alone
        sigma = 1 / max(float(np.linalg.norm(best.evaluation.jacobian[:, place])), 10 / room)
    step = min(sigma, room)
    slope = np.zeros(len(best.z))  # how the others follow
    if linear.free[place]:
        slope = np.nan_to_num(linear.covariance[place] / linear.covariance[place, place])
    free = np.ones(len(best.z), bool)
    free[place] = False
    points: list[_Point] = []
    goal = 1.03 * LEVELS["95"]
    near, distance = best.z, 0.0  # the last point that is not beyond the goal
    for _ in range(settings.profile_points):
        start = np.clip(near + sign * (step - distance) * slope, 0.0, 1.0)
        start[place] = np.clip(best.z[place] + sign * step, 0.0, 1.0)
        solution = solve(residuals, start, settings, free)
        if solution.failed > best.failed:
            break
        points.append((float(start[place]), 2 * (solution.cost - best.cost), solution.z))
        root = np.sqrt(max(points[-1][1], 0.0))
        too_far = root > 2 * goal
        if not too_far:
            near, distance = solution.z, step
        if not too_far and (root >= LEVELS["95"] or step >= room):
            break
        step = min(step * np.clip(goal / max(root, 1e-3), 1e-3, GROWTH), room)
    return sorted(points, key=lambda point: sign * point[0])


def _crossings(minimum: float, side: list[_Point]) -> dict[str, float | None]:
    """Where the rise passes the levels: sqrt(rise), which is nearly straight, is interpolated."""
    found: dict[str, float | None] = dict.fromkeys(LEVELS)
    roots, places = [0.0], [minimum]
    for place, rise, _ in side:
        if (root := np.sqrt(max(rise, 0.0))) > roots[-1]:
            roots.append(root)
            places.append(place)
    if len(roots) > 1:
        curve = PchipInterpolator(roots, places)
        found |= {level: float(curve(at)) for level, at in LEVELS.items() if at <= roots[-1]}
    return found


def profiles(
    residuals: Residuals,
    best: Solution,
    linear: Linearised,
    settings: FitterSettings,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Profile]:
    """Profiles of all parameters."""
    found: list[Profile] = []
    with ThreadPoolExecutor(available_cores()) as pool:
        tasks = pool.map(lambda place: profile(residuals, best, place, linear, settings), range(len(best.z)))
        for each in tasks:
            found.append(each)
            on_progress(len(found))
    return found
