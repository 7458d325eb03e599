"""NannyML's univariate drift, its default method, in 100 chunks, over the same two files; another Python runs it as a script."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
from nannyml import UnivariateDriftCalculator  # noqa: E402

FEATURES = [f"n{i:02d}" for i in range(16)] + ["c0", "c1", "c2", "c3"]


def main(reference: str, current: str) -> None:
    """Print how many chunks of columns raise an alert."""
    before, now = (
        pd.read_parquet(file, columns=["ts", *FEATURES])
        for file in (reference, current)
    )
    calculator = UnivariateDriftCalculator(
        column_names=FEATURES, timestamp_column_name="ts", chunk_number=100
    )
    found = calculator.fit(before).calculate(now).to_df()
    print(
        json.dumps(
            {
                "alerts": int(
                    found.loc[:, [c for c in found if c[-1] == "alert"]]
                    .to_numpy()
                    .sum()
                )
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
