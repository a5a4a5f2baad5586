"""Escape from a dot by a field: the tunnelling integral and its limits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.constants import e, electron_mass, hbar
from scipy.integrate import quad

from invdesign.processes.field_emission import (
    FIELD_CEILING_V_PER_CM,
    FIELD_FLOOR_V_PER_CM,
    BarrierEscape,
)

KT_EV = 0.025852


def escape(barrier_eV, mass, lever_arm_cm=2.2e-7):
    return BarrierEscape(jnp.asarray(barrier_eV), jnp.asarray(mass), jnp.asarray(lever_arm_cm), jnp.asarray(1.0))


def strength(field):
    """The field in the formula: limited at the ceiling, faded out below the floor."""
    limited = field / (1 + (field / FIELD_CEILING_V_PER_CM) ** 4) ** 0.25
    return limited**2 / np.hypot(limited, FIELD_FLOOR_V_PER_CM)


@pytest.mark.parametrize(("barrier_eV", "mass"), [*itertools.product((0.1, 0.2, 0.4, 0.6), (0.05, 0.2, 0.4))])
def test_the_integral_over_the_barrier(barrier_eV, mass):
    """A triangle of 0.1 to 0.6 eV, 1 kV/cm to 3 MV/cm: integral of exp(y - b y^1.5), against adaptive quadrature.

    5e-6: sixteen points on the part of the barrier where the integrand is not negligible (3e-6 at worst was found).
    """
    for field in np.geomspace(1e3, 3e6, 15):
        b = 4 / 3 * np.sqrt(2 * mass * electron_mass * e) * KT_EV**1.5 / (hbar * 100 * strength(field))
        top = min(barrier_eV / KT_EV, (60 / b) ** (2 / 3) + 1.5 / b**2)
        exact = quad(lambda y, b=b: np.exp(y - b * y**1.5), 0, top, epsabs=0, epsrel=1e-10, limit=500)[0]
        found = escape(barrier_eV, mass).tunnelling(jnp.asarray(field), jnp.asarray(KT_EV))
        np.testing.assert_allclose(float(found), exact, rtol=5e-6)


def test_no_field_no_tunnelling():
    """At F = 0 the rate is thermionic alone, and the slope of an even, faded function is zero."""
    kT = jnp.asarray(KT_EV)
    barrier = escape(0.2, 0.2)
    value, slope = jax.value_and_grad(lambda field: barrier.enhancement(field, kT))(jnp.asarray(0.0))
    assert float(value) == 1.0
    assert float(slope) == 0.0


def test_the_sign_of_the_field_does_not_matter():
    fields = jnp.geomspace(1.0, 1e6, 13)
    barrier = escape(0.3, 0.1)
    plus, minus = (barrier.enhancement(sign * fields, jnp.asarray(KT_EV)) for sign in (1, -1))
    np.testing.assert_array_equal(plus, minus)
    assert np.all(np.diff(np.asarray(plus)) > 0)
