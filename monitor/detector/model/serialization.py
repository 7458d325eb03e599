"""Conversion of fitted models and states to plain data for JSON, and back bit by bit."""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return a dataclass of this package as dictionaries, lists, text and numbers.

    An array becomes its shape and its values.
    """
    if isinstance(value, np.ndarray):
        values = value.astype(float).ravel().tolist()
        return {"shape": list(value.shape), "values": values}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(kind: Callable[..., T], data: Any) -> T:
    """Return the output of `to_plain` as an object of the class `kind`.

    Example: `from_plain(State, json.loads(text))`. A field that the data lack has its
    default: it was added after they were stored.
    """
    result: T = _restore(kind, data)
    return result


def _restore(kind: Any, data: Any) -> Any:
    if data is None:
        return None
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        return _restore(options[0], data)
    if origin is tuple:
        item_kind = get_args(kind)[0]
        return tuple(_restore(item_kind, item) for item in data)
    if kind is np.ndarray:
        return np.array(data["values"], dtype=float).reshape(data["shape"])
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        values = {
            f.name: _restore(hints[f.name], data[f.name])
            for f in fields(kind)
            if f.name in data
        }
        return kind(**values)  # type: ignore[operator]
    return data
