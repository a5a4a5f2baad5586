"""How statements are read from curves."""

import numpy as np
import pytest

from invdesign.jobs.measures import knee

FREQUENCY = np.logspace(0, 6, 25)


def test_the_knee_is_where_the_power_has_fallen_to_twice_the_white_level():
    """S = w (1 + (1 kHz/f)^2): S = 2 w at 1 kHz. 2 %: straight lines in ln f between four points a decade."""
    assert knee(FREQUENCY, 1e-14 * np.sqrt(1 + (1e3 / FREQUENCY) ** 2)) == pytest.approx(1e3, rel=0.02)


def test_noise_that_does_not_fall_has_no_knee():
    assert np.isnan(knee(FREQUENCY, 1e-14 * np.sqrt(1 + FREQUENCY)))
