"""The matrix of all analyses, derivatives of a solved device, and what a solve says when it fails."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sample_devices import Solver, barrier_traps, degenerate_diode, dot_diode, injecting_diode, traps

from invdesign.analyses import checks
from invdesign.analyses.illumination import absorption
from invdesign.analyses.noise import noise
from invdesign.analyses.operating_point import operate, sweep
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.materials.quantum_dots import DotHopping, Local, MultipleCarriers, Nonlocal, Sphere
from invdesign.results import Status
from invdesign.solve.newton import Settings, State, equations, linearised

DIODES = {
    "ohmic contacts": dot_diode,
    "metals that inject": injecting_diode,
    "landing behind the barrier": partial(dot_diode, absorber_nm=20.0, tunnelling=Nonlocal()),
    "landing behind the barrier of the near field": partial(
        dot_diode, absorber_nm=20.0, tunnelling=Nonlocal(), dots={"geometry": Sphere(barrier="near_field")}
    ),
    "traps, landing behind the barrier": partial(dot_diode, absorber_nm=20.0, tunnelling=Nonlocal(), traps=traps()),
    "two places for each carrier that bind, landing behind the barrier": partial(
        dot_diode,
        absorber_nm=20.0,
        tunnelling=Nonlocal(),
        dots={"multiple_carriers": MultipleCarriers(), "exciton_binding_eV": 0.06},
    ),
    "hopping": partial(dot_diode, dots={"hopping": DotHopping()}),
    "hopping between two sizes with traps": partial(
        dot_diode, sizes=2, traps=traps(), dots={"hopping": DotHopping(), "size_dispersion": 0.1}
    ),
    "hopping, two places for each carrier": partial(
        dot_diode, dots={"hopping": DotHopping(), "multiple_carriers": MultipleCarriers()}
    ),
    "degenerate carriers": degenerate_diode,
    "degenerate carriers, hopping": partial(degenerate_diode, dots={"hopping": DotHopping()}),
    "degenerate carriers, landing behind the barrier": partial(
        degenerate_diode, absorber_nm=20.0, tunnelling=Nonlocal()
    ),
}


@pytest.fixture(scope="module", params=list(DIODES.values()), ids=list(DIODES))
def bench(request):
    """Dots between titania and spiro, or between metals, on 4 + 8 + 4 edges, with a series resistance."""
    return Solver(request.param(edges=(4, 8, 4), series_ohm=100.0))


def test_the_matrix_is_the_derivative_of_the_equations(bench):
    """Dot diodes away from any solution: elimination of one-way jumps = derivative of the stationary, expm1 form.

    1e-8 of the largest entry of each row: the dots' jumps are differences of one-way rates.
    """
    random = np.random.default_rng(0)
    state = bench.at(-0.3)
    state = eqx.tree_at(lambda s: s.u, state, state.u + jnp.asarray(random.normal(scale=0.02, size=state.u.shape)))
    target = bench.target(-0.3)

    def flat(x):
        moved = State(x[:-1].reshape(state.u.shape), x[-1], state.ions)
        rows, circuit = equations(bench.system, moved, target)
        return jnp.concatenate([rows.ravel(), circuit])

    point = jnp.concatenate([state.u.ravel(), state.v[None]])
    derivative = jax.jit(jax.jacfwd(flat))(point)
    bordered, _ = jax.jit(linearised)(bench.system, state, target)

    def product(x):
        rows, circuit = bordered @ (x[:-1].reshape(*state.u.shape, 1), x[-1:, None])
        return jnp.concatenate([rows.ravel(), circuit.ravel()])

    found = jax.vmap(product, out_axes=1)(jnp.eye(len(point)))
    scale = jnp.max(jnp.abs(derivative), axis=1, keepdims=True)
    assert jnp.max(jnp.abs(found - derivative) / scale) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("barrier", ["far_field", "near_field"])
@pytest.mark.parametrize("tunnelling", [Local(), Nonlocal()], ids=["local", "nonlocal"])
def test_forward_reverse_and_numerical_derivatives_agree(tunnelling, barrier):
    """Current of the dot diode at -0.3 V by thickness, diameter, loading, bromide, doping of a contact layer, bias.

    Forward = reverse to 1e-9 (the same matrix, transposed); both = central differences to 1e-6 of the largest.
    """
    dots = {"geometry": Sphere(barrier=barrier)}
    device = dot_diode(edges=(4, 8, 4), series_ohm=100.0, tunnelling=tunnelling, dots=dots)

    def where(d):
        absorber = d.layers["layer1"]
        material = absorber.material
        return (
            absorber.thickness_nm,
            material.dots.diameter_nm,
            material.dots.volume_fraction,
            material.host.bromide_fraction,
            d.layers["layer0"].material.donor_density_cm3,
        )

    base = where(device)

    @jax.jit
    def log_current(x):
        moved = eqx.tree_at(where, device, tuple(b * (1 + dx) for b, dx in zip(base, x[:-1], strict=True)))
        return jnp.log(-operate(moved, -0.3 + x[-1]).current_A)

    zero = jnp.zeros(6)
    reverse = jax.grad(log_current)(zero)
    forward = jax.jacfwd(log_current)(zero)
    numeric = checks.central_differences(log_current, zero, halvings=4)
    largest = float(jnp.max(jnp.abs(reverse)))
    np.testing.assert_allclose(np.asarray(forward), np.asarray(reverse), atol=1e-9 * largest)
    np.testing.assert_allclose(np.asarray(numeric), np.asarray(reverse), atol=1e-6 * largest)


@pytest.mark.slow
def test_derivatives_of_an_injected_current():
    """Dots between metals at -4 V, where the right one injects, partly by way of traps: current by its work function,
    image permittivity and tunnelling mass, by density, depth and extent of the traps, by the thickness of the layer at
    it and by bias, implicit and by central differences.

    1e-5 of each: round-off of a current that is far below the flows.
    """
    device = injecting_diode(traps=barrier_traps(), edges=(4, 8, 4), series_ohm=100.0)

    def where(d):
        metal = d.contacts.right
        injection = metal.injection
        traps = injection.traps
        barrier = metal.work_function_eV, injection.image_permittivity, injection.tunnelling_mass
        return *barrier, traps.density_cm3, traps.depth_eV, traps.extent_nm, d.layers["layer2"].thickness_nm

    base = where(device)

    @jax.jit
    def log_current(x):
        moved = eqx.tree_at(where, device, tuple(b * (1 + 0.1 * dx) for b, dx in zip(base, x[:-1], strict=True)))
        return jnp.log(-operate(moved, -4.0 + x[-1]).current_A)

    zero = jnp.zeros(8)
    reverse = jax.grad(log_current)(zero)
    numeric = checks.central_differences(log_current, zero, halvings=4)
    assert jnp.min(jnp.abs(reverse)) > 1e-2
    np.testing.assert_allclose(np.asarray(numeric), np.asarray(reverse), rtol=1e-5)


@pytest.mark.slow
def test_derivatives_of_the_detectivity_of_dots_that_hop():
    """Dots that hop and bind excitons at -0.3 V: ln D* = ln EQE - ln(noise)/2 + const at 1240 nm and 1 kHz by both
    mobilities, binding energy, spread of sizes (the line they absorb in) and bias, through operating point, optics and
    adjoint; implicit = central differences.

    1e-6 of the largest: round-off over the step.
    """
    hopping = DotHopping(electron_mobility_cm2_per_Vs=0.01, hole_mobility_cm2_per_Vs=1e-3)
    dots = {"hopping": hopping, "exciton_binding_eV": 0.06, "size_dispersion": 0.1}
    device = dot_diode(edges=(4, 8, 4), series_ohm=100.0, dots=dots)

    def where(d):
        dots = d.layers["layer1"].material.dots
        mobilities = dots.hopping.electron_mobility_cm2_per_Vs, dots.hopping.hole_mobility_cm2_per_Vs
        return *mobilities, dots.exciton_binding_eV, dots.size_dispersion

    base = where(device)

    @jax.jit
    def log_detectivity(x):
        moved = eqx.tree_at(where, device, tuple(b * (1 + 0.1 * dx) for b, dx in zip(base, x[:-1], strict=True)))
        point = operate(moved, -0.3 + x[-1])
        small = small_signal(point.system, point.state, point.light)
        transfer = small.transfer(1e3)
        response = quantum_efficiency(small, transfer, absorption(moved, jnp.array([1240.0])))[0]
        return jnp.log(jnp.abs(response)) - jnp.log(noise(small, transfer).total) / 2

    zero = jnp.zeros(5)
    reverse = np.asarray(jax.jit(jax.grad(log_detectivity))(zero))
    assert np.min(np.abs(reverse)) > 1e-4
    numeric = np.asarray(checks.central_differences(log_detectivity, zero, halvings=4))
    np.testing.assert_allclose(numeric, reverse, atol=1e-6 * np.max(np.abs(reverse)))


def test_a_failed_solve_is_a_status():
    """Dot diode, an iteration budget of three: no exception and no nan, but a status that says what to try."""
    point = operate(dot_diode(edges=(4, 8, 4), series_ohm=100.0), -5.0, settings=Settings(iterations=3))
    assert Status(int(point.status)) == Status.OUT_OF_ITERATIONS
    assert bool(jnp.all(jnp.isfinite(point.state.u)))
    assert Status(int(point.status)).message


def test_a_sweep_gives_the_points_and_slopes_of_single_solves():
    """Dot diode from 0.3 V forward to -1 V: currents of the sweep = those of cold solves, and so the derivative
    of the last one by a thickness. 1e-9: either is solved to round-off of a current that is 1e-9 of its flows."""
    device = dot_diode(edges=(4, 8, 4))
    voltages = jnp.array([0.3, 0.1, -0.2, -1.0])
    found = sweep(device, voltages)
    assert not jnp.any(found.status)
    single = jax.jit(lambda d, v: operate(d, v).current_A)
    expected = jnp.stack([single(device, v) for v in voltages])
    np.testing.assert_allclose(found.current_A, expected, rtol=1e-9)

    def by_thickness(run):
        where = lambda d: d.layers["layer1"].thickness_nm  # noqa: E731
        return jax.jit(jax.grad(lambda t: run(eqx.tree_at(where, device, t))))(where(device))

    slope = by_thickness(lambda d: sweep(d, voltages).current_A[-1])
    np.testing.assert_allclose(slope, by_thickness(lambda d: operate(d, voltages[-1]).current_A), rtol=1e-9)
