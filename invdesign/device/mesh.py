"""Nodes of a layer and their cells: fixed in normalised coordinates, so that thickness moves the mesh."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

OUTER = 0.007, 1.0
INNER = 0.02, 0.5
"""Depth and power of the fine edges (see `normalised_nodes`), in layers that end at an ohmic contact and in others.

A doped transport layer bends its bands within a few screening lengths of the absorber. How many of them fit into it is
not known here: with a power of 1 each edge is longer than the one before by the same factor, which serves them all, and
the last ones stay short enough for light that is absorbed at the contact. The absorber recombines near the plane where
n = p, which moves with the bias and needs edges everywhere. At its faces, where the field peaks and charge accumulates,
the first ones are several times shorter than the mean.
"""

LEAST_PART = 0.1
"""Of an edge that belongs to either of its nodes; it matters where edges are tens of times longer than the next."""


class Mesh(NamedTuple):
    """The mesh of a layer, over its thickness."""

    nodes: Float[np.ndarray, " node"]
    """From 0 to 1."""
    halves: Float[np.ndarray, "2 edge"]
    """Parts of each edge that belong to its left and right node."""


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


def layer_mesh(edges: int, depth: float, power: float, left: bool, right: bool) -> Mesh:
    """Nodes as in `normalised_nodes`, with the parts of their edges that belong to them.

    A node's cell is as long as the map from equal edges to these is steep there. A sum over nodes is then the trapezoid
    rule in the coordinate in which edges are equal, which integrates a smooth peak with an error that falls faster than
    any power of the edges, save for what its slope at the faces adds (DOI 10.1137/130932132). Borders half way between
    nodes would add an error of order 2 wherever the length of edges changes.
    """
    fine = normalised_nodes(2 * edges, depth, power, left, right)
    nodes, middles = fine[::2], fine[1::2]
    lengths = np.diff(nodes)
    # where the map is half way, with Richardson's correction: x(1/2) - x(-1/2) is not yet dx/dxi
    part = (4 * (middles - nodes[:-1]) / lengths - 1 / 2) / 3
    part = np.clip(part, LEAST_PART, 1 - LEAST_PART)
    return Mesh(nodes, lengths * np.stack([part, 1 - part]))
