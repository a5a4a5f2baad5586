"""Light from a spectrum file: its integral, its gathering onto fewer wavelengths, and what is said about bad files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import silicon_diode

from invdesign import InputError, load_device
from invdesign.analyses.illumination import absorption, photon_flux, steady_light
from invdesign.device import illumination
from invdesign.device.device import Device
from invdesign.device.illumination import Blackbody, Illumination, Measured, Monochromatic
from invdesign.schema import read, write

HEADER = "wavelength_nm,irradiance_W_per_m2_nm"


def lamp(path, wavelength, irradiance, **keys) -> Measured:
    rows = "\n".join(f"{a:.17g},{b:.17g}" for a, b in zip(wavelength, irradiance, strict=True))
    path.write_text(f"# a lamp\n{HEADER}\n{rows}\n", encoding="utf-8")
    return read(Illumination, {"kind": "spectrum", "file": str(path)} | keys)


def planck(wavelength, temperature=5778.0):
    """Any unit: it is scaled."""
    return wavelength**-5.0 / np.expm1(1.438776877e7 / (wavelength * temperature))


def absorbed(light: Illumination) -> float:
    """Photons absorbed in a silicon diode, whose n and k are the same at all wavelengths, cm^-2 s^-1."""
    found = jax.jit(steady_light)(silicon_diode(illumination=light))
    assert found is not None
    return float(jnp.sum(found.host))


def test_a_narrow_line_is_monochromatic_light(tmp_path):
    """A triangle of +-0.01 nm at 650 nm and 2 W/m2/nm has 2 * 0.01 W/m2 = 2e-6 W/cm2. 1e-9: optics is smooth."""
    line = lamp(tmp_path / "line.csv", [649.99, 650.0, 650.01], [0.0, 2.0, 0.0])
    same = Monochromatic(wavelength_nm=650.0, irradiance_W_per_cm2=2e-6)
    assert absorbed(line) == pytest.approx(absorbed(same), rel=1e-9)


def test_a_sampled_blackbody_is_a_blackbody(tmp_path):
    """Planck's spectrum on the blackbody's own grid, with its total: the same light to round-off."""
    grid = np.linspace(300, 1600, 66)
    sun = lamp(tmp_path / "sun.csv", grid, planck(grid), irradiance_W_per_cm2=0.1)
    for ours, theirs in zip(sun.spectrum(), Blackbody(irradiance_W_per_cm2=0.1).spectrum(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_units_scale_and_limits(tmp_path):
    """1 W/m2/nm from 400 to 900 nm is 500 W/m2 = 0.05 W/cm2; three suns of it; half of it; 1 mW/cm2 of it."""
    grid = np.linspace(400, 900, 51)
    for keys, total in (
        ({}, 0.05),
        ({"scale": 3}, 0.15),
        ({"shortest_nm": 650}, 0.025),
        ({"longest_nm": 650, "irradiance_W_per_cm2": 1e-3, "scale": 2}, 2e-3),
    ):
        wavelength, irradiance = lamp(tmp_path / "flat.csv", grid, np.ones(51), **keys).spectrum()
        assert float(jnp.sum(irradiance)) == pytest.approx(total, rel=1e-12)
        assert keys.get("shortest_nm", 400) == wavelength[0] and keys.get("longest_nm", 900) == wavelength[-1]


def test_many_rows_are_gathered_with_their_power_and_their_photons(tmp_path):
    """5000 rows of a rough spectrum, some of them dark: sum P and sum P lambda are kept, which are power and photons.

    What a device absorbs changes by the curvature of its absorptance in a step of 0.8 %: 1e-3 of it.
    """
    grid = np.linspace(300, 1500, 5000)
    rough = planck(grid) * np.random.default_rng(0).random(5000) * (np.abs(grid - 940) > 30)
    sun = lamp(tmp_path / "sun.csv", grid, rough, irradiance_W_per_cm2=0.1)
    wavelength, irradiance = sun.spectrum()
    assert len(wavelength) <= illumination.MOST_POINTS and np.all(np.diff(wavelength) > 0)
    power = rough * np.gradient(grid)
    power[[0, -1]] /= 2
    power *= 0.1 / np.sum(power)
    assert float(jnp.sum(irradiance)) == pytest.approx(0.1, rel=1e-12)
    photons = float(jnp.sum(photon_flux(wavelength, irradiance)))
    assert photons == pytest.approx(float(jnp.sum(photon_flux(jnp.asarray(grid), jnp.asarray(power)))), rel=1e-12)
    coarse = absorbed(sun)
    illumination.MOST_POINTS, before = 5000, illumination.MOST_POINTS
    try:
        assert coarse == pytest.approx(absorbed(sun), rel=1e-3)
    finally:
        illumination.MOST_POINTS = before


@pytest.mark.parametrize(
    ("text", "keys", "says"),
    [
        ("wavelength_nm,irradiance\n1,1\n2,1\n", {}, f"first line must be {HEADER}, not 'wavelength_nm,irradiance'"),
        (f"{HEADER}\n400,1\n500\n", {}, "hold 2 numbers"),
        (f"{HEADER}\n400,1\n500,nan\n", {}, "finite"),
        (f"{HEADER}\n500,1\n400,1\n", {}, "ascending"),
        (f"{HEADER}\n400,1\n", {}, "two or more lines"),
        (f"{HEADER}\n400,1\n500,-1\n", {}, "the irradiance must not be negative"),
        (f"{HEADER}\n400,0\n500,0\n", {}, "zero everywhere"),
        (f"{HEADER}\n400,1\n500,1\n", {"shortest_nm": 450}, "fewer than two rows .* the file covers 400 to 500 nm"),
        (f"{HEADER}\n400,1\n500,1\n", {"scale": -1}, r"scale=-1: must be a finite number >= 0"),
        (f"{HEADER}\n400,1\n500,1\n", {"power": 1}, r"power is not a known key of kind spectrum"),
        (None, {}, r"lamp\.csv: there is no such spectrum"),
    ],
)
def test_bad_files_are_explained(tmp_path, text, keys, says):
    path = tmp_path / "lamp.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        read(Illumination, {"kind": "spectrum", "file": str(path)} | keys, "device.illumination")
    assert str(caught.value).startswith("device.illumination") and "\n" not in str(caught.value)


def test_light_outside_an_n_k_table_is_refused(tmp_path):
    """Silicon's table ends at 1600 nm: light beyond is left out by `longest_nm`, or the device is refused."""
    lamp(tmp_path / "sun.csv", [400.0, 800.0, 1400.0, 2000.0], [1.0, 2.0, 1.0, 1.0])
    light = f"illumination={{kind: spectrum, file: {tmp_path}/sun.csv}}"
    with pytest.raises(InputError, match=r"illumination: wavelength 2000 nm is outside the n,k table"):
        load_device("silicon_pn", light)
    device = load_device("silicon_pn", light.replace("}", ", longest_nm: 1400}"))
    assert write(read(Device, write(device))) == write(device)


def test_a_spectrum_beside_the_device_file_is_found(tmp_path):
    lamp(tmp_path / "sun.csv", [400.0, 800.0], [1.0, 2.0])
    (tmp_path / "mine.yaml").write_text("defaults: [silicon_pn]\nillumination: {kind: spectrum, file: sun.csv}\n")
    light = load_device(tmp_path / "mine.yaml").illumination
    assert isinstance(light, Measured) and light.file == str(tmp_path / "sun.csv")


def test_light_stands_on_nodes_where_it_is_absorbed():
    """Silicon behind an ohmic contact at 400 and 500 nm, 6 um thick: mean depth of absorption = wavelength / (4 pi k).

    2e-3: at 400 nm the first edge is as long as that depth, and absorption on it is taken for linear (3e-4). Light on
    the node in whose half of an edge it is absorbed would be wrong by 4 %.
    """
    device, wavelength = load_device("silicon_pn"), jnp.asarray([400.0, 500.0])
    found = absorption(device, wavelength)
    start, nodes = 0.0, []
    for name in device.electrical:
        x = start + device.mesh(name).nodes * float(device.layers[name].thickness_nm)
        nodes.append(np.stack([x[:-1], x[1:]]))
        start = x[-1]
    weight = np.asarray(found.host)
    depth = np.sum(weight * np.concatenate(nodes, axis=1), axis=(1, 2)) / np.sum(weight, axis=(1, 2))
    k = jnp.imag(jnp.sqrt(device.layers["p"].material.permittivity(wavelength)))
    np.testing.assert_allclose(depth, wavelength / (4 * np.pi * k), rtol=2e-3)
