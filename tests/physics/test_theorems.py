"""Theorems that hold for every device, on every kind of device that the model knows."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import (
    Solver,
    barrier_traps,
    degenerate_diode,
    dot_diode,
    injecting_diode,
    leaky,
    nip_cell,
    silicon_diode,
    traps,
)

from invdesign.analyses import checks
from invdesign.analyses.illumination import absorption, photon_flux
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import LayerLeakage, Schottky, Surface
from invdesign.materials.quantum_dots import DotHopping, MultipleCarriers, Nonlocal, Sphere


def with_faces(device):
    """The absorber's faces capture carriers at 1e3 and 1e4 cm/s."""
    faces = {
        "left_surface": Surface(electron_velocity_cm_per_s=1e3, hole_velocity_cm_per_s=1e4),
        "right_surface": Surface(electron_velocity_cm_per_s=1e4, hole_velocity_cm_per_s=1e3, trap_level_eV=0.2),
    }
    return dataclasses.replace(
        device, layers=device.layers | {"layer1": dataclasses.replace(device.layers["layer1"], **faces)}
    )


def with_blocking_layers_that_leak(device):
    """By some 1e-7 A/cm^2 at equilibrium, either way, and more in reverse."""
    for name, face in (("layer0", "right"), ("layer2", "left")):
        leakage = LayerLeakage(prefactor_A_per_V2=1e-18, critical_field_V_per_cm=4e5, face=face)
        device = eqx.tree_at(lambda d, n=name: d.layers[n].leakage, device, leakage, is_leaf=lambda leaf: leaf is None)
    return device


def with_flicker(device):
    """Mobilities of the absorber and leakage that fluctuate far more than those of real films."""
    return eqx.tree_at(
        lambda d: (d.layers["layer1"].material.hooge_parameter, d.terminals.shunt.flicker_cm2),
        device,
        (jnp.asarray(1.0), jnp.asarray(1e-3)),
    )


DEVICES = {
    "silicon p-n": lambda: silicon_diode(area_cm2=0.01),
    "n-i-p": lambda: nip_cell(),
    "n-i-p with shunt, series resistance and 1/f noise": lambda: with_flicker(
        nip_cell(series_ohm=300.0, shunt_ohm_cm2=1e6)
    ),
    "n-i-p with recombining faces": lambda: with_faces(nip_cell()),
    "n-i-p between metals": lambda: nip_cell(contacts=(Schottky(work_function_eV=4.3), Schottky(work_function_eV=4.8))),
    "dots": lambda: dot_diode(),
    "dots, shunt and series resistance": lambda: dot_diode(4.8, 0.15, series_ohm=1e3, shunt_ohm_cm2=1.4e7),
    "n-i-p whose layers leak in the field": lambda: leaky(nip_cell(), 1e6, 1e10, 1e6),
    "dots between layers that leak": lambda: with_blocking_layers_that_leak(dot_diode(series_ohm=100.0)),
    "dots of two sizes in two local fields": lambda: dot_diode(
        sizes=2, dots={"field_classes": 2, "field_dispersion": 0.25}
    ),
    "dots that bind excitons, a tenth of them with traps": lambda: dot_diode(
        traps=traps(0.1), dots={"exciton_binding_eV": 0.06}
    ),
    "dots, carriers land behind the barrier of the near field": lambda: dot_diode(
        absorber_nm=60.0, series_ohm=1e3, tunnelling=Nonlocal(), dots={"geometry": Sphere(barrier="near_field")}
    ),
    "dots between metals that inject, by way of traps too": lambda: injecting_diode(traps=barrier_traps()),
    "dots with two places for each carrier": lambda: dot_diode(dots={"multiple_carriers": MultipleCarriers()}),
    # a shunt, without which |Y|/Re Y is 3e5 at 1 Hz and round-off in the layers hides Re Y, whatever the statistics
    "dots of two sizes, carriers hop between them": lambda: dot_diode(
        sizes=2, dots={"hopping": DotHopping()}, shunt_ohm_cm2=3e10
    ),
    "dots among degenerate carriers": lambda: degenerate_diode(shunt_ohm_cm2=3e10),
}


@pytest.fixture(scope="module", params=DEVICES, ids=list(DEVICES))
def bench(request):
    return Solver(DEVICES[request.param]())


@pytest.fixture(scope="module")
def optics(bench):
    return absorption(bench.device, jnp.array([500.0, 1240.0]))


@pytest.fixture(scope="module")
def lit(optics):
    """1 mW/cm^2 at 500 nm and at 1240 nm."""
    return optics.light(photon_flux(optics.wavelength_nm, jnp.asarray(1e-3)))


MOST_POINTS = 21


def spectrum(bench, state, light, optics, points):
    """Numbers at up to `MOST_POINTS` pairs of a frequency and an edge; always that many are computed, so that one
    compiled program serves all tests.
    """
    repeated = [*points, *[points[-1]] * (MOST_POINTS - len(points))]
    frequency, edge = (jnp.asarray(np.array(column)) for column in zip(*repeated, strict=True))
    small = small_signal(bench.system, state, light)
    found = checks.spectrum(small, frequency.astype(float), edge, optics, bench.device.terminals.shunt)
    return jax.tree.map(lambda values: values[: len(points)], found)


def test_every_process_is_balanced_at_equilibrium(bench):
    """Any device, dark, 0 V: |r_f - r_b|/(r_f + r_b) = 0 for every process. 1e-12: thousands of roundings of a rate."""
    worst = checks.detailed_balance(bench.system, bench.rest.state, bench.dark)
    assert {name: float(value) for name, value in worst.items() if value > 1e-12} == {}


def test_equilibrium_is_found_again_from_bias(bench):
    """Any device, walked to -1 V and back to 0 V: all processes are balanced again, to the same round-off."""
    state = bench.at(-1.0)
    outcome = checks.travel(bench.system, state, bench.target(-1.0), bench.target(0.0))
    worst = checks.detailed_balance(bench.system, outcome.state, bench.dark)
    assert {name: float(value) for name, value in worst.items() if value > 1e-12} == {}


def test_there_is_no_current_at_equilibrium(bench):
    """Any device, dark: J(0 V) = 0. 1e-9 of the current at 50 mV reverse, which itself is tiny."""
    rest = checks.current_densities(bench.system, bench.rest.state, bench.dark)
    assert jnp.max(jnp.abs(rest)) <= 1e-9 * jnp.max(jnp.abs(bench.density(-0.05)))


@pytest.mark.parametrize("voltage", [-0.05, -1.0, 0.2])
def test_the_dark_current_is_the_same_at_all_edges(bench, voltage):
    """Any device, dark: div J = 0. 1e-9: the float64 traps that spread J by orders of magnitude are far above."""
    assert checks.spread(bench.density(voltage)) < 1e-9


def test_the_photocurrent_is_the_same_at_all_edges(bench, optics, lit):
    """Any device at -0.5 V, lit: current and small-signal photo-response read on eight edges. 1e-9 as in the dark."""
    state = bench.at(-0.5, lit)
    assert checks.spread(checks.current_densities(bench.system, state, lit)) < 1e-9
    edges = np.linspace(0, bench.system.nodes - 2, 8).astype(int)
    for frequency in (1.0, 1e6):
        found = spectrum(bench, state, lit, optics, [(frequency, edge) for edge in edges])
        assert checks.spread(found.eqe) < 1e-9


def test_generation_minus_recombination_leaves_through_the_contacts(bench, lit):
    """Any device at -0.5 V, lit: sum of (G - R) inside = flux out, for both carriers. 1e-10 of the larger one."""
    assert jnp.max(checks.carrier_budget(bench.system, bench.at(-0.5, lit), lit)) < 1e-10


@pytest.mark.parametrize(("edge", "allowance"), [(40, 1), (10, 100), (70, 100)])
def test_noise_at_equilibrium_is_that_of_nyquist(bench, optics, edge, allowance):
    """Any device, dark, 0 V, 1 Hz to 1 GHz, read in every layer: S_I = 4kT Re Y.

    An exact theorem of the discrete equations; allowed is 1e-6 of Re Y plus 1e-13 of |Y|, what round-off in a
    capacitive device leaves of Re Y at 1 Hz. Read in a doped layer Re Y (not S_I) loses two digits more there.
    """
    found = spectrum(bench, bench.rest.state, bench.dark, optics, [(f, edge) for f in np.logspace(0, 9, 7)])
    assert jnp.min(jnp.real(found.admittance)) > 0
    assert jnp.max(checks.fluctuation_dissipation(bench.system, found)) < allowance


def test_what_a_junction_collects_is_what_it_injects(bench):
    """Any device in the dark at 0 V: the share of the pairs generated at x that reach the circuit into a short is
    d(phi_p - phi_n)(x)/dV, the part of a small voltage that splits the quasi-Fermi levels there.

    The reciprocity of Donolato (DOI 10.1063/1.95654) and Rau (DOI 10.1103/PhysRevB.76.085303) in its general form,
    Onsager's symmetry of all jumps about equilibrium: exact for the discrete equations, with dots, blocking layers,
    shunt and series resistance, whatever the field. The left side is the adjoint of the one-way jumps, the right side
    the derivative of the stationary state. 1e-10: round-off of both linear solutions, which leaves 2e-13.
    """
    collected = checks.collection(bench.system, bench.rest.state, bench.dark)
    injected = checks.splitting(bench.system, bench.rest, bench.target(0.0))
    np.testing.assert_allclose(collected, injected, rtol=0, atol=1e-10)
    assert jnp.max(collected) > 0.99


def test_minority_carriers_under_forward_bias_show_the_collection_probability():
    """Silicon n | p+ of 2 and 0.5 um, 1e16 / 1e18 cm^-3, holes with a diffusion length of 0.7 um in the field-free n
    base: at 0.2 V in the dark (p - p_0)(x) / (p - p_0)(x_j) = f_c(x)/f_c(x_j) = sinh(x/L)/sinh(x_j/L), x from the ohmic
    contact and x_j inside the base, ten Debye lengths before the depletion layer (Donolato, Rau as above).

    1e-4 for the first, where the bias moves the tail of the depletion layer (3e-5); 4e-3 for the closed form, where the
    mesh is up to 0.1 um wide (2e-3).
    """
    tau_hole = 4.76e-10
    solver = Solver(silicon_diode(tau=tau_hole / 2, edges=(40, 40, 20)))
    rest, biased = solver.rest.state, solver.at(0.2)
    x = np.concatenate([[0.0], np.cumsum(np.asarray(solver.system.lengths))])
    base = (x > 0) & (x < 1.3e-4)
    # ln(p/p_0): the hole quasi-Fermi level moves by what the voltage and its own unknown do, against the potential
    holes = np.expm1(np.asarray(biased.u[:, 2] + biased.v - rest.u[:, 2] - biased.u[:, 0] + rest.u[:, 0]))[base]
    injected = holes / holes[-1]
    collected = np.asarray(checks.collection(solver.system, rest, solver.dark))[base]
    np.testing.assert_allclose(injected, collected / collected[-1], rtol=1e-4)
    length = np.sqrt(float(solver.system.kT) * 400 * tau_hole)
    expected = np.sinh(x[base] / length) / np.sinh(x[base][-1] / length)
    np.testing.assert_allclose(injected, expected, rtol=4e-3)


@pytest.mark.parametrize("voltage", [0.0, -1.0, 0.3])
def test_the_admittance_at_zero_frequency_is_the_slope_of_the_current(bench, optics, voltage):
    """Any device: Re Y(0) of the one-way jumps = dI/dV of the stationary equations (dots by elimination).

    1e-7: round-off."""
    outcome = checks.travel(bench.system, bench.rest.state, bench.target(0.0), bench.target(voltage))
    slope = checks.dc_conductance(bench.system, outcome, bench.target(voltage))
    found = spectrum(bench, outcome.state, bench.dark, optics, [(0.0, 40)])
    np.testing.assert_allclose(float(jnp.real(found.admittance[0])), float(slope), rtol=1e-7)


def test_a_weak_light_gives_the_linear_response(bench, optics):
    """Any device at -0.5 V: I_lit - I_dark of finite light = the adjoint's response. 1e-6: curvature, lost digits."""
    state = bench.at(-0.5)
    linear = spectrum(bench, state, bench.dark, optics, [(0.0, 40)]).eqe[0].real
    before = checks.terminal_current(bench.system, state, bench.dark)
    for index, expected in enumerate(np.asarray(linear)):
        if abs(expected) < 1e-9:
            continue  # no absorption
        estimates = []
        for irradiance in 10.0 ** np.arange(-12, -7):
            flux = jnp.zeros(2).at[index].set(photon_flux(optics.wavelength_nm[index], jnp.asarray(irradiance)))
            light = optics.light(flux)
            outcome = checks.travel(bench.system, state, bench.target(-0.5), bench.target(-0.5, light))
            change = checks.terminal_current(bench.system, outcome.state, light) - before
            estimates.append(-change / (ELEMENTARY_CHARGE_C * bench.system.area_cm2 * flux[index]))
        np.testing.assert_allclose(float(checks.settled(jnp.stack(estimates))[0]), expected, rtol=1e-6)


def test_the_photo_response_is_a_low_pass(bench, optics):
    """Any device at -0.5 V: |response(f)| <= |response(0)|. 2 %: a real network of jumps may overshoot slightly.

    A field-enhanced emission with a wrong backward rate passes all other theorems and peaks at 2.5.
    """
    state = bench.at(-0.5)
    points = [(0.0, 40), *((f, 40) for f in np.logspace(0, 10, 20))]
    response = jnp.abs(spectrum(bench, state, bench.dark, optics, points).eqe)
    assert jnp.all(response[1:] <= 1.02 * response[0])
