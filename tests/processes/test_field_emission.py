"""Escape from a dot by a field: the tunnelling integral and its limits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.constants import e, electron_mass, hbar
from scipy.integrate import quad
from scipy.optimize import brentq

from invdesign.processes.field_emission import (
    FIELD_CEILING_V_PER_CM,
    FIELD_FLOOR_V_PER_CM,
    BarrierEscape,
    NearField,
)

KT_EV = 0.025852


def escape(barrier_eV, mass, lever_arm_cm=2.2e-7, near=None):
    numbers = (jnp.asarray(number) for number in (barrier_eV, mass, lever_arm_cm, 1.0))
    return BarrierEscape(*numbers, None if near is None else NearField(*map(jnp.asarray, near)))


def beside_a_sphere(barrier_eV, mass, field, radius_cm, contrast):
    """Emission through the barrier, and the mean of exp(-qFz/kT) over where it lands, by adaptive quadrature."""
    field = strength(field)

    def fall(z):
        """eV, from the pole to z (cm)."""
        return field * (z + contrast * radius_cm * (1 - 1 / (1 + z / radius_cm) ** 2))

    def end(below):
        return brentq(lambda z: fall(z) - below, 0, 60 * below / field, xtol=1e-22)

    def action(below):
        z = end(below)
        rest = lambda t: np.sqrt(max(below - fall(z * (1 - t**2)), 0)) * 2 * t * z  # noqa: E731
        return 2 * np.sqrt(2 * mass * electron_mass * e) / (100 * hbar) * quad(rest, 0, 1, epsrel=1e-9)[0]

    def integral(by_landing):
        def integrand(r):
            below = barrier_eV * r**2
            lands = field * end(below) / KT_EV if by_landing else 0
            return np.exp(below / KT_EV - action(below) - lands) * 2 * r * barrier_eV / KT_EV

        reach = next(r for r in np.linspace(0.05, 1, 20) if r == 1 or integrand(r) < 1e-20)
        return quad(integrand, 0, reach, epsabs=0, epsrel=1e-8, limit=200)[0]

    return integral(False), integral(True)


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


@pytest.mark.parametrize("contrast", [-0.49, -0.296, 0.0, 0.99])
@pytest.mark.parametrize(("barrier_eV", "mass", "radius_cm"), [(0.2, 0.2, 2.16e-7), (0.4, 0.05, 1e-7)])
def test_the_integral_beside_a_sphere(barrier_eV, mass, radius_cm, contrast):
    """Barrier on the line through the pole of a sphere, a bubble (beta = -0.49) to a metal (0.99), 1 kV/cm to 3 MV/cm:
    the integral over energies, whose barriers end at a root of the potential, by adaptive quadrature; and where they
    land, exp(-qFz/kT) = its mean.

    2e-4: sixteen ends of the barrier with six points on the way (1.2e-4 at worst was found), 1e-3 of the ln of the
    landing place, a difference of two integrals.
    """
    barrier, kT = escape(barrier_eV, mass, near=(radius_cm, contrast)), jnp.asarray(KT_EV)
    for field in np.geomspace(1e3, 3e6, 6):
        through, back = beside_a_sphere(barrier_eV, mass, field, radius_cm, contrast)
        assert float(barrier.tunnelling(jnp.asarray(field), kT)) == pytest.approx(through, rel=2e-4)
        landing = np.log(through / back) * KT_EV / strength(field)
        assert float(barrier.landing_cm(jnp.asarray(field), kT)) == pytest.approx(landing, rel=1e-3)


def test_without_contrast_the_barrier_is_a_triangle():
    """beta = 0: the same ends and points as in a triangle. 1e-13: round-off. Even in the field, arrays of any shape."""
    fields, kT = jnp.geomspace(1.0, 1e7, 40).reshape(4, 2, 5), jnp.asarray(KT_EV)
    triangle, bent = escape(0.3, 0.1), escape(0.3, 0.1, near=(2e-7, 0.0))
    np.testing.assert_allclose(bent.tunnelling(fields, kT), triangle.tunnelling(fields, kT), rtol=1e-13)
    np.testing.assert_allclose(bent.landing_cm(fields, kT), triangle.landing_cm(fields, kT), rtol=1e-9)
    near = escape(0.3, 0.1, near=(2e-7, -0.3))
    np.testing.assert_array_equal(near.tunnelling(fields, kT), near.tunnelling(-fields, kT))


@pytest.mark.parametrize("field", [0.0, 1e3, 1e5, -1e6])
def test_derivatives_beside_a_sphere(field):
    """H by field, barrier, mass, radius, contrast and temperature at no, weak and strong field: forward = reverse =
    central differences, and so the curvature by the field, which small signals need.

    1e-5 of the function: the points move with the numbers, whose error of 1e-5 is not differentiated. At no field the
    faded function goes as F^(4/3), as that of a triangle: its curvature is taken as zero there.
    """

    def enhancement(x):
        scaled = [number * (1 + step) for number, step in zip((0.2, 0.2, 2e-7, -0.3, KT_EV), x[1:], strict=True)]
        barrier, mass, radius, contrast, kT = scaled
        numbers = (barrier, mass, jnp.asarray(2e-7), jnp.ones(()), NearField(radius, contrast))
        return jnp.log(BarrierEscape(*numbers).enhancement(field + x[0] * max(abs(field), 1e3), kT))

    zero, h = jnp.zeros(6), 1e-3
    run, slope = jax.jit(enhancement), jax.jit(jax.grad(enhancement))
    steps = jnp.eye(6) * h
    numeric = jnp.stack([8 * (run(s) - run(-s)) - (run(2 * s) - run(-2 * s)) for s in steps]) / (12 * h)
    scale = max(1.0, float(jnp.max(jnp.abs(numeric))))
    np.testing.assert_allclose(slope(zero), numeric, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(jax.jacfwd(enhancement)(zero), slope(zero), rtol=0, atol=1e-12 * scale)
    s = steps[0]
    curvature = (8 * (slope(s) - slope(-s)) - (slope(2 * s) - slope(-2 * s))) / (12 * h)
    found = jax.jacfwd(jax.grad(enhancement))(zero)[0]
    assert jnp.all(jnp.isfinite(found))
    if field != 0:
        np.testing.assert_allclose(found, curvature, rtol=0, atol=1e-4 * scale)
