"""One validated request before it is written: records for the spool, grown schemas, refusals."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from monitor.arrow_columns import to_ipc
from monitor.event import MAX_ID_BYTES, MAX_NAME, RAW_SAMPLE, Refusal
from monitor.ingest.tables import EventTable
from monitor.schema import ModelSchema
from monitor.type_mismatch import TypeMismatch

SpoolRecord = tuple[dict[str, Any], bytes]  # header and payload


@dataclass
class AcceptedBatch:
    """The accepted and the refused rows of one request."""

    kind: str  # "events" or "labels"
    rows: int = 0  # accepted and refused
    refusals: list[Refusal] = field(default_factory=list)
    accepted: int = 0
    records: list[SpoolRecord] = field(default_factory=list)
    schemas: dict[str, ModelSchema] = field(default_factory=dict)  # those that grew
    new_models: set[str] = field(default_factory=set)
    allowed: Collection[str] | None = None  # models of the sender's key; None: all
    key: str | None = None  # the Idempotency-Key of the request
    mistyped: list[TypeMismatch] = field(default_factory=list)

    def may_write(self, model: str) -> bool:
        """Return True when the sender's key is for this model."""
        return self.allowed is None or model in self.allowed

    @property
    def counted_refusals(self) -> list[Refusal]:
        """The refusals as they are counted: under no model where the key is not for it."""
        return [
            refused if self.may_write(refused.model) else replace(refused, model="")
            for refused in self.refusals
        ]

    def received(self) -> dict[tuple[str, str], int]:
        """Return the number of rows by (model, kind), refused ones included."""
        rows: Counter[tuple[str, str]] = Counter()
        for header, _ in self.records:
            rows[header["model"], self.kind] += header["rows"]
        for refused in self.counted_refusals:
            rows[refused.model, self.kind] += 1
        return dict(rows)

    def add_lines(self, model: str, payload: bytes, rows: int) -> None:
        """Add lines that fit the model's schema, unchanged."""
        header = {"kind": "events", "format": "lines", "model": model, "rows": rows}
        self.records.append((header, payload))
        self.accepted += rows

    def add_events(self, before: ModelSchema, events: EventTable) -> None:
        """Add events in columns with their refusals, and their schema if it grew."""
        self.refusals += events.refusals
        if events.schema is not before or before.prediction == "unknown":
            self.schemas[events.schema.model] = events.schema
        rows = events.table.num_rows
        if not rows:
            return
        header: dict[str, Any] = {
            "kind": "events",
            "format": "arrow",
            "model": events.schema.model,
            "rows": rows,
        }
        if events.mistyped:
            header["mistyped"] = [mismatch.to_list() for mismatch in events.mistyped]
            self.mistyped += events.mistyped
        self.records.append((header, to_ipc(events.table)))
        self.accepted += rows

    def add_labels(self, model: str, table: pa.Table) -> None:
        """Add labels of one model."""
        rows = table.num_rows
        if rows:
            header = {"kind": "labels", "model": model, "rows": rows}
            self.records.append((header, to_ipc(table)))
            self.accepted += rows


def refusal(line: int, record: Any, reason: str, text: bytes) -> Refusal:
    """Return the refusal of one record, with its id and model as far as they can be read."""
    fields = record if isinstance(record, dict) else {}
    event_id, model = fields.get("event_id"), fields.get("model")
    return Refusal(
        line,
        _valid_text(event_id[:MAX_ID_BYTES]) if isinstance(event_id, str) else None,
        _valid_text(reason),
        text[:RAW_SAMPLE].decode("utf-8", "replace"),
        _valid_text(model[:MAX_NAME]) if isinstance(model, str) else "",
    )


def refused_record(kind: str, refusals: Sequence[Refusal]) -> SpoolRecord:
    """Return the record that carries refusals through the spool."""
    header = {
        "kind": "refused",
        "of": kind,
        "rows": len(refusals),
        "models": dict(Counter(refused.model for refused in refusals)),
    }
    payload = json.dumps(
        [
            [refused.model, refused.line, refused.event_id, refused.reason, refused.raw]
            for refused in refusals
        ]
    )
    return header, payload.encode()


def _valid_text(text: str) -> str:
    """Return a text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
