"""The devices of benchmarks/reference, read from their JSON files."""

import csv
import dataclasses
import json
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from invdesign.device.device import Contacts, Device, Layer, Ohmic
from invdesign.materials.mixing import MaxwellGarnett
from invdesign.materials.optical import Constant
from invdesign.materials.quantum_dots import (
    REFERENCE_EXCITON_EV,
    REFERENCE_FREE_PATH_NM,
    Dots,
    DotsInHost,
    in_local_field,
)
from invdesign.materials.semiconductor import IonNumbers, Lifetimes, Semiconductor
from invdesign.solve.assembly import Light, Region, System, discretise

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
        ions = IonNumbers(**number["mobile_ions"]) if "mobile_ions" in number else None
        material = Semiconductor(
            recombination=lifetimes, optical=Constant(n=1.0), mobile_ions=ions, **{key: number[key] for key in same}
        )
        if "dots" in number:
            material = with_dots(material, number["dots"])
        count = layer["mesh"]["edges"] if edges is None else edges[index]
        layers[layer["name"]] = Layer(thickness_nm=number["thickness_nm"], material=material, edges=count)
    contacts = Contacts(Ohmic(), Ohmic())
    device = Device(
        tuple(layers), layers, contacts, anode=data["anode"], area_cm2=1.0, temperature_K=data["temperature_K"]
    )
    return device, data


def with_dots(host: Semiconductor, numbers: dict) -> DotsInHost:
    """A host with the file's dots, whose densities and rates are what sizes and times of ours come to.

    Their permittivity is that of the host, so that the mixture has it, too, and all fields are the mean field.
    """
    escape = numbers["escape"] or {"radius_nm": 2.16, "barrier_mass_m0": 0.2}
    density = numbers["density_cm3"]
    one = Dots(
        diameter_nm=2 * escape["radius_nm"],
        volume_fraction=density * 4 / 3 * np.pi * (escape["radius_nm"] * 1e-7) ** 3,
        electron_affinity_eV=host.electron_affinity_eV
        + numbers["electron_offset_eV"]
        + (numbers["exciton_energy_eV"] - REFERENCE_EXCITON_EV) / 2,
        lifetime_s=numbers["exciton_lifetime_s"],
        capture_time_s=1.0,
        barrier_mass=escape["barrier_mass_m0"],
        relative_permittivity=host.relative_permittivity,
        electron_degeneracy=numbers["electron_degeneracy"],
        hole_degeneracy=numbers["hole_degeneracy"],
    )
    per_dot = density * numbers["capture_coefficient_cm3_per_s"]
    dots = dataclasses.replace(
        one,
        capture_time_s=REFERENCE_FREE_PATH_NM / (one.free_path_nm * per_dot),
        exciton_shift_eV=numbers["exciton_energy_eV"] - one.exciton_energy_eV,
    )
    return DotsInHost(dots=dots, host=host, mixing=MaxwellGarnett())


def discretised(device: Device, data: dict) -> System:
    """The device on its mesh; no field acts on dots, H = 1, where the file has none."""

    def without_field(region: Region, numbers: dict) -> Region:
        dots = region.bulk.dots
        if dots is None or numbers["escape"] is not None:
            return region
        return eqx.tree_at(lambda one: one.bulk.dots, region, in_local_field(dots, jnp.zeros(())))

    system = discretise(device)
    numbers = next((layer["dots"] for layer in data["layers"] if "dots" in layer), {})
    regions = tuple(without_field(region, numbers) for region in system.regions)
    return eqx.tree_at(lambda one: one.regions, system, regions)


def with_lengths(system: System, lengths: np.ndarray) -> System:
    """The system on a mesh with other edge lengths (cm), whose cells meet in the middle of edges."""
    halves = jnp.asarray(np.stack([lengths, lengths]) / 2)
    regions = tuple(eqx.tree_at(lambda r: r.halves, region, region.take(halves)) for region in system.regions)
    return eqx.tree_at(lambda s: (s.regions, s.halves), system, (regions, halves))


def generation(system: System, data: dict, exact: bool) -> Light:
    """The prescribed generation: integrated exactly over each half edge, or as the file's scheme does, G(node) h/2."""
    ends = np.concatenate([[0.0], np.cumsum(np.asarray(system.lengths))])
    light = np.zeros((2, system.nodes - 1, 2))  # of the host and of the dots
    start, first = 0.0, 0
    for layer, count in zip(data["layers"], system.layer_edges, strict=True):
        decay, dots = layer["generation_decay_nm"] * 1e-7, layer.get("dots")
        excited = 0.0 if dots is None else dots["density_cm3"] * dots["excitation_per_s"]
        x = ends[first : first + count + 1] - start
        if exact:
            cuts = np.stack([x[:-1], (x[:-1] + x[1:]) / 2, x[1:]], axis=1) / decay
            depth = decay * -np.diff(np.exp(-cuts), axis=1)
        else:
            ends_of = np.stack([x[:-1], x[1:]], axis=1)
            depth = np.exp(-ends_of / decay) * np.diff(x)[:, None] / 2
        for kind, rate in enumerate((layer["generation_cm3_per_s"], excited)):
            light[kind, first : first + count] = rate * depth
        start, first = start + layer["thickness_nm"] * 1e-7, first + count
    return Light(jnp.asarray(light[0].T), jnp.asarray(light[1].T))
