"""Environments of other tools, each of its own, outside the project, with the pins that it needs to import."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """A tool: its name in tables and what is installed, the tool itself first."""

    title: str
    packages: tuple[str, ...]


# evidently 0.7.23 does not import with pandas 3.1; nannyml asks for numpy < 2.3;
# alibi-detect for numpy < 2
PEERS: Mapping[str, Peer] = {
    "evidently": Peer(
        "Evidently", ("evidently==0.7.23", "pandas==2.3.3", "pyarrow==26.0.1")
    ),
    "nannyml": Peer(
        "NannyML",
        (
            "nannyml==0.13.1",
            "pandas==2.3.3",
            "numpy==2.2.6",
            "scikit-learn==1.6.1",
            "statsmodels==0.15.0",
            "pyarrow==26.0.1",
        ),
    ),
    "alibi-detect": Peer(
        "alibi-detect", ("alibi-detect==0.13.0", "pandas==2.3.3", "pyarrow==21.0.0")
    ),
}
SILENT = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "1",
)


def python_of(tool: str, folder: Path) -> str:
    """The Python of a tool under `folder`, installed when it is not there.

    `scipy` is our own.
    """
    if tool == "scipy":
        return sys.executable
    place = folder / tool
    executable = place / "bin" / "python"
    if not executable.exists():
        print(f"installing {tool} into {place}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    if not _has(executable, PEERS[tool].packages):
        subprocess.run(
            [str(executable), "-m", "pip", "install", "--quiet", *PEERS[tool].packages],
            check=True,
        )
    return str(executable)


def silent_environment() -> dict[str, str]:
    """The environment of a child: nothing of ours on its path, usage reports off, one thread."""
    own = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    }
    return {**own, **SILENT, **ONE_THREAD}


def _has(executable: Path, packages: tuple[str, ...]) -> bool:
    wanted = dict(package.split("==") for package in packages)
    script = "import json, importlib.metadata as m; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    said = subprocess.run(
        [str(executable), "-c", script], capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(said)
    return all(found.get(name) == version for name, version in wanted.items())
