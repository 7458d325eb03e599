"""Verbs that run something: server, dashboard, both, the proxy, the demo."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import (
    HERE,
    LOOPBACK,
    PROXY_PORT,
    SERVER_PORT,
    UI_PORT,
    ConfigFile,
    Data,
    Host,
    Url,
    app,
    config_file,
)
from monitor.errors import DriftdeckError, InvalidRequest

ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


@app.command()
def up(
    data: Data = HERE,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the server.", min=1, max=65535)
    ] = SERVER_PORT,
    ui_port: Annotated[
        int, typer.Option("--ui-port", help="Port of the dashboard.", min=1, max=65535)
    ] = UI_PORT,
) -> None:
    """Start the server and the dashboard, and keep both running."""
    from monitor.config.config import read_config
    from monitor.server.supervisor import check_port, supervise

    read_config(config_file(config))
    check_port(host, port)
    check_port(host, ui_port, "--ui-port")
    typer.echo(
        f"server     http://{host}:{port}  (docs at /docs)\ndashboard  http://{host}:{ui_port}\nCtrl-C stops both"
    )
    server_command = [
        "server",
        "--data",
        str(data),
        "--host",
        host,
        "--port",
        str(port),
    ]
    server_command += ["--config", str(config)] if config else []
    sys.exit(
        supervise(
            server_command,
            [
                "ui",
                "--url",
                f"http://{_reach(host)}:{port}",
                "--host",
                host,
                "--port",
                str(ui_port),
            ],
        )
    )


@app.command()
def server(
    data: Data = HERE,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the server.", min=1, max=65535)
    ] = SERVER_PORT,
) -> None:
    """Collect, measure and alert: the one process that owns the data."""
    import gc
    import logging

    import uvicorn

    _few_arenas()

    from monitor.api import create_app
    from monitor.api.http_protocol import server_options
    from monitor.server.address import announce, withdraw
    from monitor.server.server import open_server
    from monitor.server.supervisor import check_port

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    key = os.environ.get("DRIFTDECK_KEY")
    check_port(host, port)
    server = open_server(data, config_file(config))
    if host not in LOOPBACK and not key and not server.keys.required:
        server.close()
        raise InvalidRequest(
            f"{host} can be reached by others: set DRIFTDECK_KEY to a secret that requests must bear, make a key with "
            "`driftdeck keys create`, or use --host 127.0.0.1"
        )

    def started(url: str) -> None:
        announce(data, url)
        # what is imported stays for good; each full collection of its 100,000 objects
        # held up every answer for 60 ms
        gc.collect()
        gc.freeze()

    app_ = create_app(
        server,
        on_start=lambda: started(f"http://{_reach(host)}:{port}"),
        on_stop=lambda: withdraw(data),
        key=key,
    )
    uvicorn.run(
        app_, host=host, port=port, timeout_graceful_shutdown=10, **server_options(app_)
    )


@app.command()
def ui(
    url: Url = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the dashboard.", min=1, max=65535)
    ] = UI_PORT,
) -> None:
    """The dashboard; it holds no data and asks the server at --url."""
    from monitor.server.supervisor import check_port, run_dashboard

    check_port(host, port)
    sys.exit(run_dashboard(url or f"http://127.0.0.1:{SERVER_PORT}", host, port))


@app.command()
def proxy(
    upstream: Annotated[
        str,
        typer.Option(
            "--upstream", help="Address of the model server, http://HOST:PORT."
        ),
    ],
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol", help="Its format: tfserving, torchserve, v2 or json."
        ),
    ],
    url: Url = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the proxy.", min=1, max=65535)
    ] = PROXY_PORT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Log under this name (default: the one in the address)."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            help="The output that is the prediction (default: the first that is one).",
        ),
    ] = None,
    features_at: Annotated[
        str,
        typer.Option(
            "--features-at", help="json: where the features are, e.g. data.features."
        ),
    ] = "features",
    prediction_at: Annotated[
        str,
        typer.Option(
            "--prediction-at", help="json: where the prediction is, e.g. result.score."
        ),
    ] = "prediction",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", help="Seconds to wait for the model server.", min=0.1
        ),
    ] = 60.0,
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool", help="Folder that keeps what cannot be sent (default: memory)."
        ),
    ] = None,
) -> None:
    """Stand before a model server: pass every request on unchanged and log its predictions."""
    import asyncio
    import logging
    import signal

    import uvloop

    from monitor.client import Client
    from monitor.contracts import FieldChoice
    from monitor.plugins import load
    from monitor.proxy.proxy import Proxy, serve
    from monitor.server.supervisor import check_port

    known = load("protocols")
    if protocol not in known:
        raise InvalidRequest(
            f"--protocol {protocol!r} is unknown; known: {', '.join(known)}"
        )
    if protocol == "json" and model is None:
        raise InvalidRequest(
            "--protocol json needs --model: the address does not name one"
        )
    if not upstream.startswith(("http://", "https://")):
        raise InvalidRequest(
            f"--upstream {upstream!r} is not an address like http://127.0.0.1:8501"
        )
    check_port(host, port)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    try:
        client = Client(
            url or f"http://127.0.0.1:{SERVER_PORT}",
            os.environ.get("DRIFTDECK_KEY"),
            model=model,
            spool=spool,
        )
    except ValueError as error:
        raise InvalidRequest(f"--url or --spool: {error}") from None
    wanted = FieldChoice(output, features_at, prediction_at)
    between = Proxy(
        upstream, known[protocol], client, model=model, wanted=wanted, timeout=timeout
    )

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        typer.echo(f"proxy      http://{_reach(host)}:{port}  ->  {upstream}")
        await serve(between, host, port, stop)

    uvloop.run(run())  # a tenth of a millisecond less than asyncio's own loop
    client.close()


@app.command()
def demo(
    data: Annotated[
        Path,
        typer.Option("--data", help="Directory of the demo's own data; emptied first."),
    ] = Path("demo-data"),
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the server.", min=1, max=65535)
    ] = SERVER_PORT,
    ui_port: Annotated[
        int, typer.Option("--ui-port", help="Port of the dashboard.", min=1, max=65535)
    ] = UI_PORT,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="Stop after this long once all is up; default: at Ctrl-C."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", help="Live requests a second.")
    ] = 3.0,
) -> None:
    """The whole job on real data: New York flights of 2013, a trained model, its service, drift and alerts."""
    from rich.console import Console

    try:
        from monitor.demo import story
    except ImportError as error:
        raise DriftdeckError(
            f"the demo needs its packages ({error.name} is missing): pip install 'driftdeck[server,demo]'"
        ) from None
    story.run(
        data,
        host,
        port,
        ui_port,
        requests_per_second=rate,
        seconds=seconds,
        console=Console(),
    )


def _reach(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)


def _few_arenas() -> None:
    """Let threads share two heaps: each of its own keeps what large bodies left behind (632 MiB under a flood, with two 493)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is not None:
        mallopt(ARENA_MAX, 2)
