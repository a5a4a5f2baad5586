"""Carriers that hop from dot to dot in a host that carries none, and beside it: closed forms."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import SPIRO, TITANIA, Solver, dot_diode, dot_film, material, modulated, stack

from invdesign.analyses.illumination import absorption
from invdesign.analyses.operating_point import operate
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.analyses.transient import light_pulse, transient_absorption
from invdesign.config import load_device
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import Schottky
from invdesign.device.illumination import Monochromatic
from invdesign.errors import InputError
from invdesign.materials.quantum_dots import DotHopping
from invdesign.solve.assembly import discretise
from invdesign.solve.stepping import Square, TransientStatus

MOBILITY = 0.02
HOPPING = DotHopping(electron_mobility_cm2_per_Vs=MOBILITY, hole_mobility_cm2_per_Vs=MOBILITY)
INERT = {"electron_mobility_cm2_per_Vs": 1e-9, "hole_mobility_cm2_per_Vs": 1e-9}
"""A host that carries no current."""


@pytest.mark.parametrize("filling", [0.1, 0.5])
@pytest.mark.parametrize("sizes", [1, 3])
def test_the_conductivity_of_a_doped_film(sizes, filling):
    """A film of 800 nm at 1 mV, a host of 1e-9 cm^2/Vs with as many donors as make a share `filling` of the dots
    negative: current over gradient of the quasi-Fermi level in the middle, where the film is neutral, is
    q mu N sum_st w_s w_t f_s (1 - f_t) min(1, exp(-(E_t - E_s)/kT)), for one size q mu N f (1 - f).

    1e-5: the host's own current (1e-9), round-off of the gradient, and what is left of the charge at the contacts.
    """
    donors = filling * float(dot_film().dots.density_cm3)
    numbers = INERT | {"donor_density_cm3": donors}
    film = dot_film(numbers=numbers, hopping=HOPPING, size_classes=sizes, size_dispersion=0.1)
    solver = Solver(stack((400.0, film), (400.0, film), edges=(30, 30)))
    level = np.asarray(solver.at(1e-3).u[:, 3]) * float(solver.system.kT)
    middle = slice(29, 31)
    gradient = np.diff(level)[middle] / np.asarray(solver.system.lengths)[middle]
    current = np.asarray(solver.density(1e-3))[middle]

    dots = film.bulk(solver.system.kT).dots
    density, release = (np.ravel(np.asarray(x)) for x in (dots.density, dots.electron_release))
    shares = density / density.sum()

    def full(activity):
        return activity / (activity + release)

    low, high = 1.0, 1e30
    for _ in range(200):
        between = np.sqrt(low * high)
        low, high = (between, high) if between + np.sum(density * full(between)) < donors else (low, between)
    hops = full(low)[:, None] * (1 - full(low)) * np.minimum(1, release[:, None] / release)
    conductivity = ELEMENTARY_CHARGE_C * MOBILITY * density.sum() * np.sum(shares[:, None] * shares * hops)
    np.testing.assert_allclose(current, conductivity * gradient, rtol=1e-5)


def exciton_rates(device):
    """Of the dots in the middle of `device`, 1/s: recombination, hops away and emission of either carrier."""
    film = device.layers["layer1"].material
    dots, hopping = film.ensemble(device.kT), film.ensemble(device.kT).hopping
    emission = dots.capture_coefficient * (dots.electron_release + dots.hole_release)
    return float(dots.recombination), float(hopping.electron_rate + hopping.hole_rate), float(emission)


def test_an_exciton_lasts_until_it_recombines_or_is_split():
    """An undoped film between metals that take nothing, dots that take 1 s to capture or emit, a pump of 1e-6 pairs per
    dot: excitons decay with 1/tau + k_e + k_h, since both carriers find all neighbours free (1e-5: the tolerance of a
    step), and (k_e + k_h) tau/(1 + (k_e + k_h) tau) of the pairs are apart after that (3e-5: few meet again).
    """
    slow = DotHopping(electron_mobility_cm2_per_Vs=1e-4, hole_mobility_cm2_per_Vs=5e-5)
    film = dot_film(hopping=slow)
    film = eqx.tree_at(lambda f: f.dots.capture_time_s, film, jnp.asarray(1.0))
    metal = Schottky(work_function_eV=4.5, electron_velocity_cm_per_s=1e-6, hole_velocity_cm_per_s=1e-6)
    device = stack((100.0, film), (100.0, film), edges=(8, 8), contacts=(metal, metal))
    recombination, hops, _ = exciton_rates(device)
    total = recombination + hops
    times = jnp.asarray([1e-9, 0.3, 1.0, 3.0, 30.0]) / total
    run = transient_absorption(device, 0.0, 1240.0, 2e-9, times).transient
    assert (run.status == TransientStatus.REACHED).all()
    halves = np.asarray(discretise(device).halves)
    electrons, excitons = (np.sum(np.asarray(run.moment.dots[:, state]) * halves, axis=(1, 2)) for state in (0, 2))
    np.testing.assert_allclose(excitons[1:4] / excitons[0], np.exp(-np.asarray(times)[1:4] * total), rtol=1e-5)
    np.testing.assert_allclose((electrons[4] - electrons[0]) / excitons[0], hops / total, rtol=3e-5)


def test_dots_alone_collect_what_is_split():
    """-3 V, weak light at 1240 nm, a host of 1e-9 cm^2/Vs: the current is that of dots alone. Of the excitons made
    (k + e)/(k + e + 1/tau) are split, by hops (k) and by emission (e) into the host, from where they come back to other
    dots; carriers that the field takes away do not meet again. 1 %: what is made beside the titania and the spiro
    recombines there; without hops not 1 % of it is collected.
    """

    def collected(hopping):
        film = dot_film(numbers=INERT, hopping=hopping)
        device = stack((40.0, material(TITANIA)), (200.0, film), (40.0, material(SPIRO)), shunt_ohm_cm2=1e9)
        optics = absorption(device, jnp.array([1240.0]))
        point = operate(device, -3.0)
        assert bool(point.converged)
        small = small_signal(point.system, point.state, point.light)
        efficiency = float(quantum_efficiency(small, small.transfer(0.0), optics)[0].real)
        return device, efficiency / float(jnp.sum(optics.dots + optics.host))

    device, found = collected(HOPPING)
    recombination, hops, emission = exciton_rates(device)
    assert found == pytest.approx((hops + emission) / (hops + emission + recombination), rel=0.01)
    assert collected(None)[1] < 0.01


@pytest.fixture(scope="module")
def diode():
    return dot_diode(dots={"hopping": HOPPING}, edges=(4, 8, 4), series_ohm=300.0, shunt_ohm_cm2=1e6)


def lit(device, irradiance):
    light = Monochromatic(wavelength_nm=jnp.asarray(1240.0), irradiance_W_per_cm2=jnp.asarray(irradiance))
    return eqx.tree_at(lambda d: d.illumination, device, light)


def test_modulated_light_gives_the_linear_response(diode):
    """-0.5 V, 0.1 mW/cm^2 at 1240 nm, 1 % of it modulated at 10 MHz: amplitude and phase of the current in the tenth
    period are those of the linearised device. 1e-3: as for other dots."""
    measured, expected = modulated(lit(diode, 1e-4), 1e7)
    assert abs(measured - expected) < 1e-3 * abs(expected)


def test_light_that_is_switched_on_leads_to_the_stationary_state(diode):
    """10 mW/cm^2 at -0.5 V from the dark: I(10 ms) = I of the lit stationary state, 1e-7, and conduction plus
    displacement are the same at all edges at all times, to 1e-8 of the current then and of the last one: round-off of
    hops, of which there are a hundred times as many as captures and emissions."""
    run = light_pulse(diode, -0.5, 1240.0, 1e-2, Square(), jnp.geomspace(1e-12, 1e-2, 11)).transient
    assert (run.status == TransientStatus.REACHED).all()
    expected = float(operate(lit(diode, 1e-2), -0.5).current_A)
    np.testing.assert_allclose(float(run.current_A[-1]), expected, rtol=1e-7)
    flows = np.asarray(run.current_density_A_per_cm2)
    size = np.abs(np.mean(flows, axis=1))
    assert np.all(np.ptp(flows, axis=1) < 1e-8 * (size + size[-1]))


def test_where_there_are_no_hops_the_dots_follow_the_host():
    """Nodes of layers without hops: the quasi-Fermi potentials of dots are those of the host, to the last digit; among
    dots that hop they are not."""
    solver = Solver(dot_diode(dots={"hopping": HOPPING}, edges=(4, 8, 4)))
    state = solver.at(-0.5)
    apart = np.asarray(state.u[:, 3:] - state.u[:, 1:3])
    assert np.all(apart[solver.system.hopping_nodes == 0] == 0)
    assert np.max(np.abs(apart[solver.system.hopping_nodes == 1])) > 0.1


def test_hopping_in_one_layer_and_landing_elsewhere_in_another_are_refused(tmp_path):
    text = """
defaults: [qdip_photodiode, /material@layers.second.material: pbs_in_mapb_halide, _self_]
name: two
order: [glass, FTO, TiO2, QDiP, second, spiro, Au]
layers:
  QDiP: {material: {dots: {hopping: {}}}}
  second: {thickness_nm: 50, material: {dots: {tunnelling: {kind: nonlocal}}}}
"""
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=r"hopping between dots, in QDiP, and nonlocal tunnelling, in second, exclude"):
        load_device("two", config_dir=tmp_path)
