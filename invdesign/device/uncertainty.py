"""How well the numbers of a device are known, where they come from a fit."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from invdesign.schema import InputError, setting

ROUNDING = 1e-6
"""By how much a correlation matrix may miss its symmetry, its diagonal or a positive variance."""


class Uncertainty(eqx.Module):
    """Standard errors of some numbers of a device, and their correlation; `fit` writes it into `fitted.yaml`."""

    numbers: tuple[str, ...] = setting(doc="where they are, e.g. layers.QDiP.thickness_nm")
    standard_errors: tuple[float, ...] = setting(lower=0, doc="of each, in its own unit")
    correlation: tuple[tuple[float, ...], ...] = setting(lower=-1, upper=1, doc="coefficients, a row for each number")
    source: str = setting(default="", doc="the fit they come from")

    def __check_init__(self) -> None:
        count = len(self.numbers)
        if len(set(self.numbers)) < count:
            raise InputError("numbers: one is named twice")
        if len(self.standard_errors) != count:
            raise InputError(f"standard_errors: must have one entry for each of the {count} numbers")
        if [len(row) for row in self.correlation] != [count] * count:
            raise InputError(f"correlation: must be {count} rows of {count} coefficients")
        matrix = np.asarray(self.correlation).reshape(count, count)
        off = max(np.abs(matrix - matrix.T).max(initial=0), np.abs(np.diag(matrix) - 1).max(initial=0))
        if off > ROUNDING or np.linalg.eigvalsh(matrix).min(initial=0) < -ROUNDING:
            raise InputError("correlation: must be symmetric, with ones on its diagonal and no negative eigenvalue")

    def without(self, numbers: set[str]) -> "Uncertainty | None":
        """What is left when some numbers are given new values; None if nothing is."""
        kept = [place for place, number in enumerate(self.numbers) if number not in numbers]
        if not kept:
            return None
        return Uncertainty(
            numbers=tuple(self.numbers[i] for i in kept),
            standard_errors=tuple(self.standard_errors[i] for i in kept),
            correlation=tuple(tuple(self.correlation[i][j] for j in kept) for i in kept),
            source=self.source,
        )

    def variance(self, slopes: Float[np.ndarray, "*figure number"]) -> Float[np.ndarray, "*figure"]:
        """Variance of figures, to first order, from their derivatives by the numbers."""
        scaled = slopes * np.asarray(self.standard_errors)
        return np.asarray(np.einsum("...i,ij,...j->...", scaled, np.asarray(self.correlation), scaled))
