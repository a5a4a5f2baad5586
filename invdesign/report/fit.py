"""Figures and report of a fit, from the folder of its run alone."""

import math
import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from invdesign.datasets.table import split_unit
from invdesign.design.variables import unit_of
from invdesign.report import html
from invdesign.report.figures import DARK, ELECTRON, GREY, HOLE, STYLE, small_multiples
from invdesign.report.pieces import bullets, escaped, head, image, number, paragraph, provenance, section, table, unit
from invdesign.run.folder import RunFolder, read_table

LOGARITHMIC_X = ("frequency_Hz", "time_s")
SHOWN = "measured and fitted; below, how far the model lies above the data, in standard deviations"
DECADES_OF_LOG = 30.0
"""A curve whose largest value is this many times its smallest (with a change of sign: its median) is drawn on a
logarithmic axis."""


def write(folder: RunFolder) -> None:
    """Draw every curve with its residuals, the profiles and the correlations, and write report.html."""
    result = folder.result()
    with matplotlib.rc_context(STYLE):
        for name, curve in (result.get("curves") or {}).items():
            bands = _table(folder, curve["posterior_table"]) if curve.get("posterior_table") else {}
            folder.save_figure(curve["table"], _curve(name, curve, _table(folder, curve["table"]), bands))
        if (folder.path / "posterior.csv").is_file():
            folder.save_figure("posterior", _posterior(result, _table(folder, "posterior")))
        if (folder.path / "profiles.csv").is_file():
            folder.save_figure("profiles", _profiles(_table(folder, "profiles")))
        if len(result.get("correlation") or {}) > 1:
            folder.save_figure("correlation", _correlation(result["correlation"]))
    html.write(folder, _page(folder, result))


def _table(folder: RunFolder, name: str) -> dict[str, np.ndarray]:
    return {key: np.asarray(column) for key, column in read_table(folder.path / f"{name}.csv").items()}


# --- figures -----------------------------------------------------------------------------------------------------


def _curve(name: str, curve: Mapping[str, Any], table: dict[str, np.ndarray], bands: dict[str, np.ndarray]) -> Figure:
    """Data with error bars, the model and the posterior's bands, above the residuals in standard deviations."""
    x, y = table[curve["x"]], table[f"measured_{curve['y']}"]
    sigma, model, start = (table[f"{part}_{curve['y']}"] for part in ("sigma", "model", "start"))
    figure = Figure(figsize=(4.8, 4.2))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    log = _logarithmic(y, bool(curve["log"]))
    shown = np.abs if log else np.asarray
    mark = "o" if len(x) < 60 else "."
    top.errorbar(
        x, shown(y), sigma, fmt=mark, ms=3, color=DARK, ecolor=GREY, elinewidth=0.8, label="measured", zorder=3
    )
    several = len(x) > 1
    top.plot(x, shown(start), "--" if several else "D", color=GREY, lw=1, ms=4, label="before the fit")
    for part, label, colour in (("predicted", "95 %, measured again", "#dbe6f1"), ("model", "95 %, model", "#f2b8a0")):
        low, high = (bands.get(f"{part}_{end}_{curve['y']}") for end in ("low", "high"))
        if low is None or high is None:
            continue
        if log:  # the part that has the sign of the model
            floor = 0.3 * min(float(np.nanmin(np.abs(each[each != 0]), initial=np.inf)) for each in (y, model))
            low, high = (np.maximum(np.sign(model) * each, floor) for each in (low, high))
        if several:
            top.fill_between(x, low, high, color=colour, lw=0, label=label)
        else:
            top.vlines(x, low, high, color=colour, lw=8 if part == "predicted" else 4, label=label)
    top.plot(x, shown(model), "-" if several else "D", color=HOLE, ms=4, label="fitted")
    if log:
        top.set_yscale("log")
    if curve["x"] in LOGARITHMIC_X and len(x) > 1 and x.min() > 0:
        top.set_xscale("log")
    conditions = curve.get("conditions")
    top.set_title(name if conditions in (None, "", name) else f"{name}, {conditions}")
    top.set_ylabel(_label(curve["y"], absolute=log and bool((y < 0).any())))
    top.legend()
    residual = table["residual"]
    bottom.axhspan(-1, 1, color="#eef3f8", lw=0)
    bottom.axhline(0, color=GREY, lw=0.7)
    bottom.plot(x, residual, mark, ms=3, color=ELECTRON)
    limit = max(3.0, float(np.nanmax(np.abs(residual), initial=0.0)) * 1.15)
    bottom.set_ylim(-limit, limit)
    bottom.set_ylabel("model − data\n(σ)")
    bottom.set_xlabel(_label(curve["x"]))
    return figure


def _logarithmic(y: np.ndarray, wanted: bool) -> bool:
    size = np.abs(y[np.isfinite(y)])
    if not size.size or not (size > 0).all():
        return False
    one_sign = bool((y > 0).all() or (y < 0).all())
    small = size.min() if one_sign else np.median(size)  # a change of sign alone makes small numbers
    return wanted or bool(size.max() > DECADES_OF_LOG * small)


def _label(name: str, absolute: bool = False) -> str:
    stem, unit = split_unit(name)
    words = {"eqe": "EQE"}.get(stem, stem.replace("_", " "))
    words = f"|{words}|" if absolute else words
    return _with_unit(words, unit.replace("_per_", "/").replace("rtHz", "Hz$^{1/2}$"))


def _with_unit(words: str, unit: str) -> str:
    """`n doping (cm⁻³)`, of a unit as it is in results."""
    pretty = re.sub(r"(?<=\bcm)(-?\d)", r"$^{\1}$", unit).replace("ohm", "Ω").replace("um", "µm")
    return words if unit in ("", "1") else f"{words} ({pretty})"


def _profiles(table: dict[str, np.ndarray]) -> Figure:
    names = list(dict.fromkeys(table["parameter"].tolist()))
    figure, panels = small_multiples(len(names), 3.2, "rise of χ²")
    for axes, name in zip(panels, names, strict=True):
        own = table["parameter"] == name
        value, rise = table["value"][own], table["chi2_rise"][own]
        axes.plot(value, rise, "o", color=ELECTRON, ms=3.5)
        if len(value) > 1:  # the root of the rise, with its sign, is nearly straight
            fine = np.linspace(value[0], value[-1], 101)
            root = np.sqrt(np.maximum(rise, 0.0)) * np.sign(np.arange(len(rise)) - np.argmin(rise))
            axes.plot(fine, PchipInterpolator(value, root)(fine) ** 2, color=ELECTRON)
        for level in (1.0, 3.84):
            axes.axhline(level, color=GREY, lw=0.7, ls="--")
        unit = str(table["unit"][own][0])
        axes.set_xlabel(_with_unit(name.replace("_", " "), unit))
        axes.set_ylim(-0.2, 6)
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _posterior(result: Mapping[str, Any], table: dict[str, np.ndarray]) -> Figure:
    """Draws of every parameter, with the normal distribution of the linearised errors."""
    free = {name: row for name, row in result["parameters"].items() if row.get("posterior")}
    drawn = {column.removesuffix(unit_of(column)): values for column, values in table.items()}
    figure, panels = small_multiples(len(free), 3.2, "density, over the highest")
    for axes, (name, row) in zip(panels, free.items(), strict=True):
        draws = np.asarray(drawn[name], float)
        counts, edges = np.histogram(draws, bins=int(np.clip(np.sqrt(len(draws)), 8, 40)), density=True)
        axes.stairs(counts / counts.max(), edges, fill=True, color="#f2b8a0")
        for place, style in (
            (row["posterior"]["median"], "-"),
            *((end, "--") for end in row["posterior"]["interval_95"]),
        ):
            axes.axvline(place, color=HOLE, lw=0.9, ls=style)
        error, fine = row.get("standard_error"), np.linspace(edges[0], edges[-1], 201)
        if error and math.isfinite(error):
            axes.plot(fine, _density(fine, row) / counts.max(), color=ELECTRON, lw=1.2)
        axes.set_xlabel(_with_unit(name.replace("_", " "), row["unit"]))
        axes.ticklabel_format(axis="both", style="sci", scilimits=(-3, 4), useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _density(x: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Of the linearised errors, normal in the scale of the parameter."""
    value, error = float(row["value"]), float(row["standard_error"])
    if not row["log"]:
        return norm.pdf(x, value, error)
    x = np.maximum(x, 1e-300)
    return norm.pdf(np.log(x / value), 0, error / value) / x


def _correlation(correlation: Mapping[str, Mapping[str, float | None]]) -> Figure:
    names = list(correlation)
    numbers = np.array([[_or_nan(correlation[a][b]) for b in names] for a in names])
    size = 1.6 + 0.45 * len(names)
    figure = Figure(figsize=(size + 0.8, size))
    axes = figure.subplots()
    image = axes.imshow(numbers, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], rotation=60, ha="right")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.grid(False)
    shown = np.round(numbers, 2) + 0.0  # no minus in front of 0.00
    for i, j in np.ndindex(*numbers.shape):
        if np.isfinite(numbers[i, j]):
            colour = "white" if abs(numbers[i, j]) > 0.6 else "black"
            axes.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    figure.colorbar(image, shrink=0.8)
    return figure


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


# --- the page ----------------------------------------------------------------------------------------------------


def _page(folder: RunFolder, result: Mapping[str, Any]) -> list[str]:
    curves = result.get("curves") or {}
    return [
        head(folder, result, f"Fit of {result.get('device', 'a device')}"),
        paragraph(
            "The fitted device is in <code>fitted.yaml</code> and can be used as "
            "<code>device=path/to/fitted.yaml</code>" + _others(result) + "."
        ),
        _parameters(result),
        _statistics(result),
        section("What to beware of", bullets(result.get("warnings") or [], "warnings")),
        section(
            "Curves",
            *(image(folder, curve["table"], f"{name}: {SHOWN}") for name, curve in curves.items()),
        ),
        _known(folder, result),
        _drawn(folder, result),
        _minima(result),
        provenance(folder, result),
    ]


def _others(result: Mapping[str, Any]) -> str:
    files = (result.get("fitted") or [])[1:]
    return f", the further ones in {', '.join(f'<code>{escaped(file)}</code>' for file in files)}" if files else ""


def _parameters(result: Mapping[str, Any]) -> str:
    rows, drawn = [], bool(result.get("posterior"))
    for name, row in (result.get("parameters") or {}).items():
        where = f"at its {row['at_bound']} bound" if row.get("at_bound") else row.get("status")
        rows.append(
            (
                escaped(name.replace("_", " ")),
                unit(row.get("unit")),
                number(row.get("start")),
                f"<b>{number(row.get('value'), 5)}</b>",
                number(row.get("standard_error"), 2),
                _between(row.get("interval_95")),
                _between(row.get("profile_95")),
                *([_between((row.get("posterior") or {}).get("interval_95"))] if drawn else []),
                escaped("" if where == "free" else where),
            )
        )
    posterior = ("95 %, posterior",) if drawn else ()
    columns = ("parameter", "unit", "start", "fitted", "± 1 σ", "95 %", "95 %, profile", *posterior, "")
    note = (
        "Errors hold if the standard deviations of the data do. Those in the first two columns are linearised at the "
        "minimum; the profile refits all other parameters along each one, and is open where the data do not bound it "
        "in its box."
    )
    last = len(columns) - 1
    return section("Parameters", table(columns, rows, text=(0, 1, last)), paragraph(note))


def _between(ends: Any) -> str:
    if not ends or all(end is None for end in ends):
        return "–"
    low, high = ("open" if end is None else number(end, 4) for end in ends)
    mark, power = " × 10", high.partition(" × 10")[2]
    if power and low.endswith(mark + power):  # one power of ten for both ends
        return f"({low.partition(mark)[0]} to {high.partition(mark)[0]}){mark}{power}"
    return f"{low} to {high}"


def _statistics(result: Mapping[str, Any]) -> str:
    rows = [(escaped(name.replace("_", " ")), number(v)) for name, v in (result.get("statistics") or {}).items()]
    curves = [
        (
            escaped(name),
            escaped(row.get("kind")),
            escaped(row.get("conditions") or ""),
            number(row.get("points")),
            number(row.get("chi2_start")),
            number(row.get("chi2")),
            number(row.get("failed_points")),
        )
        for name, row in (result.get("curves") or {}).items()
    ]
    return section(
        "Goodness of fit",
        table(("", ""), rows),
        table(("curve", "kind", "", "points", "χ² before", "χ²", "not solved"), curves, text=(0, 1, 2)),
    )


def _known(folder: RunFolder, result: Mapping[str, Any]) -> str:
    directions = [
        (
            number(row.get("known_to"), 3),
            ", ".join(
                f"{escaped(name.replace('_', ' '))} {share:+.2f}"
                for name, share in sorted(row["parameters"].items(), key=lambda item: -abs(item[1] or 0.0))
                if share and abs(share) > 0.1
            ),
        )
        for row in result.get("directions") or []
    ]
    note = (
        "Combinations of parameters (in parts of their ranges, of the logarithm's range for logarithmic ones), from "
        "the best known to the least known. What is known to no better than a quarter of its range is not settled."
    )
    return section(
        "What the data know",
        bullets(result.get("entangled") or []),
        paragraph(note) if directions else "",
        table(("known to", "combination"), directions, text=(1,)),
        image(folder, "correlation", "Correlation coefficients of the parameters."),
        image(folder, "profiles", "Least χ² of all other parameters along each one; dashed: 68 % (1) and 95 % (3.84)."),
    )


def _drawn(folder: RunFolder, result: Mapping[str, Any]) -> str:
    if not (how := result.get("posterior")):
        return ""
    rows = [
        (
            escaped(name.replace("_", " ")),
            f"<b>{number(row['posterior']['median'], 5)}</b>",
            _between(row["posterior"]["interval_68"]),
            _between(row["posterior"]["interval_95"]),
            unit(row.get("unit")),
            number(row["posterior"]["r_hat"], 4),
            number(row["posterior"]["effective_samples"], 4),
        )
        for name, row in result["parameters"].items()
        if row.get("posterior")
    ]
    columns = ("parameter", "median", "68 %", "95 %", "unit", "split R-hat", "effective draws")
    note = (
        f"{how['chains']} chains of {how['samples']} draws after {how['warmup']} to warm up; {how['divergences']} of "
        "the draws diverged or met a device that was not solved. The chains agree where R-hat is below 1.01."
    )
    return section(
        "Posterior distribution",
        table(columns, rows, text=(0, 4)),
        paragraph(note),
        image(
            folder,
            "posterior",
            "Draws of every parameter with median (solid) and 95 % (dashed); blue: the normal distribution of the "
            "linearised errors.",
        ),
    )


def _minima(result: Mapping[str, Any]) -> str:
    minima = result.get("minima") or []
    names = list(minima[0].get("parameters") or {}) if minima else []
    rows = [
        (
            number(row.get("chi2")),
            number(row.get("starts")),
            escaped(row.get("message")),
            *(number((row.get("parameters") or {}).get(name)) for name in names),
        )
        for row in minima
    ]
    columns = ("χ²", "starts", "", *(escaped(name.replace("_", " ")) for name in names))
    return section("Minima found", table(columns, rows, text=(2,)))
