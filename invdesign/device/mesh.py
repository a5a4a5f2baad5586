"""Node positions inside a layer: fixed in normalised coordinates, so that thickness moves the mesh."""

import numpy as np

OUTER = 0.007, 1.0
INNER = 0.001, 0.35
"""Depth and power of the fine edges (see `normalised_nodes`), in layers that end at an ohmic contact and in others.

A doped transport layer bends its bands within a few screening lengths of the absorber. How many of them fit into it is
not known here: with a power of 1 each edge is longer than the one before by the same factor, which serves them all, and
the last ones stay short enough for light that is absorbed at the contact. The absorber recombines near the plane where
n = p, which moves with the bias: edges that change little across it sum the peak with the least error. At its faces,
where the field peaks and charge accumulates, the first ones are several times shorter than the mean.
"""


def normalised_nodes(edges: int, depth: float, power: float, left: bool, right: bool) -> np.ndarray:
    """Positions from 0 to 1 of `edges + 1` nodes.

    Edges are fine at the faces that are named: their density falls as (1 + x/depth)^-power with the distance x from the
    face, `x` and `depth` over the thickness or, where both faces are named, over half of it. A power of 0 is uniform.
    """
    rest = 1 - power
    if abs(rest) < 1e-6:  # so near the limit, a logarithm, that no digit that matters tells
        rest = 1e-6

    def place(xi: np.ndarray) -> np.ndarray:
        return depth * ((1 - xi + xi * (1 + 1 / depth) ** rest) ** (1 / rest) - 1)

    x = np.linspace(0.0, 1.0, edges + 1)
    if left and right:
        half = place(2 * np.minimum(x, 1 - x)) / 2
        x = np.where(x < 0.5, half, 1 - half)
    elif left:
        x = place(x)
    elif right:
        x = 1 - place(1 - x)
    x[0], x[-1] = 0.0, 1.0
    return x
