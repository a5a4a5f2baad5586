"""Fit parameters: named, bounded numbers of a tree of modules, on a linear or a logarithmic scale."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.design.grids import ascending
from invdesign.design.variables import (
    bounds_with_unit,
    free_names,
    plain_bounds,
    put_in,
    unit_name,
    unit_of,
    with_ties,
)
from invdesign.schema import InputError, find, quantity, setting


class Prior(eqx.Module):
    """What was known before: a normal distribution of the number, or of its logarithm if the parameter has `log`."""

    mean: Float[Array, ""] = quantity("1", doc="with the unit of the number: mean_nm")
    sigma: Float[Array, ""] = quantity("1", lower=0, open_lower=True, doc="of log10 (`sigma_decades`) if log is true")


class Parameter(eqx.Module):
    """One number that is fitted inside its bounds, frozen, or tied to another one.

    In YAML the bounds and the mean carry the unit at the end of the path, as those of design variables do; the prior's
    sigma too, but for a logarithmic parameter it is `sigma_decades`.
    """

    path: str = setting(doc="the number it stands for, e.g. device.layers.QDiP.material.dots.lifetime_s")
    lower: Float[Array, ""] = quantity("1", doc="bound, with the unit of the number: lower_nm")
    upper: Float[Array, ""] = quantity("1", doc="bound, with the unit of the number: upper_nm")
    frozen: bool = setting(default=False, doc="keep it at the device's value")
    tied_to: str | None = setting(default=None, doc="name of the parameter whose change it follows in proportion")
    log: bool = setting(default=False, doc="vary its logarithm; the bounds must be positive")
    prior: Prior | None = None

    @classmethod
    def translate(cls, mapping: Mapping[str, Any]) -> dict[str, Any]:
        suffix, renamed = unit_of(mapping.get("path")), plain_bounds(mapping)
        if isinstance(prior := renamed.get("prior"), Mapping):
            inside = _prior_names(suffix, mapping.get("log") is True)
            wrong = [key for key in prior if key not in inside]
            if wrong:
                raise InputError(f"prior.{wrong[0]} is not a known key; a prior has {' and '.join(inside)}")
            renamed["prior"] = {inside[key]: value for key, value in prior.items()}
        return renamed

    def spell(self, mapping: dict[str, Any]) -> dict[str, Any]:
        suffix = unit_of(self.path)
        if mapping["prior"] is not None:
            outside = {field: key for key, field in _prior_names(suffix, self.log).items()}
            mapping["prior"] = {outside[key]: value for key, value in mapping["prior"].items()}
        return bounds_with_unit(mapping, suffix)

    def __check_init__(self) -> None:
        suffix = self.unit_suffix
        ascending("lower" + suffix, self.lower, "upper" + suffix, self.upper)
        if self.log and float(self.lower) <= 0:
            raise InputError(f"lower{suffix}={float(self.lower):g}: must be positive where log is true")
        if self.log and self.prior is not None and float(self.prior.mean) <= 0:
            raise InputError(f"prior.mean{suffix}={float(self.prior.mean):g}: must be positive where log is true")

    @property
    def unit_suffix(self) -> str:
        """`_s`, `_V`, or nothing for a pure number."""
        return unit_of(self.path)

    @property
    def unit(self) -> str:
        """`s`, `cm-3`, or `1` for a pure number."""
        return unit_name(self.path)

    def value(self, z: Any) -> Any:
        """The number at a place in its box, 0 at the lower bound and 1 at the upper one."""
        if self.log:
            return self.lower * (self.upper / self.lower) ** z
        return self.lower + z * (self.upper - self.lower)

    def place(self, value: Any) -> Any:
        """The inverse of `value`."""
        if self.log:
            return jnp.log(value / self.lower) / jnp.log(self.upper / self.lower)
        return (value - self.lower) / (self.upper - self.lower)

    def prior_residual(self, z: Any) -> Any:
        """(z - mean)/sigma at a place in the box; only where there is a prior."""
        assert self.prior is not None
        span = jnp.log10(self.upper / self.lower) if self.log else self.upper - self.lower
        return (z - self.place(self.prior.mean)) * span / self.prior.sigma


def _prior_names(suffix: str, log: bool) -> dict[str, str]:
    return {"mean" + suffix: "mean", "sigma_decades" if log else "sigma" + suffix: "sigma"}


class Space(eqx.Module):
    """A tree of modules as a function of its free parameters, which span the unit box."""

    root: Any
    """What the paths start from."""
    parameters: dict[str, Parameter]
    order: tuple[str, ...] = eqx.field(static=True)
    """Names of the parameters; the order of a dictionary does not survive compilation."""
    also: tuple[tuple[str, str], ...] = eqx.field(static=True, default=())
    """Names of parameters and further paths that their numbers are put at."""

    @property
    def names(self) -> tuple[str, ...]:
        """Free parameters, in the order of `z`."""
        return free_names(self.parameters, self.order)

    def start(self, name: str) -> Float[Array, ""]:
        """The number that the tree itself has."""
        return find(self.root, self.parameters[name].path)[0]

    def values(self, z: Float[Array, " parameter"]) -> dict[str, Float[Array, ""]]:
        """All parameters at a point of the box: free, tied in proportion, frozen."""
        free = {name: self.parameters[name].value(z[place]) for place, name in enumerate(self.names)}
        return with_ties(self.parameters, self.order, free, self.start)

    def at(self, z: Float[Array, " parameter"]) -> Any:
        """The tree at a point of the box."""
        values = self.values(z)
        tree = put_in(self.root, self.parameters, self.order, values)
        if not self.also:
            return tree
        return eqx.tree_at(
            lambda tree: [find(tree, path)[0] for _, path in self.also],
            tree,
            [jnp.asarray(values[name], jnp.float64) for name, _ in self.also],
        )

    @property
    def baseline(self) -> Float[np.ndarray, " parameter"]:
        """The place of the tree itself, moved into the box."""
        return np.array([min(max(float(self.parameters[n].place(self.start(n))), 0.0), 1.0) for n in self.names])

    def prior_residuals(self, z: Float[Array, " parameter"]) -> Float[Array, " prior"]:
        """(z - mean)/sigma of every free parameter that has a prior."""
        known = [place for place, name in enumerate(self.names) if self.parameters[name].prior is not None]
        rows = [self.parameters[self.names[place]].prior_residual(z[place]) for place in known]
        return jnp.stack(rows) if rows else jnp.zeros(0)
