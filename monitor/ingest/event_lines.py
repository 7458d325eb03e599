"""JSON lines of events to accepted rows: whole bodies at once, fitting lines at C speed, the rest one by one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitor.config.columns import NOTHING, PolicyOf
from monitor.event import (
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
    count_fitting_lines,
    decode_fitting,
    is_one_object_a_line,
    model_named_in,
    search_model,
)
from monitor.ingest.model_admission import ModelAdmission
from monitor.ingest.tables import EventTable, from_events
from monitor.schema import ModelSchema
from monitor.type_mismatch import without_samples


@dataclass(frozen=True)
class BodyContext:
    """How the rows of one body are read."""

    now: datetime
    bounds: TimeBounds
    model: str | None  # of rows that name none

    @property
    def accepted_times(self) -> tuple[datetime, datetime]:
        """The earliest and the latest time of an event that is accepted."""
        return self.bounds.around(self.now)


@dataclass(frozen=True)
class ParsedLine:
    """A line that was parsed field by field, as its model's policy lets it be kept."""

    number: int
    event: Event
    text: bytes


@dataclass
class ModelLines:
    """The accepted lines of one request for one model."""

    fitting: list[bytes] = field(default_factory=list)
    parsed: list[ParsedLine] = field(default_factory=list)


class EventLines:
    """Reads bodies of JSON lines for the models of one server.

    A line that fits its model's schema is checked by a typed decoder and kept as it is.
    A line that does not fit is parsed field by field, which accepts it after all or
    finds the reason of its refusal.
    """

    def __init__(self, models: ModelAdmission, policy: PolicyOf) -> None:
        self.models = models
        self.policy = policy
        # of the line before: the next one is most likely of the same model
        self._schema: ModelSchema | None = None

    def add_whole_body(
        self, body: bytes, context: BodyContext, batch: AcceptedBatch
    ) -> bool:
        """Accept a body whose every line fits the schema of the line before it.

        False when any line may not fit: then nothing was added.
        """
        schema = self._newest_schema()
        if schema is None or not batch.may_write(schema.model):
            return False
        lines = self._apply_policy(schema, body)
        if lines is None:
            return False
        rows = count_fitting_lines(schema, lines, *context.accepted_times)
        if not rows:
            return False
        # a policy writes lines of its own, so the body's own are counted too
        if lines is not body and not is_one_object_a_line(body, rows):
            return False
        batch.rows = rows
        batch.add_lines(schema.model, _ended(lines), rows)
        return True

    def add_lines(
        self,
        numbered_lines: Iterable[tuple[int, bytes]],
        context: BodyContext,
        batch: AcceptedBatch,
    ) -> None:
        """Accept or refuse each line; then add the accepted ones model by model."""
        by_model: dict[str, ModelLines] = {}
        times = context.accepted_times
        for number, line in numbered_lines:
            batch.rows += 1
            fitting = self._fitting(line, times, batch)
            if fitting is not None:
                model, text = fitting
                by_model.setdefault(model, ModelLines()).fitting.append(text)
                continue
            parsed = self._parse(number, line, context, batch)
            if parsed is not None:
                model = parsed.event.model
                by_model.setdefault(model, ModelLines()).parsed.append(parsed)
        for model, lines in by_model.items():
            self._add_model(model, lines, context.now, batch)

    # lines that fit

    def _fitting(
        self, line: bytes, times: tuple[datetime, datetime], batch: AcceptedBatch
    ) -> tuple[str, bytes] | None:
        """Return the model and the text of a line that fits; None when it has to be parsed."""
        event, text = self._decode(line)
        if event is None:
            self._schema = self._schema_for(line)
            event, text = self._decode(line)
        if event is None or self._schema is None:
            return None
        model = self._schema.model
        in_time = times[0] <= event.ts <= times[1]
        # an id's length counts in bytes
        if in_time and event.event_id.isascii() and batch.may_write(model):
            return model, text
        return None

    def _decode(self, line: bytes) -> tuple[Any, bytes]:
        """Return the event in a line and the text to keep; (None, b"") when it does not fit."""
        schema = self._newest_schema()
        lines = None if schema is None else self._apply_policy(schema, line)
        if schema is None or lines is None:
            return None, b""
        text = lines.rstrip(b"\n")
        return decode_fitting(schema, text), text

    def _newest_schema(self) -> ModelSchema | None:
        """Return the schema of the line before, unless the model has another one since."""
        schema = self._schema
        if schema is None or self.models.schemas.get(schema.model) is not schema:
            self._schema = schema = None
        return schema

    def _schema_for(self, line: bytes) -> ModelSchema | None:
        schema = self.models.schemas.get(model_named_in(line) or "")
        return schema if schema is not None and schema.plain else None

    def _apply_policy(self, schema: ModelSchema, lines: bytes) -> bytes | None:
        """Return lines as the model's policy lets them be kept; None when one may be no event."""
        policy = self.policy(schema.model)
        return policy.lines(lines) if policy.active else lines

    # lines that are parsed field by field

    def _parse(
        self, number: int, line: bytes, context: BodyContext, batch: AcceptedBatch
    ) -> ParsedLine | None:
        """Return the parsed line; None when it was refused, which the batch notes."""
        record: Any = None
        try:
            record = decode(line)
            if context.model is not None and isinstance(record, dict):
                record.setdefault("model", context.model)
            record, line = self._apply_policy_to_record(record, line)
            if (
                isinstance(record, dict)
                and record.get("event_id") is None
                and batch.key
            ):
                record["event_id"] = derived_id(batch.key, number, line)
            event = parse_event(record, context.now, context.bounds)
            self.models.check(event.model, batch)
        except Refused as reason:
            text = line
            if record is None:
                text = self._undecoded_text(context.model, line)
            batch.refusals.append(refusal(number, record, str(reason), text))
            return None
        return ParsedLine(number, event, line)

    def _apply_policy_to_record(self, record: Any, line: bytes) -> tuple[Any, bytes]:
        """Return a decoded record and its line as the model's policy lets them be kept."""
        policy = NOTHING
        if isinstance(record, dict) and isinstance(record.get("model"), str):
            policy = self.policy(record["model"])
        if not policy.active:
            return record, line
        record = policy.event(record)
        return record, json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")

    def _undecoded_text(self, model: str | None, line: bytes) -> bytes:
        """Return the text of a line that is no JSON; empty where a policy may forbid it."""
        name = model or search_model(line)
        return b"" if name is not None and self.policy(name).active else line

    # model by model

    def _add_model(
        self, model: str, lines: ModelLines, now: datetime, batch: AcceptedBatch
    ) -> None:
        schema = self.models.schema(model)
        if lines.fitting:
            text = b"\n".join(lines.fitting) + b"\n"
            batch.add_lines(model, text, len(lines.fitting))
        if lines.parsed:
            table = self._shape(lines.parsed, schema, now)
            add_events(batch, schema, table, self.policy)

    def _shape(
        self, parsed: list[ParsedLine], schema: ModelSchema, now: datetime
    ) -> EventTable:
        """Put parsed lines into columns; lines with too many new features are refused."""
        allowance = self.models.quota.allowance(schema, now)
        grown, reasons = schema.admit([line.event for line in parsed], allowance)
        admitted = [
            (line.number, line.event)
            for position, line in enumerate(parsed)
            if position not in reasons
        ]
        table = from_events(admitted, grown)
        over_quota = [
            Refusal(
                parsed[position].number,
                parsed[position].event.event_id,
                reason,
                model=schema.model,
            )
            for position, reason in reasons.items()
        ]
        text_of = {line.number: line.text for line in parsed}
        refusals = [
            replace(
                refused,
                raw=text_of[refused.line][:RAW_SAMPLE].decode("utf-8", "replace"),
            )
            for refused in [*table.refusals, *over_quota]
        ]
        return replace(table, refusals=refusals)


def add_events(
    batch: AcceptedBatch, schema: ModelSchema, table: EventTable, policy: PolicyOf
) -> None:
    """Add events in columns; no sample is kept of mismatched values that the policy hides."""
    if table.mistyped:
        hidden = policy(schema.model).hidden
        table = replace(table, mistyped=without_samples(table.mistyped, hidden))
    batch.add_events(schema, table)


def _ended(lines: bytes) -> bytes:
    return lines if lines.endswith(b"\n") else lines + b"\n"
