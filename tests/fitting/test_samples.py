"""Several devices fitted together: who shares what, and what they know together.

A silicon junction on a coarse mesh (40 edges), with the dark J-V of three points per sample, made by the model itself:
only the agreement of one computation with another is tested.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from invdesign import load_settings
from invdesign.errors import InputError
from invdesign.fitting.least_squares import solve
from invdesign.fitting.residuals import Measured, Residuals
from invdesign.fitting.settings import FitterSettings
from invdesign.fitting.uncertainty import linearise
from invdesign.jobs.fit import FitProblem
from invdesign.jobs.settings import FitSettings

EMPTY = [
    *("device.layers.p.edges=16", "device.layers.n.edges=24", "~parameters", "~dataset.curves"),
    *("+parameters={}", "+dataset.curves={}"),
]
JV = "kind: dark_jv, data: {voltage_V: [-0.5, 0.3, 0.5], current_density_A_per_cm2: [1, 1, 1]}, relative_sigma: 0.02"
LIFETIME = (
    "parameters.lifetime={path: device.layers.n.material.recombination.hole_lifetime_s, lower_s: 1e-9, upper_s: 1e-5, "
    "log: true}"
)
DOPING = "{path: %s.layers.n.material.donor_density_cm3, lower_cm3: 1e15, upper_cm3: 1e17, log: true}"
THIN = "dataset.devices.thin.layers.n.thickness_nm=1500"


def settings(*words: str) -> FitSettings:
    return load_settings("fit", *EMPTY, *words)


def curve(name: str, device: str | None = None) -> str:
    return f"dataset.curves.{name}={{{JV}, log: true{f', device: {device}' if device else ''}}}"


def test_a_device_shares_what_it_does_not_change():
    """Named, replaced as a group, absent, or fitted on its own: then it is not shared."""
    found = settings(
        *(curve("a"), curve("b", "thin"), curve("c", "own"), LIFETIME, THIN),
        "dataset.devices.own={layers: {n: {material: {donor_density_cm3: 1e16}}}}",
        "parameters.doping=" + DOPING % "device",
        "parameters.own_doping=" + DOPING % "devices.own",
        "parameters.thickness={path: device.layers.n.thickness_nm, lower_nm: 1000, upper_nm: 5000}",
    )
    assert set(found.followers) == {
        ("lifetime", "devices.thin.layers.n.material.recombination.hole_lifetime_s"),
        ("lifetime", "devices.own.layers.n.material.recombination.hole_lifetime_s"),
        ("doping", "devices.thin.layers.n.material.donor_density_cm3"),
        ("thickness", "devices.own.layers.n.thickness_nm"),
    }
    space = FitProblem(found).space
    changed = space.at(jnp.array([0.25, 0.75, 0.25, 0.5]))
    layers = [changed.all[name].layers["n"] for name in (None, "thin", "own")]
    np.testing.assert_allclose([float(n.material.recombination.hole_lifetime_s) for n in layers], 1e-8, rtol=1e-12)
    dopings = [float(n.material.donor_density_cm3) for n in layers]
    np.testing.assert_allclose(dopings, [10**16.5, 10**16.5, 10**15.5], rtol=1e-12)
    assert [float(n.thickness_nm) for n in layers] == [3000, 1500, 3000]


def test_a_group_with_a_kind_and_another_stack_are_not_shared():
    found = settings(
        *(curve("a"), curve("b", "shunted"), curve("c", "metal")),
        "device.terminals.shunt.resistance_ohm_cm2=1e6",
        "dataset.devices.shunted.terminals.shunt=null",
        "device.contacts.left={kind: schottky, work_function_eV: 4.9}",
        "dataset.devices.metal.contacts.left={kind: schottky, work_function_eV: 4.9}",
        "parameters.shunt={path: device.terminals.shunt.resistance_ohm_cm2, lower_ohm_cm2: 1e5, upper_ohm_cm2: 1e7}",
        "parameters.metal={path: device.contacts.left.work_function_eV, lower_eV: 4, upper_eV: 5}",
    )
    assert set(found.followers) == {
        ("shunt", "devices.metal.terminals.shunt.resistance_ohm_cm2"),
        ("metal", "devices.shunted.contacts.left.work_function_eV"),
    }


def test_ties_across_devices_keep_the_ratio():
    found = settings(
        *(curve("a"), curve("b", "thin"), THIN),
        "parameters.thickness={path: device.layers.n.thickness_nm, lower_nm: 1000, upper_nm: 5000}",
        "parameters.thin={path: devices.thin.layers.n.thickness_nm, lower_nm: 100, upper_nm: 5000, tied_to: thickness}",
    )
    space = FitProblem(found).space
    changed = space.at(jnp.array([0.25]))
    assert space.names == ("thickness",)
    assert float(changed.device.layers["n"].thickness_nm) == pytest.approx(2000)
    assert float(changed.devices["thin"].layers["n"].thickness_nm) == pytest.approx(750)


@pytest.fixture(scope="module")
def alone() -> FitProblem:
    """One junction of any thickness."""
    thickness = "parameters.thickness={path: device.layers.n.thickness_nm, lower_nm: 1000, upper_nm: 5000}"
    return FitProblem(settings(curve("one"), LIFETIME, "parameters.doping=" + DOPING % "device", thickness))


@pytest.fixture(scope="module")
def one(alone) -> Residuals:
    return alone.compile()


def made_at(residuals: Residuals, truth: np.ndarray, noise: float = 0.0, sigma: float = 0.02) -> Residuals:
    """The residuals with data that the model itself has made at `truth`; curves of three points have equal noise."""
    exact = residuals(truth).values
    rows = np.tile(1 + noise * np.random.default_rng(3).standard_normal(3), len(exact) // 3)
    return residuals.of(Measured(exact * rows, sigma * np.abs(exact * rows), residuals.measured.log))


@pytest.mark.slow
def test_the_information_of_independent_samples_adds(one):
    """Two thicknesses that share a lifetime, each with its own doping: I = sum of J^T J over the samples, so that the
    lifetime's variance is [sum_s (I_tt - I_td^2/I_dd)_s]^-1, the Schur complement of each sample's own doping.

    Identities of linear algebra about Jacobians of the same physics in two programs: 1e-6 for rounding in the solves.
    """
    words = (curve("thick"), curve("thin", "thin"), THIN, LIFETIME, "parameters.doping=" + DOPING % "device")
    problem = FitProblem(settings(*words, "parameters.thin_doping=" + DOPING % "devices.thin"))
    truth = np.array([0.55, 0.45, 0.4])
    both = made_at(problem.compile(), truth)
    joint = both(truth)
    assert not joint.failed.any() and joint.chi2 < 1e-20
    information, schur = np.zeros((3, 3)), []
    for thickness_nm, own in ((4000, [0, 1]), (1500, [0, 2])):
        place = np.array([*truth[own], (thickness_nm - 1000) / 4000])
        jacobian = made_at(one, place)(place).jacobian[:, :2]
        square = jacobian.T @ jacobian
        information[np.ix_(own, own)] += square
        schur.append(square[0, 0] - square[0, 1] ** 2 / square[1, 1])
    np.testing.assert_allclose(joint.jacobian.T @ joint.jacobian, information, rtol=1e-6, atol=1e-6)
    known = linearise(solve(both, truth, FitterSettings()), [False] * 3, FitterSettings()).sigma[0]
    assert known == pytest.approx(sum(schur) ** -0.5, rel=1e-5)
    assert known < min(each**-0.5 for each in schur)


@pytest.mark.slow
def test_two_equal_devices_are_one_with_doubled_points(one):
    """The same points twice are points with sigma/sqrt(2): the same minimum, chi^2 and covariance."""
    words = (curve("a"), curve("b", "twin"), "dataset.devices.twin={}", LIFETIME)
    twins = FitProblem(settings(*words, "parameters.doping=" + DOPING % "device")).compile()
    truth, held = np.array([0.55, 0.45, 0.75]), np.array([0.5, 0.5, 0.75])
    two = solve(made_at(twins, truth[:2], 0.02), held[:2], FitterSettings())
    doubled = made_at(one, truth, 0.02, sigma=0.02 / np.sqrt(2))
    single = solve(doubled, held, FitterSettings(), free=np.array([True, True, False]))
    assert two.converged and two.evaluation.chi2 > 0.1
    assert two.cost == pytest.approx(single.cost, rel=1e-8)
    np.testing.assert_allclose(two.z, single.z[:2], rtol=1e-6)
    first = linearise(two, [False] * 2, FitterSettings()).covariance
    second = linearise(single, [False, False, True], FitterSettings()).covariance[:2, :2]
    np.testing.assert_allclose(first, second, rtol=1e-5)


WRONG = {
    "unknown device": ((curve("a", "thn"), THIN, LIFETIME), "curves.a.device=thn: must be one of thin"),
    "no devices": ((curve("a", "thin"), LIFETIME), "curves.a.device=thin: there are no devices here"),
    "unused device": ((curve("a"), THIN, LIFETIME), "devices.thin: no curve says device: thin"),
    "unknown key": (
        (curve("a", "thin"), "dataset.devices.thin.layers.n.thicknes_nm=1", LIFETIME),
        "dataset.devices.thin.layers.n.thicknes_nm is not a known key",
    ),
    "name": (
        (curve("a", "a b"), "dataset.devices={a b: {}}", LIFETIME),
        "dataset.devices.a b: the name of a device has letters",
    ),
    "unknown path": (
        (curve("a", "thin"), THIN, "parameters.d=" + DOPING % "devices.thick"),
        "parameters.d.path=devices.thick.layers.n.material.donor_density_cm3: thick is not a known key",
    ),
    "first key": (
        (curve("a", "thin"), THIN, "parameters.d={path: fitter.tolerance, lower: 0, upper: 1}"),
        "parameters.d.path=fitter.tolerance: must begin with device. or devices.NAME.",
    ),
    "without a curve": (
        (curve("a", "thin"), THIN, "parameters.d={path: device.layers.n.thickness_nm, lower_nm: 1, upper_nm: 5000}"),
        "parameters.d.path=device.layers.n.thickness_nm: no curve is of a device that it changes",
    ),
    "twice": (
        (curve("a"), LIFETIME, LIFETIME.replace("lifetime=", "again=")),
        "hole_lifetime_s: parameters.lifetime stands for it already",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_devices(words, message):
    with pytest.raises(InputError) as error:
        settings(*words)
    assert message in str(error.value) and "\n" not in str(error.value)
