"""Validate a body of events or labels: accepted rows, grown schemas and refusals."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.config.columns import PolicyOf
from monitor.contracts import BodyLimits, Chunk, Source
from monitor.errors import NotFound, UnsupportedMedia
from monitor.event import Refusal, Refused, TimeBounds, decode
from monitor.ingest.accepted import AcceptedBatch, refusal
from monitor.ingest.event_lines import BodyContext, EventLines, add_events
from monitor.ingest.json_lines import JSON_TYPES, split_lines
from monitor.ingest.model_admission import ModelAdmission
from monitor.ingest.quota import Quota
from monitor.ingest.tables import from_table, labels_from_table
from monitor.label import Label, parse_label
from monitor.plugins import sources
from monitor.schema import ModelSchema


class Validator:
    """Reads bodies against the schemas, policies and quotas of one server.

    Whole bodies that cannot be read raise PayloadError and its kin; single rows that
    cannot be used are refused, and the rows beside them are accepted.
    """

    def __init__(
        self,
        schemas: Mapping[str, ModelSchema],
        quota: Quota,
        clock: Callable[[], datetime],
        policy: PolicyOf,
        limits: BodyLimits,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.policy = policy
        self.models = ModelAdmission(schemas, quota, clock)
        self.event_lines = EventLines(self.models, policy)

    def events(
        self,
        body: bytes,
        media_type: str,
        model: str | None,
        bounds: TimeBounds,
        allowed: Collection[str] | None,
        key: str | None = None,
    ) -> AcceptedBatch:
        """Validate a body of events. `allowed`: models that the sender may write; None: all."""
        context = BodyContext(self.clock(), bounds, model)
        if media_type not in JSON_TYPES:
            return self._event_table(body, media_type, context, allowed, key)
        batch = AcceptedBatch("events", allowed=allowed, key=key)
        if not self.event_lines.add_whole_body(body, context, batch):
            numbered_lines = split_lines(body, media_type, self.limits)
            self.event_lines.add_lines(numbered_lines, context, batch)
        return batch

    def labels(
        self,
        body: bytes,
        media_type: str,
        model: str | None,
        bounds: TimeBounds,
        allowed: Collection[str] | None,
    ) -> AcceptedBatch:
        """Validate a body of labels. `allowed`: models that the sender may write; None: all."""
        context = BodyContext(self.clock(), bounds, model)
        if media_type not in JSON_TYPES:
            return self._label_table(body, media_type, context, allowed)
        batch = AcceptedBatch("labels", allowed=allowed)
        lines = split_lines(body, media_type, self.limits)
        self._add_label_lines(lines, context, batch)
        return batch

    # tables

    def _event_table(
        self,
        body: bytes,
        media_type: str,
        context: BodyContext,
        allowed: Collection[str] | None,
        key: str | None,
    ) -> AcceptedBatch:
        chunk = source_for(media_type).read_bytes(body, self.limits)
        batch = _batch_of("events", chunk, allowed)
        for model, rows, lines in split_by_model(chunk, context.model):
            try:
                self.models.check(model, batch)
                schema = self.models.schema(model)
                table = from_table(
                    self.policy(model).table(rows),
                    schema,
                    context.now,
                    context.bounds,
                    lines,
                    self.models.quota.allowance(schema, context.now),
                    key,
                )
            except Refused as reason:
                _refuse_all(batch, model, lines, str(reason))
                continue
            add_events(batch, schema, table, self.policy)
        return batch

    def _label_table(
        self,
        body: bytes,
        media_type: str,
        context: BodyContext,
        allowed: Collection[str] | None,
    ) -> AcceptedBatch:
        chunk = source_for(media_type).read_bytes(body, self.limits)
        batch = _batch_of("labels", chunk, allowed)
        for model, rows, lines in split_by_model(chunk, context.model):
            try:
                self.models.check(model, batch)
            except Refused as reason:
                _refuse_all(batch, model, lines, str(reason))
                continue
            table, refusals = labels_from_table(
                rows, model, context.now, context.bounds, lines
            )
            batch.refusals += refusals
            self._add_labels(batch, model, table)
        return batch

    # labels

    def _add_label_lines(
        self,
        numbered_lines: Iterable[tuple[int, bytes]],
        context: BodyContext,
        batch: AcceptedBatch,
    ) -> None:
        by_model: dict[str, list[Label]] = {}
        for number, line in numbered_lines:
            batch.rows += 1
            record: Any = None
            try:
                record = decode(line)
                if context.model is not None and isinstance(record, dict):
                    record.setdefault("model", context.model)
                label = parse_label(record, context.now, context.bounds)
                self.models.check(label.model, batch)
            except Refused as reason:
                batch.refusals.append(refusal(number, record, str(reason), line))
                continue
            by_model.setdefault(label.model, []).append(label)
        for model, labels in by_model.items():
            self._add_labels(batch, model, _label_columns(labels))

    def _add_labels(self, batch: AcceptedBatch, model: str, table: pa.Table) -> None:
        if model not in self.models.schemas:  # a model may begin with its labels
            batch.schemas[model] = ModelSchema(model)
        batch.add_labels(model, table)


def source_for(media_type: str) -> Source:
    """Return the source that reads a Content-Type.

    Raises UnsupportedMedia with the types that can be read.
    """
    for source in sources().values():
        if media_type in source.MEDIA_TYPES:
            return source
    supported = ", ".join(
        sorted(name for source in sources().values() for name in source.MEDIA_TYPES)
    )
    raise UnsupportedMedia(
        f"Content-Type {media_type or '(none)'!r} is not known; use one of: {supported}"
    )


def split_by_model(
    chunk: Chunk, model: str | None
) -> Iterable[tuple[str, pa.Table, Sequence[int]]]:
    """Split a table into (model, rows, their lines); one part when `model` is given.

    Rows without a model have the model "". Raises NotFound when no column names one.
    """
    table = chunk.table
    lines = range(chunk.first_line, chunk.first_line + table.num_rows)
    has_models = "model" in table.column_names
    if model is not None:
        rows = table.drop_columns(["model"]) if has_models else table
        return [(model, rows, lines)]
    if not has_models:
        raise NotFound(
            "the table has no column `model`; add one, or ?model=NAME to the address"
        )
    names = pc.fill_null(table["model"].cast(pa.string()), "")
    rows = table.drop_columns(["model"])
    models = pc.unique(names).to_pylist()
    if len(models) == 1:
        return [(models[0], rows, lines)]
    places = {name: pc.indices_nonzero(pc.equal(names, name)) for name in models}
    return [
        (name, rows.take(at), [lines[i] for i in at.to_pylist()])
        for name, at in places.items()
    ]


def _batch_of(
    kind: str, chunk: Chunk, allowed: Collection[str] | None
) -> AcceptedBatch:
    rows = chunk.table.num_rows + len(chunk.refusals)
    return AcceptedBatch(kind, rows, list(chunk.refusals), allowed=allowed)


def _refuse_all(
    batch: AcceptedBatch, model: str, lines: Sequence[int], reason: str
) -> None:
    batch.refusals += [Refusal(line, None, reason, model=model) for line in lines]


def _label_columns(labels: list[Label]) -> pa.Table:
    times = [label.ts.astimezone(UTC).replace(tzinfo=None) for label in labels]
    return pa.table(
        {
            "event_id": [label.event_id for label in labels],
            "label": [label.label for label in labels],
            "ts": pa.array(times, pa.timestamp("us")),
        }
    )
