"""Traces in time: what the model says to them, the Jacobian, and numbers recovered from noisy ones.

Dots between two contacts with a coarse mesh (32 edges). The steps are as long as their limits allow whatever their
error, so that they do not depend on the device: the model is then a smooth function, whose derivative is exact.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import dot_diode

from invdesign.datasets import model
from invdesign.datasets.curves import Curve, Dataset, LightPulse, TransientAbsorption
from invdesign.errors import InputError
from invdesign.fitting.least_squares import solve
from invdesign.fitting.residuals import Measured, Residuals
from invdesign.fitting.settings import FitterSettings
from invdesign.fitting.uncertainty import linearise
from invdesign.schema import read

LENGTH_S = 1e-5
SWITCHED = np.append(np.geomspace(1e-9, LENGTH_S, 8), LENGTH_S + np.geomspace(1e-8, 2e-5, 6))
DELAYS = np.geomspace(1e-12, 1e-7, 12)


def columns(name, x):
    return {"time_s": tuple(x.tolist()), name: (1.0,) * len(x)}


PULSE = dict(reverse_bias_V=0.5, wavelength_nm=1240.0, irradiance_W_per_cm2=1e-3, relative_sigma=0.02)
PUMP = dict(wavelength_nm=1240.0, fluence_J_per_cm2=1e-5, relative_sigma=0.02)
WARM_HOST = dict(reverse_bias_V=1.0, temperature_K=310.0)
CURVES: dict[str, Curve] = {
    "pulse": LightPulse(data=columns("current_A", SWITCHED), length_s=LENGTH_S, **PULSE),
    "edge": LightPulse(data=columns("relative_change", SWITCHED), length_s=LENGTH_S, **PULSE),
    "bleach": TransientAbsorption(data=columns("relative_exciton_bleach", DELAYS), reverse_bias_V=0.5, **PUMP),
    "host": TransientAbsorption(data=columns("host_bleach_cm3", DELAYS), **WARM_HOST, **PUMP),
}
COUNTS = np.cumsum([len(curve.columns.y) for curve in CURVES.values()])[:-1]


@pytest.fixture(scope="module")
def residuals():
    """Over factors of lifetime, capture time and thickness of the dots' layer, ten per unit of the box."""
    device = dot_diode(edges=(8, 16, 8), series_ohm=300.0, shunt_ohm_cm2=1e6)

    def numbers(device):
        layer = device.layers["layer1"]
        return layer.material.dots.lifetime_s, layer.material.dots.capture_time_s, layer.thickness_nm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "ACCURACY", model.Settings(tolerance=1e9))
        curves = model.Model(CURVES, device)

        def predict(z):
            changed = [number * 10 ** (part - 0.5) for number, part in zip(numbers(device), z, strict=True)]
            found = curves.predict(eqx.tree_at(numbers, device, tuple(changed)))
            parts = [found[name] for name in CURVES]
            return jnp.concatenate([p.values for p in parts]), jnp.concatenate([p.solved for p in parts])

        count = COUNTS[-1] + len(DELAYS)
        nothing = Measured(np.ones(count), np.ones(count), np.zeros(count, bool))
        return Residuals(("lifetime", "capture", "thickness"), predict, nothing)


@pytest.mark.slow
def test_the_jacobian_of_traces_against_central_differences(residuals):
    """Step 1e-5 of a decade: truncation 1e-6 of the derivative by a thickness, as h^2, since steps in time as long as
    they may grow bend a lot; cancellation 1e-7."""
    z, step = np.full(3, 0.5), 1e-5
    found = residuals(z)
    assert not found.failed.any()
    for place in range(3):
        shift = np.eye(3)[place] * step
        differences = (residuals(z + shift).residual - residuals(z - shift).residual) / (2 * step)
        for exact, about in zip(np.split(found.jacobian[:, place], COUNTS), np.split(differences, COUNTS), strict=True):
            np.testing.assert_allclose(exact, about, atol=2e-6 * np.abs(about).max())


@pytest.mark.slow
def test_traces_that_are_relative_agree_with_the_absolute_ones(residuals):
    """(I - I_before)/(I_end - I_before) is the current but for two numbers, begins at zero and is one at the end of the
    pulse; a bleach over its first point begins with one. 1e-9: round-off."""
    pulse, edge, bleach, host = np.split(residuals(np.full(3, 0.5)).values, COUNTS)
    slope, level = np.polyfit(edge, pulse, 1)
    np.testing.assert_allclose(slope * edge + level, pulse, atol=1e-9 * np.abs(pulse).max())
    assert abs(edge[0]) < 0.05 and edge[7] == 1 and (np.diff(edge[:8]) > 0).all()
    assert bleach[0] == 1 and bleach[-1] < 0.5 and (host > 0).all()


@pytest.mark.slow
def test_known_numbers_are_recovered_from_noisy_traces(residuals):
    """2 % noise, a start 1.6 times off: within four standard deviations of the truth."""
    truth = np.array([0.5, 0.55, 0.48])
    exact = residuals(truth).values
    sigma = 0.02 * np.abs(exact)
    noisy = exact + sigma * np.random.default_rng(5).standard_normal(len(exact))
    measured = residuals.of(Measured(noisy, sigma, np.zeros(len(exact), bool)))
    best = solve(measured, np.array([0.7, 0.4, 0.6]), FitterSettings())
    assert best.converged and best.evaluation.chi2 < 90  # 52 points, 3 parameters: chance 4e-4
    assert np.all(np.abs(best.z - truth) < 4 * linearise(best, [False] * 3, FitterSettings()).sigma)


TRACE = {"data": {"time_ns": [1, 2], "relative_change": [0.1, 0.2]}, "relative_sigma": 0.1, "reverse_bias_V": 0}
TRACE |= {"wavelength_nm": 975, "irradiance_W_per_cm2": 1e-4, "kind": "light_pulse"}
WRONG = {
    "before": (TRACE | {"data": {"time_ns": [0, 1], "current_A": [1, 2]}}, "time_s=0: must be above 0, when the light"),
    "no end": (TRACE, "length_s is missing: relative_change is 1 at the end of the pulse"),
    "unit": (
        TRACE | {"data": {"time_min": [1, 2], "current_A": [1, 2]}},
        "time_min: the unit of this column must be one of those in time_s, time_ms",
    ),
    "no fluence": (
        {key: TRACE[key] for key in ("relative_sigma", "reverse_bias_V", "wavelength_nm")}
        | {"kind": "transient_absorption", "data": {"time_ps": [1, 2], "exciton_bleach": [0.2, 0.1]}},
        "curves.a.fluence_J_per_cm2 is missing",
    ),
    "reference": (
        {key: TRACE[key] for key in ("relative_sigma", "reverse_bias_V", "wavelength_nm")}
        | {"kind": "transient_absorption", "fluence_J_per_cm2": 1e-5, "reference_s": 1e-12}
        | {"data": {"time_ps": [1, 2], "exciton_bleach": [0.2, 0.1]}},
        "curves.a: reference_s=1e-12: must be null for exciton_bleach, which is not relative",
    ),
}


@pytest.mark.parametrize(("mapping", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_traces(mapping, message):
    with pytest.raises(InputError) as error:
        read(Dataset, {"curves": {"a": mapping}})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_times_are_read_in_their_units():
    curve = read(Curve, TRACE | {"length_s": 1e-6})
    np.testing.assert_allclose(curve.columns.x, [1e-9, 2e-9])
    assert curve.ask.time_s.tolist() == [1e-9, 2e-9, 1e-6]
    almost = read(Curve, TRACE | {"length_s": 2e-9})  # which 2 ns are not, to the last digit
    assert len(almost.ask.time_s) == 2
