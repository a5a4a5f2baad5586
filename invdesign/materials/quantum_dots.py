"""Lead-sulphide dots, mixed-halide perovskite, and the two together: composition and size in, numbers out."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from invdesign.constants import CM_PER_NM
from invdesign.errors import InputError
from invdesign.materials.mixing import Mixing, dot_permittivity
from invdesign.materials.optical import OpticalModel
from invdesign.materials.semiconductor import Bulk, Electrical, SemiconductorNumbers
from invdesign.processes.dots import Auger, DotEnsemble, DotState, Traps, list_states
from invdesign.processes.field_emission import BarrierEscape, NearField, decay_per_cm, lever_arm
from invdesign.processes.hopping import Hopping
from invdesign.processes.ions import MobileIons
from invdesign.schema import choice, quantity

REFERENCE_EXCITON_EV = 1.0
REFERENCE_BROMIDE = 1 / 6
"""The paper's dots (1240 nm) and host (MAPbI2.5Br0.5): where offsets, gap and misfit are given."""
REFERENCE_FREE_PATH_NM = 9.8
"""Mean free path between dots, 4R/3f, of the paper's film (f = 0.29, 4.3 nm dots)."""
REFERENCE_DIAMETER_NM = 4.32
"""Of dots with the paper's exciton, for which Auger lifetimes are given."""
LOWEST_BARRIER_EV = 1e-3
FAINT = 1e-30
"""Im eps of dots of one size that absorb nothing: where none does, all share alike."""
SOUND_AT_LEAST = 1e-15
"""Share of the dots that have no trap where all have one: too few to count, but not none."""


class MapbHalide(SemiconductorNumbers):
    """MAPb(I1-xBrx)3, with the gap E_g(x) = E_g(1/6) + 0.39 dx + 0.33 d(x^2).

    The law is that of Noh et al. 2013, DOI 10.1021/nl400349b; affinity and gap are given at x = 1/6. Most of the
    opening is in the valence band: `conduction_share` of it lowers the electron affinity. The lattice constant follows
    Vegard's law from 6.28 (I) to 5.93 angstrom (Br).
    """

    kind: ClassVar[str] = "mapb_halide"
    bromide_fraction: Float[Array, ""] = quantity("1", lower=0, upper=1, doc="x in MAPb(I1-xBrx)3")
    conduction_share: Float[Array, ""] = quantity(
        "1", lower=0, upper=1, default=0.2, doc="part of the gap's change with bromide that the conduction band takes"
    )

    @property
    def gap_opening(self) -> Float[Array, ""]:
        """E_g(x) - E_g(1/6), eV."""
        x, x0 = self.bromide_fraction, REFERENCE_BROMIDE
        return 0.39 * (x - x0) + 0.33 * (x**2 - x0**2)

    @property
    def lattice_constant_A(self) -> Float[Array, ""]:
        return halide_lattice_constant_A(self.bromide_fraction)

    def bulk(self, kT: Float[Array, ""]) -> Bulk:
        opening = self.gap_opening
        return self.numbers(kT, self.electron_affinity_eV - self.conduction_share * opening, self.band_gap_eV + opening)

    def permittivity(self, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
        return self.optical.shifted(self.gap_opening).permittivity(wavelength_nm)


def halide_lattice_constant_A(bromide_fraction: Float[Array, ""] | float) -> Any:
    """Vegard's law between MAPbI3 and MAPbBr3, angstrom."""
    return 6.28 + (5.93 - 6.28) * bromide_fraction


def contrast(dot: Float[Array, ""], host: Float[Array, ""]) -> Float[Array, ""]:
    """(eps_d - eps_h)/(eps_d + 2 eps_h), the dipole of a sphere in a field over that of a metal one."""
    return (dot - host) / (dot + 2 * host)


def normal_points(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Hermite points of a normal distribution of spread 1, and their shares."""
    points, weights = np.polynomial.hermite_e.hermegauss(classes)
    return points, weights / np.sum(weights)


class Geometry(eqx.Module):
    """How the mean field of Poisson's equation divides between dots and host."""

    kind: eqx.AbstractClassVar[str]

    def field_ratios(
        self, dot: Float[Array, ""], host: Float[Array, ""], fraction: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Field in the dot and in the barrier over the mean field, from permittivities and volume fraction."""
        raise NotImplementedError

    def near_field(
        self, dot: Float[Array, ""], host: Float[Array, ""], diameter_nm: Float[Array, ""]
    ) -> NearField | None:
        """What a dot adds to the field in its barrier; None: nothing."""
        return None


class Sphere(Geometry):
    """Spheres: E_dot = 3 eps_h/(eps_d + 2 eps_h) of the host's far field.

    The barrier sees the far field; with `near_field` that of the dot's dipole, too, on the line through its pole.
    """

    kind: ClassVar[str] = "sphere"
    barrier: str = choice(
        "far_field", "near_field", default="far_field", doc="field in it, without or with that of the dipole"
    )

    def field_ratios(
        self, dot: Float[Array, ""], host: Float[Array, ""], fraction: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        inside = 3 * host / (dot + 2 * host)
        far = 1 / (fraction * inside + 1 - fraction)
        return inside * far, far

    def near_field(
        self, dot: Float[Array, ""], host: Float[Array, ""], diameter_nm: Float[Array, ""]
    ) -> NearField | None:
        if self.barrier == "far_field":
            return None
        return NearField(0.5 * diameter_nm * CM_PER_NM, contrast(dot, host))


class Slab(Geometry):
    """A one-dimensional stack: eps E is continuous, and the barrier is given the dot's field.

    This is the picture of Garcia de Arquer et al. 2017, DOI 10.1038/ncomms14757.
    """

    kind: ClassVar[str] = "slab"

    def field_ratios(
        self, dot: Float[Array, ""], host: Float[Array, ""], fraction: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        inside = host / dot
        ratio = inside / (fraction * inside + 1 - fraction)
        return ratio, ratio


class Tunnelling(eqx.Module):
    """Where carriers arrive that tunnel out of dots."""

    kind: eqx.AbstractClassVar[str]


class Local(Tunnelling):
    """Where the dot is: the field speeds up emission and capture by the same factor at the same place."""

    kind: ClassVar[str] = "local"


class Nonlocal(Tunnelling):
    """At the end of the barrier, a few nm downhill; what returns from there has the quasi-Fermi level there."""

    kind: ClassVar[str] = "nonlocal"


class DotTraps(eqx.Module):
    """A trap within the gap of some of the dots: one level, which takes its carriers from the dot's own levels."""

    per_dot: Float[Array, ""] = quantity(
        "1", lower=0, upper=1, open_lower=True, doc="share of the dots that have one; the others have none"
    )
    level_eV: Float[Array, ""] = quantity(
        "eV", lower=-1, upper=1, default=0.0, doc="above the middle between electron and hole level of the dot"
    )
    electron_capture_time_s: Float[Array, ""] = quantity(
        "s", lower=0, open_lower=True, doc="of an electron in the dot, where the trap is empty"
    )
    hole_capture_time_s: Float[Array, ""] = quantity(
        "s", lower=0, open_lower=True, doc="of a hole in the dot, where the trap is full"
    )
    charge: str = choice(
        "acceptor", "donor", default="acceptor", doc="acceptor: negative when full; donor: positive when empty"
    )

    def rates(self, dots: "Dots", kT: Float[Array, ""]) -> Traps:
        """Capture, and release into the levels of a dot, g exp(-depth/kT) of it: detailed balance within the dot."""
        depth, level = dots.level_gap_eV / 2, self.level_eV
        electron, hole = 1 / self.electron_capture_time_s, 1 / self.hole_capture_time_s
        return Traps(
            electron,
            electron * dots.electron_degeneracy * jnp.exp(-(depth - level) / kT),
            hole,
            hole * dots.hole_degeneracy * jnp.exp(-(depth + level) / kT),
            jnp.asarray(1.0 if self.charge == "donor" else 0.0),
        )


class MultipleCarriers(eqx.Module):
    """Room for two electrons and two holes in a dot, which recombine by the Auger effect.

    Lifetimes are those of the effect alone, at 4.32 nm, and grow as the volume of the dot: Robel et al. 2009, DOI
    10.1103/PhysRevLett.102.177404. A biexciton has twice the ways of both trions together (Hou et al. 2019, DOI
    10.1038/s41467-019-09737-2), and in lead salts, whose bands mirror each other, both trions are alike.
    """

    biexciton_lifetime_s: Float[Array, ""] = quantity(
        "s", lower=0, open_lower=True, default=6e-11, doc="of a biexciton by Auger recombination, in a dot of 4.32 nm"
    )
    trion_lifetime_s: Float[Array, ""] | None = quantity(
        "s",
        lower=0,
        open_lower=True,
        default=None,
        doc="of a charged exciton by Auger recombination, in a dot of 4.32 nm; null: four times the biexciton's",
    )

    def rates(self, dots: "Dots", kT: Float[Array, ""]) -> Auger:
        """Of dots of this size, and their reverse: the share of equilibrium of the two states, two places per level."""
        volume = (dots.diameter_nm / REFERENCE_DIAMETER_NM) ** 3
        biexciton = 1 / (volume * self.biexciton_lifetime_s)
        trion = biexciton / 4 if self.trion_lifetime_s is None else 1 / (volume * self.trion_lifetime_s)
        pair = dots.thermal_ratio(kT)
        return Auger(trion, trion * pair / 4, biexciton, biexciton * pair / 16)


class DotHopping(eqx.Module):
    """Hops from dot to dot through the host between them, at the rate nu exp(-2 kappa gap), kappa = sqrt(2 m phi)/hbar.

    The gap is that between neighbours on a simple cubic lattice, N^(-1/3) - d, the barrier phi the offset of the host's
    band (Guyot-Sionnest 2012, DOI 10.1021/jz300048y).
    """

    attempt_rate_per_s: Float[Array, ""] = quantity(
        "1/s", lower=0, open_lower=True, default=1e12, doc="of hops where dots touch (assumed: a phonon frequency)"
    )
    electron_mobility_cm2_per_Vs: Float[Array, ""] | None = quantity(
        "cm2/(V s)",
        lower=0,
        open_lower=True,
        default=None,
        doc="of electrons in dots that are all alike and nearly empty; null: from the attempt rate and the barrier",
    )
    hole_mobility_cm2_per_Vs: Float[Array, ""] | None = quantity(
        "cm2/(V s)", lower=0, open_lower=True, default=None, doc="of holes likewise"
    )

    def rates(
        self, dots: "Dots", electron_offset_eV: Float[Array, ""], hole_offset_eV: Float[Array, ""], kT: Float[Array, ""]
    ) -> Hopping:
        """Of dots of this size behind barriers of these heights."""
        spacing = dots.density_cm3 ** (-1 / 3)
        gap = jnp.maximum(spacing - dots.diameter_nm * CM_PER_NM, 0.0)

        def rate(mobility: Float[Array, ""] | None, barrier: Float[Array, ""]) -> Float[Array, ""]:
            if mobility is not None:
                return 6 * kT * mobility / spacing**2
            through = decay_per_cm(jnp.maximum(barrier, LOWEST_BARRIER_EV), dots.barrier_mass)
            return self.attempt_rate_per_s * jnp.exp(-2 * through * gap)

        return Hopping(
            rate(self.electron_mobility_cm2_per_Vs, electron_offset_eV),
            rate(self.hole_mobility_cm2_per_Vs, hole_offset_eV),
            spacing,
        )


class Dots(eqx.Module):
    """PbS dots. The exciton energy is the observable; the diameter is its calibration.

    Size law: Moreels et al. 2009, DOI 10.1021/nn900863a.
    """

    diameter_nm: Float[Array, ""] = quantity("nm", lower=2, upper=12, doc="of a dot")
    volume_fraction: Float[Array, ""] = quantity(
        "1", lower=0, upper=0.74, open_lower=True, doc="part of the volume that dots fill"
    )
    electron_affinity_eV: Float[Array, ""] = quantity(
        "eV",
        lower=0,
        upper=10,
        doc="electron level below vacuum at an exciton energy of 1.0 eV; fixes the conduction offset",
    )
    lifetime_s: Float[Array, ""] = quantity(
        "s", lower=0, open_lower=True, doc="of an exciton in the dot, at the misfit of x = 1/6"
    )
    capture_time_s: Float[Array, ""] = quantity(
        "s", lower=0, open_lower=True, doc="carrier thermalisation into dots at a free path of 9.8 nm"
    )
    barrier_mass: Float[Array, ""] = quantity(
        "m0", lower=0, open_lower=True, default=0.2, doc="tunnelling mass of both carriers in the host"
    )
    relative_permittivity: Float[Array, ""] = quantity("1", lower=1, default=22.0, doc="static")
    electron_degeneracy: Float[Array, ""] = quantity(
        "1", lower=1, default=1.0, doc="of the dots' electron level; 1 where the offsets are effective ones"
    )
    hole_degeneracy: Float[Array, ""] = quantity(
        "1", lower=1, default=1.0, doc="of the dots' hole level; 1 where the offsets are effective ones"
    )
    size_dispersion: Float[Array, ""] = quantity("1", lower=0, upper=0.5, default=0.05, doc="relative, of the diameter")
    size_classes: int = eqx.field(
        static=True,
        default=1,
        metadata=dict(lower=1, upper=9, doc="sizes with levels and rates of their own; 1: the dispersion only absorbs"),
    )
    field_dispersion: Float[Array, ""] | None = quantity(
        "1",
        lower=0,
        upper=0.3,
        default=None,
        doc="relative, of the field at a dot; null: what dipoles at random places do, by permittivities and fraction",
    )
    field_classes: int = eqx.field(
        static=True, default=1, metadata=dict(lower=1, upper=9, doc="fields that dots escape in; 1: all in the same")
    )
    exciton_shift_eV: Float[Array, ""] = quantity(
        "eV", lower=-0.3, upper=0.3, default=0.0, doc="calibration of the size law"
    )
    exciton_binding_eV: Float[Array, ""] | None = quantity(
        "eV",
        lower=0,
        upper=0.3,
        default=None,
        doc="attraction of an electron and a hole in the same dot, not in the size law, which is optical; null: none",
    )
    lattice_constant_A: Float[Array, ""] = quantity(
        "angstrom", lower=1, default=5.936, doc="of the dots, for the misfit to the host"
    )
    misfit_share: Float[Array, ""] = quantity(
        "1",
        lower=0,
        upper=1,
        default=0.5,
        doc="share of the recombination in dots that grows as the square of the lattice misfit (assumed)",
    )
    geometry: Geometry = Sphere()
    tunnelling: Tunnelling = Local()
    traps: DotTraps | None = None
    multiple_carriers: MultipleCarriers | None = None
    hopping: DotHopping | None = None

    def __check_init__(self) -> None:
        if self.hopping is not None and isinstance(self.tunnelling, Nonlocal):
            raise InputError(
                "hopping and nonlocal tunnelling exclude each other: carriers leave a dot for its neighbours or for "
                "the host a few nm downhill; set hopping to null or tunnelling to local"
            )
        if self.traps is not None and self.multiple_carriers is not None:
            raise InputError(
                "traps and multiple_carriers exclude each other: a dot with a trap holds at most one electron and one "
                "hole; set one of them to null"
            )

    def thermal_ratio(self, kT: Float[Array, ""]) -> Float[Array, ""]:
        """g_e g_h exp(-E_x/kT): excitons over empty dots at equilibrium."""
        return self.electron_degeneracy * self.hole_degeneracy * jnp.exp(-self.exciton_energy_eV / kT)

    @property
    def sizes(self) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
        """Diameters (nm) and their shares of the number of dots: Gauss-Hermite points of a lognormal distribution."""
        points, shares = normal_points(self.size_classes)
        return self.diameter_nm * jnp.exp(self.size_dispersion * points), jnp.asarray(shares)

    @property
    def exciton_energy_eV(self) -> Float[Array, ""]:
        """E_x = 0.41 + 1/(0.0252 d^2 + 0.283 d) + shift."""
        d = self.diameter_nm
        return 0.41 + 1 / (0.0252 * d**2 + 0.283 * d) + self.exciton_shift_eV

    @property
    def level_gap_eV(self) -> Float[Array, ""]:
        """Between the levels of a single electron and a single hole, E_x + E_b."""
        binding = self.exciton_binding_eV
        return self.exciton_energy_eV if binding is None else self.exciton_energy_eV + binding

    def bound(self, kT: Float[Array, ""]) -> Float[Array, ""] | None:
        """exp(-E_b/kT), or None where carriers of a dot do not attract each other."""
        return None if self.exciton_binding_eV is None else jnp.exp(-self.exciton_binding_eV / kT)

    @property
    def density_cm3(self) -> Float[Array, ""]:
        """Dots per volume, f/(pi d^3/6)."""
        return self.volume_fraction / (jnp.pi / 6 * (self.diameter_nm * CM_PER_NM) ** 3)

    @property
    def free_path_nm(self) -> Float[Array, ""]:
        """Mean free path between dots, 4R/3f."""
        return 2 * self.diameter_nm / (3 * self.volume_fraction)


def in_local_field(dots: DotEnsemble, factor: Float[Array, ""]) -> DotEnsemble:
    """The same dots where the field is by a factor stronger than the mean one."""
    escapes = (dots.electron_escape.in_field(factor), dots.hole_escape.in_field(factor))
    return eqx.tree_at(lambda one: (one.electron_escape, one.hole_escape), dots, escapes)


class DotsInHost(Electrical):
    """Dots in a semiconducting host. The host carries the current; the dots absorb, emit, capture and store charge.

    Energies obey one constraint, E_g = phi_e + phi_h + E_x + E_b (E_b the binding of the exciton, if any): the hole
    offset is what remains. The confinement shift of the dot is shared equally by its two levels.
    """

    kind: ClassVar[str] = "dots_in_host"
    dots: Dots
    host: Electrical
    mixing: Mixing
    source: str = eqx.field(static=True, default="", metadata=dict(doc="where its numbers come from"))

    def offsets_eV(self, host: Bulk) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Electron and hole offsets (phi_e, phi_h)."""
        shift = self.dots.exciton_energy_eV - REFERENCE_EXCITON_EV
        electron = self.dots.electron_affinity_eV - 0.5 * shift - host.electron_affinity
        return electron, host.band_gap - self.dots.level_gap_eV - electron

    @property
    def misfit(self) -> Float[Array, ""] | None:
        """(a_host - a_dot)/a_dot, or None where the host has no lattice constant."""
        host = self.host.lattice_constant_A
        return None if host is None else host / self.dots.lattice_constant_A - 1

    @property
    def recombination_rate_per_s(self) -> Float[Array, ""]:
        """1/tau of the exciton: a part grows with (misfit/misfit at x = 1/6)^2."""
        if self.misfit is None:
            return 1 / self.dots.lifetime_s
        reference = halide_lattice_constant_A(REFERENCE_BROMIDE) / self.dots.lattice_constant_A - 1
        share = self.dots.misfit_share
        return (1 - share + share * (self.misfit / reference) ** 2) / self.dots.lifetime_s

    def ensemble(self, kT: Float[Array, ""]) -> DotEnsemble:
        """The dots' jump rates: capture c = 1/(N tau_c), tau_c ~ free path; emission by detailed balance."""
        host, dots = self.host.bulk(kT), self.dots
        electron, hole = self.offsets_eV(host)
        capture_time = dots.capture_time_s * dots.free_path_nm / REFERENCE_FREE_PATH_NM
        in_dot, in_barrier = dots.geometry.field_ratios(
            dots.relative_permittivity, host.permittivity, dots.volume_fraction
        )
        near = dots.geometry.near_field(dots.relative_permittivity, host.permittivity, dots.diameter_nm)
        lever = lever_arm(dots.diameter_nm, in_dot)

        def escape(barrier: Float[Array, ""]) -> BarrierEscape:
            return BarrierEscape(jnp.maximum(barrier, LOWEST_BARRIER_EV), dots.barrier_mass, lever, in_barrier, near)

        return DotEnsemble(
            dots.density_cm3,
            1 / (dots.density_cm3 * capture_time),
            jnp.exp(host.log_nc - electron / kT) / dots.electron_degeneracy,
            jnp.exp(host.log_nv - hole / kT) / dots.hole_degeneracy,
            self.recombination_rate_per_s,
            dots.thermal_ratio(kT),
            escape(electron),
            escape(hole),
            None if dots.traps is None else dots.traps.rates(dots, kT),
            None if dots.multiple_carriers is None else dots.multiple_carriers.rates(dots, kT),
            dots.bound(kT),
            None if dots.hopping is None else dots.hopping.rates(dots, electron, hole, kT),
            nonlocal_=self.tunnels_far,
        )

    @property
    def sizes(self) -> int:
        return self.size_classes * len(self.kinds)

    @property
    def size_classes(self) -> int:
        return self.dots.size_classes

    @property
    def trapped(self) -> bool:
        return self.dots.traps is not None

    @property
    def hopping(self) -> bool:
        return self.dots.hopping is not None

    @property
    def tunnels_far(self) -> bool:
        return isinstance(self.dots.tunnelling, Nonlocal)

    @property
    def field_classes(self) -> int:
        return self.dots.field_classes

    @property
    def dot_states(self) -> tuple[DotState, ...]:
        return list_states(1 if self.dots.multiple_carriers is None else 2, self.trapped)

    @property
    def kinds(self) -> tuple[Float[Array, ""], ...]:
        """Shares of the dots of every size in each of the local fields, first without a trap, then with one."""
        traps = self.dots.traps
        by_trap = (1.0,) if traps is None else (1 - traps.per_dot + SOUND_AT_LEAST, traps.per_dot)
        return tuple(jnp.asarray(share * part) for part in by_trap for share in normal_points(self.field_classes)[1])

    def local_fields(self, kT: Float[Array, ""]) -> Float[Array, " field"]:
        """Fields at the dots over their mean: Gauss-Hermite points of a normal distribution.

        Without `field_dispersion` its spread is that of the field of dipoles at random places two radii apart or more,
        beta sqrt(f/10) (`electrostatics.disorder`).
        """
        dots, spread = self.dots, self.dots.field_dispersion
        if spread is None:
            polarised = contrast(dots.relative_permittivity, self.host.bulk(kT).permittivity)
            spread = polarised * jnp.sqrt(dots.volume_fraction / 10)
        return 1 + spread * normal_points(self.field_classes)[0]

    def of_diameter(self, diameter_nm: Float[Array, ""]) -> "DotsInHost":
        """The same with all dots of this size."""
        return eqx.tree_at(lambda material: material.dots.diameter_nm, self, diameter_nm)

    def ensembles(self, kT: Float[Array, ""]) -> DotEnsemble:
        """The dots of all kinds: one more axis, before those of ends and edges, of which each is an ensemble.

        All sizes in one local field after the other, and with traps all of them twice, first the dots without.
        """
        diameters, shares = self.dots.sizes
        each = jax.vmap(lambda diameter: self.of_diameter(diameter).ensemble(kT))(diameters)
        density = shares / jnp.sum(shares / each.density)
        fields, parts = self.local_fields(kT), []
        for index, share in enumerate(self.kinds):
            part = eqx.tree_at(lambda one: one.density, each, share * density)
            if len(fields) > 1:
                part = in_local_field(part, fields[index % len(fields)])
            if each.traps is not None and index < len(fields):
                part = eqx.tree_at(lambda one: one.traps, part, each.traps.idle)
            parts.append(part)
        every = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:, None, None], *parts)
        # a rate between two dots is the same both ways, so that it cannot be that of either's size
        hopping = self.ensemble(kT).hopping
        return every if hopping is None else eqx.tree_at(lambda one: one.hopping, every, hopping)

    def size_shares(self, wavelength_nm: Float[Array, " wavelength"]) -> Float[Array, "wavelength size"]:
        """By the line that dots of each size have without dispersion, and their volume."""
        diameters, shares = self.dots.sizes

        def line(diameter: Float[Array, ""]) -> Float[Array, " wavelength"]:
            dots = self.of_diameter(diameter).dots
            return dot_permittivity(wavelength_nm, dots.exciton_energy_eV, diameter, jnp.zeros(())).imag

        lines = (jax.vmap(line)(diameters).T + FAINT) * shares * diameters**3
        by_size = lines / jnp.sum(lines, axis=1, keepdims=True)
        return jnp.concatenate([share * by_size for share in self.kinds], axis=1)

    @property
    def ions(self) -> MobileIons | None:
        """Those of the host."""
        return self.host.ions

    def bulk(self, kT: Float[Array, ""]) -> Bulk:
        """The host's numbers with the static permittivity of the mixture (Maxwell Garnett) and the dots added."""
        host = self.host.bulk(kT)
        polarised = self.dots.volume_fraction * contrast(self.dots.relative_permittivity, host.permittivity)
        mixed = host.permittivity * (1 + 2 * polarised) / (1 - polarised)
        dots = self.ensemble(kT) if self.sizes == 1 else self.ensembles(kT)
        return eqx.tree_at(lambda b: (b.permittivity, b.dots), host, (mixed, dots), is_leaf=lambda leaf: leaf is None)

    def _optical(self, wavelength_nm: Float[Array, " wavelength"]) -> tuple[Array, Array]:
        dots = dot_permittivity(
            wavelength_nm, self.dots.exciton_energy_eV, self.dots.diameter_nm, self.dots.size_dispersion
        )
        return self.mixing.mix(self.host.permittivity(wavelength_nm), dots, self.dots.volume_fraction)

    def permittivity(self, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
        return self._optical(wavelength_nm)[0]

    def dot_share(self, wavelength_nm: Float[Array, " wavelength"]) -> Float[Array, " wavelength"]:
        return self._optical(wavelength_nm)[1]

    @property
    def optical_models(self) -> tuple[OpticalModel, ...]:
        return self.host.optical_models
