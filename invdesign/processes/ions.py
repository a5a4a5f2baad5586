"""Mobile ions of a layer at rest: halide vacancies, which redistribute slowly and are conserved in number.

At steady state their electrochemical potential is flat, so that their density depends on the potential and on one
number, `level`, that conservation fixes. A uniform immobile background of the opposite charge makes the layer neutral
where they are spread evenly.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

STEEPEST = 300.0
"""Potentials over kT/q beyond which the density has long been zero or that of the sites."""


class MobileIons(eqx.Module):
    """Singly charged ions; without a limit they obey Boltzmann's statistics.

    With a limited density of sites: P = N e^y / (1 + (N/N_sites)(e^y - 1)), the statistics of Blakemore (Abdel et al.
    2021, DOI 10.1016/j.electacta.2021.138696), y = charge (level - psi).
    """

    density: Float[Array, ""]
    """Mean density N, cm^-3."""
    filling: Float[Array, ""]
    """N over the density of sites; 0 without a limit."""
    charge: int = eqx.field(static=True)
    """+1 or -1."""

    def excess(self, level: Float[Array, ""], psi: Float[Array, "..."]) -> Float[Array, "..."]:
        """Charge density of the ions and their background, elementary charges per cm^3; `level` and `psi` over kT/q."""
        y = jnp.clip(self.charge * (level - psi), -STEEPEST, STEEPEST)
        rise = jnp.expm1(y)
        return self.charge * self.density * rise * (1 - self.filling) / (1 + self.filling * rise)
