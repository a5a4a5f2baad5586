"""What a layer is made of, electrically: a plain semiconductor, or dots in a host.

A material answers two questions: `bulk(kT)`, the numbers that transport and recombination need, and `permittivity`
(optical), which the stack needs. Energies are in eV, from the vacuum level downwards (`electron_affinity_eV`).
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from invdesign.constants import BOLTZMANN_EV_PER_K
from invdesign.materials.optical import OpticalModel
from invdesign.processes.dots import DotEnsemble, DotState
from invdesign.processes.ions import MobileIons
from invdesign.processes.recombination import Auger, Radiative, Recombination, ShockleyReadHall, TunnelGeneration
from invdesign.schema import choice, quantity


class Bulk(eqx.Module):
    """A layer's electrical numbers at one temperature."""

    electron_affinity: Float[Array, ""]
    """eV."""
    band_gap: Float[Array, ""]
    """eV."""
    permittivity: Float[Array, ""]
    """Relative, static."""
    log_nc: Float[Array, ""]
    log_nv: Float[Array, ""]
    """ln of the effective densities of states in cm^-3."""
    electron_mobility: Float[Array, ""]
    hole_mobility: Float[Array, ""]
    """cm^2/Vs."""
    doping: Float[Array, ""]
    """N_D - N_A, cm^-3."""
    breakdown_field: Float[Array, ""]
    """V/cm, for the mean field."""
    hooge_parameter: Float[Array, ""]
    """alpha_H of the mobilities' 1/f noise."""
    recombination: tuple[Recombination, ...]
    dots: DotEnsemble | None
    fermi_dirac: bool = eqx.field(static=True)
    """Whether carriers obey Fermi-Dirac statistics, and not Boltzmann's."""


class Material(eqx.Module):
    """Anything a layer can be made of."""

    kind: eqx.AbstractClassVar[str]

    @abstractmethod
    def permittivity(self, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
        """Complex relative permittivity at optical frequencies."""

    @property
    @abstractmethod
    def optical_models(self) -> tuple[OpticalModel, ...]:
        """The n,k sources in use, for ranges and citations."""

    @property
    def sizes(self) -> int:
        """Kinds of its dots that are told apart; 0 without dots."""
        return 0

    @property
    def size_classes(self) -> int:
        """Sizes of its dots that are told apart; 0 without dots."""
        return self.sizes

    @property
    def field_classes(self) -> int:
        """Local fields of its dots that are told apart; 0 without dots."""
        return self.sizes

    @property
    def trapped(self) -> bool:
        """Whether some of its dots have a trap."""
        return False

    @property
    def hopping(self) -> bool:
        """Whether carriers hop between its dots."""
        return False

    @property
    def tunnels_far(self) -> bool:
        """Whether carriers that tunnel out of its dots land elsewhere."""
        return False

    @property
    def dot_states(self) -> tuple[DotState, ...]:
        """What its dots may hold; nothing without dots."""
        return ()

    def size_shares(self, wavelength_nm: Float[Array, " wavelength"]) -> Float[Array, "wavelength size"]:
        """Share of what the dots absorb that excites those of each kind."""
        return jnp.ones((len(wavelength_nm), 1))

    def dot_share(self, wavelength_nm: Float[Array, " wavelength"]) -> Float[Array, " wavelength"]:
        """Share of the layer's absorption that excites dots; the host takes the remainder."""
        return jnp.zeros_like(wavelength_nm)


class Optical(Material):
    """A layer outside the electrical device: glass, an electrode. Only its n,k matter."""

    kind: ClassVar[str] = "optical"
    optical: OpticalModel
    source: str = eqx.field(static=True, default="", metadata=dict(doc="where its numbers come from"))

    def permittivity(self, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
        return self.optical.permittivity(wavelength_nm)

    @property
    def optical_models(self) -> tuple[OpticalModel, ...]:
        return (self.optical,)


class Electrical(Material):
    """A material that carries current."""

    @abstractmethod
    def bulk(self, kT: Float[Array, ""]) -> Bulk:
        """The electrical numbers at the thermal energy `kT` (eV)."""

    @property
    def ions(self) -> MobileIons | None:
        """Mobile ions, if there are any."""
        return None

    @property
    def lattice_constant_A(self) -> Float[Array, ""] | None:
        """Lattice constant in angstrom, or None where it is not known."""
        return None


class IonNumbers(eqx.Module):
    """Mobile ions of a material, such as halide vacancies."""

    density_cm3: Float[Array, ""] = quantity("cm-3", lower=0, upper=1e22, open_lower=True, doc="mean density")
    site_density_cm3: float | None = quantity(
        "cm-3", lower=0, upper=1e24, open_lower=True, default=None, doc="most that fit in; null: no limit"
    )
    charge: str = choice("positive", "negative", default="positive", doc="that of one ion")

    def ions(self) -> MobileIons:
        """As the charge that Poisson's equation sees."""
        sites = self.site_density_cm3
        filling = jnp.zeros_like(self.density_cm3) if sites is None else self.density_cm3 / sites
        return MobileIons(self.density_cm3, filling, 1 if self.charge == "positive" else -1)


class GapTunnelling(eqx.Module):
    """Generation by tunnelling through the gap, A F^2 exp(-B/F): a soft reverse current that grows with the field."""

    prefactor_per_cm_s_V2: Float[Array, ""] = quantity("1/(cm s V2)", lower=0, doc="A", source="Kane 1961")
    critical_field_V_per_cm: Float[Array, ""] = quantity(
        "V/cm", lower=0, upper=1e9, open_lower=True, doc="B; an electron and a gap of 1 eV have some 1e7"
    )

    def process(self) -> TunnelGeneration:
        """The jump."""
        return TunnelGeneration(prefactor=self.prefactor_per_cm_s_V2, critical_field=self.critical_field_V_per_cm)


class Lifetimes(eqx.Module):
    """Host recombination: Shockley-Read-Hall, radiative, Auger, and generation by tunnelling."""

    electron_lifetime_s: Float[Array, ""] = quantity("s", lower=0, open_lower=True, doc="Shockley-Read-Hall, electrons")
    hole_lifetime_s: Float[Array, ""] = quantity("s", lower=0, open_lower=True, doc="Shockley-Read-Hall, holes")
    trap_level_eV: Float[Array, ""] = quantity(
        "eV", lower=-2, upper=2, default=0.0, doc="trap above the intrinsic level"
    )
    radiative_coefficient_cm3_per_s: Float[Array, ""] = quantity("cm3/s", lower=0, default=0.0, doc="B, of B n p")
    electron_auger_cm6_per_s: Float[Array, ""] = quantity("cm6/s", lower=0, default=0.0, doc="C_n, of C_n n^2 p")
    hole_auger_cm6_per_s: Float[Array, ""] = quantity("cm6/s", lower=0, default=0.0, doc="C_p, of C_p n p^2")
    tunnelling: GapTunnelling | None = None

    def processes(self, kT: Float[Array, ""]) -> tuple[Recombination, ...]:
        """The jumps."""
        return (
            ShockleyReadHall(
                inverse_electron_lifetime=1 / self.electron_lifetime_s,
                inverse_hole_lifetime=1 / self.hole_lifetime_s,
                trap_level=self.trap_level_eV / kT,
            ),
            Radiative(coefficient=self.radiative_coefficient_cm3_per_s),
            Auger(electron=self.electron_auger_cm6_per_s, hole=self.hole_auger_cm6_per_s),
            *(() if self.tunnelling is None else (self.tunnelling.process(),)),
        )


REFERENCE_K = 300.0
"""Temperature at which materials are given."""


class SemiconductorNumbers(Electrical):
    """What every semiconductor is described by, at 300 K, and how it changes with temperature.

    Densities of states grow as T^1.5, mobilities fall as T^-exponent; a change of the gap moves both band edges by half
    of it. Lifetimes, recombination coefficients and optical data do not change.
    """

    recombination: Lifetimes
    optical: OpticalModel
    electron_affinity_eV: Float[Array, ""] = quantity(
        "eV", lower=0, upper=10, doc="vacuum level above the conduction band"
    )
    band_gap_eV: Float[Array, ""] = quantity("eV", lower=0, upper=10, open_lower=True, doc="at 300 K")
    relative_permittivity: Float[Array, ""] = quantity("1", lower=1, doc="static")
    conduction_dos_cm3: Float[Array, ""] = quantity("cm-3", lower=1e10, upper=1e24, doc="N_c")
    valence_dos_cm3: Float[Array, ""] = quantity("cm-3", lower=1e10, upper=1e24, doc="N_v")
    electron_mobility_cm2_per_Vs: Float[Array, ""] = quantity("cm2/Vs", lower=0, open_lower=True, doc="at 300 K")
    hole_mobility_cm2_per_Vs: Float[Array, ""] = quantity("cm2/Vs", lower=0, open_lower=True, doc="at 300 K")
    donor_density_cm3: Float[Array, ""] = quantity("cm-3", lower=0, upper=1e22, default=0.0, doc="all ionised")
    acceptor_density_cm3: Float[Array, ""] = quantity("cm-3", lower=0, upper=1e22, default=0.0, doc="all ionised")
    breakdown_field_V_per_cm: Float[Array, ""] = quantity(
        "V/cm",
        lower=0,
        open_lower=True,
        default=1e7,
        doc="limit of the peak field; nothing breaks down in the simulation itself",
    )
    hooge_parameter: Float[Array, ""] = quantity(
        "1", lower=0, upper=1e3, default=0.0, doc="alpha_H: of N carriers with a current, S_I/I^2 = alpha_H/(f N)"
    )
    gap_slope_eV_per_K: Float[Array, ""] = quantity("eV/K", lower=-1e-2, upper=1e-2, default=0.0, doc="dE_g/dT")
    mobility_exponent: Float[Array, ""] = quantity("1", lower=-5, upper=5, default=0.0, doc="mobilities ~ T^-exponent")
    mobile_ions: IonNumbers | None = None
    carrier_statistics: str = choice(
        "boltzmann", "fermi_dirac", default="boltzmann", doc="of electrons and holes; fermi_dirac where they are many"
    )
    source: str = eqx.field(static=True, default="", metadata=dict(doc="where its numbers come from"))

    @property
    def ions(self) -> MobileIons | None:
        return None if self.mobile_ions is None else self.mobile_ions.ions()

    def numbers(self, kT: Float[Array, ""], affinity: Float[Array, ""], gap: Float[Array, ""]) -> Bulk:
        """The electrical numbers at `kT` with this electron affinity and band gap at 300 K (all eV)."""
        temperature = kT / BOLTZMANN_EV_PER_K
        warmth = jnp.log(temperature / REFERENCE_K)
        opening = self.gap_slope_eV_per_K * (temperature - REFERENCE_K)
        slower = jnp.exp(-self.mobility_exponent * warmth)
        return Bulk(
            affinity - opening / 2,
            gap + opening,
            self.relative_permittivity,
            jnp.log(self.conduction_dos_cm3) + 1.5 * warmth,
            jnp.log(self.valence_dos_cm3) + 1.5 * warmth,
            self.electron_mobility_cm2_per_Vs * slower,
            self.hole_mobility_cm2_per_Vs * slower,
            self.donor_density_cm3 - self.acceptor_density_cm3,
            self.breakdown_field_V_per_cm,
            self.hooge_parameter,
            self.recombination.processes(kT),
            None,
            self.carrier_statistics == "fermi_dirac",
        )

    @property
    def optical_models(self) -> tuple[OpticalModel, ...]:
        return (self.optical,)


class Semiconductor(SemiconductorNumbers):
    """A plain semiconductor with explicit numbers."""

    kind: ClassVar[str] = "semiconductor"

    def bulk(self, kT: Float[Array, ""]) -> Bulk:
        return self.numbers(kT, self.electron_affinity_eV, self.band_gap_eV)

    def permittivity(self, wavelength_nm: Float[Array, " wavelength"]) -> Complex[Array, " wavelength"]:
        return self.optical.permittivity(wavelength_nm)
