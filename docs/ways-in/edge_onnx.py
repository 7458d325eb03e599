"""A device that predicts with ONNX Runtime and is without a network for days.

    python edge_onnx.py MODEL.onnx SPOOL_FOLDER SERVER_URL ROWS

Every prediction is in the spool when `log` returns. It reaches the server later, once and
in order.
"""

import sys
import time

import numpy as np
import onnxruntime

from monitor.client import Client


def main(model: str, spool: str, url: str, rows: int) -> None:
    """Predict `rows` times and print the counts."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    client = Client(
        url, model="vibration", version="3", spool=spool, spool_bytes=50_000_000
    )
    for row in range(rows):
        features = {"rms": 0.5 + row / 100, "kurtosis": 3.0 - row / 50}
        began = time.perf_counter()
        (score,) = session.run(
            None, {name: np.array([list(features.values())], np.float32)}
        )
        client.log(
            features, float(score[0][0]), latency_ms=(time.perf_counter() - began) * 1e3
        )
    client.close(timeout=5)  # unsent records stay in the folder
    print(client.stats())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
