"""invdesign: differentiable simulation and inverse design of quantum-dot photodetectors.

Importing this package is cheap: the public names below load their modules, and JAX with them, when they are first used.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# All numerics are float64. JAX reads the switch when it is imported, so that the command line can print its help
# without loading JAX; a JAX which is loaded already is told directly.
os.environ["JAX_ENABLE_X64"] = "1"
if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)

# Public name -> the module it lives in. The imports below are for type checkers and editors only.
_PUBLIC = {
    "InputError": "schema",
    "load_device": "config",
    "load_settings": "config",
}
if TYPE_CHECKING:
    from invdesign.config import load_device as load_device
    from invdesign.config import load_settings as load_settings
    from invdesign.schema import InputError as InputError


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"invdesign.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'invdesign' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
