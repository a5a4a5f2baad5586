"""The bordered solver against dense algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invdesign.solve.tridiagonal import LARGEST_UNROLLED, BlockTridiagonal, Bordered, OffBand, eliminate, solve

NODES, BLOCK = 40, 3


def example(complex_numbers, links, seed=0):
    """A diagonally heavy matrix whose rows differ by 20 decades, with one global unknown, and its dense form."""
    random = np.random.default_rng(seed)

    def draw(*shape):
        values = random.normal(size=shape)
        return values + 1j * random.normal(size=shape) if complex_numbers else values

    scale = 10.0 ** random.uniform(-10, 10, (NODES, BLOCK, 1))
    blocks = [draw(NODES, BLOCK, BLOCK) * scale for _ in range(3)]
    blocks[1] = blocks[1] + 8 * scale * np.eye(BLOCK)
    row, column = random.integers(0, NODES, (2, links))
    far = OffBand(jnp.asarray(row), jnp.asarray(column), jnp.asarray(draw(links, BLOCK, BLOCK) * scale[row]))
    columns, rows, corner = draw(NODES, BLOCK, 1) * scale, draw(1, NODES, BLOCK), draw(1, 1) + 4
    arrays = [jnp.asarray(a) for a in (*blocks, columns, rows, corner)]
    matrix = Bordered(BlockTridiagonal(*arrays[:3]), *arrays[3:], far if links else None)
    size = NODES * BLOCK
    dense = np.zeros((size + 1, size + 1), arrays[0].dtype)
    for i in range(NODES):
        for j, part in ((i - 1, blocks[0]), (i, blocks[1]), (i + 1, blocks[2])):
            if 0 <= j < NODES:
                dense[BLOCK * i : BLOCK * (i + 1), BLOCK * j : BLOCK * (j + 1)] = part[i]
    for i, j, block in zip(row, column, np.asarray(far.block), strict=True):
        dense[BLOCK * i : BLOCK * (i + 1), BLOCK * j : BLOCK * (j + 1)] += block
    dense[:size, size], dense[size, :size], dense[size, size] = columns.ravel(), rows.ravel(), corner[0, 0]
    rhs = jnp.asarray(draw(NODES, BLOCK) * scale[..., 0]), jnp.asarray(draw(1))
    return matrix, dense, rhs


def flat(x):
    return np.concatenate([np.ravel(part) for part in x])


@pytest.mark.parametrize("links", [0, 6], ids=["tridiagonal", "with distant blocks"])
@pytest.mark.parametrize("complex_numbers", [False, True], ids=["real", "complex"])
def test_solution_of_the_matrix_and_of_its_transpose(complex_numbers, links):
    """40 nodes of 3 unknowns and a global one: elimination = LU of the dense, row-scaled matrix. 1e-11."""
    matrix, dense, rhs = example(complex_numbers, links)
    found = jax.jit(solve)(matrix, rhs)
    weight = 1 / np.abs(dense).max(axis=1)
    np.testing.assert_allclose(flat(found), np.linalg.solve(weight[:, None] * dense, weight * flat(rhs)), rtol=1e-11)
    back = jax.jit(lambda m, b: solve(m.T, b))(matrix, found)
    exact = np.linalg.solve((weight[:, None] * dense).T, flat(found)) * weight
    np.testing.assert_allclose(flat(back) / weight, exact / weight, rtol=1e-10)


@pytest.mark.parametrize("links", [0, 6], ids=["tridiagonal", "with distant blocks"])
def test_derivatives_of_the_solution(links):
    """The same by matrix and right-hand side: reverse = forward mode = d x = A^-1 (db - dA x). 1e-10."""
    matrix, _, rhs = example(False, links)
    tangent, _, moved = example(False, links, seed=1)
    tangent = jax.tree.map(lambda a, b: b * 0.1 if jnp.issubdtype(a.dtype, jnp.floating) else None, matrix, tangent)
    floats = jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jnp.floating) else None, matrix)

    def first(floats, b):
        whole = jax.tree.map(lambda a, f: a if f is None else f, matrix, floats, is_leaf=lambda a: a is None)
        x = solve(whole, b)
        return jnp.sum(x[0] * weights) + x[1][0]

    weights = jnp.asarray(np.random.default_rng(2).normal(size=(NODES, BLOCK)))
    _, forward = jax.jit(lambda: jax.jvp(first, (floats, rhs), (tangent, moved)))()
    gradient = jax.jit(jax.grad(first, (0, 1)))(floats, rhs)
    products = jax.tree.map(lambda g, t: jnp.sum(g * t), gradient, (tangent, moved))
    reverse = sum(jax.tree.leaves(products))
    np.testing.assert_allclose(float(reverse), float(forward), rtol=1e-10)


@pytest.mark.parametrize("size", [3, 8])
@pytest.mark.parametrize("complex_numbers", [False, True])
def test_small_systems_at_many_places(size, complex_numbers):
    """Diagonally heavy systems at 2 x 5 places with two right-hand sides, unrolled and in a loop over the pivots:
    values and derivatives are those of LAPACK. 1e-13: round-off of a condition number of some ten."""
    assert (size > LARGEST_UNROLLED) == (size == 8)
    random = np.random.default_rng(size)
    matrix = random.normal(size=(size, size, 2, 5)) + (1j * random.normal(size=(2, 5)) if complex_numbers else 0)
    matrix = jnp.asarray(matrix) + 4 * size * jnp.eye(size)[:, :, None, None]
    rhs = jnp.asarray(random.normal(size=(size, 2, 2, 5))).astype(matrix.dtype)

    def reference(matrix, rhs):
        places_first = [jnp.moveaxis(each, (0, 1), (-2, -1)) for each in (matrix, rhs)]
        return jnp.moveaxis(jnp.linalg.solve(*places_first), (-2, -1), (0, 1))

    arguments, moved = (matrix, rhs), (jnp.ones_like(matrix), rhs)
    for found, expected in zip(jax.jvp(eliminate, arguments, moved), jax.jvp(reference, arguments, moved), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
