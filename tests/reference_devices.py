"""The devices of benchmarks/reference, read from their JSON files."""

import csv
import json
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from invdesign.device.device import Contacts, Device, Layer, Ohmic
from invdesign.materials.optical import Constant
from invdesign.materials.semiconductor import Lifetimes, Semiconductor
from invdesign.solve.assembly import Light, System

FOLDER = Path(__file__).parents[1] / "benchmarks" / "reference"


def table(name: str) -> dict[str, np.ndarray]:
    with (FOLDER / name).open(newline="") as file:
        header, *rows = csv.reader(file)
    return {key: np.array([float(row[i]) for row in rows]) for i, key in enumerate(header)}


def mesh(name: str) -> np.ndarray:
    """Node positions of the committed mesh, cm."""
    with (FOLDER / f"{name}_mesh.csv").open(newline="") as file:
        return np.array([float(row["position_cm"]) for row in csv.DictReader(file)])


def read(name: str, edges: list[int] | None = None) -> tuple[Device, dict]:
    """The device, on our own mesh with `edges` per layer or with as many as the file has, and the file."""
    data = json.loads((FOLDER / f"{name}.json").read_text())
    layers = {}
    for index, layer in enumerate(data["layers"]):
        number = {key: value for key, value in layer.items() if key not in ("name", "mesh")}
        lifetimes = Lifetimes(
            # null: no such recombination
            electron_lifetime_s=number["electron_lifetime_s"] or 1e30,
            hole_lifetime_s=number["hole_lifetime_s"] or 1e30,
            radiative_coefficient_cm3_per_s=number["radiative_coefficient_cm3_per_s"],
            electron_auger_cm6_per_s=number["electron_auger_cm6_per_s"],
            hole_auger_cm6_per_s=number["hole_auger_cm6_per_s"],
        )
        same = (
            *("electron_affinity_eV", "band_gap_eV", "relative_permittivity", "conduction_dos_cm3", "valence_dos_cm3"),
            *("electron_mobility_cm2_per_Vs", "hole_mobility_cm2_per_Vs", "donor_density_cm3", "acceptor_density_cm3"),
        )
        material = Semiconductor(recombination=lifetimes, optical=Constant(n=1.0), **{key: number[key] for key in same})
        count = layer["mesh"]["edges"] if edges is None else edges[index]
        layers[layer["name"]] = Layer(thickness_nm=number["thickness_nm"], material=material, edges=count)
    contacts = Contacts(Ohmic(), Ohmic())
    device = Device(
        tuple(layers), layers, contacts, anode=data["anode"], area_cm2=1.0, temperature_K=data["temperature_K"]
    )
    return device, data


def with_lengths(system: System, lengths: np.ndarray) -> System:
    """The system on a mesh with other edge lengths (cm), whose cells meet in the middle of edges."""
    halves = jnp.asarray(np.stack([lengths, lengths]) / 2)
    regions = tuple(eqx.tree_at(lambda r: r.halves, region, region.take(halves)) for region in system.regions)
    return eqx.tree_at(lambda s: (s.regions, s.halves), system, (regions, halves))


def generation(system: System, data: dict, exact: bool) -> Light:
    """The prescribed generation: integrated exactly over each half edge, or as the file's scheme does, G(node) h/2."""
    ends = np.concatenate([[0.0], np.cumsum(np.asarray(system.lengths))])
    host = np.zeros((system.nodes - 1, 2))
    start, first = 0.0, 0
    for layer, count in zip(data["layers"], system.layer_edges, strict=True):
        rate, decay = layer["generation_cm3_per_s"], layer["generation_decay_nm"] * 1e-7
        x = ends[first : first + count + 1] - start
        if exact:
            cuts = np.stack([x[:-1], (x[:-1] + x[1:]) / 2, x[1:]], axis=1) / decay
            host[first : first + count] = rate * decay * -np.diff(np.exp(-cuts), axis=1)
        else:
            ends_of = np.stack([x[:-1], x[1:]], axis=1)
            host[first : first + count] = rate * np.exp(-ends_of / decay) * np.diff(x)[:, None] / 2
        start, first = start + layer["thickness_nm"] * 1e-7, first + count
    return Light(jnp.asarray(host.T), jnp.zeros_like(jnp.asarray(host.T)))
