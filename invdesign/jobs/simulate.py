"""invdesign simulate: everything about one device, as tables, figures and a report."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console

from invdesign.figures.registry import FIGURES
from invdesign.jobs import data
from invdesign.jobs.settings import SimulateSettings
from invdesign.jobs.simulation import Ask, Simulation, figures_of_merit, simulate
from invdesign.jobs.tables import TABLES, all_tables
from invdesign.jobs.tables.common import Table, dotted
from invdesign.processes.field_emission import FIELD_CEILING_V_PER_CM
from invdesign.report.figures import draw
from invdesign.report.html import write as write_report
from invdesign.results import Status
from invdesign.run.folder import RunFolder
from invdesign.schema import InputError, write
from invdesign.solve.stepping import TransientStatus

SCHEMA = "invdesign/result/1"
FAINT = 1e-3
"""Absorptance of the active layers below which figures of merit at that wavelength say little."""
PERCOLATION = 0.3
"""Volume fraction near which spheres at random begin to touch across the whole layer."""
EDGES = ("rise_s", "fall_s")
UNSETTLED = 0.01
"""Part of a pulse's change that may come in its second half: with more, its rise is cut off."""
DEGENERATE = 0.3
"""Carriers over the density of states of their band from which Boltzmann's statistics is off by 0.1 kT."""
SATURATION = 0.5
"""Part of the ceiling field from which emission is visibly less than the formula's (1.5 % there)."""


def check(settings: SimulateSettings) -> None:
    """Raise `InputError` for what the keys do not say one by one: no bias, or light outside the device's n,k tables."""
    if not settings.reverse_bias_V:
        raise InputError("reverse_bias_V: the list is empty; give at least one bias, e.g. [0, 1]")
    wavelengths = {"objective": settings.objective.wavelengths_nm[:1], "spectrum": settings.spectrum.values}
    absorption = settings.transients.transient_absorption
    if absorption.enabled and not absorption.pumps:
        raise InputError(
            "transients.transient_absorption.pumps: there are none; give e.g. {blue: {wavelength_nm: 450, "
            "fluence_J_per_cm2: 1e-6}}"
        )
    for name, pump in absorption.pumps.items() if absorption.enabled else ():
        wavelengths[f"transients.transient_absorption.pumps.{name}"] = np.array([float(pump.wavelength_nm)])
    data.require(settings.device, wavelengths)


def run(settings: SimulateSettings, folder: RunFolder | None, console: Console) -> int:
    """Simulate, tabulate, plot and report (a dry run has no folder). Returns 0, or 1 if no bias could be solved."""
    ask = asked(settings)
    if folder is None:
        console.print(_plan(settings, ask), soft_wrap=True)
        return 0
    console.print(f"compiling and simulating {settings.device.name}")
    simulation = simulate(settings.device, ask)
    tables = all_tables(simulation)
    for name, table in tables.items():
        folder.write_table(name, table)
    folder.write_yaml("device.yaml", write(settings.device))
    result = summary(settings, simulation, tables)
    folder.write_json("result.json", result)
    folder.update_manifest(sources=data.sources(settings.device))
    console.print("drawing the figures")
    draw(folder)
    write_report(folder)
    _print(result, console)
    return 0 if result["status"] != "failed" else 1


def asked(settings: SimulateSettings) -> Ask:
    """The settings as numbers."""
    pulse, absorption = settings.transients.light_pulse, settings.transients.transient_absorption
    return Ask(
        voltage_V=settings.voltage.values,
        reverse_bias_V=tuple(float(bias) for bias in settings.reverse_bias_V),
        wavelength_nm=settings.spectrum.values,
        frequency_Hz=settings.frequency.values,
        read_wavelength_nm=float(settings.objective.wavelength_nm),  # type: ignore[attr-defined]
        response_wavelength_nm=float(settings.objective.wavelength_nm),  # type: ignore[attr-defined]
        read_frequency_Hz=float(settings.objective.frequency_Hz),  # type: ignore[attr-defined]
        load_ohm=float(settings.load_ohm),
        irradiance_W_per_cm2=float(settings.irradiance_W_per_cm2),
        readout=settings.readout,
        pulse_s=float(pulse.length_s) if pulse.enabled else None,
        pumps=absorption.pumps if absorption.enabled else {},
        pumped_s=float(absorption.latest_s),
    )


def read_bias(ask: Ask) -> float:
    """The bias of the figures of merit: the smallest reverse bias asked for that is not zero."""
    return next((bias for bias in ask.biases_V if bias > 0), ask.biases_V[0])


def summary(settings: SimulateSettings, run: Simulation, tables: Mapping[str, Table]) -> dict[str, Any]:
    """What goes into result.json."""
    bias = read_bias(run.ask)
    values = figures_of_merit(run, bias)
    failed = [f"{volt:g} V, {name}" for volt, name, status in _statuses(run) if status != Status.CONVERGED]
    everything = 2 * len(run.voltage_V)
    status = "converged" if not failed else "failed" if len(failed) == everything else "partly failed"
    illumination = write(run.device.illumination)
    return {
        "schema": SCHEMA,
        "job": "simulate",
        "device": settings.device.name,
        "status": status,
        "message": "all operating points converged" if not failed else f"no solution at {'; '.join(failed)}",
        "conditions": {
            "reverse_bias_V": bias,
            "wavelength_nm": run.ask.read_wavelength_nm,
            "frequency_Hz": run.ask.read_frequency_Hz,
            "load_ohm": run.ask.load_ohm,
            "readout": write(run.ask.readout),
            "temperature_K": float(run.device.temperature_K),
            "area_cm2": float(run.device.area_cm2),
            "illumination": illumination,
            "lit_irradiance_W_per_cm2": run.ask.irradiance_W_per_cm2 if illumination["kind"] == "dark" else None,
            **({} if run.ask.pulse_s is None else {"pulse_irradiance_W_per_cm2": run.ask.irradiance_W_per_cm2}),
        },
        "figures": {f.name: {"value": values[f.name], "unit": f.unit, "symbol": f.symbol} for f in FIGURES},
        "biases": [
            {"reverse_bias_V": float(each), "bandwidth_Hz": float(run.bandwidth_Hz[place])}
            | {name: float(tables["switching"][name][place]) for name in EDGES if "switching" in tables}
            for place, each in enumerate(run.ask.biases_V)
        ],
        **({"decays": _records(tables["decays"])} if "decays" in tables else {}),
        "layers": {
            name: {
                "peak_field_V_per_cm": float(peaks[name]),
                "breakdown_field_V_per_cm": _breakdown(run, name),
                "absorptance": float(run.optical.layers[name][0]),
            }
            for peaks in [_peaks(run, bias)]
            for name in run.device.electrical
        },
        "warnings": list(warnings(run)),
        "tables": {name: {"file": f"{name}.csv", "shows": TABLES[name].shows} for name in tables},
    }


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


# --- where the model leaves its validity ---------------------------------------------------------------------------


def warnings(run: Simulation) -> Iterator[str]:
    """One sentence for every limit of the model that this device, or a bias or wavelength asked for, is beyond."""
    device = run.device
    for name, material in dotted(device).items():
        fraction, diameter = float(material.dots.volume_fraction), float(material.dots.diameter_nm)
        if fraction > PERCOLATION and not material.hopping:
            yield (
                f"{name}: at a volume fraction of {fraction:.3g} dots touch at random (percolation near "
                f"{PERCOLATION}), but carriers do not go from dot to dot (dots.hopping is null)"
            )
        thickness = float(device.layers[name].thickness_nm)
        if thickness < diameter:
            yield f"{name}: the layer, {thickness:g} nm, is thinner than a dot, {diameter:g} nm"
    absorbed = sum(float(run.optical.layers[name][0]) for name in device.active)
    if absorbed < FAINT:
        yield (
            f"at {run.ask.read_wavelength_nm:g} nm the active layers absorb only {absorbed:.2g} of the light, so "
            "that the figures of merit say little; choose another objective.wavelength_nm"
        )
    if device.terminals.shunt is None and all(device.layers[name].leakage is None for name in device.order):
        yield (
            "nothing leaks past the layers (terminals.shunt is null, and no layer has leakage): dark current and noise "
            "are lower limits, detectivity is an upper one"
        )
    biases = -run.voltage_V[run.voltage_V <= 0][::-1] + 0.0
    for name in device.electrical:
        peak = np.array([_peaks(run, bias)[name] for bias in biases])
        limit = _breakdown(run, name)
        beyond = np.flatnonzero(peak > limit)
        if beyond.size:
            first = biases[beyond[0]]
            yield (
                f"{name}: the peak field exceeds the breakdown field, {limit:.3g} V/cm, from {first:g} V reverse "
                f"({peak[beyond[0]]:.3g} V/cm); of breakdown the model has only what `leakage` of a layer says"
            )
        material = dotted(device).get(name)
        if material is None:
            continue
        ratio = float(material.ensemble(device.kT).electron_escape.field_ratio)
        beyond = np.flatnonzero(peak * ratio > SATURATION * FIELD_CEILING_V_PER_CM)
        if beyond.size:
            yield (
                f"{name}: tunnelling out of the dots saturates from {biases[beyond[0]]:g} V reverse "
                f"({peak[beyond[0]] * ratio:.3g} V/cm in the barrier)"
            )
    yield from _degenerate(run)
    wavelengths = np.concatenate([[run.ask.read_wavelength_nm], run.ask.wavelength_nm])
    extrapolated = []
    for name in device.order:
        outside = [wavelengths[~model.covers(wavelengths)] for model in device.layers[name].material.optical_models]
        far = np.unique(np.concatenate([*outside, np.zeros(0)]))
        if far.size:
            ranges = " and ".join(
                f"{model.range_nm[0]:g} to {model.range_nm[1]:g} nm"
                for model in device.layers[name].material.optical_models
                if model.range_nm is not None
            )
            read = "; figures are read there" if run.ask.read_wavelength_nm in far else ""
            asked = f"{far[0]:g} nm" if far.size == 1 else f"{far.size} wavelengths from {far[0]:g} to {far[-1]:g} nm"
            extrapolated.append(f"{name} at {asked} (data: {ranges}{read})")
    if extrapolated:
        yield f"n,k models are extrapolated: {', '.join(extrapolated)}"
    switched = TABLES["switching"].make(run)
    for bias, moved in zip(switched["reverse_bias_V"], switched["second_half"], strict=True) if switched else ():
        if abs(moved) > UNSETTLED:
            yield (
                f"at {bias:g} V reverse {100 * moved:.2g} % of the change of the current comes in the second half of "
                "the light pulse: rise and fall are those of a pulse that is too short to settle "
                "(transients.light_pulse.length_s)"
            )
    followed = {f"pulse at {bias:g} V": one for bias, one in run.pulses.items()}
    followed |= {f"pump {name} at {bias:g} V": one for (name, bias), one in run.bleaches.items()}
    for what, one in followed.items():
        status = TransientStatus(int(one.transient.status[-1]))
        if status != TransientStatus.REACHED:
            until = one.transient.time_s[one.transient.status == TransientStatus.REACHED]
            yield f"{what} reverse was followed to {until[-1] if len(until) else 0:.3g} s only: {status.message}"
    for status in (Status.STEP_TOO_SMALL, Status.OUT_OF_ITERATIONS):
        where = [f"{volt:g} V {name}" for volt, name, each in _statuses(run) if each == status]
        if where:
            yield f"no solution at {', '.join(where)}: {status.message}"


def _degenerate(run: Simulation) -> Iterator[str]:
    """Layers whose carriers are so many that Fermi-Dirac statistics would put their level elsewhere.

    By u / sqrt(8) kT for u carriers per state (Joyce and Dixon 1977, DOI 10.1063/1.89697).
    """
    profile = TABLES["bands"].make(run)
    assert profile is not None
    for name in run.device.electrical:
        bulk, here = run.device.bulk(name), np.asarray(profile["layer"]) == name
        if bulk.fermi_dirac:
            continue
        for carriers, key, states in (("electrons", "electron", bulk.log_nc), ("holes", "hole", bulk.log_nv)):
            filled = float(np.nanmax(np.asarray(profile[f"{key}_density_cm3"])[here] / np.exp(float(states))))
            if filled > DEGENERATE:
                yield (
                    f"{name}: there are up to {filled:.2g} {carriers} per state of their band, and Boltzmann's "
                    f"statistics puts their level {1e3 * float(run.device.kT) * filled / np.sqrt(8):.2g} meV off; "
                    "its material's carrier_statistics=fermi_dirac puts it right"
                )


def _statuses(run: Simulation) -> Iterator[tuple[float, str, Status]]:
    for name, points in (("dark", run.dark), ("lit", run.lit)):
        for voltage, status in zip(run.voltage_V, points.status, strict=True):
            yield float(voltage), name, Status(int(status))


def _peaks(run: Simulation, reverse_bias_V: float) -> dict[str, float]:
    row = int(run.by_bias.rows(reverse_bias_V)[0])
    return {name: float(field[row]) for name, field in run.by_bias.numbers["peak_field"].items()}


def _breakdown(run: Simulation, name: str) -> float:
    material: Any = run.device.layers[name].material
    return float(material.bulk(run.device.kT).breakdown_field)


# --- what the terminal shows ---------------------------------------------------------------------------------------


def _plan(settings: SimulateSettings, ask: Ask) -> str:
    device = settings.device
    return (
        f"{device.name}: {' / '.join(device.order)}\n"
        f"{len(ask.voltage_V)} voltages dark and lit, {len(ask.biases_V)} biases, "
        f"{len(ask.wavelength_nm)} wavelengths, {len(ask.frequency_Hz)} frequencies\n"
        f"{0 if ask.pulse_s is None else len(ask.biases_V)} light pulses, {len(ask.pumps) * len(ask.biases_V)} pumps\n"
        f"estimated time: {1 if ask.pulse_s is None and not ask.pumps else 2} min, compilation included (a third of "
        "that when the compile cache is filled); nothing was written"
    )


def _print(result: dict[str, Any], console: Console) -> None:
    at = result["conditions"]
    console.print(
        f"at {at['reverse_bias_V']:g} V reverse, {at['wavelength_nm']:g} nm, {at['frequency_Hz']:g} Hz:",
        soft_wrap=True,
    )
    for name in (
        "detectivity_Jones",
        "responsivity_A_per_W",
        "eqe",
        "noise_A_per_rtHz",
        "bandwidth_Hz",
        "dark_current_A",
    ):
        figure = result["figures"][name]
        console.print(f"  {name} = {figure['value']:.4g}", soft_wrap=True)
    here = next(one for one in result["biases"] if one["reverse_bias_V"] == at["reverse_bias_V"])
    for name in EDGES:
        if name in here:
            console.print(f"  {name} = {here[name]:.4g}", soft_wrap=True)
    for warning in result["warnings"]:
        console.print(f"warning: {warning}", soft_wrap=True)
