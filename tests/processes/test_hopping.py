"""Hops from dot to dot: detailed balance, exclusion, and energies that differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact_machines import KT, site
from sample_devices import dot_film, traps

from invdesign.errors import InputError
from invdesign.materials.quantum_dots import DotHopping, MultipleCarriers, Nonlocal
from invdesign.processes.dots import HOPPING, Landing
from invdesign.processes.hopping import dot_hop

RATE, VELOCITY = 1e12, 3.0
KINDS = {
    "one size": {},
    "three sizes": {"size_classes": 3, "size_dispersion": 0.1},
    "two places": {"multiple_carriers": MultipleCarriers()},
    "two sizes, half of them with traps": {"size_classes": 2, "traps": traps(0.5)},
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def film(request):
    return dot_film(hopping=DotHopping(), **request.param)


def bulk_dots(film):
    """As on a mesh, with an axis of edges and one of ends behind that of sizes."""
    return film.bulk(jnp.asarray(KT)).dots


def shares_and_levels(dots):
    """Part of the number of dots that each kind has, and its electron level over kT, from the deepest one's on."""
    density, release = (np.ravel(np.asarray(x)) for x in (dots.density, dots.electron_release))
    return density / density.sum(), np.log(release / release.min()), release.min()


@pytest.mark.parametrize("levels", [(-4.0, 2.0), (0.0, 0.0), (9.0, -3.0)])
def test_hops_into_a_dot_and_out_of_it_are_balanced(film, levels):
    """Dots of any kind whose neighbours have other quasi-Fermi levels than the host here: rate in over rate out of an
    empty dot is n/n_1 exp(their level - that of the host). 1e-13: round-off. In an equilibrium no hop does work."""
    dots = bulk_dots(film)
    here = site(np.log(1e12), np.log(1e5), np.log(1e10), 1e5)
    rates = dots.rates(here, dots.escape(here.field, here.kT), jnp.zeros(()), Landing(*jnp.asarray(levels)))
    for found, density, release, level in (
        (rates.far.capture_n / rates.far.emission_n, here.n, dots.electron_release, levels[0]),
        (rates.far.capture_p / rates.far.emission_p, here.p, dots.hole_release, levels[1]),
    ):
        np.testing.assert_allclose(np.asarray(found), np.asarray(density * np.exp(level) / release), rtol=1e-13)
    assert {jump.name for jump in dots.jumps} >= set(HOPPING)


@pytest.mark.parametrize("log_activity", [8.0, 30.0, 41.0])
def test_hops_out_of_a_dot_are_those_to_every_kind_of_neighbour(film, log_activity):
    """Neighbours of kind t are full with f_t = a/(a + r n_1t): out of a dot of kind s carriers go at the rate
    k sum_t w_t (1 - f_t) min(1, exp(-(E_t - E_s)/kT)) (Miller and Abrahams). 1e-13: round-off."""
    dots = bulk_dots(film)
    here = site(log_activity, np.log(1e5), np.log(1e10))
    escape = dots.escape(here.field, here.kT)
    rates = dots.rates(here, escape, jnp.zeros(()), Landing(jnp.zeros(()), jnp.zeros(())))
    shares, levels, lowest = shares_and_levels(dots)
    places = 2 if dots.auger is not None else 1
    free = 1 / (1 + np.exp(log_activity) / (places * lowest * np.exp(levels)))
    kT = jnp.asarray(KT)
    rate = float(film.dots.hopping.rates(film.dots, *film.offsets_eV(film.host.bulk(kT)), kT).electron_rate)
    expected = [rate * np.sum(shares * free * np.minimum(1, np.exp(own - levels))) for own in levels]
    np.testing.assert_allclose(np.ravel(rates.far.emission_n), expected, rtol=1e-13)


@pytest.mark.parametrize(("left", "right"), [(30.0, 34.0), (41.0, 20.0), (38.0, 38.5)])
def test_hops_along_an_edge_are_those_between_all_pairs_of_dots(film, left, right):
    """Two planes of dots at one potential with the levels of electrons that belong to `left` and `right`: hops to the
    right are N D/h sum_st w_s w_t r f_s (1 - f_t) min(1, exp(-(E_t - E_s)/kT)), those to the left the same with the
    planes exchanged, and the net flux is their difference. 1e-12 of the larger one: round-off."""
    dots = bulk_dots(film)
    shares, levels, lowest = shares_and_levels(dots)
    places = 2 if dots.auger is not None else 1
    sized = dots.density.ndim > 2
    one_edge = jax.tree.map(lambda x: jnp.reshape(x, (-1, 1, 1) if sized else (1,)), dots.electron_release)
    weights = jnp.asarray(shares)[:, None, None] if sized else None
    number = jnp.sum(dots.density)
    log_activity = jnp.asarray([[left], [right]])
    found = dot_hop(
        jnp.asarray([VELOCITY]), number, log_activity, jnp.asarray([left - right]), one_edge, weights, places
    )
    full = [1 / (1 + places * lowest * np.exp(levels) / np.exp(log)) for log in (left, right)]
    uphill = np.minimum(1, np.exp(levels[:, None] - levels))
    pairs = shares[:, None] * shares * uphill
    rightward, leftward = (
        float(number) * VELOCITY * places * np.sum(pairs * a[:, None] * (1 - b)) for a, b in (full, full[::-1])
    )
    np.testing.assert_allclose(
        float(found.hop.net[0]), rightward - leftward, atol=1e-12 * max(rightward, leftward), rtol=0
    )


def test_the_rate_falls_with_the_gap_and_a_mobility_sets_it():
    """k = nu exp(-2 kappa gap), kappa = sqrt(2 m phi)/hbar, gap = N^(-1/3) - d, of 0.2 m0 and 0.2 or 0.4 eV; where dots
    touch k = nu. A mobility gives k = 6 kT mu/a^2. 1e-6: constants of nature with eight digits."""
    film = dot_film(hopping=DotHopping(attempt_rate_per_s=RATE))
    offsets = jnp.asarray(0.2), jnp.asarray(0.4)
    kT = jnp.asarray(KT)
    rates = film.dots.hopping.rates(film.dots, *offsets, kT)
    spacing = 4.32e-9 * (np.pi / 6 / 0.29) ** (1 / 3)
    for found, barrier in zip((rates.electron_rate, rates.hole_rate), offsets, strict=True):
        kappa = np.sqrt(2 * 0.2 * 9.1093837e-31 * float(barrier) * 1.6021766e-19) / 1.0545718e-34
        np.testing.assert_allclose(float(found), RATE * np.exp(-2 * kappa * (spacing - 4.32e-9)), rtol=1e-6)
    touching = dot_film(fraction=0.6, hopping=DotHopping(attempt_rate_per_s=RATE))
    assert float(touching.dots.hopping.rates(touching.dots, *offsets, kT).hole_rate) == RATE
    given = dot_film(hopping=DotHopping(electron_mobility_cm2_per_Vs=0.01))
    found = given.dots.hopping.rates(given.dots, *offsets, kT)
    np.testing.assert_allclose(float(found.electron_rate), 6 * KT * 0.01 / (100 * spacing) ** 2, rtol=1e-12)
    np.testing.assert_allclose(float(found.hole_rate), float(rates.hole_rate) * 1e12 / RATE, rtol=1e-12)


def test_hopping_and_landing_behind_the_barrier_exclude_each_other():
    with pytest.raises(InputError, match="hopping and nonlocal tunnelling exclude each other"):
        dot_film(hopping=DotHopping(), tunnelling=Nonlocal())
