"""The sampled posterior on formulas whose posterior is known."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from invdesign.errors import InputError
from invdesign.fitting import posterior as module
from invdesign.fitting.least_squares import solve
from invdesign.fitting.posterior import Posterior, bands, sample
from invdesign.fitting.residuals import Measured, Residuals
from invdesign.fitting.settings import FitterSettings, PosteriorSettings

installed = importlib.util.find_spec("numpyro") is not None
sampled = pytest.mark.skipif(not installed, reason="numpyro is not installed (pip install 'invdesign[posterior]')")

X = np.linspace(0, 1, 15)
SIGMA = 0.05
SAMPLING = PosteriorSettings(samples=1500, warmup=300, chains=2, seed=1)


def line(z):
    return z[0] + z[1] * jnp.asarray(X), jnp.ones(len(X), bool)


def fit(model, y, sigma=SIGMA, names=("a", "b"), prior=lambda z: jnp.zeros(0), start=0.5):
    y = np.asarray(y, float)
    residuals = Residuals(names, model, Measured(y, np.full(y.shape, sigma), np.zeros(y.shape, bool)), prior)
    return residuals, solve(residuals, np.full(len(names), start), FitterSettings())


@pytest.fixture(scope="module")
def of_a_line():
    """y = a + b x with normal noise and a normal prior of b."""
    y = 0.3 + 0.5 * X + SIGMA * np.random.default_rng(1).standard_normal(len(X))
    residuals, best = fit(line, y, prior=lambda z: (z[1:] - 0.4) / 0.08)
    return residuals, sample(residuals, best, SAMPLING) if installed else None


@sampled
def test_of_a_linear_model_it_is_the_normal_distribution(of_a_line):
    """Mean and covariance are those of the normal equations, prior row included: C = (A^T A)^-1, m = C A^T y.

    The box is 6 standard deviations away. Tolerance: 4 standard errors of N effective draws, sqrt(C_ii/N) of a mean and
    sqrt((C_ii C_jj + C_ij^2)/N) of a covariance.
    """
    residuals, found = of_a_line
    rows = np.vstack([np.stack([np.ones_like(X), X], axis=1) / SIGMA, [[0, 1 / 0.08]]])
    right = np.append(residuals.measured.y / SIGMA, 0.4 / 0.08)
    covariance = np.linalg.inv(rows.T @ rows)
    mean = covariance @ rows.T @ right
    assert np.all(mean > 6 * np.sqrt(np.diag(covariance)))
    count = found.effective.min()
    assert count > 1000 and np.all(found.r_hat < 1.01) and not found.warnings(residuals.names)
    variances = np.diag(covariance)
    assert np.all(np.abs(found.flat.mean(axis=0) - mean) < 4 * np.sqrt(variances / count))
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / count)
    assert np.all(np.abs(np.cov(found.flat.T) - covariance) < 4 * error)
    expected = np.sum((found.flat[:, None] @ rows.T - right) ** 2, axis=-1)[:, 0]
    np.testing.assert_allclose(found.chi2.reshape(-1), expected, rtol=1e-8)


@sampled
def test_predictions_have_the_width_of_the_model_and_of_the_data(of_a_line):
    """var y(x) = a(x)^T C a(x), and sigma^2 more for a point that is measured again; 200 draws know a 95 % width of
    3.92 standard deviations to 8 %: a quarter is 3 of these, for 15 points."""
    residuals, found = of_a_line
    design = np.stack([np.ones_like(X), X], axis=1)
    spread = np.einsum("xi,ij,xj->x", design, np.cov(found.flat.T), design)
    both = bands(residuals, found, 0)
    np.testing.assert_allclose(both.model[1] - both.model[0], 3.92 * np.sqrt(spread), rtol=0.25)
    np.testing.assert_allclose(both.predicted[1] - both.predicted[0], 3.92 * np.sqrt(spread + SIGMA**2), rtol=0.25)


@sampled
def test_the_box_is_a_uniform_prior():
    """One number z with data at z = 0, on the bound: a half normal distribution cut off at 1.

    Its mean by quadrature, within 4 standard errors of the draws.
    """
    sigma = 0.5
    residuals, best = fit(lambda z: (z[:1], jnp.ones(1, bool)), [0.0], sigma, names=("a",))
    found = sample(residuals, best, SAMPLING)

    def density(z):
        return np.exp(-((z / sigma) ** 2) / 2)

    mean = quad(lambda z: z * density(z), 0, 1)[0] / quad(density, 0, 1)[0]
    assert found.flat.min() > 0 and found.flat.max() < 1
    assert found.flat.mean() == pytest.approx(mean, abs=4 * found.flat.std() / np.sqrt(found.effective[0]))


@sampled
def test_what_cannot_be_solved_is_never_drawn():
    """No value beyond z_0 = 0.5, near the optimum: rejected, and the draws go on below it."""

    def broken(z):
        values = jnp.where(z[0] > 0.5, jnp.nan, z[0] + z[1] * jnp.asarray(X))
        return values, jnp.isfinite(values)

    residuals, best = fit(broken, 0.48 + 0.3 * X, start=0.3)
    assert best.failed == 0
    found = sample(residuals, best, PosteriorSettings(samples=300, warmup=200, chains=1))
    assert np.isfinite(found.chi2).all() and 0.45 < found.flat[:, 0].max() <= 0.5
    assert found.diverged.any()
    assert any("met a device that was not solved" in sentence for sentence in found.warnings(residuals.names))


@sampled
def test_points_lost_at_the_optimum_do_not_count():
    """A point that the model never has a value for: the posterior of the other fourteen."""

    def without_first(z):
        values, solved = line(z)
        return jnp.where(jnp.arange(len(X)) == 0, jnp.nan, values), solved.at[0].set(False)

    residuals, best = fit(without_first, 0.3 + 0.5 * X)
    found = sample(residuals, best, PosteriorSettings(samples=500, warmup=200, chains=1))
    rows = np.stack([np.ones_like(X), X], axis=1)[1:] / SIGMA
    np.testing.assert_allclose(np.cov(found.flat.T), np.linalg.inv(rows.T @ rows), rtol=0.4)
    both = bands(residuals, found, 0)
    assert np.isnan(both.model[:, 0]).all() and np.isfinite(both.model[:, 1:]).all()


def test_bad_chains_are_said():
    z = np.zeros((2, 40, 2))
    bad = Posterior(z, z[..., 0], z[..., 0] > 0, np.array([1.0, 1.3]), np.array([300.0, 12.0]), 1.0, 0.0)
    said = bad._replace(diverged=np.ones((2, 40), bool)).warnings(("a", "b"))
    assert len(said) == 3 and said[0].startswith("80 of 80 draws")
    assert "disagree about b (split R-hat up to 1.3000" in said[1] and "of b (12 effective" in said[2]
    assert len(bad._replace(r_hat=np.full(2, np.nan)).warnings(("a", "b"))) == 2


def test_without_the_sampler_one_sentence(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    residuals, best = fit(line, 0.3 + 0.5 * X)
    with pytest.raises(InputError, match=r"fitter\.posterior: numpyro is not installed; pip install"):
        sample(residuals, best, SAMPLING)


def test_a_robust_loss_is_no_likelihood():
    with pytest.raises(InputError, match="loss=huber is not"):
        FitterSettings(loss="huber", posterior=PosteriorSettings())
