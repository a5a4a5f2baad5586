"""Small problems whose constrained optima are known by hand."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.optimize import Evaluation


class Quadratic(eqx.Module):
    """f = -|z - c|^2 with g_sum = (limit - z_a - z_b) / 0.5 >= 0 and g_loose = 2 - z_a >= 0.

    With c = (0.8, 0.7, 1.3, -0.2) and limit 1 the optimum is z = (0.55, 0.45, 1, 0): the pair (a, b) is projected on
    the line a + b = 1, the other two rest at their bounds. There f = -0.255, grad f = (0.5, 0.5, 0.6, -0.4) and
    grad g_sum = (-2, -2, 0, 0), so the multipliers are 0.25 (sum), 0 (loose), 0.6 (upper bound of c), 0.4 (lower
    bound of d).
    d f / d limit = 0.25 / 0.5 = 0.5.
    """

    centre: Float[Array, " variable"]
    limit: Float[Array, ""]
    names: ClassVar[tuple[str, ...]] = ("a", "b", "c", "d")
    constraint_names: ClassVar[tuple[str, ...]] = ("sum", "loose")

    def __init__(self, limit: float = 1.0) -> None:
        self.centre = jnp.array([0.8, 0.7, 1.3, -0.2])
        self.limit = jnp.asarray(limit)

    def initial_carry(self) -> Any:
        return {"previous": jnp.zeros(4), "count": jnp.asarray(0)}

    def evaluate(self, z: Any, carry: Any) -> Evaluation:
        objective = -jnp.sum((z - self.centre) ** 2)
        constraints = jnp.stack([(self.limit - z[0] - z[1]) / 0.5, 2 - z[0]])
        return Evaluation(objective, constraints, jnp.asarray(True), {"previous": z, "count": carry["count"] + 1})


class Ripples(eqx.Module):
    """f = -sum (z - 0.62)^2 + 0.05 sum cos(2 pi z / 0.25) in 3 variables, g = 0.6 - z_0 >= 0; optionally with failures.

    The ripple has a maximum near each multiple of 0.25, hence about 4^3 local optima; the best is near (0.5, 0.5, 0.5),
    at f' = 0. `fails_above`: the evaluation fails where z_1 is larger, with the number `rubbish` in all outputs; a
    failure that is not `flagged` shows itself only by them.
    """

    fails_above: float = eqx.field(static=True, default=2.0)
    rubbish: float = eqx.field(static=True, default=float("nan"))
    flagged: bool = eqx.field(static=True, default=True)
    names: ClassVar[tuple[str, ...]] = ("x", "y", "w")
    constraint_names: ClassVar[tuple[str, ...]] = ("cap",)

    def initial_carry(self) -> Any:
        return jnp.zeros(())

    def evaluate(self, z: Any, carry: Any) -> Evaluation:
        failed = z[1] > self.fails_above
        objective = jnp.sum(-((z - 0.62) ** 2) + 0.05 * jnp.cos(8 * jnp.pi * z))
        poison = jnp.where(failed, self.rubbish, 0.0)
        ok = ~failed | (not self.flagged)
        return Evaluation(objective + poison * jnp.sum(z), 0.6 - z[:1] + poison, ok, carry + objective + poison)


class Infeasible(eqx.Module):
    """g = (z - 0.8, 0.2 - z): no z satisfies both; the least violating one is 0.5, with a violation of 0.3."""

    names: ClassVar[tuple[str, ...]] = ("z",)
    constraint_names: ClassVar[tuple[str, ...]] = ("high", "low")

    def initial_carry(self) -> Any:
        return ()

    def evaluate(self, z: Any, carry: Any) -> Evaluation:
        return Evaluation(z[0], jnp.stack([z[0] - 0.8, 0.2 - z[0]]), jnp.asarray(True), carry)


class Rosenbrock(eqx.Module):
    """f = -(1 - u)^2 - 10 (v - u^2)^2 with u = 2 z_0, v = 2 z_1 and g = 1.5 - u^2 - v^2 >= 0: a curved valley."""

    names: ClassVar[tuple[str, ...]] = ("u", "v")
    constraint_names: ClassVar[tuple[str, ...]] = ("disc",)

    def initial_carry(self) -> Any:
        return ()

    def evaluate(self, z: Any, carry: Any) -> Evaluation:
        u, v = 2 * z[0], 2 * z[1]
        objective = -((1 - u) ** 2) - 10 * (v - u**2) ** 2
        return Evaluation(objective, (1.5 - u**2 - v**2)[None], jnp.asarray(True), carry)
