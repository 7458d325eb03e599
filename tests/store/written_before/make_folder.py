"""Make `data.tar.xz`: a data directory with a little of everything, and its contents as JSON.

It was written once, by the tree of 1 December 2026 (schema version 7), before the
store's files were put in order; `test_written_before.py` opens it with the tree of
today. To make another one: `python make_folder.py FOLDER`.
"""

import json
import random
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from monitor.alerting.channels.webhook import WebhookConfig
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.config.rule import RuleConfig
from monitor.server.server import Server

NDJSON = "application/x-ndjson"
END = datetime(2026, 11, 30, 12, 30, tzinfo=UTC)
START = END - timedelta(days=3)
REFERENCE_DAYS = 16
SECRET = "whsec_" + "QUFB" * 10


def config() -> Config:
    """The configuration of the folder: one rule that breaks, one channel that is never sent to."""
    rule = RuleConfig(
        name="latency", statistic="latency_quantile", limit=1.0, severity="critical"
    )
    channel = WebhookConfig(name="team", url="http://127.0.0.1:9/", secret=SECRET)
    return Config(
        models={"m": ModelConfig(segments=("c",))},
        rules=(rule,),
        channels=(channel,),
        default_rules=False,
        notify_within=timedelta(days=30),
    )


def contents(server: Server) -> dict[str, Any]:
    """Everything that the stores read of the folder, as plain JSON data."""
    store = server.store
    model = store.model("m")
    alerts = store.alerts.listing(["m"], "all", 100)
    ids = [alert.id for alert in alerts]
    detector = server.scheduler.detector_runner.detector_store
    first, last = datetime(2026, 1, 1), datetime(2027, 1, 1)
    read = {
        "models": list(store.models().values()),
        "layouts": {c: layout.to_json() for c, layout in store.layouts("m").items()},
        "spans": store.spans(),
        "versions": store.versions(),
        "segments": store.segments("m", ["c"]),
        "profiles": sums(store.profiles("m", first, last)),
        "segment_profiles": sums(store.profiles("m", first, last, segment="c=a")),
        "reference": store.references.about("m"),
        "reference_profiles": {
            c: [p.counts.tolist(), p.sum, p.sum_sq, p.rows, p.missing]
            for c, p in store.references.profiles("m").items()
        },
        "reference_hours": sums(store.references.hours("m", ["f_0001", "status"], 6)),
        "totals": store.ledger.totals(),
        "reasons": store.ledger.reasons(None, first, last),
        "refused": store.ledger.refused(),
        "quarantined": store.ledger.quarantine_size(),
        "mistyped": store.query("SELECT * FROM mistyped ORDER BY ALL"),
        "keys": [
            [k.id, k.name, k.digest.hex(), k.scopes, k.models, k.state(END)]
            for k in server.keys.listing()
        ],
        "answers": store.query("SELECT * FROM idempotency"),
        "position": store.position,
        "evaluated": store.alerts.evaluated(),
        "alerts": alerts,
        "open_alerts": sorted(store.alerts.open_alerts("m")),
        "open_of_all": {m: sorted(a) for m, a in store.alerts.open_of_all().items()},
        "findings": store.alerts.latest_findings("m"),
        "findings_of_all": store.alerts.findings_of_all(),
        "transitions": store.alerts.transitions(ids),
        "deliveries": store.alerts.deliveries(ids),
        "due": store.alerts.due_elsewhere(END + timedelta(days=1), []),
        "fits": detector.fits(model.id),
        "state": detector.state(model.id),
        "accepted": detector.accepted(model.id),
        "evidence": detector.evidence(model.id, first, last),
        "selftest": detector.selftest(model.id),
    }
    plain = msgspec.to_builtins(
        read,
        builtin_types=(datetime,),
        str_keys=True,
        enc_hook=lambda array: array.tolist(),
    )
    return json.loads(json.dumps(plain, default=datetime.isoformat))


def sums(profiles: Any) -> Any:
    """The counts and moments of profiles by column; the first time beside them where there is one."""
    if isinstance(profiles, tuple):
        return [profiles[0], sums(profiles[1])]
    return {
        column: [steps.counts.tolist(), repr(steps.moments.tolist())]
        for column, steps in profiles.items()
    }


def events(seed: int, start: datetime, hours: int, rows: int) -> Iterator[dict]:
    """Events of model "m", `rows` an hour; x is higher from 12 hours after START on."""
    rng = random.Random(seed)
    for i in range(hours * rows):
        at = start + timedelta(hours=i / rows)
        shift = 3.0 if at >= START + timedelta(hours=12) else 0.0
        yield {
            "event_id": f"{seed}-{i}",
            "model": "m",
            "version": "v1" if i % 3 else "v2",
            "ts": at.isoformat(),
            "features": {
                "x": round(rng.gauss(shift, 1), 1),
                "c": rng.choice("aaab"),
                "y": round(rng.gauss(5, 1), 1),
            },
            "prediction": round(rng.random(), 1),
            "latency_ms": float(rng.randrange(10, 20)),
            "status": 500 if i % 50 == 0 else 200,
            **({"tags": {"team": "a"}} if i % 7 == 0 else {}),
        }


def lines(rows: Any) -> bytes:
    """Rows as NDJSON."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def fill(folder: Path) -> tuple[Server, dict[str, Any]]:
    """A server over a new folder with its stored contents; what is sent last is in the spool alone."""
    server = Server(folder, config())
    server.scheduler.clock = lambda: END
    server.start(background=False)
    old = list(
        events(1, START - timedelta(days=REFERENCE_DAYS), REFERENCE_DAYS * 24, 10)
    )
    table = pa.Table.from_pylist(
        [
            {"ts": r["ts"], "prediction": r["prediction"], "label": i % 2 == 0}
            | {"status": r["status"], "latency_ms": r["latency_ms"], **r["features"]}
            for i, r in enumerate(old)
        ]
    )
    server.set_reference_table("m", table, "file", END)
    sent = list(events(2, START, 72, 8))
    broken = [{**sent[0], "ts": "never"}, {**sent[1], "event_id": "odd", "status": "x"}]
    mistyped = {**sent[2], "event_id": "mistyped", "features": {"x": "1.5", "c": 3}}
    collect = server.collector
    collect.events(lines([*sent, mistyped]), NDJSON).durable.result(60)
    collect.events(lines([*broken, sent[5]]), NDJSON, "key-1").durable.result(60)
    labels = [
        {"event_id": row["event_id"], "model": "m", "label": i % 3 == 0}
        for i, row in enumerate(sent[:200])
    ]
    collect.labels(
        lines([*labels, {**labels[0], "event_id": "none"}]), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.keys.create("first", ["admin"], None, None, END)
    server.keys.create("second", ["read"], ["m"], END + timedelta(days=400), END)
    server.scheduler.evaluate_due(settle=timedelta(0))
    server.scheduler.accept("m", "ada", END)
    opened = server.store.alerts.listing(["m"], "open", 100)
    server.store.alerts.change(
        opened[0].id,
        "grace",
        END,
        acknowledged_by="grace",
        acknowledged_at=END,
        silenced_until=END + timedelta(hours=8),
    )
    server.scheduler.detector_runner.detector_store.save_selftest(
        server.store.model("m").id, END, {"tests": [], "hours": 168}
    )
    read = contents(server)
    later = list(events(3, END, 3, 8))
    wide = {**later[1], "event_id": "wide", "features": {"x": 1.0, "new": 2.0}}
    collect.events(lines([*later, wide]), NDJSON).durable.result(60)
    collect.labels(lines([{**labels[0], "event_id": "3-0"}]), NDJSON).durable.result(60)
    return server, read


def main(folder: Path) -> None:
    """Write the archive into `folder`."""
    data = folder / "data"
    server, read = fill(data)
    server.spool.close()
    server.store.close()
    (data / "contents.json").write_text(json.dumps(read))
    with tarfile.open(folder / "data.tar.xz", "w:xz") as archive:
        archive.add(data, "data")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
