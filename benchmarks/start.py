"""Start times of the command line, the client and the server."""

import sys
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import Run, python, run, server

BARE = "python -c pass"
CLIENT = [sys.executable, "-c", "import monitor.client"]


def measure(folder: Path, pairs: int, servers: int) -> list[Figure]:
    """Wall seconds of `driftdeck --help`, of importing the client, and until a new server is ready."""
    found = Path(sys.executable).with_name("driftdeck")
    command = [str(found)] if found.exists() else python("monitor.cli")
    helps: list[Run] = []
    clients: list[Run] = []
    bare: list[Run] = []
    run([*command, "--help"])  # bytecode and libraries into the page cache
    run(CLIENT)
    for _ in range(pairs):
        bare.append(run([sys.executable, "-c", "pass"]))
        clients.append(run(CLIENT))
        helps.append(run([*command, "--help"]))
    ready: list[float] = []
    ready_cpu: list[float] = []
    for i in range(servers):
        data = folder / f"start{i}"
        data.mkdir()
        with server(data, core=None) as running:
            ready.append(running.ready_s)
            ready_cpu.append(running.ready_cpu_s)
    imports = [(c.wall_s - b.wall_s) * 1e3 for c, b in zip(clients, bare, strict=True)]
    return [
        Figure(
            "driftdeck --help",
            "s",
            [r.wall_s for r in helps],
            BARE,
            [r.wall_s for r in bare],
            goal=0.3,
        ),
        Figure(
            "import monitor.client, beyond Python's own start", "ms", imports, goal=30
        ),
        Figure("server ready, new data directory", "s", ready, goal=3),
        Figure("server ready, new data directory", "CPU s", ready_cpu),
    ]
