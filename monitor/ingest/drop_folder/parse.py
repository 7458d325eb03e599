"""The parsing process: one foreign file to batches on standard output.

It has limits of memory and time. A crafted Parquet file may crash its reader or make it
use all memory: then this process ends, not the server.
"""

import os
import resource
import sys
from pathlib import Path


def main() -> None:
    """Parse the file of the order in the first argument."""
    from monitor.errors import DriftdeckError
    from monitor.ingest.drop_folder.order import read_order, write_batch, write_end

    order = read_order(sys.argv[1])
    for limit, value in (
        (resource.RLIMIT_AS, order.memory_mb << 20),
        (resource.RLIMIT_CPU, order.seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    from monitor.ingest.file_batches import event_batches, label_batches, source_of
    from monitor.plugins import sources

    out = sys.stdout.buffer
    problem = None
    path = Path(order.path)
    try:
        source = sources()[order.format] if order.format else source_of(path)
        if order.kind == "labels":
            batches = label_batches(path, source, order.digest, order.mapping)
        else:
            batches = event_batches(
                path, source, order.digest, order.model, order.version, order.mapping
            )
        for batch in batches:
            if batch.key:
                write_batch(out, batch)
    except DriftdeckError as error:
        problem = str(error)
    except MemoryError:
        problem = (
            f"reading the file needs more than {order.memory_mb} MB (drop.memory_mb)"
        )
    write_end(out, problem)
    out.flush()
    os._exit(0)  # no destructor of a reader that failed


if __name__ == "__main__":
    main()
