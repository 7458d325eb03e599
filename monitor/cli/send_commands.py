"""Verbs that send rows: predictions and labels from files."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import (
    HERE,
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
)
from monitor.errors import DriftdeckError, Unreachable


@app.command()
def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, JSONL, Parquet or Arrow files, directories of them, or quoted patterns."
        ),
    ],
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Stay, and send what is appended to one file of JSON lines.",
        ),
    ] = False,
    model: Model = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Version of the rows that name none."),
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
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log predictions from files. Sending a file again adds nothing."""
    if follow:
        if (
            any((timestamp, prediction, label, id_, latency, features, version))
            or len(files) != 1
        ):
            raise DriftdeckError(
                "--follow reads one file of events as JSON lines, without mapped columns"
            )
        counts = _follow(files[0], model, max_age, url, data)
        _report(counts, as_json, allow_refused, "events", nothing_is_fine=True)
        return
    from monitor.ingest.file_batches import ColumnMapping, files_of
    from monitor.send.session import connect
    from monitor.send.upload import Counts, send_events

    names = tuple(name.strip() for name in features.split(",")) if features else None
    mapping = ColumnMapping(timestamp, prediction, label, id_, latency, None, names)
    found = files_of(files)
    counts = Counts()
    with connect(url, data, config_file(config)) as session:
        _with_progress(
            found,
            lambda path, step: send_events(
                session, path, model, version, mapping, max_age, counts, step
            ),
        )
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
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log true outcomes from files; a label may come before its event, a later one replaces an earlier one."""
    from monitor.ingest.file_batches import ColumnMapping, files_of
    from monitor.send.session import connect
    from monitor.send.upload import Counts, send_labels

    mapping = ColumnMapping(timestamp=timestamp, label=label, id=id_)
    found = files_of(files)
    counts = Counts()
    with connect(url, data, config_file(config)) as session:
        _with_progress(
            found,
            lambda path, step: send_labels(
                session, path, model, mapping, max_age, counts, step
            ),
        )
        session.request("POST", "/v1/flush")
    _report(counts, as_json, allow_refused, "labels")


def _follow(
    path: Path, model: str | None, max_age: float | None, url: str | None, data: Path
) -> Any:
    """Follow a log until Ctrl-C or SIGTERM; what became of its rows."""
    import signal

    from monitor.send.follow import Follower, position_file
    from monitor.send.session import connect
    from monitor.send.upload import Counts
    from monitor.server.address import announced

    where = url or announced(data)
    if where is None:
        raise Unreachable(
            "--follow sends to a running server; start one with `driftdeck up`, or name one with --url"
        )
    counts = Counts()
    follower = Follower(
        path, position_file(data, path, model), lambda text: typer.echo(text, err=True)
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with connect(where, data, None) as session:
        typer.echo(f"following {path}; Ctrl-C ends it", err=True)
        # what is being sent when Ctrl-C comes is written down, and is sent once more at
        # the next start
        with suppress(KeyboardInterrupt):
            follower.run(session, counts, model, max_age)
    return counts


def _with_progress(
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
    what: str,
    nothing_is_fine: bool = False,
) -> None:
    if not nothing_is_fine and not counts.accepted and not counts.refused:
        raise DriftdeckError(f"the files have no rows: no {what} were sent")
    if as_json:
        body = {
            "accepted": counts.accepted,
            "refused": counts.refused,
            "labels": counts.labels,
            "already": counts.already,
            "refusals": counts.refusals[:100],
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        extra = f", {counts.labels:,} labels" if counts.labels else ""
        known = (
            f"; {counts.already:,} of them had come before" if counts.already else ""
        )
        typer.echo(
            f"{counts.accepted:,} {what} accepted{extra}, {counts.refused:,} refused{known}"
        )
        for r in counts.refusals[:10]:
            typer.echo(f"  {r['file']} line {r['line']}: {r['reason']}", err=True)
        if counts.refused > 10:
            typer.echo(
                f"  … and {counts.refused - 10:,} more (all are kept in the quarantine)",
                err=True,
            )
    if counts.refused and not allow_refused:
        raise typer.Exit(5)
