"""Settings of the optimiser and the choice of the inner loop among the optimisers of optax."""

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.tree_utils as otu

from ..schema import InputError


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How to search.

    The defaults suit about ten variables and an evaluation of some ten milliseconds: about 2200 evaluations. They were
    chosen with `benchmarks/optimizers.py` (25 local optima within 7 % of the best): the result was within 1 % of the
    best known one for 20 of 20 seeds, with half the polishes for 15, with half or twice the learning rate for 16 or 17.
    """

    optimizer: str = "adam"
    """Name of an optimiser in optax: adam, lbfgs, sgd, ..."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further arguments of that optimiser, e.g. {"b1": 0.8} for adam or {"memory_size": 5} for lbfgs."""

    starts: int = 32
    """Number of starts, spread over the box by a scrambled Sobol sequence; the baseline is the first of them."""

    steps: int = 60
    """Steps of the inner loop per start, shared evenly by the outer iterations (rounded up)."""

    outer_iterations: int = 6
    """Updates of the multipliers. One outer iteration is one compiled call; the state is saved after each."""

    learning_rate: float = 0.1
    """Initial step of the inner loop, in the angle that spans the box from -pi/2 to pi/2; decays to a twentieth along
    a half cosine. Not used by optimisers with a line search (lbfgs)."""

    penalty: float = 10.0
    """Initial weight of the quadratic penalty on violated constraints."""

    penalty_growth: float = 3.0
    """Factor on the penalty of a start whose constraints have not come closer to satisfaction by `penalty_progress`."""

    penalty_progress: float = 0.5
    """Ratio of the violation after and before an outer iteration below which the penalty is left as it is."""

    penalty_max: float = 1e4
    """Largest penalty."""

    feasibility_tolerance: float = 1e-4
    """A design is feasible if no (scaled) constraint is violated by more."""

    convergence_tolerance: float = 1e-4
    """A start has converged if during an outer iteration no variable moved by more than this part of its range and the
    gradient of the augmented Lagrangian ended below it."""

    polish_count: int = 12
    """Number of distinct candidates polished by sequential quadratic programming; 0 for none."""

    polish_steps: int = 40
    """Largest number of iterations of one polish."""

    polish_tolerance: float = 1e-10
    """A polish ends when the objective changes by less."""

    cluster_distance: float = 0.05
    """Two designs count as one local optimum if no variable differs by more than this part of its range."""

    batch: int = 8
    """Starts advanced together by one compiled call; the batches are shared by the cores."""

    seed: int = 0
    """Seed of the Sobol sequence."""

    def __post_init__(self) -> None:
        rules = {
            "starts": (1, math.inf),
            "steps": (1, math.inf),
            "outer_iterations": (1, math.inf),
            "polish_count": (0, math.inf),
            "polish_steps": (1, math.inf),
            "batch": (1, math.inf),
            "seed": (0, math.inf),
            "learning_rate": (1e-12, 10.0),
            "penalty": (1e-6, 1e12),
            "penalty_growth": (1.0, 1e6),
            "penalty_progress": (0.0, 1.0),
            "penalty_max": (self.penalty, 1e12),
            "feasibility_tolerance": (0.0, 1.0),
            "convergence_tolerance": (0.0, 1.0),
            "polish_tolerance": (1e-15, 1.0),
            "cluster_distance": (0.0, 1.0),
        }
        for name, (lower, upper) in rules.items():
            value = getattr(self, name)
            if not lower <= value <= upper:  # also False for nan
                allowed = f"at least {lower}" if upper == math.inf else f"between {lower} and {upper}"
                raise InputError(f"optimizer.{name} = {value} is not allowed: it must be {allowed}.")

    @property
    def inner_steps(self) -> int:
        """Steps of one outer iteration."""
        return -(-self.steps // self.outer_iterations)


def _factories() -> dict[str, Callable[..., Any]]:
    """Optimisers of optax: its functions with a learning rate and no other argument that must be given."""
    found = {}
    for name, function in vars(optax).items():
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters
        required = {p.name for p in parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
        if "learning_rate" in parameters and required <= {"learning_rate"}:
            found[name] = function
    return found


def build_optimizer(settings: OptimizerSettings) -> optax.GradientTransformationExtraArgs:
    """The optimiser of optax named by the settings.

    Raises `InputError` if optax has none of this name, if it does not take one of the options, or if it is random (a
    random optimiser would need its generator in the saved state).
    """
    factories, name = _factories(), settings.optimizer
    if name not in factories:
        near = difflib.get_close_matches(name, factories, n=3) or ["adam", "lbfgs", "sgd"]
        raise InputError(f"optimizer.optimizer = {name!r} is not an optimiser of optax; near are {', '.join(near)}.")
    parameters = inspect.signature(factories[name]).parameters
    unknown = set(settings.options) - set(parameters)
    if unknown:
        known = ", ".join(parameters)
        raise InputError(f"optimizer.options.{min(unknown)} is not an option of {name}; it has {known}.")
    if "key" in parameters:
        raise InputError(f"optimizer.optimizer = {name!r} draws random numbers; choose a deterministic one, e.g. adam.")
    options = dict(settings.options)
    if parameters["learning_rate"].default is inspect.Parameter.empty:  # else optax chooses, by a line search
        options.setdefault("learning_rate", optax.cosine_decay_schedule(settings.learning_rate, settings.steps, 0.05))
    try:
        return optax.with_extra_args_support(factories[name](**options))
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer.options = {options} are not accepted by {name}: {error}") from error


def remembers_curvature(optimizer: optax.GradientTransformationExtraArgs) -> bool:
    """Whether the optimiser models the function (L-BFGS) and so must start afresh when the multipliers change it."""
    state = jax.eval_shape(optimizer.init, jax.ShapeDtypeStruct((1,), jnp.float64))
    return otu.tree_get(state, "diff_params_memory") is not None
