"""J-V curves against tables that devsim made in extended precision (benchmarks/reference)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_devices as reference

from invdesign.solve.assembly import no_light
from invdesign.solve.newton import Stage, Target, current_A, equilibrium_guess, walk

CASES = [
    ("silicon_pn", "dark", (38, 211)),
    ("perovskite_nip", "dark", (33, 139, 78)),
    ("perovskite_nip", "lit", (33, 139, 78)),
    ("barrier_nip", "dark", (33, 36, 4, 101, 76)),
    ("ionic_nip", "dark", (33, 139, 78)),
    ("ionic_nip", "lit", (33, 139, 78)),
    ("dotted_nip", "dark", (33, 139, 78)),
    ("dotted_nip", "lit", (33, 139, 78)),
    ("field_nip", "lit", (33, 139, 78)),
]
ROUND_OFF = {"field_nip": 1e-8}
"""1e-12 for the others."""
MESH_ERROR = {("ionic_nip", "dark"): 1.2e-2, ("ionic_nip", "lit"): 1.5e-3, "dotted_nip": 7e-4, "field_nip": 7e-4}
"""1e-4 for the others."""


@jax.jit
def curve(system, voltages_V, light):
    """Terminal current per cm^2 and status at every voltage, each reached from equilibrium."""
    dark = Target(jnp.zeros(()), no_light(system))
    rest = walk(system, equilibrium_guess(system), dark, dark, stage=Stage.AT_ORIGIN)

    def at(voltage):
        target = Target(voltage / system.kT, light)
        outcome = walk(system, rest.state, dark, target, stage=Stage.AT_ORIGIN)
        return current_A(system, outcome.state, light), outcome.status

    return jax.lax.map(at, voltages_V)


def error(name, condition, table, system, data, exact):
    light = no_light(system) if condition == "dark" else reference.generation(system, data, exact)
    found, status = curve(system, jnp.asarray(table["voltage_V"]), light)
    assert not np.any(status), "every bias point must converge"
    expected = table["current_density_A_per_cm2"]
    size = np.abs(expected)
    if condition == "lit":
        size = np.maximum(size, 1e-3 * np.abs(expected[np.argmin(np.abs(table["voltage_V"]))]))
    rest = size < 1e-25  # 0 V in the dark: the rounding of float128
    assert np.all(np.abs(found)[rest] < 1e-20)
    return np.max(np.abs(np.asarray(found) - expected)[~rest] / size[~rest])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "condition"), [case[:2] for case in CASES])
def test_the_same_mesh_and_scheme_give_the_same_current(name, condition):
    """Diodes on the file's own mesh of 200 nodes: Scharfetter-Gummel, node-lumped R and G, quasi-Fermi unknowns; in the
    absorber of some of them mobile ions at rest, P = N e^y/(1 + (N/N_s)(e^y - 1)), or dots, whose stationary states the
    file has from the matrix-tree theorem.

    Cells meet in the middle of edges, as the file's do.

    1e-12: nothing but float64 round-off is different (2e-13 was measured). 1e-8 where the field helps carriers out of
    dots: our 16 points of the tunnelling integral leave 3e-8 of H at 3e4 V/cm (5e-9 of the current was measured).
    """
    device, data = reference.read(name)
    system = reference.with_lengths(reference.discretised(device, data), np.diff(reference.mesh(name)))
    table = reference.table(f"{name}_{condition}_fixed_mesh.csv")
    assert error(name, condition, table, system, data, exact=False) < ROUND_OFF.get(name, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "condition", "edges"), CASES)
def test_our_mesh_of_250_nodes_is_close_to_the_continuum(name, condition, edges):
    """The same diodes on our own mesh against the tables extrapolated to zero spacing; generation integrated exactly.

    The mesh is the one that every device gets, the edges distributed among the layers. 1e-4: the mesh error of 250
    nodes, of order h^2, nearly all of it Poisson's charge in the screening layers. Dots that fill pull more carriers to
    the faces of the absorber (6e-4 was measured at 1.2 V, 6e-5 at most up to 1 V). Ions leave the absorber hardly any
    field, so that the current in the dark is exponential in the steps of the potential at its faces: 1.0e-2 of it is
    0.01 kT/q; in the light 1.3e-3 remains near 1.1 V, where the current passes through zero. Twice the edges leave a
    quarter of these errors (`test_order_two`).
    """
    device, data = reference.read(name, list(edges))
    table = reference.table(f"{name}_{condition}.csv")
    tolerance = MESH_ERROR.get((name, condition), MESH_ERROR.get(name, 1e-4))
    assert error(name, condition, table, reference.discretised(device, data), data, exact=True) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "condition", "edges"),
    [
        ("barrier_nip", "dark", (17, 18, 4, 50, 38)),
        ("ionic_nip", "dark", (17, 70, 39)),
        ("dotted_nip", "lit", (17, 70, 39)),
        ("field_nip", "lit", (17, 70, 39)),
    ],
)
def test_order_two(name, condition, edges):
    """Heterojunctions, ions and dots at four voltages with N and 2N edges per layer: the error falls by 4 (order 2).

    0.05 in the order: at 127 edges the next power of the step still shows.
    """
    table = {key: column[[2, 22, 28, 32]] for key, column in reference.table(f"{name}_{condition}.csv").items()}
    errors = []
    for factor in (1, 2):
        device, data = reference.read(name, [factor * n for n in edges])
        system = reference.discretised(device, data)
        light = no_light(system) if condition == "dark" else reference.generation(system, data, exact=True)
        found, status = curve(system, jnp.asarray(table["voltage_V"]), light)
        assert not np.any(status)
        errors.append(np.abs(np.asarray(found) / table["current_density_A_per_cm2"] - 1))
    order = np.log2(errors[0] / errors[1])
    assert np.all(np.abs(order - 2) < 0.05), order
