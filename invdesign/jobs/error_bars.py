"""Error bars of an optimum: what the numbers of a fitted device leave open about its figures of merit.

To first order and for normally distributed numbers (Laplace's approximation around the fit) a figure f(p) of the
design has the variance g^T C g, g = df/dp at the design, C the covariance of the fit. Numbers that the design chooses
anew, say a thickness, do not count: their errors were those of the sample that was measured.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from invdesign.design.problem import Configuration, DesignProblem
from invdesign.device.uncertainty import Uncertainty
from invdesign.schema import find

STEP = 0.1
"""Of the differences, in standard errors; they are then as good as an error needs, without a compilation."""
LARGEST_STEP = 0.01
"""Relative to the number itself, unless that is zero."""


class Slopes(NamedTuple):
    """Derivatives by the uncertain numbers, at a design."""

    objective: Float[np.ndarray, " number"]
    figures: dict[str, Float[np.ndarray, " number"]]
    slacks: dict[str, Float[np.ndarray, " number"]]


def open_numbers(problem: DesignProblem) -> Uncertainty | None:
    """What is uncertain about the device whatever the design chooses; None if nothing is.

    Frozen variables, and those tied to them, keep the numbers of the device and with them their errors.
    """
    device, free = problem.baseline.device, problem.names
    chosen = [v for name, v in problem.variables.items() if name in free or v.tied_to in free]
    known = None if device.uncertainty is None else device.uncertainty.of(device)
    return None if known is None else known.without({v.path.removeprefix("device.") for v in chosen})


def _ends(value: float, error: float, metadata: Mapping[str, Any]) -> tuple[float, float]:
    """Two values of a number, below and above its own; on one side only where its range ends."""
    step = min(STEP * error, LARGEST_STEP * abs(value)) if value else STEP * error
    low, high = value - step, value + step
    lowest = metadata.get("lower", -np.inf)
    outside = low <= lowest if metadata.get("open_lower") else low < lowest
    return value if outside else low, value if high > metadata.get("upper", np.inf) else high


def slopes(simulate: Callable[[Configuration], Any], chosen: Configuration, known: Uncertainty) -> Slopes:
    """Differences of everything that `simulate` reports; nan where a design nearby cannot be solved.

    They are central, but for numbers at an end of their range.
    """
    pairs, spans = [], []
    for number, error in zip(known.numbers, known.standard_errors, strict=True):
        value, metadata = find(chosen.device, number)
        low, high = _ends(float(value), error, metadata)
        ends = [
            simulate(eqx.tree_at(lambda c, at=number: find(c.device, at)[0], chosen, jnp.asarray(end, jnp.float64)))
            for end in (high, low)
        ]
        pairs.append(ends)
        spans.append(high - low if all(end.converged for end in ends) else np.nan)

    def by(read: Callable[[Any], float]) -> Float[np.ndarray, " number"]:
        rises = np.array([read(up) - read(down) for up, down in pairs])
        return np.divide(rises, spans, out=np.zeros(len(spans)), where=np.array(spans) != 0)

    example = pairs[0][0]
    return Slopes(
        by(lambda numbers: numbers.objective),
        {name: by(lambda numbers, name=name: numbers.figures[name]) for name in example.figures},
        {name: by(lambda numbers, name=name: numbers.limits[name]["slack"]) for name in example.limits},
    )


def add_to(report: dict[str, Any], known: Uncertainty, by: Slopes) -> None:
    """Standard errors of the optimum's figures and chances of its constraints, into the report of an optimisation."""
    for name, row in report["figures"].items():
        row["standard_error"] = _error(known, by.figures[name])
    # a design made anew once the numbers are known: to first order its figure moves as the Lagrangian does
    anew = by.objective.copy()
    for name, row in report["constraints"].items():
        row["chance"] = _chance(row, _error(known, by.slacks[name]))
        anew += row["multiplier"] * by.slacks[name]
    report["uncertainty"] = {
        "source": known.source,
        "log10_standard_error": _error(known, by.objective),
        "log10_standard_error_redesigned": _error(known, anew),
        "log10_per_standard_error": {
            number: float(slope * one)
            for number, slope, one in zip(known.numbers, by.objective, known.standard_errors, strict=True)
        },
    }


def add_chances(report: dict[str, Any], known: Uncertainty, alone: Mapping[str, Mapping[str, Any]], by: Slopes) -> None:
    """Chances that the limits `alone`, without their margins, are kept: what a margin is for."""
    for name, row in report["constraints"].items():
        if alone[name]["limit"] != row["limit"]:
            row["limit_without_margin"] = alone[name]["limit"]
        row["chance"] = _chance(alone[name], _error(known, by.slacks[name]))


def _error(known: Uncertainty, of: Float[np.ndarray, " number"]) -> float:
    """Standard error of what has these slopes by the numbers known."""
    return float(np.sqrt(np.maximum(known.variance(of), 0)))  # round-off may go below; nan stays


def _chance(limit: Mapping[str, Any], width: float) -> float:
    return float(norm.cdf(limit["slack"] / width)) if width else float(limit["satisfied"])
