"""Places and machines of dots for the tests: any site of the host, and populations in rational arithmetic."""

from collections.abc import Sequence
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from invdesign.processes.site import Site

KT = 0.02585


def site(log_n: float, log_p: float, log_ni2: float, field: float = 0.0, affinity: float | None = None) -> Site:
    """Densities by their logarithms (cm^-3), field in V/cm."""
    affinity = log_n + log_p - log_ni2 if affinity is None else affinity
    values = [log_n, log_p, np.exp(log_n), np.exp(log_p), np.exp(log_ni2), affinity, field, KT]
    return Site(*(jnp.asarray(value, jnp.float64) for value in values))


def exact_populations(size: int, jumps: Sequence[tuple[int, int, Fraction]]) -> list[Fraction]:
    """Stationary populations under jumps from a state to another at a rate: the null vector with all its digits."""
    rows = [[Fraction(0)] * (size + 1) for _ in range(size)]
    for start, end, rate in jumps:
        rows[end][start] += rate
        rows[start][start] -= rate
    rows[-1] = [Fraction(1)] * (size + 1)
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(size):
            if j != i and rows[j][i] != 0:
                factor = rows[j][i] / rows[i][i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [rows[i][-1] / rows[i][i] for i in range(size)]
