"""Send a request and its response as two CloudEvents, like KServe's inference logger.

python kserve_pair.py SERVER_URL
"""

import json
import sys
import uuid
from datetime import UTC, datetime
from urllib.request import Request, urlopen


def send(url: str, part: str, id_: str, data: dict) -> dict:
    """POST one CloudEvent in binary mode; return the server's response."""
    headers = {
        "ce-specversion": "1.0",
        "ce-type": f"org.kubeflow.serving.inference.{part}",
        "ce-source": "http://localhost:9081/",
        "ce-id": id_,
        "ce-time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "ce-inferenceservicename": "sklearn-iris",
        "ce-namespace": "default",
        "ce-component": "predictor",
        "ce-endpoint": "",
        "content-type": "application/json",
    }
    with urlopen(
        Request(f"{url}/v1/cloudevents", json.dumps(data).encode(), headers)
    ) as response:
        return json.load(response)


if __name__ == "__main__":
    exchange = str(uuid.uuid4())
    print(
        send(
            sys.argv[1],
            "request",
            exchange,
            {"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]},
        )
    )
    print(send(sys.argv[1], "response", exchange, {"predictions": [1, 1]}))
