"""Several samples in one dataset: each further device is the first with changes, and shares what it does not change."""

import re
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from invdesign.device.device import Device
from invdesign.schema import InputError, altered, find


class Samples(eqx.Module):
    """What the paths of parameters start from: `device.` or `devices.NAME.`."""

    device: Device
    devices: dict[str, Device]

    @property
    def all(self) -> dict[str | None, Device]:
        """By the names that curves have for them: None is `device`."""
        return {None: self.device, **self.devices}


def samples(device: Device, changes: Mapping[str, Mapping[str, Any]], key: str) -> Samples:
    """The device, and for every entry of `changes` the device with those keys changed.

    Raises `InputError`, which names `key` as where the changes were given.
    """
    for name in changes:
        if not re.fullmatch(r"[\w-]+", name):
            raise InputError(f"{key}.{name}: the name of a device has letters, digits, _ and - only")
    return Samples(device, {name: altered(device, each, f"{key}.{name}") for name, each in changes.items()})


def followers(
    those: Samples, changes: Mapping[str, Mapping[str, Any]], paths: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Further places of numbers of `device`, by their names: those in devices that do not change them themselves.

    A device does if its changes name the number, or replace a group around it by one with a `kind`, if the number has
    another value there or none, or if one of `paths` stands for it there. Pairs of a name in `paths` and a path.
    """
    found = []
    for name, shared in paths.items():
        first, _, below = shared.partition(".")
        for other in those.devices if first == "device" else ():
            path = f"devices.{other}.{below}"
            if path in paths.values() or _sets(changes[other], below.split(".")):
                continue
            try:
                same = float(find(those, path)[0]) == float(find(those, shared)[0])
            except (InputError, TypeError):  # another stack has no such layer, or null where the number was
                continue
            if same:
                found.append((name, path))
    return tuple(found)


def _sets(changes: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(changes, Mapping) or "kind" in changes:
            return True
        if key not in changes:
            return False
        changes = changes[key]
    return True


def device_of(path: str) -> str | None:
    """The device that a path leads into, by the name that curves have for it."""
    first, _, below = path.partition(".")
    return below.partition(".")[0] if first == "devices" else None
