"""The command `domain-classifier`: a classifier that separates two periods."""

from typing import Annotated, Any

import typer

from monitor.cli.analysis_request import request_analysis
from monitor.cli.options import (
    DEFAULT_DATA,
    AsJson,
    ConfigFile,
    Data,
    Url,
    app,
    print_result,
    split_names,
    without_none,
)

MAX_SHOWN = 15


@app.command()
def domain_classifier(
    model: Annotated[str, typer.Argument(help="The model.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Default: a day before --to.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    before_start: Annotated[
        str | None,
        typer.Option(
            "--before-from",
            help="Start of the period to compare with (default: as long before).",
        ),
    ] = None,
    before_end: Annotated[
        str | None, typer.Option("--before-to", help="Its end (default: --from).")
    ] = None,
    without: Annotated[
        str | None,
        typer.Option("--without", help="Features to leave out, comma separated."),
    ] = None,
    rows: Annotated[
        int,
        typer.Option("--rows", help="Rows of each period, drawn at random."),
    ] = 10_000,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same result.")
    ] = 0,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier to separate the rows of two periods, and rank the features.

    Nothing is stored.
    """
    names = split_names(without)
    params = {
        "from": start,
        "to": end,
        "before_from": before_start,
        "before_to": before_end,
        "rows": rows,
        "seed": seed,
        "without": list(names) if names else None,
    }
    result = request_analysis(
        "POST",
        "domain-classifier",
        model,
        without_none(params),
        url,
        data,
        config,
        progress=f"training on rows of {model} …",
    )
    if as_json:
        print_result(result, as_json, "")
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for key in ("before", "after"):
        start, end = result[key]["from"][:16], result[key]["to"][:16]
        typer.echo(f"{key}: {start} to {end}, {result[f'rows_{key}']} rows")
    differ = result["low"] > 0.5
    verdict = "the periods differ" if differ else "no difference found"
    low, high = f"{result['low']:.3f}", f"{result['high']:.3f}"
    typer.echo(f"AUC {result['auc']:.3f} (95% CI {low}–{high}): {verdict}")
    if not differ:
        return
    table = Table("feature", "AUC lost without it", box=None)
    for feature in result["features"][:MAX_SHOWN]:
        table.add_row(feature["column"], f"{feature['loss']:.3f}")
    Console().print(table)
