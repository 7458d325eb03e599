"""TensorFlow Serving's REST API: predict in rows (`instances`) or columns (`inputs`), classify, regress.

Written from its documentation (tensorflow.org/tfx/serving/api_rest); there is no
TensorFlow Serving in the tests.
"""

import re
from typing import Any
from urllib.parse import unquote

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.protocols._values import (
    chosen,
    columns_to_rows,
    decoded,
    features,
    prediction,
)

NAME = "tfserving"
_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(?:predict|classify|regress)"
)


def target(path: str) -> Target | None:
    """Model and version (or label) of a path that predicts."""
    found = _PATH.fullmatch(path)
    return found and Target(unquote(found[1]), unquote(found[2] or found[3] or ""))


def read(request: bytes, response: bytes | None, wanted: FieldChoice) -> list[Row]:
    """One row for each instance or example. Raises NotUnderstood."""
    asked = decoded(request)
    answer = {} if response is None else decoded(response)
    if not isinstance(asked, dict) or not isinstance(answer, dict):
        raise NotUnderstood("the body is not a JSON object")
    given = _given(asked)
    answers = _answers(answer, len(given), wanted)
    return [Row(features(row), p) for row, p in zip(given, answers, strict=True)]


def _given(asked: dict[str, Any]) -> list[Any]:
    if isinstance(asked.get("instances"), list):
        return list(asked["instances"])
    if isinstance(asked.get("examples"), list):
        context = asked.get("context") or {}
        return [
            {**context, **example}
            for example in asked["examples"]
            if isinstance(example, dict)
        ]
    inputs = asked.get("inputs")
    if isinstance(inputs, dict):
        return columns_to_rows(inputs) or [inputs]
    if isinstance(inputs, list):
        return inputs
    raise NotUnderstood(
        "the request has neither `instances` nor `inputs` nor `examples`"
    )


def _answers(answer: dict[str, Any], rows: int, wanted: FieldChoice) -> list[Any]:
    if isinstance(answer.get("predictions"), list):
        found = [
            chosen(p, wanted.output) if isinstance(p, dict) else prediction(p)
            for p in answer["predictions"]
        ]
    elif isinstance(results := answer.get("results", answer.get("result")), list):
        found = [_result(result) for result in results]
    elif isinstance(outputs := answer.get("outputs"), dict):
        found = [
            chosen(row, wanted.output) for row in columns_to_rows(outputs) or [outputs]
        ]
    else:
        found = [prediction(row) for row in answer.get("outputs") or ()]
    return found if len(found) == rows else [None] * rows


def _result(result: Any) -> Any:
    """The value of a regression, or the shares of a classification: [["cat", 0.9], ["dog", 0.1]]."""
    try:
        shares = {str(label): score for label, score in result}
    except (TypeError, ValueError):
        return prediction(result)
    best = max(shares, key=lambda label: shares[label]) if shares else None
    return prediction(shares) or best
