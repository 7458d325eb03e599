"""A Kafka topic to a server: each message once, offsets committed only after the server has its rows on disk.

Before a batch is sent its end is committed as metadata of its beginning. Whoever reads
on after a crash or a rebalance cuts the same batch again and sends it under the same
key, and the server, which may have it already, adds nothing.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
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
from monitor.send.upload import Counts, post

log = logging.getLogger("driftdeck.kafka")

MESSAGES = 1000  # of one batch
BYTES = 3_000_000  # of one batch
LINGER_S = 1.0
# a message of an earlier cut that has not come by then was deleted by the broker
LOST_S = 30.0
# the server judges the age
ANY_TIME = TimeBounds(timedelta(days=36500), timedelta(days=36500))


class Reader:
    """One member of a consumer group.

    `run` is one thread; callbacks of Kafka come inside its polls.
    """

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        session: Session,
        kind: str,
        model: str | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic, self.session, self.kind, self.model = topic, session, kind, model
        self.say, self.clock = say, clock
        self.counts = Counts()
        self.group = str(options.get("group.id", ""))
        self._held: dict[int, list[Message]] = {}  # by partition, not sent yet
        self._since: dict[int, float] = {}
        # begin and end of what was being sent
        self._cut: dict[int, tuple[int, int]] = {}
        self._wait_until, self._pause = 0.0, 0.5
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
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Read and send until `until` says so.

        Raises DriftdeckError when going on makes no sense.
        """
        while not until():
            self.step()

    def step(self, timeout: float = 0.5) -> None:
        """One poll, and what is due to be sent."""
        if self.waiting:
            self._pause_all()
        for message in self.consumer.consume(MESSAGES, timeout):
            self._hold(message)
        if self.waiting:
            return
        for partition in list(self._held):
            if self._due(partition):
                self._send(partition)

    def close(self) -> None:
        """Leave the group. What was not sent is read by the next member."""
        self.consumer.close()

    @property
    def waiting(self) -> bool:
        """True while the server is away: the partitions are paused, and polls keep the membership."""
        return self.clock() < self._wait_until

    # Kafka's side

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for known in consumer.committed(partitions, timeout=30):
            self._drop(known.partition)
            text = known.metadata or ""
            if text.startswith("sending:") and text[8:].isdigit():
                self._cut[known.partition] = (known.offset, int(text[8:]))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for gone in partitions:
            self._drop(gone.partition)

    def _drop(self, partition: int) -> None:
        self._held.pop(partition, None)
        self._since.pop(partition, None)
        self._cut.pop(partition, None)

    def _hold(self, message: Message) -> None:
        problem = message.error()
        if problem is not None:
            if problem.fatal():
                raise DriftdeckError(f"Kafka: {problem.str()}")
            if problem.code() != KafkaError._PARTITION_EOF:
                self.say(f"Kafka: {problem.str()}")
            return
        partition = message.partition() or 0
        self._held.setdefault(partition, []).append(message)
        self._since.setdefault(partition, self.clock())

    def _pause_all(self) -> None:
        assigned = self.consumer.assignment()
        if assigned:
            self.consumer.pause(assigned)

    def _commit(self, partition: int, offset: int, metadata: str = "") -> bool:
        """True when the group has noted it; False when it has another owner now or cannot be asked."""
        try:
            place = TopicPartition(self.topic, partition, offset, metadata=metadata)
            done = self.consumer.commit(offsets=[place], asynchronous=False)
            return not any(p.error for p in done or [])
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
        held, age = self._held[partition], self.clock() - self._since[partition]
        cut = self._cut.get(partition)
        if cut is not None and cut[0] <= (held[0].offset() or 0) < cut[1]:
            return (held[-1].offset() or 0) >= cut[1] - 1 or age >= LOST_S
        return len(held) >= MESSAGES or age >= LINGER_S

    def _send(self, partition: int) -> None:
        held = self._held[partition]
        first = held[0].offset() or 0
        cut = self._cut.get(partition)
        if cut is None or not cut[0] <= first < cut[1]:
            end = _end(held)
            if not self._commit(partition, first, f"sending:{end}"):
                return  # asked again at the next step, or dropped by a rebalance
            cut = self._cut[partition] = (first, end)
        batch = [m for m in held if (m.offset() or 0) < cut[1]]
        if not self._deliver(partition, batch, cut):
            return
        if not self._commit(partition, cut[1]):
            return  # sent again under the same key
        self._cut.pop(partition, None)
        rest = self._held[partition] = held[len(batch) :]
        self._since[partition] = self.clock()
        if not rest:
            del self._held[partition], self._since[partition]

    def _deliver(
        self, partition: int, messages: Sequence[Message], cut: tuple[int, int]
    ) -> bool:
        """True when the server has it all on disk; False when it cannot be reached now."""
        rows, refusals = records(messages, self.topic, self.kind, self.model)
        place = hashlib.sha256(f"{self.group}/{self.topic}".encode()).hexdigest()[:24]
        key = f"kafka-{place}-{partition}-{cut[0]}-{cut[1]}"
        try:
            if rows:
                self._post(
                    FileBatch(self.kind, key, 1, NDJSON, b"\n".join(rows) + b"\n")
                )
            if refusals:
                self._post(FileBatch(self.kind, f"{key}-refused", 1, refusals=refusals))
        except DriftdeckError as error:
            if not isinstance(error, Unreachable) and error.status not in (429, 503):
                raise
            if self._pause == 0.5:
                self.say(f"waiting: {error}")
            self._wait_until = self.clock() + self._pause
            self._pause = min(30.0, 2 * self._pause)
            return False
        self._pause = 0.5
        assigned = self.consumer.assignment()
        if assigned:
            self.consumer.resume(assigned)
        return True

    def _post(self, batch: FileBatch) -> None:
        try:
            answer = post(self.session, batch, self.model, tries=1)
        except DriftdeckError as error:
            if error.status != 409:
                raise
            # the broker deleted some messages of the cut, or it is another cluster: the
            # ids of the rows tell
            what = hashlib.sha256(
                batch.body + repr(batch.refusals).encode()
            ).hexdigest()[:16]
            again = FileBatch(
                batch.kind,
                f"{batch.key}-{what}",
                1,
                batch.media_type,
                batch.body,
                batch.refusals,
            )
            answer = post(self.session, again, self.model, tries=1)
        self.counts.add(answer, self.topic)


def records(
    messages: Sequence[Message], topic: str, kind: str, model: str | None
) -> tuple[list[bytes], list[Refusal]]:
    """The messages' events or labels as JSON lines, and what is none, each with topic, partition and offset."""
    rows: list[bytes] = []
    refusals: list[Refusal] = []
    for message in messages:
        value, partition, offset = (
            message.value(),
            message.partition(),
            message.offset() or 0,
        )
        place = f"{topic}-{partition}-{offset}"
        for i, text in enumerate(_texts(value)):
            try:
                rows.append(
                    _row(text, message, place if not i else f"{place}-{i}", kind, model)
                )
            except Refused as reason:
                why = f"kafka {topic}/{partition}/{offset}: {reason}"
                raw = text[:RAW_SAMPLE].decode("utf-8", "replace")
                refusals.append(Refusal(max(0, offset), None, why, raw, model or ""))
    return rows, refusals


def _row(
    text: bytes, message: Message, place: str, kind: str, model: str | None
) -> bytes:
    if not text:
        raise Refused("the message has no value")
    if len(text) > BYTES:
        raise Refused(f"the record has more than {BYTES // 1_000_000} MB")
    raw = decode(text)
    if isinstance(raw, dict):
        if model is not None:
            raw.setdefault("model", model)
        if kind == "events" and raw.get("event_id") is None:
            raw["event_id"] = (
                place
                if len(place.encode()) <= 128
                else hashlib.sha256(place.encode()).hexdigest()
            )
        about, at = message.timestamp()
        if (
            kind == "labels"
            and raw.get("ts") is None
            and about != TIMESTAMP_NOT_AVAILABLE
        ):
            # the same at every delivery
            raw["ts"] = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    now = datetime.now(UTC)
    if kind == "labels":
        parse_label(raw, now, ANY_TIME)
    else:
        parse_event(raw, now, ANY_TIME)
    return json.dumps(raw).encode()


def _texts(value: str | bytes | None) -> list[bytes]:
    """The records of one message: JSON, over several lines if it likes, or one a line."""
    data = value.encode() if isinstance(value, str) else value or b""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) < 2:
        return lines or [b""]
    try:
        decode(data)
    except Refused:
        return lines
    return [data]


def _end(held: Sequence[Message]) -> int:
    """The offset after the messages that fit into one request."""
    size, end = 0, 0
    for message in held[:MESSAGES]:
        size += len(message.value() or b"")
        if end and size > BYTES:
            break
        end = (message.offset() or 0) + 1
    return end
