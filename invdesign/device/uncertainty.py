"""How well the numbers of a device are known, where they come from a fit."""

import math
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from invdesign.schema import InputError, find, find_number, setting

ROUNDING = 1e-6
"""By how much a correlation matrix may miss its symmetry, its diagonal or a positive variance, and a number its
fitted value."""


class Uncertainty(eqx.Module):
    """Standard errors of some numbers of a device, and their correlation; `fit` writes it into `fitted.yaml`."""

    numbers: tuple[str, ...] = setting(doc="where they are, e.g. layers.QDiP.thickness_nm")
    standard_errors: tuple[float, ...] = setting(lower=0, doc="of each, in its own unit")
    correlation: tuple[tuple[float, ...], ...] = setting(lower=-1, upper=1, doc="coefficients, a row for each number")
    source: str = setting(default="", doc="the fit they come from")
    values: tuple[float, ...] = setting(default=(), doc="of the numbers, as fitted; one that has another has no error")

    def __check_init__(self) -> None:
        count = len(self.numbers)
        if len(set(self.numbers)) < count:
            raise InputError("numbers: one is named twice")
        for key, entries in (("values", self.values or self.numbers), ("standard_errors", self.standard_errors)):
            if len(entries) != count:
                raise InputError(f"{key}: must have one entry for each of the {count} numbers")
        if [len(row) for row in self.correlation] != [count] * count:
            raise InputError(f"correlation: must be {count} rows of {count} coefficients")
        matrix = np.asarray(self.correlation).reshape(count, count)
        off = max(np.abs(matrix - matrix.T).max(initial=0), np.abs(np.diag(matrix) - 1).max(initial=0))
        if off > ROUNDING or np.linalg.eigvalsh(matrix).min(initial=0) < -ROUNDING:
            raise InputError("correlation: must be symmetric, with ones on its diagonal and no negative eigenvalue")

    def check_of(self, device: Any) -> None:
        """Raise `InputError` for a number that the device could not have."""
        for number in self.numbers:
            try:
                if not _switched_off(device, number):
                    find_number(device, number, "uncertainty.numbers")
            except InputError as error:
                raise InputError(
                    f"{error}; uncertainty set to null (device.uncertainty=null) leaves all standard errors out"
                ) from None

    def of(self, device: Any) -> "Uncertainty | None":
        """What holds for a device: numbers that it leaves out, or that are not as they were fitted, have no error."""
        off = {number for number in self.numbers if _switched_off(device, number)}
        for number, fitted in zip(self.numbers, self.values, strict=False):  # no values: all are as fitted
            if number not in off and not math.isclose(float(find(device, number)[0]), fitted, rel_tol=ROUNDING):
                off.add(number)
        return self.without(off)

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
            values=tuple(self.values[i] for i in kept if self.values),
        )

    def variance(self, slopes: Float[np.ndarray, "*figure number"]) -> Float[np.ndarray, "*figure"]:
        """Variance of figures, to first order, from their derivatives by the numbers."""
        scaled = slopes * np.asarray(self.standard_errors)
        return np.asarray(np.einsum("...i,ij,...j->...", scaled, np.asarray(self.correlation), scaled))


def _switched_off(device: Any, number: str) -> bool:
    """Whether it belongs to something that the device leaves out (null in its YAML)."""
    names = number.split(".")
    places = (".".join(names[: count + 1]) for count in range(len(names)))
    return any(find(device, place, "uncertainty.numbers")[0] is None for place in places)
