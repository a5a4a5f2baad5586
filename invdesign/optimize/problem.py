"""What the optimiser asks of a problem, and what it remembers of a design."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree


class Evaluation(eqx.Module):
    """One design evaluated.

    `objective` is to be maximised. `constraints` are satisfied where >= 0 and are scaled to O(1). `ok` is False if the
    evaluation failed: the other numbers are then meaningless and may be non-finite. `carry` is a warm start for the
    next design nearby, a pytree of arrays of fixed shapes.
    """

    objective: Float[Array, ""]
    constraints: Float[Array, " constraint"]
    ok: Bool[Array, ""]
    carry: PyTree


@runtime_checkable
class Problem(Protocol):
    """Maximise `objective(z)` subject to `constraints(z) >= 0` in the unit box 0 <= z <= 1.

    `evaluate` must be differentiable in reverse mode with respect to `z` and work under `jax.vmap`. It is only called
    with `z` inside the box. Arrays in a problem that is a pytree (an `equinox.Module`) are passed to the compiled
    functions as arguments, those of any other object are compiled in as constants.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in the order of `z`."""
        ...

    @property
    def constraint_names(self) -> tuple[str, ...]:
        """The constraints, in the order of `Evaluation.constraints`; may be empty."""
        ...

    def initial_carry(self) -> PyTree:
        """The warm start of a design of which nothing is known."""
        ...

    def evaluate(self, z: Float[Array, " variable"], carry: PyTree) -> Evaluation:
        """Objective and constraints of one design."""
        ...


class Record(eqx.Module):
    """A design that has been evaluated, with its numbers; objective -inf if nothing has been recorded yet."""

    z: Float[Array, " variable"]
    objective: Float[Array, ""]
    constraints: Float[Array, " constraint"]

    def violation(self) -> Float[Array, ""]:
        """The worst constraint violation, 0 if all are satisfied, inf if nothing has been recorded."""
        worst = jnp.max(-self.constraints, initial=0.0)
        return jnp.where(jnp.isfinite(self.objective), worst, jnp.inf)


def empty_record(z: Float[Array, " variable"], constraints: int) -> Record:
    """A record that any evaluated design replaces."""
    return Record(z, jnp.asarray(-jnp.inf), jnp.full(constraints, -jnp.inf))


def is_better(new: Record, old: Record, tolerance: float) -> Bool[Array, ""]:
    """Feasible beats infeasible; of two feasible designs the larger objective wins, of two others the less violating.

    Feasible means that no constraint is violated by more than `tolerance`.
    """
    new_violation, old_violation = new.violation(), old.violation()
    both_feasible = (new_violation <= tolerance) & (old_violation <= tolerance)
    return jnp.where(both_feasible, new.objective > old.objective, new_violation < old_violation)


def select(take_new: Bool[Array, ""], new: Any, old: Any) -> Any:
    """`new` where `take_new`, otherwise `old`, for every array of two equal pytrees.

    A select, not an arithmetic mix: a NaN in the branch that is not taken has no influence.
    """
    return jax.tree.map(lambda a, b: jnp.where(take_new, jnp.asarray(a, b.dtype), b), new, old)
