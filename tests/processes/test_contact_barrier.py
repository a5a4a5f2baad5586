"""Emission of a metal over and through the barrier of a semiconductor, in a field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from invdesign.constants import ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, HBAR_J_S, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.processes.field_emission import ContactBarrier

KT_EV = 0.02585
HEIGHT_EV, MASS, PERMITTIVITY = 0.8, 0.2, 6.0


def barrier(height=HEIGHT_EV, mass=MASS, permittivity=PERMITTIVITY):
    return ContactBarrier(*(jnp.asarray(number, jnp.float64) for number in (height, mass, permittivity)))


def enhancement(pull, of=None):
    return (of or barrier()).enhancement(jnp.asarray(pull, jnp.float64), jnp.asarray(KT_EV))


def by_quadrature(field_V_per_cm):
    """H from the potential itself: V(x) = phi - F x - q/(16 pi eps x), the action between the turning points."""
    field, metre = field_V_per_cm * 100, VACUUM_PERMITTIVITY_F_PER_CM * 100
    image = ELEMENTARY_CHARGE_C / (16 * np.pi * PERMITTIVITY * metre)  # V m
    wave = np.sqrt(2 * MASS * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S
    lowering = 2 * np.sqrt(image * field)

    def transmission(depth):
        """At `depth` (V) below the top of the triangle."""
        root = np.sqrt(depth**2 - lowering**2)
        low, high = (depth - root) / (2 * field), (depth + root) / (2 * field)
        # x = low + (high - low) sin^2 a: smooth at both turning points
        width = high - low

        def action(a):
            x = low + width * np.sin(a) ** 2
            return np.sqrt(field / x) * (width * np.sin(a) * np.cos(a)) ** 2 * 2

        return np.exp(-2 * wave * quad(action, 0, np.pi / 2)[0])

    def supply(y):
        return np.exp(y) * transmission(y * KT_EV)

    top, bottom = lowering / KT_EV, HEIGHT_EV / KT_EV
    return np.exp(top) + quad(supply, top, bottom, limit=200, epsrel=1e-8)[0]


@pytest.mark.parametrize(("field", "allowance"), [(2e4, 0.02), (1e5, 0.02), (3e5, 0.02), (1e6, 0.10)])
def test_enhancement_is_that_of_the_rounded_barrier(field, allowance):
    """A metal 0.8 eV below the band, mass 0.2, permittivity 6: exp(d) + the integral of exp(y) T(y) with the WKB
    transmission of triangle and image force, integrated along the path.

    The closed form of the rounding is within 0.0033 of a factor of the exponent b y^1.5: 2 up to 0.3 MV/cm where the
    integrand is largest (1 %), 18 at 1 MV/cm (6 %). The floor takes 1.25 (1 kV/cm / F)^2 of the lowering (0.5 % at 20
    kV/cm), the ceiling (F/3 MV/cm)^4/4 of the field, times d ln H/d ln F = 14 at 1 MV/cm (4 %).
    """
    np.testing.assert_allclose(float(enhancement(field)), by_quadrature(field), rtol=allowance)


def test_the_barrier_falls_by_the_image_force():
    """dphi = sqrt(q F/(4 pi eps)): 49 mV at 0.1 MV/cm and permittivity 6; four times the field, twice the lowering.

    1e-3: the floor, 1.25e-4, and the ceiling on the lowering by the barrier's height, (49/800)^4/4.
    """
    lowering = [float(barrier().lowering(jnp.asarray(f), jnp.asarray(KT_EV))) * KT_EV for f in (1e5, 4e5)]
    expected = np.sqrt(ELEMENTARY_CHARGE_C * 1e5 / (4 * np.pi * PERMITTIVITY * VACUUM_PERMITTIVITY_F_PER_CM))
    np.testing.assert_allclose(lowering, [expected, 2 * expected], rtol=1e-3)


def test_a_field_that_pushes_back_does_nothing_and_the_start_is_smooth():
    """H = 1 without field and for the other sign, to the last bit; slope and curvature go to zero at zero field.

    1e-9 V/cm from zero they are what F^3 leaves of them."""
    assert float(enhancement(0.0)) == 1.0 == float(enhancement(-1e6))
    slope = jax.grad(enhancement)
    for field in (-1e5, 0.0, 1e-9):
        assert abs(float(slope(field))) < 1e-15 and abs(float(jax.grad(slope)(field))) < 1e-12


def test_a_metal_at_the_band_edge_has_nothing_to_lower():
    """A barrier of 1 meV in 1 MV/cm: H stays below exp(phi/kT) (1 + phi/kT), all of it transmitted; no nan."""
    flat = enhancement(1e6, barrier(height=1e-3))
    most = np.exp(1e-3 / KT_EV) * (1 + 1e-3 / KT_EV)
    assert 1 < float(flat) < most
