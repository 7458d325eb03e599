"""Plain JSON: a request with features and an answer with a prediction, each at a path of keys like `data.features`."""

from typing import Any

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import chosen, decoded, features, prediction

NAME = "json"
NAMES_MODEL = False


def target(path: str) -> Target | None:
    """Every path may predict; the model has to be named."""
    return Target("")


def read(request: bytes, response: bytes | None, wanted: FieldChoice) -> list[Row]:
    """One row, or one for each item where features and predictions are lists of one length.

    Raises NotUnderstood.
    """
    given = _at(decoded(request), wanted.features)
    if given is None:
        raise NotUnderstood(f"the request has no `{wanted.features}`")
    answer = None if response is None else _at(decoded(response), wanted.prediction)
    batch = (
        isinstance(given, list)
        and bool(given)
        and all(isinstance(row, list | dict) for row in given)
    )
    if not batch:
        return [Row(features(given), _prediction(answer, wanted))]
    answers = (
        answer
        if isinstance(answer, list) and len(answer) == len(given)
        else [None] * len(given)
    )
    return [
        Row(features(row), _prediction(p, wanted))
        for row, p in zip(given, answers, strict=True)
    ]


def _at(value: Any, path: str) -> Any:
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _prediction(value: Any, wanted: FieldChoice) -> Any:
    return (
        chosen(value, wanted.output) if isinstance(value, dict) else prediction(value)
    )
