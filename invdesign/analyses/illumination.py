"""Where light ends up: absorbed photons of every edge as its two nodes get them, split in dots and host."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.compiled import compiled
from invdesign.constants import ELEMENTARY_CHARGE_C, HC_EV_NM
from invdesign.device.device import Device
from invdesign.optics.stack import solve
from invdesign.solve.assembly import Light

TO_NODES = np.array([[5, 1], [1, 5]]) / 6
"""What the left and the right node of an edge get of the light that its left and right half (of equal length) absorb.

The load of linear finite elements: a pair counts for either node the more the nearer it is. That is exact for carriers
whose chance to be collected is linear on the edge, as beside an ohmic contact that takes them, where the cells of nodes
would lose what the contact's own holds. The numbers are those of absorption that is linear on the edge.
"""


class Absorption(NamedTuple):
    """Optical response of a device at a list of wavelengths."""

    wavelength_nm: Float[Array, " wavelength"]
    reflectance: Float[Array, " wavelength"]
    transmittance: Float[Array, " wavelength"]
    layers: dict[str, Float[Array, " wavelength"]]
    """Absorptance of every layer in the stack."""
    dot_share: dict[str, Float[Array, " wavelength"]]
    """Share of it that excites dots, for the layers that carry current."""
    host: Float[Array, "wavelength 2 edge"]
    dots: Float[Array, "wavelength *size 2 edge"]
    """Fractions of the incident photons absorbed by host and dots on each edge, as its left and right node get them."""

    def light(self, photon_flux: Float[Array, " wavelength"]) -> Light:
        """Absorbed photons for a photon flux (cm^-2 s^-1) in each wavelength."""
        return Light(jnp.tensordot(photon_flux, self.host, 1), jnp.tensordot(photon_flux, self.dots, 1))

    def place(self, wavelength_nm: float) -> int:
        """Where the nearest wavelength stands."""
        return int(np.argmin(np.abs(np.asarray(self.wavelength_nm) - wavelength_nm)))


@compiled
def absorption(device: Device, wavelength_nm: Float[Array, " wavelength"]) -> Absorption:
    """Solve Maxwell's equations in the stack of a device."""
    flipped = device.illuminated_side == "right"
    order = device.order[::-1] if flipped else device.order
    layers = [device.layers[name] for name in order]
    optics = solve(
        jnp.stack([layer.material.permittivity(wavelength_nm) for layer in layers]),
        jnp.stack([layer.thickness_nm for layer in layers]),
        tuple(layer.coherent for layer in layers),
        wavelength_nm,
    )
    host, dots, shares = [], [], {}
    for name in device.electrical:
        layer = device.layers[name]
        nodes = jnp.asarray(device.mesh(name).nodes, jnp.float64) * layer.thickness_nm
        middles = (nodes[:-1] + nodes[1:]) / 2
        positions = jnp.append(jnp.stack([nodes[:-1], middles], axis=1).reshape(-1), nodes[-1])
        depths = layer.thickness_nm - positions[::-1] if flipped else positions
        parts = optics.absorbed_between(order.index(name), depths)
        parts = (parts[::-1] if flipped else parts).T.reshape(-1, layer.edges, 2).swapaxes(1, 2)
        parts = jnp.einsum("ij,wje->wie", jnp.asarray(TO_NODES), parts)
        shares[name] = layer.material.dot_share(wavelength_nm)
        host.append(parts * (1 - shares[name])[:, None, None])
        by_dots = parts * shares[name][:, None, None]
        if device.sizes > 1:
            by_size = layer.material.size_shares(wavelength_nm)
            by_dots = by_dots[:, None] * jnp.broadcast_to(by_size, (len(wavelength_nm), device.sizes))[..., None, None]
        dots.append(by_dots)
    return Absorption(
        wavelength_nm,
        optics.reflectance,
        optics.transmittance,
        {name: optics.absorptance[index] for index, name in enumerate(order)},
        shares,
        jnp.concatenate(host, axis=-1),
        jnp.concatenate(dots, axis=-1),
    )


def photon_flux(wavelength_nm: Float[Array, "..."], irradiance_W_per_cm2: Float[Array, "..."]) -> Float[Array, "..."]:
    """Photons per cm^2 and second of an irradiance."""
    return irradiance_W_per_cm2 * wavelength_nm / (HC_EV_NM * ELEMENTARY_CHARGE_C)


@compiled
def steady_light(device: Device) -> Light | None:
    """Absorbed photons of the device's own illumination; None in the dark."""
    spectrum = device.illumination.spectrum()
    if spectrum is None:
        return None
    wavelength, irradiance = spectrum
    return light_of(device, wavelength, irradiance)


def light_of(
    device: Device, wavelength_nm: Float[Array, " wavelength"], irradiance_W_per_cm2: Float[Array, "..."]
) -> Light:
    """Absorbed photons of light with this irradiance at each wavelength (of an energy per area: photons per area)."""
    return absorption(device, wavelength_nm).light(photon_flux(wavelength_nm, irradiance_W_per_cm2))
