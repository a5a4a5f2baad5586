"""The reader of configurations: what it makes of good input, and what it says about bad input."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from invdesign.schema import InputError, choice, describe, find, quantity, read, setting, write


class Contact(eqx.Module):
    kind: eqx.AbstractClassVar[str]

    @abstractmethod
    def barrier(self) -> float: ...


class Ohmic(Contact):
    kind: ClassVar[str] = "ohmic"

    def barrier(self) -> float:
        return 0.0


class Schottky(Contact):
    kind: ClassVar[str] = "schottky"
    work_function_eV: Float[Array, ""] = quantity("eV", lower=1, upper=8, doc="of the metal", source="handbook")

    def barrier(self) -> float:
        return float(self.work_function_eV)


class Layer(eqx.Module):
    thickness_nm: Float[Array, ""] = quantity("nm", lower=0, open_lower=True, upper=1e6)
    edges: int = setting(default=40, lower=3)
    coherent: bool = setting(default=True)
    weights: Float[Array, " entry"] = quantity("1", default=(1.0,))


class Device(eqx.Module):
    layers: dict[str, Layer]
    contact: Contact
    name: str = setting(default="none")
    side: str = choice("left", "right", default="left")
    bias_V: tuple[float, ...] = quantity("V", lower=0, default=(0.0, 1.0))
    window: tuple[float, float] = setting(default=(1.0, 2.0))
    resistance_ohm: Float[Array, ""] | None = quantity("ohm", lower=0, default=None)
    mode: Literal["fast", "exact"] = setting(default="fast")
    options: dict[str, Any] = setting(default=None)
    load: Ohmic | Schottky | None = None

    def __check_init__(self):
        if len(self.layers) > 2:
            raise InputError("layers: there are more than two")


GOOD = {
    "layers": {"a": {"thickness_nm": 30}, "b": {"thickness_nm": 1e-3, "edges": 1e2, "weights": [1, 2.5]}},
    "contact": {"kind": "schottky", "work_function_eV": 5.1},
    "side": "right",
    "options": {"b1": 0.9},
    "load": {"kind": "ohmic"},
}


def test_values_become_typed_differentiable_objects():
    device = read(Device, GOOD)
    assert isinstance(device.contact, Schottky) and isinstance(device.load, Ohmic)
    assert device.layers["b"].edges == 100 and isinstance(device.layers["b"].edges, int)
    assert device.layers["a"].thickness_nm.dtype == jnp.float64
    assert device.layers["b"].weights.tolist() == [1.0, 2.5]
    assert device.resistance_ohm is None and device.bias_V == (0.0, 1.0)

    gradient = jax.grad(lambda layer: layer.thickness_nm**2)(read(Layer, {"thickness_nm": 3.0}))
    assert gradient.thickness_nm == 6.0


def test_writing_is_the_inverse_of_reading():
    data = write(read(Device, GOOD))
    assert data["contact"] == GOOD["contact"] and data["layers"]["b"]["thickness_nm"] == 1e-3
    assert write(read(Device, data)) == data


def test_a_number_survives_to_the_last_bit():
    for value in (0.1, 1 / 3, 2**-40 * math.pi, 5e-324):
        assert write(read(Layer, {"thickness_nm": value}))["thickness_nm"] == value


def test_writing_refuses_what_is_no_data():
    with pytest.raises(TypeError, match="object"):
        write({"a": object()})


def changed(**keys):
    return {**GOOD, **keys}


BAD = {
    "not a group": (3, "device=3: must be a group of keys"),
    "unknown key": (changed(sidde="left"), r"device\.sidde is not a known key; did you mean side\?"),
    "unknown key, nothing near": (changed(zzz=1), r"device\.zzz is not a known key; the keys here are layers"),
    "missing key": ({"layers": {}}, r"device\.contact is missing: it must be a group of keys"),
    "missing number": (changed(layers={"a": {}}), r"layers\.a\.thickness_nm is missing: .* in nm > 0 and <= 1e\+06"),
    "unknown kind": (changed(contact={"kind": "ohmc"}), r"device\.contact\.kind=ohmc: must be one of ohmic, schottky"),
    "no kind": (changed(contact={}), r"device\.contact\.kind is missing: it must be one of ohmic, schottky"),
    "kind is a list": (changed(contact={"kind": []}), r"device\.contact\.kind=\[\]: must be one of"),
    "kind where there is none": (changed(layers={"a": {"kind": "x", "thickness_nm": 1}}), r"a\.kind is not a known"),
    "not in this kind": (changed(contact={"kind": "ohmic", "work_function_eV": 5}), "work_function_eV is not a known"),
    "list for a group": (changed(layers=[1]), r"device\.layers=\[1\]: must be a group of named entries"),
    "number as a name": (changed(layers={3: {"thickness_nm": 1}}), "names of its entries must be texts"),
    "zero": (changed(layers={"a": {"thickness_nm": 0}}), r"thickness_nm=0: must be a finite number in nm > 0"),
    "negative": (changed(layers={"a": {"thickness_nm": -5}}), r"device\.layers\.a\.thickness_nm=-5: must be"),
    "too large": (changed(layers={"a": {"thickness_nm": 1e7}}), r"thickness_nm=1.*: must be .* <= 1e\+06"),
    "nan": (changed(layers={"a": {"thickness_nm": math.nan}}), "thickness_nm=nan: must be a finite number"),
    "inf": (changed(layers={"a": {"thickness_nm": math.inf}}), "thickness_nm=inf: must be a finite number"),
    "true as a number": (changed(layers={"a": {"thickness_nm": True}}), "thickness_nm=true: must be a finite number"),
    "text as a number": (changed(layers={"a": {"thickness_nm": "30"}}), "thickness_nm=30: must be a finite number"),
    "null as a number": (changed(layers={"a": {"thickness_nm": None}}), "thickness_nm=null: must be a finite number"),
    "half an edge": (changed(layers={"a": {"thickness_nm": 1, "edges": 2.5}}), "edges=2.5: must be a whole number >="),
    "nan edges": (changed(layers={"a": {"thickness_nm": 1, "edges": math.nan}}), "edges=nan: must be a whole number"),
    "number as a switch": (changed(layers={"a": {"thickness_nm": 1, "coherent": 1}}), "coherent=1: must be true or fa"),
    "wrong choice": (changed(side="lefft"), r"device\.side=lefft: must be one of left, right \(did you mean left\?\)"),
    "list as a choice": (changed(side=["left"]), r"device\.side=\['left'\]: must be one of left, right"),
    "wrong literal": (changed(mode="slow"), r"device\.mode=slow: must be one of fast, exact"),
    "entry of a list": (changed(bias_V=[1, -1]), r"device\.bias_V\[1\]=-1: must be a finite number in V >= 0"),
    "number for a list": (changed(bias_V=3), r"device\.bias_V=3: must be a list"),
    "entry of an array": (changed(layers={"a": {"thickness_nm": 1, "weights": [1, "x"]}}), r"weights\[1\]=x: must be"),
    "short pair": (changed(window=[1.0]), r"device\.window=\[1\.0\]: must be a list of 2 values"),
    "optional number": (changed(resistance_ohm="x"), r"device\.resistance_ohm=x: must be a finite number in ohm >= 0"),
    "number as a text": (changed(name=3), r"device\.name=3: must be a text"),
    "several fields": (changed(layers={n: {"thickness_nm": 1} for n in "abc"}), "^device: layers: there are more than"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_explained_in_one_sentence(data, message):
    with pytest.raises(InputError, match=message) as caught:
        read(Device, data, "device")
    assert "\n" not in str(caught.value)


class Bounds(eqx.Module):
    """A class whose keys carry a unit, and which is checked after it is made."""

    lower: Float[Array, ""] = quantity("nm")
    upper: Float[Array, ""] = quantity("nm")

    @classmethod
    def translate(cls, mapping):
        return {key.removesuffix("_nm"): value for key, value in mapping.items()}

    def spell(self, mapping):
        return {f"{key}_nm": value for key, value in mapping.items()}

    def check(self):
        if self.lower > self.upper:
            raise InputError("lower_nm is above upper_nm")


def test_a_class_may_spell_its_keys_and_check_itself():
    data = {"lower_nm": 1.0, "upper_nm": 2.0}
    assert write(read(Bounds, data)) == data
    with pytest.raises(InputError, match=r"^design\.d: lower_nm is above upper_nm$"):
        read(Bounds, {"lower_nm": 3.0, "upper_nm": 2.0}, "design.d")


def test_every_key_is_listed_with_unit_range_default_and_source():
    rows = {row.path: row for row in describe(Device, "device")}
    row = rows["device.contact(schottky).work_function_eV"]
    assert (row.unit, row.doc, row.source) == ("eV", "of the metal", "handbook")
    assert row.allowed == "a finite number in eV >= 1 and <= 8"
    assert rows["device.layers.<name>.edges"].default == "40"
    assert rows["device.resistance_ohm"].default == "null"
    assert rows["device.load"].allowed == "as device.contact"


def test_a_path_leads_to_a_value_and_its_unit():
    device = read(Device, GOOD)
    value, metadata = find(device, "layers.a.thickness_nm")
    assert value == 30.0 and metadata["unit"] == "nm"
    with pytest.raises(InputError, match=r"design\.x\.path=layers\.a\.thick_nm: .*did you mean thickness_nm"):
        find(device, "layers.a.thick_nm", "design.x.path")
    with pytest.raises(InputError, match="side"):
        find(device, "side.left")
