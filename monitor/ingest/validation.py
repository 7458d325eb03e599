"""Bodies to what is taken of them: records checked one by one or column by column, policies and quotas applied."""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.config.columns import NOTHING, PolicyOf
from monitor.contracts import Source
from monitor.errors import NotFound, UnsupportedMedia
from monitor.event import (
    MAX_NAME,
    RAW_SAMPLE,
    Event,
    Refusal,
    Refused,
    TimeBounds,
    decode,
    derived_id,
    parse_event,
)
from monitor.ingest.accepted import AcceptedBatch, refusal
from monitor.ingest.json_lines import (
    JSON_TYPES,
    a_line_each,
    fast,
    model_in,
    named_model,
    split_lines,
    whole_body,
)
from monitor.ingest.quota import Quota
from monitor.ingest.tables import EventTable, from_events, from_table, labels_from_table
from monitor.label import Label, parse_label
from monitor.plugins import sources
from monitor.schema import ModelSchema
from monitor.type_mismatch import unseen


@dataclass
class _Part:
    """The rows of one request for one model."""

    raw: list[bytes] = field(default_factory=list)
    parsed: list[tuple[int, Event]] = field(default_factory=list)
    # by number, the line of each that was parsed
    kept: dict[int, bytes] = field(default_factory=dict)


class Validator:
    """Reads bodies of events and labels against the schemas, policies and quotas of one server."""

    def __init__(
        self,
        schemas: dict[str, ModelSchema],
        quota: Quota,
        clock: Callable[[], datetime],
        policy: PolicyOf,
    ) -> None:
        self.schemas, self.quota, self.clock, self.policy = (
            schemas,
            quota,
            clock,
            policy,
        )
        self._last: ModelSchema | None = None

    def events(
        self,
        body: bytes,
        media_type: str,
        model: str | None,
        bounds: TimeBounds,
        allowed: Collection[str] | None,
        key: str | None = None,
    ) -> AcceptedBatch:
        """What is taken of a body of events.

        Raises PayloadError and its like when the body as a whole cannot be read.
        """
        now = self.clock()
        if media_type in JSON_TYPES:
            taken = AcceptedBatch("events", allowed=allowed, key=key)
            earliest, latest = bounds.around(now)
            schema = self._last
            kept = (
                None
                if schema is None or not taken.may(schema.model)
                else self._kept_lines(schema, body)
            )
            rows = (
                0
                if schema is None or kept is None
                else whole_body(schema, kept, earliest, latest)
            )
            if (
                schema is not None
                and kept is not None
                and rows
                and (kept is body or a_line_each(body, rows))
            ):
                taken.rows = rows
                taken.lines(
                    schema.model, kept if kept.endswith(b"\n") else kept + b"\n", rows
                )
                return taken
            return self._event_lines(
                split_lines(body, media_type), now, bounds, model, taken
            )
        chunk = source_for(media_type).read_bytes(body)
        taken = AcceptedBatch(
            "events",
            chunk.table.num_rows + len(chunk.refusals),
            list(chunk.refusals),
            allowed=allowed,
        )
        for name, part, first in by_model(chunk.table, model, chunk.first_line):
            schema = self.schemas.get(name) or ModelSchema(name)
            try:
                self._check_model(name, taken)
                kept = self.policy(name).table(part)
                self._shaped(
                    taken,
                    schema,
                    from_table(
                        kept, schema, now, bounds, first, self.quota.room(schema, now)
                    ),
                )
            except Refused as reason:
                taken.refusals += [
                    Refusal(first + i, None, str(reason), model=name)
                    for i in range(part.num_rows)
                ]
        return taken

    def _event_lines(
        self,
        lines: Iterable[tuple[int, bytes]],
        now: datetime,
        bounds: TimeBounds,
        model: str | None,
        taken: AcceptedBatch,
    ) -> AcceptedBatch:
        parts: dict[str, _Part] = {}
        earliest, latest = bounds.around(now)
        schema = self._last
        for number, line in lines:
            taken.rows += 1
            kept, event = self._fast(schema, line)
            if event is None:
                schema = self._last = self._schema_of(line)
                kept, event = self._fast(schema, line)
            if (
                event is not None
                and schema is not None
                and earliest <= event.ts <= latest
                and event.event_id.isascii()
                and taken.may(schema.model)
            ):
                parts.setdefault(schema.model, _Part()).raw.append(kept)
                continue
            # the thorough path finds out whether the line is good after all, and says
            # what is wrong
            parsed = self._thorough(number, line, now, bounds, model, taken)
            if parsed is not None:
                event, text = parsed
                part = parts.setdefault(event.model, _Part())
                part.parsed.append((number, event))
                part.kept[number] = text
        for name, part in parts.items():
            self._take_part(name, part, taken, now)
        return taken

    def _schema_of(self, line: bytes) -> ModelSchema | None:
        schema = self.schemas.get(named_model(line) or "")
        return schema if schema is not None and schema.plain else None

    def _kept_lines(self, schema: ModelSchema, lines: bytes) -> bytes | None:
        """Lines as the model's policy lets them be kept; None when any of them may be no event."""
        policy = self.policy(schema.model)
        return policy.lines(lines) if policy.active else lines

    def _fast(self, schema: ModelSchema | None, line: bytes) -> tuple[bytes, Any]:
        """A line as it may be kept and its event, when that fits the schema as it is, else None."""
        kept = None if schema is None else self._kept_lines(schema, line)
        if schema is None or kept is None:
            return b"", None
        kept = kept.rstrip(b"\n")
        return kept, fast(schema, kept)

    def _thorough(
        self,
        number: int,
        line: bytes,
        now: datetime,
        bounds: TimeBounds,
        model: str | None,
        taken: AcceptedBatch,
    ) -> tuple[Event, bytes] | None:
        raw: Any = None
        try:
            raw = decode(line)
            if model is not None and isinstance(raw, dict):
                raw.setdefault("model", model)
            raw, line = self._as_kept(raw, line)
            if isinstance(raw, dict) and raw.get("event_id") is None and taken.key:
                raw["event_id"] = derived_id(taken.key, number, line)
            event = parse_event(raw, now, bounds)
            self._check_model(event.model, taken)
            return event, line
        except Refused as reason:
            taken.refusals.append(
                refusal(
                    number,
                    raw,
                    str(reason),
                    line if raw is not None else self._unread(model, line),
                )
            )
            return None

    def _as_kept(self, raw: Any, line: bytes) -> tuple[Any, bytes]:
        """A decoded record and its line as the model's policy lets them be kept."""
        policy = (
            self.policy(raw["model"])
            if isinstance(raw, dict) and isinstance(raw.get("model"), str)
            else NOTHING
        )
        if not policy.active:
            return raw, line
        raw = policy.event(raw)
        return raw, json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace")

    def _unread(self, model: str | None, line: bytes) -> bytes:
        """A line that could not be decoded, for the quarantine; nothing of it when a policy might forbid that."""
        name = model or model_in(line)
        return b"" if name is not None and self.policy(name).active else line

    def _take_part(
        self, name: str, part: _Part, taken: AcceptedBatch, now: datetime
    ) -> None:
        schema = self.schemas.get(name) or ModelSchema(name)
        if part.raw:
            taken.lines(name, b"\n".join(part.raw) + b"\n", len(part.raw))
        if part.parsed:
            grown, refused = schema.admit(
                [event for _, event in part.parsed], self.quota.room(schema, now)
            )
            shaped = from_events(
                [p for i, p in enumerate(part.parsed) if i not in refused], grown
            )
            over = [
                Refusal(*_named(part.parsed[i]), reason, model=name)
                for i, reason in refused.items()
            ]
            raw = {
                n: part.kept[n][:RAW_SAMPLE].decode("utf-8", "replace")
                for n in {r.line for r in [*shaped.refusals, *over]}
            }
            refusals = [replace(r, raw=raw[r.line]) for r in [*shaped.refusals, *over]]
            self._shaped(taken, schema, replace(shaped, refusals=refusals))

    def _shaped(
        self, taken: AcceptedBatch, schema: ModelSchema, shaped: EventTable
    ) -> None:
        """Add rows in columns; of values that the policy hides no sample is kept."""
        if shaped.mistyped:
            shaped = replace(
                shaped,
                mistyped=unseen(shaped.mistyped, self.policy(schema.model).hidden),
            )
        taken.shaped(schema, shaped)

    def _check_model(self, name: str, taken: AcceptedBatch) -> None:
        if not name:
            raise Refused("`model` is missing; it is required")
        if not taken.may(name):
            raise Refused(
                f"this key may not write the model {name[:MAX_NAME]!r}; send it with a key that is for it"
            )
        if name in self.schemas or name in taken.new_models:
            return
        if len(name) > MAX_NAME:
            raise Refused(
                f"model name {name[:40]!r} has more than {MAX_NAME} characters"
            )
        reason = self.quota.model_refused(
            len(self.schemas), len(taken.new_models), self.clock()
        )
        if reason is not None:
            raise Refused(f"{reason} (new model {name[:40]!r})")
        taken.new_models.add(name)

    # labels

    def labels(
        self,
        body: bytes,
        media_type: str,
        model: str | None,
        bounds: TimeBounds,
        allowed: Collection[str] | None,
    ) -> AcceptedBatch:
        """What is taken of a body of labels."""
        now = self.clock()
        if media_type in JSON_TYPES:
            taken = AcceptedBatch("labels", allowed=allowed)
            return self._label_lines(
                split_lines(body, media_type), now, bounds, model, taken
            )
        chunk = source_for(media_type).read_bytes(body)
        taken = AcceptedBatch(
            "labels",
            chunk.table.num_rows + len(chunk.refusals),
            list(chunk.refusals),
            allowed=allowed,
        )
        for name, part, first in by_model(chunk.table, model, chunk.first_line):
            try:
                self._check_model(name, taken)
            except Refused as reason:
                taken.refusals += [
                    Refusal(first + i, None, str(reason), model=name)
                    for i in range(part.num_rows)
                ]
                continue
            self._announce(name, taken)
            table, refused = labels_from_table(part, name, now, bounds, first)
            taken.refusals += refused
            taken.labels(name, table)
        return taken

    def _announce(self, name: str, taken: AcceptedBatch) -> None:
        if name not in self.schemas:
            taken.schemas[name] = ModelSchema(name)

    def _label_lines(
        self,
        lines: Iterable[tuple[int, bytes]],
        now: datetime,
        bounds: TimeBounds,
        model: str | None,
        taken: AcceptedBatch,
    ) -> AcceptedBatch:
        found: dict[str, list[Label]] = {}
        for number, line in lines:
            taken.rows += 1
            raw: Any = None
            try:
                raw = decode(line)
                if model is not None and isinstance(raw, dict):
                    raw.setdefault("model", model)
                label = parse_label(raw, now, bounds)
                self._check_model(label.model, taken)
                found.setdefault(label.model, []).append(label)
            except Refused as reason:
                taken.refusals.append(refusal(number, raw, str(reason), line))
        for name, labels in found.items():
            self._announce(name, taken)
            table = pa.table(
                {
                    "event_id": [x.event_id for x in labels],
                    "label": [x.label for x in labels],
                    "ts": pa.array(
                        [x.ts.astimezone(UTC).replace(tzinfo=None) for x in labels],
                        pa.timestamp("us"),
                    ),
                }
            )
            taken.labels(name, table)
        return taken


def _named(parsed: tuple[int, Event]) -> tuple[int, str]:
    return parsed[0], parsed[1].event_id


def source_for(media_type: str) -> Source:
    """The source that reads a Content-Type.

    Raises UnsupportedMedia, naming the known ones.
    """
    for source in sources().values():
        if media_type in source.MEDIA_TYPES:
            return source
    known = ", ".join(
        sorted(t for source in sources().values() for t in source.MEDIA_TYPES)
    )
    raise UnsupportedMedia(
        f"Content-Type {media_type or '(none)'!r} is not known; use one of: {known}"
    )


def by_model(
    table: pa.Table, model: str | None, first_line: int
) -> Iterable[tuple[str, pa.Table, int]]:
    """(model, rows, line of the first) for each model of a table; all of it when `model` is given. Rows without a model
    come under "".
    """
    if model is not None:
        return [
            (
                model,
                table.drop_columns(["model"])
                if "model" in table.column_names
                else table,
                first_line,
            )
        ]
    if "model" not in table.column_names:
        raise NotFound(
            "the table has no column `model`; add one, or ?model=NAME to the address"
        )
    given = pc.fill_null(table["model"].cast(pa.string()), "")
    table = table.drop_columns(["model"])
    models = pc.unique(given).to_pylist()
    if len(models) == 1:
        return [(models[0], table, first_line)]
    return [(name, table.filter(pc.equal(given, name)), first_line) for name in models]
