"""Statements of the paper that bear on each other: what some of them imply, against what another one says.

Each comparison derives one number from stated numbers by a textbook formula, carries the stated tolerances through it,
and holds the result against a statement. Where the two ranges do not meet, no parameters can meet all of the rows, and
bending them to one side would be no reproduction. The model itself is not asked; a few comparisons need a material
constant, which is named.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from invdesign.constants import (
    BOLTZMANN_EV_PER_K,
    CM_PER_NM,
    ELEMENTARY_CHARGE_C,
    HC_EV_NM,
    VACUUM_PERMITTIVITY_F_PER_CM,
)
from invdesign.paper.statements import Statement
from invdesign.processes.field_emission import BarrierEscape, lever_arm

Statements = Mapping[str, Statement]

KT_EV = BOLTZMANN_EV_PER_K * 300
PICO, KILO, MEGA, PERCENT = 1e-12, 1e3, 1e6, 1e-2

VALENCE_DOS_CM3 = 5.8e18
"""Of the host: Courtier et al. 2019, DOI 10.1007/s10825-019-01396-2."""
BARRIER_MASS = 0.2
"""From the reduced mass, Miyata et al. 2015, DOI 10.1038/nphys3357."""
DIAMETER_NM, VOLUME_FRACTION = 4.32, 0.29
"""Of dots with the stated exciton energy (Moreels et al. 2009, DOI 10.1021/nn900863a) at the stated mass ratio."""
FILM_PERMITTIVITY = 53.0
"""Maxwell Garnett mixture of the stated permittivities."""
HALIDE_OVER_PEROVSKITE = 445.3 / 596.5
"""Molar masses of PbI(5/3)Br(1/3) and MAPbI2.5Br0.5."""


class Span(NamedTuple):
    """A number and the range that the stated tolerances leave it."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """What some rows imply, against what others state."""

    id: str
    title: str
    rows: tuple[str, ...]
    """The statements that it is about."""
    quantity: str
    unit: str
    implied: Callable[[Statements], Span]
    stated: Callable[[Statements], Span]
    reason: str
    side: str
    """Which statements the default device keeps to, and why."""

    def verdict(self, statements: Statements) -> str:
        """contradiction: the ranges do not meet; tension: they do, but not at the implied value; agreement."""
        implied, stated = self.implied(statements), self.stated(statements)
        if implied.high < stated.low or implied.low > stated.high:
            return "contradiction"
        return "agreement" if stated.low <= implied.value <= stated.high else "tension"


# --- the arithmetic of tolerances ----------------------------------------------------------------------------------


def implied_by(*names: str) -> Callable[[Callable[..., float]], Callable[[Statements], Span]]:
    """Make a function of numbers one of statements: its value, and its extremes over the corners of their ranges."""

    def decorate(function: Callable[..., float]) -> Callable[[Statements], Span]:
        def span(statements: Statements) -> Span:
            rows = [statements[name] for name in names]
            corners = itertools.product(*({_finite(row.low, row), _finite(row.high, row)} for row in rows))
            values = [float(function(*corner)) for corner in corners]
            return Span(float(function(*(_finite(row.value, row) for row in rows))), min(values), max(values))

        span.__doc__ = function.__doc__
        return span

    return decorate


def _finite(number: float, row: Statement) -> float:
    """A number of a row; the end of an open range, and the value of a mere limit, is what is stated."""
    candidates = (number, row.value, row.high, row.low)
    return next(one for one in candidates if np.isfinite(one))


def as_stated(name: str) -> Callable[[Statements], Span]:
    """A row itself."""

    def span(statements: Statements) -> Span:
        row = statements[name]
        return Span(_finite(row.value, row), row.low, row.high)

    return span


# --- detectivity and noise -----------------------------------------------------------------------------------------


@implied_by("detectivity_swir", "noise_headline", "area")
def _eqe_of_detectivity(detectivity: float, noise_pA: float, area_cm2: float) -> float:
    """EQE times gain in % at 1240 nm, from D* = R sqrt(A)/i_n and R = q lambda EQE/hc."""
    responsivity = detectivity * noise_pA * PICO / np.sqrt(area_cm2)
    return responsivity * HC_EV_NM / 1240 / PERCENT


@implied_by("noise_1Hz", "noise_knee")
def _noise_after_flicker(noise_pA: float, knee_Hz: float) -> float:
    """Noise current (pA/rtHz) at the knee if S_I ~ 1/f from 1 Hz on."""
    return noise_pA / np.sqrt(knee_Hz)


@implied_by("noise_excess_1kHz", "shot_noise")
def _white_noise(excess: float, shot_pA: float) -> float:
    """White noise current, pA/rtHz."""
    return excess * shot_pA


@implied_by("noise_1Hz")
def _resistance_at_1Hz(noise_pA: float) -> float:
    """Resistance (ohm) of a device at rest with this noise: S_I = 4 kT Re Y."""
    return 4 * ELEMENTARY_CHARGE_C * KT_EV / (noise_pA * PICO) ** 2


@implied_by("noise_excess_1kHz", "shot_noise")
def _resistance_at_1kHz(excess: float, shot_pA: float) -> float:
    """The same at 1 kHz, ohm."""
    return 4 * ELEMENTARY_CHARGE_C * KT_EV / (excess * shot_pA * PICO) ** 2


@implied_by("cooling_noise", "cooling")
def _activation_of_noise(ratio: float, step_K: float) -> float:
    """Activation energy (eV) of the current whose shot noise falls by `ratio`: S_I ~ exp(-E/kT), from 300 K."""
    cold = 300 - step_K
    return 2 * np.log(ratio) * BOLTZMANN_EV_PER_K * 300 * cold / step_K


# --- response and gain ---------------------------------------------------------------------------------------------


@implied_by("flat_responsivity", "laser_wavelength", "eqe_1240_0V")
def _colour_at_rest(responsivity_mA: float, wavelength_nm: float, eqe_percent: float) -> float:
    """EQE at the laser over that at 1240 nm, both at 0 V."""
    return responsivity_mA * 1e-3 * HC_EV_NM / wavelength_nm / (eqe_percent * PERCENT)


@implied_by("flat_responsivity", "laser_wavelength", "turn_on", "eqe_1240_1V")
def _colour_under_bias(responsivity_mA: float, wavelength_nm: float, ratio: float, eqe_percent: float) -> float:
    """EQE at the laser at 0.5 V over that at 1240 nm at 1 V."""
    return ratio * responsivity_mA * 1e-3 * HC_EV_NM / wavelength_nm / (eqe_percent * PERCENT)


@implied_by("gain_bandwidth", "gain_max")
def _bandwidth_at_largest_gain(product_kHz: float, gain: float) -> float:
    """Bandwidth (kHz) that the largest product of gain and bandwidth leaves to the largest gain."""
    return product_kHz / gain


@implied_by("gain_bandwidth", "bandwidth", "eqe_1240_3V", "eqe_1240_1V")
def _gain_at_1V(product_kHz: float, bandwidth_kHz: float, eqe_3V: float, eqe_1V: float) -> float:
    """Gain at 1 V: that at 3 V, product over bandwidth, times the ratio of both EQE."""
    return product_kHz / bandwidth_kHz * eqe_1V / eqe_3V


def _below_one(statements: Statements) -> Span:
    return Span(1.0, 0.0, 1.0)


@implied_by("gain_bandwidth", "bandwidth", "film_thickness")
def _injected_current(product_kHz: float, bandwidth_kHz: float, thickness_nm: float) -> float:
    """Standing injection (A/cm2) behind this gain: (G - 1) f_3dB = J q/(2 pi C kT), C that of the film."""
    capacitance = FILM_PERMITTIVITY * VACUUM_PERMITTIVITY_F_PER_CM / (thickness_nm * CM_PER_NM)
    return 2 * np.pi * capacitance * KT_EV * (product_kHz - bandwidth_kHz) * KILO


@implied_by("shot_noise", "area")
def _dark_current_of_noise(shot_pA: float, area_cm2: float) -> float:
    """Current density (A/cm2) whose shot noise is stated: i = sqrt(2 q I)."""
    return (shot_pA * PICO) ** 2 / (2 * ELEMENTARY_CHARGE_C) / area_cm2


@implied_by("turn_on")
def _slope_of_turn_on(ratio: float) -> float:
    """Logarithmic slope of the response between 0.3 and 0.5 V, per volt."""
    return np.log(ratio) / 0.2


@implied_by("hole_offset", "film_thickness")
def _slope_of_emission(offset_eV: float, thickness_nm: float) -> float:
    """The same slope of the escape over and through a barrier in the field V/d, per volt."""
    fields = [volts / (thickness_nm * CM_PER_NM) for volts in (0.3, 0.5)]
    weak, strong = (_enhancement(offset_eV, field) for field in fields)
    return np.log(strong / weak) / 0.2


def _enhancement(offset_eV: float, field_V_per_cm: float) -> float:
    """Escape of a carrier in the field, relative to that at rest; field in dot and barrier as in the mean."""
    arm = lever_arm(jnp.asarray(DIAMETER_NM), jnp.ones(()))
    escape = BarrierEscape(jnp.asarray(offset_eV), jnp.asarray(BARRIER_MASS), arm, jnp.ones(()))
    return float(escape.enhancement(jnp.asarray(float(field_V_per_cm)), jnp.asarray(KT_EV)))


# --- fields, energies, the rest ------------------------------------------------------------------------------------


@implied_by("tunnelling_onset_field", "tunnelling_onset_bias")
def _length_of_onset(field_MV: float, bias_V: float) -> float:
    """Length (nm) over which the bias of the onset gives its field."""
    return bias_V / (field_MV * MEGA) / CM_PER_NM


@implied_by("hole_offset", "electron_offset", "exciton_energy")
def _gap_of_offsets(hole_eV: float, electron_eV: float, exciton_eV: float) -> float:
    """Gap of the host, eV: the exciton and both offsets fill it."""
    return hole_eV + electron_eV + exciton_eV


@implied_by("host_cutoff")
def _gap_of_cutoff(wavelength_nm: float) -> float:
    """Photon energy at the end of the host's absorption, eV."""
    return HC_EV_NM / wavelength_nm


@implied_by("hole_offset", "thermalisation_time", "pulse_field")
def _hole_release_kHz(offset_eV: float, time_ps: float, field_MV: float) -> float:
    """Bandwidth (kHz) of a dot that must release its hole: e = N_v/(N tau) exp(-phi/kT) H(F), f = e/2 pi."""
    dots = VOLUME_FRACTION / (np.pi / 6 * (DIAMETER_NM * CM_PER_NM) ** 3)
    at_rest = VALENCE_DOS_CM3 / dots / (time_ps * PICO) * np.exp(-offset_eV / KT_EV)
    return at_rest * _enhancement(offset_eV, field_MV * MEGA) / (2 * np.pi) / KILO


@implied_by("mass_ratio_film")
def _mass_ratio_in_solution(ratio: float) -> float:
    """Dots to lead halide by mass: the perovskite is heavier by the methylammonium halide it takes up."""
    return ratio / HALIDE_OVER_PEROVSKITE


@implied_by("linear_decades")
def _range_of_decades(decades: float) -> float:
    """10 log10 of the ratio of powers, dB (20 log10 would be twice as much)."""
    return 10 * decades


@implied_by("eqe_1240_3V", "eqe_1240_0V")
def _rise_of_eqe(at_3V: float, at_0V: float) -> float:
    return at_3V / at_0V


@implied_by("bandwidth")
def _rise_time_us(bandwidth_kHz: float) -> float:
    """10 to 90 % of a single pole: ln 9/(2 pi f) = 0.35/f, in microseconds."""
    return np.log(9) / (2 * np.pi * bandwidth_kHz * KILO) * MEGA


# --- the list ------------------------------------------------------------------------------------------------------

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "detectivity",
        "Detectivity against noise and EQE",
        ("detectivity_swir", "detectivity_visible", "noise_headline", "eqe_1240_3V", "eqe_1240_1V", "area"),
        "EQE times gain at 1240 nm",
        "%",
        _eqe_of_detectivity,
        as_stated("eqe_1240_3V"),
        "D* = R sqrt(A)/i_n with the stated noise and area wants more electrons per photon than the stated EQE, also "
        "at the lowest noise and the lowest detectivity that the rows allow.",
        "Noise: the leakage carries the dark current behind the stated shot noise, and detectivity is what follows.",
    ),
    Comparison(
        "flicker_slope",
        "1/f noise from 1 Hz to the knee",
        ("noise_1Hz", "noise_knee", "noise_excess_1kHz", "noise_excess_1Hz", "flicker_origin"),
        "noise at the knee",
        "pA/rtHz",
        _noise_after_flicker,
        _white_noise,
        "From 30 pA/rtHz at 1 Hz, 1/f noise has fallen by the root of 1000 at the knee, which leaves far more than the "
        "white level. Meeting both ends takes S_I ~ 1/f^1.9.",
        "White noise: the model has none that rises towards low frequency.",
    ),
    Comparison(
        "noise_at_rest",
        "Noise in the dark at 0 V",
        ("noise_1Hz", "noise_excess_1Hz", "noise_excess_1kHz", "shot_noise", "flicker_origin"),
        "resistance that noise at 1 Hz implies",
        "ohm",
        _resistance_at_1Hz,
        _resistance_at_1kHz,
        "A device at equilibrium has S_I = 4kT Re Y and nothing else. The noise at 1 Hz would be that of 18 ohm, the "
        "white noise that of megaohms. No current flows at 0 V, so that there is no shot noise of it to compare with, "
        "and noise of a fluctuating conductance vanishes with it. Such noise belongs to the instrument, or to ions "
        "that have not come to rest.",
        "The theorem: at 0 V the model has 4kT Re Y.",
    ),
    Comparison(
        "cooling",
        "Noise against temperature",
        ("cooling_noise", "cooling", "exciton_energy"),
        "activation energy of the dark current",
        "eV",
        _activation_of_noise,
        as_stated("exciton_energy"),
        "Ten times less noise for 25 K means a hundred times less current, an activation energy above the exciton "
        "energy, although generation across the dots is activated by that at most. A leakage of another origin may "
        "have it. (That the noise ends below 0.3 pA/rtHz fits any starting point; 3 pA/rtHz, ten times that, is stated "
        "nowhere.)",
        "Both: the leakage, which carries the dark current, has that activation energy, and dots have their exciton.",
    ),
    Comparison(
        "colour",
        "Response at 975 nm against that at 1240 nm",
        ("flat_responsivity", "turn_on", "eqe_1240_0V", "eqe_1240_1V"),
        "EQE(975 nm, 0.5 V) over EQE(1240 nm, 1 V)",
        "1",
        _colour_under_bias,
        _colour_at_rest,
        "At both wavelengths light excites dots only, so that the ratio of the two EQE is that of the absorptances, at "
        "every bias. It is 0.47 at 0 V. At 0.5 V it would be larger, even if 1240 nm had its EQE of 1 V there. The "
        "tolerances just allow it.",
        "Neither: the ratio is that of the optics, 0.40 for the default stack.",
    ),
    Comparison(
        "gain_at_6V",
        "Gain and bandwidth at 6 V",
        ("gain_bandwidth", "gain_max", "gain_max_bias", "bandwidth"),
        "bandwidth at 6 V",
        "kHz",
        _bandwidth_at_largest_gain,
        as_stated("bandwidth"),
        "If the product of gain and bandwidth is largest at 3 V, a gain of 10 at 6 V leaves 18 kHz: the stated "
        "bandwidth, whose bias is not given, cannot be that of the largest gain.",
        "Neither: no contact of the default device injects, and its gain stays below one.",
    ),
    Comparison(
        "gain_at_1V",
        "Gain at 1 V and 3 V",
        ("gain_bandwidth", "bandwidth", "eqe_1240_3V", "eqe_1240_1V", "unity_gain_bias"),
        "gain at 1 V",
        "1",
        _gain_at_1V,
        _below_one,
        "Product over bandwidth is a gain of 3 at 3 V. With half of that EQE at 1 V the gain there is 1.5, although "
        "unity is said to be passed at 2 V only (at 975 nm).",
        "Gain below one at 1 V.",
    ),
    Comparison(
        "gain_injection",
        "Gain against dark current",
        ("gain_bandwidth", "gain_max", "bandwidth", "shot_noise", "area"),
        "injected current",
        "A/cm2",
        _injected_current,
        _dark_current_of_noise,
        "Gain repeats an injection that flows already: stored charge q changes the barrier by q/C, and so the injected "
        "current by J q/(C kT), for the time that the charge stays. A gain of 3 at 60 kHz needs a standing current "
        "four to five orders above the dark current behind the shot noise.",
        "The dark current. Its contacts inject nothing under reverse bias; with metals that do, the alternatives "
        "injection and more_injection keep to the gain.",
    ),
    Comparison(
        "turn_on",
        "Turn-on between 0.3 and 0.5 V",
        ("turn_on", "flat_end", "flat_responsivity", "hole_offset", "film_thickness"),
        "slope of ln R with bias",
        "1/V",
        _slope_of_turn_on,
        _slope_of_emission,
        "Escape from a dot in the field V/d grows by less than one e-fold per volt at such fields; the stated rise is "
        "nineteen. Barriers that follow the bias itself, at contacts or by ions, could give up to q/kT = 39.",
        "Emission in the field, with the contacts' built-in field, which collects at 0 V already. Ions at rest at 0 V "
        "and a barrier at the TiO2 raise the response many times over between 0 and 0.5 V, but from 0 V on.",
    ),
    Comparison(
        "field_scale",
        "Field and bias of the Fowler-Nordheim onset",
        ("tunnelling_onset_field", "tunnelling_onset_bias", "film_thickness"),
        "length that takes the bias",
        "nm",
        _length_of_onset,
        as_stated("film_thickness"),
        "1 V for 0.03 MV/cm is 333 nm without built-in field. The film has 250 nm, the contacts take part of the bias, "
        "and a built-in volt gives 0.04 MV/cm at 0 V. Only the wide tolerances make it possible.",
        "The thickness; the film's field follows from Poisson's equation.",
    ),
    Comparison(
        "offsets",
        "Offsets against gaps",
        ("hole_offset", "electron_offset", "exciton_energy", "host_gap"),
        "gap of the host",
        "eV",
        _gap_of_offsets,
        as_stated("host_gap"),
        "Exciton and offsets must fill the host's gap; as stated they make 1.7 eV of 1.6 eV. Offsets that do not add "
        "up would drive a current in the dark at 0 V.",
        "Gap, exciton and electron offset; the hole offset is what remains, 0.355 eV.",
    ),
    Comparison(
        "host_cutoff",
        "Optical cutoff against gap",
        ("host_cutoff", "host_gap"),
        "photon energy at the cutoff",
        "eV",
        _gap_of_cutoff,
        as_stated("host_gap"),
        "800 nm are 1.55 eV, at the lower end of the stated gap; a host with a sixth of bromide has 1.64 eV by the "
        "law of Noh et al. 2013, DOI 10.1021/nl400349b.",
        "The composition: spectra follow that law; their tail ends in the stated range all the same.",
    ),
    Comparison(
        "hole_release",
        "Bandwidth against the hole's well",
        ("hole_offset", "bandwidth", "thermalisation_time", "pulse_field"),
        "bandwidth at 0.2 MV/cm",
        "kHz",
        _hole_release_kHz,
        as_stated("bandwidth"),
        "A dot answers no faster than it releases its hole. Out of a well of 0.5 eV that takes tens of microseconds, "
        "also at the highest field that was used. Neither the shallowest stated well nor the shortest thermalisation "
        "reaches the stated bandwidth; a field at the dot of 2.5 times the mean would.",
        "Bandwidth: the gap is fitted to it and leaves a well of 0.355 eV, since energies must add up.",
    ),
    Comparison(
        "gold",
        "Thickness of the gold",
        ("gold_results", "gold_methods"),
        "thickness in the results",
        "nm",
        as_stated("gold_results"),
        as_stated("gold_methods"),
        "The results and the methods give different numbers (and different ways to make the TiO2). No light passes "
        "either.",
        "The methods.",
    ),
    Comparison(
        "loading",
        "Loading in solution and in the film",
        ("mass_ratio_film", "mass_ratio_solution"),
        "dots to lead halide by mass",
        "g/g",
        _mass_ratio_in_solution,
        as_stated("mass_ratio_solution"),
        "The perovskite is 1.34 times heavier than the lead halide it is made from.",
        "Both.",
    ),
    Comparison(
        "decibels",
        "Decades and decibels of the linear range",
        ("linear_decades", "linear_range"),
        "linear range",
        "dB",
        _range_of_decades,
        as_stated("linear_range"),
        "Six decades are 60 dB of optical power with 10 log10.",
        "10 log10.",
    ),
    Comparison(
        "eqe_rise",
        "EQE at 1240 nm with bias",
        ("eqe_1240_3V", "eqe_1240_0V", "eqe_rise"),
        "EQE at 3 V over that at 0 V",
        "1",
        _rise_of_eqe,
        as_stated("eqe_rise"),
        "40 % over 0.6 % is 67.",
        "Neither by default: the built-in field collects at 0 V already. Ions that screen it give such a rise.",
    ),
    Comparison(
        "rise_time",
        "Rise time and bandwidth",
        ("bandwidth", "rise_time"),
        "rise time",
        "us",
        _rise_time_us,
        as_stated("rise_time"),
        "60 kHz of a single pole are 5.8 us.",
        "Both.",
    ),
)
"""In the order of the paper, those that agree last."""


def conflicts_of(row: str, statements: Statements) -> list[str]:
    """Comparisons a row takes part in that do not agree."""
    return [each.id for each in COMPARISONS if row in each.rows and each.verdict(statements) != "agreement"]
