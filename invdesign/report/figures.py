"""The figures of a simulation, drawn from its tables alone: `draw(folder)` needs nothing but the folder of a run."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from invdesign.run.folder import RunFolder, read_table

Table = dict[str, Any]
Tables = dict[str, Table]
Result = dict[str, Any]

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
}
ELECTRON, HOLE, DARK, LIT, GREY = "#1f5fa8", "#c0392b", "#222222", "#d98200", "#8a8a8a"
DOT_STATES = {
    "empty": {"color": GREY},
    "electron": {"color": ELECTRON},
    "hole": {"color": HOLE},
    "exciton": {"color": "#2e8b57"},
    "two_electrons": {"color": ELECTRON, "ls": "--"},
    "two_holes": {"color": HOLE, "ls": "--"},
    "negative_trion": {"color": ELECTRON, "ls": ":"},
    "positive_trion": {"color": HOLE, "ls": ":"},
    "biexciton": {"color": "#2e8b57", "ls": "--"},
}
"""How lines of dots in each state are drawn."""
QUALITATIVE = (
    "#1f5fa8",
    "#c0392b",
    "#2e8b57",
    "#d98200",
    "#7b52ab",
    "#17a2b8",
    "#8c564b",
    "#8a8a8a",
    "#e377c2",
    "#bcbd22",
)
SHADES = ("#eef3f8", "#fdf3e3", "#eef7ee", "#f7eef3", "#f3f0f8")
DECADES = 12
"""A logarithmic axis shows no more than this below its largest value, unless the data are of that kind."""


def draw(folder: RunFolder) -> list[str]:
    """Draw every figure whose table is there, as figures/<name>.png and .pdf; returns the names drawn."""
    tables: Tables = {}
    for path in sorted(folder.path.glob("*.csv")):
        table = {key: np.asarray(column) for key, column in read_table(path).items()}
        if table and len(next(iter(table.values()))):
            tables[path.stem] = table
    result = folder.result()
    drawn = []
    with matplotlib.rc_context(STYLE):
        for name, (_, needed, function) in FIGURES.items():
            if all(table in tables for table in needed):
                figure = function(tables, result)
                figure.draw_without_rendering()  # lays it out, once for all that follows
                figure.set_layout_engine("none")
                folder.save_figure(name, figure)
                drawn.append(name)
    return drawn


# --- small helpers -------------------------------------------------------------------------------------------------


def _panels(
    rows: int = 1, columns: int = 1, width: float = 4.6, height: float = 3.2, **options: Any
) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width * columns, height * rows))
    return figure, figure.subplots(rows, columns, **options)


def small_multiples(count: int, width: float, ylabel: str) -> tuple[Figure, list[Axes]]:
    """So many panels (`width` in inches), up to three in a row, that share the vertical axis and its label."""
    columns = min(3, count)
    figure, grid = _panels(math.ceil(count / columns), columns, width, 2.4, squeeze=False, sharey=True)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel)
    return figure, list(grid.flat[:count])


def _cut(table: Table, **where: Any) -> Table:
    """Rows in which every named column has the given value."""
    keep = np.ones(len(next(iter(table.values()))), bool)
    for key, value in where.items():
        keep &= table[key] == value
    return {key: column[keep] for key, column in table.items()}


def _biases(table: Table) -> list[float]:
    return sorted(set(table["reverse_bias_V"].tolist()))


def _colours(count: int) -> list[Any]:
    """Dark to light along a sequence of biases."""
    map_ = matplotlib.colormaps["viridis"]
    return [map_(x) for x in np.linspace(0.0, 0.85, max(count, 2))][:count]


def _each_bias(axes: Axes, table: Table, x: str, y: str, scale: float = 1.0, **options: Any) -> None:
    biases = _biases(table)
    for bias, colour in zip(biases, _colours(len(biases)), strict=True):
        part = _cut(table, reverse_bias_V=bias)
        axes.plot(part[x], part[y] * scale, color=colour, label=f"{_volts(bias)}", **options)


def _volts(bias: float) -> str:
    return "0 V" if bias == 0 else f"−{bias:g} V"


def _bias_legend(axes: Axes, **options: Any) -> None:
    axes.legend(title="bias", title_fontsize=7.5, **options)


def _log_y(axes: Axes, *series: Any, decades: float | None = DECADES, headroom: float = 3.0) -> None:
    """A logarithmic axis over what is positive, at most `decades` of it."""
    values = np.concatenate([np.abs(np.asarray(one, float)).ravel() for one in series]) if series else np.zeros(0)
    values = values[np.isfinite(values) & (values > 0)]
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    if values.size:
        top, bottom = values.max() * headroom, values.min() / headroom
        axes.set_ylim(bottom if decades is None else max(bottom, values.max() / 10**decades), top)
        _sparse(axes.yaxis)


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(value: float, _: Any = None) -> str:
    """1, 2 or 5 times a power of ten, without the slow mathematics parser."""
    if value <= 0:
        return ""
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = round(value / 10.0**exponent)
    power = f"10{str(exponent).translate(SUPERSCRIPT)}"
    return power if mantissa == 1 else f"{mantissa}·{power}"


def _plain(value: float) -> str:
    """A number as 0.02 or 3.1·10⁻⁸."""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    if not exponent and abs(value) >= 1e-3:
        return mantissa
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _sparse(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_major_locator(LogLocator(numticks=8))
    low, high = axis.get_view_interval()
    if high < 30 * low:  # a decade alone would be one label
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    elif high < 1e3 * low:
        axis.set_minor_locator(LogLocator(subs=range(2, 10)))
        axis.set_minor_formatter(NullFormatter())


def _log_x(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_power))
    axes.xaxis.set_minor_locator(NullLocator())


def _read_bias(result: Result, table: Table) -> float:
    """The bias of the figures of merit, or the nearest one of a table."""
    wanted = (result.get("conditions") or {}).get("reverse_bias_V", 0.0)
    return min(_biases(table), key=lambda bias: abs(bias - wanted))


def _at(result: Result, *keys: str) -> str:
    """ "1240 nm, 1 kHz" from the conditions of the result."""
    at = result.get("conditions") or {}
    said = {
        "wavelength": lambda: f"{at['wavelength_nm']:g} nm",
        "frequency": lambda: _hertz(at["frequency_Hz"]),
        "bias": lambda: _volts(at["reverse_bias_V"]),
        "load": lambda: f"into {at['load_ohm']:g} Ω",
    }
    return ", ".join(said[key]() for key in keys) if at else ""


def _hertz(value: float) -> str:
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}Hz"
    return f"{value:.3g} Hz"


def _layers(table: Table) -> list[tuple[str, float, float]]:
    """Name, begin and end of every layer along the position."""
    order = list(dict.fromkeys(table["layer"].tolist()))
    where = [(name, table["position_nm"][table["layer"] == name]) for name in order]
    return [(name, float(x.min()), float(x.max())) for name, x in where]


def _shade(axes: Axes, layers: Sequence[tuple[str, float, float]], label: bool = False) -> None:
    for index, (name, begin, end) in enumerate(layers):
        axes.axvspan(begin, end, color=SHADES[index % len(SHADES)], lw=0, zorder=0)
        if label:
            axes.text(
                (begin + end) / 2,
                1.01,
                name,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7,
            )
    axes.set_xlim(layers[0][1], layers[-1][2])
    axes.grid(False, axis="x")


# --- the figures ---------------------------------------------------------------------------------------------------


def bands(tables: Tables, result: Result) -> Figure:
    table = tables["bands"]
    bias = _read_bias(result, _cut(table, condition="dark"))
    cases = [
        ("equilibrium", 0.0, "equilibrium"),
        ("dark", bias, f"dark, {_volts(bias)}"),
        ("lit", bias, f"lit, {_volts(bias)}"),
    ]
    has_dots = bool(np.any(np.isfinite(table["dot_empty"])))
    rows = 4 if has_dots else 3
    figure, grid = _panels(rows, 3, width=3.1, height=2.15, sharex=True, sharey="row")
    layers = _layers(table)
    fields, densities = [], []
    for column, (condition, at, title) in enumerate(cases):
        part = _cut(table, condition=condition, reverse_bias_V=at)
        x = part["position_nm"]
        energy, field, carriers = grid[0, column], grid[1, column], grid[2, column]
        energy.set_title(title, pad=14)
        energy.plot(x, part["conduction_band_eV"], color=ELECTRON, label="$E_c$")
        energy.plot(x, part["valence_band_eV"], color=HOLE, label="$E_v$")
        energy.plot(x, part["electron_quasi_fermi_eV"], color=ELECTRON, ls="--", lw=1, label="$E_{Fn}$")
        energy.plot(x, part["hole_quasi_fermi_eV"], color=HOLE, ls=":", lw=1.3, label="$E_{Fp}$")
        for key, color, label in (
            ("dots_electron_quasi_fermi_eV", ELECTRON, "$E_{Fn}$, dots"),
            ("dots_hole_quasi_fermi_eV", HOLE, "$E_{Fp}$, dots"),
        ):
            if key in part:
                energy.plot(x, part[key], color=color, ls="-.", lw=0.8, label=label)
        field.plot(x, part["field_V_per_cm"] / 1e6, color=DARK)
        carriers.plot(x, part["electron_density_cm3"], color=ELECTRON, label="electrons")
        carriers.plot(x, part["hole_density_cm3"], color=HOLE, label="holes")
        fields.append(part["field_V_per_cm"])
        densities += [part["electron_density_cm3"], part["hole_density_cm3"]]
        if has_dots:
            dots = grid[3, column]
            for name, style in DOT_STATES.items():
                if f"dot_{name}" in part:
                    dots.plot(x, part[f"dot_{name}"], **style, label=name.replace("_", " "))
        for row in range(rows):
            _shade(grid[row, column], layers, label=row == 0)
        grid[-1, column].set_xlabel("position (nm)")
    grid[0, 0].set_ylabel("energy − $E_F$(cathode) (eV)")
    grid[1, 0].set_ylabel("field along +x (MV/cm)")
    grid[2, 0].set_ylabel("density (cm⁻³)")
    _log_y(grid[2, 0], *densities, decades=20)
    if has_dots:
        grid[3, 0].set_ylabel("dots in state")
        _log_y(grid[3, 0], *(table[key] for key in table if key.startswith("dot_")), decades=16)
    for row in (0, 2, 3)[: rows - 1]:
        grid[row, 2].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def absorptance(tables: Tables, result: Result) -> Figure:
    table = tables["absorptance"]
    wavelength = table["wavelength_nm"]
    names = [key for key in table if key.startswith("absorptance_")]
    split = {key.rpartition("_")[0] for key in names if key.endswith(("_dots", "_host"))}
    parts = [key for key in names if key not in split]
    of_layer = dict(zip(parts, QUALITATIVE[:7] * len(parts), strict=False))  # the same in devices with the same layers
    parts = sorted(parts, key=lambda key: not key.endswith(("_dots", "_host")))  # the dots' layer at the bottom
    shown = [key for key in parts if np.nanmax(table[key]) > 2e-3]
    figure, axes = _panels(width=5.6, height=3.4)
    labels = [_part(key) for key in shown] + ["reflected"]
    stack = [table[key] for key in shown] + [table["reflectance"]]
    colours = [of_layer[key] for key in shown] + ["#d9d9d9"]
    if np.nanmax(table["transmittance"]) > 2e-3:
        stack.append(table["transmittance"])
        labels.append("transmitted")
        colours.append("#f5f5f5")
    axes.stackplot(wavelength, stack, labels=labels, colors=colours, alpha=0.85, lw=0)
    axes.set(
        xlabel="wavelength (nm)",
        ylabel="fraction of incident photons",
        ylim=(0, 1),
        xlim=(wavelength[0], wavelength[-1]),
    )
    _mark_extrapolated(axes, wavelength, table["extrapolated"])
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], texts[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _part(key: str) -> str:
    name = key.removeprefix("absorptance_")
    for suffix in ("_dots", "_host"):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}: {suffix[1:]}"
    return name


def _mark_extrapolated(axes: Axes, wavelength: np.ndarray, flags: np.ndarray) -> None:
    """A line along the lower edge where an n,k model is used outside its data."""
    edge = np.where(flags > 0, 0.012, np.nan)
    if np.any(flags > 0):
        axes.plot(
            wavelength, edge, color="black", lw=2.2, transform=axes.get_xaxis_transform(), solid_capstyle="butt",
            label="n,k extrapolated",
        )  # fmt: skip


def rates(tables: Tables, result: Result) -> Figure:
    table = tables["rates"]
    names = list(dict.fromkeys(table["layer"].tolist()))
    figure, grid = _panels(len(names), 2, width=4.0, height=3.2, squeeze=False, sharey=True)
    shown = [table[key] for key in table if key.endswith("_per_s")]
    for row, name in enumerate(names):
        part = _cut(table, layer=name)
        field = part["field_V_per_cm"] / 1e6
        for axes, carrier, colour in zip(grid[row], ("electron", "hole"), (ELECTRON, HOLE), strict=True):
            for process, style in (("thermionic", "--"), ("field_emission", "-"), ("capture", ":")):
                label = {"thermionic": "emission over the barrier", "field_emission": "emission through the barrier"}
                rate = part[f"{carrier}_{process}_per_s"]
                axes.plot(field, rate, ls=style, color=colour, label=label.get(process, "capture"))
            axes.set_title(f"{carrier}s, {name}")
            _log_x(axes)
            axes.set_xlabel("mean field (MV/cm)")
            axes.legend(loc="upper left")
        grid[row, 0].set_ylabel("rate (s⁻¹)")
    _log_y(grid[0, 0], *shown, headroom=300)
    return figure


def capture(tables: Tables, result: Result) -> Figure:
    table = tables["capture"]
    figure, axes = _panels()
    table = _cut(table, layer=table["layer"][0])
    fields, times = (sorted(set(table[key].tolist())) for key in ("field_V_per_cm", "capture_time_ps"))
    for time, style in zip(times, ("-", "--"), strict=True):
        for field, colour in zip(fields, _colours(len(fields)), strict=True):
            part = _cut(table, field_V_per_cm=field, capture_time_ps=time)
            label = f"{field / 1e6:g} MV/cm, {time:.3g} ps"
            axes.plot(part["mobility_cm2_per_Vs"], part["capture_probability"], style, color=colour, label=label)
    _log_x(axes)
    axes.set(xlabel="mobility (cm²/Vs)", ylabel="capture probability per dot", ylim=(0, 1.02))
    axes.legend(title="field, capture time", title_fontsize=7.5, loc="lower left")
    return figure


def jv(tables: Tables, result: Result) -> Figure:
    table = tables["jv"]
    figure, axes = _panels()
    currents = [table[f"{name}_current_density_A_per_cm2"] for name in ("dark", "lit")]
    for current, colour, label in zip(currents, (DARK, LIT), ("dark", _lit_label(result)), strict=True):
        axes.plot(*_magnitude(table["voltage_V"], current), color=colour, marker=".", ms=3.5, label=label)
    _log_y(axes, *currents)
    axes.axvline(0, color=GREY, lw=0.6)
    axes.set(xlabel="voltage (V), forward > 0", ylabel="|current density| (A/cm²)")
    axes.legend(loc="upper left")
    return figure


def _magnitude(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve of |y| for a logarithmic axis, with gaps where y is zero or changes its sign."""
    gaps = np.flatnonzero(y[1:] * y[:-1] < 0) + 1
    return np.insert(x, gaps, np.nan), np.insert(np.where(y == 0, np.nan, np.abs(y)), gaps, np.nan)


def _lit_label(result: Result) -> str:
    at = result.get("conditions") or {}
    if at.get("lit_irradiance_W_per_cm2"):
        return f"{at['wavelength_nm']:g} nm, {_plain(at['lit_irradiance_W_per_cm2'])} W/cm²"
    return "lit"


def fowler_nordheim(tables: Tables, result: Result) -> Figure:
    table = tables["jv"]
    figure, axes = _panels()
    for key, colour, label in (("dark", DARK, "dark"), ("photo", LIT, "photocurrent")):
        axes.plot(
            table["inverse_field_cm_per_MV"], table[f"{key}_ln_J_per_F2"], color=colour, marker=".", ms=3.5, label=label
        )
    axes.set(xlabel="1/F (cm/MV), F mean field of the active layers", ylabel="ln(J/F² / (A V⁻²))")
    axes.legend()
    return figure


def spectrum(tables: Tables, result: Result) -> Figure:
    table = tables["spectrum"]
    figure, grid = _panels(1, 3, width=3.5, height=3.0)
    wavelength = _cut(table, reverse_bias_V=_biases(table)[0])["wavelength_nm"]
    for axes, key, label, scale in zip(
        grid,
        ("eqe", "responsivity_A_per_W", "gain"),
        ("EQE (%)", "responsivity (A/W)", "gain = EQE / absorptance"),
        (100.0, 1.0, 1.0),
        strict=True,
    ):
        _each_bias(axes, table, "wavelength_nm", key, scale)
        axes.set(xlabel="wavelength (nm)", ylabel=label, xlim=(wavelength[0], wavelength[-1]))
        axes.set_ylim(bottom=0)
    absorbed = _cut(table, reverse_bias_V=_biases(table)[0])["absorptance"]
    grid[0].plot(wavelength, 100 * absorbed, color=GREY, ls="--", lw=1, label="absorptance")
    grid[0].set_ylim(0, max(100, 105 * np.nanmax(table["eqe"])))
    _bias_legend(grid[0])
    # a ratio of two small numbers is not worth an axis: it is shown up to what the strongly absorbed light reaches
    strong = table["gain"][table["absorptance"] > 0.1 * np.nanmax(table["absorptance"])]
    grid[2].set_ylim(0, 1.3 * np.nanpercentile(strong, 90) if np.any(np.isfinite(strong)) else 1)
    return figure


def gain(tables: Tables, result: Result) -> Figure:
    table = tables["gain"]
    figure, grid = _panels(1, 2, width=4.0, height=3.0)
    for wavelength, colour in zip(dict.fromkeys(table["wavelength_nm"].tolist()), (DARK, LIT), strict=False):
        part = _cut(table, wavelength_nm=wavelength)
        grid[0].plot(
            part["reverse_bias_V"], 100 * part["eqe"], color=colour, marker=".", ms=3.5, label=f"{wavelength:g} nm"
        )
        grid[1].plot(part["reverse_bias_V"], part["gain"], color=colour, marker=".", ms=3.5, label=f"{wavelength:g} nm")
    for axes, label in zip(grid, ("EQE (%)", "gain = EQE / absorptance"), strict=True):
        axes.set(xlabel="reverse bias (V)", ylabel=label)
        largest = np.nanmax([0.0, *(np.nanmax(line.get_ydata(), initial=0.0) for line in axes.get_lines())])
        axes.set_ylim(0, 1.08 * largest or 1.0)
    grid[0].legend()
    return figure


def photoresponse(tables: Tables, result: Result) -> Figure:
    table = tables["photoresponse"]
    figure, grid = _panels(1, 2, width=4.2, height=3.1)
    _each_bias(grid[0], table, "frequency_Hz", "relative_dB")
    _each_bias(grid[1], table, "frequency_Hz", "phase_deg")
    places = {one["reverse_bias_V"]: one["bandwidth_Hz"] for one in result.get("biases", [])}
    biases = _biases(table)
    for bias, colour in zip(biases, _colours(len(biases)), strict=True):
        if places.get(bias):
            grid[0].plot(
                places[bias], -10 * np.log10(2), "o", color=colour, ms=5, label=f"$f_{{3dB}}$ = {_hertz(places[bias])}"
            )
    grid[0].axhline(-10 * np.log10(2), color=GREY, lw=0.6)
    low, high = np.nanmin(table["relative_dB"]), np.nanmax(table["relative_dB"])
    grid[0].set_ylim(max(low - 3, -60), max(high + 3, 5))
    grid[0].set(
        xlabel="frequency (Hz)", ylabel="response / response at 1 Hz (dB)", title=_at(result, "wavelength", "load")
    )
    grid[1].set(xlabel="frequency (Hz)", ylabel="phase (°)")
    for axes in grid:
        _log_x(axes)
    _bias_legend(grid[0], loc="lower left")
    return figure


def admittance(tables: Tables, result: Result) -> Figure:
    table = tables["admittance"]
    figure, grid = _panels(1, 2, width=4.2, height=3.1)
    _each_bias(grid[0], table, "frequency_Hz", "conductance_S")
    _each_bias(grid[1], table, "frequency_Hz", "capacitance_F", 1e9)
    for axes in grid:
        _log_x(axes)
        axes.set_xlabel("frequency (Hz)")
    _log_y(grid[0], np.where(table["conductance_S"] > 0, table["conductance_S"], np.nan), decades=20)
    grid[0].set_ylabel("conductance Re Y (S)")
    grid[1].set_ylabel("capacitance Im Y/2πf (nF)")
    _bias_legend(grid[0])
    low, high = np.nanmin(table["capacitance_F"]), np.nanmax(table["capacitance_F"])
    if low > 0 and high / low > 30:
        _log_y(grid[1], table["capacitance_F"] * 1e9, decades=6)
    elif low > 0:
        grid[1].set_ylim(0, 1.1e9 * high)
    return figure


def light_pulse(tables: Tables, result: Result) -> Figure:
    table, times = tables["light_pulse"], tables["switching"]
    figure, grid = _panels(1, 2, width=4.2, height=3.1, sharey=True)
    end = table["time_s"].max() / 2  # the pulse lasts as long as what is followed after it
    biases = _biases(table)
    for bias, colour in zip(biases, _colours(len(biases)), strict=True):
        part, row = _cut(table, reverse_bias_V=bias), _cut(times, reverse_bias_V=bias)
        change = (part["current_A"] - row["current_before_A"]) / (row["current_at_end_A"] - row["current_before_A"])
        during, after = part["time_s"] <= end, part["time_s"] > end
        since = part["time_s"][after] - end
        sizes = [f"{_volts(bias)}, {_seconds(row[name][0])}" for name in ("rise_s", "fall_s")]
        grid[0].plot(part["time_s"][during], change[during], color=colour, label=sizes[0])
        grid[1].plot(since, change[after], color=colour, label=sizes[1])
    for axes, what, place in zip(grid, ("on", "off"), ("upper left", "lower left"), strict=True):
        _log_x(axes)
        axes.set_xlim(end / 1e6, end)
        axes.set(xlabel=f"time after light goes {what} (s)", title=_at(result, "wavelength", "load"))
        axes.legend(title=f"bias, {'rise' if what == 'on' else 'fall'} time", title_fontsize=7.5, loc=place)
    grid[0].set_ylabel("change of the current / its change at the end")
    return figure


def _seconds(value: float) -> str:
    if not np.isfinite(value):
        return "not reached"
    sizes = ((1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))
    size, prefix = next((each for each in sizes if value >= each[0]), sizes[-1])
    return f"{value / size:.3g} {prefix}s"


def transient_absorption(tables: Tables, result: Result) -> Figure:
    table = tables["transient_absorption"]
    pumps = list(dict.fromkeys(table["pump"].tolist()))
    figure, grid = _panels(len(pumps), 2, width=4.2, height=2.8, squeeze=False, sharex=True)
    for row, pump in zip(grid, pumps, strict=True):
        part = _cut(table, pump=pump)
        part = {key: column[part["time_s"] > 0] for key, column in part.items()}
        _each_bias(row[0], part, "time_s", "exciton_bleach", 100.0)
        _each_bias(row[1], part, "time_s", "host_bleach_cm3")
        row[0].set_ylabel("exciton bleach (%)")
        row[1].set_ylabel("host: Δ(n + p)/2 (cm⁻³)")
        _log_y(row[1], part["host_bleach_cm3"], decades=8)
        for axes in row:
            axes.set_title(f"{part['wavelength_nm'][0]:g} nm, {_plain(part['fluence_J_per_cm2'][0])} J/cm²")
            _log_x(axes)
    for axes in grid[-1]:
        axes.set_xlabel("time after the pump (s)")
    _bias_legend(grid[0, 0])
    return figure


SUFFIX = "_A2_per_Hz"


def noise(tables: Tables, result: Result) -> Figure:
    table = tables["noise"]
    bias = _read_bias(result, table)
    figure, grid = _panels(1, 2, width=4.4, height=3.3)
    part = _cut(table, reverse_bias_V=bias)
    total = part["total_A_per_rtHz"] ** 2
    processes = [key for key in table if key.endswith(SUFFIX)]
    visible = [key for key in processes if np.nanmax(np.nan_to_num(part[key] / total)) > 1e-6]
    grid[0].plot(part["frequency_Hz"], total, color="black", lw=2.2, label="total")
    for key, colour in zip(visible, QUALITATIVE * 3, strict=False):
        label = key.removesuffix(SUFFIX).replace("_", " ")
        grid[0].plot(part["frequency_Hz"], np.where(part[key] > 0, part[key], np.nan), color=colour, label=label)
    # at least four decades below the total, wherever that is
    span = np.ptp(np.log10(total[total > 0])) if np.any(total > 0) else 0.0
    _log_y(grid[0], total, *(part[key] for key in visible), decades=max(10.0, span + 4), headroom=5)
    grid[0].set(xlabel="frequency (Hz)", ylabel="$S_I$ (A²/Hz)", title=f"by process, {_volts(bias)}")
    _each_bias(grid[1], table, "frequency_Hz", "total_A_per_rtHz")
    _log_y(grid[1], table["total_A_per_rtHz"], decades=None, headroom=2)
    grid[1].set(xlabel="frequency (Hz)", ylabel="$i_n$ (A/Hz$^{1/2}$)", title="total")
    for axes in grid:
        _log_x(axes)
    grid[0].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    _bias_legend(grid[1])
    return figure


def noise_place(tables: Tables, result: Result) -> Figure:
    table = tables["noise_place"]
    figure, axes = _panels(width=5.2)
    _each_bias(axes, table, "position_nm", "density_A2_per_Hz_nm")
    _log_y(axes, table["density_A2_per_Hz_nm"], decades=10)
    _shade(axes, _layers(table), label=True)
    axes.set(xlabel="position (nm)", ylabel="$dS_I/dx$ (A² Hz⁻¹ nm⁻¹)")
    axes.set_title(_at(result, "frequency"), pad=14)
    _bias_legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def noise_bias(tables: Tables, result: Result) -> Figure:
    table = tables["noise_bias"]
    figure, axes = _panels()
    bias = table["reverse_bias_V"]
    shot = np.where(np.isfinite(table["fano"]), table["shot_limit_A_per_rtHz"], np.nan)
    axes.plot(bias, table["noise_A_per_rtHz"], color=DARK, lw=2, label="noise $i_n$")
    axes.plot(bias, shot, color=LIT, ls="--", label="shot limit $(2q|I|)^{1/2}$")
    axes.plot(
        bias,
        table["thermal_limit_A_per_rtHz"],
        color=ELECTRON,
        ls=":",
        lw=1.6,
        label="thermal limit $(4kT\\,$Re$\\,Y)^{1/2}$",
    )
    _log_y(axes, table["noise_A_per_rtHz"], shot, table["thermal_limit_A_per_rtHz"], decades=8, headroom=2)
    axes.set(xlabel="reverse bias (V)", ylabel="current noise (A/Hz$^{1/2}$)", title=_at(result, "frequency"))
    axes.legend()
    return figure


def detectivity(tables: Tables, result: Result) -> Figure:
    by_wavelength, by_frequency = tables["spectrum"], tables["detectivity_frequency"]
    figure, grid = _panels(1, 2, width=4.2, height=3.1)
    _each_bias(grid[0], by_wavelength, "wavelength_nm", "detectivity_Jones")
    _each_bias(grid[1], by_frequency, "frequency_Hz", "detectivity_Jones")
    wavelength = by_wavelength["wavelength_nm"]
    grid[0].set(xlabel="wavelength (nm)", title=_at(result, "frequency"), xlim=(wavelength.min(), wavelength.max()))
    grid[1].set(xlabel="frequency (Hz)", title=_at(result, "wavelength"))
    _log_x(grid[1])
    for axes, values in zip(grid, (by_wavelength, by_frequency), strict=True):
        _log_y(axes, values["detectivity_Jones"], decades=5, headroom=2)
        axes.set_ylabel("D* (Jones)")
    _bias_legend(grid[0])
    return figure


Drawing = Callable[[Tables, Result], Figure]

FIGURES: dict[str, tuple[str, tuple[str, ...], Drawing]] = {
    "bands": (
        "Band diagram, field, free carriers and dot states at equilibrium, in the dark and in the light.",
        ("bands",),
        bands,
    ),
    "absorptance": ("Where incident photons end up.", ("absorptance",), absorptance),
    "rates": (
        "Emission of one dot and capture of one free carrier against the mean field. The field's enhancement acts on "
        "emission and capture alike (local form), which keeps detailed balance.",
        ("rates",),
        rates,
    ),
    "capture": ("Probability that a drifting electron is captured per dot it passes.", ("capture",), capture),
    "jv": ("Current against voltage, dark and lit.", ("jv",), jv),
    "fowler_nordheim": (
        "Fowler-Nordheim plot of the reverse branch: field emission would be a falling straight line.",
        ("jv",),
        fowler_nordheim,
    ),
    "spectrum": (
        "EQE, responsivity and gain against wavelength. Gain is EQE over the absorptance of the active layers: it also "
        "rises where other layers that carry current absorb (oxides in the ultraviolet).",
        ("spectrum",),
        spectrum,
    ),
    "gain": ("EQE and gain against bias.", ("gain",), gain),
    "photoresponse": ("Response to modulated light, with the 3-dB points.", ("photoresponse",), photoresponse),
    "light_pulse": (
        "Current of a square pulse of light, after it goes on and off, with the times from 10 to 90 %.",
        ("light_pulse", "switching"),
        light_pulse,
    ),
    "transient_absorption": (
        "Bleach of the exciton (mean occupation of the dots' levels) and of the host after a short pump.",
        ("transient_absorption",),
        transient_absorption,
    ),
    "admittance": ("Small-signal conductance and capacitance.", ("admittance",), admittance),
    "noise": ("Current noise by process and in total (short-circuited device).", ("noise",), noise),
    "noise_place": ("Where the noise arises.", ("noise_place",), noise_place),
    "noise_bias": ("Noise against bias, with its shot and thermal limits.", ("noise_bias",), noise_bias),
    "detectivity": (
        "Detectivity against wavelength and frequency.",
        ("spectrum", "detectivity_frequency"),
        detectivity,
    ),
}
"""Name -> caption, the tables it needs, and how it is drawn; in the order of the report."""

__all__ = ["FIGURES", "draw"]
