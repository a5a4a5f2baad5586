"""Statements of the paper and what they imply for each other, against numbers worked out by hand.

q = 1.602e-19 C, kT = 25.85 meV, hc = 1239.84 eV nm. Tolerances are those of the rounding in the hand calculation.
"""

import math

import pytest

from invdesign.jobs.measures import FITTED, INPUTS, LACKS, MEASURES, MISSING
from invdesign.paper.conflicts import COMPARISONS, conflicts_of
from invdesign.paper.statements import statements

PAPER = statements()
BY_ID = {one.id: one for one in COMPARISONS}


def changed(**values):
    """The statements with other values, whose ranges are moved along."""
    new = {}
    for name, value in values.items():
        row = PAPER[name]
        scale = value / row.value
        new[name] = row._replace(value=value, low=row.low * scale, high=row.high * scale)
    return PAPER | new


def test_every_statement_is_whole():
    assert len(PAPER) > 80
    for row in PAPER.values():
        assert row.unit and row.panel and row.quantity, row
        assert row.kind in {"design", "condition", "measured", "simulated", "stated", "trend"}, row
        assert math.isnan(row.value) or row.met(row.value), row
        assert row.low <= row.high


def test_every_statement_is_measured_or_says_what_is_missing():
    assert set(MEASURES) | set(MISSING) == set(PAPER) and not set(MEASURES) & set(MISSING)
    assert set(LACKS) <= set(MEASURES) and set(MEASURES) >= INPUTS | FITTED
    assert not INPUTS & FITTED


def test_a_range_holds_its_ends_and_not_nan():
    row = PAPER["bandwidth"]
    assert row.met(row.low) and row.met(row.high) and not row.met(row.high * 1.001)
    assert not row.met(float("nan"))
    assert PAPER["gain_above_one"].met(1e9) and not PAPER["gain_above_one"].met(0.99)


def test_comparisons_name_statements_that_exist():
    assert len(BY_ID) == len(COMPARISONS)
    assert all(row in PAPER for one in COMPARISONS for row in one.rows)


@pytest.mark.parametrize(
    ("name", "implied", "stated"),
    [
        ("detectivity", 151, 40),  # 4e12 * 1e-13/sqrt(0.07) = 1.512 A/W
        ("flicker_slope", 30 / math.sqrt(1000), 0.06),
        ("noise_at_rest", 18.4, 4.6e6),  # 4 * 0.02585 * 1.602e-19/(3e-11)^2, /(6e-14)^2
        ("cooling", 1.31, 1.0),  # 2 ln 10 * 8.617e-5 * 300 * 275/25
        ("colour", 0.63, 0.466),  # EQE(975 nm) = 2.2e-3 * 1.2716 = 0.28 %; 45 * 0.28/20, 0.28/0.6
        ("gain_at_6V", 18, 60),
        ("gain_at_1V", 1.5, 1),  # 3 * 20/40
        ("gain_injection", 3.7e-3, 7.1e-8),  # 2 pi 1.877e-7 F/cm2 * 0.02585 * 1.2e5; (4e-14)^2/2q/0.07
        ("turn_on", 19.03, 0.43),
        ("field_scale", 333, 250),
        ("offsets", 1.7, 1.6),
        ("host_cutoff", 1.55, 1.6),
        ("hole_release", 3.2, 60),
        ("gold", 200, 100),
        ("loading", 1.007, 1),
        ("decibels", 60, 60),
        ("eqe_rise", 66.7, 60),
        ("rise_time", 5.83, 10),
    ],
)
def test_implied_and_stated_numbers(name, implied, stated):
    one = BY_ID[name]
    for span, value in ((one.implied(PAPER), implied), (one.stated(PAPER), stated)):
        assert span.value == pytest.approx(value, rel=2e-2)
        assert span.low <= span.value <= span.high


CONTRADICTIONS = {
    *("detectivity", "flicker_slope", "noise_at_rest", "cooling", "gain_at_6V", "gain_injection"),
    *("turn_on", "hole_release", "gold"),
}
TENSIONS = {"colour", "gain_at_1V", "field_scale", "offsets", "host_cutoff"}


def test_verdicts():
    found = {name: one.verdict(PAPER) for name, one in BY_ID.items()}
    assert {name for name, verdict in found.items() if verdict == "contradiction"} == CONTRADICTIONS
    assert {name for name, verdict in found.items() if verdict == "tension"} == TENSIONS


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("detectivity", {"detectivity_swir": 1e12}),
        ("flicker_slope", {"noise_1Hz": 1.9}),
        ("noise_at_rest", {"noise_1Hz": 0.06}),
        ("cooling", {"cooling_noise": 5.8}),
        ("colour", {"turn_on": 33.0}),
        ("gain_at_6V", {"gain_max": 3.0}),
        ("gain_at_1V", {"gain_bandwidth": 110.0}),
        ("gain_injection", {"shot_noise": 9.0}),
        ("turn_on", {"turn_on": 1.09}),
        ("field_scale", {"tunnelling_onset_field": 0.04}),
        ("offsets", {"hole_offset": 0.4}),
        ("host_cutoff", {"host_cutoff": 775.0}),
        ("hole_release", {"hole_offset": 0.425}),
        ("gold", {"gold_results": 100.0}),
    ],
)
def test_a_conflict_ends_where_the_statements_agree(name, values):
    """Each comparison reads the statements: with another number in one of them it finds nothing."""
    assert BY_ID[name].verdict(changed(**values)) == "agreement"


def test_conflicts_of_a_row_leave_out_what_agrees():
    assert conflicts_of("hole_offset", PAPER) == ["turn_on", "offsets", "hole_release"]
    assert conflicts_of("linear_range", PAPER) == []


def test_the_slope_of_1_over_f_that_would_meet_both_ends():
    """S falls from 30^2 to what the white level leaves, 0.06^2 - 0.04^2, over three decades: f^-1.88."""
    slope = math.log10(30**2 / (0.06**2 - 0.04**2)) / 3
    assert slope == pytest.approx(1.88, abs=0.01)
