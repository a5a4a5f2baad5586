"""From files and overrides to checked settings. With `cli`, the only module that knows Hydra.

Hydra composes YAML from the packaged `conf` folder, from the user's own folders and files, and from the overrides of
the command line. The result is plain data; `schema.read` turns it into objects and judges every key and value.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from invdesign import presets
from invdesign.errors import InputError

# Hydra 1.3 wants to be told whose behaviour is meant; 1.4 warns if it is, and wants to be told to store a file again.
OLD_HYDRA = hydra.__version__.startswith("1.3")
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if OLD_HYDRA else {}
STORE_AGAIN: dict[str, Any] = {} if OLD_HYDRA else {"replace": True}

DEFAULT_DESIGN = "qdip_photodiode"
"""The design of a device that has none."""


# The command line ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Request:
    """Arguments of one job, taken apart by Hydra's own parser; `overrides` are rewritten (see `rewrite`)."""

    job: str
    argv: list[str]
    overrides: list[str]
    flags: argparse.Namespace
    folders: list[Path]

    @property
    def config_name(self) -> str:
        return self.flags.config_name or self.job

    @property
    def config_path(self) -> Path:
        return Path(self.flags.config_path).absolute() if self.flags.config_path else presets.conf_dir()

    @property
    def only_shows(self) -> bool:
        """The request is for Hydra itself: show the configuration, complete a word, ..."""
        flags = self.flags
        return bool(flags.cfg or flags.info or flags.shell_completion or flags.hydra_help)


def parse(job: str, argv: Sequence[str]) -> Request:
    """Take the arguments apart. Raises `InputError` for what Hydra would do and we do not."""
    flags = get_args_parser().parse_args(list(argv))
    if flags.experimental_rerun:
        raise InputError("--experimental-rerun is not supported (it executes what is in the file); use --resume RUN")
    folders = [Path.cwd()]
    if flags.config_dir:
        folders.append(Path(flags.config_dir).absolute())
        if not folders[-1].is_dir():
            raise InputError(f"--config-dir {flags.config_dir}: there is no such folder")
    if flags.shell_completion:
        return Request(job, list(argv), flags.overrides, flags, folders)
    ours = not (flags.config_name or flags.config_path)
    design = _design(flags.overrides, folders[1:]) if ours and job == "optimize" else []
    if ours and job == "fit":
        _require_data(flags.overrides, folders[1:])
    rewritten = {override: rewrite(override, folders) for override in flags.overrides}
    words = [rewritten.get(word, word) for word in argv]
    return Request(job, [*words, *design], [*rewritten.values(), *design], flags, folders)


def rewrite(override: str, folders: list[Path]) -> str:
    """Make an override mean what it says. `folders` are the current one and, if there is one, the user's own of groups.

    * `a.b=c`, where `a.b` is no config group, becomes `++a.b=c`: whether there is such a key is for the schema to say,
      which also knows the keys that the YAML leaves at their defaults.
    * `device=path/to/my.yaml` (any group, any file): the file is offered to Hydra as an entry of the group; files named
      in it are also looked for in its own folder, which is appended to `folders`.
    """
    key, equals, value = override.partition("=")
    if not equals or not re.match(r"[A-Za-z_]", key) or key.split(".")[0] == "hydra" or key.startswith("hydra/"):
        return override
    group = key.partition("@")[0]
    if (
        "@" not in key
        and "/" not in key
        and not any((folder / key).is_dir() for folder in (presets.conf_dir(), *folders[1:]))
    ):
        return f"++{override}"
    if value.endswith((".yaml", ".yml")):
        path = Path(value).expanduser().absolute()
        _offer_file(group, path, override)
        folders.append(path.parent)
        return f"{key}={_entry_name(path)}"
    return override


def _entry_name(path: Path) -> str:
    """The name of a file among the entries of its group: its path, in the characters that Hydra takes."""
    return "file/" + re.sub(r"[^\w/-]", "_", str(path.with_suffix("")).lstrip("/"))


def _offer_file(group: str, path: Path, override: str) -> None:
    content = _content(path, override)
    folder, _, name = _entry_name(path).rpartition("/")
    ConfigStore.instance().store(name, content, f"{group}/{folder}", provider=str(path), **STORE_AGAIN)


def _content(path: Path, override: str) -> DictConfig:
    try:
        content = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{override}: the file cannot be read ({reason})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{override}: the file is not YAML ({_one_line(error)})") from None
    if not isinstance(content, DictConfig):
        raise InputError(f"{override}: the file must hold keys with values")
    return content


def _design(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """`design=...` for a device whose design variables the YAML's own `design: ${device}` does not find.

    A device file gets those of the preset whose name it has (a saved optimum does), any other device the default ones.
    """
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    device, designs = given.get("device"), presets.files("design", folders)
    if device is None or "design" in given or device in designs or "," in device or not designs:
        return []
    name = device
    if device.endswith((".yaml", ".yml")):
        name = str(_content(Path(device).expanduser(), f"device={device}").get("name"))
    return [f"design={name if name in designs else DEFAULT_DESIGN}"]


def _require_data(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Raise `InputError` for parameters that are nowhere, and if `dataset: ${device}` finds no data of the device."""
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    device, datasets = given.get("device"), presets.files("dataset", folders)
    # a device that is nowhere is left to Hydra
    there = device is not None and (device.endswith((".yaml", ".yml")) or device in presets.files("device", folders))
    if there and "dataset" not in given and device not in datasets and datasets:
        raise InputError(f"dataset is missing: give dataset=path/to/my.yaml (there are {', '.join(datasets)})")
    asked, known = given.get("parameters", ""), presets.files("parameters", folders)
    if re.fullmatch(r"[\w-]+", asked) and asked not in (*known, "null"):  # Hydra passes over an optional one in silence
        raise InputError(f"parameters={asked}: there are no such parameters; there are {', '.join(known)}")


# Composition ---------------------------------------------------------------------------------------------------------


def compose(request: Request) -> tuple[dict[str, Any], bool]:
    """The configuration as plain data, and whether it asks for several runs (then with the first value of every sweep).

    Raises `InputError` for a bad override, a missing or damaged file, and for Hydra settings that name code to execute.
    """
    overrides, sweeps = _first_of_sweeps(request.overrides)
    if request.flags.config_dir:
        overrides = [f'hydra.searchpath=["file://{request.folders[1]}"]', *overrides]
    try:
        with hydra.initialize_config_dir(str(request.config_path), **VERSION_BASE):
            config = hydra.compose(request.config_name, overrides, return_hydra_config=True)
        _refuse_code(OmegaConf.to_container(config.hydra, resolve=False), "hydra")
        several = request.flags.multirun or config.hydra.mode == RunMode.MULTIRUN
        if sweeps and not several:
            raise InputError(f"{_typed(sweeps[0])}: several values need --multirun (a list is written [a,b])")
        return plain(config, request.folders), several
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise InputError(explain(error)) from None


def plain(config: DictConfig, folders: Sequence[Path]) -> dict[str, Any]:
    """The job's part of a composed configuration as dicts, lists, numbers and texts, with all references resolved.

    The value of a key `file` may be a path relative to one of `folders`; it is made absolute.
    """
    keys = [str(key) for key in config if key != "hydra"]
    try:
        data = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from None
    for node in _nodes(data):
        if isinstance(name := node.get("file"), str):
            found = (folder / name for folder in folders if (folder / name).is_file())
            node["file"] = str(next(found, name))
    return data  # type: ignore[return-value]


def _typed(override: str) -> str:
    """An override as the user wrote it (see `rewrite`)."""
    return override.removeprefix("++")


def _first_of_sweeps(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides with the first value of each sweep in its place, and the sweeps."""
    first, sweeps = [], []
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException as error:
            hint = "an override is key=value, with every bracket and quote closed"
            raise InputError(f"{_typed(text)}: {hint} ({explain(error)})") from None
        if override.is_discrete_sweep():
            sweeps.append(text)
            text = f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
        elif override.is_sweep_override():  # an interval, which only an optimising sweeper understands
            sweeps.append(text)
            continue
        first.append(text)
    return first, sweeps


def _nodes(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
    for child in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _nodes(child)


def _refuse_code(node: Any, path: str) -> None:
    """Configuration files are data. Hydra would import and call what its own settings name; allow only its plugins."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        harmless = ("hydra.", "hydra_plugins.") if key == "_target_" else ("logging.",)
        names_code = key in ("()", "_target_") or (key == "class" and "logging" in path)
        if names_code and not (key != "()" and str(value).startswith(harmless)):
            raise InputError(f"{path}.{key}={value}: configuration cannot name code to execute")
        _refuse_code(value, f"{path}.{key}")


def explain(error: Exception) -> str:
    """One sentence for an error of Hydra or OmegaConf."""
    options = getattr(error, "options", None)
    if options is not None and (missing := getattr(error, "missing_cfg_file", None)):
        group, _, name = str(missing).rpartition("/")
        return f"{group}={name}: there is no such {group or 'configuration'}; there are {', '.join(sorted(options))}"
    key = getattr(error, "full_key", None)
    text = _one_line(error)
    if error.__cause__ is not None and not isinstance(error.__cause__, HydraException):
        text = f"{text} ({_one_line(error.__cause__)})"
    return f"{key}: {text}" if key and not text.startswith(str(key)) else text


def _one_line(error: BaseException) -> str:
    """The first paragraph without OmegaConf's list of attributes and Hydra's links."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not re.match(r"full_key|object_type|reference_type|See https?:", line)]
    return " ".join(kept).rstrip(".")


# Settings and the Python interface -----------------------------------------------------------------------------------


def read_settings(job: str, data: Mapping[str, Any]) -> Any:
    """The checked settings of a job, see `invdesign.jobs.settings`."""
    from invdesign.jobs.settings import SETTINGS
    from invdesign.schema import read

    try:
        return read(SETTINGS[job], data)
    except InputError as error:
        name = re.match(r"design\.([^.]+)\.path=\S+ \S+ is not a known key", str(error))
        if name is None:
            raise
        raise InputError(
            f"{error}; the designs are {', '.join(presets.files('design'))}: choose the one for your device with "
            f"design=NAME or design=path/to/my.yaml, or remove a variable with ~design.{name[1]}"
        ) from None


def load_settings(job: str, *overrides: str, config_dir: str | Path | None = None) -> Any:
    """The settings of a job as the command line would make them: `load_settings("simulate", "device=silicon_pn")`.

    Raises `InputError`.
    """
    extra = ["--config-dir", str(config_dir)] if config_dir else []
    return read_settings(job, compose(parse(job, [*extra, *overrides]))[0])


def load_device(name: str | Path = "qdip_photodiode", *overrides: str, config_dir: str | Path | None = None) -> Any:
    """A device by the name of its preset or the path of its YAML file; overrides are written as on the command line.

    `load_device("silicon_pn", "temperature_K=320")`. Raises `InputError`.
    """
    words = [f"device={name}", *(f"device.{override}" for override in overrides)]
    return load_settings("simulate", *words, config_dir=config_dir).device


def load_preset(group: str, name: str, config_dir: str | Path | None = None) -> Any:
    """A device, a material or an n,k model (`optical`) by the name of its preset. Raises `InputError`."""
    import invdesign.jobs.settings  # noqa: F401  the kinds of a material are the classes that are loaded
    from invdesign.device.device import Device
    from invdesign.materials.optical import OpticalModel
    from invdesign.materials.semiconductor import Material
    from invdesign.schema import read

    classes: dict[str, Any] = {"device": Device, "material": Material, "optical": OpticalModel}
    extra = ["--config-dir", str(config_dir)] if config_dir else []
    data, _ = compose(parse("simulate", [*extra, f"+{group}@preset={name}"]))
    return read(classes[group], data["preset"], name)


# Several runs and Hydra's own commands --------------------------------------------------------------------------------


def run_hydra(request: Request, extra: Sequence[str], task: Callable[[dict[str, Any], int, list[str]], int]) -> None:
    """Let Hydra do what `request` asks of it: show something, or call `task(data, number, overrides)` for several runs.

    `data` is the configuration of one of them, `overrides` what it was made with. A run whose task returns another exit
    code than 0 does not stop the others; `JobFailed` is raised at the end.
    """

    def run_one(config: DictConfig) -> None:
        number = HydraConfig.get().job.num
        try:
            overrides = [_typed(override) for override in HydraConfig.get().overrides.task]
            code = task(plain(config, request.folders), number, overrides)
        except Exception:  # Hydra would keep it and show nothing but the first
            traceback.print_exc()
            code = 1
        if code:
            raise JobFailed(code)

    main = hydra.main(config_path=str(request.config_path), config_name=request.config_name, **VERSION_BASE)
    argv, sys.argv = sys.argv, [sys.argv[0], *request.argv, *extra]
    try:
        with _full_errors():
            main(run_one)()
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise InputError(explain(error)) from None
    finally:
        sys.argv = argv
        GlobalHydra.instance().clear()


class JobFailed(Exception):
    """One of several runs ended with an exit code other than 0."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


@contextlib.contextmanager
def _full_errors() -> Iterator[None]:
    """Have Hydra raise its errors, for us to word, instead of printing them and exiting with 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def sweep_overrides(folder: Path) -> list[str]:
    """Put the folders of several runs, named 0, 1, ..., into one folder, and let Hydra write nothing else."""
    return [f"hydra.sweep.dir='{folder}'", "hydra.sweep.subdir=.", "hydra.output_subdir=null"]


def use_compile_cache() -> None:
    """Keep compiled programs in the user's cache directory: a second run starts seconds faster."""
    import jax
    import platformdirs

    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or platformdirs.user_cache_path("invdesign") / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
