"""Design variables: named, bounded, free, frozen or tied numbers of a configuration."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.design.grids import ascending
from invdesign.schema import InputError, find, quantity, setting

_UNIT = r"(nm|um2|cm|cm2|cm3|cm6|A|V|Vs|eV|W|K|s|Hz|ohm)"
_SUFFIX = re.compile(rf"(_{_UNIT}|_ohm_cm2)(_per_{_UNIT})?$")


class Variable(eqx.Module):
    """A design variable: one number of the configuration, free inside its bounds, frozen, or tied to another variable.

    In YAML the bounds carry the unit at the end of the path: `lower_nm` for a `thickness_nm`, `lower` for a fraction.
    """

    path: str = setting(doc="the number it stands for, e.g. device.layers.QDiP.thickness_nm")
    lower: Float[Array, ""] = quantity("1", doc="bound, with the unit of the number: lower_nm")
    upper: Float[Array, ""] = quantity("1", doc="bound, with the unit of the number: upper_nm")
    frozen: bool = setting(default=False, doc="keep it at its baseline value")
    tied_to: str | None = setting(default=None, doc="name of the variable whose change it follows in proportion")

    @classmethod
    def translate(cls, mapping: Mapping[str, Any]) -> dict[str, Any]:
        return plain_bounds(mapping)

    def spell(self, mapping: dict[str, Any]) -> dict[str, Any]:
        return bounds_with_unit(mapping, unit_of(self.path))

    def __check_init__(self) -> None:
        suffix = unit_of(self.path)
        ascending("lower" + suffix, self.lower, "upper" + suffix, self.upper)

    @property
    def unit_suffix(self) -> str:
        """`_nm`, `_V`, or nothing for a pure number."""
        return unit_of(self.path)

    @property
    def unit(self) -> str:
        """`nm`, `cm-3`, or `1` for a pure number."""
        return unit_name(self.path)


def plain_bounds(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping whose bounds carry the unit of its `path`, with the unit taken off. Raises `InputError` for others."""
    suffix = unit_of(mapping.get("path"))
    names = {"lower" + suffix: "lower", "upper" + suffix: "upper"}
    wrong = [key for key in mapping if key.startswith(("lower", "upper")) and key not in names]
    if wrong:
        raise InputError(f"{wrong[0]} is not a known key; the bounds are {' and '.join(names)}")
    missing = [key for key in names if key not in mapping]
    if missing and "path" in mapping:
        raise InputError(f"{missing[0]} is missing: it must be a finite number")
    return {names.get(key, key): value for key, value in mapping.items()}


def bounds_with_unit(mapping: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """The inverse of `plain_bounds`."""
    return {key + suffix if key in ("lower", "upper") else key: value for key, value in mapping.items()}


def free_names(numbers: Mapping[str, Any], order: Sequence[str]) -> tuple[str, ...]:
    """Those of the variables or parameters that are neither frozen nor tied."""
    return tuple(name for name in order if not numbers[name].frozen and numbers[name].tied_to is None)


def with_ties(
    numbers: Mapping[str, Any],
    order: Sequence[str],
    free: Mapping[str, Float[Array, ""]],
    start: Callable[[str], Float[Array, ""]],
) -> dict[str, Float[Array, ""]]:
    """All variables or parameters: free ones as given, tied ones in proportion to theirs, frozen ones at the start."""
    chosen = {}
    for name in order:
        target = numbers[name].tied_to
        if name in free:
            chosen[name] = free[name]
        elif target is not None and target in free:
            chosen[name] = start(name) * free[target] / start(target)
        else:
            chosen[name] = start(name)
    return chosen


def put_in(tree: Any, numbers: Mapping[str, Any], order: Sequence[str], values: Mapping[str, Float[Array, ""]]) -> Any:
    """The tree with these values at the paths of the variables or parameters."""
    return eqx.tree_at(
        lambda tree: [find(tree, numbers[name].path)[0] for name in order],
        tree,
        [jnp.asarray(values[name], jnp.float64) for name in order],
    )


def unit_of(path: Any) -> str:
    """The unit at the end of a key, with its underscore: `_nm` of `thickness_nm`; none for `volume_fraction`."""
    found = _SUFFIX.search(str(path).rpartition(".")[2])
    return found[0] if found else ""


def unit_name(path: Any) -> str:
    """The unit as it is written in results: `nm`, `cm2/Vs`, `ohm cm2`, `cm-3` of a density, `1` of a pure number."""
    name = unit_of(path).lstrip("_").replace("_per_", "/").replace("_", " ")
    return {"": "1", "cm3": "cm-3"}.get(name, name)
