"""TensorFlow Serving's REST API: predict by rows or columns, classify, regress.

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
    one_prediction,
    prediction,
)

NAME = "tfserving"
_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(?:predict|classify|regress)"
)


def target(path: str) -> Target | None:
    """The model and version (or label) of a path that asks for predictions."""
    match = _PATH.fullmatch(path)
    return match and Target(unquote(match[1]), unquote(match[2] or match[3] or ""))


def read(request: bytes, response: bytes | None, choice: FieldChoice) -> list[Row]:
    """One row for each instance or example. Raises NotUnderstood."""
    asked = decoded(request)
    answered = {} if response is None else decoded(response)
    if not isinstance(asked, dict) or not isinstance(answered, dict):
        raise NotUnderstood("the body is not a JSON object")
    instances = _instances(asked)
    predictions = _predictions(answered, choice.output)
    if len(predictions) != len(instances):
        predictions = [None] * len(instances)
    return [
        Row(features(instance), value)
        for instance, value in zip(instances, predictions, strict=True)
    ]


def _instances(request: dict[str, Any]) -> list[Any]:
    """The rows of a request: `instances` or `examples`, or the columns of `inputs`."""
    if isinstance(request.get("instances"), list):
        return list(request["instances"])
    examples = request.get("examples")
    if isinstance(examples, list):
        context = request.get("context") or {}
        return [{**context, **e} for e in examples if isinstance(e, dict)]
    inputs = request.get("inputs")
    if isinstance(inputs, dict):
        return columns_to_rows(inputs) or [inputs]
    if isinstance(inputs, list):
        return inputs
    raise NotUnderstood(
        "the request has neither `instances` nor `inputs` nor `examples`"
    )


def _predictions(response: dict[str, Any], output: str | None) -> list[Any]:
    predictions = response.get("predictions")
    if isinstance(predictions, list):
        return [one_prediction(value, output) for value in predictions]
    results = response.get("results", response.get("result"))
    if isinstance(results, list):
        return [_result(result) for result in results]
    outputs = response.get("outputs")
    if isinstance(outputs, dict):
        rows = columns_to_rows(outputs) or [outputs]
        return [chosen(row, output) for row in rows]
    return [prediction(value) for value in outputs or ()]


def _result(result: Any) -> Any:
    """The value of a regression, or the shares of a classification.

    A classification is a list of pairs: [["cat", 0.9], ["dog", 0.1]].
    """
    try:
        shares = {str(label): score for label, score in result}
    except (TypeError, ValueError):
        return prediction(result)
    best = max(shares, key=lambda label: shares[label]) if shares else None
    return prediction(shares) or best
