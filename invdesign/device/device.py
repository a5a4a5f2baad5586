"""A device: layers, contacts, terminals, light. What a user configures is what the physics sees.

Positions run from the left contact to the right one. The voltage is that of the anode against the cathode: V > 0 is
forward bias, reverse bias is V < 0 and is entered as a positive `reverse_bias_V`. Currents are positive when they
flow into the anode.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from invdesign.constants import BOLTZMANN_EV_PER_K, CM_PER_NM, ELEMENTARY_CHARGE_C
from invdesign.device.illumination import Dark, Illumination
from invdesign.device.mesh import INNER, OUTER, Mesh, layer_mesh
from invdesign.device.uncertainty import Uncertainty
from invdesign.materials.optical import require
from invdesign.materials.semiconductor import REFERENCE_K, Bulk, Electrical, Material
from invdesign.processes.field_emission import BarrierTraps, ContactBarrier, FowlerNordheim
from invdesign.processes.recombination import SurfaceRecombination
from invdesign.processes.statistics import neutral_level
from invdesign.schema import InputError, choice, quantity, setting

LOWEST_BARRIER_EV = 1e-3
"""Of a contact that injects: a metal whose Fermi level is at a band edge."""


class Surface(eqx.Module):
    """Recombination at a face of a layer, with the densities in this layer."""

    electron_velocity_cm_per_s: Float[Array, ""] = quantity(
        "cm/s", lower=0, open_lower=True, doc="recombination velocity of electrons at the face"
    )
    hole_velocity_cm_per_s: Float[Array, ""] = quantity(
        "cm/s", lower=0, open_lower=True, doc="recombination velocity of holes at the face"
    )
    trap_level_eV: Float[Array, ""] = quantity("eV", lower=-2, upper=2, default=0.0, doc="above the intrinsic level")

    def process(self, kT: Float[Array, ""], face_per_volume: Float[Array, "2 edge"]) -> SurfaceRecombination:
        """The jump, in half edges with this area of the face per volume (1/cm)."""
        return SurfaceRecombination(
            electron_velocity=self.electron_velocity_cm_per_s,
            hole_velocity=self.hole_velocity_cm_per_s,
            trap_level=self.trap_level_eV / kT,
            face_per_volume=face_per_volume,
        )


class LayerLeakage(eqx.Module):
    """Soft breakdown of a layer: under reverse bias its field lets A F^2 exp(-B/F) pass beside the junction.

    F is the field at one of its faces, where it drives carriers the way of a reverse current. Carriers jump from
    contact to contact, at this rate and at exp(qV/kT) times as much back (see `solve.leakage`).
    """

    prefactor_A_per_V2: Float[Array, ""] = quantity("A/V2", lower=0, doc="A of J = A F^2 exp(-B/F)")
    critical_field_V_per_cm: Float[Array, ""] = quantity("V/cm", lower=0, upper=1e9, open_lower=True, doc="B")
    face: str = choice("left", "right", default="left", doc="where the field is taken")

    def process(self) -> FowlerNordheim:
        """The law of its rate."""
        return FowlerNordheim(self.prefactor_A_per_V2 / ELEMENTARY_CHARGE_C, self.critical_field_V_per_cm)


class Layer(eqx.Module):
    """A slab of one material."""

    material: Material
    thickness_nm: Float[Array, ""] = quantity("nm", lower=0, upper=1e8, open_lower=True, doc="of the layer")
    edges: int = eqx.field(
        static=True, default=40, metadata=dict(lower=4, upper=4000, doc="mesh edges, if it carries current")
    )
    fine_depth: float | None = setting(
        default=None, lower=1e-4, upper=1, doc="depth of the fine edges at its faces, over the thickness (see mesh.py)"
    )
    fine_power: float | None = setting(
        default=None, lower=0, upper=8, doc="how steeply their density falls behind that depth; 0: uniform"
    )
    coherent: bool = eqx.field(
        static=True, default=True, metadata=dict(doc="optically coherent; false for thick glass")
    )
    left_surface: Surface | None = None
    right_surface: Surface | None = None
    leakage: LayerLeakage | None = None


class Contact(eqx.Module):
    """The end of the electrical device."""

    kind: eqx.AbstractClassVar[str]

    def potential(self, bulk: Bulk, kT: Float[Array, ""]) -> Float[Array, ""]:
        """Electrostatic potential (over kT/q) of the boundary against the contact's Fermi level, vacuum level at
        zero."""
        raise NotImplementedError

    @property
    def velocities(self) -> tuple[Float[Array, ""], Float[Array, ""]] | None:
        """Surface recombination velocities of electrons and holes (cm/s), or None where carriers are at equilibrium."""
        return None

    def enhancement(
        self, bulk: Bulk, inward_field: Float[Array, ""], kT: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Rates of electrons and holes across the contact, both ways, over those without a field (V/cm)."""
        return jnp.ones(()), jnp.ones(())


class Ohmic(Contact):
    """Charge neutrality and equilibrium with the metal."""

    kind: ClassVar[str] = "ohmic"

    def potential(self, bulk: Bulk, kT: Float[Array, ""]) -> Float[Array, "..."]:
        half_gap = bulk.band_gap / (2 * kT)
        midgap = -(bulk.electron_affinity / kT + half_gap) + (bulk.log_nv - bulk.log_nc) / 2
        log_ni = (bulk.log_nc + bulk.log_nv) / 2 - half_gap
        # asinh(doping/2ni) without forming 1/ni, which overflows in wide gaps
        magnitude = jnp.abs(bulk.doping)
        ratio_log = jnp.log(jnp.where(magnitude > 0, magnitude, 1.0)) - log_ni - jnp.log(2.0)
        large = ratio_log > 20
        moderate = jnp.arcsinh(jnp.exp(jnp.where(large, 0.0, ratio_log)))
        level = jnp.where(large, ratio_log + jnp.log(2.0), moderate)
        potential = midgap + jnp.where(magnitude > 0, jnp.sign(bulk.doping) * level, 0.0)
        if not bulk.fermi_dirac:
            return potential
        edge = bulk.electron_affinity / kT
        return neutral_level(bulk.log_nc, bulk.log_nv, 2 * half_gap, bulk.doping, potential + edge) - edge


class InjectionTraps(eqx.Module):
    """Traps in front of a metal, by way of which carriers tunnel into the band (see `BarrierTraps`)."""

    density_cm3: Float[Array, ""] = quantity("cm-3", lower=0, upper=1e22, open_lower=True, doc="of traps")
    depth_eV: Float[Array, ""] = quantity(
        "eV", lower=0, upper=5, open_lower=True, doc="below the conduction band; those of holes above the valence band"
    )
    extent_nm: Float[Array, ""] = quantity(
        "nm", lower=0, upper=100, open_lower=True, default=5.0, doc="how far from the metal there are traps"
    )
    attempt_rate_per_s: Float[Array, ""] = quantity(
        "1/s", lower=0, open_lower=True, default=1e12, doc="rate of a jump in or out without a barrier"
    )

    def process(self, supply: Float[Array, ""]) -> BarrierTraps:
        """In a barrier that would emit `supply` (cm^-2 s^-1) if it were not there."""
        extent_cm = CM_PER_NM * self.extent_nm
        return BarrierTraps(self.depth_eV, extent_cm, self.attempt_rate_per_s * self.density_cm3 * extent_cm / supply)


class Injection(eqx.Module):
    """What the field at a metal does to its barriers: image-force lowering and tunnelling, straight or by way of traps
    (see `ContactBarrier`)."""

    tunnelling_mass: Float[Array, ""] = quantity(
        "m0", lower=0, upper=100, open_lower=True, default=0.2, doc="of electrons and holes in the barrier"
    )
    image_permittivity: Float[Array, ""] | None = quantity(
        "1", lower=1, upper=1e4, default=None, doc="seen by the image charge; without it the layer's static one"
    )
    traps: InjectionTraps | None = None

    def barrier(self, height_eV: Float[Array, ""], bulk: Bulk, supply: Float[Array, ""]) -> ContactBarrier:
        """The barrier of one kind of carrier to a layer; `supply` is the metal's emission if there were none (velocity
        times density of states, cm^-2 s^-1)."""
        permittivity = bulk.permittivity if self.image_permittivity is None else self.image_permittivity
        traps = None if self.traps is None else self.traps.process(supply)
        return ContactBarrier(jnp.maximum(height_eV, LOWEST_BARRIER_EV), self.tunnelling_mass, permittivity, traps)


class Schottky(Contact):
    """A metal of given work function; carriers cross with surface recombination velocities.

    With `injection` the field that pulls carriers out of the metal lowers and thins their barrier. It multiplies the
    rates both ways, so that their ratio stays exp((E_F of the metal - quasi-Fermi level)/kT).
    """

    kind: ClassVar[str] = "schottky"
    work_function_eV: Float[Array, ""] = quantity(
        "eV", lower=0, upper=10, doc="vacuum level above the metal's Fermi level"
    )
    electron_velocity_cm_per_s: Float[Array, ""] = quantity(
        "cm/s", lower=0, open_lower=True, default=1e7, doc="recombination velocity of electrons at the face"
    )
    hole_velocity_cm_per_s: Float[Array, ""] = quantity(
        "cm/s", lower=0, open_lower=True, default=1e7, doc="recombination velocity of holes at the face"
    )
    injection: Injection | None = None

    def potential(self, bulk: Bulk, kT: Float[Array, ""]) -> Float[Array, ""]:
        return -self.work_function_eV / kT

    @property
    def velocities(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return self.electron_velocity_cm_per_s, self.hole_velocity_cm_per_s

    def enhancement(
        self, bulk: Bulk, inward_field: Float[Array, ""], kT: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        if self.injection is None:
            return super().enhancement(bulk, inward_field, kT)
        electron = self.work_function_eV - bulk.electron_affinity
        supplies = [v * jnp.exp(states) for v, states in zip(self.velocities, (bulk.log_nc, bulk.log_nv), strict=True)]
        electrons = self.injection.barrier(electron, bulk, supplies[0])
        holes = self.injection.barrier(bulk.band_gap - electron, bulk, supplies[1])
        return electrons.enhancement(-inward_field, kT), holes.enhancement(inward_field, kT)


class Contacts(eqx.Module):
    """Both ends of the electrical device."""

    left: Contact
    right: Contact


class Shunt(eqx.Module):
    """A leakage path parallel to the junction.

    Conductance per area 1/resistance, times exp(-(t - t_ref)/leakage length) summed over the thickness t of the
    blocking layers:
    pinholes that a thicker layer covers (an assumption that can be replaced; an infinite leakage length switches it
    off). Its noise is
    4kT/R at equilibrium and F * 2qI at high bias (F = 1 for a few tunnelling paths, 0 for a macroscopic resistor):
    S = 4kT/R [(1-F) + F x coth x], x = qV/2kT (Blanter and Buettiker 2000, DOI 10.1016/S0370-1573(99)00123-4).
    A conductance that fluctuates slowly adds flicker * I^2/(area f^exponent), I the current of the path.
    """

    resistance_ohm_cm2: Float[Array, ""] = quantity(
        "ohm cm2", lower=0, open_lower=True, doc="at the reference thickness"
    )
    fano: Float[Array, ""] = quantity(
        "1",
        lower=0,
        upper=1,
        default=1.0,
        doc="noise at high bias over 2qI: 1 for a few tunnelling paths, 0 for a macroscopic resistor",
    )
    flicker_cm2: Float[Array, ""] = quantity(
        "cm2", lower=0, default=0.0, doc="1/f noise of the leakage, times the area: S_I/I^2 at 1 Hz, in 1/Hz"
    )
    flicker_exponent: Float[Array, ""] = quantity("1", lower=0.5, upper=3, default=1.0, doc="b of its f^-b")
    leakage_length_nm: Float[Array, ""] = quantity(
        "nm",
        lower=0,
        open_lower=True,
        default=1e9,
        doc="thickness of blocking layers that lets e times less through; 1e9: no effect",
    )
    reference_blocking_nm: Float[Array, ""] = quantity("nm", lower=0, default=0.0, doc="total of the blocking layers")
    blocking_layers: tuple[str, ...] = eqx.field(
        static=True, default=(), metadata=dict(doc="layers that cover its paths as they grow")
    )
    activation_energy_eV: Float[Array, ""] = quantity(
        "eV", lower=0, upper=3, default=0.0, doc="the conductance follows exp(-E/kT); given at 300 K"
    )


class Terminals(eqx.Module):
    """What stands between the junction and the outside."""

    series_resistance_ohm: Float[Array, ""] = quantity(
        "ohm", lower=0, default=0.0, doc="between the junction and the terminals"
    )
    shunt: Shunt | None = None


class Ions(eqx.Module):
    """What the mobile ions of a device do; no matter where there are none. While a signal varies they stand still."""

    kind: eqx.AbstractClassVar[str]


class Relaxed(Ions):
    """They have come to rest at every bias and light: slow sweeps."""

    kind: ClassVar[str] = "relaxed"


class Frozen(Ions):
    """They came to rest in the dark at one bias and stay where they were: fast sweeps."""

    kind: ClassVar[str] = "frozen"
    reverse_bias_V: Float[Array, ""] = quantity("V", lower=-10, upper=1000, default=0.0, doc="where they came to rest")


class Device(eqx.Module):
    """A layered device.

    `order` lists the layers from left to right; those that carry current must stand together, with optical layers
    only outside.
    """

    order: tuple[str, ...] = eqx.field(static=True, metadata=dict(doc="names of the layers, left to right"))
    layers: dict[str, Layer]
    contacts: Contacts
    temperature_K: Float[Array, ""] = quantity("K", lower=10, upper=1000, default=300.0, doc="of the whole device")
    area_cm2: Float[Array, ""] = quantity("cm2", lower=0, open_lower=True, default=0.07, doc="electrical area")
    anode: str = choice("left", "right", default="right", doc="the contact that is positive under forward bias")
    illuminated_side: str = choice("left", "right", default="left", doc="where the light comes from")
    design_wavelength_nm: Float[Array, ""] = quantity(
        "nm", lower=100, upper=1e5, default=1240.0, doc="light it is made for; the objective's default"
    )
    terminals: Terminals = Terminals()
    illumination: Illumination = Dark()
    ions: Ions = Relaxed()
    uncertainty: Uncertainty | None = None
    name: str = eqx.field(
        static=True,
        default="device",
        metadata=dict(doc="in messages and results; files of design variables and parameters go by it"),
    )

    def __check_init__(self) -> None:
        if not self.order:
            raise InputError("order: the list of layers is empty; name at least one layer that carries current")
        missing = [name for name in self.order if name not in self.layers]
        if missing:
            raise InputError(f"order: '{missing[0]}' is not among layers; allowed: {', '.join(self.layers)}")
        if len(set(self.order)) < len(self.order):
            raise InputError("order: a layer is named twice; give each layer its own name")
        carries = [isinstance(self.layers[name].material, Electrical) for name in self.order]
        if not any(carries):
            raise InputError(
                "order: no layer carries current; at least one needs a semiconductor or dots_in_host material"
            )
        first, last = carries.index(True), len(carries) - carries[::-1].index(True)
        if not all(carries[first:last]):
            inner = self.order[first + carries[first:last].index(False)]
            raise InputError(
                f"order: optical layer '{inner}' stands between layers that carry current; move it outside"
            )
        blocking = () if self.terminals.shunt is None else self.terminals.shunt.blocking_layers
        unknown = [name for name in blocking if name not in self.order]
        if unknown:
            raise InputError(
                f"terminals.shunt.blocking_layers: '{unknown[0]}' is not a layer; allowed: {', '.join(self.order)}"
            )
        if self.uncertainty is not None:
            self.uncertainty.check_of(self)
        materials = {name: self.layers[name].material for name in self.order}
        dotted = [name for name, material in materials.items() if material.sizes]
        for key in ("size_classes", "field_classes"):
            counts = [getattr(materials[name], key) for name in dotted]
            if len(set(counts)) > 1:
                listed = ", ".join(f"{count} in {name}" for name, count in zip(dotted, counts, strict=True))
                raise InputError(f"layers: {key} must be the same in all layers with dots, but are {listed}")
        trapped = [name for name in dotted if materials[name].trapped]
        if 0 < len(trapped) < len(dotted):
            sound = next(name for name in dotted if name not in trapped)
            raise InputError(
                f"layers: dots must have traps in all layers or in none, but {trapped[0]} has them and {sound} has not"
            )
        hopping, tunnelling = ([n for n in dotted if getattr(materials[n], key)] for key in ("hopping", "tunnels_far"))
        if hopping and tunnelling:
            raise InputError(
                f"layers: hopping between dots, in {hopping[0]}, and nonlocal tunnelling, in {tunnelling[0]}, exclude "
                "each other; set tunnelling to local there, or hopping to null"
            )
        many = max(dotted, key=lambda name: len(materials[name].dot_states), default="")
        for name in dotted:
            if materials[name].dot_states != materials[many].dot_states:
                raise InputError(
                    f"layers: dots must have multiple_carriers in all layers or in none, but {many} has them and "
                    f"{name} has not"
                )
        self._check_work_functions()

    def check(self) -> None:
        """The n,k tables of all layers cover the light that the device is configured to be under."""
        spectrum = self.illumination.spectrum()
        if spectrum is None:
            return
        models = [model for name in self.order for model in self.layers[name].material.optical_models]
        try:
            require(models, spectrum[0])
        except InputError as error:
            raise InputError(f"illumination: {error}") from None

    def _check_work_functions(self) -> None:
        """A metal's Fermi level lies in the gap of what it touches; numbers being differentiated are not looked at."""
        for side, name in (("left", self.electrical[0]), ("right", self.electrical[-1])):
            contact = getattr(self.contacts, side)
            if not isinstance(contact, Schottky):
                continue
            bulk = self.bulk(name)
            numbers = (contact.work_function_eV, bulk.electron_affinity, bulk.electron_affinity + bulk.band_gap)
            if any(isinstance(number, Tracer) for number in numbers):
                continue
            work_function, top, bottom = (float(number) for number in numbers)
            if not top <= work_function <= bottom:
                raise InputError(
                    f"contacts.{side}.work_function_eV={work_function:g}: must lie in the gap of layer '{name}', "
                    f"{top:.4g} to {bottom:.4g} eV"
                )

    @property
    def kT(self) -> Float[Array, ""]:
        """Thermal energy, eV."""
        return BOLTZMANN_EV_PER_K * self.temperature_K

    @property
    def electrical(self) -> tuple[str, ...]:
        """Names of the layers that carry current, left to right."""
        return tuple(name for name in self.order if isinstance(self.layers[name].material, Electrical))

    def bulk(self, name: str) -> Bulk:
        """Electrical numbers of a layer that carries current."""
        material = self.layers[name].material
        assert isinstance(material, Electrical)
        return material.bulk(self.kT)

    def mesh(self, name: str) -> Mesh:
        """Nodes and their cells in a layer that carries current, over its thickness.

        Fine edges stand at both faces, except at an ohmic contact, where bands are flat.
        """
        layer, outermost = self.layers[name], (self.electrical[0], self.electrical[-1])
        contacts = (self.contacts.left, self.contacts.right)
        fine = [name != end or not isinstance(contact, Ohmic) for end, contact in zip(outermost, contacts, strict=True)]
        depth, power = INNER if all(fine) else OUTER
        depth = depth if layer.fine_depth is None else layer.fine_depth
        power = power if layer.fine_power is None else layer.fine_power
        return layer_mesh(layer.edges, depth, power, *fine)

    def refined(self, factor: int) -> "Device":
        """The device on a mesh with `factor` times the edges."""
        layers = {name: dataclasses.replace(layer, edges=factor * layer.edges) for name, layer in self.layers.items()}
        return dataclasses.replace(self, layers=layers)

    @property
    def active(self) -> tuple[str, ...]:
        """The layers whose absorptance defines gain: those with dots, else all that carry current."""
        dotted = tuple(name for name in self.electrical if self.bulk(name).dots is not None)
        return dotted or self.electrical

    @property
    def sizes(self) -> int:
        """Of dots that are told apart; 0 without dots."""
        return max(self.layers[name].material.sizes for name in self.order)

    @property
    def shunt_conductance_S_per_cm2(self) -> Float[Array, ""]:
        """Conductance of the leakage path per area."""
        shunt = self.terminals.shunt
        if shunt is None:
            return jnp.zeros(())
        extra = sum((self.layers[name].thickness_nm for name in shunt.blocking_layers), -shunt.reference_blocking_nm)
        blocked = extra / shunt.leakage_length_nm if shunt.blocking_layers else 0.0
        cold = shunt.activation_energy_eV * (1 / self.kT - 1 / (BOLTZMANN_EV_PER_K * REFERENCE_K))
        return jnp.exp(-blocked - cold) / shunt.resistance_ohm_cm2

    def thickness_cm(self, name: str) -> Float[Array, ""]:
        """Thickness of a layer, cm."""
        return self.layers[name].thickness_nm * CM_PER_NM
