"""Dots of several sizes: what each size absorbs, generates and exchanges on its own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import dot_diode, dot_film

from invdesign.analyses.illumination import light_of
from invdesign.analyses.operating_point import operate
from invdesign.analyses.transient import pumped
from invdesign.config import load_device
from invdesign.constants import HC_EV_NM
from invdesign.errors import InputError
from invdesign.figures.registry import characterise, evaluate_figures
from invdesign.materials.mixing import exciton_width_eV
from invdesign.solve.newton import Target
from invdesign.solve.stepping import DEFAULTS, Drive, Square, at_rest, take_step

KT = jnp.asarray(0.025852)


def line(film):
    """Spread of the exciton energies and homogeneous width of the line, eV."""
    dots = film.dots
    total, homogeneous = (
        float(exciton_width_eV(dots.exciton_energy_eV, dots.diameter_nm, jnp.asarray(spread)))
        for spread in (dots.size_dispersion, 0.0)
    )
    return np.sqrt(total**2 - homogeneous**2), homogeneous


def generation(film):
    """Thermal generation per dot over that of dots of the mean size."""
    one, all_sizes = film.ensemble(KT), film.ensembles(KT)
    return float(jnp.sum(all_sizes.density * all_sizes.thermal_ratio) / jnp.sum(all_sizes.density) / one.thermal_ratio)


def test_large_dots_generate_most():
    """A spread sigma of exciton energies multiplies the thermal generation by exp(sigma^2/2(kT)^2).

    Where the size law is straight: dispersion 1 % (8 meV), whose curvature leaves 2e-3. At 5 % (38 meV) that would be
    2.9; the integral of exp(-E_x(d)/kT) over the lognormal distribution of d, by the trapezoid rule, is 2.59, since
    levels fall more slowly the larger a dot is. 2e-3: five points.
    """
    narrow = dot_film(size_dispersion=0.01, size_classes=5)
    assert generation(narrow) == pytest.approx(np.exp((line(narrow)[0] / float(KT)) ** 2 / 2), rel=2e-3)
    wide = dot_film(size_dispersion=0.05, size_classes=5)
    x = np.linspace(-8, 8, 2001)
    d = 4.32 * np.exp(0.05 * x)
    boltzmann = np.exp(-(x**2) / 2 - 1 / (0.0252 * d**2 + 0.283 * d) / float(KT))
    alone = np.exp(-1 / (0.0252 * 4.32**2 + 0.283 * 4.32) / float(KT))
    integral = np.trapezoid(boltzmann, x) / np.sqrt(2 * np.pi) / alone
    assert 2.5 < integral < 2.7
    assert generation(wide) == pytest.approx(integral, rel=2e-3)


def test_the_volume_of_all_dots_is_the_fraction_that_was_asked_for():
    """sum N_k pi d_k^3/6 = f, and a dot is caught by its cross-section: c_k ~ d_k^2."""
    film = dot_film(size_classes=5)
    ensemble, diameters = film.ensembles(KT), film.dots.sizes[0]
    filled = jnp.sum(ensemble.density[:, 0, 0] * jnp.pi / 6 * (diameters * 1e-7) ** 3)
    assert float(filled) == pytest.approx(0.29, rel=1e-12)
    capture = ensemble.capture_coefficient[:, 0, 0] / diameters**2
    np.testing.assert_allclose(capture, capture[0], rtol=1e-12)


def test_light_picks_the_dots_whose_line_it_meets():
    """At detuning D from the mean exciton, the mean detuning of the dots that absorb is D s_i^2/(s_i^2 + s_h^2), a
    product of two Gaussians. Dispersion 2 % (15 meV, as wide as the line): 1 meV is what volume, peak height and the
    curvature of the size law change."""
    film = dot_film(size_dispersion=0.02, size_classes=9)
    spread, homogeneous = line(film)
    detuning = np.array([-0.03, -0.015, 0.0, 0.01])
    centre = float(film.dots.exciton_energy_eV)
    shares = np.asarray(film.size_shares(jnp.asarray(HC_EV_NM / (centre + detuning))))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    levels = [float(film.of_diameter(d).dots.exciton_energy_eV) - centre for d in film.dots.sizes[0]]
    expected = detuning * spread**2 / (spread**2 + homogeneous**2)
    np.testing.assert_allclose(shares @ np.array(levels), expected, rtol=0, atol=1e-3)
    far = film.size_shares(jnp.array([1e4]))
    assert bool(jnp.all(jnp.isfinite(far)))


def test_classes_of_one_size_are_one_size():
    """Dispersion 0: three classes are the same dots, at -1 V, 1240 nm. 1e-9: another order of the same sums."""
    compute = jax.jit(lambda device: evaluate_figures(characterise(device, 1.0, jnp.array([1240.0]))))
    found = []
    for sizes in (1, 3):
        device = dot_diode(sizes=sizes)
        path = lambda d: d.layers["layer1"].material.dots.size_dispersion  # noqa: E731
        found.append(compute(eqx.tree_at(path, device, jnp.zeros(()))))
    for name, value in found[0].items():
        assert float(found[1][name]) == pytest.approx(float(value), rel=1e-9), name


def test_a_step_in_time_of_classes_of_one_size_is_that_of_one_size():
    """Dispersion 0, -0.5 V, 10 uJ/cm^2 at 1240 nm at once, 10 ps later: three classes have become what one has.

    1e-9: other sums of the same numbers; populations have moved by more than 1e-3.
    """
    found = []
    for sizes in (1, 3):
        path = lambda d: d.layers["layer1"].material.dots.size_dispersion  # noqa: E731
        device = eqx.tree_at(path, dot_diode(sizes=sizes, edges=(4, 8, 4)), jnp.zeros(()))
        point = operate(device, -0.5)
        pulse = light_of(device, jnp.array([1240.0]), jnp.array([1e-5]))
        start = pumped(point.system, at_rest(point.system, point.state, point.light), pulse)
        target = Target(-0.5 / point.system.kT, point.light)
        drive = Drive(target, jax.tree.map(jnp.zeros_like, target), Square())
        zero = jnp.zeros(())
        end = jax.jit(take_step, static_argnums=6)(point.system, drive, start, zero, zero, jnp.asarray(1e-11), DEFAULTS)
        found.append((start.dots, end.moment.dots, end.current, end.error))
    one, three = found
    assert jnp.isfinite(three[3]) and jnp.max(jnp.abs(three[1] - three[0])) > 1e-3
    for alone, together in zip(one[:2], three[:2], strict=True):
        np.testing.assert_allclose(together, jnp.stack([alone] * 3, axis=1), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(three[2], one[2], rtol=1e-9)


def test_sizes_must_agree_between_layers(tmp_path):
    text = """
defaults: [qdip_photodiode, /material@layers.second.material: pbs_in_mapb_halide, _self_]
name: two
order: [glass, FTO, TiO2, QDiP, second, spiro, Au]
layers: {second: {thickness_nm: 50, material: {dots: {size_classes: 3}}}}
"""
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=r"size_classes must be the same .* 1 in QDiP, 3 in second"):
        load_device("two", config_dir=tmp_path)
