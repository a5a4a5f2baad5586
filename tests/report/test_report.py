"""report.html and the figures are made from the folder of a run alone, and from whatever part of it there is."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import invdesign
from invdesign.report.figures import _seconds, draw
from invdesign.report.html import write
from invdesign.run.folder import RunFolder

FIGURES = {
    "detectivity_Jones": {"unit": "cm Hz^1/2 / W", "baseline": 1.0e12, "optimum": 2.5e13},
    "bandwidth_Hz": {"unit": "Hz", "baseline": 3e4, "optimum": 6e4, "standard_error": 2e3},
    "eqe": {"unit": "1", "baseline": 0.2, "optimum": None},
}
OPTIMUM = {
    "schema": "invdesign/result/1",
    "job": "optimize",
    "device": "a <b>device</b> & more",
    "status": "feasible",
    "message": "found",
    "objective": {
        **{"name": "detectivity", "figure": "detectivity_Jones", "wavelength_nm": 1240.0, "frequency_Hz": 1000.0},
        **{"log10_baseline": 12.0, "log10_optimum": 13.4},
    },
    "design": {
        "QDiP_thickness": {
            **{"unit": "nm", "baseline": 250.0, "optimum": 1500.0, "lower": 60.0, "upper": 1500.0},
            **{"at_bound": "upper", "status": "free"},
        },
        "bromide": {"unit": "1", "baseline": 0.17, "optimum": 0.1, "lower": 0, "upper": 0.4, "at_bound": None},
    },
    "reverse_bias_V": 2.0,
    "figures": FIGURES,
    "constraints": {
        "bandwidth": {
            **{"value": 6e4, "limit": 6e4, "unit": "Hz", "kind": "lower", "satisfied": True, "active": True},
            **{"multiplier": 0.08, "shadow_price": -0.0097, "shadow_price_percent": -2.2, "chance": 0.5},
        },
        "peak_field_spiro": {
            **{"value": 3e6, "limit": 2e6, "unit": "V/cm", "kind": "upper", "satisfied": False, "active": False},
            "multiplier": 0.0,
        },
    },
    "uncertainty": {
        **{"source": "fit 1, chi^2 = 7", "log10_standard_error": 0.1, "log10_standard_error_redesigned": 0.05},
        "log10_per_standard_error": {"layers.QDiP.material.dots.lifetime_s": 0.1, "area_cm2": -0.02},
    },
    "baseline_violations": {"bandwidth": -0.4},
    "bias_only": {"reverse_bias_V": 5.5, "log10_figure": 12.4, "figures": {}},
    "gradient": {
        "QDiP_thickness": {"per_range": 0.3, "held_by_constraints": {"bandwidth": -0.1}, "held_by_bound": -0.2}
    },
    "contributions": {"QDiP_thickness": {"absorptance": 0.9, "noise: shunt": -0.6, "yield": 0.0}},
    "local_optima": [{"log10_figure": 13.4, "starts": 3, "design": {"QDiP_thickness": 1500.0, "bromide": 0.1}}],
    "convergence": {
        **{"starts": 32, "feasible": 20, "evaluations": 1000, "kkt_residual": 1e-6, "wall_s": 100.0, "compile_s": 40.0}
    },
    "verification": {
        **{"passed": True, "message": "0.1 % at most", "figures": {"detectivity_Jones": 2.5e13}},
        "relative_difference": {"detectivity_Jones": 1e-3},
    },
    "warnings": ["QDiP: dots touch"],
    "tables": {"slices": "slices.csv"},
}
SLICES = {
    "variable": ["QDiP_thickness"] * 3 + ["bromide"] * 3,
    "unit": ["nm"] * 3 + ["1"] * 3,
    "value": [60.0, 800.0, 1500.0, 0.0, 0.1, 0.4],
    "log10_figure": [12.0, 13.0, 13.4, np.nan, 13.4, 13.0],
    "feasible": [1, 1, 1, 0, 1, 0],
}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path, "optimize")


def page_of(folder, result):
    folder.write_json("result.json", result)
    write(folder)
    page = (folder.path / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)|<script|@import|url\(|\bnan\b|\bNone\b""", page)
    for tag in ("table", "tr", "td", "figure", "ul", "h2", "p"):
        assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag
    return page


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.partition("</style>")[2]))


def test_the_example_keeps_the_published_schema():
    schema = json.loads((Path(invdesign.__file__).parent / "data" / "result.schema.json").read_text())
    jsonschema.validate(OPTIMUM, schema)
    for part in ("design", "verification"):
        broken = OPTIMUM | {part: {"x": {}}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_an_optimisation_is_told_to_an_engineer(folder):
    folder.write_table("slices", SLICES)
    page = page_of(folder, OPTIMUM)
    text = text_of(page)
    assert "a factor of 25.1" in text
    assert "at its upper bound" in text
    assert "a limit 10 % larger than 6 × 104 Hz lowers the figure by 2.2 %" in text
    assert "violates bandwidth" in text and "the optimum is 10 times better" in text
    assert re.search(r"absorptance \+0.9\s*noise: shunt −0.6\s*bandwidth, its bound", text)
    assert "kept with a chance of 50 %" in text
    assert "± 2 × 103" in text
    assert "a factor of 1.26, and that of a design made anew with better numbers to 1.12" in text
    assert re.search(r"lifetime_s\s*\+26 %\s*area_cm2\s*-4.5 %", text)
    assert "passed: 0.1 % at most" in text and "QDiP: dots touch" in text
    assert page.count("<img ") == 1 and (folder.path / "figures" / "slices.pdf").exists()
    assert '<span class="bad">violated</span>' in page  # a limit that is not kept is not passed over


def test_an_optimum_whose_neighbours_have_no_solution_has_dashes_for_error_bars(folder):
    known = OPTIMUM["uncertainty"] | {"log10_standard_error": np.nan, "log10_standard_error_redesigned": np.nan}
    known |= {"log10_per_standard_error": {"area_cm2": np.nan, "temperature_K": 0.1}}
    figures = FIGURES | {"bandwidth_Hz": FIGURES["bandwidth_Hz"] | {"standard_error": np.nan}}
    limit = OPTIMUM["constraints"]["bandwidth"] | {"chance": np.nan}
    text = text_of(
        page_of(folder, OPTIMUM | {"uncertainty": known, "figures": figures, "constraints": {"bandwidth": limit}})
    )
    assert "a factor of –, and that of a design made anew with better numbers to –" in text
    assert re.search(r"temperature_K\s*\+26 %\s*area_cm2\s*–", text)
    assert "±" not in text and "chance" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.0, "2 s"), (3e-6, "3 µs"), (4.5e-13, "450 fs"), (2e-16, "0.2 fs"), (0.0, "0 fs"), (np.nan, "not reached")],
)
def test_times_have_a_unit_however_short_they_are(seconds, text):
    assert _seconds(seconds) == text


def test_text_of_the_user_is_not_markup(folder):
    assert "a &lt;b&gt;device&lt;/b&gt; &amp; more" in page_of(folder, OPTIMUM)


@pytest.mark.parametrize("missing", sorted(set(OPTIMUM) - {"schema", "job"}))
def test_a_missing_part_is_left_out(folder, missing):
    page = page_of(folder, {key: value for key, value in OPTIMUM.items() if key != missing})
    assert missing == "design" or "QDiP thickness" in page


def test_no_bias_may_make_the_baseline_feasible(folder):
    assert "No bias makes the baseline feasible" in page_of(folder, OPTIMUM | {"bias_only": None})


def test_a_failed_run_has_a_report_too(folder):
    result = {
        "schema": "invdesign/result/1",
        "job": "optimize",
        "status": "infeasible",
        "message": "no start is feasible",
    }
    assert "no start is feasible" in page_of(folder, result)


def test_any_other_job_is_shown_as_tables(folder):
    result = {"schema": "invdesign/result/1", "job": "validate", "status": "failed", "device": "d"}
    page = page_of(
        folder, result | {"checks": {"detailed balance": {"value": 1e-13, "tolerance": 1e-12, "passed": True}}}
    )
    assert "detailed balance" in page and "passed yes" in page


def test_figures_are_drawn_of_what_there_is_even_where_a_solve_has_failed(folder):
    """Columns of nan, a current of exactly zero, and no other table than this one."""
    folder.write_json("result.json", {"job": "simulate"})
    table = {
        "voltage_V": [-1.0, 0.0, 1.0],
        "dark_current_density_A_per_cm2": [np.nan, 0.0, 1e-3],
        "lit_current_density_A_per_cm2": [np.nan] * 3,
        "inverse_field_cm_per_MV": [np.nan, 20.0, 30.0],
        "dark_ln_J_per_F2": [np.nan] * 3,
        "photo_ln_J_per_F2": [np.nan] * 3,
    }
    folder.write_table("jv", table)
    assert draw(folder) == ["jv", "fowler_nordheim"]
    assert folder.figure_path("jv").read_bytes().startswith(b"\x89PNG")
    assert page_of(folder, {"job": "simulate", "device": "d", "status": "partly failed"}).count("<img ") == 2
