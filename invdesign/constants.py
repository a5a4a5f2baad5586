"""Physical constants (CODATA 2018, exact where the SI defines them), in the units used inside the package."""

from typing import Final

ELEMENTARY_CHARGE_C: Final = 1.602176634e-19
BOLTZMANN_J_PER_K: Final = 1.380649e-23
BOLTZMANN_EV_PER_K: Final = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C
PLANCK_J_S: Final = 6.62607015e-34
HBAR_J_S: Final = PLANCK_J_S / (2 * 3.141592653589793)
SPEED_OF_LIGHT_M_PER_S: Final = 299792458.0
VACUUM_PERMITTIVITY_F_PER_CM: Final = 8.8541878128e-14
ELECTRON_MASS_KG: Final = 9.1093837015e-31

HC_EV_NM: Final = PLANCK_J_S * SPEED_OF_LIGHT_M_PER_S / ELEMENTARY_CHARGE_C * 1e9
"""h c in eV nm: photon energy in eV = HC_EV_NM / wavelength in nm."""
CM_PER_NM: Final = 1e-7
