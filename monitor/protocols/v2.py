"""The Open Inference Protocol, version 2 (MLServer, KServe, Triton), with JSON bodies."""

import re
from collections.abc import Mapping
from math import prod
from typing import Any
from urllib.parse import unquote

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import chosen, decoded, features, flat

NAME = "v2"
_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


def target(path: str) -> Target | None:
    """Model and version of a path that predicts."""
    found = _PATH.fullmatch(path)
    return found and Target(unquote(found[1]), unquote(found[2] or ""))


def understands(body: Mapping[str, Any]) -> bool:
    """True if all inputs are tensors with a datatype."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return False
    return all(isinstance(tensor, dict) and "datatype" in tensor for tensor in inputs)


def read(request: bytes, response: bytes | None, wanted: FieldChoice) -> list[Row]:
    """One row for each item of the first dimension that all inputs (and an output) share; else all is one row.

    Raises NotUnderstood for bodies of the binary extension.
    """
    inputs = _tensors(decoded(request), "inputs")
    outputs = {} if response is None else _tensors(decoded(response), "outputs")
    rows = _rows(inputs, outputs)
    given, answers = (_by_row(tensors, rows) for tensors in (inputs, outputs))
    return [
        Row(features(g), chosen(a, wanted.output) if a else None)
        for g, a in zip(given, answers, strict=True)
    ]


def _tensors(body: Any, key: str) -> dict[str, tuple[list[int], list[Any]]]:
    """Name to shape and data, in row-major order."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    try:
        for tensor in body[key]:
            shape, data = [int(n) for n in tensor["shape"]], flat(tensor["data"])
            if len(data) != prod(shape):
                raise NotUnderstood(
                    f"`{tensor['name']}` has {len(data)} values for the shape {shape}"
                )
            found[str(tensor["name"])] = shape, data
    except (TypeError, KeyError, ValueError) as problem:
        if isinstance(problem, NotUnderstood):
            raise
        raise NotUnderstood(
            f"`{key}` is not a list of tensors with name, shape and JSON data"
        ) from None
    return found


def _rows(
    inputs: dict[str, tuple[list[int], list[Any]]],
    outputs: dict[str, tuple[list[int], list[Any]]],
) -> int:
    firsts = {shape[0] if shape else 1 for shape, _ in inputs.values()}
    rows = firsts.pop() if len(firsts) == 1 else 1
    answered = {shape[0] if shape else 1 for shape, _ in outputs.values()}
    return rows if not answered or rows in answered else 1


def _by_row(
    tensors: dict[str, tuple[list[int], list[Any]]], rows: int
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{} for _ in range(rows)]
    for name, (shape, data) in tensors.items():
        if rows != 1 and (not shape or shape[0] != rows):
            continue  # an output that is not by row
        width = len(data) // rows if rows else 0
        for i, row in enumerate(found):
            row[name] = data[i * width : (i + 1) * width]
    return found
