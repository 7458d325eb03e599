"""The verb that compares files, without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.options import (
    AsJson,
    ConfigFile,
    Features,
    Label,
    Prediction,
    Timestamp,
    app,
    config_file,
)

if TYPE_CHECKING:  # a verb is loaded when it is called
    from monitor.analysis.comparison import Comparison

BROKEN = 6
SHOWN = 30
COLORS = {"breach": "red", "warn": "yellow", "ok": "green"}


@app.command()
def compare(
    reference: Annotated[
        Path, typer.Argument(help="Rows to compare with: CSV, JSONL, Parquet or Arrow.")
    ],
    current: Annotated[
        list[Path],
        typer.Argument(
            help="Rows of now, in one or more files, directories or quoted patterns."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Whose rules in the configuration hold (default: those of all models).",
        ),
    ] = "",
    prediction: Prediction = None,
    label: Label = None,
    timestamp: Timestamp = None,
    features: Features = None,
    check: Annotated[
        bool,
        typer.Option("--check", help=f"Exit with {BROKEN} when a limit is broken."),
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed between the rows of files, column by column.

    No server, nothing is stored.
    """
    import json

    from monitor.analysis.compare_tables import compare as compared
    from monitor.analysis.compare_tables import rules_for
    from monitor.config.config import read_config
    from monitor.ingest.file_batches import ColumnMapping, files_of

    names = tuple(name.strip() for name in features.split(",")) if features else None
    mapping = ColumnMapping(timestamp, prediction, label, features=names)
    rules = rules_for(read_config(config_file(config)), model)
    found = compared(files_of([reference]), files_of(current), mapping, rules)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        _print(found)
    if check and found.status == "breach":
        raise typer.Exit(BROKEN)


def _print(found: "Comparison") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from monitor.finding import show

    console = Console(highlight=False)
    console.print(escape(f"{found.text}."), style="bold")
    console.print(
        f"{found.current_rows:,} rows beside {found.reference_rows:,} of the reference. When nothing changed and rows are "
        "independent of each other, the chance that any column is said to have changed is at most 5 %."
    )
    for finding in (
        f
        for c in found.columns
        for f in c.findings
        if f.verdict in COLORS and f.verdict != "ok"
    ):
        console.print(escape(finding.text), style=COLORS[finding.verdict])
    table = Table(
        "column", "verdict", "changed", "PSI", "95 %", "mean", "missing", box=None
    )
    for column in found.columns[:SHOWN]:
        drift = next((f for f in column.findings if f.statistic == "psi"), None)
        sides = column.reference, column.current
        table.add_row(
            escape(column.column),
            f"[{COLORS.get(column.status, 'dim')}]{column.status}[/]",
            "yes" if column.changed else "no",
            _short(drift.value) if drift else "",
            f"{_short(drift.low)} to {_short(drift.high)}"
            if drift and drift.low is not None
            else "",
            " → ".join(f"{p.mean:.4g}" for p in sides if p.mean is not None),
            " → ".join(show(p.missing / p.rows, "share") for p in sides),
        )
    console.print(table)
    if len(found.columns) > SHOWN:
        console.print(
            f"and {len(found.columns) - SHOWN} more columns: --json has all of them"
        )
    for name, why in found.left_out.items():
        console.print(escape(f"left out: {name} ({why})"), style="dim")
    if found.added:
        console.print(
            escape(f"not in the reference: {', '.join(found.added[:20])}"), style="dim"
        )
    if found.unreadable:
        console.print(
            escape(
                f"{len(found.unreadable)} lines could not be read; the first: {found.unreadable[0]}"
            ),
            style="yellow",
        )


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
