"""Plain scipy: the exact two-sample KS statistic of the 16 numeric features, with pandas reading the files."""

import json
import sys

import pandas as pd
from scipy.stats import ks_2samp

NUMERIC = [f"n{i:02d}" for i in range(16)]


def main(reference: str, current: str) -> None:
    """Print the statistic of every numeric feature."""
    before, now = (
        pd.read_parquet(reference, columns=NUMERIC),
        pd.read_parquet(current, columns=NUMERIC),
    )
    ks = {
        name: float(
            ks_2samp(
                before[name].dropna().to_numpy(),
                now[name].dropna().to_numpy(),
                method="asymp",
            ).statistic
        )
        for name in NUMERIC
    }
    print(json.dumps({"ks": ks}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
