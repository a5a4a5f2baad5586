"""Poisson's equation around an axis, div(eps grad phi) = 0 in (r, z), on meshes whose lines follow the interfaces.

No element is cut by an interface, so that no permittivity has to be averaged: it is one number per element, and the
jump of the normal field lies on an element's edge. Elements are quadrilaterals with four bilinear functions, and the
fluxes into every node add up to zero. Uniform fields and stacks of layers come out exactly; fluxes around curved bodies
converge with the square of the mesh width.

The same field is solved twice. The potential gives an effective permittivity that is too large (Dirichlet's principle),
the stream function of the flux one that is too small (Thomson's): the solution carries its own error
(Prager and Synge 1947, DOI 10.1090/qam/25902).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(3)
_XI, _ETA = (grid.ravel() for grid in np.meshgrid(_POINTS, _POINTS, indexing="ij"))
_AREA = np.outer(_WEIGHTS, _WEIGHTS).ravel()
_CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
_SHAPE = np.stack([(1 + a * _XI) * (1 + b * _ETA) / 4 for a, b in _CORNERS], axis=1)
_SLOPE = np.stack([[a * (1 + b * _ETA) / 4, b * (1 + a * _XI) / 4] for a, b in _CORNERS], axis=2).transpose(1, 0, 2)


class Mesh(NamedTuple):
    """Nodes of an upper half cell, 0 <= z <= height and 0 <= r <= radius, in rows and columns; lengths in nm.

    All nodes of the first row may be one point.
    """

    r: Float[np.ndarray, "row column"]
    z: Float[np.ndarray, "row column"]

    @property
    def height(self) -> float:
        return float(self.z.max())

    @property
    def radius(self) -> float:
        return float(self.r.max())

    @property
    def unknowns(self) -> Int[np.ndarray, "row column"]:
        """The number of the unknown of every node."""
        numbers = np.arange(self.r.size).reshape(self.r.shape)
        if np.ptp(self.r[0]) == 0 and np.ptp(self.z[0]) == 0:
            numbers[0] = numbers[0, 0]
        return numbers

    def corners(self, nodal: np.ndarray) -> np.ndarray:
        """A nodal quantity at the four corners of all elements, [element, 4]."""
        around = (nodal[:-1, :-1], nodal[1:, :-1], nodal[1:, 1:], nodal[:-1, 1:])
        return np.stack([corner.ravel() for corner in around], axis=1)


class _Elements(NamedTuple):
    """Functions of all elements at their points of quadrature."""

    r: Float[np.ndarray, "element point"]
    area: Float[np.ndarray, "element point"]
    """dr dz."""
    gradient: Float[np.ndarray, "element point 2 4"]
    """By r and z, of the four functions."""


class Solution(NamedTuple):
    """The field in a cell with the mean field E_0 along z. Lengths in nm, fields in units of E_0."""

    mesh: Mesh
    permittivity: Float[np.ndarray, " element"]
    potential: Float[np.ndarray, "row column"]
    """phi/E_0, nm; -z in a uniform medium."""
    flux: Float[np.ndarray, "row column"]
    """Mean flux density through the circle around the axis that a node is on, over that through the cell."""
    upper: float
    """Effective permittivity by the potential, at least the exact one (of the body as it is meshed)."""
    lower: float
    """Effective permittivity by the stream function, at most the exact one."""

    @property
    def stream(self) -> Float[np.ndarray, "row column"]:
        """Flux through the circle around the axis over that through the cell; its contours are the field lines."""
        return self.flux * (self.mesh.r / self.mesh.radius) ** 2

    @property
    def effective_permittivity(self) -> float:
        return (self.upper + self.lower) / 2

    @property
    def volume(self) -> Float[np.ndarray, " element"]:
        """Share of the cell in every element."""
        elements = _elements(self.mesh)
        volume = (elements.r * elements.area).sum(axis=1)
        return volume / volume.sum()

    @property
    def field(self) -> Float[np.ndarray, "element 2"]:
        """Mean of (E_r, E_z)/E_0 over the volume of every element."""
        elements = _elements(self.mesh)
        volume = elements.r * elements.area
        return np.einsum("eq,eqx->ex", volume, self._field(elements)) / volume.sum(axis=1)[:, None]

    @property
    def energy(self) -> float:
        """Mean of eps E^2 over the cell, in units of E_0^2."""
        elements = _elements(self.mesh)
        volume = elements.r * elements.area
        return float(np.einsum("e,eq,eqx->", self.permittivity, volume, self._field(elements) ** 2) / volume.sum())

    def _field(self, elements: _Elements) -> Float[np.ndarray, "element point 2"]:
        return -np.einsum("eqxk,ek->eqx", elements.gradient, self.mesh.corners(self.potential))


def _elements(mesh: Mesh) -> _Elements:
    r, z = mesh.corners(mesh.r), mesh.corners(mesh.z)
    jacobian = np.einsum("qak,ekx->eqax", _SLOPE, np.stack([r, z], axis=2))
    area = np.abs(np.linalg.det(jacobian)) * _AREA
    return _Elements(r @ _SHAPE.T, area, np.linalg.solve(jacobian, np.broadcast_to(_SLOPE, (len(r), *_SLOPE.shape))))


def _matrix(mesh: Mesh, weight: np.ndarray, gradient: np.ndarray) -> csr_matrix:
    """sum over elements and points of weight grad_i . grad_j."""
    blocks = np.einsum("eq,eqxi,eqxj->eij", weight, gradient, gradient)
    numbers = mesh.corners(mesh.unknowns)
    rows, columns = np.repeat(numbers, 4, axis=1), np.tile(numbers, 4)
    return csr_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=(mesh.r.size, mesh.r.size))


def _minimise(mesh: Mesh, matrix: csr_matrix, held: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nodal values of least energy with some of them held, and what holds them, the slope of half the energy."""
    used = np.unique(mesh.unknowns)
    solution = np.where(held, values, 0.0).ravel()
    free = used[~held.ravel()[used]]
    solution[free] = -spsolve(matrix[free][:, free].tocsc(), (matrix @ solution)[free])
    solution = solution[mesh.unknowns]
    return solution, (matrix @ solution.ravel()).reshape(solution.shape)


def solve(mesh: Mesh, permittivity: Float[np.ndarray, " element"]) -> Solution:
    """The static field of a cell that repeats along z up to the voltage, and without radial field at r = radius.

    The body is its own mirror image in z = 0, which leaves two equipotentials, phi(z=0) = 0 and phi(z=height) = -E_0
    height. `permittivity` is relative, one per element, row by row.
    """
    elements = _elements(mesh)
    area, height = mesh.radius**2 / 2, mesh.height  # over 2 pi, as all integrals here
    at_zero, at_top = np.isclose(mesh.z, 0, atol=1e-9 * height), np.isclose(mesh.z, height)
    matrix = _matrix(mesh, permittivity[:, None] * elements.r * elements.area, elements.gradient)
    potential, charge = _minimise(mesh, matrix, at_zero | at_top, np.where(at_top, -height, 0.0))
    through = -charge[at_top].sum()

    # The flux inside r is written as q r^2/2, q bilinear: a uniform flux is then exact, also on the axis. Its slopes
    # are r D_z by r and -r D_r by z, and so D^2/eps r dr dz is |slope|^2/(eps r) dr dz.
    slope = elements.gradient * elements.r[..., None, None] ** 2 / 2
    slope[:, :, 0, :] += elements.r[..., None] * _SHAPE
    matrix = _matrix(mesh, elements.area / (permittivity[:, None] * elements.r), slope)
    at_wall = np.isclose(mesh.r, mesh.radius)
    flux, drop = _minimise(mesh, matrix, at_wall, np.ones(mesh.r.shape))
    return Solution(mesh, permittivity, potential, flux, through / area, area * height / drop[at_wall].sum())
