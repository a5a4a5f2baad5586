"""Every test runs in float64, with shapes and types checked at run time."""

import gc
import os
import pathlib

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


MOST_MAPS = 40_000
"""Memory maps of a process, of which Linux allows 65530 and every compiled program takes some."""


def _forget_compiled_programs():
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _forget_those_of_a_file():
    yield
    _forget_compiled_programs()


@pytest.fixture(autouse=True)
def _forget_when_there_are_many():
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        _forget_compiled_programs()
