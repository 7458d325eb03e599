"""The command `importance`: feature importance from stored rows."""

from pathlib import Path
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
    without_none,
)

MAX_SHOWN = 30


@app.command()
def importance(
    model: Annotated[str, typer.Argument(help="The model.")],
    of: Annotated[
        str | None,
        typer.Option(
            "--of",
            help="labels or predictions (default: labels, if there are enough).",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", help="Rows to use, drawn at random.")
    ] = 20_000,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same result.")
    ] = 0,
    model_file: Annotated[
        Path | None,
        typer.Option(
            "--model-file",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The model itself as ONNX; used instead of a surrogate model.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            help="a,b,c: inputs of the model file, in its order (default: all).",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", help="Version of the model file (default: the newest)."
        ),
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    r"""Compute feature importance by shuffling each feature in stored rows.

    A surrogate model is trained on the rows, unless --model-file gives the model
    itself. The result is stored: drift and likely causes are ranked by it, unless the
    configuration has \[models.NAME.importance].
    """
    if model_file is None and (features or version):
        raise typer.BadParameter("--features and --version need a --model-file")
    params = {
        "of": of,
        "rows": rows,
        "seed": seed,
        "features": features.split(",") if features else None,
        "version": version,
    }
    result = request_analysis(
        "POST",
        "importance",
        model,
        without_none(params),
        url,
        data,
        config,
        progress=f"computing the feature importance of {model} …",
        content=model_file.read_bytes() if model_file else None,
    )
    if as_json:
        print_result(result, as_json, "")
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    typer.echo(_summary(result))
    table = Table("feature", "share", "loss when shuffled", box=None)
    for feature in result["features"][:MAX_SHOWN]:
        share, loss = f"{feature['share']:.1%}", f"{feature['loss']:.3f}"
        table.add_row(feature["column"], share, loss)
    Console().print(table)
    typer.echo(
        "Stored: drift and likely causes are ranked by it,"
        " unless the configuration has an importance of its own."
    )


def _summary(result: dict[str, Any]) -> str:
    start = f"Feature importance for {result['of']}, {result['rows']:,} rows."
    score = f"{result['score']:.2f}"
    if result["by"] != "model":
        return f"{start} Surrogate model: R² {score} on held-out rows."
    version = f" of version {result['version']}" if result["version"] else ""
    agreement = f"it repeats the stored predictions{version}"
    return f"{start} Model file: score {score}; {agreement}."
