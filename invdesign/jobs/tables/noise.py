"""Current noise by process, place and bias, and the detectivity it leaves."""

import numpy as np

from invdesign.analyses.readout import Noiseless
from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables.common import About, Table, mesh, stacked


def noise_spectrum(run: Simulation) -> Table:
    """Noise by process; the readout among them if it makes noise."""
    numbers = run.by_frequency.numbers
    processes = numbers["by_process"]
    total = np.sqrt(sum(processes.values()))
    if isinstance(run.ask.readout, Noiseless):
        processes = {name: density for name, density in processes.items() if name != "readout"}
    table: Table = {
        "reverse_bias_V": run.by_frequency.reverse_bias_V,
        "frequency_Hz": run.by_frequency.frequency_Hz,
        "total_A_per_rtHz": total,
    }
    largest = sorted(processes, key=lambda name: -np.nanmax(np.nan_to_num(processes[name])))
    return table | {f"{name.replace(' ', '_').replace('-', '_')}_A2_per_Hz": processes[name] for name in largest}


def noise_place(run: Simulation) -> Table:
    """Noise by place."""
    positions, names = mesh(run.device)
    middle, length = positions.mean(axis=1), positions[:, 1] - positions[:, 0]
    return stacked(
        [
            {
                "reverse_bias_V": np.full(len(names), bias),
                "position_nm": middle,
                "layer": names,
                "density_A2_per_Hz_nm": run.by_bias.numbers["by_edge"][row] / length,
            }
            for bias, row in run.at_read_frequency()
        ]
    )


def noise_bias(run: Simulation) -> Table:
    """Noise and its limits against bias."""
    figures = run.by_bias.numbers["figures"]
    # without a current, but for round-off, there is no Fano factor
    currentless = figures["shot_limit_A_per_rtHz"] < 1e-6 * figures["noise_A_per_rtHz"]
    fano = np.where(currentless, np.nan, figures["fano"])
    names = ("noise_A_per_rtHz", "shot_limit_A_per_rtHz", "thermal_limit_A_per_rtHz", "dark_current_A")
    table = {"reverse_bias_V": run.by_bias.reverse_bias_V} | {name: figures[name] for name in names}
    return table | {"fano": fano, "detectivity_Jones": figures["detectivity_Jones"]}


def detectivity_frequency(run: Simulation) -> Table:
    """Detectivity against frequency."""
    figures = run.by_frequency.numbers["figures"]
    names = ("responsivity_A_per_W", "noise_A_per_rtHz", "detectivity_Jones")
    return {
        "reverse_bias_V": run.by_frequency.reverse_bias_V,
        "frequency_Hz": run.by_frequency.frequency_Hz,
    } | {name: figures[name] for name in names}


TABLES: dict[str, About] = {
    "noise": About(
        "current noise of the short-circuited device and of what reads it, one-sided, and the part of every process",
        "reverse_bias_V, frequency_Hz, total_A_per_rtHz, <process>_A2_per_Hz",
        noise_spectrum,
    ),
    "noise_place": About(
        "where the current noise at the frequency of interest arises (contacts and circuit left out)",
        "reverse_bias_V, position_nm, layer, density_A2_per_Hz_nm",
        noise_place,
    ),
    "noise_bias": About(
        "current noise against bias at the frequency of interest, with its shot and thermal limits",
        "reverse_bias_V, noise_A_per_rtHz (of the device), shot_limit_A_per_rtHz, thermal_limit_A_per_rtHz, "
        "dark_current_A, fano, detectivity_Jones",
        noise_bias,
    ),
    "detectivity_frequency": About(
        "detectivity at the wavelength of interest against frequency",
        "reverse_bias_V, frequency_Hz, responsivity_A_per_W, noise_A_per_rtHz (of the device), detectivity_Jones",
        detectivity_frequency,
    ),
}
