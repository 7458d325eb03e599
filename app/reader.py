"""The only file that talks to the server, and the only one that caches its responses.

Every function returns the JSON of the HTTP API as a dict in which all documented fields
exist and NaN is None. When the server is silent, the last good response to the same
question is returned and `link()` has the error; without one, `Unreachable` is raised.
"""

import math
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import streamlit as st

from app import response_fields, text

Json = dict[str, Any]
RANGES = {
    "6h": 6,
    "24h": 24,
    "3d": 72,
    "7d": 168,
    "14d": 336,
    "30d": 720,
    "90d": 2160,
    "1y": 8760,
}
TTL_S = 5
# after a failure, further questions fail at once for this long instead of each waiting
# for its timeout
PAUSE_S = 2.0
TIMEOUT_S, CONNECT_TIMEOUT_S = 8.0, 1.5
REPLAY_TIMEOUT_S = 120.0  # a replay reads the whole history
MAX_REMEMBERED = 300  # last good responses
MAX_CACHED = 500
MAX_DETAIL_LENGTH = 300


class ReadError(Exception):
    """The server sent no usable response; the text is one sentence for the viewer."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(text.say("en", key, **values))
        self.key, self.values = key, values

    def sentence(self) -> str:
        """Return the reason as markdown in the viewer's language."""
        return text.t(self.key, **self.values)


class Unreachable(ReadError):
    """No connection, no response in time, or one of another program; a retry may help."""


class NotFound(ReadError):
    """The server has nothing under this name (404)."""


class Refused(ReadError):
    """The server refused the request (4xx); its reason is passed on."""


@dataclass(frozen=True)
class Link:
    """State of the connection: `error` is None when the last request succeeded."""

    error: ReadError | None
    last_good: datetime | None


class _Memory:
    """Last good responses and state of the connection, shared by all sessions."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.responses: OrderedDict[tuple[str, ...], Json] = OrderedDict()
            # POST requests so far; a response from before one is stale after it
            self.n_posts = 0
            self.error: Unreachable | None = None
            self.failed_at = -math.inf
            self.last_good: datetime | None = None

    def good(self) -> None:
        with self.lock:
            self.error, self.last_good = None, datetime.now(UTC)

    def bad(self, error: Unreachable) -> None:
        with self.lock:
            self.error, self.failed_at = error, time.monotonic()

    def pausing(self) -> Unreachable | None:
        with self.lock:
            is_pausing = time.monotonic() - self.failed_at < PAUSE_S
            return self.error if is_pausing else None

    def remember(self, question: tuple[str, ...], response: Json) -> None:
        with self.lock:
            self.responses[question] = response
            self.responses.move_to_end(question)
            while len(self.responses) > MAX_REMEMBERED:
                self.responses.popitem(last=False)


_memory = _Memory()
transport: httpx.BaseTransport | None = None  # tests put a fake one here


def server_url() -> str:
    """Return the address of the server, without a trailing slash."""
    return os.environ.get("DRIFTDECK_URL", "http://127.0.0.1:8700").rstrip("/")


def has_key() -> bool:
    """Return whether requests are sent with an API key."""
    return bool(os.environ.get("DRIFTDECK_KEY"))


def link() -> Link:
    """Return the state of the connection after the last request of any viewer."""
    return Link(_memory.error, _memory.last_good)


def forget_failure() -> None:
    """Retry at once instead of waiting for the pause after a failure."""
    with _memory.lock:
        _memory.failed_at = -math.inf


def forget() -> None:
    """Drop everything remembered, so that the next question goes to the server."""
    st.cache_data.clear()
    _memory.clear()


def models() -> Json:
    """Return {"now", "models": [...]} with every model of the server."""
    response = _ask("/v1/models")
    rows = response.get("models")
    response["models"] = response_fields.all_filled(response_fields.MODEL, rows)
    return response


def statistics() -> list[Json]:
    """Return all statistics that rules can name and findings can have."""
    return list(_ask("/v1/statistics").get("statistics") or [])


def overview(model: str, version: str, span: str) -> Json:
    """Return the status and the six figures of the overview."""
    response = _ask(_path(model, "overview"), version, span)
    return response_fields.filled(response_fields.OVERVIEW, response)


def service(model: str, version: str, span: str, step: str = "") -> Json:
    """Return latency, errors and traffic over the time range and per version.

    One row per `step`; "" is the server's choice.
    """
    params = {"step": step} if step else {}
    response = _ask(_path(model, "service"), version, span, **params)
    return response_fields.filled(response_fields.SERVICE, response)


def drift(model: str, version: str, span: str) -> Json:
    """Return the drift matrix, the column with the highest impact first."""
    response = _ask(_path(model, "drift"), version, span)
    matrix = response_fields.filled(response_fields.DRIFT, response)
    matrix["columns"] = response_fields.all_filled(
        response_fields.DRIFT_COLUMN, matrix["columns"]
    )
    return matrix


def column(model: str, name: str, version: str) -> Json:
    """Return the distribution of one feature over the drift rule's window.

    Not over the time range: its figures are those that were checked.
    """
    response = _ask(_path(model, "columns", name), version)
    return response_fields.filled(response_fields.COLUMN, response)


def detector(model: str, span: str) -> Json:
    """Return the detector's signals, change scores over the range and open changes."""
    response = _ask(_path(model, "detector"), span=span)
    status = response_fields.filled(response_fields.DETECTOR, response)
    status["lanes"] = response_fields.all_filled(response_fields.LANE, status["lanes"])
    return status


def selftest(model: str) -> Json:
    """Return the newest self-test of the detector. Raises NotFound before the first."""
    response = _ask(_path(model, "selftest"))
    return response_fields.filled(response_fields.SELFTEST, response)


def replay(model: str, rule: dict[str, str]) -> Json:
    """Return the alerts that a rule would have opened in the stored history.

    Lasts up to a minute; never cached.
    """
    url = server_url() + _path(model, "replay")
    response = _send("GET", url, rule, timeout_s=REPLAY_TIMEOUT_S)
    result = response_fields.filled(response_fields.REPLAY, response)
    result["rules"] = response_fields.all_filled(
        response_fields.REPLAYED, result["rules"]
    )
    return result


def findings(model: str) -> list[Json]:
    """Return the newest evaluation of every rule."""
    return list(_ask(_path(model, "findings")).get("findings") or [])


def alerts(model: str | None, state: str, limit: int = 100) -> Json:
    """Return {"now", "alerts": [...]} of this model, or of all (None), in this state."""
    params = {"state": state, "limit": str(limit)}
    if model is not None:
        params["model"] = model
    response = _ask("/v1/alerts", **params)
    rows = response.get("alerts")
    response["alerts"] = response_fields.all_filled(response_fields.ALERT, rows)
    return response


def accounting(span: str) -> Json:
    """Return received rows and their outcomes over the range.

    By time received, all models are added up.
    """
    response = _ask("/v1/accounting", span=span, by="time")
    accounts = response_fields.filled(response_fields.ACCOUNTING, response)
    for name, defaults in (
        ("models", response_fields.ACCOUNT),
        ("mistyped", response_fields.MISTYPED),
    ):
        accounts[name] = response_fields.all_filled(defaults, accounts[name])
    return accounts


def quarantine(limit: int) -> list[Json]:
    """Return the newest quarantined rows, newest first.

    Raises Refused when the key may not see them.
    """
    response = _ask("/v1/quarantine", newest="true", limit=str(limit))
    return response_fields.all_filled(response_fields.RECORD, response.get("records"))


def acknowledge(alert_id: object, by: str) -> None:
    """Acknowledge an alert in this person's name."""
    _post(_alert_path(alert_id, "acknowledge"), {"by": by})


def accept(model: str, by: str) -> None:
    """Set the open changes of the detector as new normal, in this person's name.

    Raises Refused when the key may not, or no change is open.
    """
    _post(_path(model, "accept"), {"by": by})


def silence(alert_id: object, hours: float, by: str) -> None:
    """Suppress notifications of this alert for so many hours; 0 ends a silence."""
    _post(_alert_path(alert_id, "silence"), {"hours": hours, "by": by})


def window(span: str, now: datetime) -> dict[str, str]:
    """Return the query parameters of a time range that ends now, in whole minutes."""
    start = (now - timedelta(hours=RANGES[span])).replace(second=0, microsecond=0)
    return {"from": start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _path(model: str, *parts: str) -> str:
    # dots are quoted too: a name that is nothing but dots would be a step up in the
    # address
    quoted = [quote(part, safe="").replace(".", "%2E") for part in (model, *parts)]
    return "/v1/models/" + "/".join(quoted)


def _alert_path(alert_id: object, action: str) -> str:
    return f"/v1/alerts/{quote(str(alert_id), safe='')}/{action}"


def _ask(path: str, version: str = "", span: str = "", **params: str) -> Json:
    """Return the response, at most 2 x TTL_S old.

    The last good one when the server is silent now.
    """
    url, pairs = server_url(), tuple(sorted(params.items()))
    question = (url, path, version, span, *(f"{k}={v}" for k, v in pairs))
    try:
        response = _cached(url, path, version, span, pairs, _memory.n_posts)
    except Unreachable:
        last_good = _memory.responses.get(question)
        if last_good is None:
            raise
        return dict(last_good)
    _memory.remember(question, response)
    return dict(response)


@st.cache_data(
    ttl=TTL_S, refresh_mode="background", show_spinner=False, max_entries=MAX_CACHED
)
def _cached(
    url: str,
    path: str,
    version: str,
    span: str,
    params: tuple[tuple[str, str], ...],
    n_posts: int,
) -> Json:
    # `n_posts` is part of the key: a refresh that began before a POST must not stand
    # for the state after it
    query = dict(params)
    if span:
        query |= window(span, datetime.now(UTC))
    if version:
        query["version"] = version
    return _send("GET", url + path, query)


def _post(path: str, body: Json) -> None:
    _send("POST", server_url() + path, {}, body)
    with _memory.lock:
        _memory.n_posts += 1
    _cached.clear()


def _send(
    method: str,
    url: str,
    query: dict[str, str],
    body: Json | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Json:
    """Send one request; a POST is sent even during the pause after a failure.

    Raises ReadError with the reason unless the response is a JSON object with status
    2xx.
    """
    pause = _memory.pausing() if method == "GET" else None
    if pause:
        raise pause
    headers = {"Accept": "application/json"}
    key = os.environ.get("DRIFTDECK_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    try:
        with httpx.Client(
            transport=transport, timeout=timeout, trust_env=False
        ) as client:
            response = client.request(
                method, url, params=query, json=body, headers=headers
            )
            content = response.json() if response.content else {}
    except (httpx.HTTPError, ValueError) as error:
        raise _failed(Unreachable("error.unreachable", url=server_url())) from error
    return _checked(response.status_code, content)


def _checked(status: int, content: Any) -> Json:
    """Return the content of a response; raises ReadError when it is none to use."""
    url = server_url()
    words = {"url": url, "status": status, "detail": _detail(content)}
    if status >= 500:
        raise _failed(Unreachable("error.refused", **words))
    _memory.good()
    if status in (401, 403):
        raise Refused("error.key", url=url, status=status)
    if status == 404:
        raise NotFound("error.not_found", detail=_detail(content))
    if status >= 400 or not isinstance(content, dict):
        raise Refused("error.refused", **words)
    cleaned: Json = _clean(content)
    return cleaned


def _failed(error: Unreachable) -> Unreachable:
    _memory.bad(error)
    return error


def _detail(content: object) -> str:
    detail = content.get("error") if isinstance(content, dict) else None
    return str(detail or "?")[:MAX_DETAIL_LENGTH]


def _clean(value: Any) -> Any:
    """Return the same JSON with None for NaN and infinity: no page prints "nan"."""
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
