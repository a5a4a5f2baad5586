"""What the optimiser reports, while it runs and at the end."""

import dataclasses
import enum

import numpy as np
from jaxtyping import Float

from ..schema import InputError
from .polish import Optimum


class Status(enum.StrEnum):
    """How an optimisation ended."""

    feasible = "feasible"
    none_feasible = "none_feasible"
    all_failed = "all_failed"


MESSAGES = {
    Status.feasible: "The best feasible design that was found.",
    Status.none_feasible: "No design was found that satisfies all constraints; the least violating one is reported. "
    "Relax the limit of the violated constraint, widen the bounds, or use more starts or steps.",
    Status.all_failed: "No start could be evaluated. Check the baseline on its own and narrow the bounds.",
}

START_MESSAGES = {
    "converged": "The search from this start came to rest.",
    "step_limit": "The search used all its steps; the polish goes on from there if the design is among the best.",
    "failed": "An evaluation on the way failed and the search from this start stopped there.",
}


@dataclasses.dataclass(frozen=True)
class Progress:
    """A look at a running optimisation, given to the callback after each outer iteration of a batch and each polish.

    `stage` is compile, search or polish; `fraction` of the whole work is done; `alive` starts of `starts` are still
    searching; `feasible` starts have found a feasible design. `best_objective` is that of the best feasible design
    (None if there is none yet), `worst_constraint` names the smallest constraint of the best (or least violating)
    design, and `worst_value` is its value. `eta_s` is None until it can be estimated.
    """

    stage: str
    fraction: float
    starts: int
    alive: int
    failed: int
    feasible: int
    evaluations: int
    best_objective: float | None
    worst_constraint: str | None
    worst_value: float | None
    elapsed_s: float
    eta_s: float | None


@dataclasses.dataclass(frozen=True)
class Starts:
    """One row per start: where it began, the best design on its way, and how it ended.

    `z_final` is the best feasible design or else the least violating one (nan if none could be evaluated); `violation`
    is its worst constraint violation; `status` is a key of `START_MESSAGES`; `optimum` is the index in `Result.optima`
    of the local optimum it ended nearest to, -1 if it failed or if there is no optimum.
    """

    z_start: Float[np.ndarray, "start variable"]
    z_final: Float[np.ndarray, "start variable"]
    objective: Float[np.ndarray, " start"]
    violation: Float[np.ndarray, " start"]
    feasible: np.ndarray
    status: tuple[str, ...]
    evaluations: np.ndarray
    optimum: np.ndarray


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of `maximise`.

    `best` is the best feasible optimum or, if there is none, the least violating design (None if nothing could be
    evaluated). `optima` are the distinct feasible local optima, best first. Times are in seconds and add up over
    resumed runs; `wall_s` includes `compile_s`.
    """

    names: tuple[str, ...]
    constraint_names: tuple[str, ...]
    status: Status
    best: Optimum | None
    optima: tuple[Optimum, ...]
    starts: Starts
    evaluations: int
    wall_s: float
    compile_s: float

    @property
    def message(self) -> str:
        """What the status means and what to try next."""
        message, searches = MESSAGES[self.status], len(self.starts.status)
        if self.status is Status.feasible and searches > 1 and self.optima[0].starts < 2:
            message += f" No second search of the {searches} ended near it; more starts may find a better one."
        return message

    def shadow_price(self, constraint: str, slack_per_limit: float = 1.0) -> float:
        """d(optimal objective) / d(limit) of one constraint, to first order and from either side of the optimum.

        `slack_per_limit` is d(g) / d(limit): +1/scale for g = (limit - value) / scale, -1/scale for
        g = (value - limit) / scale. With the default it is the gain per unit of (scaled) slack, i.e. the multiplier.
        Raises `InputError` if there is no such constraint or no optimum.
        """
        if constraint not in self.constraint_names:
            known = ", ".join(self.constraint_names) or "none"
            raise InputError(f"{constraint!r} is not a constraint of the problem; it has {known}.")
        if self.best is None or not self.best.feasible:
            raise InputError(f"{constraint} has no shadow price: {self.message}")
        return float(self.best.multipliers.constraints[self.constraint_names.index(constraint)] * slack_per_limit)

    def starts_table(self) -> dict[str, np.ndarray | list[str]]:
        """The starts as columns, variables in parts of their range."""
        starts = self.starts
        table: dict[str, np.ndarray | list[str]] = {"start": np.arange(len(starts.status))}
        table |= {f"start_{name}": starts.z_start[:, i] for i, name in enumerate(self.names)}
        table |= {f"final_{name}": starts.z_final[:, i] for i, name in enumerate(self.names)}
        return table | {
            "objective": starts.objective,
            "violation": starts.violation,
            "feasible": starts.feasible,
            "status": list(starts.status),
            "evaluations": starts.evaluations,
            "optimum": starts.optimum,
        }
