"""The dots and the host of a file's `film`."""

import jax.numpy as jnp
import pytest
from exact_machines import KT


@pytest.fixture(scope="module")
def dots(film):
    return film.ensemble(jnp.asarray(KT))


@pytest.fixture(scope="module")
def host(film):
    return film.host.bulk(jnp.asarray(KT))
