"""The best design along one variable, the others held."""

import dataclasses

import numpy as np
from jaxtyping import Float

from ..schema import InputError
from .batches import Evaluator
from .problem import Problem


@dataclasses.dataclass(frozen=True)
class Along:
    """The best feasible design along one variable."""

    z: Float[np.ndarray, " variable"]
    objective: float
    constraints: Float[np.ndarray, " constraint"]
    evaluations: int


def best_along(
    problem: Problem,
    z: Float[np.ndarray, " variable"],
    name: str,
    *,
    points: int = 64,
    refinements: int = 3,
    feasibility_tolerance: float = 1e-4,
    evaluator: Evaluator | None = None,
) -> Along | None:
    """Maximise over the variable `name` alone, the other variables fixed at `z`; None if no point is feasible.

    A scan of the whole range with `points` points is followed by `refinements` scans with a quarter as many points
    between the neighbours of the best one: no slopes, so that it is safe next to designs that cannot be evaluated and
    for several maxima further apart than 1 / `points` of the range. Next to the feasible region the least violating
    point is refined, so that a region narrower than the scan's spacing can be found too. A compiled `evaluator` of
    the same problem can be shared. Raises `InputError` for an unknown name.
    """
    if name not in problem.names:
        raise InputError(f"{name!r} is not a free variable of the problem; it has {', '.join(problem.names)}.")
    evaluate = evaluator or Evaluator(problem)
    index, before = problem.names.index(name), evaluate.evaluations
    values, spacing = np.linspace(0.0, 1.0, points), 1.0 / (points - 1)
    best: tuple[tuple[bool, float], Along] | None = None
    for _ in range(1 + refinements):
        designs = np.repeat(np.asarray(z, float)[None], len(values), axis=0)
        designs[:, index] = values
        objectives, constraints, succeeded = evaluate(designs)
        for design, objective, constraint in zip(
            designs[succeeded], objectives[succeeded], constraints[succeeded], strict=True
        ):
            violation = np.max(-constraint, initial=0.0)
            rank = (True, float(objective)) if violation <= feasibility_tolerance else (False, -float(violation))
            if best is None or rank > best[0]:
                best = rank, Along(design, float(objective), constraint, 0)
        if best is None:
            return None
        centre = best[1].z[index]
        inner = max(4, points // 4)
        values = np.linspace(max(0.0, centre - spacing), min(1.0, centre + spacing), inner)
        spacing = float(values[1] - values[0])
    assert best is not None
    (feasible, _), found = best
    return dataclasses.replace(found, evaluations=evaluate.evaluations - before) if feasible else None
