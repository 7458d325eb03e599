"""Fitted models and states as plain data for JSON, and back without a loss of bits."""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, text and numbers of a dataclass of this package; an array is its shape and its values."""
    if isinstance(value, np.ndarray):
        return {
            "shape": list(value.shape),
            "values": value.astype(float).ravel().tolist(),
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(kind: Callable[..., T], data: Any) -> T:
    """Return an object from its `to_plain` data: `from_plain(State, json.loads(text))`.

    A field that is missing, as in data of an earlier version, has its default.
    """
    result: T = _restore(kind, data)
    return result


def _restore(kind: Any, data: Any) -> Any:
    if data is None:
        return None
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _restore(next(k for k in get_args(kind) if k is not type(None)), data)
    if origin is tuple:
        return tuple(_restore(get_args(kind)[0], v) for v in data)
    if kind is np.ndarray:
        return np.array(data["values"], dtype=float).reshape(data["shape"])
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(
            **{
                f.name: _restore(hints[f.name], data[f.name])
                for f in fields(kind)
                if f.name in data
            }
        )  # type: ignore[operator]
    return data
