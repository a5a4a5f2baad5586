"""The static field around dots: limits with a formula, bounds, conservation, convergence."""

import jax.numpy as jnp
import numpy as np
import pytest

from invdesign.constants import BOLTZMANN_EV_PER_K
from invdesign.electrostatics.axisymmetric import Mesh, solve
from invdesign.electrostatics.dots import (
    LocalField,
    barrier_field_ratio,
    cell,
    local_field,
    mesh,
    near_field_tunnelling,
)
from invdesign.materials.quantum_dots import Slab, Sphere
from invdesign.processes.field_emission import BarrierEscape

DIAMETER_NM, FRACTION, DOT, HOST = 4.32, 0.29, 22.0, 70.0
"""Of the default device."""
KT_EV = BOLTZMANN_EV_PER_K * 300


def maxwell_garnett(dot, host, fraction):
    """The mixture with `host` as the matrix; one of the two bounds of Hashin and Shtrikman."""
    polarised = fraction * (dot - host) / (dot + 2 * host)
    return host * (1 + 2 * polarised) / (1 - polarised)


@pytest.fixture(scope="module")
def default() -> LocalField:
    return local_field(cell(DIAMETER_NM, FRACTION), DOT, HOST)


def test_a_uniform_medium_is_exact():
    """A cell with a dot's mesh and one permittivity: phi = -E_0 z, a uniform flux, eps_eff = eps, by both solutions.

    1e-11: both are in the span of the functions, which leaves the round-off of the linear solve.
    """
    around = local_field(cell(DIAMETER_NM, FRACTION), HOST, HOST, 8)
    grid = around.solution.mesh
    np.testing.assert_allclose(around.solution.potential, -grid.z, atol=1e-11)
    np.testing.assert_allclose(around.solution.flux, 1, rtol=1e-11)
    np.testing.assert_allclose([around.solution.upper, around.solution.lower], HOST, rtol=1e-11)


def rectangles(r, z):
    """A mesh of given radii and heights, and the centres of its elements."""
    grid = Mesh(*np.meshgrid(np.asarray(r), np.asarray(z)))
    return grid, grid.corners(grid.r).mean(axis=1), grid.corners(grid.z).mean(axis=1)


def test_a_stack_of_discs_is_the_slab():
    """A disc of the cell's full radius, 0.29 of its height: eps E continuous, (eps_h/eps_d)/(f eps_h/eps_d + 1 - f).

    That is the model's `slab`. 1e-11: the potential is linear in every element.
    """
    grid, _, z = rectangles(np.linspace(0, 2, 9), [0, 0.1, FRACTION, 0.4, 0.7, 1])
    in_disc = z < FRACTION
    solution = solve(grid, np.where(in_disc, DOT, HOST))
    expected, _ = Slab().field_ratios(jnp.asarray(DOT), jnp.asarray(HOST), jnp.asarray(FRACTION))
    np.testing.assert_allclose(solution.field[in_disc, 1], float(expected), rtol=1e-11)
    np.testing.assert_allclose(solution.field[~in_disc, 1], float(expected) * DOT / HOST, rtol=1e-11)
    np.testing.assert_allclose(solution.field[:, 0], 0, atol=1e-11)
    effective = 1 / (FRACTION / DOT + (1 - FRACTION) / HOST)
    np.testing.assert_allclose([solution.upper, solution.lower], effective, rtol=1e-11)


def test_a_rod_along_the_field_is_the_mean():
    """A rod of the cell's full height, 0.25 of its area: E = E_0 everywhere, eps_eff = f eps_d + (1 - f) eps_h.

    1e-11 by the potential, which is linear. The flux inside r is no polynomial over r^2 outside the rod: 1e-3, below.
    """
    grid, r, _ = rectangles(np.linspace(0, 1, 33), np.linspace(0, 1, 5))
    solution = solve(grid, np.where(r < 0.5, DOT, HOST))
    effective = 0.25 * DOT + 0.75 * HOST
    np.testing.assert_allclose(solution.field[:, 1], 1, rtol=1e-11)
    np.testing.assert_allclose(solution.upper, effective, rtol=1e-11)
    assert effective * (1 - 1e-3) < solution.lower < effective


@pytest.mark.parametrize("dot", [22.0, 400.0], ids=["weaker", "stronger"])
def test_a_lone_sphere(dot):
    """f = 1e-4, cell 17 d high: E_dot/E_0 = 3 eps_h/(eps_d + 2 eps_h), uniform; eps_d/eps_h of it outside the pole.

    1e-3 for the mean, 8e-3 for fields at a point: 48 elements per radius, whose outer steps grow with the cell and are
    three times the inner ones here. The neighbours change it by 1e-4.
    """
    around = local_field(cell(DIAMETER_NM, 1e-4), dot, HOST, 48)
    single = 3 * HOST / (dot + 2 * HOST)
    np.testing.assert_allclose(around.dot, single, rtol=1e-3)
    np.testing.assert_allclose(around.axis_dot, single, rtol=8e-3)
    np.testing.assert_allclose(around.host_pole, single * dot / HOST, rtol=8e-3)
    np.testing.assert_allclose(around.host_equator, single, rtol=8e-3)
    assert abs(around.host_between - 1) < 8e-3


def test_first_order_in_the_fraction():
    """f = 0.003: (eps_eff/eps_h - 1)/f = 3 (eps_d - eps_h)/(eps_d + 2 eps_h) for a cell of any shape.

    0.5 %: the second order is f times a number of order one, the mesh's error of the dipole 0.1 %.
    """
    slope = 3 * (DOT - HOST) / (DOT + 2 * HOST)
    for spacing in (None, 4 * DIAMETER_NM):
        found = local_field(cell(DIAMETER_NM, 0.003, spacing), DOT, HOST).effective_permittivity
        np.testing.assert_allclose((found / HOST - 1) / 0.003, slope, rtol=5e-3)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2, 0.29, 0.4, 0.5])
@pytest.mark.parametrize("dot", [1.0, 22.0, 400.0])
def test_between_the_bounds(fraction, dot):
    """Cells with the height and area of a cubic lattice: eps_eff is between the two Maxwell Garnett mixtures.

    Those are the bounds of isotropic mixtures (Hashin and Shtrikman 1962, DOI 10.1063/1.1728579). 3e-4: the cell is a
    cylinder and not a cube, so that it is not exactly isotropic (1e-4 beyond at f = 0.2), and the mesh's error is 1e-4.
    """
    found = local_field(cell(DIAMETER_NM, fraction), dot, HOST, 16).effective_permittivity
    low, high = sorted([maxwell_garnett(dot, HOST, fraction), maxwell_garnett(HOST, dot, 1 - fraction)])
    assert low * (1 - 3e-4) < found < high * (1 + 3e-4)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.29])
@pytest.mark.parametrize("dot", [22.0, 400.0])
def test_a_cubic_lattice(fraction, dot):
    """The cylinder of the same height and area against a simple cubic lattice of spheres (Rayleigh's series).

    eps_eff/eps_h = 1 - 3f/(1/b + f - 1.3047 f^(10/3) (1 - a)/(4/3 + a)), a = eps_d/eps_h, b = (1 - a)/(2 + a): Rayleigh
    1892, DOI 10.1080/14786449208620364. 2e-3: a cylinder is no cube, the series is cut off, and the mesh.
    """
    a = dot / HOST
    series = (2 + a) / (1 - a) + fraction - 1.3047 * (1 - a) / (4 / 3 + a) * fraction ** (10 / 3)
    found = local_field(cell(DIAMETER_NM, fraction), dot, HOST, 16).effective_permittivity
    np.testing.assert_allclose(found, HOST * (1 - 3 * fraction / series), rtol=2e-3)


@pytest.mark.parametrize("shape", [1.05, 1.7, 2.2])
def test_between_the_bounds_of_any_mixture(shape):
    """Cells of any spacing at f = 0.29: eps_eff between series and parallel (Wiener 1912); no field is lost.

    No tolerance for the bounds, which are 20 % apart. f E_dot + (1 - f) E_host = E_0 to 1e-9: the same sum twice.
    """
    around = local_field(cell(DIAMETER_NM, FRACTION, shape * DIAMETER_NM), DOT, HOST, 16)
    assert around.solution.lower > 1 / (FRACTION / DOT + (1 - FRACTION) / HOST)
    assert around.solution.upper < FRACTION * DOT + (1 - FRACTION) * HOST
    np.testing.assert_allclose(FRACTION * around.dot + (1 - FRACTION) * around.host, 1, rtol=1e-9)


def test_energy_flux_and_mean_field_agree(default):
    """f = 0.29: eps_eff E_0^2 = <eps E^2>, and eps_eff = eps_h + f (eps_d - eps_h) E_dot/E_0, E_dot the dot's mean.

    eps_eff is what flows through the top of the cell. 1e-10: exact for the scheme, which leaves round-off.
    """
    np.testing.assert_allclose(default.solution.energy, default.solution.upper, rtol=1e-10)
    np.testing.assert_allclose(HOST + FRACTION * (DOT - HOST) * default.dot, default.solution.upper, rtol=1e-10)


def test_the_mesh_has_the_volume_of_the_sphere():
    """32 elements per radius: the share of the elements in the dot is f, 1e-12 (the nodes are set so)."""
    solution = local_field(cell(DIAMETER_NM, FRACTION), DOT, HOST, 8).solution
    np.testing.assert_allclose(solution.volume[solution.permittivity == DOT].sum(), FRACTION, rtol=1e-12)
    assert mesh(cell(DIAMETER_NM, FRACTION), 8).r.shape == (17, 17)


def test_second_order_in_the_mesh():
    """8, 16, 32 elements per radius: the error of eps_eff, by either solution, and of the dot's mean falls by 4.

    The order from three meshes is 2 within 0.1. The equator's field is extrapolated: within 0.3. At the pole, where the
    axis meets the interface, it is not clean: the last step is below 1e-3.
    """
    runs = [local_field(cell(DIAMETER_NM, FRACTION), DOT, HOST, count) for count in (8, 16, 32)]

    def order(values):
        coarse, fine = np.diff(values)
        return np.log2(coarse / fine)

    for values in ([run.solution.upper for run in runs], [run.solution.lower for run in runs], [r.dot for r in runs]):
        assert abs(order(values) - 2) < 0.1
    assert abs(order([run.host_equator for run in runs]) - 2) < 0.3
    assert abs(runs[2].dot_pole - runs[1].dot_pole) < 1e-3
    assert runs[0].solution.lower < runs[2].solution.lower < runs[2].solution.upper < runs[0].solution.upper


def test_potential_on_the_axis_belongs_to_its_field(default):
    """f = 0.29: the field on the axis, from the flux, adds up to the potential, from the other solution, to 1e-3.

    Trapezoids on nodes 0.06 nm apart; the two solutions have an error of 5e-4 there.
    """
    inside = len(default.axis_dot)
    for field, nodes in ((default.axis_dot, slice(None, inside)), (default.axis_host, slice(inside - 1, None))):
        drop = np.diff(default.axis_potential_nm[nodes]).sum()
        np.testing.assert_allclose(np.trapezoid(field, default.axis_nm[nodes]), drop, rtol=3e-3)


def test_the_models_options_at_the_default_device(default):
    """f = 0.29, eps 22 in 70, cell of a cubic lattice: the numbers of docs/model.md.

    0.005: half a unit of their last digit. `sphere` is the mean over the dot and over the host, and the mixture is
    Maxwell Garnett's, all to 1e-3.
    """
    dot, barrier = Sphere().field_ratios(jnp.asarray(DOT), jnp.asarray(HOST), jnp.asarray(FRACTION))
    slab, _ = Slab().field_ratios(jnp.asarray(DOT), jnp.asarray(HOST), jnp.asarray(FRACTION))
    found = [default.dot, default.host, default.dot_pole, default.host_pole, default.host_equator, default.host_between]
    np.testing.assert_allclose(found, [1.19, 0.92, 1.00, 0.31, 1.27, 0.40], atol=0.005)
    np.testing.assert_allclose(float(slab), 1.95, atol=0.005)
    np.testing.assert_allclose([default.dot, default.host], [float(dot), float(barrier)], rtol=1e-3)
    np.testing.assert_allclose(default.effective_permittivity, maxwell_garnett(DOT, HOST, FRACTION), rtol=1e-3)
    effective = [barrier_field_ratio(default, barrier_eV, 2e5) for barrier_eV in (0.2, 0.38)]
    np.testing.assert_allclose(effective, [0.965, 0.976], atol=0.0006)


@pytest.mark.parametrize("field", [3e4, 2e5, 3e6])
def test_barrier_of_a_uniform_field(field):
    """No contrast: the barrier is a triangle, ratio 1, over many cells or within one. 1e-9: edges are exact."""
    around = local_field(cell(DIAMETER_NM, FRACTION), HOST, HOST, 8)
    np.testing.assert_allclose(barrier_field_ratio(around, 0.2, field), 1, rtol=1e-9)


def test_barrier_in_the_near_field(default):
    """0.2 eV: a barrier much thinner than the gap has the field at the pole, one over many cells the mean field.

    2 % at 5 kV/cm (76 cells), and at a field so high that the barrier is 1 % of the gap, over which the field grows. In
    between the ratio falls with the field.
    """
    ratios = [barrier_field_ratio(default, 0.2, field) for field in (5e3, 1e5, 2e5, 1e6, 1e9)]
    np.testing.assert_allclose(ratios[0], 1, rtol=0.02)
    np.testing.assert_allclose(ratios[-1], default.host_pole, rtol=0.02)
    assert np.all(np.diff(ratios) < 0)


def escape(barrier_eV, field, field_ratio):
    """The model's tunnelling term at 300 K, mass 0.2."""
    numbers = (jnp.asarray(value) for value in (barrier_eV, 0.2, 1e-7, field_ratio))
    return float(BarrierEscape(*numbers).tunnelling(jnp.asarray(field), jnp.asarray(KT_EV)))


@pytest.mark.parametrize("barrier_eV", [0.2, 0.38])
def test_tunnelling_in_a_uniform_field(barrier_eV):
    """No contrast, 0.28 MV/cm: tunnelling through a triangle, as the model has it. 1e-4: its smooth ceiling."""
    around = local_field(cell(DIAMETER_NM, FRACTION), HOST, HOST, 8)
    found = near_field_tunnelling(around, barrier_eV, 0.2, 2.8e5, KT_EV)
    np.testing.assert_allclose(found, escape(barrier_eV, 2.8e5, 1.0), rtol=1e-4)


def test_tunnelling_in_the_near_field(default):
    """0.2 eV, 0.2 MV/cm: the numbers of docs/model.md, half a unit of the last digit.

    Along the axis there is less of it than with the field at the host's mean, more than with that at the pole.
    """
    near = near_field_tunnelling(default, 0.2, 0.2, 2e5, KT_EV)
    np.testing.assert_allclose(near, 3.13, atol=0.005)
    np.testing.assert_allclose([escape(0.2, 2e5, ratio) for ratio in (default.host, 1.949)], [3.85, 23.6], rtol=2e-3)
    assert escape(0.2, 2e5, default.host_pole) < near < escape(0.2, 2e5, default.host)


def beside_a_sphere(barrier_eV, field, fraction):
    """The model's tunnelling term with the near field of a lone dot."""
    option = Sphere(barrier="near_field")
    dot, host = jnp.asarray(DOT), jnp.asarray(HOST)
    far = option.field_ratios(dot, host, jnp.asarray(fraction))[1]
    numbers = (jnp.asarray(value) for value in (barrier_eV, 0.2, 1e-7))
    barrier = BarrierEscape(*numbers, far, option.near_field(dot, host, jnp.asarray(DIAMETER_NM)))
    return float(barrier.tunnelling(jnp.asarray(field), jnp.asarray(KT_EV)))


@pytest.mark.parametrize("barrier_eV", [0.2, 0.38])
def test_tunnelling_beside_a_lone_dot(barrier_eV):
    """f = 0.003, dots 31 nm apart, 0.03 to 0.28 MV/cm: the model's near field = the computed one.

    1e-3: the mesh (5e-4) and neighbours, whose fields fall as f. Without the near field it would be 1.17 to 1.65 times.
    """
    around = local_field(cell(DIAMETER_NM, 0.003), DOT, HOST)
    for field in (3e4, 1e5, 2e5, 2.8e5):
        found = near_field_tunnelling(around, barrier_eV, 0.2, field, KT_EV)
        np.testing.assert_allclose(beside_a_sphere(barrier_eV, field, 0.003), found, rtol=1e-3)
        far = float(Sphere().field_ratios(jnp.asarray(DOT), jnp.asarray(HOST), jnp.asarray(0.003))[1])
        assert escape(barrier_eV, field, far) > 1.15 * found


def test_what_neighbours_do_to_the_near_field(default):
    """f = 0.29, 0.2 eV: with the near field of a lone dot the model has 10, 15 and 21 % less tunnelling than computed
    at 0.1, 0.2 and 0.28 MV/cm, with the far field alone 16, 23 and 27 % more: the numbers of docs/model.md, half a
    unit of the last digit."""
    fields = (1e5, 2e5, 2.8e5)
    found = np.array([near_field_tunnelling(default, 0.2, 0.2, field, KT_EV) for field in fields])
    near = np.array([beside_a_sphere(0.2, field, FRACTION) for field in fields])
    far = np.array([escape(0.2, field, 0.9213) for field in fields])
    np.testing.assert_allclose(near / found - 1, [-0.10, -0.15, -0.21], atol=0.005)
    np.testing.assert_allclose(far / found - 1, [0.16, 0.23, 0.27], atol=0.005)


def test_touching_dots_are_refused():
    """f = 0.7 in a cylinder as wide as high, and a spacing below the diameter: there is no host between the dots."""
    for fraction, spacing in ((0.7, None), (0.1, 4.0)):
        with pytest.raises(ValueError, match="touch"):
            cell(DIAMETER_NM, fraction, spacing)
