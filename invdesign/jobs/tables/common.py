"""What the families of tables share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from invdesign.device.device import Device
from invdesign.jobs.simulation import Simulation
from invdesign.materials.quantum_dots import DotsInHost

Table = dict[str, Any]
"""Columns by name; the name ends in the unit."""


class About(NamedTuple):
    """One table: what it shows, what its columns are, and how it is made (None if a device does not have it)."""

    shows: str
    columns: str
    make: Callable[[Simulation], Table | None]


def stacked(parts: list[Table]) -> Table:
    """Tables with the same columns, one below the other."""
    return {key: np.concatenate([np.asarray(part[key]) for part in parts]) for key in parts[0]}


def mesh(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the left and right ends of all edges (edge, 2), nm from the left contact, and each edge's layer."""
    ends, names, start = [], [], 0.0
    for name in device.electrical:
        layer = device.layers[name]
        nodes = start + device.mesh(name).nodes * float(layer.thickness_nm)
        ends.append(np.stack([nodes[:-1], nodes[1:]], axis=1))
        names += [name] * layer.edges
        start = nodes[-1]
    return np.concatenate(ends), np.array(names)


def dotted(device: Device) -> dict[str, DotsInHost]:
    """Layers with dots."""
    materials = {name: device.layers[name].material for name in device.electrical}
    return {name: material for name, material in materials.items() if isinstance(material, DotsInHost)}
