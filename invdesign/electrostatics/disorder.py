"""Fields at dots at random places: every dot is a dipole in the field of all others.

The field of a dot without its own, the exciting field, is `Sphere`'s far field on average. Dots at random places that
keep a distance of two radii have, to first order in their volume fraction f and in their dipoles beta a^3 F, the spread

    sigma_z^2/F^2 = n integral beyond 2a of (beta a^3 (3 cos^2 - 1)/r^3)^2 dV = beta^2 f/10

along the field and 3/4 of its square in either direction across.
"""

import numpy as np
from jaxtyping import Float


def hard_spheres(side: int, fraction: float, sweeps: int = 60, seed: int = 0) -> Float[np.ndarray, "dot 3"]:
    """Places of side^3 spheres of radius 1 at equilibrium in a periodic cube of `box(side, fraction)`.

    Metropolis moves from a cubic lattice: one sphere at a time, near or far, refused where it would overlap (DOI
    10.1063/1.1699114).
    """
    random, length = np.random.default_rng(seed), box(side, fraction)
    if length < 2 * side:
        raise ValueError(f"spheres of a fraction {fraction:g} overlap on a cubic lattice")
    axis = (np.arange(side) + 0.5) * length / side
    places = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    for move in range(sweeps * len(places)):
        one = random.integers(len(places))
        step = random.uniform(-0.5, 0.5, 3) * (length if move % 2 else 1.0)
        there = (places[one] + step) % length
        apart = places - there
        apart -= length * np.rint(apart / length)
        closest = np.sum(apart**2, axis=1)
        closest[one] = np.inf
        if np.min(closest) >= 4:
            places[one] = there
    return places


def box(side: int, fraction: float) -> float:
    """Edge of the cube that side^3 spheres of radius 1 fill to a fraction."""
    return side * (4 * np.pi / (3 * fraction)) ** (1 / 3)


def exciting_field(
    places: Float[np.ndarray, "dot 3"], length: float, contrast: float, coupled: bool = True
) -> Float[np.ndarray, "dot 3"]:
    """Fields at spheres of radius 1 in a periodic cube, over that of a uniform film (along z).

    Of the dipoles nearer than half the cube; what is beyond is uniform. Dipoles are proportional to the exciting field
    (`coupled`) or to its mean. Spheres that nearly touch have multipoles, too, which are left out.
    """
    apart = places[:, None] - places
    apart -= length * np.rint(apart / length)
    distance = np.linalg.norm(apart, axis=-1)
    near = (distance > 0) & (distance < length / 2)
    inverse = np.where(near, 1 / np.where(near, distance, 1.0), 0.0)
    direction = apart * inverse[..., None]
    tensor = contrast * inverse[..., None, None] ** 3 * (3 * direction[..., None] * direction[..., None, :] - np.eye(3))
    number = len(places)
    matrix = tensor.swapaxes(1, 2).reshape(3 * number, 3 * number)
    uniform = np.tile([0.0, 0.0, 1.0], number)
    field = np.linalg.solve(np.eye(3 * number) - matrix, uniform) if coupled else uniform + matrix @ uniform
    return field.reshape(number, 3)
