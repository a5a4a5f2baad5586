"""Pairs that the field makes by tunnelling through the gap: a soft reverse current, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import HALIDE, SPIRO, TITANIA, Solver, leaky, lifetimes, material, nip_cell, stack
from scipy.optimize import brentq

from invdesign.analyses import checks
from invdesign.analyses.noise import noise
from invdesign.analyses.operating_point import operate
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import LayerLeakage
from invdesign.processes.recombination import TunnelGeneration
from invdesign.processes.site import Site

PREFACTOR, CRITICAL, BIAS_V = 1e6, 4e5, -30.0


@pytest.fixture(scope="module")
def solver():
    """n-i-p cell with an absorber of 3 um, which leaks; the layers beside it hardly do."""
    return Solver(leaky(nip_cell(absorber_nm=3000.0), 1.0, PREFACTOR, 1.0))


@pytest.fixture(scope="module")
def biased(solver):
    return solver.at(BIAS_V)


def fields(solver, state):
    """|F| on all edges, V/cm, and their lengths, cm."""
    lengths = np.asarray(solver.system.lengths)
    return np.abs(np.diff(np.asarray(state.u[:, 0]))) * float(solver.system.kT) / lengths, lengths


def current(solver, state):
    return abs(float(jnp.mean(checks.current_densities(solver.system, state, solver.dark))))


def test_the_reverse_current_is_the_integral_of_the_generation(solver, biased):
    """Leaky cell in the dark at -30 V, 0.1 MV/cm: J = q int A F^2 exp(-B/F) dx over the absorber.

    1 %: the first 20 kT/qF (5 nm) at the contact layers' carriers, where n p is n_i^2, make nothing; SRH generation is
    3e-4 of the current.
    """
    field, lengths = (part[20:60] for part in fields(solver, biased))
    expected = ELEMENTARY_CHARGE_C * np.sum(PREFACTOR * field**2 * np.exp(-CRITICAL / field) * lengths)
    assert current(solver, biased) == pytest.approx(expected, rel=0.01)
    assert current(solver, solver.at(-10.0)) < 0.01 * expected


def test_a_local_process_cannot_push_carriers_beyond_equilibrium():
    """p-i-n junction of one halide, A of 1e20: n p stays n_i^2, and the current is that of such carriers in the field.

    Electrons and holes of mobility mu share one quasi-Fermi level E_F where n p = n_i^2. With u = (E_F - E_i)/kT,
    J = 2 q mu n_i cosh(u) dE_F/dx and du/dx = (dE_F/dx - q F)/kT; E_F rises by qV while u crosses from n to p:
    qV/kT = int du/(a cosh(u) - 1) = 2 (pi/2 + asin(1/a))/sqrt(a^2 - 1), a = 2 q mu n_i F/J. Hence J < 2 q mu n_i F,
    1e-8 of what would be generated without the way back. 0.5 %: h^2, which is 0.3 % at -0.3 V, where half of E_F's rise
    is within 2 kT/qF (four times that on a mesh half as fine); 0.04 % at -2 V.
    """
    ends = [material(HALIDE, **{f"{kind}_density_cm3": 1e17}) for kind in ("donor", "acceptor")]
    junction = stack((40.0, ends[0]), (300.0, material(HALIDE)), (40.0, ends[1]), edges=(20, 160, 20))
    solver = Solver(leaky(junction, 1e2, 1e20, 1e2))
    kT = float(solver.system.kT)
    intrinsic = np.sqrt(HALIDE["conduction_dos_cm3"] * HALIDE["valence_dos_cm3"])
    intrinsic *= np.exp(-HALIDE["band_gap_eV"] / 2 / kT)

    def short_of(a, rise):
        return 2 * (np.pi / 2 + np.arcsin(1 / a)) / np.sqrt(a**2 - 1) - rise

    for bias in (-0.3, -2.0):
        state = solver.at(bias)
        field, lengths = (part[20:180] for part in fields(solver, state))
        a = brentq(short_of, 1 + 1e-9, 1e3, args=(abs(bias) / kT,))
        drift = 2 * ELEMENTARY_CHARGE_C * intrinsic * HALIDE["electron_mobility_cm2_per_Vs"] * field[80]
        assert current(solver, state) == pytest.approx(drift / a, rel=0.005)
        free = ELEMENTARY_CHARGE_C * np.sum(1e20 * field**2 * np.exp(-CRITICAL / field) * lengths)
        assert free > 1e8 * current(solver, state)


def leaking(name, face, **other):
    """n-i-p cell with lifetimes of 1 s, one layer of which breaks down softly."""
    layers = (40.0, TITANIA), (300.0, HALIDE), (40.0, SPIRO)
    cell = stack(*((nm, material(numbers, lifetimes(1.0))) for nm, numbers in layers), **other)
    leakage = LayerLeakage(prefactor_A_per_V2=1e-15, critical_field_V_per_cm=CRITICAL, face=face)
    return eqx.tree_at(lambda d: d.layers[name].leakage, cell, leakage, is_leaf=lambda leaf: leaf is None)


@pytest.mark.parametrize(("name", "face", "edge"), [("layer2", "left", 60), ("layer0", "right", 19)])
def test_a_blocking_layer_that_breaks_down_softly(name, face, edge):
    """n-i-p cell with lifetimes of 1 s, whose spiro or titania leaks: at -1 and -3 V J = A F^2 exp(-B/F), F the layer's
    field on the edge at the absorber, S_I = 2qI, and dI/dV of the small signal is that of two solves 0.2 mV apart.

    1e-6: what the rest of the cell generates, and the curvature over 0.1 mV.
    """
    solver = Solver(leaking(name, face))

    def terminal(bias):
        state = solver.at(bias)
        return state, -float(checks.terminal_current(solver.system, state, solver.dark))

    for bias in (-1.0, -3.0):
        state, found = terminal(bias)
        field = fields(solver, state)[0][edge]
        assert found == pytest.approx(1e-15 * field**2 * np.exp(-CRITICAL / field), rel=1e-6)
        small = small_signal(solver.system, state, solver.dark)
        transfer = jax.jit(lambda small: small.transfer(1.0))(small)
        total = float(jax.jit(lambda *at: noise(*at).total)(small, transfer))
        assert total == pytest.approx(2 * ELEMENTARY_CHARGE_C * found, rel=1e-6)
        slope = (terminal(bias - 1e-4)[1] - terminal(bias + 1e-4)[1]) / 2e-4
        assert float(jnp.real(transfer.admittance)) == pytest.approx(slope, rel=1e-6)


def test_the_leak_of_a_layer_can_be_differentiated():
    """The same with 1 kohm in series (0.3 V at 1 cm^2) at -3 V: ln I by ln A, ln B, the thickness of the leaking layer
    and the bias, against central differences. 1e-7 of each: round-off over the step."""
    device = leaking("layer2", "left", series_ohm=1e3)

    def numbers(d):
        layer = d.layers["layer2"]
        return layer.leakage.prefactor_A_per_V2, layer.leakage.critical_field_V_per_cm, layer.thickness_nm

    base = numbers(device)

    @jax.jit
    def log_current(x):
        moved = tuple(value * jnp.exp(dx) for value, dx in zip(base, x[:-1], strict=True))
        return jnp.log(-operate(eqx.tree_at(numbers, device, moved), -3.0 + x[-1]).current_A)

    found = jax.jit(jax.grad(log_current))(jnp.zeros(4))
    expected = checks.central_differences(log_current, jnp.zeros(4), halvings=4)
    assert jnp.min(jnp.abs(found)) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_its_noise_is_shot_noise(solver, biased):
    """The same at 1 Hz: pairs are made independently of carriers and of each other, S_I = 2qI. 1e-3."""
    small = small_signal(solver.system, biased, solver.dark)
    parts = jax.jit(lambda small: noise(small, small.transfer(1.0)).by_process)(small)
    shot = 2 * ELEMENTARY_CHARGE_C * current(solver, biased)
    assert float(parts[TunnelGeneration.name]) == pytest.approx(shot, rel=1e-3)
    assert float(sum(parts.values())) == pytest.approx(shot, rel=1e-3)


def test_the_rate_is_that_of_kane_and_smooth_where_the_field_turns_round():
    """A F^2 exp(-B/F) at 0.1 MV/cm, either way (1e-3: softened at 1 kV/cm); neither rate nor slope at F = 0."""
    process = TunnelGeneration(prefactor=jnp.asarray(PREFACTOR), critical_field=jnp.asarray(CRITICAL))
    one = jnp.ones(())

    def backward(field):
        return process.backward(Site(one, one, one, one, one, one, field, one))

    assert float(backward(jnp.zeros(()))) == 0.0 == float(jax.grad(backward)(jnp.zeros(())))
    assert float(backward(jnp.asarray(-1e5))) == float(backward(jnp.asarray(1e5)))
    expected = PREFACTOR * 1e10 * np.exp(-CRITICAL / 1e5)
    assert float(backward(jnp.asarray(1e5))) == pytest.approx(expected, rel=1e-3)


def test_the_current_can_be_differentiated_by_its_numbers(solver):
    """d ln I/d ln A = 1 (1 % as above) and d ln I/d ln B = -B/F = -4 at -30 V, against central differences of both.

    1e-6: round-off over a step of 1e-4, and its square. 5 % for the second: the mean field is not quite 0.1 MV/cm.
    """
    device = solver.device

    def numbers(d):
        soft = d.layers["layer1"].material.recombination.tunnelling
        return soft.prefactor_per_cm_s_V2, soft.critical_field_V_per_cm

    def log_current(factors):
        moved = tuple(factor * value for factor, value in zip(factors, numbers(device), strict=True))
        return jnp.log(jnp.abs(operate(eqx.tree_at(numbers, device, moved), BIAS_V).current_A))

    both, step = jax.jit(jax.value_and_grad(log_current)), 1e-4
    slope = np.asarray(both(jnp.ones(2))[1])
    for index in range(2):
        up, down = (float(both(jnp.ones(2).at[index].add(sign * step))[0]) for sign in (1, -1))
        assert slope[index] == pytest.approx((up - down) / (2 * step), rel=1e-6)
    assert slope[0] == pytest.approx(1.0, rel=0.01) and slope[1] == pytest.approx(-4.0, rel=0.05)
