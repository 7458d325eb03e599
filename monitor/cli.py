"""The command `driftdeck`: verbs, and the only place that wires parts together."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from monitor import __version__
from monitor.errors import DriftdeckError, InvalidRequest

app = typer.Typer(
    name="driftdeck",
    help="Watches machine-learning models in production: traffic, latency, errors, quality, drift, alerts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reference_app = typer.Typer(no_args_is_help=True, help="The rows a model is compared with.")
config_app = typer.Typer(no_args_is_help=True, help="The configuration file.")
app.add_typer(reference_app, name="reference")
app.add_typer(config_app, name="config")

Data = Annotated[
    Path, typer.Option("--data", envvar="DRIFTDECK_DATA", help="Directory of database, spool and quarantine.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="DRIFTDECK_CONFIG", help="Default: ./driftdeck.toml if there.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="DRIFTDECK_URL", help="A running server. Default: the one that owns --data."),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Model = Annotated[str | None, typer.Option("--model", help="Model of the rows.")]
Timestamp = Annotated[str | None, typer.Option("--timestamp", help="Column with the time (default: ts).")]
Prediction = Annotated[
    str | None, typer.Option("--prediction", help="Column with the prediction (default: prediction).")
]
Label = Annotated[str | None, typer.Option("--label", help="Column with the true outcome.")]
Id = Annotated[
    str | None, typer.Option("--id", help="Column with the event's id (default: event_id, else made from the line).")
]
Latency = Annotated[str | None, typer.Option("--latency", help="Column with the latency in ms (default: latency_ms).")]
Features = Annotated[
    str | None, typer.Option("--features", help="Feature columns, comma separated (default: all others).")
]

MaxAge = Annotated[float | None, typer.Option("--max-age", help="Accept rows up to this many days old.")]

HERE = Path("driftdeck-data")
SERVER_PORT, UI_PORT = 8700, 8501
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main() -> None:
    """Run a verb; every expected failure is one sentence on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)  # a verb that ends with typer.Exit gives its code back
        sys.exit(code if isinstance(code, int) else 0)
    except DriftdeckError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 3)
    except Exception as error:
        show, code = getattr(error, "show", None), getattr(error, "exit_code", 1)
        if show is not None:  # a wrong option: typer says which, and what is known
            show()
            sys.exit(code)
        if type(error).__name__ == "Abort":
            sys.exit(130)
        if os.environ.get("DRIFTDECK_DEBUG"):
            raise
        _fail(f"unexpected: {type(error).__name__}: {error} (DRIFTDECK_DEBUG=1 shows where)", 70)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"driftdeck {__version__}")
        raise typer.Exit


@app.command()
def up(
    data: Data = HERE,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of the server.", min=1, max=65535)] = SERVER_PORT,
    ui_port: Annotated[int, typer.Option("--ui-port", help="Port of the dashboard.", min=1, max=65535)] = UI_PORT,
) -> None:
    """Start the server and the dashboard, and keep both running."""
    from monitor.config import read_config
    from monitor.supervisor import check_port, supervise

    read_config(_config(config))
    check_port(host, port)
    check_port(host, ui_port, "--ui-port")
    typer.echo(
        f"server     http://{host}:{port}  (docs at /docs)\ndashboard  http://{host}:{ui_port}\nCtrl-C stops both"
    )
    server_command = ["server", "--data", str(data), "--host", host, "--port", str(port)]
    server_command += ["--config", str(config)] if config else []
    sys.exit(
        supervise(
            server_command, ["ui", "--url", f"http://{_reach(host)}:{port}", "--host", host, "--port", str(ui_port)]
        )
    )


@app.command()
def server(
    data: Data = HERE,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of the server.", min=1, max=65535)] = SERVER_PORT,
) -> None:
    """Collect, measure and alert: the one process that owns the data."""
    import logging

    import uvicorn

    from monitor.address import announce, withdraw
    from monitor.api import create_app
    from monitor.deck import open_deck
    from monitor.supervisor import check_port

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    key = os.environ.get("DRIFTDECK_KEY")
    if host not in LOOPBACK and not key:
        raise InvalidRequest(
            f"{host} can be reached by others: set DRIFTDECK_KEY to a secret that requests must bear, or use --host 127.0.0.1"
        )
    check_port(host, port)
    deck = open_deck(data, _config(config))
    app_ = create_app(
        deck, on_start=lambda: announce(data, f"http://{_reach(host)}:{port}"), on_stop=lambda: withdraw(data), key=key
    )
    uvicorn.run(app_, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=10)


@app.command()
def ui(
    url: Url = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of the dashboard.", min=1, max=65535)] = UI_PORT,
) -> None:
    """The dashboard; it holds no data and asks the server at --url."""
    from monitor.supervisor import check_port, run_dashboard

    check_port(host, port)
    sys.exit(run_dashboard(url or f"http://127.0.0.1:{SERVER_PORT}", host, port))


@app.command()
def demo(
    data: Annotated[Path, typer.Option("--data", help="Directory of the demo's own data; emptied first.")] = Path(
        "demo-data"
    ),
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of the server.", min=1, max=65535)] = SERVER_PORT,
    ui_port: Annotated[int, typer.Option("--ui-port", help="Port of the dashboard.", min=1, max=65535)] = UI_PORT,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Stop after this long once all is up; default: at Ctrl-C.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Live requests a second.")] = 3.0,
) -> None:
    """The whole job on real data: New York flights of 2013, a trained model, its service, drift and alerts."""
    from rich.console import Console

    try:
        from monitor.demo import story
    except ImportError as error:
        raise DriftdeckError(
            f"the demo needs its packages ({error.name} is missing): pip install 'driftdeck[server,demo]'"
        ) from None
    story.run(data, host, port, ui_port, requests_per_second=rate, seconds=seconds, console=Console())


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL, Parquet or Arrow files, or directories of them.")],
    model: Model = None,
    version: Annotated[str | None, typer.Option("--version", help="Version of the rows that name none.")] = None,
    timestamp: Timestamp = None,
    prediction: Prediction = None,
    label: Label = None,
    id_: Id = None,
    latency: Latency = None,
    features: Features = None,
    max_age: MaxAge = None,
    allow_refused: Annotated[
        bool, typer.Option("--allow-refused", help="Exit with 0 even when rows were refused.")
    ] = False,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log predictions from files. Sending a file again adds nothing."""
    from monitor.ingest import Counts, Mapping, files_of, send_events
    from monitor.session import connect

    names = tuple(name.strip() for name in features.split(",")) if features else None
    mapping = Mapping(timestamp, prediction, label, id_, latency, None, names)
    found = files_of(files)
    counts = Counts()
    with connect(url, data, _config(config)) as session:
        _with_progress(
            found, lambda path, step: send_events(session, path, model, version, mapping, max_age, counts, step)
        )
        session.request("POST", "/v1/flush")
    _report(counts, as_json, allow_refused, "events")


@app.command()
def labels(
    files: Annotated[list[Path], typer.Argument(help="Files with the columns event_id, label and ts.")],
    model: Model = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", help="Column with the time the label became known (default: ts).")
    ] = None,
    label: Label = None,
    id_: Id = None,
    max_age: MaxAge = None,
    allow_refused: Annotated[
        bool, typer.Option("--allow-refused", help="Exit with 0 even when rows were refused.")
    ] = False,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Log true outcomes from files; a label may come before its event, a later one replaces an earlier one."""
    from monitor.ingest import Counts, Mapping, files_of, send_labels
    from monitor.session import connect

    mapping = Mapping(timestamp=timestamp, label=label, id=id_)
    found = files_of(files)
    counts = Counts()
    with connect(url, data, _config(config)) as session:
        _with_progress(found, lambda path, step: send_labels(session, path, model, mapping, max_age, counts, step))
        session.request("POST", "/v1/flush")
    _report(counts, as_json, allow_refused, "labels")


@reference_app.command("set")
def reference_set(
    model: Annotated[str, typer.Argument(help="The model.")],
    file: Annotated[
        Path | None, typer.Argument(help="The rows it was trained on: CSV, JSONL, Parquet or Arrow.")
    ] = None,
    timestamp: Timestamp = None,
    prediction: Prediction = None,
    label: Label = None,
    id_: Id = None,
    latency: Latency = None,
    features: Features = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Take stored events from this time instead of a file.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="… to this time.")] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Set the reference of a model, from a file or from a stored period; what is stored is profiled again."""
    from monitor.ingest import ARROW, Mapping, reference_table
    from monitor.ipc import to_ipc
    from monitor.session import connect

    if (file is None) == (start is None or end is None):
        raise DriftdeckError("give a file, or both --from and --to")
    path = f"/v1/models/{_quoted(model)}/reference"
    names = tuple(name.strip() for name in features.split(",")) if features else None
    with connect(url, data, _config(config)) as session:
        if file is None:
            answer = session.request("PUT", path, params={"from": start, "to": end})
        else:
            table = reference_table(file, Mapping(timestamp, prediction, label, id_, latency, None, names))
            body, kind = to_ipc(table), {"content-type": ARROW}
            answer = session.request("PUT", path, content=body, headers=kind, params={"source": "file"})
    about = answer["reference"]
    _say(
        answer,
        as_json,
        f"{model}: reference of {about['rows']:,} rows, {about['labelled']:,} with labels ({answer['task']})",
    )


@app.command()
def evaluate(
    model: Annotated[str | None, typer.Argument(help="One model; all when left out.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Apply the rules again to every window since this time.")
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate now, or history again, for example after a rule changed; what was told is not told twice."""
    from monitor.session import connect

    params = {k: v for k, v in {"model": model, "from": start}.items() if v}
    with connect(url, data, _config(config), existing=True) as session:
        answer = session.request("POST", "/v1/evaluate", params=params)
    lines = [f"{name}: {moments:,} moments evaluated" for name, moments in answer["moments"].items()]
    _say(answer, as_json, "\n".join(lines) or "no models")


@app.command()
def rebuild(
    model: Annotated[str | None, typer.Argument(help="One model; all when left out.")] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Recompute all profiles from the raw rows; they come out equal."""
    from monitor.session import connect

    with connect(url, data, _config(config), existing=True) as session:
        answer = session.request("POST", "/v1/rebuild", params={"model": model} if model else {})
    _say(
        answer,
        as_json,
        "\n".join(f"{name}: {rows:,} rows read" for name, rows in answer["rows"].items()) or "no models",
    )


@app.command()
def status(url: Url = None, data: Data = HERE, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """What is stored, how each model is doing, and what waits."""
    from monitor.session import connect

    with connect(url, data, _config(config), existing=True) as session:
        answer = session.request("GET", "/v1/status")
        answer["models"] = session.request("GET", "/v1/models")["models"]
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    _print_status(answer)


@config_app.command("check")
def config_check(
    file: Annotated[Path | None, typer.Argument(help="Default: --config, or ./driftdeck.toml.")] = None,
    config: ConfigFile = None,
) -> None:
    """Read the configuration and list every mistake."""
    from monitor.config import read_config

    path = _config(file or config)
    found = read_config(path)
    where = path or "no file: the defaults"
    typer.echo(
        f"{where}: {len(found.models)} models, {len(found.all_rules)} rules, {len(found.channels)} channels; no mistakes"
    )


def _config(given: Path | None) -> Path | None:
    default = Path("driftdeck.toml")
    return given or (default if default.is_file() else None)


def _with_progress(files: list[Path], send: Callable[[Path, Callable[[int], None]], None]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

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


def _report(counts: Any, as_json: bool, allow_refused: bool, what: str) -> None:
    if not counts.accepted and not counts.refused:
        raise DriftdeckError(f"the files have no rows: no {what} were sent")
    if as_json:
        body = {
            "accepted": counts.accepted,
            "refused": counts.refused,
            "labels": counts.labels,
            "refusals": counts.refusals[:100],
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        extra = f", {counts.labels:,} labels" if counts.labels else ""
        typer.echo(f"{counts.accepted:,} {what} accepted{extra}, {counts.refused:,} refused")
        for r in counts.refusals[:10]:
            typer.echo(f"  {r['file']} line {r['line']}: {r['reason']}", err=True)
        if counts.refused > 10:
            typer.echo(f"  … and {counts.refused - 10:,} more (all are kept in the quarantine)", err=True)
    if counts.refused and not allow_refused:
        raise typer.Exit(5)


def _say(answer: dict[str, Any], as_json: bool, sentence: str) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else sentence)


def _print_status(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = answer["accounting"]
    console = Console()
    console.print(f"driftdeck {answer['version']}, ready: {answer['ready']}")
    console.print(
        "rows: " + ", ".join(f"{counts[k]:,} {k}" for k in ("received", "stored", "duplicate", "refused", "pending"))
    )
    table = Table("model", "status", "alerts", "events", "labels", "last event", "reference", box=None)
    for m in answer["models"]:
        table.add_row(
            m["model"],
            m["status"],
            str(m["open_alerts"]),
            f"{m['events']:,}",
            f"{m['labels']:,}",
            m["last_event"] or "-",
            m["reference"]["status"],
        )
    if answer["models"]:
        console.print(table)
    else:
        console.print("no models yet: POST /v1/events creates one")


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _reach(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"driftdeck: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
