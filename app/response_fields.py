"""Fields of the server's responses that pages use, with the default of each."""

from copy import deepcopy
from typing import Any

Json = dict[str, Any]

MODEL: Json = {
    "model": "",
    "task": "unknown",
    "versions": [],
    "first_event": None,
    "last_event": None,
    "events": 0,
    "labels": 0,
    "features": 0,
    "reference": {"status": "none", "source": None},
    "open_alerts": 0,
    "status": "no_data",
}

_TILE: Json = {"value": None, "previous_week": None, "limit": None, "status": "no_data"}

OVERVIEW: Json = {
    "model": "",
    "now": None,
    "evaluated_until": None,
    "status": "no_data",
    "since": None,
    "reasons": [],
    "causes": [],
    "groups": {},
    "predictions": {"n": None, "previous_week": None},
    "latency_p95": _TILE,
    "error_rate": _TILE,
    "prediction_error": _TILE
    | {
        "statistic": None,
        "low": None,
        "high": None,
        "n": 0,
        "reference": None,
        "labels_until": None,
        "coverage": None,
        "delay_p50_s": None,
        "delay_p95_s": None,
        "label_bias": None,
        "series": [],
    },
    "drifted": {
        "n": None,
        "of": None,
        "importance": None,
        "status": "no_data",
        "limit": None,
        "series": [],
    },
    "freshness": {
        "last_event": None,
        "age_s": None,
        "lag_s": None,
        "received": None,
        "stored": None,
        "duplicate": None,
        "refused": None,
        "pending": None,
        "lost": None,
        "status": "no_data",
    },
}

SERVICE: Json = {
    "model": "",
    "from": None,
    "to": None,
    "step_s": 3600,
    "limits": {"latency_p95": None, "error_rate": None},
    "totals": {
        "n": 0,
        "p50": None,
        "p95": None,
        "p99": None,
        "errors": 0,
        "error_rate": None,
        "error_low": None,
        "error_high": None,
    },
    "rows": [],
    "previous_week": [],
    "versions": [],
}

DRIFT: Json = {
    "model": "",
    "statistic": "psi",
    "limit": None,
    "warn": None,
    "window_s": 86_400,
    "step_s": 21_600,
    "from": None,
    "to": None,
    "steps": [],
    "of": 0,
    "columns": [],
}

DRIFT_COLUMN: Json = {
    "column": "",
    "kind": "numeric",
    "importance": None,
    "status": "no_data",
    "value": None,
    "raw": None,
    "low": None,
    "high": None,
    "n": 0,
    "n_reference": 0,
    "missing": None,
    "missing_reference": None,
    "new_share": None,
    "new_share_usual": None,
    "mean": None,
    "mean_reference": None,
    "detectable": None,
    "values": [],
    "levels": [],
}

_SIDE: Json = {"n": 0, "missing": None, "invalid": None, "mean": None}

COLUMN: Json = {
    "column": "",
    "kind": "numeric",
    "status": "no_data",
    "bins": [],
    "reference": _SIDE,
    "current": _SIDE,
    "statistics": [],
    "new_values": [],
    "from": None,
    "to": None,
}

DETECTOR: Json = {
    "model": "",
    "enabled": True,
    "status": "no_data",
    "judged_until": None,
    "lanes": [],
    "open": [],
    "evidence": [],
    "accepted": [],
    "from": None,
    "to": None,
}

LANE: Json = {
    "lane": "",
    "status": "learning",
    "learned_from": None,
    "watches_from": None,
    "window_hours": None,
    "evidence": None,
    "detectable": [],
    "trending": [],
    "other_weekdays": [],
}

SELFTEST: Json = {
    "model": "",
    "at": None,
    "from": None,
    "to": None,
    "tests": [],
    "quiet": [],
}

REPLAY: Json = {"model": "", "from": None, "to": None, "rules": []}

REPLAYED: Json = {
    "alerts": 0,
    "columns": 0,
    "share_firing": None,
    "by_column": [],
    "episodes": [],
}

ACCOUNTING: Json = {
    "now": None,
    "from": None,
    "to": None,
    "step_s": 3600.0,
    "totals": {
        "received": 0,
        "stored": 0,
        "duplicate": 0,
        "refused": 0,
        "pending": 0,
        "unchecked": 0,
    },
    "models": [],
    "hours": [],
    "reasons": [],
    "mistyped": [],
    "quarantine": {"records": 0, "bytes": 0, "most_bytes": None},
    "spool": {"pending_bytes": 0, "capacity_bytes": None, "damage": []},
    "last_load": None,
    "problem": None,
}

ACCOUNT: Json = {
    "model": "",
    "kind": "events",
    "received": 0,
    "stored": 0,
    "duplicate": 0,
    "refused": 0,
    "unchecked": 0,
    "pending": 0,
    "last_hour": None,
    "last_event": None,
    "age_s": None,
    "lag_s": None,
}

MISTYPED: Json = {
    "model": "",
    "column": "",
    "expected": "",
    "came": "",
    "rows": 0,
    "sample": "",
    "last_hour": None,
}

RECORD: Json = {
    "id": 0,
    "noted_at": None,
    "kind": "events",
    "model": "",
    "reason": "",
    "raw": "",
}

ALERT: Json = {
    "id": "",
    "model": "",
    "version": "",
    "segment": "",
    "rule": "",
    "statistic": "",
    "column": None,
    "severity": "warning",
    "state": "firing",
    "since": None,
    "fired_at": None,
    "resolved_at": None,
    "last_seen": None,
    "count": 0,
    "value": None,
    "peak": None,
    "limit": None,
    "unit": None,
    "text": "",
    "acknowledged_by": None,
    "acknowledged_at": None,
    "silenced_until": None,
    "finding": {},
    "transitions": [],
    "deliveries": [],
}


def filled(defaults: Json, response: Json) -> Json:
    """Return the response with every field of the defaults, also one level down.

    Fields that the defaults do not have are kept.
    """
    complete = deepcopy(defaults) | response
    for name, default in defaults.items():
        value = response.get(name)
        if isinstance(default, dict):
            fields = value if isinstance(value, dict) else {}
            complete[name] = deepcopy(default) | fields
        elif isinstance(default, list) and not isinstance(value, list):
            complete[name] = []
    return complete


def all_filled(defaults: Json, rows: list[Json] | None) -> list[Json]:
    """Return each of the rows with every field of the defaults."""
    return [filled(defaults, row) for row in rows or []]
