"""Mobile ions at rest: conservation, statistics, screening, and what stays exact when they are frozen."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import HALIDE, SPIRO, TITANIA, Solver, material, nip_cell, stack

from invdesign.analyses import checks
from invdesign.analyses.illumination import absorption
from invdesign.analyses.operating_point import operate, prepare
from invdesign.analyses.small_signal import small_signal
from invdesign.constants import ELEMENTARY_CHARGE_C, VACUUM_PERMITTIVITY_F_PER_CM
from invdesign.device.device import Frozen, Relaxed
from invdesign.materials.semiconductor import IonNumbers
from invdesign.solve.assembly import ionic_charge
from invdesign.solve.newton import State, equations, linearised

SITES = {"Boltzmann": None, "Blakemore": 2e19}


def ionic_cell(sites=None, density=1e18, ions=None, **other):
    """The n-i-p cell with positive vacancies in its perovskite."""
    absorber = material(HALIDE, k=0.1, mobile_ions=IonNumbers(density_cm3=density, site_density_cm3=sites))
    layers = (40.0, material(TITANIA)), (300.0, absorber), (40.0, material(SPIRO))
    return stack(*layers, ions=ions or Relaxed(), **other)


@pytest.fixture(scope="module", params=SITES.values(), ids=SITES.keys())
def cell(request):
    return Solver(ionic_cell(request.param))


@pytest.mark.parametrize("voltage", [0.0, -2.0, 0.8])
def test_no_ion_is_lost(cell, voltage):
    """n-i-p cell at rest: the integral of the ions' excess charge over the layer is zero.

    1e-12 of all ions: one of the equations, solved to round-off.
    """
    state = cell.at(voltage)
    charge = ionic_charge(cell.system, state.u, state.ions)
    assert abs(float(jnp.sum(charge))) < 1e-12 * 1e18 * 300e-7
    assert float(jnp.max(jnp.abs(charge))) > 0


def test_pressure_of_field_and_ions_is_uniform():
    """1e18 cm^-3 ions between inert layers, so few carriers that only ions screen: the first integral of Poisson's
    equation, eps E^2/2 - kT (Pi + N psi) = const, Pi = P (Boltzmann) or -N_s ln(1 - P/N_s) (Blakemore).

    1 % of the largest field pressure: the field is that of edges, of order h^2 against the nodes' densities.
    """
    wide = HALIDE | {"band_gap_eV": 3.0, "electron_affinity_eV": 3.2}
    for sites in SITES.values():
        absorber = material(wide, mobile_ions=IonNumbers(density_cm3=1e18, site_density_cm3=sites))
        device = stack((40.0, material(TITANIA)), (300.0, absorber), (40.0, material(SPIRO)), edges=(20, 400, 20))
        solver = Solver(device)
        state, kT = solver.rest.state, float(solver.system.kT)
        inside = slice(20, 421)
        psi, level = np.asarray(state.u[inside, 0]), state.ions[0]
        lengths = np.asarray(solver.system.lengths[20:420])
        density = 1e18 + np.asarray(absorber.ions.excess(level, jnp.asarray(psi)))
        pressure = density if sites is None else -sites * np.log1p(-density / sites)
        field = np.diff(psi) * kT / lengths
        middle = (pressure[1:] + pressure[:-1]) / 2 + 1e18 * (psi[1:] + psi[:-1]) / 2
        eps = HALIDE["relative_permittivity"] * VACUUM_PERMITTIVITY_F_PER_CM / ELEMENTARY_CHARGE_C
        stress = eps * field**2 / (2 * kT)
        total = stress - middle
        assert np.ptp(total[2:-2]) < 0.01 * np.max(stress)
        assert np.max(stress) > 1e17


def test_they_screen_the_field():
    """n-i-p cell at rest in the dark: with 1e18 cm^-3 ions the field in the middle is below 1 % of that without."""
    fields = []
    for device in (nip_cell(), ionic_cell(density=1e18)):
        fields.append(abs(float(operate(device, 0.0).field_V_per_cm[40])))
    assert fields[1] < 0.01 * fields[0]


def test_their_part_of_the_matrix_is_the_derivative_of_the_equations(cell):
    """Away from any solution: the assembled matrix = automatic differentiation. 1e-9 of the largest entry of a row."""
    random = np.random.default_rng(0)
    state = cell.at(-0.3)
    state = dataclasses.replace(state, u=state.u + jnp.asarray(random.normal(scale=0.02, size=state.u.shape)))
    target, size = cell.target(-0.3), state.u.size

    def flat(x):
        rows, circuit = equations(cell.system, State(x[:size].reshape(state.u.shape), x[size], x[size + 1 :]), target)
        return jnp.concatenate([rows.ravel(), circuit])

    point = jnp.concatenate([state.u.ravel(), state.globals])
    derivative = jax.jit(jax.jacfwd(flat))(point)
    bordered, _ = jax.jit(linearised)(cell.system, state, target)

    def product(x):
        rows, circuit = bordered @ (x[:size].reshape(*state.u.shape, 1), x[size:, None])
        return jnp.concatenate([rows.ravel(), circuit.ravel()])

    found = jax.jit(jax.vmap(product, out_axes=1))(jnp.eye(len(point)))
    scale = jnp.max(jnp.abs(derivative), axis=1, keepdims=True)
    assert jnp.max(jnp.abs(found - derivative) / scale) < 1e-9


def test_frozen_where_they_rest_they_change_nothing():
    """Frozen at 1 V reverse and operated there: the state of relaxed ions. At 0 V they are not those of 0 V.

    1e-9 kT/q: the same equations with a number for an unknown.
    """
    relaxed, frozen = ionic_cell(), ionic_cell(ions=Frozen(reverse_bias_V=1.0))
    run = eqx.filter_jit(lambda device, voltage: operate(device, voltage).state.u)
    np.testing.assert_allclose(run(frozen, jnp.array(-1.0)), run(relaxed, jnp.array(-1.0)), atol=1e-9)
    assert float(jnp.max(jnp.abs(run(frozen, jnp.array(0.0)) - run(relaxed, jnp.array(0.0))))) > 0.1


def test_noise_with_ions_standing_still_is_that_of_nyquist(cell):
    """n-i-p cell with ions at rest, dark, 0 V, 1 Hz to 1 GHz: S_I = 4kT Re Y of the device with its ions held."""
    small = small_signal(cell.system, cell.rest.state, cell.dark)
    optics = jax.jit(lambda d: absorption(d, jnp.array([500.0])))(cell.device)
    frequency = jnp.logspace(0, 9, 7)
    found = checks.spectrum(small, frequency, jnp.full(7, 40), optics)
    assert jnp.max(checks.fluctuation_dissipation(cell.system, found)) < 1


@pytest.mark.parametrize("ions", [Relaxed(), Frozen(reverse_bias_V=0.5)], ids=["relaxed", "frozen"])
def test_derivatives_by_their_density(ions):
    """Current at 0.4 V forward by ln(density): reverse mode = central differences, 1e-6."""

    @jax.jit
    def log_current(x):
        device = ionic_cell(2e19, ions=ions)
        where = lambda d: d.layers["layer1"].material.mobile_ions.density_cm3  # noqa: E731
        return jnp.log(operate(eqx.tree_at(where, device, 1e17 * jnp.exp(x)), 0.4).current_A)

    numeric = checks.central_differences(lambda x: log_current(x[0]), jnp.zeros(1), halvings=4)
    np.testing.assert_allclose(float(jax.jit(jax.grad(log_current))(0.0)), float(numeric[0]), rtol=1e-6)


def test_a_device_without_ions_is_prepared_as_it_is():
    """No ions: freezing them changes nothing in the system."""
    device = nip_cell()
    frozen = dataclasses.replace(device, ions=Frozen())
    assert jax.tree.structure(prepare(device)) == jax.tree.structure(prepare(frozen))
