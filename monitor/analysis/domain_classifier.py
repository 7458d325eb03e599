"""Domain classifier: a classifier that separates the rows of two periods.

`python -m monitor.analysis.domain_classifier SEED`, a separate process, reads an Arrow
stream from standard input and writes one JSON object. The columns are `_period` (0
before, 1 after), `_hour` (a number) and the features.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import numpy_of

FOLDS = 5
# of a feature, the most frequent; all others are one
MAX_CATEGORIES = 60
RESAMPLES = 200
PERIOD, HOUR = "_period", "_hour"


def separate_periods(rows: pa.Table, seed: int = 0) -> dict[str, Any]:
    """Measure how well gradient-boosted trees separate `_period` 1 from 0.

    `auc` is the area under the ROC curve on test rows (5 folds that keep the rows
    of an hour together): 0.5 is chance, 1 is every pair in the right order. `low` and
    `high` are its 95% interval from 200 resamples of whole hours; it does not include
    how the trees vary.

    `features` have `loss`: the AUC lost on test rows when the column is shuffled.
    Columns with the same information share it, so that each alone may lose little.

    Without a change the AUC lies a little below 0.5, because a chance excess that was
    learned is reversed in the test rows; a `low` above 0.5 is conservative. Source:
    Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests; Breiman (2001)
    for the shuffling.
    """
    from scipy.stats import rankdata
    from sklearn.metrics import roc_auc_score

    names = [name for name in rows.column_names if name not in (PERIOD, HOUR)]
    period = numpy_of(rows[PERIOD].cast(pa.int64()))
    hour = numpy_of(rows[HOUR].cast(pa.int64()))
    x, categorical = feature_matrix(rows, names)
    rng = np.random.default_rng(seed)
    ranks = np.zeros(len(x))
    losses = np.zeros(len(names))
    groups, folds = _split(x, period, hour, seed)
    for training, test in folds:
        trees = _fit(x[training], period[training], categorical, seed)
        scores = trees.predict_proba(x[test])[:, 1]
        # each fold has its own trees: only ranks can be compared
        ranks[test] = rankdata(scores) / len(test)
        auc = roc_auc_score(period[test], scores)
        for j in range(len(names)):
            shuffled = x[test].copy()
            shuffled[:, j] = rng.permutation(shuffled[:, j])
            shuffled_scores = trees.predict_proba(shuffled)[:, 1]
            loss = auc - roc_auc_score(period[test], shuffled_scores)
            losses[j] += loss / len(folds)
    low, high = np.quantile(_resample_auc(period, groups, ranks, rng), [0.025, 0.975])
    by_loss = sorted(
        zip(names, losses.tolist(), strict=True), key=lambda item: -item[1]
    )
    return {
        "auc": float(roc_auc_score(period, ranks)),
        "low": float(low),
        "high": float(high),
        "rows_before": int((period == 0).sum()),
        "rows_after": int((period == 1).sum()),
        "features": [{"column": name, "loss": loss} for name, loss in by_loss],
    }


def _split(
    x: np.ndarray, period: np.ndarray, hour: np.ndarray, seed: int
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Split the rows in folds; return the group of each row, and the folds.

    A group is an hour, or a row when a period has less than two hours.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    hours = [len(np.unique(hour[period == side])) for side in (0, 1)]
    folds = min(FOLDS, *hours)
    groups = hour
    if folds < 2:
        folds, groups = FOLDS, np.arange(len(x))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return groups, list(splitter.split(x, period, groups))


def _fit(x: np.ndarray, period: np.ndarray, categorical: list[bool], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=40,
        max_leaf_nodes=6,
        min_samples_leaf=40,
        categorical_features=categorical,
        random_state=seed,
        early_stopping=False,
    ).fit(x, period)


def feature_matrix(
    rows: pa.Table, names: Sequence[str]
) -> tuple[np.ndarray, list[bool]]:
    """Encode columns for the trees.

    Return a matrix of shape (rows, columns), and for each column whether it is
    categorical.
    """
    columns = [rows[name] for name in names]
    categorical = [pa.types.is_string(column.type) for column in columns]
    encoded = [
        _encode_categories(column) if is_text else _encode_numbers(column)
        for column, is_text in zip(columns, categorical, strict=True)
    ]
    return np.column_stack(encoded), categorical


def _encode_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers as floats, missing ones as NaN."""
    return numpy_of(pc.fill_null(column.cast(pa.float64()), np.nan))


def _encode_categories(column: pa.ChunkedArray) -> np.ndarray:
    """Return texts as their rank by frequency, missing ones as NaN."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = numpy_of(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    present = codes >= 0
    order = np.argsort(-np.bincount(codes[present], minlength=1), kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.minimum(np.arange(len(order)), MAX_CATEGORIES)
    return np.where(present, rank[codes], np.nan)


def _resample_auc(
    period: np.ndarray, groups: np.ndarray, score: np.ndarray, rng: np.random.Generator
) -> list[float]:
    """Return the AUC of resamples of whole groups, drawn from each period separately."""
    from sklearn.metrics import roc_auc_score

    sides = []
    for side in (0, 1):
        rows = np.flatnonzero(period == side)
        _, group = np.unique(groups[rows], return_inverse=True)
        sides.append((rows, group, group.max() + 1))
    values = []
    for _ in range(RESAMPLES):
        weight = np.zeros(len(period))
        for rows, group, n in sides:
            draws = np.bincount(rng.integers(n, size=n), minlength=n)
            weight[rows] = draws[group]
        values.append(float(roc_auc_score(period, score, sample_weight=weight)))
    return values


def main(seed: str) -> None:
    """Read the rows, write the result or the `problem`."""
    try:
        rows = pa.ipc.open_stream(sys.stdin.buffer).read_all()
        result = separate_periods(rows, int(seed))
    except ImportError:
        result = {
            "problem": "the domain classifier needs scikit-learn:"
            " pip install 'driftdeck[classifier]'"
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
