"""report.html: one file that shows a run to a person, made from the folder of the run alone.

Everything is inside the file (figures as data URIs, no scripts, nothing is fetched). What a run lacks is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from invdesign.report.figures import FIGURES, QUALITATIVE, STYLE, small_multiples
from invdesign.report.pieces import (
    bullets as _list,
    escaped as _text,
    head as _head,
    image as _image,
    number as _number,
    paragraph as _paragraph,
    provenance as _provenance,
    section as _section,
    symbols as _symbol_text,
    table as _table,
    unit as _unit,
    warnings as _warnings,
    words as _words,
)
from invdesign.run.folder import RunFolder, read_table

REPORT = "report.html"
CSS = """
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", sans-serif; color: #222; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
p.lead { color: #555; margin-top: 0; }
figure { margin: 1.4rem 0; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; }
table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #eee; vertical-align: top; }
th { color: #555; font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
ul.warnings li { color: #8a4b00; }
.bad { color: #b3261e; font-weight: 600; }
.good { color: #1b6e3c; }
code { font-size: .9em; }
div.wide { overflow-x: auto; }
@media print { figure { break-inside: avoid; } }
"""


def write(folder: RunFolder, body: Sequence[str] | None = None) -> None:
    """Write report.html of a finished run; what the folder does not have is left out of it.

    `body` is the page of a job that has a module of its own for it.
    """
    result = folder.result()
    if body is None:
        page = {"simulate": _simulation, "optimize": _optimisation}.get(str(result.get("job")), _anything)
        body = page(folder, result)
    title = f"{result.get('job', 'run')} {result.get('device', '')}".strip()
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_text(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{CSS}</style>\n</head>\n<body>\n'
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )
    folder.write_text(REPORT, page)


# --- a simulation --------------------------------------------------------------------------------------------------


def _simulation(folder: RunFolder, result: Mapping[str, Any]) -> list[str]:
    at = result.get("conditions") or {}
    said = ""
    if at:
        said = (
            f"At {_number(at.get('reverse_bias_V'))} V reverse bias, {_number(at.get('wavelength_nm'))} nm, "
            f"{_number(at.get('frequency_Hz'))} Hz, {_number(at.get('temperature_K'))} K, "
            f"{_number(at.get('area_cm2'))} cm²; "
            f"bandwidth into {_number(at.get('load_ohm'))} Ω; "
            f"steady light: {_text((at.get('illumination') or {}).get('kind', 'dark'))}; "
            f"readout: {_text((at.get('readout') or {}).get('kind', 'noiseless'))}."
        )
    figures = [
        (_text(_words(name)), _symbol_text(row.get("symbol", "")), _number(row.get("value")), _unit(row.get("unit")))
        for name, row in (result.get("figures") or {}).items()
    ]
    layers = [
        (
            _text(name),
            _number(row.get("peak_field_V_per_cm"), 3),
            _number(row.get("breakdown_field_V_per_cm"), 3),
            _number(row.get("absorptance"), 3),
        )
        for name, row in (result.get("layers") or {}).items()
    ]
    return [
        _head(folder, result, f"Simulation of {result.get('device', 'a device')}"),
        _section("Figures of merit", _paragraph(said), _table(("", "", "value", "unit"), figures, text=(0, 1, 3))),
        _table(("layer", "peak field (V/cm)", "breakdown field (V/cm)", "absorptance"), layers),
        _in_time(result),
        _warnings(result),
        _section("Figures", *(_image(folder, name, caption) for name, (caption, _, _) in FIGURES.items())),
        _provenance(folder, result),
    ]


def _in_time(result: Mapping[str, Any]) -> str:
    edges = [
        (*(_number(row.get(key), 3) for key in ("reverse_bias_V", "rise_s", "fall_s")),)
        for row in result.get("biases") or ()
        if "rise_s" in row
    ]
    decays = [
        (
            _text(row["pump"]),
            _text(row["bleach"]),
            *(_number(row.get(key), 3) for key in ("reverse_bias_V", "peak_s", "one_over_e_s", "mean_s")),
        )
        for row in result.get("decays") or ()
    ]
    names = ("pump", "bleach", "reverse bias (V)", "peak (s)", "from it to 1/e (s)", "area over peak (s)")
    return _section(
        "Response in time",
        _table(("reverse bias (V)", "rise, 10 to 90 % (s)", "fall (s)"), edges, text=()),
        _table(names, decays, text=(0, 1)),
    )


# --- an optimisation -----------------------------------------------------------------------------------------------


def _optimisation(folder: RunFolder, result: Mapping[str, Any]) -> list[str]:
    return [
        _head(folder, result, f"Optimisation of {result.get('device', 'a device')}"),
        _answer(result),
        _design(result),
        _merits(result),
        _constraints(result),
        _error_bars(result),
        _baseline(result),
        _reasons(result),
        _slices(folder, result),
        _local_optima(result),
        _verification(result),
        _warnings(result),
        _provenance(folder, result),
    ]


def _answer(result: Mapping[str, Any]) -> str:
    objective = result.get("objective") or {}
    before, after = objective.get("log10_baseline"), objective.get("log10_optimum")
    if before is None or after is None:
        return ""
    figure = _words(str(objective.get("figure", "the figure")))
    band = objective.get("band_nm")
    at = f"at {_number(objective.get('wavelength_nm'))}"
    if band:
        at = f"averaged over {_number(band[0])} to {_number(band[1])}"
    again = result.get("repeat")
    return _paragraph(
        f"The {_text(figure)} {at} nm and "
        f"{_number(objective.get('frequency_Hz'))} Hz "
        f"goes from {_number(10**before, 3)} to <b>{_number(10**after, 3)}</b>, a factor of "
        f"{_number(10 ** (after - before), 3)}. "
        "The optimum is in <code>optimum.yaml</code> and can be used as <code>device=path/to/optimum.yaml</code>."
        + (f" In the folder of this run <code>{_text(again)}</code> gives its figures again." if again else "")
    )


def _design(result: Mapping[str, Any]) -> str:
    rows = []
    for name, row in (result.get("design") or {}).items():
        where = f"at its {row['at_bound']} bound" if row.get("at_bound") else _text(row.get("status") or "free")
        if where == "free":
            where = "inside its bounds"
        bounds = f"{_number(row.get('lower'))} to {_number(row.get('upper'))}"
        numbers = (
            _number(row.get("baseline")),
            f"<b>{_number(row.get('optimum'))}</b>",
            bounds,
            _unit(row.get("unit")),
            where,
        )
        rows.append((_text(_words(name)), *numbers))
    bias = result.get("reverse_bias_V")
    note = f"To be operated at {_number(bias)} V reverse bias." if isinstance(bias, int | float) else ""
    return _section(
        "Design",
        _table(("variable", "baseline", "optimum", "bounds", "unit", ""), rows, text=(0, 4, 5)),
        _paragraph(note),
    )


def _merits(result: Mapping[str, Any]) -> str:
    rows = []
    for name, row in (result.get("figures") or {}).items():
        before, after = row.get("baseline"), row.get("optimum")
        ratio = after / before if before and after is not None else None
        error = row.get("standard_error")
        rows.append(
            (
                _text(_words(name)),
                _number(before),
                f"<b>{_number(after)}</b>" + (f" ± {_number(error, 2)}" if error else ""),
                _number(ratio, 3),
                _unit(row.get("unit")),
            )
        )
    return _section("Figures of merit", _table(("", "baseline", "optimum", "ratio", "unit"), rows, text=(0, 4)))


def _constraints(result: Mapping[str, Any]) -> str:
    rows, prices, chances = [], [], []
    for name, row in (result.get("constraints") or {}).items():
        kept = row.get("satisfied")
        mark = '<span class="good">kept</span>' if kept else '<span class="bad">violated</span>'
        if kept and row.get("active"):
            mark = "kept, active"
        sense = {"upper": "≤ ", "lower": "≥ "}.get(str(row.get("kind")), "")
        rows.append(
            (
                _text(_words(name)),
                _number(row.get("value")),
                sense + _number(row.get("limit")),
                _unit(row.get("unit")),
                mark,
                _number(row.get("multiplier"), 3),
            )
        )
        chance = row.get("chance")
        if chance is not None and 0.001 < chance < 0.999:
            alone, of = row.get("limit_without_margin"), ""
            if alone is not None:
                of = f" of {_number(alone)} {_unit(row.get('unit'))}".rstrip() + ", without its margin,"
            digits = 2 if chance < 0.99 else 3
            chances.append(f"{_text(_words(name))}{of} is kept with a chance of {_number(100 * chance, digits)} %.")
        price = row.get("shadow_price_percent")
        if price is not None and (row.get("active") or abs(price) > 1e-3):
            verb = "raises" if price > 0 else "lowers"
            limit = f"{_number(row.get('limit'))} {_unit(row.get('unit'))}".strip()
            name = _text(_words(name))
            prices.append(f"{name}: a limit 10 % larger than {limit} {verb} the figure by {_number(abs(price), 2)} %.")
    head = ("constraint", "at the optimum", "limit", "unit", "", "multiplier")
    quiet = "No constraint is active: none of them costs anything at the optimum." if rows and not prices else ""
    return _section(
        "Constraints and what they cost",
        _table(head, rows, text=(0, 3, 4)),
        _list(prices, escape=False),
        _list(chances, escape=False),
        _paragraph(quiet),
    )


def _error_bars(result: Mapping[str, Any]) -> str:
    """Which of the fitted numbers leaves the figure open."""
    known = result.get("uncertainty")
    if not known:
        return ""
    rows = [
        (_text(number), _number(None) if change is None else f"{100 * (10**change - 1):+.2g} %")
        for number, change in sorted(known["log10_per_standard_error"].items(), key=lambda row: -abs(row[1] or 0))
    ]
    fixed, anew = (_factor(known[f"log10_standard_error{which}"]) for which in ("", "_redesigned"))
    figure = _text(_words(str((result.get("objective") or {}).get("figure", "the figure"))))
    return _section(
        "Error bars",
        _paragraph(
            f"Some numbers of this device come from a fit ({_text(known['source'])}) and are known to their standard "
            f"errors. They leave the {figure} of this design open to a factor of {fixed}, and that of a design made "
            f"anew with better numbers to {anew}. One standard error of each number alone changes it by:"
        ),
        _table(("number", "change of the figure"), rows, text=(0,)),
    )


def _factor(error: float | None) -> str:
    """A standard error of log10 as the factor that it is; a dash where a design nearby could not be solved."""
    return _number(None if error is None else 10**error, 3)


def _baseline(result: Mapping[str, Any]) -> str:
    violations = result.get("baseline_violations") or {}
    parts = []
    if violations:
        names = ", ".join(_text(_words(name)) for name in violations)
        parts.append(_paragraph(f'The baseline itself violates <span class="bad">{names}</span>.'))
    if "bias_only" in result:
        alone = result["bias_only"]
        if alone is None:
            parts.append(_paragraph("No bias makes the baseline feasible when nothing else is changed."))
        else:
            gained = (result.get("objective") or {}).get("log10_optimum")
            factor = (
                f", the optimum is {_number(10 ** (gained - alone['log10_figure']), 3)} times better" if gained else ""
            )
            parts.append(
                _paragraph(
                    f"By its bias alone the baseline reaches {_number(10 ** alone['log10_figure'], 3)} "
                    f"at {_number(alone.get('reverse_bias_V'))} V{factor}."
                )
            )
    return _section("Against the baseline", *parts)


def _reasons(result: Mapping[str, Any]) -> str:
    """Why each variable stops where it does."""
    gradient, parts = result.get("gradient") or {}, result.get("contributions") or {}
    rows = []
    for name in dict.fromkeys([*gradient, *parts]):
        own = parts.get(name) or {}
        shown = {part: value for part, value in own.items() if value and abs(value) > 1e-3}
        up = sorted((part for part in shown if shown[part] > 0), key=lambda part: -shown[part])
        down = sorted((part for part in shown if shown[part] < 0), key=lambda part: shown[part])
        slope = gradient.get(name) or {}
        slope = slope if isinstance(slope, Mapping) else {"per_range": slope}
        held = [_text(_words(held)) for held in slope.get("held_by_constraints") or {}]
        if abs(slope.get("held_by_bound") or 0.0) > 1e-6:
            held.append("its bound")
        rows.append(
            (
                _text(_words(name)),
                "<br>".join(f"{_text(part)} {_signed(shown[part])}" for part in up) or "–",
                "<br>".join(f"{_text(part)} {_signed(shown[part])}" for part in down) or "–",
                ", ".join(held) or "–",
                _signed(slope.get("per_range")),
            )
        )
    note = (
        "Changes of log10 of the figure over the whole range of a variable, taken at the optimum: what pushes the "
        "variable up, what pushes it down, and what holds it if the two do not cancel. Their sum is the gradient."
    )
    return _section(
        "Why the variables stop there",
        _paragraph(note) if rows else "",
        _table(("variable", "pushed up by", "pushed down by", "held by", "gradient"), rows, text=(0, 1, 2, 3)),
    )


def _signed(value: Any) -> str:
    return "–" if value is None else f"{value:+.3g}".replace("-", "−")


def _slices(folder: RunFolder, result: Mapping[str, Any]) -> str:
    path = folder.path / "slices.csv"
    if not path.is_file():
        return ""
    table = {key: np.asarray(column) for key, column in read_table(path).items()}
    if not {"variable", "value", "log10_figure"} <= set(table) or not len(table["variable"]):
        return ""
    with matplotlib.rc_context(STYLE):
        folder.save_figure("slices", _slices_figure(table, result))
    caption = (
        "The figure along every variable through the optimum (circle), down to a hundredth of the best; hollow points "
        "violate a constraint."
    )
    return _section("Slices through the optimum", _image(folder, "slices", caption))


SLICE_DECADES = 2.0
"""Of a figure that slices show; what lies lower is bad for certain, and would flatten all others."""


def _slices_figure(table: dict[str, np.ndarray], result: Mapping[str, Any]) -> Figure:
    names = list(dict.fromkeys(table["variable"].tolist()))
    figure, panels = small_multiples(len(names), 3.3, f"log$_{{10}}$ {_symbol(result)}")
    for axes, name in zip(panels, names, strict=True):
        own = table["variable"] == name
        x, y = table["value"][own], table["log10_figure"][own]
        feasible = table["feasible"][own] > 0 if "feasible" in table else np.ones(len(x), bool)
        colour = QUALITATIVE[0]
        axes.plot(x, y, color=colour, lw=1)
        axes.plot(x[feasible], y[feasible], "o", color=colour, ms=3.5)
        axes.plot(x[~feasible], y[~feasible], "o", mfc="white", mec=colour, ms=3.5)
        unit = str(table["unit"][own][0]) if "unit" in table else "1"
        axes.set_xlabel(_words(name) + ("" if unit == "1" else f" ({unit})"))
        chosen = ((result.get("design") or {}).get(name) or {}).get("optimum")
        if chosen is not None:
            axes.plot([chosen], [np.interp(chosen, x, y)], "o", mfc="none", mec="black", ms=9, mew=1)
    finite = table["log10_figure"][np.isfinite(table["log10_figure"])]
    if len(finite) and np.ptp(finite) > SLICE_DECADES:  # panels share their axis
        panels[0].set_ylim(bottom=finite.max() - SLICE_DECADES)
    return figure


def _symbol(result: Mapping[str, Any]) -> str:
    figure = str((result.get("objective") or {}).get("figure", "detectivity_Jones"))
    return {"detectivity_Jones": "(D*/Jones)", "responsivity_A_per_W": "(R / (A/W))"}.get(figure, figure)


def _local_optima(result: Mapping[str, Any]) -> str:
    optima = result.get("local_optima") or []
    names = list(dict.fromkeys(name for one in optima for name in one.get("design") or {}))
    rows = [
        (
            str(place + 1),
            _number(one.get("log10_figure"), 5),
            _count(one.get("starts")),
            *(_number((one.get("design") or {}).get(name)) for name in names),
        )
        for place, one in enumerate(optima)
    ]
    return _section(
        "Local optima found", _table(("", "log10 figure", "starts", *(_text(_words(n)) for n in names)), rows)
    )


def _count(starts: Any) -> str:
    return str(len(starts)) if isinstance(starts, list | tuple) else _number(starts)


def _verification(result: Mapping[str, Any]) -> str:
    verification, convergence = result.get("verification") or {}, result.get("convergence") or {}
    change = verification.get("relative_difference") or {}
    rows = [
        (
            _text(_words(name)),
            _number(value),
            f"{_number(100 * change[name], 2)} %" if change.get(name) is not None else "–",
        )
        for name, value in (verification.get("figures") or {}).items()
    ]
    message = _text(verification.get("message") or "")
    passed = verification.get("passed")
    mark = '<span class="good">passed</span>: ' if passed else '<span class="bad">failed</span>: '
    numbers = [(_text(_words(name)), _number(value, 3)) for name, value in convergence.items()]
    return _section(
        "Verification and convergence",
        _paragraph(mark + message) if passed is not None else "",
        _table(("on a mesh twice as fine", "value", "change"), rows),
        _table(("search", ""), numbers),
    )


# --- any other run -------------------------------------------------------------------------------------------------


def _anything(folder: RunFolder, result: Mapping[str, Any]) -> list[str]:
    """Tables of whatever keyed numbers there are."""
    parts = [_head(folder, result, f"{result.get('job', 'Run')} of {result.get('device', 'a device')}")]
    for section, entries in result.items():
        if not isinstance(entries, Mapping) or section == "tables":
            continue
        rows = []
        for name, entry in entries.items():
            cells = entry if isinstance(entry, Mapping) else {"value": entry}
            rows.append((_text(name), ", ".join(f"{_text(key)} {_number(value)}" for key, value in cells.items())))
        parts.append(_section(section.replace("_", " "), _table(("", ""), rows, text=(0, 1))))
    return [*parts, _warnings(result), _provenance(folder, result)]
