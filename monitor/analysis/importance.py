"""Importance of features: how much worse labels, or predictions, are told from a row when one feature is shuffled.

`python -m monitor.analysis.importance SEED` reads an Arrow stream with the columns
`_target` (a text is a class, a number a number), `_hour` (a number) and the features
from standard input, and writes one JSON object. Run in a process of its own.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.analysis.domain_classifier import FOLDS, HOUR, numbers_of
from monitor.arrow_columns import numpy_of

TARGET = "_target"
CLASSES = 20  # of the target; the rarer ones are one


def importances(rows: pa.Table, seed: int = 0) -> dict[str, Any]:
    """How well gradient-boosted trees tell the target from the features, and what each feature adds to that.

    `score` is the share of what there is to tell, on rows that the trees did not learn
    from (5 folds that keep the rows of an hour together): for classes 1 - log loss /
    log loss of the class shares (McFadden's R^2), for numbers R^2; 0 is guessing, 1 is
    certainty. `features` have `loss`, by how much the score falls on held-out rows when
    the column is shuffled, and `share`, the losses above 0 as parts of 1: columns that
    say the same share what they say. Source: Breiman (2001), Random forests; Fisher,
    Rudin and Dominici (2019), All models are wrong, but many are useful.
    """
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    from sklearn.model_selection import GroupKFold, KFold

    names = [name for name in rows.column_names if name not in (TARGET, HOUR)]
    x, categorical = numbers_of(rows, names)
    hour = numpy_of(rows[HOUR].cast(pa.int64()))
    classes = pa.types.is_string(rows[TARGET].type)
    y = _classes(rows[TARGET]) if classes else numpy_of(rows[TARGET].cast(pa.float64()))
    if len(np.unique(y)) < 2:
        return {
            "problem": "there is only one value to tell; importance needs at least two"
        }
    trees = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    score = _share_of_log_loss if classes else _share_of_variance
    rng, losses, scores = np.random.default_rng(seed), np.zeros(len(names)), []
    hours = len(np.unique(hour))
    folder = (
        GroupKFold(FOLDS, shuffle=True, random_state=seed)
        if hours >= FOLDS
        else KFold(FOLDS, shuffle=True, random_state=seed)
    )
    parts = list(folder.split(x, y, hour if hours >= FOLDS else None))
    for learn, test in parts:
        fitted = trees(
            max_iter=60,
            max_leaf_nodes=12,
            min_samples_leaf=40,
            categorical_features=categorical,
            random_state=seed,
            early_stopping=False,
        ).fit(x[learn], y[learn])
        whole = score(fitted, x[test], y[test], y[learn])
        scores.append(whole)
        for j in range(len(names)):
            shuffled = x[test].copy()
            shuffled[:, j] = rng.permutation(shuffled[:, j])
            losses[j] += (whole - score(fitted, shuffled, y[test], y[learn])) / len(
                parts
            )
    return ranked(names, losses, float(np.mean(scores)), len(x))


def ranked(
    names: Sequence[str], losses: np.ndarray, score: float, rows: int
) -> dict[str, Any]:
    """The features by what is lost without each, and the losses above 0 as parts of 1."""
    total = float(losses.clip(min=0).sum())
    order = sorted(zip(names, losses.tolist(), strict=True), key=lambda item: -item[1])
    return {
        "score": score,
        "rows": rows,
        "features": [
            {
                "column": name,
                "loss": loss,
                "share": max(0.0, loss) / total if total else 0.0,
            }
            for name, loss in order
        ],
    }


def _classes(column: pa.ChunkedArray) -> np.ndarray:
    """Classes as whole numbers, the most frequent ones first."""
    coded = column.combine_chunks().dictionary_encode()
    codes = numpy_of(coded.indices).astype(np.int64)
    order = np.argsort(-np.bincount(codes), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.minimum(np.arange(len(order)), CLASSES - 1)
    return rank[codes]


def _share_of_log_loss(
    fitted: Any, x: np.ndarray, y: np.ndarray, learned: np.ndarray
) -> float:
    known = list(fitted.classes_)
    usual = np.bincount(learned, minlength=max(known) + 1)[known] / len(learned)
    place = np.searchsorted(known, y)
    seen = np.isin(y, known)
    chance = fitted.predict_proba(x)[np.arange(len(y))[seen], place[seen]]
    loss, without = (
        -np.log(np.clip(p, 1e-12, None)).mean() for p in (chance, usual[place[seen]])
    )
    return float(1 - loss / without) if without > 0 else 0.0


def _share_of_variance(
    fitted: Any, x: np.ndarray, y: np.ndarray, learned: np.ndarray
) -> float:
    without = float(((y - learned.mean()) ** 2).mean())
    return (
        float(1 - ((y - fitted.predict(x)) ** 2).mean() / without)
        if without > 0
        else 0.0
    )


if __name__ == "__main__":
    try:
        found = importances(
            pa.ipc.open_stream(sys.stdin.buffer).read_all(), int(sys.argv[1])
        )
    except ImportError:
        found = {
            "problem": "importance needs scikit-learn: pip install 'driftdeck[classifier]'"
        }
    print(json.dumps(found))
