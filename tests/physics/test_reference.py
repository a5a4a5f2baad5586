"""J-V curves against tables that devsim made in extended precision (benchmarks/reference)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_devices as reference

from invdesign.solve.assembly import discretise, no_light
from invdesign.solve.newton import Stage, Target, current_A, equilibrium_guess, walk

CASES = [
    ("silicon_pn", "dark", (38, 211)),
    ("perovskite_nip", "dark", (33, 139, 78)),
    ("perovskite_nip", "lit", (33, 139, 78)),
    ("barrier_nip", "dark", (33, 36, 4, 101, 76)),
]


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
    rest = size == 0  # 0 V in the dark
    assert np.all(np.abs(found)[rest] < 1e-20)
    return np.max(np.abs(np.asarray(found) - expected)[~rest] / size[~rest])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "condition"), [case[:2] for case in CASES])
def test_the_same_mesh_and_scheme_give_the_same_current(name, condition):
    """Three diodes on the file's own mesh of 200 nodes: Scharfetter-Gummel, node-lumped R and G, quasi-Fermi unknowns.

    Cells meet in the middle of edges, as the file's do.

    1e-12: nothing but float64 round-off is different (4e-14 was measured).
    """
    device, data = reference.read(name)
    system = reference.with_lengths(discretise(device), np.diff(reference.mesh(name)))
    table = reference.table(f"{name}_{condition}_fixed_mesh.csv")
    assert error(name, condition, table, system, data, exact=False) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("name", "condition", "edges"), CASES)
def test_our_mesh_of_250_nodes_is_close_to_the_continuum(name, condition, edges):
    """The same diodes on our own mesh against the tables extrapolated to zero spacing; generation integrated exactly.

    The mesh is the one that every device gets, the edges distributed among the layers. 1e-4: the mesh error of 250
    nodes, of order h^2, nearly all of it Poisson's charge in the screening layers.
    """
    device, data = reference.read(name, list(edges))
    table = reference.table(f"{name}_{condition}.csv")
    assert error(name, condition, table, discretise(device), data, exact=True) < 1e-4


@pytest.mark.slow
def test_order_two_across_heterojunctions():
    """The five-layer barrier diode at four voltages with N and 2N edges per layer: the error falls by 4 (order 2).

    0.05 in the order: at 127 edges the next power of the step still shows.
    """
    table = {key: column[[2, 22, 28, 32]] for key, column in reference.table("barrier_nip_dark.csv").items()}
    errors = []
    for factor in (1, 2):
        device, _ = reference.read("barrier_nip", [factor * n for n in (17, 18, 4, 50, 38)])
        found, status = curve(discretise(device), jnp.asarray(table["voltage_V"]), no_light(discretise(device)))
        assert not np.any(status)
        errors.append(np.abs(np.asarray(found) / table["current_density_A_per_cm2"] - 1))
    order = np.log2(errors[0] / errors[1])
    assert np.all(np.abs(order - 2) < 0.05), order
