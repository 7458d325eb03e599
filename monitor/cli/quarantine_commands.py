"""The commands `quarantine`: list, export, resend and discard refused rows."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.cli.options import (
    DEFAULT_DATA,
    AsJson,
    ConfigFile,
    Data,
    MaxAge,
    Url,
    app,
    config_file,
    print_result,
    without_none,
)
from monitor.errors import DriftdeckError

quarantine_app = typer.Typer(
    no_args_is_help=True, help="Quarantined rows: refused, with the reason."
)
app.add_typer(quarantine_app, name="quarantine")

OfModel = Annotated[
    str | None, typer.Option("--model", help="Only rows of this model.")
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help="Only rows whose reason contains this text."),
]
PAGE_ROWS = 1000
MAX_DISCARDED_IDS = 100_000  # of one request
MAX_SHOWN = 10
REFUSED_EXIT_CODE = 5


@quarantine_app.command("list")
def list_records(
    model: OfModel = None,
    reason: Reason = None,
    limit: Annotated[
        int, typer.Option("--limit", help="At most this many.", min=1)
    ] = 50,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List quarantined rows, oldest first: number, time, model, reason."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        records = list(islice(_records(session, model, reason), limit))
    lines = "\n".join(map(_line, records))
    result = {"records": records}
    print_result(result, as_json, lines or "the quarantine is empty")


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
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write quarantined rows to a file.

    Correct their `raw` there, then send them with `driftdeck quarantine resend`.
    """
    from monitor.send.session import connect

    written = 0
    with (
        connect(url, data, config_file(config), existing=True) as session,
        file.open("w", encoding="utf-8") as out,
    ):
        for written, record in enumerate(_records(session, model, reason), 1):  # noqa: B007
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    print_result(
        {"exported": written, "file": str(file)},
        as_json,
        f"{written:,} rows written to {file}",
    )


@quarantine_app.command("resend")
def resend(
    file: Annotated[
        Path, typer.Argument(help="Rows that `export` wrote, corrected or not.")
    ],
    max_age: MaxAge = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send rows again; accepted ones leave the quarantine."""
    from monitor.send.session import connect

    records = _read(file)
    params = without_none({"max_age": max_age})
    accepted = 0
    refusals: list[dict[str, Any]] = []
    with connect(url, data, config_file(config), existing=True) as session:
        for i in range(0, len(records), PAGE_ROWS):
            page = records[i : i + PAGE_ROWS]
            response = session.request(
                "POST", "/v1/quarantine/resend", json=page, params=params
            )
            accepted += response["accepted"]
            refusals += response["refusals"]
        session.request("POST", "/v1/flush")
    lines = [f"{accepted:,} accepted, {len(refusals):,} refused again"]
    lines += [
        f"  {refusal['id']}: {refusal['reason']}" for refusal in refusals[:MAX_SHOWN]
    ]
    print_result(
        {"accepted": accepted, "refused": len(refusals), "refusals": refusals},
        as_json,
        "\n".join(lines),
    )
    if refusals:
        raise typer.Exit(REFUSED_EXIT_CODE)


@quarantine_app.command("discard")
def discard(
    model: OfModel = None,
    reason: Reason = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete quarantined rows by --model, --reason or both.

    The refused count does not change.
    """
    from monitor.send.session import connect

    if model is None and reason is None:
        raise DriftdeckError("name the rows to delete: --model NAME or --reason TEXT")
    with connect(url, data, config_file(config), existing=True) as session:
        ids = [record["id"] for record in _records(session, model, reason)]
        for i in range(0, len(ids), MAX_DISCARDED_IDS):
            request = {"ids": ids[i : i + MAX_DISCARDED_IDS]}
            session.request("POST", "/v1/quarantine/discard", json=request)
    print_result({"discarded": len(ids)}, as_json, f"{len(ids):,} rows discarded")


def _line(record: dict[str, Any]) -> str:
    """Format a quarantined row: number, time, kind, model, reason."""
    time, model = record["noted_at"][:19], record["model"] or "-"
    fields = (f"{record['id']:>6}", time, f"{record['kind']:<6}", model)
    return "  ".join((*fields, record["reason"]))


def _records(
    session: Any, model: str | None, reason: str | None
) -> Iterator[dict[str, Any]]:
    """Yield quarantined rows, oldest first, page by page."""
    after: int | None = 0
    while after is not None:
        params = {"model": model, "reason": reason, "after": after, "limit": PAGE_ROWS}
        page = session.request("GET", "/v1/quarantine", params=without_none(params))
        yield from page["records"]
        after = page["next"]


def _read(file: Path) -> list[dict[str, Any]]:
    """Read the rows of an export; raises DriftdeckError for a line of another form."""
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            raw = record.get("raw")
            if isinstance(raw, dict):
                raw = json.dumps(raw)
            records.append({"id": record["id"], "raw": raw or None})
        except (ValueError, KeyError, AttributeError, TypeError):
            raise DriftdeckError(
                f"{file.name} line {number} is not a row"
                " of `driftdeck quarantine export`"
            ) from None
    if not records:
        raise DriftdeckError(f"{file.name} has no rows")
    return records
