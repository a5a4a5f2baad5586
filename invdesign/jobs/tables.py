"""Everything about one device, as tables: pure functions from a device and what is asked of it to columns of numbers.

Two programs are compiled, whatever is asked: one that walks through all biases in the dark and in the light, and one
that takes an operating point and a frequency to admittance, noise and the response to every wavelength.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invdesign.analyses.illumination import Absorption, absorption, photon_flux
from invdesign.analyses.noise import noise
from invdesign.analyses.operating_point import OperatingPoint, reach
from invdesign.analyses.readout import Noiseless, Readout
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import HC_EV_NM
from invdesign.device.device import Device
from invdesign.device.mesh import normalised_nodes
from invdesign.figures.registry import FIGURES, Characterisation
from invdesign.materials.optical import extrapolated, require
from invdesign.materials.quantum_dots import REFERENCE_FREE_PATH_NM, DotsInHost
from invdesign.results import Status
from invdesign.solve.assembly import Light, balance, discretise, edge_states, populations
from invdesign.solve.newton import Outcome, State, Target, current_A, equilibrium_guess

Table = dict[str, Any]
"""Columns by name; the name ends in the unit."""

COMPARED_WAVELENGTH_NM = 975.0
"""gain.csv also has the wavelength of a common laser diode, where the paper measures."""


class About(NamedTuple):
    """What a table shows, and what its columns are."""

    shows: str
    columns: str


TABLES: dict[str, About] = {
    "bands": About(
        "bands, quasi-Fermi levels, field, carriers and dot states over position; two rows per mesh edge, since "
        "material interfaces are discontinuous; energies against the Fermi level of the cathode",
        "condition (equilibrium, dark, lit), reverse_bias_V, position_nm, layer, conduction_band_eV, valence_band_eV, "
        "electron_quasi_fermi_eV, hole_quasi_fermi_eV, field_V_per_cm (along +x), electron_density_cm3, "
        "hole_density_cm3, dot_empty, dot_electron, dot_hole, dot_exciton (probabilities, nan where there are no dots)",
    ),
    "absorptance": About(
        "where incident photons end up, by layer, and in layers with dots by what absorbs them",
        "wavelength_nm, reflectance, transmittance, absorptance_<layer>, absorptance_<layer>_dots, "
        "absorptance_<layer>_host, extrapolated (1 where an n,k model is used outside its data)",
    ),
    "rates": About(
        "emission of one dot over (thermionic) and through (field emission) the barrier, and capture of one free "
        "carrier; the field's enhancement multiplies capture too, which keeps detailed balance (local form)",
        "layer, field_V_per_cm (mean field), electron_thermionic_per_s, electron_field_emission_per_s, "
        "electron_capture_per_s, and the same for holes",
    ),
    "capture": About(
        "probability that a drifting electron is captured per dot passed, P = 1/(1 + mu F tau_c/L)",
        "layer, mobility_cm2_per_Vs, capture_time_ps, field_V_per_cm, capture_probability",
    ),
    "jv": About(
        "current against voltage, dark and lit; voltage_V > 0 is forward bias; Fowler-Nordheim columns ln(J/F^2) "
        "against 1/F, F the mean field of the active layers, photo meaning lit minus dark",
        "voltage_V, dark_current_density_A_per_cm2, lit_current_density_A_per_cm2, dark_edge_spread, lit_edge_spread "
        "(what round-off leaves of a current that is the same everywhere, relative), mean_field_V_per_cm, "
        "inverse_field_cm_per_MV, dark_ln_J_per_F2, photo_ln_J_per_F2 (J in A/cm2, F in V/cm), dark_status, lit_status",
    ),
    "spectrum": About(
        "response at the frequency of interest to every wavelength, from one adjoint solution per bias",
        "reverse_bias_V, wavelength_nm, absorptance (of the active layers), eqe, responsivity_A_per_W, gain, "
        "detectivity_Jones, extrapolated",
    ),
    "gain": About(
        "response against bias at the wavelength of interest and at 975 nm",
        "reverse_bias_V, wavelength_nm, eqe, responsivity_A_per_W, gain",
    ),
    "photoresponse": About(
        "response to modulated light at the wavelength of interest, into load_ohm",
        "reverse_bias_V, frequency_Hz, response_A_per_W, phase_deg, relative_dB (against 1 Hz)",
    ),
    "admittance": About(
        "small-signal admittance of the device at its terminals",
        "reverse_bias_V, frequency_Hz, conductance_S, susceptance_S, capacitance_F",
    ),
    "noise": About(
        "current noise of the short-circuited device and of what reads it, one-sided, and the part of every process",
        "reverse_bias_V, frequency_Hz, total_A_per_rtHz, <process>_A2_per_Hz",
    ),
    "noise_place": About(
        "where the current noise at the frequency of interest arises (contacts and circuit left out)",
        "reverse_bias_V, position_nm, layer, density_A2_per_Hz_nm",
    ),
    "noise_bias": About(
        "current noise against bias at the frequency of interest, with its shot and thermal limits",
        "reverse_bias_V, noise_A_per_rtHz (of the device), shot_limit_A_per_rtHz, thermal_limit_A_per_rtHz, "
        "dark_current_A, fano, detectivity_Jones",
    ),
    "detectivity_frequency": About(
        "detectivity at the wavelength of interest against frequency",
        "reverse_bias_V, frequency_Hz, responsivity_A_per_W, noise_A_per_rtHz (of the device), detectivity_Jones",
    ),
}


@dataclasses.dataclass(frozen=True)
class Ask:
    """What is wanted of a device."""

    voltage_V: np.ndarray
    reverse_bias_V: tuple[float, ...]
    wavelength_nm: np.ndarray
    frequency_Hz: np.ndarray
    read_wavelength_nm: float
    """Where single figures of merit are read."""
    read_frequency_Hz: float
    load_ohm: float
    irradiance_W_per_cm2: float
    """Monochromatic light of the lit curves, unless the device has its own illumination."""
    readout: Readout


# --- two compiled programs -----------------------------------------------------------------------------------------


class Point(eqx.Module):
    """One solved operating point and its profiles."""

    state: State
    status: Array
    current_A: Array
    edge_spread: Array
    profile: dict[str, Array]


@jax.jit
def _solve(device: Device, full: Light, voltage_V: Float[Array, " point"], scale: Float[Array, " point"]) -> Point:
    """Operating points along lists of voltages and of multiples of a light, each from the one before."""
    system = discretise(device)

    def step(state: State, at: tuple[Array, Array]) -> tuple[State, Point]:
        voltage, part = at
        light = Light(full.host * part, full.dots * part)
        outcome = reach(system, Target(voltage / system.kT, light), state)
        solved = outcome.state
        flows = balance(system, solved.u, solved.v, light).conduction
        spread = (jnp.max(flows) - jnp.min(flows)) / jnp.maximum(jnp.abs(jnp.mean(flows)), 1e-300)
        edges = edge_states(system, solved.u, solved.v)
        psi = jnp.stack([solved.u[:-1], solved.u[1:]], axis=1)
        profile = {
            "vacuum": -psi[..., 0] * system.kT,
            "electron_quasi_fermi": -psi[..., 1] * system.kT,
            "hole_quasi_fermi": -(psi[..., 2] + solved.v) * system.kT,
            "field": edges.sites[0].field,
            "electrons": jnp.stack([site.n for site in edges.sites], axis=1),
            "holes": jnp.stack([site.p for site in edges.sites], axis=1),
            "dots": populations(system, solved.u, solved.v, light),
        }
        point = Point(solved, outcome.status, current_A(system, solved, light), spread, profile)
        return jax.tree.map(lambda new, old: jnp.where(outcome.converged, new, old), solved, state), point

    return jax.lax.scan(step, equilibrium_guess(system), (voltage_V, scale))[1]


@jax.jit
def _respond(
    device: Device,
    optical: Absorption,
    light: Light,
    states: State,
    voltage_V: Float[Array, " row"],
    frequency_Hz: Float[Array, " row"],
    dark_current_A: Float[Array, " row"],
    load_ohm: Float[Array, ""],
    readout: Readout,
) -> dict[str, Any]:
    """Linear response of operating points, each at one frequency. The bandwidth is left to `bandwidths`."""
    system = discretise(device)
    shunt = device.terminals.shunt
    fano = jnp.ones(()) if shunt is None else shunt.fano

    def row(at: tuple[State, Array, Array, Array]) -> dict[str, Any]:
        state, voltage, frequency, dark_current = at
        small = small_signal(system, state, light)
        shorted, loaded = (
            jax.tree.map(lambda x, i=i: x[i], both)
            for both in [jax.vmap(lambda load: small.transfer(frequency, load))(jnp.stack([jnp.zeros(()), load_ohm]))]
            for i in (0, 1)
        )
        density = noise(small, shorted, fano)
        zero = jnp.zeros((), jnp.int64)
        point = OperatingPoint(device, system, light, voltage, Outcome(state, zero, zero))
        c = Characterisation(point, small, shorted, density, optical, frequency, load_ohm, dark_current, readout)
        return {
            "figures": {f.name: f.compute(c) for f in FIGURES if f.name != "bandwidth_Hz"},
            "eqe": c.eqe,
            "responsivity": c.responsivity_A_per_W,
            "detectivity": c.detectivity_Jones,
            "absorptance": c.absorptance,
            "loaded": quantum_efficiency(small, loaded, optical)[0],
            "admittance": shorted.admittance,
            "by_process": c.noise_by_process,
            "by_edge": density.by_edge,
            "peak_field": c.peak_field_V_per_cm,
        }

    return jax.lax.map(row, (states, voltage_V, frequency_Hz, dark_current_A))


_absorption = jax.jit(absorption)


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
    """At the wavelength of interest, at `COMPARED_WAVELENGTH_NM`, then at those asked for."""
    extrapolated: Bool[np.ndarray, " wavelength"]
    by_frequency: Response
    """The biases asked for, at the frequencies asked for."""
    by_bias: Response
    """All reverse biases at the frequency of interest."""
    bandwidth_Hz: np.ndarray
    """Of the biases asked for."""
    level_A_per_W: np.ndarray
    """|response| at 1 Hz, of the biases asked for."""

    @property
    def own(self) -> Point:
        """Operating points under the device's own illumination, where response and noise are taken."""
        return self.dark if self.device.illumination.spectrum() is None else self.lit

    def index(self, reverse_bias_V: float) -> int:
        """Where a bias stands in `voltage_V`."""
        return int(np.argmin(np.abs(self.voltage_V + reverse_bias_V)))


def simulate(device: Device, ask: Ask) -> Simulation:
    """Solve a device at all biases and frequencies asked for.

    Raises `InputError` if a wavelength is outside an n,k table. A bias whose solve fails is nan, with its status.
    """
    wavelengths = np.concatenate([[ask.read_wavelength_nm, COMPARED_WAVELENGTH_NM], ask.wavelength_nm])
    models = [model for name in device.order for model in device.layers[name].material.optical_models]
    require(models, wavelengths)
    optical = _absorption(device, jnp.asarray(wavelengths))
    is_dark = device.illumination.spectrum() is None
    light = _light(device, ask, optical)

    # walk away from zero, dark before lit: each point starts from a near one
    reverse = -np.asarray(ask.reverse_bias_V, float)
    voltage = np.unique(np.round(np.concatenate([ask.voltage_V, reverse, [0.0]]), 9)) + 0.0
    order = np.concatenate([np.flatnonzero(voltage <= 0)[::-1], np.flatnonzero(voltage > 0)])
    path, back = voltage[order], np.argsort(order)
    count = len(voltage)
    scale = np.repeat([0.0, 1.0], count)
    points = jax.tree.map(np.asarray, _solve(device, light, jnp.asarray(np.tile(path, 2)), jnp.asarray(scale)))
    dark_raw, lit_raw = (
        jax.tree.map(lambda x, h=half: x[h * count : (h + 1) * count][back], points) for half in (0, 1)
    )
    dark, bright = _blank(dark_raw), _blank(lit_raw)

    own = dark_raw if is_dark else lit_raw
    steady = jax.tree.map(lambda x: x * (0.0 if is_dark else 1.0), light)

    def respond(reverse_bias: np.ndarray, frequency: np.ndarray) -> Response:
        at = np.array([int(np.argmin(np.abs(voltage + bias))) for bias in reverse_bias])
        states = jax.tree.map(lambda x: jnp.asarray(x[at]), own.state)
        points = [jnp.asarray(x) for x in (voltage[at], frequency, dark.current_A[at])]
        load = jnp.asarray(ask.load_ohm, jnp.float64)
        rows = _respond(device, optical, steady, states, *points, load, ask.readout)
        failed = own.status[at] != Status.CONVERGED
        return Response(reverse_bias, frequency, jax.tree.map(lambda x: _hide(np.asarray(x), failed), rows))

    biases = np.array(sorted(set(ask.reverse_bias_V)))
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

    bandwidth, level = _bandwidths(respond, biases, rows)
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
        level * ask.read_wavelength_nm / HC_EV_NM,
    )


def _light(device: Device, ask: Ask, optical: Absorption) -> Light:
    """Light of the lit curves: the device's own, else monochromatic at the wavelength of interest."""
    spectrum = device.illumination.spectrum()
    if spectrum is None:
        flux = photon_flux(optical.wavelength_nm[0], jnp.asarray(ask.irradiance_W_per_cm2, jnp.float64))
        return Light(optical.host[..., 0] * flux, optical.dots[..., 0] * flux)
    wavelength, irradiance = spectrum
    for name in device.order:
        require(device.layers[name].material.optical_models, wavelength)
    return _absorption(device, wavelength).light(photon_flux(wavelength, irradiance))


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


# --- tables --------------------------------------------------------------------------------------------------------


def all_tables(run: Simulation) -> dict[str, Table]:
    """Every table that a device has; those about dots only if it has dots."""
    made = {
        "bands": bands(run),
        "absorptance": absorptance(run),
        "rates": rates(run.device),
        "capture": capture(run.device),
        "jv": jv(run),
        "spectrum": spectrum(run),
        "gain": gain(run),
        "photoresponse": photoresponse(run),
        "admittance": admittance(run),
        "noise": noise_spectrum(run),
        "noise_place": noise_place(run),
        "noise_bias": noise_bias(run),
        "detectivity_frequency": detectivity_frequency(run),
    }
    return {name: table for name, table in made.items() if table is not None}


def mesh(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the left and right ends of all edges (edge, 2), nm from the left contact, and each edge's layer."""
    ends, names, start = [], [], 0.0
    for name in device.electrical:
        layer = device.layers[name]
        nodes = start + normalised_nodes(layer.edges) * float(layer.thickness_nm)
        ends.append(np.stack([nodes[:-1], nodes[1:]], axis=1))
        names += [name] * layer.edges
        start = nodes[-1]
    return np.concatenate(ends), np.array(names)


def dotted(device: Device) -> dict[str, DotsInHost]:
    """Layers with dots."""
    materials = {name: device.layers[name].material for name in device.electrical}
    return {name: material for name, material in materials.items() if isinstance(material, DotsInHost)}


def _stack(parts: list[Table]) -> Table:
    return {key: np.concatenate([np.asarray(part[key]) for part in parts]) for key in parts[0]}


def bands(run: Simulation) -> Table:
    """Profiles at equilibrium, and in the dark and in the light at every bias."""
    device = run.device
    positions, names = mesh(device)
    bulks = {name: device.layers[name].material.bulk(device.kT) for name in device.electrical}  # type: ignore[attr-defined]
    layer = np.repeat(names, 2)
    affinity = np.array([float(bulks[name].electron_affinity) for name in layer])
    gap = np.array([float(bulks[name].band_gap) for name in layer])
    has_dots = np.isin(layer, list(dotted(device)))
    cases = [("equilibrium", 0.0, run.dark)]
    biases = sorted(set(run.ask.reverse_bias_V))
    cases += [(name, bias, points) for name, points in (("dark", run.dark), ("lit", run.lit)) for bias in biases]
    parts = []
    for condition, bias, points in cases:
        profile = {key: value[run.index(bias)] for key, value in points.profile.items()}
        conduction = profile["vacuum"].reshape(-1) - affinity
        filling = np.where(has_dots[:, None], profile["dots"].reshape(-1, 4), np.nan)
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
                "dot_empty": filling[:, 0],
                "dot_electron": filling[:, 1],
                "dot_hole": filling[:, 2],
                "dot_exciton": filling[:, 3],
            }
        )
    return _stack(parts)


def absorptance(run: Simulation) -> Table:
    """Where photons end up."""
    keep, optical = slice(2, None), run.optical
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


@jax.jit
def _dot_rates(material: DotsInHost, kT: Float[Array, ""], field: Float[Array, " field"]) -> dict[str, Array]:
    dots = material.ensemble(kT)
    per_carrier = dots.density * dots.capture_coefficient
    table = {}
    for carrier, escape, release in (
        ("electron", dots.electron_escape, dots.electron_release),
        ("hole", dots.hole_escape, dots.hole_release),
    ):
        over, through = (jax.vmap(part, (0, None))(field, kT) for part in (escape.thermionic, escape.tunnelling))
        emission = dots.capture_coefficient * release
        table[f"{carrier}_thermionic_per_s"] = emission * over
        table[f"{carrier}_field_emission_per_s"] = emission * through
        table[f"{carrier}_capture_per_s"] = per_carrier * (over + through)
    return table


def rates(device: Device) -> Table | None:
    """Emission and capture of every layer with dots."""
    field = np.logspace(3, 6, 61)
    parts = []
    for name, material in dotted(device).items():
        made = _dot_rates(material, device.kT, jnp.asarray(field))
        numbers = {key: np.asarray(made[key]) for key in sorted(made, key=lambda key: key.startswith("hole"))}
        parts.append({"layer": [name] * len(field), "field_V_per_cm": field} | numbers)
    return _stack(parts) if parts else None


def capture(device: Device) -> Table | None:
    """Capture probability per dot against mobility, for the capture time in use and three times as long."""
    mobility = np.logspace(-3, 3, 61)
    parts = []
    for name, material in dotted(device).items():
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
                        "capture_probability": 1 / (1 + mobility * field * time_s / (path * 1e-7)),
                    }
                )
    return _stack(parts) if parts else None


def mean_field(run: Simulation, points: Point) -> np.ndarray:
    """|mean field| of the active layers at every voltage, V/cm."""
    positions, names = mesh(run.device)
    lengths = np.where(np.isin(names, run.device.active), positions[:, 1] - positions[:, 0], 0.0)
    return np.abs(points.profile["field"] @ lengths) / np.sum(lengths)


def jv(run: Simulation) -> Table:
    """Current against voltage."""
    area = float(run.device.area_cm2)
    dark, lit = run.dark.current_A / area, run.lit.current_A / area
    field = mean_field(run, run.dark)
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = run.voltage_V > 0  # the plot is about reverse bias, and forward injection is another mechanism
        plots = [np.where(forward | (j == 0), np.nan, np.log(np.abs(j) / field**2)) for j in (dark, lit - dark)]
    at_rest = run.voltage_V == 0  # no current at equilibrium: nothing to compare a spread with
    return {
        "voltage_V": run.voltage_V,
        "dark_current_density_A_per_cm2": np.where(at_rest & np.isfinite(dark), 0.0, dark),
        "lit_current_density_A_per_cm2": lit,
        "dark_edge_spread": np.where(at_rest, np.nan, run.dark.edge_spread),
        "lit_edge_spread": run.lit.edge_spread,
        "mean_field_V_per_cm": field,
        "inverse_field_cm_per_MV": 1e6 / field,
        "dark_ln_J_per_F2": np.where(at_rest, np.nan, plots[0]),
        "photo_ln_J_per_F2": plots[1],
        "dark_status": [Status(int(s)).name.lower() for s in run.dark.status],
        "lit_status": [Status(int(s)).name.lower() for s in run.lit.status],
    }


def _at_read_frequency(run: Simulation) -> list[tuple[float, int]]:
    """The biases asked for, and their rows in `by_bias`."""
    return [(bias, int(run.by_bias.rows(bias)[0])) for bias in sorted(set(run.ask.reverse_bias_V))]


def spectrum(run: Simulation) -> Table:
    """Response and detectivity against wavelength."""
    parts = []
    numbers = run.by_bias.numbers
    for bias, row in _at_read_frequency(run):
        eqe, absorbed = numbers["eqe"][row, 2:], numbers["absorptance"][row, 2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = eqe / absorbed
        parts.append(
            {
                "reverse_bias_V": np.full(len(eqe), bias),
                "wavelength_nm": run.ask.wavelength_nm,
                "absorptance": absorbed,
                "eqe": eqe,
                "responsivity_A_per_W": numbers["responsivity"][row, 2:],
                "gain": np.where(absorbed > 0, ratio, np.nan),
                "detectivity_Jones": numbers["detectivity"][row, 2:],
                "extrapolated": run.extrapolated[2:].astype(int),
            }
        )
    return _stack(parts)


def gain(run: Simulation) -> Table:
    """Response against bias at two wavelengths."""
    numbers, bias = run.by_bias.numbers, run.by_bias.reverse_bias_V
    parts = []
    for index, wavelength in enumerate((run.ask.read_wavelength_nm, COMPARED_WAVELENGTH_NM)):
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
    return _stack(parts)


def photoresponse(run: Simulation) -> Table:
    """Response to modulated light."""
    response = run.by_frequency.numbers["loaded"] * run.ask.read_wavelength_nm / HC_EV_NM
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
    return _stack(
        [
            {
                "reverse_bias_V": np.full(len(names), bias),
                "position_nm": middle,
                "layer": names,
                "density_A2_per_Hz_nm": run.by_bias.numbers["by_edge"][row] / length,
            }
            for bias, row in _at_read_frequency(run)
        ]
    )


def noise_bias(run: Simulation) -> Table:
    """Noise and its limits against bias."""
    figures = run.by_bias.numbers["figures"]
    fano = np.where(figures["shot_limit_A_per_rtHz"] < 1e-22, np.nan, figures["fano"])  # no current, no Fano factor
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


def figures_of_merit(run: Simulation, reverse_bias_V: float) -> dict[str, float]:
    """All figures of the registry at one of the biases asked for."""
    row = int(run.by_bias.rows(reverse_bias_V)[0])
    values = {name: float(values[row]) for name, values in run.by_bias.numbers["figures"].items()}
    place = sorted(set(run.ask.reverse_bias_V)).index(reverse_bias_V)
    values["bandwidth_Hz"] = float(run.bandwidth_Hz[place])
    return {figure.name: values[figure.name] for figure in FIGURES}


__all__ = ["TABLES", "Ask", "Simulation", "all_tables", "figures_of_merit", "simulate"]
