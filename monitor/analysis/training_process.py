"""Training on stored rows in a separate process, one at a time.

A training needs one core and 200 MB.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pyarrow as pa

from monitor.analysis.exclusive import Exclusive
from monitor.errors import InvalidRequest

MAX_TRAINING_S = 300
MAX_REASON_CHARACTERS = 200

ONE_TRAINING = Exclusive("training")


def run_training(
    module: str, analysis: str, rows: pa.Table, seed: int, *arguments: str
) -> dict[str, Any]:
    """Run `python -m module SEED ARGUMENTS` on rows; return its JSON output.

    Raises InvalidRequest when it fails, TooMany when another training runs.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    # threads of OpenMP wait for each other at every small step: one is faster than two
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, str(seed), *arguments]
    try:
        with ONE_TRAINING:
            process = subprocess.run(
                command,
                input=sink.getvalue().to_pybytes(),
                capture_output=True,
                timeout=MAX_TRAINING_S,
                env=environment,
            )
    except subprocess.TimeoutExpired:
        raise InvalidRequest(
            f"it took longer than {MAX_TRAINING_S} s;"
            " ask for fewer `rows` or leave features out"
        ) from None
    if process.returncode:
        reason = _last_line(process.stderr.decode(errors="replace"))
        raise InvalidRequest(f"the {analysis} could not be computed: {reason}")
    result: dict[str, Any] = json.loads(process.stdout)
    if "problem" in result:
        raise InvalidRequest(result["problem"])
    return result


def _last_line(text: str) -> str:
    lines = text.strip().splitlines() or ["no message"]
    return lines[-1][:MAX_REASON_CHARACTERS]
