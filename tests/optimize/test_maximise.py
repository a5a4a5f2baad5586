"""The whole optimisation on problems whose answers are known by hand (see `optimization_problems`)."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np
import pytest
from optimization_problems import Infeasible, Quadratic, Ripples, Rosenbrock

from invdesign.optimize import OptimizerSettings, Progress, Result, Status, maximise
from invdesign.schema import InputError

FEW = OptimizerSettings(starts=6, batch=3, steps=20, outer_iterations=2, polish_count=3)
MIDDLE = np.full(4, 0.5)


def plain(result: Result) -> list[Any]:
    """All numbers of a result except the times."""
    values = dataclasses.asdict(dataclasses.replace(result, wall_s=0.0, compile_s=0.0))
    return jax.tree.leaves(values)


def assert_identical(first: Result, second: Result) -> None:
    assert len(plain(first)) == len(plain(second))
    for a, b in zip(plain(first), plain(second), strict=True):
        np.testing.assert_array_equal(a, b)  # bit for bit, nan equal to nan


def test_optimum_and_multipliers() -> None:
    """Tolerances: SLSQP ends at 1e-10 in f, hence 1e-5 in z and (curvature 2) in the multipliers."""
    result = maximise(Quadratic(), MIDDLE, FEW)
    assert result.status is Status.feasible and result.best is not None
    best = result.best
    np.testing.assert_allclose(best.z, [0.55, 0.45, 1.0, 0.0], atol=1e-5)
    assert best.objective == pytest.approx(-0.255, abs=1e-9)
    np.testing.assert_allclose(best.constraints, [0.0, 1.45], atol=1e-5)
    np.testing.assert_allclose(best.gradient, [0.5, 0.5, 0.6, -0.4], atol=3e-5)
    np.testing.assert_allclose(best.jacobian, [[-2, -2, 0, 0], [-1, 0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(best.multipliers.constraints, [0.25, 0.0], atol=2e-5)
    np.testing.assert_allclose(best.multipliers.lower, [0, 0, 0, 0.4], atol=2e-5)
    np.testing.assert_allclose(best.multipliers.upper, [0, 0, 0.6, 0], atol=2e-5)
    assert best.multipliers.residual < 5e-5
    assert len(result.optima) == 1  # a concave problem has one
    assert result.evaluations > np.sum(result.starts.evaluations) == 6 * 20
    # The optimum as a function of the limit b is -(1.5 - b)^2 / 2 + const: raising it from 1 gains 0.5 per unit.
    assert result.shadow_price("sum", slack_per_limit=1 / 0.5) == pytest.approx(0.5, abs=5e-5)
    assert result.shadow_price("loose") == 0
    with pytest.raises(InputError, match=r"'total' is not a constraint of the problem; it has sum, loose"):
        result.shadow_price("total")
    table = result.starts_table()
    assert {"start", "start_a", "final_d", "objective", "violation", "feasible", "status", "optimum"} <= set(table)
    assert {len(column) for column in table.values()} == {6}


@pytest.mark.parametrize(("optimizer", "tolerance"), [("adam", 2e-3), ("lbfgs", 1e-6), ("sgd", 3e-2)])
def test_inner_loops_without_polish(optimizer: str, tolerance: float) -> None:
    """The search by itself: L-BFGS converges, the first-order methods come as near as 100 steps take them."""
    settings = OptimizerSettings(optimizer, starts=4, batch=4, steps=100, outer_iterations=10, polish_count=0)
    result = maximise(Quadratic(), MIDDLE, settings)
    assert result.best is not None and result.best.feasible and not result.best.polished
    gap = -0.255 - result.best.objective
    # Up to the feasibility tolerance of 1e-4, times the multiplier, more than the optimum is in order.
    assert -0.25e-4 <= gap < tolerance
    if optimizer == "lbfgs":
        assert result.starts.status == ("converged",) * 4
        np.testing.assert_allclose(result.best.multipliers.constraints, [0.25, 0.0], atol=1e-3)


def test_curved_valley_with_an_active_constraint() -> None:
    """Rosenbrock in a disc. Reference: the optimum on the circle by bisection of the tangential slope to 1e-12."""
    result = maximise(Rosenbrock(), np.array([0.1, 0.9]), FEW)
    assert result.best is not None

    def slope(angle: float) -> float:
        u, v = np.sqrt(1.5) * np.cos(angle), np.sqrt(1.5) * np.sin(angle)
        du, dv = 2 * (1 - u) + 40 * u * (v - u**2), -20 * (v - u**2)
        return -v * du + u * dv

    low, high = 0.5, 1.0
    assert slope(low) > 0 > slope(high)
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    expected = np.sqrt(1.5) * np.array([np.cos(low), np.sin(low)]) / 2
    np.testing.assert_allclose(result.best.z, expected, atol=1e-5)
    assert result.best.multipliers.constraints[0] > 0.01 and result.best.multipliers.residual < 1e-4


def test_many_local_optima() -> None:
    """4^3 basins of different height: the best is found and the others are listed apart and in order."""
    settings = OptimizerSettings(starts=32, batch=16, steps=40, outer_iterations=4, polish_count=8)
    result = maximise(Ripples(), np.array([0.9, 0.1, 0.1]), settings)
    assert result.best is not None
    # f' = -2 (z - 0.62) - 0.4 pi sin(8 pi z) = 0 near 0.5; the other ripple at 0.75 is lower: (0.13 > 0.12)
    z = 0.5
    for _ in range(20):
        z += (-2 * (z - 0.62) - 0.4 * np.pi * np.sin(8 * np.pi * z)) / (2 + 3.2 * np.pi**2 * np.cos(8 * np.pi * z))
    np.testing.assert_allclose(result.best.z, z, atol=1e-5)
    assert len(result.optima) >= 4
    objectives = [optimum.objective for optimum in result.optima]
    assert objectives == sorted(objectives, reverse=True) and result.best is result.optima[0]
    positions = np.stack([optimum.z for optimum in result.optima])
    apart = np.abs(positions[:, None] - positions[None]).max(axis=-1) + np.eye(len(positions))
    assert apart.min() > settings.cluster_distance
    assert result.best.starts == np.sum(result.starts.optimum == 0) >= 1
    assert sum(optimum.starts for optimum in result.optima) == settings.starts  # all of them ended somewhere
    assert np.all(result.starts.z_final[:, 0] <= 0.6 + 1e-4)
    lucky = dataclasses.replace(result, optima=(dataclasses.replace(result.best, starts=1),))
    assert "No second search of the 32" in lucky.message and "No second" not in result.message


def test_no_feasible_design() -> None:
    """The least violating design, z = 0.5 with a violation of 0.3, is reported with a status, without multipliers."""
    result = maximise(Infeasible(), np.array([0.9]), FEW)
    assert result.status is Status.none_feasible and "No design was found that satisfies" in result.message
    assert result.best is not None and not result.best.feasible and result.optima == ()
    assert result.best.z[0] == pytest.approx(0.5, abs=1e-2)
    assert result.best.violation == pytest.approx(0.3, abs=1e-2)
    assert np.isnan(result.best.multipliers.residual)
    assert not result.starts.feasible.any()
    with pytest.raises(InputError, match="no shadow price"):
        result.shadow_price("high")


def test_failing_evaluations_stay_where_they_are() -> None:
    """Starts with y > 0.85 fail, the baseline among them; the others end bit for bit as they do without failures."""
    settings = dataclasses.replace(FEW, starts=8, batch=8)
    baseline = np.array([0.1, 0.95, 0.1])
    healthy = maximise(Ripples(), baseline, settings)
    for rubbish, flagged in ((np.nan, True), (np.nan, False), (1e300, True)):
        result = maximise(Ripples(fails_above=0.85, rubbish=rubbish, flagged=flagged), baseline, settings)
        failed = np.array([status == "failed" for status in result.starts.status])
        assert failed[0] and 0 < failed.sum() < 8
        assert result.status is Status.feasible and result.best is not None and result.best.z[1] <= 0.85
        assert result.starts.evaluations[0] == 1 and np.isnan(result.starts.z_final[0]).all()
        assert sum(optimum.starts for optimum in result.optima) == np.sum(~failed)
        np.testing.assert_array_equal(result.starts.z_final[~failed], healthy.starts.z_final[~failed])
        np.testing.assert_array_equal(result.starts.objective[~failed], healthy.starts.objective[~failed])


def test_line_search_turns_back_from_failing_evaluations() -> None:
    """L-BFGS steps into the failing half space y > 0.6 and comes back: only starts inside it are lost."""
    settings = dataclasses.replace(FEW, optimizer="lbfgs", starts=16, batch=16, polish_count=0)
    result = maximise(Ripples(fails_above=0.6), np.full(3, 0.4), settings)
    failed = np.array([status == "failed" for status in result.starts.status])
    np.testing.assert_array_equal(failed, result.starts.z_start[:, 1] > 0.6)
    assert 0 < failed.sum() < 16 and np.all(result.starts.z_final[~failed, 1] <= 0.6)


def test_every_start_fails() -> None:
    result = maximise(Ripples(fails_above=-1.0), np.full(3, 0.5), FEW)
    assert result.status is Status.all_failed and result.best is None and result.optima == ()
    assert result.starts.status == ("failed",) * 6 and "No start could be evaluated" in result.message


def test_result_does_not_depend_on_the_schedule(tmp_path: Any) -> None:
    """Seven starts in four batches on one, two and five threads: same bits, in the result and in the saved state."""
    settings = dataclasses.replace(FEW, starts=7, batch=2)
    states, results = [], []
    for workers in (1, 2, 5):
        path = tmp_path / f"{workers}.npz"
        results.append(maximise(Ripples(), np.full(3, 0.4), settings, workers=workers, state_path=path))
        with np.load(path) as file:
            states.append({name: file[name].tobytes() for name in file.files if name != "header"})
    assert states[0] == states[1] == states[2]
    assert_identical(results[0], results[1])
    assert_identical(results[0], results[2])


class Kill:
    """A callback that interrupts the run at its n-th report of a stage."""

    def __init__(self, stage: str, after: int = 1) -> None:
        self.stage, self.left = stage, after

    def __call__(self, progress: Progress) -> None:
        self.left -= progress.stage == self.stage
        if self.left == 0:
            raise KeyboardInterrupt


def test_resume_after_every_interruption(tmp_path: Any) -> None:
    """Interrupted after each of its four outer iterations and in the polish, a run ends as one that was left alone."""
    path, baseline = tmp_path / "state.npz", np.full(3, 0.4)
    whole = maximise(Ripples(), baseline, FEW)
    for session in range(4):
        with pytest.raises(KeyboardInterrupt):
            maximise(Ripples(), baseline, FEW, state_path=path, resume=session > 0, on_progress=Kill("search"))
    with pytest.raises(KeyboardInterrupt):
        maximise(Ripples(), baseline, FEW, state_path=path, resume=True, on_progress=Kill("polish"))
    resumed = maximise(Ripples(), baseline, FEW, state_path=path, resume=True)
    assert_identical(whole, resumed)
    assert resumed.wall_s > resumed.compile_s > 0
    assert os.listdir(tmp_path) == ["state.npz"]


def test_resume_in_the_middle_with_curvature_memory(tmp_path: Any) -> None:
    """The same for L-BFGS, whose state is larger, interrupted once."""
    path = tmp_path / "state.npz"
    settings = dataclasses.replace(FEW, optimizer="lbfgs", starts=3)
    whole = maximise(Rosenbrock(), np.array([0.1, 0.9]), settings)
    with pytest.raises(KeyboardInterrupt):
        maximise(Rosenbrock(), np.array([0.1, 0.9]), settings, state_path=path, on_progress=Kill("search"))
    assert_identical(whole, maximise(Rosenbrock(), np.array([0.1, 0.9]), settings, state_path=path, resume=True))


def test_progress_reports() -> None:
    seen: list[Progress] = []
    result = maximise(Quadratic(), MIDDLE, FEW, on_progress=seen.append)
    assert [p.stage for p in seen[:1]] == ["compile"] and seen[0].eta_s is None and seen[0].best_objective is None
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert sum(p.stage == "search" for p in seen) == 4
    last = seen[-1]
    assert last.stage == "polish" and last.starts == 6 and last.failed == 0 and last.worst_constraint == "sum"
    assert last.best_objective is not None and last.best_objective <= result.optima[0].objective + 0.25e-4
    assert last.eta_s == 0 and last.feasible == result.starts.feasible.sum()


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ([0.5, 0.5], "has 2 values; the problem has 4 variables"),
        ([0.5, 0.5, 1.5, 0.5], r"baseline of c lies outside its bounds \(at 1.5"),
        ([0.5, float("nan"), 0.5, 0.5], "baseline of b lies outside"),
    ],
)
def test_bad_baseline(baseline: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        maximise(Quadratic(), np.array(baseline), FEW)
