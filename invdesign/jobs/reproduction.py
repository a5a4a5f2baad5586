"""The operating points that all statements of the paper are read from; each is solved once.

One simulation of the device at the paper's biases, wavelengths and frequencies, one of it after cooling, a series of
light levels, a pulse of light and pumps followed in time, and dark current, detectivity and decays of the comparison
devices.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invdesign.analyses.readout import Noiseless, Readout
from invdesign.analyses.transient import Response as TimeResponse, decay
from invdesign.device.device import Device
from invdesign.figures.registry import characterise
from invdesign.jobs.simulation import (
    COMPARED_WAVELENGTH_NM,
    Ask,
    Simulation,
    followed_pulse,
    followed_pump,
    light_series,
    simulate,
)
from invdesign.jobs.tables.common import Table, dotted, stacked
from invdesign.jobs.tables.currents import jv, mean_field
from invdesign.jobs.tables.dots import capture, rates
from invdesign.materials.optical import extrapolated
from invdesign.materials.quantum_dots import DotsInHost
from invdesign.materials.semiconductor import Material
from invdesign.optics.stack import solve as solve_stack

EXCITON_NM, LASER_NM, BLUE_NM, RED_NM = 1240.0, COMPARED_WAVELENGTH_NM, 400.0, 600.0
"""Exciton of the dots, laser diode, the other wavelength of the paper's EQE, and one in the middle of the visible."""
READ_BIAS_V = 1.0
"""Reverse bias of rows whose bias the paper does not state: that of its stability test."""
COOLING_K = 25.0
PULSE_FIELD = 0.2
"""MV/cm, of the transient absorption."""
BLEACHING_NM, TRANSFER_NM = 450.0, 1000.0
"""Pumps that show the bleach of the exciton, and the transfer from dots to host."""
FLUENCE = {BLEACHING_NM: 11e-6, TRANSFER_NM: 225e-6}
"""J/cm2, by the pump's wavelength."""
PULSE_RATE_HZ = 5e3
"""Of the pumps: their effect is followed until the next one."""
SWITCHED_S = 1.0
"""Length of the square pulse, so long that what waits in traps or behind a large load belongs to the rise."""
BIASES_V = (0.0, 0.3, 0.5, 1.0, 2.0, 3.0, 6.0)
ASK = Ask(
    voltage_V=np.round(np.arange(-7.0, 1.01, 0.25), 9),
    reverse_bias_V=BIASES_V,
    wavelength_nm=np.arange(350.0, 1451.0, 10.0),
    frequency_Hz=np.logspace(0, 6, 25),
    read_wavelength_nm=EXCITON_NM,
    response_wavelength_nm=LASER_NM,
    read_frequency_Hz=1e3,
    load_ohm=50.0,
    irradiance_W_per_cm2=1e-4,
    readout=Noiseless(),
)
IRRADIANCE_W_PER_CM2 = np.logspace(-10, 1, 34)
"""Light of the linearity, at the laser's wavelength; 1e-10 is where the paper's six decades begin."""


@dataclasses.dataclass(frozen=True)
class Linearity:
    """Photocurrent over light at `READ_BIAS_V`."""

    irradiance_W_per_cm2: np.ndarray
    responsivity_A_per_W: np.ndarray
    """Difference of the lit and the dark current over the power; nan where a solve has failed."""

    @property
    def solved(self) -> "Linearity":
        """Without the light whose solve has failed."""
        found = np.isfinite(self.responsivity_A_per_W)
        return Linearity(self.irradiance_W_per_cm2[found], self.responsivity_A_per_W[found])

    def end(self, loss: float) -> float:
        """Irradiance (W/cm2) at which responsivity has fallen by the part `loss`; nan if it does not."""
        irradiance, responsivity = self.solved.irradiance_W_per_cm2, self.solved.responsivity_A_per_W
        fallen = 1 - responsivity / responsivity[:1]
        return crossing(irradiance, fallen, loss, logarithmic=True)


@dataclasses.dataclass(frozen=True)
class Compared:
    """Another device at `READ_BIAS_V`; nan where its solve has failed."""

    readout: Readout
    """The instrument that has read it."""
    dark_current_density_A_per_cm2: float
    detectivity_Jones: Mapping[float, float]
    """By wavelength, nm."""
    decay_change: float
    """1/e time of the bleach after the 450 nm pump with 0.2 MV/cm over the film (bias over the thickness of the
    thickest layer), over that at 0 V."""


@dataclasses.dataclass(frozen=True)
class Solved:
    """Everything rows are read from."""

    run: Simulation
    cold: Simulation
    """After cooling; without bandwidths."""
    linearity: Linearity
    compared: Mapping[str, Compared]
    tables: Mapping[str, Table]
    """jv, rates and capture of `invdesign simulate`."""
    switched: TimeResponse
    """A square pulse of the laser at `READ_BIAS_V`, into the load."""
    pumped: Mapping[tuple[float, float], TimeResponse]
    """Transient absorption by the pump's wavelength (nm) and the film's field (MV/cm): none, which is 0 V, or
    `PULSE_FIELD`, unless no bias of the sweep reaches it."""

    @property
    def device(self) -> Device:
        return self.run.device

    @property
    def film(self) -> DotsInHost:
        """The layer with dots."""
        return dotted(self.device)[self.film_name]

    @property
    def film_name(self) -> str:
        return next(iter(dotted(self.device)))

    @property
    def reverse_bias_V(self) -> np.ndarray:
        """All reverse biases, ascending."""
        return self.run.by_bias.reverse_bias_V

    def eqe(self, wavelength_nm: float, reverse_bias_V: float) -> float:
        """External quantum efficiency at 1 kHz."""
        return float(self._at("eqe", wavelength_nm)[self._row(reverse_bias_V)])

    def eqe_over_bias(self, wavelength_nm: float) -> np.ndarray:
        """The same at every bias of `reverse_bias_V`."""
        return self._at("eqe", wavelength_nm)

    def absorptance(self, wavelength_nm: float) -> float:
        """Absorptance of the active layers."""
        return float(self._at("absorptance", wavelength_nm)[0])

    def detectivity(self, wavelength_nm: float, reverse_bias_V: float) -> float:
        return float(self._at("detectivity", wavelength_nm)[self._row(reverse_bias_V)])

    def gain_over_bias(self) -> np.ndarray:
        """EQE over absorptance at the laser's wavelength, at every bias of `reverse_bias_V`."""
        return self.eqe_over_bias(LASER_NM) / self.absorptance(LASER_NM)

    def gain(self, reverse_bias_V: float) -> float:
        """The same at one bias."""
        return float(self.gain_over_bias()[self._row(reverse_bias_V)])

    def bandwidth_Hz(self, reverse_bias_V: float) -> float:
        """3-dB bandwidth of the response to the laser, modulated, at one of the asked biases."""
        return float(self.run.bandwidth_Hz[self.run.ask.biases_V.index(reverse_bias_V)])

    def shot_noise(self, reverse_bias_V: float) -> float:
        """Of the dark current, A/rtHz."""
        return float(self.run.by_bias.numbers["figures"]["shot_limit_A_per_rtHz"][self._row(reverse_bias_V)])

    def noise(self, frequency_Hz: float, reverse_bias_V: float) -> float:
        """Current noise of device and readout, A/rtHz, at one of the asked frequencies and biases."""
        frequency, noise = measured_noise(self.run, reverse_bias_V)
        return float(noise[np.argmin(np.abs(frequency - frequency_Hz))])

    @property
    def film_field_MV_per_cm(self) -> np.ndarray:
        """Mean field of the layer with dots at every bias of `reverse_bias_V`."""
        voltages = [self.run.index(bias) for bias in self.reverse_bias_V]
        return mean_field(self.run, self.run.dark)[voltages] / 1e6

    def dark_density(self, voltage_V: float) -> float:
        """Dark current density, A/cm2, of a voltage (forward positive)."""
        return float(self.run.dark.current_A[self.run.index(-voltage_V)]) / float(self.device.area_cm2)

    def _row(self, reverse_bias_V: float) -> int:
        return int(self.run.by_bias.rows(reverse_bias_V)[0])

    def _at(self, name: str, wavelength_nm: float) -> np.ndarray:
        return self.run.by_bias.numbers[name][:, self.run.optical.place(wavelength_nm)]


def measured_noise(run: Simulation, reverse_bias_V: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the current noise (A/rtHz) of device and readout at one of the asked biases."""
    rows = run.by_frequency.rows(reverse_bias_V)
    density = np.sum(list(run.by_frequency.numbers["by_process"].values()), axis=0)
    return run.by_frequency.frequency_Hz[rows], np.sqrt(density[rows])


def solve(device: Device, readout: Readout) -> Solved:
    """Solve a device with dots, to be compared with no other one yet.

    Devices of the same structure share their compiled programs.
    """
    run, cold = _simulated(device, readout)
    tables = {name: table for name, make in TABLES.items() if (table := make(run)) is not None}
    switched = followed_pulse(device, READ_BIAS_V, LASER_NM, ASK.irradiance_W_per_cm2, SWITCHED_S, ASK.load_ohm)
    solved = Solved(run, cold, linearity(run), {}, tables, switched, {})
    strong = crossing(solved.reverse_bias_V, solved.film_field_MV_per_cm, PULSE_FIELD)
    biases = {0.0: 0.0} | ({PULSE_FIELD: strong} if np.isfinite(strong) else {})
    pumped = {(pump, field): _pumped(device, pump, bias) for pump in FLUENCE for field, bias in biases.items()}
    return dataclasses.replace(solved, pumped=pumped)


TABLES: dict[str, Callable[[Simulation], Table | None]] = {"jv": jv, "rates": rates, "capture": capture}


def _pumped(device: Device, pump_nm: float, reverse_bias_V: float) -> TimeResponse:
    """One of the paper's pumps without a load, until the next pulse."""
    return followed_pump(device, reverse_bias_V, pump_nm, FLUENCE[pump_nm], 1 / PULSE_RATE_HZ, 0.0)


# --- light levels and other devices --------------------------------------------------------------------------------


def linearity(run: Simulation) -> Linearity:
    """Responsivity to steady laser light, from the weakest to the strongest."""
    dark, *lit = light_series(run, READ_BIAS_V, LASER_NM, IRRADIANCE_W_PER_CM2)
    power = IRRADIANCE_W_PER_CM2 * float(run.device.area_cm2)
    return Linearity(IRRADIANCE_W_PER_CM2, (dark - np.asarray(lit)) / power)


def _read(device: Device, readout: Readout) -> tuple[float, dict[float, float]]:
    """Dark current density (A/cm2) and detectivity (Jones) by wavelength (nm); nan where the solve has failed."""
    wavelengths = jnp.asarray([EXCITON_NM, RED_NM])
    c = characterise(device, READ_BIAS_V, wavelengths, readout=readout)
    if not bool(c.point.converged):
        return np.nan, dict.fromkeys((EXCITON_NM, RED_NM), np.nan)
    density = abs(float(c.dark_current_A / device.area_cm2))
    return density, dict(zip((EXCITON_NM, RED_NM), map(float, c.detectivity_Jones), strict=True))


def solved_by(solved: Solved, readout: Readout) -> Solved:
    """The same device read by another instrument, which currents, spectra and transients do not depend on."""
    if readout is solved.run.ask.readout:
        return solved
    run, cold = _simulated(solved.device, readout)
    return dataclasses.replace(solved, run=run, cold=cold)


def _simulated(device: Device, readout: Readout) -> tuple[Simulation, Simulation]:
    """Before and after cooling."""
    ask = dataclasses.replace(ASK, readout=readout)
    cold = dataclasses.replace(device, temperature_K=device.temperature_K - COOLING_K)
    return simulate(device, ask), simulate(cold, dataclasses.replace(ask, bandwidth=False))


def compare(device: Device, readout: Readout) -> Compared:
    """What rows ask of a comparison device, read by the same instrument."""
    thickness_nm = max(float(device.layers[name].thickness_nm) for name in device.active)
    rest, strong = (_pumped(device, BLEACHING_NM, bias) for bias in (0.0, PULSE_FIELD * 0.1 * thickness_nm))
    times = np.concatenate([[0.0], rest.transient.time_s])
    lives = [float(decay(times, one.bleaches[1]).one_over_e_s) for one in (rest, strong)]
    return Compared(readout, *_read(device, readout), lives[1] / lives[0])


def compared_by(compared: Compared, device: Device, readout: Readout) -> Compared:
    """A comparison device read by another instrument, which only its detectivity depends on."""
    if readout is compared.readout:
        return compared
    return dataclasses.replace(compared, readout=readout, detectivity_Jones=_read(device, readout)[1])


# --- reading curves ------------------------------------------------------------------------------------------------


def crossing(x: np.ndarray, y: np.ndarray, level: float, *, logarithmic: bool = False) -> float:
    """The first x at which y reaches `level` from below, by straight lines (in ln x if `logarithmic`); nan if never."""
    above = np.flatnonzero(y >= level)
    if not above.size:
        return float("nan")
    place = int(above[0])
    if place == 0:
        return float(x[0])
    axis = np.log(x) if logarithmic else x
    at = np.interp(level, y[place - 1 : place + 1], axis[place - 1 : place + 1])
    return float(np.exp(at) if logarithmic else at)


# --- films on glass, fields, and emission of one dot ----------------------------------------------------------------


@jax.jit
def permittivity(material: Material, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
    """Relative permittivity of a material, compiled."""
    return material.permittivity(wavelength_nm)


_solve_stack = jax.jit(solve_stack, static_argnums=2)


def films(device: Device, dots_alone: Device | None) -> Table:
    """1 - R - T of films of the host, of dots alone and of both on glass, as thick as the device's film."""
    name = next(iter(dotted(device)))
    film = device.layers[name].material
    thickness = float(device.layers[name].thickness_nm)
    glass = next((device.layers[each].material for each in device.order if each == "glass"), None)
    materials = {"host": film.host, "dots_in_host": film}  # type: ignore[attr-defined]
    if dots_alone is not None and name in dots_alone.layers:
        materials["dots_alone"] = dots_alone.layers[name].material
    wavelength = jnp.arange(400.0, 1601.0, 5.0)
    table: Table = {"wavelength_nm": np.asarray(wavelength)}
    for kind, material in materials.items():
        substrate = jnp.full(len(wavelength), 1.52**2 + 0j) if glass is None else permittivity(glass, wavelength)
        optics = _solve_stack(
            jnp.stack([permittivity(material, wavelength), substrate]),
            jnp.asarray([thickness, 1e6]),
            (True, False),
            wavelength,
        )
        table[f"absorptance_{kind}"] = np.asarray(optics.absorptance[0])
        table[f"extrapolated_{kind}"] = extrapolated(list(material.optical_models), np.asarray(wavelength)).astype(int)
    return table


def local_fields(solved: Solved) -> Table:
    """Fields (MV/cm) of the film in the dark against the reverse bias: the mean, in a dot and in the host around it."""
    inside, host = field_shares(solved)
    mean = solved.film_field_MV_per_cm
    return {
        "reverse_bias_V": solved.reverse_bias_V,
        "mean_MV_per_cm": mean,
        "dot_MV_per_cm": inside * mean,
        "host_MV_per_cm": host * mean,
    }


def field_shares(solved: Solved) -> tuple[float, float]:
    """Field in a dot, and that of the host averaged over its volume, over the mean field."""
    dots, host = solved.film.dots, solved.film.host.bulk(solved.device.kT)
    ratio = dots.geometry.field_ratios(dots.relative_permittivity, host.permittivity, dots.volume_fraction)[0]
    inside, fraction = float(ratio), float(dots.volume_fraction)
    return inside, (1 - fraction * inside) / (1 - fraction)


def bleaches(solved: Solved) -> Table:
    """Transient absorption of the device, pump by pump and field by field."""
    parts = [
        {
            "pump_nm": np.full(len(response.transient.time_s), pump),
            "field_MV_per_cm": np.full(len(response.transient.time_s), field),
            "time_ps": 1e12 * np.asarray(response.transient.time_s),
            "exciton_bleach": response.dots,
            "host_bleach_cm3": response.host_cm3,
        }
        for (pump, field), response in solved.pumped.items()
    ]
    return stacked(parts)


def emission_rate(solved: Solved, carrier: str, field_MV_per_cm: float) -> float:
    """Emission of one carrier from a dot, 1/s; below the table's weakest field it is that at rest."""
    table = solved.tables["rates"]
    total = table[f"{carrier}_thermionic_per_s"] + table[f"{carrier}_field_emission_per_s"]
    field = max(field_MV_per_cm * 1e6, float(table["field_V_per_cm"][0]))
    return float(np.exp(np.interp(np.log(field), np.log(table["field_V_per_cm"]), np.log(total))))
