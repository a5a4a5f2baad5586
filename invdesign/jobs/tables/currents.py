"""Current against voltage."""

import numpy as np

from invdesign.jobs.simulation import Point, Simulation
from invdesign.jobs.tables.common import About, Table, mesh
from invdesign.results import Status


def mean_field(run: Simulation, points: Point) -> np.ndarray:
    """|mean field| of the active layers at every voltage, V/cm."""
    positions, names = mesh(run.device)
    lengths = np.where(np.isin(names, run.device.active), positions[:, 1] - positions[:, 0], 0.0)
    return np.abs(points.profile["field"] @ lengths) / np.sum(lengths)


def jv(run: Simulation) -> Table:
    """Current against voltage."""
    area = float(run.device.area_cm2)
    dark, lit = run.dark.current_A / area, run.lit.current_A / area
    field = mean_field(run, run.dark)
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = run.voltage_V > 0  # the plot is about reverse bias, and forward injection is another mechanism
        plots = [np.where(forward | (j == 0), np.nan, np.log(np.abs(j) / field**2)) for j in (dark, lit - dark)]
    at_rest = run.voltage_V == 0  # no current at equilibrium: nothing to compare a spread with
    return {
        "voltage_V": run.voltage_V,
        "dark_current_density_A_per_cm2": np.where(at_rest & np.isfinite(dark), 0.0, dark),
        "lit_current_density_A_per_cm2": lit,
        "dark_edge_spread": np.where(at_rest, np.nan, run.dark.edge_spread),
        "lit_edge_spread": run.lit.edge_spread,
        "mean_field_V_per_cm": field,
        "inverse_field_cm_per_MV": 1e6 / field,
        "dark_ln_J_per_F2": np.where(at_rest, np.nan, plots[0]),
        "photo_ln_J_per_F2": plots[1],
        "dark_status": [Status(int(s)).name.lower() for s in run.dark.status],
        "lit_status": [Status(int(s)).name.lower() for s in run.lit.status],
    }


TABLES: dict[str, About] = {
    "jv": About(
        "current against voltage, dark and lit; voltage_V > 0 is forward bias; Fowler-Nordheim columns ln(J/F^2) "
        "against 1/F, F the mean field of the active layers, photo meaning lit minus dark",
        "voltage_V, dark_current_density_A_per_cm2, lit_current_density_A_per_cm2, dark_edge_spread, lit_edge_spread "
        "(what round-off leaves of a current that is the same everywhere, relative), mean_field_V_per_cm, "
        "inverse_field_cm_per_MV, dark_ln_J_per_F2, photo_ln_J_per_F2 (J in A/cm2, F in V/cm), dark_status, lit_status",
        jv,
    ),
}
