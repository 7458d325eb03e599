"""alibi-detect's TabularDrift over the same two files; another Python runs it as a script."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from alibi_detect.cd import TabularDrift  # noqa: E402

NUMERIC = [f"n{i:02d}" for i in range(16)]
CATEGORICAL = ["c0", "c1", "c2", "c3"]


def main(reference: str, current: str) -> None:
    """Print how many columns drifted."""
    before, now = (
        pd.read_parquet(file, columns=NUMERIC + CATEGORICAL)
        for file in (reference, current)
    )
    usual = before[NUMERIC].median()
    values = {
        name: pd.Index(pd.concat([before[name], now[name]]).dropna().unique())
        for name in CATEGORICAL
    }

    def matrix(rows: pd.DataFrame) -> np.ndarray:
        # the detector takes no NaN
        numbers = rows[NUMERIC].fillna(usual).to_numpy(np.float32)
        codes = np.column_stack(
            [values[name].get_indexer(rows[name]) for name in CATEGORICAL]
        )
        return np.hstack([numbers, codes.astype(np.float32)])

    detector = TabularDrift(
        matrix(before),
        p_val=0.05,
        categories_per_feature={16 + j: None for j in range(4)},
    )
    found = detector.predict(matrix(now), drift_type="feature")
    print(json.dumps({"drifted": int(found["data"]["is_drift"].sum())}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
