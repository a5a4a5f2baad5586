"""Escape of a carrier from a dot over and through the barrier of its host, as a function of the field.

Local form: the enhancement multiplies emission AND capture at the same node, so that detailed balance holds exactly.
In the nonlocal form a carrier that tunnels lands where the barrier ends, and the reverse rate uses the quasi-Fermi
level there.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.constants import CM_PER_NM, ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, HBAR_J_S

_QUADRATURE = tuple(map(tuple, np.polynomial.legendre.leggauss(16)))
SMALLEST_FIELD_V_PER_CM = 1e-9
"""Below this field nothing tunnels."""
NEGLIGIBLE = 36.0
"""The integral over the barrier ends where its integrand has fallen to exp(-36)."""

FIELD_FLOOR_V_PER_CM = 1e3
"""Below this field tunnelling is faded out as F^2: H - 1 ~ F^(2/3) would have an infinite slope at F = 0."""

FIELD_CEILING_V_PER_CM = 3e6
"""Towards this field the enhancement saturates: the barrier is then thinner than a lattice constant, and no formula
holds."""


def _limited(field: Float[Array, "..."]) -> Float[Array, "..."]:
    """The field, saturating at the ceiling; 3e-5 off at 0.3 MV/cm."""
    squared = (field / FIELD_CEILING_V_PER_CM) ** 2
    return field / jnp.sqrt(jnp.sqrt(1 + squared**2))


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
    """Field in the barrier over the mean field of Poisson's equation."""

    def thermionic(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Emission over the barrier relative to zero field: exp(q F lever cos(theta)/kT) averaged over the sphere."""
        z2 = (self.lever_arm_cm * _limited(field) / kT) ** 2
        near = z2 < 1e-2
        z = jnp.sqrt(jnp.where(near, 1.0, z2))
        return jnp.where(near, 1 + z2 / 6 * (1 + z2 / 20 * (1 + z2 / 42)), jnp.sinh(z) / z)

    def _through(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> tuple[Array, Array, Array]:
        """Strength of the field (V/cm), and the integrals of exp(y - b y^1.5) and of exp(-b y^1.5)."""
        in_barrier = _limited(field * self.field_ratio) ** 2
        strength = in_barrier / jnp.sqrt(in_barrier + FIELD_FLOOR_V_PER_CM**2)
        prefactor = 4 / 3 * jnp.sqrt(2 * self.mass * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S
        # b F in V/cm: (2 m q)^0.5 (kT)^1.5 / hbar is a field in V/m when kT is in eV
        b_times_field = prefactor * kT**1.5 / 100
        depth = self.barrier / kT
        # y = depth s^2 clusters points near the top of the barrier, where the integrand exp(depth s^2 - b s^3) lives at
        # low field; `end` is just beyond the point where b s^3 - depth s^2 = NEGLIGIBLE
        nodes, weights = (np.reshape(column, (-1,) + (1,) * jnp.ndim(field)) for column in _QUADRATURE)
        strength = jnp.where(strength > 0, strength, SMALLEST_FIELD_V_PER_CM)
        b = b_times_field * depth * jnp.sqrt(depth) / strength
        end = jnp.minimum(depth / b + (NEGLIGIBLE / b) ** (1 / 3), 1.0)
        y = depth * (s := end * (nodes + 1) / 2) ** 2
        integrand = jnp.exp(y - b * s**3) * (s * weights) * depth * end
        return strength, jnp.sum(integrand, axis=0), jnp.sum(integrand * jnp.exp(-y), axis=0)

    def tunnelling(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Emission through the barrier relative to thermionic emission at zero field."""
        strength, rate, _ = self._through(field, kT)
        return jnp.where(strength > SMALLEST_FIELD_V_PER_CM, rate, 0.0)

    def landing_cm(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """How far from the dot carriers that tunnel arrive.

        One that starts y kT below the top of a triangular barrier arrives at z = y kT/qF, the end of the barrier;
        phi/qF if it starts at the bottom. All arrive at one place here: where a quasi-Fermi level that falls with the
        band (a current of drift) lets as many return as the sum over energies does, exp(-qFz/kT) = mean of exp(-y).
        """
        strength, rate, of_return = self._through(field, kT)
        return jnp.where(strength > SMALLEST_FIELD_V_PER_CM, jnp.log(rate / of_return) * kT / strength, 0.0)

    def enhancement(self, field: Float[Array, "..."], kT: Float[Array, ""]) -> Float[Array, "..."]:
        """Total rate relative to thermionic emission at zero field."""
        return self.thermionic(field, kT) + self.tunnelling(field, kT)


def lever_arm(diameter_nm: Float[Array, ""], field_ratio: Float[Array, ""]) -> Float[Array, ""]:
    """Half the dot, in cm, times the field in it over the mean field."""
    return 0.5 * diameter_nm * CM_PER_NM * field_ratio
