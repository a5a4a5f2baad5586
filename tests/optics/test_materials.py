"""Permittivities: agreement with published data, causality, transparency below gaps, tables, mixing rules."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from invdesign.constants import HC_EV_NM
from invdesign.materials import optical
from invdesign.materials.mixing import Bruggeman, MaxwellGarnett, bulk_pbs, dot_permittivity, exciton_width_eV
from invdesign.materials.optical import OpticalModel
from invdesign.schema import InputError, read, write

CONF = Path(__file__).parents[2] / "conf" / "optical"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


def value(x):
    return jnp.asarray(x, jnp.float64)


def load(name):
    return read(OpticalModel, yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8")), f"optical.{name}")


def index(model, *wavelengths):
    return np.sqrt(np.asarray(model.permittivity(jnp.asarray(wavelengths, jnp.float64))))


@jax.jit
def dots(wavelength, energy=HC_EV_NM / 1240, diameter=4.32, dispersion=0.05):
    return dot_permittivity(jnp.atleast_1d(value(wavelength)), value(energy), value(diameter), value(dispersion))


@jax.jit
def perovskite(wavelength, gap=1.57 + 0.39 / 6 + 0.33 / 36):
    return optical.MapbHalideSpectrum(band_gap_eV=value(gap)).permittivity(jnp.atleast_1d(value(wavelength)))


# n and k read off the published tables, and the rms error of each fit as its tolerance
PUBLISHED = [
    ("au", 650, 0.293 + 3.296j, 1e-3),  # Rakic's own formula
    ("fto", 1240, None, None),
    ("glass", 589, 1.5233, 1e-3),
    ("ito", 1600, 0.226 + 1.559j, 0.03),
    ("tio2", 600, 2.407, 0.015),
    ("silicon", 400, 5.607 + 0.3355j, 1e-3),
    ("silicon", 1100, 3.546 + 3.378e-5j, 1e-3),
    ("moo3", 600, 1.833 + 0.0026j, 0.01),
    ("zno", 1000, 1.596, 0.02),
    ("mapb_halide", 600, None, None),
    ("pbs", 1240, None, None),
    ("spiro", 1240, 1.60, 0.02),
    ("pbs_film", 1240, None, None),
]


def test_every_preset_is_checked():
    assert {name for name, *_ in PUBLISHED} == set(NAMES)


@pytest.mark.parametrize(("name", "wavelength", "published", "tolerance"), PUBLISHED)
def test_presets_agree_with_published_indices(name, wavelength, published, tolerance):
    """The YAML presets read, write and evaluate; n + ik at one wavelength is that of the source."""
    model = load(name)
    assert write(read(OpticalModel, write(model), "")) == write(model)
    assert model.source
    if published is not None:
        assert abs(index(model, wavelength)[0] - published) < tolerance


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_passive_and_smooth(name):
    """No gain from 300 to 1600 nm, and d(eps)/d(wavelength) agrees with central differences: no kinks, no nan."""
    model, wavelength = load(name), jnp.linspace(301, 1599, 53)
    both = jax.jit(lambda w: jnp.stack([(eps := model.permittivity(w)).real, eps.imag]))
    assert (both(wavelength)[1] >= 0).all()
    _, slope = jax.jvp(both, (wavelength,), (jnp.ones_like(wavelength),))
    difference = (both(wavelength + 1e-3) - both(wavelength - 1e-3)) / 2e-3
    np.testing.assert_allclose(slope, difference, rtol=1e-3, atol=2e-5 * float(jnp.abs(slope).max()))


@pytest.mark.parametrize(
    ("model", "pole"), [(dots, 0.0), (lambda w: perovskite(w, 1.57), optical._MAPBI3.pole)], ids=["dots", "perovskite"]
)
def test_dots_and_perovskite_are_causal(model, pole):
    """Differences of Re eps are those of the transform of Im eps by brute force (constants drop out): the sum over
    every second point of a linear grid, 1.25 meV wide, to 20 eV. Its end and its width leave 0.01 of about 18 and 5."""
    grid = np.linspace(0.0, 20, 16001)[1:]
    imag = np.asarray(model(HC_EV_NM / grid)).imag
    real = []
    for i in (640, 800, 2000):  # 0.8, 1.0 and 2.5 eV
        other = slice((i + 1) % 2, None, 2)
        kernel = grid / (grid**2 - (grid[i] + 1e-30) ** 2 + np.where(grid == grid[i], np.inf, 0))
        real.append(2 / np.pi * 2 * 1.25e-3 * np.sum((kernel * imag)[other]) + pole / (49 - grid[i] ** 2))
    found = np.asarray(model(HC_EV_NM / grid[[640, 800, 2000]])).real
    np.testing.assert_allclose(np.diff(found), np.diff(real), rtol=0, atol=0.01)


def test_kramers_kronig_of_a_lorentzian():
    """The transform of a Lorentz oscillator's Im eps is its Re eps; what lies beyond 60 eV leaves 1e-4."""
    energy = jnp.asarray([0.5, 1.0, 1.9, 2.0, 2.1, 4.0])
    known = optical.lorentzian(energy, 3.0, 2.0, 0.4)
    found = optical.kramers_kronig(lambda e: optical.lorentzian(e, 3.0, 2.0, 0.4).imag, energy, 1e-3, 60.0, 0.01)
    np.testing.assert_allclose(found, known.real, rtol=0, atol=1e-4)


def test_tauc_lorentz_is_causal():
    """Jellison and Modine's closed form is the transform of its own Im eps; truncation at 200 eV leaves 1e-3."""
    model = load("tio2")
    energy = jnp.asarray([1.0, 2.5, 3.2, 4.0])
    found = optical.kramers_kronig(
        lambda e: model.permittivity((HC_EV_NM / e).ravel()).imag.reshape(e.shape), energy, 3.0, 200.0, 1e-3
    )
    known = model.permittivity(HC_EV_NM / energy).real - float(model.eps_infinity)
    np.testing.assert_allclose(found, known, rtol=0, atol=2e-3)


def test_perovskite_has_its_sources_indices_and_no_absorption_below_its_gap():
    """MAPbI3 of Phillips, MAPbBr3 of McCleese at 600/400 nm; tolerance three times the rms error of the fits."""
    iodide, bromide = perovskite([600.0, 1240.0], 1.57), perovskite([400.0, 1240.0], 2.29)
    assert abs(np.sqrt(iodide[0]) - (2.446 + 0.366j)) < 0.03
    assert abs(np.sqrt(bromide[0]) - (2.381 + 0.404j)) < 0.015
    assert abs(np.sqrt(bromide[1]) - 2.028) < 0.01
    assert 0 < iodide[1].imag < 1e-10
    assert perovskite(1240.0)[0].imag < 1e-10


def test_perovskite_edge_follows_the_gap():
    """A gap wider by 50 meV moves the energy where Im eps is 0.1 by 50 meV, within 10 %: the shape changes, too."""

    def edge(gap):
        energy = np.linspace(1.4, 2.0, 3001)
        return energy[np.argmax(np.asarray(perovskite(HC_EV_NM / energy, gap)).imag > 0.1)]

    assert edge(1.70) - edge(1.65) == pytest.approx(0.05, rel=0.1)
    model = load("mapb_halide").shifted(value(0.05))
    assert float(model.band_gap_eV) == pytest.approx(1.6941667)
    assert float(load("mapb_halide").bromide_fraction) == pytest.approx(1 / 6, abs=1e-6)


def intrinsic_absorption(wavelength, **of):
    """Absorption per dot volume in a solvent of n = 1.5, cm^-1: (2 pi/lambda n) |3 n^2/(eps + 2 n^2)|^2 Im eps."""
    eps = np.asarray(dots(wavelength, **of))[0]
    return 2 * np.pi / (1.5 * wavelength * 1e-7) * abs(4.5 * 1.5 / (eps + 4.5)) ** 2 * eps.imag


def test_dots_absorb_as_measured():
    """1.71e5 to 1.83e5 cm^-1 at 400 nm (Moreels 2009); 1.06e4 cm^-1 at the exciton of 1 eV dots (Cademartiri 2006)."""
    assert 1.71e5 < intrinsic_absorption(400.0) < 1.83e5
    assert intrinsic_absorption(1240.0) == pytest.approx(1.06e4, rel=0.01)
    # peak height of other sizes: 19600 r^2.32 per M cm; the bulk-like part under the peak leaves 20 %
    for d in (3.5, 5.0, 6.5):
        energy = 0.41 + 1 / (0.0252 * d**2 + 0.283 * d)
        expected = math.log(10) * 1e3 * 19600 * (d / 2) ** 2.32 / (6.022e23 * math.pi / 6 * (d * 1e-7) ** 3)
        assert intrinsic_absorption(HC_EV_NM / energy, energy=energy, diameter=d) == pytest.approx(expected, rel=0.2)


def test_dots_line_width_and_onset():
    """5 % of 4.32 nm is 38 meV (0.175 eV/nm), the homogeneous line of 30 meV full width adds 12.6 meV: 39.8 meV. Four
    of them below the exciton, at 1480 nm, less than 1/1000 of the peak is left."""
    assert float(exciton_width_eV(value(1.0), value(4.32), value(0.05))) == pytest.approx(0.0398, abs=2e-4)
    assert dots(1480.0)[0].imag < 1e-3 * dots(1240.0)[0].imag
    valley = dots(HC_EV_NM / 1.13)[0].imag / dots(1240.0)[0].imag
    assert 0.1 < valley < 0.4
    # far above, dots are bulk PbS
    assert dots(400.0)[0].imag == pytest.approx(float(bulk_pbs(value(HC_EV_NM / 400)).imag), rel=0.01)


def test_dots_change_smoothly_with_size():
    """d eps/d(diameter), the exciton energy with it, against central differences; h^2 leaves 1e-6."""

    def real_and_imag(d):
        eps = dots([700.0, 1100.0, 1240.0], 0.41 + 1 / (0.0252 * d**2 + 0.283 * d), d)
        return jnp.concatenate([eps.real, eps.imag])

    slope = jax.jacfwd(real_and_imag)(value(4.4))
    difference = (real_and_imag(value(4.4 + 1e-4)) - real_and_imag(value(4.4 - 1e-4))) / 2e-4
    np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [MaxwellGarnett(), Bruggeman()])
def test_mixing_limits(rule):
    """No dots: the host, share 0. Only dots: the dots, share 1. Closed forms, round-off."""
    host, dot = jnp.asarray([5.0 + 0.3j]), jnp.asarray([17.0 + 3.0j])
    for fraction, medium, share in ((0.0, host, 0.0), (1.0, dot, 1.0)):
        mixed, found = rule.mix(host, dot, value(fraction))
        np.testing.assert_allclose(mixed, medium, rtol=1e-13)
        np.testing.assert_allclose(found, share, atol=1e-13)


@pytest.mark.parametrize("rule", [MaxwellGarnett(), Bruggeman()])
def test_mixing_rules_solve_their_equations(rule):
    """The defining equation of each rule holds; Maxwell Garnett's host takes the rest, f_h Im eps_h <|E_h|^2>."""
    host, dot, f = jnp.asarray([5.0 + 0.3j]), jnp.asarray([17.0 + 9.0j]), 0.29
    (mixed,), (share,) = rule.mix(host, dot, value(f))
    h, d = complex(host[0]), complex(dot[0])
    if rule.kind == "bruggeman":
        assert abs(f * (d - mixed) / (d + 2 * mixed) + (1 - f) * (h - mixed) / (h + 2 * mixed)) < 1e-14
    else:
        assert abs((mixed - h) / (mixed + 2 * h) - f * (d - h) / (d + 2 * h)) < 1e-14
        inside = 3 * h / (d + 2 * h)
        in_dots = f * d.imag * abs(inside / (1 - f + f * inside)) ** 2
        assert float(share) == pytest.approx(in_dots / complex(mixed).imag, rel=1e-12)
    assert 0 < float(share) < 1


def test_share_in_the_film():
    """At 650 nm the dots (f = 0.29) take about half of what the layer absorbs; below the host's gap all of it. At 1240
    nm the film's absorption is 7.1e3 cm^-1 by Maxwell Garnett and a third more by Bruggeman."""
    wavelength = jnp.asarray([650.0, 1240.0, 3000.0])
    film, share = MaxwellGarnett().mix(perovskite(wavelength), dots(wavelength), value(0.29))
    assert float(share[0]) == pytest.approx(0.52, abs=0.03)
    assert float(share[1]) == pytest.approx(1, abs=1e-9)
    alpha = 4 * np.pi * np.sqrt(np.asarray(film))[1].imag / 1240e-7
    assert alpha == pytest.approx(7.1e3, rel=0.02)
    other, _ = Bruggeman().mix(perovskite(wavelength), dots(wavelength), value(0.29))
    assert 1.2 < np.sqrt(np.asarray(other))[1].imag / np.sqrt(np.asarray(film))[1].imag < 1.4
    gradient = jax.grad(lambda f: MaxwellGarnett().mix(perovskite(wavelength), dots(wavelength), f)[1].sum())(
        value(0.29)
    )
    assert np.isfinite(gradient)


def table(tmp_path, text):
    path = tmp_path / "nk.csv"
    path.write_text(text, encoding="utf-8")
    return {"kind": "table", "file": str(path)}


def test_a_table_goes_through_its_rows_and_never_beyond_them(tmp_path):
    rows = "# source\nwavelength_nm,n,k\n400,2.0,0.5\n600,1.8,0.1\n900,1.7,0\n"
    model = read(OpticalModel, table(tmp_path, rows), "")
    assert model.range_nm == (400.0, 900.0)
    np.testing.assert_allclose(index(model, 400, 600, 900), [2 + 0.5j, 1.8 + 0.1j, 1.7], rtol=1e-14)
    assert (index(model, *np.linspace(400, 900, 300)).imag >= 0).all()
    assert np.isnan(index(model, 399.9, 900.1)).all()
    optical.require([model], np.array([400.0, 900.0]))
    with pytest.raises(
        InputError, match=r"wavelength 901 nm is outside the n,k table '.*nk.csv', which covers 400 to 900"
    ):
        optical.require([load("glass"), model], np.array([500.0, 901.0]))


def test_parametric_models_say_where_they_extrapolate():
    flags = optical.extrapolated([load("spiro"), load("au")], np.array([300.0, 600.0, 1240.0]))
    assert flags.tolist() == [True, False, True]
    load("spiro").require(np.array([1240.0]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wavelength,n,k\n1,1,0\n2,1,0\n", "first line must be wavelength_nm,n,k"),
        ("", "first line must be"),
        ("wavelength_nm,n,k\n400,1.5\n500,1.5,0\n", "hold 3 numbers"),
        ("wavelength_nm,n,k\n400,1.5,x\n500,1.5,0\n", "hold 3 numbers"),
        ("wavelength_nm,n,k\n500,1.5,0\n400,1.5,0\n", "ascending"),
        ("wavelength_nm,n,k\n400,nan,0\n500,1.5,0\n", "finite"),
        ("wavelength_nm,n,k\n400,1.5,-1\n500,1.5,0\n", "k must not be negative"),
        ("wavelength_nm,n,k\n400,1.5,0\n", "two or more"),
    ],
)
def test_malformed_tables_are_explained(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        read(OpticalModel, table(tmp_path, text), "layers.x.optical")


def test_missing_table_and_impossible_oscillator_are_explained():
    with pytest.raises(InputError, match=r"no such n,k table; give a path or one of silicon\.csv"):
        read(OpticalModel, {"kind": "table", "file": "nowhere.csv"}, "")
    broad = {"kind": "tauc_lorentz", "amplitude_eV": 1, "energy_eV": 2, "width_eV": 4, "gap_eV": 1}
    with pytest.raises(InputError, match="width_eV=4: must be below"):
        read(OpticalModel, broad, "")
