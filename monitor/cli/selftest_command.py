"""The command `selftest`: injected changes that the detector should find."""

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
)


@app.command()
def selftest(
    model: Annotated[str, typer.Argument(help="The model.")],
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same result.")
    ] = 1,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Inject changes into a copy of the last week; report the detection delay of each.

    Nothing is stored.
    """
    result = request_analysis(
        "POST",
        "selftest",
        model,
        {"seed": seed},
        url,
        data,
        config,
        progress=f"testing the detector of {model} …",
    )
    if as_json:
        print_result(result, as_json, "")
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    headings = ("injected change", "column", "signal", "detection delay", "score")
    table = Table(*headings, title=result["model"], box=None)
    for test in result["tests"]:
        delay = f"{test['hours']} h" if test["found"] else "not detected"
        score = f"{test['evidence']:.1%}"
        table.add_row(test["change"], test["column"], test["lane"], delay, score)
    console = Console()
    console.print(table)
    console.print("score: the change score; 100% opens an alert")
    controls = result["quiet"]
    for control in controls:
        console.print(
            f"control run (nothing injected), {control['lane']}:"
            f" highest score {control['evidence']:.1%}, {control['pages']} alerts"
        )
    if any(control["pages"] for control in controls):
        console.print(
            "A signal with alerts in its control run has an open change already;"
            " it may not open another alert."
        )
