"""Dots with two places for electrons and two for holes: nine states."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_machines import KT, exact_populations, site
from sample_devices import dot_film, traps

from invdesign.errors import InputError
from invdesign.materials.quantum_dots import MultipleCarriers, Nonlocal
from invdesign.processes.dots import Auger, DotRates, Exchange, Landing, excited, list_states
from invdesign.processes.machine import Jump, completed_cycles

STATES = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2)]


@pytest.fixture(scope="module")
def film():
    return dot_film(multiple_carriers=MultipleCarriers())


@pytest.fixture(scope="module")
def log_ni2(host):
    return float(host.log_nc + host.log_nv - host.band_gap / KT)


def as_rates(numbers):
    """a, e_n, b, e_p, k, g_0, light, then Auger rates of trions and biexcitons and their reverse."""
    arrays = [jnp.asarray(float(number)) for number in numbers]
    return DotRates(Exchange(*arrays[:4]), None, *arrays[4:7], None, Auger(*arrays[7:]))


def exact(numbers):
    """Stationary populations and the net capture of electrons of one dot, in rational arithmetic."""
    a, en, b, ep, k, g, light, trion, trion_back, biexciton, biexciton_back = numbers
    auger = {3: (trion, trion_back), 4: (biexciton, biexciton_back)}
    jumps = []

    def add(start, end, forward, backward, electrons=0):
        jumps.append((STATES.index(start), STATES.index(end), forward, backward, electrons))

    for i, j in STATES:
        if i < 2:
            add((i, j), (i + 1, j), a * (2 - i) / 2, en * (i + 1), 1)
        if j < 2:
            add((i, j), (i, j + 1), b * (2 - j) / 2, ep * (j + 1))
        if i < 2 and j < 2:
            add((i + 1, j + 1), (i, j), k * (i + 1) * (j + 1), (g + light) * (2 - i) * (2 - j) / 4)
        if i and j and i + j > 2:
            add((i, j), (i - 1, j - 1), *auger[i + j])
    one_way = [(start, end, forward) for start, end, forward, *_ in jumps]
    share = exact_populations(9, one_way + [(end, start, backward) for start, end, _, backward, _ in jumps])
    captured = sum(
        electrons * (forward * share[start] - backward * share[end])
        for start, end, forward, backward, electrons in jumps
    )
    return share, captured


def balanced(random, drive, lit):
    """Rates in detailed balance with n p = n_i^2 (1 + drive) if places are alike and energies additive."""
    a, en, ep, k, trion, biexciton = random
    ratio = Fraction(1, 10**15)
    b = en * ep * ratio / a * (1 + Fraction(drive))
    g = k * ratio
    return [a, en, b, ep, k, g, Fraction(lit) * g, trion, trion * ratio / 4, biexciton, biexciton * ratio / 16]


@pytest.mark.parametrize("seed", range(6))
def test_populations_of_any_rates(dots, seed):
    """One dot, eleven rates over 20 decades: stationary populations = exact elimination in rational arithmetic.

    1e-13 of each population: the elimination has no subtraction.
    """
    numbers = [Fraction(float(x)) for x in 10.0 ** np.random.default_rng(seed).uniform(-10, 10, 11)]
    found = dots.stationary(site(1.0, 1.0, 2.0), as_rates(numbers))[0]
    np.testing.assert_allclose(np.asarray(found), [float(p) for p in exact(numbers)[0]], rtol=1e-13)


@pytest.mark.parametrize("lit", [0, 0.3, 1e9])
@pytest.mark.parametrize("drive", [0.0, 1e-13, 1e-3, 1e6, -1e-9, -0.999])
@pytest.mark.parametrize("seed", range(3))
def test_the_net_rate_keeps_its_digits(dots, seed, drive, lit):
    """One dot whose rates are in detailed balance with n p = n_i^2 (1 + drive), over 12 decades, light of `lit` g_0:
    the net rate = the capture of electrons by exact elimination in rational arithmetic.

    1e-12: one-way rates are up to 1e18 times the net one, but no two of them are subtracted. In the dark without drive
    it is zero: with all Auger channels and their reverse the weights of equilibrium are those of places filled
    independently. With a drive of a light's own size the two cancel rightly, so that their digits are those of each.
    """
    random = [Fraction(float(x)) for x in 10.0 ** np.random.default_rng(seed).uniform(-6, 6, 6)]
    numbers = balanced(random, drive, lit)
    here = site(0.0, 0.0, 0.0, affinity=float(np.log1p(drive)))
    net = dots.stationary(here, as_rates(numbers))[1] / dots.density
    expected = float(exact(numbers)[1])
    assert float(net) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("lit", [0.0, 1e3])
@pytest.mark.parametrize("seed", range(3))
def test_few_carriers_do_not_know_how_many_places_there_are(dots, film, seed, lit):
    """One dot that holds 1e-30 carriers on average: populations up to the exciton, the net rate and all one-way rates
    between these states are those of a dot with one place for each carrier, whatever the Auger rates.

    1e-13: round-off. The largest difference is the generation of a pair by the Auger effect beside a carrier, up to
    1e-30 times the ratio of the trion's rate to the exciton's.
    """
    random = np.random.default_rng(seed)
    en, ep, k = 10.0 ** random.uniform(3, 12, 3)
    ratio, a = 1e-62, en * 10.0 ** random.uniform(-32, -30)
    affinity = random.uniform(-3, 3)
    b = ep * en * ratio / a * np.exp(affinity)
    one = DotRates(
        Exchange(*map(jnp.asarray, (a, en, b, ep))),
        None,
        *(jnp.asarray(x, jnp.float64) for x in (k, k * ratio, lit * k * ratio)),
    )
    auger = 1e11 * np.array([1, ratio / 4, 4, 4 * ratio / 16])
    two = one._replace(auger=Auger(*map(jnp.asarray, auger)))
    single = dataclasses.replace(dots, auger=None)
    here = site(0.0, 0.0, 0.0, affinity=affinity)
    (few, net, _), (many, net_of_many, _) = single.stationary(here, one), dots.stationary(here, two)
    np.testing.assert_allclose(many[:4], few, rtol=1e-13)
    np.testing.assert_allclose(net_of_many, net, rtol=1e-13)
    kept = [i for i, jump in enumerate(dots.jumps) if max(jump.origin, jump.target) < 4 and "Auger" not in jump.name]
    assert [dots.jumps[i].name for i in kept] == [jump.name for jump in single.jumps]
    ways, expected = dots.one_way(two, many)[:, np.array(kept)], single.one_way(one, few)
    np.testing.assert_allclose(ways, expected, rtol=1e-13)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_net_rate_is_that_of_the_jumps(film, log_ni2, seed, far):
    """One dot, lit, far from equilibrium: recombination through dots = net capture of either carrier = pairs that
    recombine, and no state gains.

    With tunnelling apart, what is captured from where carriers land is the sum of its jumps. 1e-9 of the largest
    one-way rate: the jumps are differences of one-way rates, which lose digits.
    """
    random = np.random.default_rng(seed)
    here = site(random.uniform(10, 46), random.uniform(10, 46), log_ni2, 1e5)
    landing = Landing(*jnp.asarray(random.uniform(-5, 5, 2))) if far else None
    dots = dataclasses.replace(film.ensemble(jnp.asarray(KT)), nonlocal_=far)
    excitation = jnp.asarray(10.0 ** random.uniform(3, 12))
    rates = dots.rates(here, dots.escape(here.field, here.kT), excitation, landing)
    populations, net, there = jax.jit(lambda s, r: dots.stationary(s, r, landing))(here, rates)
    forward, backward = dots.one_way(rates, populations)
    by_jump = np.asarray(forward - backward)
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * float(jnp.max(forward))}
    lost = -(by_jump @ np.asarray(dots.host_stoichiometry)).reshape(-1, 2)
    recombined = by_jump @ np.asarray([jump.pairs for jump in dots.jumps])
    np.testing.assert_allclose([*np.sum(lost, axis=0), recombined], float(net), **tolerance)
    np.testing.assert_allclose(by_jump @ np.asarray(dots.dot_stoichiometry), 0.0, **tolerance)
    np.testing.assert_allclose(float(jnp.sum(populations)), 1.0, rtol=1e-14)
    if far:
        np.testing.assert_allclose(lost[1], np.asarray(there), **tolerance)


def test_places_of_one_level_fill_independently(dots, log_ni2):
    """In the dark at equilibrium: P_ij = C(2,i) C(2,j) (x/2)^i (y/2)^j P_00, x = n/n_1 and y = p/p_1.

    1e-11: round-off of exponents of order 40.
    """
    here = site(43.0, log_ni2 - 43.0, log_ni2, 1e5)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    found = np.asarray(dots.stationary(here, rates)[0])
    x, y = float(here.n / dots.electron_release), float(here.p / dots.hole_release)
    ways = np.array([1, 2, 1])
    expected = [ways[i] * ways[j] * (x / 2) ** i * (y / 2) ** j for i, j in STATES]
    assert x > 1
    np.testing.assert_allclose(found / found[0], expected, rtol=1e-11)


def test_two_channels_and_light_between_two_states():
    """0 <-> X by exchange (a, e) and by two channels of recombination (r and g of each) with light L on one of them: of
    cycles that generate a pair there are e (g_1 + g_2)/(sum of all rates), and photons leave e L/(sum of all rates)."""
    a, e, r1, g1, r2, g2, light = rates = np.random.default_rng(0).uniform(0.1, 10, 7)
    jumps = [Jump("", (0, 0, 0, 0), 0, 1), *[Jump("", (0, 0, 0, 0), 1, 0, 1)] * 2]
    pairs = [tuple(map(jnp.asarray, rates[2 * k : 2 * k + 2])) for k in range(3)]
    populations, cycles = completed_cycles(jumps, pairs, (None, None, jnp.asarray(light)))
    assert list(cycles.thermal) == [1]
    np.testing.assert_allclose(cycles.thermal[1], e * (g1 + g2) / np.sum(rates), rtol=1e-14)
    np.testing.assert_allclose(cycles.lit, e * light / np.sum(rates), rtol=1e-14)
    np.testing.assert_allclose(populations[1], (a + g1 + g2 + light) / np.sum(rates), rtol=1e-14)
    affinity = np.log(a * (r1 + r2) / (e * (g1 + g2)))
    net = (a * (r1 + r2) - e * (g1 + g2 + light)) / np.sum(rates)
    np.testing.assert_allclose(cycles.recombination(jnp.asarray(affinity)), net, rtol=1e-13)


def test_charges_and_light(dots):
    """Of a dot in each state, and what light finds of the absorption of an empty one, (2 - i)(2 - j)/4."""
    assert list(dots.states) == [(i, j, 0) for i, j in STATES]
    found = [float(dots.charge(one) / dots.density) for one in jnp.eye(9)]
    np.testing.assert_allclose(found, [j - i for i, j in STATES], rtol=1e-14)
    lifts = {(STATES[a], STATES[b]): absorption for a, b, absorption in excited(list_states(2, False))}
    expected = {((i, j), (i + 1, j + 1)): (2 - i) * (2 - j) / 4 for i, j in STATES if i < 2 and j < 2}
    assert lifts == expected


def test_auger_lifetimes_grow_as_the_volume():
    """Of five sizes: 60 ps in a dot of 4.32 nm, times (d/4.32 nm)^3; of a trion four times that unless it is given."""
    film = dot_film(size_classes=5, multiple_carriers=MultipleCarriers())
    auger = film.ensembles(jnp.asarray(KT)).auger
    volume = (np.asarray(film.dots.sizes[0]) / 4.32) ** 3
    np.testing.assert_allclose(1 / auger.biexciton[:, 0, 0], 6e-11 * volume, rtol=1e-12)
    np.testing.assert_allclose(auger.biexciton / auger.trion, 4, rtol=1e-12)
    given = dot_film(multiple_carriers=MultipleCarriers(trion_lifetime_s=1e-10)).ensemble(jnp.asarray(KT)).auger
    np.testing.assert_allclose(1 / given.trion, 1e-10, rtol=1e-12)


def test_a_dot_has_a_trap_or_room_for_more():
    with pytest.raises(InputError, match="traps and multiple_carriers exclude each other"):
        dot_film(traps=traps(), tunnelling=Nonlocal(), multiple_carriers=MultipleCarriers())
