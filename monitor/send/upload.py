"""Files to a server in batches; a second run of the same file adds nothing."""

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

MAX_ATTEMPTS = 30
MAX_WAIT_S = 10
MAX_REASON_CHARACTERS = 500
RETRIED_STATUSES = (429, 503)


@dataclass
class Counts:
    """Counts of a run's rows; `already` of the accepted were received before."""

    accepted: int = 0
    refused: int = 0
    labels: int = 0
    already: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def add(self, response: dict[str, Any], file: str, first_line: int = 1) -> None:
        """Count one response; `first_line` is the line of its first row in the file."""
        self.accepted += response["accepted"]
        self.refused += response["refused"]
        if response.get("replayed"):
            self.already += response["accepted"]
        for refusal in response["refusals"]:
            line = refusal["line"] + first_line - 1
            self.refusals.append({"file": file, **refusal, "line": line})


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
    """Send all rows of one file; count those that the server refuses."""
    digest = digest_of(path, model, version, mapping)
    batches = event_batches(
        path, source_of(path), digest, model, version, mapping, _key_suffix(max_age)
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
    """Send all labels of one file."""
    digest = digest_of(path, model, None, mapping)
    batches = label_batches(
        path, source_of(path), digest, mapping, _key_suffix(max_age)
    )
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
            response = post(session, batch, model, max_age)
            # labels in a file of predictions
            if kind == "events" and batch.kind == "labels":
                counts.labels += response["accepted"]
                response = {**response, "accepted": 0}
            first_line = 1 if batch.refusals else batch.first_line
            counts.add(response, path.name, first_line)
        progress(batch.bytes_read)


def post(
    session: Session,
    batch: FileBatch,
    model: str | None = None,
    max_age: float | None = None,
    attempts: int = MAX_ATTEMPTS,
) -> dict[str, Any]:
    """Send one batch; return the server's response.

    A busy server gets the batch again after the time that it asks for.
    """
    path, options = _request_of(batch, model, max_age)
    for attempt in range(attempts):
        try:
            return session.request("POST", path, **options)
        except DriftdeckError as error:
            if error.status == 413:
                raise TooLarge(
                    f"{error}; a batch of this file is larger than the server accepts"
                ) from None
            if not is_busy(error) or attempt == attempts - 1:
                raise
            requested_s = error.retry_after if isinstance(error, Overloaded) else 1
            time.sleep(max(requested_s, min(MAX_WAIT_S, 1 + attempt)))
    raise AssertionError("unreachable")


def _request_of(
    batch: FileBatch, model: str | None, max_age: float | None
) -> tuple[str, dict[str, Any]]:
    """Return the path and the options of a batch's request."""
    headers = {"idempotency-key": batch.key}
    if batch.refusals:
        # rows that could not be read are counted and quarantined like refused ones
        rows = []
        for refusal in batch.refusals:
            reason = refusal.reason[:MAX_REASON_CHARACTERS]
            rows.append({"line": refusal.line, "reason": reason, "raw": refusal.raw})
        params = {"kind": batch.kind, "model": model or ""}
        return "/v1/refused", {"json": rows, "headers": headers, "params": params}
    query = {"model": model, "max_age": max_age}
    return f"/v1/{batch.kind}", {
        "content": batch.body,
        "headers": {**headers, "content-type": batch.media_type},
        "params": {name: value for name, value in query.items() if value is not None},
    }


def is_busy(error: DriftdeckError) -> bool:
    """True for a server that accepts the same request later."""
    return not isinstance(error, Unreachable) and error.status in RETRIED_STATUSES


def _key_suffix(max_age: float | None) -> str:
    """Return the part of a key for --max-age.

    With another --max-age, rows that were refused for their age are checked again.
    """
    return "" if max_age is None else f"-{max_age:g}"
