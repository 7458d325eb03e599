"""A Kafka topic to a server: each message once.

An offset is committed only after the server has its rows on disk. Before a batch is
sent, its end is committed as metadata of its start. After a crash or a rebalance the
next reader forms the same batch again and sends it under the same key, and the server,
which may have it already, adds nothing.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from monitor.errors import DriftdeckError, Unreachable
from monitor.event import RAW_SAMPLE, Refusal, Refused, TimeBounds, decode, parse_event
from monitor.ingest.file_batches import NDJSON, FileBatch
from monitor.label import parse_label
from monitor.send.session import Session
from monitor.send.upload import Counts, is_busy, post

log = logging.getLogger("driftdeck.kafka")

MAX_BATCH_MESSAGES = 1000
MAX_BATCH_BYTES = 3_000_000
LINGER_S = 1.0
# a message of a committed batch that has not arrived by then was deleted by the broker
MAX_MESSAGE_WAIT_S = 30.0
COMMITTED_TIMEOUT_S = 30
MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
MAX_ID_BYTES = 128
SENDING = "sending:"  # start of the metadata of a batch that is being sent
# the server checks the age
ANY_TIME = TimeBounds(timedelta(days=36500), timedelta(days=36500))


class Reader:
    """One member of a consumer group.

    `run` is one thread; Kafka calls back inside its polls. `warn` prints a sentence to
    the user.
    """

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        session: Session,
        kind: str,
        model: str | None,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self.session = session
        self.kind = kind
        self.model = model
        self.warn = warn
        self.clock = clock
        self.counts = Counts()
        self.group = str(options.get("group.id", ""))
        # by partition: messages that are not sent yet, and the time of the first
        self._unsent: dict[int, list[Message]] = {}
        self._unsent_since: dict[int, float] = {}
        # by partition: first and last offset (exclusive) of the batch being sent
        self._sending: dict[int, tuple[int, int]] = {}
        self._wait_until = 0.0
        self._pause_s = MIN_PAUSE_S
        self.consumer = Consumer(
            {
                "auto.offset.reset": "earliest",
                **options,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
            }
        )
        self.consumer.subscribe(
            [topic],
            on_assign=self._assign,
            on_revoke=self._revoke,
            on_lost=self._revoke,
        )

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Read and send until `until` returns True.

        Raises DriftdeckError for an error that a retry does not correct.
        """
        while not until():
            self.step()

    def step(self, timeout: float = 0.5) -> None:
        """Poll once, and send the batches that are due."""
        if self.waiting:
            self._pause_all()
        for message in self.consumer.consume(MAX_BATCH_MESSAGES, timeout):
            self._add(message)
        if self.waiting:
            return
        for partition in list(self._unsent):
            if self._due(partition):
                self._send(partition)

    def close(self) -> None:
        """Leave the group; the next member reads the messages that were not sent."""
        self.consumer.close()

    @property
    def waiting(self) -> bool:
        """True while the server cannot be reached.

        The partitions are paused then, and polls keep the membership.
        """
        return self.clock() < self._wait_until

    # Kafka's side

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for committed in consumer.committed(partitions, timeout=COMMITTED_TIMEOUT_S):
            self._forget(committed.partition)
            metadata = committed.metadata or ""
            end = metadata.removeprefix(SENDING)
            if metadata.startswith(SENDING) and end.isdigit():
                self._sending[committed.partition] = (committed.offset, int(end))

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for revoked in partitions:
            self._forget(revoked.partition)

    def _forget(self, partition: int) -> None:
        self._unsent.pop(partition, None)
        self._unsent_since.pop(partition, None)
        self._sending.pop(partition, None)

    def _add(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal():
                raise DriftdeckError(f"Kafka: {error.str()}")
            if error.code() != KafkaError._PARTITION_EOF:
                self.warn(f"Kafka: {error.str()}")
            return
        partition = message.partition() or 0
        self._unsent.setdefault(partition, []).append(message)
        self._unsent_since.setdefault(partition, self.clock())

    def _pause_all(self) -> None:
        assigned = self.consumer.assignment()
        if assigned:
            self.consumer.pause(assigned)

    def _commit(self, partition: int, offset: int, metadata: str = "") -> bool:
        """Commit an offset; False if the partition has another owner or Kafka is away."""
        position = TopicPartition(self.topic, partition, offset, metadata=metadata)
        try:
            committed = self.consumer.commit(offsets=[position], asynchronous=False)
            return not any(result.error for result in committed or [])
        except KafkaException as error:
            log.warning(
                "offset %d of %s/%d was not committed: %s",
                offset,
                self.topic,
                partition,
                error.args[0].str(),
            )
            return False

    # sending

    def _due(self, partition: int) -> bool:
        """True when a batch is full or old enough; a batch that was cut, when it is whole."""
        messages = self._unsent[partition]
        age_s = self.clock() - self._unsent_since[partition]
        sending = self._sending.get(partition)
        if sending is not None and sending[0] <= _offset(messages[0]) < sending[1]:
            whole = _offset(messages[-1]) >= sending[1] - 1
            return whole or age_s >= MAX_MESSAGE_WAIT_S
        return len(messages) >= MAX_BATCH_MESSAGES or age_s >= LINGER_S

    def _send(self, partition: int) -> None:
        messages = self._unsent[partition]
        first = _offset(messages[0])
        sending = self._sending.get(partition)
        if sending is None or not sending[0] <= first < sending[1]:
            end = _batch_end(messages)
            if not self._commit(partition, first, f"{SENDING}{end}"):
                return  # tried again at the next step, or dropped by a rebalance
            sending = self._sending[partition] = (first, end)
        batch = [message for message in messages if _offset(message) < sending[1]]
        if not self._deliver(partition, batch, sending):
            return
        if not self._commit(partition, sending[1]):
            return  # sent again under the same key
        self._sending.pop(partition, None)
        later = messages[len(batch) :]
        if later:
            self._unsent[partition] = later
            self._unsent_since[partition] = self.clock()
        else:
            self._unsent.pop(partition, None)
            self._unsent_since.pop(partition, None)

    def _deliver(
        self, partition: int, messages: Sequence[Message], offsets: tuple[int, int]
    ) -> bool:
        """Send a batch; True once the server has it on disk, False to try again later."""
        rows, refusals = records(messages, self.topic, self.kind, self.model)
        source = hashlib.sha256(f"{self.group}/{self.topic}".encode()).hexdigest()[:24]
        key = f"kafka-{source}-{partition}-{offsets[0]}-{offsets[1]}"
        try:
            if rows:
                body = b"\n".join(rows) + b"\n"
                self._post(FileBatch(self.kind, key, 1, NDJSON, body))
            if refusals:
                self._post(FileBatch(self.kind, f"{key}-refused", 1, refusals=refusals))
        except DriftdeckError as error:
            if not isinstance(error, Unreachable) and not is_busy(error):
                raise
            if self._pause_s == MIN_PAUSE_S:
                self.warn(f"waiting: {error}")
            self._wait_until = self.clock() + self._pause_s
            self._pause_s = min(MAX_PAUSE_S, 2 * self._pause_s)
            return False
        self._pause_s = MIN_PAUSE_S
        assigned = self.consumer.assignment()
        if assigned:
            self.consumer.resume(assigned)
        return True

    def _post(self, batch: FileBatch) -> None:
        try:
            response = post(self.session, batch, self.model, attempts=1)
        except DriftdeckError as error:
            if error.status != 409:
                raise
            # same key, other rows: the broker deleted some messages of the batch, or it
            # is another cluster; the ids of the rows show duplicates
            content = batch.body + repr(batch.refusals).encode()
            digest = hashlib.sha256(content).hexdigest()[:16]
            other = replace(batch, key=f"{batch.key}-{digest}", first_line=1)
            response = post(self.session, other, self.model, attempts=1)
        self.counts.add(response, self.topic)


def records(
    messages: Sequence[Message], topic: str, kind: str, model: str | None
) -> tuple[list[bytes], list[Refusal]]:
    """Convert messages to events or labels as JSON lines.

    Those that cannot be converted are refusals. An event without an id gets one from
    topic, partition and offset.
    """
    rows: list[bytes] = []
    refusals: list[Refusal] = []
    for message in messages:
        partition, offset = message.partition(), _offset(message)
        message_id = f"{topic}-{partition}-{offset}"
        for i, text in enumerate(_record_texts(message.value())):
            row_id = message_id if i == 0 else f"{message_id}-{i}"
            try:
                rows.append(_row(text, message, row_id, kind, model))
            except Refused as error:
                reason = f"kafka {topic}/{partition}/{offset}: {error}"
                raw = text[:RAW_SAMPLE].decode("utf-8", "replace")
                refusal = Refusal(max(0, offset), None, reason, raw, model or "")
                refusals.append(refusal)
    return rows, refusals


def _row(
    text: bytes, message: Message, row_id: str, kind: str, model: str | None
) -> bytes:
    """Convert one record to a JSON line; raises Refused."""
    if not text:
        raise Refused("the message has no value")
    if len(text) > MAX_BATCH_BYTES:
        raise Refused(f"the record has more than {MAX_BATCH_BYTES // 1_000_000} MB")
    raw = decode(text)
    if isinstance(raw, dict):
        _complete(raw, message, row_id, kind, model)
    now = datetime.now(UTC)
    if kind == "labels":
        parse_label(raw, now, ANY_TIME)
    else:
        parse_event(raw, now, ANY_TIME)
    return json.dumps(raw).encode()


def _complete(
    raw: dict[str, Any], message: Message, row_id: str, kind: str, model: str | None
) -> None:
    """Add what a record may leave out: the model, the event's id, the label's time."""
    if model is not None:
        raw.setdefault("model", model)
    if kind == "events" and raw.get("event_id") is None:
        if len(row_id.encode()) > MAX_ID_BYTES:
            row_id = hashlib.sha256(row_id.encode()).hexdigest()
        raw["event_id"] = row_id
    if kind == "labels" and raw.get("ts") is None:
        time_kind, time_ms = message.timestamp()
        if time_kind != TIMESTAMP_NOT_AVAILABLE:
            # the same at every delivery
            raw["ts"] = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def _record_texts(value: str | bytes | None) -> list[bytes]:
    """Split a message into its records: one JSON value of several lines, or one a line."""
    data = value.encode() if isinstance(value, str) else value or b""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) < 2:
        return lines or [b""]
    try:
        decode(data)
    except Refused:
        return lines
    return [data]


def _batch_end(messages: Sequence[Message]) -> int:
    """Return the offset after the messages that fit into one request."""
    size = end = 0
    for message in messages[:MAX_BATCH_MESSAGES]:
        size += len(message.value() or b"")
        if end and size > MAX_BATCH_BYTES:
            break
        end = _offset(message) + 1
    return end


def _offset(message: Message) -> int:
    return message.offset() or 0
