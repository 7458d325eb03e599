"""Importance from the model itself: how much its own answers change, or get worse, when one feature is shuffled.

`python -m monitor.analysis.model_file SEED FILE NAMES` runs the ONNX model in a file on
the rows that `monitor.analysis.importance` reads, with what the model had answered in
`_stored`; NAMES is a JSON object: the feature that each column is. It writes one JSON
object. Run in a process of its own: a model is a program.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.analysis.importance import TARGET, ranked
from monitor.arrow_columns import numpy_of

STORED = "_stored"  # the column of stored predictions
REPEATS = 5  # shuffles of each feature
MIN_AGREEMENT = 0.9  # of the stored predictions, that the file must give again
MAX_OUTPUTS = 100  # columns of one answer that are compared with the stored predictions
FLOATS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
WHOLE = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}

Inputs: TypeAlias = dict[str, np.ndarray]
# of a feature whose rows are to be in another order, and that order
Feed: TypeAlias = Callable[[str | None, np.ndarray], Inputs]
Answers: TypeAlias = Callable[[Inputs], np.ndarray]


class _Unusable(Exception):
    """The file does not fit the rows; the message says what to do."""


def importances(
    rows: pa.Table, file: str, called: Mapping[str, str], seed: int = 0
) -> dict[str, Any]:
    """What each feature adds to the answers of the model in an ONNX file, shape and meaning as of `monitor.analysis.importance`.

    `called` gives each column of a feature its own name, in the order of the model.
    With a `_target`, `score` is the share of what there is to tell that the model
    tells: R^2 for numbers, for classes 1 - wrong / wrong of the most frequent class.
    Without, the target is the model's own answer, and `score` how well the file repeats
    the stored predictions. Each loss is the mean of 5 shuffles. The file must give the
    stored predictions again (a score of at least 0.9), so that another version, or
    another order of the features, is not taken for the model. Source: Fisher, Rudin and
    Dominici (2019), All models are wrong, but many are useful (model reliance).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime has no common class for what is wrong with a file
    except Exception as error:
        raise _Unusable(
            f"the file is no ONNX model that can be opened: {_first_line(error).replace(file, 'it')}"
        ) from None
    keys = list(called)
    feed = _feed(
        session, rows.select(keys).rename_columns([called[key] for key in keys])
    )
    whole = np.arange(rows.num_rows)
    answers = _answers(session, feed, rows[STORED])
    given = answers(feed(None, whole))
    agreement = _told(rows[STORED], given)
    if TARGET in rows.column_names:
        target, score = rows[TARGET], _told(rows[TARGET], given)
    else:
        target, score = _as_column(given), agreement
    start = _told(target, given)
    rng, losses = np.random.default_rng(seed), np.zeros(len(keys))
    for j, key in enumerate(keys):
        for _ in range(REPEATS):
            losses[j] += (
                start
                - _told(
                    target, answers(feed(called[key], rng.permutation(rows.num_rows)))
                )
            ) / REPEATS
    return {**ranked(keys, losses, score, rows.num_rows), "agreement": agreement}


def _feed(session: Any, rows: pa.Table) -> Feed:
    """The model's inputs, with the rows of one feature in another order: an input for each feature by its name, or one
    matrix of all in the order in which they are."""
    inputs, names = session.get_inputs(), rows.column_names
    if {one.name for one in inputs} <= set(names):
        values = {
            one.name: _input(rows[one.name], one.type, one.name) for one in inputs
        }
        flat = {one.name: len(one.shape) < 2 for one in inputs}

        def named(shuffled: str | None, order: np.ndarray) -> Inputs:
            given = {n: v[order] if n == shuffled else v for n, v in values.items()}
            return {n: v if flat[n] else v[:, None] for n, v in given.items()}

        return named
    if len(inputs) != 1 or len(inputs[0].shape) != 2:
        wanted = ", ".join(f"{one.name} {one.shape}" for one in inputs[:5])
        known = ", ".join(names[:20])
        raise _Unusable(
            f"the model's inputs ({wanted}) are neither features by name ({known}) nor one matrix of them"
        )
    only, width = inputs[0], inputs[0].shape[1]
    if isinstance(width, int) and width != len(names):
        raise _Unusable(
            f"the model takes {width} numbers a row and there are {len(names)} features; name those it takes, in order, as `features`"
        )
    matrix = np.column_stack([_input(rows[name], only.type, name) for name in names])

    def together(shuffled: str | None, order: np.ndarray) -> Inputs:
        if shuffled is None:
            return {only.name: matrix}
        moved = matrix.copy()
        moved[:, names.index(shuffled)] = matrix[order, names.index(shuffled)]
        return {only.name: moved}

    return together


def _input(column: pa.ChunkedArray, wanted: str, name: str) -> np.ndarray:
    """A feature as the model takes it; missing numbers are NaN and missing texts empty."""
    is_text = pa.types.is_string(column.type)
    if wanted == "tensor(string)":
        return np.array(
            pc.fill_null(column.cast(pa.string()), "").to_pylist(), dtype=object
        )
    if is_text:
        raise _Unusable(f"the feature {name!r} is text and the model takes {wanted}")
    if wanted in FLOATS:
        return numpy_of(pc.fill_null(column.cast(pa.float64()), np.nan)).astype(
            FLOATS[wanted]
        )
    if wanted == "tensor(bool)" or wanted in WHOLE:
        if column.null_count:
            raise _Unusable(
                f"the feature {name!r} is missing in {column.null_count} rows and the model takes {wanted}"
            )
        return numpy_of(column.cast(pa.float64())).astype(WHOLE.get(wanted, np.bool_))
    raise _Unusable(
        f"the model takes {wanted} for {name!r}; known: float, double, int64, int32, bool, string"
    )


def _answers(session: Any, feed: Feed, stored: pa.ChunkedArray) -> Answers:
    """The one of the model's outputs, and of its columns, that gives the stored predictions again."""
    outputs, whole = [one.name for one in session.get_outputs()], np.arange(len(stored))

    def run(inputs: Inputs) -> list[Any]:
        try:
            return list(session.run(outputs, inputs))
        except Exception as error:
            raise _Unusable(
                f"the model does not take the rows: {_first_line(error)}"
            ) from None

    best: tuple[int, Callable[[Any], np.ndarray]] | None = None
    agreement = -np.inf
    for i, output in enumerate(run(feed(None, whole))):
        for which in _columns(output, len(whole)):
            told = _told(stored, which(output))
            if told > agreement:
                best, agreement = (i, which), told
    if best is None or agreement < MIN_AGREEMENT:
        raise _Unusable(
            f"the model in the file does not give the stored predictions (agreement {max(agreement, 0.0):.2f}, at least {MIN_AGREEMENT} is "
            "needed): is it the version that runs, does it take the features as they were logged, and in this order?"
        )
    place, chosen = best
    return lambda inputs: chosen(run(inputs)[place])


def _columns(output: Any, rows: int) -> list[Callable[[Any], np.ndarray]]:
    """Ways to read one value a row from an output: itself, each of its columns, the place of the largest."""
    # the probabilities of a scikit-learn classifier: a dictionary a row
    if isinstance(output, list):
        keys = (
            list(output[0])[:MAX_OUTPUTS]
            if output and isinstance(output[0], dict)
            else []
        )
        return [partial(_of_key, key) for key in keys]
    shape = np.shape(output)
    if not shape or shape[0] != rows or len(shape) > 2:
        return []
    if len(shape) == 1:
        return [np.asarray]
    columns: list[Callable[[Any], np.ndarray]] = [
        partial(_of_column, j) for j in range(min(shape[1], MAX_OUTPUTS))
    ]
    return [*columns, _largest] if shape[1] > 1 else columns


def _of_key(key: Any, output: Any) -> np.ndarray:
    return np.array([row[key] for row in output], dtype=float)


def _of_column(column: int, output: Any) -> np.ndarray:
    return np.asarray(output[:, column])


def _largest(output: Any) -> np.ndarray:
    return np.asarray(output.argmax(axis=1))


def _told(target: pa.ChunkedArray | pa.Array, given: np.ndarray) -> float:
    """How well answers tell a target: R^2 of numbers, else 1 - wrong / wrong of the most frequent class; at most 1."""
    known = (
        numpy_of(pc.is_valid(target))
        if target.null_count
        else np.ones(len(given), dtype=bool)
    )
    if pa.types.is_string(target.type):
        classes = np.array(target.to_pylist(), dtype=object)[known]
        said = np.array(
            [_text(v) for v in np.asarray(given)[known].tolist()], dtype=object
        )
        _, counts = np.unique(classes.astype(str), return_counts=True)
        without = 1 - counts.max() / max(1, counts.sum()) if counts.size else 0.0
        return (
            float(1 - (classes != said).mean() / without)
            if without
            else float((classes == said).mean())
        )
    if not np.issubdtype(np.asarray(given).dtype, np.number):
        return -np.inf
    y = numpy_of(target.cast(pa.float64()))[known]
    error, without = np.mean((y - given[known].astype(float)) ** 2), np.var(y)
    return float(1 - error / without) if without and np.isfinite(error) else -np.inf


def _text(value: Any) -> str:
    return (
        str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value)
    )


def _as_column(given: np.ndarray) -> pa.Array:
    if np.issubdtype(given.dtype, np.floating):
        return pa.array(given.astype(float))
    return pa.array([_text(v) for v in given.tolist()], pa.string())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]


def main(seed: str, file: str, called: str) -> None:
    """Read the rows, write what was found or the `problem`."""
    try:
        found = importances(
            pa.ipc.open_stream(sys.stdin.buffer).read_all(),
            file,
            json.loads(called),
            int(seed),
        )
    except ImportError:
        found = {
            "problem": "a model file needs onnxruntime: pip install 'driftdeck[onnx]'"
        }
    except _Unusable as error:
        found = {"problem": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:4])
