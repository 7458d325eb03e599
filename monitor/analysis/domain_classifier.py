"""Domain classifier: can a model tell the rows of two periods apart, and by which features? Run in a process of its own.

`python -m monitor.analysis.domain_classifier` reads an Arrow stream with the columns
`_period` (0 before, 1 after), `_hour` (a number) and the features from standard input,
and writes one JSON object.
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
CATEGORIES = 60  # of a feature; the others are one
RESAMPLES = 200
PERIOD, HOUR = "_period", "_hour"


def tell_apart(rows: pa.Table, seed: int = 0) -> dict[str, Any]:
    """How well gradient-boosted trees tell `_period` 1 from 0 by the other columns, and what each column is worth.

    `auc` is the area under the ROC curve on rows that the trees did not learn from (5
    folds that keep the rows of an hour together): 0.5 is guessing, 1 is every pair in
    the right order. `low` and `high` are its 95 % interval from 200 resamples of whole
    hours; it does not include how the trees vary. `features` have `loss`, the AUC that
    is lost on held-out rows when the column is shuffled: columns that say the same
    share it, so that each alone may lose little. Without a change the AUC lies a little
    below 0.5, as what was learned from a chance excess meets its opposite in the rows
    left out; a `low` above 0.5 errs on the safe side. Source: Lopez-Paz and Oquab
    (2017), Revisiting classifier two-sample tests; Breiman (2001) for the shuffling.
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    names = [name for name in rows.column_names if name not in (PERIOD, HOUR)]
    period, hour = (
        numpy_of(rows[PERIOD].cast(pa.int64())),
        numpy_of(rows[HOUR].cast(pa.int64())),
    )
    x, categorical = numbers_of(rows, names)
    rng = np.random.default_rng(seed)
    held_out, losses = np.zeros(len(x)), np.zeros(len(names))
    folds = min(FOLDS, *(len(np.unique(hour[period == p])) for p in (0, 1)))
    groups = hour if folds >= 2 else np.arange(len(x))
    folder = StratifiedGroupKFold(
        folds if folds >= 2 else FOLDS, shuffle=True, random_state=seed
    )
    parts = list(folder.split(x, period, groups))
    for learn, test in parts:
        trees = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=6,
            min_samples_leaf=40,
            categorical_features=categorical,
            random_state=seed,
            early_stopping=False,
        ).fit(x[learn], period[learn])
        scores = trees.predict_proba(x[test])[:, 1]
        # each fold has trees of its own: only ranks compare
        held_out[test] = rankdata(scores) / len(test)
        whole = roc_auc_score(period[test], scores)
        for j in range(len(names)):
            shuffled = x[test].copy()
            shuffled[:, j] = rng.permutation(shuffled[:, j])
            losses[j] += (
                whole - roc_auc_score(period[test], trees.predict_proba(shuffled)[:, 1])
            ) / len(parts)
    low, high = np.quantile(_resampled(period, groups, held_out, rng), [0.025, 0.975])
    ranked = sorted(zip(names, losses.tolist(), strict=True), key=lambda item: -item[1])
    return {
        "auc": float(roc_auc_score(period, held_out)),
        "low": float(low),
        "high": float(high),
        "rows_before": int((period == 0).sum()),
        "rows_after": int((period == 1).sum()),
        "features": [{"column": name, "loss": loss} for name, loss in ranked],
    }


def numbers_of(rows: pa.Table, names: Sequence[str]) -> tuple[np.ndarray, list[bool]]:
    """Some columns as the trees take them, shape (rows, columns), and which of them are categories."""
    columns = [_numbers(rows[name]) for name in names]
    return np.column_stack([values for values, _ in columns]), [
        is_category for _, is_category in columns
    ]


def _numbers(column: pa.ChunkedArray) -> tuple[np.ndarray, bool]:
    """A column as the trees take it, missing as NaN; texts as numbers of the most frequent, and whether they are such."""
    if not pa.types.is_string(column.type):
        return numpy_of(pc.fill_null(column.cast(pa.float64()), np.nan)), False
    coded = column.combine_chunks().dictionary_encode()
    codes = numpy_of(pc.fill_null(coded.indices, -1)).astype(np.int64)
    order = np.argsort(-np.bincount(codes[codes >= 0], minlength=1), kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.minimum(np.arange(len(order)), CATEGORIES)
    return np.where(codes >= 0, rank[codes], np.nan), True


def _resampled(
    period: np.ndarray, groups: np.ndarray, score: np.ndarray, rng: np.random.Generator
) -> list[float]:
    """The AUC of resamples of whole groups, drawn from each period by itself."""
    from sklearn.metrics import roc_auc_score

    sides = []
    for p in (0, 1):
        rows = np.flatnonzero(period == p)
        _, which = np.unique(groups[rows], return_inverse=True)
        sides.append((rows, which, which.max() + 1))
    found = []
    for _ in range(RESAMPLES):
        weight = np.zeros(len(period))
        for rows, which, n in sides:
            weight[rows] = np.bincount(rng.integers(n, size=n), minlength=n)[which]
        found.append(float(roc_auc_score(period, score, sample_weight=weight)))
    return found


if __name__ == "__main__":
    try:
        found = tell_apart(
            pa.ipc.open_stream(sys.stdin.buffer).read_all(), int(sys.argv[1])
        )
    except ImportError:
        found = {
            "problem": "the domain classifier needs scikit-learn: pip install 'driftdeck[classifier]'"
        }
    print(json.dumps(found))
