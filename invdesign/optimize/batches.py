"""Compiled calls on several cores, and the evaluation of many designs."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, PyTree

from .problem import Evaluation, Problem


def available_cores() -> int:
    """The cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def to_host(tree: PyTree) -> PyTree:
    """Wait for the arrays of a pytree and copy them to NumPy."""
    return jax.tree.map(np.asarray, tree)


def compile_for(problem: Problem, function: Callable[..., Any], *examples: PyTree) -> tuple[Callable[..., Any], float]:
    """`function(problem, ...)` compiled for arguments like `examples`, and the seconds it took.

    The compiled function takes and returns NumPy arrays. It releases Python's global lock while it runs, so that
    threads running it use several cores: two threads on two cores were 1.9 times as fast as one (a single call keeps
    one core busy, whatever its batch).
    """
    begun = time.monotonic()
    arrays, rest = eqx.partition(problem, eqx.is_array)
    jitted = jax.jit(lambda arrays, *arguments: function(eqx.combine(arrays, rest), *arguments))
    compiled = jitted.lower(arrays, *examples).compile()
    return lambda *arguments: to_host(compiled(arrays, *arguments)), time.monotonic() - begun


def split(points: Float[np.ndarray, "point variable"], batch: int) -> list[np.ndarray]:
    """Batches of equal size; the last one is filled up with its last point."""
    count = -(-len(points) // batch)
    filled = np.concatenate([points, np.repeat(points[-1:], count * batch - len(points), axis=0)])
    return list(filled.reshape(count, batch, -1))


class Evaluator:
    """Evaluates designs of a problem, `batch` at a time, compiled once.

    Every design starts from the problem's initial carry, so that its numbers do not depend on its company.
    """

    def __init__(self, problem: Problem, batch: int = 16, workers: int | None = None) -> None:
        self.batch, self.workers = batch, workers or available_cores()
        self.evaluations = 0
        carry = problem.initial_carry()
        example = np.zeros((batch, len(problem.names)))

        def evaluate(problem: Problem, points: Any, carry: PyTree) -> tuple[Any, Any, Any]:
            result: Evaluation = jax.vmap(problem.evaluate, in_axes=(0, None))(points, carry)
            return result.objective, result.constraints, result.ok

        compiled, self.compile_s = compile_for(problem, evaluate, example, carry)
        self._evaluate = lambda points: compiled(points, carry)

    def __call__(
        self, points: Float[np.ndarray, "point variable"]
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point constraint"], np.ndarray]:
        """Objective, constraints and success of every point; those that failed are nan."""
        with ThreadPoolExecutor(self.workers) as pool:
            parts = list(pool.map(self._evaluate, split(np.asarray(points, float), self.batch)))
        objective, constraints, ok = (np.concatenate(part)[: len(points)] for part in zip(*parts, strict=True))
        self.evaluations += len(points)
        ok = ok & np.isfinite(objective) & np.isfinite(constraints).all(axis=1)
        return np.where(ok, objective, np.nan), np.where(ok[:, None], constraints, np.nan), ok
