"""How each statement of the paper is read from the solved operating points, and why some cannot be.

A measure is a function of `Solved` that returns the number in the statement's unit: nan if the model has the physics
but not the event (no gain of one at any bias, say), None if there is no device to compare with.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from invdesign.analyses.transient import decay, rise_and_fall_times
from invdesign.constants import HC_EV_NM
from invdesign.jobs.reproduction import (
    ASK,
    BLEACHING_NM,
    BLUE_NM,
    COOLING_K,
    EXCITON_NM,
    FLUENCE,
    LASER_NM,
    PULSE_FIELD,
    PULSE_RATE_HZ,
    READ_BIAS_V,
    RED_NM,
    SWITCHED_S,
    TRANSFER_NM,
    Solved,
    crossing,
    emission_rate,
    field_shares,
    measured_noise,
    permittivity,
)

Measure = Callable[[Solved], float | None]

PICO, PERCENT = 1e12, 100.0
COLD_BIAS_V = 3.0
"""Where noise before and after cooling is read; the paper does not say."""
FAINT = 0.1
"""An absorption or a response ends where it has fallen to this part of the exciton peak."""
HOST_EDGE_PER_CM = 1e3
"""The host's absorption ends where its coefficient falls below this, in a direct gap within kT of the edge."""
LINEAR_LOSS = 0.2
"""Responsivity counts as constant while it has lost less than this, the tolerance of the paper's noise readings."""
DENSITY_PBS, DENSITY_PEROVSKITE = 7.6, 4.1
"""g/cm3, of PbS and MAPb(I,Br)3 (handbook values; the second within 2 % of X-ray densities)."""
HALIDE_OVER_PEROVSKITE = 445.3 / 596.5
"""Molar masses of PbI(5/3)Br(1/3) and MAPbI2.5Br0.5."""


# --- materials and optics ------------------------------------------------------------------------------------------


def _thickness(layer: str) -> Measure:
    return lambda s: float(s.device.layers[layer].thickness_nm) if layer in s.device.layers else float("nan")


def _halide(s: Solved) -> float:
    """Bromine per formula unit MAPbX3; nan for another host."""
    return 3 * float(getattr(s.film.host, "bromide_fraction", np.nan))


def _mass_ratio(s: Solved) -> float:
    """Dots to perovskite by mass, from the volume fraction."""
    fraction = float(s.film.dots.volume_fraction)
    return fraction * DENSITY_PBS / ((1 - fraction) * DENSITY_PEROVSKITE)


def _extinction(s: Solved, host: bool) -> tuple[np.ndarray, np.ndarray]:
    """Absorption coefficient (cm^-1) of the film or of its host over wavelength (nm)."""
    wavelength = np.arange(500.0, 1601.0, 1.0)
    material = s.film.host if host else s.film
    index = np.sqrt(np.asarray(permittivity(material, jnp.asarray(wavelength)), complex))
    return wavelength, 4 * np.pi * np.imag(index) / (wavelength * 1e-7)


def _exciton_peak(s: Solved) -> float:
    """Where the film's absorption has its first maximum from the long-wave side, nm."""
    wavelength, alpha = _extinction(s, host=False)
    rising = np.flatnonzero(np.diff(alpha[::-1]) < 0)
    return float(wavelength[::-1][rising[0]])


def _onset(s: Solved) -> float:
    """Where the film's absorption has fallen to a tenth of its exciton peak, nm."""
    wavelength, alpha = _extinction(s, host=False)
    peak = _exciton_peak(s)
    beyond = wavelength >= peak
    return crossing(wavelength[beyond], -alpha[beyond], -FAINT * float(alpha[wavelength == peak][0]))


def _host_cutoff(s: Solved) -> float:
    wavelength, alpha = _extinction(s, host=True)
    return crossing(wavelength, -alpha, -HOST_EDGE_PER_CM)


def _host_gap(s: Solved) -> float:
    return float(s.film.host.bulk(s.device.kT).band_gap)


def _offset(carrier: int) -> Measure:
    return lambda s: float(s.film.offsets_eV(s.film.host.bulk(s.device.kT))[carrier])


def _field_ratio(s: Solved) -> float:
    """Field in a dot over that in the host."""
    inside, host = field_shares(s)
    return inside / host


def _aperture(s: Solved) -> float:
    """What the light falls on, cm^2."""
    lit = s.run.ask.readout.illuminated_area_cm2
    return float(s.device.area_cm2 if lit is None else lit)


# --- dots in the field ---------------------------------------------------------------------------------------------


def _thermalisation(s: Solved) -> float:
    return PICO * float(s.film.dots.capture_time_s)


def _capture_probability(mobility: float) -> Measure:
    """Per dot passed, at 1 MV/cm: a row of the table of capture, between its points by ln."""

    def measure(s: Solved) -> float:
        grid, probability = _capture_curve(s)
        return float(np.exp(np.interp(np.log(mobility), np.log(grid), np.log(probability))))

    return measure


def _capture_curve(s: Solved) -> tuple[np.ndarray, np.ndarray]:
    table = s.tables["capture"]
    here = (table["field_V_per_cm"] == 1e6) & (table["capture_time_ps"] == table["capture_time_ps"].min())
    return table["mobility_cm2_per_Vs"][here], table["capture_probability"][here]


def _capture_mobility(s: Solved) -> float:
    grid, probability = _capture_curve(s)
    return crossing(grid, -probability, -0.1, logarithmic=True)


def _tunnelling_share(s: Solved) -> tuple[np.ndarray, np.ndarray]:
    """Field (MV/cm) and the electron's tunnelling over thermionic emission."""
    table = s.tables["rates"]
    ratio = table["electron_field_emission_per_s"] / table["electron_thermionic_per_s"]
    return table["field_V_per_cm"] / 1e6, ratio


def _emission_order(s: Solved) -> float:
    """The ratio at 0.2 MV/cm, the strongest field that the paper applies, if it is below one at 0.01 MV/cm; else 0."""
    field, ratio = _tunnelling_share(s)
    low, high = np.interp([0.01, PULSE_FIELD], field, ratio)
    return float(high if low < 1 else 0)


def _crossover(s: Solved) -> float:
    field, ratio = _tunnelling_share(s)
    return crossing(field, ratio, 1.0, logarithmic=True)


def _capture_change(s: Solved) -> float:
    """Field (MV/cm) at which the electron's capture rate has doubled."""
    table = s.tables["rates"]
    rate = table["electron_capture_per_s"]
    return crossing(table["field_V_per_cm"] / 1e6, rate / rate[0], 2.0, logarithmic=True)


def _bleach_decay(field: float, delay_ps: float) -> Measure:
    """Time constant of the exciton's bleach at a delay after the 450 nm pump, -s/(ds/dt), ps; nan while it rises."""

    def measure(s: Solved) -> float:
        response = s.pumped.get((BLEACHING_NM, field))
        if response is None:
            return float("nan")
        time = PICO * np.asarray(response.transient.time_s)
        falling = -np.gradient(np.asarray(response.dots), time)
        left, slope = (float(np.interp(delay_ps, time, each)) for each in (response.dots, falling))
        return left / slope if slope > 0 else float("nan")

    return measure


def _host_decay(s: Solved) -> float:
    """1/e time of the host's bleach in the field over that without, after the pump that dots absorb."""
    if (TRANSFER_NM, PULSE_FIELD) not in s.pumped:
        return float("nan")
    both = [s.pumped[TRANSFER_NM, field] for field in (PULSE_FIELD, 0.0)]
    lives = [float(decay(one.transient.time_s, one.host_cm3).one_over_e_s) for one in both]
    return lives[0] / lives[1]


def _pure_decays(s: Solved) -> float | None:
    """Larger ratio, of the longer over the shorter decay, of dots alone and of the host alone."""
    changes = [other.decay_change for other in s.compared.values()]
    return float(np.max([max(change, 1 / change) for change in changes])) if changes else None


def _injection_time(s: Solved) -> float:
    """Time in which the electron leaves, ps."""
    return PICO / emission_rate(s, "electron", PULSE_FIELD)


# --- current and field of the device -------------------------------------------------------------------------------


def _saturation_field(s: Solved) -> float:
    """Film field (MV/cm) at which the EQE at 1240 nm has come to 90 % of that at the highest bias."""
    eqe = s.eqe_over_bias(EXCITON_NM)
    return crossing(s.film_field_MV_per_cm, eqe, 0.9 * eqe[-1])


def _majority_field(s: Solved) -> float:
    """Film field (MV/cm) at which half of what the dots absorb is collected."""
    return crossing(s.film_field_MV_per_cm, s.eqe_over_bias(EXCITON_NM) / s.absorptance(EXCITON_NM), 0.5)


def _tunnelling_onset(s: Solved) -> float:
    """Reverse bias (V) from which ln(J/V^2) of the dark current rises, up to the highest one: the lowest point of a
    parabola through the three points about it. The bias is that of the instrument, without the built-in voltage."""
    table = s.tables["jv"]
    reverse = np.flatnonzero(table["voltage_V"] < 0)[::-1]
    bias = -table["voltage_V"][reverse]
    curve = np.log(np.abs(table["dark_current_density_A_per_cm2"][reverse]) / bias**2)
    falls = np.flatnonzero(~(np.diff(curve) > 0))
    place = int(falls[-1]) + 1 if falls.size else 0
    if not 0 < place < len(curve) - 1:
        return float("nan")
    curvature, slope, _ = np.polyfit(bias[place - 1 : place + 2] - bias[place], curve[place - 1 : place + 2], 2)
    return float(bias[place] - slope / (2 * curvature))


def _onset_field(s: Solved) -> float:
    """That bias over the thickness of the film, MV/cm."""
    return 1e-6 * _tunnelling_onset(s) / float(s.device.thickness_cm(s.film_name))


def _breakdown(s: Solved) -> float:
    """Reverse bias at which the peak field of the film comes to its breakdown field."""
    peak = s.run.by_bias.numbers["peak_field"][s.film_name]
    limit = float(s.device.bulk(s.film_name).breakdown_field)
    within = crossing(s.reverse_bias_V, peak, limit)
    # beyond the sweep the field follows its last slope, which is that of depleted contacts
    slope = (peak[-1] - peak[-5]) / (s.reverse_bias_V[-1] - s.reverse_bias_V[-5])
    return within if np.isfinite(within) else float(s.reverse_bias_V[-1] + (limit - peak[-1]) / slope)


def _rectification(s: Solved) -> float:
    return abs(s.dark_density(1.0) / s.dark_density(-1.0))


def _dark_against_dots(s: Solved) -> float | None:
    other = s.compared.get("cqd_only")
    return abs(s.dark_density(-READ_BIAS_V)) / other.dark_current_density_A_per_cm2 if other else None


# --- response ------------------------------------------------------------------------------------------------------


def _responsivity(s: Solved, bias: float) -> float:
    """At the laser's wavelength, A/W."""
    return s.eqe(LASER_NM, bias) * LASER_NM / HC_EV_NM


def _flat_end(s: Solved) -> float:
    response = s.eqe_over_bias(LASER_NM)
    return crossing(s.reverse_bias_V, response / response[0], 1.1)


def _eqe(wavelength: float, bias: float) -> Measure:
    return lambda s: PERCENT * s.eqe(wavelength, bias)


def _rise(s: Solved, wavelength: float) -> float:
    return s.eqe(wavelength, 3.0) / s.eqe(wavelength, 0.0)


def _response_limit(s: Solved) -> float:
    """Where the EQE at 0 V has fallen to a tenth of that at the exciton, nm."""
    wavelength = s.run.ask.wavelength_nm
    eqe = s.run.by_bias.numbers["eqe"][s.run.by_bias.rows(0.0)[0], s.run.asked_for]
    beyond = wavelength >= EXCITON_NM
    return crossing(wavelength[beyond], -eqe[beyond], -FAINT * s.eqe(EXCITON_NM, 0.0))


def _rise_time(s: Solved) -> float:
    """10 to 90 % of the current of a square pulse, or its fall if that is longer, microseconds."""
    return 1e6 * max(float(each) for each in rise_and_fall_times(s.switched, 0.0, SWITCHED_S))


# --- noise and detectivity -----------------------------------------------------------------------------------------


def _shot(s: Solved) -> float:
    """Shot noise of the dark current at 1 V, A/rtHz; none flows at 0 V."""
    return s.shot_noise(READ_BIAS_V)


def _noise_ratio(frequency: float) -> Measure:
    return lambda s: s.noise(frequency, 0.0) / _shot(s)


def _noise_rise(s: Solved) -> float:
    return s.noise(1e3, 3.0) / s.noise(1e3, 0.5)


def knee(frequency: np.ndarray, noise: np.ndarray) -> float:
    """Where the power of a noise current has fallen to twice its lowest value; nan if it does not fall so far."""
    white = np.sqrt(2) * np.min(noise)
    return crossing(frequency, -noise, -white, logarithmic=True) if noise[0] > white else float("nan")


def _cold_noise(s: Solved) -> float:
    """After cooling, at a bias where leakage is noisier than the dots' exchange with the host."""
    frequency, noise = measured_noise(s.cold, COLD_BIAS_V)
    return float(noise[np.argmin(np.abs(frequency - 1e3))])


def _linear_end(s: Solved) -> float:
    """mW/cm2."""
    return 1e3 * s.linearity.end(LINEAR_LOSS)


def _linear_decades(s: Solved) -> float:
    """From the light that equals the noise in 1 Hz to the upper end, or as far as light was followed."""
    noise = s.noise(1e3, READ_BIAS_V)
    faintest = noise / _responsivity(s, READ_BIAS_V) / _aperture(s)
    end, followed = s.linearity.end(LINEAR_LOSS), s.linearity.solved.irradiance_W_per_cm2
    if not followed.size:
        return float("nan")
    return float(np.log10((end if np.isfinite(end) else followed[-1]) / faintest))


def _linear_drop(s: Solved) -> float:
    responsivity = s.linearity.solved.responsivity_A_per_W
    return float(responsivity[-1] / responsivity[0]) if responsivity.size else float("nan")


def _visible(s: Solved) -> float:
    """Largest detectivity between 400 and 700 nm."""
    wavelength = s.run.ask.wavelength_nm
    row = int(s.run.by_bias.rows(READ_BIAS_V)[0])
    values = s.run.by_bias.numbers["detectivity"][row, s.run.asked_for]
    return float(np.max(values[(wavelength >= 400) & (wavelength <= 700)]))


def _detectivity_against(name: str, wavelength: float) -> Measure:
    def measure(s: Solved) -> float | None:
        other = s.compared.get(name)
        return s.detectivity(wavelength, READ_BIAS_V) / other.detectivity_Jones[wavelength] if other else None

    return measure


# --- the list ------------------------------------------------------------------------------------------------------

MEASURES: dict[str, Measure] = {
    "tio2_thickness": _thickness("TiO2"),
    "film_thickness": lambda s: float(s.device.layers[s.film_name].thickness_nm),
    "spiro_thickness": _thickness("spiro"),
    "gold_results": _thickness("Au"),
    "gold_methods": _thickness("Au"),
    "iodine": lambda s: 3 - _halide(s),
    "bromine": _halide,
    "mass_ratio_film": _mass_ratio,
    "mass_ratio_solution": lambda s: _mass_ratio(s) / HALIDE_OVER_PEROVSKITE,
    "aperture": _aperture,
    "area": lambda s: float(s.device.area_cm2),
    "load": lambda s: ASK.load_ohm,
    "laser_wavelength": lambda s: LASER_NM,
    "exciton_wavelength": _exciton_peak,
    "exciton_energy": lambda s: float(s.film.dots.exciton_energy_eV),
    "onset_wavelength": _onset,
    "onset_energy": lambda s: HC_EV_NM / _onset(s),
    "host_cutoff": _host_cutoff,
    "host_gap": _host_gap,
    "hole_offset": _offset(1),
    "electron_offset": _offset(0),
    "dot_permittivity": lambda s: float(s.film.dots.relative_permittivity),
    "host_permittivity": lambda s: float(s.film.host.bulk(s.device.kT).permittivity),
    "field_ratio": _field_ratio,
    "saturation_field": _saturation_field,
    "thermalisation_time": _thermalisation,
    "capture_mobility": _capture_mobility,
    "capture_probability": _capture_probability(10.0),
    "capture_field": lambda s: 1.0,
    "emission_order": _emission_order,
    "crossover_field": _crossover,
    "capture_change": _capture_change,
    "majority_collected": _majority_field,
    "tunnelling_onset_field": _onset_field,
    "tunnelling_onset_bias": _tunnelling_onset,
    "breakdown_bias": _breakdown,
    "fast_decay_rest": _bleach_decay(0.0, 164.0),
    "fast_decay_field": _bleach_decay(PULSE_FIELD, 76.0),
    "slow_decay_rest": _bleach_decay(0.0, 1500.0),
    "injection_time": _injection_time,
    "pulse_field": lambda s: PULSE_FIELD,
    "pulse_wavelength": lambda s: BLEACHING_NM,
    "pulse_fluence": lambda s: 1e6 * FLUENCE[BLEACHING_NM],
    "transfer_wavelength": lambda s: TRANSFER_NM,
    "transfer_fluence": lambda s: 1e6 * FLUENCE[TRANSFER_NM],
    "pulse_rate": lambda s: PULSE_RATE_HZ,
    "host_decay": _host_decay,
    "pure_decays": _pure_decays,
    "rectification": _rectification,
    "dark_against_dots": _dark_against_dots,
    "flat_responsivity": lambda s: 1e3 * _responsivity(s, 0.0),
    "flat_end": _flat_end,
    "turn_on": lambda s: _responsivity(s, 0.5) / _responsivity(s, 0.0),
    "unity_gain_bias": lambda s: crossing(s.reverse_bias_V, s.gain_over_bias(), 1.0),
    "gain_above_one": lambda s: float(np.max(s.gain_over_bias())),
    "gain_max": lambda s: s.gain(6.0),
    "gain_max_bias": lambda s: float(s.reverse_bias_V[np.argmax(s.gain_over_bias())]),
    "eqe_400_0V": _eqe(BLUE_NM, 0.0),
    "eqe_1240_0V": _eqe(EXCITON_NM, 0.0),
    "eqe_1240_1V": _eqe(EXCITON_NM, 1.0),
    "eqe_400_3V": _eqe(BLUE_NM, 3.0),
    "eqe_1240_3V": _eqe(EXCITON_NM, 3.0),
    "response_limit": _response_limit,
    "eqe_rise": lambda s: _rise(s, EXCITON_NM),
    "eqe_rise_colour": lambda s: _rise(s, EXCITON_NM) / _rise(s, BLUE_NM),
    "rise_time": _rise_time,
    "bandwidth": lambda s: s.bandwidth_Hz(READ_BIAS_V) / 1e3,
    "gain_bandwidth": lambda s: s.gain(3.0) * s.bandwidth_Hz(3.0) / 1e3,
    "noise_1Hz": lambda s: PICO * s.noise(1.0, 0.0),
    "shot_noise": lambda s: PICO * _shot(s),
    "noise_excess_1Hz": _noise_ratio(1.0),
    "noise_excess_1kHz": _noise_ratio(1e3),
    "noise_knee": lambda s: knee(*measured_noise(s.run, 0.0)),
    "noise_rise": _noise_rise,
    "noise_headline": lambda s: PICO * s.noise(1e3, READ_BIAS_V),
    "cooling": lambda s: COOLING_K,
    "cooling_noise": lambda s: s.noise(1e3, COLD_BIAS_V) / _cold_noise(s),
    "cold_noise": lambda s: PICO * _cold_noise(s),
    "linear_decades": _linear_decades,
    "linear_end": _linear_end,
    "linear_range": lambda s: 10 * _linear_decades(s),
    "linear_drop": _linear_drop,
    "detectivity_floor": lambda s: s.detectivity(EXCITON_NM, READ_BIAS_V),
    "detectivity_swir": lambda s: s.detectivity(EXCITON_NM, READ_BIAS_V),
    "detectivity_visible": _visible,
    "detectivity_against_dots": _detectivity_against("cqd_only", EXCITON_NM),
    "visible_on_par": _detectivity_against("perovskite_only", RED_NM),
    "stability_bias": lambda s: READ_BIAS_V,
}
"""By the id of the statement."""

INPUTS: frozenset[str] = frozenset(
    (
        *("tio2_thickness", "film_thickness", "spiro_thickness", "gold_results", "gold_methods", "iodine", "bromine"),
        *(
            "mass_ratio_film",
            "mass_ratio_solution",
            "area",
            "aperture",
            "load",
            "laser_wavelength",
            "exciton_energy",
            "host_gap",
        ),
        *("electron_offset", "dot_permittivity", "host_permittivity", "thermalisation_time", "capture_field"),
        *("pulse_field", "pulse_wavelength", "pulse_fluence", "transfer_wavelength", "transfer_fluence", "pulse_rate"),
        *("breakdown_bias", "shot_noise", "cooling", "stability_bias"),
    )
)
"""Statements that went into the device or into the question: to meet them is no result of the model."""

FITTED: frozenset[str] = frozenset(("eqe_1240_1V", "response_limit", "bandwidth", "cooling_noise"))
"""Statements that the default device was fitted to (dataset=qdip_literature): that it meets them foretells nothing."""

LOCAL = "tunnelling that lands behind the barrier (off by default): locally the field drives emission and capture alike"
INJECTION = "contacts that inject, which the default device does not have"
FLICKER = "1/f noise at 0 V, which a device cannot have: that of an instrument (readout)"
IONS = "mobile ions (none in the default device)"
LEAKAGE = "leakage that grows with the field (an option of a layer): the dark current is an ohmic shunt"
REUNION = "a loss besides that of excitons: carriers caught in different dots, or set free again, have to meet first"
RECAPTURE = "tunnelling that lands behind the barrier and is recaptured less (an option, off by default)"
MISSING: dict[str, str] = {
    "eqe_chopping": "a chopper: the response is that to a weak sine, at 1 kHz",
    "eqe_irradiance": "a level of light: the response is that to weak light",
    "wavefunctions": "wave functions inside a dot",
    "emission_over_capture": LOCAL,
    "gain_origin": INJECTION,
    "flicker_origin": "an origin of 1/f noise: its strength is put in, by material and for the leakage",
    "stability": "ageing",
}
"""Statements that the model cannot be asked, with what it lacks."""

LACKS: dict[str, str] = {
    "fast_decay_rest": REUNION,
    "fast_decay_field": REUNION,
    "slow_decay_rest": REUNION,
    "pure_decays": "a film whose carriers the field does not sweep into contacts",
    "capture_change": LOCAL,
    "tunnelling_onset_field": LEAKAGE,
    "tunnelling_onset_bias": LEAKAGE,
    "flat_responsivity": IONS,
    "flat_end": IONS,
    "turn_on": IONS,
    "eqe_400_0V": IONS,
    "eqe_1240_0V": IONS,
    "eqe_rise": IONS,
    "unity_gain_bias": INJECTION,
    "gain_above_one": INJECTION,
    "gain_max": INJECTION,
    "gain_max_bias": INJECTION,
    "gain_bandwidth": INJECTION,
    "eqe_1240_3V": INJECTION,
    "bandwidth": RECAPTURE,
    "rise_time": RECAPTURE,
    "noise_1Hz": FLICKER,
    "noise_excess_1Hz": FLICKER,
    "noise_knee": FLICKER,
    "cooling_noise": "a leakage that freezes out (activation_energy_eV of the shunt)",
    "linear_end": "a limit of the instrument: 0.1 mW/cm2 make 0.4 microampere, a volt in 3 megohm",
}
"""What would move a value that misses its range: a process that the model, or the default device, does not have."""
