"""Figures as a table for people and as JSON for machines."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figure import Figure
from benchmarks.process import ROOT

PACKAGES = (
    "duckdb",
    "pyarrow",
    "numpy",
    "scipy",
    "pandas",
    "msgspec",
    "fastapi",
    "uvicorn",
    "evidently",
)
COLOURS = {"met": "green", "half way": "yellow", "not met": "red"}


def about(began: datetime, commit: str) -> dict[str, Any]:
    """When, on what and with which versions this run was made."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "-"
    return {
        "began": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds()),
        "commit": commit,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "versions": versions,
    }


def write_json(
    file: Path, found: Mapping[str, Sequence[Figure]], facts: Mapping[str, Any]
) -> None:
    """Every figure with its samples."""
    figures = {name: [f.to_dict() for f in some] for name, some in found.items()}
    file.write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n")


def show(found: Mapping[str, Sequence[Figure]], facts: Mapping[str, Any]) -> None:
    """One table, printed."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"driftdeck benchmarks, {facts['began'][:10]}, commit {facts['commit']}"
    )
    for heading in (
        "",
        "what",
        "ours",
        "against",
        "theirs",
        "ours / theirs (min–max), n",
        "goal",
        "",
    ):
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if heading in ("ours", "theirs") else "left",
        )
    for name, figures in found.items():
        for figure in figures:
            *cells, state = row(figure)
            table.add_row(
                name,
                *cells,
                f"[{COLOURS.get(state, 'white')}]{state}[/]" if state else "",
            )
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 190)
    console.print(table)
    load = ", ".join(map(str, facts["load_average"]))
    console.print(
        f"{facts['machine']}; load average at the end {load}; Python {facts['python']}; took {facts['took_s']} s"
    )
    console.print(
        ", ".join(
            f"{package} {number}" for package, number in facts["versions"].items()
        )
    )


def markdown(found: Mapping[str, Sequence[Figure]]) -> str:
    """The same table in Markdown."""
    lines = [
        "| | what | ours | against | theirs | ours / theirs (min–max), n | goal | |",
        "|---" * 8 + "|",
    ]
    lines += [
        "| " + " | ".join([name, *row(figure)]) + " |"
        for name, figures in found.items()
        for figure in figures
    ]
    return "\n".join(lines)


def row(figure: Figure) -> list[str]:
    """Return the figure as a row: quantity, ours, baseline, theirs, ratio, goal, state."""
    ratios = figure.ratios
    spread = (
        f"{number(median(ratios))} ({number(min(ratios))}–{number(max(ratios))}), {len(ratios)}"
        if ratios
        else ""
    )
    if not ratios:
        spread = f"({number(min(figure.ours))}–{number(max(figure.ours))}), {len(figure.ours)}"
    sign = "≤" if figure.bound == "most" else "≥"
    wanted = (
        ""
        if figure.goal is None
        else f"{sign} {number(figure.goal)}{' x' if figure.of == 'ratio' else ''}"
    )
    return [
        figure.name,
        f"{number(median(figure.ours))} {figure.unit}",
        figure.against,
        number(median(figure.theirs)) if figure.theirs else "",
        spread,
        wanted,
        figure.state,
    ]


def number(x: float) -> str:
    """Three significant digits.

    >>> number(123456.0), number(0.02531)
    ('123,000', '0.0253')
    """
    if x == 0:
        return "0"
    rounded = float(f"{x:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def commit() -> str:
    """The commit of the working tree, with "+changes" when it has any."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        "+changes" if git("status", "--porcelain") else ""
    )


def _memory_gib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
