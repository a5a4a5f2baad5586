"""Recombination of free carriers in the host, as jumps that take one electron and one hole.

Every process gives `backward`, its rate at the local density of states times the equilibrium product (the thermal
generation, cm^-3 s^-1); the forward rate is `backward * exp(affinity)`, so that the net rate is `backward *
expm1(affinity)` and vanishes at equilibrium to the last digit.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.processes.site import Site

WEAKEST_V_PER_CM = 1e3
"""Below this field nothing tunnels, and the rate stays smooth where the field turns round."""


class Recombination(eqx.Module):
    """A band-to-band recombination jump."""

    name: eqx.AbstractClassVar[str]

    @abstractmethod
    def backward(self, site: Site) -> Float[Array, "..."]:
        """Thermal generation rate, cm^-3 s^-1."""


class Radiative(Recombination):
    """B n p (van Roosbroeck and Shockley 1954, DOI 10.1103/PhysRev.94.1558)."""

    name: ClassVar[str] = "radiative recombination"
    coefficient: Float[Array, "..."]
    """B, cm^3/s."""

    def backward(self, site: Site) -> Float[Array, "..."]:
        return self.coefficient * site.ni2


class Auger(Recombination):
    """(C_n n + C_p p) n p."""

    name: ClassVar[str] = "Auger recombination"
    electron: Float[Array, "..."]
    hole: Float[Array, "..."]
    """C_n and C_p, cm^6/s."""

    def backward(self, site: Site) -> Float[Array, "..."]:
        return (self.electron * site.n + self.hole * site.p) * site.ni2


class ShockleyReadHall(Recombination):
    """np / (tau_p (n + n_1) + tau_n (p + p_1)), one jump for capture of both carriers (DOI 10.1103/PhysRev.87.835).

    Lumping the two captures into one jump is exact in the mean; the noise of a real centre is lower, by up to a half.
    """

    name: ClassVar[str] = "Shockley-Read-Hall recombination"
    inverse_electron_lifetime: Float[Array, "..."]
    inverse_hole_lifetime: Float[Array, "..."]
    """1/tau_n and 1/tau_p, 1/s; zero switches the process off."""
    trap_level: Float[Array, "..."]
    """Trap energy above the intrinsic level over kT."""

    def backward(self, site: Site) -> Float[Array, "..."]:
        return two_step_capture(site, self.inverse_electron_lifetime, self.inverse_hole_lifetime, self.trap_level)


class TunnelGeneration(Recombination):
    """Pairs that the field makes by tunnelling through the gap, A F^2 exp(-B/F), at once or by way of traps.

    Kane 1961, DOI 10.1016/0022-3697(60)90035-4. The reverse jump, with exp(affinity), makes it vanish where the
    quasi-Fermi levels meet (as Hurkx et al. 1992, DOI 10.1109/16.121690, ask of any local form).
    """

    name: ClassVar[str] = "tunnel generation"
    prefactor: Float[Array, "..."]
    """A, 1/(cm s V^2)."""
    critical_field: Float[Array, "..."]
    """B, V/cm."""

    def backward(self, site: Site) -> Float[Array, "..."]:
        square = site.field**2
        rate = self.prefactor * square * jnp.exp(-self.critical_field / jnp.sqrt(square + WEAKEST_V_PER_CM**2))
        return jnp.broadcast_to(rate, site.n.shape)


class SurfaceRecombination(Recombination):
    """Capture at a face of a layer, S_n S_p (n p - n_i^2)/(S_n (n + n_1) + S_p (p + p_1)), with that layer's densities.

    As a rate per volume of the half edge at the face, so that it is one more process of that half edge.
    """

    name: ClassVar[str] = "interface recombination"
    electron_velocity: Float[Array, "..."]
    hole_velocity: Float[Array, "..."]
    """S_n and S_p, cm/s."""
    trap_level: Float[Array, "..."]
    """Trap energy above the intrinsic level over kT."""
    face_per_volume: Float[Array, "2 edge"]
    """Area of the face in the half edge over its volume, 1/cm; zero away from the face."""

    def backward(self, site: Site) -> Float[Array, "..."]:
        per_area = two_step_capture(site, self.electron_velocity, self.hole_velocity, self.trap_level)
        return self.face_per_volume * per_area


def two_step_capture(
    site: Site, electron_rate: Float[Array, "..."], hole_rate: Float[Array, "..."], trap_level: Float[Array, "..."]
) -> Float[Array, "..."]:
    """ni2 / ((n + n_1)/hole_rate + (p + p_1)/electron_rate), finite and differentiable when both rates are zero.

    With rates 1/tau (1/s) this is a bulk rate in cm^-3 s^-1; with surface velocities (cm/s) a surface rate in cm^-2
    s^-1.
    """
    ni = jnp.sqrt(site.ni2)
    n1, p1 = ni * jnp.exp(trap_level), ni * jnp.exp(-trap_level)
    denominator = electron_rate * (site.n + n1) + hole_rate * (site.p + p1)
    return electron_rate * hole_rate * site.ni2 / jnp.where(denominator > 0, denominator, 1.0)
