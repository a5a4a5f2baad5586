"""How a solve ended. A failed solve is data: a status that says what to try, never an exception or a silent NaN."""

from enum import IntEnum


class Status(IntEnum):
    """Outcome of an operating point."""

    CONVERGED = 0
    STEP_TOO_SMALL = 1
    OUT_OF_ITERATIONS = 2

    @property
    def message(self) -> str:
        """One sentence: what happened and what to try."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "converged",
    Status.STEP_TOO_SMALL: (
        "the continuation step became too small: the device is probably beyond its limits at this bias or light "
        "(breakdown field, series resistance); try a smaller bias, more mesh edges, or thicker layers"
    ),
    Status.OUT_OF_ITERATIONS: (
        "the iteration budget ran out; allow more iterations or approach the bias in smaller steps"
    ),
}
