"""Layers that break down softly: carriers jump beside the junction, from contact to contact, at a rate that the layer's
field sets. The ratio of both directions is exp(qV/kT), and each jump is a shot.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.field_emission import FowlerNordheim


class Leak(eqx.Module):
    """Jumps between the contacts through one layer."""

    law: FowlerNordheim
    edge_cm: Float[Array, ""]
    """Length of the edge whose field counts."""
    edge: int = eqx.field(static=True)
    direction: int = eqx.field(static=True)
    """1 where reverse bias drives a field along +x, else -1."""

    def rate(self, psi: Float[Array, " node"], kT: Float[Array, ""]) -> Float[Array, ""]:
        """Carriers against the flow of forward bias, cm^-2 s^-1; `psi` over kT/q."""
        return self.law.rate(self.direction * (psi[self.edge] - psi[self.edge + 1]) * kT / self.edge_cm)

    def net(self, psi: Float[Array, " node"], v: Float[Array, ""], kT: Float[Array, ""]) -> Float[Array, ""]:
        """Charge into the anode over q, cm^-2 s^-1, at the junction voltage `v`."""
        return self.rate(psi, kT) * jnp.expm1(v)

    def both_ways(self, psi: Float[Array, " node"], v: Float[Array, ""], kT: Float[Array, ""]) -> Float[Array, ""]:
        """Sum of both directions, cm^-2 s^-1."""
        return self.rate(psi, kT) * (1 + jnp.exp(v))
