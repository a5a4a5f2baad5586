"""Quantities with units: one class is at once a node of the configuration and a physical object.

A field made with `quantity` carries its unit, its range, a sentence of documentation and a source. The same metadata
serve the configuration reader (`read`), its inverse (`write`), `invdesign list parameters` (`describe`) and the
optimiser's design variables.

What a class may add to its fields:

* `kind: ClassVar[str]` names it in a union (`material: Optical | Semiconductor`, or an abstract base class whose final
  subclasses have kinds); the key `kind` then selects the class.
* `__check_init__(self)` or `check(self)` may raise `InputError` about several fields at once, without their path:
  the reader puts the path in front.
* `translate(cls, mapping)`, a classmethod, may rename keys, in their order, before they are read, and
  `spell(self, mapping)` renames them back when they are written (where a key carries a unit that depends on another).
"""

import dataclasses
import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, Union

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray

from invdesign.errors import InputError

T = TypeVar("T")

REQUIRED: Any = dataclasses.MISSING
"""Marks a field without a default: the key must be given."""


def _scalar(value: Any) -> Any:
    """Python numbers become float64 JAX scalars, so that every quantity can be differentiated."""
    return jnp.asarray(value, jnp.float64) if isinstance(value, int | float) else value


def quantity(
    unit: str,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
    open_lower: bool = False,
    default: Any = REQUIRED,
    doc: str = "",
    source: str = "",
) -> Any:
    """A float field with a unit, an allowed range (`lower` excluded if `open_lower`), documentation and a source.

    Annotate the field `tuple[float, ...]` for a list of such numbers, `float | None` (with `default=None`) for an
    optional one. The unit of a pure number is "1".
    """
    metadata = dict(unit=unit, lower=lower, upper=upper, open_lower=open_lower, doc=doc, source=source)
    extra = {} if default is REQUIRED else {"default": default}
    return eqx.field(converter=_scalar, metadata=metadata, kw_only=True, **extra)


def choice(*options: str, default: Any = REQUIRED, doc: str = "") -> Any:
    """A static text field that takes one of `options`."""
    extra = {} if default is REQUIRED else {"default": default}
    return eqx.field(static=True, metadata=dict(options=options, doc=doc), kw_only=True, **extra)


def setting(*, default: Any = REQUIRED, lower: float = -math.inf, upper: float = math.inf, doc: str = "") -> Any:
    """A static field that is no physical quantity: a count (with a range), a switch, a text, a tuple of texts."""
    extra = {} if default is REQUIRED else {"default": default}
    return eqx.field(static=True, metadata=dict(lower=lower, upper=upper, doc=doc), **extra)


# Reading ------------------------------------------------------------------------------------------------------------


def read(cls: type[T], mapping: Any, path: str = "") -> T:
    """Turn resolved YAML (dicts, lists, texts, numbers) into an object of `cls`, with every key and value checked.

    `path` is where the mapping stands in the configuration, for the messages. Nothing in the mapping is ever executed.
    Raises `InputError` for an unknown or missing key, a wrong type, nan, inf or a value out of range.
    """
    return _read(_final_classes(cls), mapping, path)


def _read(classes: list[type], mapping: Any, path: str) -> Any:
    """`read` for any one of `classes`."""
    if not isinstance(mapping, Mapping):
        raise InputError(f"{_shown(path, mapping)}: must be a group of keys ({', '.join(_keys(classes[0]))})")
    final: Any = _select(classes, mapping, path)
    spelled = {}
    if hasattr(final, "translate"):
        translated = _blame(path, lambda: final.translate(mapping))
        spelled = dict(zip(translated, mapping, strict=True))  # the user's names for the messages
        mapping = translated
    known = _keys(final)
    for key in mapping:
        if key not in known:
            of_kind = f" of kind {final.kind}" if len(classes) > 1 else ""
            raise InputError(f"{_join(path, key)} is not a known key{of_kind}{_suggest(str(key), known)}")
    hints = typing.get_type_hints(final)
    values = {}
    for field in _fields(final):
        here = _join(path, spelled.get(field.name, field.name))
        if field.name in mapping:
            values[field.name] = _value(hints[field.name], field.metadata, mapping[field.name], here)
        elif field.default is REQUIRED and field.default_factory is REQUIRED:
            raise InputError(f"{here} is missing: it must be {_wanted(hints[field.name], field.metadata)}")
    module = _blame(path, lambda: final(**values))
    if hasattr(module, "check"):
        _blame(path, module.check)
    return module


def _blame(path: str, action: Callable[[], T]) -> T:
    """Run `action`; an InputError from it that does not name its path gets `path` in front."""
    try:
        return action()
    except InputError as error:
        known = not path or str(error).startswith(path)
        raise InputError(str(error) if known else f"{path}: {error}") from None


def _fields(cls: Any) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _keys(cls: type) -> list[str]:
    names = [field.name for field in _fields(cls)]
    return ["kind", *names] if hasattr(cls, "kind") else names


def _final_classes(cls: Any) -> list[type]:
    """The classes an annotation stands for: itself, the members of a union, or the kinds below an abstract class."""
    if typing.get_origin(cls) in (Union, types.UnionType):
        return [final for member in typing.get_args(cls) for final in _final_classes(member)]
    kinds = [final for sub in cls.__subclasses__() for final in _final_classes(sub)]
    concrete = dataclasses.is_dataclass(cls) and not inspect.isabstract(cls) and (hasattr(cls, "kind") or not kinds)
    # a class can be met twice (jaxtyping's import hook, multiple bases): keep the last definition of each kind
    unique = {getattr(final, "kind", final): final for final in [cls, *kinds] if final is not cls or concrete}
    return list(unique.values())


def _select(classes: list[type], mapping: Mapping, path: str) -> type:
    kinds = {getattr(cls, "kind", None): cls for cls in classes}
    if "kind" not in mapping and len(classes) == 1:
        return classes[0]
    names = [str(kind) for kind in kinds if kind is not None]
    if not names:
        raise InputError(f"{_join(path, 'kind')} is not a known key{_suggest('kind', _keys(classes[0]))}")
    if "kind" not in mapping:
        raise InputError(f"{_join(path, 'kind')} is missing: it must be one of {', '.join(names)}")
    kind = mapping["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{_shown(_join(path, 'kind'), kind)}: must be one of {', '.join(names)}")
    return kinds[kind]


def _value(hint: Any, metadata: Mapping, value: Any, path: str) -> Any:
    """One value, checked against the field's annotation and metadata."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments, metadata, value, path)
    if origin is typing.Annotated:
        return _value(arguments[0], metadata, value, path)
    if origin in (tuple, list):
        return _sequence(hint, metadata, value, path)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise InputError(f"{_shown(path, value)}: must be a group of named entries")
        for name in value:
            if not isinstance(name, str) or not name:
                raise InputError(f"{_shown(path, name)}: the names of its entries must be texts")
        return {name: _value(arguments[1], metadata, entry, _join(path, name)) for name, entry in value.items()}
    if "options" in metadata:
        if value not in metadata["options"]:
            raise InputError(f"{_shown(path, value)}: must be {_wanted(hint, metadata)}{_nearest(value, metadata)}")
        return value
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{_shown(path, value)}: must be {_wanted(hint, metadata)}")
        return value
    if hint is Any:
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise InputError(f"{_shown(path, value)}: must be true or false")
        return value
    if hint is str:
        if not isinstance(value, str):
            raise InputError(f"{_shown(path, value)}: must be a text")
        return value
    if hint is int:
        return int(_number(value, hint, metadata, path))
    if _is_array(hint) and hint.dim_str:
        return jnp.asarray(_sequence(list[float], metadata, value, path), jnp.float64)
    if hint is float or "unit" in metadata or _is_array(hint):
        return _number(value, hint, metadata, path)
    return read(hint, value, path)


def _union(members: tuple, metadata: Mapping, value: Any, path: str) -> Any:
    """A union is settled by the YAML type of the value: null, a group of keys, a list, a number, a text."""
    if value is None and type(None) in members:
        return None
    rest = [member for member in members if member is not type(None)]
    classes = [member for member in rest if dataclasses.is_dataclass(member)]
    others = [member for member in rest if member not in classes]
    if classes and (isinstance(value, Mapping) or not others):
        return _read([final for member in classes for final in _final_classes(member)], value, path)
    for member in others[:-1]:
        try:
            return _value(member, metadata, value, path)
        except InputError:
            continue
    return _value(others[-1] if others else rest[-1], metadata, value, path)


def _sequence(hint: Any, metadata: Mapping, value: Any, path: str) -> Any:
    """A list or a tuple, of any length (`tuple[float, ...]`) or of a fixed one (`tuple[float, float]`)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(value, list | tuple):
        raise InputError(f"{_shown(path, value)}: must be a list [...]")
    if origin is tuple and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise InputError(f"{_shown(path, value)}: must be a list of {len(arguments)} values")
        entries = list(arguments)
    else:
        entries = [arguments[0]] * len(value)
    items = zip(entries, value, strict=True)
    return origin(_value(entry, metadata, item, f"{path}[{i}]") for i, (entry, item) in enumerate(items))


def _number(value: Any, hint: Any, metadata: Mapping, path: str) -> float:
    """A finite number inside the field's range. True and "3" are no numbers; 1e3 is an integer."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if ok and hint is int:
        ok = float(value).is_integer()
    lower, upper = metadata.get("lower", -math.inf), metadata.get("upper", math.inf)
    below = value <= lower if ok and metadata.get("open_lower") else ok and value < lower
    if not ok or below or value > upper:
        raise InputError(f"{_shown(path, value)}: must be {_wanted(hint, metadata)}")
    return value


def _is_array(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, AbstractArray)


def _wanted(hint: Any, metadata: Mapping) -> str:
    """In words: what a field takes."""
    if "options" in metadata:
        return f"one of {', '.join(metadata['options'])}"
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    if typing.get_origin(hint) in (Union, types.UnionType) and len(members) == 1:
        return _wanted(members[0], metadata)
    if typing.get_origin(hint) in (tuple, list):
        return f"a list, each entry {_wanted(members[0], metadata)}"
    if hint is int or hint is float or "unit" in metadata or _is_array(hint):
        unit = metadata.get("unit", "1")
        noun = "a whole number" if hint is int else "a finite number"
        return noun + ("" if unit == "1" else f" in {unit}") + _range(metadata)
    return {bool: "true or false", str: "a text"}.get(hint, "a group of keys")


def _range(metadata: Mapping) -> str:
    lower, upper = metadata.get("lower", -math.inf), metadata.get("upper", math.inf)
    symbol = ">" if metadata.get("open_lower") else ">="
    parts = [f"{symbol} {lower:g}"] * (lower > -math.inf) + [f"<= {upper:g}"] * (upper < math.inf)
    return " " + " and ".join(parts) if parts else ""


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _shown(path: str, value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{path or 'the configuration'}={text if len(text) < 60 else text[:57] + '...'}"


def _nearest(value: Any, metadata: Mapping) -> str:
    close = difflib.get_close_matches(str(value), metadata["options"], 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _suggest(key: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(key, known, 3, 0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; the keys here are {', '.join(known)}" if known else "; there are no keys here"


# Writing ------------------------------------------------------------------------------------------------------------


def write(value: Any) -> Any:
    """The inverse of `read`: dicts, lists, texts and Python numbers, ready for YAML or JSON.

    Raises TypeError for something that is neither a module nor plain data.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        head = {"kind": kind} if isinstance(kind := getattr(value, "kind", None), str) else {}
        mapping = head | {field.name: write(getattr(value, field.name)) for field in _fields(value)}
        return value.spell(mapping) if hasattr(value, "spell") else mapping  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return {str(key): write(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [write(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if eqx.is_array_like(value):
        return np.asarray(value).tolist()
    raise TypeError(f"{type(value).__name__} is no configuration data")


def altered(module: T, changes: Any, path: str = "", cls: type[T] | None = None) -> T:
    """The module with the keys of `changes`, which are written as in its YAML, at any depth.

    A group with a `kind` of its own replaces the one that was there; give `cls` where the module itself may become of
    another kind. Raises `InputError` as `read` does.
    """
    return read(cls or type(module), _merged(write(module), changes), path)


def _merged(into: Any, changes: Any) -> Any:
    if not isinstance(into, Mapping) or not isinstance(changes, Mapping) or "kind" in changes:
        return changes
    return {**into, **{key: _merged(into.get(key), value) for key, value in changes.items()}}


# Listing ------------------------------------------------------------------------------------------------------------


class Parameter(NamedTuple):
    """One key of the configuration, as `invdesign list parameters` shows it."""

    path: str
    unit: str
    allowed: str
    default: str
    doc: str
    source: str


def describe(cls: Any, path: str = "") -> list[Parameter]:
    """Every key below `cls`. `<name>` stands for a name of the user's choice, `(kind)` for the class a key is in.

    A choice of classes that occurs more than once is described where it occurs first.
    """
    return _describe(_final_classes(cls), path, {})


def _describe(classes: list[type], path: str, seen: dict[tuple[type, ...], str]) -> list[Parameter]:
    first = seen.setdefault(tuple(classes), path)
    if len(classes) > 1 and first != path:
        return [Parameter(path, "", f"as {first}", "", "", "")]
    rows = []
    for final in classes:
        here = f"{path}({getattr(final, 'kind', final.__name__)})" if len(classes) > 1 else path
        hints = typing.get_type_hints(final)
        for field in _fields(final):
            rows += _describe_field(hints[field.name], field, _join(here, field.name), seen)
    return rows


def _describe_field(hint: Any, field: dataclasses.Field, path: str, seen: dict[Any, str]) -> list[Parameter]:
    members = [member for member in typing.get_args(hint) if member not in (type(None), Ellipsis)]
    origin = typing.get_origin(hint)
    if origin in (dict, Mapping) and dataclasses.is_dataclass(members[1]):
        return _describe(_final_classes(members[1]), f"{path}.<name>", seen)
    if origin in (tuple, list) and members and dataclasses.is_dataclass(members[0]):
        return _describe(_final_classes(members[0]), f"{path}[]", seen)
    classes = [member for member in members or [hint] if dataclasses.is_dataclass(member)]
    if classes and origin in (None, Union, types.UnionType):
        return _describe([final for member in classes for final in _final_classes(member)], path, seen)
    default = field.default
    if default is REQUIRED and callable(field.default_factory):
        default = field.default_factory()
    return [_parameter(hint, field, path, "" if default is REQUIRED else _shown_value(default))]


def _parameter(hint: Any, field: dataclasses.Field, path: str, value: str) -> Parameter:
    unit = field.metadata.get("unit", "")
    row = (path, "" if unit == "1" else unit, _wanted(hint, field.metadata), value)
    return Parameter(*row, *(field.metadata.get(key, "") for key in ("doc", "source")))


def _shown_value(value: Any) -> str:
    plain = write(value)
    if isinstance(plain, bool) or plain is None:
        return {None: "null", True: "true", False: "false"}[plain]
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def values(module: Any, path: str = "") -> list[Parameter]:
    """Every key below an object, with its value in place of the default."""
    if isinstance(module, Mapping):
        return [row for name, entry in module.items() for row in values(entry, _join(path, name))]
    rows = [Parameter(_join(path, "kind"), "", "", module.kind, "", "")] if hasattr(module, "kind") else []
    hints = typing.get_type_hints(type(module))
    for field in _fields(module):
        value, here = getattr(module, field.name), _join(path, field.name)
        inside = value.values() if isinstance(value, Mapping) else [value]
        if any(dataclasses.is_dataclass(each) for each in inside):
            rows += values(value, here)
        else:
            rows.append(_parameter(hints[field.name], field, here, _shown_value(value)))
    return rows


def find(module: Any, path: str, key: str = "path") -> tuple[Any, Mapping]:
    """The value at `path` ("layers.QDiP.thickness_nm") below a module, and the metadata of its field.

    Raises `InputError`, which names `key` as where the path was given, if there is nothing of this name.
    """
    value, metadata = module, {}
    for name in path.split("."):
        if isinstance(value, Mapping):
            known = {entry: (value[entry], metadata) for entry in value}
        elif dataclasses.is_dataclass(value):
            known = {field.name: (getattr(value, field.name), field.metadata) for field in _fields(value)}
        else:
            known = {}
        if name not in known:
            raise InputError(f"{key}={path}: {name} is not a known key{_suggest(name, known)}")
        value, metadata = known[name]
    return value, metadata


def find_number(module: Any, path: str, key: str = "path") -> tuple[Any, Mapping]:
    """`find` for a path that must lead to one number with a unit; raises `InputError` for anything else."""
    value, metadata = find(module, path, key)
    if metadata.get("unit") is None or value is None or np.ndim(value) != 0:
        raise InputError(f"{key}={path}: must lead to one number with a unit")
    return value, metadata
