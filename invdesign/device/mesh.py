"""Node positions inside a layer: fixed in normalised coordinates, so that thickness moves the mesh."""

import numpy as np

OUTER = 0.75, 0.045
INNER = 0.3, 0.03
"""Share and depth of the fine edges (see `normalised_nodes`), in layers that end at an ohmic contact and in others.

A doped transport layer bends its bands within a few screening lengths of the absorber; the absorber wants most of its
edges inside, where carriers recombine, and some at its faces, where its field peaks. Found on the devices of
benchmarks/reference and on thick designs.
"""


def normalised_nodes(edges: int, share: float, depth: float, left: bool, right: bool) -> np.ndarray:
    """Positions from 0 to 1 of `edges + 1` nodes.

    `share` of the edges (0 to 1, not 1) crowd at the faces that are named, with a density that falls as exp(-x/depth)
    from the face (`depth` over the thickness); the remaining edges are uniform.
    """
    xi = np.linspace(0.0, 1.0, edges + 1)
    if not (left or right):
        return xi
    total = (left + right) * -np.expm1(-1 / depth)

    def place(x: np.ndarray) -> np.ndarray:
        from_faces = left * -np.expm1(-x / depth) + right * (np.exp((x - 1) / depth) - np.exp(-1 / depth))
        return (1 - share) * x + share * from_faces / total

    x = np.interp(xi, place(table := np.linspace(0.0, 1.0, 4001)), table)
    for _ in range(4):  # Newton's iteration from the table's precision to the last digit
        density = left * np.exp(-x / depth) + right * np.exp((x - 1) / depth)
        x = x - (place(x) - xi) / (1 - share + share * density / (depth * total))
    x[0], x[-1] = 0.0, 1.0
    return x
