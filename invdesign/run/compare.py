"""Two results side by side."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from invdesign.run.folder import RESULT
from invdesign.schema import InputError

SECTIONS = ("conditions", "design", "figures", "constraints", "checks", "rows", "convergence")
"""Keyed objects of a result that are worth comparing, in this order."""
LARGE = 10.0
"""Above it a change is a factor, and not a percentage."""


def compare(words: Sequence[str], console: Console) -> int:
    """Print the numbers of two runs, and the second relative to the first. Exit code 0.

    Raises `InputError` unless `words` are the folders of two runs with results.
    """
    if len(words) != 2:
        raise InputError(f"compare takes the folders of two runs, not {len(words)} arguments")
    first, second = (_result(Path(word)) for word in words)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for word in words:
        table.add_column(Path(word).resolve().name, justify="right", overflow="fold")
    table.add_column("change", justify="right")
    before, after = dict(_numbers(first)), dict(_numbers(second))
    for name in dict.fromkeys([*before, *after]):
        table.add_row(
            name, *map(_shown, (before.get(name), after.get(name))), _change(before.get(name), after.get(name))
        )
    if not console.is_terminal:
        console.width = max(console.width, 200)  # no wrapping where nobody watches
    console.print(table)
    return 0


def _result(path: Path) -> dict[str, Any]:
    file = path / RESULT if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        data = None
    if not isinstance(data, dict) or not str(data.get("schema", "")).startswith("invdesign/result/"):
        raise InputError(f"{path}: there is no result of a run (a folder with {RESULT})")
    return data


def _numbers(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names with units, and what stands behind them: the optimum of an optimisation, else the value."""
    yield "job", result.get("job")
    yield "device", result.get("device")
    for section in SECTIONS:
        entries = result.get(section)
        if not isinstance(entries, Mapping):
            continue
        for name, entry in entries.items():
            value, unit = entry, ""
            if isinstance(entry, Mapping):
                value, unit = entry.get("optimum", entry.get("value")), entry.get("unit") or ""
            if value is None or isinstance(value, bool | int | float | str):
                yield f"{section}.{name}{f' ({unit})' if unit not in ('', '1') else ''}", value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _change(before: Any, after: Any) -> str:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after)):
        return "" if before == after else "differs"
    if before == after:
        return "="
    if not before:
        return f"{after - before:+.4g}"
    ratio = after / before
    return f"x {ratio:.3g}" if ratio > LARGE else f"{ratio - 1:+.2%}"
