"""Presets: the YAML files of `conf` and of the user's own folder, read as they are.

What a job runs with is composed by Hydra (`config`). This is the short way, for lists and help, which should answer at
once: it knows the defaults lists that presets are written with (another preset of the group, one with a place,
`override`, `_self_`) and leaves out what it does not know.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from invdesign.errors import InputError


def conf_dir() -> Path:
    """The packaged configuration: inside an installed wheel, else next to the package in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the configuration folder is missing beside {package}; install invdesign again")


def files(group: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The entries of a config group by name, packaged or in the user's folders."""
    found: dict[str, Path] = {}
    for folder in (conf_dir(), *folders):
        for path in sorted((folder / group).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


class Comment(NamedTuple):
    """What the comment at the head of a preset says."""

    text: str
    source: str
    """What follows the word `Source:`."""


def comment(path: Path) -> Comment:
    """The lines of comment a file begins with, as one line each. Empty where there are none."""
    lines = []
    for line in path.read_text(encoding="utf-8").strip().splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# ").rstrip())
    text, _, source = " ".join(lines).partition("Source:")
    return Comment(text.strip(), source.strip().removesuffix("."))


class Preset(NamedTuple):
    """A preset with those it builds on."""

    data: dict[str, Any]
    chosen: dict[str, str]
    """Names of the presets that stand at a place inside it: {"layers.QDiP.material": "pbs_in_mapb_halide"}."""


def load(group: str, name: str, folders: Sequence[Path] = (), overrides: Mapping[str, str] | None = None) -> Preset:
    """A preset, merged with the presets that its defaults list names, or that `overrides` put in their places.

    Raises `InputError` for a file that is not YAML.
    """
    path = files(group, folders).get(name)
    own = _read(path) if path else {}
    steps = _steps(own.pop("defaults", None) or [])
    here = {key.removeprefix("override "): choice for key, choice in steps if key.startswith("override ")}
    overrides = here | dict(overrides or {})
    preset = Preset({}, {})
    for key, choice in steps:
        if choice == "_self_":
            _merge(preset.data, own)
        elif not key.startswith("override "):
            choice = overrides.get(key, choice)
            where, _, place = key.partition("@")
            inner = load(where.strip("/") or group, choice, folders, overrides)
            _merge(preset.data, _at(place, inner.data))
            preset.chosen.update({f"{place}.{deeper}".lstrip("."): each for deeper, each in inner.chosen.items()})
            if place:
                preset.chosen[place] = choice
    return preset


def _steps(entries: Sequence[Any]) -> list[tuple[str, str]]:
    """A defaults list as pairs of a key, `group@place`, and a name. `_self_` comes last if it is not there."""
    steps = []
    for entry in entries:
        if isinstance(entry, Mapping):
            steps += [(str(key), str(choice)) for key, choice in entry.items()]
        else:
            choice, _, place = str(entry).partition("@")
            steps.append((f"@{place}", choice))
    return steps if ("@", "_self_") in steps else [*steps, ("@", "_self_")]


def _at(place: str, data: dict[str, Any]) -> dict[str, Any]:
    for key in reversed(place.split(".") if place else []):
        data = {key: data}
    return data


def _merge(into: dict[str, Any], data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


class _Loader(yaml.SafeLoader):
    """Numbers as OmegaConf reads them: 5e18 is one, although YAML 1.1 wants 5.0e+18."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"), list("-+.0123456789")
)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: the file is not YAML ({type(error).__name__})") from None
    return data if isinstance(data, dict) else {}
