"""`python -m invdesign reproduce` once, on a coarse mesh with one alternative, and what it leaves behind."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import invdesign
from invdesign import cli
from invdesign.config import load_device, load_settings
from invdesign.jobs import reproduce
from invdesign.jobs.measures import MISSING
from invdesign.paper.statements import statements
from invdesign.report.reproduction import PANELS
from invdesign.run.folder import read_table
from invdesign.schema import InputError, write

ARGUMENTS = [
    "device.layers.TiO2.edges=8",
    "device.layers.QDiP.edges=24",
    "device.layers.spiro.edges=8",
    "~compared",
    "~alternatives",
    "alternatives.quiet.reason=less leakage",
    "alternatives.quiet.device.terminals.shunt.resistance_ohm_cm2=8.6e7",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ran):
    place = tmp_path_factory.mktemp("reproduce")
    done = ran(place, "reproduce", *ARGUMENTS)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (place / "outputs" / "reproduce").iterdir()
    assert "statements" in done.stdout and f"results in {path}" in done.stdout
    return path


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_the_result_keeps_its_schema(result):
    schema = json.loads((Path(invdesign.__file__).parent / "data" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in result.items() if key != "rows"}, schema)


@pytest.mark.slow
def test_every_statement_has_an_answer(result):
    paper = statements()
    assert list(result["rows"]) == list(paper)
    for name, row in result["rows"].items():
        comparing = name in {"dark_against_dots", "detectivity_against_dots", "visible_on_par", "pure_decays"}
        assert (row["status"] == "not in the model") == (name in MISSING or comparing), name
        assert (row["status"] == "met") == (row["value"] is not None and paper[name].met(row["value"])), name
        if row["status"] == "not in the model":
            assert row["lacks"] and row["value"] is None
    counts = result["counts"]
    assert counts["met"] + counts["not_met"] + counts["not_in_model"] == counts["all"] == len(paper)


@pytest.mark.slow
def test_what_went_in_comes_out(result):
    """The numbers of the paper's device, and the dark current behind its shot noise, 0.04 pA/rtHz at 1 V."""
    rows = result["rows"]
    assert rows["film_thickness"]["value"] == 250 and rows["area"]["value"] == pytest.approx(0.07)
    assert rows["shot_noise"]["value"] == pytest.approx(0.04, rel=1e-2)
    assert rows["mass_ratio_film"]["value"] == pytest.approx(1 / 1.33, rel=2e-2)
    assert all(rows[name]["role"] == "input" for name in ("film_thickness", "area", "shot_noise"))
    assert rows["bandwidth"]["role"] == "fitted" and not rows["rise_time"]["role"]
    assert result["counts"]["fitted"] == sum(
        row["status"] == "met" and row["role"] == "fitted" for row in rows.values()
    )


@pytest.mark.slow
def test_rows_are_read_from_the_curves(folder, result):
    """Rows against the tables they come from: EQE, noise at 1 Hz, D*, the photocurrent of weak light, and the
    bandwidth, which is that of the laser's light and between two points of its table."""
    rows = {name: row["value"] for name, row in result["rows"].items()}
    table = {key: np.asarray(column) for key, column in read_table(folder / "spectrum.csv").items()}
    at = (table["reverse_bias_V"] == 1) & (table["wavelength_nm"] == 1240)
    assert rows["eqe_1240_1V"] == pytest.approx(100 * table["eqe"][at][0], rel=1e-9)
    assert rows["detectivity_swir"] == pytest.approx(table["detectivity_Jones"][at][0], rel=1e-9)
    noise = {key: np.asarray(column) for key, column in read_table(folder / "noise.csv").items()}
    here = (noise["reverse_bias_V"] == 0) & (noise["frequency_Hz"] == 1)
    assert rows["noise_1Hz"] == pytest.approx(1e12 * noise["total_A_per_rtHz"][here][0], rel=1e-9)
    light = {key: np.asarray(column) for key, column in read_table(folder / "linearity.csv").items()}
    gain = {key: np.asarray(column) for key, column in read_table(folder / "gain.csv").items()}
    laser = (gain["reverse_bias_V"] == 1) & (gain["wavelength_nm"] == 975)
    weak = light["responsivity_A_per_W"][5]  # lit minus dark current at 5e-9 W/cm2, against the linear response
    assert weak == pytest.approx(gain["responsivity_A_per_W"][laser][0], rel=1e-3)
    response = {key: np.asarray(column) for key, column in read_table(folder / "photoresponse.csv").items()}
    part = {key: column[response["reverse_bias_V"] == 1] for key, column in response.items()}
    assert part["response_A_per_W"][0] == pytest.approx(weak, rel=1e-3)
    above = part["relative_dB"] > 10 * np.log10(0.5)
    assert part["frequency_Hz"][above][-1] < 1e3 * rows["bandwidth"] < part["frequency_Hz"][~above][0]


@pytest.mark.slow
def test_the_rows_of_transient_absorption_are_read_from_its_curves(folder, result):
    """The slow decay against the bleach a tenth before and after 1.5 ns: the time constant changes little between."""
    table = {key: np.asarray(column) for key, column in read_table(folder / "bleaches.csv").items()}
    here = (table["pump_nm"] == 450) & (table["field_MV_per_cm"] == 0)
    time, bleach = table["time_ps"][here], table["exciton_bleach"][here]
    early, late = np.log(np.interp([1400.0, 1600.0], time, bleach))
    assert result["rows"]["slow_decay_rest"]["value"] == pytest.approx(200 / (early - late), rel=0.1)
    assert result["rows"]["pulse_fluence"]["role"] == "input" and result["rows"]["pulse_fluence"]["status"] == "met"


@pytest.mark.slow
def test_the_alternative_takes_the_other_side(result):
    """A sixth of the leakage: detectivity rises, the shot noise of the dark current is no longer that stated."""
    quiet = result["alternatives"]["quiet"]
    assert "shot_noise" in quiet["loses"] and quiet["changes"] == {"terminals.shunt.resistance_ohm_cm2": 8.6e7}
    assert result["rows"]["shot_noise"]["status"] == "met"


@pytest.mark.slow
def test_tables_figures_and_report_are_there(folder, result):
    assert {path.stem for path in folder.glob("*.csv")} == set(result["tables"])
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {*PANELS, "overview"}
    page = (folder / "report.html").read_text()
    assert page.count("<img ") == page.count("data:image/png;base64,") == len(PANELS) + 1
    assert not re.search(r"""(src|href)=["'](?!data:)|<script|@import|url\(""", page)
    lines = (folder / "rows.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(result["rows"]) + len(result["conflicts"]) + 2


def test_the_packaged_alternatives_can_be_read_and_differ():
    settings = load_settings("reproduce")
    reproduce.check(settings)
    others = reproduce.alternatives(settings)
    assert set(others) == set(settings.alternatives) and all(one.reason for one in settings.alternatives.values())
    assert float(others["thick_gold"].device.layers["Au"].thickness_nm) == 200
    assert others["slab"].device.layers["QDiP"].material.dots.geometry.kind == "slab"
    assert float(others["drift"].readout.corner_exponent) == 1.88
    assert float(others["drift"].readout.current_noise_A_per_rtHz) == 3e-14
    assert others["slab"].readout.kind == "noiseless" and float(others["slab"].readout.illuminated_area_cm2) == 0.049
    pure = others["pure_films"]
    assert pure.device is settings.device and pure.readout is settings.readout
    assert float(pure.compared["cqd_only"].layers["QDiP"].material.electron_mobility_cm2_per_Vs) == 1e-3
    assert float(others["slab"].compared["cqd_only"].layers["QDiP"].material.electron_mobility_cm2_per_Vs) == 1e-2


def test_the_alternative_of_literature_values_is_the_device_of_that_name():
    """Its numbers stand twice, as a device and as changes of one."""
    other = write(reproduce.alternatives(load_settings("reproduce"))["literature"].device)
    device = write(load_device("qdip_literature"))
    for each in (other, device):
        del each["name"], each["uncertainty"], each["layers"]["QDiP"]["material"]["source"]
    assert other == device


def test_compared_devices_have_the_dots_and_the_host_of_the_device():
    """Of the default one and of the one before its fit, whose numbers stand in files of their own."""
    settings = load_settings("reproduce")
    assert write(settings.compared["cqd_only"].terminals) == write(settings.device.terminals)
    for setup in (reproduce.stated(settings), reproduce.alternatives(settings)["literature"]):
        film = setup.device.layers["QDiP"].material
        dots, host = (setup.compared[name].layers["QDiP"].material for name in ("cqd_only", "perovskite_only"))
        assert float(dots.optical.size_dispersion) == float(film.dots.size_dispersion)
        assert float(host.band_gap_eV) == float(film.host.band_gap_eV)


def test_two_runs_can_be_compared(tmp_path, capsys):
    for name, value in (("a", 20.0), ("b", 30.0)):
        rows = {"eqe_1240_1V": {"value": value, "unit": "%", "status": "met"}}
        text = json.dumps({"schema": "invdesign/result/1", "job": "reproduce", "device": "d", "rows": rows})
        (tmp_path / f"{name}.json").write_text(text)
    assert cli.main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    assert re.search(r"rows.eqe_1240_1V \(%\) +20 +30 +\+50.00%", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["device=silicon_pn"], "device: no layer has dots in a host"),
        (
            ["alternatives.slab.device.layers.QDiP.thickness_nm=-1"],
            "alternatives.slab.device.layers.QDiP.thickness_nm=-1",
        ),
        (["alternatives.slab.device.colour=red"], "alternatives.slab.device.colour is not a known key"),
        (["alternatives.drift.readout.corner_exponent=9"], "alternatives.drift.readout.corner_exponent=9: must be"),
        (
            ["alternatives.mine.compared.silicon_pn.name=mine"],
            "alternatives.mine.compared.silicon_pn: no such device in compared; allowed: cqd_only, perovskite_only",
        ),
        (
            ["alternatives.mine.compared.cqd_only.colour=red"],
            "alternatives.mine.compared.cqd_only.colour is not a known key",
        ),
        (["alternatives.mine.device=3"], "alternatives.mine.device=3: must be a group"),
    ],
)
def test_what_cannot_be_asked_is_refused(words, said):
    with pytest.raises(InputError, match=re.escape(said)):
        reproduce.check(load_settings("reproduce", *words))
