"""The folder of one run. Every file in it appears at once and whole: it is written under another name and renamed."""

import contextlib
import csv
import dataclasses
import datetime
import io
import json
import math
import os
import secrets
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from invdesign.run.manifest import initial_manifest
from invdesign.run.name import new_name
from invdesign.schema import InputError

CONFIG, MANIFEST, RESULT = "config.yaml", "manifest.json", "result.json"

Table = Mapping[str, Sequence[Any] | np.ndarray]
"""Columns by name; the name carries the unit (`thickness_nm`). All columns have the same length."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder `path` of a run of `job`. Make one with `create`, or with `open` to continue an earlier run."""

    path: Path
    job: str
    resumed: bool = False
    started: float = dataclasses.field(default_factory=time.perf_counter)

    @classmethod
    def create(
        cls, outputs: str | Path, job: str, config: Mapping[str, Any], *, command: Sequence[str] = (), name: str = ""
    ) -> "RunFolder":
        """Make `outputs/job/<date>_<time>_<id>` (or `outputs/job/name`) with the configuration and a manifest in it.

        Raises `InputError` if it cannot be written.
        """
        path = Path(outputs) / job / (name or new_name())
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"outputs={outputs}: no run folder can be made there ({error.strerror})") from None
        folder = cls(path.resolve(), job)
        folder.write_yaml(CONFIG, config)
        folder.write_json(MANIFEST, initial_manifest(job, config, command))
        return folder

    @classmethod
    def open(cls, path: str | Path, job: str) -> "RunFolder":
        """The folder of an earlier run of `job`, to be continued. Raises `InputError` if `path` is something else."""
        path = Path(path)
        manifest = _read_json(path / MANIFEST, f"{path} is not the folder of a run")
        if manifest.get("job") != job:
            raise InputError(f"{path} is a run of {manifest.get('job')}, not of {job}")
        return cls(path.resolve(), job, resumed=True)

    # Reading

    def manifest(self) -> dict[str, Any]:
        return _read_json(self.path / MANIFEST, f"{self.path} has no readable manifest")

    def config(self) -> dict[str, Any]:
        """The resolved configuration the run was started with."""
        try:
            config = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            config = None
        if not isinstance(config, dict):
            raise InputError(f"{self.path / CONFIG} is missing or damaged")
        return config

    def result(self) -> dict[str, Any]:
        return _read_json(self.path / RESULT, f"{self.path} has no readable result (its run has not finished)")

    # Writing

    def write_text(self, name: str, text: str) -> Path:
        return self.write_bytes(name, text.encode("utf-8"))

    def write_bytes(self, name: str, data: bytes) -> Path:
        with self._replacing(name) as temporary:
            temporary.write_bytes(data)
        return self.path / name

    def write_json(self, name: str, data: Any) -> Path:
        """Strict JSON: nan and infinities, which JSON does not have, become null."""
        return self.write_text(name, json.dumps(_plain(data), indent=2, allow_nan=False, ensure_ascii=False) + "\n")

    def write_yaml(self, name: str, data: Any, comment: str = "") -> Path:
        head = "".join(f"# {line}\n" for line in comment.splitlines())
        return self.write_text(name, head + yaml.safe_dump(_plain(data), sort_keys=False, allow_unicode=True))

    def write_table(self, name: str, table: Table) -> Path:
        """A CSV file `name` (`.csv` is added), one row per entry, twelve digits, nan where there is no number."""
        columns = {key: np.asarray(column).tolist() for key, column in table.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"the columns of {name} differ in length")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
        return self.write_text(f"{name.removesuffix('.csv')}.csv", text.getvalue())

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> Path:
        """A checkpoint: arrays in NumPy's npz format, without pickle."""
        with self._replacing(name) as temporary, temporary.open("wb") as file:
            named: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
            np.savez(file, **named)
        return self.path / name

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a checkpoint, or None if there is none. Raises `InputError` if the file is damaged."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged ({error})") from None

    def save_figure(self, name: str, figure: Any) -> list[Path]:
        """A Matplotlib figure as figures/<name>.png and .pdf."""
        paths = []
        for suffix, options in (("png", {"dpi": 160}), ("pdf", {"metadata": {"CreationDate": None}})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, bbox_inches="tight", **options)
            paths.append(self.write_bytes(f"figures/{name}.{suffix}", buffer.getvalue()))
        return paths

    def figure_path(self, name: str, suffix: str = "png") -> Path:
        return self.path / "figures" / f"{name}.{suffix}"

    def update_manifest(self, **entries: Any) -> None:
        self.write_json(MANIFEST, self.manifest() | entries)

    # The end

    def finish(self, status: str, exit_code: int) -> None:
        """Note in the manifest how and when the run ended; the wall time of a continued run adds up."""
        manifest = self.manifest()
        elapsed = time.perf_counter() - self.started
        wall_s = round((manifest["wall_s"] or 0.0) + elapsed, 3)
        self.update_manifest(status=status, exit_code=exit_code, wall_s=wall_s, finished=_now())

    def discard_if_empty(self) -> bool:
        """Remove the folder of a run that stopped before it had anything to say. True if it is gone."""
        names = {entry.name for entry in self.path.iterdir()}
        if self.resumed or not names <= {CONFIG, MANIFEST}:
            return False
        for name in names:
            (self.path / name).unlink()
        self.path.rmdir()
        with contextlib.suppress(OSError):  # the job's folder goes too, unless there are other runs in it
            self.path.parent.rmdir()
        return True

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        target = self.path / name
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(3)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, target)
        except OSError as error:
            raise InputError(f"{target} cannot be written ({error.strerror})") from None
        finally:
            with contextlib.suppress(OSError):  # it is there only if the renaming was not reached
                temporary.unlink()


def read_table(path: str | Path) -> dict[str, list[Any]]:
    """The columns of a CSV file written by `RunFolder.write_table`; numbers where a column has only numbers."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns: dict[str, list[Any]] = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    for name, column in columns.items():
        with contextlib.suppress(ValueError):
            columns[name] = [float(cell) for cell in column]
    return columns


def _read_json(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{otherwise} ({path.name} is missing or damaged)")
    return data


def _plain(data: Any) -> Any:
    """Plain Python data, with None for nan and infinities."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if data is None or isinstance(data, bool | int | str):
        return data
    if isinstance(data, Path):
        return str(data)
    return _plain(np.asarray(data).tolist())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return format(value, ".12g") if isinstance(value, float) else str(value)


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
