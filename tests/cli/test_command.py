"""The command `invdesign` on stand-in jobs: what it runs, what it refuses, what it leaves behind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import pytest

import invdesign as package
from invdesign import cli, config
from invdesign.run.folder import RunFolder
from invdesign.schema import setting


def test_a_run_leaves_result_config_and_manifest(invdesign, runs, saved):
    code, out, err = invdesign("simulate", "device.thickness_nm=30", "material@device.material=water")
    assert (code, err) == (0, "")
    (folder,) = runs()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}_[0-9a-f]{6}", folder.name) and folder.parent.name == "simulate"
    assert "looked at water" in out and str(folder) in out
    assert saved(folder)["device"]["thickness_nm"] == 30
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["command"] == ["simulate", "device.thickness_nm=30", "material@device.material=water"]
    assert (manifest["status"], manifest["exit_code"]) == ("finished", 0) and manifest["wall_s"] >= 0
    assert manifest["versions"]["invdesign"] == package.__version__
    assert json.loads((folder / "result.json").read_text())["figures"]["nothing"]["value"] is None
    assert sorted(path.name for path in folder.iterdir()) == [
        "before.json", "config.yaml", "manifest.json", "result.json"
    ]  # fmt: skip


def test_nothing_else_appears_in_the_working_directory(invdesign, house):
    invdesign("simulate")
    assert [path.name for path in house.iterdir()] == ["outputs"]


def test_a_key_of_the_schema_that_is_not_in_the_yaml_needs_no_plus(invdesign, runs, saved):
    assert invdesign("simulate", "upper_V=5", "device.name=mine")[0] == 0
    data = saved(runs()[0])
    assert data["upper_V"] == 5 and data["device"]["name"] == "mine"


def test_the_device_can_be_a_file_anywhere(invdesign, house, tmp_path, runs, saved):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "n k.csv").write_text("1,2\n")
    (elsewhere / "my.dev-ice.yaml").write_text(
        "defaults: [/material@material: water, _self_]\n"
        "thickness_nm: 1e-1\noptical: {kind: table, file: n k.csv}\nname: ${.material.name} film"
    )
    code, _, err = invdesign("simulate", f"device={elsewhere}/my.dev-ice.yaml", "device.order=[b]")
    assert (code, err) == (0, "")
    device = saved(runs()[0])["device"]
    assert device["material"]["name"] == "water" and device["thickness_nm"] == 0.1 and device["order"] == ["b"]
    assert device["name"] == "water film"
    assert device["optical"]["file"] == str(elsewhere / "n k.csv")  # named in the file, found beside it

    os.chdir(elsewhere)
    assert invdesign("simulate", "device=my.dev-ice.yaml", f"outputs={house}/outputs")[0] == 0


def test_a_file_can_be_changed_from_the_command_line(invdesign, house, runs, saved):
    (house / "optimum.yaml").write_text("thickness_nm: 12.5\nmaterial: {name: gold, index: 1.0e-1}")
    code, _, err = invdesign("simulate", "device=optimum.yaml")
    assert code == 2 and "device.material.index=0.1: must be a finite number >= 1" in err
    assert invdesign("simulate", "device=optimum.yaml", "device.material.index=2")[0] == 0
    assert saved(runs()[0])["device"]["thickness_nm"] == 12.5


def test_a_folder_of_ones_own_devices_and_materials(invdesign, house, runs, saved):
    for name, text in {
        "device/own.yaml": "defaults: [/material@material: oil, _self_]\nthickness_nm: 7",
        "material/oil.yaml": "name: oil",
    }.items():
        (house / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (house / "mine" / name).write_text(text)
    assert invdesign("simulate", "--config-dir", "mine", "device=own")[0] == 0
    assert saved(runs()[0])["device"]["material"]["name"] == "oil"
    code, out, _ = invdesign("list", "devices", "--config-dir", "mine")
    assert code == 0 and "own" in out and "a slab of glass" in out


BAD = {
    "unknown key": (["device.thicknes_nm=3"], "device.thicknes_nm is not a known key; did you mean thickness_nm"),
    "unknown top key": (["devise=slab"], "devise is not a known key; did you mean device"),
    "unknown device": (["device=slap"], "device=slap: there is no such device; there are film, slab"),
    "unknown material": (["material@device.material=ice"], "material=ice: there is no such material; there are glass"),
    "file that is not there": (["device=no/such.yaml"], "device=no/such.yaml: the file cannot be read (No such file"),
    "wrong type": (["device.thickness_nm=thick"], "device.thickness_nm=thick: must be a finite number in nm > 0"),
    "nan": (["device.thickness_nm=nan"], "device.thickness_nm=nan: must be a finite number"),
    "inf": (["device.thickness_nm=inf"], "device.thickness_nm=inf: must be a finite number"),
    "negative": (["device.thickness_nm=-3"], "device.thickness_nm=-3: must be a finite number in nm > 0"),
    "null": (["device.thickness_nm=null"], "device.thickness_nm=null: must be a finite number"),
    "empty value": (["device.thickness_nm="], "device.thickness_nm=: must be a finite number"),
    "lower above upper": (["lower_V=3", "upper_V=2"], "lower_V=3: must not be above upper_V=2"),
    "empty order": (["device.order=[]"], "device: order: the list of layers is empty"),
    "no such reference": (["device.name=${nowhere}"], "nowhere"),
    "mandatory value": (["device.thickness_nm=???"], "device.thickness_nm"),
    "sweep without multirun": (["lower_V=1,2"], "lower_V=1,2: several values need --multirun"),
    "no equals sign": (["upper_V"], "upper_V"),
    "bad syntax": (["device.order=[a"], "device.order=[a"),
    "unwritable outputs": (["outputs=/dev/null/here"], "outputs=/dev/null/here: no run folder can be made there"),
    "job refuses": (["outcome=refuse"], "outcome=refuse: must be something else"),
    "job refuses when it runs": (["outcome=refuse late"], "outcome=refuse late: must be something else"),
    "job refuses, dry": (["outcome=refuse", "--dry-run"], "outcome=refuse: must be something else"),
    "resume nothing": (["--resume"], "--resume needs the folder"),
    "no such config dir": (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
    "pickle": (["--experimental-rerun", "x"], "--experimental-rerun is not supported"),
    "code in a callback": (["+hydra.callbacks.a._target_=os.getcwd"], "cannot name code to execute"),
    "code in the log": (["+hydra.job_logging.handlers.a={class: os.getcwd}"], "cannot name code to execute"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_exit_2_and_nothing_written(invdesign, house, words, message):
    code, out, err = invdesign("simulate", *words)
    assert (code, out) == (2, "")
    assert err.startswith("invdesign: ") and message in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert not list(house.rglob("*.*")) and not (house / "outputs" / "simulate").exists()
    assert not list(house.iterdir()) or "late" in words[0]  # then the folder of all outputs is left


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "not YAML": ("a: [1", "the file is not YAML"),
        "not keys": ("- 1", "the file must hold keys with values"),
        "empty": ("", "must hold keys|thickness_nm is missing|material is missing"),
        "code": ("thickness_nm: 1\nmaterial: {_target_: os.getcwd}", "device.material._target_ is not a known key"),
        "python tag": ("thickness_nm: !!python/object/apply:os.getcwd []", "the file is not YAML"),
    }.values(),
)
def test_a_bad_device_file_is_explained(invdesign, house, text, message):
    (house / "my.yaml").write_text(text)
    code, out, err = invdesign("simulate", "device=my.yaml")
    assert (code, out) == (2, "") and re.search(message, err) and err.count("\n") == 1


def test_a_late_refusal_leaves_a_manifest_that_says_so_and_no_result(invdesign, runs):
    code, _, err = invdesign("simulate", "outcome=late refusal")
    assert code == 2 and "no start is feasible" in err
    (folder,) = runs()
    assert not (folder / "result.json").exists()
    assert json.loads((folder / "manifest.json").read_text())["status"] == "refused"


def test_a_bug_shows_its_traceback_and_is_noted(invdesign, runs):
    with pytest.raises(RuntimeError, match="a bug"):
        invdesign("simulate", "outcome=crash")
    assert json.loads((runs()[0] / "manifest.json").read_text())["status"] == "crashed"


def test_exit_code_1_if_the_job_says_no(invdesign):
    assert invdesign("validate", "outcome=failed check")[0] == 1


def test_quiet_and_dry_run(invdesign, house):
    assert invdesign("simulate", "--quiet")[1:] == ("", "")
    code, out, _ = invdesign("--dry-run", "optimize", "outputs=other")
    assert code == 0 and "would look at glass" in out and not (house / "other").exists()


def test_a_dry_run_of_several_writes_nothing(invdesign, house):
    code, out, _ = invdesign("simulate", "-m", "--dry-run", "device=film,slab")
    assert code == 0 and "gold" in out and "glass" in out and not list(house.iterdir())


def test_an_interrupted_run_is_resumed_in_its_folder(invdesign, runs):
    code, out, err = invdesign("optimize", "outcome=interrupt", "device.thickness_nm=41")
    assert code == 130 and "Traceback" not in err
    (folder,) = runs()
    assert f"--resume {folder}" in out
    code, out, _ = invdesign("optimize", "--resume", str(folder))
    assert code == 0 and runs() == [folder]
    assert json.loads((folder / "before.json").read_text())["resumed"] is True
    assert json.loads((folder / "result.json").read_text())["figures"]["thickness_nm"]["value"] == 41
    assert "finished already" in invdesign("optimize", f"--resume={folder}")[1]


def test_resume_refuses_anything_else(invdesign, house, runs):
    invdesign("simulate")
    (folder,) = runs()
    damaged = RunFolder.create(house / "outputs", "optimize", {"device": {}})
    (damaged.path / "config.yaml").write_text("[")
    for words, message in {
        ("optimize", "--resume", "nowhere"): "nowhere is not the folder of a run",
        ("optimize", "--resume", str(folder)): "is a run of simulate, not of optimize",
        ("optimize", "--resume", str(folder), "upper_V=3"): "remove upper_V=3",
        ("optimize", "--resume", str(damaged.path)): "config.yaml is missing or damaged",
        ("simulate", "--resume", str(folder)): "--resume continues a run of optimize",
    }.items():
        code, _, err = invdesign(*words)
        assert code == 2 and message in err and err.count("\n") == 1


def test_one_bad_run_of_several_does_not_stop_the_others(invdesign, runs, saved):
    code, _, err = invdesign("simulate", "-m", "device.thickness_nm=1,-1,3", "device=film")
    assert code == 2 and "run 1: device.thickness_nm=-1: must be" in err and "Traceback" not in err
    folders = runs()
    assert [folder.name for folder in folders] == ["0", "2"] and folders[0].parent == folders[1].parent
    assert [saved(folder)["device"]["thickness_nm"] for folder in folders] == [1, 3]


def test_a_crash_in_one_of_several_runs_is_shown_and_the_others_go_on(invdesign, runs):
    code, _, err = invdesign("simulate", "--multirun", "outcome=crash,good")
    assert code == 1 and "RuntimeError: a bug" in err
    assert [json.loads((folder / "manifest.json").read_text())["status"] for folder in runs()] == [
        "crashed",
        "finished",
    ]


def test_several_devices(invdesign, runs, saved):
    assert invdesign("simulate", "-m", "device=film,slab")[0] == 0
    assert [saved(folder)["device"]["material"]["name"] for folder in runs()] == ["gold", "glass"]


def test_several_runs_with_unwritable_outputs(invdesign):
    code, _, err = invdesign("simulate", "-m", "lower_V=1,2", "outputs=/dev/null/here")
    assert code == 2 and "cannot be written" in err and "Traceback" not in err


def test_two_runs_of_one_second_do_not_share_a_folder(invdesign, runs):
    for _ in range(3):
        invdesign("simulate", "--quiet")
    assert len(runs()) == 3


def test_showing_the_configuration(invdesign, house):
    code, out, err = invdesign("simulate", "--cfg", "job", "upper_V=3")
    assert (code, err) == (0, "") and "upper_V: 3" in out and "name: glass" in out
    code, out, _ = invdesign("simulate", "--info", "defaults")
    assert code == 0 and "slab" in out
    code, out, err = invdesign("simulate", "--cfg", "job", "device=slap")
    assert code == 2 and "there is no such device" in err
    assert not (house / "outputs").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("invdesign op", {"optimize"}),
        ("invdesign ", {*cli.JOBS, *cli.OTHERS}),
        ("invdesign simulate --quiet device=", {"device=slab", "device=film"}),
        ("invdesign simulate device=film device.thick", {"device.thickness_nm="}),
    ],
)
def test_tab_completion(invdesign, monkeypatch, line, expected):
    monkeypatch.setenv("COMP_LINE", line)
    code, out, _ = invdesign("-sc", "query=bash")
    assert code == 0 and set(out.split()) == expected


def test_help_names_every_command_and_every_choice(invdesign):
    code, out, _ = invdesign("--help")
    assert code == 0 and all(
        word in out for word in ("simulate", "optimize", "validate", "compare", "list", "--resume")
    )
    code, out, _ = invdesign("optimize", "--help")
    assert code == 0 and "device=film | slab" in out and "lower_V: 0" in out


def test_wrong_commands(invdesign):
    for words in (["optimise"], ["list"], ["list", "nothing"], ["compare", "a"], ["compare", "a", "b"]):
        code, _, err = invdesign(*words)
        assert code == 2 and err.count("\n") == 1
    assert invdesign("simulate", "--no-such-flag")[0] == 2


def test_lists(invdesign):
    assert "as in windows" in invdesign("list", "materials")[1]
    code, out, _ = invdesign("list", "parameters", "thickness")
    assert code == 0 and "device.thickness_nm" in out and "nm > 0" in out and "outcome" not in out
    code, _, err = invdesign("list", "materials", "plutonium")
    assert code == 2 and "there is none of the 2 materials that contains it" in err


def test_a_key_is_listed_with_its_jobs(invdesign, monkeypatch):
    class Other(eqx.Module):
        lower_V: float = setting(default=0.0, doc="means something else here")
        outputs: str = setting(default="outputs")

    monkeypatch.setitem(sys.modules["invdesign.jobs.settings"].SETTINGS, "optimize", Other)
    rows = [re.split("  +", line.strip()) for line in invdesign("list", "parameters")[1].splitlines()]
    jobs = [(row[0], row[1]) for row in rows]
    others = ", ".join(job for job in cli.JOBS if job != "optimize")
    assert ("outputs", "all") in jobs and ("upper_V", others) in jobs
    assert [row for row in jobs if row[0] == "lower_V"] == [("lower_V", others), ("lower_V", "optimize")]


def test_the_real_lists():
    """Numbers, ranges and sources of what is packaged; without JAX and Hydra, and so at once."""
    code = """import sys, invdesign.cli
for name in ("devices", "materials", "optical"):
    assert invdesign.cli.main(["list", name]) == 0
assert not {"jax", "hydra", "numpy"} & set(sys.modules)"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    lines = [re.split("  +", line.strip()) for line in out.splitlines()]
    assert ["silicon", "semiconductor", "1.12", "4.05", "11.7", "1000 / 400", "300000", "300 to 1600"] in lines
    stack = "glass 2.2e+06 / FTO 330 / TiO2 50 / QDiP (pbs_in_mapb_halide_fitted) 250 / spiro 50 / Au 100"
    assert ["qdip_photodiode", stack, "right", "left"] in lines
    for source in ("DOI 10.1038/ncomms14757", "host: densities of states", "Rakic et al. 1998"):
        assert source in out


def test_the_variables_are_listed_by_device(capsys):
    assert cli.main(["list", "variables", "silicon_pn"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"silicon_pn +n_doping +cm-3 +1e\+16 +1e\+14 +3e\+16 +free", out) and "QDiP" not in out


def test_one_preset_is_listed_with_all_its_numbers(capsys):
    assert cli.main(["list", "materials", "tio2"]) == 0  # named in full: tio2_driftfusion is another one
    out = capsys.readouterr().out
    assert "tio2_driftfusion" not in out
    assert re.search(r"breakdown_field_V_per_cm +V/cm +a finite number in V/cm > 0 +3e\+06", out)
    assert cli.main(["list", "devices", "silicon_p"]) == 0  # found alone
    out = capsys.readouterr().out
    assert re.search(r"layers\.n\.material\.donor_density_cm3 +cm-3 .* 1e\+16", out)
    assert re.search(r"contacts\.left\.kind +ohmic", out)


def test_comparison(invdesign, house):
    invdesign("simulate", "device.thickness_nm=10", "outputs=a")
    invdesign("simulate", "device.thickness_nm=15", "outputs=b")
    (first,), (second,) = house.glob("a/simulate/*"), house.glob("b/simulate/*")
    code, out, _ = invdesign("compare", str(first), str(second))
    assert code == 0 and re.search(r"figures\.thickness_nm \(nm\) +10 +15 +\+50\.00%", out)


def test_the_python_interface_reads_the_same_configuration(house):
    device = config.load_device("film", "thickness_nm=3")
    assert device.thickness_nm == 3.0 and device.material.name == "gold"
    with pytest.raises(package.InputError, match="thickness_nm=-3"):
        config.load_device("film", "thickness_nm=-3")


def test_help_and_version_load_neither_jax_nor_hydra():
    for word in ("--version", "--help"):
        code = f"""import sys, invdesign.cli
assert invdesign.cli.main([{word!r}]) == 0
assert not {{"jax", "hydra", "numpy"}} & set(sys.modules)"""
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_xla_is_told_to_be_quiet_before_jax_is_loaded(tmp_path):
    """JAX sets the same variable to 1 when it is loaded, unless it is set."""
    code = """import os, sys, invdesign.cli
assert invdesign.cli.main(["simulate", "--dry-run", "compile_cache=false"]) == 0
assert "jax" in sys.modules
assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
"""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(package.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_compile_cache_can_be_switched_off(tmp_path, wanted):
    code = f"""import jax, jax.numpy as jnp
from invdesign.config import use_compile_cache
if {wanted}:
    use_compile_cache()
jax.jit(lambda x: x + 1)(jnp.ones(3)).block_until_ready()"""
    folder = tmp_path / "cache"
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(folder)  # where platformdirs looks on Linux
    environment["HOME"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert bool(list(tmp_path.rglob("jax/*"))) is wanted


def test_float64_is_on_whatever_is_imported_first():
    for code in ("import jax, invdesign", "import invdesign, jax"):
        check = f"{code}; import jax.numpy as jnp; assert jnp.ones(1).dtype == 'float64'"
        subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)
