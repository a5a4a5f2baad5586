"""`invdesign validate`: the theorems of `analyses.checks`, and the numerics, on the user's own device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from invdesign.analyses import checks
from invdesign.analyses.illumination import Absorption, absorption, photon_flux, steady_light
from invdesign.analyses.operating_point import prepare
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Device, Schottky
from invdesign.figures.registry import characterise
from invdesign.jobs.data import optical_models, sources
from invdesign.jobs.settings import ValidateSettings
from invdesign.materials.quantum_dots import DotsInHost, MapbHalide
from invdesign.processes.recombination import TunnelGeneration
from invdesign.results import Status
from invdesign.run.folder import RESULT, RunFolder
from invdesign.run.progress import Reporter
from invdesign.schema import InputError, find
from invdesign.solve.assembly import Light, System, no_light, over_sizes
from invdesign.solve.newton import Outcome, State, Target, equilibrium_guess

SHALLOW_REVERSE_V = 0.05
DEEP_REVERSE_V = 1.0
"""Reverse biases that are checked besides the user's own: where digits of the dark current are lost, and saturation."""
BRIGHT_W_PER_CM2 = 1e-3
"""Light of the lit checks on a device that is configured to be dark."""
WEAK_W_PER_CM2 = 10.0 ** np.arange(-14, -7)
LEAST_ABSORPTANCE = 1e-3
"""Where the layers that carry current absorb less than this at the objective's wavelength, another one is taken."""
GRID_NM = np.arange(300.0, 1601.0, 20.0)
SATURATED_OVER_KT = 20.0
COUPLED = 5e-4
"""Carriers are independent, and 2qI a theorem, if their influence on generation changes the noise by less than this."""


class Check(NamedTuple):
    """One line of the report."""

    name: str
    value: float
    tolerance: float | None
    """None for a number that is reported and not judged."""
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.tolerance is None or bool(np.isfinite(self.value) and self.value <= self.tolerance)


class Point(NamedTuple):
    """A solved operating point with the light it is under."""

    label: str
    voltage_V: float
    light: Light
    outcome: Outcome

    @property
    def status(self) -> Status:
        return Status(int(self.outcome.status))


UNSOLVED = float("nan")
"""The value of a check at a point that was not solved: it fails."""


def check(settings: ValidateSettings) -> None:
    """Raise `InputError` if the n,k tables of the device have no wavelength in common."""
    _wavelengths(settings.device, float(settings.objective.wavelengths_nm[0]))


def run(settings: ValidateSettings, folder: RunFolder | None, console: Console) -> int:
    """Check a device. Exit code 0, or 1 if a check fails. Without a folder, only say what would be done."""
    if folder is None:
        console.print(f"would check {settings.device.name} at reverse biases of {_biases(settings)} V, dark and lit")
        return 0
    results: list[Check] = []
    with Reporter(console, "checks", len(GROUPS)) as reporter:
        for check in _checks(settings, lambda done, name: reporter.update(done, now=name.replace("_", " "))):
            results.append(check)
    if not console.is_terminal:
        console.width = max(console.width, 200)  # no wrapping where nobody watches
    console.print(_table(settings.device.name, results))
    failed = [check.name for check in results if not check.passed]
    folder.write_json(
        RESULT,
        {
            "schema": "invdesign/result/1",
            "job": "validate",
            "device": settings.device.name,
            "status": "failed" if failed else "passed",
            "checks": {
                check.name: {
                    "value": check.value,
                    "tolerance": check.tolerance,
                    "passed": check.passed,
                    "detail": check.detail,
                }
                for check in results
            },
            "warnings": [f"{name} failed" for name in failed],
            "tables": {},
        },
    )
    folder.update_manifest(sources=sources(settings.device))
    judged = sum(check.tolerance is not None for check in results)
    console.print(f"{judged - len(failed)} of {judged} checks passed")
    return 1 if failed else 0


def _table(device: str, results: list[Check]) -> Table:
    table = Table(title=f"validate {device}", box=None, pad_edge=False, title_justify="left")
    table.add_column("check")
    table.add_column("value", justify="right")
    table.add_column("tolerance", justify="right")
    table.add_column("")
    table.add_column("")
    for check in results:
        limit, verdict = ("", "reported") if check.tolerance is None else (f"{check.tolerance:.1e}", "ok")
        if not check.passed:
            verdict = "[bold red]FAILS[/]"
        table.add_row(check.name, f"{check.value:.2e}", limit, verdict, check.detail)
    return table


def _biases(settings: ValidateSettings) -> list[float]:
    return sorted({SHALLOW_REVERSE_V, DEEP_REVERSE_V, *(float(v) for v in settings.reverse_bias_V if v > 0)})


# The checks ----------------------------------------------------------------------------------------------------------


class Bench:
    """The device on its mesh, its operating points, and what the groups of checks share."""

    def __init__(self, settings: ValidateSettings):
        self.device = device = settings.device
        self.frequency_Hz = float(settings.objective.frequency_Hz)
        self.frequencies_Hz = settings.frequency.values
        self.system: System = prepare(device)
        self.biases_V = _biases(settings)
        self.wavelengths = _wavelengths(device, float(settings.objective.wavelengths_nm[0]))
        self.optics: Absorption = absorption(device, self.wavelengths)
        self.wavelength_index, self.note = self._wavelength()
        self.wavelength_nm = float(self.wavelengths[self.wavelength_index])
        dark = no_light(self.system)
        own = steady_light(device)
        self.dark = dark
        self.base = dark if own is None else own
        self.bright = self.flash(BRIGHT_W_PER_CM2) if own is None else own
        self.points: list[Point] = []

    def _wavelength(self) -> tuple[int, str]:
        """The objective's wavelength if the device absorbs there; else the one at which it absorbs most."""
        absorbed = np.asarray(sum(self.optics.layers[name] for name in self.device.electrical))
        if absorbed[0] >= LEAST_ABSORPTANCE:
            return 0, ""
        best = int(np.argmax(absorbed))
        return best, f"light of {float(self.wavelengths[best]):g} nm: the device does not absorb the objective's"

    @property
    def kT(self) -> float:
        return float(self.system.kT)

    @property
    def has_dots(self) -> bool:
        return any(region.bulk.dots is not None for region in self.system.regions)

    @property
    def injects(self) -> bool:
        """Some contact emits in the field, which stored charge changes: carriers need not cross independently."""
        contacts = self.system.contacts
        return any(isinstance(contact, Schottky) and contact.injection is not None for contact in contacts)

    @property
    def tunnels(self) -> bool:
        """Some layer makes pairs in the field, which may turn back before they part."""
        processes = [process for region in self.system.regions for process in region.bulk.recombination]
        return any(isinstance(process, TunnelGeneration) for process in processes)

    @property
    def middles(self) -> list[int]:
        """An edge in every layer that carries current."""
        counts = np.asarray(self.system.layer_edges)
        return [int(edge) for edge in np.cumsum(counts) - counts + counts // 2]

    @property
    def light_used(self) -> Absorption:
        """The optics at the one wavelength of the photo-response."""
        return at_wavelength(self.optics, self.wavelength_index)

    def flash(self, irradiance_W_per_cm2: float) -> Light:
        """Monochromatic light."""
        flux = photon_flux(jnp.asarray(self.wavelength_nm), jnp.asarray(irradiance_W_per_cm2))
        return self.light_used.light(flux[None])

    def target(self, voltage_V: float, light: Light) -> Target:
        return Target(jnp.asarray(voltage_V / self.kT, jnp.float64), light)

    def solve(
        self, label: str, voltage_V: float, light: Light, start: State | None = None, origin_V: float = 0.0
    ) -> Any:
        """Reach a point from equilibrium, or from the solution `start` at `origin_V` in the dark."""
        begin = equilibrium_guess(self.system) if start is None else start
        origin = self.target(origin_V, self.dark)
        outcome = checks.travel(self.system, begin, origin, self.target(voltage_V, light))
        self.points.append(Point(label, voltage_V, light, outcome))
        return outcome

    def linear(self, state: State, light: Light) -> Any:
        return small_signal(self.system, state, light)

    def spectrum(self, small: Any, frequencies_Hz: Any, edges: Any) -> checks.Spectrum:
        frequencies, where = np.broadcast_arrays(frequencies_Hz, edges)
        return checks.spectrum(
            small,
            jnp.asarray(frequencies.ravel(), jnp.float64),
            jnp.asarray(where.ravel(), jnp.int64),
            self.light_used,
            self.device.terminals.shunt,
        )


def at_wavelength(optics: Absorption, index: int) -> Absorption:
    """One of the wavelengths of an absorption."""

    def pick(array: Array) -> Array:
        return array[index : index + 1]

    return jax.tree.map(pick, optics)


def _wavelengths(device: Device, first_nm: float) -> Float[Array, " wavelength"]:
    """The objective's wavelength and a grid over all that the optical data of the device cover."""
    low, high = 0.0, np.inf
    for model in optical_models(device):
        if not model.extrapolates and model.range_nm is not None:
            low, high = max(low, model.range_nm[0]), min(high, model.range_nm[1])
    grid = GRID_NM[(low <= GRID_NM) & (high >= GRID_NM)]
    if not grid.size:
        raise InputError("device: the n,k tables of its layers have no wavelength between 300 and 1600 nm in common")
    # outside all tables the objective has no photo-response; the grid takes its place
    inside = first_nm if low <= first_nm <= high else grid[0]
    return jnp.asarray(np.concatenate([[inside], grid]), jnp.float64)


def _checks(settings: ValidateSettings, progress: Callable[[int, str], None]) -> Iterator[Check]:
    progress(0, "compiling")
    bench = Bench(settings)
    for index, group in enumerate(GROUPS):
        progress(index, group.__name__.strip("_").replace("_", " "))
        yield from group(bench)
    progress(len(GROUPS), "complete")


def _optics(bench: Bench) -> Iterator[Check]:
    optics = bench.optics
    total = optics.reflectance + optics.transmittance + sum(optics.layers.values())
    yield Check("R + T + A = 1", float(jnp.max(jnp.abs(total - 1))), 1e-9, f"{len(bench.wavelengths)} wavelengths")
    inside = jnp.sum(optics.host + over_sizes(optics.dots, 1), axis=(1, 2))
    layers = sum(optics.layers[name] for name in bench.device.electrical)
    yield Check("absorption profiles add up to the layers", float(jnp.max(jnp.abs(inside - layers))), 1e-9)
    shares = jnp.stack([optics.reflectance, optics.transmittance, *optics.layers.values()])
    yield Check("no share of the light is negative", float(jnp.maximum(-jnp.min(shares), 0.0)), 1e-9, bench.note)


def _equilibrium(bench: Bench) -> Iterator[Check]:
    system, dark = bench.system, bench.dark
    rest = bench.solve("equilibrium", 0.0, dark)
    for name, value in checks.detailed_balance(system, rest.state, dark).items():
        yield Check(f"detailed balance: {name}", float(value), 1e-12)
    biased = bench.solve(f"-{DEEP_REVERSE_V:g} V, dark", -DEEP_REVERSE_V, dark, rest.state)
    back = checks.travel(system, biased.state, bench.target(-DEEP_REVERSE_V, dark), bench.target(0.0, dark))
    bench.points.append(Point("equilibrium from bias", 0.0, dark, back))
    worst = checks.detailed_balance(system, back.state, dark)
    name = max(worst, key=lambda process: float(worst[process]))
    detail = f"walked to -{DEEP_REVERSE_V:g} V and back; worst: {name}"
    yield Check("detailed balance, equilibrium reached from bias", float(worst[name]), 1e-12, detail)


def _currents(bench: Bench) -> Iterator[Check]:
    system, dark = bench.system, bench.dark
    rest = bench.points[0].outcome
    for bias in bench.biases_V:
        if bias != DEEP_REVERSE_V:  # solved already
            bench.solve(f"{-bias:g} V, dark", -bias, dark, rest.state)
    for bias in (0.0, *bench.biases_V):
        bench.solve(f"{0 - bias:g} V, lit", -bias, bench.bright, rest.state)
    shallow = next(p for p in bench.points if p.voltage_V == -SHALLOW_REVERSE_V)
    name = "current at equilibrium over that at 50 mV reverse"
    if shallow.status == Status.CONVERGED:
        least = jnp.max(jnp.abs(checks.current_densities(system, shallow.outcome.state, dark)))
        rest_J = jnp.max(jnp.abs(checks.current_densities(system, rest.state, dark)))
        yield Check(name, float(rest_J / least), 1e-6, f"{rest_J:.1e} A/cm2")
    else:
        yield _unsolved(name, shallow.label, shallow.status, 1e-6)
    spreads, budgets = {}, {}
    for point in bench.points:
        if point.label.startswith("equilibrium"):
            continue
        state, light = point.outcome.state, point.light
        spread, budget = UNSOLVED, UNSOLVED
        if point.status == Status.CONVERGED:
            spread = float(checks.spread(checks.current_densities(system, state, light)))
            budget = float(jnp.max(checks.carrier_budget(system, state, light)))
        spreads[point.label], budgets[point.label] = spread, budget
    for kind in ("dark", "lit"):
        of_kind = {label: value for label, value in spreads.items() if label.endswith(kind)}
        yield _worst(bench, f"current constant over edges, {kind}", of_kind, 1e-6)
    yield _worst(bench, "generation - recombination = flux out", budgets, 1e-6)


def _worst(
    bench: Bench, name: str, values: dict[str, float], tolerance: float, notes: Mapping[str, str] = MappingProxyType({})
) -> Check:
    """The largest of the values at several points, or the first point that was not solved."""
    label = max(values, key=lambda k: values[k] if np.isfinite(values[k]) else np.inf)
    status = next(point.status for point in bench.points if point.label == label)
    if status != Status.CONVERGED:
        return _unsolved(name, label, status, tolerance)
    return Check(name, values[label], tolerance, f"worst: {label}{notes.get(label, '')}")


def _unsolved(name: str, label: str, status: Status, tolerance: float) -> Check:
    return Check(name, UNSOLVED, tolerance, f"{label}: {status.message}")


def _small_signals(bench: Bench) -> Iterator[Check]:
    system = bench.system
    rest = bench.points[0].outcome
    edges = bench.middles
    frequencies = np.asarray(bench.frequencies_Hz)
    small = bench.linear(rest.state, bench.dark)
    points = bench.spectrum(small, frequencies[:, None], np.asarray(edges)[None])
    excess = np.asarray(checks.fluctuation_dissipation(system, points)).reshape(len(frequencies), len(edges))
    f, e = np.unravel_index(np.argmax(excess), excess.shape)
    admittance = np.asarray(points.admittance).reshape(excess.shape)[f, e]
    detail = (
        f"over 4kT (1e-6 Re Y + 1e-13 |Y|); worst at {frequencies[f]:.0e} Hz, read in {bench.device.electrical[e]}, "
        f"where |Y|/Re Y is {abs(admittance) / max(admittance.real, 1e-300):.0e}"
    )
    yield Check("S_I = 4kT Re Y at equilibrium", float(excess[f, e]), 1.0, detail)

    injected = checks.splitting(system, rest, bench.target(0.0, bench.dark))
    error = jnp.max(jnp.abs(checks.collection(system, rest.state, bench.dark) - injected))
    yield Check("collection of pairs = injection (reciprocity)", float(error), 1e-8, "over all nodes, at equilibrium")

    everywhere = np.unique(np.linspace(0, system.nodes - 2, 9).astype(int))
    spreads, peaks, conductances = {}, {}, {}
    scan = np.concatenate([[0.0], np.logspace(0, 10, 21)])
    deepest = None
    for point in {p.label: p for p in bench.points if p.label != "equilibrium from bias"}.values():
        if point.voltage_V == -max(bench.biases_V) and point.label.endswith("dark"):
            deepest = point
        if point.status != Status.CONVERGED:
            spreads[point.label] = peaks[point.label] = conductances[point.label] = UNSOLVED
            continue
        state = point.outcome.state
        small = bench.linear(state, point.light)
        responses = bench.spectrum(small, np.full(len(everywhere), bench.frequency_Hz), everywhere).eqe
        spreads[point.label] = float(checks.spread(responses))
        response = np.abs(np.asarray(bench.spectrum(small, scan, system.read_edge).eqe))[:, 0]
        peaks[point.label] = float(np.max(response / response[0]))
        here = bench.target(point.voltage_V, point.light)
        dc = float(checks.dc_conductance(system, point.outcome, here))
        ac = complex(bench.spectrum(small, np.zeros(len(scan)), system.read_edge).admittance[0]).real
        conductances[point.label] = abs(ac / dc - 1)
    yield _worst(bench, "photocurrent constant over edges", spreads, 1e-6)
    yield _worst(bench, "admittance at 0 Hz = dI/dV", conductances, 1e-6)
    # strong light may charge dots, which slowly screen the field: the fast response is then larger, and rightly so
    dark = {label: peak for label, peak in peaks.items() if not label.endswith("lit")}
    highest = _worst(bench, "highest photo-response over that at 0 Hz, dark", dark, 1.1)
    trapped = any(bench.device.layers[name].material.trapped for name in bench.device.order)
    if trapped and np.isfinite(highest.value):
        # carriers that wait in traps longer than a period have not yet been lost
        highest = highest._replace(tolerance=None, detail="a result: carriers may wait in traps")
    yield highest
    bright = max((peak for label, peak in peaks.items() if label.endswith("lit")), default=1.0)
    yield Check("highest photo-response over that at 0 Hz, lit", bright, None, "a result: light may charge the dots")
    assert deepest is not None
    yield from _shot_noise(bench, deepest)
    yield from _weak_light(bench)


def _shot_noise(bench: Bench, point: Point) -> Iterator[Check]:
    """S_I = 2qI of a saturated junction whose carriers cross independently; elsewhere the Fano factor is a result."""
    if point.status != Status.CONVERGED:
        yield _unsolved("Fano factor S_I/2qI", point.label, point.status, 1e-3)
        return
    state = point.outcome.state
    real, independent = (float(fano) for fano in checks.fano_factors(bench.system, state, point.light))
    where = f"{point.label}, shunt removed"
    if bench.has_dots:
        yield Check("Fano factor S_I/2qI", real, None, f"{where}; a result: dots store charge")
    elif bench.injects:
        yield Check("Fano factor S_I/2qI", real, None, f"{where}; a result: a contact injects in the field")
    elif bench.tunnels:
        yield Check("Fano factor S_I/2qI", real, None, f"{where}; a result: pairs that the field makes may turn back")
    elif bool(state.v > -SATURATED_OVER_KT):
        yield Check("Fano factor S_I/2qI", real, None, f"{where}; a result: not saturated")
    elif abs(real - independent) > COUPLED:
        why = f"a result: generation responds to the carriers it frees (without that {independent:.4f})"
        yield Check("Fano factor S_I/2qI", real, None, f"{where}; {why}")
    else:
        yield Check("S_I = 2qI of the saturated junction", abs(real - 1), 1e-3, where)


def _weak_light(bench: Bench) -> Iterator[Check]:
    """A finite weak light against the linear response, where round-off and curvature leave most digits."""
    system = bench.system
    errors, notes = {}, {}
    for point in [p for p in bench.points if p.label == "equilibrium" or p.label.endswith("dark")]:
        if point.label in errors:
            continue
        if point.status != Status.CONVERGED:
            errors[point.label] = UNSOLVED
            continue
        state = point.outcome.state
        small = bench.linear(state, point.light)
        linear = complex(bench.spectrum(small, np.zeros(22), system.read_edge).eqe[0, 0]).real
        before = checks.terminal_current(system, state, point.light)
        finite = []
        for irradiance in WEAK_W_PER_CM2:
            light = bench.flash(float(irradiance))
            here = bench.target(point.voltage_V, bench.dark)
            lit = checks.travel(system, state, here, bench.target(point.voltage_V, light))
            flux = photon_flux(jnp.asarray(bench.wavelength_nm), jnp.asarray(irradiance))
            change = checks.terminal_current(system, lit.state, light) - before
            finite.append(-change / (ELEMENTARY_CHARGE_C * system.area_cm2 * flux))
        estimate, place = checks.settled(jnp.stack(finite))
        errors[point.label] = abs(float(estimate) / linear - 1)
        notes[point.label] = f", {WEAK_W_PER_CM2[int(place)]:.0e} W/cm2, {bench.wavelength_nm:g} nm"
    yield _worst(bench, "finite weak light = linear response", errors, 1e-4, notes)


# Derivatives and mesh ------------------------------------------------------------------------------------------------


class Knob(NamedTuple):
    """A number of the device that can be varied, and the width of its box."""

    name: str
    path: str
    width: Float[Array, ""]
    """An array, so that a device of another thickness needs no other program."""


def knobs(device: Device) -> list[Knob]:
    """Thicknesses of all layers that carry current; dot diameter and loading, bromide fraction where there are."""
    found = []
    for name in device.electrical:
        layer, path = device.layers[name], f"layers.{name}"
        found.append(Knob(f"{name} thickness", f"{path}.thickness_nm", layer.thickness_nm))
        host, path = layer.material, f"{path}.material"
        if isinstance(host, DotsInHost):
            found.append(Knob(f"{name} diameter", f"{path}.dots.diameter_nm", jnp.asarray(4.0)))
            found.append(Knob(f"{name} dot fraction", f"{path}.dots.volume_fraction", jnp.asarray(0.48)))
            host, path = host.host, f"{path}.host"
        if isinstance(host, MapbHalide):
            found.append(Knob(f"{name} bromide", f"{path}.bromide_fraction", jnp.asarray(0.4)))
    return found


def moved(device: Device, where: Sequence[Knob], x: Float[Array, " knob"]) -> Device:
    """The device with every knob displaced by `x` box widths."""
    for knob, shift in zip(where, x, strict=True):
        at = lambda d, path=knob.path: find(d, path)[0]  # noqa: E731
        device = eqx.tree_at(at, device, at(device) + knob.width * shift)
    return device


class Figures(NamedTuple):
    """What the mesh is judged by."""

    dark_current: Array
    eqe: Array
    detectivity: Array


def _figures(
    device: Device, reverse_bias_V: Array, wavelength_nm: Array, frequency_Hz: Array, warm: State | None
) -> Any:
    c = characterise(device, reverse_bias_V, wavelength_nm, frequency_Hz, warm=warm)
    current = jnp.abs(c.point.current_density_A_per_cm2[c.point.system.read_edge])
    return Figures(current, c.eqe[0], c.detectivity_Jones[0]), c.point.outcome


@eqx.filter_jit
def _value_and_gradient(
    device: Device, where: tuple[Knob, ...], x: Array, bias: Array, arguments: tuple[Array, Array], warm: State
) -> Any:
    """log10 of the detectivity, with the figures and the status of the solve, and its gradient by knobs and bias."""

    def value(x: Array) -> Any:
        figures, outcome = _figures(moved(device, where, x[:-1]), bias + x[-1], *arguments, warm)
        return jnp.log10(figures.detectivity), (figures, outcome.status)

    return jax.value_and_grad(value, has_aux=True)(x)


GRADIENT = "gradient of log10 D* = central differences"
MESH = "error of the mesh"


def _gradient(bench: Bench) -> Iterator[Check]:
    names = tuple(knobs(bench.device))
    bias = max(bench.biases_V)
    arguments = (jnp.asarray(bench.wavelength_nm)[None], jnp.asarray(bench.frequency_Hz))
    point = next(p for p in bench.points if p.voltage_V == -bias)
    if point.status != Status.CONVERGED:
        for name, tolerance in ((GRADIENT, 1e-5), (MESH, 1e-2)):
            yield _unsolved(name, point.label, point.status, tolerance)
        return
    warm = point.outcome.state
    failures: list[Status] = []

    def value_and_gradient(x: Array) -> Any:
        (value, (figures, status)), gradient = _value_and_gradient(
            bench.device, names, x, jnp.asarray(bias), arguments, warm
        )
        if int(status) != Status.CONVERGED:
            failures.append(Status(int(status)))
        return value, figures, gradient

    zero = jnp.zeros(len(names) + 1)
    _, figures, gradient = value_and_gradient(zero)
    numeric = checks.central_differences(lambda x: value_and_gradient(x)[0], zero)
    error = jnp.abs(gradient - numeric) / jnp.max(jnp.abs(numeric))
    worst = int(jnp.argmax(error))
    label = [*(knob.name for knob in names), "reverse bias"][worst]
    detail = f"{len(zero)} variables, worst: {label}; largest derivative {float(jnp.max(jnp.abs(numeric))):.2g} per box"
    if failures:
        yield _unsolved(GRADIENT, f"{len(failures)} of its displaced devices", failures[0], 1e-5)
    else:
        yield Check(GRADIENT, float(error[worst]), 1e-5, detail)
    yield from _mesh(bench, bias, figures, arguments)


def _mesh(bench: Bench, bias: float, coarse: Figures, arguments: tuple[Array, Array]) -> Iterator[Check]:
    """Error of the mesh from one that is twice finer; where that is large, the order from one that is finer still."""
    compute = eqx.filter_jit(_figures)

    def on(factor: int) -> Figures:
        figures, outcome = compute(bench.device.refined(factor), jnp.asarray(bias), *arguments, None)
        bench.points.append(Point(f"mesh x {factor}", -bias, bench.base, outcome))
        return figures

    fine = on(2)
    if bench.points[-1].status != Status.CONVERGED:
        yield _unsolved(MESH, bench.points[-1].label, bench.points[-1].status, 1e-2)
        return
    errors = {n: abs(float(b / a - 1)) * 4 / 3 for n, a, b in zip(Figures._fields, fine, coarse, strict=True)}
    name = max(errors, key=lambda n: errors[n])
    if errors[name] <= 1e-2:
        detail = f"estimate from {2 * (bench.system.nodes - 1)} edges; worst: {name.replace('_', ' ')}"
        yield Check(MESH, errors[name], 1e-2, detail)
        return
    finest = on(4)
    order = float(
        np.log2(abs((getattr(coarse, name) - getattr(fine, name)) / (getattr(fine, name) - getattr(finest, name))))
    )
    detail = f"order {order:.2f}; error of {name.replace('_', ' ')} {errors[name]:.1%}: use more edges"
    yield Check("order of the mesh, distance from 2", abs(order - 2), 0.2, detail)


def _solved(bench: Bench) -> Iterator[Check]:
    failed = [p for p in bench.points if p.status != Status.CONVERGED]
    detail = f"{len(bench.points)} of them"
    if failed:
        detail = f"{failed[0].label}: {failed[0].status.message}"
    yield Check("operating points that were not found", float(len(failed)), 0.0, detail)


GROUPS = (_optics, _equilibrium, _currents, _small_signals, _gradient, _solved)
