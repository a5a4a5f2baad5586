"""Least squares and uncertainties on formulas, where the answers are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from invdesign.fitting.least_squares import at_bounds, cost, solve, solve_all, weights
from invdesign.fitting.residuals import FAILED, Measured, Residuals, whiten
from invdesign.fitting.settings import FitterSettings
from invdesign.fitting.uncertainty import LEVELS, in_words, linearise, profile, profiles

X = np.linspace(0, 1, 15)
SETTINGS = FitterSettings(starts=4, candidates=8)


def measured(y, sigma=0.01, log=False):
    y = np.asarray(y, float)
    return Measured(y, np.broadcast_to(np.asarray(sigma, float), y.shape).copy(), np.full(y.shape, log))


def everywhere(values):
    return values, jnp.ones(len(values), bool)


def line(z):
    return everywhere(z[0] + z[1] * jnp.asarray(X))


def decay(z):
    return everywhere(z[0] * jnp.exp(-5 * z[1] * jnp.asarray(X)))


def test_a_line_has_the_answer_of_the_normal_equations():
    rng = np.random.default_rng(1)
    y = 0.3 + 0.5 * X + 0.01 * rng.standard_normal(len(X))
    residuals = Residuals(("a", "b"), line, measured(y))
    best = solve(residuals, np.array([0.9, 0.1]), SETTINGS)
    design = np.stack([np.ones_like(X), X], axis=1) / 0.01
    np.testing.assert_allclose(best.z, np.linalg.lstsq(design, y / 0.01, rcond=None)[0], rtol=1e-8)
    linear = linearise(best, [False, False], SETTINGS)
    np.testing.assert_allclose(linear.covariance, np.linalg.inv(design.T @ design), rtol=1e-10)
    # chi^2 of a linear model is a parabola, so that profiles and linearised intervals are the same
    for place in (0, 1):
        found = profile(residuals, best, place, linear, SETTINGS)
        for level, width in LEVELS.items():
            ends = [(end - best.z[place]) / linear.sigma[place] for end in found.intervals[level]]
            np.testing.assert_allclose(ends, [-width, width], rtol=1e-3)


def test_the_jacobian_is_exact():
    residuals = Residuals(("a", "b"), decay, measured(np.ones(len(X)), log=True))
    z, step = np.array([0.6, 0.4]), 1e-6
    exact = residuals(z).jacobian
    for place in (0, 1):
        shift = np.eye(2)[place] * step
        differences = (residuals(z + shift).residual - residuals(z - shift).residual) / (2 * step)
        np.testing.assert_allclose(exact[:, place], differences, rtol=1e-6, atol=1e-4)


def test_a_minimum_outside_the_box_is_found_on_its_bound():
    residuals = Residuals(("a", "b"), line, measured(0.4 - 0.2 * X))
    best = solve(residuals, np.array([0.5, 0.5]), SETTINGS)
    assert at_bounds(best, SETTINGS) == [None, "lower"]
    linear = linearise(best, [False, True], SETTINGS)
    assert np.isnan(linear.sigma[1]) and linear.sigma[0] == pytest.approx(0.01 / np.sqrt(len(X)))
    found = profile(residuals, best, 1, linear, SETTINGS)
    assert found.intervals["95"][0] is None and 0 < found.intervals["95"][1] < 0.1


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy"])
def test_robust_losses_resist_an_outlier(loss):
    y = 0.3 + 0.5 * X
    y[7] += 1.0
    residuals = Residuals(("a", "b"), line, measured(y))
    plain = solve(residuals, np.array([0.5, 0.5]), SETTINGS)
    settings = FitterSettings(loss=loss)
    robust = solve(residuals, np.array([0.5, 0.5]), settings)
    truth = np.array([0.3, 0.5])
    assert np.abs(robust.z - truth).max() < 0.2 * np.abs(plain.z - truth).max()
    assert weights(robust.evaluation.residual, settings)[7] < 0.15
    assert np.all(linearise(robust, [False, False], settings).sigma > 0)


def test_the_loss_is_that_of_the_solver():
    residuals = Residuals(("a", "b"), line, measured(X))
    for loss in ("linear", "soft_l1", "huber", "cauchy"):
        settings = FitterSettings(loss=loss)
        best = solve(residuals, np.array([0.2, 0.7]), settings)
        assert best.cost == pytest.approx(cost(best.evaluation, settings), rel=1e-12, abs=1e-20)


def test_logarithms_are_compared_and_a_wrong_sign_leads_back():
    y = np.array([1e-9, -1e-3, 2.0])
    rows = measured(y, 0.1 * np.abs(y), log=True)
    good = jnp.ones(3, bool)
    np.testing.assert_allclose(whiten(jnp.asarray(1.5 * y), good, rows), np.log(1.5) / 0.1, rtol=1e-9)
    np.testing.assert_allclose(whiten(jnp.asarray(1e-6 * y), good, rows), np.log(1e-6) / 0.1, rtol=1e-5)
    assert np.all(np.asarray(whiten(jnp.asarray(-y), good, rows)) < -100)


def test_points_without_a_value_are_large_and_never_nan():
    def broken(z):
        values = jnp.where(z[0] > 0.7, jnp.nan, z[0] + z[1] * jnp.asarray(X))
        return values, jnp.isfinite(values)

    residuals = Residuals(("a", "b"), broken, measured(0.6 + 0.3 * X))
    lost = residuals(np.array([0.9, 0.3]))
    assert lost.failed.all() and (lost.residual == FAILED).all() and (lost.jacobian == 0).all()
    # from the other side the solver never steps into what cannot be solved
    best = solve(residuals, np.array([0.1, 0.9]), SETTINGS)
    np.testing.assert_allclose(best.z, [0.6, 0.3], atol=1e-6)
    assert best.converged and best.failed == 0


def test_several_starts_find_the_better_of_two_minima():
    def waves(z):
        return everywhere(jnp.sin(12 * z[0] * jnp.asarray(X)))

    residuals = Residuals(("a",), waves, measured(np.sin(12 * 0.8 * X)))
    minima = solve_all(residuals, np.array([0.1]), FitterSettings(starts=4, candidates=16))
    assert minima[0].z[0] == pytest.approx(0.8, abs=1e-6) and len(minima) > 1
    assert sum(each.starts for each in minima) == 4
    assert minima[0].cost < minima[1].cost


def test_a_prior_counts_as_a_measurement():
    """Data and prior of equal weight meet in the middle."""
    data = measured(np.array([0.2]), 0.1)
    residuals = Residuals(("a",), lambda z: everywhere(z[:1]), data, lambda z: (z - 0.6) / 0.1)
    best = solve(residuals, np.array([0.9]), SETTINGS)
    assert best.z[0] == pytest.approx(0.4) and best.evaluation.chi2 == pytest.approx(8.0)
    assert linearise(best, [False], SETTINGS).sigma[0] == pytest.approx(0.1 / np.sqrt(2))


def test_what_the_data_cannot_tell_apart_is_said():
    """Only the product of two parameters is measured, and the third not at all."""

    def product(z):
        return everywhere(z[0] * z[1] * (1 + jnp.asarray(X)) + 0 * z[2])

    residuals = Residuals(("height", "width", "colour"), product, measured(0.25 * (1 + X)))
    best = solve(residuals, np.array([0.5, 0.5, 0.5]), SETTINGS)
    linear = linearise(best, [False] * 3, SETTINGS)
    words = in_words(linear, residuals.names, [False] * 3)
    assert len(words) == 2
    assert any("colour alone hardly changes any curve" in sentence for sentence in words)
    assert any("height while lowering width" in each or "width while lowering height" in each for each in words)


def test_profiles_bend_where_the_model_does():
    """A decay rate that a fast decay leaves open upwards: the profile ends at the box, the linearised interval does not
    know."""
    truth = np.array([0.5, 0.9])
    y = np.asarray(decay(jnp.asarray(truth))[0])
    residuals = Residuals(("a", "b"), decay, measured(y, 0.15))
    best = solve(residuals, np.array([0.5, 0.5]), SETTINGS)
    linear = linearise(best, [False, False], SETTINGS)
    done = []
    found = profiles(residuals, best, linear, SETTINGS, done.append)
    low, high = found[1].intervals["95"]
    assert high is None and low is not None and 0 < low < 0.9 and done == [1, 2]
    assert np.all(np.diff(found[1].z) > 0) and np.all(found[1].rise >= -1e-6)
