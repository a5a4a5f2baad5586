"""Integration in time: late values, the small-signal response, decays and charges in closed form, the order."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import HALIDE, SPIRO, TITANIA, dot_diode, injecting_diode, lifetimes, material, modulated, stack

from invdesign.analyses.illumination import absorption, photon_flux
from invdesign.analyses.operating_point import operate
from invdesign.analyses.small_signal import small_signal
from invdesign.analyses.transient import light_pulse, rise_and_fall_times, transient_absorption
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.illumination import Monochromatic
from invdesign.materials.quantum_dots import Local, Nonlocal
from invdesign.processes.dots import EMPTY
from invdesign.solve.assembly import discretise, no_light, populations
from invdesign.solve.newton import Target
from invdesign.solve.stepping import (
    DEFAULTS as SETTINGS,
    Drive,
    Square,
    TransientStatus,
    at_rest,
    integrate,
    take_step,
)

EDGES = (8, 16, 8)
TIMES = jnp.geomspace(1e-12, 1e-2, 21)


def lit(wavelength=1240.0, irradiance=1e-4):
    return Monochromatic(wavelength_nm=jnp.asarray(wavelength), irradiance_W_per_cm2=jnp.asarray(irradiance))


def photons(device, wavelength, energy):
    """Absorbed by host and dots in each half edge, cm^-2, of an energy per cm^2."""
    wavelength = jnp.array([wavelength])
    return absorption(device, wavelength).light(photon_flux(wavelength, jnp.asarray(energy)))


@pytest.fixture(scope="module")
def dots():
    return dot_diode(edges=EDGES, series_ohm=300.0, shunt_ohm_cm2=1e6)


@pytest.fixture(scope="module")
def switched_on(dots):
    return light_pulse(dots, -0.5, 1240.0, 1e-2, Square(), TIMES).transient


def test_the_late_current_is_the_stationary_one(dots, switched_on):
    """Dots at -0.5 V behind a series resistance, 10 mW/cm^2 switched on: I(10 ms) = I of the lit stationary state.

    1e-7: the tolerance of a step (1e-5) damps out; what is left are tails of the slowest relaxation.
    """
    assert (switched_on.status == TransientStatus.REACHED).all()
    expected = operate(eqx.tree_at(lambda d: d.illumination, dots, lit(irradiance=1e-2)), -0.5).current_A
    np.testing.assert_allclose(float(switched_on.current_A[-1]), float(expected), rtol=1e-7)
    assert abs(float(switched_on.current_A[0])) < 0.5 * abs(float(expected))


def test_conduction_plus_displacement_is_the_same_at_all_edges(switched_on):
    """As above: div(J + dD/dt) = 0 at every time, while the current grows from 0.2 pA to 0.9 mA.

    1e-8 of the current at that time plus 1e-9 of the last one: round-off of the dots' one-way jumps (found: 1e-10).
    """
    flows = np.asarray(switched_on.current_density_A_per_cm2)
    size = np.abs(np.mean(flows, axis=1))
    assert np.all(np.ptp(flows, axis=1) < 1e-8 * size + 1e-9 * size[-1])


def test_a_contact_that_injects_settles_at_the_stationary_current():
    """Dots at -1 V at a metal that injects, 10 mW/cm^2 switched on: as the first two, with the contact's field moving.

    1e-7 and 1e-8 for the same reasons.
    """
    device = injecting_diode(edges=EDGES)
    run = light_pulse(device, -1.0, 1240.0, 1e-2, Square(), TIMES).transient
    assert (run.status == TransientStatus.REACHED).all()
    expected = operate(eqx.tree_at(lambda d: d.illumination, device, lit(irradiance=1e-2)), -1.0).current_A
    np.testing.assert_allclose(float(run.current_A[-1]), float(expected), rtol=1e-7)
    flows = np.asarray(run.current_density_A_per_cm2)
    size = np.abs(np.mean(flows, axis=1))
    assert np.all(np.ptp(flows, axis=1) < 1e-8 * size + 1e-9 * size[-1])


@pytest.mark.parametrize(
    ("frequency", "tunnelling"), [(1e5, Local()), (1e8, Local()), (1e7, Nonlocal())], ids=["slow", "fast", "nonlocal"]
)
def test_a_small_sinusoid_gives_the_small_signal_response(frequency, tunnelling):
    """Dots at -0.5 V, 0.1 mW/cm^2 at 1240 nm, 1 % of it modulated: amplitude and phase of the current in the tenth
    period are those of the linearised device.

    1e-3: the square of the modulation (1e-4), the tolerance of the steps, what is left of the start.
    """
    circuit = {"series_ohm": 300.0, "shunt_ohm_cm2": 1e6}
    device = dot_diode(edges=EDGES, absorber_nm=60.0, tunnelling=tunnelling, illumination=lit(), **circuit)
    measured, expected = modulated(device, frequency)
    assert abs(measured - expected) < 1e-3 * abs(expected)


def test_excitons_decay_exponentially():
    """Dots that exchange nothing with their host (capture in 1 s), 0 V, pumped at 1240 nm: bleach ~ exp(-t/tau).

    2e-4 of it over eight lifetimes: fifty steps of tolerance 1e-5.
    """
    device = dot_diode(edges=EDGES)
    device = eqx.tree_at(lambda d: d.layers["layer1"].material.dots.capture_time_s, device, jnp.ones(()))
    tau = 1 / float(device.bulk("layer1").dots.recombination)
    times = jnp.linspace(0.0, 8.0, 9)[1:] * tau
    found = transient_absorption(device, 0.0, 1240.0, 1e-6, times)
    assert (found.transient.status == TransientStatus.REACHED).all()
    np.testing.assert_allclose(np.asarray(found.dots / found.at_once[0]), np.exp(-np.asarray(times) / tau), rtol=2e-4)


def test_a_pump_fills_dots_by_poissons_law_and_all_excitons_are_collected():
    """Dots at -0.5 V whose excitons live 10 s, host without recombination, 20 uJ/cm^2 at 1240 nm: the charge in the
    circuit is that of the empty dots hit at least once, q sum N P_0 (1 - exp(-photons/N)).

    1e-5: the steps' tolerance; carriers and dots are conserved to round-off in every step, whatever its error.
    """
    device = dot_diode(edges=EDGES)

    def set_to(where, value):
        nonlocal device
        device = eqx.tree_at(where, device, jnp.asarray(value, jnp.float64))

    set_to(lambda d: d.layers["layer1"].material.dots.lifetime_s, 10.0)
    for name in device.layers:
        for rate in ("radiative_coefficient_cm3_per_s", "electron_auger_cm6_per_s", "hole_auger_cm6_per_s"):
            set_to(lambda d, n=name, r=rate: getattr(_recombination(d.layers[n].material), r), 0.0)
        for lifetime in ("electron_lifetime_s", "hole_lifetime_s"):
            set_to(lambda d, n=name, r=lifetime: getattr(_recombination(d.layers[n].material), r), 10.0)
    times = jnp.geomspace(1e-12, 1e-2, 8)
    found = transient_absorption(device, -0.5, 1240.0, 2e-5, times)
    assert (found.transient.status == TransientStatus.REACHED).all()
    rest, light = operate(device, -0.5), photons(device, 1240.0, 2e-5)
    number = rest.system.halves[:, 8:24] * device.bulk("layer1").dots.density
    hits = light.dots[:, 8:24] / number
    assert jnp.max(hits) > 0.1
    empty = populations(rest.system, rest.state.u, rest.state.v, rest.light)[EMPTY, :, 8:24]
    pairs = float(jnp.sum(number * empty * -jnp.expm1(-hits)) + jnp.sum(light.host))
    np.testing.assert_allclose(-float(found.transient.charge_C[-1]), ELEMENTARY_CHARGE_C * pairs, rtol=1e-5)


def _recombination(material):
    return material.host.recombination if hasattr(material, "host") else material.recombination


@pytest.fixture(scope="module")
def cell():
    """Without recombination, and contacts that take one carrier each."""
    forever = lifetimes(1e6, 0.0, 0.0)
    layers = [material(numbers, forever, k=k) for numbers, k in ((TITANIA, 0.0), (HALIDE, 0.1), (SPIRO, 0.0))]
    return stack(*zip((40.0, 300.0, 40.0), layers, strict=True), edges=EDGES)


def test_every_pair_of_a_pump_arrives_in_the_circuit(cell):
    """n-i-p without recombination at -0.5 V, 1 nJ/cm^2 at 500 nm: charge = -q * absorbed photons. 1e-6: the tails."""
    found = transient_absorption(cell, -0.5, 500.0, 1e-9, jnp.geomspace(1e-12, 1e-4, 8))
    assert (found.transient.status == TransientStatus.REACHED).all()
    pairs = float(jnp.sum(photons(cell, 500.0, 1e-9).host))
    np.testing.assert_allclose(-float(found.transient.charge_C[-1]), ELEMENTARY_CHARGE_C * pairs, rtol=1e-6)
    assert found.host_cm3[-1] < 1e-6 * found.at_once[1]


def test_a_hopeless_transient_is_a_status(cell):
    """The pump above at 1e30 J/cm^2: an early end is reported, and the numbers stay finite."""
    found = transient_absorption(cell, -0.5, 500.0, 1e30, jnp.geomspace(1e-12, 1e-4, 8)).transient
    assert (found.status != TransientStatus.REACHED).all()
    assert np.isfinite(np.asarray(found.current_A)).all()


def test_the_order_of_a_step_is_four(cell):
    """n-i-p at -0.5 V, 1 mW/cm^2 switched on, between 0.1 and 0.2 ns: carriers after 2, 4 and 8 equal steps against 64.

    Order 4 halves the step for a 16th of the error; 3.4 allows for relaxations that the step does not resolve.
    """
    system = discretise(cell)
    point = operate(cell, -0.5)
    dark = Target(jnp.asarray(-0.5) / system.kT, no_light(system))
    drive = Drive(dark, Target(jnp.zeros(()), photons(cell, 500.0, 1e-3)), Square())
    begun = eqx.filter_jit(integrate)(system, at_rest(system, point.state, point.light), drive, jnp.array([1e-10]))
    start = jax.tree.map(lambda x: x[0], begun.moment)

    @jax.jit
    def after(steps):
        length = 1e-10 / steps

        def one(_, carry):
            moment, charge, time = carry
            new = take_step(system, drive, moment, time, jnp.asarray(1.0), length, SETTINGS)
            return new.moment, charge + new.charge, time + length

        end, charge, _ = jax.lax.fori_loop(0, steps, one, (start, jnp.zeros(()), jnp.asarray(1e-10)))
        return jnp.append((end.u - start.u)[8:25].ravel(), charge / 1e-13)

    exact = after(64)
    errors = np.asarray([float(jnp.max(jnp.abs(after(steps) - exact))) for steps in (2, 4, 8)])
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 3.4)
    assert errors[-1] < 1e-4


def test_a_capacitor_charges_through_its_load(cell):
    """n-i-p at -0.5 V into 10 Mohm, weak light: rise = fall = ln(9) R C, C = Im Y/omega at 1 Hz.

    1e-2: outputs 0.17 decades apart, between which the rest is taken for an exponential.
    """
    point = operate(cell, -0.5)
    small = small_signal(point.system, point.state, point.light)
    capacitance = float(small.transfer(1.0).admittance.imag) / (2 * np.pi)
    grid = jnp.geomspace(1e-3, 1e2, 31)
    times = jnp.concatenate([grid, grid[-1] + grid])
    found = light_pulse(cell, -0.5, 500.0, 1e-9, Square(0.0, 1e2), times, 1e7)
    assert (found.transient.status == TransientStatus.REACHED).all()
    for time in rise_and_fall_times(found, 0.0, 1e2):
        np.testing.assert_allclose(float(time), np.log(9) * 1e7 * capacitance, rtol=1e-2)


def test_the_derivative_of_a_collected_charge(cell):
    """n-i-p, 1 mW/cm^2 for 0.3 ns: d(charge)/d(ln mobility) in forward mode = central difference.

    1e-4: steps of tolerance 1e-5 whose lengths are held fixed in one and vary in the other.
    """

    def charge(factor):
        device = cell
        for name in ("electron_mobility_cm2_per_Vs", "hole_mobility_cm2_per_Vs"):
            place = partial(lambda d, n: getattr(d.layers["layer1"].material, n), n=name)
            device = eqx.tree_at(place, device, factor * HALIDE[name])
        return light_pulse(device, -0.5, 500.0, 1e-3, Square(), jnp.array([3e-10])).transient.charge_C[0]

    both = jax.jit(lambda factor: jax.jvp(charge, (factor,), (jnp.ones(()),)))
    step = 1e-3
    slope = both(jnp.ones(()))[1]
    np.testing.assert_allclose(slope, (both(1 + step)[0] - both(1 - step)[0]) / (2 * step), rtol=1e-4)
