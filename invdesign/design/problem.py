"""The optimisation problem of a device: from a point in the unit box to an objective and constraint slacks."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.analyses.readout import Noiseless, Readout
from invdesign.design.constraints import Constraints
from invdesign.design.objectives import Objective
from invdesign.design.variables import Variable, free_names, put_in, with_ties
from invdesign.device.device import Device
from invdesign.figures.registry import Characterisation, characterise
from invdesign.optimize.problem import Evaluation
from invdesign.schema import find
from invdesign.solve.newton import State


class Configuration(eqx.Module):
    """What the paths of design variables start from."""

    device: Device
    reverse_bias_V: Float[Array, ""]


class DesignProblem(eqx.Module):
    """Maximise an objective over the free variables of a device under constraints."""

    baseline: Configuration
    objective: Objective
    constraints: Constraints
    variables: dict[str, Variable]
    load_ohm: Float[Array, ""]
    order: tuple[str, ...] = eqx.field(static=True)
    """Names of the variables; the order of a dictionary does not survive compilation."""
    readout: Readout = Noiseless()
    warm: State | None = None
    """A solution to start from, e.g. that of the baseline."""

    @property
    def names(self) -> tuple[str, ...]:
        """Free variables, in the order of `z`."""
        return free_names(self.variables, self.order)

    @property
    def constraint_names(self) -> tuple[str, ...]:
        return self.constraints.names(self.baseline.device)

    def value(self, name: str) -> Float[Array, ""]:
        """The baseline value of a variable."""
        return find(self.baseline, self.variables[name].path)[0]

    def point(self, values: Mapping[str, Any]) -> Float[np.ndarray, " variable"]:
        """The point of the unit box with these values of the free variables, moved into the box."""
        spans = [(self.variables[n].lower, self.variables[n].upper) for n in self.names]
        z = [
            (float(values[n]) - float(a)) / max(float(b) - float(a), 1e-300)
            for n, (a, b) in zip(self.names, spans, strict=True)
        ]
        return np.clip(np.asarray(z, float), 0.0, 1.0)

    def values(self, z: Float[Array, " variable"]) -> dict[str, Float[Array, ""]]:
        """All variables at a point: free ones inside their bounds, tied ones in proportion, frozen ones unchanged."""
        free = {
            name: self.variables[name].lower + z[i] * (self.variables[name].upper - self.variables[name].lower)
            for i, name in enumerate(self.names)
        }
        return with_ties(self.variables, self.order, free, self.value)

    def configuration(self, values: dict[str, Float[Array, ""]]) -> Configuration:
        """The baseline with these values put in."""
        return put_in(self.baseline, self.variables, self.order, values)

    def characterise(self, configuration: Configuration, warm: State | None = None) -> Characterisation:
        """Simulate one configuration."""
        return characterise(
            configuration.device,
            configuration.reverse_bias_V,
            self.objective.wavelengths_nm,
            self.objective.frequency_Hz,
            self.load_ohm,
            warm,
            self.readout,
        )

    def initial_carry(self) -> State | None:
        return self.warm

    def evaluate(self, z: Float[Array, " variable"], carry: State | None) -> Evaluation:
        """Objective and slacks of one design, warm-started from a neighbour's solution."""
        c = self.characterise(self.configuration(self.values(z)), carry)
        limits = self.constraints.limits(c)
        slacks = jnp.stack([limit.slack for limit in limits]) if limits else jnp.zeros(0)
        ok = c.point.converged & ~jnp.any(jnp.isnan(slacks))  # nan: a dark current that was not found
        if carry is not None:
            state = jax.lax.stop_gradient(c.point.state)
            carry = jax.tree.map(lambda new, old: jnp.where(ok, new, old), state, carry)
        return Evaluation(self.objective.value(c), slacks, ok, carry)
