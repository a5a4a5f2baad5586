"""Lists of wavelengths, frequencies and voltages, as configuration."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from invdesign.schema import InputError, quantity, setting


class WavelengthGrid(eqx.Module):
    """Equidistant wavelengths in vacuum."""

    start_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="first wavelength")
    stop_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="last wavelength")
    step_nm: Float[Array, ""] = quantity("nm", lower=0, open_lower=True, doc="distance of wavelengths")

    def __check_init__(self) -> None:
        ascending("start_nm", self.start_nm, "stop_nm", self.stop_nm)

    @property
    def values(self) -> np.ndarray:
        return steps(self.start_nm, self.stop_nm, self.step_nm)


class FrequencyGrid(eqx.Module):
    """Frequencies at equal distances on a logarithmic axis."""

    start_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, doc="first frequency")
    stop_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, doc="last frequency")
    points_per_decade: int = setting(default=10, lower=1, upper=1000, doc="of the frequencies")

    def __check_init__(self) -> None:
        ascending("start_Hz", self.start_Hz, "stop_Hz", self.stop_Hz)

    @property
    def values(self) -> np.ndarray:
        start, stop = np.log10(float(self.start_Hz)), np.log10(float(self.stop_Hz))
        return np.logspace(start, stop, 1 + max(1, round((stop - start) * self.points_per_decade)))


class VoltageGrid(eqx.Module):
    """Equidistant voltages; V > 0 is forward bias."""

    start_V: Float[Array, ""] = quantity("V", lower=-1000, upper=100, doc="first voltage, forward positive")
    stop_V: Float[Array, ""] = quantity("V", lower=-1000, upper=100, doc="last voltage")
    step_V: Float[Array, ""] = quantity("V", lower=0, open_lower=True, doc="distance of voltages")

    def __check_init__(self) -> None:
        ascending("start_V", self.start_V, "stop_V", self.stop_V)

    @property
    def values(self) -> np.ndarray:
        return steps(self.start_V, self.stop_V, self.step_V)


def ascending(low_name: str, low: Any, high_name: str, high: Any) -> None:
    if float(low) > float(high):
        raise InputError(f"{low_name}={float(low):g} is above {high_name}={float(high):g}: it must not be larger")


def steps(start: Any, stop: Any, step: Any) -> np.ndarray:
    start, stop, step = float(start), float(stop), float(step)
    return start + step * np.arange(int(np.floor((stop - start) / step + 1e-9)) + 1)
