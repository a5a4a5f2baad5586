"""Small devices for the tests. All without dots share one compiled program, all with dots another."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from invdesign.analyses import checks
from invdesign.analyses.illumination import absorption, photon_flux
from invdesign.analyses.operating_point import operate
from invdesign.analyses.response import quantum_efficiency
from invdesign.analyses.small_signal import small_signal
from invdesign.analyses.transient import light_pulse
from invdesign.constants import ELEMENTARY_CHARGE_C
from invdesign.device.device import (
    Contact,
    Contacts,
    Device,
    Injection,
    InjectionTraps,
    Layer,
    Ohmic,
    Schottky,
    Shunt,
    Terminals,
)
from invdesign.materials.mixing import MaxwellGarnett
from invdesign.materials.optical import Constant, MapbHalideSpectrum
from invdesign.materials.quantum_dots import Dots, DotsInHost, DotTraps, Local, MapbHalide, Tunnelling
from invdesign.materials.semiconductor import GapTunnelling, Lifetimes, Semiconductor
from invdesign.solve.assembly import Light, System, discretise, no_light
from invdesign.solve.newton import Outcome, State, Target, equilibrium_guess
from invdesign.solve.stepping import Sine, TransientStatus

EDGES = (20, 40, 20)

SILICON: dict[str, Any] = dict(
    electron_affinity_eV=4.05,
    band_gap_eV=1.12,
    relative_permittivity=11.7,
    conduction_dos_cm3=2.8e19,
    valence_dos_cm3=1.04e19,
    electron_mobility_cm2_per_Vs=1000.0,
    hole_mobility_cm2_per_Vs=400.0,
)
TITANIA: dict[str, Any] = dict(
    electron_affinity_eV=4.0,
    band_gap_eV=3.2,
    relative_permittivity=10.0,
    conduction_dos_cm3=5e19,
    valence_dos_cm3=5e19,
    electron_mobility_cm2_per_Vs=3.87,
    hole_mobility_cm2_per_Vs=3.87,
    donor_density_cm3=5e18,
)
SPIRO: dict[str, Any] = dict(
    electron_affinity_eV=2.1,
    band_gap_eV=3.0,
    relative_permittivity=3.0,
    conduction_dos_cm3=5e19,
    valence_dos_cm3=5e19,
    electron_mobility_cm2_per_Vs=0.387,
    hole_mobility_cm2_per_Vs=0.387,
    acceptor_density_cm3=5e18,
)
HALIDE: dict[str, Any] = dict(
    electron_affinity_eV=3.75,
    band_gap_eV=1.58,
    relative_permittivity=70.0,
    conduction_dos_cm3=8.1e18,
    valence_dos_cm3=5.8e18,
    electron_mobility_cm2_per_Vs=66.0,
    hole_mobility_cm2_per_Vs=66.0,
)


def lifetimes(seconds: float = 1e-7, radiative: float = 1e-10, auger: float = 1e-30) -> Lifetimes:
    return Lifetimes(
        electron_lifetime_s=seconds,
        hole_lifetime_s=2 * seconds,
        trap_level_eV=0.1,
        radiative_coefficient_cm3_per_s=radiative,
        electron_auger_cm6_per_s=auger,
        hole_auger_cm6_per_s=2 * auger,
    )


def material(
    numbers: dict[str, Any], recombination: Lifetimes | None = None, k: float = 0.0, **other: Any
) -> Semiconductor:
    return Semiconductor(recombination=recombination or lifetimes(), optical=Constant(n=2.0, k=k), **numbers | other)


def stack(
    *layers: tuple[float, Any],
    edges: tuple[int, ...] = EDGES,
    contacts: tuple[Contact, Contact] | None = None,
    series_ohm: float = 0.0,
    shunt_ohm_cm2: float | None = None,
    **other: Any,
) -> Device:
    """Layers (thickness in nm, material) from the cathode on the left to the anode on the right; 1 cm^2."""
    names = tuple(f"layer{i}" for i in range(len(layers)))
    built = {
        name: Layer(thickness_nm=thickness, material=matter, edges=count)
        for name, (thickness, matter), count in zip(names, layers, edges, strict=True)
    }
    shunt = None if shunt_ohm_cm2 is None else Shunt(resistance_ohm_cm2=shunt_ohm_cm2)
    left, right = contacts or (Ohmic(), Ohmic())
    return Device(
        names,
        built,
        Contacts(left, right),
        anode="right",
        **{"area_cm2": 1.0} | other,
        terminals=Terminals(series_resistance_ohm=series_ohm, shunt=shunt),
    )


def silicon_diode(
    n_nm: float = 2000.0,
    p_nm: float = 500.0,
    donors: float = 1e16,
    acceptors: float = 1e18,
    tau: float = 1e-7,
    **other: Any,
) -> Device:
    """n | n | p: the mesh is dense where the two n layers meet and at the junction."""
    recombination = lifetimes(tau, 0.0, 0.0)
    n = material(SILICON, recombination, k=0.01, donor_density_cm3=donors)
    p = material(SILICON, recombination, k=0.01, acceptor_density_cm3=acceptors)
    return stack((0.4 * n_nm, n), (0.6 * n_nm, n), (p_nm, p), **other)


def nip_cell(absorber_nm: float = 300.0, **other: Any) -> Device:
    """Titania / perovskite / spiro without dots."""
    absorber = material(HALIDE, k=0.1)
    return stack((40.0, material(TITANIA)), (absorber_nm, absorber), (40.0, material(SPIRO)), **other)


def leaky(device: Device, *prefactors: float) -> Device:
    """A device whose layers generate pairs by tunnelling, A F^2 exp(-B/F) with B = 0.4 MV/cm and these A."""
    for name, prefactor in zip(device.layers, prefactors, strict=True):
        soft = GapTunnelling(prefactor_per_cm_s_V2=prefactor, critical_field_V_per_cm=4e5)
        path = lambda d, name=name: d.layers[name].material.recombination.tunnelling  # noqa: E731
        device = eqx.tree_at(path, device, soft, is_leaf=lambda leaf: leaf is None)
    return device


def dot_film(
    diameter_nm: float = 4.32,
    fraction: float = 0.29,
    bromide: float = 1 / 6,
    tunnelling: Tunnelling | None = None,
    numbers: dict[str, Any] | None = None,
    **other: Any,
) -> DotsInHost:
    """Dots in perovskite; `numbers` of the host differ from those of `HALIDE`."""
    host = MapbHalide(
        bromide_fraction=bromide,
        recombination=lifetimes(),
        optical=MapbHalideSpectrum(band_gap_eV=1.644),
        **HALIDE | (numbers or {}),
    )
    dots = Dots(
        diameter_nm=diameter_nm,
        volume_fraction=fraction,
        electron_affinity_eV=3.95,
        lifetime_s=1.5e-9,
        capture_time_s=1e-12,
        tunnelling=tunnelling or Local(),
        **other,
    )
    return DotsInHost(dots, host, MaxwellGarnett())


def dot_diode(
    diameter_nm: float = 4.32,
    fraction: float = 0.29,
    bromide: float = 1 / 6,
    absorber_nm: float = 200.0,
    tunnelling: Tunnelling | None = None,
    sizes: int = 1,
    traps: DotTraps | None = None,
    dots: dict[str, Any] | None = None,
    **other: Any,
) -> Device:
    """Titania / dots in perovskite / spiro; `dots` are other numbers of theirs."""
    film = dot_film(diameter_nm, fraction, bromide, tunnelling, size_classes=sizes, traps=traps, **dots or {})
    return stack((40.0, material(TITANIA)), (absorber_nm, film), (40.0, material(SPIRO)), **other)


def degenerate_diode(
    absorber_nm: float = 200.0,
    tunnelling: Tunnelling | None = None,
    dots: dict[str, Any] | None = None,
    **other: Any,
) -> Device:
    """As `dot_diode`, with Fermi-Dirac statistics and up to four carriers per state of a band.

    In the layers, doped to four times their states, and in the host beside them, whose bands have few states and are
    level with theirs.
    """
    statistics = {"carrier_statistics": "fermi_dirac"}
    few = {"conduction_dos_cm3": 1e18, "valence_dos_cm3": 1e18}
    n = material(TITANIA | {"electron_affinity_eV": 3.65, "donor_density_cm3": 2e20}, **statistics)
    p = material(SPIRO | {"band_gap_eV": 3.4, "acceptor_density_cm3": 2e20}, **statistics)
    film = dot_film(tunnelling=tunnelling, numbers=few | statistics, **dots or {})
    return stack((40.0, n), (absorber_nm, film), (40.0, p), **other)


def injecting_diode(work_function_eV: float = 4.5, traps: InjectionTraps | None = None, **other: Any) -> Device:
    """Titania / dots in perovskite / perovskite between metals; the right one injects electrons under reverse bias.

    Slowly, so that the current is what it emits and not what drift takes away from it.
    """
    injecting = Schottky(
        work_function_eV=work_function_eV,
        electron_velocity_cm_per_s=1e5,
        injection=Injection(image_permittivity=6.0, traps=traps),
    )
    metals = (Schottky(work_function_eV=4.2, injection=Injection()), injecting)
    layers = ((40.0, material(TITANIA)), (200.0, dot_film()), (40.0, material(HALIDE)))
    return stack(*layers, contacts=metals, **other)


def barrier_traps(density_cm3: float = 1e19) -> InjectionTraps:
    """Traps 0.25 eV below the band, in the first 4 nm at a metal, through which most of `injecting_diode` injects."""
    return InjectionTraps(density_cm3=density_cm3, depth_eV=0.25, extent_nm=4.0)


def traps(per_dot: float = 0.3, seconds: float = 1e-12, level_eV: float = 0.05, charge: str = "acceptor") -> DotTraps:
    """A mid-gap trap in some dots, which takes holes three times as slowly as electrons."""
    return DotTraps(
        per_dot=per_dot,
        level_eV=level_eV,
        electron_capture_time_s=seconds,
        hole_capture_time_s=3 * seconds,
        charge=charge,
    )


def modulated(device: Device, frequency: float) -> tuple[complex, complex]:
    """Current (A) of 1e-6 W/cm^2 at 1240 nm that swing about the device's own light with `frequency` (Hz), at -0.5 V:
    amplitude and phase in the tenth period, and what the linearised device says.
    """
    turns = 9 + np.arange(17) / 16
    run = light_pulse(device, -0.5, 1240.0, 1e-6, Sine(frequency), jnp.asarray(turns / frequency)).transient
    assert (run.status == TransientStatus.REACHED).all()
    current = np.asarray(run.current_A)
    current = current - np.linspace(current[0], current[-1], 17)  # a slow drift
    measured = 2j * np.mean(current[:-1] * np.exp(-2j * np.pi * turns[:-1]))
    point = operate(device, -0.5)
    small = small_signal(point.system, point.state, point.light)
    light = absorption(device, jnp.array([1240.0]))
    eqe = complex(quantum_efficiency(small, small.transfer(frequency), light)[0])
    flux = float(photon_flux(jnp.asarray(1240.0), jnp.asarray(1e-6)))
    return complex(measured), -eqe * flux * ELEMENTARY_CHARGE_C


class Solver:
    """A device on its mesh; every point is reached from equilibrium."""

    def __init__(self, device: Device):
        self.device = device
        self.system: System = jax.jit(discretise)(device)
        self.dark: Light = no_light(self.system)
        guess = jax.jit(equilibrium_guess)(self.system)
        self.rest: Outcome = checks.travel(self.system, guess, self.target(0.0), self.target(0.0))
        assert bool(self.rest.converged)

    def target(self, voltage_V: float, light: Light | None = None) -> Target:
        voltage = jnp.asarray(voltage_V, jnp.float64) / self.system.kT
        return Target(voltage, self.dark if light is None else light)

    def at(self, voltage_V: float, light: Light | None = None) -> State:
        outcome = checks.travel(self.system, self.rest.state, self.target(0.0), self.target(voltage_V, light))
        assert bool(outcome.converged)
        return outcome.state

    def density(self, voltage_V: float, light: Light | None = None) -> jax.Array:
        """Current density at every edge, A/cm^2."""
        light = self.dark if light is None else light
        return checks.current_densities(self.system, self.at(voltage_V, light), light)
