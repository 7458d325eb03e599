"""Verbs on refused records: list, export, send again, let go."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import (
    HERE,
    AsJson,
    ConfigFile,
    Data,
    MaxAge,
    Url,
    app,
    config_file,
    say,
)
from monitor.errors import DriftdeckError

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Records that were refused, with the reason."
)
app.add_typer(quarantine_app, name="quarantine")

OfModel = Annotated[
    str | None, typer.Option("--model", help="Only records of this model.")
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help="Only records whose reason contains this."),
]
PAGE = 1000


@quarantine_app.command("list")
def list_records(
    model: OfModel = None,
    reason: Reason = None,
    limit: Annotated[
        int, typer.Option("--limit", help="At most this many.", min=1)
    ] = 50,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Refused records, oldest first: number, time, model, reason."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        found = [
            record
            for record, _ in zip(
                _records(session, model, reason), range(limit), strict=False
            )
        ]
    lines = [
        f"{r['id']:>6}  {r['noted_at'][:19]}  {r['kind']:<6}  {r['model'] or '-'}  {r['reason']}"
        for r in found
    ]
    say({"records": found}, as_json, "\n".join(lines) or "the quarantine is empty")


@quarantine_app.command("export")
def export(
    file: Annotated[
        Path,
        typer.Argument(
            help="File to write: one JSON object a line, with id, reason and raw."
        ),
    ],
    model: OfModel = None,
    reason: Reason = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write refused records to a file.

    Mend their `raw` there, then send them with `driftdeck quarantine resend`.
    """
    from monitor.send.session import connect

    written = 0
    with (
        connect(url, data, config_file(config), existing=True) as session,
        file.open("w", encoding="utf-8") as out,
    ):
        for written, record in enumerate(_records(session, model, reason), 1):  # noqa: B007
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    say(
        {"exported": written, "file": str(file)},
        as_json,
        f"{written:,} records written to {file}",
    )


@quarantine_app.command("resend")
def resend(
    file: Annotated[
        Path, typer.Argument(help="Records as `export` wrote them, mended or not.")
    ],
    max_age: MaxAge = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send records again: what is accepted leaves the quarantine."""
    from monitor.send.session import connect

    records = _read(file)
    accepted, refusals = 0, list[dict[str, Any]]()
    with connect(url, data, config_file(config), existing=True) as session:
        for i in range(0, len(records), PAGE):
            params = {} if max_age is None else {"max_age": max_age}
            done = session.request(
                "POST",
                "/v1/quarantine/resend",
                json=records[i : i + PAGE],
                params=params,
            )
            accepted, refusals = (
                accepted + done["accepted"],
                refusals + done["refusals"],
            )
        session.request("POST", "/v1/flush")
    say(
        {"accepted": accepted, "refused": len(refusals), "refusals": refusals},
        as_json,
        "\n".join(
            [
                f"{accepted:,} accepted, {len(refusals):,} refused again",
                *(f"  {r['id']}: {r['reason']}" for r in refusals[:10]),
            ]
        ),
    )
    if refusals:
        raise typer.Exit(5)


@quarantine_app.command("discard")
def discard(
    model: OfModel = None,
    reason: Reason = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let refused records go; they stay counted as refused.

    Give --model or --reason, or both.
    """
    from monitor.send.session import connect

    if model is None and reason is None:
        raise DriftdeckError("say which records: --model NAME or --reason TEXT")
    with connect(url, data, config_file(config), existing=True) as session:
        ids = [record["id"] for record in _records(session, model, reason)]
        for i in range(0, len(ids), 100_000):
            session.request(
                "POST", "/v1/quarantine/discard", json={"ids": ids[i : i + 100_000]}
            )
    say({"discarded": len(ids)}, as_json, f"{len(ids):,} records discarded")


def _records(
    session: Any, model: str | None, reason: str | None
) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        given = {"model": model, "reason": reason, "after": after, "limit": PAGE}
        page = session.request(
            "GET",
            "/v1/quarantine",
            params={k: v for k, v in given.items() if v is not None},
        )
        yield from page["records"]
        after = page["next"]


def _read(file: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            raw = record.get("raw")
            records.append(
                {
                    "id": record["id"],
                    "raw": json.dumps(raw) if isinstance(raw, dict) else raw or None,
                }
            )
        except (ValueError, KeyError, AttributeError, TypeError):
            raise DriftdeckError(
                f"{file.name} line {number} is not a record of `driftdeck quarantine export`"
            ) from None
    if not records:
        raise DriftdeckError(f"{file.name} holds no records")
    return records
