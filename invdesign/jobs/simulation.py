"""One device, simulated as asked: all biases in the dark and in the light, and the response to them.

Two programs are compiled, whatever is asked: one that walks through all biases in the dark and in the light, and one
that takes an operating point and a frequency to admittance, noise and the response to every wavelength. The first one
knows only the equations of a device, which materials of different kinds have in common.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invdesign.analyses.illumination import Absorption, absorption, photon_flux
from invdesign.analyses.noise import noise
from invdesign.analyses.operating_point import OperatingPoint, prepare, reach
from invdesign.analyses.readout import Readout
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.analyses.transient import Response as TimeResponse, light_pulse, transient_absorption
from invdesign.constants import HC_EV_NM
from invdesign.device.device import Device
from invdesign.figures.registry import FIGURES, Characterisation
from invdesign.jobs.data import optical_models
from invdesign.jobs.settings import Pump
from invdesign.materials.optical import extrapolated
from invdesign.results import Status
from invdesign.solve.assembly import Light, System, balance, edge_states, mean_populations
from invdesign.solve.newton import Outcome, State, Target, current_A, equilibrium_guess
from invdesign.solve.stepping import Settings, Square

COMPARED_WAVELENGTH_NM = 975.0
"""gain.csv also has the wavelength of a common laser diode, where the paper measures, if the n,k tables reach it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask:
    """What is wanted of a device."""

    voltage_V: np.ndarray
    reverse_bias_V: tuple[float, ...]
    wavelength_nm: np.ndarray
    frequency_Hz: np.ndarray
    read_wavelength_nm: float
    """Where single figures of merit are read."""
    response_wavelength_nm: float
    """Modulated light, whose response has the bandwidth."""
    read_frequency_Hz: float
    load_ohm: float
    irradiance_W_per_cm2: float
    """Monochromatic light of a pulse, and of the lit curves unless the device has its own illumination."""
    readout: Readout
    pulse_s: float | None = None
    """Length of a square pulse of that light, which comes on top of the device's own; None: no pulse."""
    pumps: Mapping[str, Pump] = dataclasses.field(default_factory=dict)
    """Of the transient absorption, by name."""
    pumped_s: float = 1e-4
    """How long a pumped device is followed."""
    bandwidth: bool = True
    """Whether the 3-dB frequencies are sought, which takes most of the frequencies; nan if not."""

    @property
    def biases_V(self) -> list[float]:
        """The reverse biases, each once and ascending."""
        return sorted(set(self.reverse_bias_V))


# --- two compiled programs -----------------------------------------------------------------------------------------


class Point(eqx.Module):
    """One solved operating point and its profiles."""

    state: State
    status: Array
    current_A: Array
    edge_spread: Array
    profile: dict[str, Array]


@jax.jit
def _solve(system: System, full: Light, voltage_V: Float[Array, " point"], scale: Float[Array, " point"]) -> Point:
    """Operating points along lists of voltages and of multiples of a light, each from the one before."""

    def step(state: State, at: tuple[Array, Array]) -> tuple[State, Point]:
        voltage, part = at
        light = Light(full.host * part, full.dots * part)
        outcome = reach(system, Target(voltage / system.kT, light), state)
        solved = outcome.state
        flows = balance(system, solved.u, solved.v, light).conduction
        spread = (jnp.max(flows) - jnp.min(flows)) / jnp.maximum(jnp.abs(jnp.mean(flows)), 1e-300)
        sites = [edge.site for edge in edge_states(system, solved.u, solved.v)]
        field, electrons, holes = system.join([(site.field, site.n, site.p) for site in sites])
        ends = jnp.stack([solved.u[:-1], solved.u[1:]], axis=1)
        profile = {
            "vacuum": -ends[..., 0] * system.kT,
            "electron_quasi_fermi": -ends[..., 1] * system.kT,
            "hole_quasi_fermi": -(ends[..., 2] + solved.v) * system.kT,
            "field": field,
            "electrons": electrons.T,
            "holes": holes.T,
            "dots": mean_populations(system, solved.u, solved.v, light).T,
        }
        if system.hopping:
            profile["dots_electron_quasi_fermi"] = -ends[..., 3] * system.kT
            profile["dots_hole_quasi_fermi"] = -(ends[..., 4] + solved.v) * system.kT
        point = Point(solved, outcome.status, current_A(system, solved, light), spread, profile)
        return jax.tree.map(lambda new, old: jnp.where(outcome.converged, new, old), solved, state), point

    return jax.lax.scan(step, equilibrium_guess(system), (voltage_V, scale))[1]


@jax.jit
def _respond(
    device: Device,
    system: System,
    optical: Absorption,
    light: Light,
    states: State,
    voltage_V: Float[Array, " row"],
    frequency_Hz: Float[Array, " row"],
    dark_current_A: Float[Array, " row"],
    load_ohm: Float[Array, ""],
    modulated: Int[Array, ""],
    readout: Readout,
) -> dict[str, Any]:
    """Linear response of operating points, each at one frequency; into the load that to light of the wavelength whose
    place is `modulated`. The bandwidth is left to `_bandwidths`."""

    def row(at: tuple[State, Array, Array, Array]) -> dict[str, Any]:
        state, voltage, frequency, dark_current = at
        small = small_signal(system, state, light)
        shorted, loaded = (
            jax.tree.map(lambda x, i=i: x[i], both)
            for both in [jax.vmap(lambda load: small.transfer(frequency, load))(jnp.stack([jnp.zeros(()), load_ohm]))]
            for i in (0, 1)
        )
        density = noise(small, shorted, device.terminals.shunt)
        zero = jnp.zeros((), jnp.int64)
        point = OperatingPoint(device, system, light, voltage, Outcome(state, zero, zero))
        c = Characterisation(point, small, shorted, density, optical, frequency, load_ohm, dark_current, readout)
        return {
            "figures": {f.name: f.compute(c) for f in FIGURES if f.name != "bandwidth_Hz"},
            "eqe": c.eqe,
            "responsivity": c.responsivity_A_per_W,
            "detectivity": c.detectivity_Jones,
            "absorptance": c.absorptance,
            "loaded": quantum_efficiency(small, loaded, optical)[modulated],
            "admittance": shorted.admittance,
            "by_process": c.noise_by_process,
            "by_edge": density.by_edge,
            "peak_field": c.peak_field_V_per_cm,
        }

    return jax.lax.map(row, (states, voltage_V, frequency_Hz, dark_current_A))


# --- the simulation ------------------------------------------------------------------------------------------------


LOWEST_HZ, HIGHEST_HZ = 1.0, 1e10
"""The 3-dB frequency is sought between these, as by the figure `bandwidth_Hz`."""
SCAN_POINTS = 41


class Response(NamedTuple):
    """Linear response in rows of (bias, frequency)."""

    reverse_bias_V: np.ndarray
    frequency_Hz: np.ndarray
    numbers: dict[str, Any]

    def rows(self, reverse_bias_V: float) -> np.ndarray:
        return np.flatnonzero(np.abs(self.reverse_bias_V - reverse_bias_V) < 1e-8)


@dataclasses.dataclass(frozen=True)
class Simulation:
    """A device that has been simulated as asked. Everything is NumPy, and nan where a solve has failed."""

    device: Device
    ask: Ask
    voltage_V: np.ndarray
    """All voltages, ascending: the grid of the J-V curve, the biases, and zero."""
    dark: Point
    lit: Point
    optical: Absorption
    """At the wavelengths singled out, then at those asked for."""
    extrapolated: Bool[np.ndarray, " wavelength"]
    by_frequency: Response
    """The biases asked for, at the frequencies asked for."""
    by_bias: Response
    """All reverse biases at the frequency of interest."""
    bandwidth_Hz: np.ndarray
    """Of the biases asked for."""
    level_A_per_W: np.ndarray
    """|response| to modulated light at 1 Hz, of the biases asked for."""
    pulses: Mapping[float, TimeResponse]
    """What a square pulse of light does, by reverse bias; nan from where the integration has failed."""
    bleaches: Mapping[tuple[str, float], TimeResponse]
    """What pumps do, by pump and reverse bias."""

    @property
    def singled_out_nm(self) -> np.ndarray:
        """The wavelength of interest and, unless a table ends before it, `COMPARED_WAVELENGTH_NM`."""
        return np.asarray(self.optical.wavelength_nm[: -len(self.ask.wavelength_nm)])

    @property
    def asked_for(self) -> slice:
        """Where the wavelengths asked for stand among all."""
        return slice(len(self.singled_out_nm), None)

    @property
    def own(self) -> Point:
        """Operating points under the device's own illumination, where response and noise are taken."""
        return self.dark if self.device.illumination.spectrum() is None else self.lit

    def index(self, reverse_bias_V: float) -> int:
        """Where a bias stands in `voltage_V`."""
        return int(np.argmin(np.abs(self.voltage_V + reverse_bias_V)))

    def at_read_frequency(self) -> list[tuple[float, int]]:
        """The biases asked for, and their rows in `by_bias`."""
        return [(bias, int(self.by_bias.rows(bias)[0])) for bias in self.ask.biases_V]


def simulate(device: Device, ask: Ask) -> Simulation:
    """Solve a device at all biases and frequencies asked for.

    Wavelengths must lie within the device's n,k tables. A bias whose solve fails is nan, with its status.
    """
    models = optical_models(device)
    reached = all(model.extrapolates or model.covers(np.array([COMPARED_WAVELENGTH_NM])).all() for model in models)
    singled_out = [ask.read_wavelength_nm, COMPARED_WAVELENGTH_NM][: 2 if reached else 1]
    wavelengths = np.concatenate([singled_out, ask.wavelength_nm])
    optical = absorption(device, jnp.asarray(wavelengths))
    is_dark = device.illumination.spectrum() is None
    light = _light(device, ask, optical)

    # walk away from zero, dark before lit: each point starts from a near one
    reverse = -np.asarray(ask.reverse_bias_V, float)
    voltage = np.unique(np.round(np.concatenate([ask.voltage_V, reverse, [0.0]]), 9)) + 0.0
    order = np.concatenate([np.flatnonzero(voltage <= 0)[::-1], np.flatnonzero(voltage > 0)])
    path, back = voltage[order], np.argsort(order)
    count = len(voltage)
    scale = np.repeat([0.0, 1.0], count)
    system = prepare(device)
    points = jax.tree.map(np.asarray, _solve(system, light, jnp.asarray(np.tile(path, 2)), jnp.asarray(scale)))
    dark_raw, lit_raw = (
        jax.tree.map(lambda x, h=half: x[h * count : (h + 1) * count][back], points) for half in (0, 1)
    )
    dark, bright = _blank(dark_raw), _blank(lit_raw)

    own = dark_raw if is_dark else lit_raw
    steady = jax.tree.map(lambda x: x * (0.0 if is_dark else 1.0), light)

    modulated = jnp.asarray(optical.place(ask.response_wavelength_nm))

    def respond(reverse_bias: np.ndarray, frequency: np.ndarray) -> Response:
        at = np.array([int(np.argmin(np.abs(voltage + bias))) for bias in reverse_bias])
        states = jax.tree.map(lambda x: jnp.asarray(x[at]), own.state)
        points = [jnp.asarray(x) for x in (voltage[at], frequency, dark.current_A[at])]
        load = jnp.asarray(ask.load_ohm, jnp.float64)
        rows = _respond(device, system, optical, steady, states, *points, load, modulated, ask.readout)
        failed = own.status[at] != Status.CONVERGED
        return Response(reverse_bias, frequency, jax.tree.map(lambda x: _hide(np.asarray(x), failed), rows))

    biases = np.array(ask.biases_V)
    swept = -voltage[voltage <= 0][::-1] + 0.0
    several = len(biases) * len(ask.frequency_Hz)
    # every call has the same number of rows, so that one program serves all
    rows = max(several + len(swept), len(biases) * SCAN_POINTS)
    first = respond(
        _padded(np.concatenate([np.repeat(biases, len(ask.frequency_Hz)), swept]), rows),
        _padded(
            np.concatenate([np.tile(ask.frequency_Hz, len(biases)), np.full(len(swept), ask.read_frequency_Hz)]), rows
        ),
    )

    def part(begin: int, end: int) -> Response:
        cut = jax.tree.map(lambda x: x[begin:end], first.numbers)
        return Response(first.reverse_bias_V[begin:end], first.frequency_Hz[begin:end], cut)

    unknown = np.full(len(biases), np.nan)
    bandwidth, level = _bandwidths(respond, biases, rows) if ask.bandwidth else (unknown, unknown)
    return Simulation(
        device,
        ask,
        voltage,
        dark,
        bright,
        jax.tree.map(np.asarray, optical),
        extrapolated(models, wavelengths),
        part(0, several),
        part(several, several + len(swept)),
        bandwidth,
        level * ask.response_wavelength_nm / HC_EV_NM,
        _pulses(device, ask),
        _bleaches(device, ask),
    )


def _light(device: Device, ask: Ask, optical: Absorption) -> Light:
    """Light of the lit curves: the device's own, else monochromatic at the wavelength of interest."""
    spectrum = device.illumination.spectrum()
    if spectrum is None:
        return _monochromatic(optical, 0, ask.irradiance_W_per_cm2)
    wavelength, irradiance = spectrum
    return absorption(device, wavelength).light(photon_flux(wavelength, irradiance))


def _monochromatic(optical: Absorption, place: int, irradiance_W_per_cm2: float) -> Light:
    """Light of the wavelength that stands at a place."""
    flux = photon_flux(jnp.asarray(optical.wavelength_nm[place]), jnp.asarray(irradiance_W_per_cm2, jnp.float64))
    return Light(jnp.asarray(optical.host[place]) * flux, jnp.asarray(optical.dots[place]) * flux)


def light_series(
    run: Simulation, reverse_bias_V: float, wavelength_nm: float, irradiance_W_per_cm2: np.ndarray
) -> np.ndarray:
    """Currents (A) at a bias without light, and under light of one wavelength of `run` and of each irradiance.

    Each is solved from the one before; nan where that fails. There may be as many as `run` has operating points, whose
    program serves them.
    """
    place = run.optical.place(wavelength_nm)
    points = 2 * len(run.voltage_V)
    scale = _padded(np.concatenate([[0.0], irradiance_W_per_cm2]), points)
    full, voltage = _monochromatic(run.optical, place, 1.0), np.full(points, -reverse_bias_V)
    solved = _blank(
        jax.tree.map(np.asarray, _solve(prepare(run.device), full, jnp.asarray(voltage), jnp.asarray(scale)))
    )
    return np.asarray(solved.current_A)[: 1 + len(irradiance_W_per_cm2)]


def _bandwidths(respond: Any, biases: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """First frequencies at which |response|^2 is half of that at 1 Hz, and |response| (an EQE) there, for all biases.

    A scan brackets the crossing, a second one between its neighbours is interpolated.
    """
    count = rows // len(biases)

    def power(frequency: np.ndarray) -> np.ndarray:
        answer = respond(_padded(np.repeat(biases, count), rows), _padded(frequency.reshape(-1), rows))
        with np.errstate(divide="ignore"):
            return np.log(np.abs(answer.numbers["loaded"][: len(biases) * count]) ** 2).reshape(len(biases), count)

    log_f = np.tile(np.linspace(np.log(LOWEST_HZ), np.log(HIGHEST_HZ), count), (len(biases), 1))
    scan = power(np.exp(log_f))
    level = scan[:, :1] - np.log(2.0)
    never = ~np.any(scan < level, axis=1)
    crossing = np.where(never, count - 1, np.argmax(scan < level, axis=1))
    high = log_f[np.arange(len(biases)), crossing]
    low = log_f[np.arange(len(biases)), np.maximum(crossing - 1, 0)]
    fine_f = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count)
    fine = power(np.exp(fine_f))
    found = [
        np.interp(0.0, (one_level - row)[:], frequencies) if np.all(np.isfinite(row)) else np.nan
        for row, frequencies, one_level in zip(fine, fine_f, level[:, 0], strict=True)
    ]
    failed = ~np.isfinite(level[:, 0])
    bandwidth = np.where(never, HIGHEST_HZ, np.exp(found))
    return np.where(failed, np.nan, bandwidth), np.exp(scan[:, 0] / 2)


# --- response in time ----------------------------------------------------------------------------------------------


ACCURACY = Settings(tolerance=1e-2, newton_tolerance=1e-5)
"""In bleaches of `qdip_literature` this leaves 2.4e-4, in its current 4e-4 of the largest; weak signals are followed in
steps as short as the outputs stand, ten to a decade."""
EARLIEST_S = 1e-13
"""First time after a switch or a pump: a tenth of what capture into a dot takes."""
TIMES = 100
"""After a switch or a pump. A pumped device is followed at twice as many, so that one program serves both."""


def followed_pulse(
    device: Device,
    reverse_bias_V: float,
    wavelength_nm: float,
    irradiance_W_per_cm2: float,
    length_s: float,
    load_ohm: float,
) -> TimeResponse:
    """A square pulse of light, followed for as long as it lasts and as long again."""
    grid = np.geomspace(EARLIEST_S, length_s, TIMES)
    times, shape = jnp.asarray(np.concatenate([grid, length_s + grid])), Square(0.0, length_s)
    light = wavelength_nm, irradiance_W_per_cm2, shape, times
    return _numbers(light_pulse(device, -reverse_bias_V, *light, load_ohm, ACCURACY))


def followed_pump(
    device: Device,
    reverse_bias_V: float,
    wavelength_nm: Float[Array, ""] | float,
    fluence_J_per_cm2: Float[Array, ""] | float,
    latest_s: float,
    load_ohm: float,
) -> TimeResponse:
    """A pump that is shorter than everything else, and what it has done up to `latest_s`."""
    light = wavelength_nm, fluence_J_per_cm2, jnp.geomspace(EARLIEST_S, latest_s, 2 * TIMES)
    return _numbers(transient_absorption(device, -reverse_bias_V, *light, load_ohm, ACCURACY))


def _numbers(response: TimeResponse) -> TimeResponse:
    """NumPy, with nan where nothing was reached."""
    return jax.tree.map(np.asarray, response.reached())


def _pulses(device: Device, ask: Ask) -> dict[float, TimeResponse]:
    if ask.pulse_s is None:
        return {}
    light = ask.read_wavelength_nm, ask.irradiance_W_per_cm2, ask.pulse_s
    return {bias: followed_pulse(device, bias, *light, ask.load_ohm) for bias in ask.biases_V}


def _bleaches(device: Device, ask: Ask) -> dict[tuple[str, float], TimeResponse]:
    return {
        (name, bias): followed_pump(
            device, bias, pump.wavelength_nm, pump.fluence_J_per_cm2, ask.pumped_s, ask.load_ohm
        )
        for name, pump in ask.pumps.items()
        for bias in ask.biases_V
    }


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), values[-1])])


def _hide(values: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Put nan where a solve has failed."""
    if not np.issubdtype(values.dtype, np.inexact):
        return values
    return np.where(failed.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)


def _blank(points: Point) -> Point:
    failed = np.asarray(points.status != Status.CONVERGED)
    return jax.tree.map(lambda x: _hide(x, failed), points)


def figures_of_merit(run: Simulation, reverse_bias_V: float) -> dict[str, float]:
    """All figures of the registry at one of the biases asked for."""
    row = int(run.by_bias.rows(reverse_bias_V)[0])
    values = {name: float(values[row]) for name, values in run.by_bias.numbers["figures"].items()}
    place = run.ask.biases_V.index(reverse_bias_V)
    values["bandwidth_Hz"] = float(run.bandwidth_Hz[place])
    return {figure.name: values[figure.name] for figure in FIGURES}
