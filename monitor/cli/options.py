"""What several verbs share: the application, their options, and how they answer."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="driftdeck",
    help="Watches machine-learning models in production: traffic, latency, errors, quality, drift, alerts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reference_app = typer.Typer(
    no_args_is_help=True, help="The rows a model is compared with."
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration file.")
app.add_typer(reference_app, name="reference")
app.add_typer(config_app, name="config")

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="DRIFTDECK_DATA",
        help="Directory of database, spool and quarantine.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="DRIFTDECK_CONFIG",
        help="Default: ./driftdeck.toml if there.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="DRIFTDECK_URL",
        help="A running server. Default: the one that owns --data.",
    ),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Model = Annotated[str | None, typer.Option("--model", help="Model of the rows.")]
Timestamp = Annotated[
    str | None, typer.Option("--timestamp", help="Column with the time (default: ts).")
]
Prediction = Annotated[
    str | None,
    typer.Option(
        "--prediction", help="Column with the prediction (default: prediction)."
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", help="Column with the true outcome.")
]
Id = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="Column with the event's id (default: event_id, else made from the line).",
    ),
]
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency", help="Column with the latency in ms (default: latency_ms)."
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features", help="Feature columns, comma separated (default: all others)."
    ),
]

MaxAge = Annotated[
    float | None,
    typer.Option("--max-age", help="Accept rows up to this many days old."),
]

HERE = Path("driftdeck-data")
SERVER_PORT, UI_PORT, PROXY_PORT = 8700, 8501, 8800
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def config_file(given: Path | None) -> Path | None:
    """The configuration to read: the one given, else ./driftdeck.toml where there is one."""
    default = Path("driftdeck.toml")
    return given or (default if default.is_file() else None)


def say(answer: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print the whole answer as JSON, or the sentence."""
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else sentence)
