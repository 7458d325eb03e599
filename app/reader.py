"""The only file that talks to the server, and the only one that caches what it said.

Every function returns the contract's JSON as a dict in which all documented fields
exist and NaN is None. When the server does not answer, the last good answer to the same
question is returned and `link()` says so; if there is none, `Unreachable` is raised.
"""

import math
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
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
REST_S = 2.0
_KEPT = 300


class ReadError(Exception):
    """The server gave no usable answer; the text is one sentence for the viewer."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(text.say("en", key, **values))
        self.key, self.values = key, values

    def sentence(self) -> str:
        """The reason as markdown in the viewer's language."""
        return text.t(self.key, **self.values)


class Unreachable(ReadError):
    """No connection, no answer in time, or an answer that is not ours; trying again may help."""


class NotFound(ReadError):
    """The server answered, and has nothing under this name."""


class Refused(ReadError):
    """The server understood and said no (4xx); its sentence is passed on."""


@dataclass(frozen=True)
class Link:
    """How the connection is: `error` is None when the last question was answered."""

    error: ReadError | None
    last_good: datetime | None


class _Memory:
    """The last good answers and the state of the connection, shared by all sessions of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.answers: OrderedDict[tuple[str, ...], Json] = OrderedDict()
            # what viewers have told the server; an answer from before that is no answer
            # after it
            self.told = 0
            self.error: Unreachable | None = None
            self.failed_at = -math.inf
            self.last_good: datetime | None = None

    def good(self) -> None:
        with self.lock:
            self.error, self.last_good = None, datetime.now(UTC)

    def bad(self, error: Unreachable) -> None:
        with self.lock:
            self.error, self.failed_at = error, time.monotonic()

    def resting(self) -> Unreachable | None:
        with self.lock:
            return self.error if time.monotonic() - self.failed_at < REST_S else None

    def keep(self, question: tuple[str, ...], answer: Json) -> None:
        with self.lock:
            self.answers[question] = answer
            self.answers.move_to_end(question)
            while len(self.answers) > _KEPT:
                self.answers.popitem(last=False)


Answered = TypeVar("Answered", bound=ReadError)
_memory = _Memory()
transport: httpx.BaseTransport | None = None  # tests put a fake one here


def server_url() -> str:
    """Where the server is, without a trailing slash."""
    return os.environ.get("DRIFTDECK_URL", "http://127.0.0.1:8700").rstrip("/")


def has_key() -> bool:
    """Whether questions are sent with a key."""
    return bool(os.environ.get("DRIFTDECK_KEY"))


def link() -> Link:
    """The state of the connection after the last question anyone asked."""
    return Link(_memory.error, _memory.last_good)


def forget_failure() -> None:
    """Ask again at once instead of waiting for the pause after a failure."""
    with _memory.lock:
        _memory.failed_at = -math.inf


def forget() -> None:
    """Drop everything remembered, so that the next question goes to the server."""
    st.cache_data.clear()
    _memory.clear()


def models() -> Json:
    """{"now", "models": [...]} with every model the server knows."""
    answer = _ask("/v1/models")
    answer["models"] = [
        response_fields.filled(response_fields.MODEL, one)
        for one in answer.get("models") or []
    ]
    return answer


def overview(model: str, version: str, span: str) -> Json:
    """The verdict and the six numbers of the overview."""
    return response_fields.filled(
        response_fields.OVERVIEW, _ask(_path(model, "overview"), version, span)
    )


def service(model: str, version: str, span: str, step: str = "") -> Json:
    """Latency, errors and traffic over the range and per version, one row per `step` ("" = the server's choice)."""
    wanted = {"step": step} if step else {}
    return response_fields.filled(
        response_fields.SERVICE, _ask(_path(model, "service"), version, span, **wanted)
    )


def drift(model: str, version: str, span: str) -> Json:
    """The drift matrix, most harmful column first."""
    answer = response_fields.filled(
        response_fields.DRIFT, _ask(_path(model, "drift"), version, span)
    )
    answer["columns"] = [
        response_fields.filled(response_fields.DRIFT_COLUMN, one)
        for one in answer["columns"]
    ]
    return answer


def column(model: str, name: str, version: str) -> Json:
    """One feature over the drift rule's window (not the range: so its figures are those of the verdict)."""
    return response_fields.filled(
        response_fields.COLUMN, _ask(_path(model, "columns", name), version)
    )


def detector(model: str, span: str) -> Json:
    """How far the detector is: its lanes, their evidence over the range, what is open, what was accepted."""
    answer = response_fields.filled(
        response_fields.DETECTOR, _ask(_path(model, "detector"), span=span)
    )
    answer["lanes"] = [
        response_fields.filled(response_fields.LANE, one) for one in answer["lanes"]
    ]
    return answer


def selftest(model: str) -> Json:
    """The newest self-test of the detector. Raises NotFound before the first."""
    return response_fields.filled(
        response_fields.SELFTEST, _ask(_path(model, "selftest"))
    )


def replay(model: str, rule: dict[str, str]) -> Json:
    """What a rule would have done over the stored history.

    Takes up to a minute; never cached.
    """
    answer = response_fields.filled(
        response_fields.REPLAY,
        _send("GET", server_url() + _path(model, "replay"), rule, patience_s=120.0),
    )
    answer["rules"] = [
        response_fields.filled(response_fields.REPLAYED, one) for one in answer["rules"]
    ]
    return answer


def findings(model: str) -> list[Json]:
    """The newest evaluation of every rule."""
    return list(_ask(_path(model, "findings")).get("findings") or [])


def alerts(model: str, state: str, limit: int = 100) -> Json:
    """{"now", "alerts": [...]} of this model in this state."""
    answer = _ask("/v1/alerts", model=model, state=state, limit=str(limit))
    answer["alerts"] = [
        response_fields.filled(response_fields.ALERT, one)
        for one in answer.get("alerts") or []
    ]
    return answer


def accounting(span: str) -> Json:
    """What came in over the range and what became of it; by time of receipt all models together."""
    answer = response_fields.filled(
        response_fields.ACCOUNTING, _ask("/v1/accounting", span=span, by="time")
    )
    answer["models"] = [
        response_fields.filled(response_fields.ACCOUNT, one) for one in answer["models"]
    ]
    answer["mistyped"] = [
        response_fields.filled(response_fields.MISTYPED, one)
        for one in answer["mistyped"]
    ]
    return answer


def quarantine(limit: int) -> list[Json]:
    """The newest refused records, newest first.

    Raises Refused when the key may not see them.
    """
    answer = _ask("/v1/quarantine", newest="true", limit=str(limit))
    return [
        response_fields.filled(response_fields.RECORD, one)
        for one in answer.get("records") or []
    ]


def acknowledge(alert_id: object, by: str) -> None:
    """Tell the server that somebody has this alert in hand."""
    _tell(f"/v1/alerts/{quote(str(alert_id), safe='')}/acknowledge", {"by": by})


def accept(model: str, by: str) -> None:
    """Tell the server that what the detector has open is normal.

    Raises Refused when the key may not, or nothing is.
    """
    _tell(_path(model, "accept"), {"by": by})


def silence(alert_id: object, hours: float, by: str) -> None:
    """Hold notifications of this alert back for so many hours; 0 ends a silence."""
    _tell(
        f"/v1/alerts/{quote(str(alert_id), safe='')}/silence",
        {"hours": hours, "by": by},
    )


def window(span: str, now: datetime) -> dict[str, str]:
    """The query parameters of a time range that ends now; whole minutes."""
    start = (now - timedelta(hours=RANGES[span])).replace(second=0, microsecond=0)
    return {"from": start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _path(model: str, *rest: str) -> str:
    # dots too: a name that is nothing but dots would be taken for a step up in the
    # address
    return "/v1/models/" + "/".join(
        quote(part, safe="").replace(".", "%2E") for part in (model, *rest)
    )


def _ask(path: str, version: str = "", span: str = "", **params: str) -> Json:
    """The answer, at most 2 x TTL_S old; the last good one if the server is silent now."""
    question = (
        server_url(),
        path,
        version,
        span,
        *(f"{k}={v}" for k, v in sorted(params.items())),
    )
    try:
        answer = _cached(
            server_url(),
            path,
            version,
            span,
            tuple(sorted(params.items())),
            _memory.told,
        )
    except Unreachable:
        kept = _memory.answers.get(question)
        if kept is None:
            raise
        return dict(kept)
    _memory.keep(question, answer)
    return dict(answer)


@st.cache_data(
    ttl=TTL_S, refresh_mode="background", show_spinner=False, max_entries=500
)
def _cached(
    url: str,
    path: str,
    version: str,
    span: str,
    params: tuple[tuple[str, str], ...],
    told: int,
) -> Json:
    # `told` keeps a refresh that is under way while the server is told something from
    # being taken for the news
    query = (
        dict(params)
        | (window(span, datetime.now(UTC)) if span else {})
        | ({"version": version} if version else {})
    )
    return _send("GET", url + path, query)


def _tell(path: str, body: Json) -> None:
    _send("POST", server_url() + path, {}, body)
    with _memory.lock:
        _memory.told += 1
    _cached.clear()


def _send(
    method: str,
    url: str,
    query: dict[str, str],
    body: Json | None = None,
    patience_s: float = 8.0,
) -> Json:
    """One request; what a viewer does is always tried.

    Raises ReadError with the reason in every other case than a JSON object with status
    2xx.
    """
    if method == "GET" and (resting := _memory.resting()):
        raise resting
    key = os.environ.get("DRIFTDECK_KEY")
    headers = {"Accept": "application/json"} | (
        {"Authorization": f"Bearer {key}"} if key else {}
    )
    try:
        with httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(patience_s, connect=1.5),
            trust_env=False,
        ) as client:
            response = client.request(
                method, url, params=query, json=body, headers=headers
            )
            answer = response.json() if response.content else {}
    except (httpx.HTTPError, ValueError) as error:
        raise _failed(Unreachable("error.unreachable", url=server_url())) from error
    if response.status_code >= 500:
        raise _failed(_of(Unreachable, response, answer))
    _memory.good()
    if response.status_code in (401, 403):
        raise Refused("error.key", url=server_url(), status=response.status_code)
    if response.status_code == 404:
        raise NotFound("error.not_found", detail=_detail(answer))
    if response.status_code >= 400 or not isinstance(answer, dict):
        raise _of(Refused, response, answer)
    cleaned: Json = _clean(answer)
    return cleaned


def _failed(error: Unreachable) -> Unreachable:
    _memory.bad(error)
    return error


def _of(kind: type[Answered], response: httpx.Response, answer: object) -> Answered:
    return kind(
        "error.refused",
        url=server_url(),
        status=response.status_code,
        detail=_detail(answer),
    )


def _detail(answer: object) -> str:
    said = answer.get("error") if isinstance(answer, dict) else None
    return str(said or "?")[:300]


def _clean(value: Any) -> Any:
    """The same JSON with NaN and infinities as None, so that nobody downstream ever prints "nan"."""
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
