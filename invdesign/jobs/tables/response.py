"""Response to light and to voltage: spectra, gain, frequency."""

import numpy as np

from invdesign.constants import HC_EV_NM
from invdesign.jobs.simulation import Simulation
from invdesign.jobs.tables.common import About, Table, stacked


def spectrum(run: Simulation) -> Table:
    """Response and detectivity against wavelength."""
    parts = []
    numbers = run.by_bias.numbers
    for bias, row in run.at_read_frequency():
        eqe, absorbed = numbers["eqe"][row, run.asked_for], numbers["absorptance"][row, run.asked_for]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = eqe / absorbed
        parts.append(
            {
                "reverse_bias_V": np.full(len(eqe), bias),
                "wavelength_nm": run.ask.wavelength_nm,
                "absorptance": absorbed,
                "eqe": eqe,
                "responsivity_A_per_W": numbers["responsivity"][row, run.asked_for],
                "gain": np.where(absorbed > 0, ratio, np.nan),
                "detectivity_Jones": numbers["detectivity"][row, run.asked_for],
                "extrapolated": run.extrapolated[run.asked_for].astype(int),
            }
        )
    return stacked(parts)


def gain(run: Simulation) -> Table:
    """Response against bias at two wavelengths."""
    numbers, bias = run.by_bias.numbers, run.by_bias.reverse_bias_V
    parts = []
    for index, wavelength in enumerate(run.singled_out_nm):
        eqe, absorbed = numbers["eqe"][:, index], numbers["absorptance"][:, index]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(absorbed > 0, eqe / absorbed, np.nan)
        parts.append(
            {
                "reverse_bias_V": bias,
                "wavelength_nm": np.full(len(bias), wavelength),
                "eqe": eqe,
                "responsivity_A_per_W": numbers["responsivity"][:, index],
                "gain": ratio,
            }
        )
    return stacked(parts)


def photoresponse(run: Simulation) -> Table:
    """Response to modulated light."""
    response = run.by_frequency.numbers["loaded"] * run.ask.response_wavelength_nm / HC_EV_NM
    level = np.repeat(run.level_A_per_W, len(run.ask.frequency_Hz))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 20 * np.log10(np.abs(response) / level)
    return {
        "reverse_bias_V": run.by_frequency.reverse_bias_V,
        "frequency_Hz": run.by_frequency.frequency_Hz,
        "response_A_per_W": np.abs(response),
        "phase_deg": np.angle(response, deg=True),
        "relative_dB": relative,
    }


def admittance(run: Simulation) -> Table:
    """Small-signal admittance."""
    value, frequency = run.by_frequency.numbers["admittance"], run.by_frequency.frequency_Hz
    return {
        "reverse_bias_V": run.by_frequency.reverse_bias_V,
        "frequency_Hz": frequency,
        "conductance_S": value.real,
        "susceptance_S": value.imag,
        "capacitance_F": value.imag / (2 * np.pi * frequency),
    }


TABLES: dict[str, About] = {
    "spectrum": About(
        "response at the frequency of interest to every wavelength, from one adjoint solution per bias",
        "reverse_bias_V, wavelength_nm, absorptance (of the active layers), eqe, responsivity_A_per_W, gain, "
        "detectivity_Jones, extrapolated",
        spectrum,
    ),
    "gain": About(
        "response against bias at the wavelength of interest and, where the n,k data reach it, at 975 nm",
        "reverse_bias_V, wavelength_nm, eqe, responsivity_A_per_W, gain",
        gain,
    ),
    "photoresponse": About(
        "response to modulated light at the wavelength of interest (reproduce: 975 nm, the laser), into load_ohm",
        "reverse_bias_V, frequency_Hz, response_A_per_W, phase_deg, relative_dB (against 1 Hz)",
        photoresponse,
    ),
    "admittance": About(
        "small-signal admittance of the device at its terminals",
        "reverse_bias_V, frequency_Hz, conductance_S, susceptance_S, capacitance_F",
        admittance,
    ),
}
