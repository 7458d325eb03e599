"""The tools at work: a child process for each, asked for the scores of one stream after another."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.detection.peers.environments import python_of, silent_environment

SIDES = Path(__file__).parent / "sides"
SCRIPTS = {
    tool: SIDES / f"{tool.split('-')[0]}_side.py"
    for tool in ("evidently", "nannyml", "alibi-detect", "scipy")
}


class Child:
    """One tool in its own Python."""

    def __init__(self, tool: str, environments: Path) -> None:
        self.tool, self.errors = tool, tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the child
        self.process = subprocess.Popen(
            [python_of(tool, environments), str(SCRIPTS[tool])],
            env=silent_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def ask(
        self,
        folder: Path,
        width: int,
        first: int,
        most: int,
        limits: Mapping[str, float] | None,
    ) -> dict[str, list[float]]:
        """The scores of each rule from window `first` on.

        Raises RuntimeError with the tool's last words when it died.
        """
        assert self.process.stdin and self.process.stdout
        question = {
            "folder": str(folder),
            "width": width,
            "first": first,
            "most": most,
            "limits": limits,
        }
        self.process.stdin.write((json.dumps(question) + "\n").encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(
                f"{self.tool} died: {self.errors.read().decode(errors='replace')[-1500:]}"
            )
        return dict(json.loads(answer))


CHILDREN: dict[tuple[str, Path], Child] = {}


def scores_of(tool: str, environments: Path, **question: Any) -> dict[str, list[float]]:
    """Return the scores of a tool for a stream.

    Its child process starts with the first request and ends with this process.
    """
    child = CHILDREN.get((tool, environments))
    if child is None:
        child = CHILDREN[tool, environments] = Child(tool, environments)
    return child.ask(**question)
