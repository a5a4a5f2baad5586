"""How numbers are read off curves."""

import math

import numpy as np
import pytest

from invdesign.jobs.reproduction import Linearity, crossing


def test_a_crossing_is_interpolated_on_straight_lines():
    x, y = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 4.0])
    assert crossing(x, y, 1.0) == pytest.approx(0.5)
    assert crossing(x, y, 3.0) == pytest.approx(2.0)
    assert crossing(x, y, 0.0) == 0.0
    assert math.isnan(crossing(x, y, 5.0))


def test_the_first_crossing_counts():
    assert crossing(np.arange(5.0), np.array([0.0, 2.0, 0.0, 2.0, 0.0]), 1.0) == pytest.approx(0.5)


def test_a_logarithmic_crossing_is_exact_for_a_logarithm():
    x = np.logspace(-3, 3, 7)
    assert crossing(x, np.log(x), math.log(20.0), logarithmic=True) == pytest.approx(20.0)


def test_the_end_of_the_linear_range():
    """R = 1/(1 + P/P0) has lost a fifth at P0/4; the points are close enough for 1 %."""
    light = np.logspace(-6, 1, 141)
    series = Linearity(light, 1 / (1 + light / 0.4))
    assert series.end(0.2) == pytest.approx(0.1, rel=1e-2)
    assert math.isnan(Linearity(light, np.ones(141)).end(0.2))
