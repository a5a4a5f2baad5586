"""How statements are read from curves."""

import dataclasses

import numpy as np
import pytest

from invdesign.analyses.readout import Noiseless
from invdesign.jobs import measures
from invdesign.jobs.measures import MEASURES, knee
from invdesign.jobs.reproduction import ASK, Linearity, Solved
from invdesign.jobs.simulation import Simulation

FREQUENCY = np.logspace(0, 6, 25)


def test_the_knee_is_where_the_power_has_fallen_to_twice_the_white_level():
    """S = w (1 + (1 kHz/f)^2): S = 2 w at 1 kHz. 2 %: straight lines in ln f between four points a decade."""
    assert knee(FREQUENCY, 1e-14 * np.sqrt(1 + (1e3 / FREQUENCY) ** 2)) == pytest.approx(1e3, rel=0.02)


def test_noise_that_does_not_fall_has_no_knee():
    assert np.isnan(knee(FREQUENCY, 1e-14 * np.sqrt(1 + FREQUENCY)))


def test_the_linear_range_begins_where_light_on_the_aperture_equals_the_noise(monkeypatch):
    """0.1 pA at 0.1 A/W over 0.049 cm^2 are 2.04e-11 W/cm^2; a fifth of the responsivity is lost at 1 W/cm^2."""
    solved, run = object.__new__(Solved), object.__new__(Simulation)
    object.__setattr__(run, "ask", dataclasses.replace(ASK, readout=Noiseless(illuminated_area_cm2=0.049)))
    object.__setattr__(solved, "run", run)
    light = Linearity(np.array([1e-3, 0.1, 10.0]), np.array([0.1, 0.1, 0.06]))
    object.__setattr__(solved, "linearity", light)
    monkeypatch.setattr(Solved, "noise", lambda *_: 1e-13)
    monkeypatch.setattr(measures, "_responsivity", lambda *_: 0.1)
    assert MEASURES["linear_decades"](solved) == pytest.approx(np.log10(0.049 / 1e-12))
    # solves that failed are left out; where the range does not end, it is as long as light was followed
    for responsivity in ([0.1, 0.1, 0.09, np.nan], [np.nan, 0.1, np.nan, 0.06]):  # followed to 1 W/cm^2, and lost there
        light = Linearity(np.array([1e-3, 0.1, 1.0, 10.0]), np.array(responsivity))
        object.__setattr__(solved, "linearity", light)
        assert MEASURES["linear_decades"](solved) == pytest.approx(np.log10(0.049 / 1e-12))
    object.__setattr__(solved, "linearity", Linearity(np.ones(2), np.full(2, np.nan)))
    assert np.isnan(MEASURES["linear_decades"](solved)) and np.isnan(MEASURES["linear_drop"](solved))
