"""The parts of the optimiser one by one: settings, starts, saved state, multipliers, the scan along one variable."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import optax
import pytest
from optimization_problems import Infeasible, Quadratic, Ripples

from invdesign.optimize import Evaluator, OptimizerSettings, best_along, build_optimizer, spread_starts
from invdesign.optimize.maximise import initial_state
from invdesign.optimize.polish import distinct, multipliers_at
from invdesign.optimize.settings import remembers_curvature
from invdesign.optimize.state import SearchState, load_state, save_state
from invdesign.schema import InputError

SETTINGS = OptimizerSettings(starts=5, batch=3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"starts": 0}, "optimizer.starts=0: must be >= 1"),
        ({"learning_rate": float("nan")}, "optimizer.learning_rate=nan: must be"),
        ({"penalty": -1.0}, "optimizer.penalty=-1: must be"),
        ({"penalty": 10.0, "penalty_max": 1.0}, "optimizer.penalty_max=1: must be >= 10"),
        ({"seed": -1}, "optimizer.seed=-1: must be >= 0"),
    ],
)
def test_bad_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimizerSettings(**wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (OptimizerSettings("adm"), r"optimizer=adm: must be an optimiser of optax; near are .*adam"),
        (OptimizerSettings("adam", {"beta": 1.0}), "optimizer.options.beta is not an option of adam; it has .*b1"),
        (OptimizerSettings("noisy_sgd"), "draws random numbers"),
    ],
)
def test_bad_optimizer(settings: OptimizerSettings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_optimizer(settings)


def test_optimizers_by_name() -> None:
    for name, curvature in (("adam", False), ("lbfgs", True), ("sgd", False), ("rmsprop", False)):
        optimizer = build_optimizer(OptimizerSettings(name))
        assert isinstance(optimizer, optax.GradientTransformationExtraArgs)
        assert remembers_curvature(optimizer) == curvature


def test_steps_are_shared_by_the_outer_iterations() -> None:
    assert OptimizerSettings(steps=60, outer_iterations=6).inner_steps == 10
    assert OptimizerSettings(steps=61, outer_iterations=6).inner_steps == 11


def test_starts_are_spread() -> None:
    """Eight Sobol points: in each variable one in each eighth of the range."""
    starts = spread_starts(np.array([0.0, 0.25, 1.0]), 9, seed=3)
    np.testing.assert_allclose(starts[0], [1e-3, 0.25, 1 - 1e-3])
    for column in starts[1:].T:
        assert sorted((column * 8).astype(int)) == list(range(8))
    np.testing.assert_array_equal(starts, spread_starts(np.array([0.0, 0.25, 1.0]), 9, seed=3))
    assert not np.array_equal(starts[1:], spread_starts(np.array([0.0, 0.25, 1.0]), 9, seed=4)[1:])
    assert spread_starts(np.array([0.3]), 1, seed=0).tolist() == [[0.3]]


def state(**changes: Any) -> SearchState:
    settings = dataclasses.replace(SETTINGS, **changes)
    return initial_state(Quadratic(), np.full(4, 0.5), settings, build_optimizer(settings), {"device": "diode"})


def test_state_round_trip(tmp_path: Path) -> None:
    """Bit for bit, odd numbers included."""
    saved = state()
    odd = np.array([[np.nan, np.inf], [-0.0, 5e-324], [1 / 3, -np.inf]])
    batch = eqx.tree_at(lambda search: search.multipliers, saved.batches[0], odd)
    saved = dataclasses.replace(saved, batches=(batch, saved.batches[1]), iterations=(2, 1), wall_s=1.25)
    save_state(tmp_path / "s.npz", saved)
    loaded = load_state(tmp_path / "s.npz", state())
    assert loaded.iterations == (2, 1) and loaded.wall_s == 1.25
    for a, b in zip(loaded.batches, saved.batches, strict=True):
        assert a.multipliers.tobytes() == b.multipliers.tobytes() and a.angle.tobytes() == b.angle.tobytes()
        assert a.carry["count"].dtype == b.carry["count"].dtype


def test_interrupted_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.npz"
    save_state(path, state())
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    for where, name in ((os, "fsync"), (os, "replace"), (np, "savez")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(where, name, lambda *_, **__: fail())
            save_state(path, dataclasses.replace(state(), iterations=(1, 1)))
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["s.npz"]


def test_unusable_states(tmp_path: Path) -> None:
    """Every file that is not the state of this search gives one clear sentence."""
    good, path = tmp_path / "good.npz", tmp_path / "bad.npz"
    save_state(good, state())
    content = good.read_bytes()

    def refuse(message: str, like: SearchState | None = None) -> None:
        with pytest.raises(InputError, match=message):
            load_state(path, like or state())

    refuse("does not exist")
    for damaged in (b"", b"hello", content[: len(content) // 2], content[:-30]):
        path.write_bytes(damaged)
        refuse("not a saved search, or it is damaged")
    flipped = bytearray(content)
    flipped[content.index(np.asarray(state().batches[0].angle).tobytes())] ^= 0x01
    path.write_bytes(bytes(flipped))
    refuse("not a saved search, or it is damaged")
    np.savez(path, a=np.ones(2))
    refuse("not a saved search")
    np.savez(path, header=np.array({"schema": 1}, dtype=object))  # would need pickle, which can run code
    refuse("not a saved search")
    np.savez(
        path, header=np.array('{"schema": "other/1", "identity": {}, "iterations": [], "wall_s": 0, "compile_s": 0}')
    )
    refuse("has the format 'other/1'")
    path.write_bytes(content)
    refuse("belongs to another search: it differs in settings", state(seed=1))
    path.unlink()
    path.mkdir()
    refuse("not a saved search")


def test_multipliers_and_residual() -> None:
    """grad f = (1, -2): the constraint with gradient (-1, 0) takes the first component, the lower bound the second."""
    jacobian = np.array([[-1.0, 0.0], [0.0, 1.0]])
    z, gradient = np.array([0.5, 0.0]), np.array([1.0, -2.0])
    balanced = multipliers_at(z, gradient, np.array([0.0, 0.3]), jacobian, 1e-6)
    np.testing.assert_allclose(balanced.constraints, [1, 0], atol=1e-14)
    np.testing.assert_allclose(balanced.lower, [0, 2], atol=1e-14)
    assert balanced.residual < 1e-14 and not balanced.upper.any()
    # With the constraint inactive the first component is not balanced: 1 / max(1, 2).
    assert multipliers_at(z, gradient, np.array([0.1, 0.3]), jacobian, 1e-6).residual == pytest.approx(0.5)
    # A force pointing into the feasible region gets no multiplier: constraints only push, they do not pull.
    pulling = multipliers_at(z, -gradient, np.array([0.0, 0.3]), jacobian, 1e-6)
    assert not pulling.constraints.any() and not pulling.lower.any() and pulling.residual == pytest.approx(1.0)


def test_distinct_keeps_the_first() -> None:
    assert distinct([0.1, 0.14, 0.2, 0.12], lambda z: [z], 0.05) == [0.1, 0.2]


def test_evaluator_marks_failures() -> None:
    points = np.stack([np.full(3, 0.5), np.array([0.5, 0.9, 0.5]), np.full(3, 0.25)])
    evaluator = Evaluator(Ripples(fails_above=0.8), batch=2)
    objective, constraints, ok = evaluator(points)
    assert ok.tolist() == [True, False, True] and evaluator.evaluations == 3
    assert (
        objective[0] == pytest.approx(3 * (-(0.12**2) + 0.05)) and np.isnan(objective[1]) and np.isnan(constraints[1])
    )


def test_best_along_a_constrained_variable() -> None:
    """With b = 0.45 the constraint a + b <= 1 stops a at 0.55; three refinements resolve (1/63)(2/15)^3 = 4e-5, and
    the feasibility tolerance allows 0.5e-4 more."""
    found = best_along(Quadratic(), np.array([0.1, 0.45, 0.5, 0.5]), "a")
    assert found is not None
    assert found.z[0] == pytest.approx(0.55, abs=1e-4) and found.z[1:].tolist() == [0.45, 0.5, 0.5]
    assert found.constraints[0] >= -1e-4 and found.evaluations == 64 + 3 * 16


def test_best_along_finds_the_interior_maximum_and_skips_failures() -> None:
    """The ripple next to 0.75 has its maximum at 0.7422, that next to 0.5 at 0.5072 (higher)."""
    evaluator = Evaluator(Ripples(fails_above=0.505))
    z = np.full(3, 0.5)
    found = best_along(Ripples(), z, "y")
    assert found is not None and found.z[1] == pytest.approx(0.50718316, abs=5e-5)
    cut = best_along(Ripples(fails_above=0.505), z, "y", evaluator=evaluator)
    assert cut is not None and cut.z[1] == pytest.approx(0.505, abs=5e-5) and cut.z[1] <= 0.505


def test_best_along_without_a_feasible_point() -> None:
    assert best_along(Infeasible(), np.array([0.5]), "z") is None
    assert best_along(Ripples(fails_above=-1.0), np.full(3, 0.5), "y") is None
    with pytest.raises(InputError, match="'bias' is not a free variable of the problem; it has z"):
        best_along(Infeasible(), np.array([0.5]), "bias")


def test_best_along_finds_a_narrow_feasible_window() -> None:
    """Feasible is |z - 0.3217| <= 4e-4, a twentieth of the scan's spacing; f = z, so the best is its upper end."""

    class Window(Infeasible):
        def evaluate(self, z: Any, carry: Any) -> Any:
            plain = super().evaluate(z, carry)
            return dataclasses.replace(plain, constraints=plain.constraints * 0 + 4e-4 - abs(z[0] - 0.3217))

    found = best_along(Window(), np.array([0.9]), "z", feasibility_tolerance=0.0)
    assert found is not None and found.z[0] == pytest.approx(0.3217 + 4e-4, abs=1e-4) and found.z[0] <= 0.3217 + 4e-4
