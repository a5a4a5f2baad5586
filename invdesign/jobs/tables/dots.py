"""What one dot does: emission, and capture of what passes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from invdesign.constants import CM_PER_NM
from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables.common import About, Table, dotted, stacked
from invdesign.materials.quantum_dots import REFERENCE_FREE_PATH_NM, DotsInHost
from invdesign.processes.field_emission import BarrierEscape


@jax.jit
def _dot_rates(material: DotsInHost, kT: Float[Array, ""], field: Float[Array, " field"]) -> dict[str, Array]:
    dots = material.ensemble(kT)
    per_carrier = dots.density * dots.capture_coefficient
    table = {}
    over_both, through_both = (
        dots.by_carrier(part, field, kT) for part in (BarrierEscape.thermionic, BarrierEscape.tunnelling)
    )
    releases = dots.electron_release, dots.hole_release
    for carrier, over, through, release in zip(("electron", "hole"), over_both, through_both, releases, strict=True):
        emission = dots.capture_coefficient * release
        table[f"{carrier}_thermionic_per_s"] = emission * over
        table[f"{carrier}_field_emission_per_s"] = emission * through
        table[f"{carrier}_capture_per_s"] = per_carrier * (over if dots.nonlocal_ else over + through)
    return table


def rates(run: Simulation) -> Table | None:
    """Emission and capture of every layer with dots."""
    field = np.logspace(3, 6, 61)
    parts = []
    for name, material in dotted(run.device).items():
        made = _dot_rates(material, run.device.kT, jnp.asarray(field))
        numbers = {key: np.asarray(made[key]) for key in sorted(made, key=lambda key: key.startswith("hole"))}
        parts.append({"layer": [name] * len(field), "field_V_per_cm": field} | numbers)
    return stacked(parts) if parts else None


def capture(run: Simulation) -> Table | None:
    """Capture probability per dot against mobility, for the capture time in use and three times as long."""
    mobility = np.logspace(-3, 3, 61)
    parts = []
    for name, material in dotted(run.device).items():
        path = float(material.dots.free_path_nm)
        own = float(material.dots.capture_time_s) * path / REFERENCE_FREE_PATH_NM
        for time_s in (own, 3 * own):
            for field in (1e4, 1e5, 1e6):
                parts.append(
                    {
                        "layer": [name] * len(mobility),
                        "mobility_cm2_per_Vs": mobility,
                        "capture_time_ps": np.full(len(mobility), 1e12 * time_s),
                        "field_V_per_cm": np.full(len(mobility), field),
                        "capture_probability": 1 / (1 + mobility * field * time_s / (path * CM_PER_NM)),
                    }
                )
    return stacked(parts) if parts else None


TABLES: dict[str, About] = {
    "rates": About(
        "emission of a carrier alone in its dot over (thermionic) and through (field emission) the barrier, and "
        "capture of one free carrier; the field's enhancement multiplies capture too, which keeps detailed balance; "
        "where tunnelling is nonlocal its part captures carriers elsewhere, and is left out",
        "layer, field_V_per_cm (mean field), electron_thermionic_per_s, electron_field_emission_per_s, "
        "electron_capture_per_s, and the same for holes",
        rates,
    ),
    "capture": About(
        "probability that a drifting electron is captured per dot passed, P = 1/(1 + mu F tau_c/L)",
        "layer, mobility_cm2_per_Vs, capture_time_ps, field_V_per_cm, capture_probability",
        capture,
    ),
}
