"""Experiments in time: pulses of light and short pumps on a device in its circuit (SPICE's .tran).

Every one starts from the stationary state under the device's own light; ions stand still from then on.
"""

import dataclasses
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from invdesign.analyses.illumination import light_of
from invdesign.analyses.operating_point import freeze, reach, under_own_light
from invdesign.device.device import Device
from invdesign.processes.dots import DotState, occupation, places_of
from invdesign.solve.assembly import Light, System, edge_states, over_sizes, to_nodes
from invdesign.solve.newton import State, Target, current_A
from invdesign.solve.stepping import (
    DEFAULTS,
    Drive,
    Moment,
    Settings,
    Shape,
    Square,
    Transient,
    TransientStatus,
    at_rest,
    dots_per_end,
    integrate,
    number,
)


def pumped(system: System, moment: Moment, photons: Light) -> Moment:
    """A state just after a pulse that is shorter than everything else: `photons` absorbed, cm^-2.

    Every photon that hits a dot leaves a pair, as long as there is a place for both of its carriers (`_filled`). In the
    host every photon leaves a pair at its node, in both materials of an interface by their densities. Neither moves
    charge, so that the potential stays.
    """
    per_end = dots_per_end(system)
    hits = jnp.where(per_end > 0, photons.dots / jnp.where(per_end > 0, per_end, 1.0), 0.0)
    empty = jnp.where(per_end > 0, 1 - jnp.sum(moment.dots, axis=0, keepdims=True), 0.0)
    dots = jnp.concatenate([empty, moment.dots])
    dots = _filled(dots, hits, system.dot_states)[1:]
    inner = jnp.ones(system.nodes).at[0].set(0.0).at[-1].set(0.0)  # the contacts take what they get at once
    return Moment(_with_pairs(system, moment, inner * to_nodes(photons.host)), moment.v, dots)


def _filled(
    dots: Float[Array, "state *size 2 edge"], hits: Float[Array, "*size 2 edge"], states: Sequence[DotState]
) -> Float[Array, "state *size 2 edge"]:
    """Populations after a pump of `hits` photons per dot on average.

    Of dots with room for c pairs m^k exp(-m)/k! are hit k < c times and get k pairs (Poisson's law), all others c:
    photons that find no place are lost. A pump is taken to be absorbed above the exciton, where filled levels take
    nothing from the absorption.
    """
    index, places = {state: k for k, state in enumerate(states)}, places_of(states)
    for start, state in reversed(list(enumerate(states))):
        room = places - max(state.carriers)
        exactly = [hits**pairs * jnp.exp(-hits) / math.factorial(pairs) for pairs in range(1, room)]
        shares = [*exactly, -jnp.expm1(-hits) - sum(exactly, jnp.zeros(()))] if room else []
        before = dots[start]
        for pairs, share in enumerate(shares, 1):
            end = index[state._replace(electrons=state.electrons + pairs, holes=state.holes + pairs)]
            dots = dots.at[start].add(-share * before).at[end].add(share * before)
    return dots


FILLING_ITERATIONS = 30
"""Of Newton's iteration for the levels after a pump, where carriers are degenerate."""


def _with_pairs(system: System, moment: Moment, pairs: Float[Array, " node"]) -> Float[Array, "node unknown"]:
    """The unknowns with so many more electrons and holes per cm^2 at the nodes, and the same potential."""

    def stored(u: Array) -> tuple[Array, Array]:
        """Carriers per cm^2 at the nodes, and their derivatives by their levels."""
        sites = [edge.site for edge in edge_states(system, u, moment.v)]
        densities, slopes = system.join([(site.densities, site.densities * site.slopes) for site in sites])
        return to_nodes(system.halves * densities), to_nodes(system.halves * slopes)

    before = stored(moment.u)[0]

    def fill(_: Int[Array, ""], u: Array) -> Array:
        now, by_level = stored(u)
        rise = jnp.log1p((pairs - (now - before)) / now) * now / by_level
        return u.at[:, 1].add(-rise[0]).at[:, 2].add(rise[1])

    # with Boltzmann's statistics the first iteration ends at the solution
    degenerate = any(region.bulk.fermi_dirac for region in system.regions)
    return jax.lax.fori_loop(0, FILLING_ITERATIONS if degenerate else 1, fill, moment.u)


def _at_rest_in_circuit(
    system: System, light: Light, voltage_V: Float[Array, ""], load_ohm: Float[Array, ""]
) -> tuple[System, Target, Moment, Bool[Array, ""]]:
    """A device in its circuit at rest under its own light, its ions standing still from then on."""
    resistance = system.series_resistance_ohm + load_ohm
    system = eqx.tree_at(lambda s: s.series_resistance_ohm, system, resistance)
    target = Target(voltage_V / system.kT, light)
    outcome = reach(system, target)
    system = freeze(system, outcome.state)
    return system, target, at_rest(system, outcome.state, light), outcome.converged


class Excitation(eqx.Module):
    """Light of one wavelength that comes on top of the device's own."""

    wavelength_nm: Float[Array, ""] = eqx.field(converter=number)
    fluence_J_per_cm2: Float[Array, ""] = eqx.field(converter=number, default=0.0)
    """Of a pump at time zero that is shorter than everything else."""
    irradiance_W_per_cm2: Float[Array, ""] = eqx.field(converter=number, default=0.0)
    """Of light in a shape of time."""
    shape: Shape = eqx.field(default_factory=Square)


class Response(eqx.Module):
    """What light does to a device; optical changes are those of the active layers, averaged over their depth."""

    transient: Transient
    rest_A: Float[Array, ""]
    """Stationary current before."""
    dots: Float[Array, " time"]
    """Rise of the mean occupation of the dots' two levels (with one place in each (P_e + P_h + 2 P_X)/2): the bleach of
    the exciton, whose line absorbs in proportion to 1 - (occupation of the electron's level) - (of the hole's)."""
    host_cm3: Float[Array, " time"]
    """Rise of (n + p)/2, to which the bleach at the host's band edge is proportional, cm^-3."""
    at_once: Float[Array, "2"]
    """Both just after the pump."""

    @property
    def bleaches(self) -> Float[Array, "2 point"]:
        """Of dots and host, at time zero and at the times asked for."""
        return jnp.concatenate([self.at_once[:, None], jnp.stack([self.dots, self.host_cm3])], axis=1)

    def reached(self) -> "Response":
        """The same with nan at times that were not reached, and for what was before if there was no start."""
        status = self.transient.status
        begun, there = status[0] != TransientStatus.NO_START, status == TransientStatus.REACHED
        current, dots, host = (
            jnp.where(there, each, jnp.nan) for each in (self.transient.current_A, self.dots, self.host_cm3)
        )
        rest_A, at_once = (jnp.where(begun, each, jnp.nan) for each in (self.rest_A, self.at_once))
        return Response(dataclasses.replace(self.transient, current_A=current), rest_A, dots, host, at_once)


def excite(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    light: Excitation,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Response:
    """Light on a device that was stationary: the current into its circuit, and the occupation of its levels. Compiled.

    `load_ohm` is in series with the device, besides its own series resistance; the voltage (forward positive) stands
    across all. Absorption is that of the empty device; only filling of the dots limits that of a pump (see `pumped`).
    A probe is taken not to disturb. Ends of a square shape must be among the times (ascending, s).
    """
    return _follow(*_lit(device, light.wavelength_nm), number(voltage_V), light, times_s, number(load_ohm), settings)


@eqx.filter_jit
def _lit(device: Device, wavelength_nm: Float[Array, ""]) -> tuple[System, Light, Light, Float[Array, "2 edge"]]:
    """What an experiment has to know of a device: its equations, its own light, photons (cm^-2) of one J/cm^2 more, and
    its active layers. A program of its own, so that devices of other materials share that of the experiment."""
    system, own = under_own_light(device)
    return system, own, light_of(device, wavelength_nm[None], jnp.ones(())), _active_halves(device, system)


@eqx.filter_jit
def _follow(
    system: System,
    own: Light,
    per_joule: Light,
    active: Float[Array, "2 edge"],
    voltage_V: Float[Array, ""],
    light: Excitation,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""],
    settings: Settings,
) -> Response:
    """`excite` a device of which that much is known."""
    system, target, rest, converged = _at_rest_in_circuit(system, own, voltage_V, load_ohm)
    pump, more = (
        jax.tree.map(lambda photons, size=size: size * photons, per_joule)
        for size in (light.fluence_J_per_cm2, light.irradiance_W_per_cm2)
    )
    start = pumped(system, rest, pump)
    drive = Drive(target, Target(jnp.zeros(()), more), light.shape)
    run = integrate(system, start, drive, times_s, settings, converged)
    per_end = dots_per_end(system)

    def levels(moment: Moment) -> Float[Array, "2"]:
        sites = [edge.site for edge in edge_states(system, moment.u, moment.v)]
        carriers = system.join([(site.n + site.p) / 2 for site in sites])
        filling = occupation(jnp.concatenate([jnp.zeros_like(moment.dots[:1]), moment.dots]), system.dot_states)
        number_of_dots = over_sizes(per_end)
        mean = over_sizes(filling * per_end) / jnp.where(number_of_dots > 0, number_of_dots, 1.0)
        both = jnp.stack([mean, carriers])
        return jnp.sum(both * active, axis=(1, 2)) / jnp.sum(active)

    before = levels(rest)
    dots, host = (jax.vmap(levels)(run.moment) - before).T
    rest_A = current_A(system, State(rest.u, rest.v, jnp.zeros(0)), target.light)
    return Response(run, rest_A, dots, host, levels(start) - before)


# --- for users ---------------------------------------------------------------------------------------------------


def light_pulse(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    wavelength_nm: Float[Array, ""] | float,
    irradiance_W_per_cm2: Float[Array, ""] | float,
    shape: Shape,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Response:
    """`excite` by light of one wavelength in a shape of time."""
    light = Excitation(wavelength_nm, irradiance_W_per_cm2=irradiance_W_per_cm2, shape=shape)
    return excite(device, voltage_V, light, times_s, load_ohm, settings)


def transient_absorption(
    device: Device,
    voltage_V: Float[Array, ""] | float,
    pump_wavelength_nm: Float[Array, ""] | float,
    fluence_J_per_cm2: Float[Array, ""] | float,
    times_s: Float[Array, " time"],
    load_ohm: Float[Array, ""] | float = 0.0,
    settings: Settings = DEFAULTS,
) -> Response:
    """`excite` by a short pump, which shares the program of square pulses."""
    light = Excitation(pump_wavelength_nm, fluence_J_per_cm2)
    return excite(device, voltage_V, light, times_s, load_ohm, settings)


# --- times of rise and decay -------------------------------------------------------------------------------------


def rise_and_fall_times(
    response: Response, start_s: Float[Array, ""] | float, end_s: Float[Array, ""] | float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """From 10 to 90 % of the current's change in a square pulse, and back (s); `end_s` is one of the times.

    The change is that from the current before to the one at the end of the pulse, settled or not. nan where the
    current does not get there.
    """
    times, current = jnp.asarray(response.transient.time_s), jnp.asarray(response.transient.current_A)
    top = current[jnp.argmin(jnp.abs(times - end_s))]
    share = (current - response.rest_A) / (top - response.rest_A)
    inside, after = times > start_s, times > end_s
    rise = [_first_crossing(times - start_s, jnp.where(inside, share, 0.0), level) for level in (0.1, 0.9)]
    fall = [_first_crossing(times - end_s, jnp.where(after, 1 - share, 0.0), level) for level in (0.1, 0.9)]
    return rise[1] - rise[0], fall[1] - fall[0]


def _first_crossing(times: Float[Array, " time"], share: Float[Array, " time"], level: float) -> Float[Array, ""]:
    """Time at which a share of a change, zero at time zero, first reaches a level; nan if it never does.

    Between outputs the rest, 1 - share, is taken to decay exponentially.
    """
    times = jnp.concatenate([jnp.zeros(1), jnp.maximum(times, 0.0)])
    rest = -jnp.log(jnp.maximum(1 - jnp.concatenate([jnp.zeros(1), share]), 1e-3))
    sought = -np.log1p(-level)
    above = rest >= sought
    place = jnp.maximum(jnp.argmax(above), 1)
    low, high = rest[place - 1], rest[place]
    part = (sought - low) / jnp.where(high > low, high - low, 1.0)
    return jnp.where(jnp.any(above), times[place - 1] + part * (times[place] - times[place - 1]), jnp.nan)


LEFT = 0.05
"""A signal that has fallen to this part of its peak counts as gone: only then has its whole area been seen."""


class Decay(eqx.Module):
    """How long a signal lasts, from its peak on. nan where it does not fall far enough while it is followed."""

    peak: Float[Array, ""]
    peak_s: Float[Array, ""]
    one_over_e_s: Float[Array, ""]
    """From the peak until 1/e of it is left for the first time."""
    mean_s: Float[Array, ""]
    """Area over peak: of a sum of exponentials their lifetimes weighted with the amplitudes."""


def decay(times_s: Float[Array | np.ndarray, " time"], signal: Float[Array | np.ndarray, " time"]) -> Decay:
    """Decay of a signal that is positive at its peak."""
    times_s, signal = jnp.asarray(times_s), jnp.asarray(signal)
    place = jnp.argmax(signal)
    peak = signal[place]
    after = jnp.arange(len(signal)) >= place
    share = jnp.where(after, 1 - signal / jnp.where(peak > 0, peak, jnp.nan), 0.0)
    since = times_s - times_s[place]
    steps = jnp.diff(times_s) * after[:-1]
    area = jnp.sum(steps * (signal[1:] + signal[:-1]) / 2)
    fallen = _first_crossing(since, share, 1 - 1 / np.e)
    begun = jnp.where(jnp.isfinite(peak), times_s[place], jnp.nan)
    return Decay(peak, begun, fallen, jnp.where(share[-1] >= 1 - LEFT, area / peak, jnp.nan))


def _active_halves(device: Device, system: System) -> Float[Array, "2 edge"]:
    """Both parts of every edge of the active layers, cm; zero for the others."""
    counts = [device.layers[name].edges for name in device.electrical]
    inside = np.repeat([name in device.active for name in device.electrical], counts)
    return system.halves * jnp.asarray(inside, jnp.float64)
