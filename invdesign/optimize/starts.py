"""Where the search begins."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

# At a bound the map from angles to the box is flat (see `lagrangian.to_box`), so that a start there could not move.
MARGIN = 1e-3


def spread_starts(
    baseline: Float[np.ndarray, " variable"], count: int, seed: int
) -> Float[np.ndarray, "start variable"]:
    """The baseline followed by `count - 1` points of a scrambled Sobol sequence, all at least `MARGIN` inside the box.

    The sequence is that of I. M. Sobol', USSR Comput. Math. Math. Phys. 7, 86 (1967),
    doi:10.1016/0041-5553(67)90144-9, scrambled as in A. B. Owen, J. Complexity 14, 466 (1998),
    doi:10.1006/jcom.1998.0487.
    """
    generator = qmc.Sobol(len(baseline), seed=seed)  # pyright: ignore[reportCallIssue] (also named rng since SciPy 1.15)
    sequence = generator.random_base2(math.ceil(math.log2(max(1, count - 1))))
    points = np.concatenate([np.asarray(baseline, float)[None], sequence[: count - 1]])
    return np.clip(points, MARGIN, 1 - MARGIN)
