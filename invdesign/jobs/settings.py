"""What each job can be told. A field here is a key of `conf/<job>.yaml`; its unit and range are checked on reading."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from equinox import AbstractClassVar
from jaxtyping import Array, Float

import invdesign.materials.quantum_dots  # noqa: F401  the kinds of a material are the classes that are loaded
from invdesign.device.device import Device
from invdesign.optimize.settings import OptimizerSettings
from invdesign.schema import InputError, find, quantity, setting


class WavelengthGrid(eqx.Module):
    """Equidistant wavelengths in vacuum."""

    start_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5)
    stop_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5)
    step_nm: Float[Array, ""] = quantity("nm", lower=0, open_lower=True)

    def __check_init__(self) -> None:
        _ascending("start_nm", self.start_nm, "stop_nm", self.stop_nm)

    @property
    def values(self) -> np.ndarray:
        return _steps(self.start_nm, self.stop_nm, self.step_nm)


class FrequencyGrid(eqx.Module):
    """Frequencies at equal distances on a logarithmic axis."""

    start_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True)
    stop_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True)
    points_per_decade: int = setting(default=10, lower=1, upper=1000)

    def __check_init__(self) -> None:
        _ascending("start_Hz", self.start_Hz, "stop_Hz", self.stop_Hz)

    @property
    def values(self) -> np.ndarray:
        start, stop = np.log10(float(self.start_Hz)), np.log10(float(self.stop_Hz))
        return np.logspace(start, stop, 1 + max(1, round((stop - start) * self.points_per_decade)))


class VoltageGrid(eqx.Module):
    """Equidistant voltages; V > 0 is forward bias."""

    start_V: Float[Array, ""] = quantity("V", lower=-1000, upper=100)
    stop_V: Float[Array, ""] = quantity("V", lower=-1000, upper=100)
    step_V: Float[Array, ""] = quantity("V", lower=0, open_lower=True)

    def __check_init__(self) -> None:
        _ascending("start_V", self.start_V, "stop_V", self.stop_V)

    @property
    def values(self) -> np.ndarray:
        return _steps(self.start_V, self.stop_V, self.step_V)


class Objective(eqx.Module):
    """What is maximised, and where the figures of merit are read."""

    kind: AbstractClassVar[str]


class Detectivity(Objective):
    """log10 of the specific detectivity at one wavelength."""

    kind: ClassVar[str] = "detectivity"
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5)
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3)


class BandDetectivity(Objective):
    """log10 of the specific detectivity, averaged over a band of wavelengths."""

    kind: ClassVar[str] = "band_detectivity"
    band: WavelengthGrid
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3)

    @property
    def wavelength_nm(self) -> Float[Array, ""]:
        """The middle of the band, where the single figures of merit are reported."""
        return (self.band.start_nm + self.band.stop_nm) / 2


class Responsivity(Objective):
    """log10 of the responsivity at one wavelength."""

    kind: ClassVar[str] = "responsivity"
    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5)
    frequency_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=1e3)


class Variable(eqx.Module):
    """A design variable: one number of the configuration, free inside its bounds, frozen, or tied to another variable.

    In YAML the bounds carry the unit at the end of the path: `lower_nm` for a `thickness_nm`, `lower` for a fraction.
    """

    path: str = setting(doc="the number it stands for, e.g. device.layers.QDiP.thickness_nm")
    lower: Float[Array, ""] = quantity("1")
    upper: Float[Array, ""] = quantity("1")
    frozen: bool = setting(default=False, doc="keep it at its baseline value")
    tied_to: str | None = setting(default=None, doc="name of the variable whose change it follows in proportion")

    @classmethod
    def translate(cls, mapping: Mapping[str, Any]) -> dict[str, Any]:
        suffix = _unit_suffix(mapping.get("path"))
        names = {"lower" + suffix: "lower", "upper" + suffix: "upper"}
        wrong = [key for key in mapping if key.startswith(("lower", "upper")) and key not in names]
        if wrong:
            raise InputError(f"{wrong[0]} is not a known key; the bounds are {' and '.join(names)}")
        missing = [key for key in names if key not in mapping]
        if missing and "path" in mapping:
            raise InputError(f"{missing[0]} is missing: it must be a finite number")
        return {names.get(key, key): value for key, value in mapping.items()}

    def spell(self, mapping: dict[str, Any]) -> dict[str, Any]:
        suffix = _unit_suffix(self.path)
        return {key + suffix if key in ("lower", "upper") else key: value for key, value in mapping.items()}

    def __check_init__(self) -> None:
        suffix = _unit_suffix(self.path)
        _ascending("lower" + suffix, self.lower, "upper" + suffix, self.upper)

    @property
    def unit_suffix(self) -> str:
        """`_nm`, `_V`, or nothing for a pure number."""
        return _unit_suffix(self.path)


class PeakField(eqx.Module):
    """The smoothed peak field of every layer stays below its breakdown field."""

    enabled: bool = setting(default=True)
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=0.9, default=0.0, doc="part of the breakdown field kept in reserve"
    )


class Bandwidth(eqx.Module):
    """The 3-dB bandwidth of the photo-response."""

    enabled: bool = setting(default=True)
    min_Hz: Float[Array, ""] = quantity("Hz", lower=0, open_lower=True, default=6e4)
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )


class Bromide(eqx.Module):
    """The bromide fraction of every mixed-halide host: photostability."""

    enabled: bool = setting(default=True)
    max: Float[Array, ""] = quantity("1", lower=0, upper=1, default=0.2)
    margin: Float[Array, ""] = quantity("1", lower=0, upper=0.9, default=0.0, doc="part of the limit kept in reserve")


class DarkCurrent(eqx.Module):
    """The dark current at the operating bias."""

    enabled: bool = setting(default=False)
    max_A: Float[Array, ""] = quantity("A", lower=0, open_lower=True, default=1e-6)
    margin: Float[Array, ""] = quantity("1", lower=0, upper=0.9, default=0.0, doc="part of the limit kept in reserve")


class Gain(eqx.Module):
    """The gain at the objective's wavelength."""

    enabled: bool = setting(default=False)
    min: Float[Array, ""] = quantity("1", lower=0, default=1.0)
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )


class Absorptance(eqx.Module):
    """The absorptance of one layer at the objective's wavelength."""

    enabled: bool = setting(default=False)
    layer: str = setting(default="QDiP")
    min: Float[Array, ""] = quantity("1", lower=0, upper=1, default=0.5)
    margin: Float[Array, ""] = quantity(
        "1", lower=0, upper=10, default=0.0, doc="part of the limit demanded on top of it"
    )


class Constraints(eqx.Module):
    """What a design must satisfy."""

    peak_field: PeakField = PeakField()
    bandwidth: Bandwidth = Bandwidth()
    bromide: Bromide = Bromide()
    dark_current: DarkCurrent = DarkCurrent()
    gain: Gain = Gain()
    absorptance: Absorptance = Absorptance()


class SimulateSettings(eqx.Module):
    """`invdesign simulate`."""

    device: Device
    objective: Objective
    voltage: VoltageGrid
    spectrum: WavelengthGrid
    frequency: FrequencyGrid
    reverse_bias_V: tuple[float, ...] = quantity("V", lower=0, upper=1000, doc="biases of bands, spectra and noise")
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="load for the bandwidth")
    outputs: str = setting(default="outputs", doc="folder of all results")
    compile_cache: bool = setting(default=True, doc="keep compiled programs in the user's cache directory")


class ValidateSettings(eqx.Module):
    """`invdesign validate`."""

    device: Device
    objective: Objective
    frequency: FrequencyGrid
    reverse_bias_V: tuple[float, ...] = quantity("V", lower=0, upper=1000, doc="biases the checks are made at")
    outputs: str = setting(default="outputs", doc="folder of all results")
    compile_cache: bool = setting(default=True, doc="keep compiled programs in the user's cache directory")


class OptimizeSettings(eqx.Module):
    """`invdesign optimize`."""

    device: Device
    objective: Objective
    optimizer: OptimizerSettings
    design: dict[str, Variable]
    constraints: Constraints = Constraints()
    reverse_bias_V: Float[Array, ""] = quantity(
        "V", lower=0, upper=1000, default=0.0, doc="operating bias of the baseline"
    )
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="load for the bandwidth")
    outputs: str = setting(default="outputs", doc="folder of all results")
    compile_cache: bool = setting(default=True, doc="keep compiled programs in the user's cache directory")

    def __check_init__(self) -> None:
        if all(variable.frozen or variable.tied_to for variable in self.design.values()):
            raise InputError("design: every variable is frozen or tied; leave at least one free")
        if self.constraints.absorptance.enabled and self.constraints.absorptance.layer not in self.device.layers:
            layers = ", ".join(self.device.layers)
            raise InputError(
                f"constraints.absorptance.layer={self.constraints.absorptance.layer}: must be one of {layers}"
            )
        for name, variable in self.design.items():
            value, metadata = find(self, variable.path, f"design.{name}.path")
            if metadata.get("unit") is None or jnp.ndim(value) != 0:
                raise InputError(f"design.{name}.path={variable.path}: must lead to one number with a unit")
            for end in ("lower", "upper"):
                bound = float(getattr(variable, end))
                if not metadata["lower"] <= bound <= metadata["upper"]:
                    allowed = f"{metadata['lower']:g} to {metadata['upper']:g}"
                    key = f"design.{name}.{end}{variable.unit_suffix}"
                    raise InputError(f"{key}={bound:g}: {variable.path} takes {allowed} {metadata['unit']}")
            target = variable.tied_to
            if target is not None and (target == name or target not in self.design or self.design[target].tied_to):
                others = ", ".join(other for other in self.design if other != name and not self.design[other].tied_to)
                raise InputError(f"design.{name}.tied_to={target}: must be one of {others}")


SETTINGS: dict[str, type] = {
    "simulate": SimulateSettings,
    "optimize": OptimizeSettings,
    "validate": ValidateSettings,
}


def _ascending(low_name: str, low: Any, high_name: str, high: Any) -> None:
    if float(low) > float(high):
        raise InputError(f"{low_name}={float(low):g} is above {high_name}={float(high):g}: it must not be larger")


def _steps(start: Any, stop: Any, step: Any) -> np.ndarray:
    start, stop, step = float(start), float(stop), float(step)
    return start + step * np.arange(int(np.floor((stop - start) / step + 1e-9)) + 1)


_UNIT = r"(nm|um2|cm|cm2|cm3|cm6|A|V|Vs|eV|W|K|s|Hz|ohm)"
_SUFFIX = re.compile(rf"(_{_UNIT}|_ohm_cm2)(_per_{_UNIT})?$")


def _unit_suffix(path: Any) -> str:
    """The unit at the end of a key, with its underscore: `_nm` of `thickness_nm`; none for `volume_fraction`."""
    found = _SUFFIX.search(str(path).rpartition(".")[2])
    return found[0] if found else ""
