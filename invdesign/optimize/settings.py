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

from ..schema import InputError, setting


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How to search.

    The defaults suit about ten variables and an evaluation of some ten milliseconds: about 2200 evaluations. They were
    chosen with `benchmarks/optimizers.py` (25 local optima within 7 % of the best): the result was within 1 % of the
    best known one for 20 of 20 seeds, with half the polishes for 15, with half or twice the learning rate for 16 or 17.
    """

    optimizer: str = setting(default="adam", doc="name of a deterministic optimiser in optax: adam, lbfgs, sgd, ...")
    options: dict[str, Any] = dataclasses.field(
        default_factory=dict,
        metadata=dict(doc="further arguments of it, e.g. {b1: 0.8} for adam or {memory_size: 5} for lbfgs"),
    )
    starts: int = setting(
        default=32, lower=1, doc="starts, spread over the box by a scrambled Sobol sequence; the first is the baseline"
    )
    steps: int = setting(
        default=60, lower=1, doc="inner steps per start, shared evenly by the outer iterations (rounded up)"
    )
    outer_iterations: int = setting(
        default=6, lower=1, doc="updates of the multipliers; each is one compiled call, after which the state is saved"
    )
    learning_rate: float = setting(
        default=0.1,
        lower=1e-12,
        upper=10,
        doc="first inner step, in rad of the angle that spans the box from -pi/2 to pi/2; decays to a twentieth along "
        "a half cosine; not used by optimisers with a line search (lbfgs)",
    )
    penalty: float = setting(
        default=10.0, lower=1e-6, upper=1e12, doc="first weight of the quadratic penalty on violated constraints"
    )
    penalty_growth: float = setting(
        default=3.0, lower=1, upper=1e6, doc="factor on the penalty of a start whose violation has not fallen enough"
    )
    penalty_progress: float = setting(
        default=0.5,
        lower=0,
        upper=1,
        doc="part to which an outer iteration must bring the violation to have done enough",
    )
    penalty_max: float = setting(default=1e4, lower=1e-6, upper=1e12, doc="largest penalty; not below the first one")
    feasibility_tolerance: float = setting(
        default=1e-4, lower=0, upper=1, doc="a design is feasible if no (scaled) constraint is violated by more"
    )
    convergence_tolerance: float = setting(
        default=1e-4,
        lower=0,
        upper=1,
        doc="a start is at rest if in an outer iteration no variable moved by more than this part of its range and the "
        "gradient of the augmented Lagrangian ended below it",
    )
    polish_count: int = setting(
        default=12, lower=0, doc="distinct candidates polished by sequential quadratic programming; 0 for none"
    )
    polish_steps: int = setting(default=40, lower=1, doc="largest number of iterations of one polish")
    polish_tolerance: float = setting(
        default=1e-10,
        lower=1e-15,
        upper=1,
        doc="a polish ends when the objective (log10 of the figure) changes by less",
    )
    cluster_distance: float = setting(
        default=0.05,
        lower=0,
        upper=1,
        doc="two designs are one local optimum if no variable differs by more than this part of its range",
    )
    batch: int = setting(
        default=8, lower=1, doc="starts advanced together by one compiled call; the batches are shared by the cores"
    )
    seed: int = setting(default=0, lower=0, doc="of the Sobol sequence")

    def __post_init__(self) -> None:
        """Settings made in Python are checked like those that are read."""
        for field in dataclasses.fields(self):
            value, lower = getattr(self, field.name), field.metadata.get("lower", -math.inf)
            if field.name == "penalty_max":
                lower = self.penalty
            upper = field.metadata.get("upper", math.inf)
            if isinstance(value, int | float) and not lower <= value <= upper:  # also for nan
                allowed = f">= {lower:g}" + (f" and <= {upper:g}" if upper < math.inf else "")
                raise InputError(f"optimizer.{field.name}={value:g}: must be {allowed}")

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
        raise InputError(f"optimizer.optimizer={name}: must be an optimiser of optax; near are {', '.join(near)}")
    parameters = inspect.signature(factories[name]).parameters
    unknown = set(settings.options) - set(parameters)
    if unknown:
        known = ", ".join(parameters)
        raise InputError(f"optimizer.options.{min(unknown)} is not an option of {name}; it has {known}")
    if "key" in parameters:
        raise InputError(f"optimizer.optimizer={name}: draws random numbers; choose a deterministic one, e.g. adam")
    options = dict(settings.options)
    if parameters["learning_rate"].default is inspect.Parameter.empty:  # else optax chooses, by a line search
        options.setdefault("learning_rate", optax.cosine_decay_schedule(settings.learning_rate, settings.steps, 0.05))
    try:
        return optax.with_extra_args_support(factories[name](**options))
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer.options={options}: not accepted by {name} ({error})") from error


def remembers_curvature(optimizer: optax.GradientTransformationExtraArgs) -> bool:
    """Whether the optimiser models the function (L-BFGS) and so must start afresh when the multipliers change it."""
    state = jax.eval_shape(optimizer.init, jax.ShapeDtypeStruct((1,), jnp.float64))
    return otu.tree_get(state, "diff_params_memory") is not None
