"""The local state that a jump process sees: an end of a mesh edge, or all ends of many edges at once.

Processes are elementwise: arrays of any shape go through them, and the mesh edges are the last axis wherever there is
one, so that a compiled loop runs along them.
"""

import equinox as eqx
from jaxtyping import Array, Float


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
    """n p at equilibrium, cm^-6."""
    affinity: Float[Array, "..."]
    """Quasi-Fermi splitting (E_Fn - E_Fp)/kT, so that n p = ni2 exp(affinity)."""
    field: Float[Array, "..."]
    """Electric field along +x on the edge, V/cm."""
    kT: Float[Array, ""]
    """Thermal energy, eV."""
