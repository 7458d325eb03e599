"""Plain JSON: features and prediction each at a path of keys like `data.features`."""

from typing import Any

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import decoded, features, one_prediction

NAME = "json"
NAMES_MODEL = False


def target(path: str) -> Target | None:
    """Any path may ask for predictions; --model names the model."""
    return Target("")


def read(request: bytes, response: bytes | None, choice: FieldChoice) -> list[Row]:
    """One row; one for each item if features and predictions are lists of one length.

    Raises NotUnderstood.
    """
    inputs = _at(decoded(request), choice.features)
    if inputs is None:
        raise NotUnderstood(f"the request has no `{choice.features}`")
    output = None
    if response is not None:
        output = _at(decoded(response), choice.prediction)
    if not _is_batch(inputs):
        return [Row(features(inputs), one_prediction(output, choice.output))]
    outputs = [None] * len(inputs)
    if isinstance(output, list) and len(output) == len(inputs):
        outputs = output
    return [
        Row(features(row), one_prediction(value, choice.output))
        for row, value in zip(inputs, outputs, strict=True)
    ]


def _is_batch(inputs: Any) -> bool:
    if not isinstance(inputs, list) or not inputs:
        return False
    return all(isinstance(row, list | dict) for row in inputs)


def _at(value: Any, path: str) -> Any:
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value
