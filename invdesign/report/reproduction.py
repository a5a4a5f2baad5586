"""Figures and report of `invdesign reproduce`, from the folder of its run alone.

One figure per panel of the paper: the model's curves, and over them what the paper states, as points with the range
that counts as met. Nothing is read off the paper's own curves.
"""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from invdesign.report import html
from invdesign.report.figures import DARK, ELECTRON, GREY, HOLE, LIT, SHADES, STYLE
from invdesign.report.pieces import (
    escaped,
    head,
    image,
    number,
    paragraph,
    provenance,
    section,
    table,
    warnings,
)
from invdesign.run.folder import RunFolder, read_table

Table = dict[str, np.ndarray]
Tables = dict[str, Table]
Rows = dict[str, dict[str, float]]
"""value, low, high and model of every statement."""

STATED: dict[str, Any] = dict(color=HOLE, zorder=5)
READ_BIAS_V = 1.0
"""Where rows without a stated bias are read."""
RESULT_COLOURS = {"met": "#1b6e3c", "not met": HOLE, "not in the model": GREY}


def write(folder: RunFolder) -> None:
    """Draw every panel and write report.html."""
    tables: Tables = {}
    for path in sorted(folder.path.glob("*.csv")):
        tables[path.stem] = {key: np.asarray(column) for key, column in read_table(path).items()}
    rows = {
        str(name): {key: float(tables["rows"][key][i]) for key in ("value", "low", "high", "model")}
        for i, name in enumerate(tables["rows"]["id"])
    }
    with matplotlib.rc_context(STYLE):
        folder.save_figure("overview", _overview(folder.result()))
        for name, (_, function) in PANELS.items():
            folder.save_figure(name, function(tables, rows))
    html.write(folder, _page(folder, folder.result()))


# --- small helpers -------------------------------------------------------------------------------------------------


def _figure(columns: int = 1, width: float = 4.6, height: float = 3.3, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width * columns, height))
    return figure, figure.subplots(1, columns, **options)


def _cut(table: Table, **where: Any) -> Table:
    keep = np.all([table[key] == value for key, value in where.items()], axis=0)
    return {key: column[keep] for key, column in table.items()}


def _volts(bias: float) -> str:
    return "0 V" if bias == 0 else f"−{bias:g} V"


def _colours(count: int) -> list[Any]:
    return [matplotlib.colormaps["viridis"](x) for x in np.linspace(0.0, 0.85, max(count, 2))][:count]


def _point(axes: Axes, x: float, row: Mapping[str, float], scale: float = 1.0, **options: Any) -> None:
    """A statement as a point with its range; an open end is an arrow."""
    low, high = row["low"] * scale, row["high"] * scale
    centre = next(value for value in (row["value"] * scale, low, high) if np.isfinite(value))
    down = centre - low if np.isfinite(low) else 0.0
    up = high - centre if np.isfinite(high) else 0.0
    marker = "o" if np.isfinite(low) and np.isfinite(high) else "^" if np.isfinite(low) else "v"
    axes.errorbar(
        [x], [centre], [[down], [up]], fmt=marker, ms=5, capsize=3, elinewidth=1.2, mfc="white", **STATED | options
    )


def _at_x(axes: Axes, row: Mapping[str, float], text: str, height: float = 0.97) -> None:
    """A statement about the x axis: a band over its range, with its name."""
    if np.isfinite(row["low"]) and np.isfinite(row["high"]):
        axes.axvspan(row["low"], row["high"], color=HOLE, alpha=0.12, lw=0)
    axes.axvline(row["value"], color=HOLE, lw=1, ls="--")
    axes.annotate(text, (row["value"], height), xycoords=axes.get_xaxis_transform(), xytext=(4, 0),
                  textcoords="offset points", color=HOLE, fontsize=7.5, va="top")  # fmt: skip


def _log(axes: Axes, which: str) -> None:
    """A logarithmic axis without minor ticks."""
    axes.set(**{f"{which}scale": "log"})
    getattr(axes, f"{which}axis").set_minor_locator(NullLocator())


def _frame(axes: Axes, x: str, y: str, *, legend: bool = True, **limits: Any) -> None:
    axes.set(xlabel=x, ylabel=y, **limits)
    if legend:
        axes.plot([], [], "o", ms=5, mfc="white", color=HOLE, label="paper")
        axes.legend()


def _biased(axes: Axes, table: Table, x: str, y: str, biases: tuple[float, ...], scale: float = 1.0) -> None:
    for bias, colour in zip(biases, _colours(len(biases)), strict=True):
        part = _cut(table, reverse_bias_V=bias)
        axes.plot(part[x], scale * part[y], color=colour, label=_volts(bias))


# --- panels --------------------------------------------------------------------------------------------------------


def films(tables: Tables, rows: Rows) -> Figure:
    data = tables["films"]
    figure, axes = _figure(width=5.4)
    names = (("host", "host", LIT), ("dots_alone", "dots alone", GREY), ("dots_in_host", "dots in the host", ELECTRON))
    for key, label, colour in names:
        if f"absorptance_{key}" in data:
            axes.plot(data["wavelength_nm"], data[f"absorptance_{key}"], color=colour, label=label)
    for name, text, height in (
        ("host_cutoff", "host ends", 0.97),
        ("exciton_wavelength", "exciton", 0.97),
        ("onset_wavelength", "onset", 0.9),
    ):
        _at_x(axes, rows[name], text, height)
    axes.set(xlabel="wavelength (nm)", ylabel="1 − R − T of the film on glass", xlim=(400, 1600), ylim=(0, 1))
    axes.legend(loc=(0.42, 0.62))  # between the marks
    return figure


def bands(tables: Tables, rows: Rows) -> Figure:
    data = tables["bands"]
    figure, grid = _figure(2, width=3.9, height=3.3, sharey=True)
    for axes, bias in zip(grid, (0.0, 3.0), strict=True):
        part = _cut(data, condition="dark", reverse_bias_V=bias)
        x = part["position_nm"]
        axes.plot(x, part["conduction_band_eV"], color=ELECTRON, label="conduction band of the host")
        axes.plot(x, part["valence_band_eV"], color=HOLE, label="valence band of the host")
        dots = np.isfinite(part["dot_empty"])
        electron, hole = rows["electron_offset"]["model"], rows["hole_offset"]["model"]
        levels = part["conduction_band_eV"] - electron, part["valence_band_eV"] + hole
        for level, label in zip(levels, ("levels of the dots", None), strict=True):
            axes.plot(x[dots], level[dots], color=GREY, lw=1, ls="--", label=label)
        for index, name in enumerate(dict.fromkeys(part["layer"].tolist())):
            inside = x[part["layer"] == name]
            axes.axvspan(inside.min(), inside.max(), color=SHADES[index % len(SHADES)], lw=0, zorder=0)
            axes.text(inside.mean(), 1.01, name, transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
        axes.set_title(_volts(bias), pad=14)
        axes.set(xlabel="position (nm)", xlim=(x.min(), x.max()))
    grid[0].set_ylabel("energy − $E_F$ of the cathode (eV)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def fields(tables: Tables, rows: Rows) -> Figure:
    data = tables["local_fields"]
    figure, axes = _figure()
    for key, label, colour in (("dot", "in the dots", ELECTRON), ("mean", "mean", DARK), ("host", "in the host", LIT)):
        axes.plot(data["reverse_bias_V"], data[f"{key}_MV_per_cm"], color=colour, label=label)
    onset = rows["tunnelling_onset_bias"]
    _point(axes, onset["value"], rows["tunnelling_onset_field"])
    axes.annotate("tunnelling sets in", (onset["value"], rows["tunnelling_onset_field"]["value"]), xytext=(8, -3),
                  textcoords="offset points", color=HOLE, fontsize=7.5)  # fmt: skip
    _frame(axes, "reverse bias (V)", "field of the film (MV/cm)", ylim=(0, None), xlim=(0, None))
    return figure


def capture(tables: Tables, rows: Rows) -> Figure:
    data = tables["capture"]
    figure, axes = _figure()
    times, levels = (sorted(set(data[key].tolist())) for key in ("capture_time_ps", "field_V_per_cm"))
    for time, style in zip(times, ("-", "--"), strict=True):
        for level, colour in zip(levels, _colours(len(levels)), strict=True):
            part = _cut(data, field_V_per_cm=level, capture_time_ps=time)
            label = f"{level / 1e6:g} MV/cm, {time:.2g} ps"
            axes.plot(part["mobility_cm2_per_Vs"], part["capture_probability"], style, color=colour, label=label)
    mobility = rows["capture_mobility"]
    across = [[mobility["value"] - mobility["low"]], [mobility["high"] - mobility["value"]]]
    axes.errorbar([mobility["value"]], [0.1], xerr=across, fmt="o", ms=5, capsize=3, mfc="white", **STATED)
    _log(axes, "x")
    _frame(axes, "mobility of the host (cm²/Vs)", "capture probability per dot", ylim=(0, 1.02))
    axes.legend(title="paper: 1 MV/cm", title_fontsize=7.5, loc="lower left")
    return figure


def rates(tables: Tables, rows: Rows) -> Figure:
    data = tables["rates"]
    figure, grid = _figure(2, width=3.9, sharey=True)
    x = data["field_V_per_cm"] / 1e6
    for axes, carrier, colour in zip(grid, ("electron", "hole"), (ELECTRON, HOLE), strict=True):
        for process, style, label in (
            ("thermionic", "--", "emission over the barrier"),
            ("field_emission", "-", "emission through the barrier"),
            ("capture", ":", "capture"),
        ):
            axes.plot(x, data[f"{carrier}_{process}_per_s"], style, color=colour, label=label)
        axes.set_title(f"{carrier}s")
        _log(axes, "x")
        _log(axes, "y")
        axes.axvspan(rows["crossover_field"]["low"], rows["crossover_field"]["high"], color=GREY, alpha=0.2, lw=0,
                     label="paper: crossover")  # fmt: skip
        axes.set(xlabel="mean field (MV/cm)", ylim=(1e-2, 1e15))
        axes.legend(loc="lower right")
    grid[0].set_ylabel("rate of one carrier (s⁻¹)")
    return figure


def fowler_nordheim(tables: Tables, rows: Rows) -> Figure:
    """As the rows are read: the field is the bias over the thickness of the film, without the built-in one."""
    data = tables["jv"]
    reverse = data["voltage_V"] < 0
    field = -10 * data["voltage_V"][reverse] / rows["film_thickness"]["model"]  # MV/cm
    dark = data["dark_current_density_A_per_cm2"][reverse]
    photo = data["lit_current_density_A_per_cm2"][reverse] - dark
    figure, axes = _figure()
    for current, label, colour in ((dark, "dark current", DARK), (photo, "photocurrent", LIT)):
        values = np.log(np.abs(current) / field**2)
        axes.plot(1 / field, values - values[-1], ".-", color=colour, label=label)
    onset = rows["tunnelling_onset_field"]
    inverse = {"value": 1 / onset["value"], "low": 1 / onset["high"], "high": 1 / onset["low"]}
    _at_x(axes, inverse, "paper: straight and\nfalling up to here")
    axes.set(xlabel="1/field (cm/MV), field = bias/thickness", ylabel="ln(J/F²) against its weakest field")
    axes.set(xlim=(0, 105))
    axes.legend(loc="lower right")
    return figure


def bleach(tables: Tables, rows: Rows) -> Figure:
    data = _cut(tables["bleaches"], pump_nm=450.0)
    figure, axes = _figure()
    time = np.linspace(0, 1000, 200)
    for field, name, colour in ((0.0, "fast_decay_rest", DARK), (0.2, "fast_decay_field", ELECTRON)):
        part = _cut(data, field_MV_per_cm=field)
        if len(part["time_ps"]):
            share = part["exciton_bleach"] / part["exciton_bleach"].max()
            axes.plot(part["time_ps"], share, color=colour, label=f"model, {field:g} MV/cm")
        row = rows[name]
        axes.plot(time, np.exp(-time / row["value"]), color=colour, ls="--", label=f"paper, {row['value']:g} ps")
        axes.fill_between(time, np.exp(-time / row["low"]), np.exp(-time / row["high"]), color=colour, alpha=0.15, lw=0)
    axes.set(
        xlabel="time (ps)", ylabel="bleach over its peak (fast part for the paper)", xlim=(0, 1000), ylim=(0, 1.02)
    )
    axes.legend()
    return figure


def response_bias(tables: Tables, rows: Rows) -> Figure:
    data = _cut(tables["gain"], wavelength_nm=975.0)
    figure, (left, right) = _figure(2, width=4.0)
    x = data["reverse_bias_V"]
    left.plot(x, 1e3 * data["responsivity_A_per_W"], color=ELECTRON, label="model")
    flat, ratio = rows["flat_responsivity"], rows["turn_on"]
    for bias in (0.0, 0.3):
        _point(left, bias, flat)
    risen = {key: ratio[key] * flat["value"] for key in ("value", "low", "high")}
    _point(left, 0.5, risen)
    _log(left, "y")
    _frame(left, "reverse bias (V)", "responsivity at 975 nm (mA/W)", ylim=(1, 300))
    right.plot(x, data["gain"], color=ELECTRON, label="model")
    unity = rows["unity_gain_bias"]
    right.errorbar([unity["value"]], [1], xerr=0.2, fmt="o", ms=5, capsize=3, mfc="white", **STATED)
    _point(right, 6.0, rows["gain_max"])
    _log(right, "y")
    _frame(right, "reverse bias (V)", "gain at 975 nm", ylim=(0.1, 20))
    return figure


def eqe(tables: Tables, rows: Rows) -> Figure:
    data = tables["spectrum"]
    figure, axes = _figure(width=5.4)
    biases = (0.0, 1.0, 3.0)
    _biased(axes, data, "wavelength_nm", "eqe", biases, 100)
    colours = dict(zip(biases, _colours(3), strict=True))
    for name in ("eqe_400_0V", "eqe_1240_0V", "eqe_1240_1V", "eqe_400_3V", "eqe_1240_3V"):
        wavelength, bias = name.split("_")[1:]
        _point(axes, float(wavelength), rows[name], color=colours[float(bias[:-1])])
    axes.plot([], [], "o", ms=5, mfc="white", color=DARK, label="paper, same colours")
    axes.set(xlabel="wavelength (nm)", ylabel="EQE (%)", xlim=(350, 1450), ylim=(0.2, 150))
    _log(axes, "y")
    axes.legend(loc="lower left")
    return figure


def photoresponse(tables: Tables, rows: Rows) -> Figure:
    data = tables["photoresponse"]
    figure, axes = _figure()
    _biased(axes, data, "frequency_Hz", "relative_dB", (0.0, 1.0, 3.0, 6.0))
    limit = rows["bandwidth"]
    across = [[1e3 * (limit["value"] - limit["low"])], [1e3 * (limit["high"] - limit["value"])]]
    axes.errorbar([1e3 * limit["value"]], [-3], xerr=across, fmt="o", ms=5, capsize=3, mfc="white", **STATED)
    axes.axhline(-3, color=GREY, lw=0.8, ls=":")
    _log(axes, "x")
    _frame(axes, "frequency (Hz)", "response at 975 nm (dB)", ylim=(-20, 1), xlim=(100, 1e6))
    return figure


def noise(tables: Tables, rows: Rows) -> Figure:
    data = tables["noise"]
    figure, axes = _figure()
    for bias, colour in zip((0.0, 1.0, 3.0), _colours(3), strict=True):
        part = _cut(data, reverse_bias_V=bias)
        axes.plot(part["frequency_Hz"], 1e12 * part["total_A_per_rtHz"], color=colour, label=f"model, {_volts(bias)}")
    _point(axes, 1.0, rows["noise_1Hz"])
    shot, white = rows["shot_noise"], rows["noise_excess_1kHz"]
    _point(axes, 1e3, {key: white[key] * shot["value"] for key in ("value", "low", "high")})
    axes.axhline(shot["value"], color=HOLE, lw=1, ls="--", label="paper: shot noise")
    frequency = np.logspace(0, 3, 2)
    axes.plot(
        frequency, rows["noise_1Hz"]["value"] / np.sqrt(frequency), color=GREY, lw=1, ls=":", label="1/f from there"
    )
    _log(axes, "x")
    _log(axes, "y")
    _frame(axes, "frequency (Hz)", "current noise (pA/√Hz)", ylim=(5e-3, 100))
    return figure


def noise_bias(tables: Tables, rows: Rows) -> Figure:
    data = tables["noise_bias"]
    figure, axes = _figure()
    x = data["reverse_bias_V"]
    axes.plot(x, 1e12 * data["noise_A_per_rtHz"], color=ELECTRON, label="model")
    axes.plot(x, 1e12 * data["shot_limit_A_per_rtHz"], color=GREY, ls="--", label="its shot noise")
    axes.axhspan(rows["noise_headline"]["low"], rows["noise_headline"]["high"], color=HOLE, alpha=0.12, lw=0,
                 label="paper: 0.1 pA/√Hz, bias unknown")  # fmt: skip
    shot, white = rows["shot_noise"], rows["noise_excess_1kHz"]
    _point(axes, 0.0, {key: white[key] * shot["value"] for key in ("value", "low", "high")})
    _frame(axes, "reverse bias (V)", "current noise at 1 kHz (pA/√Hz)", ylim=(0, 0.16))
    return figure


def linearity(tables: Tables, rows: Rows) -> Figure:
    data = tables["linearity"]
    figure, axes = _figure()
    x = 1e3 * data["irradiance_W_per_cm2"]
    responsivity = data["responsivity_A_per_W"]
    weakest = responsivity[np.isfinite(responsivity)][:1]  # of solves that have not failed
    axes.plot(x, responsivity / weakest if weakest.size else responsivity, ".-", color=ELECTRON, label="model, −1 V")
    end = rows["linear_end"]
    axes.axvspan(end["low"], end["high"], color=HOLE, alpha=0.12, lw=0)
    axes.plot([end["value"] / 1e6, end["value"]], [1, 1], color=HOLE, lw=3, alpha=0.5, label="paper: linear")
    _log(axes, "x")
    axes.set(xlabel="irradiance at 975 nm (mW/cm²)", ylabel="responsivity over that to weak light", ylim=(0, 1.1))
    axes.legend(loc="lower left")
    return figure


def detectivity(tables: Tables, rows: Rows) -> Figure:
    data = tables["spectrum"]
    figure, axes = _figure(width=5.4)
    _biased(axes, data, "wavelength_nm", "detectivity_Jones", (0.0, 1.0, 3.0))
    _point(axes, 1240.0, rows["detectivity_swir"])
    visible = rows["detectivity_visible"]
    axes.fill_between([400, 700], visible["low"], visible["high"], color=HOLE, alpha=0.15, lw=0)
    axes.plot([400, 700], [visible["value"]] * 2, color=HOLE, lw=1, ls="--")
    _log(axes, "y")
    _frame(axes, "wavelength (nm)", "D* (Jones), noise at 1 kHz", xlim=(350, 1450), ylim=(1e10, 2e13))
    return figure


Drawing = Callable[[Tables, Rows], Figure]
PANELS: dict[str, tuple[str, Drawing]] = {
    "fig_1c": ("Fig. 1c: absorption of films on glass.", films),
    "fig_1d_2a": ("Figs. 1d, 1e, 2a, 2b: bands in the dark without and with bias.", bands),
    "fig_2b": ("Fig. 2b: fields in the dots and in the host.", fields),
    "fig_2c": ("Fig. 2c: capture probability per dot passed.", capture),
    "fig_2d": ("Fig. 2d: emission and capture of one carrier against the mean field.", rates),
    "fig_2e": (
        "Fig. 2e: Fowler-Nordheim plot of the reverse branch, the field being the bias over the thickness of the film "
        "as with an instrument. Field emission would be a straight line that falls to the right.",
        fowler_nordheim,
    ),
    "fig_2h": (
        "Figs. 2f to 2h: bleach of the exciton after a pump at 450 nm, with all that dots and host exchange. Spectra "
        "and excited-state absorption are not in the model.",
        bleach,
    ),
    "fig_3a": ("Fig. 3a: responsivity and gain at 975 nm against the bias.", response_bias),
    "fig_3b": ("Fig. 3b: EQE spectra.", eqe),
    "fig_3d": ("Figs. 3c, 3d: response to modulated light into 50 Ω.", photoresponse),
    "fig_4a": ("Fig. 4a: noise against frequency.", noise),
    "fig_4b": ("Fig. 4b: noise against bias.", noise_bias),
    "fig_4c": ("Fig. 4c: responsivity against irradiance.", linearity),
    "fig_4d": ("Fig. 4d: detectivity spectra.", detectivity),
}
"""File name -> caption and drawing, in the order of the paper."""


def _overview(result: Mapping[str, Any]) -> Figure:
    """Model over paper, for every statement that has a value of its own."""
    shown = [
        (name, row)
        for name, row in result["rows"].items()
        if row["kind"] not in ("design", "condition") and row["stated"] and row["status"] != "not in the model"
    ]
    figure = Figure(figsize=(7.6, 0.19 * len(shown) + 0.9))
    axes = figure.subplots()
    smallest, largest = 1e-4, 1e5
    for place, (_, row) in enumerate(shown):
        stated = row["stated"]
        low = row["low"] / stated if row["low"] is not None else smallest
        high = row["high"] / stated if row["high"] is not None else largest
        axes.barh(place, high - low, left=max(low, smallest), height=0.75, color="#dddddd", lw=0)
        if row["value"] is None:
            axes.text(1.5, place, "never", fontsize=7, color=HOLE, va="center")
            continue
        ratio = float(np.clip(row["value"] / stated, smallest, largest))
        colour = RESULT_COLOURS[row["status"]]
        mark = "D" if row["conflicts"] else "o"
        axes.plot([ratio], [place], mark, ms=4.5, color=colour, mfc="white" if row["role"] else colour)
    names = [_label(row) for _, row in shown]
    labels = [_label(row, row["unit"] if names.count(_label(row)) > 1 else "") for _, row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    _log(axes, "x")
    axes.xaxis.set_major_locator(FixedLocator([10.0**n for n in range(-4, 6)]))
    axes.set(xlim=(smallest / 1.5, largest * 1.5), ylim=(len(shown) - 0.4, -0.6), xlabel="model over paper")
    axes.axvline(1, color=DARK, lw=0.6)
    for label, colour, mark, filled in (
        ("met", RESULT_COLOURS["met"], "o", True),
        ("not met", RESULT_COLOURS["not met"], "o", True),
        ("in a conflict", DARK, "D", True),
        ("input, or fitted", DARK, "o", False),
    ):
        axes.plot([], [], mark, ms=4.5, color=colour, mfc=colour if filled else "white", label=label)
    figure.legend(loc="outside lower center", ncols=4)
    axes.grid(axis="y", visible=False)
    return figure


def _label(row: Mapping[str, Any], unit: str = "") -> str:
    """The quantity with its condition, if that is short, its panel, and a unit that tells it from a namesake."""
    condition = f", {row['condition']}" if 0 < len(row["condition"]) < 12 else ""
    return f"{row['quantity']}{condition}{f', {unit}' if unit else ''} ({row['panel']})"


# --- the page ------------------------------------------------------------------------------------------------------


def _page(folder: RunFolder, result: Mapping[str, Any]) -> list[str]:
    return [
        head(folder, result, f"{result.get('device')} against the paper"),
        paragraph(escaped(result.get("source"))),
        section(
            "At a glance",
            image(folder, "overview", "Model over paper; grey: what counts as met."),
        ),
        _statements(result),
        _conflicts(result),
        _alternatives(result),
        section("Panels", *(image(folder, name, caption) for name, (caption, _) in PANELS.items())),
        warnings(result),
        provenance(folder, result),
    ]


def _statements(result: Mapping[str, Any]) -> str:
    lines = []
    for row in result["rows"].values():
        status, condition = row["status"], row["condition"]
        css = {"met": "good", "not met": "bad"}.get(status, "")
        mark = f'<span class="{css}">{escaped(status)}</span>' + (f"<br>({row['role']})" if row["role"] else "")
        why = [("needs", row["lacks"])] if row["lacks"] else []
        if status == "not met":
            listed = (("conflicts", row["conflicts"]), ("met by", row["met_by"]))
            why = [*((what, ", ".join(names)) for what, names in listed if names), *why]
        lines.append(
            (
                escaped(row["panel"]),
                escaped(row["quantity"]) + (f"<br><small>{escaped(condition)}</small>" if condition else ""),
                number(row["stated"]),
                _range(row),
                "never" if row["value"] is None and status == "not met" else number(row["value"]),
                "" if row["unit"] == "1" else escaped(row["unit"]),
                mark,
                "<br>".join(f"<small>{what}:</small> {escaped(text)}" for what, text in why),
            )
        )
    columns = ("panel", "statement", "paper", "range", "model", "unit", "result", "why")
    return section("Statements", table(columns, lines, text=(0, 1, 5, 6, 7)))


def _range(row: Mapping[str, Any]) -> str:
    low, high = row["low"], row["high"]
    if low == high:  # exact, or open on both sides
        return ""
    if high is None:
        return f"≥ {number(low)}"
    return f"≤ {number(high)}" if low is None else f"{number(low)} to {number(high)}"


def _conflicts(result: Mapping[str, Any]) -> str:
    lines = []
    for one in result["conflicts"].values():
        unit = "" if one["unit"] == "1" else f" ({escaped(one['unit'])})"
        met = [name for name, status in one["rows"].items() if status == "met"]
        kept = f"Met here: {escaped(', '.join(met) or 'none')}."
        lines.append(
            (
                escaped(one["title"]),
                escaped(one["verdict"]),
                escaped(one["quantity"]) + unit,
                _span(one["implied"]),
                _span(one["stated"]),
                f"{escaped(one['reason'])} <b>{escaped(one['side'])}</b> {kept}",
            )
        )
    note = (
        "What some statements imply by a textbook formula, against what another one says; ranges carry the stated "
        "tolerances. In a contradiction the ranges do not meet: as long as its formula holds, no parameters meet all "
        "of its rows. In a tension only the tolerances leave room."
    )
    columns = ("statements", "verdict", "quantity", "implied", "stated", "")
    return section("Statements against each other", paragraph(note), table(columns, lines, text=(0, 1, 2, 5)))


def _span(span: Mapping[str, Any]) -> str:
    return f"{number(span['value'], 3)}<br><small>{_range(span)}</small>"


def _alternatives(result: Mapping[str, Any]) -> str:
    lines = [
        (
            escaped(name),
            escaped(one["reason"]),
            "<br>".join(f"<code>{_breakable(key)}={escaped(to)}</code>" for key, to in one["changes"].items()),
            escaped(", ".join(one["gains"]) or "none"),
            escaped(", ".join(one["loses"]) or "none"),
        )
        for name, one in result["alternatives"].items()
    ]
    columns = ("alternative", "for", "changes", "met besides", "no longer met")
    return section("Alternatives", table(columns, lines, text=range(5)))


def _breakable(key: str) -> str:
    """A dotted key that may go on in the next line after each dot."""
    return escaped(key).replace(".", ".<wbr>")
