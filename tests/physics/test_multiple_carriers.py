"""Devices whose dots hold up to two electrons and two holes: charged excitons, biexcitons, and what Auger does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import dot_diode, modulated

from invdesign.analyses import checks
from invdesign.analyses.illumination import light_of
from invdesign.analyses.operating_point import operate
from invdesign.analyses.transient import decay, pumped, transient_absorption
from invdesign.config import load_device
from invdesign.device.illumination import Monochromatic
from invdesign.errors import InputError
from invdesign.figures.registry import characterise, evaluate_figures
from invdesign.materials.quantum_dots import MultipleCarriers
from invdesign.processes.dots import STATE_NAMES
from invdesign.solve.assembly import populations
from invdesign.solve.stepping import TransientStatus, at_rest

EDGES = (8, 16, 8)
FILM = slice(8, 24)
"""Edges with dots."""
TIMES = 40
"""Of every trace, so that one compiled program serves all of them."""


def two_places(multiple=None, **other):
    return dot_diode(dots={"multiple_carriers": multiple or MultipleCarriers()}, edges=EDGES, **other)


def isolated(device):
    """The same with dots that exchange nothing with their host: capture takes a second."""
    return eqx.tree_at(lambda d: d.layers["layer1"].material.dots.capture_time_s, device, jnp.ones(()))


class Filled:
    """A device at 0 V, and what a pump at 1240 nm makes of its dots by Poisson's law."""

    def __init__(self, device, fluence):
        rest = operate(device, 0.0)
        self.system, self.light = rest.system, light_of(device, jnp.array([1240.0]), jnp.array([fluence]))
        self.moment = at_rest(rest.system, rest.state, rest.light)
        states = populations(rest.system, rest.state.u, rest.state.v, rest.light)[:, :, FILM]
        self.halves = np.asarray(rest.system.halves[:, FILM])
        self.before = dict(zip(STATE_NAMES.values(), np.asarray(states), strict=True))
        self.photons = np.asarray(self.light.dots[:, FILM]) / (self.halves * float(device.bulk("layer1").dots.density))
        self.once, self.more = self.photons * np.exp(-self.photons), 1 - (1 + self.photons) * np.exp(-self.photons)
        self.hit = 1 - np.exp(-self.photons)


def test_a_pump_fills_dots_by_poissons_law():
    """Dots in the dark at 0 V, some with an electron or a hole, 0.3 mJ/cm^2 at 1240 nm: of empty dots m exp(-m) get an
    exciton and 1 - (1 + m) exp(-m) a biexciton; those with a carrier become trions if hit. 1e-14: the same sums."""
    device = two_places()
    found = Filled(device, 3e-4)
    after = np.asarray(pumped(found.system, found.moment, found.light).dots)[:, :, FILM]
    now = dict(zip(list(STATE_NAMES.values())[1:], after, strict=True))
    before = found.before
    assert np.max(found.photons) > 1 and np.max(before["electron"]) > 1e-5
    tolerance = {"rtol": 1e-14, "atol": 1e-15}
    excitons = before["exciton"] * (1 - found.hit) + before["empty"] * found.once
    biexcitons = before["biexciton"] + before["exciton"] * found.hit + before["empty"] * found.more
    np.testing.assert_allclose(now["exciton"], excitons, **tolerance)
    np.testing.assert_allclose(now["biexciton"], biexcitons, **tolerance)
    for carrier, trion in (("electron", "negative_trion"), ("hole", "positive_trion")):
        np.testing.assert_allclose(now[carrier], before[carrier] * (1 - found.hit), **tolerance)
        np.testing.assert_allclose(now[trion], before[trion] + before[carrier] * found.hit, **tolerance)
        np.testing.assert_allclose(now[f"two_{carrier}s"], before[f"two_{carrier}s"], **tolerance)


def test_biexcitons_become_excitons_and_both_decay_exponentially():
    """Dots that exchange nothing with their host, 0 V, 0.3 mJ/cm^2 at 1240 nm: XX -> X -> 0 with 4/tau + 1/tau_XX and
    1/tau, trions with 2/tau + 1/tau_T, from the populations of Poisson's law. The bleach is P_XX and half of P_X and of
    what trions have gained.

    2e-4 of it over eight lifetimes: fifty steps of tolerance 1e-5.
    """
    device = isolated(two_places(MultipleCarriers(biexciton_lifetime_s=2e-10, trion_lifetime_s=5e-10)))
    found, tau = Filled(device, 3e-4), 1 / float(device.bulk("layer1").dots.recombination)
    times = np.geomspace(0.02, 8.0, TIMES) * tau
    measured = transient_absorption(device, 0.0, 1240.0, 3e-4, jnp.asarray(times))
    assert (measured.transient.status == TransientStatus.REACHED).all()
    fast, slow, charged = 4 / tau + 1 / 2e-10, 1 / tau, 2 / tau + 1 / 5e-10
    empty, weight = found.before["empty"], found.halves / np.sum(found.halves)
    excitons, biexcitons = (float(np.sum(weight * empty * share)) for share in (found.once, found.more))
    trions = float(np.sum(weight * (found.before["electron"] + found.before["hole"]) * found.hit))
    assert excitons > 0.1 and biexcitons > 0.1 and trions > 1e-3
    t = np.concatenate([[0.0], times])
    late = fast / (fast - slow) * (np.exp(-slow * t) - np.exp(-fast * t))
    expected = biexcitons * (np.exp(-fast * t) + late / 2) + excitons * np.exp(-slow * t) / 2
    expected += trions * np.exp(-charged * t) / 2
    np.testing.assert_allclose(np.asarray(measured.bleaches[0]), expected, rtol=2e-4)


def test_where_dots_hold_hardly_any_carrier_a_second_place_changes_nothing():
    """Dots of 2.7 nm with wells of a few kT, at 1 V reverse in the dark, 700 nm: current, noise, bandwidth, yield are
    those of dots with one place.

    1e-8: dots hold some 1e-9 carriers. In the wells of 4.32 nm dots the noise differs by 3e-5.
    """
    compute = jax.jit(lambda device: evaluate_figures(characterise(device, 1.0, jnp.array([700.0]))))
    found = []
    for device in (dot_diode(2.7, edges=EDGES), two_places(diameter_nm=2.7)):
        where = lambda d: d.layers["layer1"].material.dots.electron_affinity_eV  # noqa: E731
        found.append(compute(eqx.tree_at(where, device, jnp.asarray(4.02))))
    for name in ("eqe", "noise_A_per_rtHz", "bandwidth_Hz", "dark_current_A", "capacitance_F"):
        assert float(found[1][name]) == pytest.approx(float(found[0][name]), rel=1e-8, abs=0), name


def test_auger_recombination_shortens_the_decay_at_high_fluence_only():
    """Dots that exchange carriers with their host at -0.5 V, pumped at 1240 nm: with Auger recombination 1/e of the
    bleach of 0.3 mJ/cm^2 is left after less than half the time (0.68 instead of 1.47 ns), that of 1 nJ/cm^2, some 1e-5
    pairs per dot, after the same.

    2e-3: some dots have a carrier before the pump (7e-4). Currents are the same at all edges to 1e-8 of the largest.
    """
    times, lives = jnp.geomspace(1e-12, 3e-8, TIMES), {}
    for fluence in (1e-9, 3e-4):
        for lifetime in (6e-11, 1.0):
            device = two_places(MultipleCarriers(biexciton_lifetime_s=lifetime))
            found = transient_absorption(device, -0.5, 1240.0, fluence, times)
            assert (found.transient.status == TransientStatus.REACHED).all()
            flows = np.asarray(found.transient.current_density_A_per_cm2)
            assert np.all(np.ptp(flows, axis=1) < 1e-8 * np.max(np.abs(np.mean(flows, axis=1))))
            bleach = found.bleaches[0]
            lives[fluence, lifetime] = float(decay(jnp.append(0.0, times), bleach).one_over_e_s)
    assert lives[1e-9, 6e-11] == pytest.approx(lives[1e-9, 1.0], rel=2e-3)
    assert lives[3e-4, 6e-11] < 0.5 * lives[3e-4, 1.0]
    assert lives[3e-4, 1.0] < lives[1e-9, 1.0]


def lit(irradiance):
    return Monochromatic(wavelength_nm=jnp.asarray(1240.0), irradiance_W_per_cm2=jnp.asarray(irradiance))


def test_a_small_sinusoid_gives_the_small_signal_response():
    """At -0.5 V, 0.1 mW/cm^2 at 1240 nm, 1 % of it modulated at 100 MHz: amplitude and phase of the current in the
    tenth period are those of the linearised device.

    1e-3: the square of the modulation (1e-4), the tolerance of the steps, what is left of the start.
    """
    device = two_places(series_ohm=300.0, illumination=lit(1e-4))
    measured, expected = modulated(device, 1e8)
    assert abs(measured - expected) < 1e-3 * abs(expected)


def test_derivatives_by_the_lifetimes():
    """ln of the photocurrent at -0.5 V under 0.1 MW/cm^2 at 1240 nm, which makes trions of a twentieth of the dots, by
    the lifetimes of biexcitons, trions and excitons: reverse mode = central differences, 1e-6 of the largest."""
    device = two_places(MultipleCarriers(trion_lifetime_s=3e-10), illumination=lit(1e5))

    def where(d):
        dots = d.layers["layer1"].material.dots
        many = dots.multiple_carriers
        return many.biexciton_lifetime_s, many.trion_lifetime_s, dots.lifetime_s

    base = where(device)

    @jax.jit
    def current(x):
        moved = eqx.tree_at(where, device, tuple(b * (1 + dx) for b, dx in zip(base, x, strict=True)))
        return jnp.log(jnp.abs(operate(moved, -0.5).current_A))

    zero = jnp.zeros(3)
    exact = jax.jit(jax.grad(current))(zero)
    numerical = checks.central_differences(current, zero)
    assert jnp.min(exact) > 1e-3
    np.testing.assert_allclose(exact, numerical, rtol=0, atol=1e-6 * float(jnp.max(jnp.abs(exact))))


def test_multiple_carriers_must_be_in_all_layers_with_dots_or_in_none(tmp_path):
    text = """
defaults: [qdip_photodiode, /material@layers.second.material: pbs_in_mapb_halide, _self_]
name: two
order: [glass, FTO, TiO2, QDiP, second, spiro, Au]
layers: {second: {thickness_nm: 50, material: {dots: {multiple_carriers: {}}}}}
"""
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=r"multiple_carriers in all layers or in none, but second has them and QDiP"):
        load_device("two", config_dir=tmp_path)
