"""The demo's model: the probability that a flight arrives more than 15 minutes late."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from .flights import CATEGORICAL, FEATURES, NUMERIC

MODEL_NAME = "flight-delay"
SEED = 2013
FOLDS = 3
IMPORTANCE_ROWS = 8_000


@dataclass(frozen=True)
class DelayModel:
    """A fitted model with its predictions and importance on test rows.

    `held_out` has one prediction per reference row, of a model that was not trained on
    any flight of that day. `importance` is each feature's share of the AUC
    lost when it is shuffled on test rows; the shares add up to 1.
    """

    pipeline: Pipeline
    version: str
    held_out: np.ndarray[Any, np.dtype[np.float64]]
    importance: dict[str, float]

    def predict(self, features: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Predict the probability of a late arrival for each row.

        A category that is not in the training data counts as missing.
        """
        return _probabilities(self.pipeline, features)


def train(reference: pd.DataFrame) -> DelayModel:
    """Fit the model on all labelled reference rows.

    Its version is the month of the newest reference row.
    """
    labelled = reference[reference["label"].notna()]
    days = labelled["ts"].dt.floor("D")
    held_out = pd.Series(np.nan, index=reference.index)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(
        labelled, groups=days
    )
    for number, (training, test) in enumerate(folds):
        fitted = _fit(labelled.iloc[training])
        test_rows = labelled.iloc[test]
        held_out[labelled.index[test]] = _probabilities(fitted, test_rows)
        if number == 0:
            importance = _importance(fitted, test_rows)
    pipeline = _fit(labelled)
    without_label = reference["label"].isna()
    held_out[without_label] = _probabilities(pipeline, reference[without_label])
    version = reference["ts"].max().strftime("%Y-%m")
    return DelayModel(
        pipeline, version, np.asarray(held_out, dtype=np.float64), importance
    )


def _fit(rows: pd.DataFrame) -> Pipeline:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("categories", encoder, CATEGORICAL), ("numbers", "passthrough", NUMERIC)]
    )
    trees = HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.08,
        max_leaf_nodes=24,
        min_samples_leaf=60,
        l2_regularization=1.0,
        categorical_features=list(range(len(CATEGORICAL))),
        early_stopping=False,
        random_state=SEED,
    )
    pipeline = make_pipeline(columns, trees)
    pipeline.fit(rows[FEATURES], rows["label"].astype(bool))
    return pipeline


def _probabilities(
    pipeline: Pipeline, rows: pd.DataFrame
) -> np.ndarray[Any, np.dtype[np.float64]]:
    typed = rows[FEATURES].astype(
        dict.fromkeys(CATEGORICAL, "str") | dict.fromkeys(NUMERIC, "float64")
    )
    return np.asarray(pipeline.predict_proba(typed)[:, 1], dtype=np.float64)


def _importance(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    rows = rows.sample(min(IMPORTANCE_ROWS, len(rows)), random_state=SEED)
    losses = permutation_importance(
        pipeline,
        rows[FEATURES],
        rows["label"].astype(bool),
        scoring="roc_auc",
        n_repeats=2,
        random_state=SEED,
    ).importances_mean.clip(min=0)
    total = float(losses.sum()) or 1.0
    shares = {
        name: round(float(loss) / total, 4)
        for name, loss in zip(FEATURES, losses, strict=True)
    }
    largest = max(shares, key=lambda name: shares[name])
    # the rounding error, so that the sum is 1
    shares[largest] = round(shares[largest] + 1 - sum(shares.values()), 4)
    return shares
