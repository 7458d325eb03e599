"""Commands on stored data: references, evaluation, rebuild, erase, status, configuration."""

import json
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
    Prediction,
    Timestamp,
    Url,
    app,
    config_app,
    config_file,
    print_result,
    quote_name,
    reference_app,
    split_names,
    without_none,
)
from monitor.errors import DriftdeckError


@reference_app.command("set")
def reference_set(
    model: Annotated[str, typer.Argument(help="The model.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The rows it was trained on: CSV, JSONL, Parquet or Arrow."
        ),
    ] = None,
    timestamp: Timestamp = None,
    prediction: Prediction = None,
    label: Label = None,
    id_: Id = None,
    latency: Latency = None,
    features: Features = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Use stored events from this time, not a file."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Use stored events to this time.")
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Set the reference of a model, from a file or from a stored period.

    The profiles of stored rows are computed again.
    """
    from monitor.arrow_columns import to_ipc
    from monitor.ingest.file_batches import (
        ARROW,
        ColumnMapping,
        files_of,
        reference_table,
    )
    from monitor.send.session import connect

    if (file is None) == (start is None or end is None):
        raise DriftdeckError("give a file, or both --from and --to")
    path = f"/v1/models/{quote_name(model)}/reference"
    mapping = ColumnMapping(
        timestamp, prediction, label, id_, latency, None, split_names(features)
    )
    with connect(url, data, config_file(config)) as session:
        if file is None:
            result = session.request("PUT", path, params={"from": start, "to": end})
        else:
            (path_of_file,) = files_of([file])
            result = session.request(
                "PUT",
                path,
                content=to_ipc(reference_table(path_of_file, mapping)),
                headers={"content-type": ARROW},
                params={"source": "file"},
            )
    rows, labelled = result["reference"]["rows"], result["reference"]["labelled"]
    print_result(
        result,
        as_json,
        f"{model}: reference of {rows:,} rows, {labelled:,} with labels"
        f" ({result['task']})",
    )


@app.command()
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="One model (default: all).")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Re-evaluate every window since this time."),
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate rules now, or re-evaluate history with --from.

    Notifications already sent are not repeated.
    """
    from monitor.send.session import connect

    params = without_none({"model": model or None, "from": start or None})
    with connect(url, data, config_file(config), existing=True) as session:
        result = session.request("POST", "/v1/evaluate", params=params)
    lines = [
        f"{name}: {evaluations:,} evaluations"
        for name, evaluations in result["moments"].items()
    ]
    print_result(result, as_json, "\n".join(lines) or "no models")


@app.command()
def rebuild(
    model: Annotated[
        str | None, typer.Argument(help="One model (default: all).")
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Recompute all profiles from the raw rows; the result is equal."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        params = {"model": model} if model else {}
        result = session.request("POST", "/v1/rebuild", params=params)
    lines = [f"{name}: {rows:,} rows read" for name, rows in result["rows"].items()]
    print_result(result, as_json, "\n".join(lines) or "no models")


@app.command()
def erase(
    entity: Annotated[
        str, typer.Option("--entity", help="The value that identifies the person.")
    ],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Feature, tags.NAME or event_id that holds the value"
            " (default: `entity` of the model's configuration).",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="One model (default: all).")
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person's rows from events, labels, spool and quarantine.

    Counts and profiles stay.
    """
    from monitor.send.session import connect

    request = without_none({"entity": entity, "by": by, "model": model})
    with connect(url, data, config_file(config), existing=True) as session:
        result = session.request("POST", "/v1/erase", json=request)
    lines = [
        f"erased {result['events']:,} events, {result['labels']:,} labels,"
        f" {result['quarantined']:,} quarantined rows,"
        f" {result['halves']:,} unpaired requests and responses,"
        f" {result['values']:,} listed values"
    ]
    if not result["rewritten"]:
        lines.append("the database was in use and not rewritten: run this again")
    lines += [
        f"still in {name} (another model's, or part of another value)"
        for name in result["left"]
    ]
    print_result(result, as_json, "\n".join(lines))


@app.command()
def status(
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the row counts and the status of each model."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        result = session.request("GET", "/v1/status")
        result["models"] = session.request("GET", "/v1/models")["models"]
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    _print_status(result)


@config_app.command("check")
def config_check(
    file: Annotated[
        Path | None, typer.Argument(help="Default: --config, or ./driftdeck.toml.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Check the configuration and list every error."""
    from monitor.config.config_file import read_config
    from monitor.plugins import load_all

    path = config_file(file or config)
    load_all()
    checked = read_config(path)
    place = path or "no file: the defaults"
    typer.echo(
        f"{place}: {len(checked.models)} models, {len(checked.all_rules)} rules,"
        f" {len(checked.channels)} channels; no errors"
    )


def _print_status(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = [f"{count:,} {name}" for name, count in result["accounting"].items()]
    console = Console()
    console.print(f"driftdeck {result['version']}, ready: {result['ready']}")
    console.print(f"rows: {', '.join(counts)}")
    table = Table(
        "model",
        "status",
        "alerts",
        "events",
        "labels",
        "last event",
        "reference",
        box=None,
    )
    for model in result["models"]:
        table.add_row(
            model["model"],
            model["status"],
            str(model["open_alerts"]),
            f"{model['events']:,}",
            f"{model['labels']:,}",
            model["last_event"] or "-",
            model["reference"]["status"],
        )
    if result["models"]:
        console.print(table)
    else:
        console.print("no models yet: POST /v1/events creates one")
