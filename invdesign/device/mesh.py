"""Node positions inside a layer: fixed edges in normalised coordinates, so that thickness moves the mesh."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

GRADING = 2.5
"""The finest edges, at both faces of a layer, are about 15 times shorter than those in its middle."""


def normalised_nodes(edges: int, grading: float = GRADING) -> np.ndarray:
    """Positions from 0 to 1 of `edges + 1` nodes, symmetric, dense at both ends (a tanh map)."""
    xi = np.linspace(-1.0, 1.0, edges + 1)
    return 0.5 * (1 + np.tanh(grading * xi) / np.tanh(grading))


def edge_lengths(thickness_cm: Float[Array, ""], edges: int) -> Float[Array, " edge"]:
    """Lengths of a layer's edges, cm."""
    return thickness_cm * jnp.asarray(np.diff(normalised_nodes(edges)), jnp.float64)
