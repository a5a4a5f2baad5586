"""The tables of `invdesign simulate`: pure functions from a simulation to columns of numbers, by families."""

from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables import currents, dots, noise, response, structure, transients
from invdesign.jobs.tables.common import About, Table

TABLES: dict[str, About] = (
    structure.TABLES | dots.TABLES | currents.TABLES | response.TABLES | transients.TABLES | noise.TABLES
)
"""Every table by its name, in the order of the report."""


def all_tables(run: Simulation) -> dict[str, Table]:
    """Every table that a device has and that was asked for; those about dots only if it has dots."""
    made = {name: about.make(run) for name, about in TABLES.items()}
    return {name: table for name, table in made.items() if table is not None}
