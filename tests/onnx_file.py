"""Small ONNX models for tests."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8  # of every onnxruntime that driftdeck supports


def value(
    name: str, columns: int | None, kind: int = TensorProto.FLOAT
) -> ValueInfoProto:
    """A value of any number of rows; flat without `columns`."""
    shape = ["N"] if columns is None else ["N", columns]
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[NodeProto],
    weights: Sequence[Sequence[float]],
    inputs: Sequence[ValueInfoProto],
    output: ValueInfoProto,
) -> bytes:
    """A model whose nodes may use the matrix `w`."""
    matrix = numpy_helper.from_array(np.array(weights, np.float32), "w")
    graph = helper.make_graph(nodes, "g", inputs, [output], [matrix])
    opset = helper.make_opsetid("", OPSET)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    content: bytes = proto.SerializeToString()
    return content


def linear(*weights: float) -> bytes:
    """y[N, 1] = x[N, k] @ weights[k, 1]."""
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [[weight] for weight in weights],
        [value("x", len(weights))],
        value("y", 1),
    )


def by_name(**weights: float) -> bytes:
    """y[N, 1] = sigmoid of the weighted sum of named inputs, each [N, 1]."""
    nodes = [
        helper.make_node("Concat", list(weights), ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["y"]),
    ]
    return model(
        nodes,
        [[weight] for weight in weights.values()],
        [value(name, 1) for name in weights],
        value("y", 1),
    )


def classes(*weights: Sequence[float]) -> bytes:
    """y[N] = the column of the largest value of x[N, k] @ weights[k, c]."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("ArgMax", ["s"], ["y"], axis=1, keepdims=0),
    ]
    return model(
        nodes, weights, [value("x", len(weights))], value("y", None, TensorProto.INT64)
    )
