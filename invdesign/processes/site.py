"""The local state that a jump process sees: an end of a mesh edge, or all ends of many edges at once.

Processes are elementwise: arrays of any shape go through them, and the mesh edges are the last axis wherever there is
one, so that a compiled loop runs along them.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.statistics import Degeneracy


class Site(eqx.Module):
    """Carriers, affinity and field at ends of mesh edges, in the material of the edge.

    A node on a material interface is seen as two sites, one from each side, with the same potential and quasi-Fermi
    levels and with the densities of either material.
    """

    log_n: Float[Array, "..."]
    log_p: Float[Array, "..."]
    n: Float[Array, "..."]
    """Electron density, cm^-3."""
    p: Float[Array, "..."]
    """Hole density, cm^-3."""
    ni2: Float[Array, "..."]
    """n p exp(-affinity), cm^-6: n p at equilibrium, which depends on n and p only where they are degenerate."""
    affinity: Float[Array, "..."]
    """Quasi-Fermi splitting (E_Fn - E_Fp)/kT."""
    field: Float[Array, "..."]
    """Electric field along +x on the edge, V/cm."""
    kT: Float[Array, ""]
    """Thermal energy, eV."""
    degeneracy: Degeneracy | None = None
    """None: Boltzmann's statistics."""

    @property
    def densities(self) -> Float[Array, "2 ..."]:
        """n and p."""
        return jnp.stack([self.n, self.p])

    @property
    def slopes(self) -> Float[Array, "2 ..."]:
        """Derivatives of ln n and ln p by the levels of electrons and holes over kT: 1 unless they are degenerate."""
        return jnp.ones((2, *self.n.shape)) if self.degeneracy is None else self.degeneracy.slope
