"""What each job can be told. A field here is a key of `conf/<job>.yaml`; its unit and range are checked on reading."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

import invdesign.materials.quantum_dots  # noqa: F401  the kinds of a material are the classes that are loaded
from invdesign.analyses.readout import Noiseless, Readout
from invdesign.datasets.curves import Dataset
from invdesign.datasets.samples import Samples, device_of, followers, samples
from invdesign.design.constraints import Constraints
from invdesign.design.grids import FrequencyGrid, VoltageGrid, WavelengthGrid
from invdesign.design.objectives import Objective
from invdesign.design.problem import Configuration
from invdesign.design.variables import Variable, free_names
from invdesign.device.device import Device
from invdesign.fitting.parameters import Parameter
from invdesign.fitting.settings import FitterSettings
from invdesign.optimize.settings import OptimizerSettings
from invdesign.schema import InputError, find, find_number, quantity, setting


class LightPulse(eqx.Module):
    """A square pulse of `irradiance_W_per_cm2` at the wavelength of interest, on top of the device's own light."""

    enabled: bool = setting(default=False, doc="whether it is simulated")
    length_s: Float[Array, ""] = quantity(
        "s", lower=1e-12, upper=1e3, default=1e-3, doc="of the pulse, and of the time after it that is followed"
    )


class Pump(eqx.Module):
    """A pulse that is shorter than everything else."""

    wavelength_nm: Float[Array, ""] = quantity("nm", lower=100, upper=1e5, doc="of the pulse")
    fluence_J_per_cm2: Float[Array, ""] = quantity("J/cm2", lower=0, open_lower=True, upper=1, doc="of the pulse")


class TransientAbsorption(eqx.Module):
    """Bleach of dots and host after a pump, at every bias."""

    enabled: bool = setting(default=False, doc="whether it is simulated")
    latest_s: Float[Array, ""] = quantity("s", lower=1e-12, upper=1e3, default=1e-4, doc="end of what is followed")
    pumps: dict[str, Pump] = eqx.field(default_factory=dict)


class Transients(eqx.Module):
    """Responses in time."""

    light_pulse: LightPulse = LightPulse()
    transient_absorption: TransientAbsorption = TransientAbsorption()


class SimulateSettings(eqx.Module):
    """`invdesign simulate`."""

    device: Device
    objective: Objective
    voltage: VoltageGrid
    spectrum: WavelengthGrid
    frequency: FrequencyGrid
    reverse_bias_V: tuple[float, ...] = quantity("V", lower=0, upper=1000, doc="biases of bands, spectra and noise")
    load_ohm: Float[Array, ""] = quantity("ohm", lower=0, default=50.0, doc="load for the bandwidth")
    readout: Readout = Noiseless()
    irradiance_W_per_cm2: Float[Array, ""] = quantity(
        "W/cm2",
        lower=0,
        open_lower=True,
        default=1e-4,
        doc="light of a pulse, and of the lit curves unless the device has its own",
    )
    transients: Transients = Transients()
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
    readout: Readout = Noiseless()
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
            find(Configuration(self.device, self.reverse_bias_V), variable.path, f"design.{name}.path")
            _check_variable(self, "design", name, self.design)


class FitSettings(eqx.Module):
    """`invdesign fit`."""

    device: Device
    dataset: Dataset
    parameters: dict[str, Parameter] = eqx.field(default_factory=dict)
    fitter: FitterSettings = FitterSettings()
    outputs: str = setting(default="outputs", doc="folder of all results")
    compile_cache: bool = setting(default=True, doc="keep compiled programs in the user's cache directory")

    def __check_init__(self) -> None:
        if all(parameter.frozen or parameter.tied_to for parameter in self.parameters.values()):
            raise InputError(
                "parameters: nothing is free; give parameters=path/to/my.yaml or parameters.NAME={path: ...}"
            )
        root = self.samples
        for name, parameter in self.parameters.items():
            if not parameter.path.startswith(("device.", "devices.") if self.dataset.devices else "device."):
                more = " or devices.NAME." if self.dataset.devices else ""
                raise InputError(f"parameters.{name}.path={parameter.path}: must begin with device.{more}")
            _check_variable(root, "parameters", name, self.parameters)
        places: dict[str, str] = {}
        for name, parameter in self.parameters.items():
            if (other := places.setdefault(parameter.path, name)) != name:
                raise InputError(f"parameters.{name}.path={parameter.path}: parameters.{other} stands for it already")
        self._check_measured()

    def _check_measured(self) -> None:
        """Every free parameter changes a device that curves are of, itself or through one that is tied to it."""
        measured = {curve.device for curve in self.dataset.curves.values()}
        paths = [(name, parameter.path) for name, parameter in self.parameters.items()]
        reached = {name for name, path in [*paths, *self.followers] if device_of(path) in measured}
        reached |= {str(self.parameters[name].tied_to) for name in reached}
        for name, path in paths:
            if name in free_names(self.parameters, tuple(self.parameters)) and name not in reached:
                raise InputError(
                    f"parameters.{name}.path={path}: no curve is of a device that it changes; say device: in a curve, "
                    "or freeze it"
                )

    @property
    def samples(self) -> Samples:
        """The device, and those of the dataset."""
        return samples(self.device, self.dataset.devices, "dataset.devices")

    @property
    def followers(self) -> tuple[tuple[str, str], ...]:
        """Names of parameters, and paths in further devices that share them."""
        paths = {name: parameter.path for name, parameter in self.parameters.items()}
        return followers(self.samples, self.dataset.devices, paths)


def _check_variable(root: eqx.Module, group: str, name: str, variables: Mapping[str, Variable | Parameter]) -> None:
    """A variable stands for one number, its bounds lie in that number's range, and it is tied to one that is not."""
    variable = variables[name]
    metadata = find_number(root, variable.path, f"{group}.{name}.path")[1]
    for end in ("lower", "upper"):
        bound = float(getattr(variable, end))
        too_low = bound <= metadata["lower"] if metadata.get("open_lower") else bound < metadata["lower"]
        if too_low or bound > metadata["upper"]:
            allowed = f"{metadata['lower']:g} to {metadata['upper']:g}"
            key = f"{group}.{name}.{end}{variable.unit_suffix}"
            raise InputError(f"{key}={bound:g}: {variable.path} takes {allowed} {metadata['unit']}")
    target = variable.tied_to
    if target is not None and (target == name or target not in variables or variables[target].tied_to):
        others = ", ".join(other for other in variables if other != name and not variables[other].tied_to)
        raise InputError(f"{group}.{name}.tied_to={target}: must be one of {others}")


class Alternative(eqx.Module):
    """The same device, instrument and comparison devices, with some of their numbers changed."""

    device: dict[str, Any] = eqx.field(
        default_factory=dict, metadata=dict(doc="keys of the device that differ, as in its YAML")
    )
    readout: dict[str, Any] = eqx.field(default_factory=dict, metadata=dict(doc="keys of the readout that differ"))
    compared: dict[str, dict[str, Any]] = eqx.field(
        default_factory=dict, metadata=dict(doc="keys of the devices to compare with that differ, by their names")
    )
    reason: str = setting(default="", doc="what it is for")


class ReproduceSettings(eqx.Module):
    """`invdesign reproduce`."""

    device: Device
    readout: Readout = Noiseless()
    compared: dict[str, Device] = eqx.field(default_factory=dict)
    alternatives: dict[str, Alternative] = eqx.field(default_factory=dict)
    outputs: str = setting(default="outputs", doc="folder of all results")
    compile_cache: bool = setting(default=True, doc="keep compiled programs in the user's cache directory")


SETTINGS: dict[str, type] = {
    "simulate": SimulateSettings,
    "optimize": OptimizeSettings,
    "validate": ValidateSettings,
    "reproduce": ReproduceSettings,
    "fit": FitSettings,
}
