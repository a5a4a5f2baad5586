"""Measured columns: a CSV file, or numbers in YAML, with the unit in every header.

A quantity has one name with its unit, `current_density_A_per_cm2`, and may be given in the other units that are listed
here, `current_density_mA_per_cm2`; it is converted on reading. A third column, `sigma_<unit>`, has the unit of the
second one.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from invdesign.errors import InputError

DATA = Path(__file__).parents[1] / "data"
"""Where the files of the packaged datasets are."""

UNITS: dict[str, dict[str, float]] = {
    "A_per_cm2": {"mA_per_cm2": 1e-3, "uA_per_cm2": 1e-6, "nA_per_cm2": 1e-9, "A_per_m2": 1e-4},
    "A_per_rtHz": {"nA_per_rtHz": 1e-9, "pA_per_rtHz": 1e-12, "fA_per_rtHz": 1e-15},
    "W_per_rtHz": {"pW_per_rtHz": 1e-12, "fW_per_rtHz": 1e-15},
    "A_per_W": {"mA_per_W": 1e-3, "uA_per_W": 1e-6},
    "V_per_cm": {"V_per_m": 1e-2, "kV_per_cm": 1e3, "MV_per_cm": 1e6},
    "Jones": {},
    "Hz": {"kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "nm": {"um": 1e3},
    "V": {"mV": 1e-3},
    "s": {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "fs": 1e-15},
    "cm3": {},
    "A": {"mA": 1e-3, "uA": 1e-6, "nA": 1e-9, "pA": 1e-12},
    "F": {"uF": 1e-6, "nF": 1e-9, "pF": 1e-12},
    "": {"percent": 1e-2},
}
"""The unit at the end of a name, and the other units it may be given in: what to multiply by."""


class Columns(NamedTuple):
    """What was measured, in the units of the names."""

    x_name: str
    y_name: str
    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    sigma: Float[np.ndarray, " point"] | None
    """Standard deviation of y, if there is a column of it."""
    factor: float
    """The unit of y as it was given, over that of its name."""


def split_unit(name: str) -> tuple[str, str]:
    """A name and the unit at its end, which is empty for a pure number."""
    unit = next((unit for unit in UNITS if unit and name.endswith(f"_{unit}")), "")
    return (name[: -len(unit) - 1], unit) if unit else (name, "")


def spellings(names: Iterable[str]) -> dict[str, tuple[str, float]]:
    """All headers that stand for one of these names, with the name and the factor that its numbers are multiplied by.

    A name wins over another one's spelling.
    """
    names = list(names)
    found = {name: (name, 1.0) for name in names}
    for name in names:
        stem, unit = split_unit(name)
        for other, factor in UNITS[unit].items():
            found.setdefault(f"{stem}_{other}", (name, factor))
    return found


def read_file(file: str) -> dict[str, tuple[float, ...]]:
    """The columns of a CSV file by their headers; lines that begin with # are comments.

    Raises InputError in one sentence for a file that is missing, or is not such a table.
    """
    path = Path(file) if Path(file).is_file() else DATA / file
    if not path.is_file():
        raise InputError(f"file={file}: there is no such file; give the path of a CSV file")
    return dict(_load(path.resolve(), path.stat().st_mtime_ns, file))


@lru_cache(maxsize=256)
def _load(path: Path, changed: int, file: str) -> Mapping[str, tuple[float, ...]]:
    """Read a file once, and again if it has changed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"file={file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"file={file}: this is no text in UTF-8; save it as CSV in UTF-8") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"file={file}: the file is empty; its first line names the columns, with units")
    header = [cell.strip() for cell in lines[0][1].split(",")]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t "):
        raise InputError(
            f"file={file}: '{lines[0][1][:60]}' has no commas; commas separate columns, and numbers have a point"
        )
    columns: dict[str, list[float]] = {name: [] for name in header}
    if len(columns) < len(header) or "" in columns:
        raise InputError(f"file={file}: the columns '{lines[0][1][:60]}' must have names, each its own")
    for number, line in lines[1:]:
        cells = line.split(",")
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            numbers = []
        if len(numbers) != len(header):
            raise InputError(f"file={file}: line {number}, '{line[:40]}', must hold {len(header)} numbers")
        for name, value in zip(header, numbers, strict=True):
            columns[name].append(value)
    return {name: tuple(values) for name, values in columns.items()}


def interpret(table: Mapping[str, Sequence[float]], x_names: Sequence[str], y_names: Sequence[str]) -> Columns:
    """A table whose first column is one of `x_names`, the second one of `y_names`, the third, if any, its sigma.

    Raises InputError for other columns or units, gaps, nan, and abscissae that do not ascend.
    """
    headers = list(table)
    if not 2 <= len(headers) <= 3:
        raise InputError(f"the columns are {', '.join(headers) or 'missing'}; there must be two, or three with a sigma")
    x_name, x_factor = _recognised(headers[0], x_names, "first")
    y_name, y_factor = _recognised(headers[1], y_names, "second")
    columns = [np.asarray(table[header], float) for header in headers]
    if len({len(column) for column in columns}) > 1 or not len(columns[0]):
        raise InputError(f"the columns {', '.join(headers)} must have the same number of rows, at least one")
    for header, column in zip(headers, columns, strict=True):
        if len(gaps := np.flatnonzero(~np.isfinite(column))):
            raise InputError(f"{header}: row {gaps[0] + 1} is {column[gaps[0]]}; leave rows without a number out")
    x = columns[0]
    if len(falls := np.flatnonzero(np.diff(x) <= 0)):
        first, second = x[falls[0]], x[falls[0] + 1]
        trouble = "comes twice" if first == second else f"is followed by {second:g}"
        raise InputError(
            f"{headers[0]}: must ascend, but {first:g} {trouble}; sort the rows, and give a sweep there and back as "
            "two curves"
        )
    sigma = None
    if len(headers) == 3:
        expected = f"sigma{headers[1].removeprefix(split_unit(y_name)[0])}"
        if headers[2] != expected:
            raise InputError(f"{headers[2]}: the third column must be {expected}, in the unit of {headers[1]}")
        if (columns[2] < 0).any():
            raise InputError(f"{headers[2]}: must not be negative")
        sigma = columns[2] * y_factor
    return Columns(x_name, y_name, x * x_factor, columns[1] * y_factor, sigma, y_factor)


def _recognised(header: str, names: Sequence[str], place: str) -> tuple[str, float]:
    known = spellings(names)
    if header in known:
        return known[header]
    of_kind = [name for name in names if split_unit(name)[0] == header or header.startswith(split_unit(name)[0] + "_")]
    if of_kind:
        allowed = [spelling for spelling, (name, _) in known.items() if name == of_kind[0]]
        raise InputError(f"{header}: the unit of this column must be one of those in {', '.join(allowed)}")
    close = difflib.get_close_matches(header, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"{header}: the {place} column must be {' or '.join(names)}{hint}")
