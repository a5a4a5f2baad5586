"""Small-signal analysis multiplies complex by real numbers: promotion is the standard one here."""

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def _complex_times_real():
    with jax.numpy_dtype_promotion("standard"):
        yield
