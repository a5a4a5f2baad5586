"""Hops along an edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invdesign.processes.transport import hop


def bernoulli(x):
    return x / np.expm1(x) if x else 1.0


@pytest.mark.parametrize("drop", [-30.0, -1.0, -1e-3, 0.0, 1e-9, 0.04, 0.06, 5.0])
@pytest.mark.parametrize("log_ratio", [-8.0, 0.0, 3.0])
def test_the_flux_is_that_of_scharfetter_and_gummel(drop, log_ratio):
    """One edge, potential energy `drop` kT downhill, densities n and n exp(log_ratio): flux D/h (n_L B(-d) - n_R B(d)).

    1e-12 of the larger term: the textbook form subtracts, ours does not.
    """
    left = 20.0
    right = left + log_ratio
    flow = hop(jnp.asarray(3.0), jnp.asarray(left), jnp.asarray(right), jnp.asarray(drop - log_ratio))
    terms = np.exp(left) * bernoulli(-drop), np.exp(right) * bernoulli(drop)
    assert abs(float(flow.net) - 3.0 * (terms[0] - terms[1])) <= 3e-12 * max(terms)


def test_diffusion_noise_does_not_depend_on_the_mesh():
    """A resistor at 10 kT/q in 100 and in 1000 edges: the sum of S/N^2 is the same. 0.1 %: 0.1 kT per edge."""

    def total(edges):
        one = hop(jnp.asarray(float(edges)), jnp.asarray(0.0), jnp.asarray(0.0), jnp.asarray(10.0 / edges))
        return float(one.noise) / edges

    np.testing.assert_allclose(total(100), total(1000), rtol=1e-3)


@pytest.mark.parametrize("x", [0.0, 1e-8, 0.0999, 0.1001, 2.0])
def test_derivatives_near_zero_potential(x):
    """d(flux)/d(drop) against central differences, about where x/sinh(x) switches to its series. 1e-8: their error."""

    def flux(drop):
        return hop(jnp.asarray(1.0), jnp.asarray(1.0), jnp.asarray(2.0), drop).net

    h = 1e-5
    numeric = (flux(jnp.asarray(x + h)) - flux(jnp.asarray(x - h))) / (2 * h)
    np.testing.assert_allclose(float(jax.grad(flux)(jnp.asarray(x))), float(numeric), rtol=1e-8)
