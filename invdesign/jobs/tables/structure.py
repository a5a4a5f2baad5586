"""What is where: bands, carriers and dots over position, and which layer absorbs."""

import numpy as np

from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables.common import About, Table, dotted, mesh, stacked
from invdesign.processes.dots import STATE_NAMES, carriers_of, list_states


def bands(run: Simulation) -> Table:
    """Profiles at equilibrium, and in the dark and in the light at every bias."""
    device = run.device
    positions, names = mesh(device)
    bulks = {name: device.layers[name].material.bulk(device.kT) for name in device.electrical}  # type: ignore[attr-defined]
    layer = np.repeat(names, 2)
    affinity = np.array([float(bulks[name].electron_affinity) for name in layer])
    gap = np.array([float(bulks[name].band_gap) for name in layer])
    states = max((material.dot_states for material in dotted(device).values()), default=list_states(1, False))
    kinds = [f"dot_{STATE_NAMES[held]}" for held in carriers_of(states)]
    has_dots = np.isin(layer, list(dotted(device)))
    hopping = np.isin(layer, [name for name, material in dotted(device).items() if material.hopping])
    among_dots = [f"dots_{carrier}_quasi_fermi" for carrier in ("electron", "hole")] if np.any(hopping) else []
    cases = [("equilibrium", 0.0, run.dark)]
    biases = run.ask.biases_V
    cases += [(name, bias, points) for name, points in (("dark", run.dark), ("lit", run.lit)) for bias in biases]
    parts = []
    for condition, bias, points in cases:
        profile = {key: value[run.index(bias)] for key, value in points.profile.items()}
        conduction = profile["vacuum"].reshape(-1) - affinity
        filling = np.where(has_dots[:, None], profile["dots"].reshape(-1, len(kinds)), np.nan)
        parts.append(
            {
                "condition": [condition] * len(layer),
                "reverse_bias_V": np.full(len(layer), bias),
                "position_nm": positions.reshape(-1),
                "layer": layer,
                "conduction_band_eV": conduction,
                "valence_band_eV": conduction - gap,
                "electron_quasi_fermi_eV": profile["electron_quasi_fermi"].reshape(-1),
                "hole_quasi_fermi_eV": profile["hole_quasi_fermi"].reshape(-1),
                "field_V_per_cm": np.repeat(profile["field"], 2),
                "electron_density_cm3": profile["electrons"].reshape(-1),
                "hole_density_cm3": profile["holes"].reshape(-1),
            }
            | dict(zip(kinds, filling.T, strict=True))
            | {f"{key}_eV": np.where(hopping, profile[key].reshape(-1), np.nan) for key in among_dots}
        )
    return stacked(parts)


def absorptance(run: Simulation) -> Table:
    """Where photons end up."""
    keep, optical = run.asked_for, run.optical
    table: Table = {
        "wavelength_nm": run.ask.wavelength_nm,
        "reflectance": optical.reflectance[keep],
        "transmittance": optical.transmittance[keep],
    }
    for name in run.device.order:
        table[f"absorptance_{name}"] = optical.layers[name][keep]
        if name in dotted(run.device):
            share = np.asarray(optical.dot_share[name][keep])
            table[f"absorptance_{name}_dots"] = optical.layers[name][keep] * share
            table[f"absorptance_{name}_host"] = optical.layers[name][keep] * (1 - share)
    table["extrapolated"] = run.extrapolated[keep].astype(int)
    return table


TABLES: dict[str, About] = {
    "bands": About(
        "bands, quasi-Fermi levels, field, carriers and dot states over position; two rows per mesh edge, since "
        "material interfaces are discontinuous; energies against the Fermi level of the cathode",
        "condition (equilibrium, dark, lit), reverse_bias_V, position_nm, layer, conduction_band_eV, valence_band_eV, "
        "electron_quasi_fermi_eV, hole_quasi_fermi_eV, field_V_per_cm (along +x), electron_density_cm3, "
        "hole_density_cm3, dot_empty, dot_electron, dot_hole, dot_exciton (probabilities, nan where there are no dots; "
        "with multiple_carriers also dot_two_electrons, dot_two_holes, dot_negative_trion, dot_positive_trion, "
        "dot_biexciton); with hopping also dots_electron_quasi_fermi_eV, dots_hole_quasi_fermi_eV (of carriers that "
        "hop between dots; nan where none do)",
        bands,
    ),
    "absorptance": About(
        "where incident photons end up, by layer, and in layers with dots by what absorbs them",
        "wavelength_nm, reflectance, transmittance, absorptance_<layer>, absorptance_<layer>_dots, "
        "absorptance_<layer>_host, extrapolated (1 where an n,k model is used outside its data)",
        absorptance,
    ),
}
