"""Figures of merit: each with name, symbol, unit, formula and source, computed from one characterised operating
point."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invdesign.analyses.illumination import Absorption, absorption
from invdesign.analyses.noise import Noise, noise
from invdesign.analyses.operating_point import OperatingPoint, operate
from invdesign.analyses.readout import Noiseless, Readout
from invdesign.analyses.response import bandwidth, quantum_efficiency, response_power
from invdesign.analyses.small_signal import SmallSignal, Transfer, small_signal
from invdesign.compiled import compiled
from invdesign.constants import (
    BOLTZMANN_EV_PER_K,
    ELEMENTARY_CHARGE_C,
    HC_EV_NM,
    PLANCK_J_S,
    SPEED_OF_LIGHT_M_PER_S,
)
from invdesign.device.device import Device
from invdesign.device.illumination import Dark
from invdesign.solve.newton import State

PEAK_SHARPNESS = 60.0
"""The smooth peak field is a mean with weights exp(60 F/F_max): within 2 % below the largest field of a layer."""

BACKGROUND_K = 300.0
"""Temperature of the surroundings in the background limit."""


class Characterisation(eqx.Module):
    """An operating point, linearised, with its noise and optical response at the wavelengths and frequency of
    interest."""

    point: OperatingPoint
    small: SmallSignal
    transfer: Transfer
    noise: Noise
    absorption: Absorption
    frequency_Hz: Float[Array, ""]
    load_ohm: Float[Array, ""]
    dark_current_A: Float[Array, ""]
    """Into the anode, at the same bias without any light."""
    readout: Readout = Noiseless()

    @property
    def device(self) -> Device:
        return self.point.device

    @property
    def eqe(self) -> Float[Array, " wavelength"]:
        """External quantum efficiency at every wavelength."""
        response = quantum_efficiency(self.small, self.transfer, self.absorption)
        return jnp.sqrt(jnp.real(response) ** 2 + jnp.imag(response) ** 2)

    @property
    def responsivity_A_per_W(self) -> Float[Array, " wavelength"]:
        """q lambda EQE/hc."""
        return self.eqe * self.absorption.wavelength_nm / HC_EV_NM

    @property
    def noise_A_per_rtHz(self) -> Float[Array, ""]:
        """Square root of the device's own current noise density."""
        return jnp.sqrt(self.noise.total)

    @property
    def readout_noise(self) -> Float[Array, ""]:
        """What the readout adds to the current noise density, A^2/Hz."""
        return self.readout.noise(self.transfer.admittance, self.transfer.omega)

    @property
    def noise_with_readout_A_per_rtHz(self) -> Float[Array, ""]:
        """What detectivity is measured against."""
        return jnp.sqrt(self.noise.total + self.readout_noise)

    @property
    def noise_by_process(self) -> dict[str, Float[Array, ""]]:
        """Current noise density by its origin, the readout among them, A^2/Hz."""
        return self.noise.by_process | {"readout": self.readout_noise}

    @property
    def detectivity_Jones(self) -> Float[Array, " wavelength"]:
        """R sqrt(A)/i, i the noise of device and readout."""
        return self.responsivity_A_per_W * jnp.sqrt(self.device.area_cm2) / self.noise_with_readout_A_per_rtHz

    @property
    def reported_responsivity_A_per_W(self) -> Float[Array, " wavelength"]:
        """What comes out with the areas that the readout's user goes by."""
        return self.responsivity_A_per_W * self.readout.reported_share(self.device.area_cm2)

    @property
    def reported_detectivity_Jones(self) -> Float[Array, " wavelength"]:
        """The reported responsivity over the noise of device and readout, times the root of the area taken for it."""
        area = self.readout.reported_area(self.device.area_cm2)
        return self.reported_responsivity_A_per_W * jnp.sqrt(area) / self.noise_with_readout_A_per_rtHz

    @property
    def absorptance(self) -> Float[Array, " wavelength"]:
        """Absorptance of the active layers."""
        return sum((self.absorption.layers[name] for name in self.device.active), jnp.zeros(()))

    @property
    def peak_field_V_per_cm(self) -> dict[str, Float[Array, ""]]:
        """Smoothed peak of |F| in every layer that carries current (mean field, not the local field of a dot).

        Taken over the edges and both faces: the peak mostly stands at a face, and the field of the edge there is that
        of its middle.
        """
        peaks, point = {}, self.point
        of_layers = (point.system.by_layer(array) for array in (point.field_V_per_cm, point.end_field_V_per_cm))
        for name, field, ends in zip(self.device.electrical, *of_layers, strict=True):
            faces = jnp.stack([ends[0, 0], ends[1, -1]])
            size = jnp.sqrt(jnp.concatenate([field, faces]) ** 2 + 1.0)
            weight = jax.nn.softmax(PEAK_SHARPNESS * size / jax.lax.stop_gradient(jnp.max(size)))
            peaks[name] = jnp.sum(weight * size)
        return peaks

    @property
    def breakdown_field_V_per_cm(self) -> dict[str, Float[Array, ""]]:
        """Breakdown field of every layer that carries current."""
        return {name: self.device.bulk(name).breakdown_field for name in self.device.electrical}

    @property
    def bandwidth_Hz(self) -> Float[Array, ""]:
        """3-dB bandwidth of the photo-response at the first wavelength, into `load_ohm`."""
        return bandwidth(self.small, self.absorption, self.load_ohm)

    def response_power(self, frequency_Hz: Float[Array, " frequency"]) -> Float[Array, " frequency"]:
        """|response|^2 into `load_ohm` at the first wavelength."""
        return response_power(self.small, self.absorption, frequency_Hz, self.load_ohm)


@compiled
def characterise(
    device: Device,
    reverse_bias_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, " wavelength"],
    frequency_Hz: Float[Array, ""] | float = 1e3,
    load_ohm: Float[Array, ""] | float = 50.0,
    warm: State | None = None,
    readout: Readout | None = None,
) -> Characterisation:
    """Solve a device at a reverse bias and derive everything that the figures of merit need."""
    voltage = -jnp.asarray(reverse_bias_V, jnp.float64)
    point = operate(device, voltage, warm=warm)
    small = small_signal(point.system, point.state, point.light)
    transfer = small.transfer(jnp.asarray(frequency_Hz, jnp.float64))
    density = noise(small, transfer, device.terminals.shunt)
    wavelengths = jnp.atleast_1d(jnp.asarray(wavelength_nm, jnp.float64))
    return Characterisation(
        point,
        small,
        transfer,
        density,
        absorption(device, wavelengths),
        jnp.asarray(frequency_Hz, jnp.float64),
        jnp.asarray(load_ohm, jnp.float64),
        _dark_current_A(point),
        Noiseless() if readout is None else readout,
    )


def _dark_current_A(point: OperatingPoint) -> Float[Array, ""]:
    """Current into the anode without light: of the point itself, or of a second one if the device is lit."""
    if point.device.illumination.spectrum() is None:
        return point.current_A
    dark = operate(dataclasses.replace(point.device, illumination=Dark()), point.voltage_V)
    return jnp.where(dark.converged, dark.current_A, jnp.nan)


class Figure(NamedTuple):
    """One figure of merit."""

    name: str
    symbol: str
    unit: str
    formula: str
    source: str
    compute: Callable[[Characterisation], Float[Array, ""]]


_JONES = "Jones (1959), DOI 10.1109/JRPROC.1959.287050"


def _first(values: Float[Array, " wavelength"]) -> Float[Array, ""]:
    return values[0]


FIGURES: tuple[Figure, ...] = (
    Figure(
        "detectivity_Jones",
        "D*",
        "cm Hz^1/2 / W",
        "R sqrt(A) / sqrt(i_n^2 + i_r^2)",
        _JONES,
        lambda c: _first(c.detectivity_Jones),
    ),
    Figure(
        "responsivity_A_per_W",
        "R",
        "A/W",
        "q lambda EQE / (h c)",
        "definition",
        lambda c: _first(c.responsivity_A_per_W),
    ),
    Figure("eqe", "EQE", "1", "|dI/q| / photons incident", "definition", lambda c: _first(c.eqe)),
    Figure(
        "absorptance",
        "A",
        "1",
        "photons absorbed in the active layers / incident",
        "definition",
        lambda c: _first(c.absorptance),
    ),
    Figure(
        "gain",
        "G",
        "1",
        "EQE / absorptance of the active layers",
        "definition",
        lambda c: _first(c.eqe / c.absorptance),
    ),
    Figure(
        "noise_A_per_rtHz",
        "i_n",
        "A/Hz^1/2",
        "sqrt(sum |transfer|^2 (2 (forward + backward) + flicker))",
        "van Vliet and Fassett (1965)",
        lambda c: c.noise_A_per_rtHz,
    ),
    Figure(
        "readout_noise_A_per_rtHz",
        "i_r",
        "A/Hz^1/2",
        "sqrt(i_a^2 + e_n^2 |Y + 1/R + i w C|^2 + 4kT/R); i_a^2, e_n^2 ~ 1 + (corner/f)^exponent",
        "Haus et al. (1960), DOI 10.1109/JRPROC.1960.287381",
        lambda c: jnp.sqrt(c.readout_noise),
    ),
    Figure(
        "reported_responsivity_A_per_W",
        "R_rep",
        "A/W",
        "R A_illuminated / A_power, what an experimenter with these areas reports",
        "definition",
        lambda c: _first(c.reported_responsivity_A_per_W),
    ),
    Figure(
        "reported_detectivity_Jones",
        "D*_rep",
        "cm Hz^1/2 / W",
        "R_rep sqrt(A_detectivity) / sqrt(i_n^2 + i_r^2)",
        _JONES,
        lambda c: _first(c.reported_detectivity_Jones),
    ),
    Figure(
        "noise_equivalent_power_W_per_rtHz",
        "NEP",
        "W/Hz^1/2",
        "sqrt(i_n^2 + i_r^2) / R",
        _JONES,
        lambda c: c.noise_with_readout_A_per_rtHz / c.responsivity_A_per_W[0],
    ),
    Figure(
        "bandwidth_Hz", "f_3dB", "Hz", "|R(f)|^2 = |R(0)|^2 / 2 into load_ohm", "definition", lambda c: c.bandwidth_Hz
    ),
    Figure(
        "dark_current_A",
        "I_d",
        "A",
        "|I| at the bias without light, shunt included",
        "definition",
        lambda c: jnp.abs(c.dark_current_A),
    ),
    Figure(
        "current_A",
        "I",
        "A",
        "|I| at the bias under the device's own light, if it has any, shunt included",
        "definition",
        lambda c: jnp.abs(c.point.current_A),
    ),
    Figure(
        "shot_limit_A_per_rtHz",
        "i_shot",
        "A/Hz^1/2",
        "sqrt(2 q |I|)",
        "Schottky (1918), DOI 10.1002/andp.19183622304",
        lambda c: jnp.sqrt(2 * ELEMENTARY_CHARGE_C * jnp.abs(c.point.current_A)),
    ),
    Figure(
        "thermal_limit_A_per_rtHz",
        "i_th",
        "A/Hz^1/2",
        "sqrt(4 kT Re Y)",
        "Nyquist (1928), DOI 10.1103/PhysRev.32.110",
        lambda c: jnp.sqrt(4 * ELEMENTARY_CHARGE_C * c.device.kT * jnp.maximum(jnp.real(c.transfer.admittance), 0.0)),
    ),
    Figure(
        "fano",
        "F",
        "1",
        "S_I / (2 q |I|)",
        "definition",
        lambda c: c.noise.total / (2 * ELEMENTARY_CHARGE_C * jnp.maximum(jnp.abs(c.point.current_A), 1e-300)),
    ),
    Figure(
        "capacitance_F",
        "C",
        "F",
        "Im Y / (2 pi f)",
        "definition",
        lambda c: jnp.imag(c.transfer.admittance) / c.transfer.omega,
    ),
    Figure(
        "background_limit_Jones",
        "D*_BLIP",
        "cm Hz^1/2 / W",
        "lambda sqrt(EQE / (2 Phi)) / (h c), Phi: 300 K hemisphere up to the wavelength",
        _JONES,
        lambda c: _background_limit(c),
    ),
    Figure(
        "peak_field_V_per_cm",
        "F_peak",
        "V/cm",
        "smoothed largest |F| in the active layers (mean field)",
        "definition",
        lambda c: jnp.max(jnp.stack([c.peak_field_V_per_cm[name] for name in c.device.active])),
    ),
)


def _background_limit(c: Characterisation) -> Float[Array, ""]:
    """Detectivity limited by the photons of a 300 K hemisphere with wavelengths up to that of the figure."""
    cutoff = c.absorption.wavelength_nm[0]
    kT = BOLTZMANN_EV_PER_K * BACKGROUND_K
    x = HC_EV_NM / (cutoff * kT)
    # photons per area and time above x: (2 pi/c^2) (kT/h)^3 integral x^2/(e^x - 1), Wien's form for x >> 1
    rate = kT * ELEMENTARY_CHARGE_C / PLANCK_J_S
    flux = 2 * jnp.pi * rate**3 / (100 * SPEED_OF_LIGHT_M_PER_S) ** 2 * jnp.exp(-x) * (x**2 + 2 * x + 2)
    eqe = c.eqe[0]
    return cutoff / HC_EV_NM * jnp.sqrt(eqe / (2 * flux)) / ELEMENTARY_CHARGE_C


def evaluate_figures(c: Characterisation) -> dict[str, Float[Array, ""]]:
    """All figures of merit of a characterised operating point, in the registry's order."""
    return {figure.name: figure.compute(c) for figure in FIGURES}
