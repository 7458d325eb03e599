"""Many producers at full speed; each batch is repeated under its key until it is accepted."""

import argparse
import gzip
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import zstandard

MARK = b"@@@@@@@@@@@@"  # in a batch's ids, replaced by its producer and number
MODELS = 4
MAX_BYTES = 5_000_000
MAX_ROWS = 10_000
MAX_WAIT_S = 2.0  # of what Retry-After asks for: the harder for the server


def batch(model: int, features: int) -> tuple[bytes, int]:
    """A body of lines up to the limits of a request, and its rows."""
    rng = random.Random(model)
    ts = datetime.now(UTC).isoformat()
    lines: list[bytes] = []
    size = 0
    while len(lines) < MAX_ROWS:
        row = {
            "event_id": f"{MARK.decode()}-{len(lines)}",
            "model": f"m{model}",
            "version": "v1",
            "ts": ts,
            "features": {
                f"feature_{i:04d}": round(rng.gauss(0, 1), 4) for i in range(features)
            },
            "prediction": round(rng.random(), 4),
            "latency_ms": 12.5,
        }
        line = json.dumps(row).encode() + b"\n"
        if size + len(line) > MAX_BYTES:
            break
        lines.append(line)
        size += len(line)
    return b"".join(lines), len(lines)


def packed(body: bytes, way: int) -> tuple[bytes, dict[str, str]]:
    """Return the body plain, as gzip or as Zstandard, and its headers."""
    if way == 1:
        return gzip.compress(body, 1), {"content-encoding": "gzip"}
    if way == 2:
        return zstandard.compress(body, 1), {"content-encoding": "zstd"}
    return body, {}


class Producer(threading.Thread):
    """One connection; what it saw is in its fields."""

    def __init__(
        self,
        number: int,
        port: int,
        until: float,
        template: tuple[bytes, int],
        first: int,
    ) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.until, self.template = (
            number,
            port,
            until,
            template,
        )
        self.first = first
        self.accepted, self.statuses, self.unsaid = 0, Counter[int](), 0

    def run(self) -> None:
        """Send until the time is over, the last batch until it is accepted."""
        template, rows = self.template
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        n = self.first
        while time.monotonic() < self.until:
            body, headers = packed(
                template.replace(MARK, b"%04d%08d" % (self.number, n)), n % 3
            )
            headers |= {
                "content-type": "application/x-ndjson",
                "idempotency-key": f"{self.number}-{n}",
            }
            while not self._taken(connection, body, headers, rows):
                pass
            n += 1
        connection.close()

    def _taken(
        self,
        connection: http.client.HTTPConnection,
        body: bytes,
        headers: dict[str, str],
        rows: int,
    ) -> bool:
        try:
            connection.request("POST", "/v1/events", body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            # the server closed: the same batch again, under the same key
            self.statuses[0] += 1
            connection.close()
            time.sleep(0.1)
            return False
        self.statuses[answer.status] += 1
        if answer.status == 200:
            accepted = json.loads(said)["accepted"]
            self.accepted += accepted
            if accepted != rows:
                raise RuntimeError(
                    f"{accepted} of {rows} rows were taken: {said[:300]!r}"
                )
            return True
        wait = answer.headers.get("retry-after", "")
        self.unsaid += not wait.isdigit()
        if answer.status not in (429, 503):
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        time.sleep(min(float(wait or 1), MAX_WAIT_S) * random.uniform(0.5, 1.0))
        return False


def main(argv: Sequence[str] | None = None) -> None:
    """Flood a server and print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first batch"
    )
    given = parser.parse_args(argv)
    templates = [batch(model, given.features) for model in range(MODELS)]
    until = time.monotonic() + given.seconds
    producers = [
        Producer(i, given.port, until, templates[i % MODELS], given.first)
        for i in range(given.connections)
    ]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    statuses: Counter[int] = sum((p.statuses for p in producers), Counter[int]())
    said = {
        "accepted": sum(p.accepted for p in producers),
        "unsaid": sum(p.unsaid for p in producers),
    }
    print(
        json.dumps(
            said
            | {"statuses": statuses, "wall_s": time.monotonic() - until + given.seconds}
        )
    )


if __name__ == "__main__":
    main()
