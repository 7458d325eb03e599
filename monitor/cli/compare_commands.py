"""The command `compare`: rows of files with reference rows, without a server."""

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
    split_names,
)

if TYPE_CHECKING:  # a command loads its parts when it runs
    from monitor.analysis.comparison import Compared, Comparison

BREACH_EXIT_CODE = 6
MAX_SHOWN = 30
MAX_NAMES = 20
COLORS = {"breach": "red", "warn": "yellow", "ok": "green"}


@app.command()
def compare(
    reference: Annotated[
        Path, typer.Argument(help="Reference rows: CSV, JSONL, Parquet or Arrow.")
    ],
    current: Annotated[
        list[Path],
        typer.Argument(help="Current rows: files, directories or quoted patterns."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Use the rules of this model (default: those of all models).",
        ),
    ] = "",
    prediction: Prediction = None,
    label: Label = None,
    timestamp: Timestamp = None,
    features: Features = None,
    check: Annotated[
        bool,
        typer.Option("--check", help=f"Exit with {BREACH_EXIT_CODE} after a breach."),
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare the rows of files with reference rows, column by column.

    No server is needed and nothing is stored.
    """
    import json

    from monitor.analysis.compare_tables import compare as compare_tables
    from monitor.analysis.compare_tables import rules_for
    from monitor.config.config_file import read_config
    from monitor.ingest.file_batches import ColumnMapping, files_of

    names = split_names(features)
    mapping = ColumnMapping(timestamp, prediction, label, features=names)
    rules = rules_for(read_config(config_file(config)), model)
    files, current_files = files_of([reference]), files_of(current)
    comparison = compare_tables(files, current_files, mapping, rules)
    if as_json:
        typer.echo(json.dumps(comparison.to_dict(), ensure_ascii=False))
    else:
        _print(comparison)
    if check and comparison.status == "breach":
        raise typer.Exit(BREACH_EXIT_CODE)


def _print(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from monitor.finding_text import text_of

    console = Console(highlight=False)
    console.print(escape(f"{comparison.text}."), style="bold")
    console.print(
        f"{comparison.current_rows:,} current rows,"
        f" {comparison.reference_rows:,} reference rows. If nothing changed and the"
        " rows are independent of each other, the chance that any column is reported"
        " as changed is at most 5%."
    )
    for column in comparison.columns:
        for finding in column.findings:
            if finding.verdict in ("breach", "warn"):
                console.print(escape(text_of(finding)), style=COLORS[finding.verdict])
    headings = ("column", "status", "changed", "PSI", "95% CI", "mean", "missing")
    table = Table(*headings, box=None)
    for column in comparison.columns[:MAX_SHOWN]:
        color = COLORS.get(column.status, "dim")
        changed = "yes" if column.changed else "no"
        status = f"[{color}]{column.status}[/]"
        table.add_row(escape(column.column), status, changed, *_figures(column))
    console.print(table)
    others = len(comparison.columns) - MAX_SHOWN
    if others > 0:
        console.print(f"and {others} more columns: --json has all of them")
    for name, reason in comparison.left_out.items():
        console.print(escape(f"left out: {name} ({reason})"), style="dim")
    if comparison.added:
        names = ", ".join(comparison.added[:MAX_NAMES])
        console.print(escape(f"not in the reference: {names}"), style="dim")
    if comparison.unreadable:
        count, first = len(comparison.unreadable), comparison.unreadable[0]
        sentence = f"{count} lines could not be read; the first: {first}"
        console.print(escape(sentence), style="yellow")


def _figures(column: "Compared") -> tuple[str, str, str, str]:
    """Return PSI, its interval, the mean and the missing share, before → after."""
    from monitor.finding_text import show

    psi = interval = ""
    for finding in column.findings:
        if finding.statistic == "psi":
            psi = _short(finding.value)
            if finding.low is not None:
                interval = f"{_short(finding.low)}–{_short(finding.high)}"
            break
    sides = column.reference, column.current
    means = [f"{side.mean:.4g}" for side in sides if side.mean is not None]
    missing = [show(side.missing / side.rows, "share") for side in sides]
    return psi, interval, " → ".join(means), " → ".join(missing)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
