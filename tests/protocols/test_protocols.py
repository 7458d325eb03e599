"""The formats of model servers: bytes of a request and its answer to rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contracts import FieldChoice, NotUnderstood, Row, Target
from monitor.plugins import protocols

PROTOCOLS = protocols()
RECORDED = json.loads(
    (Path(__file__).parent / "recorded" / "torchserve.json").read_text()
)["exchanges"]
ANY = FieldChoice()
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "instances",
                    "inputs",
                    "outputs",
                    "predictions",
                    "results",
                    "examples",
                    "name",
                    "shape",
                    "data",
                    "features",
                    "prediction",
                    "b64",
                    "a",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def read(
    protocol: str, request: Any, response: Any = None, wanted: FieldChoice = ANY
) -> list[Row]:
    answer = None if response is None else json.dumps(response).encode()
    return PROTOCOLS[protocol].read(json.dumps(request).encode(), answer, wanted)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_offers_what_the_contract_says(name: str) -> None:
    assert name == PROTOCOLS[name].NAME
    for body in (b"", b"\xff\xfe", b"[" * 100_000, b"1", b"nonsense"):
        try:
            assert isinstance(PROTOCOLS[name].read(body, body, ANY), list)
        except NotUnderstood as reason:
            assert str(reason)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(request=VALUES, response=VALUES)
def test_any_json_gives_rows_or_a_reason(
    name: str, request: Any, response: Any
) -> None:
    try:
        rows = read(name, request, response)
    except NotUnderstood:
        return
    assert all(
        isinstance(row.features, dict) and all(isinstance(k, str) for k in row.features)
        for row in rows
    )
    assert all(
        not isinstance(v, list | dict) for row in rows for v in row.features.values()
    )


@pytest.mark.parametrize(
    ("name", "path", "target"),
    [
        ("tfserving", "/v1/models/m:predict", Target("m")),
        ("tfserving", "/v1/models/m/versions/3:classify", Target("m", "3")),
        ("tfserving", "/v1/models/m/labels/stable:regress", Target("m", "stable")),
        ("tfserving", "/v1/models/m", None),
        ("tfserving", "/v1/models/m/metadata", None),
        ("torchserve", "/predictions/m", Target("m")),
        ("torchserve", "/predictions/m/1.0", Target("m", "1.0")),
        ("torchserve", "/ping", None),
        ("v2", "/v2/models/a%20b/infer", Target("a b")),
        ("v2", "/v2/models/m/versions/v1/infer", Target("m", "v1")),
        ("v2", "/v2/health/ready", None),
        ("v2", "/v2/models/m/versions/v1", None),
        ("json", "/anything", Target("")),
    ],
)
def test_paths_that_predict(name: str, path: str, target: Target | None) -> None:
    assert PROTOCOLS[name].target(path) == target


def test_tfserving_rows() -> None:
    rows = read(
        "tfserving",
        {"signature_name": "s", "instances": [[1, 2], [3, 4]]},
        {"predictions": [[0.1], [0.9]]},
    )
    assert rows == [Row({"x_0": 1, "x_1": 2}, 0.1), Row({"x_0": 3, "x_1": 4}, 0.9)]
    named = read(
        "tfserving",
        {"instances": [{"age": 41, "tags": ["a", "b"], "image": {"b64": "AAAA"}}]},
        {"predictions": [{"score": [0.25, 0.75]}]},
    )
    assert named == [
        Row(
            {"age": 41, "tags_0": "a", "tags_1": "b", "image.bytes": 3},
            {"0": 0.25, "1": 0.75},
        )
    ]


def test_tfserving_columns() -> None:
    given_ = {"inputs": {"age": [41, 42], "country": ["TW", "DE"]}}
    rows = read(
        "tfserving", given_, {"outputs": {"score": [[0.1], [0.2]], "class": ["a", "b"]}}
    )
    assert rows == [
        Row({"age": 41, "country": "TW"}, 0.1),
        Row({"age": 42, "country": "DE"}, 0.2),
    ]
    rows = read(
        "tfserving",
        given_,
        {"outputs": {"score": [[0.1], [0.2]], "class": ["a", "b"]}},
        FieldChoice("class"),
    )
    assert [row.prediction for row in rows] == ["a", "b"]
    assert read(
        "tfserving", {"inputs": [[1.0], [2.0]]}, {"outputs": [[3.0], [4.0]]}
    ) == [
        Row({"x": 1.0}, 3.0),
        Row({"x": 2.0}, 4.0),
    ]


def test_tfserving_classify_and_regress() -> None:
    asked = {"context": {"country": "TW"}, "examples": [{"age": 41}, {"age": 42}]}
    rows = read(
        "tfserving",
        asked,
        {"results": [[["yes", 0.25], ["no", 0.75]], [["yes", 0.9], ["no", 0.4]]]},
    )
    assert rows == [
        Row({"country": "TW", "age": 41}, {"yes": 0.25, "no": 0.75}),
        Row({"country": "TW", "age": 42}, "yes"),
    ]
    assert [
        row.prediction for row in read("tfserving", asked, {"result": [1.5, 2.5]})
    ] == [1.5, 2.5]


def test_v2_several_inputs_by_row() -> None:
    asked = {
        "inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [41, 42]},
            {
                "name": "xy",
                "shape": [2, 2],
                "datatype": "FP32",
                "data": [[1, 2], [3, 4]],
            },
            {
                "name": "country",
                "shape": [2],
                "datatype": "BYTES",
                "data": ["TW", "DE"],
            },
        ]
    }
    answer = {
        "outputs": [
            {"name": "score", "shape": [2, 1], "datatype": "FP64", "data": [0.1, 0.2]}
        ]
    }
    assert read("v2", asked, answer) == [
        Row({"age": 41, "xy_0": 1, "xy_1": 2, "country": "TW"}, 0.1),
        Row({"age": 42, "xy_0": 3, "xy_1": 4, "country": "DE"}, 0.2),
    ]


def test_v2_one_answer_to_a_vector_is_one_row() -> None:
    asked = {
        "inputs": [{"name": "x", "shape": [3], "datatype": "FP64", "data": [1, 2, 3]}]
    }
    answer = {
        "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]
    }
    assert read("v2", asked, answer) == [Row({"x_0": 1, "x_1": 2, "x_2": 3}, 7)]


def test_v2_wrong_shape_and_binary_bodies_are_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="3 values for the shape"):
        read(
            "v2",
            {
                "inputs": [
                    {"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2, 3]}
                ]
            },
        )
    binary = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}\0\0\x80?'
    with pytest.raises(NotUnderstood, match="not JSON"):
        PROTOCOLS["v2"].read(binary, None, ANY)


def test_image_is_summarised_not_exploded() -> None:
    image = [[i * 28 + j for j in range(28)] for i in range(28)]
    [row] = read(
        "tfserving",
        {"instances": [{"image": image, "id": "a"}]},
        {"predictions": [[0.1, 0.2, 0.7]]},
    )
    assert row.features["image.count"] == 784 and row.features["image.mean"] == 391.5
    assert (
        row.features["image.min"],
        row.features["image.max"],
        row.features["id"],
    ) == (0, 783, "a")
    assert row.features["image.sd"] == pytest.approx(((784**2 - 1) / 12) ** 0.5)
    assert len(row.features) == 6
    assert row.prediction == {"0": 0.1, "1": 0.2, "2": 0.7}


def test_row_has_at_most_a_thousand_features() -> None:
    [row] = read(
        "json", {"features": {f"f{i}": i for i in range(5_000)}}, {"prediction": 1}
    )
    assert len(row.features) == 1_000


def test_answer_that_is_no_single_value_is_no_prediction() -> None:
    rows = read(
        "tfserving",
        {"instances": [1, 2, 3]},
        {"predictions": [[3.0, 4.0], {"a": None}, [0.5, 0.2]]},
    )
    assert [row.prediction for row in rows] == [None, None, None]


def test_failed_request_keeps_its_features() -> None:
    assert read(
        "v2", {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]}
    ) == [Row({"x": 1}, None)]


def test_json_at_other_places_and_in_batches() -> None:
    wanted = FieldChoice(features="data.rows", prediction="result.scores")
    rows = read(
        "json",
        {"data": {"rows": [{"a": 1}, {"a": 2}]}},
        {"result": {"scores": [0.1, 0.2]}},
        wanted,
    )
    assert rows == [Row({"a": 1}, 0.1), Row({"a": 2}, 0.2)]
    with pytest.raises(NotUnderstood, match=r"no `data\.rows`"):
        read("json", {"features": {}}, {}, wanted)


def test_torchserve_recorded_from_a_real_one() -> None:
    found: list[Any] = []
    for exchange in RECORDED:
        if PROTOCOLS["torchserve"].target(exchange["path"]) is None:
            found.append(None)
            continue
        answer = exchange["response"].encode() if exchange["status"] < 400 else None
        try:
            found.append(
                PROTOCOLS["torchserve"].read(exchange["request"].encode(), answer, ANY)
            )
        except NotUnderstood as reason:
            found.append(str(reason))
    assert found == [
        [Row({"a": 1, "b": 2.5}, 3.5)],
        [Row({"x_0": 1, "x_1": 2}, 3), Row({"x_0": 3, "x_1": 4}, 7)],
        [Row({"a": 1, "b": 2}, 3), Row({"a": 3, "b": 4}, 7)],
        "the body is not JSON",
        [Row({}, None)],
        [Row({"a": "x"}, None)],
        None,
    ]


def test_torchserve_plain_text_is_a_class() -> None:
    assert PROTOCOLS["torchserve"].read(b'{"a": 1}', b"tabby cat\n", ANY) == [
        Row({"a": 1}, "tabby cat")
    ]
