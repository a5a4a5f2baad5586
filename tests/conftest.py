"""Every test runs in float64, with shapes and types checked at run time."""

import gc
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from jaxtyping import install_import_hook

# Only modules imported from here on are checked, so this comes before any import of invdesign.
install_import_hook("invdesign", "typechecker.check")

import jax
import pytest

import invdesign

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True)
def _float64():
    assert jax.config.jax_enable_x64, f"{invdesign.__name__} must switch float64 on"


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Each of them takes memory maps, of which Linux allows 65530 to a process: all tests together need more."""
    yield
    jax.clear_caches()
    gc.collect()
