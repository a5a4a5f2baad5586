"""`invdesign list`: what there is, with units, ranges and sources.

Presets are listed from their YAML files alone, so that the list is there at once. JAX is loaded for all numbers of one
of them, and for the lists of what is in the code.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from invdesign import presets
from invdesign.errors import InputError

DATA = Path(__file__).parent / "data"


class Rows(NamedTuple):
    """A table: its headings, and its rows, which begin with a name."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def show(words: Sequence[str], console: Console) -> int:
    """Print the list `words[0]`, of the entries that contain `words[1]` if given. Exit code 0.

    Of a device, a material or an n,k model that is named in full, or found alone, all numbers are shown. `--config-dir
    DIR` adds the user's own. Raises `InputError` for another list, or if nothing is found.
    """
    words, folders = _take_folder(list(words))
    lists: dict[str, Callable[[], list[Rows]]] = {
        "devices": lambda: _devices(folders),
        "materials": lambda: _materials(folders),
        "optical": lambda: _optical(folders),
        "variables": lambda: _variables(folders),
        "figures": _figures,
        "parameters": _parameters,
    }
    if not words or words[0] not in lists:
        raise InputError(f"{' '.join(['list', *words[:1]])}: the lists are {', '.join(lists)}")
    if len(words) > 2:
        raise InputError(f"list {words[0]} takes one word to search for, not {' '.join(words[1:])}")
    kind, search = words[0], words[1] if len(words) == 2 else ""
    tables = lists[kind]()
    group = {"devices": "device", "materials": "material", "optical": "optical"}.get(kind)
    chosen = _presets_with(tables, search) if group else [_rows_with(tables[0], search)]
    if search and not chosen[0].rows:
        raise InputError(f"list {kind} {search}: there is none of the {len(tables[0].rows)} {kind} that contains it")
    if group and search and len(chosen[0].rows) == 1:
        chosen.append(_numbers(group, chosen[0].rows[0][0], folders))
    if not console.is_terminal:
        console.width = 1000  # a row is a line where nobody watches, so that grep can be used
    for number, table in enumerate(chosen):
        _print(table, console, space_above=number > 0)
    return 0


def _rows_with(table: Rows, search: str) -> Rows:
    return Rows(table.headings, [row for row in table.rows if search.lower() in " ".join(row).lower()])


def _presets_with(tables: Sequence[Rows], search: str) -> list[Rows]:
    """The rows of the preset that is named `search`, else of all that contain it anywhere."""
    names = {row[0] for table in tables for row in _rows_with(table, search).rows}
    names = {search} if search in names else names
    return [Rows(table.headings, [row for row in table.rows if row[0] in names]) for table in tables]


def _print(rows: Rows, console: Console, space_above: bool) -> None:
    if space_above:
        console.print()
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(rows.headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")  # never an ellipsis: names are there to copy
    for row in rows.rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)


def _take_folder(words: list[str]) -> tuple[list[str], list[Path]]:
    for i, word in enumerate(words):
        if word in ("--config-dir", "-cd"):
            if i + 1 == len(words):
                raise InputError(f"{word} needs a folder")
            return words[:i] + words[i + 2 :], [Path(words[i + 1])]
        if word.startswith("--config-dir="):
            return words[:i] + words[i + 1 :], [Path(word.partition("=")[2])]
    return words, []


# Presets -------------------------------------------------------------------------------------------------------------


def _devices(folders: Sequence[Path]) -> list[Rows]:
    """Every device: its layers from left to right, and where it comes from."""
    rows, about = [], []
    for name, path in presets.files("device", folders).items():
        device = presets.load("device", name, folders)
        layers, order = [], device.data.get("order")
        for layer in map(str, order if isinstance(order, list) else ()):
            material = device.chosen.get(f"layers.{layer}.material", layer)
            of = "" if material.lower() == layer.lower() else f" ({material})"
            layers.append(f"{layer}{of} {_number(_group(_group(device.data, 'layers'), layer).get('thickness_nm'))}")
        sides = [str(device.data.get(key, "")) for key in ("anode", "illuminated_side")]
        rows.append((name, " / ".join(layers), *sides))
        about.append((name, *presets.comment(path)))
    headings = ("device", "layers from left to right (material), nm", "anode", "lit through")
    return [Rows(headings, rows), Rows(("device", "what it is", "source"), about)]


def _materials(folders: Sequence[Path]) -> list[Rows]:
    """Every material: the numbers that matter most (of the host where there are dots), and all sources."""
    rows, about = [], []
    for name, path in presets.files("material", folders).items():
        data = presets.load("material", name, folders).data
        host = _group(data, "host") or data
        keys = ("band_gap_eV", "electron_affinity_eV", "relative_permittivity")
        mobility = [_number(host.get(f"{carrier}_mobility_cm2_per_Vs")) for carrier in ("electron", "hole")]
        numbers = [_number(host.get(key)) for key in keys]
        numbers += [" / ".join(filter(None, mobility)), _number(host.get("breakdown_field_V_per_cm"))]
        optical = _group(host, "optical")
        rows.append((name, str(data.get("kind", "")), *numbers, _range(optical, folders)))
        sources = [str(node.get("source", "")) for node in (data, host) if node.get("source")]
        source = "; host: ".join(dict.fromkeys(sources))
        about.append((name, presets.comment(path).text, source, str(optical.get("source", ""))))
    numbers = ("gap (eV)", "affinity (eV)", "permittivity", "mobility e / h (cm2/Vs)", "breakdown (V/cm)")
    headings = ("material", "kind", *numbers, "n,k data (nm)")
    return [Rows(headings, rows), Rows(("material", "what it is", "source", "source of n,k"), about)]


def _optical(folders: Sequence[Path]) -> list[Rows]:
    """Every n,k model. A table is not used outside its data; a formula is, with a warning."""
    rows = []
    for name, path in presets.files("optical", folders).items():
        data = presets.load("optical", name, folders).data
        texts = (presets.comment(path).text, str(data.get("source", "")))
        rows.append((name, str(data.get("kind", "")), _range(data, folders), *texts))
    return [Rows(("n,k model", "kind", "data (nm)", "what it is", "source"), rows)]


def _group(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A group of keys; an empty one where a file has something else, or nothing (`list` judges no file)."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value or "")


def _range(optical: Mapping[str, Any], folders: Sequence[Path]) -> str:
    """The wavelengths of the data behind an n,k model."""
    limits = optical.get("range_nm")
    if isinstance(limits, list):
        return " to ".join(map(_number, limits))
    for folder in (Path(), *folders, DATA) if "file" in optical else ():
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = (folder / str(optical["file"])).read_text(encoding="utf-8").splitlines()
            first = next(line for line in lines if line[:1].isdigit())
            return " to ".join(_number(float(line.split(",")[0])) for line in (first, lines[-1]))
    return "any"


def _numbers(group: str, name: str, folders: Sequence[Path]) -> Rows:
    """All numbers of one preset."""
    from invdesign.config import load_preset
    from invdesign.schema import values

    rows = [row for row in values(load_preset(group, name, *folders)) if row.path.rpartition(".")[2] != "source"]
    return Rows(("key", "unit", "allowed", "value", "meaning", "source"), [tuple(row) for row in rows])


# What is in the code -------------------------------------------------------------------------------------------------


def _variables(folders: Sequence[Path]) -> list[Rows]:
    """The design variables that come with each device, with its values."""
    from invdesign.config import load_settings
    from invdesign.schema import find

    devices, rows = presets.files("device", folders), []
    for device in (name for name in presets.files("design", folders) if name in devices):
        settings = load_settings("optimize", f"device={device}", config_dir=folders[0] if folders else None)
        for name, variable in settings.design.items():
            value, metadata = find(settings, variable.path)
            numbers = [f"{float(number):g}" for number in (value, variable.lower, variable.upper)]
            state = "frozen" if variable.frozen else f"tied to {variable.tied_to}" if variable.tied_to else "free"
            unit = "" if metadata["unit"] == "1" else metadata["unit"]
            rows.append((device, name, unit, *numbers, state, variable.path))
    return [Rows(("device", "variable", "unit", "baseline", "lower", "upper", "", "stands for"), rows)]


def _figures() -> list[Rows]:
    from invdesign.figures.registry import FIGURES

    keys = ("name", "symbol", "unit", "formula", "source")
    rows = [tuple(getattr(figure, key) for key in keys) for figure in FIGURES]
    return [Rows(("figure", *keys[1:]), rows)]


def _parameters() -> list[Rows]:
    """Every key, with the jobs that have it; a key that means something else in another job has a row for each."""
    from invdesign.jobs.settings import SETTINGS
    from invdesign.schema import describe

    jobs: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for job, settings in SETTINGS.items():
        for row in describe(settings):
            jobs.setdefault(row.path, {}).setdefault(tuple(row), []).append(job)
    rows = [
        (row[0], "all" if len(found) == len(SETTINGS) else ", ".join(found), *row[1:])
        for meanings in jobs.values()
        for row, found in meanings.items()
    ]
    return [Rows(("key", "jobs", "unit", "allowed", "default", "meaning", "source"), rows)]
