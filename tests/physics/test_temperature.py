"""How materials and devices change with temperature."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sample_devices import HALIDE, SILICON, dot_diode, lifetimes, material, nip_cell, silicon_diode, stack

from invdesign.analyses.operating_point import operate
from invdesign.constants import BOLTZMANN_EV_PER_K

LAWS = {"gap_slope_eV_per_K": -2.5e-4, "mobility_exponent": 2.3}


def test_saturation_current_of_a_junction_follows_its_law():
    """Short silicon n-p+ diode at 0.35 V, 285 and 315 K: J ~ T^(3 - m) kT exp(-E_g/kT) expm1(V/kT), since n_i^2 ~ T^3
    exp(-E_g/kT) and D = kT mu ~ kT T^-m.

    1 % of a ratio of about 20: the depletion layer, and with it the width of the base, changes with temperature too.
    """
    kind = material(SILICON, lifetimes(1.0, 0.0, 0.0), donor_density_cm3=1e16, **LAWS)
    other = material(SILICON, lifetimes(1.0, 0.0, 0.0), acceptor_density_cm3=1e18, **LAWS)
    device = stack((800.0, kind), (1200.0, kind), (500.0, other))
    run = eqx.filter_jit(lambda d, T: operate(dataclasses.replace(d, temperature_K=T), 0.35).current_A)
    found, expected = [], []
    for T in (285.0, 315.0):
        kT, gap = BOLTZMANN_EV_PER_K * T, SILICON["band_gap_eV"] + LAWS["gap_slope_eV_per_K"] * (T - 300)
        found.append(float(run(device, jnp.array(T))))
        expected.append(T ** (3 - LAWS["mobility_exponent"]) * kT * np.exp(-gap / kT) * np.expm1(0.35 / kT))
    np.testing.assert_allclose(found[1] / found[0], expected[1] / expected[0], rtol=0.01)


def test_nothing_changes_at_the_temperature_that_numbers_are_given_at():
    """300 K: the numbers of a material with temperature laws are those without, to round-off; both edges share a shift.

    1e-12: logarithms and powers of T/300.
    """
    plain, lawful = material(HALIDE), material(HALIDE, **LAWS)
    kT = jnp.asarray(BOLTZMANN_EV_PER_K * 300.0)
    for one, two in zip(*(vars(m.bulk(kT)).values() for m in (plain, lawful)), strict=True):
        if hasattr(one, "shape"):
            np.testing.assert_allclose(one, two, rtol=1e-12)
    cold, warm = lawful.bulk(jnp.asarray(BOLTZMANN_EV_PER_K * 275.0)), lawful.bulk(kT)
    midgap = [bulk.electron_affinity + bulk.band_gap / 2 for bulk in (cold, warm)]
    np.testing.assert_allclose(*midgap, rtol=1e-12)


def test_an_activated_leakage_freezes_out():
    """Shunt of 1 Mohm cm^2 with 0.5 eV, from 300 to 275 K: conductance exp(-E (1/kT - 1/kT_0)), exactly."""
    device = nip_cell(shunt_ohm_cm2=1e6)
    where = lambda d: d.terminals.shunt.activation_energy_eV  # noqa: E731
    device = eqx.tree_at(where, device, jnp.asarray(0.5))
    colder = dataclasses.replace(device, temperature_K=jnp.asarray(275.0))
    expected = np.exp(-0.5 / BOLTZMANN_EV_PER_K * (1 / 275 - 1 / 300))
    ratio = float(colder.shunt_conductance_S_per_cm2 / device.shunt_conductance_S_per_cm2)
    np.testing.assert_allclose(ratio, expected, rtol=1e-12)


def test_a_cold_device_with_dots_is_solved():
    """Dot diode at 250 to 350 K, -1 V: converged, and the dark current grows with temperature all the way."""
    run = eqx.filter_jit(lambda d: (lambda p: (p.status, p.current_A))(operate(d, -1.0)))
    currents = []
    for T in (250.0, 275.0, 300.0, 350.0):
        status, current = run(dataclasses.replace(dot_diode(edges=(8, 16, 8)), temperature_K=jnp.asarray(T)))
        assert int(status) == 0
        currents.append(-float(current))
    assert np.all(np.diff(currents) > 0)


def test_silicon_diode_by_temperature_has_a_derivative():
    """d ln J/dT at 0.35 V of the silicon diode: reverse mode = central differences, 1e-6."""

    device = silicon_diode()
    log_current = jax.jit(lambda T: jnp.log(operate(dataclasses.replace(device, temperature_K=T), 0.35).current_A))
    numeric = (log_current(300.05) - log_current(299.95)) / 0.1
    np.testing.assert_allclose(float(jax.grad(log_current)(300.0)), float(numeric), rtol=1e-6)
