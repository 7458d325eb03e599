"""A nightly job that scores a table and logs every row.

python batch.py SERVER_URL ROWS
"""

import sys

import numpy as np
import pandas as pd

from monitor.client import Client


def main(url: str, rows: int) -> None:
    """Score and log; print the number of rows that the server accepted."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.normal(45, 12, rows).round(1),
            "country": rng.choice(["TW", "DE", "JP"], rows),
        }
    )
    frame["score"] = 1 / (1 + np.exp((45 - frame["age"]) / 12))
    with Client(url, model="churn", version="v8") as client:
        # stored: labels are sent later under these ids
        frame["event_id"] = client.log_frame(frame, prediction="score")
        client.flush(60)
        print(client.stats()["accepted"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
