"""Draw the static field around the dots of a film: `python experiments/field_lines.py [folder]` (default: outputs).

Lines would be equally far apart in a uniform field; colours show the field over the mean field. Below: the field on the
axis, and what the model's two options take for the field in a dot and in its barrier, over fraction and spacing.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from invdesign.electrostatics.dots import LocalField, cell, local_field
from invdesign.materials.quantum_dots import Slab, Sphere
from invdesign.report.figures import STYLE

DIAMETER_NM, FRACTION, DOT, HOST = 4.32, 0.29, 22.0, 70.0
SHAPES = (1.05, 1.22, 1.8)
"""Spacing of the dots along the field over their diameter, of the cells drawn; 1.22 is a cubic lattice."""
DENSITY = 32
QUADRANTS = [(side, above) for side in (1, -1) for above in (1, -1)]


def draw_cell(axes: Axes, around: LocalField) -> QuadMesh:
    solution, mesh = around.solution, around.solution.mesh
    rows, columns = mesh.r.shape
    strength = np.linalg.norm(solution.field, axis=1).reshape(rows - 1, columns - 1)
    # lines at equal distances where the field is uniform: the flux inside r grows as r^2
    lines = (np.arange(0.5, 7) / 7) ** 2
    images = []
    for side, above in QUADRANTS:
        r, z = side * mesh.r, above * mesh.z
        images.append(axes.pcolormesh(r, z, strength, cmap="RdBu_r", vmin=0, vmax=2, rasterized=True))
        axes.contour(r, z, solution.stream, levels=lines, colors="#222222", linewidths=0.7)
    turn = np.linspace(0, 2 * np.pi, 200)
    radius = around.cell.diameter / 2
    axes.plot(radius * np.cos(turn), radius * np.sin(turn), color="#222222", linewidth=1.2)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xlabel("r (nm)")
    axes.set_title(f"spacing {around.cell.spacing / around.cell.diameter:.2f} d: dot {around.dot:.2f}")
    return images[0]


def options(fraction: np.ndarray) -> dict[str, np.ndarray]:
    """Dot and barrier by the model's options."""
    found = {}
    for option in (Sphere(), Slab()):
        pairs = [option.field_ratios(jnp.asarray(DOT), jnp.asarray(HOST), jnp.asarray(f)) for f in fraction.tolist()]
        found[option.kind] = np.asarray(pairs)
    return found


def main(folder: str = "outputs") -> None:
    plt.rcParams.update(STYLE)
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.6), height_ratios=(1.35, 1))
    images = []
    for place, shape in zip(axes[0], SHAPES, strict=True):
        around = local_field(cell(DIAMETER_NM, FRACTION, shape * DIAMETER_NM), DOT, HOST, DENSITY)
        images.append(draw_cell(place, around))
        in_dot, in_host = len(around.axis_dot), len(around.axis_host)
        z = around.axis_nm / around.cell.spacing
        label = f"spacing {shape:.2f} d"
        (line,) = axes[1, 0].plot(z[:in_dot], around.axis_dot, label=label)
        axes[1, 0].plot(z[-in_host:], around.axis_host, color=line.get_color())
    axes[0, 0].set_ylabel("z (nm)")
    figure.colorbar(images[0], ax=axes[0], label="field / mean field", shrink=0.8)
    axes[1, 0].set(xlabel="z / spacing, on the axis", ylabel="field / mean field", ylim=(0, 2.1))
    axes[1, 0].legend()

    fractions = np.linspace(0.02, 0.5, 13)
    cells = [local_field(cell(DIAMETER_NM, f), DOT, HOST, DENSITY // 2) for f in fractions.tolist()]
    shapes = np.linspace(1.05, 2.25, 13)
    stretched = [local_field(cell(DIAMETER_NM, FRACTION, s * DIAMETER_NM), DOT, HOST, DENSITY // 2) for s in shapes]
    model, default = options(fractions), options(np.array([FRACTION]))
    rows = (
        (axes[1, 1], fractions, cells, "volume fraction (cubic lattice)"),
        (axes[1, 2], shapes, stretched, f"spacing / diameter (volume fraction {FRACTION})"),
    )
    for place, x, fields, label in rows:
        place.plot(x, [one.dot for one in fields], color="#c0392b", label="dot, mean")
        place.plot(x, [one.dot_pole for one in fields], color="#d98200", label="dot, pole")
        place.plot(x, [one.host for one in fields], color="#1f5fa8", label="host, mean")
        place.plot(x, [one.host_pole for one in fields], color="#17a2b8", label="host, pole")
        place.set(xlabel=label, ylim=(0, 3.2))
    for place, x, values in ((axes[1, 1], fractions, model), (axes[1, 2], shapes, default)):
        for kind, style in (("sphere", "--"), ("slab", ":")):
            dot, barrier = np.broadcast_to(values[kind], (len(x), 2)).T
            place.plot(x, dot, style, color="#c0392b", label=f"option {kind}")
            if kind == "sphere":
                place.plot(x, barrier, style, color="#1f5fa8")
    axes[1, 2].legend(ncols=2, loc="upper left")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "pdf"):
        figure.savefig(target / f"field_lines.{ending}", dpi=200)


if __name__ == "__main__":
    main(*sys.argv[1:])
