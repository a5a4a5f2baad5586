"""Functions that compile themselves."""

from collections.abc import Callable
from typing import TypeVar, cast

import jax

Function = TypeVar("Function", bound=Callable)


def compiled(function: Function) -> Function:
    """`jax.jit` with the signature of the function, which type checkers and editors lose otherwise."""
    return cast(Function, jax.jit(function))
