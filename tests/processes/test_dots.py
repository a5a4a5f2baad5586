"""The four-state machine of a dot."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_machines import KT, exact_populations, site
from sample_devices import dot_diode

from invdesign.processes.dots import DotRates, Exchange, Landing


@pytest.fixture(scope="module")
def dots():
    return dot_diode().layers["layer1"].material.bulk(jnp.asarray(KT)).dots


def populations_by_exact_elimination(rates):
    """Rational arithmetic: the null vector of the master equation has all its digits."""
    a, en, b, ep, k, g0, light = (Fraction(rate) for rate in rates)
    electrons, holes = (((0, 1, a), (1, 0, en), (2, 3, a), (3, 2, en)), ((0, 2, b), (2, 0, ep), (1, 3, b), (3, 1, ep)))
    return exact_populations(4, [*electrons, *holes, (3, 0, k), (0, 3, g0 + light)])


@pytest.mark.parametrize("seed", range(12))
def test_populations_of_any_rates(dots, seed):
    """One dot, seven rates over 30 decades: stationary populations = exact elimination in rational arithmetic.

    1e-13 of each population, also of one that is 1e-25: the elimination of states has no subtraction.
    """
    rates = [float(rate) for rate in 10.0 ** np.random.default_rng(seed).uniform(-15, 15, 7)]
    numbers = [jnp.asarray(rate) for rate in rates]
    found = dots.stationary(site(1.0, 1.0, 2.0, 1e5), DotRates(Exchange(*numbers[:4]), None, *numbers[4:]))[0]
    exact = [float(p) for p in populations_by_exact_elimination(rates)]
    np.testing.assert_allclose(np.asarray(found), exact, rtol=1e-13)


@pytest.mark.parametrize("field", [0.0, 1e3, 1e5, 5e5])
@pytest.mark.parametrize("split", [-20.0, 0.0, 15.0])
def test_detailed_balance_of_the_cycles(dots, split, field):
    """One dot in the dark: forward over backward rates of 0 -> e -> X -> 0 multiply to exp(affinity), at any field.

    1e-11: round-off of exponents of order 40. With it no cycle can do work at equilibrium.
    """
    host = dot_diode().layers["layer1"].material.host.bulk(jnp.asarray(KT))
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    here = site(log_ni2 / 2 + 3.0, log_ni2 / 2 - 3.0 + split, log_ni2, field)
    r = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    forward = jnp.log(r.here.capture_n) + jnp.log(r.here.capture_p) + jnp.log(r.recombination)
    backward = jnp.log(r.here.emission_n) + jnp.log(r.here.emission_p) + jnp.log(r.thermal_generation)
    np.testing.assert_allclose(float(forward - backward), split, atol=1e-11)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_net_rate_is_that_of_the_jumps(dots, seed, far):
    """One dot, lit, far from equilibrium: recombination through dots = net capture of either carrier = k P_X - g P_0.

    With tunnelling apart, what is captured from where carriers land is the sum of its jumps. 1e-9 of the largest
    one-way rate: the jumps are differences of one-way rates, which lose digits.
    """
    random = np.random.default_rng(seed)
    host = dot_diode().layers["layer1"].material.host.bulk(jnp.asarray(KT))
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    here = site(random.uniform(10, 38), random.uniform(10, 38), log_ni2, 1e5)
    excitation = jnp.asarray(10.0 ** random.uniform(-3, 6))
    landing = Landing(*jnp.asarray(random.uniform(-5, 5, 2))) if far else None
    if far:
        dots = dataclasses.replace(dots, nonlocal_=True)
    rates = dots.rates(here, dots.escape(here.field, here.kT), excitation, landing)
    populations, net, there = jax.jit(lambda s, r: dots.stationary(s, r, landing))(here, rates)
    forward, backward = dots.one_way(rates, populations)
    by_jump = np.asarray(forward - backward)
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * float(jnp.max(forward))}
    host_changes = by_jump @ np.asarray(dots.host_stoichiometry)
    lost = -host_changes.reshape(-1, 2)
    np.testing.assert_allclose([*np.sum(lost, axis=0), by_jump[-1]], float(net), **tolerance)
    np.testing.assert_allclose(by_jump @ np.asarray(dots.dot_stoichiometry), 0.0, **tolerance)
    np.testing.assert_allclose(float(jnp.sum(populations)), 1.0, rtol=1e-14)
    if far:
        np.testing.assert_allclose(lost[1], np.asarray(there), **tolerance)
