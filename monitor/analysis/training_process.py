"""Training on stored rows in a process of its own, one at a time: it takes a core and 200 MB."""

import json
import os
import subprocess
import sys
from typing import Any

import pyarrow as pa

from monitor.analysis.exclusive import Exclusive
from monitor.errors import InvalidRequest

MAX_S = 300

TURN = Exclusive("training")


def trained(
    module: str, what: str, rows: pa.Table, seed: int, *more: str
) -> dict[str, Any]:
    """What `python -m module SEED MORE` answers for some rows.

    Raises InvalidRequest when it cannot, TooMany when another one runs.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    # threads of OpenMP wait for each other at every small step: one is faster than two
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, str(seed), *more]
    try:
        with TURN:
            done = subprocess.run(
                command,
                input=sink.getvalue().to_pybytes(),
                capture_output=True,
                timeout=MAX_S,
                env=environment,
            )
    except subprocess.TimeoutExpired:
        raise InvalidRequest(
            f"it took longer than {MAX_S} s; ask for fewer `rows` or leave features out"
        ) from None
    if done.returncode:
        last = (
            done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        )[-1]
        raise InvalidRequest(f"the {what} could not be computed: {last[:200]}")
    found: dict[str, Any] = json.loads(done.stdout)
    if "problem" in found:
        raise InvalidRequest(found["problem"])
    return found
