"""The operating point, linearised: one adjoint solve per frequency gives every transfer to the terminal.

With the balances F(u, P) of nodes and dots and their stores S, a small source s obeys (i w S' - F') du = s. The populations of
the dots at an edge end see only that end, so that they are eliminated there, at each frequency; the adjoint solution
carries the terminal current back to every row, and from it follow admittance (a source in the circuit), photo-response (light as
source) and noise (every jump as source).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.solve.assembly import EdgeLinearisation, Light, System, assemble, free_rows, linearise
from invdesign.solve.newton import State
from invdesign.solve.tridiagonal import Bordered, eliminate, solve


class Transfer(eqx.Module):
    """Terminal current (A, into the anode) per unit source, at one frequency."""

    omega: Float[Array, ""]
    node: Complex[Array, "node 3"]
    """Per charge, electron or hole appearing per cm^2 (and second) at a node."""
    dots: Complex[Array, "edge 2 3"]
    """Per dot entering the state e, h or X per cm^2 and second at an edge end."""
    admittance: Complex[Array, ""]
    """Per volt in series with the circuit: the admittance at the terminals, S."""
    parallel: Complex[Array, ""]
    """Per ampere across the junction."""
    direct: Float[Array, ""]
    """Per particle current density (cm^-2 s^-1) along +x on the edge where the current is read."""


class SmallSignal(eqx.Module):
    """A linearised operating point."""

    system: System
    state: State
    light: tuple[Light, ...]
    edges: EdgeLinearisation

    def transfer(
        self, frequency_Hz: Float[Array, ""], load_ohm: Float[Array, ""] | float = 0.0, read_edge: int | None = None
    ) -> Transfer:
        """All transfers to the terminal current at one frequency.

        `load_ohm` adds to the series resistance; `read_edge` is the edge at which conduction plus displacement are read, which
        changes nothing but round-off.
        """
        system, edges = self.system, self.edges
        read = system.read_edge if read_edge is None else read_edge
        omega = 2 * jnp.pi * jnp.asarray(frequency_Hz, jnp.float64)
        store = 1j * omega
        inner = store * edges.dot_storage[:, None, None, None] * jnp.eye(3) - edges.dots_by_dots
        has_dots = edges.dot_storage[:, None, None, None] > 0
        # edges without dots have an empty 3x3 problem; the identity stands in for it
        inner = jnp.where(has_dots, inner, jnp.eye(3))
        eliminated = jax.vmap(jax.vmap(eliminate))(inner, edges.dots.astype(inner.dtype))
        by_unknowns = edges.rows - store * edges.storage + edges.rows_by_dots @ eliminated
        core, column = assemble(system, self.state.u, self.state.v, by_unknowns)

        scale = system.polarity * ELEMENTARY_CHARGE_C * system.area_cm2
        current = scale * (edges.conduction[read] + store * edges.displacement[read])
        by_node = jnp.zeros((system.nodes, 3), current.dtype).at[read].set(current[0:3]).at[read + 1].set(current[3:6])
        by_v = current[6] + system.shunt_conductance_S * system.kT
        impedance = (system.series_resistance_ohm + load_ohm) / system.kT
        bordered = Bordered(core, column[..., None], impedance * by_node[None], (1 + impedance * by_v)[None, None])
        node, circuit = solve(bordered.T, (by_node, by_v[None]))
        # a source in a pinned row goes to the contact and not into the device
        node = node.at[0].multiply(free_rows(system, 0)).at[-1].multiply(free_rows(system, 1))
        at_ends = -jnp.stack([node[:-1], node[1:]], axis=1)
        dots = jax.vmap(jax.vmap(lambda k, r, y: eliminate(k.T, (y @ r)[:, None])[:, 0]))(
            inner, edges.rows_by_dots, at_ends
        )
        return Transfer(
            omega, -node, dots, circuit[0] / system.kT, 1 - impedance * circuit[0], jnp.asarray(scale)
        )


def small_signal(system: System, state: State, light: tuple[Light, ...]) -> SmallSignal:
    """Linearise an operating point."""
    return SmallSignal(system, state, light, linearise(system, state.u, state.v, light))
