"""Gain: holes that stay in dots while contacts go on to supply electrons. Devices simple enough for a formula.

The host does not recombine, and holds electrons in its few dots by 20 meV, holes by 0.78 eV. A dot that has absorbed a
photon loses its electron to the host with the yield y = e_n/(e_n + k), k the recombination of the exciton. Its hole
ends when an electron is captured and does not leave again: 1/tau = c_n n k/(e_n + k).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import HALIDE, Solver, lifetimes, stack
from scipy.optimize import brentq

from invdesign.analyses import checks
from invdesign.analyses.illumination import Absorption
from invdesign.analyses.noise import noise
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import SmallSignal, small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Device, Injection, Ohmic, Schottky
from invdesign.materials.mixing import MaxwellGarnett
from invdesign.materials.optical import Constant
from invdesign.materials.quantum_dots import Dots, DotsInHost
from invdesign.materials.semiconductor import Semiconductor
from invdesign.solve.assembly import Light, all_dots

HOST: dict[str, Any] = HALIDE | dict(relative_permittivity=10.0, band_gap_eV=1.8)
PERMITTIVITY = 10.0 * VACUUM_PERMITTIVITY_F_PER_CM
MOBILITY, AFFINITY = HOST["electron_mobility_cm2_per_Vs"], HOST["electron_affinity_eV"]


def host(**doping: float) -> Semiconductor:
    return Semiconductor(recombination=lifetimes(1e3, 0.0, 0.0), optical=Constant(n=2.0, k=0.0), **HOST | doping)


def dotted(fraction: float, lifetime_s: float, **doping: float) -> DotsInHost:
    """Dots that fill `fraction` of the volume; with a mass of 10 no carrier tunnels."""
    dots = Dots(
        diameter_nm=4.32,
        volume_fraction=fraction,
        electron_affinity_eV=AFFINITY + 0.02,
        lifetime_s=lifetime_s,
        capture_time_s=5e-7 * fraction,
        barrier_mass=10.0,
        relative_permittivity=10.0,
        misfit_share=0.0,
    )
    return DotsInHost(dots, host(**doping), MaxwellGarnett())


@jax.jit
def spectrum(small: SmallSignal, absorption: Absorption, frequency: Any) -> tuple[Any, Any]:
    """Gain (all light is absorbed) and noise at one frequency."""
    transfer = small.transfer(frequency)
    return quantum_efficiency(small, transfer, absorption)[0], noise(small, transfer).total


class Bench:
    """A device at a voltage, whose dots absorb all light, one as likely as another."""

    def __init__(self, device: Device, voltage_V: float):
        self.solver, self.voltage_V = Solver(device), voltage_V
        self.system, self.dark = self.solver.system, self.solver.dark
        self.kT = float(self.system.kT)
        self.state = self.solver.at(voltage_V)
        self.index = next(i for i, region in enumerate(self.system.regions) if region.bulk.dots is not None)
        start, end = self.system.regions[self.index].runs[0]
        share = jnp.zeros((1, 2, self.system.nodes - 1))
        halves = self.system.halves[:, start:end]
        share = share.at[..., start:end].set(halves / jnp.sum(halves))
        none = jnp.zeros(1)
        self.absorption = Absorption(jnp.ones(1), none, none, {}, {}, jnp.zeros_like(share), share)

    def current(self, light: Light | None = None) -> float:
        """A/cm^2."""
        state = self.state if light is None else self.solver.at(self.voltage_V, light)
        return float(checks.terminal_current(self.system, state, self.dark if light is None else light))

    def linear(self, light: Light | None = None) -> SmallSignal:
        state = self.state if light is None else self.solver.at(self.voltage_V, light)
        return small_signal(self.system, state, self.dark if light is None else light)

    def field(self, edge: int) -> float:
        """Size of the field, V/cm."""
        drop = self.state.u[edge + 1, 0] - self.state.u[edge, 0]
        return abs(float(drop)) * self.kT / float(self.system.lengths[edge])

    def hole(self) -> tuple[float, float]:
        """Yield and lifetime of a hole in the middle of the dots."""
        _, dots = all_dots(self.system, self.state.u, self.state.v, self.dark)[self.index]
        assert dots is not None
        shape = dots.populations.shape[1:]
        rates = (dots.rates.total.capture_n, dots.rates.total.emission_n, dots.rates.recombination)
        capture, emission, recombination = (float(jnp.broadcast_to(rate, shape)[0, shape[1] // 2]) for rate in rates)
        leaves = emission / (emission + recombination)
        return leaves, 1 / (capture * (1 - leaves))

    def bandwidth(self, guess_Hz: float) -> float:
        """Where |response|^2 is half of that at rest."""
        small = self.linear()

        def excess(log_f: float) -> float:
            return float(jnp.abs(spectrum(small, self.absorption, jnp.exp(log_f))[0]) ** 2) / rest - 0.5

        rest = float(jnp.abs(spectrum(small, self.absorption, jnp.asarray(0.0))[0]) ** 2)
        return float(np.exp(brentq(excess, np.log(guess_Hz / 30), np.log(guess_Hz * 30), xtol=1e-6)))


# --- a photoconductor ----------------------------------------------------------------------------------------------

LENGTH_CM, VOLTAGE, DONORS = 2e-4, 1.0, 1e16


@pytest.fixture(scope="module")
def photoconductor():
    """2 um of an n-type host with dots, 1e16 cm^-3, between two ohmic contacts at 1 V: uniform field and density."""
    film = dotted(1e-4, 3e-10, donor_density_cm3=DONORS)
    return Bench(stack((LENGTH_CM * 1e7, film), edges=(200,)), VOLTAGE)


def screening(kT: float) -> float:
    """Sum of the lengths, up and down the field, over which a contact screens a charge near it, over the film's.

    A fixed charge rho shows up as electrons dn where (kT/q) dn'' + F dn' = (q n/eps)(dn - rho), dn = 0 at a contact: it
    does as rho (1 - exp(-x/l)), with the two roots l of (kT/q)/l^2 -+ F/l = q n/eps.
    """
    field, strength = VOLTAGE / LENGTH_CM, ELEMENTARY_CHARGE_C * DONORS / PERMITTIVITY
    return np.sqrt(field**2 + 4 * kT * strength) / strength / LENGTH_CM


def test_gain_is_the_lifetime_over_the_transit(photoconductor):
    """Photoconductor: gain y tau/t, t = L^2/mu V, less the share of the charge that its contacts screen; cut off as
    1/(1 + i w tau), so that the bandwidth is 1/(2 pi tau) (Rose 1955, DOI 10.1103/PhysRev.97.322).

    0.5 %: electrons that sit in dots (c_n n/e_n = 4e-4), the life of an exciton beside tau (1e-4), and the mesh of 10
    nm against the screening length of 38 nm, (10/38)^2/12 = 0.6 % of the 4 % that is screened.
    """
    bench = photoconductor
    leaves, tau = bench.hole()
    transit = LENGTH_CM**2 / (MOBILITY * VOLTAGE)
    expected = leaves * tau / transit * (1 - screening(bench.kT))
    assert expected > 100
    small = bench.linear()
    for over_corner in (0.0, 0.3, 1.0, 3.0):
        found = spectrum(small, bench.absorption, jnp.asarray(over_corner / (2 * np.pi * tau)))[0]
        np.testing.assert_allclose(complex(found), -expected / (1 + 1j * over_corner), rtol=5e-3)
    np.testing.assert_allclose(bench.bandwidth(1 / (2 * np.pi * tau)), 1 / (2 * np.pi * tau), rtol=5e-3)


def test_noise_of_a_photoconductor(photoconductor):
    """Photoconductor under a weak light: what light adds to the noise is 4 q I g/(1 + w^2 tau^2), g = tau/t and I the
    photocurrent: twice the shot noise of I times its gain, as holes come and go at random (van Vliet 1958, DOI
    10.1109/JRPROC.1958.286839). Contacts screen 3/2 of the share here, the square of their share of I: 2 (l1 + l2)
    less the (l1 + l2)/2 of its square.

    1 %: the approximations of the gain, squared, and a light that adds 1e-4 to the electrons and fills 4e-4 of the
    dots. A photodiode without gain has 2 q I, hundreds of times less.
    """
    bench = photoconductor
    leaves, tau = bench.hole()
    gain = tau * MOBILITY * VOLTAGE / LENGTH_CM**2
    flux = 1e-4 * DONORS * LENGTH_CM / (leaves * tau)
    light = bench.absorption.light(jnp.asarray([flux]))
    photocurrent = bench.current(light) - bench.current()
    screened = screening(bench.kT)
    expected = leaves * flux * ELEMENTARY_CHARGE_C * gain * (1 - screened)
    np.testing.assert_allclose(photocurrent, expected, rtol=5e-3)
    dark, lit = bench.linear(), bench.linear(light)
    for over_corner in (0.0, 1.0, 3.0):
        frequency = jnp.asarray(over_corner / (2 * np.pi * tau))
        before, after = (float(spectrum(small, bench.absorption, frequency)[1]) for small in (dark, lit))
        formula = 4 * ELEMENTARY_CHARGE_C * photocurrent * gain / (1 + over_corner**2)
        share = (1 - 1.5 * screened) / (1 - screened)
        np.testing.assert_allclose(after - before, formula * share, rtol=0.01)


# --- barriers that stored charge moves -----------------------------------------------------------------------------


def largest_product(current: float, capacitance: float, kT: float) -> float:
    """Bound on (gain - 1) times bandwidth, Hz: a stored charge q moves the barrier by at most q/C, and the current over
    it by J q/(C kT), for the time 1/(2 pi f)."""
    return abs(current) / (2 * np.pi * capacitance * kT)


@pytest.mark.parametrize("voltage", [0.4, 0.7])
def test_gain_over_a_barrier_reaches_the_bound(voltage):
    """n+ / i / 20 nm of p with dots / i / n+, i of 300 nm: acceptors make a barrier of 0.7 eV, holes in dots lower it.
    Gain times bandwidth is y J/(2 pi C kT) with C = sum of eps/(d - 2 kT/q F): contacts reach 2 kT/qF into the i layers
    (d phi/dF of Poisson's equation with Boltzmann's electrons). It stays below J/(2 pi C kT) with C of the plates.

    12 %: the layer of dots is 20 nm of 300 thick and C is taken to its face (3 %), and the current over a triangular
    top falls with its fields by kT/(q phi) of what the barrier does (4 %), tau varies over the top (5 %).
    """
    barrier_V, thickness, plane = 0.7, 300e-7, 20e-7
    charge = barrier_V * 2 * PERMITTIVITY / thickness / ELEMENTARY_CHARGE_C
    contact, spacer = (50.0, host(donor_density_cm3=1e19)), (thickness * 1e7, host())
    film = (plane * 1e7, dotted(1e-3, 5e-10, acceptor_density_cm3=charge / plane))
    bench = Bench(stack(contact, spacer, film, spacer, contact, edges=(20, 80, 30, 80, 20)), voltage)
    leaves, tau = bench.hole()
    gain = abs(complex(spectrum(bench.linear(), bench.absorption, jnp.asarray(0.0))[0]))
    product = (gain - 1) * bench.bandwidth(1 / (2 * np.pi * tau))
    depths = [thickness - 2 * bench.kT / bench.field(edge) for edge in (80, 150)]
    capacitance = sum(PERMITTIVITY / depth for depth in depths)
    assert gain > 1000
    np.testing.assert_allclose(product, leaves * largest_product(bench.current(), capacitance, bench.kT), rtol=0.12)
    assert product < largest_product(bench.current(), 2 * PERMITTIVITY / thickness, bench.kT)


def test_gain_through_a_metal_that_injects():
    """n+ / i / 10 nm of dots / i / metal, 200 and 50 nm of i, at 3 V reverse: electrons leave the metal slowly (1e3
    cm/s) over 0.4 eV, so that the current is q v n_metal H(F), F the field at the metal, and its noise is 2qI. A hole
    in the dots, a = 55 of d = 260 nm off, raises F by (q/eps)(1 - a/d): the gain is
    y (1 + tau (J/eps) (1 - a/d) d ln H/dF), far below the bound J d/(2 pi eps kT) of a barrier that all of d moves.

    0.5 % for the current: what comes back to the metal, v H/mu F = 0.2 %. 2 % for the gain: n+ begins 2 kT/qF = 4 nm
    inside the i layer (0.5 %), and some holes leave by themselves (1 %). 1e-3 for 2qI: dots that charge pass it on.
    """
    height, velocity = 0.4, 1e3
    metal = Schottky(
        work_function_eV=AFFINITY + height,
        electron_velocity_cm_per_s=velocity,
        injection=Injection(image_permittivity=6.0),
    )
    layers = ((50.0, host(donor_density_cm3=1e19)), (200.0, host()), (10.0, dotted(1e-3, 5e-11)), (50.0, host()))
    bench = Bench(stack(*layers, edges=(20, 60, 20, 40), contacts=(Ohmic(), metal)), -3.0)
    field, kT = bench.field(bench.system.nodes - 2), bench.system.kT
    barrier = metal.injection.barrier(jnp.asarray(height), bench.system.contact_bulks[1], jnp.ones(()))
    boost, slope = jax.value_and_grad(lambda pull: jnp.log(barrier.enhancement(pull, kT)))(jnp.asarray(field))
    supplied = ELEMENTARY_CHARGE_C * velocity * HOST["conduction_dos_cm3"] * np.exp(-height / bench.kT + float(boost))
    current = -bench.current()
    np.testing.assert_allclose(current, supplied, rtol=5e-3)
    leaves, tau = bench.hole()
    small = bench.linear()
    gain, density = spectrum(small, bench.absorption, jnp.asarray(0.0))
    np.testing.assert_allclose(float(density), 2 * ELEMENTARY_CHARGE_C * current, rtol=1e-3)
    expected = leaves * (1 + tau * current / PERMITTIVITY * (1 - 55 / 260) * float(slope))
    assert expected > 100
    np.testing.assert_allclose(float(jnp.real(gain)), expected, rtol=0.02)
    corner = bench.bandwidth(1 / (2 * np.pi * tau))
    np.testing.assert_allclose(corner, 1 / (2 * np.pi * tau), rtol=0.02)
    assert (float(jnp.real(gain)) - 1) * corner < largest_product(current, PERMITTIVITY / 260e-7, bench.kT)
