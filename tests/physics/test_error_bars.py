"""Error bars of a design: first-order propagation of a fit's covariance."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from invdesign import load_settings
from invdesign.design.problem import Configuration, DesignProblem
from invdesign.device.uncertainty import Uncertainty
from invdesign.jobs import error_bars
from invdesign.schema import InputError, find, read, write

LIFETIME = "layers.p.material.recombination.electron_lifetime_s"
RESISTANCE = "terminals.series_resistance_ohm"
THICKNESS = "layers.p.thickness_nm"
ERRORS = (2e-9, 3.0)


def of_two(correlation, numbers=(LIFETIME, RESISTANCE)):
    return Uncertainty(
        numbers=numbers, standard_errors=ERRORS, correlation=((1.0, correlation), (correlation, 1.0)), source="a fit"
    )


@pytest.fixture(scope="module")
def problem():
    settings = load_settings("optimize", "device=silicon_pn", f"device.{RESISTANCE}=20")
    device = dataclasses.replace(settings.device, uncertainty=of_two(0.5))
    return DesignProblem(
        Configuration(device, settings.reverse_bias_V),
        settings.objective,
        settings.constraints,
        settings.design,
        settings.load_ohm,
        order=tuple(settings.design),
    )


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What a simulation would report."""

    objective: float
    figures: dict[str, float]
    limits: dict[str, dict[str, Any]]
    converged: bool = True


def formula(configuration):
    """An objective ln(tau) - R/10, a figure tau R, a slack R - 20: with known derivatives."""
    recombination = configuration.device.layers["p"].material.recombination
    tau, resistance = (
        float(recombination.electron_lifetime_s),
        float(configuration.device.terminals.series_resistance_ohm),
    )
    return Numbers(np.log(tau) - resistance / 10, {"product": tau * resistance}, {"least": {"slack": resistance - 20}})


def test_slopes_and_their_propagation(problem):
    """d ln(tau) = 1/tau, d(tau R) = (R, tau), by differences with a step of at most 1 %: h^2/3 = 3e-5 of ln, exact of
    the bilinear one."""
    chosen, known = problem.baseline, of_two(0.5)
    tau = float(chosen.device.layers["p"].material.recombination.electron_lifetime_s)
    by = error_bars.slopes(formula, chosen, known)
    assert by.objective == pytest.approx([1 / tau, -0.1], rel=4e-5)
    assert by.figures["product"] == pytest.approx([20, tau], rel=1e-9)
    a, b = ERRORS[0] / tau, -0.1 * ERRORS[1]
    report = {
        "figures": {"product": {"optimum": 20 * tau}},
        "constraints": {"least": {"slack": 0.0, "multiplier": 0.1, "satisfied": True}},
    }
    error_bars.add_to(report, known, by)
    found = report["uncertainty"]
    assert found["log10_standard_error"] == pytest.approx(np.sqrt(a**2 + b**2 + a * b), rel=1e-4)
    assert found["log10_standard_error_redesigned"] == pytest.approx(a, rel=1e-4)  # the multiplier takes R out
    assert found["log10_per_standard_error"] == pytest.approx({LIFETIME: a, RESISTANCE: b}, rel=1e-4)
    assert report["constraints"]["least"]["chance"] == pytest.approx(0.5)


def test_a_margin_counts_for_the_chance(problem):
    """A slack R - 20 with one standard error of R in reserve: the limit alone is kept with a chance of Phi(1)."""
    known = of_two(0.5)
    by = error_bars.slopes(formula, problem.baseline, known)
    report = {"constraints": {"least": {"slack": 0.0, "limit": 20.0 + ERRORS[1], "satisfied": True}}}
    alone = {"least": {"slack": ERRORS[1], "limit": 20.0, "satisfied": True}}
    error_bars.add_chances(report, known, alone, by)
    assert report["constraints"]["least"]["chance"] == pytest.approx(norm.cdf(1.0), rel=1e-6)
    assert report["constraints"]["least"]["limit_without_margin"] == 20.0


def test_variance_of_correlated_numbers():
    """var(g1 x + g2 y) = g1^2 + g2^2 + 2 rho g1 g2 in standard errors; 0 for opposite numbers with rho = 1."""
    slopes_by = np.array([[1 / ERRORS[0], 2 / ERRORS[1]], [1 / ERRORS[0], -1 / ERRORS[1]]])
    assert of_two(0.5).variance(slopes_by) == pytest.approx([1 + 4 + 2, 1 + 1 - 1])
    assert of_two(1.0).variance(slopes_by)[1] == pytest.approx(0, abs=1e-12)


def test_a_design_nearby_that_cannot_be_solved_leaves_no_error(problem):
    by = error_bars.slopes(lambda c: dataclasses.replace(formula(c), converged=False), problem.baseline, of_two(0.0))
    assert np.isnan(by.objective).all()
    report = {"figures": {"product": {}}, "constraints": {}}
    error_bars.add_to(report, of_two(0.0), by)
    assert np.isnan(report["figures"]["product"]["standard_error"])


def test_round_off_below_zero_is_no_error():
    """Opposite numbers with rho = 1 leave a variance of -1e-17 or so."""
    by = error_bars.Slopes(np.array([0.1 / ERRORS[0], -0.1 / ERRORS[1]]), {}, {})
    known = dataclasses.replace(of_two(1.0), correlation=((1.0, 1.0), (1.0, 1.0)))
    report = {"figures": {}, "constraints": {}}
    error_bars.add_to(report, known, by)
    assert report["uncertainty"]["log10_standard_error"] == pytest.approx(0, abs=1e-8)


def test_numbers_that_the_design_chooses_are_not_uncertain(problem):
    device = dataclasses.replace(problem.baseline.device, uncertainty=of_two(0.5, (THICKNESS, RESISTANCE)))
    assert f"device.{THICKNESS}" in {variable.path for variable in problem.variables.values()}
    moved = dataclasses.replace(problem, baseline=Configuration(device, jnp.ones(())))
    without = of_two(0.5, (THICKNESS, RESISTANCE)).without({THICKNESS})
    assert error_bars.open_numbers(moved) == without
    (name,) = (name for name, v in problem.variables.items() if v.path == f"device.{THICKNESS}")
    frozen = dataclasses.replace(problem.variables[name], frozen=True)
    held = dataclasses.replace(moved, variables=moved.variables | {name: frozen})
    assert error_bars.open_numbers(held) == of_two(0.5, (THICKNESS, RESISTANCE))  # kept, and so is what is tied to it
    (other,) = (each for each in problem.names if problem.variables[each].path == "device.layers.n.thickness_nm")
    tied = dataclasses.replace(problem.variables[name], tied_to=other)
    follows = dataclasses.replace(moved, variables=moved.variables | {name: tied})
    assert error_bars.open_numbers(follows) == without
    both = {name: tied, other: dataclasses.replace(problem.variables[other], frozen=True)}
    held = dataclasses.replace(moved, variables=moved.variables | both)
    assert error_bars.open_numbers(held) == of_two(0.5, (THICKNESS, RESISTANCE))


TRAP_LEVEL = "layers.p.material.recombination.trap_level_eV"


def test_a_number_that_is_zero_has_slopes_too(problem):
    """Of |R - 1| by a resistance at the lower end of its range, -1 from above; of x^2 by a level, 0 from both sides."""
    device = problem.baseline.device
    device = eqx.tree_at(lambda d: d.terminals.series_resistance_ohm, device, jnp.zeros(()))

    def simulate(configuration):
        at = configuration.device
        resistance = float(at.terminals.series_resistance_ohm)
        assert resistance >= 0
        level = float(at.layers["p"].material.recombination.trap_level_eV)
        return Numbers(abs(resistance - 1) + level**2, {}, {})

    known = dataclasses.replace(of_two(0.0, (RESISTANCE, TRAP_LEVEL)), standard_errors=(3.0, 0.1))
    by = error_bars.slopes(simulate, Configuration(device, jnp.ones(())), known)
    assert by.objective == pytest.approx([-1, 0], abs=1e-9)


def test_a_device_with_error_bars_is_written_and_read_back(problem):
    again = read(type(problem.baseline.device), write(problem.baseline.device))
    assert again.uncertainty == of_two(0.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"numbers": ("layers.q.thickness_nm", RESISTANCE)},
            "uncertainty.numbers=layers.q: q is not a known key.*; uncertainty set to null",
        ),
        ({"numbers": ("name", RESISTANCE)}, "uncertainty.numbers=name: must lead to one number with a unit"),
        ({"numbers": (RESISTANCE, RESISTANCE)}, "uncertainty: numbers: one is named twice"),
        ({"standard_errors": (1.0,)}, "uncertainty: standard_errors: must have one entry for each of the 2"),
        ({"standard_errors": (1.0, -1.0)}, r"uncertainty.standard_errors\[1\]=-1"),
        ({"values": (1.0,)}, "uncertainty: values: must have one entry for each of the 2"),
        ({"correlation": ((1.0, 0.5),)}, "uncertainty: correlation: must be 2 rows of 2"),
        ({"correlation": ((1.0, 0.5), (0.4, 1.0))}, "uncertainty: correlation: must be symmetric"),
    ],
)
def test_wrong_uncertainties_are_refused_in_a_sentence(problem, wrong, message):
    device = write(problem.baseline.device)
    with pytest.raises(InputError, match=message):
        read(type(problem.baseline.device), device | {"uncertainty": device["uncertainty"] | wrong})


@pytest.mark.parametrize("ions", [None, {"density_cm3": 1e16}])
def test_what_a_device_leaves_out_has_no_error(problem, ions):
    """A number that is null, or within a group that is."""
    device = write(problem.baseline.device)
    device["layers"]["p"]["material"]["mobile_ions"] = ions
    device["uncertainty"]["numbers"] = ["layers.p.material.mobile_ions.site_density_cm3", RESISTANCE]
    known = read(type(problem.baseline.device), device)
    assert known.uncertainty.of(known).numbers == (RESISTANCE,)


def test_a_number_that_was_changed_after_the_fit_has_no_error(problem):
    """`of_two` does not say what was fitted: then all numbers are taken as they were."""
    device = problem.baseline.device
    assert device.uncertainty.of(device) == of_two(0.5)
    known = dataclasses.replace(of_two(0.5), values=(float(find(device, LIFETIME)[0]), 21.0))  # 20 ohm by now
    changed = dataclasses.replace(device, uncertainty=known)
    moved = dataclasses.replace(problem, baseline=Configuration(changed, jnp.ones(())))
    assert error_bars.open_numbers(moved) == known.without({RESISTANCE})
    assert known.without({RESISTANCE}).values == known.values[:1]
    assert known.of(eqx.tree_at(lambda d: d.terminals.series_resistance_ohm, device, jnp.asarray(21.0))) == known
