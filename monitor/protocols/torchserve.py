"""TorchServe's inference API, with JSON bodies: one row, a list of rows, or KServe's `instances`."""

import re
from typing import Any
from urllib.parse import unquote

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import chosen, decoded, features, prediction

NAME = "torchserve"
MAX_TEXT = 200  # of a plain-text answer that is taken for a class
_PATH = re.compile(r"/predictions/([^/]+)(?:/([^/]+))?")


def target(path: str) -> Target | None:
    """Model and version of a path that predicts."""
    found = _PATH.fullmatch(path)
    return found and Target(unquote(found[1]), unquote(found[2] or ""))


def read(request: bytes, response: bytes | None, wanted: FieldChoice) -> list[Row]:
    """The rows of a JSON request. Raises NotUnderstood for images and forms."""
    asked = decoded(request)
    given = _rows(asked, "instances")
    answer = None if response is None else _answer(response)
    if given is None:
        return [Row(features(asked), _prediction(answer, wanted))]
    answers = _rows(answer, "predictions")
    if answers is None or len(answers) != len(given):
        answers = [answer] if len(given) == 1 else [None] * len(given)
    return [
        Row(features(row), _prediction(p, wanted))
        for row, p in zip(given, answers, strict=True)
    ]


def _rows(value: Any, key: str) -> list[Any] | None:
    """The rows of a batch: a list of lists or objects, or, in an answer, of values; None when it is one row."""
    if isinstance(value, dict) and isinstance(value.get(key), list):
        return list(value[key])
    batch = (
        isinstance(value, list)
        and value
        and (key == "predictions" or all(isinstance(v, list | dict) for v in value))
    )
    return list(value) if batch else None


def _answer(response: bytes) -> Any:
    try:
        return decoded(response)
    except NotUnderstood:
        # a handler may answer with the bare class
        text = response.decode("utf-8", "replace").strip()
        return text if 0 < len(text) <= MAX_TEXT and text.isprintable() else None


def _prediction(value: Any, wanted: FieldChoice) -> Any:
    return (
        chosen(value, wanted.output) if isinstance(value, dict) else prediction(value)
    )
