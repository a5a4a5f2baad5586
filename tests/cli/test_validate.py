"""`validate` where a point cannot be solved: every check that needs it fails, and says why."""

import jax.numpy as jnp
import pytest

from invdesign import load_device
from invdesign.jobs.validate import GRADIENT, MESH, Bench, Point, _gradient, _worst
from invdesign.results import Status
from invdesign.solve.assembly import discretise, no_light
from invdesign.solve.newton import Outcome, equilibrium_guess


@pytest.fixture(scope="module")
def bench():
    """A junction of which only the points at -1 V are known, the lit one solved and the dark one not."""
    bench = object.__new__(Bench)
    bench.device = load_device("silicon_pn", "layers.p.edges=4", "layers.n.edges=4")
    system = discretise(bench.device)
    bench.biases_V, bench.wavelength_nm, bench.frequency_Hz = [0.05, 1.0], 900.0, 1e3
    bench.points = [
        Point(label, -1.0, no_light(system), Outcome(equilibrium_guess(system), jnp.asarray(status), jnp.asarray(9)))
        for label, status in (("-1 V, dark", Status.STEP_TOO_SMALL), ("-1 V, lit", Status.CONVERGED))
    ]
    return bench


def test_derivatives_and_mesh_at_a_point_that_was_not_solved_fail_with_its_status(bench):
    rows = list(_gradient(bench))
    assert [row.name for row in rows] == [GRADIENT, MESH]
    for row in rows:
        assert not row.passed and row.detail == f"-1 V, dark: {Status.STEP_TOO_SMALL.message}"


def test_the_worst_point_is_one_that_was_not_solved(bench):
    row = _worst(bench, "some check", {"-1 V, lit": 1.0, "-1 V, dark": float("nan")}, 2.0)
    assert not row.passed and row.detail.startswith("-1 V, dark: the continuation step became too small")
    row = _worst(bench, "some check", {"-1 V, lit": 1.0}, 2.0, {"-1 V, lit": ", 900 nm"})
    assert row.passed and row.detail == "worst: -1 V, lit, 900 nm"
