"""invdesign: differentiable simulation and inverse design of quantum-dot photodetectors.

Importing this package is cheap: the public names below load their modules, and JAX with them, when they are first used.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import jaxlib.version

__version__ = "0.1.0"

# All numerics are float64. JAX reads the switch when it is imported, so that the command line can print its help
# without loading JAX; a JAX which is loaded already is told directly.
os.environ["JAX_ENABLE_X64"] = "1"
if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)


def _tell_xla() -> None:
    """Have XLA compile in less time (docs/measurements.md); flags that are set already stay as they are.

    Moving what does not change out of loops takes its time and gains nothing here, moving reshapes only keeps the
    simplifications going to their limit of 25 rounds, and the newer of two code generators takes longer for the same
    speed. XLA reads the flags when it compiles first, and dies of one that it does not know: there is no choice of
    generators any more in jaxlib 0.12.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if flags and not flags.startswith("-"):
        return  # the name of a file that has them
    wanted = ["--xla_disable_hlo_passes=while-loop-invariant-code-motion,reshape-mover"]
    if [int(part) for part in jaxlib.version.__version__.split(".")[:2]] <= [0, 10]:
        wanted.append("--xla_cpu_use_fusion_emitters=false")
    added = [flag for flag in wanted if flag.split("=")[0] not in flags]
    os.environ["XLA_FLAGS"] = " ".join([flags, *added]).strip()


_tell_xla()

# Public name -> the module it lives in. The imports below are for type checkers and editors only.
_PUBLIC = {
    "InputError": "schema",
    "characterise": "figures.registry",
    "evaluate_figures": "figures.registry",
    "light_pulse": "analyses.transient",
    "load_device": "config",
    "load_settings": "config",
    "noise": "analyses.noise",
    "operate": "analyses.operating_point",
    "small_signal": "analyses.small_signal",
    "sweep": "analyses.operating_point",
    "transient_absorption": "analyses.transient",
}
if TYPE_CHECKING:
    from invdesign.analyses.noise import noise as noise
    from invdesign.analyses.operating_point import operate as operate, sweep as sweep
    from invdesign.analyses.small_signal import small_signal as small_signal
    from invdesign.analyses.transient import light_pulse as light_pulse, transient_absorption as transient_absorption
    from invdesign.config import load_device as load_device, load_settings as load_settings
    from invdesign.figures.registry import characterise as characterise, evaluate_figures as evaluate_figures
    from invdesign.schema import InputError as InputError


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"invdesign.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'invdesign' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
