"""The material data a job uses: which wavelengths they cover, and whom to cite."""

from collections.abc import Mapping
from typing import Any

from invdesign.device.device import Device
from invdesign.materials import optical
from invdesign.materials.optical import OpticalModel
from invdesign.materials.quantum_dots import DotsInHost
from invdesign.schema import InputError


def optical_models(device: Device) -> list[OpticalModel]:
    """The n,k models of all layers."""
    return [model for name in device.order for model in device.layers[name].material.optical_models]


def require(device: Device, wavelengths_nm: Mapping[str, Any]) -> None:
    """Raise `InputError` if an n,k table of the device does not cover the wavelengths that a key asks for."""
    for key, wavelengths in wavelengths_nm.items():
        try:
            optical.require(optical_models(device), wavelengths)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None


def sources(device: Device) -> list[str]:
    """Where the material data come from: those of layers, of the hosts of dots, of n,k."""
    materials = [device.layers[name].material for name in device.order]
    hosts = [material.host for material in materials if isinstance(material, DotsInHost)]
    texts = [getattr(part, "source", "") for part in (*materials, *hosts, *optical_models(device))]
    return sorted({text for text in texts if text})
