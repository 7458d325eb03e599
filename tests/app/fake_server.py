"""A fake server: the documented responses with seeded, plausible numbers.

As a program: python tests/app/fake_server.py --port 8790 [--empty]
"""

import argparse
import json
import math
import random
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from monitor.queries.known_statistics import statistic_rows

Json = dict[str, Any]
FEATURES = {
    # name: (kind, importance, final psi, day the drift began)
    "dep_delay": ("numeric", 0.31, 0.54, 4.5),
    "carrier": ("categorical", 0.12, 0.62, 5.5),
    "temp": ("numeric", 0.11, 0.29, 5.0),
    "visib": ("numeric", 0.09, 0.15, 6.0),
    "wind_speed": ("numeric", 0.08, 0.04, 99),
    "distance": ("numeric", 0.07, 0.02, 99),
    "hour": ("numeric", 0.06, 0.03, 99),
    "origin": ("categorical", 0.05, 0.02, 99),
    "humid": ("numeric", 0.04, 0.05, 99),
    "precip": ("numeric", 0.03, 0.01, 99),
    "pressure_*hPa*_$x$": ("numeric", 0.02, 0.02, 99),
    "rare:material/home:": ("categorical", 0.01, None, 99),
}
EDGES = [
    "≤ -6",
    "-6 – -4",
    "-4 – -3",
    "-3 – -1",
    "-1 – 2",
    "2 – 7",
    "7 – 14",
    "14 – 28",
    "28 – 60",
    "> 60",
]


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """All responses of a server with two models; `empty` has none.

    Acknowledging and silencing are remembered.
    """

    def __init__(self, now: datetime | None = None, empty: bool = False) -> None:
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.empty = empty
        self.admin = True  # whether the key may see the quarantine and accept a change
        self.evaluated = timedelta(0)  # how far behind the evaluation of history is
        self.detecting = True  # whether the detector is switched on
        self.counts: Json | None = None  # the totals, when a test wants others
        self.accounts: list[Json] | None = None
        self.accepted: list[Json] = []
        self.alert_list = [] if empty else self._alerts()

    def answer(
        self, method: str, target: str, body: Json | None = None
    ) -> tuple[int, Json]:
        """Return status and JSON for one request."""
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if method == "POST" and parts[:2] == ["v1", "alerts"] and len(parts) == 4:
            return self._act(parts[2], parts[3], body or {})
        if (
            method == "POST"
            and parts[:2] == ["v1", "models"]
            and parts[3:] == ["accept"]
        ):
            return self._accept(parts[2], body or {})
        if parts == ["healthz"]:
            return 200, {"status": "ok"}
        if parts == ["v1", "statistics"]:
            return 200, {"statistics": statistic_rows()}
        if parts == ["v1", "models"]:
            return 200, self.models()
        if parts == ["v1", "accounting"]:
            return 200, self.accounting()
        if parts == ["v1", "quarantine"]:
            return self.quarantine()
        if parts == ["v1", "alerts"]:
            return 200, self.alerts(query)
        if parts[:2] == ["v1", "models"] and len(parts) >= 4:
            if parts[2] not in [row["model"] for row in self.models()["models"]]:
                return 404, {
                    "error": f'there is no model "{parts[2]}"; GET /v1/models lists them'
                }
            return self._model(parts[2], parts[3], parts[4:], query)
        return 404, {"error": f"there is nothing at {url.path}"}

    def _model(
        self, model: str, what: str, path: list[str], query: Json
    ) -> tuple[int, Json]:
        hours = (
            max(
                (self.now - datetime.fromisoformat(query["from"])).total_seconds()
                / 3600,
                1,
            )
            if "from" in query
            else 168
        )
        if what == "columns":
            if not path or (path[0] not in FEATURES and path[0] != "prediction"):
                return 404, {"error": f"the model {model} has no column {path}"}
            return 200, self.column(path[0])
        if what == "service":
            return 200, self.service(
                model,
                hours,
                {"1h": 3600, "6h": 21_600, "1d": 86_400}.get(query.get("step", "")),
            )
        if what == "selftest" and model != "flight-delay":
            return 404, {"error": f"{model!r} has had no self-test yet"}
        if what == "replay":
            return self.replay(model, query)
        makers = {
            "overview": self.overview,
            "drift": self.drift,
            "detector": self.detector,
            "selftest": self.selftest,
        }
        if what == "findings":
            return 200, {"now": stamp(self.now), "findings": self.findings(model)}
        return (
            (200, makers[what](model, hours))
            if what in makers
            else (404, {"error": f"there is nothing called {what}"})
        )

    def models(self) -> Json:
        """Two models: one with open alerts, one with insufficient data."""
        if self.empty:
            return {"now": stamp(self.now), "models": []}
        return {
            "now": stamp(self.now),
            "models": [
                {
                    "model": "flight-delay",
                    "task": "binary",
                    "versions": ["v1", "v2"],
                    "first_event": stamp(self.now - timedelta(days=240)),
                    "last_event": stamp(self.now - timedelta(seconds=4)),
                    "events": 1_204_331,
                    "labels": 1_180_020,
                    "features": len(FEATURES),
                    "reference": {
                        "status": "set",
                        "source": "period",
                        "from": None,
                        "to": None,
                        "rows": 80_789,
                        "set_at": None,
                    },
                    "open_alerts": 4,
                    "status": "breach",
                },
                {
                    "model": "young_*model*",
                    "task": "regression",
                    "versions": ["v1"],
                    "first_event": stamp(self.now - timedelta(hours=3)),
                    "last_event": stamp(self.now - timedelta(hours=2)),
                    "events": 37,
                    "labels": 0,
                    "features": 3,
                    "reference": {"status": "none", "source": None},
                    "open_alerts": 0,
                    "status": "insufficient",
                },
            ],
        }

    def accounting(self) -> Json:
        """Two models and rows without one; a few duplicates and refusals every third hour."""
        none = {
            "received": 0,
            "stored": 0,
            "duplicate": 0,
            "refused": 0,
            "pending": 0,
            "unchecked": 0,
        }
        good = {
            "received": 1_204_400,
            "stored": 1_204_329,
            "duplicate": 41,
            "refused": 28,
            "pending": 2,
            "unchecked": 7,
        }
        shape = none | {
            "kind": "events",
            "last_event": None,
            "age_s": None,
            "lag_s": 0.0,
        }
        age = {"last_event": stamp(self.now - timedelta(seconds=4)), "age_s": 4.0}
        models = [
            shape | {"model": "", "received": 3, "refused": 3},
            shape
            | good
            | age
            | {
                "model": "flight-delay",
                "received": 1_204_397,
                "refused": 25,
                "lag_s": 2.0,
            },
            shape | {"model": "young_*model*", "kind": "labels"},
        ]
        hours = [
            {
                "kind": "events",
                "hour": stamp(self.now - timedelta(hours=i)),
                "received": 540,
                "stored": 500,
                "duplicate": 20 * (i % 3 == 0),
                "refused": 20 * (i % 3 == 0),
                "unchecked": 0,
            }
            for i in range(24, 0, -1)
        ]
        why = "`ts` … is not RFC …, e.g. …"
        return {
            "now": stamp(self.now),
            "from": stamp(self.now - timedelta(days=7)),
            "to": stamp(self.now),
            "step_s": 3600.0,
            "totals": self.counts or (none if self.empty else good),
            "models": [] if self.empty else self.accounts or models,
            "hours": [] if self.empty else hours,
            "reasons": []
            if self.empty
            else [
                {"model": "flight-delay", "kind": "events", "reason": why, "rows": 25}
            ],
            "mistyped": []
            if self.empty
            else [
                {
                    "model": "flight-delay",
                    "column": "dep_delay",
                    "expected": "number",
                    "came": "text",
                    "hour": None,
                    "rows": 1234,
                    "sample": '"<b>n/a</b>"',
                    "last_hour": stamp(self.now - timedelta(hours=2)),
                },
                {
                    "model": "flight-delay",
                    "column": "pin",
                    "expected": "number",
                    "came": "boolean",
                    "hour": None,
                    "rows": 2,
                    "sample": "",
                    "last_hour": stamp(self.now),
                },
            ],
            "quarantine": {"records": 28, "bytes": 5_000_000, "most_bytes": 67_108_864},
            "spool": {"pending_bytes": 512, "capacity_bytes": 1 << 30, "damage": []},
            "last_load": stamp(self.now - timedelta(seconds=3)),
            "problem": None,
        }

    def quarantine(self) -> tuple[int, Json]:
        """One quarantined row that would be markup elsewhere; needs the scope admin."""
        if not self.admin:
            return 403, {"error": "this key lacks the scope admin"}
        record = {
            "id": 7,
            "noted_at": stamp(self.now),
            "kind": "events",
            "model": "",
            "line": 1,
            "event_id": None,
            "reason": "not JSON at character 1",
            "raw": "<script>alert(1)</script>",
            "whole": True,
        }
        return 200, {"records": [] if self.empty else [record], "next": None}

    def overview(self, model: str, hours: float) -> Json:
        """Status and figures; the young model has insufficient data."""
        service = self.service(model, hours)
        young = model != "flight-delay"
        status = "insufficient" if young else "ok"
        days = [self.now - timedelta(days=7 - i * 0.25) for i in range(28)]
        return {
            "model": model,
            "now": stamp(self.now),
            "status": "insufficient" if young else "breach",
            "evaluated_until": stamp(self.now - self.evaluated),
            "since": None if young else stamp(self.now - timedelta(hours=46)),
            "reasons": []
            if young
            else [f for f in self.findings(model) if f["verdict"] == "breach"],
            "causes": []
            if young
            else [
                {
                    "kind": "missing",
                    "columns": ["temp"],
                    "since": stamp(self.now - timedelta(hours=57)),
                    "weight": 0.2,
                },
                {
                    "kind": "change",
                    "columns": ["dep_delay"],
                    "since": stamp(self.now),
                    "weight": 0.1,
                },
                {
                    "kind": "upstream",
                    "columns": ["pressure_*hPa*_$x$", "humid", "precip", "hour"],
                    "weight": 0.05,
                },
            ],
            "groups": dict.fromkeys(
                ("service", "data", "quality", "ingestion"), "insufficient"
            )
            if young
            else {
                "service": "ok",
                "data": "breach",
                "quality": "breach",
                "ingestion": "ok",
            },
            "predictions": {
                "n": service["totals"]["n"],
                "previous_week": None if young else int(service["totals"]["n"] / 1.031),
            },
            "latency_p95": {
                "value": None if young else 35.1,
                "previous_week": None if young else 33.0,
                "limit": 60,
                "status": status,
            },
            "error_rate": {
                "value": None if young else 0.0067,
                "previous_week": None if young else 0.0069,
                "limit": 0.02,
                "status": status,
            },
            "prediction_error": {
                "statistic": "wrong_share",
                "value": None if young else 0.248,
                "low": 0.236,
                "high": 0.261,
                "n": 0 if young else 4100,
                "reference": None if young else 0.19,
                "limit": 0.05,
                "status": "no_data" if young else "breach",
                "labels_until": None if young else stamp(self.now - timedelta(days=2)),
                "coverage": None if young else 0.97,
                "delay_p50_s": None if young else 12_288.0,
                "delay_p95_s": None if young else 65_536.0,
                "label_bias": None
                if young
                else {"value": 0.31, "low": 0.27, "high": 0.35, "biased": True},
                "series": []
                if young
                else [
                    {
                        "t": stamp(d),
                        "value": 0.19 + 0.008 * math.sin(i) + max(0, i - 17) * 0.006,
                        "n": 900,
                    }
                    for i, d in enumerate(days)
                ],
            },
            "drifted": {
                "n": None if young else 3,
                "of": None if young else 12,
                "importance": None if young else 0.54,
                "limit": 0.2,
                "status": "insufficient" if young else "breach",
                "series": []
                if young
                else [
                    {"t": stamp(d), "n": max(0, min(3, i - 18))}
                    for i, d in enumerate(days)
                ],
            },
            "freshness": {
                "last_event": stamp(
                    self.now - (timedelta(hours=2) if young else timedelta(seconds=4))
                ),
                "age_s": 7200.0 if young else 4.0,
                "lag_s": 0.8,
                "received": 1_204_400,
                "stored": 1_204_331,
                "duplicate": 41,
                "refused": 28,
                "pending": 0,
                "lost": 0,
                "status": "breach" if young else "ok",
            },
        }

    def service(self, model: str, hours: float, step_s: int | None = None) -> Json:
        """Day and night, one incident two days ago, a few hours without any event."""
        natural = (
            (7, 300),
            (25, 900),
            (73, 1800),
            (169, 3600),
            (340, 7200),
            (1e9, 86_400),
        )
        step = step_s or next(seconds for most, seconds in natural if hours <= most)
        count = int(hours * 3600 / step)
        rng = random.Random(f"{model}{step}")
        begin = self.now - timedelta(seconds=count * step)
        rows = [
            self._bucket(begin + timedelta(seconds=i * step), step, rng, model)
            for i in range(count)
        ]
        n, errors = sum(r["n"] for r in rows), sum(r["errors"] for r in rows)
        before = [
            {"t": r["t"], "n": int(r["n"] * rng.uniform(0.85, 1.05))} for r in rows
        ]
        low, high = wilson(errors, n)
        total = {
            "n": n,
            "p50": 19.2,
            "p95": 35.1,
            "p99": 46.0,
            "errors": errors,
            "error_rate": errors / n if n else None,
            "error_low": low,
            "error_high": high,
        }
        ends = {
            "first_event": stamp(begin),
            "last_event": stamp(self.now - timedelta(seconds=4)),
        }
        shares = (
            (("v1", 0.9), ("v2", 0.1)) if model == "flight-delay" else (("v1", 1.0),)
        )
        return {
            "model": model,
            "from": stamp(begin),
            "to": stamp(self.now),
            "step_s": step,
            "limits": {"latency_p95": 60, "error_rate": 0.02},
            "totals": total,
            "rows": rows,
            "previous_week": before,
            "versions": [
                {"version": v, **total, "n": int(n * share), **ends}
                for v, share in shares
            ],
        }

    def _bucket(self, at: datetime, step: int, rng: random.Random, model: str) -> Json:
        age_h = (self.now - at).total_seconds() / 3600
        wave = 1 + 0.75 * math.sin(2 * math.pi * (at.hour + at.minute / 60 - 9) / 24)
        n = int(
            565 * step / 3600 * (wave if step < 86_400 else 1) * rng.uniform(0.9, 1.1)
        )
        if model != "flight-delay":
            n = 37 if 2 <= age_h < 2 + step / 3600 else 0
        if 100 < age_h < 104 or not n:
            return {
                "t": stamp(at),
                "n": 0,
                "p50": None,
                "p95": None,
                "p99": None,
                "errors": 0,
                "error_rate": None,
                "error_low": None,
                "error_high": None,
            }
        slow = 2.9 if 30 < age_h < 34 else 1
        p50 = rng.uniform(17, 20) * (1 + (slow - 1) * 0.8)
        errors = sum(
            rng.random() < (0.06 if slow > 1 else 0.0045) for _ in range(min(n, 5000))
        )
        low, high = wilson(errors, n)
        return {
            "t": stamp(at),
            "n": n,
            "p50": p50,
            "p95": p50 * 1.8 * rng.uniform(0.93, 1.08),
            "p99": p50 * 2.4 * rng.uniform(0.9, 1.2),
            "errors": errors,
            "error_rate": errors / n,
            "error_low": low,
            "error_high": high,
        }

    def drift(self, model: str, hours: float) -> Json:
        """Three drifted features, one near its limit, one with insufficient data."""
        steps = [stamp(self.now - timedelta(hours=6 * (28 - i))) for i in range(28)]
        shape = {
            "model": model,
            "statistic": "psi",
            "limit": 0.2,
            "warn": 0.1,
            "window_s": 86_400,
            "step_s": 21_600,
            "from": steps[0],
            "to": stamp(self.now),
            "steps": steps,
            "of": len(FEATURES),
        }
        return shape | {
            "columns": []
            if model != "flight-delay"
            else [self._drifting(name) for name in FEATURES]
        }

    def _drifting(self, name: str) -> Json:
        kind, importance, final, begins = FEATURES[name]
        rng = random.Random(name)
        values: list[float | None] = [None] * 28
        if final is not None:
            values = [
                round(
                    rng.uniform(0.004, 0.03)
                    + max(0.0, min(1.0, (i / 4 - begins + 1) / 1.2))
                    * final
                    * rng.uniform(0.9, 1.02),
                    4,
                )
                for i in range(28)
            ]
            values[5] = None if name == "temp" else values[5]
        return {
            "column": name,
            "kind": kind,
            "importance": importance,
            "status": level(final),
            "value": final,
            "raw": None if final is None else final + 0.01,
            "low": None if final is None else final * 0.85,
            "high": None if final is None else final * 1.18,
            "n": 37 if final is None else 13_560,
            "n_reference": 80_789,
            "missing": 0.131 if name == "temp" else 0.01,
            "missing_reference": 0.01,
            "new_share": 0.086 if name == "carrier" else 0.0,
            "new_share_usual": 0.0,
            "mean": 21.6 if kind == "numeric" else None,
            "mean_reference": 12.7 if kind == "numeric" else None,
            "detectable": 0.03,
            "values": values,
            "levels": [level(v) for v in values],
        }

    def column(self, name: str) -> Json:
        """Reference deciles against a shifted current distribution."""
        kind, _, final, _ = FEATURES.get(name, ("numeric", 0, 0.03, 0))
        labels = (
            EDGES
            if kind == "numeric"
            else ["UA", "B6", "EV", "DL", "AA", "other", "new"]
        )
        tilt = math.sqrt(final or 0.0) * 1.3
        reference = [1 / len(labels)] * len(labels)
        weights = [
            math.exp(tilt * (i / (len(labels) - 1) - 0.5) * 2)
            for i in range(len(labels))
        ]
        current = [w / sum(weights) for w in weights]
        if kind == "categorical":
            reference = [
                r * len(labels) / (len(labels) - 1) for r in reference[:-1]
            ] + [0.0]
            current[-1] = 0.086 if name == "carrier" else 0.0
        bins = [
            {
                "label": label,
                "reference": r,
                "current": c,
                "contribution": None if label == "new" else (c - r) * math.log(c / r),
            }
            for label, r, c in zip(labels, reference, current, strict=True)
        ] + [
            {
                "label": "missing",
                "reference": 0.01,
                "current": 0.131 if name == "temp" else 0.01,
                "contribution": None,
            }
        ]
        side = {"n": 80_789, "missing": 0.01, "invalid": 0.0, "mean": 12.7}
        return {
            "column": name,
            "kind": kind,
            "status": level(final),
            "bins": bins,
            "reference": side,
            "current": side
            | {
                "n": 37 if final is None else 13_560,
                "missing": 0.131 if name == "temp" else 0.01,
                "mean": 21.6,
            },
            "statistics": [
                {
                    "statistic": "psi",
                    "value": final,
                    "low": None,
                    "high": None,
                    "unit": "nats",
                    "limit": 0.2,
                    "verdict": level(final),
                    "minimum": 200,
                }
            ],
            "new_values": [
                {
                    "value": "H<b>A</b>",
                    "first_seen": stamp(self.now - timedelta(hours=80)),
                    "n": 1166,
                    "share": 0.086,
                }
            ]
            if name == "carrier"
            else [],
            "from": stamp(self.now - timedelta(days=1)),
            "to": stamp(self.now),
        }

    def findings(self, model: str) -> list[Json]:
        """The newest finding of every rule."""
        young = model != "flight-delay"
        shape = {
            "model": model,
            "version": "",
            "segment": "",
            "rule": "psi-features",
            "statistic": "psi",
            "column": None,
            "verdict": "ok",
            "value": 0.02,
            "low": 0.01,
            "high": 0.03,
            "unit": "nats",
            "limit": 0.2,
            "warn": 0.1,
            "compare": "value",
            "direction": "above",
            "reference_value": None,
            "n": 37 if young else 13_560,
            "n_reference": 80_789,
            "minimum": 200,
            "from": stamp(self.now - timedelta(days=1)),
            "to": stamp(self.now),
            "since": stamp(self.now - timedelta(hours=46)),
            "severity": "warning",
            "text": "",
        }
        rates = {
            "rule": "errors",
            "statistic": "error_rate",
            "unit": "share",
            "limit": 0.02,
            "warn": None,
            "value": 0.0067,
        }
        if young:
            return [
                shape | {"verdict": "insufficient", "value": None, "column": "x"},
                shape | rates | {"verdict": "insufficient"},
            ]
        wrong = {
            "rule": "quality",
            "statistic": "wrong_share",
            "unit": "share",
            "compare": "increase",
            "limit": 0.05,
            "value": 0.248,
            "reference_value": 0.19,
            "verdict": "breach",
            "severity": "critical",
        }
        drifted = [
            shape
            | {
                "column": name,
                "value": final,
                "verdict": "breach"
                if (final or 0) > 0.2
                else "warn"
                if (final or 0) > 0.1
                else "ok",
            }
            for name, (_, _, final, _) in FEATURES.items()
        ]
        return [shape | wrong, *drifted, shape | rates]

    def detector(self, model: str, hours: float) -> Json:
        """Two weeks of change scores and one open change; the young model learns."""
        young = model != "flight-delay"
        shape = {
            "share": 0.2,
            "source": None,
            "learned_from": stamp(self.now - timedelta(hours=3)),
            "detectable": [],
            "watches_from": stamp(self.now + timedelta(days=13, hours=21)),
            "window_hours": None,
            "evidence": None,
            "status": "learning",
        }
        watching = shape | {
            "source": "live",
            "status": "watching",
            "window_hours": 1,
            "evidence": 0.004,
        }
        names = ("inputs", "unseen", "latency", "errors", "traffic", "quality")
        lanes = [
            {"lane": name} | (shape if young or name == "quality" else watching)
            for name in names
        ]
        if not young:
            lanes[0] |= {
                "status": "watching" if self.accepted else "open",
                "evidence": 0.05,
                "detectable": [
                    {"column": name, "contrast": contrast, "size": size}
                    for name in FEATURES
                    for contrast, size in (
                        ("location", 0.21),
                        ("scale", 0.34),
                        ("missing", 0.012),
                    )
                ],
            }
            lanes[0] |= {
                "trending": ["precip"],
                "other_weekdays": [{"day": "2026-10-26", "weekday": 6}],
            }
            lanes[4] |= {"window_hours": 6}
        rng = random.Random(7)
        course = []
        for i in range(int(min(hours, 336)), 0, -1):
            at = stamp(self.now.replace(minute=0, second=0) - timedelta(hours=i))
            rising = 4.0 ** max(0, 25 - i) * 0.01 if 20 <= i < 25 else 0.0
            course += [
                {
                    "t": at,
                    "lane": "inputs",
                    "value": rising + 10 ** rng.uniform(-3, -1.2),
                }
            ]
            course += [
                {"t": at, "lane": name, "value": 10 ** rng.uniform(-3.2, -1.8)}
                for name in names[1:4]
            ]
            course += [
                {"t": at, "lane": "traffic", "value": 10 ** rng.uniform(-3, -2)}
            ] * (i % 6 == 0)
        since = self.now - timedelta(hours=20)
        open_now = self.change() | {
            "since": stamp(since),
            "revised_until": stamp(since + timedelta(days=7)),
        }
        return {
            "model": model,
            "enabled": self.detecting,
            "status": "learning" if young else "ok",
            "text": None,
            "days": 90,
            "tolerance": 0.05,
            "judged_until": stamp(self.now),
            "clock": "UTC",
            "holidays": None,
            "lanes": lanes if self.detecting else [],
            "open": [] if young or self.accepted or not self.detecting else [open_now],
            "evidence": [] if young or not self.detecting else course,
            "accepted": self.accepted,
            "from": stamp(self.now - timedelta(hours=hours)),
            "to": stamp(self.now),
        }

    def selftest(self, model: str, _hours: float) -> Json:
        """Three injected changes, one of them too small to be detected."""
        tests = [
            {
                "change": change,
                "column": column,
                "lane": "inputs",
                "found": hours is not None,
                "hours": hours,
                "evidence": 1.0 if hours else 0.4,
                "named": [column] if hours else [],
            }
            for change, column, hours in (
                ("mean +0.1 sd", "temp", None),
                ("mean +0.5 sd", "temp", 3),
                ("half the traffic", "status", 30),
            )
        ]
        at = stamp(self.now - timedelta(days=2))
        quiet = [
            {"lane": "inputs", "evidence": 0.03, "pages": 0},
            {"lane": "traffic", "evidence": 0.01, "pages": 0},
        ]
        return {
            "model": model,
            "at": at,
            "from": at,
            "to": at,
            "seed": 1,
            "tests": tests,
            "quiet": quiet,
        }

    def replay(self, model: str, query: dict[str, str]) -> tuple[int, Json]:
        """Alerts above the limit: two on temp, one of them still open; none from 1 on; negative ones are refused."""
        level = float(query["limit"])
        if query.get("columns") == "carrier":
            return 422, {
                "error": f"the statistic {query['statistic']} does not go with carrier"
            }
        episodes = [
            {
                "column": "temp",
                "fired_at": stamp(self.now - timedelta(days=at)),
                "peak": 0.31,
                "count": 40,
                "resolved_at": None
                if lasting is None
                else stamp(self.now - timedelta(days=at - lasting)),
            }
            for at, lasting in ((70, 12), (9, None))
            if level < 1
        ]
        by_column = (
            [{"column": "temp", "alerts": len(episodes), "hours": 500.0}]
            if episodes
            else []
        )
        rule = {
            "rule": "trial",
            "statistic": query["statistic"],
            "limit": level,
            "columns": 16,
            "judged": 400,
            "alerts": len(episodes),
            "share_firing": 0.22 if episodes else 0.0,
            "by_column": by_column,
            "episodes": episodes,
        }
        return 200, {
            "model": model,
            "from": stamp(self.now - timedelta(days=240)),
            "to": stamp(self.now),
            "step_s": 21_600.0,
            "moments": 960,
            "rules": [rule],
            "stored": [],
        }

    def _accept(self, model: str, body: Json) -> tuple[int, Json]:
        if not self.admin:
            return 403, {"error": "this key lacks the scope admin"}
        self.accepted = [
            {"at": stamp(self.now), "since": stamp(self.now), "by": body["by"]}
        ]
        return 200, {"model": model, **self.accepted[0]}

    def change(self) -> Json:
        """The open change of the detector: two columns changed."""
        shape = self.findings("young_*model*")[0]
        return shape | {
            "model": "flight-delay",
            "rule": "detector.inputs",
            "statistic": "inputs_change",
            "column": "humid",
            "verdict": "breach",
            "value": 0.62,
            "low": 0.5,
            "high": 0.74,
            "unit": "sd",
            "limit": 0.05,
            "severity": "critical",
            "from": stamp(self.now - timedelta(hours=22)),
            "cause": "upstream",
            "moved": [
                {
                    "column": "humid",
                    "contrast": "location",
                    "size": 0.62,
                    "low": 0.5,
                    "high": 0.74,
                },
                {
                    "column": "humid",
                    "contrast": "scale",
                    "size": 0.21,
                    "low": 0.1,
                    "high": 0.32,
                },
                {
                    "column": "pressure_*hPa*_$x$",
                    "contrast": "location",
                    "size": -0.31,
                    "low": -0.42,
                    "high": -0.2,
                },
            ],
        }

    def alerts(self, query: Json) -> Json:
        """Alerts of one model in one state."""
        state = query.get("state", "open")
        chosen = [
            row
            for row in self.alert_list
            if query.get("model") in (None, "", row["model"])
            and (
                state == "all"
                or row["state"] == state
                or (state == "open" and row["state"] != "resolved")
            )
        ]
        return {
            "now": stamp(self.now),
            "alerts": chosen[: int(query.get("limit", 100))],
        }

    def _alerts(self) -> list[Json]:
        def ago(hours: float) -> str:
            return stamp(self.now - timedelta(hours=hours))

        findings = {
            (f["statistic"], f["column"]): f for f in self.findings("flight-delay")
        }
        findings["inputs_change", "humid"] = self.change()
        rows: list[tuple[Any, ...]] = [
            # id, statistic, column, severity, state, since, resolved, value, limit,
            # unit, by, silenced hours
            (
                "a1",
                "wrong_share",
                None,
                "critical",
                "firing",
                46,
                None,
                0.248,
                0.05,
                "share",
                None,
                None,
            ),
            (
                "a2",
                "psi",
                "dep_delay",
                "warning",
                "firing",
                88,
                None,
                0.54,
                0.2,
                "nats",
                "Mei-Ling",
                None,
            ),
            (
                "a3",
                "psi",
                "carrier",
                "warning",
                "firing",
                80,
                None,
                0.62,
                0.2,
                "nats",
                None,
                6,
            ),
            (
                "a4",
                "missing_rate",
                "temp",
                "warning",
                "firing",
                57,
                None,
                0.131,
                0.05,
                "share",
                None,
                None,
            ),
            (
                "a5",
                "psi",
                "visib",
                "warning",
                "pending",
                5,
                None,
                0.21,
                0.2,
                "nats",
                None,
                None,
            ),
            (
                "a6",
                "latency_p95",
                None,
                "critical",
                "resolved",
                34,
                30,
                101.0,
                60,
                "ms",
                "Ravi",
                None,
            ),
            (
                "a7",
                "error_rate",
                None,
                "critical",
                "resolved",
                33,
                30,
                0.07,
                0.02,
                "share",
                None,
                None,
            ),
            (
                "a9",
                "inputs_change",
                "humid",
                "critical",
                "firing",
                20,
                None,
                0.62,
                0.05,
                "sd",
                None,
                None,
            ),
            (
                "a8",
                "error_rate",
                None,
                "critical",
                "resolved",
                120,
                117,
                0.034,
                0.02,
                "share",
                None,
                None,
            ),
        ]
        return [
            {
                "id": a,
                "model": "flight-delay",
                "version": "v1" if a == "a6" else "",
                "segment": "",
                "rule": stat,
                "statistic": stat,
                "column": col,
                "severity": severity,
                "state": state,
                "since": ago(since),
                "fired_at": ago(since - 0.2),
                "resolved_at": ago(done) if done else None,
                "last_seen": ago(done or 0),
                "count": int(since / 2) + 1,
                "value": value,
                "peak": value * 1.1,
                "limit": limit,
                "unit": unit,
                "text": f"{stat} {value}",
                "acknowledged_by": by,
                "acknowledged_at": ago(since - 1) if by else None,
                "silenced_until": ago(-quiet) if quiet else None,
                "finding": findings.get((stat, col), {}),
                "transitions": [
                    {
                        "at": ago(since),
                        "from": None,
                        "to": "pending",
                        "value": limit * 1.05,
                        "by": None,
                    },
                    {
                        "at": ago(since - 0.2),
                        "from": "pending",
                        "to": "firing",
                        "value": value,
                        "by": None,
                    },
                ]
                + (
                    [
                        {
                            "at": ago(done),
                            "from": "firing",
                            "to": "resolved",
                            "value": limit * 0.5,
                            "by": None,
                        }
                    ]
                    if done
                    else []
                ),
                "deliveries": [
                    {
                        "channel": "ops-webhook",
                        "status": "delivered",
                        "tries": 1,
                        "at": ago(since - 0.2),
                        "detail": "200",
                    },
                    {
                        "channel": "team-chat",
                        "status": "failed",
                        "tries": 5,
                        "at": ago(since - 0.2),
                        "detail": "503",
                    },
                ],
            }
            for a, stat, col, severity, state, since, done, value, limit, unit, by, quiet in rows
        ]

    def _act(self, alert_id: str, verb: str, body: Json) -> tuple[int, Json]:
        alert = next((row for row in self.alert_list if row["id"] == alert_id), None)
        if alert is None:
            return 404, {"error": f"there is no alert {alert_id}"}
        if verb == "acknowledge":
            alert.update(acknowledged_by=body["by"], acknowledged_at=stamp(self.now))
        else:
            alert["silenced_until"] = (
                stamp(self.now + timedelta(hours=body["hours"]))
                if body["hours"]
                else None
            )
        return 200, alert


def level(value: float | None) -> str:
    """The level of a PSI."""
    if value is None:
        return "insufficient"
    return (
        "severe"
        if value > 0.5
        else "breach"
        if value > 0.2
        else "warn"
        if value > 0.1
        else "ok"
    )


def wilson(errors: int, n: int) -> tuple[float | None, float | None]:
    """95% interval of a share."""
    if not n:
        return None, None
    z, p = 1.96, errors / n
    middle, half = (
        (p + z * z / (2 * n)),
        z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)),
    )
    return max((middle - half) / (1 + z * z / n), 0.0), (middle + half) / (
        1 + z * z / n
    )


def serve(port: int, empty: bool) -> None:
    """Respond until interrupted; time goes on."""
    world = World(empty=empty)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET", None)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._reply("POST", json.loads(self.rfile.read(length) or b"{}"))

        def _reply(self, method: str, body: Json | None) -> None:
            world.now = datetime.now(UTC).replace(microsecond=0)
            status, answer = world.answer(method, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=8790)
    arguments.add_argument("--empty", action="store_true")
    chosen = arguments.parse_args()
    serve(chosen.port, chosen.empty)
