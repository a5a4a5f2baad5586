"""Experiments in time: pulses of light and short pumps on a device in its circuit (SPICE's .tran).

Every one starts from the stationary state under the device's own light; ions stand still from then on.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invdesign.analyses.illumination import light_of
from invdesign.analyses.operating_point import freeze, reach, under_own_light
from invdesign.device.device import Device
from invdesign.processes.dots import ELECTRON, EXCITON, FILLED, HOLE
from invdesign.solve.assembly import Light, System, edge_states, to_nodes
from invdesign.solve.newton import State, Target, current_A
from invdesign.solve.stepping import (
    DEFAULTS,
    Drive,
    Moment,
    Settings,
    Shape,
    Square,
    Transient,
    at_rest,
    dots_per_end,
    integrate,
)


def pumped(system: System, moment: Moment, photons: Light) -> Moment:
    """A state just after a pulse that is shorter than everything else: `photons` absorbed in each half edge, cm^-2.

    A dot that is hit at least once while empty holds an exciton: with m photons per dot on average, the empty ones
    become P_0 exp(-m) (Poisson's law); further photons are lost. In the host every photon leaves a pair at its node, in
    both materials of an interface by their densities. Neither moves charge, so that the potential stays.
    """
    per_end = dots_per_end(system)
    hits = jnp.where(per_end > 0, photons.dots / jnp.where(per_end > 0, per_end, 1.0), 0.0)
    excited = -jnp.expm1(-hits) * jnp.where(per_end > 0, 1 - jnp.sum(moment.dots, axis=0), 0.0)
    dots = moment.dots.at[FILLED.index(EXCITON)].add(excited)
    sites = [edge.site for edge in edge_states(system, moment.u, moment.v)]
    density = system.join([jnp.stack([site.n, site.p]) for site in sites])
    stored = to_nodes(density * system.lengths / 2)
    inner = jnp.ones(system.nodes).at[0].set(0.0).at[-1].set(0.0)  # the contacts take what they get at once
    rise = jnp.log1p(inner * to_nodes(photons.host) / stored)
    u = moment.u.at[:, 1].add(-rise[0]).at[:, 2].add(rise[1])
    return Moment(u, moment.v, dots)


def _prepared(
    device: Device, voltage_V: Float[Array, ""] | float, load_ohm: Float[Array, ""] | float
) -> tuple[System, Target, Moment, Bool[Array, ""]]:
    """The device in its circuit at rest under its own light, its ions standing still from then on."""
    system, light = under_own_light(device)
    resistance = system.series_resistance_ohm + load_ohm
    system = eqx.tree_at(lambda s: s.series_resistance_ohm, system, resistance)
    target = Target(jnp.asarray(voltage_V, jnp.float64) / system.kT, light)
    outcome = reach(system, target)
    system = freeze(system, outcome.state)
    return system, target, at_rest(system, outcome.state, light), outcome.converged


def _none(target: Target) -> Target:
    return jax.tree.map(jnp.zeros_like, target)


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function, with floats as arrays, so that another number needs no other program."""
    compiled: Any = eqx.filter_jit(function)

    def as_array(value: Any) -> Any:
        return jnp.asarray(value, jnp.float64) if isinstance(value, float) else value

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Result:
        return compiled(*map(as_array, args), **{name: as_array(value) for name, value in kwargs.items()})

    return cast(Callable[Arguments, Result], call)


def _of_one_wavelength(
    device: Device, wavelength_nm: Float[Array, ""] | float, per_area: Float[Array, ""] | float
) -> Light:
    """Photons absorbed of an irradiance (W/cm^2, per second) or of a fluence (J/cm^2)."""
    return light_of(device, jnp.asarray(wavelength_nm, jnp.float64)[None], jnp.asarray(per_area, jnp.float64))


# --- for users ---------------------------------------------------------------------------------------------------


@_compiled
def light_pulse(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, ""] | float,
    irradiance_W_per_cm2: Float[Array, ""] | float,
    shape: Shape,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Transient:
    """Light of one wavelength added to the device's own in a shape of time, from the stationary state without it.

    `load_ohm` is in series with the device, besides its own series resistance; the voltage stands across all.
    """
    system, target, start, converged = _prepared(device, voltage_V, load_ohm)
    added = Target(jnp.zeros(()), _of_one_wavelength(device, wavelength_nm, irradiance_W_per_cm2))
    return integrate(system, start, Drive(target, added, shape), times_s, settings, converged)


class Switching(eqx.Module):
    """Rise and fall of the current when light is switched on and, after it has settled, off."""

    rise_s: Float[Array, ""]
    fall_s: Float[Array, ""]
    """From 10 to 90 % of the change between the stationary currents; nan where the current does not get there."""
    dark_A: Float[Array, ""]
    lit_A: Float[Array, ""]
    """Stationary currents."""
    on: Transient
    off: Transient


@_compiled
def rise_and_fall_times(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, ""] | float,
    irradiance_W_per_cm2: Float[Array, ""] | float,
    load_ohm: Float[Array, ""] | float = 50.0,
    earliest_s: Float[Array, ""] | float = 1e-12,
    latest_s: Float[Array, ""] | float = 1e-3,
    points: int = 109,
    settings: Settings = DEFAULTS,
) -> Switching:
    """Switch light of one wavelength on and off, on top of the device's own, and time the current.

    The outputs, from `earliest_s` to `latest_s` after either switch, stand at equal ratios of time.
    """
    system, target, dark, converged = _prepared(device, voltage_V, load_ohm)
    more = _of_one_wavelength(device, wavelength_nm, irradiance_W_per_cm2)
    bright = Target(target.voltage, jax.tree.map(jnp.add, target.light, more))
    outcome = reach(system, bright)
    lit = at_rest(system, outcome.state, bright.light)
    times = jnp.geomspace(earliest_s, latest_s, points)
    ends = [current_A(system, _state(moment), at.light) for moment, at in ((dark, target), (lit, bright))]
    runs, spans = [], []
    for start, at, (before, after) in ((dark, bright, ends), (lit, target, ends[::-1])):
        run = integrate(system, start, Drive(at, _none(at), Square()), times, settings, converged & outcome.converged)
        share = (run.current_A - before) / (after - before)
        spans.append(first_crossing(times, share, 0.9) - first_crossing(times, share, 0.1))
        runs.append(run)
    return Switching(spans[0], spans[1], ends[0], ends[1], runs[0], runs[1])


def _state(moment: Moment) -> State:
    return State(moment.u, moment.v, jnp.zeros(0))


def first_crossing(times: Float[Array, " time"], share: Float[Array, " time"], level: float) -> Float[Array, ""]:
    """Time at which a share of a change, zero at time zero, first reaches a level; nan if it never does.

    Between outputs the rest, 1 - share, is taken to decay exponentially.
    """
    times = jnp.concatenate([jnp.zeros(1), times])
    rest = -jnp.log(jnp.maximum(1 - jnp.concatenate([jnp.zeros(1), share]), 1e-3))
    sought = -np.log1p(-level)
    above = rest >= sought
    place = jnp.maximum(jnp.argmax(above), 1)
    low, high = rest[place - 1], rest[place]
    part = (sought - low) / jnp.where(high > low, high - low, 1.0)
    return jnp.where(jnp.any(above), times[place - 1] + part * (times[place] - times[place - 1]), jnp.nan)


class Absorbance(eqx.Module):
    """What a pump changes in the active layers, averaged over their depth."""

    time_s: Float[Array, " time"]
    dots: Float[Array, " time"]
    """Rise of the mean occupation of the dots' two levels, (P_e + P_h + 2 P_X)/2: the bleach of the exciton, whose
    line absorbs in proportion to 1 - (occupation of the electron's level) - (of the hole's)."""
    host_cm3: Float[Array, " time"]
    """Rise of (n + p)/2, to which the bleach at the host's band edge is proportional, cm^-3."""
    at_once: Float[Array, "2"]
    """Both just after the pump."""
    transient: Transient


@_compiled
def transient_absorption(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    pump_wavelength_nm: Float[Array, ""] | float,
    fluence_J_per_cm2: Float[Array, ""] | float,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Absorbance:
    """Pump a stationary device with a short pulse and follow the occupation of its levels.

    Absorption of the pump is that of the empty device; only filling of the dots limits it (see `pumped`). The probe
    is taken not to disturb.
    """
    system, target, rest, converged = _prepared(device, voltage_V, load_ohm)
    photons = _of_one_wavelength(device, pump_wavelength_nm, fluence_J_per_cm2)
    start = pumped(system, rest, photons)
    run = integrate(system, start, Drive(target, _none(target), Square()), times_s, settings, converged)
    active = _active_lengths(device, system)

    def levels(moment: Moment) -> Float[Array, "2"]:
        sites = [edge.site for edge in edge_states(system, moment.u, moment.v)]
        carriers = system.join([(site.n + site.p) / 2 for site in sites])
        electron, hole, exciton = (moment.dots[FILLED.index(state)] for state in (ELECTRON, HOLE, EXCITON))
        both = jnp.stack([(electron + hole) / 2 + exciton, carriers])
        return jnp.sum(both * active, axis=(1, 2)) / (2 * jnp.sum(active))

    before = levels(rest)
    dots, host = (jax.vmap(levels)(run.moment) - before).T
    return Absorbance(times_s, dots, host, levels(start) - before, run)


def _active_lengths(device: Device, system: System) -> Float[Array, " edge"]:
    """Length of every edge of the active layers, zero for the others."""
    counts = [device.layers[name].edges for name in device.electrical]
    inside = np.repeat([name in device.active for name in device.electrical], counts)
    return system.lengths * jnp.asarray(inside, jnp.float64)
