"""Escape of a carrier over and through a barrier, as a function of the field: from a dot, or from a metal.

Local form of the dots: the enhancement multiplies emission AND capture at the same node, so that detailed balance
holds exactly. In the nonlocal form a carrier that tunnels lands where the barrier ends, and the reverse rate uses the
quasi-Fermi level there.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.constants import (
    CM_PER_NM,
    ELECTRON_MASS_KG,
    ELEMENTARY_CHARGE_C,
    HBAR_J_S,
    VACUUM_PERMITTIVITY_F_PER_CM,
)

_QUADRATURE = tuple(map(tuple, np.polynomial.legendre.leggauss(16)))
_FINE_QUADRATURE = tuple(map(tuple, np.polynomial.legendre.leggauss(48)))
_HALF = tuple(tuple(column[6:]) for column in np.polynomial.legendre.leggauss(12))
"""The positive half of twelve points: for an even function."""
NEGLIGIBLE = 36.0
"""The integral over the barrier ends where its integrand has fallen to exp(-36)."""

NEWTON_STEPS = 6
"""To the end of a bent barrier; its derivatives follow through them."""

FIELD_FLOOR_V_PER_CM = 1e3
"""Below this field tunnelling is faded out as F^2: H - 1 ~ F^(2/3) would have an infinite slope at F = 0."""

FIELD_CEILING_V_PER_CM = 3e6
"""Towards this field the enhancement saturates: the barrier is then thinner than a lattice constant, and no formula
holds."""


def decay_per_cm(barrier_eV: Float[Array, "..."], mass: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of a wave function within a barrier, sqrt(2 m phi)/hbar, 1/cm; `mass` in m0."""
    return jnp.sqrt(2 * mass * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C * barrier_eV) / HBAR_J_S / 100


def _limited(field: Float[Array, "..."]) -> Float[Array, "..."]:
    """The field, saturating at the ceiling; 3e-5 off at 0.3 MV/cm."""
    squared = (field / FIELD_CEILING_V_PER_CM) ** 2
    return field / jnp.sqrt(jnp.sqrt(1 + squared**2))


def _strength(field: Float[Array, "..."]) -> Float[Array, "..."]:
    """The field that tunnelling sees, between its floor and its ceiling."""
    squared = _limited(field) ** 2
    return squared / jnp.sqrt(squared + FIELD_FLOOR_V_PER_CM**2)


def _from_rest(field: Float[Array, "..."]) -> Float[Array, "..."]:
    """A factor F^2 at weak fields, for what shall have no infinite curvature where the field turns round; else 1."""
    return field**2 / (field**2 + FIELD_FLOOR_V_PER_CM**2)


def _columns(quadrature: tuple[tuple[float, ...], ...], below: int) -> tuple[np.ndarray, ...]:
    """Points and weights along a new first axis, in front of as many others."""
    return tuple(np.reshape(column, (-1, *(1,) * below)) for column in quadrature)


def _steepness(mass: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
    """b F in V/cm, of the exponent b y^1.5 of a triangle: (2 m q)^0.5 (kT)^1.5/hbar is a field in V/m."""
    return 4 / 3 * jnp.sqrt(2 * mass * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S * kT**1.5 / 100


def _end(depth: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """Just beyond the s at which b s^3 - depth s^2 = NEGLIGIBLE; 1, the bottom of the barrier, at most.

    Where it ends does not matter, so that no derivative has to go through the points.
    """
    return jax.lax.stop_gradient(jnp.minimum(depth / b + (NEGLIGIBLE / b) ** (1 / 3), 1.0))


def through_triangle(
    barrier: Float[Array, "..."],
    mass: Float[Array, "..."],
    field: Float[Array, "..."],
    kT: Float[Array, ""],
    lowering: Float[Array, "..."] | None = None,
    tilt: float = 1.0,
) -> Float[Array, "..."]:
    """Emission through a triangular barrier (eV) in a field (V/cm), relative to thermionic emission at zero field.

    With a `lowering` (over kT) the image force rounds the triangle off: only carriers below the lowered top tunnel,
    and the exponent b y^1.5 of their transmission gets the factor v(lowering/y) of Murphy and Good. With a `tilt` the
    energies are weighted with exp(tilt y).
    """
    strength = _strength(field)
    b_times_field = _steepness(mass, kT)
    depth = barrier / kT if lowering is None else barrier / kT - lowering
    # y = depth s^2 clusters points near the top of the barrier, where the integrand exp(depth s^2 - b s^3) lives at
    # low field; they end where it has died, also where the top is rounded
    nodes, weights = _columns(_QUADRATURE, max(jnp.ndim(field), jnp.ndim(depth)))
    tunnels = strength > 0
    b = b_times_field * depth * jnp.sqrt(depth) / jnp.where(tunnels, strength, 1.0)
    end = _end(depth, b)
    s = end * (nodes + 1) / 2
    if lowering is None:
        exponent = tilt * depth * s**2 - b * s**3
    else:
        y = lowering + depth * s**2
        exponent = tilt * y - b * (y / depth) * jnp.sqrt(y / depth) * _rounding(lowering / y)
    integrand = jnp.exp(exponent) * (s * weights)
    return jnp.where(tunnels, depth * end * jnp.sum(integrand, axis=0), 0.0)


def _rounding(w: Float[Array, "..."]) -> Float[Array, "..."]:
    """v(w) = 1 - w^2 + (w^2/3) ln w, an elliptic integral within 0.0033 (Forbes 2006, DOI 10.1063/1.2354582)."""
    return 1 - w**2 * (1 - jnp.log(jnp.maximum(w, 1e-30)) / 3)


class NearField(eqx.Module):
    """The field beside a dielectric sphere on the line through its pole, F (1 + 2 beta/(1 + z/a)^3) at z from the pole.

    F is the far field; the second term is that of the sphere's dipole (Stratton, Electromagnetic Theory, 1941, section
    3.24). From pole to z the potential falls by F (z + beta a (1 - 1/(1 + z/a)^2)).
    """

    radius_cm: Float[Array, "..."]
    """a."""
    contrast: Float[Array, "..."]
    """beta = (eps_dot - eps_host)/(eps_dot + 2 eps_host), between -1/2 and 1."""


def through_near_field(
    barrier: Float[Array, "..."],
    mass: Float[Array, "..."],
    field: Float[Array, "..."],
    kT: Float[Array, ""],
    near: NearField,
    tilt: float = 1.0,
) -> Float[Array, "..."]:
    """As `through_triangle`, with the barrier that a far field (V/cm) leaves on the line through the pole of a sphere.

    With w = q F z/kT, v = 1/(1 + z/a) and z the end of the barrier for a carrier y kT below its top,

        y(w) = w (1 + beta v (1 + v)),   exponent = b w^1.5 A(w),   b as in a triangle without dipole,

    A the mean of sqrt(1 + beta v v' (v + v')) over the way, with the weight sqrt(z - z') that a triangle has: what the
    band falls between z' and z. The integral over energies is one over end points, exp(y - b w^1.5 A) dy/dw dw. A
    `tilt` below 1 weights carriers with exp((tilt - 1) w), by where they arrive.
    """
    strength = _strength(field)
    tunnels = strength > 0
    safe = jnp.where(tunnels, strength, 1.0)
    a, beta, depth = jnp.broadcast_arrays(near.radius_cm * safe / kT, near.contrast, barrier / kT)

    def falls(w: Array) -> tuple[Array, Array]:
        """y/w and dy/dw."""
        v = a / (a + w)
        return 1 + beta * v * (1 + v), 1 + 2 * beta * v**3

    def mean_root(w: Array) -> Array:
        """A; with z' = z (1 - t^2) the root of the distance to the end is smooth in t."""
        t, weights = _columns(_HALF, w.ndim)
        v, before = a / (a + w), a / (a + w * (1 - t**2))
        return 3 * jnp.sum(weights * t**2 * jnp.sqrt(1 + beta * v * before * (v + before)), axis=0)

    bottom = depth
    for _ in range(NEWTON_STEPS):
        share, slope = falls(bottom)
        bottom = bottom - (bottom * share - depth) / slope
    b = _steepness(mass, kT) * bottom * jnp.sqrt(bottom) / safe
    end = _end(bottom, b)
    for _ in range(2):
        end = _end(bottom * falls(bottom * end**2)[0], b * mean_root(bottom * end**2))
    nodes, weights = _columns(_QUADRATURE, bottom.ndim)
    s = end * (nodes + 1) / 2
    w = bottom * s**2
    share, slope = falls(w)
    integrand = jnp.exp((share + tilt - 1) * w - b * s**3 * mean_root(w)) * slope * (s * weights)
    return jnp.where(tunnels, bottom * end * jnp.sum(integrand, axis=0), 0.0)


class BarrierEscape(eqx.Module):
    """Thermionic emission lowered by the field's lever arm across the dot, plus thermally assisted tunnelling.

    The tunnelling term is `integral_0^{phi/kT} exp(y - b y^1.5) dy` with `b = (4/3) sqrt(2 m) (kT)^1.5 / (hbar q F)`:
    its upper
    end, the bottom of the barrier, is Fowler-Nordheim emission, which therefore is not added again. Triangular
    barrier, WKB
    (Vincent, Chantre and Bois 1979, DOI 10.1063/1.326601).
    """

    barrier: Float[Array, "..."]
    """phi, eV."""
    mass: Float[Array, "..."]
    """Tunnelling mass over the electron mass."""
    lever_arm_cm: Float[Array, "..."]
    """Dot radius times the ratio of the field in the dot to the mean field; z = q F lever/kT."""
    field_ratio: Float[Array, "..."]
    """Field in the barrier, far from the dot where its near field counts, over the mean field of Poisson's equation."""
    near: NearField | None = None
    """What the dot adds to it; None: nothing, a triangle."""

    def in_field(self, factor: Float[Array, ""]) -> "BarrierEscape":
        """Where the field in dot and barrier is stronger by a factor."""
        ratios = (factor * self.lever_arm_cm, factor * self.field_ratio)
        return eqx.tree_at(lambda escape: (escape.lever_arm_cm, escape.field_ratio), self, ratios)

    def thermionic(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Emission over the barrier relative to zero field: exp(q F lever cos(theta)/kT) averaged over the sphere."""
        z2 = (self.lever_arm_cm * _limited(field) / kT) ** 2
        near = z2 < 1e-2
        z = jnp.sqrt(jnp.where(near, 1.0, z2))
        return jnp.where(near, 1 + z2 / 6 * (1 + z2 / 20 * (1 + z2 / 42)), jnp.sinh(z) / z)

    def tunnelling(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Emission through the barrier relative to thermionic emission at zero field."""
        return self._through(field * self.field_ratio, kT)

    def _through(self, field: Float[Array, "..."], kT: Float[Array, ""], tilt: float = 1.0) -> Float[Array, "..."]:
        if self.near is None:
            return through_triangle(self.barrier, self.mass, field, kT, tilt=tilt)
        return through_near_field(self.barrier, self.mass, field, kT, self.near, tilt)

    def landing_cm(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """How far from the dot carriers that tunnel arrive.

        One that starts y kT below the top of a triangular barrier arrives at z = y kT/qF, the end of the barrier;
        phi/qF if it starts at the bottom. All arrive at one place here: where a quasi-Fermi level that falls with the
        band (a current of drift) lets as many return as the sum over energies does, exp(-qFz/kT) = mean of exp(-y). In
        the near field barriers end elsewhere, and the band falls with the far field F: the mean is of exp(-qFz_e/kT),
        z_e their ends.
        """
        in_barrier = field * self.field_ratio
        strength = _strength(in_barrier)
        safe = jnp.where(strength > 0, in_barrier, 1.0)
        there, back = (self._through(safe, kT, tilt) for tilt in (1.0, 0.0))
        return jnp.where(strength > 0, jnp.log(there / back) * kT / _strength(safe), 0.0)

    def enhancement(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Total rate relative to thermionic emission at zero field."""
        return self.thermionic(field, kT) + self.tunnelling(field, kT)


def lever_arm(diameter_nm: Float[Array, ""], field_ratio: Float[Array, ""]) -> Float[Array, ""]:
    """Half the dot, in cm, times the field in it over the mean field."""
    return 0.5 * diameter_nm * CM_PER_NM * field_ratio


class BarrierTraps(eqx.Module):
    """Traps in the barrier of a metal: carriers tunnel into them and leave them for the band.

    At x from the metal a trap lies phi_t below the band, E = phi - phi_t - qFx above the metal's Fermi level. The metal
    fills it through the barrier in front of it, at c = nu f(E) exp(-2 S(x)) with Fermi's f and the action S =
    sqrt(2m)/hbar int_0^x sqrt(phi_t + qF(x - x')) dx'; it empties into the band over and through what is left, at e =
    nu exp(-phi_t/kT) H_t(F), H_t that of a triangle of phi_t. The metal also takes back, so that a trap passes
    f c e/(c + e), c without f (two-step tunnelling: Fleischer, Lai and Cheng, J. Appl. Phys. 72, 5711, 1992). The
    charge of the traps is left out.
    """

    depth: Float[Array, "..."]
    """phi_t, eV."""
    extent_cm: Float[Array, "..."]
    """There are traps from the metal up to here."""
    jumps_per_supply: Float[Array, "..."]
    """nu times the traps per area, over the metal's emission if there were no barrier."""

    def share(
        self, barrier: Float[Array, ""], mass: Float[Array, ""], field: Float[Array, ""], kT: Float[Array, ""]
    ) -> Float[Array, ""]:
        """What passes through the traps over thermionic emission at zero field; `field` (V/cm) is not negative."""
        nodes, weights = (np.asarray(column) for column in _FINE_QUADRATURE)
        x = self.extent_cm * (nodes + 1) / 2
        drop = _strength(field) * x
        wave = decay_per_cm(jnp.ones(()), mass)
        near, far = jnp.sqrt(self.depth), jnp.sqrt(self.depth + drop)
        action = wave * x * 2 / 3 * (far**2 + far * near + near**2) / (far + near)
        through = through_triangle(self.depth, mass, field, kT) * _from_rest(field)
        log_in, log_out = -2 * action, jnp.log1p(through) - self.depth / kT
        above = (barrier - self.depth - drop) / kT
        log_filled = barrier / kT - jnp.logaddexp(0.0, above)  # f over exp(-phi/kT)
        passed = jnp.exp(log_filled + log_in + log_out - jnp.logaddexp(log_in, log_out))
        return self.jumps_per_supply * jnp.sum(passed * weights) / 2


class FowlerNordheim(eqx.Module):
    """Carriers that a field pulls through a barrier, A F^2 exp(-B/F) (1928, DOI 10.1098/rspa.1928.0091)."""

    prefactor: Float[Array, ""]
    """A, 1/(s V^2)."""
    critical_field: Float[Array, ""]
    """B, V/cm."""

    def rate(self, pull: Float[Array, ""]) -> Float[Array, ""]:
        """Carriers per cm^2 and second; none where the field (V/cm) is not positive."""
        pulled = pull > 0
        field = jnp.where(pulled, pull, 1.0)
        return jnp.where(pulled, self.prefactor * field**2 * jnp.exp(-self.critical_field / field), 0.0)


class ContactBarrier(eqx.Module):
    """Emission of a carrier from a metal over and through the barrier to a semiconductor.

    The image charge lowers the barrier by dphi = sqrt(q F/(4 pi eps)) where the field F pulls the carrier out of the
    metal (Schottky effect; Crowell and Sze 1966, DOI 10.1016/0038-1101(66)90127-4), and the carrier tunnels through
    what is left of the triangle. Relative to thermionic emission at zero field the rate is

        H(F) = exp(d) + integral_d^{phi/kT} exp(y - b y^1.5 v(d/y)) dy,   d = dphi/kT,

    with b as in `BarrierEscape` and v(w) the factor by which the image force shortens the path at the depth d/w below
    the top of the triangle: thermionic, thermionic-field and field emission in one integral (Murphy and Good 1956, DOI
    10.1103/PhysRev.102.1464; Padovani and Stratton 1966, DOI 10.1016/0038-1101(66)90097-9). The top of the barrier
    stands at the same quasi-Fermi level as the semiconductor behind it: what raises the rate out of the metal raises
    the rate into it.
    """

    barrier: Float[Array, "..."]
    """phi, eV."""
    mass: Float[Array, "..."]
    """Tunnelling mass over the electron mass."""
    permittivity: Float[Array, "..."]
    """Relative permittivity that the image charge sees."""
    traps: BarrierTraps | None = None
    """A way besides, added to H."""

    def lowering(self, pull: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """dphi/kT; never more than the barrier, and faded out as F^3 below 1 kV/cm, where its slope is infinite."""
        field = _limited(jnp.maximum(pull, 0.0))
        root = field**3 / (field**2 + FIELD_FLOOR_V_PER_CM**2) ** 1.25
        charge = ELEMENTARY_CHARGE_C / (4 * jnp.pi * VACUUM_PERMITTIVITY_F_PER_CM * self.permittivity)
        free, most = jnp.sqrt(charge) * root / kT, self.barrier / kT
        return free * most / jnp.sqrt(jnp.sqrt(free**4 + most**4))

    def enhancement(self, pull: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Rates across the barrier relative to zero field; `pull` (V/cm) is positive where it takes carriers out of
        the metal."""
        lowering, field = self.lowering(pull, kT), jnp.maximum(pull, 0.0)
        through = through_triangle(self.barrier, self.mass, field, kT, lowering)
        straight = jnp.exp(lowering) + through * _from_rest(field)
        if self.traps is None:
            return straight
        return straight + self.traps.share(self.barrier, self.mass, field, kT)
