"""A small house to try the command line in: three jobs about a device with one layer, and no physics."""

import logging
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import pytest
import yaml
from jaxtyping import Array, Float

import invdesign as package
from invdesign import cli, presets
from invdesign.schema import InputError, quantity, setting


class Material(eqx.Module):
    name: str = setting()
    index: Float[Array, ""] = quantity("1", lower=1, default=1.5)


class Table(eqx.Module):
    kind: ClassVar[str] = "table"
    file: str = setting()


class Device(eqx.Module):
    material: Material
    thickness_nm: Float[Array, ""] = quantity("nm", lower=0, open_lower=True)
    order: tuple[str, ...] = setting(default=("a",))
    name: str = setting(default="none")
    optical: Table | None = None

    def __check_init__(self):
        if not self.order:
            raise InputError("order: the list of layers is empty")


class Settings(eqx.Module):
    device: Device
    lower_V: Float[Array, ""] = quantity("V", default=0.0)
    upper_V: Float[Array, ""] = quantity("V", default=10.0)
    outcome: str = setting(default="good")
    outputs: str = setting(default="outputs")
    compile_cache: bool = setting(default=False)

    def __check_init__(self):
        if self.lower_V > self.upper_V:
            raise InputError(f"lower_V={float(self.lower_V):g}: must not be above upper_V={float(self.upper_V):g}")


CONF = {
    "simulate.yaml": """
        # simulate something
        defaults:
          - device: slab
          - _self_
          - override hydra/job_logging: none
          - override hydra/hydra_logging: none
        lower_V: 0
        outputs: outputs
        """,
    "device/slab.yaml": """
        # a slab of glass
        defaults: [/material@material: glass, _self_]
        thickness_nm: 100
        """,
    "device/film.yaml": "thickness_nm: 10\nmaterial: {name: gold}",
    "material/glass.yaml": "# as in windows\nname: glass\nindex: 1.5e0",
    "material/water.yaml": "name: water\nindex: 1.33",
}


def fake_check(settings):
    if settings.outcome == "refuse":
        raise InputError("outcome=refuse: must be something else")


def fake_run(settings, folder, console):
    """Do as `outcome` says."""
    if settings.outcome == "refuse late":
        raise InputError("outcome=refuse late: must be something else")
    if folder is None:
        console.print(f"would look at {settings.device.material.name}")
        return 0
    folder.write_json("before.json", {"resumed": folder.resumed})
    if settings.outcome == "late refusal":
        raise InputError("no start is feasible")
    if settings.outcome == "interrupt" and not folder.resumed:
        raise KeyboardInterrupt
    if settings.outcome == "crash":
        raise RuntimeError("a bug")
    console.print(f"looked at {settings.device.material.name}")
    thickness = float(settings.device.thickness_nm)
    figures = {"thickness_nm": {"value": thickness, "unit": "nm"}, "nothing": {"value": float("nan"), "unit": "1"}}
    folder.write_json("result.json", {"schema": "invdesign/result/1", "job": folder.job, "figures": figures})
    return 1 if settings.outcome == "failed check" else 0


@pytest.fixture
def house(tmp_path, monkeypatch):
    """An empty working directory, with the configuration and the jobs of the small house in place of the real ones."""
    conf = tmp_path / "conf"
    for name, text in CONF.items():
        (conf / name).parent.mkdir(parents=True, exist_ok=True)
        (conf / name).write_text(textwrap.dedent(text))
    for job in cli.JOBS:
        if job != "simulate":
            (conf / f"{job}.yaml").write_text((conf / "simulate.yaml").read_text())
        module = types.ModuleType(f"invdesign.jobs.{job}")
        vars(module).update(check=fake_check, run=fake_run)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    settings = types.ModuleType("invdesign.jobs.settings")
    vars(settings)["SETTINGS"] = dict.fromkeys(cli.JOBS, Settings)
    monkeypatch.setitem(sys.modules, "invdesign.jobs.settings", settings)
    monkeypatch.setattr(presets, "conf_dir", lambda: conf)
    monkeypatch.delenv("COMP_LINE", raising=False)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="session")
def ran():
    """`ran(place, "simulate", "a=1")`: the real command, run in a process of its own; warnings are errors."""

    def run(place, *words):
        environment = os.environ | {
            "PYTHONPATH": str(Path(package.__file__).parents[1]),
            "JAX_COMPILATION_CACHE_DIR": str(place / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",  # JAX, loaded by this process, has set it lower
        }
        command = [sys.executable, "-W", "error", "-m", "invdesign", *words]
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def _logging():
    """Undo what Hydra does to the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def invdesign(house, capsys, _logging):
    """`invdesign("simulate", "a=1") -> (exit code, standard output, standard error)`."""

    def call(*words):
        try:
            code = cli.main(list(words))
        except SystemExit as end:  # Hydra's argument parser and its --help
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def runs(house):
    """Folders of the runs made so far."""
    return lambda: sorted(path.parent for path in house.glob("outputs/**/manifest.json"))


@pytest.fixture
def saved():
    return lambda folder: yaml.safe_load((folder / "config.yaml").read_text())
