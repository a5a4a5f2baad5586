"""`invdesign list`: what there is, with units, ranges and sources."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from invdesign.schema import InputError, describe, find

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Headings and rows."""


def show(words: Sequence[str], console: Console) -> int:
    """Print the list `words[0]`, of the entries that contain `words[1]` if given. Exit code 0.

    `--config-dir DIR` adds the user's own devices and materials. Raises `InputError` for another list.
    """
    words, folders = _take_folder(list(words))
    lists: dict[str, Callable[[], Rows]] = {
        "devices": lambda: _entries("device", folders),
        "materials": lambda: _entries("material", folders),
        "variables": lambda: _variables(folders),
        "figures": _figures,
        "parameters": _parameters,
    }
    if not words or words[0] not in lists:
        raise InputError(f"list {' '.join(words[:1])}: the lists are {', '.join(lists)}")
    if len(words) > 2:
        raise InputError(f"list {words[0]} takes one word to search for, not {' '.join(words[1:])}")
    headings, rows = lists[words[0]]()
    search = words[1] if len(words) == 2 else ""
    chosen = [row for row in rows if search.lower() in " ".join(row).lower()]
    if not chosen and search:
        raise InputError(f"list {words[0]} {search}: there is none of the {len(rows)} {words[0]} that contains it")
    if not console.is_terminal:
        console.width = 1000  # a row is a line where nobody watches, so that grep can be used
    table = Table(*headings, box=None, pad_edge=False)
    for row in chosen:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)
    return 0


def _take_folder(words: list[str]) -> tuple[list[str], list[Path]]:
    for i, word in enumerate(words):
        if word in ("--config-dir", "-cd"):
            if i + 1 == len(words):
                raise InputError(f"{word} needs a folder")
            return words[:i] + words[i + 2 :], [Path(words[i + 1])]
        if word.startswith("--config-dir="):
            return words[:i] + words[i + 1 :], [Path(word.partition("=")[2])]
    return words, []


def _entries(group: str, folders: Sequence[Path]) -> Rows:
    from invdesign.config import entries

    return (group, ""), list(entries(group, folders).items())


def _variables(folders: Sequence[Path]) -> Rows:
    """The design variables of `conf/optimize.yaml`, with the values of its device."""
    from invdesign.config import load_settings

    settings = load_settings("optimize", config_dir=folders[0] if folders else None)
    rows = []
    for name, variable in settings.design.items():
        value, metadata = find(settings, variable.path)
        numbers = [f"{float(number):g}" for number in (value, variable.lower, variable.upper)]
        state = "frozen" if variable.frozen else f"tied to {variable.tied_to}" if variable.tied_to else "free"
        unit = "" if metadata["unit"] == "1" else metadata["unit"]
        rows.append((name, unit, *numbers, state, variable.path))
    return ("variable", "unit", "baseline", "lower", "upper", "", "stands for"), rows


def _figures() -> Rows:
    from invdesign.figures.registry import FIGURES

    keys = ("name", "symbol", "unit", "formula", "source")
    return ("figure", *keys[1:]), [tuple(getattr(figure, key) for key in keys) for figure in FIGURES]


def _parameters() -> Rows:
    """Every key of every job, each once."""
    from invdesign.jobs.settings import SETTINGS

    rows = {row.path: tuple(row) for settings in SETTINGS.values() for row in describe(settings)}
    return ("key", "unit", "allowed", "default", "meaning", "source"), list(rows.values())
