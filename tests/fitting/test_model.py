"""What the model says to every kind of curve, and the recovery of known numbers from noisy curves of a small diode.

The diode is of silicon with a coarse mesh (70 edges); only the agreement of one computation with another is tested.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import silicon_diode

from invdesign.analyses.operating_point import operate
from invdesign.constants import HC_EV_NM
from invdesign.datasets.curves import (
    Bias,
    Curve,
    DarkCurrentVoltage,
    Dataset,
    Frequency,
    LitCurrentVoltage,
    Number,
    Photoresponse,
    Spectrum,
)
from invdesign.datasets.model import Model
from invdesign.device.device import Device
from invdesign.device.illumination import Monochromatic
from invdesign.errors import InputError
from invdesign.figures.registry import FIGURES, characterise
from invdesign.fitting.least_squares import at_bounds, solve
from invdesign.fitting.parameters import Parameter, Space
from invdesign.fitting.residuals import FAILED, Measured, Residuals
from invdesign.fitting.settings import FitterSettings
from invdesign.fitting.uncertainty import linearise, profiles
from invdesign.schema import read

EDGES = (20, 30, 20)
RED = Monochromatic(wavelength_nm=650.0, irradiance_W_per_cm2=1e-3)


def columns(**named):
    return {name: tuple(np.asarray(values, float).tolist()) for name, values in named.items()}


def ones(x):
    return np.ones(len(x))


VOLTAGES = np.array([-1.0, -0.5, 0.1, 0.3])
WAVELENGTHS = np.array([500.0, 650.0, 800.0])
FREQUENCIES = np.array([1e2, 1e4, 1e7])
BIASES = np.array([0.5, 1.0])

CURVES: dict[str, Curve] = {
    "dark": DarkCurrentVoltage(
        data=columns(voltage_V=VOLTAGES, current_density_A_per_cm2=ones(VOLTAGES)), relative_sigma=0.02
    ),
    "warm": DarkCurrentVoltage(
        data=columns(voltage_V=VOLTAGES, current_A=ones(VOLTAGES)), relative_sigma=0.02, temperature_K=320.0,
        area_cm2=0.5,
    ),
    "lit": LitCurrentVoltage(
        data=columns(voltage_V=VOLTAGES, current_density_A_per_cm2=ones(VOLTAGES)), relative_sigma=0.02, light=RED
    ),
    "eqe": Spectrum(
        data=columns(wavelength_nm=WAVELENGTHS, eqe=ones(WAVELENGTHS)), relative_sigma=0.02, reverse_bias_V=0.5
    ),
    "responsivity": Spectrum(
        data=columns(wavelength_nm=WAVELENGTHS, responsivity_A_per_W=ones(WAVELENGTHS)), relative_sigma=0.02,
        reverse_bias_V=0.5, light=RED,
    ),
    "noise": Frequency(
        data=columns(frequency_Hz=FREQUENCIES, noise_A_per_rtHz=ones(FREQUENCIES)), relative_sigma=0.02,
        reverse_bias_V=0.5,
    ),
    "capacitance": Bias(
        data=columns(reverse_bias_V=BIASES, capacitance_F=ones(BIASES)), relative_sigma=0.02, frequency_Hz=1e4
    ),
    "gain": Bias(
        data=columns(reverse_bias_V=BIASES, gain=ones(BIASES)), relative_sigma=0.02, frequency_Hz=1e4,
        wavelength_nm=650.0,
    ),
    "photoresponse": Photoresponse(
        data=columns(frequency_Hz=FREQUENCIES, relative_response=ones(FREQUENCIES)), relative_sigma=0.02,
        reverse_bias_V=0.5, wavelength_nm=650.0, reference_Hz=10.0, load_ohm=1000.0,
    ),
    "lit_dark_current": Number(
        figure="dark_current_A", value=1.0, reverse_bias_V=0.5, relative_sigma=0.02, light=RED
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def diode() -> Device:
    return silicon_diode(edges=EDGES, area_cm2=0.01)


@pytest.fixture(scope="module")
def predicted(diode):
    return jax.jit(Model(CURVES, diode).predict)(diode)


def changed(device, **fields):
    return dataclasses.replace(device, **fields)


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_every_point_is_solved(predicted, name):
    assert len(predicted[name].values) == len(CURVES[name].columns.y) and bool(predicted[name].solved.all())


@pytest.mark.slow
def test_currents_are_those_of_single_operating_points(diode, predicted):
    """Area and temperature of a curve replace those of the device."""
    at = jax.jit(lambda device, voltage: operate(device, voltage).current_A)
    dark = [float(at(diode, v)) / 0.01 for v in VOLTAGES]
    lit = [float(at(changed(diode, illumination=RED), v)) / 0.01 for v in VOLTAGES]
    np.testing.assert_allclose(predicted["dark"].values, dark, rtol=1e-8)
    np.testing.assert_allclose(predicted["lit"].values, lit, rtol=1e-8)
    dark_at_bias = abs(float(at(diode, -0.5)))
    np.testing.assert_allclose(predicted["lit_dark_current"].values, dark_at_bias, rtol=1e-8)
    warm = changed(diode, temperature_K=jnp.asarray(320.0), area_cm2=jnp.asarray(0.5))
    np.testing.assert_allclose(predicted["warm"].values, [float(at(warm, v)) for v in VOLTAGES], rtol=1e-8)


@pytest.mark.slow
def test_figures_and_spectra_are_those_of_the_registry(diode, predicted):
    """The same numbers from single characterisations; the spectra are taken at 0 Hz, which differs little from 100."""
    wanted = {figure.name: figure.compute for figure in FIGURES if figure.name in ("gain", "noise_A_per_rtHz")}
    wanted |= {figure.name: figure.compute for figure in FIGURES if figure.name == "capacitance_F"}

    @jax.jit
    def at(bias, frequency):
        c = characterise(diode, bias, jnp.asarray(WAVELENGTHS), frequency, 1000.0)
        red = dataclasses.replace(c, absorption=jax.tree.map(lambda x: x[1:2], c.absorption))
        figures = {name: compute(red) for name, compute in wanted.items()}
        return figures, c.eqe, red.response_power(jnp.array([10.0, 1e7]))

    _, eqe, power = at(0.5, 1e2)
    np.testing.assert_allclose(predicted["eqe"].values, eqe, rtol=1e-6)
    noise = [float(at(0.5, frequency)[0]["noise_A_per_rtHz"]) for frequency in FREQUENCIES]
    np.testing.assert_allclose(predicted["noise"].values, noise, rtol=1e-8)
    both = [at(bias, 1e4)[0] for bias in BIASES]
    np.testing.assert_allclose(predicted["capacitance"].values, [float(f["capacitance_F"]) for f in both], rtol=1e-8)
    np.testing.assert_allclose(predicted["gain"].values, [float(f["gain"]) for f in both], rtol=1e-8)
    response = np.asarray(predicted["photoresponse"].values)
    assert response[0] == pytest.approx(1, abs=1e-4) and 1 > response[1] > response[2] > 0
    assert response[2] == pytest.approx(float(jnp.sqrt(power[1] / power[0])), rel=1e-8)
    # under light an efficiency near that in the dark
    per_watt = WAVELENGTHS / HC_EV_NM
    np.testing.assert_allclose(predicted["responsivity"].values, np.asarray(eqe) * per_watt, rtol=1e-2)


class Sample(eqx.Module):
    device: Device


PATHS = {
    "lifetime": ("device.layers.layer1.material.recombination.hole_lifetime_s", "_s", 1e-8, 1e-5, True),
    "doping": ("device.layers.layer1.material.donor_density_cm3", "_cm3", 1e15, 1e17, True),
    "series": ("device.terminals.series_resistance_ohm", "_ohm", 0.0, 100.0, False),
}
TRUTH = np.array([0.55, 0.45, 0.3])


@pytest.fixture(scope="module")
def problem(diode):
    """Noisy curves of the diode with other numbers, and the residuals over the box."""
    parameters = {
        name: read(Parameter, {"path": path, f"lower{unit}": low, f"upper{unit}": high, "log": log})
        for name, (path, unit, low, high, log) in PATHS.items()
    }
    space = Space(Sample(diode), parameters, tuple(parameters))
    voltages = np.array([-1.0, -0.5, -0.1, 0.1, 0.3, 0.5, 0.6])
    curves = {
        "dark": DarkCurrentVoltage(
            data=columns(voltage_V=voltages, current_density_A_per_cm2=ones(voltages)), relative_sigma=0.02, log=True
        ),
        "capacitance": CURVES["capacitance"],
    }
    model = Model(curves, diode)
    exact = jax.jit(model.predict)(space.at(jnp.asarray(TRUTH)).device)
    rng = np.random.default_rng(3)
    y = np.concatenate([np.asarray(exact[name].values) for name in curves])
    sigma = 0.02 * np.abs(y)
    log = np.concatenate([np.full(len(exact[name].values), curve.log) for name, curve in curves.items()])

    def predict(z):
        found = model.predict(space.at(z).device)
        return (
            jnp.concatenate([found[name].values for name in curves]),
            jnp.concatenate([found[name].solved for name in curves]),
        )

    measured = Measured(y + sigma * rng.standard_normal(len(y)), sigma, log)
    return space, Residuals(space.names, predict, measured)


@pytest.mark.slow
def test_the_jacobian_against_central_differences(problem):
    """Step 1e-5 of the range: truncation 1e-10 of the third derivative, cancellation 1e-9 of the residuals."""
    _, residuals = problem
    z, step = np.array([0.4, 0.6, 0.5]), 1e-5
    exact = residuals(z).jacobian
    for place in range(3):
        shift = np.eye(3)[place] * step
        differences = (residuals(z + shift).residual - residuals(z - shift).residual) / (2 * step)
        np.testing.assert_allclose(exact[:, place], differences, atol=1e-5 * np.abs(differences).max())


@pytest.mark.slow
def test_known_numbers_are_recovered_from_noisy_curves(problem):
    """Within four standard deviations, from a start far away; profiles and linearised intervals agree to a third."""
    space, residuals = problem
    settings = FitterSettings()
    best = solve(residuals, np.array([0.9, 0.8, 0.9]), settings)
    assert best.converged and at_bounds(best, settings) == [None] * 3
    assert best.evaluation.chi2 < 25  # 9 points, 3 parameters: chance 5e-5
    linear = linearise(best, [False] * 3, settings)
    assert np.all(np.abs(best.z - TRUTH) < 4 * linear.sigma) and np.all(linear.sigma < 0.1)
    for place, found in enumerate(profiles(residuals, best, linear, settings)):
        low, high = found.intervals["95"]
        assert low < best.z[place] < high
        assert (high - low) / (2 * 1.96 * linear.sigma[place]) == pytest.approx(1, abs=0.33)
    assert float(space.at(jnp.asarray(best.z)).device.layers["layer1"].material.donor_density_cm3) > 1e15


@pytest.mark.slow
def test_a_failed_solve_is_a_large_residual(diode):
    """At 1e5 V the device has no solution."""
    curve = DarkCurrentVoltage(
        data=columns(voltage_V=[-1e5, -0.5], current_density_A_per_cm2=[1, 1]), relative_sigma=0.02
    )
    model = Model({"dark": curve}, diode)

    def predict(z):
        found = model.predict(eqx.tree_at(lambda d: d.temperature_K, diode, 300.0 + z[0]))["dark"]
        return found.values, found.solved

    found = Residuals(("a",), predict, Measured(curve.columns.y, curve.sigma, np.zeros(2, bool)))(np.array([0.5]))
    assert found.failed.tolist() == [True, False] and found.residual[0] == FAILED
    assert np.isfinite(found.residual).all() and np.isfinite(found.jacobian).all() and found.jacobian[0, 0] == 0


JV = {"kind": "dark_jv", "data": {"voltage_V": [-1, 0, 1], "current_A": [-1e-9, 1e-12, 1e-3]}}
WRONG = {
    "kind": (JV | {"kind": "dark"}, "curves.a.kind=dark: must be one of"),
    "no sigma": (JV, "curves.a: no uncertainty at voltage_V=-1; give relative_sigma, absolute_sigma"),
    "no sigma at zero": (
        {"kind": "dark_jv", "data": {"voltage_V": [0, 1], "current_A": [0, 1]}, "relative_sigma": 0.1},
        "no uncertainty at voltage_V=0",
    ),
    "log of zero": (
        JV | {"data": {"voltage_V": [0, 1], "current_A": [0, 1]}, "absolute_sigma": 1e-12, "log": True},
        "log: current_A is 0 at voltage_V=0, which has no logarithm",
    ),
    "nothing": ({"kind": "dark_jv", "relative_sigma": 0.1}, "give either a file or data"),
    "light in the dark": (
        JV | {"relative_sigma": 0.1, "light": {"kind": "dark"}},
        "light: a dark curve has none; use kind: lit_jv",
    ),
    "column": (JV | {"kind": "spectrum", "reverse_bias_V": 0}, "voltage_V: the first column must be wavelength_nm"),
    "condition": (JV | {"kind": "spectrum"}, "curves.a.reverse_bias_V is missing"),
    "wavelength": (
        {"kind": "bias", "data": {"reverse_bias_V": [1], "eqe": [0.2]}, "relative_sigma": 0.1, "frequency_Hz": 100},
        "wavelength_nm is missing: eqe depends on it",
    ),
    "figure": (
        {"kind": "number", "figure": "bandwith_Hz", "value": 1, "reverse_bias_V": 1},
        "did you mean bandwidth_Hz?",
    ),
    "figure of a readout": (
        {"kind": "number", "figure": "readout_noise_A_per_rtHz", "value": 1, "reverse_bias_V": 1},
        "curves.a.figure=readout_noise_A_per_rtHz: must be one of detectivity_Jones, ",
    ),
    "column of a readout": (
        {"kind": "bias", "data": {"reverse_bias_V": [1], "reported_detectivity_Jones": [1]}, "frequency_Hz": 100},
        "reported_detectivity_Jones: the second column must be detectivity_Jones or ",
    ),
    "no file": ({"kind": "dark_jv", "file": "gone.csv", "relative_sigma": 0.1}, "file=gone.csv: there is no such file"),
}


@pytest.mark.parametrize(("mapping", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_curves(mapping, message):
    with pytest.raises(InputError) as error:
        read(Dataset, {"curves": {"a": mapping}})
    assert message in str(error.value) and "\n" not in str(error.value) and "curves.a" in str(error.value)


def test_sigmas_add_in_squares_in_the_unit_of_the_column():
    table = {"voltage_V": [0, 1], "current_nA": [3, 4], "sigma_nA": [0, 0.3]}
    curve = read(Curve, {"kind": "dark_jv", "data": table, "relative_sigma": 0.1, "absolute_sigma": 0.4})
    np.testing.assert_allclose(curve.sigma, [0.5e-9, np.sqrt(0.16 + 0.16 + 0.09) * 1e-9])
