"""The command `replay`: a rule over the stored history."""

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

MAX_SHOWN = 20


@app.command()
def replay(
    model: Annotated[str, typer.Option("--model", help="The model.")],
    statistic: Annotated[
        str | None,
        typer.Option("--statistic", help="Default: the configured rules."),
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", help="The limit to test.")
    ] = None,
    warn: Annotated[
        float | None,
        typer.Option("--warn", help=r"The warning limit, as in [\[rules]]."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Comma separated (default: all).")
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="Evaluation window, e.g. 1d.")
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            "--align", help="Use whole days or weeks of the model's clock: day or week."
        ),
    ] = None,
    up_to: Annotated[
        str | None,
        typer.Option(
            "--up-to", help="With too few rows the window grows, at most to this."
        ),
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option("--hold", help="Pending period before an alert fires."),
    ] = None,
    clear: Annotated[
        str | None,
        typer.Option("--clear", help="Recovery period before an alert resolves."),
    ] = None,
    minimum: Annotated[
        int | None,
        typer.Option("--minimum", help="Fewer rows are insufficient data."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Compare with the limit: value or increase."),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", help="Side of a breach: above or below the limit."),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option("--quantile", help="For statistics of a quantile, e.g. 0.95."),
    ] = None,
    segment: Annotated[
        str | None, typer.Option("--segment", help="FEATURE=VALUE.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="One version.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="reference, previous, weeks or version:NAME."),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--step", help="Time between two evaluations, 1h or longer."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Default: the first event.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Replay a rule, or the configured ones, over stored history and list its alerts.

    Nothing is stored.
    """
    names = split_names(columns)
    params = {
        "statistic": statistic,
        "limit": limit,
        "warn": warn,
        "columns": list(names) if names else None,
        "window": window,
        "align": align,
        "up_to": up_to,
        "hold": hold,
        "clear": clear,
        "minimum": minimum,
        "compare": compare,
        "direction": direction,
        "quantile": quantile,
        "segment": segment,
        "version": version,
        "against": against,
        "step": step,
        "from": start,
        "to": end,
    }
    result = request_analysis(
        "GET",
        "replay",
        model,
        without_none(params),
        url,
        data,
        config,
        progress=f"replaying the history of {model} …",
    )
    print_result(result, as_json, "\n".join(_lines(result)))


def _lines(result: dict[str, Any]) -> list[str]:
    start, end = result["from"][:16], result["to"][:16]
    hours = result["step_s"] / 3600
    lines = [f"{result['model']}: {start} to {end}, every {hours:g} h"]
    for rule in result["rules"]:
        lines += _rule_lines(rule)
    stored = [f"{rule['rule']} {rule['alerts']}" for rule in result["stored"]]
    fired = ", ".join(stored) or "none"
    return [*lines, f"alerts that fired in this time range: {fired}"]


def _rule_lines(rule: dict[str, Any]) -> list[str]:
    share = "never evaluated: insufficient data"
    if rule["share_firing"] is not None:
        share = f"firing {rule['share_firing']:.1%} of the time"
    lines = [
        f"{rule['rule']} ({rule['statistic']}, limit {rule['limit']:g}):"
        f" {rule['alerts']} alerts, {share}, {rule['columns']} columns"
    ]
    for column in rule["by_column"][:MAX_SHOWN]:
        name = column["column"] or "all"
        lines.append(f"  {name}: {column['alerts']} alerts, {column['hours']:g} h")
    for alert in rule["episodes"][:MAX_SHOWN]:
        start = alert["fired_at"][:16]
        end = (alert["resolved_at"] or "open")[:16]
        name = alert["column"] or ""
        lines.append(f"    {start} to {end}  {name}  peak {alert['peak']:.3g}")
    if len(rule["episodes"]) > MAX_SHOWN:
        others = rule["alerts"] - MAX_SHOWN
        lines.append(f"    and {others} more: --json lists them")
    return lines
