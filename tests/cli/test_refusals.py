"""What the real jobs refuse before they make a folder: light where the device has no optical data, no bias at all."""

import jax
import numpy as np
import pytest

from invdesign import cli, load_settings
from invdesign.jobs.simulate import asked
from invdesign.jobs.simulation import simulate
from invdesign.jobs.tables import all_tables


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder but for a table of n and k between 2000 and 2100 nm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.csv").write_text("wavelength_nm,n,k\n2000,3.4,0\n2100,3.4,0\n")
    return tmp_path


NO_FOLDER = {
    "objective": (
        ["simulate", "device=silicon_pn", "objective.wavelength_nm=2000"],
        "objective: wavelength 2000 nm is outside the n,k table 'silicon.csv', which covers 300 to 1600 nm",
    ),
    "spectrum": (
        ["simulate", "device=silicon_pn", "spectrum.stop_nm=1700"],
        "spectrum: wavelength 1610 nm is outside the n,k table 'silicon.csv'",
    ),
    "no bias": (["simulate", "reverse_bias_V=[]"], "reverse_bias_V: the list is empty"),
    "nothing in common": (
        ["validate", "device=silicon_pn", "device.layers.p.material.optical.file=far.csv"],
        "the n,k tables of its layers have no wavelength between 300 and 1600 nm in common",
    ),
}


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
@pytest.mark.parametrize(("words", "message"), NO_FOLDER.values(), ids=NO_FOLDER.keys())
def test_a_job_that_cannot_begin_leaves_nothing(place, capsys, words, message, flags):
    assert cli.main([*words, *flags, "compile_cache=false"]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out
    assert [path.name for path in place.iterdir()] == ["far.csv"]


@pytest.mark.slow
def test_a_table_that_ends_before_975_nm_is_no_obstacle(place):
    """975 nm is for comparison only; a device without data there has the other wavelengths."""
    (place / "red.csv").write_text("wavelength_nm,n,k\n600,3.9,0.02\n900,3.6,0.002\n")
    settings = load_settings(
        "simulate",
        "device=silicon_pn",
        *(f"device.layers.{name}.edges=4" for name in "pn"),
        *(f"device.layers.{name}.material.optical.file=red.csv" for name in "pn"),
        "objective.wavelength_nm=850",
        "reverse_bias_V=[1]",
        "voltage={start_V: -1, stop_V: 0, step_V: 1}",
        "spectrum={start_nm: 600, stop_nm: 900, step_nm: 100}",
        "frequency={start_Hz: 1, stop_Hz: 10, points_per_decade: 1}",
    )
    with jax.numpy_dtype_promotion("standard"):
        tables = all_tables(simulate(settings.device, asked(settings)))
    assert set(tables["gain"]["wavelength_nm"]) == {850.0}
    np.testing.assert_array_equal(tables["spectrum"]["wavelength_nm"], [600, 700, 800, 900])
    np.testing.assert_array_equal(tables["absorptance"]["wavelength_nm"], [600, 700, 800, 900])
    assert "rates" not in tables and np.all(np.asarray(tables["spectrum"]["eqe"]) > 0)
