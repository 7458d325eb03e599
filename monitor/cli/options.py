r"""The application, the options shared by several commands, and their output.

Help texts are Rich markup: a bracket before a letter needs a backslash, as in
r"[\[rules]]".
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="driftdeck",
    help=(
        "Monitor machine-learning models in production:"
        " traffic, latency, errors, quality, drift, alerts."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reference_app = typer.Typer(
    no_args_is_help=True, help="The reference of a model: the rows to compare with."
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
        help="Default: ./driftdeck.toml if it exists.",
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
Label = Annotated[str | None, typer.Option("--label", help="Column with the label.")]
Id = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="Column with the event id (default: event_id, else made from the line).",
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

DEFAULT_DATA = Path("driftdeck-data")
SERVER_PORT, UI_PORT, PROXY_PORT = 8700, 8501, 8800
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def config_file(path: Path | None) -> Path | None:
    """Return the configuration to read: `path`, else ./driftdeck.toml if it exists."""
    default = Path("driftdeck.toml")
    return path or (default if default.is_file() else None)


def split_names(names: str | None) -> tuple[str, ...] | None:
    """Split names at commas; None if there are none."""
    if not names:
        return None
    return tuple(name.strip() for name in names.split(","))


def without_none(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}


def quote_name(name: str) -> str:
    """Quote a model's name for an address."""
    from urllib.parse import quote

    # a name of dots alone would be a step up in the address
    return quote(name, safe="").replace(".", "%2E")


def print_result(result: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print the whole result as JSON, or the sentence."""
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else sentence)
