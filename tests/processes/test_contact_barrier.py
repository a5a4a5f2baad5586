"""Emission of a metal over and through the barrier of a semiconductor, in a field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from invdesign.constants import ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, HBAR_J_S, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.processes.field_emission import BarrierTraps, ContactBarrier

KT_EV = 0.02585
HEIGHT_EV, MASS, PERMITTIVITY = 0.8, 0.2, 6.0


DEPTH_EV, EXTENT_CM, PER_SUPPLY = 0.3, 5e-7, 1e-2


def barrier(height=HEIGHT_EV, mass=MASS, permittivity=PERMITTIVITY, traps=None):
    return ContactBarrier(*(jnp.asarray(number, jnp.float64) for number in (height, mass, permittivity)), traps)


def with_traps(height=HEIGHT_EV, depth=DEPTH_EV, extent_cm=EXTENT_CM):
    return barrier(height, traps=BarrierTraps(*(jnp.asarray(n, jnp.float64) for n in (depth, extent_cm, PER_SUPPLY))))


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


def through_traps(field_V_per_cm):
    """The mean over places x of f c e/(c + e)/nu over exp(-phi/kT), every action integrated along its path."""
    wave = np.sqrt(2 * MASS * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S / 100

    def transmission(depth, length):
        """Through a barrier that is `depth` (V) at one end and falls with the field towards the other."""
        path = quad(lambda z: np.sqrt(max(depth - field_V_per_cm * z, 0.0)), 0, length, epsrel=1e-10)[0]
        return np.exp(-2 * wave * path)

    def supply(y):
        return np.exp(y) * transmission(y * KT_EV, y * KT_EV / field_V_per_cm)

    over = np.exp(-DEPTH_EV / KT_EV)
    out = over * (1 + quad(supply, 0, DEPTH_EV / KT_EV, limit=200)[0])

    def passed(x):
        level = HEIGHT_EV - DEPTH_EV - field_V_per_cm * x
        filled = 1 / (1 + np.exp(level / KT_EV))
        into = transmission(DEPTH_EV + field_V_per_cm * x, x)
        return filled * np.exp(HEIGHT_EV / KT_EV) * into * out / (into + out)

    return quad(passed, 0, EXTENT_CM, limit=200, epsrel=1e-10)[0] / EXTENT_CM


@pytest.mark.parametrize("field", [5e4, 3e5, 1e6])
def test_traps_in_the_barrier_pass_what_they_catch_and_release(field):
    """Traps 0.3 eV below the band in the first 5 nm of a barrier of 0.8 eV, by brute force from the formula.

    The floor of the field (1 kV/cm) takes up to 3 (1 kV/cm/F)^2 of tunnelling out of them (1e-3 at 50 kV/cm), the
    ceiling (F/3 MV/cm)^4/4 of the field times d ln/d ln F = 12 (4 % at 1 MV/cm): 2e-3, and 5 % there.
    """
    found = float(enhancement(field, with_traps()) - enhancement(field))
    np.testing.assert_allclose(found, PER_SUPPLY * through_traps(field), rtol=0.05 if field == 1e6 else 2e-3)


def test_traps_close_to_the_metal_emit_as_if_they_were_the_metal():
    """Traps 0.01 nm from the metal, 0.3 eV below the band of a barrier of 0.8 eV, no field: they are at equilibrium
    with it, f e = nu exp(-phi/kT), so that their share is nu N_t over the supply.

    1e-4: e/c, f and exp(-E/kT) differ by 1e-5 and 4e-9, the action of 0.01 nm is 0.03.
    """
    share = enhancement(0.0, with_traps(extent_cm=1e-9)) - enhancement(0.0)
    np.testing.assert_allclose(float(share), PER_SUPPLY, rtol=1e-4)


def test_traps_start_smoothly_and_survive_deep_barriers():
    """No slope where the field turns round, from either side; no nan at barriers of 3 eV and of 1 meV, whatever the
    sign of the field."""
    slope = jax.grad(enhancement)
    for field in (-1e5, 0.0, 1e-9):
        assert abs(float(slope(field, with_traps()))) < 1e-15
    for height in (1e-3, 3.0):
        for field in (-1e6, 0.0, 1e6):
            assert np.isfinite(float(enhancement(field, with_traps(height))))
            assert np.isfinite(float(slope(field, with_traps(height))))
