"""The run folder: files appear whole or not at all, and say what they contain."""

import io
import json
import math
import threading

import numpy as np
import pytest
from rich.console import Console

from invdesign.run.folder import RunFolder, read_table
from invdesign.run.progress import Reporter, duration
from invdesign.schema import InputError


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, "simulate", {"optimizer": {"seed": 7}}, command=["simulate"])


def names(folder):
    return {path.name for path in folder.path.iterdir()}


def test_a_reader_never_sees_half_a_file(folder):
    """A thread reads while another value of the same 200 kB file is written, 50 times: it parses every time."""
    folder.write_json("a.json", [0] * 100_000)
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(len(set(json.loads((folder.path / "a.json").read_text()))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(50):
        folder.write_json("a.json", [number] * 100_000)
    done.set()
    watcher.join()
    assert seen and set(seen) == {1}


def test_a_failed_write_leaves_the_old_file_and_no_other(folder):
    folder.write_json("a.json", {"good": 1})
    before = names(folder)
    with pytest.raises(TypeError):
        folder.write_arrays("a.json", {"a": np.zeros(3), 3: None})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        folder.write_text("a.json", None)  # type: ignore[arg-type]
    assert names(folder) == before and json.loads((folder.path / "a.json").read_text()) == {"good": 1}


def test_json_is_strict(folder):
    folder.write_json(
        "a.json", {"x": np.float64(1.5), "y": [math.nan, -math.inf], "n": np.int64(3), "b": np.bool_(True)}
    )
    assert json.loads((folder.path / "a.json").read_text()) == {"x": 1.5, "y": [None, None], "n": 3, "b": True}


def test_tables_carry_their_header_and_twelve_digits(folder):
    table = {"voltage_V": np.array([0.1, -1 / 3]), "layer": ["a", "b, c"], "dark": [True, False], "gap": [math.nan, 1]}
    path = folder.write_table("jv", table)
    assert path.name == "jv.csv" and path.read_text().splitlines()[0] == "voltage_V,layer,dark,gap"
    back = read_table(path)
    assert back["voltage_V"] == pytest.approx([0.1, -1 / 3], rel=1e-12) and back["layer"] == ["a", "b, c"]
    assert back["dark"] == [1.0, 0.0] and math.isnan(back["gap"][0])
    with pytest.raises(ValueError, match="differ in length"):
        folder.write_table("jv", {"a": [1], "b": [1, 2]})


def test_checkpoints_keep_every_bit_and_refuse_damage(folder):
    assert folder.read_arrays("state.npz") is None
    arrays = {"z": np.random.default_rng(0).normal(size=(3, 4)), "step": np.array(5)}
    folder.write_arrays("state.npz", arrays)
    back = folder.read_arrays("state.npz")
    assert all(np.array_equal(arrays[key], back[key]) for key in arrays)
    (folder.path / "state.npz").write_bytes((folder.path / "state.npz").read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged"):
        folder.read_arrays("state.npz")


def test_a_checkpoint_cannot_execute_code(folder):
    np.save(folder.path / "state.npz", np.array([print], dtype=object), allow_pickle=True)
    (folder.path / "state.npz.npy").rename(folder.path / "state.npz")
    with pytest.raises(InputError, match="damaged"):
        folder.read_arrays("state.npz")


def test_the_manifest_knows_the_seed_and_adds_up_the_time(folder):
    manifest = folder.manifest()
    assert manifest["seed"] == 7 and manifest["status"] == "running" and manifest["sources"] == []
    folder.update_manifest(sources=["a paper"], wall_s=100.0)
    RunFolder.open(folder.path, "simulate").finish("finished", 0)
    manifest = folder.manifest()
    assert 100 <= manifest["wall_s"] < 110 and manifest["sources"] == ["a paper"] and manifest["exit_code"] == 0


def test_figures_are_written_as_png_and_pdf(folder):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([1, 2])
    png, pdf = folder.save_figure("line", figure)
    assert png == folder.figure_path("line") and png.read_bytes()[1:4] == b"PNG" and pdf.read_bytes()[:4] == b"%PDF"


def lines(terminal, quiet=False, interval_s=0.0):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, quiet=quiet, width=100)
    with Reporter(console, "search", 4, interval_s) as reporter:
        reporter.update(2, best="1e11 Jones")
        reporter.update(3, best="2e11 Jones")
        reporter.update(4, best="3e11 Jones", worst_constraint="-0.1")
    return text.getvalue()


def test_progress_is_plain_lines_where_there_is_no_terminal():
    first, second, third = lines(terminal=False).splitlines()
    assert first == "search: 2 of 4, best 1e11 Jones, time left unknown"
    assert second.endswith(" left") and third.startswith(
        "search: 4 of 4, best 3e11 Jones, worst constraint -0.1, done in"
    )
    assert len(lines(terminal=False, interval_s=60.0).splitlines()) == 1  # the last one only


def test_progress_is_live_on_a_terminal_and_silent_if_quiet():
    assert "\x1b[" in lines(terminal=True)
    assert lines(terminal=True, quiet=True) == lines(terminal=False, quiet=True) == ""


def test_durations_are_readable():
    assert [duration(s) for s in (0.4, 59.6, 200, 3900)] == ["0 s", "1 min 00 s", "3 min 20 s", "1 h 05 min"]
