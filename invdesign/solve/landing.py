"""Where carriers that tunnel from dots land: between two nodes of the same layer, downhill from the dot.

A landing place couples an end of an edge to nodes that may be far away. Its quasi-Fermi level is interpolated between
the two nodes, and what the dots take there is divided between them by the same weights, so that detailed balance and
the theorems that follow from it hold for any place.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int

from invdesign.processes.dots import Landing
from invdesign.solve.tridiagonal import OffBand


class Arrival(NamedTuple):
    """What dots at ends of edges see where their carriers land."""

    seen: Landing
    """Arrays "2 edge"."""
    by_field: Float[Array, "2 2 edge"]
    """Derivative of both logarithms by the field, cm/V, the quasi-Fermi levels of the nodes held."""


class FarRows(NamedTuple):
    """Derivatives that landing places bring into the linearised balances, the dots eliminated."""

    by_unknowns: Inexact[Array, "2 7 2 edge"]
    """What is taken where electrons and holes land, by the unknowns of the edge and the junction voltage."""
    near: Inexact[Array, "3 2 2 edge"]
    """Rows of the end's own node by the quasi-Fermi potentials where electrons and where holes land."""
    by_level: Inexact[Array, "2 2 2 edge"]
    """What is taken there by the quasi-Fermi potentials there."""


class Places(NamedTuple):
    """Landing places of electrons and holes (first axis) from both ends of every edge."""

    node: Int[Array, "2 2 edge"]
    """The left one of the two nodes between which they are."""
    share: Float[Array, "2 2 edge"]
    """Weight of the right one."""
    by_field: Float[Array, "2 2 edge"]
    """Derivative of the weight by the field on the edge, cm/V."""

    @property
    def weights(self) -> Float[Array, "2 2 2 edge"]:
        """Of the left and of the right node (first axis)."""
        return jnp.stack([1 - self.share, self.share])

    def between(self, nodes: Inexact[Array, "2 node"]) -> Inexact[Array, "2 2 2 edge"]:
        """Numbers of electrons and holes at the left and at the right node of every place (first axis)."""
        return jnp.stack([jnp.stack([nodes[c, self.node[c] + k] for c in (0, 1)]) for k in (0, 1)])

    def gather(self, nodes: Inexact[Array, "2 node"]) -> Inexact[Array, "2 2 edge"]:
        """Interpolate what nodes have of electrons and of holes."""
        return jnp.sum(self.weights * self.between(nodes), axis=0)

    def scatter(self, ends: Inexact[Array, "2 2 edge"], nodes: int) -> Inexact[Array, "2 node"]:
        """Divide between the nodes: the transpose of `gather`."""
        parts = []
        for carrier in (0, 1):
            total = jnp.zeros(nodes, ends.dtype)
            for k in (0, 1):
                total = total.at[self.node[carrier] + k].add(self.weights[k, carrier] * ends[carrier])
            parts.append(total)
        return jnp.stack(parts)

    def crossing(self, read_edge: Int[Array, ""] | int) -> Float[Array, "2 2 edge"]:
        """Electrons and holes that cross an edge to the right when one moves from its place to the end it came from."""
        own = jnp.arange(self.node.shape[-1]) + jnp.array([[0], [1]])
        beyond = jnp.sum(self.weights * self._beyond(read_edge), axis=0)
        return jnp.where(own > read_edge, 1.0, 0.0) - beyond

    def crossing_by_field(self, read_edge: Int[Array, ""] | int) -> Float[Array, "2 2 edge"]:
        """Its derivative by the field of the edge, cm/V."""
        left, right = self._beyond(read_edge)
        return self.by_field * (left - right)

    def _beyond(self, read_edge: Int[Array, ""] | int) -> Float[Array, "2 2 2 edge"]:
        return jnp.stack([jnp.where(self.node + k > read_edge, 1.0, 0.0) for k in (0, 1)])


def places(
    positions_cm: Float[Array, " node"],
    reach_cm: Float[Array, "2 edge"],
    by_field: Float[Array, "2 edge"],
    bounds: tuple[Int[Array, " edge"], Int[Array, " edge"]],
) -> Places:
    """Landing places from the signed distances of electrons and holes and their derivative by the field.

    `bounds` are the first and the last node of the layer of every edge, which carriers do not leave: beyond its face
    they arrive at the face.
    """
    first, last = bounds
    own = jnp.stack([positions_cm[:-1], positions_cm[1:]])
    aim = own + reach_cm[:, None]
    inside = (aim > positions_cm[first]) & (aim < positions_cm[last])
    aim = jnp.clip(aim, positions_cm[first], positions_cm[last])
    frozen = jax.lax.stop_gradient((positions_cm, aim))
    node = jnp.clip(jnp.searchsorted(*frozen, side="right") - 1, first, last - 1)
    spacing = positions_cm[node + 1] - positions_cm[node]
    return Places(node, (aim - positions_cm[node]) / spacing, jnp.where(inside, by_field[:, None] / spacing, 0.0))


def arrival(where: Places, own: Float[Array, "2 2 edge"], levels: Float[Array, "2 node"]) -> Arrival:
    """What the dots see, from the quasi-Fermi potentials of electrons and holes at their own ends and at all nodes."""
    signs = jnp.array([1.0, -1.0])[:, None, None]
    left, right = there = where.between(levels)
    seen = signs * jnp.sum(where.weights * (own - there), axis=0)
    return Arrival(Landing(*seen), -signs * where.by_field * (right - left))


def links(
    where: Places,
    rows: FarRows,
    taken: Float[Array, "2 2 edge"],
    field: Float[Array, " edge"],
    free: Float[Array, "node 3"],
    edges: Sequence[int],
) -> OffBand:
    """Blocks of the matrix that connect `edges` to landing places.

    `taken` per cm^2 and second there, `field` by the left potential of the edge (V/cm), `free` marks the rows of
    nodes that are balances.
    """
    pick = jnp.asarray(edges)
    where, rows, taken = jax.tree.map(lambda a: a[..., pick], (where, rows, taken))
    field, weights = field[pick], where.weights
    found: list[tuple[Array, Array, Array]] = []

    def add(row: Array, column: Array, block: list[list[Array]]) -> None:
        full = jnp.stack([jnp.stack(jnp.broadcast_arrays(*line)) for line in block])
        row, column = (jnp.broadcast_to(at, full.shape[2:]).ravel() for at in (row, column))
        found.append((row, column, jnp.moveaxis(full.reshape(3, 3, -1), -1, 0) * free[row][:, :, None]))

    own = pick + jnp.array([[0], [1]])
    zero = jnp.zeros_like(taken[0])
    for carrier in (0, 1):
        for k in (0, 1):
            there, weight = where.node[carrier] + k, weights[k, carrier]
            onto = [zero] * 3
            # the own node's rows by the level there
            block = [onto[:] for _ in range(3)]
            for row in range(3):
                block[row][1 + carrier] = rows.near[row, carrier] * weight
            add(own, there, block)
            # the row there by the unknowns of the edge, which also move the place
            moves = (1 if k else -1) * where.by_field[carrier] * taken[carrier] * field
            for end in (0, 1):
                line = [weight * rows.by_unknowns[carrier, 3 * end + i] for i in range(3)]
                line[0] += moves if end == 0 else -moves
                block = [onto[:] for _ in range(3)]
                block[1 + carrier] = [-entry for entry in line]
                add(there, jnp.broadcast_to(pick + end, there.shape), block)
            # and by the levels there
            for other in (0, 1):
                for m in (0, 1):
                    block = [onto[:] for _ in range(3)]
                    block[1 + carrier][1 + other] = -weight * rows.by_level[carrier, other] * weights[m, other]
                    add(there, where.node[other] + m, block)
    row, column, block = (jnp.concatenate(parts) for parts in zip(*found, strict=True))
    return OffBand(row, column, block)


def read(
    where: Places,
    rows: FarRows,
    taken: Float[Array, "2 2 edge"],
    field: Float[Array, " edge"],
    read_edge: Int[Array, ""] | int,
) -> tuple[Inexact[Array, "3 2 edge"], Inexact[Array, "2 node"], Inexact[Array, ""]]:
    """Current density over q (along +x) that landing carriers take over an edge.

    By the unknowns of the edges they belong to, by the quasi-Fermi potentials of all nodes, and by the voltage.
    """
    signs = jnp.array([-1.0, 1.0])[:, None, None]  # electrons to the right are a current to the left
    by_flow = signs * where.crossing(read_edge)
    moves = jnp.sum(signs * where.crossing_by_field(read_edge) * taken, axis=(0, 1)) * field
    by_edge = jnp.sum(by_flow[:, None] * rows.by_unknowns, axis=(0, 2))
    ends = jnp.stack([by_edge[0:3].at[0].add(moves), by_edge[3:6].at[0].add(-moves)], axis=1)
    by_level = where.scatter(jnp.sum(by_flow[:, None] * rows.by_level, axis=0), field.size + 1)
    return ends, by_level, jnp.sum(by_edge[6])
