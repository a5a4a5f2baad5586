"""The static field in and around a spherical dot of a film: what a mean field is at the dot and in its barrier.

The film is a periodic stack of dots along the field, each in the middle of a cylinder of host: height (the spacing of
dots along the field) and radius are such that the dot has its volume fraction. At low fractions the shape of the cell
does not matter; at high ones the spread between shapes says what the disorder of a real film may do.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from invdesign.constants import CM_PER_NM, ELECTRON_MASS_KG, ELEMENTARY_CHARGE_C, HBAR_J_S
from invdesign.electrostatics.axisymmetric import Mesh, Solution, solve

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(48)


class Cell(NamedTuple):
    """A cylinder of host with a dot in its centre; lengths in nm."""

    diameter: float
    spacing: float
    """Height of the cell: from dot to dot along the field."""
    radius: float

    @property
    def fraction(self) -> float:
        """Volume fraction of the dot, (pi d^3/6)/(pi R^2 h)."""
        return self.diameter**3 / (6 * self.radius**2 * self.spacing)


def cell(diameter_nm: float, fraction: float, spacing_nm: float | None = None) -> Cell:
    """The cell of a volume fraction; with the height and the area of a cubic lattice, (pi d^3/6f)^(1/3), by default."""
    spacing = (np.pi * diameter_nm**3 / (6 * fraction)) ** (1 / 3) if spacing_nm is None else spacing_nm
    found = Cell(diameter_nm, float(spacing), float(np.sqrt(diameter_nm**3 / (6 * fraction * spacing))))
    if not 1.005 * diameter_nm < min(found.spacing, 2 * found.radius):
        raise ValueError(
            f"dots of {diameter_nm:g} nm touch in a cell {spacing:g} nm high and {2 * found.radius:g} wide"
        )
    return found


def mesh(of: Cell, density: int = 32) -> Mesh:
    """Rays from the dot's centre: `density` elements inside, as many outside, and twice as many from pole to equator.

    One row of nodes lies on the sphere, by a hair outside it, so that the body of cones between them has its volume.
    The last row lies on the boundary of the cell, with a ray through its corner. Outside the steps grow geometrically,
    since the dipole's field decays as a power.
    """
    height = of.spacing / 2
    corner = np.arctan2(of.radius, height)
    angle = np.append(np.linspace(0, corner, density + 1), np.linspace(corner, np.pi / 2, density + 1)[1:])
    z, r = np.cos(angle), np.sin(angle)
    cones = np.sum((z[:-1] - z[1:]) * (r[1:] ** 2 + r[1:] * r[:-1] + r[:-1] ** 2)) / 3
    a = of.diameter / 2 * (2 / 3 / cones) ** (1 / 3)
    reach = np.minimum(height / z, of.radius / np.maximum(r, 1e-300))
    steps = np.linspace(0, 1, density + 1)[:, None]
    distance = np.vstack([a * steps * np.ones_like(angle), a * (reach / a) ** steps[1:]])
    return Mesh(distance * r, distance * z)


class LocalField(NamedTuple):
    """Fields over the mean field, and the effective permittivity."""

    cell: Cell
    solution: Solution
    dot: float
    """Mean over the dot."""
    host: float
    """Mean over the host."""
    host_equator: float
    """In the host beside the dot, along the field."""
    axis_nm: Float[np.ndarray, " node"]
    """Nodes on the axis, from the dot's centre over its pole to half way to the next."""
    axis_dot: Float[np.ndarray, " inside"]
    """Field on those that are in the dot, the pole included."""
    axis_host: Float[np.ndarray, " outside"]
    """Field on those that are in the host, the pole included."""
    axis_potential_nm: Float[np.ndarray, " node"]
    """-phi/E_0 on all."""

    @property
    def effective_permittivity(self) -> float:
        return self.solution.effective_permittivity

    @property
    def dot_pole(self) -> float:
        """In the dot where the axis leaves it."""
        return float(self.axis_dot[-1])

    @property
    def host_pole(self) -> float:
        """In the host at the same place: what a carrier meets first when it leaves along the field."""
        return float(self.axis_host[0])

    @property
    def host_between(self) -> float:
        """In the host half way to the next dot along the field."""
        return float(self.axis_host[-1])


def local_field(of: Cell, dot: float, host: float, density: int = 32) -> LocalField:
    """Solve div(eps grad phi) = 0 in a cell; `dot` and `host` are static relative permittivities.

    A single sphere has 3 eps_h/(eps_d + 2 eps_h) inside (Stratton, Electromagnetic Theory, 1941, section 3.24).
    """
    grid = mesh(of, density)
    inside = density * 2 * density  # elements, row by row
    solution = solve(grid, np.repeat([float(dot), float(host)], inside))
    along = solution.field[:, 1]
    # the tangential field is the same on both sides: extrapolated from the dot's elements on the equator's plane
    inner, outer = along.reshape(2 * density, -1)[density - 2 : density, -1]
    equator = outer + (outer - inner) / 2
    # eps E_z is continuous along the axis. It is the flux density through small circles around it, an even function of
    # their angle: taken from the first two rays, since the axis' own nodes see elements on one side only.
    displacement = solution.effective_permittivity * (4 * solution.flux[:, 1] - solution.flux[:, 2]) / 3
    return LocalField(
        of,
        solution,
        float(np.average(along[:inside], weights=solution.volume[:inside])),
        float(np.average(along[inside:], weights=solution.volume[inside:])),
        float(equator),
        grid.z[:, 0],
        displacement[: density + 1] / dot,
        displacement[density:] / host,
        -solution.potential[:, 0],
    )


def barrier_field_ratio(around: LocalField, barrier_eV: float, field_V_per_cm: float) -> float:
    """Field of the triangular barrier with the same WKB action as the barrier on the axis, over the mean field.

    The carrier leaves at the pole with the energy of the dot's level and follows the axis: the action is the integral
    of sqrt(phi - q(U(z) - U(pole))), U the computed potential, up to where the root vanishes; a triangle has (2/3)
    phi^1.5/(q F). The mass drops out. A barrier longer than the gap reaches past the next dots; their fields count,
    their levels do not. Rule: Vincent, Chantre and Bois 1979, DOI 10.1063/1.326601.
    """
    z, u, period = around.axis_nm, around.axis_potential_nm, around.cell.spacing
    # one period from centre to centre: u is odd about the centre, and u - z about the middle of the gap
    z, u = np.append(z, (period - z)[-2::-1]), np.append(u, (period - u)[-2::-1])
    per_nm = field_V_per_cm * CM_PER_NM
    periods = period * np.arange(int(np.ceil(barrier_eV / (per_nm * period))) + 1)[:, None]
    pole = len(around.axis_nm) // 2
    z = np.append((periods + z[:-1]).ravel(), periods[-1] + period)[pole:]
    u = np.append((periods + u[:-1]).ravel(), periods[-1] + period)[pole:]
    left = np.maximum(barrier_eV - per_nm * (u - u[0]), 0) ** 1.5
    # the potential is linear between nodes, and so the integral over an edge is exact
    action = np.sum(2 / 3 * (left[:-1] - left[1:]) * np.diff(z) / (per_nm * np.diff(u)))
    return float(2 / 3 * barrier_eV**1.5 / (per_nm * action))


def near_field_tunnelling(
    around: LocalField, barrier_eV: float, mass: float, field_V_per_cm: float, kT_eV: float
) -> float:
    """Thermally assisted tunnelling along the axis over thermionic emission at zero field.

    The integral of exp(y - b y^1.5) dy up to phi/kT, as in `BarrierEscape.tunnelling`, b = (4/3) sqrt(2 m) (kT)^1.5 /
    (hbar q F), but with the field F that the rest of the barrier at y kT below its top has: near the top a carrier
    tunnels a short way and sees the weak field at the pole only. Equation: DOI 10.1063/1.326601.
    """
    s = (_POINTS + 1) / 2
    depth_eV = barrier_eV * s**2  # clusters points near the top, where the integrand lives at low fields
    ratio = np.array([barrier_field_ratio(around, below, field_V_per_cm) for below in depth_eV.tolist()])
    wave_number = np.sqrt(2 * mass * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C * depth_eV) / HBAR_J_S
    exponent = depth_eV / kT_eV - 4 / 3 * wave_number * depth_eV / (100 * field_V_per_cm * ratio)
    return float(np.sum(_WEIGHTS * np.exp(exponent) * s) * barrier_eV / kT_eV)
