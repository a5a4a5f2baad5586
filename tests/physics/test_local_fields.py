"""Dots at random places, each in a field of its own: what the spread is, and what it changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import dot_diode, dot_film, traps

from invdesign.analyses import checks
from invdesign.analyses.operating_point import operate
from invdesign.config import load_device
from invdesign.electrostatics.disorder import box, exciting_field, hard_spheres
from invdesign.errors import InputError
from invdesign.processes.site import Site

KT = jnp.asarray(0.025852)
CONTRAST = (22 - 70) / (22 + 2 * 70)


def spread(fraction, coupled, side=7, films=6):
    """Of the field at hard spheres over its mean: along it, across it, and the mean size less 1."""
    fields = [
        exciting_field(hard_spheres(side, fraction, seed=seed), box(side, fraction), CONTRAST, coupled)
        for seed in range(films)
    ]
    found = np.concatenate(fields)
    found /= np.mean(found[:, 2])
    return np.std(found[:, 2]), np.sqrt(np.mean(found[:, :2] ** 2)), np.mean(np.linalg.norm(found, axis=1)) - 1


def test_the_field_of_dipoles_at_random_places():
    """Hard spheres at equilibrium, f = 0.02, eps 22 in 70: sigma = beta sqrt(f/10) along the field and sqrt(3/4) of it
    across.

    6 %: the next order in f takes 3 % (1.4 f), and 2000 spheres with few close neighbours have an error of 3 %.
    """
    along, across, _ = spread(0.02, coupled=False)
    expected = abs(CONTRAST) * np.sqrt(0.02 / 10)
    assert along == pytest.approx(expected, rel=0.06)
    assert across == pytest.approx(np.sqrt(3 / 4) * expected, rel=0.06)


def test_the_field_at_the_default_loading():
    """f = 0.29: neighbours that keep their distance from each other, too, leave 0.63 of the first order, coupled
    dipoles 0.65, 3 to 5 % more; what is across makes the field 0.08 % larger. The numbers of docs/model.md; 0.03: the
    mean of six films scatters by 0.01."""
    first = abs(CONTRAST) * np.sqrt(0.29 / 10)
    alone, together = spread(0.29, False), spread(0.29, True)
    assert alone[0] / first == pytest.approx(0.63, abs=0.03)
    assert together[0] / first == pytest.approx(0.65, abs=0.03)
    assert 1.02 < together[0] / alone[0] < 1.06
    assert together[2] == pytest.approx(8e-4, abs=1e-4)


def test_local_fields_have_the_mean_and_the_spread_that_were_asked_for():
    """Gauss-Hermite points: sum p = 1, sum p F = 1, sum p (F - 1)^2 = sigma^2, by the formula and by number."""
    for asked, expected in ((None, abs(CONTRAST) * np.sqrt(0.29 / 10)), (jnp.asarray(0.2), 0.2)):
        film = dot_film(field_classes=5, field_dispersion=asked)
        share, field = np.asarray(film.kinds), np.asarray(film.local_fields(KT))
        found = [share.sum(), share @ field, np.sqrt(share @ (field - 1) ** 2)]
        np.testing.assert_allclose(found, [1, 1, expected], rtol=1e-12)


def enhancement(film, field):
    """Mean emission of electrons of all dots over that without field."""
    dots = film.ensembles(KT)
    by_kind = dots.electron_escape.enhancement(jnp.asarray(field), KT)
    return float(jnp.sum(dots.density * by_kind) / jnp.sum(dots.density))


@pytest.mark.parametrize("field", [3e4, 1e5, 2e5])
def test_emission_is_the_mean_over_all_fields(field):
    """sigma = 0.1: emission of five classes = the integral of H(F (1 + s)) over a normal distribution of s, by the
    trapezoid rule. 1e-5: what five points leave of exp(2 s)."""
    film = dot_film(field_classes=5, field_dispersion=0.1)
    s = np.linspace(-0.8, 0.8, 3001)
    weight = np.exp(-((s / 0.1) ** 2) / 2)
    one = film.ensemble(KT).electron_escape.enhancement(jnp.asarray(field * (1 + s)), KT)
    expected = np.sum(weight * np.asarray(one)) / np.sum(weight)
    assert enhancement(film, field) == pytest.approx(expected, rel=1e-5)
    alone = float(film.ensemble(KT).electron_escape.enhancement(jnp.asarray(field), KT))
    assert expected > alone * (1 + 1e-4)


def test_without_field_nothing_changes():
    """One place in the film, lit, F = 0, sigma = 0.2: every class has the populations of dots in one field, and all
    together their recombination. 1e-13: another order of the same sums."""
    film = dot_film(field_classes=5, field_dispersion=0.2)
    host = film.host.bulk(KT)
    log_ni2 = float(host.log_nc + host.log_nv - host.band_gap / KT)
    numbers = [30.0, 25.0, np.exp(30.0), np.exp(25.0), np.exp(log_ni2), 55.0 - log_ni2, 0.0, KT]
    site = Site(*(jnp.asarray(number, jnp.float64) for number in numbers))
    found = []
    for dots in (film.ensemble(KT), film.ensembles(KT)):
        rates = dots.rates(site, dots.escape(site.field, site.kT), jnp.asarray(1e3))
        found.append(dots.stationary(site, rates)[:2])
    alone, together = found
    states = jnp.broadcast_to(alone[0][:, None, None, None], together[0].shape)
    np.testing.assert_allclose(together[0], states, rtol=1e-13)
    assert float(jnp.sum(together[1])) == pytest.approx(float(alone[1]), rel=1e-13)


def test_kinds_of_dots_are_all_combinations():
    """Three sizes, three fields, a quarter with traps: densities are products, sizes absorb as without the others."""
    film = dot_film(size_classes=3, field_classes=3, field_dispersion=0.1, traps=traps(0.25))
    plain = dot_film(size_classes=3)
    found = film.ensembles(KT)
    assert film.sizes == found.density.shape[0] == 18
    by_kind = found.density.reshape(2, 3, 3)
    shares = jnp.array([0.75, 0.25])[:, None, None] * jnp.array([1, 4, 1])[:, None] / 6
    np.testing.assert_allclose(by_kind, shares * plain.ensembles(KT).density[:, 0, 0], rtol=1e-12)
    ratios = (found.electron_escape.field_ratio / plain.ensembles(KT).electron_escape.field_ratio[0]).reshape(2, 3, 3)
    fields = 1 + 0.1 * np.sqrt(3) * np.array([-1, 0, 1])
    np.testing.assert_allclose(ratios, np.broadcast_to(fields[:, None], ratios.shape), rtol=1e-12)
    assert found.traps is not None
    assert np.all((np.asarray(found.traps.electron_capture) > 0).reshape(2, 9) == [[False], [True]])
    wavelengths = jnp.array([600.0, 1240.0])
    absorbed = film.size_shares(wavelengths).reshape(2, 2, 3, 3).sum(axis=(1, 2))
    np.testing.assert_allclose(absorbed, plain.size_shares(wavelengths), rtol=1e-12)


def test_derivatives_by_the_spread():
    """ln of the dark current of the dot diode at -1 V by the spread, given and by the formula (fraction, permittivity):
    reverse mode = central differences, 1e-6 of the largest."""

    def where(d):
        dots = d.layers["layer1"].material.dots
        given = () if dots.field_dispersion is None else (dots.field_dispersion,)
        return dots.volume_fraction, dots.relative_permittivity, *given

    for given in (jnp.asarray(0.2), None):
        device = dot_diode(dots={"field_classes": 3, "field_dispersion": given}, edges=(4, 8, 4), series_ohm=100.0)
        base = where(device)

        @jax.jit
        def current(x, device=device, base=base):
            moved = eqx.tree_at(where, device, tuple(b * (1 + dx) for b, dx in zip(base, x, strict=True)))
            return jnp.log(-operate(moved, -1.0).current_A)

        zero = jnp.zeros(len(base))
        exact = jax.jit(jax.grad(current))(zero)
        numeric = checks.central_differences(current, zero, halvings=4)
        assert jnp.min(jnp.abs(exact)) > 1e-5
        np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-6 * float(jnp.max(jnp.abs(exact))))


@pytest.mark.parametrize(
    ("dots", "message"),
    [
        ("{field_classes: 3}", r"field_classes must be the same .* 1 in QDiP, 3 in second"),
        ("{geometry: {kind: slab, barrier: near_field}}", r"geometry.barrier is not a known key of kind slab"),
    ],
)
def test_what_is_refused(tmp_path, dots, message):
    text = f"""
defaults: [qdip_photodiode, /material@layers.second.material: pbs_in_mapb_halide, _self_]
name: two
order: [glass, FTO, TiO2, QDiP, second, spiro, Au]
layers: {{second: {{thickness_nm: 50, material: {{dots: {dots}}}}}}}
"""
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_device("two", config_dir=tmp_path)
