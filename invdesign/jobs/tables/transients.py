"""Response in time: the current of a pulse of light, and what a short pump bleaches."""

import numpy as np

from invdesign.analyses.transient import Response, decay, rise_and_fall_times
from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables.common import About, Table, stacked


def _bleach(response: Response) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time with the pump at zero, the dots' bleach and the host's (cm^-3)."""
    dots, host = np.asarray(response.bleaches)
    return np.concatenate([[0.0], response.transient.time_s]), dots, host


def light_pulse(run: Simulation) -> Table | None:
    """Current of a square pulse."""
    parts = [
        {
            "reverse_bias_V": np.full(len(response.transient.time_s) + 1, bias),
            "time_s": np.concatenate([[0.0], response.transient.time_s]),
            "current_A": np.concatenate([[response.rest_A], response.transient.current_A]),
        }
        for bias, response in run.pulses.items()
    ]
    return stacked(parts) if parts else None


def switching(run: Simulation) -> Table | None:
    """Rise and fall of every pulse."""
    end = run.ask.pulse_s
    if end is None:
        return None
    rows = []
    for bias, response in run.pulses.items():
        rise, fall = rise_and_fall_times(response, 0.0, end)
        times, current = np.asarray(response.transient.time_s), np.asarray(response.transient.current_A)
        top, middle = (float(np.interp(at, times, current)) for at in (end, end / 2))
        before = float(response.rest_A)
        moved = (top - middle) / (top - before) if top != before else np.nan
        rows.append((bias, float(rise), float(fall), before, top, moved))
    names = ("reverse_bias_V", "rise_s", "fall_s", "current_before_A", "current_at_end_A", "second_half")
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def transient_absorption(run: Simulation) -> Table | None:
    """Bleach of dots and host after every pump."""
    parts = []
    for (name, bias), response in run.bleaches.items():
        time, dots, host = _bleach(response)
        parts.append(
            {
                "pump": [name] * len(time),
                "wavelength_nm": np.full(len(time), run.ask.pumps[name].wavelength_nm),
                "fluence_J_per_cm2": np.full(len(time), run.ask.pumps[name].fluence_J_per_cm2),
                "reverse_bias_V": np.full(len(time), bias),
                "time_s": time,
                "exciton_bleach": dots,
                "host_bleach_cm3": host,
            }
        )
    return stacked(parts) if parts else None


def decays(run: Simulation) -> Table | None:
    """How long every bleach lasts."""
    rows = []
    for (name, bias), response in run.bleaches.items():
        time, *signals = _bleach(response)
        for what, signal in zip(("exciton", "host"), signals, strict=True):
            found = decay(time, signal)
            rows.append((name, bias, what, *(float(x) for x in (found.peak_s, found.one_over_e_s, found.mean_s))))
    names = ("pump", "reverse_bias_V", "bleach", "peak_s", "one_over_e_s", "mean_s")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else None


TABLES: dict[str, About] = {
    "light_pulse": About(
        "current into the load while a square pulse of light of the wavelength of interest comes and goes; time 0 is "
        "the stationary current before it",
        "reverse_bias_V, time_s, current_A (into the anode)",
        light_pulse,
    ),
    "switching": About(
        "rise and fall of that current, from 10 to 90 % of its change up to the end of the pulse",
        "reverse_bias_V, rise_s, fall_s, current_before_A, current_at_end_A, second_half (part of the change that came "
        "in the second half of the pulse: zero where it has settled)",
        switching,
    ),
    "transient_absorption": About(
        "bleach after a short pump at time 0, averaged over the depth of the active layers",
        "pump (its name), wavelength_nm, fluence_J_per_cm2, reverse_bias_V, time_s, exciton_bleach (rise of the mean "
        "occupation of the dots' two levels), host_bleach_cm3 (rise of the mean of electrons and holes)",
        transient_absorption,
    ),
    "decays": About(
        "decay of these bleaches from their peaks on",
        "pump, reverse_bias_V, bleach (exciton, host), peak_s (when), one_over_e_s (until 1/e of the peak is left), "
        "mean_s (area over peak: lifetimes weighted with amplitudes; nan where more than 5 % are left at the end)",
        decays,
    ),
}
