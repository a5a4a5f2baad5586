"""Figures of merit of a device under its own light, and of a device behind an amplifier."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import nip_cell

from invdesign.analyses.operating_point import operate
from invdesign.analyses.readout import Amplifier, Noiseless, Readout
from invdesign.constants import BOLTZMANN_EV_PER_K, ELEMENTARY_CHARGE_C
from invdesign.design.constraints import Bandwidth, Bromide, Constraints, DarkCurrent, PeakField
from invdesign.design.grids import WavelengthGrid
from invdesign.design.objectives import BandDetectivity
from invdesign.design.problem import Configuration, DesignProblem
from invdesign.design.variables import Variable
from invdesign.device.illumination import Monochromatic
from invdesign.figures.registry import FIGURES, characterise, evaluate_figures
from invdesign.jobs.optimize import Simulation, contributions
from invdesign.schema import read

NUMBERS = dict(
    voltage_noise_V_per_rtHz=4e-9,
    current_noise_A_per_rtHz=3e-15,
    feedback_ohm=1e7,
    capacitance_F=5e-12,
    temperature_K=290.0,
)
CORNERS = dict(voltage_corner_Hz=1e5, current_corner_Hz=3e4, corner_exponent=1.5)


def test_noise_of_an_amplifier_is_that_of_its_circuit():
    """Device Y, C and R_f at the input of an amplifier of gain 1e12, e_n in series with it, i_n and Nyquist's current.

    Kirchhoff's law at the input and V_out = gain (e_n - V_in) are solved for every source; the outputs add in power,
    and are divided by the transfer from a current. 1e-9: what a finite gain leaves.
    """
    admittance, omega, gain = 2e-7 + 3e-6j, 2 * np.pi * 1e5, 1e12
    feedback, capacitance = 1 / NUMBERS["feedback_ohm"], NUMBERS["capacitance_F"]
    node = admittance + feedback + 1j * omega * capacitance

    def output(current: float, voltage: float) -> float:
        matrix = np.array([[node, -feedback], [gain, 1]])
        return abs(np.linalg.solve(matrix, np.array([current, gain * voltage], complex))[1]) ** 2

    nyquist = np.sqrt(4 * BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * NUMBERS["temperature_K"] * feedback)
    sources = [(NUMBERS["current_noise_A_per_rtHz"], 0.0), (0.0, NUMBERS["voltage_noise_V_per_rtHz"]), (nyquist, 0.0)]
    expected = sum(output(*source) for source in sources) / output(1.0, 0.0)
    found = Amplifier(**NUMBERS).noise(jnp.asarray(admittance), jnp.asarray(omega))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_an_amplifier_without_noise_adds_none():
    """All defaults: no resistor, no sources. The numbers of the YAML arrive, and a resistor alone is Nyquist's."""
    at = (jnp.asarray(1e-6 + 1e-5j), jnp.asarray(1e4))
    assert float(read(Readout, {"kind": "amplifier"}).noise(*at)) == 0.0 == float(Noiseless().noise(*at))
    resistor = read(Readout, {"kind": "amplifier", "feedback_ohm": 1e6})
    kT = 4 * BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * 300
    assert float(resistor.noise(*at)) == pytest.approx(kT / 1e6, rel=1e-12)


def test_the_floor_of_an_amplifier_rises_towards_low_frequencies():
    """S(f) - S(white) = (i_a^2 (f_i/f)^b + e_n^2 |Y + ...|^2 (f_e/f)^b): both sources doubled at their own corner."""
    admittance = jnp.asarray(2e-7 + 3e-6j)
    for name, other in (("voltage", "current"), ("current", "voltage")):
        corner = CORNERS[f"{name}_corner_Hz"]
        silent = {f"{other}_noise_{'V' if other == 'voltage' else 'A'}_per_rtHz": 0.0, "feedback_ohm": None}
        white = Amplifier(**NUMBERS | silent).noise(admittance, jnp.asarray(2 * np.pi * corner))
        there = Amplifier(**NUMBERS | CORNERS | silent).noise(admittance, jnp.asarray(2 * np.pi * corner))
        assert float(there / white) == pytest.approx(2.0, rel=1e-12)
    drift = Amplifier(current_noise_A_per_rtHz=1e-15, current_corner_Hz=1e3, corner_exponent=2.0)
    assert float(drift.noise(admittance, jnp.asarray(2 * np.pi))) == pytest.approx(1e-30 * (1 + 1e6), rel=1e-12)


def test_what_is_reported_goes_by_the_areas_of_its_user(cells):
    """n-i-p cell of 1 cm^2, 0.5 of it lit: with the power of 0.7 cm^2 the responsivity is 5/7 of the true one, and D*
    with the root of 0.7 cm^2 is 5/7 sqrt(0.7); light beside the device is lost; without areas nothing changes."""
    alone, behind = cells[1:]
    assert float(alone.reported_detectivity_Jones[0]) == float(alone.detectivity_Jones[0])
    areas = {"illuminated_area_cm2": 0.5, "power_area_cm2": 0.7, "detectivity_area_cm2": 0.7}
    for c, readout in ((alone, Noiseless(**areas)), (behind, dataclasses.replace(behind.readout, **areas))):
        here = eqx.tree_at(lambda c: c.readout, c, readout)
        share = here.reported_responsivity_A_per_W[0] / c.responsivity_A_per_W[0]
        assert float(share) == pytest.approx(5 / 7, rel=1e-12)
        ratio = here.reported_detectivity_Jones[0] / c.detectivity_Jones[0]
        assert float(ratio) == pytest.approx(5 / 7 * np.sqrt(0.7), rel=1e-12)
        assert float(here.detectivity_Jones[0]) == float(c.detectivity_Jones[0])
    assert float(Noiseless(illuminated_area_cm2=2.0).reported_share(jnp.asarray(1.0))) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def cells():
    """The n-i-p cell at 0.5 V reverse: dark, lit, and lit behind an amplifier."""
    light = Monochromatic(wavelength_nm=500.0, irradiance_W_per_cm2=1e-3)
    dark, lit = nip_cell(), nip_cell(illumination=light)
    wavelength = jnp.array([500.0])
    lit_point = characterise(lit, 0.5, wavelength)
    readout = Amplifier(**NUMBERS)
    return characterise(dark, 0.5, wavelength), lit_point, characterise(lit, 0.5, wavelength, readout=readout)


def test_detectivity_counts_the_readout_and_the_noise_of_the_device_does_not(cells):
    """D* = R sqrt(A)/sqrt(S_device + S_readout); noise, Fano factor and limits are the device's, with or without."""
    _, alone, read_out = ({f.name: float(f.compute(c)) for f in FIGURES} for c in cells)
    total = np.hypot(alone["noise_A_per_rtHz"], read_out["readout_noise_A_per_rtHz"])
    ratio = read_out["detectivity_Jones"] / alone["detectivity_Jones"]
    assert ratio == pytest.approx(alone["noise_A_per_rtHz"] / total, rel=1e-12) and ratio < 0.99
    assert read_out["noise_equivalent_power_W_per_rtHz"] == pytest.approx(total / alone["responsivity_A_per_W"])
    for name in ("noise_A_per_rtHz", "fano", "thermal_limit_A_per_rtHz", "responsivity_A_per_W"):
        assert read_out[name] == pytest.approx(alone[name], rel=1e-12)
    assert alone["readout_noise_A_per_rtHz"] == 0.0
    assert sum(cells[2].noise_by_process.values()) == pytest.approx(total**2, rel=1e-12)


def test_the_dark_current_of_a_lit_device_is_that_without_light(cells):
    """Current, shot limit and Fano factor are those of the operating point, the dark current that of the dark device.

    1e-6: the dark point is reached along another way.
    """
    dark, lit, _ = (evaluate_figures(c) for c in cells)
    assert float(lit["dark_current_A"]) == pytest.approx(float(dark["dark_current_A"]), rel=1e-6)
    assert float(dark["current_A"]) == pytest.approx(float(dark["dark_current_A"]), rel=1e-12)
    assert float(lit["current_A"]) > 1e3 * float(lit["dark_current_A"])
    shot = np.sqrt(2 * ELEMENTARY_CHARGE_C * float(lit["current_A"]))
    assert float(lit["shot_limit_A_per_rtHz"]) == pytest.approx(shot, rel=1e-12)
    assert float(lit["fano"]) == pytest.approx((float(lit["noise_A_per_rtHz"]) / shot) ** 2, rel=1e-12)


def test_the_limit_of_the_dark_current_does_not_see_the_light(cells):
    dark, lit, _ = cells
    family = DarkCurrent(enabled=True, max_A=jnp.abs(dark.dark_current_A))
    (limit,) = family.limits(lit)
    assert float(limit.slack) == pytest.approx(0.0, abs=1e-5)
    failed = dataclasses.replace(lit, dark_current_A=jnp.asarray(jnp.nan))
    assert np.isnan(float(family.limits(failed)[0].slack))


def test_what_pushes_a_variable_adds_up_to_the_gradient_over_a_band():
    """n-i-p cell behind an amplifier, log10 D* averaged from 450 to 650 nm, which absorptance and yield fall through.

    d(mean log10 D*)/dz = d(mean log10 A + mean log10 EQE/A)/dz - sum of the noise parts, by central differences of 1e-4
    against reverse mode: 1e-5 of the largest, the curvature of a logarithm over that step.
    """
    variables = {
        "thickness": Variable(path="device.layers.layer1.thickness_nm", lower=100.0, upper=600.0),
        "bias": Variable(path="reverse_bias_V", lower=0.0, upper=2.0),
    }
    band = WavelengthGrid(start_nm=450.0, stop_nm=650.0, step_nm=100.0)
    off = Constraints(PeakField(False), Bandwidth(False), Bromide(False))
    problem = DesignProblem(
        Configuration(nip_cell(), jnp.asarray(0.5)),
        BandDetectivity(band=band),
        off,
        variables,
        jnp.asarray(50.0),
        tuple(variables),
        Amplifier(**NUMBERS),
    )
    z = np.array([0.4, 0.25])
    gradient = jax.jit(jax.grad(lambda z: problem.evaluate(z, None).objective))(jnp.asarray(z))
    found = contributions(problem, Simulation(problem), z)
    assert {"absorptance", "yield", "noise: readout"} <= set(found["bias"])
    sums = [sum(found[name].values()) for name in variables]
    np.testing.assert_allclose(sums, gradient, rtol=0, atol=1e-5 * float(jnp.max(jnp.abs(gradient))))


def test_the_field_at_an_interface():
    """n-i-p at -1 V: eps F is the same on both sides of an interface, and as large as on a mesh four times as fine.

    1e-10: Poisson's equation of the node there, solved. 1e-3 for the second: order 2 (6e-4 with these edges, a quarter
    of it with half of them); the field of the edge in the absorber is 1 % off.
    """
    displacements = []
    for factor in (1, 4):
        point = operate(nip_cell().refined(factor), -1.0)
        permittivity = np.concatenate([np.full(len(r.lengths), r.bulk.permittivity) for r in point.system.regions])
        fields = np.asarray(point.end_field_V_per_cm) * permittivity
        at = np.cumsum(point.system.layer_edges)[:-1]
        np.testing.assert_allclose(fields[1, at - 1], fields[0, at], rtol=1e-10)
        displacements.append(fields[0, at])
    np.testing.assert_allclose(displacements[0], displacements[1], rtol=1e-3)
