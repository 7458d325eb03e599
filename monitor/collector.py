"""Validate, spool, acknowledge. What is refused is kept with its reason; nothing acknowledged is ever lost."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from monitor import __version__
from monitor.errors import Conflict, NotFound, TooLarge, UnsupportedMedia
from monitor.event import MAX_NAME, RAW_SAMPLE, Event, Refusal, Refused, TimeBounds, decode, parse_event
from monitor.ipc import to_ipc
from monitor.label import Label, parse_label
from monitor.pending import Pending
from monitor.plugins import load
from monitor.policy import NOTHING, PolicyOf
from monitor.quota import Quota
from monitor.rows import Shaped, from_events, from_table, labels_from_table
from monitor.schema import ModelSchema
from monitor.spool import Spool

MAX_REFUSALS_SHOWN = 100
JSON_TYPES = ("application/x-ndjson", "application/jsonl", "application/json")


@dataclass(frozen=True)
class Answer:
    """What one request came to; `durable` is done when all of it is on disk."""

    accepted: int
    refused: int
    refusals: Sequence[Refusal]
    durable: "Future[None]"
    replayed: bool = False  # the first answer to this Idempotency-Key once more: nothing was added

    def body(self) -> dict[str, Any]:
        """The JSON answer: counts, and the first refusals with their reasons."""
        shown = [
            {"line": r.line, "event_id": r.event_id, "reason": r.reason} for r in self.refusals[:MAX_REFUSALS_SHOWN]
        ]
        return {"accepted": self.accepted, "refused": self.refused, "refusals": shown}


@dataclass
class _Part:
    """The rows of one request for one model."""

    raw: list[bytes] = field(default_factory=list)
    parsed: list[tuple[int, Event]] = field(default_factory=list)
    kept: dict[int, bytes] = field(default_factory=dict)  # by number, the line of each that was parsed


class Collector:
    """Takes request bodies and files' tables; safe from several threads."""

    def __init__(
        self,
        spool: Spool,
        schemas: dict[str, ModelSchema],
        *,
        bounds: TimeBounds | None = None,
        max_rows: int = 10_000,
        quota: Quota | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        known_key: Callable[[str], tuple[str, str] | None] = lambda _: None,
        policy: PolicyOf = lambda _: NOTHING,
    ) -> None:
        self.spool = spool
        self.schemas = schemas
        self.bounds = bounds or TimeBounds()
        self.max_rows, self.quota = max_rows, quota or Quota()
        self.clock = clock
        self.pending = Pending()
        self._known_key = known_key
        self.policy = policy
        self._answers: dict[str, tuple[str, Answer]] = {}
        self._lock = threading.Lock()
        self._last: ModelSchema | None = None

    def events(
        self,
        body: bytes,
        media_type: str,
        key: str | None = None,
        model: str | None = None,
        bounds: TimeBounds | None = None,
        allowed: Collection[str] | None = None,
    ) -> Answer:
        """Take a body of events of any supported Content-Type. `model` names that of a table without a model column.

        Rows of a model that is not `allowed` (None: every model is) are refused.
        """
        return self._once(key, body, lambda: self._events(body, media_type, model, bounds or self.bounds, allowed))

    def labels(
        self,
        body: bytes,
        media_type: str,
        key: str | None = None,
        model: str | None = None,
        bounds: TimeBounds | None = None,
        allowed: Collection[str] | None = None,
    ) -> Answer:
        """Take a body of labels of any supported Content-Type; those of a model that is not `allowed` are refused."""
        return self._once(key, body, lambda: self._labels(body, media_type, model, bounds or self.bounds, allowed))

    def refuse(self, kind: str, refusals: Sequence[Refusal], key: str | None = None) -> Answer:
        """Keep records that a source could not read: counted and in the quarantine, like those refused here."""
        body = repr([(r.line, r.reason, r.raw, r.model) for r in refusals]).encode() if key else b""
        kept = [replace(r, raw="") if self.policy(r.model).active else r for r in refusals]
        return self._once(key, body, lambda: _Taken(kind, len(kept), kept))

    # -- each body once -------------------------------------------------------------------------------------------

    def _once(self, key: str | None, body: bytes, take: Callable[[], "_Taken"]) -> Answer:
        digest = hashlib.sha256(body).hexdigest() if key else ""
        with self._lock:
            if key:
                earlier = self._answers.get(key) or self._stored(key)
                if earlier is not None:
                    if earlier[0] != digest:
                        raise Conflict(f"Idempotency-Key {key[:60]!r} was used for another body; send a new key")
                    return replace(earlier[1], replayed=True)
            taken = take()
            if taken.rows > self.max_rows:
                raise TooLarge(f"{taken.rows} rows in one request; at most {self.max_rows}, send smaller batches")
            answer = self._append(taken, key, digest)
            if key:
                self._answers[key] = (digest, answer)
                answer.durable.add_done_callback(lambda done: done.exception() and self._answers.pop(key, None))
                if len(self._answers) > 10_000:
                    self._answers.pop(next(iter(self._answers)))
            return answer

    def _stored(self, key: str) -> tuple[str, Answer] | None:
        found = self._known_key(key)
        if found is None:
            return None
        done: Future[None] = Future()
        done.set_result(None)
        body = json.loads(found[1])
        refusals = [Refusal(r["line"], r["event_id"], r["reason"]) for r in body["refusals"]]
        return found[0], Answer(body["accepted"], body["refused"], refusals, done)

    def _append(self, taken: "_Taken", key: str | None, digest: str) -> Answer:
        """Write all frames of a request; the last one carries its key, so that a torn request is not taken for done."""
        answer = Answer(taken.accepted, len(taken.refusals), taken.refusals, Future())
        now = self.clock()
        at = now.isoformat()
        frames = list(taken.frames)
        if taken.refusals:
            frames.append(_refused_frame(taken.kind, taken.noted))
        if key:
            frames.append(({"kind": "key", "key": key, "hash": digest, "answer": json.dumps(answer.body())}, b""))
        durable: Future[None] = Future()
        durable.set_result(None)
        for model, schema in taken.schemas.items():
            before = self.schemas.get(model)
            if before is None:
                self.quota.note("", 1, now)
            self.quota.note(model, len(schema.features) - len(before.features if before else ()), now)
            # in the payload, which may be long: ten thousand names are half a megabyte
            grown = msgspec.json.encode(schema.to_dict(len(before.features) if before else 0))
            self.spool.append({"kind": "schema", "model": model, "at": at}, grown)
            self.schemas[model] = schema
        rows = taken.received()
        self.pending.add(rows, now)
        try:
            for header, payload in frames:
                durable = self.spool.append({**header, "at": at, "v": __version__}, payload)
        except BaseException:
            self.pending.settle(rows, now)
            raise
        durable.add_done_callback(lambda done: self.pending.settle(rows, now) if done.exception() else None)
        return Answer(answer.accepted, answer.refused, answer.refusals, durable)

    # -- events ---------------------------------------------------------------------------------------------------

    def _events(
        self, body: bytes, media_type: str, model: str | None, bounds: TimeBounds, allowed: Collection[str] | None
    ) -> "_Taken":
        now = self.clock()
        if media_type in JSON_TYPES:
            taken = _Taken("events", allowed=allowed)
            earliest, latest = bounds.around(now)
            schema = self._last
            rows = 0 if schema is None or not taken.may(schema.model) else whole_body(schema, body, earliest, latest)
            if schema is not None and rows:
                taken.rows = rows
                taken.lines(schema.model, body if body.endswith(b"\n") else body + b"\n", rows)
                return taken
            return self._event_lines(split_lines(body, media_type), now, bounds, model, taken)
        chunk = source_for(media_type).read_bytes(body)
        taken = _Taken("events", chunk.table.num_rows + len(chunk.refusals), list(chunk.refusals), allowed=allowed)
        for name, part, first in by_model(chunk.table, model, chunk.first_line):
            schema = self.schemas.get(name) or ModelSchema(name)
            try:
                self._check_model(name, taken)
                taken.shaped(
                    schema,
                    from_table(self.policy(name).table(part), schema, now, bounds, first, self.quota.room(schema, now)),
                )
            except Refused as reason:
                taken.refusals += [Refusal(first + i, None, str(reason), model=name) for i in range(part.num_rows)]
        return taken

    def _event_lines(
        self,
        lines: Iterable[tuple[int, bytes]],
        now: datetime,
        bounds: TimeBounds,
        model: str | None,
        taken: "_Taken",
    ) -> "_Taken":
        parts: dict[str, _Part] = {}
        earliest, latest = bounds.around(now)
        schema = self._last
        for number, line in lines:
            taken.rows += 1
            event = None if schema is None else _fast(schema, line)
            if event is None:
                schema = self._last = self._schema_of(line)
                event = None if schema is None else _fast(schema, line)
            if (
                event is not None
                and schema is not None
                and earliest <= event.ts <= latest
                and event.event_id.isascii()
                and taken.may(schema.model)
            ):
                parts.setdefault(schema.model, _Part()).raw.append(line)
                continue
            # the thorough path finds out whether the line is good after all, and says what is wrong
            parsed = self._thorough(number, line, now, bounds, model, taken)
            if parsed is not None:
                event, kept = parsed
                part = parts.setdefault(event.model, _Part())
                part.parsed.append((number, event))
                part.kept[number] = kept
        for name, part in parts.items():
            self._take_part(name, part, taken, now)
        return taken

    def _schema_of(self, line: bytes) -> ModelSchema | None:
        try:
            schema = self.schemas.get(_peek.decode(line).model)
        except ValueError:
            return None
        # lines of a model with a policy are never kept as they came
        return schema if schema is not None and schema.plain and not self.policy(schema.model).active else None

    def _thorough(
        self, number: int, line: bytes, now: datetime, bounds: TimeBounds, model: str | None, taken: "_Taken"
    ) -> tuple[Event, bytes] | None:
        raw: Any = None
        try:
            raw = decode(line)
            if model is not None and isinstance(raw, dict):
                raw.setdefault("model", model)
            raw, line = self._as_kept(raw, line)
            event = parse_event(raw, now, bounds)
            self._check_model(event.model, taken)
            return event, line
        except Refused as reason:
            taken.refusals.append(
                refusal(number, raw, str(reason), line if raw is not None else self._unread(model, line))
            )
            return None

    def _as_kept(self, raw: Any, line: bytes) -> tuple[Any, bytes]:
        """A decoded record and its line as the model's policy lets them be kept."""
        policy = self.policy(raw["model"]) if isinstance(raw, dict) and isinstance(raw.get("model"), str) else NOTHING
        if not policy.active:
            return raw, line
        raw = policy.event(raw)
        return raw, json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace")

    def _unread(self, model: str | None, line: bytes) -> bytes:
        """A line that could not be decoded, for the quarantine; nothing of it when a policy might forbid that."""
        name = model or _model_in(line)
        return b"" if name is not None and self.policy(name).active else line

    def _take_part(self, name: str, part: _Part, taken: "_Taken", now: datetime) -> None:
        schema = self.schemas.get(name) or ModelSchema(name)
        if part.raw:
            taken.lines(name, b"\n".join(part.raw) + b"\n", len(part.raw))
        if part.parsed:
            grown, refused = schema.admit([event for _, event in part.parsed], self.quota.room(schema, now))
            shaped = from_events([p for i, p in enumerate(part.parsed) if i not in refused], grown)
            over = [Refusal(*_named(part.parsed[i]), reason, model=name) for i, reason in refused.items()]
            raw = {
                n: part.kept[n][:RAW_SAMPLE].decode("utf-8", "replace")
                for n in {r.line for r in [*shaped.refusals, *over]}
            }
            refusals = [replace(r, raw=raw[r.line]) for r in [*shaped.refusals, *over]]
            taken.shaped(schema, replace(shaped, refusals=refusals))

    def _check_model(self, name: str, taken: "_Taken") -> None:
        if not name:
            raise Refused("`model` is missing; it is required")
        if not taken.may(name):
            raise Refused(f"this key may not write the model {name[:MAX_NAME]!r}; send it with a key that is for it")
        if name in self.schemas or name in taken.new_models:
            return
        if len(name) > MAX_NAME:
            raise Refused(f"model name {name[:40]!r} has more than {MAX_NAME} characters")
        reason = self.quota.model_refused(len(self.schemas), len(taken.new_models), self.clock())
        if reason is not None:
            raise Refused(f"{reason} (new model {name[:40]!r})")
        taken.new_models.add(name)

    # -- labels ---------------------------------------------------------------------------------------------------

    def _labels(
        self, body: bytes, media_type: str, model: str | None, bounds: TimeBounds, allowed: Collection[str] | None
    ) -> "_Taken":
        now = self.clock()
        if media_type in JSON_TYPES:
            taken = _Taken("labels", allowed=allowed)
            return self._label_lines(split_lines(body, media_type), now, bounds, model, taken)
        chunk = source_for(media_type).read_bytes(body)
        taken = _Taken("labels", chunk.table.num_rows + len(chunk.refusals), list(chunk.refusals), allowed=allowed)
        for name, part, first in by_model(chunk.table, model, chunk.first_line):
            try:
                self._check_model(name, taken)
            except Refused as reason:
                taken.refusals += [Refusal(first + i, None, str(reason), model=name) for i in range(part.num_rows)]
                continue
            self._announce(name, taken)
            table, refused = labels_from_table(part, name, now, bounds, first)
            taken.refusals += refused
            taken.labels(name, table)
        return taken

    def _announce(self, name: str, taken: "_Taken") -> None:
        if name not in self.schemas:
            taken.schemas[name] = ModelSchema(name)

    def _label_lines(
        self,
        lines: Iterable[tuple[int, bytes]],
        now: datetime,
        bounds: TimeBounds,
        model: str | None,
        taken: "_Taken",
    ) -> "_Taken":
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
                    "ts": pa.array([x.ts.astimezone(UTC).replace(tzinfo=None) for x in labels], pa.timestamp("us")),
                }
            )
            taken.labels(name, table)
        return taken


@dataclass
class _Taken:
    """A request read, not yet written: frames to append, schemas that grew, what was refused."""

    kind: str
    rows: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    accepted: int = 0
    frames: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    schemas: dict[str, ModelSchema] = field(default_factory=dict)
    new_models: set[str] = field(default_factory=set)
    allowed: Collection[str] | None = None

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
            rows[header["model"], self.kind] = rows.get((header["model"], self.kind), 0) + header["rows"]
        for refused in self.noted:
            rows[refused.model, self.kind] = rows.get((refused.model, self.kind), 0) + 1
        return rows

    def lines(self, model: str, payload: bytes, rows: int) -> None:
        """Add lines that fit the model's schema as they are."""
        self.frames.append(({"kind": "events", "format": "lines", "model": model, "rows": rows}, payload))
        self.accepted += rows

    def shaped(self, before: ModelSchema, shaped: Shaped) -> None:
        """Add rows in columns, and their schema if it grew."""
        self.refusals += shaped.refusals
        if shaped.schema is not before or before.prediction == "unknown":
            self.schemas[shaped.schema.model] = shaped.schema
        if shaped.table.num_rows:
            header = {"kind": "events", "format": "arrow", "model": shaped.schema.model, "rows": shaped.table.num_rows}
            self.frames.append((header, to_ipc(shaped.table)))
            self.accepted += shaped.table.num_rows

    def labels(self, model: str, table: pa.Table) -> None:
        """Add labels of one model."""
        if table.num_rows:
            self.frames.append(({"kind": "labels", "model": model, "rows": table.num_rows}, to_ipc(table)))
            self.accepted += table.num_rows


def _named(parsed: tuple[int, Event]) -> tuple[int, str]:
    return parsed[0], parsed[1].event_id


class _ModelOnly(msgspec.Struct):
    model: str


_peek = msgspec.json.Decoder(_ModelOnly)


def _model_in(line: bytes) -> str | None:
    """The model that a line seems to name, though it is no JSON as a whole."""
    found = re.search(rb'"model"\s*:\s*"([^"\\]{1,200})"', line)
    return found[1].decode("utf-8", "replace") if found else None


def _fast(schema: ModelSchema, line: bytes) -> Any:
    """The event in a line that fits the schema as it is, else None."""
    try:
        return schema.decoder.decode(line)
    except (ValueError, RecursionError):
        return None


def whole_body(schema: ModelSchema, body: bytes, earliest: datetime, latest: datetime) -> int:
    """How many events a body of lines holds when every line fits the schema as it is; 0 when any may not.

    One call into C for the whole body: less than half the cost of a call for each line.
    """
    try:
        events = schema.decoder.decode_lines(body)
    except (ValueError, RecursionError):
        return 0
    n = len(events)
    # the decoder also takes values that share a line or span several; with every line from { to }, none does
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not n or len(lines) != n or not all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        return 0
    plain = body.isascii() and b"\\u" not in body
    if not plain and not all(event.event_id.isascii() for event in events):  # an id's length counts in bytes
        return 0
    times = [event.ts for event in events]
    return n if earliest <= min(times) and max(times) <= latest else 0


def refusal(line: int, raw: Any, reason: str, text: bytes) -> Refusal:
    """The refusal of one record, with its id and model as far as they can be read."""
    known = raw if isinstance(raw, dict) else {}
    id_, model = known.get("event_id"), known.get("model")
    return Refusal(
        line,
        id_[:128].encode("utf-8", "replace").decode() if isinstance(id_, str) else None,
        reason.encode("utf-8", "replace").decode(),
        text[:RAW_SAMPLE].decode("utf-8", "replace"),
        model[:MAX_NAME].encode("utf-8", "replace").decode() if isinstance(model, str) else "",
    )


def split_lines(body: bytes, media_type: str) -> list[tuple[int, bytes]]:
    """(number, line) of every record: NDJSON lines, or the items of a JSON array, or one object."""
    if media_type == "application/json":
        return load("sources")["jsonl"].split_array(body)
    return [(i, line) for i, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace()]


def source_for(media_type: str) -> Any:
    """The source that reads a Content-Type. Raises UnsupportedMedia, naming the known ones."""
    sources = load("sources").values()
    for source in sources:
        if media_type in source.MEDIA_TYPES:
            return source
    known = ", ".join(sorted(t for source in sources for t in source.MEDIA_TYPES))
    raise UnsupportedMedia(f"Content-Type {media_type or '(none)'!r} is not known; use one of: {known}")


def by_model(table: pa.Table, model: str | None, first_line: int) -> Iterable[tuple[str, pa.Table, int]]:
    """(model, rows, line of the first) for each model of a table; all of it when `model` is given. Rows without a model
    come under "".
    """
    if model is not None:
        return [(model, table.drop_columns(["model"]) if "model" in table.column_names else table, first_line)]
    if "model" not in table.column_names:
        raise NotFound("the table has no column `model`; add one, or ?model=NAME to the address")
    given = pc.fill_null(table["model"].cast(pa.string()), "")
    table = table.drop_columns(["model"])
    models = pc.unique(given).to_pylist()
    if len(models) == 1:
        return [(models[0], table, first_line)]
    return [(name, table.filter(pc.equal(given, name)), first_line) for name in models]


def _refused_frame(kind: str, refusals: Sequence[Refusal]) -> tuple[dict[str, Any], bytes]:
    by_name: dict[str, int] = {}
    for r in refusals:
        by_name[r.model] = by_name.get(r.model, 0) + 1
    payload = json.dumps([[r.model, r.line, r.event_id, r.reason, r.raw] for r in refusals]).encode()
    return {"kind": "refused", "of": kind, "rows": len(refusals), "models": by_name}, payload
