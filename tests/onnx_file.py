"""Small ONNX models, written field by field: the package `onnx` is not needed to run one."""

import struct
from collections.abc import Sequence

FLOAT, INT64 = 1, 7


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    """One field of a Protocol Buffers message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def of_shape(name: str, columns: int | None, kind: int = FLOAT) -> bytes:
    """A value of `columns` columns and any number of rows; a flat one without columns."""
    shape = field(1, field(2, b"N")) + (field(1, field(1, columns)) if columns else b"")
    return field(1, name.encode()) + field(
        2, field(1, field(1, kind) + field(2, shape))
    )


def node(op: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    found = (
        b"".join(field(1, name.encode()) for name in inputs)
        + field(2, output.encode())
        + field(4, op.encode())
    )
    for name, value in attributes.items():
        found += field(5, field(1, name.encode()) + field(3, value) + field(20, 2))
    return found


def model(
    nodes: Sequence[bytes],
    weights: Sequence[Sequence[float]],
    inputs: Sequence[bytes],
    output: bytes,
) -> bytes:
    """A model whose nodes may use the matrix `w`."""
    flat = [value for row in weights for value in row]
    constant = (
        field(1, len(weights))
        + field(1, len(weights[0]))
        + field(2, FLOAT)
        + field(8, b"w")
    )
    constant += field(9, struct.pack(f"<{len(flat)}f", *flat))
    graph = (
        b"".join(field(1, one) for one in nodes) + field(2, b"g") + field(5, constant)
    )
    graph += b"".join(field(11, one) for one in inputs) + field(12, output)
    return field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 13))


def linear(*weights: float) -> bytes:
    """y[N, 1] = x[N, k] @ weights[k, 1]."""
    return model(
        [node("MatMul", ["x", "w"], "y")],
        [[w] for w in weights],
        [of_shape("x", len(weights))],
        of_shape("y", 1),
    )


def by_name(**weights: float) -> bytes:
    """y[N, 1] = sigmoid of the weighted sum of inputs with names of their own, each [N, 1]."""
    nodes = [
        node("Concat", list(weights), "x", axis=1),
        node("MatMul", ["x", "w"], "s"),
        node("Sigmoid", ["s"], "y"),
    ]
    return model(
        nodes,
        [[w] for w in weights.values()],
        [of_shape(n, 1) for n in weights],
        of_shape("y", 1),
    )


def classes(*weights: Sequence[float]) -> bytes:
    """y[N] = the place of the largest of x[N, k] @ weights[k, c]."""
    nodes = [
        node("MatMul", ["x", "w"], "s"),
        node("ArgMax", ["s"], "y", axis=1, keepdims=0),
    ]
    return model(
        nodes, weights, [of_shape("x", len(weights))], of_shape("y", None, INT64)
    )
