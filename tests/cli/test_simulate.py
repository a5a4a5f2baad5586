"""`python -m invdesign simulate` once, on the default device with few mesh edges, and what it leaves behind.

The optical stack is the paper's, the electrical mesh has 40 edges: coarse, but the relations below hold on any mesh.
The light of the lit curves is weak and the frequency of interest low, so that a difference of currents is a response.
"""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

import invdesign
from invdesign.constants import ELEMENTARY_CHARGE_C, HC_EV_NM
from invdesign.device.device import Device
from invdesign.figures.registry import FIGURES
from invdesign.jobs.tables import TABLES
from invdesign.report.figures import FIGURES as DRAWINGS
from invdesign.run.folder import read_table
from invdesign.schema import read, write

pytestmark = pytest.mark.slow

AREA_CM2, IRRADIANCE, WAVELENGTH = 0.07, 1e-8, 1240.0
FAILING_V = 1000.0
ARGUMENTS = [
    "device.layers.TiO2.edges=8",
    "device.layers.QDiP.edges=24",
    "device.layers.spiro.edges=8",
    "device.layers.spiro.material.breakdown_field_V_per_cm=1e6",
    "device.layers.QDiP.material.dots.volume_fraction=0.35",
    f"reverse_bias_V=[0,1,{FAILING_V:g}]",
    "voltage={start_V: -1, stop_V: 1, step_V: 0.5}",
    "spectrum={start_nm: 300, stop_nm: 1400, step_nm: 100}",
    "frequency={start_Hz: 1, stop_Hz: 1e7, points_per_decade: 2}",
    f"irradiance_W_per_cm2={IRRADIANCE:g}",
    "objective.frequency_Hz=1",
    "transients.light_pulse.enabled=true",
    "transients.transient_absorption.enabled=true",
    "~transients.transient_absorption.pumps.blue",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ran):
    place = tmp_path_factory.mktemp("simulate")
    done = ran(place, "simulate", *ARGUMENTS)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (place / "outputs" / "simulate").iterdir()
    assert f"results in {path}" in done.stdout
    return path


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def tables(folder):
    return {
        path.stem: {key: np.asarray(column) for key, column in read_table(path).items()}
        for path in folder.glob("*.csv")
    }


def at(table, **where):
    """Rows of a table where the columns have these values."""
    keep = np.all([table[key] == value for key, value in where.items()], axis=0)
    return {key: column[keep] for key, column in table.items()}


def test_every_table_and_figure_is_there(folder, result, tables):
    assert set(tables) == set(TABLES) == set(result["tables"])
    assert {path.stem for path in (folder / "figures").glob("*.png")} == set(DRAWINGS)
    assert {path.stem for path in (folder / "figures").glob("*.pdf")} == set(DRAWINGS)
    assert not list(folder.rglob("*.part"))


def test_the_result_keeps_its_schema(result):
    schema = json.loads((Path(invdesign.__file__).parent / "data" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema)
    assert list(result["figures"]) == [figure.name for figure in FIGURES]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result | {"figures": {"eqe": 0.2}}, schema)


UNIT = re.compile(
    r"_(nm|eV|V|cm3|cm_per_MV|V_per_cm|per_s|cm2_per_Vs|ps|A_per_cm2|A_per_W|Jones|Hz|deg|dB|S|F|A|A_per_rtHz|A2_per_Hz"
    r"|A2_per_Hz_nm|J_per_cm2|s)$"
)
TEXT = {"condition", "layer", "pump", "bleach", "dark_status", "lit_status"}
PURE = {
    *("reflectance", "transmittance", "extrapolated", "eqe", "gain", "fano", "capture_probability"),
    *("dot_empty", "dot_electron", "dot_hole", "dot_exciton", "dark_edge_spread", "lit_edge_spread"),
    *("dark_ln_J_per_F2", "photo_ln_J_per_F2", "exciton_bleach", "second_half"),
}


def test_every_column_says_its_unit(tables):
    nameless = {
        column
        for table in tables.values()
        for column in table
        if not UNIT.search(column) and column not in TEXT | PURE and not column.startswith("absorptance")
    }
    assert not nameless


def test_photons_are_conserved(tables):
    """R + T + sum of A = 1 to round-off, and dots and host share what their layer absorbs."""
    table = tables["absorptance"]
    layers = ["glass", "FTO", "TiO2", "QDiP", "spiro", "Au"]
    total = table["reflectance"] + table["transmittance"] + sum(table[f"absorptance_{name}"] for name in layers)
    np.testing.assert_allclose(total, 1, atol=1e-11)
    shares = table["absorptance_QDiP_dots"] + table["absorptance_QDiP_host"]
    np.testing.assert_allclose(shares, table["absorptance_QDiP"], atol=1e-11)


def test_weak_light_drives_the_reverse_current_that_the_linear_response_says(tables):
    """J(lit) - J(dark) = -q EQE photons.

    1e-8 W/cm2 changes the state by less than 1e-3; the currents are given with twelve digits, their difference has ten.
    """
    lit = at(tables["jv"], voltage_V=-1.0)
    photocurrent = lit["lit_current_density_A_per_cm2"] - lit["dark_current_density_A_per_cm2"]
    eqe = at(tables["gain"], reverse_bias_V=1.0, wavelength_nm=WAVELENGTH)["eqe"]
    photons = IRRADIANCE * WAVELENGTH / (HC_EV_NM * ELEMENTARY_CHARGE_C)
    np.testing.assert_allclose(photocurrent, -ELEMENTARY_CHARGE_C * eqe * photons, rtol=1e-3)


def test_figures_agree_between_tables(tables, result):
    """R = q lambda EQE/hc, D* = R sqrt(A)/i_n, and the figures of merit are rows of the tables."""
    bias = at(tables["noise_bias"], reverse_bias_V=1.0)
    read_out = at(tables["gain"], reverse_bias_V=1.0, wavelength_nm=WAVELENGTH)
    np.testing.assert_allclose(read_out["responsivity_A_per_W"], read_out["eqe"] * WAVELENGTH / HC_EV_NM, rtol=1e-9)
    detectivity = read_out["responsivity_A_per_W"] * np.sqrt(AREA_CM2) / bias["noise_A_per_rtHz"]
    np.testing.assert_allclose(detectivity, bias["detectivity_Jones"], rtol=1e-9)
    for name in ("detectivity_Jones", "noise_A_per_rtHz", "dark_current_A"):
        np.testing.assert_allclose(result["figures"][name]["value"], bias[name], rtol=1e-9)
    dark = at(tables["jv"], voltage_V=-1.0)["dark_current_density_A_per_cm2"]
    np.testing.assert_allclose(-dark * AREA_CM2, bias["dark_current_A"], rtol=1e-9)


def test_noise_is_the_sum_of_its_processes_and_thermal_at_equilibrium(tables):
    """S_I = sum over processes; at 0 V in the dark S_I = 4kT Re Y, which the solver reaches to 1e-6."""
    noise = tables["noise"]
    parts = sum(column for key, column in noise.items() if key.endswith("_A2_per_Hz"))
    np.testing.assert_allclose(parts, noise["total_A_per_rtHz"] ** 2, rtol=1e-9)
    rest = at(tables["noise_bias"], reverse_bias_V=0.0)
    np.testing.assert_allclose(rest["noise_A_per_rtHz"], rest["thermal_limit_A_per_rtHz"], rtol=1e-6)


def test_the_bandwidth_is_where_the_response_has_fallen_by_3_dB(tables, result):
    """The table has 2 points per decade, between which the response is smooth: interpolation finds it to 20 %."""
    (entry,) = (one for one in result["biases"] if one["reverse_bias_V"] == 1.0)
    assert entry["bandwidth_Hz"] == pytest.approx(result["figures"]["bandwidth_Hz"]["value"])
    response = at(tables["photoresponse"], reverse_bias_V=1.0)
    crossing = np.interp(10 * np.log10(2), -response["relative_dB"], np.log(response["frequency_Hz"]))
    assert np.exp(crossing) == pytest.approx(entry["bandwidth_Hz"], rel=0.2)
    assert response["relative_dB"][0] == pytest.approx(0.0, abs=1e-6)


def test_bands_are_flat_at_equilibrium_and_split_by_the_bias(tables):
    bands = tables["bands"]
    rest = at(bands, condition="equilibrium")
    for level in ("electron_quasi_fermi_eV", "hole_quasi_fermi_eV"):
        np.testing.assert_allclose(rest[level], 0, atol=1e-9)
    biased = at(bands, condition="dark", reverse_bias_V=1.0)
    assert biased["electron_quasi_fermi_eV"][0] == 0 and biased["hole_quasi_fermi_eV"][-1] == pytest.approx(1.0)
    inside = biased["layer"] == "QDiP"
    states = [biased[f"dot_{state}"] for state in ("empty", "electron", "hole", "exciton")]
    np.testing.assert_allclose(sum(states)[inside], 1, rtol=1e-9)
    assert np.all(np.isnan(states[0][~inside]))


def test_a_bias_without_solution_is_nan_with_a_status_and_the_others_are_not(tables, result):
    jv = tables["jv"]
    failed = jv["voltage_V"] == -FAILING_V
    assert set(jv["dark_status"][failed]) == {"step_too_small"} and set(jv["dark_status"][~failed]) == {"converged"}
    assert np.all(np.isnan(jv["dark_current_density_A_per_cm2"]) == failed)
    assert np.all(np.isnan(at(tables["spectrum"], reverse_bias_V=FAILING_V)["eqe"]))
    assert np.all(at(tables["spectrum"], reverse_bias_V=1.0)["eqe"] > 0)
    assert result["status"] == "partly failed" and any("no solution at -1000 V dark" in w for w in result["warnings"])


def test_a_pulse_ends_at_the_lit_current_and_is_as_fast_as_the_bandwidth(tables, result):
    """I(end) - I(before) = I(lit) - I(dark), the light being the same; 10 to 90 % within a factor of 1.5 of that of a
    single pole with the bandwidth, ln(9)/(2 pi f), which the dots' several rates are not.

    1e-3: the load of 50 ohm, and the difference of two currents.
    """
    lit = at(tables["jv"], voltage_V=-1.0)
    change = AREA_CM2 * (lit["lit_current_density_A_per_cm2"] - lit["dark_current_density_A_per_cm2"])
    row = at(tables["switching"], reverse_bias_V=1.0)
    np.testing.assert_allclose(row["current_at_end_A"] - row["current_before_A"], change, rtol=1e-3)
    assert result["conditions"]["pulse_irradiance_W_per_cm2"] == IRRADIANCE
    (entry,) = (one for one in result["biases"] if one["reverse_bias_V"] == 1.0)
    assert entry["rise_s"] == pytest.approx(row["rise_s"][0]) and entry["fall_s"] == pytest.approx(row["fall_s"][0])
    pole = np.log(9) / (2 * np.pi * entry["bandwidth_Hz"])
    assert 1 / 1.5 < entry["rise_s"] / pole < 1.5 and entry["rise_s"] == pytest.approx(entry["fall_s"], rel=1e-2)


def test_bleaches_are_there_with_their_decays(tables, result):
    """At 1000 nm dots absorb: all of the exciton's bleach is there at once, what is in the host comes out of them."""
    trace = at(tables["transient_absorption"], reverse_bias_V=1.0)
    assert set(trace["pump"]) == {"infrared"} and trace["time_s"][0] == 0
    exciton, host = trace["exciton_bleach"], trace["host_bleach_cm3"]
    assert 0 < exciton[0] < 1 and np.all(np.diff(exciton) < 1e-9) and exciton[-1] < 1e-2 * exciton[0]
    assert host[0] < 1e-3 * host.max()
    (decay,) = (one for one in result["decays"] if one["reverse_bias_V"] == 1.0 and one["bleach"] == "exciton")
    after = trace["time_s"] > decay["one_over_e_s"]
    assert exciton[~after][-1] > exciton[0] / np.e > exciton[after][0] and decay["peak_s"] == 0
    area = np.sum(np.diff(trace["time_s"]) * (exciton[1:] + exciton[:-1]) / 2)
    assert decay["mean_s"] == pytest.approx(area / exciton[0], rel=1e-9)


def test_a_transient_without_a_start_is_nan_and_said(tables, result):
    failed = at(tables["light_pulse"], reverse_bias_V=FAILING_V)
    assert np.all(np.isnan(failed["current_A"][1:]))
    assert any(w.startswith("pump infrared at 1000 V reverse was followed to 0 s only") for w in result["warnings"])


def test_the_capture_probability_is_that_of_the_paper(tables):
    """P = 1/(1 + mu F tau_c/L) = 0.09 at 10 cm2/Vs, 1 MV/cm and 1 ps over 9.8 nm; any loading has this tau_c/L."""
    table = tables["capture"]
    own = at(table, mobility_cm2_per_Vs=10.0, field_V_per_cm=1e6, capture_time_ps=table["capture_time_ps"].min())
    assert own["capture_probability"] == pytest.approx([0.09], abs=0.005)


def test_warnings_name_what_is_extrapolated_and_what_is_beyond_its_limits(tables, result):
    for said in (
        "n,k models are extrapolated: ",
        "spiro: the peak field exceeds the breakdown field, 1e+06 V/cm, from 1 V reverse",
        "QDiP: at a volume fraction of 0.35 dots touch",
    ):
        assert any(warning.startswith(said) for warning in result["warnings"]), result["warnings"]
    assert any("spiro at" in warning and "(data: 340 to 1200 nm" in warning for warning in result["warnings"])
    flags = dict(zip(tables["spectrum"]["wavelength_nm"], tables["spectrum"]["extrapolated"], strict=True))
    assert flags[600.0] == 0 and flags[1400.0] == 1


def test_the_device_is_saved_as_it_was_simulated(folder):
    data = yaml.safe_load((folder / "device.yaml").read_text())
    device = read(Device, data)
    assert device.layers["QDiP"].edges == 24 and write(device) == data


def test_the_manifest_cites_what_every_material_comes_from(folder):
    """The layer with dots, their host, and the n,k of both and of the electrodes."""
    sources = " | ".join(json.loads((folder / "manifest.json").read_text())["sources"])
    for part in (
        "host gap, size dispersion, lifetime: fitted",
        "densities of states and mobility: Courtier",
        "Phillips et al.",
        "Rakic et al.",
    ):
        assert part in sources


def test_the_report_is_one_file(folder):
    page = (folder / "report.html").read_text()
    assert page.count("<img ") == page.count("data:image/png;base64,") == len(DRAWINGS)
    assert not re.search(r"""(src|href)=["'](?!data:)|<script|@import|url\(""", page)
    assert "detectivity" in page and "no solution at -1000 V" in page
