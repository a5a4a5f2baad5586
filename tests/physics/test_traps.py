"""Devices whose dots have traps: dark current by jumps, its limits, its derivatives, its response in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import Solver, dot_diode, modulated, traps

from invdesign.analyses import checks
from invdesign.analyses.operating_point import operate
from invdesign.config import load_device
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.illumination import Monochromatic
from invdesign.errors import InputError
from invdesign.solve.assembly import edge_states

EDGES = (8, 16, 8)


def trapped(**other):
    return dot_diode(traps=traps(1e-3, level_eV=-0.09), **other)


def with_share(device, per_dot):
    return eqx.tree_at(lambda d: d.layers["layer1"].material.dots.traps.per_dot, device, jnp.asarray(per_dot))


def dark_current(solver, voltage=-1.0):
    return float(jnp.mean(solver.density(voltage)))


def test_the_dark_current_is_what_the_traps_generate():
    """One dot in a thousand with a trap, -3 V in the dark: J = q int N G dx, G = e'_n e'_p/(e'_n + e'_p) of a dot in an
    empty film in the local field (`tests/processes/test_traps.py`).

    Never more, and 7 % less: electrons of TiO2 fill the traps of the first 10 of 200 nm. What is not due to traps
    (taken off) is less than a hundredth of it.
    """
    solver = Solver(trapped())
    state = solver.at(-3.0)
    site = edge_states(solver.system, state.u, state.v)
    generated = 0.0
    for region, edge in zip(solver.system.regions, site, strict=True):
        dots = region.bulk.dots
        if dots is None:
            continue
        rates = dots.rates(edge.site, dots.escape(edge.site.field, edge.site.kT), jnp.zeros(()))
        trap, here = rates.traps, rates.here
        by_n = trap.electron_release * here.emission_n / (here.emission_n + trap.electron_capture)
        by_p = trap.hole_release * here.emission_p / (here.emission_p + trap.hole_capture)
        per_dot = (by_n * by_p / jnp.maximum(by_n + by_p, 1e-300))[1]
        generated += float(jnp.sum(dots.density[1] * per_dot * region.lengths))
    found = [dark_current(solver, -3.0), dark_current(Solver(with_share(trapped(), 1e-12)), -3.0)]
    assert abs(found[1]) < 0.01 * abs(found[0])
    assert 0.93 < (found[1] - found[0]) / (ELEMENTARY_CHARGE_C * generated) < 1.0


def test_hardly_any_traps_are_none():
    """Traps in 1e-12 of the dots, -1 V: the dark current of sound dots. 1e-8: traps generate some 1e3 times as much."""
    sound = dark_current(Solver(dot_diode()))
    assert dark_current(Solver(with_share(trapped(), 1e-12))) == pytest.approx(sound, rel=1e-8)


def test_derivatives_by_the_numbers_of_the_traps():
    """ln of the dark current at -1 V of the diode with traps, by their share, level and capture times: reverse mode =
    central differences, 1e-6 of the largest."""
    device = trapped(edges=EDGES)

    def where(d):
        found = d.layers["layer1"].material.dots.traps
        return found.per_dot, found.level_eV, found.electron_capture_time_s, found.hole_capture_time_s

    base = jnp.stack(where(device))
    scale = jnp.array([1e-3, 0.1, 1e-12, 3e-12])

    @jax.jit
    def current(x):
        moved = eqx.tree_at(where, device, tuple(base + scale * x))
        return jnp.log(jnp.abs(operate(moved, -1.0).current_A))

    zero = jnp.zeros(len(base))
    exact = jax.jit(jax.grad(current))(zero)
    numerical = checks.central_differences(current, zero)
    assert float(exact[0]) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(exact, numerical, rtol=0, atol=1e-6 * float(jnp.max(jnp.abs(exact))))


@pytest.mark.parametrize("frequency", [pytest.param(1e5, marks=pytest.mark.slow), 1e8])
def test_a_small_sinusoid_gives_the_small_signal_response(frequency):
    """A tenth of the dots with a donor, -0.5 V, 0.1 mW/cm^2 at 1240 nm, 1 % of it modulated: amplitude and phase of the
    current in the tenth period are those of the linearised device.

    1e-3: the square of the modulation (1e-4), the tolerance of the steps, what is left of the start.
    """
    light = Monochromatic(wavelength_nm=jnp.asarray(1240.0), irradiance_W_per_cm2=jnp.asarray(1e-4))
    device = dot_diode(traps=traps(0.1, charge="donor"), edges=EDGES, series_ohm=300.0, illumination=light)
    measured, expected = modulated(device, frequency)
    assert abs(measured - expected) < 1e-3 * abs(expected)


def test_traps_must_be_in_all_layers_with_dots_or_in_none(tmp_path):
    text = """
defaults: [qdip_photodiode, /material@layers.second.material: pbs_in_mapb_halide, _self_]
name: two
order: [glass, FTO, TiO2, QDiP, second, spiro, Au]
layers:
  second:
    thickness_nm: 50
    material: {dots: {traps: {per_dot: 0.1, electron_capture_time_s: 1e-12, hole_capture_time_s: 1e-12}}}
"""
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=r"traps in all layers or in none, but second has them and QDiP has not"):
        load_device("two", config_dir=tmp_path)
