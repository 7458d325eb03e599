"""Feature importance of an ONNX model: its loss when one feature is shuffled.

`python -m monitor.analysis.model_file SEED FILE NAMES` runs the model on the rows that
`monitor.analysis.importance` reads, with the stored predictions in `_stored`. NAMES is
a JSON object: column -> feature. It writes one JSON object. It is a separate process,
because a model is a program.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.analysis.importance import TARGET, rank_features
from monitor.analysis.model_inputs import UnusableModel, feed_of
from monitor.analysis.model_outputs import agreement_of, output_of, target_of

STORED = "_stored"  # the column of stored predictions
SHUFFLES = 5  # of each feature
MAX_REASON_CHARACTERS = 200


def importances(
    rows: pa.Table, file: str, names: Mapping[str, str], seed: int = 0
) -> dict[str, Any]:
    """Measure by how much the outputs of an ONNX model depend on each feature.

    The result is that of `monitor.analysis.importance`, with `agreement`: the score of
    the model's outputs against the stored predictions. `names` gives the feature of
    each column, in the order of the model.

    With a `_target`, `score` is that of the model: R² for numbers, for classes 1 -
    misclassification rate / that of the most frequent class. Without, the target is the
    model's own output and `score` the agreement. Each loss is the mean of 5 shuffles.

    Raises UnusableModel for a file or rows that do not fit, and when the agreement is
    below 0.9: the file may be another version, or expect another order of features.
    Source: Fisher, Rudin and Dominici (2019), All models are wrong, but many are useful
    (model reliance).
    """
    session = _open_session(file)
    columns = list(names)
    features = rows.select(columns).rename_columns([names[name] for name in columns])
    feed = feed_of(session.get_inputs(), features)
    stored = rows[STORED]
    row_order = np.arange(rows.num_rows)
    run = _runner(session)
    read = output_of(run(feed(None, row_order)), stored)

    def predict(shuffled: str | None, order: np.ndarray) -> np.ndarray:
        return read(run(feed(shuffled, order)))

    predictions = predict(None, row_order)
    agreement = agreement_of(stored, predictions)
    if TARGET in rows.column_names:
        target = rows[TARGET]
        score = base = agreement_of(target, predictions)
    else:
        target, score = target_of(predictions), agreement
        base = agreement_of(target, predictions)
    rng = np.random.default_rng(seed)
    losses = np.zeros(len(columns))
    for j, column in enumerate(columns):
        for _ in range(SHUFFLES):
            shuffled = predict(names[column], rng.permutation(rows.num_rows))
            losses[j] += (base - agreement_of(target, shuffled)) / SHUFFLES
    result = rank_features(columns, losses, score, rows.num_rows)
    return {**result, "agreement": agreement}


def _open_session(file: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
    # onnxruntime has no common class for the errors of a file
    except Exception as error:
        reason = _first_line(error).replace(file, "it")
        raise UnusableModel(
            f"the file is not an ONNX model that can be opened: {reason}"
        ) from None


def _runner(session: Any) -> Callable[[Mapping[str, np.ndarray]], list[Any]]:
    """Return a function from the model's inputs to all its outputs."""
    outputs = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, np.ndarray]) -> list[Any]:
        try:
            return list(session.run(outputs, inputs))
        except Exception as error:
            raise UnusableModel(
                f"the model does not accept the rows: {_first_line(error)}"
            ) from None

    return run


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0][:MAX_REASON_CHARACTERS]


def main(seed: str, file: str, names: str) -> None:
    """Read the rows, write the result or the `problem`."""
    try:
        rows = pa.ipc.open_stream(sys.stdin.buffer).read_all()
        result = importances(rows, file, json.loads(names), int(seed))
    except ImportError:
        result = {
            "problem": "a model file needs onnxruntime: pip install 'driftdeck[onnx]'"
        }
    except UnusableModel as error:
        result = {"problem": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:4])
