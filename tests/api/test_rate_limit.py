"""Rows a second that one key may send."""

from pathlib import Path

import httpx
import pytest
from events import NDJSON, event, lines

from monitor.access import Caller
from monitor.api import create_app
from monitor.api.rate_limit import RateLimiter
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.errors import TooMany
from monitor.send.session import serving
from monitor.server.server import Server


def test_a_bucket_holds_a_burst_fills_again_and_keeps_the_rate() -> None:
    now = [0.0]
    limiter = RateLimiter(Limits(rows_per_second=10, burst_rows=50), lambda: now[0])
    first, second = Caller("first", frozenset()), Caller("second", frozenset())
    limiter.check(first)
    limiter.charge(first, 90)  # more than the bucket holds: counted after the body
    with pytest.raises(
        TooMany,
        match=r"this key sent more than 10 rows a second .*; send again in 5 s",
    ) as refused:
        limiter.check(first)
    assert refused.value.retry_after == 5
    limiter.check(second)
    now[0] = 4.0
    with pytest.raises(TooMany):
        limiter.check(first)
    now[0] = 5.0
    limiter.check(first)
    now[0] = 1000.0
    limiter.charge(first, 50)
    with pytest.raises(TooMany):
        limiter.check(first)  # an idle hour does not save up more than a burst


def test_over_its_rate_a_key_gets_429_and_another_key_does_not(tmp_path: Path) -> None:
    server = Server(tmp_path, Config(limits=Limits(rows_per_second=1, burst_rows=100)))
    with (
        serving(create_app(server, background=False, key="boot")) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        admin = {"authorization": "Bearer boot"}
        secret = client.post(
            "/v1/keys", json={"name": "svc", "scopes": ["ingest"]}, headers=admin
        ).json()["secret"]
        send = lambda key, n, path="/v1/events": client.post(  # noqa: E731
            path,
            content=lines(*(event(i) for i in range(n))),
            headers={"content-type": NDJSON, "authorization": f"Bearer {key}"},
        )
        assert send(secret, 150).json()["accepted"] == 150
        for path in ("/v1/events", "/v1/labels", "/v1/events?model=m"):
            refused = send(secret, 1, path)
            assert refused.status_code == 429
            assert 30 <= int(refused.headers["retry-after"]) <= 60
            assert "this key sent more than 1 rows a second" in refused.json()["error"]
        assert send("boot", 50).json()["accepted"] == 50
        # no refused body was stored in part
        assert (
            client.get("/v1/status", headers=admin).json()["accounting"]["received"]
            == 200
        )
