"""Bordered block-tridiagonal systems: the linear algebra of every analysis.

A device with `node` mesh nodes, `block` unknowns a node and a few `global` unknowns (a voltage behind a series
resistor, a conserved number) linearises to

    [ T  C ] [x]   [b]
    [ R  D ] [g] = [h]

with T block-tridiagonal, and possibly a few blocks far from the diagonal where a jump ends at distant nodes. `solve` is
differentiable to any order in the matrix and the right-hand side: it never
differentiates through the elimination, but solves with the transposed matrix (`jax.lax.custom_linear_solve`).
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Inexact, Int

REFINEMENTS = 1
"""Steps of iterative refinement. Elimination alone leaves the conductance of a capacitive device with no digits: at 1
Hz the imaginary part of its admittance is a million times the real one."""

GROUP = 16
"""Nodes put together to a block where there are blocks far from the diagonal: most of them are then near it."""

LARGEST_UNROLLED = 4
"""Matrices up to this size are eliminated in place; larger blocks of a device by a library, those of dots in a loop."""

KRYLOV, KRYLOV_TOLERANCE, NOTHING_NEW = 40, 1e-13, 1e-15
"""Most vectors, relative residual, and relative length of a vector that is round-off, of the method that takes in
blocks far from the diagonal."""


def _times(blocks: Array, x: Array) -> Array:
    """Products of many small matrices: sums of whole arrays, which compile to a loop and not to calls of a library."""
    return sum((blocks[:, :, k, None] * x[:, None, k] for k in range(blocks.shape[-1])), jnp.zeros(()))


class BlockTridiagonal(eqx.Module):
    """Blocks of T: `lower[i]` couples node i to i-1 (lower[0] unused), `upper[i]` to i+1 (the last unused)."""

    lower: Inexact[Array, "node block block"]
    diagonal: Inexact[Array, "node block block"]
    upper: Inexact[Array, "node block block"]

    def __matmul__(self, x: Inexact[Array, "node block rhs"]) -> Inexact[Array, "node block rhs"]:
        zero = jnp.zeros_like(x[:1])
        before, after = jnp.concatenate([zero, x[:-1]]), jnp.concatenate([x[1:], zero])
        return _times(self.lower, before) + _times(self.diagonal, x) + _times(self.upper, after)

    @property
    def T(self) -> "BlockTridiagonal":
        """The transposed operator (not conjugated)."""

        def swap(blocks: Array) -> Array:
            return jnp.swapaxes(blocks, -1, -2)

        zero = jnp.zeros_like(self.lower[:1])
        return BlockTridiagonal(
            jnp.concatenate([zero, swap(self.upper[:-1])]),
            swap(self.diagonal),
            jnp.concatenate([swap(self.lower[1:]), zero]),
        )


class OffBand(eqx.Module):
    """Blocks anywhere in the matrix, which couple the unknowns of node `column` to the equations of node `row`."""

    row: Int[Array, " link"]
    column: Int[Array, " link"]
    block: Inexact[Array, "link block block"]

    def __matmul__(self, x: Inexact[Array, "node block rhs"]) -> Inexact[Array, "node block rhs"]:
        return jnp.zeros_like(x, jnp.result_type(x, self.block)).at[self.row].add(_times(self.block, x[self.column]))

    @property
    def T(self) -> "OffBand":
        """The transposed operator (not conjugated)."""
        return OffBand(self.column, self.row, jnp.swapaxes(self.block, -1, -2))


class Bordered(eqx.Module):
    """The bordered matrix above."""

    core: BlockTridiagonal
    columns: Inexact[Array, "node block global"]
    rows: Inexact[Array, "global node block"]
    corner: Inexact[Array, "global global"]
    far: OffBand | None = None

    def __matmul__(self, x: tuple[Array, Array]) -> tuple[Array, Array]:
        local, glob = x
        along = self.core @ local if self.far is None else self.core @ local + self.far @ local
        return along + jnp.tensordot(self.columns, glob, 1), jnp.tensordot(self.rows, local, 2) + self.corner @ glob

    @property
    def T(self) -> "Bordered":
        """The transposed operator (not conjugated)."""
        far = None if self.far is None else self.far.T
        rows, columns = jnp.moveaxis(self.columns, -1, 0), jnp.moveaxis(self.rows, 0, -1)
        return Bordered(self.core.T, columns, rows, self.corner.T, far)

    @property
    def grouped(self) -> tuple["Bordered", OffBand]:
        """The matrix with `GROUP` nodes to a block, which takes in all that is near the diagonal, and what it leaves.

        Nodes that fill up the last block have unit rows.
        """
        assert self.far is not None
        nodes, block = self.columns.shape[:2]
        groups = -(-nodes // GROUP)
        index = jnp.arange(nodes)
        entries = (
            (index[1:], index[:-1], self.core.lower[1:]),
            (index, index, self.core.diagonal),
            (index[:-1], index[1:], self.core.upper[:-1]),
            (self.far.row, self.far.column, self.far.block),
        )
        row, column, blocks = (jnp.concatenate(parts) for parts in zip(*entries, strict=True))
        place = column // GROUP - row // GROUP
        near = (jnp.abs(place) <= 1)[:, None, None]
        distant = jnp.where(near[-len(self.far.row) :], 0.0, self.far.block)
        wide = jnp.zeros((3, groups, GROUP, block, GROUP, block), blocks.dtype)
        at = jnp.clip(place, -1, 1) + 1, row // GROUP, row % GROUP, slice(None), column % GROUP
        wide = wide.at[at].add(jnp.where(near, blocks, 0.0))
        filled = jnp.arange(nodes, groups * GROUP)
        wide = wide.at[1, filled // GROUP, filled % GROUP, :, filled % GROUP].add(jnp.eye(block))
        core = BlockTridiagonal(*wide.reshape(3, groups, GROUP * block, GROUP * block))
        columns, rows = in_groups(self.columns), jnp.moveaxis(in_groups(jnp.moveaxis(self.rows, 0, -1)), -1, 0)
        return Bordered(core, columns, rows, self.corner), OffBand(self.far.row, self.far.column, distant)


def in_groups(x: Inexact[Array, "node block rhs"]) -> Inexact[Array, "group wide rhs"]:
    """Put `GROUP` nodes together, zeros at the end."""
    nodes, block, rhs = x.shape
    return jnp.pad(x, ((0, -nodes % GROUP), (0, 0), (0, 0))).reshape(-1, GROUP * block, rhs)


CoreSolver = Callable[[BlockTridiagonal, Array], Array]


def eliminate(matrix: Array, rhs: Array) -> Array:
    """Solve small dense systems, one per place of the axes after the first two, by Gauss elimination; pivots are taken
    in order.

    Up to `LARGEST_UNROLLED` equations are unrolled; more of them in a loop over the pivots, one step of which is all
    that there is to compile.
    """
    size = matrix.shape[0]
    if size > LARGEST_UNROLLED:

        def without(pivot: Array, rows: Array) -> Array:
            chosen = rows[pivot] / rows[pivot, pivot]
            return jax.lax.dynamic_update_index_in_dim(rows - rows[:, pivot, None] * chosen, chosen, pivot, 0)

        return jax.lax.fori_loop(0, size, without, jnp.concatenate([matrix, rhs], axis=1))[:, size:]
    a = [[matrix[i, j] for j in range(size)] for i in range(size)]
    b = [rhs[i] for i in range(size)]
    for pivot in range(size):
        inverse = 1 / a[pivot][pivot]
        for i in range(pivot + 1, size):
            factor = a[i][pivot] * inverse
            a[i] = [a[i][j] - factor * a[pivot][j] if j > pivot else a[i][j] for j in range(size)]
            b[i] = b[i] - factor * b[pivot]
    for pivot in reversed(range(size)):
        for j in range(pivot + 1, size):
            b[pivot] = b[pivot] - a[pivot][j] * b[j]
        b[pivot] = b[pivot] / a[pivot][pivot]
    return jnp.stack(b)


def thomas(matrix: BlockTridiagonal, rhs: Inexact[Array, "node block rhs"]) -> Inexact[Array, "node block rhs"]:
    """Block elimination along the device as two `lax.scan` sweeps: portable, and the reference for faster kernels."""
    size = matrix.diagonal.shape[1]
    small_solve = eliminate if size <= LARGEST_UNROLLED else jnp.linalg.solve

    def forward(carry: tuple[Array, Array], row: tuple[Array, Array, Array, Array]) -> tuple:
        upper_before, x_before = carry
        lower, diagonal, upper, b = row
        both = jnp.concatenate([upper, b - lower @ x_before], axis=1)
        solved = small_solve(diagonal - lower @ upper_before, both)
        return (solved[:, :size], solved[:, size:]), (solved[:, :size], solved[:, size:])

    start = (jnp.zeros_like(matrix.upper[0]), jnp.zeros_like(rhs[0]))
    _, (uppers, partial) = jax.lax.scan(forward, start, (matrix.lower, matrix.diagonal, matrix.upper, rhs))

    def backward(after: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        upper, b = row
        x = b - upper @ after
        return x, x

    return jax.lax.scan(backward, jnp.zeros_like(rhs[0]), (uppers, partial), reverse=True)[1]


def gmres(operator: Callable[[Any], Any], rhs: Any) -> Any:
    """Solve operator(x) = rhs, for an operator near the identity, in the Krylov space that it spans.

    Generalised minimal residuals (Saad and Schultz 1986, DOI 10.1137/0907058) without restarts.
    """
    b, tree = ravel_pytree(rhs)
    size = jnp.linalg.norm(b)
    start = jnp.zeros(KRYLOV + 1, b.dtype).at[0].set(size)

    def solved(hessenberg: Array) -> Array:
        q, r = jnp.linalg.qr(hessenberg)
        return jax.scipy.linalg.solve_triangular(r, q.conj().T @ start)

    def unsolved(loop: tuple[Array, Array, Array]) -> Array:
        count, _, hessenberg = loop
        left = jnp.linalg.norm(hessenberg @ solved(hessenberg) - start)
        return (count < KRYLOV) & (left > KRYLOV_TOLERANCE * size)

    def extend(loop: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, basis, hessenberg = loop
        new = ravel_pytree(operator(tree(basis[count])))[0]
        whole = jnp.linalg.norm(new)
        along = jnp.zeros(KRYLOV + 1, b.dtype)
        for _ in range(2):  # once leaves round-off along the vectors before
            part = basis.conj() @ new
            along, new = along + part, new - part @ basis
        length = jnp.linalg.norm(new)
        exhausted = (
            length <= NOTHING_NEW * whole
        )  # the space has all that the operator leads to; round-off is no vector
        length = jnp.where(exhausted, 0.0, length)
        basis = basis.at[count + 1].set(new / jnp.where(exhausted, 1.0, length))
        column = along.at[count + 1].set(length)
        return jnp.where(exhausted, KRYLOV, count + 1), basis, hessenberg.at[:, count].set(column)

    # columns that are not reached have a row of their own, so that their coefficients vanish
    basis = jnp.zeros((KRYLOV + 1, b.size), b.dtype).at[0].set(b / jnp.where(size > 0, size, 1.0))
    begin = (jnp.zeros((), int), basis, jnp.eye(KRYLOV + 1, KRYLOV, k=-1, dtype=b.dtype))
    _, basis, hessenberg = jax.lax.while_loop(unsolved, extend, begin)
    return tree(solved(hessenberg) @ basis[:KRYLOV])


def _largest_of_rows(matrix: BlockTridiagonal) -> Array:
    """As a chain of maxima of whole arrays, which compiles to a loop and not to a reduction of a few elements."""
    blocks = (matrix.lower, matrix.diagonal, matrix.upper)
    return functools.reduce(jnp.maximum, [jnp.abs(part[:, :, k]) for part in blocks for k in range(part.shape[2])])


def _apply(matrix: Bordered, x: tuple[Array, Array]) -> tuple[Array, Array]:
    local, glob = matrix @ (x[0][..., None], x[1][..., None])
    return local[..., 0], glob[..., 0]


def _scaled_solve(matrix: Bordered, rhs: tuple[Array, Array], core_solver: CoreSolver, refinements: int) -> tuple:
    """Eliminate with rows scaled to unit maximum, the border by its Schur complement, and refine.

    Each round solves for the residual of the round before, all with one (compiled) elimination. Blocks far from the
    diagonal are left to a Krylov method that this elimination preconditions.
    """
    banded, far = (matrix, None) if matrix.far is None else matrix.grouped
    scale = 1 / _largest_of_rows(banded.core)
    scaled = jax.tree.map(lambda a: a * scale[:, :, None], banded.core)
    columns = banded.columns * scale[:, :, None]

    def solved_for(b: Array, h: Array) -> tuple[Array, Array]:
        right = b[..., None] if far is None else in_groups(b[..., None])
        solved = core_solver(scaled, jnp.concatenate([right * scale[:, :, None], columns], axis=2))
        local, by_global = solved[..., 0], solved[..., 1:]
        schur = banded.corner - jnp.tensordot(banded.rows, by_global, 2)
        g = eliminate(schur, (h - jnp.tensordot(banded.rows, local, 2))[:, None])[:, 0]
        return (local - jnp.tensordot(by_global, g, 1)).reshape(-1, b.shape[1])[: len(b)], g

    def correction(b: tuple[Array, Array]) -> tuple[Array, Array]:
        if far is None:
            return solved_for(*b)
        # in units in which the columns of the scaled matrix are alike: all unknowns then count in its norm
        unit = _largest_of_rows(scaled.T).reshape(-1, b[0].shape[1])[: len(b[0])]

        def preconditioned(x: tuple[Array, Array]) -> tuple[Array, Array]:
            assert far is not None
            # the identity needs no elimination, whose round-off would be all that is left of small parts
            local, glob = solved_for((far @ (x[0] / unit)[..., None])[..., 0], jnp.zeros_like(x[1]))
            return x[0] + local * unit, x[1] + glob

        local, glob = solved_for(*b)
        local, glob = gmres(preconditioned, (local * unit, glob))
        return local / unit, glob

    if refinements == 0:
        return correction(rhs)

    def improve(_: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        step = correction(jax.tree.map(jnp.subtract, rhs, _apply(matrix, x)))
        return x[0] + step[0], x[1] + step[1]

    start = jax.tree.map(lambda b: jnp.zeros_like(b, dtype=matrix.corner.dtype), rhs)
    # the Krylov method leaves more than elimination does
    return jax.lax.fori_loop(0, 1 + refinements + (far is not None), improve, start)


def solve(
    matrix: Bordered,
    rhs: tuple[Inexact[Array, "node block"], Inexact[Array, " global"]],
    *,
    core_solver: CoreSolver = thomas,
    refinements: int = REFINEMENTS,
) -> tuple[Inexact[Array, "node block"], Inexact[Array, " global"]]:
    """Solve a bordered system, differentiably in the matrix and the right-hand side."""

    frozen = jax.lax.stop_gradient(matrix)

    def forward(_: Callable, b: tuple[Array, Array]) -> tuple[Array, Array]:
        return _scaled_solve(frozen, b, core_solver, refinements)

    def transposed(_: Callable, b: tuple[Array, Array]) -> tuple[Array, Array]:
        return _scaled_solve(frozen.T, b, core_solver, refinements)

    # forward mode of custom_linear_solve wants tangents of both parts of the right-hand side or of none (jax 0.10)
    tied = rhs[0] + 0 * jnp.sum(rhs[1]), rhs[1] + 0 * rhs[0][0, 0]
    return jax.lax.custom_linear_solve(lambda x: _apply(matrix, x), tied, forward, transposed)
