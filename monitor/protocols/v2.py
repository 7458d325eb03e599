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


# shape and data of a tensor, in row-major order
Tensor = tuple[list[int], list[Any]]


def target(path: str) -> Target | None:
    """The model and version of a path that asks for predictions."""
    match = _PATH.fullmatch(path)
    return match and Target(unquote(match[1]), unquote(match[2] or ""))


def understands(body: Mapping[str, Any]) -> bool:
    """True if all inputs are tensors with a datatype."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return False
    return all(isinstance(tensor, dict) and "datatype" in tensor for tensor in inputs)


def read(request: bytes, response: bytes | None, choice: FieldChoice) -> list[Row]:
    """One row for each item of the first dimension.

    All inputs and an output have to share that dimension; else all is one row. Raises
    NotUnderstood for bodies of the binary extension.
    """
    inputs = _tensors(decoded(request), "inputs")
    outputs: dict[str, Tensor] = {}
    if response is not None:
        outputs = _tensors(decoded(response), "outputs")
    n = _row_count(inputs, outputs)
    rows = []
    for features_of_row, outputs_of_row in zip(
        _by_row(inputs, n), _by_row(outputs, n), strict=True
    ):
        prediction = None
        if outputs_of_row:
            prediction = chosen(outputs_of_row, choice.output)
        rows.append(Row(features(features_of_row), prediction))
    return rows


def _tensors(body: Any, key: str) -> dict[str, Tensor]:
    """The tensors by name. Raises NotUnderstood."""
    tensors: dict[str, Tensor] = {}
    try:
        for tensor in body[key]:
            shape, data = [int(n) for n in tensor["shape"]], flat(tensor["data"])
            if len(data) != prod(shape):
                raise NotUnderstood(
                    f"`{tensor['name']}` has {len(data)} values for the shape {shape}"
                )
            tensors[str(tensor["name"])] = shape, data
    except (TypeError, KeyError, ValueError) as problem:
        if isinstance(problem, NotUnderstood):
            raise
        raise NotUnderstood(
            f"`{key}` is not a list of tensors with name, shape and JSON data"
        ) from None
    return tensors


def _row_count(inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> int:
    of_inputs = _first_dimensions(inputs)
    if len(of_inputs) != 1:
        return 1
    rows = of_inputs.pop()
    of_outputs = _first_dimensions(outputs)
    return rows if not of_outputs or rows in of_outputs else 1


def _first_dimensions(tensors: dict[str, Tensor]) -> set[int]:
    return {shape[0] if shape else 1 for shape, _ in tensors.values()}


def _by_row(tensors: dict[str, Tensor], n: int) -> list[dict[str, Any]]:
    """The data of each of `n` rows by tensor; an output that is not by row is left out."""
    rows: list[dict[str, Any]] = [{} for _ in range(n)]
    for name, (shape, data) in tensors.items():
        if n != 1 and (not shape or shape[0] != n):
            continue
        width = len(data) // n if n else 0
        for i, row in enumerate(rows):
            row[name] = data[i * width : (i + 1) * width]
    return rows
