"""A request that was read and is not written yet: what of it is taken, and what is refused."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from monitor.arrow_columns import to_ipc
from monitor.event import MAX_NAME, RAW_SAMPLE, Refusal
from monitor.ingest.tables import EventTable
from monitor.schema import ModelSchema
from monitor.type_mismatch import TypeMismatch


@dataclass
class AcceptedBatch:
    """Frames to append, schemas that grew, models that are new, and what was refused."""

    kind: str
    rows: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    accepted: int = 0
    frames: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    schemas: dict[str, ModelSchema] = field(default_factory=dict)
    new_models: set[str] = field(default_factory=set)
    allowed: Collection[str] | None = None
    key: str | None = None  # the Idempotency-Key it came under
    mistyped: list[TypeMismatch] = field(default_factory=list)

    def may(self, model: str) -> bool:
        """True when the sender may write this model."""
        return self.allowed is None or model in self.allowed

    @property
    def noted(self) -> list[Refusal]:
        """What was refused; a row of a model that is not the sender's does not count as that model's."""
        return [r if self.may(r.model) else replace(r, model="") for r in self.refusals]

    def received(self) -> dict[tuple[str, str], int]:
        """Rows by model and kind, the refused ones among them."""
        rows: dict[tuple[str, str], int] = {}
        for header, _ in self.frames:
            rows[header["model"], self.kind] = (
                rows.get((header["model"], self.kind), 0) + header["rows"]
            )
        for refused in self.noted:
            rows[refused.model, self.kind] = rows.get((refused.model, self.kind), 0) + 1
        return rows

    def lines(self, model: str, payload: bytes, rows: int) -> None:
        """Add lines that fit the model's schema as they are."""
        self.frames.append(
            (
                {"kind": "events", "format": "lines", "model": model, "rows": rows},
                payload,
            )
        )
        self.accepted += rows

    def shaped(self, before: ModelSchema, shaped: EventTable) -> None:
        """Add rows in columns, and their schema if it grew."""
        self.refusals += shaped.refusals
        if shaped.schema is not before or before.prediction == "unknown":
            self.schemas[shaped.schema.model] = shaped.schema
        if shaped.table.num_rows:
            header = {
                "kind": "events",
                "format": "arrow",
                "model": shaped.schema.model,
                "rows": shaped.table.num_rows,
            }
            if shaped.mistyped:
                header["mistyped"] = [one.to_list() for one in shaped.mistyped]
                self.mistyped += shaped.mistyped
            self.frames.append((header, to_ipc(shaped.table)))
            self.accepted += shaped.table.num_rows

    def labels(self, model: str, table: pa.Table) -> None:
        """Add labels of one model."""
        if table.num_rows:
            self.frames.append(
                (
                    {"kind": "labels", "model": model, "rows": table.num_rows},
                    to_ipc(table),
                )
            )
            self.accepted += table.num_rows


def refusal(line: int, raw: Any, reason: str, text: bytes) -> Refusal:
    """The refusal of one record, with its id and model as far as they can be read."""
    known = raw if isinstance(raw, dict) else {}
    id_, model = known.get("event_id"), known.get("model")
    return Refusal(
        line,
        id_[:128].encode("utf-8", "replace").decode() if isinstance(id_, str) else None,
        reason.encode("utf-8", "replace").decode(),
        text[:RAW_SAMPLE].decode("utf-8", "replace"),
        model[:MAX_NAME].encode("utf-8", "replace").decode()
        if isinstance(model, str)
        else "",
    )


def refused_frame(
    kind: str, refusals: Sequence[Refusal]
) -> tuple[dict[str, Any], bytes]:
    """Header and payload of the frame that carries refusals through the spool."""
    by_name: dict[str, int] = {}
    for r in refusals:
        by_name[r.model] = by_name.get(r.model, 0) + 1
    payload = json.dumps(
        [[r.model, r.line, r.event_id, r.reason, r.raw] for r in refusals]
    ).encode()
    return {
        "kind": "refused",
        "of": kind,
        "rows": len(refusals),
        "models": by_name,
    }, payload
