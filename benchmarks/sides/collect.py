"""Validate, spool and sync lines of JSON in this process, under a policy for some of the features."""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.columns import CATEGORICAL, NUMERIC
from monitor.config.columns import NOTHING, ColumnPolicy, Policy
from monitor.ingest.collector import Collector
from monitor.spool.spool import Spool

BATCH = 500
POLICIES = {
    "none": NOTHING,
    "drop": Policy({CATEGORICAL[0]: ColumnPolicy(keep="drop")}),
    "hash": Policy(
        {name: ColumnPolicy(keep="hash") for name in CATEGORICAL}, key=b"k" * 32
    ),
    "bucket": Policy(
        {name: ColumnPolicy(keep="bucket", edges=(-1, 0, 1)) for name in NUMERIC[:4]}
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Take the lines in batches and print one line of JSON: rows, and CPU seconds of taking them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lines", type=Path)
    parser.add_argument("--policy", choices=POLICIES, default="none")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, given.lines.open("rb") as file:
        spool = Spool(Path(folder))
        collector = Collector(spool, {}, policy=lambda _: POLICIES[given.policy])
        rows, before = 0, time.process_time()
        while body := b"".join(islice(file, BATCH)):
            answer = collector.events(body, "application/x-ndjson")
            answer.durable.result(60)
            rows += answer.accepted
        cpu = time.process_time() - before
        spool.close()
    print(json.dumps({"rows": rows, "cpu_s": cpu}))


if __name__ == "__main__":
    main()
