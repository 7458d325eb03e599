"""Feature importance: the loss of a surrogate model when one feature is shuffled.

`python -m monitor.analysis.importance SEED`, a separate process, reads an Arrow stream
from standard input and writes one JSON object. The columns are `_target` (labels or
predictions; texts are classes), `_hour` (a number) and the features.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.analysis.domain_classifier import FOLDS, HOUR, feature_matrix
from monitor.arrow_columns import numpy_of

TARGET = "_target"
MAX_CLASSES = 20  # of the target; the rarer ones are one
MIN_PROBABILITY = 1e-12

# (fitted model, x, y, training targets) -> score
Score = Callable[[Any, np.ndarray, np.ndarray, np.ndarray], float]


def importances(rows: pa.Table, seed: int = 0) -> dict[str, Any]:
    """Measure how well gradient-boosted trees predict the target, and by which features.

    `score` is measured on test rows (5 folds that keep the rows of an hour
    together): R² for numbers, McFadden's R² for classes (1 - log loss / log loss of the
    class shares). 0 is chance, 1 is certainty.

    `features` have `loss`, the fall of the score on test rows when the column is
    shuffled, and `share`, the losses above 0 as parts of 1. Columns with the same
    information share their importance. With fewer than two target values the result is
    a `problem`. Source: Breiman (2001), Random forests; Fisher, Rudin and Dominici
    (2019), All models are wrong, but many are useful.
    """
    names = [name for name in rows.column_names if name not in (TARGET, HOUR)]
    x, categorical = feature_matrix(rows, names)
    hour = numpy_of(rows[HOUR].cast(pa.int64()))
    target = rows[TARGET]
    classes = pa.types.is_string(target.type)
    score: Score = _mcfadden_r2 if classes else _r2
    y = _class_codes(target) if classes else numpy_of(target.cast(pa.float64()))
    if len(np.unique(y)) < 2:
        return {
            "problem": "the target has only one value; importance needs at least two"
        }
    rng = np.random.default_rng(seed)
    losses = np.zeros(len(names))
    scores = []
    folds = _split(x, y, hour, seed)
    for training, test in folds:
        trees = _fit(x[training], y[training], categorical, seed, classes)
        fold_score = score(trees, x[test], y[test], y[training])
        scores.append(fold_score)
        for j in range(len(names)):
            shuffled = x[test].copy()
            shuffled[:, j] = rng.permutation(shuffled[:, j])
            loss = fold_score - score(trees, shuffled, y[test], y[training])
            losses[j] += loss / len(folds)
    return rank_features(names, losses, float(np.mean(scores)), len(x))


def _split(
    x: np.ndarray, y: np.ndarray, hour: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the rows in folds by hour, or by row when there are too few hours."""
    from sklearn.model_selection import GroupKFold, KFold

    if len(np.unique(hour)) >= FOLDS:
        by_hour = GroupKFold(FOLDS, shuffle=True, random_state=seed)
        return list(by_hour.split(x, y, hour))
    return list(KFold(FOLDS, shuffle=True, random_state=seed).split(x, y))


def _fit(
    x: np.ndarray, y: np.ndarray, categorical: list[bool], seed: int, classes: bool
) -> Any:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    trees = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return trees(
        max_iter=60,
        max_leaf_nodes=12,
        min_samples_leaf=40,
        categorical_features=categorical,
        random_state=seed,
        early_stopping=False,
    ).fit(x, y)


def rank_features(
    names: Sequence[str], losses: np.ndarray, score: float, rows: int
) -> dict[str, Any]:
    """Sort the features by loss; add their shares, the losses above 0 as parts of 1."""
    positive = losses.clip(min=0)
    total = float(positive.sum())
    shares = positive / total if total else positive
    features = [
        {"column": name, "loss": loss, "share": share}
        for name, loss, share in zip(
            names, losses.tolist(), shares.tolist(), strict=True
        )
    ]
    features.sort(key=lambda feature: -feature["loss"])
    return {"score": score, "rows": rows, "features": features}


def _class_codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return classes as whole numbers, the most frequent ones first."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = numpy_of(encoded.indices).astype(np.int64)
    order = np.argsort(-np.bincount(codes), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.minimum(np.arange(len(order)), MAX_CLASSES - 1)
    return rank[codes]


def _mcfadden_r2(
    trees: Any, x: np.ndarray, y: np.ndarray, training_y: np.ndarray
) -> float:
    """Return 1 - log loss / log loss of the training shares, over the trained classes."""
    classes = list(trees.classes_)
    counts = np.bincount(training_y, minlength=max(classes) + 1)[classes]
    shares = counts / len(training_y)
    column = np.searchsorted(classes, y)
    trained = np.isin(y, classes)
    rows = np.arange(len(y))[trained]
    loss = _log_loss(trees.predict_proba(x)[rows, column[trained]])
    base_loss = _log_loss(shares[column[trained]])
    return 1 - loss / base_loss if base_loss > 0 else 0.0


def _log_loss(probability: np.ndarray) -> float:
    return float(-np.log(np.clip(probability, MIN_PROBABILITY, None)).mean())


def _r2(trees: Any, x: np.ndarray, y: np.ndarray, training_y: np.ndarray) -> float:
    """Return 1 - squared error / squared error of the training mean."""
    base_error = float(((y - training_y.mean()) ** 2).mean())
    error = float(((y - trees.predict(x)) ** 2).mean())
    return 1 - error / base_error if base_error > 0 else 0.0


def main(seed: str) -> None:
    """Read the rows, write the result or the `problem`."""
    try:
        rows = pa.ipc.open_stream(sys.stdin.buffer).read_all()
        result = importances(rows, int(seed))
    except ImportError:
        result = {
            "problem": "importance needs scikit-learn:"
            " pip install 'driftdeck[classifier]'"
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
