"""Reference J-V tables of six 1-D devices, computed with devsim in extended precision (float128).

    python benchmarks/reference/generate.py                 # all devices, rewrites the committed files
    python benchmarks/reference/generate.py silicon_pn      # one device
    python benchmarks/reference/generate.py --check         # fixed-mesh tables again, compared with the files

What is solved, how the tables are extrapolated and what the files hold: README.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

# devsim dlopens a BLAS by file name; the plain sonames it tries by default exist only with the -dev packages.
os.environ.setdefault("DEVSIM_MATH_LIBS", "libopenblas.so.0:liblapack.so.3:libblas.so.3:libopenblas.so")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HERE = Path(__file__).resolve().parent

# CODATA 2018 (k and q exact), in V, C, F/cm.
BOLTZMANN_J_PER_K = 1.380649e-23
ELEMENTARY_CHARGE_C = 1.602176634e-19
VACUUM_PERMITTIVITY_F_PER_CM = 8.8541878128e-14
ELECTRON_MASS_KG = 9.1093837015e-31
HBAR_J_S = 6.62607015e-34 / (2.0 * math.pi)
TEMPERATURE_K = 300.0
THERMAL_VOLTAGE_V = BOLTZMANN_J_PER_K * TEMPERATURE_K / ELEMENTARY_CHARGE_C


ABSOLUTE_ERROR_V = 1e-26  # largest Newton update of psi, phi_n, phi_p at convergence
REFINEMENTS = (1, 2, 4, 8)  # multiples of each layer's `edges`
LONGEST_BIAS_STEP_V = 0.05
NO_CURRENT_A_PER_CM2 = 1e-25  # rounding of float128 at equilibrium
CONSERVED = 1e-15  # largest surplus of ions over their number
LONGEST_LEVEL_STEP_V = 0.1


# ------------------------------------------------------------------------------------------------------------- devices


@dataclass(frozen=True)
class MobileIons:
    """Positive ions at rest that cannot leave their layer, and the uniform charge that neutralises them."""

    density_cm3: float  # mean
    site_density_cm3: float


@dataclass(frozen=True)
class FieldEscape:
    """Exchange with the bands that the field of an edge enhances by H, for electrons and for holes."""

    radius_nm: float
    barrier_mass_m0: float
    field_floor_V_per_cm: float  # tunnelling is faded out below, the field saturates towards the ceiling
    field_ceiling_V_per_cm: float


@dataclass(frozen=True)
class Dots:
    """Dots of four states (0, e, h, X) that take carriers from the host's bands and give them back.

    The hole offset is what the offset of electrons and the exciton leave of the layer's gap.
    """

    density_cm3: float
    capture_coefficient_cm3_per_s: float  # of both carriers
    electron_offset_eV: float  # of the dot's level below the conduction band
    exciton_energy_eV: float
    exciton_lifetime_s: float
    electron_degeneracy: float
    hole_degeneracy: float
    excitation_per_s: float  # of an empty dot by light at the layer's left end, decaying as the generation does
    escape: FieldEscape | None = None  # None: H = 1


@dataclass(frozen=True)
class Layer:
    """One uniform layer. `edges` and `grading` describe the coarsest mesh (see `layer_nodes`)."""

    name: str
    thickness_nm: float
    edges: int
    grading: tuple[str, float]
    electron_affinity_eV: float
    band_gap_eV: float
    relative_permittivity: float
    conduction_dos_cm3: float
    valence_dos_cm3: float
    electron_mobility_cm2_per_Vs: float
    hole_mobility_cm2_per_Vs: float
    donor_density_cm3: float = 0.0
    acceptor_density_cm3: float = 0.0
    electron_lifetime_s: float | None = None  # None: no Shockley-Read-Hall recombination
    hole_lifetime_s: float | None = None
    radiative_coefficient_cm3_per_s: float = 0.0
    electron_auger_cm6_per_s: float = 0.0
    hole_auger_cm6_per_s: float = 0.0
    generation_cm3_per_s: float = 0.0  # at the layer's left end, decaying to the right
    generation_decay_nm: float = 1.0
    mobile_ions: MobileIons | None = None
    dots: Dots | None = None

    @property
    def photons_cm3_per_s(self) -> float:
        """That host and dots absorb at the left end."""
        by_dots = 0.0 if self.dots is None else self.dots.density_cm3 * self.dots.excitation_per_s
        return self.generation_cm3_per_s + by_dots


@dataclass(frozen=True)
class Device:
    name: str
    layers: tuple[Layer, ...]  # left (x = 0) to right
    anode: str  # the contact whose potential is the voltage; the other is at 0 V
    voltages_V: tuple[float, ...]
    conditions: tuple[str, ...] = ("dark",)
    note: str = ""


def steps(first: float, last: float, step: float) -> list[float]:
    return [round(first + i * step, 6) for i in range(round((last - first) / step) + 1)]


def silicon_pn() -> Device:
    silicon = dict(
        electron_affinity_eV=4.05, band_gap_eV=1.12, relative_permittivity=11.7,
        conduction_dos_cm3=2.8e19, valence_dos_cm3=1.04e19,
        electron_mobility_cm2_per_Vs=1000.0, hole_mobility_cm2_per_Vs=400.0,
        electron_lifetime_s=1e-7, hole_lifetime_s=1e-7, radiative_coefficient_cm3_per_s=1e-14,
        electron_auger_cm6_per_s=2.8e-31, hole_auger_cm6_per_s=9.9e-32,
    )  # fmt: skip
    layers = (
        Layer("p", 2000.0, 80, ("right", 4.5), acceptor_density_cm3=1e17, **silicon),
        Layer("n", 4000.0, 120, ("left", 4.0), donor_density_cm3=1e16, **silicon),
    )
    voltages = sorted({*steps(-2.0, 0.0, 0.25), -0.1, -0.05, -0.01, -0.001, 0.001, 0.01, *steps(0.0, 0.7, 0.025)})
    return Device("silicon_pn", layers, "left", tuple(voltages))


TITANIA = Layer(
    "titania", 50.0, 40, ("both", 2.0), 4.0, 3.2, 10.0, 5e19, 5e19, 4.0, 4.0,
    donor_density_cm3=1e18, radiative_coefficient_cm3_per_s=1e-10,
)  # fmt: skip
SPIRO = Layer(
    "spiro", 100.0, 50, ("both", 2.5), 2.2, 3.0, 3.0, 5e19, 5e19, 0.4, 0.4,
    acceptor_density_cm3=1e18, radiative_coefficient_cm3_per_s=1e-10,
)  # fmt: skip
CELL_VOLTAGES = tuple(sorted({*steps(-0.5, 1.2, 0.05), -0.01, -0.001, 0.001, 0.01}))


def absorber(name: str, thickness_nm: float, edges: int, **more) -> Layer:
    return Layer(
        name, thickness_nm, edges, ("both", 2.0), 3.9, 1.6, 24.0, 8.1e18, 5.8e18, 20.0, 20.0,
        electron_lifetime_s=30e-9, hole_lifetime_s=30e-9, radiative_coefficient_cm3_per_s=1e-10, **more,
    )  # fmt: skip


def nip(name: str, note: str = "", conditions: tuple[str, ...] = ("dark", "lit"), **absorbing) -> Device:
    light = dict(generation_cm3_per_s=2.5e21, generation_decay_nm=150.0)
    layers = (TITANIA, absorber("absorber", 400.0, 110, **light, **absorbing), SPIRO)
    return Device(name, layers, "right", CELL_VOLTAGES, conditions, note)


def perovskite_nip() -> Device:
    return nip("perovskite_nip")


def ionic_nip() -> Device:
    return nip("ionic_nip", "perovskite_nip with mobile ions in the absorber.", mobile_ions=MobileIons(1e18, 2e18))


def dots(escape: FieldEscape | None = None) -> Dots:
    return Dots(2e17, 2e-8, 0.27, 1.1, 5e-8, 2.0, 3.0, 1e4, escape)


def dotted_nip() -> Device:
    return nip("dotted_nip", "perovskite_nip with dots in the absorber; H = 1.", dots=dots())


def field_nip() -> Device:
    note = "dotted_nip with an exchange that the field enhances."
    return nip("field_nip", note, ("lit",), dots=dots(FieldEscape(2.16, 0.2, 1e3, 3e6)))


def barrier_nip() -> Device:
    barrier = Layer(
        "barrier", 20.0, 24, ("both", 1.0), 3.75, 1.9, 24.0, 8.1e18, 5.8e18, 20.0, 20.0,
        radiative_coefficient_cm3_per_s=1e-10,
    )  # fmt: skip
    layers = (TITANIA, absorber("absorber_left", 140.0, 44), barrier, absorber("absorber_right", 140.0, 44), SPIRO)
    note = "Absorber 140 nm, barrier 20 nm, absorber 140 nm (300 nm together). No SRH in the barrier."
    return Device("barrier_nip", layers, "right", CELL_VOLTAGES, note=note)


DEVICES = {make.__name__: make for make in (silicon_pn, perovskite_nip, barrier_nip, ionic_nip, dotted_nip, field_nip)}


# ---------------------------------------------------------------------------------------------------------------- mesh


def layer_nodes(layer: Layer, refine: int) -> list[float]:
    """Node positions in nm from the layer's left end, both ends included, dense where the grading says.

    One smooth map of a uniform coordinate: doubling `refine` keeps the coarse nodes and halves every cell in that
    coordinate, so the error of the scheme has an expansion in even powers of the step.
    """
    kind, a = layer.grading
    count = layer.edges * refine
    unit = {
        "left": lambda s: math.sinh(a * s) / math.sinh(a),
        "right": lambda s: 1.0 - math.sinh(a * (1.0 - s)) / math.sinh(a),
        "both": lambda s: 0.5 + 0.5 * math.tanh(a * (2.0 * s - 1.0)) / math.tanh(a),
    }[kind]
    nodes = [layer.thickness_nm * unit(i / count) for i in range(count + 1)]
    nodes[0], nodes[-1] = 0.0, layer.thickness_nm
    return nodes


def mesh(device: Device, refine: int) -> list[list[float]]:
    """Node positions in cm, layer by layer (the interface node ends one list and starts the next)."""
    start, result = 0.0, []
    for layer in device.layers:
        result.append([(start + x) * 1e-7 for x in layer_nodes(layer, refine)])
        start += layer.thickness_nm
    return result


# -------------------------------------------------------------------------------------------------------- devsim model


UNKNOWNS = ("Potential", "Elec", "Hole")

DOT_JUMPS = {
    ("0", "e"): "H_n*take_n_{end}", ("e", "0"): "H_n*give_n", ("h", "X"): "H_n*take_n_{end}", ("X", "h"): "H_n*give_n",
    ("0", "h"): "H_p*take_p_{end}", ("h", "0"): "H_p*give_p", ("e", "X"): "H_p*take_p_{end}", ("X", "e"): "H_p*give_p",
    ("X", "0"): "1/tau_x", ("0", "X"): "excite@{end}",
}  # fmt: skip


def tree_sum(root: str, end: str) -> str:
    """The unnormalised population of a state by the matrix-tree theorem: products of rates along every spanning tree
    of the graph of states that leads to it, eight of them."""
    others = [state for state in "0ehX" if state != root]
    terms = []
    for ways in product(*([jump for jump in DOT_JUMPS if jump[0] == state] for state in others)):
        onward = dict(ways)

        def arrives(state: str, onward: dict = onward) -> bool:
            for _ in others:
                state = onward.get(state, root)
            return state == root

        if all(arrives(state) for state in others):
            terms.append("*".join(f"({DOT_JUMPS[jump].format(end=end)})" for jump in ways))
    return "+".join(terms)


def ion_models(node) -> None:
    """Charge of the ions and their background, in elementary charges per cm^3."""
    node("crowd", "exp((ion_level+ion_level_rest-Potential)/vt)", Potential="-crowd/vt")
    charge = "ions*(crowd/(1+ions/ion_sites*(crowd-1))-1)"
    node("IonCharge", charge, Potential=f"diff({charge},Potential)")


def escape_models(edge, carrier: str, barrier_eV: float) -> None:
    """H = sinh(z)/z + integral of exp(y - b y^1.5) from 0 to the barrier, of the field on the edge, z = q F R/kT."""
    points, weights = np.polynomial.legendre.leggauss(48)
    roots = [(1.0 + x) / 2.0 for x in points.tolist()]
    depth = barrier_eV / THERMAL_VOLTAGE_V
    energies = [depth * t**4 for t in roots]  # many near 0, where the integrand is in weak fields
    parts = [2.0 * depth * t**3 * w for t, w in zip(roots, weights.tolist(), strict=True)]
    terms = [f"{w!r}*exp({y!r}-steepness*{y**1.5!r}/strength)" for y, w in zip(energies, parts, strict=True)]
    rises = [f"{y**1.5!r}*{term}" for y, term in zip(energies, terms, strict=True)]
    edge(f"rise_{carrier}", f"steepness*({'+'.join(rises)})/strength^2")
    slope = "thermionic:Potential@{end}+rise_{carrier}*strength:Potential@{end}"
    slopes = tuple(slope.format(end=end, carrier=carrier) for end in ("n0", "n1"))
    edge(f"H_{carrier}", f"thermionic+{'+'.join(terms)}", Potential=slopes)


def dot_models(edge, dots: Dots, gap_eV: float) -> None:
    """Charge of the dots (elementary charges per cm^3) and the pairs they lose (cm^-3 s^-1) at both ends of an edge,
    whose field both have. devsim differentiates these expressions by itself (`diff`)."""

    def differentiated(model: str, equation: str, *variables: str) -> None:
        edge(model, equation, **{v: tuple(f"diff({equation},{v}@{end})" for end in ("n0", "n1")) for v in variables})

    if dots.escape is None:
        edge("H_n", "1")
        edge("H_p", "1")
    else:
        drop = "(Potential@n0-Potential@n1)"
        edge("field", f"{drop}*EdgeInverseLength", Potential=("EdgeInverseLength", "-EdgeInverseLength"))
        differentiated("field2", "field^2/(1+(field/field_ceiling)^4)^0.5", "Potential")
        differentiated("strength", "field2/(field2+field_floor^2)^0.5+1e-20", "Potential")
        differentiated("tilt", "(field2*(radius/vt)^2+1e-30)^0.5", "Potential")
        differentiated("thermionic", "(exp(tilt)-exp(-tilt))/(2*tilt)", "Potential")
        escape_models(edge, "n", dots.electron_offset_eV)
        escape_models(edge, "p", gap_eV - dots.exciton_energy_eV - dots.electron_offset_eV)
    edge("give_n", "capture*nc*exp(-offset_n/vt)/g_n")
    edge("give_p", "capture*nv*exp(-(gap-exciton-offset_n)/vt)/g_p")
    for end in ("n0", "n1"):

        def here(slope: str, end: str = end) -> tuple[str, str]:
            return (slope, "0") if end == "n0" else ("0", slope)

        n, p = f"take_n_{end}", f"take_p_{end}"
        edge(n, f"capture*n@{end}", Potential=here(f"{n}/vt"), Elec=here(f"-{n}/vt"))
        edge(p, f"capture*p@{end}", Potential=here(f"-{p}/vt"), Hole=here(f"{p}/vt"))
        for state in "0ehX":
            differentiated(f"weight_{state}_{end}", tree_sum(state, end), *UNKNOWNS)
        empty, electron, hole, exciton = (f"weight_{state}_{end}" for state in "0ehX")
        every = f"({empty}+{electron}+{hole}+{exciton})"
        differentiated(f"DotCharge_{end}", f"dots*({hole}-{electron})/{every}", *UNKNOWNS)
        # every pair that is lost recombines in a dot; float128 has digits to spare for the difference
        differentiated(f"DotLoss_{end}", f"dots*({exciton}/tau_x-{empty}*excite@{end})/{every}", *UNKNOWNS)
    for label, factor, source, current in (
        ("Potential", "-q", "DotCharge", "Displacement"),
        ("Electron", "-q", "DotLoss", "ElectronCurrent"),
        ("Hole", "q", "DotLoss", "HoleCurrent"),
    ):
        # devsim gives both ends the same of what it integrates over an edge, and a current to one what it takes from
        # the other: the mean and half the difference of the two ends
        differentiated(f"{label}Mean", f"{factor}*({source}_n0+{source}_n1)/2", *UNKNOWNS)
        differentiated(f"{label}Flux", f"{current}+{factor}*({source}_n0-{source}_n1)*EdgeLength/4", *UNKNOWNS)


def expression_models(ds, name: str, layer: Layer) -> None:
    """Unknowns psi, phi_n, phi_p in V, with every model and its derivatives (chain rule, `model:variable`).

    `Hole` is phi_p - V_anode, so that each majority quasi-Fermi level is stored relative to its own contact and keeps
    its digits where it is flat. No density is ever subtracted from another: expm1(x) = x / B(x), with devsim's
    Bernoulli function B(x) = x / expm1(x), takes the difference of the quasi-Fermi levels.
    """

    region, dots = layer.name, layer.dots

    def node(model: str, equation: str, **derivatives: str) -> None:
        ds.node_model(device=name, region=region, name=model, equation=equation)
        for variable, derivative in derivatives.items():
            ds.node_model(device=name, region=region, name=f"{model}:{variable}", equation=derivative)

    def edge(model: str, equation: str, **derivatives: tuple[str, str]) -> None:
        ds.edge_model(device=name, region=region, name=model, equation=equation)
        for variable, ends in derivatives.items():
            for end, derivative in zip(("n0", "n1"), ends, strict=True):
                ds.edge_model(device=name, region=region, name=f"{model}:{variable}@{end}", equation=derivative)

    for variable in UNKNOWNS:
        ds.node_solution(device=name, region=region, name=variable)

    # Boltzmann densities; E_c = -q psi - chi, E_v = E_c - E_g.
    node("n", "nc*exp((Potential+chi-Elec)/vt)", Potential="n/vt", Elec="-n/vt")
    node("p", "nv*exp((Hole+va-Potential-chi-gap)/vt)", Potential="-p/vt", Hole="p/vt")
    by_ions = ""
    if layer.mobile_ions is not None:
        ion_models(node)
        by_ions = "-q*IonCharge"
    slope = f"q*(p+n)/vt{by_ions}:Potential" if by_ions else "q*(p+n)/vt"
    node("Charge", f"-q*(p-n+doping){by_ions}", Potential=slope, Elec="-q*n/vt", Hole="-q*p/vt")

    # R = (n p - n_i^2) rate; n p - n_i^2 = n_i^2 expm1((phi_p - phi_n)/V_T); SRH with n_1 = p_1 = n_i.
    node("ni2", "nc*nv*exp(-gap/vt)")
    node("ni", "ni2^0.5")
    node("split", "(Hole+va-Elec)/vt")
    node("excess", "ni2*split/B(split)", Elec="-n*p/vt", Hole="n*p/vt")
    node("srh_rate", "srh/(tau_p*(n+ni)+tau_n*(p+ni))")
    node("rate", "srh_rate+rad+auger_n*n+auger_p*p")
    node("rate_dn", "auger_n-tau_p*srh_rate^2")  # srh is 0 or 1
    node("rate_dp", "auger_p-tau_n*srh_rate^2")
    slope = {
        "Potential": "excess*(rate_dn*n-rate_dp*p)/vt",
        "Elec": "-(n*p*rate+excess*rate_dn*n)/vt",
        "Hole": "(n*p*rate+excess*rate_dp*p)/vt",
    }
    node("HoleSink", "q*(excess*rate-light*Generation)", **{v: f"q*{d}" for v, d in slope.items()})
    node("ElectronSink", "-q*(excess*rate-light*Generation)", **{v: f"-q*{d}" for v, d in slope.items()})

    for model in ("Potential", "Elec", "Hole", "n", "p"):
        ds.edge_from_node_model(device=name, region=region, node_model=model)
    edge(
        "Displacement", "eps*(Potential@n0-Potential@n1)*EdgeInverseLength",
        Potential=("eps*EdgeInverseLength", "-eps*EdgeInverseLength"),
    )  # fmt: skip
    # Scharfetter-Gummel, current from n0 to n1, with the quasi-Fermi difference factored out:
    # J_n = (q mu V_T/h) n_0 B(-d psi) expm1(-d phi_n),  J_p = -(q mu V_T/h) p_0 B(d psi) expm1(d phi_p), d in V_T.
    edge("dpsi", "(Potential@n1-Potential@n0)/vt")
    edge("dn", "(Elec@n1-Elec@n0)/vt")
    edge("dp", "(Hole@n1-Hole@n0)/vt")
    edge("n_factor", "q*mu_n*vt*EdgeInverseLength*n@n0*B(-dpsi)")
    edge("p_factor", "q*mu_p*vt*EdgeInverseLength*p@n0*B(dpsi)")
    edge("n_log_slope", "dBdx(-dpsi)/B(-dpsi)")
    edge("p_log_slope", "dBdx(dpsi)/B(dpsi)")
    edge(
        "ElectronCurrent", "-n_factor*dn/B(-dn)",
        Potential=("ElectronCurrent*(1+n_log_slope)/vt", "-ElectronCurrent*n_log_slope/vt"),
        Elec=("n_factor/vt", "-n_factor*exp(-dn)/vt"),
    )  # fmt: skip
    edge(
        "HoleCurrent", "-p_factor*dp/B(dp)",
        Potential=("-HoleCurrent*(1+p_log_slope)/vt", "HoleCurrent*p_log_slope/vt"),
        Hole=("p_factor/vt", "-p_factor*exp(dp)/vt"),
    )  # fmt: skip
    edge("TotalCurrent", "ElectronCurrent+HoleCurrent")
    if dots is not None:
        node("excite", "g_n*g_p*exp(-exciton/vt)/tau_x+light*excitation*exp(-(x-start)/decay)")
        ds.edge_from_node_model(device=name, region=region, node_model="excite")
        dot_models(edge, dots, layer.band_gap_eV)

    for label, variable, node_term, edge_term in (
        ("Potential", "Potential", "Charge", "Displacement"),
        ("Electron", "Elec", "ElectronSink", "ElectronCurrent"),
        ("Hole", "Hole", "HoleSink", "HoleCurrent"),
    ):
        along = {"edge_model": edge_term}
        if dots is not None:
            along = {"edge_model": f"{label}Flux", "edge_volume_model": f"{label}Mean"}
        ds.equation(
            device=name, region=region, name=f"{label}Equation", variable_name=variable, node_model=node_term,
            variable_update="log_damp", **along,
        )  # fmt: skip


class Model:
    """One device on one mesh in devsim."""

    def __init__(self, device: Device, refine: int) -> None:
        import devsim as ds  # pyright: ignore[reportMissingImports]

        for key in ("extended_solver", "extended_model", "extended_equation"):
            ds.set_parameter(name=key, value=True)
        ds.set_parameter(name="debug_level", value="info")
        self.ds, self.device = ds, device
        self.nodes = mesh(device, refine)
        ionic = [layer for layer in device.layers if layer.mobile_ions is not None]
        self.ionic = ionic[0] if ionic else None  # of one layer at most
        self.level_slope = 1.0 / THERMAL_VOLTAGE_V
        self.name = name = f"{device.name}_{refine}"
        self._make_mesh()
        for key, value in (("q", ELEMENTARY_CHARGE_C), ("vt", THERMAL_VOLTAGE_V), ("va", 0.0), ("light", 0.0)):
            ds.set_parameter(device=name, name=key, value=value)
        for layer, nodes in zip(device.layers, self.nodes, strict=True):
            self._set_layer(layer, nodes[0])
        for left, right in zip(device.layers, device.layers[1:], strict=False):
            self._join(f"{left.name}_{right.name}")
        self._contact("left", device.layers[0])
        self._contact("right", device.layers[-1])
        self.reset()

    def _make_mesh(self) -> None:
        ds, name = self.ds, self.name
        ds.create_1d_mesh(mesh=name)
        far = 1.0  # spacing longer than any cell: devsim adds no nodes of its own
        for k, nodes in enumerate(self.nodes):
            for i, x in enumerate(nodes[:-1]):
                tag = {"tag": f"start{k}"} if i == 0 else {}
                ds.add_1d_mesh_line(mesh=name, pos=x, ps=far, ns=far, **tag)
        ds.add_1d_mesh_line(mesh=name, pos=self.nodes[-1][-1], ps=far, ns=far, tag=f"start{len(self.nodes)}")
        layers = self.device.layers
        for k, layer in enumerate(layers):
            ds.add_1d_region(mesh=name, material=layer.name, region=layer.name, tag1=f"start{k}", tag2=f"start{k + 1}")
        for k in range(1, len(layers)):
            ds.add_1d_interface(mesh=name, name=f"{layers[k - 1].name}_{layers[k].name}", tag=f"start{k}")
        ds.add_1d_contact(mesh=name, name="left", tag="start0", material="metal")
        ds.add_1d_contact(mesh=name, name="right", tag=f"start{len(layers)}", material="metal")
        ds.finalize_mesh(mesh=name)
        ds.create_device(mesh=name, device=name)

    def _set_layer(self, layer: Layer, start_cm: float) -> None:
        ds, name, region = self.ds, self.name, layer.name
        has_srh = layer.electron_lifetime_s is not None
        values = {
            "chi": layer.electron_affinity_eV, "gap": layer.band_gap_eV,
            "eps": layer.relative_permittivity * VACUUM_PERMITTIVITY_F_PER_CM,
            "nc": layer.conduction_dos_cm3, "nv": layer.valence_dos_cm3,
            "mu_n": layer.electron_mobility_cm2_per_Vs, "mu_p": layer.hole_mobility_cm2_per_Vs,
            "doping": layer.donor_density_cm3 - layer.acceptor_density_cm3, "srh": 1.0 if has_srh else 0.0,
            "tau_n": layer.electron_lifetime_s if has_srh else 1.0, "tau_p": layer.hole_lifetime_s if has_srh else 1.0,
            "rad": layer.radiative_coefficient_cm3_per_s,
            "auger_n": layer.electron_auger_cm6_per_s, "auger_p": layer.hole_auger_cm6_per_s,
            "generation": layer.generation_cm3_per_s, "decay": layer.generation_decay_nm * 1e-7, "start": start_cm,
        }  # fmt: skip
        if layer.mobile_ions is not None:
            values |= {"ions": layer.mobile_ions.density_cm3, "ion_sites": layer.mobile_ions.site_density_cm3}
        if (dots := layer.dots) is not None:
            values |= {
                "dots": dots.density_cm3, "capture": dots.capture_coefficient_cm3_per_s,
                "offset_n": dots.electron_offset_eV, "exciton": dots.exciton_energy_eV,
                "tau_x": dots.exciton_lifetime_s, "g_n": dots.electron_degeneracy, "g_p": dots.hole_degeneracy,
                "excitation": dots.excitation_per_s,
            }  # fmt: skip
            if (escape := dots.escape) is not None:
                wave = math.sqrt(2.0 * escape.barrier_mass_m0 * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S
                values |= {
                    "radius": escape.radius_nm * 1e-7, "steepness": 4.0 / 3.0 * wave * THERMAL_VOLTAGE_V**1.5 / 100.0,
                    "field_floor": escape.field_floor_V_per_cm, "field_ceiling": escape.field_ceiling_V_per_cm,
                }  # fmt: skip
        for key, value in values.items():
            ds.set_parameter(device=name, region=region, name=key, value=value)
        ds.node_model(device=name, region=region, name="Generation", equation="generation*exp(-(x-start)/decay)")
        expression_models(ds, name, layer)

    def _join(self, interface: str) -> None:
        """psi and both quasi-Fermi potentials continuous; the half cells of both sides share one balance equation."""
        ds = self.ds
        for variable, label in (
            ("Potential", "PotentialEquation"),
            ("Elec", "ElectronEquation"),
            ("Hole", "HoleEquation"),
        ):
            model = f"continuous{variable}"
            for suffix, equation in (
                ("", f"{variable}@r0-{variable}@r1"),
                (f":{variable}@r0", "1"),
                (f":{variable}@r1", "-1"),
            ):
                ds.interface_model(device=self.name, interface=interface, name=model + suffix, equation=equation)
            ds.interface_equation(
                device=self.name, interface=interface, name=label, interface_model=model, type="continuous"
            )

    def _contact(self, contact: str, layer: Layer) -> None:
        """Ohmic: phi_n = phi_p = the contact's potential, and charge neutrality p - n + C = 0."""
        ds = self.ds
        anode = contact == self.device.anode
        half = "(doping/2)"
        root = f"(({half}^2+nc*nv*exp(-gap/vt))^0.5)"
        if layer.donor_density_cm3 > layer.acceptor_density_cm3:
            neutral = f"(vt*log(({half}+{root})/nc)-chi)"
        else:
            neutral = f"(-vt*log(({root}-{half})/nv)-chi-gap)"
        applied = "va" if anode else "0"
        for variable, label, target in (
            ("Potential", "PotentialEquation", f"({applied}+{neutral})"),
            ("Elec", "ElectronEquation", applied),
            ("Hole", "HoleEquation", "0" if anode else "-va"),
        ):
            model = f"{contact}{variable}"
            ds.contact_node_model(device=self.name, contact=contact, name=model, equation=f"{variable}-({target})")
            ds.contact_node_model(device=self.name, contact=contact, name=f"{model}:{variable}", equation="1")
            ds.contact_equation(device=self.name, contact=contact, name=label, node_model=model)

    # ---- solving

    def reset(self) -> None:
        """Equilibrium at V = 0 in the dark, from a straight line between the neutral potentials of the two contacts."""
        ds, layers = self.ds, self.device.layers
        ds.set_parameter(device=self.name, name="va", value=0.0)
        ds.set_parameter(device=self.name, name="light", value=0.0)

        def neutral(layer: Layer) -> float:
            doping = layer.donor_density_cm3 - layer.acceptor_density_cm3
            if doping > 0:
                return -layer.electron_affinity_eV + THERMAL_VOLTAGE_V * math.log(doping / layer.conduction_dos_cm3)
            return (
                -layer.electron_affinity_eV
                - layer.band_gap_eV
                - THERMAL_VOLTAGE_V * math.log(-doping / layer.valence_dos_cm3)
            )

        left, right = neutral(layers[0]), neutral(layers[-1])
        start, end = self.nodes[0][-1], self.nodes[-1][0]
        for layer, nodes in zip(layers, self.nodes, strict=True):
            if layer is layers[0]:
                guess = [left] * len(nodes)
            elif layer is layers[-1]:
                guess = [right] * len(nodes)
            else:
                guess = [left + (right - left) * (x - start) / (end - start) for x in nodes]
            for variable, values in (("Potential", guess), ("Elec", [0.0] * len(nodes)), ("Hole", [0.0] * len(nodes))):
                ds.set_node_values(device=self.name, region=layer.name, name=variable, values=values)
            if layer is self.ionic:
                self._set_level(sum(guess) / len(guess), 0.0)
        if not self._solve():
            raise RuntimeError(f"{self.name}: equilibrium does not converge")

    def _set_level(self, level: float, rest: float) -> None:
        """Of the ions, V: the sum of two numbers, since a level of some V would leave only 1e-14 of their number."""
        whole = level + rest
        for key, value in (("ion_level", whole), ("ion_level_rest", rest - (whole - level))):
            self.ds.set_parameter(device=self.name, region=self.ionic.name, name=key, value=value)

    def _level(self) -> tuple[float, float]:
        level, rest = (
            self.ds.get_parameter(device=self.name, region=self.ionic.name, name=key)
            for key in ("ion_level", "ion_level_rest")
        )
        return level, rest

    def _surplus(self) -> float:
        """Ions that there are too many of, over their number."""
        excess, volume = (
            self.ds.get_node_model_values(device=self.name, region=self.ionic.name, name=model)
            for model in ("IonCharge", "NodeVolume")
        )
        total = math.fsum(a * b for a, b in zip(excess, volume, strict=True))
        return total / (self.ionic.mobile_ions.density_cm3 * self.ionic.thickness_nm * 1e-7)

    def _solve(self) -> bool:
        """Newton's iteration, and around it the secant method for the level of the ions that conserves their number."""
        if not self._newton():
            return False
        if self.ionic is None:
            return True
        surplus = self._surplus()
        for _ in range(60):
            if abs(surplus) <= CONSERVED:
                return True
            step = -surplus / self.level_slope
            step = math.copysign(min(abs(step), LONGEST_LEVEL_STEP_V), step)
            level, rest = self._level()
            self._set_level(level, rest + step)
            if not self._newton():
                return False
            before, surplus = surplus, self._surplus()
            if (surplus - before) / step > 0.0:  # near the end it is rounding
                self.level_slope = (surplus - before) / step
        return False

    def _newton(self) -> bool:
        # The linear solves are double precision, the residual float128: Newton's last steps are iterative refinement,
        # so the tolerance on the update (in V) can be far below 1e-16.
        try:
            info = self.ds.solve(
                type="dc", absolute_error=ABSOLUTE_ERROR_V, relative_error=1e40, maximum_iterations=200,
                maximum_divergence=200, maximum_error=1e30, info=True,
            )  # fmt: skip
        except self.ds.error:
            return False
        self.iterations = len(info["iterations"])
        return bool(info["converged"])

    def state(self) -> tuple[dict, tuple[float, float] | None]:
        get = self.ds.get_node_model_values
        unknowns = {
            (r.name, v): list(get(device=self.name, region=r.name, name=v))
            for r in self.device.layers
            for v in UNKNOWNS
        }
        return unknowns, None if self.ionic is None else self._level()

    def restore(self, state: tuple[dict, tuple[float, float] | None]) -> None:
        unknowns, level = state
        for (region, variable), values in unknowns.items():
            self.ds.set_node_values(device=self.name, region=region, name=variable, values=values)
        if level is not None:
            self._set_level(*level)

    def move(self, value: float) -> None:
        """Raises or lowers the parameter in steps of at most 50 mV and solves, halving the step when Newton fails."""
        ds = self.ds
        here = ds.get_parameter(device=self.name, name="va")
        step = math.copysign(min(abs(value - here), LONGEST_BIAS_STEP_V), value - here)
        while here != value:
            before = self.state()
            target = value if abs(value - here) <= abs(step) * (1 + 1e-9) else here + step
            ds.set_parameter(device=self.name, name="va", value=target)
            if self._solve():
                here = target
            else:
                ds.set_parameter(device=self.name, name="va", value=here)
                self.restore(before)
                step /= 2
                if abs(step) < 1e-4 * abs(value):
                    raise RuntimeError(f"{self.name}: no convergence at {target} V")

    def current(self) -> tuple[float, float]:
        """Forward current density (A/cm2), and its spread (max - min) over all edges."""
        sign = 1.0 if self.device.anode == "left" else -1.0
        values: list[float] = []
        for layer in self.device.layers:
            values += self.ds.get_edge_model_values(device=self.name, region=layer.name, name="TotalCurrent")
        values.sort()
        return sign * values[len(values) // 2] + 0.0, values[-1] - values[0]  # + 0.0 turns -0.0 into 0.0

    def sweep(self, condition: str) -> dict[float, tuple[float, float]]:
        self.reset()
        if condition == "lit":
            for exponent in range(-18, 1, 2):
                self.ds.set_parameter(device=self.name, name="light", value=10.0**exponent)
                if not self._solve():
                    raise RuntimeError(f"{self.name}: no convergence at light = 1e{exponent}")
        start = self.state()
        result = {}
        voltages = self.device.voltages_V
        for branch in ([v for v in voltages if v >= 0], sorted((v for v in voltages if v < 0), reverse=True)):
            self.ds.set_parameter(device=self.name, name="va", value=0.0)
            self.restore(start)
            self._solve()
            for v in branch:
                self.move(v)
                result[v] = self.current()
        return dict(sorted(result.items()))

    def close(self) -> None:
        self.ds.delete_device(device=self.name)
        self.ds.delete_mesh(mesh=self.name)


# --------------------------------------------------------------------------------------------- extrapolation and files


def romberg(currents: list[float]) -> tuple[float, float]:
    """Limit of zero step of values on meshes halved each time, error in even powers of the step, and an error estimate:
    the larger of the last two corrections of the last two diagonals, and the rounding of the printed numbers."""
    rows: list[list[float]] = []
    for k, current in enumerate(currents):
        row = [current]
        for m in range(k):
            row.append(row[m] + (row[m] - rows[k - 1][m]) / (4.0 ** (m + 1) - 1.0))
        rows.append(row)
    value = rows[-1][-1]
    error = max(abs(value - rows[-1][-2]), abs(rows[-1][-2] - rows[-2][-1]), 4.0 * sys.float_info.epsilon * abs(value))
    return value, error


def observed_order(currents: list[float], limit: float) -> float | None:
    """log2 of the ratio of the last two differences; None where the quadratic error term (nearly) vanishes."""
    before, after = currents[-2] - currents[-3], currents[-1] - currents[-2]
    if abs(currents[0] - limit) <= 2e-5 * abs(limit):
        return None
    return math.log2(abs(before / after))


def flows(current: float) -> bool:
    return abs(current) > NO_CURRENT_A_PER_CM2


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[repr(x) if isinstance(x, float) else x for x in row] for row in rows])


def write_mesh(device: Device) -> None:
    rows: list[list] = []
    for layer, nodes in zip(device.layers, mesh(device, REFINEMENTS[0]), strict=True):
        rows += [[x, layer.name] for x in nodes[:-1]]
    rows.append([mesh(device, REFINEMENTS[0])[-1][-1], ""])
    table = [[i, x, name] for i, (x, name) in enumerate(rows)]
    write_csv(HERE / f"{device.name}_mesh.csv", ["node", "position_cm", "layer_to_the_right"], table)


def describe(device: Device) -> dict:
    layers = []
    for layer in device.layers:
        absent = [key for key in ("mobile_ions", "dots") if getattr(layer, key) is None]
        entry = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(layer).items() if k not in absent}
        entry["mesh"] = {"edges": entry.pop("edges"), "grading": entry.pop("grading")}
        offset = 0.5 * THERMAL_VOLTAGE_V * math.log(layer.conduction_dos_cm3 / layer.valence_dos_cm3)
        entry["trap_level_below_conduction_band_eV"] = 0.5 * layer.band_gap_eV + offset
        layers.append(entry)
    return {
        "device": device.name,
        "note": device.note,
        "constants": {
            "boltzmann_J_per_K": BOLTZMANN_J_PER_K,
            "elementary_charge_C": ELEMENTARY_CHARGE_C,
            "vacuum_permittivity_F_per_cm": VACUUM_PERMITTIVITY_F_PER_CM,
        },
        "temperature_K": TEMPERATURE_K,
        "thermal_voltage_V": THERMAL_VOLTAGE_V,
        "anode": device.anode,
        "contacts": {"left": "ohmic", "right": "ohmic"},
        "statistics": "boltzmann",
        "layers": layers,
    }


def generate(device: Device, version: str) -> None:
    print(f"{device.name}: layers {', '.join(layer.name for layer in device.layers)}", file=sys.stderr)
    sweeps: dict[str, list[dict[float, tuple[float, float]]]] = {condition: [] for condition in device.conditions}
    for refine in REFINEMENTS:
        started = time.perf_counter()
        model = Model(device, refine)
        for condition in device.conditions:
            sweeps[condition].append(model.sweep(condition))
        model.close()
        print(f"  refinement {refine}: {time.perf_counter() - started:.1f} s", file=sys.stderr)

    checks: dict[str, dict] = {}
    for condition, results in sweeps.items():
        extrapolated, fixed, orders, fixed_errors = [], [], [], []
        spread = 0.0
        for v in device.voltages_V:
            currents = [result[v][0] for result in results]
            value, error = romberg(currents)
            extrapolated.append([v, value, error])
            fixed.append([v, currents[0]])
            spread = max([spread, *(result[v][1] / abs(result[v][0]) for result in results if flows(result[v][0]))])
            if flows(value) and (order := observed_order(currents, value)) is not None:
                orders.append(order)
            if flows(value):
                fixed_errors.append(abs(currents[0] / value - 1.0))
        header = ["voltage_V", "current_density_A_per_cm2", "error_estimate_A_per_cm2"]
        write_csv(HERE / f"{device.name}_{condition}.csv", header, extrapolated)
        write_csv(HERE / f"{device.name}_{condition}_fixed_mesh.csv", header[:2], fixed)
        checks[condition] = {
            "largest_relative_error_estimate": max(e / abs(j) for _, j, e in extrapolated if flows(j)),
            "largest_relative_error_of_fixed_mesh": max(fixed_errors),
            "largest_relative_spread_over_edges": spread,
            "observed_order_smallest": min(orders),
            "observed_order_largest": max(orders),
            "observed_order_voltages": len(orders),
        }
        if condition == "dark":
            checks[condition]["current_density_at_0_V_A_per_cm2"] = [result[0.0][0] for result in results]
        else:
            photons = sum(
                layer.photons_cm3_per_s * layer.generation_decay_nm * 1e-7
                * -math.expm1(-layer.thickness_nm / layer.generation_decay_nm)
                for layer in device.layers
            )  # fmt: skip
            checks[condition]["collected_fraction_at_0_V"] = -extrapolated[device.voltages_V.index(0.0)][1] / (
                ELEMENTARY_CHARGE_C * photons
            )
        # A reference that fails its own checks must not pass quietly.
        leak = max(abs(result[0.0][0]) for result in results) if condition == "dark" else 0.0
        if spread > 1e-12 or leak > NO_CURRENT_A_PER_CM2:
            raise RuntimeError(f"{device.name} {condition}: checks fail: {checks[condition]}")
    write_mesh(device)
    description = describe(device)
    description["method"] = {
        "simulator": f"devsim {version}, extended precision (float128) models, equations and solver",
        "refinements": list(REFINEMENTS),
        "extrapolation": "Romberg in even powers of the step",
        "newton_absolute_error_V": ABSOLUTE_ERROR_V,
    }
    description["files"] = {
        condition: {
            "extrapolated": f"{device.name}_{condition}.csv",
            "fixed_mesh": f"{device.name}_{condition}_fixed_mesh.csv",
            "mesh": f"{device.name}_mesh.csv",
        }
        for condition in device.conditions
    }
    description["checks"] = checks
    (HERE / f"{device.name}.json").write_text(json.dumps(description, indent=2) + "\n")
    print(json.dumps(checks, indent=2), file=sys.stderr)


def check(device: Device) -> bool:
    """Live devsim on the committed mesh against the committed fixed-mesh tables."""
    passed = True
    model = Model(device, REFINEMENTS[0])
    for condition in device.conditions:
        with (HERE / f"{device.name}_{condition}_fixed_mesh.csv").open() as stream:
            rows = [[float(x) for x in row] for row in list(csv.reader(stream))[1:]]
        computed = model.sweep(condition)
        worst = max(abs(computed[v][0] - j) / max(abs(j), NO_CURRENT_A_PER_CM2) for v, j in rows)
        print(f"{device.name} {condition}: largest relative difference {worst:.1e}", file=sys.stderr)
        passed &= worst < 1e-12
    model.close()
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description="Reference J-V tables from devsim.")
    parser.add_argument("devices", nargs="*", metavar="device", help=f"any of {', '.join(DEVICES)} (default: all)")
    parser.add_argument("--check", action="store_true", help="recompute the fixed-mesh tables and compare")
    arguments = parser.parse_args()
    if unknown := set(arguments.devices) - set(DEVICES):
        parser.error(f"unknown device {sorted(unknown)[0]}; known: {', '.join(DEVICES)}")
    try:
        import devsim  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:
        print(f"devsim cannot be used: {error}\nIt needs a BLAS/LAPACK library, see README.md.", file=sys.stderr)
        return 2
    devices = [DEVICES[name]() for name in arguments.devices or DEVICES]
    if arguments.check:
        return 0 if all([check(device) for device in devices]) else 1
    for device in devices:
        generate(device, devsim.__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
