"""1/f noise of the device, which needs a current, against closed forms."""

import dataclasses

import jax
import numpy as np
import pytest
from sample_devices import SILICON, Solver, lifetimes, material, stack

from invdesign.analyses import checks
from invdesign.analyses.noise import LEAKAGE, MOBILITY, noise
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Terminals

ALPHA = 2e-3


@jax.jit
def parts(system, state, light, shunt, frequency_Hz):
    """Noise by process at one frequency, A^2/Hz."""
    small = small_signal(system, state, light)
    return noise(small, small.transfer(frequency_Hz), shunt).by_process


def silicon(donors: float = 0.0, acceptors: float = 0.0):
    numbers = {"donor_density_cm3": donors, "acceptor_density_cm3": acceptors, "hooge_parameter": ALPHA}
    return material(SILICON, lifetimes(1.0, 0.0, 0.0), **numbers)


@pytest.fixture(scope="module")
def bar():
    """n-type silicon, 0.8 + 1.2 + 0.5 um, 1e16 cm^-3, 0.02 cm^2, with 1 Mohm cm^2 beside it."""
    doped = silicon(donors=1e16)
    device = stack((800.0, doped), (1200.0, doped), (500.0, doped), area_cm2=0.02, shunt_ohm_cm2=1e6)
    shunt = dataclasses.replace(device.terminals.shunt, flicker_cm2=3e-9, flicker_exponent=1.2)
    return Solver(dataclasses.replace(device, terminals=Terminals(shunt=shunt)))


def densities(solver, voltage_V, frequency_Hz):
    shunt = solver.device.terminals.shunt
    found = parts(solver.system, solver.at(voltage_V), solver.dark, shunt, frequency_Hz)
    return {name: float(value) for name, value in found.items()}


def test_a_bar_has_the_noise_of_hooge(bar):
    """Uniform bar at 1 mV: S_I = alpha I^2/(f N), N = n L A; the leakage K G^2 V^2/(A f^b).

    1e-3: at the ohmic contacts the field of the current bends nothing, and holes carry 1e-8 of it; what is left is that
    1 mV is not small against kT/q beyond 1e-3 where carriers diffuse.
    """
    found = densities(bar, 1e-3, 10.0)
    current = float(checks.terminal_current(bar.system, bar.at(1e-3), bar.dark))
    carriers = 1e16 * 2.5e-4 * 0.02
    assert found[MOBILITY] == pytest.approx(ALPHA * current**2 / (10.0 * carriers), rel=1e-3)
    leaking = 1e-3 * 0.02 / 1e6
    assert found[LEAKAGE] == pytest.approx(3e-9 * leaking**2 / (0.02 * 10.0**1.2), rel=1e-6)


def test_flicker_falls_with_frequency_grows_with_the_current_and_needs_one(bar):
    """Bar: f^-1 and f^-b between 1 and 100 Hz (1e-9: the response is flat there), V^2, and nothing at 0 V, where the
    currents are round-off: 1e-12 of that at 1 mV."""
    slow, fast, strong, rest = (densities(bar, *at) for at in ((1e-3, 1.0), (1e-3, 100.0), (2e-3, 1.0), (0.0, 1.0)))
    for name, exponent in ((MOBILITY, 1.0), (LEAKAGE, 1.2)):
        assert slow[name] / fast[name] == pytest.approx(100.0**exponent, rel=1e-9)
        assert strong[name] / slow[name] == pytest.approx(4.0, rel=1e-3)
        assert rest[name] < 1e-12 * slow[name]
    assert slow["electron transport"] == pytest.approx(fast["electron transport"], rel=1e-9)


def test_a_short_diode_has_the_noise_of_its_minority_carriers():
    """Silicon n-p+ diode, 1e16 / 1e20 cm^-3, no recombination, 0.35 V: S_I = alpha q D I ln(p_0/p_w)/(f w^2).

    1/f fluctuations of the mobility of holes that diffuse through a base of width w, with p falling linearly from p_0
    to its equilibrium p_w: the integral of alpha J^2/(f p) over w^2 (Kleinpenning 1980, Physica B 98, 289), qV/kT for
    the logarithm. w is that of the current itself, I = q A D p_w expm1(V/kT)/w. 3 %: holes in the edge of the depletion
    layer, a few Debye lengths of 0.04 um in a base of 1.8 um, and the electrons in p+, which are 1e-3 of the current.
    """
    device = stack((800.0, silicon(donors=1e16)), (1200.0, silicon(donors=1e16)), (500.0, silicon(acceptors=1e20)))
    solver, voltage = Solver(device), 0.35
    kT = float(solver.system.kT)
    current = float(checks.terminal_current(solver.system, solver.at(voltage), solver.dark))
    ni2 = SILICON["conduction_dos_cm3"] * SILICON["valence_dos_cm3"] * np.exp(-SILICON["band_gap_eV"] / kT)
    diffusion = 400 * kT
    width = ELEMENTARY_CHARGE_C * diffusion * ni2 / 1e16 * np.expm1(voltage / kT) / current
    assert 1.6e-4 < width < 2e-4
    expected = ALPHA * ELEMENTARY_CHARGE_C * diffusion * current * (voltage / kT) / width**2
    assert densities(solver, voltage, 1.0)[MOBILITY] == pytest.approx(expected, rel=0.03)
