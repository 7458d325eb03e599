"""Verbs on what is stored: references, evaluation, rebuild, status, configuration."""

import json
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
    Prediction,
    Timestamp,
    Url,
    app,
    config_app,
    config_file,
    reference_app,
    say,
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
        typer.Option(
            "--from", help="Take stored events from this time instead of a file."
        ),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="… to this time.")] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Set the reference of a model, from a file or from a stored period; what is stored is profiled again."""
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
    path = f"/v1/models/{quoted(model)}/reference"
    names = tuple(name.strip() for name in features.split(",")) if features else None
    with connect(url, data, config_file(config)) as session:
        if file is None:
            answer = session.request("PUT", path, params={"from": start, "to": end})
        else:
            (only,) = files_of([file])
            table = reference_table(
                only,
                ColumnMapping(timestamp, prediction, label, id_, latency, None, names),
            )
            body, kind = to_ipc(table), {"content-type": ARROW}
            answer = session.request(
                "PUT", path, content=body, headers=kind, params={"source": "file"}
            )
    about = answer["reference"]
    say(
        answer,
        as_json,
        f"{model}: reference of {about['rows']:,} rows, {about['labelled']:,} with labels ({answer['task']})",
    )


@app.command()
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="One model; all when left out.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Apply the rules again to every window since this time."
        ),
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate now, or history again, for example after a rule changed; what was told is not told twice."""
    from monitor.send.session import connect

    params = {k: v for k, v in {"model": model, "from": start}.items() if v}
    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request("POST", "/v1/evaluate", params=params)
    lines = [
        f"{name}: {moments:,} moments evaluated"
        for name, moments in answer["moments"].items()
    ]
    say(answer, as_json, "\n".join(lines) or "no models")


@app.command()
def rebuild(
    model: Annotated[
        str | None, typer.Argument(help="One model; all when left out.")
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Recompute all profiles from the raw rows; they come out equal."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request(
            "POST", "/v1/rebuild", params={"model": model} if model else {}
        )
    say(
        answer,
        as_json,
        "\n".join(
            f"{name}: {rows:,} rows read" for name, rows in answer["rows"].items()
        )
        or "no models",
    )


@app.command()
def erase(
    entity: Annotated[
        str, typer.Option("--entity", help="The value that names the person.")
    ],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Feature, tags.NAME or event_id that holds it (default: `entity` of the model's configuration).",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="One model; all when left out.")
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person's rows from events, labels, spool and quarantine; counts and profiles stay."""
    from monitor.send.session import connect

    wanted = {"entity": entity, "by": by, "model": model}
    with connect(url, data, config_file(config), existing=True) as session:
        done = session.request(
            "POST", "/v1/erase", json={k: v for k, v in wanted.items() if v is not None}
        )
    lines = [
        f"erased {done['events']:,} events, {done['labels']:,} labels, {done['quarantined']:,} refused records, "
        f"{done['halves']:,} halves, {done['values']:,} listed values"
    ]
    lines += [
        ""
        if done["rewritten"]
        else "the database was in use and not written anew: run this again"
    ]
    lines += [
        f"still in {name} (another model's, or part of another value)"
        for name in done["left"]
    ]
    say(done, as_json, "\n".join(line for line in lines if line))


@app.command()
def status(
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """What is stored, how each model is doing, and what waits."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request("GET", "/v1/status")
        answer["models"] = session.request("GET", "/v1/models")["models"]
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    _print_status(answer)


@config_app.command("check")
def config_check(
    file: Annotated[
        Path | None, typer.Argument(help="Default: --config, or ./driftdeck.toml.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Read the configuration and list every mistake."""

    from monitor.config.config import read_config

    path = config_file(file or config)
    found = read_config(path)
    where = path or "no file: the defaults"
    typer.echo(
        f"{where}: {len(found.models)} models, {len(found.all_rules)} rules, {len(found.channels)} channels; no mistakes"
    )


def _print_status(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = answer["accounting"]
    console = Console()
    console.print(f"driftdeck {answer['version']}, ready: {answer['ready']}")
    console.print("rows: " + ", ".join(f"{counts[k]:,} {k}" for k in counts))
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


def quoted(name: str) -> str:
    from urllib.parse import quote

    # a name of dots alone would be a step up in the address
    return quote(name, safe="").replace(".", "%2E")
