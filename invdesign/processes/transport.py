"""Carrier hops along a mesh edge: the Scharfetter-Gummel flux as a pair of jump rates.

With `w = ln(d2/d1) + affinity` the two one-way rates are `conductance * sqrt(d1 d2) * (w/2)/sinh(w/2) *
exp(+-affinity/2)`. For Boltzmann statistics `w` is the potential difference and this is the flux of Scharfetter and
Gummel (1969), DOI 10.1109/T-ED.1969.16566; for any other statistics it is the excess-chemical-potential (SEDAN) flux
of Yu and Dutton, analysed by Farrell et al. (2017), DOI 10.1007/s11082-017-0968-5. The net flux vanishes with the
difference of quasi-Fermi levels, to the last digit, whatever the densities are.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def x_over_sinh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x / sinh(x), even and smooth: a Taylor series below 0.05, where the quotient loses its derivative's digits."""
    near = jnp.abs(x) < 0.05
    y = jnp.where(near, x, 0.0) ** 2
    safe = jnp.abs(jnp.where(near, 1.0, x))
    # written with a decaying exponential: sinh overflows where the quotient is merely small
    far = 2 * safe * jnp.exp(-safe) / -jnp.expm1(-2 * safe)
    return jnp.where(near, 1 - y / 6 * (1 - 7 * y / 60 * (1 - 31 * y / 294)), far)


def sinh_over_x(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sinh(x) / x, even and smooth."""
    near = jnp.abs(x) < 0.05
    y = jnp.where(near, x, 0.0) ** 2
    safe = jnp.where(near, 1.0, x)
    return jnp.where(near, 1 + y / 6 * (1 + y / 20 * (1 + y / 42)), jnp.sinh(safe) / safe)


class Hop(eqx.Module):
    """Exchange of carriers between the two nodes of an edge (rates in cm^-2 s^-1), of one kind or, with an axis
    in front, of several."""

    scale: Float[Array, "..."]
    """D/h times the geometric mean of the two densities."""
    tilt: Float[Array, "..."]
    """w."""
    affinity: Float[Array, "..."]
    """ln(rate to the right / rate to the left)."""

    @property
    def mean_rate(self) -> Float[Array, "..."]:
        """Geometric mean of the two one-way rates."""
        return self.scale * x_over_sinh(self.tilt / 2)

    @property
    def net(self) -> Float[Array, "..."]:
        """Net particle flux to the right."""
        return 2 * self.mean_rate * jnp.sinh(self.affinity / 2)

    @property
    def slopes(self) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
        """Derivatives of `net` by the logarithms of the left and the right density and by the affinity."""
        half = self.tilt / 2
        shape, slope = jax.jvp(x_over_sinh, (half,), (jnp.ones_like(half),))
        rise = jnp.sinh(self.affinity / 2)
        net, by_tilt = 2 * self.scale * shape * rise, self.scale * slope * rise
        return net / 2 - by_tilt, net / 2 + by_tilt, by_tilt + self.scale * shape * jnp.cosh(self.affinity / 2)

    @property
    def noise(self) -> Float[Array, "..."]:
        """One-sided spectral density of the Langevin flux, 4 (f - b)/ln(f/b): diffusion noise, independent of the
        mesh."""
        return 4 * self.mean_rate * sinh_over_x(self.affinity / 2)

    def hooge(self, velocity: Float[Array, "..."]) -> Float[Array, "..."]:
        """The square of the net flux over the density (cm^-1 s^-2), averaged as 1/n of carriers that diffuse."""
        speed = 2 * velocity * x_over_sinh(self.tilt / 2) * jnp.sinh(self.affinity / 2)
        return self.net * speed * x_over_sinh((self.tilt - self.affinity) / 2)


def hop(
    velocity: Float[Array, "..."],
    log_left: Float[Array, "..."],
    log_right: Float[Array, "..."],
    affinity: Float[Array, "..."],
) -> Hop:
    """The hop between two nodes.

    `velocity` is D/h (cm/s), `log_left` and `log_right` the logarithms of the densities (cm^-3) in the material of
    the edge, `affinity` the drop of the electrochemical potential from left to right over kT.
    """
    return Hop(velocity * jnp.exp((log_left + log_right) / 2), log_right - log_left + affinity, affinity)
