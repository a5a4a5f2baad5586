"""Dots whose carriers attract and repel each other: machines of four, eight and nine states."""

import dataclasses
from fractions import Fraction
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_machines import KT, exact_populations, site
from sample_devices import dot_film, traps

from invdesign.materials.quantum_dots import MultipleCarriers
from invdesign.processes.dots import Auger, DotRates, Exchange, Landing, Traps, places_of

BINDING = 0.06
FILMS = {
    "one place": {},
    "with a trap": {"traps": traps(level_eV=-0.09)},
    "two places": {"multiple_carriers": MultipleCarriers()},
}


@pytest.fixture(scope="module", params=FILMS.values(), ids=list(FILMS))
def film(request):
    return dot_film(exciton_binding_eV=BINDING, **request.param)


@pytest.fixture(scope="module")
def log_ni2(host):
    return float(host.log_nc + host.log_nv - host.band_gap / KT)


def log_weights(film, host, log_n, log_p):
    """ln of the equilibrium weight of every state over that of the empty one, from energies: those of electrons, holes
    and trap against the bands, and E_b/2 times the square of the charge less the number of carriers."""
    states, (electron, hole) = film.dot_states, film.offsets_eV(host)
    places, found = places_of(states), []
    for i, j, full in states:
        ways = comb(places, i) * comb(places, j) / places ** (i + j)
        energy = -i * electron - j * hole + BINDING / 2 * ((i - j) ** 2 - (i + j))
        if full:
            energy -= electron + (film.dots.exciton_energy_eV + BINDING) / 2 - film.dots.traps.level_eV
        carriers = (i + full) * (log_n - host.log_nc) + j * (log_p - host.log_nv)
        found.append(np.log(ways) + carriers - energy / KT)
    return np.asarray(found)


@pytest.mark.parametrize("field", [0.0, 5e5])
@pytest.mark.parametrize("split", [-20.0, 0.0, 15.0])
def test_detailed_balance_of_every_cycle(film, dots, host, log_ni2, split, field):
    """One dot in the dark: ln(forward/backward) of every jump = gain of ln(weight), and the affinity where a pair
    recombines, so that 0 -> e -> X -> 0 and every other cycle has exp(affinity) per pair.

    1e-11: round-off of exponents of order 40.
    """
    log_n, log_p = log_ni2 / 2 + 3.0, log_ni2 / 2 - 3.0 + split
    here = site(log_n, log_p, log_ni2, field)
    weights = log_weights(film, host, log_n, log_p)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    for jump, (forward, backward) in zip(dots.jumps, rates.of_jumps, strict=True):
        gained = weights[jump.target] - weights[jump.origin] + jump.pairs * split
        np.testing.assert_allclose(float(jnp.log(forward / backward)), gained, atol=1e-11, err_msg=str(jump))


def test_populations_in_the_dark(film, dots, host, log_ni2):
    """At equilibrium: the populations are those weights, all in one exponent. 1e-11: as above."""
    here = site(43.0, log_ni2 - 43.0, log_ni2, 1e5)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    found = np.asarray(dots.stationary(here, rates)[0])
    weights = np.exp(log_weights(film, host, 43.0, log_ni2 - 43.0))
    np.testing.assert_allclose(found, weights / np.sum(weights), rtol=1e-11)


def test_energies(film, dots, host):
    """E_x is that of the size law: excitons over empty dots exp(-E_x/kT), and neither light nor electron level know of
    the binding; the hole's well loses it. An electron leaves an exciton exp(-E_b/kT) as fast as an electron alone, a
    hole likewise."""
    free = dataclasses.replace(film, dots=dataclasses.replace(film.dots, exciton_binding_eV=None))
    (electron, hole), (free_electron, free_hole) = film.offsets_eV(host), free.offsets_eV(host)
    assert float(electron) == float(free_electron)
    assert float(free_hole - hole) == pytest.approx(BINDING, abs=1e-14)
    assert float(dots.thermal_ratio) == pytest.approx(np.exp(-float(film.dots.exciton_energy_eV) / KT), rel=1e-14)
    light = jnp.array([800.0, 1240.0])
    np.testing.assert_array_equal(film.permittivity(light), free.permittivity(light))
    here = site(20.0, 20.0, 10.0)
    leaving = {}
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()))
    for jump, (_, backward) in zip(dots.jumps, rates.of_jumps, strict=True):
        if "exchange" in jump.name:
            leaving[dots.states[jump.target], dots.states[jump.origin]] = float(backward)
    for alone in ((1, 0, 0), (0, 1, 0)):
        other = (alone[1], alone[0], 0)
        slower = leaving[(1, 1, 0), other] / leaving[alone, (0, 0, 0)]
        assert slower == pytest.approx(np.exp(-BINDING / KT), rel=1e-14)


def as_rates(film, numbers):
    """a, e_n, b, e_p, k, g_0, light, exp(-E_b/kT), then those of a trap or of Auger recombination."""
    arrays = [jnp.asarray(float(number)) for number in numbers]
    trap = None if film.dots.traps is None else Traps(*arrays[8:], jnp.zeros(()))
    auger = None if film.dots.multiple_carriers is None else Auger(*arrays[8:])
    return DotRates(Exchange(*arrays[:4]), None, *arrays[4:7], trap, auger, arrays[7])


def exact(film, numbers):
    """Stationary populations and the net capture of electrons of one dot, in rational arithmetic.

    The electron that leaves (i + 1, j) is bound by j - i energies, the hole that leaves (i, j + 1) by i - j; so are the
    carriers that a trap gives back.
    """
    states = [tuple(state) for state in film.dot_states]
    places = places_of(film.dot_states)
    a, en, b, ep, k, g, light, bound, *more = numbers
    jumps = []

    def add(start, end, forward, backward, electrons=0):
        if start in states and end in states:
            jumps.append((states.index(start), states.index(end), forward, backward, electrons))

    for i, j, full in states:
        add((i, j, full), (i + 1, j, full), a * (places - i) / places, en * (i + 1) * bound ** (j - i), 1)
        add((i, j, full), (i, j + 1, full), b * (places - j) / places, ep * (j + 1) * bound ** (i - j))
        empty = Fraction((places - i) * (places - j), places**2)
        add((i + 1, j + 1, full), (i, j, full), k * (i + 1) * (j + 1), (g + light) * empty)
        if film.dots.traps is not None and not full:
            cn, rn, cp, rp = more
            add((i + 1, j, 0), (i, j, 1), cn, rn / bound ** (j - i))
            add((i, j + 1, 1), (i, j, 0), cp, rp / bound ** (i - j))
        if film.dots.multiple_carriers is not None and i + j > 0:
            add((i + 1, j + 1, full), (i, j, full), *(more[:2] if i + j == 1 else more[2:]))
    one_way = [(start, end, forward) for start, end, forward, *_ in jumps]
    share = exact_populations(len(states), one_way + [(end, start, back) for start, end, _, back, _ in jumps])
    captured = sum(
        electrons * (forward * share[start] - back * share[end]) for start, end, forward, back, electrons in jumps
    )
    return share, captured


@pytest.mark.parametrize("seed", range(4))
def test_populations_of_any_rates(film, dots, seed):
    """One dot, rates over 20 decades, a binding of up to ten kT: stationary populations = exact elimination in rational
    arithmetic. 1e-13 of each population: the elimination has no subtraction."""
    random = np.random.default_rng(seed)
    numbers = [Fraction(float(x)) for x in 10.0 ** random.uniform(-10, 10, 7)]
    numbers.append(Fraction(float(np.exp(random.uniform(-10, 0)))))
    numbers += [Fraction(float(x)) for x in 10.0 ** random.uniform(-10, 10, 4)]
    found = dots.stationary(site(1.0, 1.0, 2.0), as_rates(film, numbers))[0]
    np.testing.assert_allclose(np.asarray(found), [float(p) for p in exact(film, numbers)[0]], rtol=1e-13)


@pytest.mark.parametrize("lit", [0, 0.3, 1e9])
@pytest.mark.parametrize("drive", [0.0, 1e-13, 1e6, -1e-9, -0.999])
@pytest.mark.parametrize("seed", range(2))
def test_the_net_rate_keeps_its_digits(film, dots, seed, drive, lit):
    """One dot whose rates are in detailed balance with n p = n_i^2 (1 + drive), over 12 decades, light of `lit` g_0:
    the net rate = the capture of electrons by exact elimination in rational arithmetic.

    1e-12: one-way rates are up to 1e18 times the net one, but no two of them are subtracted. In the dark without drive
    it is zero.
    """
    random = np.random.default_rng(seed)
    a, en, ep, k, *more = (Fraction(float(x)) for x in 10.0 ** random.uniform(-6, 6, 8))
    bound, ratio = Fraction(float(np.exp(random.uniform(-5, 0)))), Fraction(1, 10**15)
    if film.dots.traps is not None:
        cn, rn, cp, rp = more
        ratio = rn * rp / (cn * cp) / bound
    elif film.dots.multiple_carriers is not None:
        more = [more[0], more[0] * ratio / 4, more[1], more[1] * ratio / 16]
    b = en * ep * bound * ratio / a * (1 + Fraction(drive))
    numbers = [a, en, b, ep, k, k * ratio, Fraction(lit) * k * ratio, bound, *more]
    here = site(0.0, 0.0, 0.0, affinity=float(np.log1p(drive)))
    net = dots.stationary(here, as_rates(film, numbers))[1] / dots.density
    assert float(net) == pytest.approx(float(exact(film, numbers)[1]), rel=1e-12, abs=0)


@pytest.mark.parametrize("binding", [0.0, 0.03, 0.1])
def test_what_escapes_of_an_exciton(binding):
    """One dot in a host without carriers, lit: pairs that leave per exciton made in the empty dot = s (e_n + e_p)/
    (1/tau + s (e_n + e_p)), s = exp(-E_b/kT); the carrier that stays behind is free to go.

    1e-12: round-off.
    """
    dots = dot_film(exciton_binding_eV=binding).ensemble(jnp.asarray(KT))
    here = site(-80.0, -80.0, -80.0, 1e5)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.asarray(1e3))
    populations, net, _ = dots.stationary(here, rates)
    leave = np.exp(-binding / KT) * float(rates.here.emission_n + rates.here.emission_p)
    found = -float(net / dots.density) / float((rates.excitation + rates.thermal_generation) * populations[0])
    assert found == pytest.approx(leave / (float(rates.recombination) + leave), rel=1e-12)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("seed", range(2))
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
    if far:
        np.testing.assert_allclose(lost[1], np.asarray(there), **tolerance)


@pytest.mark.parametrize("other", FILMS.values(), ids=list(FILMS))
def test_a_binding_of_zero_is_none(other):
    """Jump rates, populations and net rate of one dot, to the last digit."""
    found = []
    for binding in (None, 0.0):
        dots = dot_film(exciton_binding_eV=binding, **other).ensemble(jnp.asarray(KT))
        here = site(30.0, 25.0, 20.0, 1e5)
        rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.asarray(1e3))
        found.append((rates.of_jumps, dots.stationary(here, rates)[:2]))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), *found))
