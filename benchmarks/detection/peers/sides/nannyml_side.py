"""NannyML's univariate drift and missing values, in chunks of a period, thresholds from all chunks of the reference."""

import numpy as np
import pandas as pd
from nannyml import MissingValuesCalculator, UnivariateDriftCalculator
from stream import CATEGORIES, NUMBERS, serve

NAMES = [f"v{i}" for i in range(50)]
# as the world has them
SIZES = dict(zip(CATEGORIES, (3, 4, 5, 8, 10, 20, 30, 50), strict=True))
START = pd.Timestamp("2025-01-06")
COLUMNS = NUMBERS + CATEGORIES


def frame(numbers, categories, starts, first_hour):
    """The rows with the time of each."""
    hours = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + first_hour
    columns = {name: numbers[:, j].astype(float) for j, name in enumerate(NUMBERS)}
    for name, codes in zip(CATEGORIES, categories.T, strict=True):
        columns[name] = pd.Categorical.from_codes(codes, NAMES[: SIZES[name]])
    columns["ts"] = START + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame(columns)


def prepare(stream):
    """Scores of drift, and of drift or missing values, 1 being NannyML's own threshold."""
    reference = frame(
        stream.reference_numbers,
        stream.reference_categories,
        stream.reference_starts,
        0,
    )
    period = "D" if stream.width == 24 else "h"
    common = {
        "column_names": COLUMNS,
        "timestamp_column_name": "ts",
        "chunk_period": period,
    }
    calculators = [
        UnivariateDriftCalculator(**common).fit(reference),
        MissingValuesCalculator(**common).fit(reference),
    ]
    usual = [values(c.result, reference=True)[0].mean(axis=0) for c in calculators]
    hours = len(stream.reference_starts) - 1

    def scores(first, last):
        starts = stream.starts[first * stream.width : last * stream.width + 1]
        place = slice(starts[0], starts[-1])
        window = frame(
            stream.numbers[place],
            stream.categories[place],
            starts,
            hours + first * stream.width,
        )
        both = [
            judged(c.calculate(window), u)
            for c, u in zip(calculators, usual, strict=True)
        ]
        return {"nannyml drift": both[0], "nannyml drift or missing": np.maximum(*both)}

    return scores


def values(result, reference=False):
    """Value, upper and lower threshold and alert of every chunk and column."""
    found = result.filter(period="reference" if reference else "analysis").to_df()
    last = {c[-1] for c in found.columns}
    if not {"value", "upper_threshold", "lower_threshold", "alert"} <= last:
        raise SystemExit(f"other columns than expected: {sorted(last)}")
    return [
        found.loc[
            :, [c for c in found.columns if c[-1] == name and c[0] != "chunk"]
        ].to_numpy(dtype=float)
        for name in ("value", "upper_threshold", "lower_threshold", "alert")
    ]


def judged(result, usual):
    """The largest distance of any column from its usual value, in units of its threshold's.

    Raises when an alert differs.
    """
    value, upper, lower, alert = values(result)
    above = (value - usual) / np.maximum(upper - usual, 1e-12)
    # a share of missing values cannot fall below a threshold of 0
    below = np.where(
        np.isnan(lower) | (lower <= 0),
        -np.inf,
        (usual - value) / np.maximum(usual - lower, 1e-12),
    )
    scores = np.nan_to_num(np.maximum(above, below), nan=-np.inf).max(axis=1)
    if (np.abs(scores - 1) > 1e-9).all() and (
        (scores > 1) != (alert > 0).any(axis=1)
    ).any():
        raise SystemExit("the alerts are not what the thresholds say")
    return scores


serve(prepare, batch=30)
