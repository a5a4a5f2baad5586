"""All curves of a dataset as functions of one device or of several, with as few solves as they allow.

Curves that share device, temperature, area and steady light share one walk along all their voltages, and one
linearisation per voltage and frequency. Those in time share one program. Devices that differ in numbers only share one
compiled program. The plan of this is made once, from the data; what the devices say is then differentiable by any of
their numbers, in forward mode.
"""

import dataclasses
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invdesign.analyses.illumination import Absorption, absorption
from invdesign.analyses.noise import noise
from invdesign.analyses.operating_point import OperatingPoint, sweep_system, under_own_light
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.analyses.transient import Response, excite
from invdesign.datasets.curves import Answer, Ask, Curve
from invdesign.device.device import Device
from invdesign.device.illumination import Dark, Illumination, Monochromatic
from invdesign.figures.registry import FIGURES, Characterisation
from invdesign.results import Status
from invdesign.schema import write
from invdesign.solve.assembly import Light, System
from invdesign.solve.newton import Outcome, State
from invdesign.solve.stepping import Settings

VOLTAGE_DIGITS = 9
"""Voltages that agree to this many decimals are one."""
NEEDS_DARK = {"dark_current_A"}
"""Figures that are read without the steady light."""
ACCURACY = Settings(tolerance=1e-4)
"""Of curves in time; what is left of it in a curve is some ten times smaller."""
SLOW = ("bandwidth_Hz",)
"""Figures that search along frequencies: worked out only where they are asked for."""


NO_OTHERS: Mapping[str, Device] = MappingProxyType({})


class Prediction(NamedTuple):
    """The model's values of a curve, and at which of its points the device was solved."""

    values: Float[Array, " point"]
    solved: Bool[Array, " point"]


class _Row(NamedTuple):
    """One linearised operating point: where its voltage stands, and what is wanted there."""

    environment: int
    place: int
    dark_place: int
    frequency_Hz: float
    wavelength: int
    load_ohm: float


@dataclasses.dataclass
class _Environment:
    """A device, by its name among the others (None: the first), and the conditions that it is solved in."""

    device: str | None
    temperature_K: float | None
    area_cm2: float | None
    light: Illumination | None
    """None: the device's own."""
    voltages: set[float] = dataclasses.field(default_factory=set)

    def of(self, devices: "Devices") -> Device:
        """The device in these conditions."""
        changes: dict[str, Any] = {} if self.light is None else {"illumination": self.light}
        if self.temperature_K is not None:
            changes["temperature_K"] = jnp.asarray(self.temperature_K, jnp.float64)
        if self.area_cm2 is not None:
            changes["area_cm2"] = jnp.asarray(self.area_cm2, jnp.float64)
        return dataclasses.replace(devices[self.device], **changes)


Devices = Mapping[str | None, Device]
"""The first device at None, the others by their names."""


class _Batch(NamedTuple):
    """Environments whose devices differ in numbers only: one compiled walk serves all."""

    members: list[int]
    voltage_V: Float[np.ndarray, "environment point"]
    """Along each walk, filled up with its last voltage."""


class _Walked(NamedTuple):
    """Operating points along voltages; with an environment in front of all axes once they are batched."""

    system: System
    light: Light
    state: State
    current_A: Float[Array, "*environment point"]
    status: Int[Array, "*environment point"]


def _all(device: Device, others: Mapping[str, Device]) -> Devices:
    """All of them under the first one's name, so that what differs is numbers where it can be."""
    return {None: device, **{key: dataclasses.replace(other, name=device.name) for key, other in others.items()}}


class Model:
    """Predictions of every curve for devices like `device` and, for curves with a `device`, `others` (same layers, same
    mesh)."""

    def __init__(self, curves: Mapping[str, Curve], device: Device, others: Mapping[str, Device] = NO_OTHERS) -> None:
        devices = _all(device, others)
        self.curves = dict(curves)
        self.asks: dict[str, Ask] = {name: curve.ask for name, curve in curves.items()}
        self._environments: list[_Environment] = []
        self._keys: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._dark: dict[str, int] = {}
        for name, curve in self.curves.items():
            ask = self.asks[name]
            self._used[name] = self._environment(curve, curve.light_on(devices[curve.device]), devices)
            if ask.excitation is not None:
                continue
            self._dark[name] = self._used[name]
            if NEEDS_DARK & set(ask.figures):
                self._dark[name] = self._environment(curve, Dark(), devices)
            for number in (self._used[name], self._dark[name]):
                self._environments[number].voltages |= set(np.round(ask.voltage_V, VOLTAGE_DIGITS).tolist())
        self._make_dark_like_light(devices)
        self._batches = self._batched(devices)
        self._wavelength_nm = self._all_wavelengths()

    # the plan

    def _environment(self, curve: Curve, light: Illumination, devices: Devices) -> int:
        numbers = [None if x is None else float(x) for x in (curve.temperature_K, curve.area_cm2)]
        own = write(light) == write(devices[curve.device].illumination)
        key = json.dumps([curve.device, *numbers, None if own else write(light)])
        if key not in self._keys:
            self._keys[key] = len(self._environments)
            self._environments.append(_Environment(curve.device, numbers[0], numbers[1], None if own else light))
        return self._keys[key]

    def _make_dark_like_light(self, devices: Devices) -> None:
        """Darkness beside light of one wavelength is that light without power, so that one program serves both."""
        lights = [each.light or devices[each.device].illumination for each in self._environments]
        bright = next((light for light in lights if isinstance(light, Monochromatic)), None)
        if bright is None:
            return
        for each, light in zip(self._environments, lights, strict=True):
            if isinstance(light, Dark):
                each.light = Monochromatic(wavelength_nm=bright.wavelength_nm, irradiance_W_per_cm2=jnp.zeros(()))

    def _alike(self, devices: Devices) -> list[list[int]]:
        """Environments whose devices differ in numbers only."""
        alike: dict[str, list[int]] = {}
        for number, each in enumerate(self._environments):
            shapes = jax.tree.map(jnp.shape, eqx.filter(each.of(devices), eqx.is_array))
            alike.setdefault(str((shapes, self._statics(number, devices))), []).append(number)
        return list(alike.values())

    def _batched(self, devices: Devices) -> list[_Batch]:
        batches = []
        for group in self._alike(devices):
            members = [number for number in group if self._environments[number].voltages]
            if not members:
                continue
            walks = [_walk(self._environments[number].voltages) for number in members]
            longest = max(len(walk) for walk in walks)
            filled = [np.append(walk, np.full(longest - len(walk), walk[-1])) for walk in walks]
            batches.append(_Batch(members, np.stack(filled)))
        return batches

    def _all_wavelengths(self) -> np.ndarray:
        asked = [ask.spectrum_nm for ask in self.asks.values() if ask.spectrum_nm is not None]
        asked += [np.array([ask.wavelength_nm]) for ask in self.asks.values() if ask.wavelength_nm is not None]
        return np.unique(np.concatenate(asked)) if asked else np.zeros(0)

    def _rows(self, name: str, batch: _Batch) -> list[_Row]:
        """The linearised points that a curve needs."""
        ask = self.asks[name]
        if ask.frequency_Hz is None:
            return []
        wavelength = 0 if ask.wavelength_nm is None else int(np.searchsorted(self._wavelength_nm, ask.wavelength_nm))
        places, dark = self._places(self._used[name], ask), self._flat_places(self._dark[name], ask)
        member = batch.members.index(self._used[name])
        numbers = zip(places, dark, ask.frequency_Hz, strict=True)
        return [_Row(member, int(a), int(b), float(f), wavelength, ask.load_ohm) for a, b, f in numbers]

    def _places(self, number: int, ask: Ask) -> Int[np.ndarray, " row"]:
        """Where the voltages of an ask stand in the walk of an environment."""
        batch = next(batch for batch in self._batches if number in batch.members)
        walk = batch.voltage_V[batch.members.index(number)]
        return np.array([int(np.argmin(np.abs(walk - voltage))) for voltage in ask.voltage_V])

    def _flat_places(self, number: int, ask: Ask) -> Int[np.ndarray, " row"]:
        """Where they stand among the points of all walks, one batch after the other."""
        before = 0
        for batch in self._batches:
            if number in batch.members:
                return before + batch.members.index(number) * batch.voltage_V.shape[1] + self._places(number, ask)
            before += batch.voltage_V.size
        raise KeyError(number)

    # the device

    def predict(self, device: Device, others: Mapping[str, Device] = NO_OTHERS) -> dict[str, Prediction]:
        """What the model says to every curve. Values at points that were not solved mean nothing."""
        devices = _all(device, others)
        predictions = self._in_time(devices) | (self._stationary(devices) if self._batches else {})
        return {name: predictions[name] for name in self.curves}

    def _in_time(self, devices: Devices) -> dict[str, Prediction]:
        """Curves that follow light in time, one after the other."""
        predictions = {}
        for members in self._alike(devices):
            names = [n for n, ask in self.asks.items() if ask.excitation is not None and self._used[n] in members]
            if not names:
                continue
            asks = [self.asks[name] for name in names]
            times = [np.asarray(ask.time_s) for ask in asks]
            longest = max(map(len, times))
            rows = (
                [self._arrays(self._used[name], devices) for name in names],
                [jnp.asarray(ask.voltage_V[0]) for ask in asks],
                [ask.excitation for ask in asks],
                [jnp.asarray(np.append(at, np.full(longest - len(at), at[-1]))) for at in times],
                [jnp.asarray(ask.load_ohm) for ask in asks],
            )
            stacked = tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *column) for column in rows)
            static = self._statics(members[0], devices)

            def follow(row: tuple, static: Any = static) -> Response:
                arrays, voltage, light, times, load = row
                return excite(eqx.combine(arrays, static), voltage, light, times, load, ACCURACY).reached()

            responses = jax.lax.map(follow, stacked)
            for place, name in enumerate(names):
                area = self._environments[self._used[name]].of(devices).area_cm2
                response = jax.tree.map(lambda x, place=place: x[place], responses)
                nothing = jnp.zeros(0)
                values = self.curves[name].predict(Answer(area, nothing, {}, jnp.zeros((0, 0)), response))
                predictions[name] = Prediction(values, jnp.isfinite(values))
        return predictions

    def _stationary(self, devices: Devices) -> dict[str, Prediction]:
        """Curves that are read from operating points and small signals."""
        arrays = [
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(self._arrays(each, devices) for each in batch.members))
            for batch in self._batches
        ]
        statics = [self._statics(batch.members[0], devices) for batch in self._batches]
        sweeps: list[_Walked] = []
        for batch, stacked, static in zip(self._batches, arrays, statics, strict=True):
            sweeps.append(
                jax.lax.map(
                    lambda at, static=static: _along(eqx.combine(at[0], static), at[1]),
                    (stacked, jnp.asarray(batch.voltage_V)),
                )
            )
        currents = jnp.concatenate([each.current_A.reshape(-1) for each in sweeps])
        statuses = jnp.concatenate([each.status.reshape(-1) for each in sweeps])
        predictions = {}
        for batch, stacked, static, swept in zip(self._batches, arrays, statics, sweeps, strict=True):
            own = [name for name in self._dark if self._used[name] in batch.members]
            responses = self._respond(batch, own, stacked, static, swept, currents, devices)
            for name in own:
                ask, number = self.asks[name], self._used[name]
                places = self._flat_places(number, ask)
                dark = self._flat_places(self._dark[name], ask)
                figures, eqe = responses.get(name, ({}, jnp.zeros((len(places), 0))))
                answer = Answer(self._environments[number].of(devices).area_cm2, currents[places], figures, eqe)
                solved = (statuses[places] == Status.CONVERGED) & (statuses[dark] == Status.CONVERGED)
                values = self.curves[name].predict(answer)
                if len(values) != len(places):  # a photo-response has a reference point, one spectrum many wavelengths
                    solved = jnp.full(len(values), jnp.all(solved))
                predictions[name] = Prediction(values, solved & jnp.isfinite(values))
        return predictions

    def _arrays(self, number: int, devices: Devices) -> Any:
        return eqx.filter(self._environments[number].of(devices), eqx.is_array)

    def _statics(self, number: int, devices: Devices) -> Any:
        return eqx.filter(self._environments[number].of(devices), eqx.is_array, inverse=True)

    def _respond(
        self,
        batch: _Batch,
        names: list[str],
        stacked: Any,
        static: Any,
        swept: _Walked,
        currents: Float[Array, " point"],
        devices: Devices,
    ) -> dict[str, tuple[dict[str, Float[Array, " row"]], Float[Array, "row wavelength"]]]:
        """Figures of merit and quantum efficiencies, in the rows that each curve asks for."""
        optics, optic = self._optics(batch, devices)
        found = {}
        alike: dict[tuple[bool, bool], list[str]] = {}
        for name in names:
            ask = self.asks[name]
            loaded = ask.spectrum_nm is not None and ask.load_ohm > 0
            alike.setdefault((bool(set(SLOW) & set(ask.figures)), loaded), []).append(name)
        for (_, loaded), group in alike.items():
            rows = {row: None for name in group for row in self._rows(name, batch)}
            if not rows:
                continue
            wanted = sorted({figure for name in group for figure in self.asks[name].figures})
            answers = self._linear(batch, list(rows), wanted, loaded, stacked, static, swept, optics, optic, currents)
            index = {row: place for place, row in enumerate(rows)}
            for name in group:
                own = np.array([index[row] for row in self._rows(name, batch)], int)
                if not len(own):
                    continue
                figures = {figure: answers["figures"][figure][own] for figure in self.asks[name].figures}
                spectrum = self.asks[name].spectrum_nm
                columns = np.searchsorted(self._wavelength_nm, spectrum if spectrum is not None else np.zeros(0))
                found[name] = figures, answers["eqe"][own][:, columns]
        return found

    def _optics(self, batch: _Batch, devices: Devices) -> tuple[Absorption, Int[np.ndarray, " environment"]]:
        """Where light of the asked wavelengths ends up, once per device and temperature, and whose each of them is."""
        members = [self._environments[number] for number in batch.members]
        keys = [(each.device, each.temperature_K) for each in members]
        distinct = list(dict.fromkeys(keys))
        # a device that is asked for no light still needs an entry, at a wavelength it was made for
        plain = devices[members[0].device].design_wavelength_nm[None]
        wavelength = jnp.asarray(self._wavelength_nm) if len(self._wavelength_nm) else plain
        parts = [absorption(members[keys.index(key)].of(devices), wavelength) for key in distinct]
        joined = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        return joined, np.array([distinct.index(key) for key in keys])

    def _linear(
        self,
        batch: _Batch,
        rows: list[_Row],
        wanted: list[str],
        loaded: bool,
        stacked: Any,
        static: Any,
        swept: _Walked,
        optics: Absorption,
        optic: Int[np.ndarray, " environment"],
        currents: Float[Array, " point"],
    ) -> dict[str, Any]:
        """Small signals of all rows; the quantum efficiency into the load if `loaded`, else into a short circuit."""
        environment = np.array([row.environment for row in rows])
        place = np.array([row.place for row in rows])
        columns = (
            environment,
            optic[environment],
            np.array([row.frequency_Hz for row in rows]),
            np.array([row.wavelength for row in rows]),
            np.array([row.load_ohm for row in rows]),
        )
        states = jax.tree.map(lambda x: x[environment, place], swept.state)
        voltages = jnp.asarray(batch.voltage_V[environment, place])
        dark = currents[np.array([row.dark_place for row in rows])]
        computed = {figure.name: figure.compute for figure in FIGURES if figure.name in wanted}

        def row(at: tuple) -> dict[str, Any]:
            (number, kind, frequency, wavelength, load), state, voltage, dark_current = at
            here: Device = eqx.combine(jax.tree.map(lambda x: x[number], stacked), static)
            light = jax.tree.map(lambda x: x[number], swept.light)
            optical = jax.tree.map(lambda x: x[kind], optics)
            system: System = jax.tree.map(lambda x: x[number], swept.system)
            small = small_signal(system, state, light)
            transfer = small.transfer(frequency)
            density = noise(small, transfer, here.terminals.shunt)
            zero = jnp.zeros((), jnp.int64)
            point = OperatingPoint(here, system, light, voltage, Outcome(state, zero, zero))
            single = jax.tree.map(lambda x: x[wavelength][None], optical)
            c = Characterisation(point, small, transfer, density, single, frequency, load, dark_current)
            # figures are short-circuited, a photo-response is not
            eqe = quantum_efficiency(small, small.transfer(frequency, load) if loaded else transfer, optical)
            return {
                "figures": {name: compute(c) for name, compute in computed.items()},
                "eqe": jnp.sqrt(jnp.real(eqe) ** 2 + jnp.imag(eqe) ** 2),
            }

        return jax.lax.map(row, (tuple(jnp.asarray(column) for column in columns), states, voltages, dark))


def _walk(voltages: set[float]) -> Float[np.ndarray, " point"]:
    """Voltages in the order of a walk: from the end that is nearer to equilibrium to the other one."""
    ascending = np.array(sorted(voltages))
    return ascending if abs(ascending[0]) <= abs(ascending[-1]) else ascending[::-1]


def _along(device: Device, voltage_V: Float[Array, " point"]) -> _Walked:
    """Operating points along voltages under the device's own light, each from the one before."""
    system, light = under_own_light(device)
    swept = sweep_system(system, light, voltage_V)
    return _Walked(system, light, swept.state, swept.current_A, swept.status)
