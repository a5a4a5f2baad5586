"""Devices simple enough for a formula."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import SILICON, Solver, lifetimes, material, nip_cell, silicon_diode, stack

from invdesign.analyses import checks
from invdesign.analyses.illumination import absorption
from invdesign.analyses.response import bandwidth, quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Surface
from invdesign.solve.assembly import edge_states

READ = 40


def spectrum(solver, state, frequencies):
    small = small_signal(solver.system, state, solver.dark)
    optics = absorption(solver.device, jnp.array([500.0, 1240.0]))
    frequency = jnp.asarray(frequencies, jnp.float64)
    return checks.spectrum(small, frequency, jnp.full(len(frequencies), READ), optics)


def test_capacitance_of_a_depletion_layer():
    """One-sided silicon n-p+ junction, 1e16 / 1e18 cm^-3, -1 to -4 V: d(1/C^2)/dV = -2/(q eps A^2) (1/N_D + 1/N_A).

    1 %: the edge of the depletion layer is a few Debye lengths wide, and the mesh has 80 edges.
    """
    solver = Solver(silicon_diode())
    inverse_squares = []
    for voltage in (-1.0, -4.0):
        admittance = spectrum(solver, solver.at(voltage), [1e4]).admittance[0]
        inverse_squares.append(float((2 * jnp.pi * 1e4 / jnp.imag(admittance)) ** 2))
    slope = (inverse_squares[1] - inverse_squares[0]) / 3.0
    permittivity = SILICON["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM
    expected = 2 / (ELEMENTARY_CHARGE_C * permittivity) * (1e-16 + 1e-18)
    np.testing.assert_allclose(slope, expected, rtol=0.01)


def test_current_and_noise_of_a_short_diode():
    """Silicon n-p+ diode, 1 s lifetimes (base << diffusion length), 0.35 V: Shockley's current, and its shot noise.

    J = q n_i^2 (D_p/(N_D W_n) + D_n/(N_A W_p)) expm1(V/kT), W without the depletion layer (0.2 um of 2 um, known to a
    few per cent): 2 %. S_I = 2q (I + 2 I_0) of two opposite Poisson streams: 3e-3, as the base follows the voltage.
    """
    solver = Solver(silicon_diode(tau=1.0, edges=(80, 80, 40)))
    voltage, kT = 0.35, float(solver.system.kT)
    state = solver.at(voltage)
    current = float(checks.terminal_current(solver.system, state, solver.dark))
    ni2 = SILICON["conduction_dos_cm3"] * SILICON["valence_dos_cm3"] * np.exp(-SILICON["band_gap_eV"] / kT)
    built_in = kT * np.log(1e16 * 1e18 / ni2)
    permittivity = SILICON["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM
    depleted = np.sqrt(2 * permittivity * (built_in - voltage - 2 * kT) / (ELEMENTARY_CHARGE_C * 1e16))
    gummel = 400 * kT / (1e16 * (2e-4 - depleted)) + 1000 * kT / (1e18 * 0.5e-4)
    saturation = ELEMENTARY_CHARGE_C * ni2 * gummel
    np.testing.assert_allclose(current, saturation * np.expm1(voltage / kT), rtol=0.02)
    noise = float(spectrum(solver, state, [1.0]).noise[0])
    own_saturation = current / np.expm1(voltage / kT)
    np.testing.assert_allclose(noise, 2 * ELEMENTARY_CHARGE_C * (current + 2 * own_saturation), rtol=3e-3)


@pytest.mark.parametrize(("device", "voltage"), [(silicon_diode, -1.5), (nip_cell, -1.0)], ids=["p-n", "n-i-p"])
def test_shot_noise_of_a_saturated_junction(device, voltage):
    """Reverse-biased diodes without dots, |V| > 30 kT/q, 0 Hz: S_I = 2qI. 1e-3: generation feels few carriers."""
    solver = Solver(device())
    fano, independent = checks.fano_factors(solver.system, solver.at(voltage), solver.dark)
    np.testing.assert_allclose(float(fano), 1.0, rtol=1e-3)
    np.testing.assert_allclose(float(independent), 1.0, rtol=1e-3)


def test_space_charge_limited_current():
    """n+ / i / n+ of 50 / 1000 / 50 nm, electrons only, at 160 V: Mott and Gurney's J = 9/8 eps mu V^2/L^3.

    5 %: the virtual cathode is not at the interface; the excess falls as kT/qV and must be smaller than at 40 V.
    """
    no_holes = SILICON | {"band_gap_eV": 3.0}
    doped = material(no_holes, lifetimes(1.0, 0.0, 0.0), donor_density_cm3=1e19)
    intrinsic = material(no_holes, lifetimes(1.0, 0.0, 0.0))
    solver = Solver(stack((50.0, doped), (1000.0, intrinsic), (50.0, doped), edges=(40, 160, 40)))
    permittivity = SILICON["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM
    ratios = []
    for voltage in (40.0, 160.0):
        expected = 9 / 8 * permittivity * SILICON["electron_mobility_cm2_per_Vs"] * voltage**2 / 1e-12
        ratios.append(float(solver.density(voltage)[READ]) / expected)
    assert abs(ratios[1] - 1) < 0.05
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1)


def test_bandwidth_of_a_fast_diode_is_that_of_its_capacitance():
    """n-i-p cell at -1 V into 1 Mohm: response into the load = that into a short / (1 + R Y): f_3dB = 1/(2 pi R C).

    1e-9 for the first, an identity of linear circuits; 1 % for the second: transit is a thousand times faster. The
    figure's derivative by the load, from inside a bracket of width w = 2e-3 in ln f, is that of |response|^2 at the
    crossing over its slope there, to w^2.
    """
    solver = Solver(nip_cell())
    state = solver.at(-1.0)
    small = small_signal(solver.system, state, solver.dark)
    optics = absorption(solver.device, jnp.array([500.0]))
    load = 1e6

    @jax.jit
    def response(frequency, ohm):
        transfer = small.transfer(frequency, ohm)
        return quantum_efficiency(small, transfer, optics)[0], transfer.admittance

    short, admittance = response(jnp.asarray(1e3), jnp.asarray(0.0))
    capacitance = float(jnp.imag(admittance)) / (2 * np.pi * 1e3)
    corner = 1 / (2 * np.pi * load * capacitance)
    short, admittance = response(jnp.asarray(corner), jnp.asarray(0.0))
    loaded, _ = response(jnp.asarray(corner), jnp.asarray(load))
    np.testing.assert_allclose(complex(loaded), complex(short / (1 + load * admittance)), rtol=1e-9)
    low, _ = response(jnp.asarray(1e-3 * corner), jnp.asarray(load))
    np.testing.assert_allclose(abs(complex(loaded)) / abs(complex(low)), np.sqrt(0.5), rtol=0.01)

    def log_power(log_f, log_ohm):
        return jnp.log(jnp.abs(response(jnp.exp(log_f), jnp.exp(log_ohm))[0]) ** 2)

    lowest = 1e-3  # the corner is at 1 Hz

    def log_bandwidth(log_ohm):
        return jnp.log(bandwidth(small, optics, jnp.exp(log_ohm), lowest))

    found, slope = jax.jit(jax.value_and_grad(log_bandwidth))(jnp.log(load))
    np.testing.assert_allclose(np.exp(found), corner, rtol=0.01)
    by_f, by_ohm = jax.grad(log_power, (0, 1))(found, jnp.log(load))
    below = jax.grad(log_power, 1)(jnp.log(lowest), jnp.log(load))
    np.testing.assert_allclose(slope, -(by_ohm - below) / by_f, rtol=1e-5)


def test_mirror_symmetry():
    """The n-i-p cell and its mirror image (layers, anode, light): same current, admittance, photo-response, noise.

    1e-9: the elimination runs from the other side, and the current is read elsewhere.
    """
    device = nip_cell()
    image = dataclasses.replace(device, order=device.order[::-1], anode="left", illuminated_side="right")
    numbers = []
    for one in (device, image):
        solver = Solver(one)
        state = solver.at(-0.5)
        found = spectrum(solver, state, [1e5])
        current = checks.terminal_current(solver.system, state, solver.dark)
        numbers.append([complex(x) for x in (current, found.admittance[0], found.eqe[0, 0], found.noise[0])])
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-9)


def test_a_recombining_plane_in_the_base_of_a_diode():
    """Short silicon n-p+ diode, 0.35 V, 1 s lifetimes, a plane of hole velocity S inside the n base, 1.2 um from the
    junction and 0.8 um from the ohmic contact: J_p = q D p_j/(a + 1/(1/b + S/D)), a without the depletion layer.

    3 % of the ratio to the diode without the plane: the depletion layer is known to a few per cent of a.
    """
    kT = 0.02585
    device = silicon_diode(tau=1.0, edges=(80, 80, 40))
    plane = Surface(electron_velocity_cm_per_s=1e6, hole_velocity_cm_per_s=1e6)
    layer = dataclasses.replace(device.layers["layer0"], right_surface=plane)
    sink = dataclasses.replace(device, layers=device.layers | {"layer0": layer})
    currents = []
    for one in (device, sink):
        solver = Solver(one)
        flows = solver.density(0.35)
        edges = edge_states(solver.system, solver.at(0.35).u, solver.at(0.35).v)
        holes = solver.system.join([edge.hops.net[1] for edge in edges])
        currents.append(abs(float(holes[150])))
        assert checks.spread(flows) < 1e-9
    ni2 = SILICON["conduction_dos_cm3"] * SILICON["valence_dos_cm3"] * np.exp(-SILICON["band_gap_eV"] / kT)
    built_in = kT * np.log(1e16 * 1e18 / ni2)
    permittivity = SILICON["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM
    depleted = np.sqrt(2 * permittivity * (built_in - 0.35 - 2 * kT) / (ELEMENTARY_CHARGE_C * 1e16))
    diffusion, a, b = 400 * kT, 1.2e-4 - depleted, 0.8e-4
    expected = (a + b) / (a + 1 / (1 / b + 1e6 / diffusion))
    np.testing.assert_allclose(currents[1] / currents[0], expected, rtol=0.03)
