"""invdesign reproduce: every statement of the paper behind the default device, next to what the model says.

A statement is met, not met, or not in the model. Those that exclude each other are compared among themselves first
(`paper.conflicts`), so that a miss which no parameters could avoid is told from one that they could. Alternatives are
the same device with a few numbers changed, each to keep the other side of a conflict.
"""

import dataclasses
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from invdesign.analyses.readout import Readout
from invdesign.device.device import Device
from invdesign.jobs import data
from invdesign.jobs.measures import FITTED, INPUTS, LACKS, MEASURES, MISSING
from invdesign.jobs.reproduction import (
    Compared,
    Solved,
    bleaches,
    compare,
    compared_by,
    films,
    local_fields,
    solve,
    solved_by,
)
from invdesign.jobs.settings import Alternative, ReproduceSettings
from invdesign.jobs.simulate import SCHEMA, warnings as limits_of_the_model
from invdesign.jobs.tables import TABLES, all_tables
from invdesign.jobs.tables.common import Table, dotted
from invdesign.paper.conflicts import COMPARISONS, conflicts_of
from invdesign.paper.statements import SOURCE, Statement, statements
from invdesign.report.reproduction import write as write_report
from invdesign.results import Status
from invdesign.run.folder import RESULT, RunFolder
from invdesign.run.progress import Reporter
from invdesign.schema import InputError, altered

MET, NOT_MET, NOT_IN_MODEL = "met", "not met", "not in the model"
MOST_AT_ONCE = 4
"""Devices solved at the same time, each of which takes up to 2 GB."""
SHORTEST_NM, LONGEST_NM = 350.0, 1600.0
"""Light that is asked for: the spectra, and the films of Fig. 1c."""
OWN_TABLES = {
    "rows": "every statement of the paper with its range and what the model says",
    "conflicts": "what some statements imply against what another one says, with the stated tolerances",
    "alternatives": "the model's value of every statement for the device and for each alternative",
    "films": "absorptance (1 - R - T) of films on glass: of the host, of dots alone, of dots in the host",
    "local_fields": "mean field of the film in the dark, and the fields in its dots and in its host",
    "bleaches": "bleach of exciton and host after the pumps, at 0 V and where the field of the film is 0.2 MV/cm",
    "linearity": "responsivity to steady light of 975 nm at 1 V reverse, from lit and dark operating points",
}


class Setup(NamedTuple):
    """A device, the instrument that reads it, and the devices it is compared with."""

    device: Device
    readout: Readout
    compared: Mapping[str, Device]

    @property
    def devices(self) -> dict[str, Device]:
        """All of them by their keys in the settings."""
        return {"device": self.device} | {f"compared.{name}": device for name, device in self.compared.items()}


class Answer(NamedTuple):
    """What the model says to one statement."""

    value: float
    """nan if there is none."""
    status: str

    @property
    def met(self) -> bool:
        return self.status == MET


def check(settings: ReproduceSettings) -> None:
    """Raise `InputError` for a device or an alternative that the statements cannot be asked."""
    _require_dots("device", settings.device)
    devices = stated(settings).devices
    for name, setup in alternatives(settings).items():
        _require_dots(f"alternatives.{name}.device", setup.device)
        devices |= {f"alternatives.{name}.{key}": device for key, device in setup.devices.items()}
    for key, device in devices.items():
        data.require(device, {key: np.array([SHORTEST_NM, LONGEST_NM])})


def _require_dots(key: str, device: Device) -> None:
    if not dotted(device):
        raise InputError(f"{key}: no layer has dots in a host, which the statements are about")


def stated(settings: ReproduceSettings) -> Setup:
    """What the settings state without any alternative."""
    return Setup(settings.device, settings.readout, settings.compared)


def alternatives(settings: ReproduceSettings) -> dict[str, Setup]:
    """The setup as every alternative changes it; what one leaves alone is the same object. Raises `InputError`."""
    return {name: _alternative(name, one, stated(settings)) for name, one in settings.alternatives.items()}


def _alternative(name: str, one: Alternative, setup: Setup) -> Setup:
    path = f"alternatives.{name}"
    unknown = [other for other in one.compared if other not in setup.compared]
    if setup.compared and unknown:  # without any (~compared) nothing is compared in alternatives either
        allowed = ", ".join(setup.compared)
        raise InputError(f"{path}.compared.{unknown[0]}: no such device in compared; allowed: {allowed}")
    try:
        device = altered(setup.device, one.device, f"{path}.device") if one.device else setup.device
    except InputError as error:
        raise InputError(f"{error} (~alternatives leaves the alternatives out)") from None
    readout = altered(setup.readout, one.readout, f"{path}.readout", Readout) if one.readout else setup.readout
    compared = {
        other: altered(same, one.compared[other], f"{path}.compared.{other}") if one.compared.get(other) else same
        for other, same in setup.compared.items()
    }
    return Setup(device, readout, compared)


def run(settings: ReproduceSettings, folder: RunFolder | None, console: Console) -> int:
    """Solve, compare, tabulate, draw and report (a dry run has no folder). 1 if the device could not be solved."""
    others = alternatives(settings)
    paper = statements()
    if folder is None:
        console.print(
            f"{settings.device.name} against {len(paper)} statements of {SOURCE}, with {len(others)} alternatives and "
            f"{len(settings.compared)} comparison devices\nestimated time: 6 min on two cores, compilation included "
            "(4 min when the compile cache is filled); nothing was written",
            soft_wrap=True,
        )
        return 0
    solved, by_alternative = _solve(stated(settings), others, console)
    answers = {name: answer(row, solved) for name, row in paper.items()}
    other_answers = {
        name: {each: answer(row, one) for each, row in paper.items()} for name, one in by_alternative.items()
    }
    tables = all_tables(solved.run) | _tables(paper, solved, answers, other_answers, settings)
    for name, table in tables.items():
        folder.write_table(name, table)
    result = summary(settings, paper, solved, answers, other_answers, list(tables))
    folder.write_text("rows.md", markdown(result))
    folder.write_json(RESULT, result)
    folder.update_manifest(sources=sorted({SOURCE, *data.sources(settings.device)}))
    console.print("drawing the figures")
    write_report(folder)
    _print(result, console)
    return 0 if result["status"] != "failed" else 1


def _solve(setup: Setup, others: Mapping[str, Setup], console: Console) -> tuple[Solved, dict[str, Solved]]:
    """The device and its alternatives, with the comparison devices as the instrument of each reads them.

    Several at a time: a solve keeps one core busy, and compiled programs are shared.
    """
    names: dict[Future, str] = {}
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_AT_ONCE))

    def start(name: str, task: Any, *arguments: Any) -> Future:
        future = pool.submit(task, *arguments)
        names[future] = name
        return future

    def alternative(other: Setup) -> Solved:
        """What it leaves alone is waited for, which started before it."""
        same = other.device is setup.device
        solved = solved_by(device.result(), other.readout) if same else solve(other.device, other.readout)
        return dataclasses.replace(solved, compared={name: comparison(name, other) for name in other.compared})

    def comparison(name: str, other: Setup) -> Compared:
        if other.compared[name] is setup.compared[name]:
            return compared_by(compared[name].result(), other.compared[name], other.readout)
        return compare(other.compared[name], other.readout)

    with Reporter(console, "devices solved", 1 + len(setup.compared) + len(others)) as reporter:
        try:
            device = start("device", solve, setup.device, setup.readout)
            compared = {
                name: start(f"compared.{name}", compare, one, setup.readout) for name, one in setup.compared.items()
            }
            solved = {name: start(f"alternatives.{name}", alternative, other) for name, other in others.items()}
            for done, future in enumerate(as_completed(names), start=1):
                future.result()
                reporter.update(done, solved=names[future])
        finally:
            pool.shutdown(cancel_futures=True)
    first = dataclasses.replace(device.result(), compared={name: one.result() for name, one in compared.items()})
    return first, {name: one.result() for name, one in solved.items()}


def answer(row: Statement, solved: Solved) -> Answer:
    """What the model says to a statement."""
    value = None if row.id in MISSING else MEASURES[row.id](solved)
    if value is None:
        return Answer(float("nan"), NOT_IN_MODEL)
    return Answer(float(value), MET if row.met(float(value)) else NOT_MET)


# --- result.json ---------------------------------------------------------------------------------------------------


def summary(
    settings: ReproduceSettings,
    paper: Mapping[str, Statement],
    solved: Solved,
    answers: Mapping[str, Answer],
    others: Mapping[str, Mapping[str, Answer]],
    tables: list[str],
) -> dict[str, Any]:
    """What goes into result.json."""
    roles = _roles(solved.device)
    rows = {
        name: {
            "panel": row.panel,
            "kind": row.kind,
            "quantity": row.quantity,
            "condition": row.condition,
            "unit": row.unit,
            "stated": row.value,
            "low": row.low,
            "high": row.high,
            "value": answers[name].value,
            "status": answers[name].status,
            "role": roles.get(name, ""),
            "conflicts": conflicts_of(name, paper),
            "met_by": [other for other, found in others.items() if found[name].met],
            "lacks": _lacks(name, answers[name].status),
        }
        for name, row in paper.items()
    }
    points = np.concatenate([solved.run.dark.status, solved.run.lit.status])
    failed = points != Status.CONVERGED
    counts = _counts(rows)
    return {
        "schema": SCHEMA,
        "job": "reproduce",
        "device": settings.device.name,
        "status": "failed" if failed.all() else "partly failed" if failed.any() else "converged",
        "message": f"of {counts['all']} statements {counts['met']} met ({counts['inputs']} inputs, "
        f"{counts['fitted']} fitted), {counts['not_met']} not met ({counts['in_conflict']} of them in conflict with "
        f"others, {counts['met_by_an_alternative']} met by an alternative), {counts['not_in_model']} not in the model",
        "source": SOURCE,
        "counts": counts,
        "rows": rows,
        "conflicts": {
            one.id: {
                "title": one.title,
                "verdict": one.verdict(paper),
                "quantity": one.quantity,
                "unit": one.unit,
                "implied": one.implied(paper)._asdict(),
                "stated": one.stated(paper)._asdict(),
                "rows": {name: answers[name].status for name in one.rows},
                "reason": one.reason,
                "side": one.side,
            }
            for one in COMPARISONS
        },
        "alternatives": {
            name: {
                "reason": settings.alternatives[name].reason,
                "changes": dict(_leaves(settings.alternatives[name].device))
                | dict(_leaves(settings.alternatives[name].readout, "readout"))
                | dict(_leaves(settings.alternatives[name].compared, "compared")),
                "gains": [row for row in paper if found[row].met and not answers[row].met],
                "loses": [row for row in paper if answers[row].met and not found[row].met],
            }
            for name, found in others.items()
        },
        "warnings": list(limits_of_the_model(solved.run)),
        "tables": {name: {"file": f"{name}.csv", "shows": _shows(name)} for name in tables},
    }


def _roles(device: Device) -> dict[str, str]:
    """What statements were for the device: inputs, or what its numbers were fitted to; it is to foretell the others."""
    fitted = device.uncertainty is not None and device.uncertainty.of(device) is not None
    return dict.fromkeys(INPUTS, "input") | dict.fromkeys(FITTED if fitted else (), "fitted")


def _lacks(name: str, status: str) -> str:
    """What is not there to meet or to ask a statement."""
    if status == NOT_IN_MODEL:
        return MISSING.get(name, "a device to compare with (compared)")
    return LACKS.get(name, "") if status == NOT_MET else ""


def _counts(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    met, missed = ([row for row in rows.values() if row["status"] == status] for status in (MET, NOT_MET))
    return {
        "met": len(met),
        "inputs": sum(row["role"] == "input" for row in met),
        "fitted": sum(row["role"] == "fitted" for row in met),
        "not_met": len(missed),
        "in_conflict": sum(bool(row["conflicts"]) for row in missed),
        "met_by_an_alternative": sum(bool(row["met_by"]) for row in missed),
        "not_in_model": len(rows) - len(met) - len(missed),
        "all": len(rows),
    }


def _leaves(changes: Any, path: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values of what an alternative changes."""
    if not isinstance(changes, Mapping):
        return [(path, changes)]
    return [leaf for key, value in changes.items() for leaf in _leaves(value, f"{path}.{key}" if path else str(key))]


def _shows(name: str) -> str:
    return OWN_TABLES.get(name) or TABLES[name].shows


# --- tables --------------------------------------------------------------------------------------------------------


def _tables(
    paper: Mapping[str, Statement],
    solved: Solved,
    answers: Mapping[str, Answer],
    others: Mapping[str, Mapping[str, Answer]],
    settings: ReproduceSettings,
) -> dict[str, Table]:
    rows, roles = list(paper.values()), _roles(solved.device)
    everyone = {"device": answers, **others}
    spans = [(one.implied(paper), one.stated(paper)) for one in COMPARISONS]
    light = solved.linearity
    return {
        "rows": {
            **{key: [getattr(row, key) for row in rows] for key in Statement._fields},
            "model": [answers[row.id].value for row in rows],
            "status": [answers[row.id].status for row in rows],
            "role": [roles.get(row.id, "") for row in rows],
            "conflicts": [" ".join(conflicts_of(row.id, paper)) for row in rows],
            "met_by": [" ".join(name for name, found in others.items() if found[row.id].met) for row in rows],
        },
        "conflicts": {
            "id": [one.id for one in COMPARISONS],
            "verdict": [one.verdict(paper) for one in COMPARISONS],
            "quantity": [one.quantity for one in COMPARISONS],
            "unit": [one.unit for one in COMPARISONS],
            **{f"implied{end}": [implied[i] for implied, _ in spans] for i, end in enumerate(("", "_low", "_high"))},
            **{f"stated{end}": [stated[i] for _, stated in spans] for i, end in enumerate(("", "_low", "_high"))},
            "statements": [" ".join(one.rows) for one in COMPARISONS],
        },
        "alternatives": {
            "alternative": [name for name in everyone for _ in rows],
            "id": [row.id for _ in everyone for row in rows],
            "value": [found[row.id].value for found in everyone.values() for row in rows],
            "status": [found[row.id].status for found in everyone.values() for row in rows],
        },
        "films": films(solved.device, settings.compared.get("cqd_only")),
        "local_fields": local_fields(solved),
        "bleaches": bleaches(solved),
        "linearity": {
            "irradiance_W_per_cm2": light.irradiance_W_per_cm2,
            "responsivity_A_per_W": light.responsivity_A_per_W,
        },
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table, panel by panel, and the comparisons below."""
    lines = [f"# {result['source']}", "", f"{result['device']}: {result['message']}.", ""]
    lines += ["| panel | statement | condition | paper | range | model | unit | status | conflicts | met by |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for row in result["rows"].values():
        cells = (
            row["panel"],
            row["quantity"],
            row["condition"],
            _number(row["stated"]),
            _range(row["low"], row["high"]),
            "never" if row["status"] == NOT_MET and not np.isfinite(row["value"]) else _number(row["value"]),
            "" if row["unit"] == "1" else row["unit"],
            row["status"] + "".join(f" ({note})" for note in (row["role"], row["lacks"]) if note),
            ", ".join(row["conflicts"]),
            ", ".join(row["met_by"]) if row["status"] == NOT_MET else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| comparison | verdict | quantity | implied | stated | unit |", "|---|---|---|---|---|---|"]
    for name, one in result["conflicts"].items():
        implied, stated = (
            f"{_number(one[side]['value'])} ({_range(one[side]['low'], one[side]['high'])})"
            for side in ("implied", "stated")
        )
        unit = "" if one["unit"] == "1" else one["unit"]
        lines.append(f"| {name} | {one['verdict']} | {one['quantity']} | {implied} | {stated} | {unit} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """Three digits at least, all digits of whole numbers below 1e5; empty where there is no number."""
    if not np.isfinite(value):
        return ""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e5 else f"{value:.3g}"


def _range(low: float, high: float) -> str:
    if low == high or not (np.isfinite(low) or np.isfinite(high)):
        return ""
    if not np.isfinite(high):
        return f">= {_number(low)}"
    return f"<= {_number(high)}" if not np.isfinite(low) else f"{_number(low)} to {_number(high)}"


def _print(result: Mapping[str, Any], console: Console) -> None:
    console.print(result["message"], soft_wrap=True)
    for name, row in result["rows"].items():
        if row["status"] == NOT_MET:
            why = ", ".join(row["conflicts"]) or "no conflict"
            unit = "" if row["unit"] == "1" else f" {row['unit']}"
            model = _number(row["value"]) or "never"
            console.print(f"  {name}: {model}, paper {_number(row['stated'])}{unit} ({why})", soft_wrap=True)
    for name, one in result["alternatives"].items():
        gains, loses = ", ".join(one["gains"]) or "nothing", ", ".join(one["loses"]) or "nothing"
        console.print(f"alternative {name}: gains {gains}; loses {loses}", soft_wrap=True)
    for warning in result["warnings"]:
        console.print(f"warning: {warning}", soft_wrap=True)
