"""Values as JSON data, and error responses."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from monitor.api.response import error_response, failure_response, to_json_data
from monitor.errors import NotFound, TooMany, Unauthorized


@dataclass
class Point:
    x: float
    tags: frozenset[str]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, None),
        (math.nan, None),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
        (True, True),
        ("text", "text"),
        ((1, [2.0, None]), [1, [2.0, None]]),
        ({1: {"a": math.nan}}, {"1": {"a": None}}),
        (Point(1.0, frozenset({"t"})), {"x": 1.0, "tags": ["t"]}),
        (datetime(2026, 11, 22, 9, 30, tzinfo=UTC), "2026-11-22T09:30:00Z"),
        (
            datetime(2026, 11, 22, 17, 30, tzinfo=timezone(timedelta(hours=8))),
            "2026-11-22T09:30:00Z",
        ),
    ],
)
def test_values_become_json_data(value: object, expected: object) -> None:
    assert to_json_data(value) == expected


def test_an_error_is_one_sentence_even_with_half_a_surrogate_pair() -> None:
    response = error_response("no \ud800", 404)
    assert (response.status_code, json.loads(bytes(response.body))) == (
        404,
        {"error": "no ?"},
    )


def test_headers_of_a_failure_name_the_remedy() -> None:
    assert failure_response(TooMany("wait", 7)).headers["retry-after"] == "7"
    challenge = failure_response(Unauthorized("no key")).headers["www-authenticate"]
    assert challenge == "Bearer"
    assert failure_response(NotFound("no model")).status_code == 404
