"""Verbs that try things out on what is stored: events, profiles and alerts stay as they are."""

from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import HERE, AsJson, ConfigFile, Data, Url, app, config_file


@app.command()
def replay(
    model: Annotated[str, typer.Option("--model", help="The model.")],
    statistic: Annotated[
        str | None, typer.Option("--statistic", help="Without it the configured rules.")
    ] = None,
    limit: Annotated[
        float | None, typer.Option("--limit", help="The limit to try.")
    ] = None,
    warn: Annotated[
        float | None, typer.Option("--warn", help="As in [[rules]].")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Comma separated (default: all).")
    ] = None,
    window: Annotated[str | None, typer.Option("--window", help="E.g. 1d.")] = None,
    align: Annotated[
        str | None,
        typer.Option("--align", help="day or week: whole ones of the model's clock."),
    ] = None,
    up_to: Annotated[
        str | None,
        typer.Option("--up-to", help="With too few rows the window grows up to this."),
    ] = None,
    hold: Annotated[
        str | None, typer.Option("--hold", help="In breach this long before it fires.")
    ] = None,
    clear: Annotated[
        str | None, typer.Option("--clear", help="Good this long before it resolves.")
    ] = None,
    minimum: Annotated[
        int | None,
        typer.Option("--minimum", help="Rows below which nothing is judged."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", help="value or increase.")
    ] = None,
    direction: Annotated[
        str | None, typer.Option("--direction", help="above or below.")
    ] = None,
    quantile: Annotated[
        float | None, typer.Option("--quantile", help="Of statistics of a quantile.")
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
        typer.Option("--step", help="How often it is evaluated, 1h or longer."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Default: the first event.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """What a limit would have done over the stored history: alerts, when, for how long.

    Nothing is stored.
    """
    import json

    from rich.console import Console

    from monitor.cli.data_commands import quoted
    from monitor.send.session import connect

    params: dict[str, Any] = {
        "statistic": statistic,
        "limit": limit,
        "warn": warn,
        "columns": [name.strip() for name in columns.split(",")] if columns else None,
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
    params = {k: v for k, v in params.items() if v is not None}
    console = Console(stderr=True)
    with (
        connect(url, data, config_file(config), existing=True) as session,
        console.status(f"replaying the history of {model} …"),
    ):
        answer = session.request(
            "GET", f"/v1/models/{quoted(model)}/replay", params=params
        )
    typer.echo(
        json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(_lines(answer))
    )


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [
        f"{answer['model']}: {answer['from'][:16]} to {answer['to'][:16]}, every {answer['step_s'] / 3600:g} h"
    ]
    for rule in answer["rules"]:
        share = (
            "never judged"
            if rule["share_firing"] is None
            else f"firing {rule['share_firing']:.1%} of the time"
        )
        lines.append(
            f"{rule['rule']} ({rule['statistic']}, limit {rule['limit']:g}): {rule['alerts']} alerts, {share}, "
            f"{rule['columns']} columns"
        )
        lines += [
            f"  {c['column'] or 'all'}: {c['alerts']} alerts, {c['hours']:g} h"
            for c in rule["by_column"][:20]
        ]
        for e in rule["episodes"][:20]:
            until = (e["resolved_at"] or "open")[:16]
            lines.append(
                f"    {e['fired_at'][:16]} to {until}  {e['column'] or ''}  peak {e['peak']:.3g}"
            )
        if len(rule["episodes"]) > 20:
            lines.append(f"    and {rule['alerts'] - 20} more: --json lists them")
    stored = ", ".join(f"{s['rule']} {s['alerts']}" for s in answer["stored"]) or "none"
    return [*lines, f"alerts that were really fired in this span: {stored}"]


@app.command()
def selftest(
    model: Annotated[str, typer.Argument(help="The model.")],
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same answer.")
    ] = 1,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Put known changes into a copy of the last week and say which of them the detector finds.

    Nothing is stored.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from monitor.cli.data_commands import quoted
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request(
            "POST", f"/v1/models/{quoted(model)}/selftest", params={"seed": seed}
        )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    table = Table(
        "change",
        "column",
        "lane",
        "found after",
        "evidence",
        title=answer["model"],
        box=None,
    )
    for test in answer["tests"]:
        after = f"{test['hours']} h" if test["found"] else "not found"
        table.add_row(
            test["change"],
            test["column"],
            test["lane"],
            after,
            f"{test['evidence']:.1%}",
        )
    console = Console()
    console.print(table)
    for lane in answer["quiet"]:
        console.print(
            f"{lane['lane']} without a change: at most {lane['evidence']:.1%} of a page's evidence, {lane['pages']} pages"
        )
    if any(lane["pages"] for lane in answer["quiet"]):
        console.print(
            "a lane that pages without a change has something open already, and may not call for more"
        )


@app.command()
def domain_classifier(
    model: Annotated[str, typer.Argument(help="The model.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Default: a day before --to.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    before_start: Annotated[
        str | None, typer.Option("--before-from", help="Default: as long before.")
    ] = None,
    before_end: Annotated[
        str | None, typer.Option("--before-to", help="Default: --from.")
    ] = None,
    without: Annotated[
        str | None,
        typer.Option("--without", help="Features to leave out, comma separated."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", help="Of each period, drawn at random.")
    ] = 10_000,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same answer.")
    ] = 0,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train a model to tell the rows of two periods apart, and say by which features it can.

    Nothing is stored.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    params: dict[str, Any] = {
        "from": start,
        "to": end,
        "before_from": before_start,
        "before_to": before_end,
    }
    params = {k: v for k, v in params.items() if v is not None} | {
        "rows": rows,
        "seed": seed,
    }
    if without:
        params["without"] = [name.strip() for name in without.split(",")]
    answer = _trained("domain-classifier", model, params, url, data, config)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for key in ("before", "after"):
        period = answer[key]
        typer.echo(
            f"{key}: {period['from'][:16]} to {period['to'][:16]}, {answer[f'rows_{key}']} rows"
        )
    apart = "can be told apart" if answer["low"] > 0.5 else "cannot be told apart"
    typer.echo(
        f"AUC {answer['auc']:.3f} (95 % {answer['low']:.3f} to {answer['high']:.3f}): the periods {apart}"
    )
    if answer["low"] <= 0.5:
        return
    table = Table("feature", "AUC lost without it", box=None)
    for one in answer["features"][:15]:
        table.add_row(one["column"], f"{one['loss']:.3f}")
    Console().print(table)


@app.command()
def importance(
    model: Annotated[str, typer.Argument(help="The model.")],
    of: Annotated[
        str | None,
        typer.Option(
            "--of", help="labels or predictions (default: labels, if there are enough)."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Drawn at random.")] = 20_000,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same answer.")
    ] = 0,
    model_file: Annotated[
        Path | None,
        typer.Option(
            "--model-file",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The model itself, ONNX: asked instead of a trained one.",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            help="a,b,c: what the model file takes, in its order (default: all).",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="That the model file is (default: the newest)."),
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what each feature is worth in telling labels or predictions, by shuffling it in stored rows.

    A model is trained on the rows for that, unless --model-file gives the one that
    runs. The answer is kept: drift and causes are ranked by it, unless the
    configuration has [models.NAME.importance].
    """
    import json

    from rich.console import Console
    from rich.table import Table

    if model_file is None and (features or version):
        raise typer.BadParameter(
            "--features and --version say what a --model-file is; give one"
        )
    given = {
        "of": of,
        "rows": rows,
        "seed": seed,
        "features": features.split(",") if features else None,
        "version": version,
    }
    params = {key: value for key, value in given.items() if value is not None}
    content = model_file.read_bytes() if model_file else None
    answer = _trained("importance", model, params, url, data, config, content)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(
        f"{answer['of']} of {answer['rows']} rows, told to {answer['score']:.0%} of what there is to tell"
    )
    if answer["by"] == "model":
        of = f" of version {answer['version']}" if answer["version"] else ""
        typer.echo(
            f"by the model in the file, which gives the stored predictions{of} again"
        )
    table = Table("feature", "share", "lost when shuffled", box=None)
    for one in answer["features"][:30]:
        table.add_row(one["column"], f"{one['share']:.1%}", f"{one['loss']:.3f}")
    Console().print(table)
    typer.echo(
        "kept: drift and causes are ranked by it, unless the configuration has an importance of its own"
    )


def _trained(
    verb: str,
    model: str,
    params: dict[str, Any],
    url: str | None,
    data: Path,
    config: Path | None,
    content: bytes | None = None,
) -> dict[str, Any]:
    """The answer of a verb that works on stored rows for a while, with a spinner meanwhile."""
    from rich.console import Console

    from monitor.cli.data_commands import quoted
    from monitor.send.session import connect

    progress = Console(stderr=True)
    with (
        connect(url, data, config_file(config), existing=True) as session,
        progress.status(f"working on rows of {model} …"),
    ):
        path = f"/v1/models/{quoted(model)}/{verb}"
        answer: dict[str, Any] = session.request(
            "POST", path, params=params, content=content
        )
    return answer
