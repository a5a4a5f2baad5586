"""Dots with a trap: the machine of eight states, against exact arithmetic and closed forms."""

import dataclasses
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_machines import KT, exact_populations, site
from sample_devices import dot_film, traps

from invdesign.processes.dots import DotRates, Exchange, Landing, Traps


@pytest.fixture(scope="module")
def film():
    return dot_film(traps=traps())


def as_rates(numbers):
    """a, e_n, b, e_p, k, g_0, light, then capture and release of the trap, of electrons and of holes."""
    arrays = [jnp.asarray(float(number)) for number in numbers]
    return DotRates(Exchange(*arrays[:4]), None, *arrays[4:7], Traps(*arrays[7:], jnp.zeros(())))


def exact(dots, numbers):
    """Stationary populations and the net capture of electrons of one dot, in rational arithmetic."""
    a, en, b, ep, k, g, light, cn, rn, cp, rp = numbers
    pairs = [(a, en)] * 2 + [(b, ep)] * 2
    rates = pairs * 2 + [(k, g + light)] * 2 + [(cn, rn)] * 2 + [(cp, rp)] * 2
    one_way = []
    for jump, (forward, backward) in zip(dots.jumps, rates, strict=True):
        one_way += [(jump.origin, jump.target, forward), (jump.target, jump.origin, backward)]
    populations = exact_populations(len(dots.states), one_way)
    captured = sum(
        -jump.host[0] * (forward * populations[jump.origin] - backward * populations[jump.target])
        for jump, (forward, backward) in zip(dots.jumps, rates, strict=True)
    )
    return populations, captured


@pytest.mark.parametrize("seed", range(6))
def test_populations_of_any_rates(dots, seed):
    """One dot, eleven rates over 24 decades: stationary populations = exact elimination in rational arithmetic.

    1e-13 of each population, also of one that is 1e-30: the elimination has no subtraction.
    """
    numbers = [Fraction(float(x)) for x in 10.0 ** np.random.default_rng(seed).uniform(-12, 12, 11)]
    found = dots.stationary(site(1.0, 1.0, 2.0), as_rates(numbers))[0]
    np.testing.assert_allclose(np.asarray(found), [float(p) for p in exact(dots, numbers)[0]], rtol=1e-13)


@pytest.mark.parametrize("lit", [0, 0.3, 1e9])
@pytest.mark.parametrize("drive", [0.0, 1e-13, 1e-3, 1e6, -1e-9, -0.999])
@pytest.mark.parametrize("seed", range(3))
def test_the_net_rate_keeps_its_digits(dots, seed, drive, lit):
    """One dot whose rates are in detailed balance with n p = n_i^2 (1 + drive), over 12 decades, light of `lit` g_0:
    the net rate = the capture of electrons by exact elimination in rational arithmetic.

    1e-12: one-way rates are up to 1e18 times the net one, but no two of them are subtracted. In the dark without drive
    it is zero. With a drive of a light's own size the two cancel rightly, so that their digits are those of each.
    """
    random = [Fraction(float(x)) for x in 10.0 ** np.random.default_rng(seed).uniform(-6, 6, 8)]
    a, en, ep, k, cn, rn, cp, rp = random
    g = k * rn * rp / (cn * cp)
    b = ep * en * g / (a * k) * (1 + Fraction(drive))
    numbers = [a, en, b, ep, k, g, Fraction(lit) * g, cn, rn, cp, rp]
    here = site(0.0, 0.0, 0.0, affinity=float(np.log1p(drive)))
    net = dots.stationary(here, as_rates(numbers))[1] / dots.density
    expected = float(exact(dots, numbers)[1])
    assert float(net) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("level", [-0.12, -0.09, -0.06])
@pytest.mark.parametrize(("log_n", "log_p"), [(-60.0, -60.0), (15.0, -60.0), (5.0, 15.0), (15.0, 15.0)])
def test_a_fast_trap_is_one_of_shockley_read_and_hall(film, host, level, log_n, log_p):
    """Dots that hardly hold a carrier before the trap has it: U = N c (n p - n_i^2)/((n + n_1) + (p + p_1)),
    n_1 = N_c exp(-(E_c - E_t)/kT), p_1 = n_i^2/n_1, E_c - E_t = phi_e + E_x/2 - level.

    The three-level system of host bands and trap, whatever the levels of the dot are in between (DOI
    10.1103/PhysRev.87.835). 1e-5: the levels of the dot are occupied by up to 1e-6, in dots whose trap is full or empty
    with a tenth at least; 1e-9 of the carriers leave before the trap takes them.
    """
    trap = traps(seconds=1e-18, level_eV=level)
    slow = eqx.tree_at(lambda f: (f.dots.traps, f.dots.lifetime_s), film, (trap, jnp.asarray(1e6)))
    dots, (offset, _) = slow.ensemble(jnp.asarray(KT)), film.offsets_eV(host)
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    here = site(log_n, log_p, log_ni2)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    n1 = float(jnp.exp(host.log_nc - (offset + film.dots.exciton_energy_eV / 2 - level) / KT))
    ni2 = np.exp(log_ni2)
    n, p = np.exp(log_n), np.exp(log_p)
    coefficient = float(dots.density * dots.capture_coefficient)
    expected = coefficient * ni2 * np.expm1(log_n + log_p - log_ni2) / (n + n1 + p + ni2 / n1)
    assert float(dots.stationary(here, rates)[1]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seconds", [1e-12, 1e-9, 1e-6])
def test_what_a_trap_generates_in_a_depleted_film(film, host, seconds):
    """No carriers: G = N e'_n e'_p/(e'_n + e'_p), e' = release e/(e + 1/tau): a carrier that the trap has put into the
    level escapes at rate e or is taken back. 1e-5: the levels are occupied by up to 1e-6, as above."""
    trap = traps(seconds=seconds, level_eV=-0.09)
    with_trap = eqx.tree_at(lambda f: (f.dots.traps, f.dots.lifetime_s), film, (trap, jnp.asarray(1e6)))
    dots = with_trap.ensemble(jnp.asarray(KT))
    here = site(-80.0, -80.0, float(host.log_nc + host.log_nv - host.band_gap / KT))
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    trap = dots.traps
    both = (
        (trap.electron_release, rates.here.emission_n, trap.electron_capture),
        (trap.hole_release, rates.here.emission_p, trap.hole_capture),
    )
    by_n, by_p = (float(release * escape / (escape + capture)) for release, escape, capture in both)
    expected = -float(dots.density) * by_n * by_p / (by_n + by_p)
    assert float(dots.stationary(here, rates)[1]) == pytest.approx(expected, rel=1e-5)


def test_a_trap_that_never_fills_is_none(film, dots, host):
    """Dots without a trap beside those with one: no trap is ever full, all else is that of four states.

    1e-14: another order of the same sums.
    """
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    here = site(30.0, 25.0, log_ni2, 1e5)
    found = []
    for trap in (None, dots.traps.idle):
        sound = dataclasses.replace(dots, traps=trap)
        rates = sound.rates(here, sound.escape(here.field, here.kT), jnp.asarray(1e3))
        found.append(sound.stationary(here, rates)[:2])
    assert np.all(np.asarray(found[1][0][4:]) == 0)
    np.testing.assert_allclose(found[1][0][:4], found[0][0], rtol=1e-14)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-14)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_net_rate_is_that_of_the_jumps(dots, host, seed, far):
    """One dot with a trap, lit, far from equilibrium: recombination through dots = net capture of either carrier = what
    recombines in the dot's own levels and through its trap, and no state gains.

    With tunnelling apart, what is captured from where carriers land is the sum of its jumps. 1e-9 of the largest
    one-way rate: the jumps are differences of one-way rates, which lose digits.
    """
    random = np.random.default_rng(seed)
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    here = site(random.uniform(10, 38), random.uniform(10, 38), log_ni2, 1e5)
    landing = Landing(*jnp.asarray(random.uniform(-5, 5, 2))) if far else None
    dots = dataclasses.replace(dots, nonlocal_=far)
    excitation = jnp.asarray(10.0 ** random.uniform(-3, 6))
    rates = dots.rates(here, dots.escape(here.field, here.kT), excitation, landing)
    populations, net, there = jax.jit(lambda s, r: dots.stationary(s, r, landing))(here, rates)
    forward, backward = dots.one_way(rates, populations)
    by_jump = np.asarray(forward - backward)
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * float(jnp.max(forward))}
    lost = -(by_jump @ np.asarray(dots.host_stoichiometry)).reshape(-1, 2)
    recombined = by_jump @ np.asarray([jump.pairs for jump in dots.jumps])
    np.testing.assert_allclose([*np.sum(lost, axis=0), recombined], float(net), **tolerance)
    np.testing.assert_allclose(by_jump @ np.asarray(dots.dot_stoichiometry), 0.0, **tolerance)
    if far:
        np.testing.assert_allclose(lost[1], np.asarray(there), **tolerance)


@pytest.mark.parametrize(("charge", "empty"), [("acceptor", 0), ("donor", 1)])
def test_charges(charge, empty):
    """Of a dot in each state: an acceptor is negative when full, a donor positive when empty; a dot without a trap has
    the charge of its carriers, whatever the traps of the others."""
    dots = dot_film(traps=traps(0.25, charge=charge)).ensembles(jnp.asarray(KT))
    found = jnp.stack([dots.charge(one) for one in jnp.eye(8)[:, :, None, None, None]])[:, :, 0, 0] / jnp.sum(
        dots.density
    )
    carriers = np.array([0, -1, 1, 0])
    np.testing.assert_allclose(found[:4, 0], 0.75 * carriers, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], 0.25 * np.concatenate([carriers + empty, carriers + empty - 1]), rtol=1e-12)
