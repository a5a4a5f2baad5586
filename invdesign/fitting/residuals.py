"""Whitened residuals of a model against measurements, with their exact Jacobian, from one compiled program."""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

FAILED = 1e3
"""Residual of a point that the model has no value for: a thousand standard deviations, whatever was measured."""
SMALLEST_RATIO = 1e-9
"""A logarithmic residual grows without bounds to here, as a part of the measured value, and hardly further below."""


class Measured(NamedTuple):
    """Numbers to be reproduced, in one row after the other."""

    y: Float[np.ndarray | Array, " point"]
    sigma: Float[np.ndarray | Array, " point"]
    log: Bool[np.ndarray | Array, " point"]
    """Where logarithms are compared."""


class Evaluation(NamedTuple):
    """Residuals at one point of the box; those of the prior stand behind those of the data."""

    residual: Float[np.ndarray, " row"]
    jacobian: Float[np.ndarray, "row parameter"]
    """By the places in the box."""
    failed: Bool[np.ndarray, " point"]
    """Points without a value."""
    values: Float[np.ndarray, " point"]
    """What the model says; nothing where it has failed."""

    @property
    def chi2(self) -> float:
        """Sum of the squares."""
        return float(self.residual @ self.residual)


def whiten(values: Float[Array, " point"], solved: Bool[Array, " point"], measured: Measured) -> Float[Array, " point"]:
    """(y_model - y)/sigma; on a logarithmic scale (ln y_model - ln y)/(sigma/|y|).

    The logarithm is written with asinh, so that a model value of the wrong sign has a large residual, too, and a slope
    that leads back. Where the model has no value the residual is `FAILED` and its derivative zero.
    """
    y, sigma = jnp.asarray(measured.y), jnp.asarray(measured.sigma)
    known = jnp.where(solved, values, y)
    size = jnp.where(measured.log, jnp.abs(y), 1.0)
    bend = 2 * SMALLEST_RATIO * size
    logarithm = jnp.arcsinh(known * jnp.sign(y) / bend) - jnp.arcsinh(jnp.abs(y) / bend)
    return jnp.where(solved, jnp.where(measured.log, logarithm * size, known - y) / sigma, FAILED)


QUICK_COMPILATION: Any = {"xla_llvm_disable_expensive_passes": True}
"""Compiler options: for the default device half the compilation time, and a program that is no slower."""


class Residuals:
    """Residuals as a function of a point in the unit box.

    `model` maps a point to the values of all measured points and whether it has them; `prior` to further whitened
    residuals. Compiled at once; the program holds no Python lock while it runs, so that threads can share it.
    """

    def __init__(
        self,
        names: Sequence[str],
        model: Callable[[Float[Array, " parameter"]], tuple[Float[Array, " point"], Bool[Array, " point"]]],
        measured: Measured,
        prior: Callable[[Float[Array, " parameter"]], Float[Array, " prior"]] = lambda z: jnp.zeros(0),
    ) -> None:
        self.names, self.measured, self.evaluations = tuple(names), measured, 0

        def residual(z: Array, measured: Measured) -> tuple[Array, tuple[Array, Array, Array]]:
            values, solved = model(z)
            rows = jnp.concatenate([whiten(values, solved, measured), prior(z)])
            return rows, (rows, ~solved, values)

        # forward mode: a program in time has no reverse one
        self.traceable: Any = jax.jacfwd(residual, has_aux=True)
        """(z, measured) -> Jacobian, (residuals, failed, values), for programs that have the model inside."""
        begun = time.monotonic()
        lowered = jax.jit(self.traceable).lower(jnp.zeros(len(self.names)), measured)
        on_cpu = jax.default_backend() == "cpu"
        self._compiled = lowered.compile(compiler_options=QUICK_COMPILATION if on_cpu else None)
        self.compile_s = time.monotonic() - begun

    def of(self, measured: Measured) -> "Residuals":
        """The same model against other measurements at the same points; nothing is compiled again."""
        other = copy.copy(self)
        other.measured, other.evaluations = measured, 0
        return other

    def __call__(self, z: Float[np.ndarray, " parameter"]) -> Evaluation:
        """Residuals and their Jacobian at `z`; never nan."""
        jacobian, (residual, failed, values) = self._compiled(jnp.asarray(z, jnp.float64), self.measured)
        self.evaluations += 1
        jacobian = np.nan_to_num(np.asarray(jacobian), nan=0.0, posinf=0.0, neginf=0.0)
        return Evaluation(np.asarray(residual), jacobian, np.asarray(failed), np.asarray(values))
