"""The state of a search on disk: arrays and JSON text in one .npz file, nothing that could execute code."""

import dataclasses
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..schema import InputError
from .lagrangian import Search

SCHEMA = "invdesign/optimizer-state/1"
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class SearchState:
    """Everything the search needs to go on: the batches of starts and how many outer iterations each has done.

    `identity` says what is being searched (settings, names, baseline); a state is only resumed for the same.
    """

    identity: dict[str, Any]
    batches: tuple[Search, ...]
    iterations: tuple[int, ...]
    wall_s: float = 0.0
    compile_s: float = 0.0


def _named_arrays(state: SearchState) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state.batches)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def save_state(path: str | Path, state: SearchState) -> None:
    """Write `state` to `path`. Whoever reads `path`, at any time, finds the old state or the new one, never a part."""
    path = Path(path)
    header = {
        "schema": SCHEMA,
        "identity": state.identity,
        "iterations": state.iterations,
        "wall_s": state.wall_s,
        "compile_s": state.compile_s,
    }
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **_named_arrays(state))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_state(path: str | Path, like: SearchState) -> SearchState:
    """Read the state at `path`, which must belong to the same search as `like` (a state before the first step).

    Raises `InputError` if the file is missing or damaged, is not such a state, or belongs to another search.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        schema, identity = header["schema"], header["identity"]
        iterations = tuple(int(n) for n in header["iterations"])
        wall_s, compile_s = float(header["wall_s"]), float(header["compile_s"])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: there is no search to resume.") from None
    except _DAMAGE as error:
        raise InputError(f"{path} is not a saved search, or it is damaged ({type(error).__name__}).") from error
    if schema != SCHEMA:
        raise InputError(f"{path} has the format {schema!r}; this version resumes {SCHEMA!r}.")
    expected_identity = json.loads(json.dumps(like.identity))
    if identity != expected_identity:
        differing = [key for key in expected_identity if identity.get(key) != expected_identity[key]]
        raise InputError(f"{path} belongs to another search: it differs in {', '.join(differing) or 'its problem'}.")
    expected = _named_arrays(like)
    same = expected.keys() == arrays.keys() and len(iterations) == len(like.iterations)
    if not same or any(
        (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype) for name, array in expected.items()
    ):
        raise InputError(f"{path} belongs to another version of the problem: its arrays have other names or shapes.")
    batches = jax.tree.unflatten(jax.tree.structure(like.batches), [arrays[name] for name in expected])
    return SearchState(identity, batches, iterations, wall_s, compile_s)
