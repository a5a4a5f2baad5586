"""Fermi-Dirac statistics: more carriers than a band has states at its edge."""

import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import (
    HALIDE,
    SILICON,
    SPIRO,
    TITANIA,
    Solver,
    degenerate_diode,
    lifetimes,
    material,
    modulated,
    stack,
)
from scipy.integrate import quad
from scipy.optimize import brentq

from invdesign.analyses.illumination import absorption, photon_flux
from invdesign.analyses.transient import transient_absorption
from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.illumination import Monochromatic
from invdesign.processes.statistics import degeneracy, neutral_level
from invdesign.solve.stepping import TransientStatus

STATISTICS = {"carrier_statistics": "fermi_dirac"}


def half(level):
    """F_1/2 by quadrature, with energies as squares, for which the integrand is smooth."""

    def of_root(x):
        return 4 / np.sqrt(np.pi) * x**2 / (1 + np.exp(np.minimum(x**2 - level, 700.0)))

    return quad(of_root, 0.0, np.sqrt(max(level, 0.0) + 60.0), epsabs=0.0, epsrel=1e-11, limit=500)[0]


def level_of(filling):
    """eta at which F_1/2 is this."""
    return brentq(lambda level: half(level) - filling, -40.0, 200.0, xtol=1e-12)


@pytest.mark.parametrize("level", [-30.0, -10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 12.0, 30.0])
def test_the_density_is_that_of_a_parabolic_band(level):
    """n/N at eta against the integral over energies: 0.4 %, the error that the approximation is known for.

    d ln n/d eta against differences of the integral: 1 %, since the error changes within a few kT.
    """
    found = degeneracy(jnp.full(2, level))
    np.testing.assert_allclose(np.exp(level + found.log_free), half(level), rtol=4e-3)
    slope = np.log(half(level + 1e-3) / half(level - 1e-3)) / 2e-3
    np.testing.assert_allclose(found.slope, slope, rtol=0.01)


def test_the_voltage_built_into_a_degenerate_junction():
    """Silicon, 3e20 donors and 1e20 acceptors per cm^3: q V_bi = E_g + kT (eta_n + eta_p), levels by quadrature.

    0.03 kT of 54: 0.4 % of the densities over the slopes of ln n, 0.25 and 0.27. Boltzmann's is 6.4 kT lower.
    """
    n = material(SILICON, donor_density_cm3=3e20, **STATISTICS)
    p = material(SILICON, acceptor_density_cm3=1e20, **STATISTICS)
    solver = Solver(stack((40.0, n), (40.0, n), (40.0, p)))
    built_in = float(solver.rest.state.u[0, 0] - solver.rest.state.u[-1, 0])
    levels = level_of(3e20 / SILICON["conduction_dos_cm3"]) + level_of(1e20 / SILICON["valence_dos_cm3"])
    assert built_in == pytest.approx(SILICON["band_gap_eV"] / float(solver.system.kT) + levels, abs=0.03)


def test_the_neutral_level_of_a_pure_semiconductor_in_the_cold():
    """No doping, a gap of 1800 kT (1.6 eV at 10 K): eta = -E_g/2kT + ln(N_v/N_c)/2, though n is no float64. 1e-12."""
    found = neutral_level(*(jnp.asarray(x) for x in (40.0, 42.0, 1800.0, 0.0, -880.0)))
    assert float(found) == pytest.approx(-899.0, rel=1e-12)


def test_degenerate_carriers_screen_over_the_length_of_thomas_and_fermi():
    """Silicon, 1e21 donors per cm^3 and 1 % less from the middle on: psi - psi(end) ~ exp(-x/L) there, with
    L^2 = eps kT/(q^2 dn/d eta), 0.38 nm; Debye's length would be 0.13 nm.

    1 %: dn/d eta is as good as that, and the mesh has 15 edges to L.
    """
    high, low = (material(SILICON, donor_density_cm3=density, **STATISTICS) for density in (1e21, 0.99e21))
    solver = Solver(stack((2.0, high), (2.0, low), (2.0, low), edges=(40, 80, 40)))
    psi, kT = np.asarray(solver.rest.state.u[:, 0]), float(solver.system.kT)
    x = np.concatenate([[0.0], np.cumsum(np.asarray(solver.system.lengths))])
    inside = (x > 2.05e-7) & (x < 2.8e-7)
    found = -1 / np.polyfit(x[inside], np.log(psi[inside] - psi[-1]), 1)[0]
    level = level_of(0.99e21 / SILICON["conduction_dos_cm3"])
    storage = SILICON["conduction_dos_cm3"] * (half(level + 1e-3) - half(level - 1e-3)) / 2e-3
    permittivity = SILICON["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM
    assert found == pytest.approx(np.sqrt(permittivity * kT / (ELEMENTARY_CHARGE_C * storage)), rel=0.01)


def test_every_pair_of_a_pump_arrives_in_the_circuit():
    """n-i-p without recombination whose absorber has 1e16 states per cm^3, -0.5 V, 1 uJ/cm^2 at 500 nm: charge = -q *
    absorbed photons, though the pump brings 3 pairs per state. 1e-6: the tails.
    """
    forever, few = lifetimes(1e6, 0.0, 0.0), {"conduction_dos_cm3": 1e16, "valence_dos_cm3": 1e16}
    kinds = (TITANIA, 0.0), (HALIDE | few, 0.1), (SPIRO, 0.0)
    layers = [material(numbers, forever, k=k, **STATISTICS) for numbers, k in kinds]
    cell = stack(*zip((40.0, 300.0, 40.0), layers, strict=True), edges=(8, 16, 8))
    found = transient_absorption(cell, -0.5, 500.0, 1e-6, jnp.geomspace(1e-12, 1e-4, 8))
    assert (found.transient.status == TransientStatus.REACHED).all()
    wavelength = jnp.array([500.0])
    pairs = float(jnp.sum(absorption(cell, wavelength).light(photon_flux(wavelength, jnp.asarray(1e-6))).host))
    assert found.at_once[1] > 3e16
    np.testing.assert_allclose(-float(found.transient.charge_C[-1]), ELEMENTARY_CHARGE_C * pairs, rtol=1e-6)


def test_a_small_sinusoid_gives_the_small_signal_response():
    """Dots among degenerate carriers at -0.5 V, 0.1 mW/cm^2 at 1240 nm, 1 % of it modulated at 10 MHz: amplitude and
    phase in the tenth period are those of the linearised device. 1e-3: as for other dots.
    """
    lit = Monochromatic(wavelength_nm=jnp.asarray(1240.0), irradiance_W_per_cm2=jnp.asarray(1e-4))
    device = degenerate_diode(60.0, edges=(8, 16, 8), illumination=lit, series_ohm=300.0, shunt_ohm_cm2=1e6)
    measured, expected = modulated(device, 1e7)
    assert abs(measured - expected) < 1e-3 * abs(expected)
