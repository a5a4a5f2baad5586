"""The command `invdesign`: subcommands and our own flags here, everything else by Hydra's parser.

Exit codes: 0 done; 1 the job says no (a check of `validate` fails), or it crashed; 2 the input is wrong, one sentence
says how; 130 interrupted. Modules that load JAX or Hydra are imported where they are needed, so that `--help` and
`--version` answer at once.
"""

import importlib
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import invdesign
from invdesign.errors import InputError

JOBS = {
    "simulate": "compute and plot everything about one device: bands, J-V, EQE, bandwidth, noise, detectivity",
    "optimize": "find the design with the highest detectivity inside bounds and constraints",
    "validate": "check the physics and the numerics on your own device",
    "reproduce": "ask the model every statement of the paper behind the default device",
    "fit": "find the numbers of a device that reproduce measured curves, and how well they are known",
}
OTHERS = {
    "compare": "put two results side by side: invdesign compare RUN RUN",
    "list": "print devices, materials, optical (n,k) models, variables, figures or parameters, with units and sources",
}

HELP = """\
invdesign {version}: simulate and optimise quantum-dot photodetectors

  invdesign COMMAND [key=value ...] [flags]

commands
{commands}

flags
  --quiet          print nothing but errors
  --dry-run        check the input, show what would be done and how long it may take; write nothing
  --resume RUN     (optimize) continue the interrupted run in the folder RUN; takes no overrides
  --config-dir DIR use your own folder of device/*.yaml and material/*.yaml
  -m, --multirun   one run for every combination of a=1,2,3 b=4,5
  --cfg job        print the configuration instead of running
  --version, --help, --hydra-help

examples
  invdesign simulate
  invdesign simulate device=silicon_pn device.layers.p.thickness_nm=500
  invdesign simulate device=path/to/my.yaml
  invdesign optimize objective.wavelength_nm=1300 design.reverse_bias.upper_V=5 constraints.bandwidth.min_Hz=1e5
  invdesign fit device=path/to/my.yaml dataset=path/to/curves.yaml parameters=path/to/parameters.yaml
  invdesign optimize --resume outputs/optimize/2025-01-31_120000_a1b2c3
  invdesign list parameters device.layers

Results go to outputs/COMMAND/<date>_<time>_<id>/ (choose another root with outputs=DIR).
`invdesign COMMAND --help` shows what a command can be given. Tab completion: eval "$(invdesign -sc install=bash)"
"""


class Flags(NamedTuple):
    """Our own flags, taken out of the arguments."""

    quiet: bool = False
    dry_run: bool = False
    help: bool = False
    version: bool = False
    resume: str | None = None


def main(argv: Sequence[str] | None = None, job: str | None = None) -> int:
    """Run one command and return its exit code. `job` is the subcommand if the arguments do not begin with it."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded; its threads only get in JAX's way
    # Before JAX is loaded: XLA calls a compilation of two minutes an error in its log; real ones come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    words = list(sys.argv[1:] if argv is None else argv)
    command = job or _take_command(words)
    try:
        flags = _take_flags(words)
        if flags.version:
            print(f"invdesign {invdesign.__version__}")
            return 0
        if flags.help or (command is None and not words):
            print(_help(command))
            return 0
        if command in JOBS:
            return _run(command, words, flags)
        if command == "compare":
            from invdesign.run.compare import compare

            return compare(words, _console(flags))
        if command == "list":
            from invdesign.listing import show

            return show(words, _console(flags))
        if _completing(words):
            return _complete(words)
        raise InputError(f"{(words or ['?'])[0]} is not a command; the commands are {', '.join((*JOBS, *OTHERS))}")
    except InputError as error:
        print(f"invdesign: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("invdesign: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


# Arguments -----------------------------------------------------------------------------------------------------------


def _take_command(words: list[str]) -> str | None:
    """The subcommand, removed from `words`, wherever our flags stand."""
    for word in words:
        if word in JOBS or word in OTHERS:
            words.remove(word)
            return word
        if not word.startswith("-"):
            return None
    return None


def _take_flags(words: list[str]) -> Flags:
    """Our own flags, removed from `words`."""
    found: dict[str, Any] = {}
    for name, spellings in {
        "quiet": ("--quiet", "-q"),
        "dry_run": ("--dry-run",),
        "help": ("--help", "-h"),
        "version": ("--version",),
    }.items():
        found[name] = any(spelling in words for spelling in spellings)
        words[:] = [word for word in words if word not in spellings]
    for i, word in enumerate(words):
        if word == "--resume" or word.startswith("--resume="):
            value = word.partition("=")[2] or (words[i + 1] if word == "--resume" and i + 1 < len(words) else "")
            if not value:
                raise InputError("--resume needs the folder of the run to continue")
            del words[i : i + (1 if "=" in word else 2)]
            found["resume"] = value
            break
    return Flags(**found)


def _help(command: str | None) -> str:
    commands = "\n".join(f"  {name:<9} {text}" for name, text in (JOBS | OTHERS).items())
    if command not in JOBS:
        return HELP.format(version=invdesign.__version__, commands=commands)
    from invdesign import presets

    text = (presets.conf_dir() / f"{command}.yaml").read_text(encoding="utf-8")
    names = re.findall(r"^  - (?:optional )?(\w+):", text, re.MULTILINE)
    groups = [f"  {group}={' | '.join(presets.files(group))}" for group in names]
    keys = f"keys and defaults ({command}.yaml; `invdesign list parameters` has all, with units and ranges)"
    head = [f"invdesign {command}: {JOBS[command]}", "", "choices", *groups, "", keys]
    return "\n".join([*head, textwrap.indent(text, "  ")])


# Jobs ----------------------------------------------------------------------------------------------------------------


def _run(job: str, words: list[str], flags: Flags) -> int:
    if flags.resume is not None:
        return _resume(job, words, flags)
    from invdesign.config import JobFailed, compose, parse, run_hydra, sweep_overrides
    from invdesign.run.name import new_name

    _hide_from_completion(job)
    request = parse(job, words)
    if request.only_shows:
        run_hydra(request, [], lambda data, number, overrides: 0)
        return 0
    data, several = compose(request)
    if not several:
        return _execute(job, data, flags, words)
    folder = Path(str(data.get("outputs", "outputs"))).absolute() / job / new_name()

    def task(data: dict[str, Any], number: int, overrides: list[str]) -> int:
        _console(flags).print(f"run {number}: {' '.join(overrides)}", soft_wrap=True, highlight=False)
        try:
            return _execute(job, data, flags, words, f"{folder.name}/{number}")
        except InputError as error:
            print(f"invdesign: run {number}: {error}", file=sys.stderr)
            return 2

    try:
        with tempfile.TemporaryDirectory() as nowhere:  # Hydra notes the sweep in a file; a dry run leaves none
            run_hydra(request, sweep_overrides(Path(nowhere) if flags.dry_run else folder), task)
    except JobFailed as failed:
        return failed.code
    except OSError as error:
        raise InputError(f"outputs: {error.filename} cannot be written ({error.strerror})") from None
    return 0


def _execute(job: str, data: Mapping[str, Any], flags: Flags, words: Sequence[str], name: str = "") -> int:
    """One run in a folder of its own, which is made when its input has passed the checks."""
    from invdesign.run.folder import RunFolder

    settings = _settings(job, data)
    module = importlib.import_module(f"invdesign.jobs.{job}")
    if hasattr(module, "check"):
        module.check(settings)
    if flags.dry_run:
        return module.run(settings, None, _console(flags))
    folder = RunFolder.create(settings.outputs, job, data, command=[job, *words], name=name)
    return _finish(folder, settings, flags)


def _resume(job: str, words: list[str], flags: Flags) -> int:
    from invdesign.run.folder import RunFolder

    if job != "optimize":
        raise InputError(f"--resume continues a run of optimize; run {job} again instead")
    if words or flags.dry_run:
        raise InputError(f"--resume takes its configuration from the run; remove {' '.join(words) or '--dry-run'}")
    folder = RunFolder.open(str(flags.resume), job)
    if folder.manifest()["status"] == "finished":
        _console(flags).print(f"{folder.path} is finished already", soft_wrap=True)
        return 0
    return _finish(folder, _settings(job, folder.config()), flags)


def _settings(job: str, data: Mapping[str, Any]) -> Any:
    from invdesign.config import read_settings, use_compile_cache

    settings = read_settings(job, data)
    if settings.compile_cache:
        use_compile_cache()
    return settings


def _finish(folder: Any, settings: Any, flags: Flags) -> int:
    """Run the job in its folder and note in the manifest how it ended."""
    console = _console(flags)
    try:
        code = importlib.import_module(f"invdesign.jobs.{folder.job}").run(settings, folder, console)
    except KeyboardInterrupt:
        folder.finish("interrupted", 130)
        if folder.job == "optimize":
            console.print(f"interrupted; continue with: invdesign optimize --resume {folder.path}", soft_wrap=True)
        raise
    except InputError:
        if not folder.discard_if_empty():
            folder.finish("refused", 2)
        raise
    except BaseException:
        folder.finish("crashed", 1)
        raise
    folder.finish("finished", code)
    console.print(f"results in {folder.path}", soft_wrap=True, highlight=False)
    return code


def _console(flags: Flags) -> Any:
    from rich.console import Console

    return Console(quiet=flags.quiet, highlight=False)


# Tab completion ------------------------------------------------------------------------------------------------------


def _completing(words: list[str]) -> bool:
    return any(word in ("-sc", "--shell-completion") for word in words)


def _complete(words: list[str]) -> int:
    """Hydra's completion script calls us without the subcommand, which then stands in COMP_LINE only."""
    line = os.environ.get("COMP_LINE", "").split()
    job = next((word for word in line[1:] if word in JOBS), None)
    if not any(word.startswith("query") for word in words) or job is not None:
        return _run(job or "simulate", words, Flags())
    start = line[-1] if len(line) > 1 and not os.environ["COMP_LINE"].endswith(" ") else ""
    print(" ".join(name for name in (*JOBS, *OTHERS) if name.startswith(start)))
    return 0


def _hide_from_completion(job: str) -> None:
    """Take the subcommand and our own flags out of COMP_LINE, so that Hydra completes only what it knows."""
    if line := os.environ.get("COMP_LINE"):
        ours = {job, "--quiet", "-q", "--dry-run", "--resume", "--help", "--version"}
        kept = [word for word in line.split() if word not in ours]
        os.environ["COMP_LINE"] = " ".join(kept) + " " * line.endswith(" ")
