"""The operating point, linearised: one adjoint solve per frequency gives every transfer to the terminal.

With the balances F(u, P) of nodes and dots and their stores S, a small source s obeys (i w S' - F') du = s. The
populations of the dots at an edge end see only that end, so that they are eliminated there, at each frequency; the
adjoint solution carries the terminal current back to every row, and from it follow admittance (a source in the
circuit), photo-response (light as source) and noise (every jump as source).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from invdesign.compiled import compiled
from invdesign.solve.assembly import (
    ROW_SIGNS,
    EdgeLinearisation,
    Light,
    System,
    edge_unknowns,
    follow,
    free_rows,
    join_rows,
    landing_places,
    linearise,
)
from invdesign.solve.newton import State, bordered
from invdesign.solve.tridiagonal import eliminate, solve


class Transfer(eqx.Module):
    """Terminal current (A, into the anode) per unit source, at one frequency."""

    omega: Float[Array, ""]
    node: Complex[Array, "node unknown"]
    """Per charge, electron or hole appearing per cm^2 (and second) at a node, in the host and among hopping ones."""
    dots: Complex[Array, "filled *size 2 edge"]
    """Per dot entering each state but the empty one, per cm^2 and second at an edge end."""
    admittance: Complex[Array, ""]
    """Per volt in series with the circuit: the admittance at the terminals, S."""
    parallel: Complex[Array, ""]
    """Per ampere across the junction."""
    direct: Complex[Array, ""]
    """Per particle current density (cm^-2 s^-1) along +x on the edge where the current is read."""
    read_edge: Int[Array, ""]
    """That edge."""


class SmallSignal(eqx.Module):
    """A linearised operating point."""

    system: System
    state: State
    light: Light
    edges: list[EdgeLinearisation]
    """One per region."""

    @compiled
    def transfer(
        self,
        frequency_Hz: Float[Array, ""] | float,
        load_ohm: Float[Array, ""] | float = 0.0,
        read_edge: Int[Array, ""] | int | None = None,
    ) -> Transfer:
        """All transfers to the terminal current at one frequency.

        `load_ohm` adds to the series resistance; `read_edge` is the edge at which conduction plus displacement are
        read, which changes nothing but round-off.
        """
        system, edges = self.system, self.edges
        omega = 2 * jnp.pi * jnp.asarray(frequency_Hz, jnp.float64)
        store = 1j * omega
        rows, far, followed = join_rows(system, [follow(part, store) for part in edges])
        read = jnp.asarray(system.read_edge if read_edge is None else read_edge)
        matrix, (by_node, by_v) = bordered(system, self.state.u, self.state.v, edges, rows, far, store, load_ohm, read)
        node, circuit = solve(matrix.T, (by_node, by_v[None]))
        # a source in a pinned row goes to the contact and not into the device
        node = node.at[0].multiply(free_rows(system, 0)).at[-1].multiply(free_rows(system, 1))
        # a current that no row of the junction sees is divided between the junction's admittance and the circuit
        parallel = 1 - (system.series_resistance_ohm + load_ohm) / system.kT * circuit[0]
        direct = system.ampere * parallel
        ends = host_transfers(system, self.state, -node, direct, read)
        dots = []
        for region, part in zip(system.regions, followed, strict=True):
            here = region.take(ends)
            if part is None:
                dots.append(jnp.zeros((len(system.dot_states) - 1, *system.sizes, *here.shape[1:]), here.dtype))
                continue
            count = len(part.rows)
            signed = ROW_SIGNS[:count, None, None, None] * here[:count, None]
            signed = jnp.expand_dims(signed, range(2, part.rows.ndim - 2))
            own = eliminate(jnp.swapaxes(part.own, 0, 1), jnp.sum(signed * part.rows, axis=0)[:, None])[:, 0]
            if region.bulk.dots is not None and region.bulk.dots.hopping is not None:
                # the rows of other dots have what the dot gains, too: what it holds comes to its transfer from there
                among = jnp.tensordot(jnp.asarray(region.bulk.dots.held.T), here[3:], 1)
                own += jnp.expand_dims(among, range(1, own.ndim - 2))
            dots.append(own)
        return Transfer(omega, -node, system.join(dots), circuit[0] / system.kT, parallel, direct, read)


def host_transfers(
    system: System,
    state: State,
    node: Complex[Array, "node unknown"],
    direct: Complex[Array, ""],
    read_edge: Int[Array, ""],
) -> Complex[Array, "5 2 edge"]:
    """Terminal current per charge, electron and hole appearing at the ends of edges, and where tunnelling ones land or
    among those that hop between dots.

    The last two include the current over `read_edge` on the way between; they are zero where there are no such ones.
    """
    ends = edge_unknowns(node)
    if system.hopping:
        return ends
    where = landing_places(system, state.u)
    if where is None:
        return jnp.concatenate([ends, jnp.zeros_like(ends[:2])])
    on_the_way = jnp.array([1.0, -1.0])[:, None, None] * where.crossing(read_edge) * direct
    return jnp.concatenate([ends, where.gather(node[:, 1:].T) + on_the_way])


@compiled
def small_signal(system: System, state: State, light: Light) -> SmallSignal:
    """Linearise an operating point."""
    return SmallSignal(system, state, light, linearise(system, state.u, state.v, light))
