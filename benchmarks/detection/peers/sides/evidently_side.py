"""Evidently's own choice of a test for each column, called without the report; the first window is checked against the report."""

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import registry
from evidently.presets import DataDriftPreset
from stream import CATEGORIES, NUMBERS, serve

NAMES = np.array([f"v{i}" for i in range(50)] + [None], dtype=object)
checked = []


def frame(numbers, categories):
    """The rows as a user has them: numbers and texts."""
    columns = {name: numbers[:, j].astype(float) for j, name in enumerate(NUMBERS)}
    columns.update({name: NAMES[categories[:, j]] for j, name in enumerate(CATEGORIES)})
    return pd.DataFrame(columns)


def columns_of(rows):
    """Each column without missing values, as Evidently cleans it."""
    return {name: rows[name].dropna() for name in NUMBERS + CATEGORIES}


def prepare(stream):
    """Scores of the default tests and of PSI, 1 being their default limit."""
    reference = frame(*stream.sample())
    before = columns_of(reference)

    def scores(first, last):
        window = frame(*stream.window(first))
        now = columns_of(window)
        shares = {}
        for name in NUMBERS + CATEGORIES:
            kind = "num" if name in NUMBERS else "cat"
            for method in (None, "psi"):
                test = registry.get_stattest(before[name], now[name], kind, method)
                found = test(before[name], now[name], registry.ColumnType(kind), None)
                if "p_value" in test.display_name or found.actual_threshold != 0.1:
                    raise SystemExit(
                        "a distance with the limit 0.1 was expected, not "
                        + test.display_name
                    )
                shares.setdefault(method, []).append(
                    found.drift_score / found.actual_threshold
                )
        if not checked:
            checked.append(check(reference, window, shares[None]))
        default = np.sort(shares[None])[::-1]
        # from 0.1 on a column has drifted, and the preset says drift from half of the
        # columns on
        return {
            "evidently any": [default[0]],
            "evidently half": [default[len(default) // 2 - 1]],
            "evidently psi": [max(shares["psi"])],
        }

    return scores


def check(reference, window, shares):
    """Raise when the report has other values than the tests called one by one."""
    definition = DataDefinition(
        numerical_columns=NUMBERS, categorical_columns=CATEGORIES
    )
    data = [
        Dataset.from_pandas(rows, data_definition=definition)
        for rows in (window, reference)
    ]
    metrics = Report([DataDriftPreset()]).run(*data).dict()["metrics"]
    said = [
        float(m["value"])
        for m in metrics
        if "ValueDrift" in str(m.get("metric_name", m))
    ]
    if len(said) != len(shares) or not np.allclose(
        sorted(said), sorted(0.1 * s for s in shares)
    ):
        raise SystemExit(f"the report and the tests differ: {said}, {shares}")
    return True


serve(prepare)
