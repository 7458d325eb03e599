"""TorchServe's inference API with JSON bodies: one row, a list of them, or `instances`."""

import re
from typing import Any
from urllib.parse import unquote

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import decoded, features, one_prediction

NAME = "torchserve"
MAX_TEXT = 200  # characters of a plain-text response that may be a class
_PATH = re.compile(r"/predictions/([^/]+)(?:/([^/]+))?")


def target(path: str) -> Target | None:
    """The model and version of a path that asks for predictions."""
    match = _PATH.fullmatch(path)
    return match and Target(unquote(match[1]), unquote(match[2] or ""))


def read(request: bytes, response: bytes | None, choice: FieldChoice) -> list[Row]:
    """The rows of a JSON request. Raises NotUnderstood for images and forms."""
    asked = decoded(request)
    answered = None if response is None else _decoded_response(response)
    instances = _batch(asked, "instances")
    if instances is None:
        return [Row(features(asked), one_prediction(answered, choice.output))]
    values = _batch(answered, "predictions")
    if values is None or len(values) != len(instances):
        values = [None] * len(instances)
        if len(instances) == 1:
            values = [answered]
    return [
        Row(features(instance), one_prediction(value, choice.output))
        for instance, value in zip(instances, values, strict=True)
    ]


def _batch(value: Any, key: str) -> list[Any] | None:
    """The items of a batch; None when the value is of one row.

    A request's batch is a list of lists or objects, a response's any list.
    """
    if isinstance(value, dict) and isinstance(value.get(key), list):
        return list(value[key])
    if not isinstance(value, list) or not value:
        return None
    if key == "predictions" or all(isinstance(item, list | dict) for item in value):
        return list(value)
    return None


def _decoded_response(response: bytes) -> Any:
    try:
        return decoded(response)
    except NotUnderstood:
        # a handler may respond with the bare class
        text = response.decode("utf-8", "replace").strip()
        is_class = 0 < len(text) <= MAX_TEXT and text.isprintable()
        return text if is_class else None
