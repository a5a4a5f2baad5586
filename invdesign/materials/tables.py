"""Measured curves: CSV files of a wavelength and what was measured there."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from invdesign.schema import InputError


def read_curves(path: Path, file: str, header: tuple[str, ...]) -> Float[np.ndarray, "column row"]:
    """The columns of a table with this header, ascending in the first one, a wavelength; lines with # are comments.

    `file` is how the user named it. Raises InputError in one sentence for anything wrong with it.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file={file}: cannot be read as text ({type(error).__name__})") from None
    first, *rows = [line for line in lines if line and not line.startswith("#")] or [""]
    if tuple(cell.strip() for cell in first.split(",")) != header:
        raise InputError(f"file={file}: the first line must be {','.join(header)}, not '{first[:40]}'")
    count = len(header)
    try:
        numbers = np.array([[float(cell) for cell in row.split(",")] for row in rows], float).reshape(len(rows), count)
    except ValueError:
        raise InputError(f"file={file}: every line after the header must hold {count} numbers") from None
    wavelength = numbers[:, 0]
    if len(rows) < 2 or not np.isfinite(numbers).all() or (np.diff(wavelength) <= 0).any() or wavelength[0] <= 0:
        raise InputError(f"file={file}: needs two or more lines of finite numbers, with ascending positive wavelengths")
    return numbers.T
