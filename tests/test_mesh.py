"""Positions of mesh nodes in a layer."""

import numpy as np
import pytest

from invdesign.device.mesh import INNER, OUTER, layer_mesh, normalised_nodes


@pytest.mark.parametrize(("depth", "power"), [OUTER, INNER, (1.0, 0.0), (1e-4, 8.0), (0.3, 1 + 1e-12)])
@pytest.mark.parametrize("edges", [4, 9, 4000])
@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True), (False, False)])
def test_nodes_ascend_from_face_to_face(depth, power, edges, left, right):
    x, halves = layer_mesh(edges, depth, power, left, right)
    assert x.shape == (edges + 1,)
    np.testing.assert_allclose(x, normalised_nodes(edges, depth, power, left, right), atol=1e-14)
    assert np.all(halves > 0)
    np.testing.assert_allclose(np.sum(halves, axis=0), np.diff(x), rtol=1e-12)
    assert x[0] == 0
    assert x[-1] == 1
    assert np.all(np.diff(x) > 0)


@pytest.mark.parametrize(("left", "right"), [(True, False), (True, True)])
def test_mirrored_layers_have_mirrored_nodes(left, right):
    np.testing.assert_allclose(
        1 - normalised_nodes(31, *INNER, left, right)[::-1], normalised_nodes(31, *INNER, right, left), atol=1e-15
    )


def test_a_power_of_one_lengthens_edges_by_a_constant_factor():
    """By (1 + 1/depth)^(1/edges); 1e-4: the power is taken 1e-6 beside 1."""
    h = np.diff(normalised_nodes(50, 0.02, 1.0, True, False))
    np.testing.assert_allclose(h[1:] / h[:-1], 51 ** (1 / 50), rtol=1e-4)


def test_density_of_edges():
    """(1 + x/depth)^-power against the mean of it, at the middles of 2000 edges; 1e-5: they have a length."""
    depth, power = 0.1, 1.5
    x = normalised_nodes(2000, depth, power, False, True)
    from_face = 1 - (x[1:] + x[:-1]) / 2
    mean = depth / (1 - power) * ((1 + 1 / depth) ** (1 - power) - 1)
    np.testing.assert_allclose(1 / np.diff(x) / 2000, (1 + from_face / depth) ** -power / mean, rtol=1e-5)


def test_cells_sum_a_peak_inside_a_layer_with_all_digits():
    """Gaussian of width s = 0.06 in the middle of a layer on 120 edges that grow by a constant factor: s sqrt(2 pi).

    1e-7: what is left of Richardson's correction, h^4; cells that met half way between nodes would be wrong by 3e-4.
    """
    x, halves = layer_mesh(120, *OUTER, True, False)
    cells = np.append(halves[0], 0) + np.append(0, halves[1])
    peak = np.exp(-((x - 0.5) ** 2) / (2 * 0.06**2))
    np.testing.assert_allclose(np.sum(cells * peak), 0.06 * np.sqrt(2 * np.pi), rtol=1e-7)
