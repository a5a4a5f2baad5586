"""The default device is what the fit says that it comes from."""

import numpy as np
import pytest

from invdesign import load_settings
from invdesign.fitting.least_squares import Solution
from invdesign.fitting.uncertainty import linearise
from invdesign.jobs import fit


@pytest.mark.slow
def test_its_numbers_are_the_minimum_and_its_errors_the_curvature():
    """The step from its numbers to the minimum, -(J^T J)^-1 J^T r, is as small as the preset's rounding, a few
    hundredths of a standard error; errors and correlations are given to two or three digits."""
    settings = load_settings("fit", "dataset=qdip_literature", "parameters=qdip_literature", "device=qdip_photodiode")
    problem = fit.FitProblem(settings)
    residuals, start = problem.compile(), problem.space.baseline
    found = residuals(start)
    assert found.chi2 == pytest.approx(5.3, abs=0.05)
    best = Solution(start, found.chi2 / 2, found, True, "")
    linear = linearise(best, [False] * len(start), settings.fitter)
    step = linear.covariance @ found.jacobian.T @ found.residual
    assert np.max(np.abs(step / linear.sigma)) < 0.05
    known, given = fit._uncertainty(problem, best, linear, None, ""), settings.device.uncertainty
    assert known.numbers == given.numbers and given == given.of(settings.device)
    np.testing.assert_allclose(known.standard_errors, given.standard_errors, rtol=0.01)
    np.testing.assert_allclose(known.correlation, given.correlation, atol=5e-3)
