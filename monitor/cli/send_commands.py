"""The commands that send rows from files: `ingest` (predictions) and `labels`."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import (
    DEFAULT_DATA,
    AsJson,
    ConfigFile,
    Data,
    Features,
    Id,
    Label,
    Latency,
    MaxAge,
    Model,
    Prediction,
    Timestamp,
    Url,
    app,
    config_file,
    split_names,
)
from monitor.errors import DriftdeckError, Unreachable

MAX_REFUSALS = 100  # in the JSON result
MAX_SHOWN = 10
REFUSED_EXIT_CODE = 5


@app.command()
def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, JSONL, Parquet or Arrow files, directories, or quoted patterns."
        ),
    ],
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Send each line that is appended to one file of JSON lines.",
        ),
    ] = False,
    model: Model = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Version of rows without one."),
    ] = None,
    timestamp: Timestamp = None,
    prediction: Prediction = None,
    label: Label = None,
    id_: Id = None,
    latency: Latency = None,
    features: Features = None,
    max_age: MaxAge = None,
    allow_refused: Annotated[
        bool,
        typer.Option(
            "--allow-refused", help="Exit with 0 even when rows were refused."
        ),
    ] = False,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log predictions from files. Sending a file again adds nothing."""
    if follow:
        mapped = (timestamp, prediction, label, id_, latency, features, version)
        if any(mapped) or len(files) != 1:
            raise DriftdeckError(
                "--follow reads one file of events as JSON lines,"
                " without mapped columns"
            )
        counts = _follow(files[0], model, max_age, url, data)
        _report(counts, as_json, allow_refused, "events", may_be_empty=True)
        return
    from monitor.ingest.file_batches import ColumnMapping, files_of
    from monitor.send.session import connect
    from monitor.send.upload import Counts, send_events

    mapping = ColumnMapping(
        timestamp, prediction, label, id_, latency, None, split_names(features)
    )
    counts = Counts()

    def send(path: Path, step: Callable[[int], None]) -> None:
        send_events(session, path, model, version, mapping, max_age, counts, step)

    paths = files_of(files)
    with connect(url, data, config_file(config)) as session:
        _send_with_progress(paths, send)
        session.request("POST", "/v1/flush")
    _report(counts, as_json, allow_refused, "events")


@app.command()
def labels(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files with the columns event_id, label and ts."),
    ],
    model: Model = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            help="Column with the time the label became known (default: ts).",
        ),
    ] = None,
    label: Label = None,
    id_: Id = None,
    max_age: MaxAge = None,
    allow_refused: Annotated[
        bool,
        typer.Option(
            "--allow-refused", help="Exit with 0 even when rows were refused."
        ),
    ] = False,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log labels from files.

    A label may arrive before its event. A later label replaces an earlier one.
    """
    from monitor.ingest.file_batches import ColumnMapping, files_of
    from monitor.send.session import connect
    from monitor.send.upload import Counts, send_labels

    mapping = ColumnMapping(timestamp=timestamp, label=label, id=id_)
    counts = Counts()

    def send(path: Path, step: Callable[[int], None]) -> None:
        send_labels(session, path, model, mapping, max_age, counts, step)

    paths = files_of(files)
    with connect(url, data, config_file(config)) as session:
        _send_with_progress(paths, send)
        session.request("POST", "/v1/flush")
    _report(counts, as_json, allow_refused, "labels")


def _follow(
    path: Path, model: str | None, max_age: float | None, url: str | None, data: Path
) -> Any:
    """Follow a log until Ctrl-C or SIGTERM; return the counts of its rows."""
    import signal

    from monitor.send.follow import Follower, position_file
    from monitor.send.session import connect
    from monitor.send.upload import Counts
    from monitor.server.address import announced

    address = url or announced(data)
    if address is None:
        raise Unreachable(
            "--follow sends to a running server; start one with `driftdeck up`,"
            " or name one with --url"
        )

    def warn(text: str) -> None:
        typer.echo(text, err=True)

    counts = Counts()
    follower = Follower(path, position_file(data, path, model), warn)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with connect(address, data, None) as session:
        typer.echo(f"following {path}; Ctrl-C ends it", err=True)
        # rows that are being sent at Ctrl-C are recorded, and sent once more at the
        # next start
        with suppress(KeyboardInterrupt):
            follower.run(session, counts, model, max_age)
    return counts


def _send_with_progress(
    files: list[Path], send: Callable[[Path, Callable[[int], None]], None]
) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for path in files:
            task = progress.add_task(path.name, total=max(1, path.stat().st_size))
            send(path, lambda size, task=task: progress.advance(task, size))  # type: ignore[misc]
            progress.update(task, completed=progress.tasks[task].total)


def _report(
    counts: Any,
    as_json: bool,
    allow_refused: bool,
    rows: str,
    may_be_empty: bool = False,
) -> None:
    """Print the counts; exit with 5 when rows were refused and --allow-refused is not set."""
    if not may_be_empty and not counts.accepted and not counts.refused:
        raise DriftdeckError(f"the files have no rows: no {rows} were sent")
    if as_json:
        result = {
            "accepted": counts.accepted,
            "refused": counts.refused,
            "labels": counts.labels,
            "already": counts.already,
            "refusals": counts.refusals[:MAX_REFUSALS],
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        _print_counts(counts, rows)
    if counts.refused and not allow_refused:
        raise typer.Exit(REFUSED_EXIT_CODE)


def _print_counts(counts: Any, rows: str) -> None:
    sentence = f"{counts.accepted:,} {rows} accepted"
    if counts.labels:
        sentence += f", {counts.labels:,} labels"
    sentence += f", {counts.refused:,} refused"
    if counts.already:
        sentence += f"; {counts.already:,} of them were received before"
    typer.echo(sentence)
    for refusal in counts.refusals[:MAX_SHOWN]:
        place = f"{refusal['file']} line {refusal['line']}"
        typer.echo(f"  {place}: {refusal['reason']}", err=True)
    others = counts.refused - MAX_SHOWN
    if others > 0:
        typer.echo(f"  … and {others:,} more (all are in the quarantine)", err=True)
