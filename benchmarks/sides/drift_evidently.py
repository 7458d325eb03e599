"""Evidently's DataDriftPreset over the same two files.

Needs no driftdeck: another Python may run it as a script.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

NUMERIC = [f"n{i:02d}" for i in range(16)]
CATEGORICAL = ["c0", "c1", "c2", "c3"]


def main(reference: str, current: str, method: str) -> None:
    """Print the share of drifted columns of the preset."""
    before, now = (
        pd.read_parquet(file, columns=NUMERIC + CATEGORICAL)
        for file in (reference, current)
    )
    definition = DataDefinition(
        numerical_columns=NUMERIC, categorical_columns=CATEGORICAL
    )
    preset = (
        DataDriftPreset() if method == "default" else DataDriftPreset(method=method)
    )
    datasets = [
        Dataset.from_pandas(rows, data_definition=definition) for rows in (now, before)
    ]
    result = Report([preset]).run(*datasets).dict()
    print(json.dumps({"drifted": str(result["metrics"][0]["value"])}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
