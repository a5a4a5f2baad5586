"""The numbers that the paper states, each with its unit, the range it allows, its condition and its panel."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

SOURCE = "García de Arquer et al. 2017, DOI 10.1038/ncomms14757"
FILE = Path(__file__).with_name("statements.csv")


class Statement(NamedTuple):
    """One statement. A trend has no value of its own, only the side of a limit on which it lies."""

    id: str
    panel: str
    """Of Figs. 1 to 4; S3 and so on for a figure of the supplement, else `methods` or `text`."""
    kind: str
    """design, condition, measured, simulated, stated or trend."""
    quantity: str
    unit: str
    value: float
    """nan if there is none."""
    low: float
    high: float
    """The range that counts as met; infinite on a side that is open."""
    condition: str

    def met(self, value: float) -> bool:
        """Whether a model's value lies in the range; nan does not. The ends belong to it, up to round-off."""
        slack = 1e-9 * abs(value)
        return self.low - slack <= value <= self.high + slack


def statements() -> dict[str, Statement]:
    """All statements by their id, in the order of the panels."""
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = [_statement(row) for row in csv.DictReader(file)]
    return {row.id: row for row in rows}


def _statement(row: dict[str, str]) -> Statement:
    """A row of the file. A value without a range is exact; a limit that is left out is open."""
    value = float(row["value"] or "nan")
    exact = not row["low"] and not row["high"] and not math.isnan(value)
    low = value if exact else float(row["low"] or "-inf")
    high = value if exact else float(row["high"] or "inf")
    return Statement(
        row["id"], row["panel"], row["kind"], row["quantity"], row["unit"], value, low, high, row["condition"]
    )
