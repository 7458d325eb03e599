"""Made-up events for tests."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime.now(UTC).replace(microsecond=0)
NDJSON = "application/x-ndjson"


def event(i: int, **changes: Any) -> dict[str, Any]:
    """One plausible event of model "m"; the same `i` gives the same one."""
    rng = random.Random(i)
    return {
        "event_id": f"e{i}",
        "model": "m",
        "version": "v1",
        "ts": (NOW - timedelta(minutes=i % 5000)).isoformat(),
        "features": {
            "age": round(rng.gauss(40, 10), 3),
            "country": rng.choice("abc"),
            "premium": rng.random() < 0.5,
        },
        "prediction": round(rng.random(), 6),
        "latency_ms": round(rng.lognormvariate(2, 1), 3),
        **changes,
    }


def lines(*events: dict[str, Any]) -> bytes:
    """Events as NDJSON."""
    return b"".join(json.dumps(e).encode() + b"\n" for e in events)
