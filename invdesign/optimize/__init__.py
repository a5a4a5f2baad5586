"""Constrained maximisation in the unit box: spread starts, augmented Lagrangian, polish.

The optimiser knows nothing of devices: it sees a `Problem` and gives back a `Result`.
"""

from .along import Along, best_along
from .batches import Evaluator
from .maximise import maximise
from .polish import Multipliers, Optimum
from .problem import Evaluation, Problem
from .result import MESSAGES, START_MESSAGES, Progress, Result, Starts, Status
from .settings import OptimizerSettings, build_optimizer
from .starts import spread_starts

__all__ = [
    "MESSAGES",
    "START_MESSAGES",
    "Along",
    "Evaluation",
    "Evaluator",
    "Multipliers",
    "OptimizerSettings",
    "Optimum",
    "Problem",
    "Progress",
    "Result",
    "Starts",
    "Status",
    "best_along",
    "build_optimizer",
    "maximise",
    "spread_starts",
]
