"""The search from one start: an optimiser of optax inside an augmented Lagrangian.

Constraints g >= 0 enter the function that the inner loop minimises through multipliers m and a penalty p,

    L(z) = -f(z) + sum_j (max(0, m_j - p g_j(z))^2 - m_j^2) / (2 p),

and after some steps of the inner loop m_j becomes max(0, m_j - p g_j): M. J. D. Powell (1969), R. T. Rockafellar,
J. Optim. Theory Appl. 12, 555 (1973), doi:10.1007/BF00934777; Nocedal and Wright, Numerical Optimization (2006),
section 17.4, doi:10.1007/978-0-387-40065-5.

The bounds are met by a smooth map, z = (1 + sin a) / 2 with a free angle a. Projection would do for Adam, but a line
search and the curvature pairs of L-BFGS need a smooth function of free variables; this map gives it to any optimiser
and never leaves the box. Unlike a logistic map it reaches the bounds at finite a, where an optimum at a bound is an
ordinary smooth minimum. Its price is that the wrong bound is a stationary (though unstable) point: starts therefore
begin a little inside.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optax.tree_utils as otu
from jaxtyping import Array, Float, Int, PyTree

from .problem import Evaluation, Problem, Record, empty_record, is_better, select
from .settings import OptimizerSettings, remembers_curvature

RUNNING, CONVERGED, FAILED = 0, 1, 2
_MULTIPLIER_MAX = 1e6  # without a feasible point the multipliers grow for ever


def to_box(angle: Float[Array, " variable"]) -> Float[Array, " variable"]:
    """From angles to the unit box."""
    return 0.5 * (1 + jnp.sin(angle))


def from_box(z: Float[Array, " variable"]) -> Float[Array, " variable"]:
    """From the unit box to angles between -pi/2 and pi/2."""
    return jnp.arcsin(2 * z - 1)


class Search(eqx.Module):
    """The state of the search from one start. Batches of starts carry one leading axis on every array."""

    angle: Float[Array, " variable"]
    optimizer: PyTree
    carry: PyTree
    multipliers: Float[Array, " constraint"]
    penalty: Float[Array, ""]
    violation: Float[Array, ""]  # at the last update of the multipliers
    gradient: Float[Array, ""]  # largest component of the last gradient of the augmented Lagrangian
    last: Record  # the last design evaluated
    best: Record  # the best feasible one, or the least violating one
    status: Int[Array, ""]
    evaluations: Int[Array, ""]


def begin(
    problem: Problem,
    optimizer: optax.GradientTransformationExtraArgs,
    settings: OptimizerSettings,
    z: Float[Array, " variable"],
) -> Search:
    """The state before the first step from `z`."""
    constraints = len(problem.constraint_names)
    angle, record = from_box(z), empty_record(z, constraints)
    return Search(
        angle=angle,
        optimizer=optimizer.init(angle),
        carry=jax.tree.map(jnp.asarray, problem.initial_carry()),
        multipliers=jnp.zeros(constraints),
        penalty=jnp.asarray(float(settings.penalty)),
        violation=jnp.asarray(jnp.inf),
        gradient=jnp.asarray(jnp.inf),
        last=record,
        best=record,
        status=jnp.asarray(RUNNING, jnp.int64),
        evaluations=jnp.asarray(0, jnp.int64),
    )


def _all_finite(*values: Any) -> Any:
    return jnp.stack([jnp.all(jnp.isfinite(value)) for value in values]).all()


@jax.custom_vjp
def _with_finite_gradient(x: Any) -> Any:
    """The identity; on the way back, what is not finite becomes 0."""
    return x


_with_finite_gradient.defvjp(
    lambda x: (x, None), lambda _, gradient: (jnp.where(jnp.isfinite(gradient), gradient, 0.0),)
)


def outer_iteration(
    problem: Problem, optimizer: optax.GradientTransformationExtraArgs, settings: OptimizerSettings
) -> Callable[[Search], Search]:
    """The function that takes one start through `settings.inner_steps` steps and one update of the multipliers.

    A start whose evaluation fails, or gives anything non-finite, keeps its last good state and the status `FAILED`.
    """

    def lagrangian(angle: Any, search: Search) -> tuple[Any, Evaluation]:
        evaluation = problem.evaluate(to_box(angle), search.carry)
        shifted = jnp.maximum(0.0, search.multipliers - search.penalty * evaluation.constraints)
        penalties = (shifted**2 - search.multipliers**2) / (2 * search.penalty)
        return jnp.sum(penalties) - evaluation.objective, evaluation

    def step(search: Search, _: None) -> tuple[Search, None]:
        (value, evaluation), gradient = jax.value_and_grad(lagrangian, has_aux=True)(search.angle, search)
        last = Record(to_box(search.angle), evaluation.objective, evaluation.constraints)
        good = evaluation.ok & _all_finite(value, gradient, last.objective, last.constraints)
        running = search.status == RUNNING
        # A start at rest sees a flat function: its line search ends at once and does not hold up the batch.
        moving = running & good
        value, gradient = jnp.where(moving, value, 0.0), jnp.where(moving, gradient, 0.0)

        def trial_value(angle: Any) -> Any:  # asked for by optimisers with a line search, which turns back at inf
            value, evaluation = lagrangian(_with_finite_gradient(angle), search)
            return jnp.where(moving, jnp.where(evaluation.ok & jnp.isfinite(value), value, jnp.inf), 0.0)

        with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and mixes it with float64
            updates, state = optimizer.update(
                gradient, search.optimizer, search.angle, value=value, grad=gradient, value_fn=trial_value
            )
        angle = optax.apply_updates(search.angle, updates)
        assert isinstance(angle, jax.Array)
        good = good & _all_finite(angle)
        new = Search(
            angle=angle,
            optimizer=state,
            carry=evaluation.carry,
            multipliers=search.multipliers,
            penalty=search.penalty,
            violation=search.violation,
            gradient=jnp.max(jnp.abs(gradient)),
            last=last,
            best=select(is_better(last, search.best, settings.feasibility_tolerance), last, search.best),
            status=search.status,
            evaluations=search.evaluations,
        )
        trials = otu.tree_get(state, "num_linesearch_steps", 0)
        return eqx.tree_at(
            lambda s: (s.status, s.evaluations),
            select(running & good, new, search),
            (
                jnp.where(running & ~good, FAILED, search.status),
                search.evaluations + jnp.where(running, 1 + trials, 0),
            ),
        ), None

    fresh = remembers_curvature(optimizer)

    def update(before: Search, search: Search) -> Search:
        constraints = search.last.constraints
        multipliers = jnp.clip(search.multipliers - search.penalty * constraints, 0.0, _MULTIPLIER_MAX)
        # How far each constraint is from being satisfied or, with a multiplier, from being met exactly.
        violation = jnp.max(jnp.abs(jnp.minimum(constraints, search.multipliers / search.penalty)), initial=0.0)
        too_slow = violation > jnp.maximum(settings.penalty_progress * search.violation, settings.feasibility_tolerance)
        penalty = jnp.where(too_slow, settings.penalty_growth * search.penalty, search.penalty)
        moved = jnp.max(jnp.abs(to_box(search.angle) - to_box(before.angle)))
        converged = (
            (moved <= settings.convergence_tolerance)
            & (search.gradient <= settings.convergence_tolerance)
            & (violation <= settings.feasibility_tolerance)
        )
        new = Search(
            angle=search.angle,
            optimizer=optimizer.init(search.angle) if fresh else search.optimizer,
            carry=search.carry,
            multipliers=multipliers,
            penalty=jnp.minimum(penalty, settings.penalty_max),
            violation=violation,
            gradient=search.gradient,
            last=search.last,
            best=search.best,
            status=jnp.where(converged, CONVERGED, search.status),
            evaluations=search.evaluations,
        )
        return select(search.status == RUNNING, new, search)

    def advance(search: Search) -> Search:
        after, _ = jax.lax.scan(step, search, length=settings.inner_steps)
        return update(search, after)

    return advance
