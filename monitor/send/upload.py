"""Files to a server, in batches, counted; a second run of the same file adds nothing."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.errors import DriftdeckError, Overloaded, TooLarge, Unreachable
from monitor.ingest.file_batches import (
    ColumnMapping,
    FileBatch,
    digest_of,
    event_batches,
    label_batches,
    source_of,
)
from monitor.send.session import Session

TRIES = 30


@dataclass
class Counts:
    """What became of a run's rows; `already` of the accepted had come in an earlier run."""

    accepted: int = 0
    refused: int = 0
    labels: int = 0
    already: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def add(self, answer: dict[str, Any], file: str, first_line: int = 1) -> None:
        """Count one answer of the server."""
        self.accepted += answer["accepted"]
        self.refused += answer["refused"]
        self.already += answer["accepted"] if answer.get("replayed") else 0
        self.refusals += [
            {"file": file, **r, "line": r["line"] + first_line - 1}
            for r in answer["refusals"]
        ]


def send_events(
    session: Session,
    path: Path,
    model: str | None,
    version: str | None,
    mapping: ColumnMapping,
    max_age: float | None,
    counts: Counts,
    progress: Callable[[int], None],
) -> None:
    """All rows of one file; what the server refuses is counted, the rest goes on."""
    digest = digest_of(path, model, version, mapping)
    batches = event_batches(
        path, source_of(path), digest, model, version, mapping, _age(max_age)
    )
    _send(session, path, "events", model, max_age, batches, counts, progress)


def send_labels(
    session: Session,
    path: Path,
    model: str | None,
    mapping: ColumnMapping,
    max_age: float | None,
    counts: Counts,
    progress: Callable[[int], None],
) -> None:
    """All labels of one file."""
    digest = digest_of(path, model, None, mapping)
    batches = label_batches(path, source_of(path), digest, mapping, _age(max_age))
    _send(session, path, "labels", model, max_age, batches, counts, progress)


def _send(
    session: Session,
    path: Path,
    kind: str,
    model: str | None,
    max_age: float | None,
    batches: Iterable[FileBatch],
    counts: Counts,
    progress: Callable[[int], None],
) -> None:
    for batch in batches:
        if batch.key:
            answer = post(session, batch, model, max_age)
            # the outcomes that stand beside the predictions
            if kind == "events" and batch.kind == "labels":
                counts.labels += answer["accepted"]
                answer = {**answer, "accepted": 0}
            counts.add(answer, path.name, 1 if batch.refusals else batch.first_line)
        progress(batch.bytes_read)


def post(
    session: Session,
    batch: FileBatch,
    model: str | None = None,
    max_age: float | None = None,
    tries: int = TRIES,
) -> dict[str, Any]:
    """The server's answer to one batch.

    A server that is busy is asked again when it says.
    """
    headers = {"idempotency-key": batch.key}
    params: dict[str, Any] = {
        k: v for k, v in {"model": model, "max_age": max_age}.items() if v is not None
    }
    options: dict[str, Any] = {
        "content": batch.body,
        "headers": {**headers, "content-type": batch.media_type},
    }
    address = f"/v1/{batch.kind}"
    if batch.refusals:
        # rows that could not even be read are counted and kept with the others
        rows = [
            {"line": r.line, "reason": r.reason[:500], "raw": r.raw}
            for r in batch.refusals
        ]
        address, params = "/v1/refused", {"kind": batch.kind, "model": model or ""}
        options = {"json": rows, "headers": headers}
    for attempt in range(tries):
        try:
            return session.request("POST", address, params=params, **options)
        except DriftdeckError as error:
            if error.status == 413:
                raise TooLarge(
                    f"{error}; a batch of this file is larger than the server takes"
                ) from None
            if (
                isinstance(error, Unreachable)
                or error.status not in (429, 503)
                or attempt == tries - 1
            ):
                raise
            time.sleep(
                max(
                    error.retry_after if isinstance(error, Overloaded) else 1,
                    min(10, 1 + attempt),
                )
            )
    raise AssertionError("unreachable")


def _age(max_age: float | None) -> str:
    """What a key needs of --max-age: rows that were refused for their age are judged anew with another one."""
    return "" if max_age is None else f"-{max_age:g}"
