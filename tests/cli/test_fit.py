"""`python -m invdesign fit` once, on a coarse junction and few points, and what it leaves behind and refuses."""

import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

import invdesign
from invdesign import cli, load_settings, presets
from invdesign.device.device import Device
from invdesign.fitting import posterior
from invdesign.fitting.least_squares import Solution
from invdesign.fitting.residuals import Evaluation
from invdesign.fitting.uncertainty import Linearised
from invdesign.jobs import fit
from invdesign.run.folder import read_table
from invdesign.schema import read, write

SAMPLED = importlib.util.find_spec("numpyro") is not None
COARSE = ["device.layers.p.edges=16", "device.layers.n.edges=24"]
ARGUMENTS = [
    *COARSE,
    *(f"~dataset.curves.{name}" for name in ("eqe", "responsivity", "noise", "photoresponse", "bandwidth")),
    "~dataset.curves.lit",
    "device.layers.p.material.recombination.electron_lifetime_s=3e-9",
    "device.layers.p.material.electron_mobility_cm2_per_Vs=700",
    "parameters.p_lifetime.frozen=true",
    "~parameters.p_mobility",
    "parameters.n_doping.prior={mean_cm3: 6e15, sigma_decades: 0.5}",
    # the current densities of the dark curve, of a sample of another area
    "dataset.devices.wide.area_cm2=0.03",
    "dataset.curves.wide={kind: dark_jv, device: wide, log: true, relative_sigma: 0.02, data: {voltage_V: [-1, 0.4], "
    "current_density_A_per_cm2: [-5.956e-8, 2.4861e-4]}}",
    "fitter.starts=2",
    "fitter.candidates=4",
    "fitter.profile_points=3",
    *(["fitter.posterior={samples: 120, warmup: 100, chains: 1}"] if SAMPLED else []),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ran):
    place = tmp_path_factory.mktemp("fit")
    done = ran(place, "fit", *ARGUMENTS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    (path,) = (place / "outputs" / "fit").iterdir()
    assert "n_doping: 1e+16 ->" in done.stdout and "results in" in done.stdout
    return path


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_the_numbers_behind_the_data_are_found(result):
    """Those of benchmarks/example_data.py. The mesh is coarser than that of the data: 10 % and not the error bars."""
    parameters = result["parameters"]
    assert list(parameters) == ["p_lifetime", "n_lifetime", "n_doping"]
    assert parameters["n_lifetime"]["value"] == pytest.approx(4e-7, rel=0.1)
    assert parameters["n_doping"]["value"] == pytest.approx(6e15, rel=0.1)
    assert parameters["p_lifetime"]["status"] == "frozen" and parameters["p_lifetime"]["value"] == 3e-9
    for name in ("n_lifetime", "n_doping"):
        row = parameters[name]
        low, high = row["interval_68"]
        assert row["interval_95"][0] < low < row["value"] < high < row["interval_95"][1]
        assert row["at_bound"] is None and row["standard_error"] > 0
    low, high = parameters["n_lifetime"]["profile_95"]
    assert low < parameters["n_lifetime"]["value"] < high


@pytest.mark.slow
def test_statistics_agree_with_the_tables(folder, result):
    statistics, chi2 = result["statistics"], 0.0
    for name, curve in result["curves"].items():
        table = {key: np.asarray(column) for key, column in read_table(folder / f"{curve['table']}.csv").items()}
        y, model, sigma = (table[f"{part}_{curve['y']}"] for part in ("measured", "model", "sigma"))
        expected = np.log(model / y) / (sigma / np.abs(y)) if curve["log"] else (model - y) / sigma
        np.testing.assert_allclose(table["residual"], expected, rtol=1e-6, atol=1e-6, err_msg=name)
        assert curve["chi2"] == pytest.approx(np.sum(expected**2), rel=1e-6) and curve["failed_points"] == 0
        chi2 += curve["chi2"]
    prior = np.log10(result["parameters"]["n_doping"]["value"] / 6e15) / 0.5
    assert statistics["chi2"] == pytest.approx(chi2 + prior**2, rel=1e-6)
    assert (statistics["rows"], statistics["free_parameters"]) == (13 + 2 + 5 + 3 + 1, 2)
    assert statistics["aic"] == pytest.approx(statistics["chi2"] + 4)
    assert statistics["bic"] == pytest.approx(statistics["chi2"] + 2 * np.log(24))


@pytest.mark.slow
def test_every_file_is_there(folder, result):
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "manifest.json", "result.json", "report.html", "fitted.yaml", "profiles.csv"} <= names
    assert {row["file"] for row in result["tables"].values()} <= names
    drawn = {path.name for path in (folder / "figures").iterdir()}
    for name in ("curve_dark", "curve_capacitance", "profiles", "correlation"):
        assert {f"{name}.png", f"{name}.pdf"} <= drawn
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == 6 + SAMPLED and "95 %, profile" in page and not list(folder.rglob("*.part"))


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLED, reason="numpyro is not installed (pip install 'invdesign[posterior]')")
def test_the_posterior_stands_beside_the_other_intervals(folder, result):
    """Few draws of a nearly normal posterior: the median within half a standard error of the fit, widths to a half."""
    draws = {key: np.asarray(column) for key, column in read_table(folder / "posterior.csv").items()}
    assert len(draws["chain"]) == 120 and set(draws) >= {"n_lifetime_s", "n_doping_cm3", "chi2", "diverged"}
    assert np.all(draws["chi2"] > result["statistics"]["chi2"] - 1e-6)
    for name in ("n_lifetime", "n_doping"):
        row = result["parameters"][name]
        low, high = row["posterior"]["interval_68"]
        assert row["posterior"]["median"] == pytest.approx(row["value"], abs=0.5 * row["standard_error"])
        assert high - low == pytest.approx(2 * row["standard_error"], rel=0.5)
        assert low < row["posterior"]["median"] < high and row["posterior"]["effective_samples"] > 20
    for curve in result["curves"].values():
        table = read_table(folder / f"{curve['posterior_table']}.csv")
        band = {key: np.asarray(column) for key, column in table.items()}
        for part in ("model", "predicted"):
            assert np.all(band[f"{part}_low_{curve['y']}"] < band[f"{part}_high_{curve['y']}"])


@pytest.mark.slow
def test_the_result_keeps_its_schema(result):
    schema = json.loads((Path(invdesign.__file__).parent / "data" / "result.schema.json").read_text())
    jsonschema.validate(result, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result | {"statistics": {}}, schema)


@pytest.mark.slow
def test_the_fitted_device_can_be_used(folder, result):
    device = read(Device, yaml.safe_load((folder / "fitted.yaml").read_text()))
    again = load_settings("simulate", f"device={folder}/fitted.yaml").device
    assert write(device) == write(again)
    wide = read(Device, yaml.safe_load((folder / "fitted_wide.yaml").read_text()))
    assert result["fitted"] == ["fitted.yaml", "fitted_wide.yaml"]
    assert (float(device.area_cm2), float(wide.area_cm2)) == (0.01, 0.03)
    shared = result["parameters"]["n_doping"]
    assert shared["also"] == ["devices.wide.layers.n.material.donor_density_cm3"]
    for each in (device, wide):
        doping = each.layers["n"].material.donor_density_cm3  # type: ignore[attr-defined]
        assert float(doping) == pytest.approx(shared["value"], rel=1e-12)


@pytest.mark.slow
def test_an_interrupted_sampler_leaves_the_fit(tmp_path, monkeypatch):
    """One curve and one parameter; the sampler is interrupted as it begins."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit, "sample", interrupted)
    monkeypatch.setattr(fit, "require_sampler", lambda: None)
    curves = load_settings("fit").dataset.curves
    words = [*COARSE, *(f"~dataset.curves.{name}" for name in curves if name != "dark")]
    words += [f"~parameters.{name}" for name in ("p_lifetime", "p_mobility", "n_doping")]
    words += ["fitter.starts=1", "fitter.profile_points=0", "fitter.posterior={}", "compile_cache=false"]
    assert cli.main(["fit", *words]) == 130
    (folder,) = (tmp_path / "outputs" / "fit").iterdir()
    left = json.loads((folder / "result.json").read_text())
    assert left["status"] == "converged" and "posterior" not in left and set(left["curves"]) == {"dark"}
    assert {row["file"] for row in left["tables"].values()} <= {path.name for path in folder.iterdir()}
    assert load_settings("simulate", f"device={folder}/fitted.yaml").device.uncertainty is not None
    assert json.loads((folder / "manifest.json").read_text())["status"] == "interrupted"


TIED = "layers.p.material.electron_mobility_cm2_per_Vs"
LEVEL = "layers.p.material.recombination.trap_level_eV"


def test_what_is_tied_to_a_fitted_number_is_as_uncertain():
    """A mobility of 700 with that of the n side, 1400, behind a logarithm, and a trap level of -0.1 eV with one of 0.2:
    half of each error, correlated by one and by minus one."""
    other, level = TIED.replace("layers.p", "layers.n"), LEVEL.replace("layers.p", "layers.n")
    settings = load_settings(
        "fit",
        *(f"~parameters.{name}" for name in ("p_lifetime", "n_lifetime", "n_doping", "p_mobility")),
        *(f"device.{path}={value}" for path, value in ((TIED, 700), (other, 1400), (LEVEL, -0.1), (level, 0.2))),
        f"parameters.a={{path: device.{other}, lower_cm2_per_Vs: 100, upper_cm2_per_Vs: 1e4, log: true}}",
        f"parameters.b={{path: device.{level}, lower_eV: 0, upper_eV: 0.5}}",
        f"parameters.c={{path: device.{TIED}, lower_cm2_per_Vs: 100, upper_cm2_per_Vs: 1e4, tied_to: a}}",
        f"parameters.d={{path: device.{LEVEL}, lower_eV: -0.5, upper_eV: 0.5, tied_to: b}}",
        "parameters.e={path: device.area_cm2, lower_cm2: 1e-3, upper_cm2: 1, frozen: true}",
        "dataset.devices.wide.area_cm2=0.03",
        "dataset.curves.wide={kind: dark_jv, device: wide, relative_sigma: 0.02, data: {voltage_V: [-1, 0.4], "
        "current_A: [-1, 1]}}",
    )
    problem = fit.FitProblem(settings)
    rows = np.ones(1), np.ones((1, 2)), np.zeros(1, bool), np.ones(1)
    best = Solution(problem.space.baseline, 0.5, Evaluation(*rows), True, "")
    # of places in the box: errors of 0.1 and 0.2, correlated by 0.2
    covariance = np.array([[0.01, 0.004], [0.004, 0.04]])
    linear = Linearised(np.ones(2, bool), covariance, np.ones(2), np.eye(2))
    for name in (None, "wide"):
        known = fit._uncertainty(problem, best, linear, name, "one")
        errors = dict(zip(known.numbers, known.standard_errors, strict=True))
        mobility, eV = 0.1 * 1400 * np.log(100), 0.2 * 0.5
        assert errors == pytest.approx({other: mobility, level: eV, TIED: mobility / 2, LEVEL: eV / 2}, rel=1e-9)
        place = [known.numbers.index(path) for path in (other, level, TIED, LEVEL)]
        expected = [[1, 0.2, 1, -0.2], [0.2, 1, 0.2, -1], [1, 0.2, 1, -0.2], [-0.2, -1, -0.2, 1]]
        np.testing.assert_allclose(np.array(known.correlation)[np.ix_(place, place)], expected, rtol=1e-9)
    held = linear._replace(free=np.array([False, True]))
    assert set(fit._uncertainty(problem, best, held, None, "one").numbers) == {level, LEVEL}


@pytest.mark.parametrize("name", presets.files("dataset"))
def test_every_packaged_dataset_is_read(name):
    own = name in presets.files("device")
    device = {"qdip_transients": "qdip_photodiode"}.get(name, "qdip_literature")
    words = [f"device={name}"] if own else [f"device={device}", f"dataset={name}", f"parameters={name}"]
    settings = load_settings("fit", *words)
    assert len(settings.dataset.curves) >= 3 and len(settings.parameters) >= 3
    assert re.match("synthetic|.*DOI", write(settings)["dataset"]["source"])


def test_files_of_the_users_own(tmp_path, monkeypatch):
    """A dataset and parameters in a folder of their own, with the CSV file beside them."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "jv.csv").write_text("voltage_mV,current_density_mA_per_cm2\n-100,-1e-6\n100,1e-3\n")
    (mine / "curves.yaml").write_text("curves: {jv: {kind: dark_jv, file: jv.csv, relative_sigma: 0.1, log: true}}\n")
    (mine / "numbers.yaml").write_text("T: {path: device.temperature_K, lower_K: 250, upper_K: 350}\n")
    settings = load_settings("fit", "device=perovskite_nip", "dataset=mine/curves.yaml", "parameters=mine/numbers.yaml")
    np.testing.assert_allclose(settings.dataset.curves["jv"].columns.x, [-0.1, 0.1])
    np.testing.assert_allclose(settings.dataset.curves["jv"].columns.y, [-1e-9, 1e-6])
    assert list(settings.parameters) == ["T"]


CURVE = "dataset.curves.mine={kind: dark_jv, relative_sigma: 0.1, file: mine.csv}"
REFUSED = {
    "no such device": (["device=qdip"], "device=qdip: there is no such device; there are cqd_only, perovskite_nip"),
    "a dataset of its own": (["device=cqd_only"], "dataset is missing: give dataset=path/to/my.yaml"),
    "no parameters": (["device=cqd_only", "dataset=silicon_pn"], "parameters: nothing is free"),
    "unknown parameters": (
        ["parameters=nope"],
        "parameters=nope: there are no such parameters; there are qdip_literature, qdip_paper",
    ),
    "wrong path": (
        ["parameters.a={path: device.layers.q.thickness_nm, lower_nm: 1, upper_nm: 2}"],
        "parameters.a.path=device.layers.q.thickness_nm: q is not a known key",
    ),
    "not of the device": (
        ["parameters.a={path: fitter.tolerance, lower: 1, upper: 2}"],
        "parameters.a.path=fitter.tolerance: must begin with device.",
    ),
    "outside": (
        ["parameters.n_doping.lower_cm3=2e16"],
        "donor_density_cm3=1e+16: the device must lie inside the bounds of parameters.n_doping, 2e+16 to 1e+17",
    ),
    "range": (
        ["parameters.n_lifetime.log=false", "parameters.n_lifetime.lower_s=-1"],
        "parameters.n_lifetime.lower_s=-1: device.layers.n.material.recombination.hole_lifetime_s takes",
    ),
    "wavelength": (
        [
            "dataset.curves.far={kind: spectrum, data: {wavelength_nm: [2000], eqe: [0.1]}, relative_sigma: 0.1, "
            "reverse_bias_V: 0}"
        ],
        "dataset.curves.far: wavelength 2000 nm is outside the n,k table",
    ),
    "no light": (
        [
            "dataset.curves.lamp={kind: lit_jv, data: {voltage_V: [0], current_A: [1e-3]}, relative_sigma: 0.1}",
        ],
        "dataset.curves.lamp.light is missing: the device has no illumination of its own",
    ),
    "robust posterior": (
        ["fitter.posterior={}", "fitter.loss=cauchy"],
        "fitter: posterior: the data are normal there, loss=cauchy is not",
    ),
    "unused device": (["dataset.devices.thin.area_cm2=0.1"], "dataset: devices.thin: no curve says device: thin"),
    "kind": (["dataset.curves.dark.kind=dark"], "dataset.curves.dark.kind=dark: must be one of"),
    "unit in a file": ([CURVE], "dataset.curves.mine: file="),
    "few points": (
        [
            *(f"~dataset.curves.{name}" for name in ("dark", "lit", "eqe", "responsivity", "noise", "capacitance")),
            *("~dataset.curves.photoresponse", "~dataset.curves.capacitance_frequency"),
        ],
        "parameters: 4 are free, but only 1 points are measured; freeze some",
    ),
}


def test_a_posterior_without_its_package_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(posterior.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["fit", "fitter.posterior={}", "compile_cache=false"]) == 2
    out, err = capsys.readouterr()
    assert "fitter.posterior: numpyro is not installed; pip install" in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_fitted_is_said_before_a_folder_is_made(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("voltage_V,current_density_mA\n0,1\n")
    assert cli.main(["fit", *words, "compile_cache=false"]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
