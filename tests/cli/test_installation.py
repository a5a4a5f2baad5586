"""The wheel carries its configuration: built, installed into an empty environment, and run outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_works_in_a_clean_environment(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("invdesign/") for name in archive.namelist() if name.startswith("invdesign/conf/")}
    assert packed == {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*") if path.is_file()}

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    constraints = ROOT / "requirements" / "known-good.txt"
    run(tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", "-c", constraints, wheel)
    command = tmp_path / "venv/bin/invdesign"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    place = tmp_path / "place"
    place.mkdir()
    assert run(command, "--version", cwd=place, env=clean).startswith("invdesign ")
    assert "wavelength_nm" in run(command, "simulate", "--cfg", "job", cwd=place, env=clean)
    assert "qdip_photodiode" in run(command, "list", "devices", cwd=place, env=clean)
    assert "reverse_bias" in run(command, "list", "variables", cwd=place, env=clean)


def test_the_experiments_are_the_same_entry_points():
    for name in ("simulate", "optimize"):
        shown = run(sys.executable, ROOT / "experiments" / f"{name}.py", "--help", cwd=ROOT)
        assert shown.startswith(f"invdesign {name}:")


def test_the_module_can_be_run():
    assert run(sys.executable, "-m", "invdesign", "--version", cwd=ROOT).startswith("invdesign ")


@pytest.mark.parametrize("given", ["", "--xla_cpu_enable_fast_math=false", "--xla_disable_hlo_passes=cse", "file.txt"])
def test_flags_for_xla_are_added_to_those_that_are_set(given):
    """None takes the place of one that is set already, and the name of a file with flags stays alone. XLA dies of a
    flag that it does not know, so that an addition shows that it knows all."""
    script = "import os, invdesign, jax; print(os.environ['XLA_FLAGS']); {}"
    adds = "jax.numpy.ones(3) + 1" if given != "file.txt" else ""
    flags = run(sys.executable, "-c", script.format(adds), env=os.environ | {"XLA_FLAGS": given}).split()
    assert flags[: len(given.split())] == given.split()
    if given == "file.txt":
        assert len(flags) == 1
    else:
        assert sum(flag.startswith("--xla_disable_hlo_passes") for flag in flags) == 1
