"""Quantities with units: one class is at once a node of the configuration and a physical object.

A field made with `quantity` carries its unit, its range, a sentence of documentation and a source. The same metadata
serve the configuration reader, `invdesign list parameters` and the optimiser's design variables.
"""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp


class InputError(ValueError):
    """The user's input is wrong. The message is one sentence: what, where, and what is allowed."""


def _scalar(value: Any) -> Any:
    """Python numbers become float64 JAX scalars, so that every quantity can be differentiated."""
    return jnp.asarray(value, jnp.float64) if isinstance(value, int | float) else value


def quantity(
    unit: str,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
    open_lower: bool = False,
    default: float | None = None,
    doc: str = "",
    source: str = "",
) -> Any:
    """A float field with a unit, an allowed range (`lower` excluded if `open_lower`), documentation and a source."""
    metadata = dict(unit=unit, lower=lower, upper=upper, open_lower=open_lower, doc=doc, source=source)
    extra = {} if default is None else {"default": default}
    return eqx.field(converter=_scalar, metadata=metadata, **extra)


def choice(*options: str, default: str | None = None, doc: str = "") -> Any:
    """A static text field that takes one of `options`."""
    extra = {} if default is None else {"default": default}
    return eqx.field(static=True, metadata=dict(options=options, doc=doc), **extra)
