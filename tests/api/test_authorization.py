"""Keys: every route with every role, models kept apart, rotation, no secret leaked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import run
from events import NDJSON, NOW, event, lines
from hypothesis import given
from hypothesis import strategies as st
from server_process import start_server

from monitor.access import bearer_secret, key_id_in, make_secret
from monitor.api import create_app
from monitor.api.authorization import PERMISSIONS, PUBLIC_PATHS
from monitor.errors import Unauthorized
from monitor.send.session import serving
from monitor.server.server import Server

BOOT = "boot-secret-of-the-operator"


@dataclass
class Guarded:
    """A server with a bootstrap key, and a client without any."""

    server: Server
    client: httpx.Client

    def call(
        self, secret: str | None, method: str, path: str, **options: Any
    ) -> httpx.Response:
        """Send one request with a key."""
        headers = options.pop("headers", {}) | (
            {"authorization": f"Bearer {secret}"} if secret else {}
        )
        return self.client.request(method, path, headers=headers, **options)

    def make(
        self, *scopes: str, models: list[str] | None = None, **more: Any
    ) -> tuple[str, str]:
        """Return (id, secret) of a new key."""
        body = {"name": "k", "scopes": list(scopes), "models": models, **more}
        answer = self.call(BOOT, "POST", "/v1/keys", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"], answer.json()["secret"]

    def send(
        self,
        secret: str,
        *rows: dict[str, Any],
        path: str = "/v1/events",
        **headers: str,
    ) -> dict[str, Any]:
        """Send rows as NDJSON; return the response."""
        answer = self.call(
            secret,
            "POST",
            path,
            content=lines(*rows),
            headers={"content-type": NDJSON, **headers},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    server = Server(tmp_path / "data")
    with (
        serving(create_app(server, background=False, key=BOOT)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Guarded(server, client)


def two_models(guarded: Guarded) -> None:
    """Fill and evaluate models "m" and "n", a tenth of whose requests failed: both alert."""
    for model in ("m", "n"):
        rows = [
            event(
                i,
                model=model,
                event_id=f"{model}{i}",
                status=503 if i % 10 == 0 else 200,
                ts=(NOW - timedelta(seconds=9 * i + 1)).isoformat(),
            )
            for i in range(1200)
        ]
        assert guarded.send(BOOT, *rows)["accepted"] == 1200
    guarded.server.scheduler.tick()
    for model in ("m", "n"):
        guarded.server.scheduler.evaluate(model, NOW - timedelta(hours=6))


# the matrix

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /v1/events": {"content": b"", "headers": {"content-type": NDJSON}},
    "POST /v1/labels": {"content": b"", "headers": {"content-type": NDJSON}},
    "POST /v1/refused": {"json": []},
    "PUT /v1/models/{model:name}/reference": {
        "content": b"x\n",
        "headers": {"content-type": "text/csv"},
    },
    "POST /v1/alerts/{alert}/silence": {"json": {"hours": 1}},
    "POST /v1/alerts/{alert}/acknowledge": {"json": {}},
    "POST /v1/keys": {"json": {"name": "made", "scopes": ["read"]}},
}
ROLES = {
    "nobody": None,
    "stranger": ("admin", None),
    "ingest": ("ingest", None),
    "read": ("read", None),
    "admin": ("admin", None),
    "ingest of m": ("ingest", ["m"]),
    "read of m": ("read", ["m"]),
    "admin of m": ("admin", ["m"]),
    "read of n": ("read", ["n"]),
    "admin of n": ("admin", ["n"]),
}


def expected(role: str, needs: Any) -> int | None:
    """Return the status of a role on a route about model "m"; None when it may pass."""
    if role in ("nobody", "stranger"):
        return 401
    scope, _, model = role.partition(" of ")
    if scope not in (needs.scope, "admin"):
        return 403
    if model and (
        needs.model == "all" or (needs.model in ("path", "query") and model != "m")
    ):
        return 403
    return None


def test_every_route_has_an_entry_and_every_entry_a_route(guarded: Guarded) -> None:
    spec = guarded.client.get("/openapi.json").json()["paths"]
    served = {
        f"{method.upper()} {path}"
        for path, methods in spec.items()
        for method in methods
    }
    listed = {name.replace(":name", "") for name in PERMISSIONS}
    assert {name for name in served if name.split()[1] not in PUBLIC_PATHS} == listed


@pytest.mark.parametrize("route", PERMISSIONS)
def test_every_role_on_every_route(guarded: Guarded, route: str) -> None:
    guarded.send(BOOT, event(0))
    guarded.server.scheduler.load_all()
    method, path = route.split()
    path = (
        path.replace("{model:name}", "m")
        .replace("{column:name}", "age")
        .replace("{alert}", "a")
    )
    if PERMISSIONS[route].model == "query":
        path += "?model=m"
    for role, about in ROLES.items():
        number, secret = (
            guarded.make(about[0], models=about[1]) if about else ("", None)
        )
        if role == "stranger":
            secret = f"{secret}"[:-4] + "AAAA"
        target = path.replace("{key}", number or "k")
        refusal = expected(role, PERMISSIONS[route])
        # the fast path handles rows without parameters, the route those with some
        for address in (
            (target, f"{target}?model=m")
            if PERMISSIONS[route].model == "rows"
            else (target,)
        ):
            answer = guarded.call(secret, method, address, **REQUESTS.get(route, {}))
            if refusal is None:
                assert answer.status_code not in (401, 403), (role, answer.text)
            else:
                assert answer.status_code == refusal, (role, answer.text)
                assert answer.json()["error"].count("\n") == 0
                assert (answer.headers.get("www-authenticate") == "Bearer") is (
                    refusal == 401
                )


def test_a_route_without_an_entry_is_closed(tmp_path: Path) -> None:
    server = Server(tmp_path)
    app = create_app(server, background=False)

    @app.get("/v1/forgotten")
    def forgotten() -> str:
        return "open to the world"

    with serving(app) as url:
        answer = httpx.get(f"{url}/v1/forgotten", trust_env=False, timeout=60)
    assert answer.status_code == 500
    assert "no entry in the table of rights" in answer.json()["error"]


def test_an_unknown_address_is_401_without_a_key(
    guarded: Guarded,
) -> None:
    assert guarded.client.get("/v1/nope").status_code == 401
    assert guarded.call(BOOT, "GET", "/v1/nope").status_code == 404


# models kept apart


def test_a_key_for_one_model_sees_only_that_model_in_every_list(
    guarded: Guarded,
) -> None:
    two_models(guarded)
    _, reads = guarded.make("read", models=["m"])
    everything = guarded.call(
        BOOT, "GET", "/v1/alerts", params={"state": "all"}
    ).json()["alerts"]
    # or the checks below could not fail
    assert {a["model"] for a in everything} == {"m", "n"}
    assert {
        a["model"]
        for a in guarded.call(reads, "GET", "/v1/alerts?state=all").json()["alerts"]
    } == {"m"}
    assert [
        m["model"] for m in guarded.call(reads, "GET", "/v1/models").json()["models"]
    ] == ["m"]
    status = guarded.call(reads, "GET", "/v1/status").json()
    assert status["models"] == ["m"]
    assert status["accounting"] == {
        **{
            "received": 1200,
            "stored": 1200,
            "duplicate": 0,
            "refused": 0,
            "pending": 0,
        },
        "unchecked": status["accounting"]["unchecked"],
    }
    text = guarded.call(reads, "GET", "/metrics").text
    assert 'model="m"' in text
    assert 'model="n"' not in text
    assert "driftdeck_spool_bytes" not in text
    for path in ("overview", "service", "drift", "findings", "columns/age"):
        own, foreign, unknown = (
            guarded.call(reads, "GET", f"/v1/models/{m}/{path}")
            for m in ("m", "n", "zz")
        )
        assert own.status_code == 200, own.text
        assert (foreign.status_code, unknown.status_code) == (403, 403)
        # not even whether it exists
        assert foreign.json()["error"].replace("'n'", "'zz'") == unknown.json()["error"]


def test_a_key_for_one_model_changes_only_that_model(guarded: Guarded) -> None:
    two_models(guarded)
    _, admin = guarded.make("admin", models=["m"])
    alerts = guarded.call(BOOT, "GET", "/v1/alerts", params={"state": "all"}).json()[
        "alerts"
    ]
    for alert in alerts:
        answer = guarded.call(
            admin, "POST", f"/v1/alerts/{alert['id']}/acknowledge", json={"by": "x"}
        )
        assert answer.status_code == (200 if alert["model"] == "m" else 404), (
            answer.text
        )
    assert set(guarded.call(admin, "POST", "/v1/rebuild").json()["rows"]) == {"m"}
    assert set(guarded.call(admin, "POST", "/v1/evaluate").json()["moments"]) == {"m"}
    assert guarded.call(admin, "POST", "/v1/rebuild?model=n").status_code == 403
    assert guarded.call(admin, "POST", "/v1/rebuild?model=m&model=n").status_code == 403
    assert (
        guarded.call(
            admin, "POST", "/v1/keys", json={"name": "x", "scopes": ["admin"]}
        ).status_code
        == 403
    )


@pytest.mark.parametrize("known", [True, False], ids=["models known", "models new"])
@pytest.mark.parametrize("form", ["lines", "csv"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/labels"])
def test_rows_of_a_foreign_model_are_refused_row_by_row(
    guarded: Guarded, known: bool, form: str, path: str
) -> None:
    if known:
        guarded.send(BOOT, event(0, model="m"), event(1, model="n"))
    _, secret = guarded.make("ingest", models=["m"])
    rows = [event(10 + i, model="mn"[i % 2]) for i in range(10)]
    if path == "/v1/labels":
        rows = [
            {"event_id": r["event_id"], "model": r["model"], "label": 1, "ts": r["ts"]}
            for r in rows
        ]
    if form == "lines":
        answer = guarded.send(secret, *rows, path=path)
    else:
        names = [n for n in rows[0] if n != "features"]
        csv = "\n".join(
            [",".join(names), *(",".join(str(r[n]) for n in names) for r in rows)]
        )
        sent = guarded.call(
            secret, "POST", path, content=csv, headers={"content-type": "text/csv"}
        )
        assert sent.status_code == 200, sent.text
        answer = sent.json()
    assert (answer["accepted"], answer["refused"]) == (5, 5)
    assert {r["reason"] for r in answer["refusals"]} == {
        "this key may not write the model 'n'; send it with a key that is for it"
    }
    guarded.server.scheduler.load_all()
    counted = dict(
        guarded.server.store.query(
            "SELECT model, sum(received) FROM accounting GROUP BY model"
        )
    )
    # nothing in the name of n
    assert counted == {"": 5, "m": 5 + known, **({"n": 1} if known else {})}
    assert ("n" in guarded.server.store.models()) is known
    counts = guarded.call(BOOT, "GET", "/v1/status").json()["accounting"]
    assert (
        counts["received"] == counts["stored"] + counts["duplicate"] + counts["refused"]
    )


def test_a_file_sent_again_with_another_key_is_checked_again(guarded: Guarded) -> None:
    _, narrow = guarded.make("ingest", models=["m"])
    _, rotated = guarded.make("ingest", models=["m"])
    _, wide = guarded.make("ingest")
    rows = [event(0, model="m"), event(1, model="n")]
    key = {"idempotency-key": "the-file"}
    assert guarded.send(narrow, *rows, **key)["refused"] == 1
    # the same rights: the first response again
    assert guarded.send(rotated, *rows, **key)["refused"] == 1
    assert guarded.send(wide, *rows, **key)["accepted"] == 2
    guarded.server.scheduler.load_all()
    assert sum(guarded.server.store.span(m)[2] for m in ("m", "n")) == 2


# the life of a key


def test_two_keys_are_live_while_one_replaces_the_other(guarded: Guarded) -> None:
    old, first = guarded.make("read", name="dash")
    _, second = guarded.make("read", name="dash")
    assert {
        guarded.call(s, "GET", "/v1/models").status_code for s in (first, second)
    } == {200}
    # two keys have this name
    assert guarded.call(BOOT, "DELETE", "/v1/keys/dash").status_code == 409
    assert guarded.call(BOOT, "DELETE", f"/v1/keys/{old}").json()["state"] == "revoked"
    answer = guarded.call(first, "GET", "/v1/models")
    assert answer.status_code == 401
    assert f"the key {old} (dash) was revoked on" in answer.json()["error"]
    assert guarded.call(second, "GET", "/v1/models").status_code == 200
    assert guarded.call(BOOT, "DELETE", "/v1/keys/dash").status_code == 200
    assert guarded.call(second, "GET", "/v1/models").status_code == 401
    assert guarded.call(BOOT, "DELETE", "/v1/keys/nope").status_code == 404


def test_an_expired_key_is_refused(guarded: Guarded) -> None:
    number, secret = guarded.make("read", expires_in="90d")
    (shown,) = guarded.call(BOOT, "GET", "/v1/keys").json()["keys"]
    assert (shown["id"], shown["state"]) == (number, "live")
    now = datetime.now(UTC)
    assert (
        guarded.server.keys.caller(secret.encode(), now + timedelta(days=89)).id
        == number
    )
    with pytest.raises(Unauthorized, match="expired on"):
        guarded.server.keys.caller(secret.encode(), now + timedelta(days=91))
    for wrong in ("soon", "-1d", "0s", "99999999w"):
        answer = guarded.call(
            BOOT,
            "POST",
            "/v1/keys",
            json={"name": "k", "scopes": ["read"], "expires_in": wrong},
        )
        assert answer.status_code == 422, answer.text


def test_last_use_is_saved_later_and_survives_a_restart(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    server = Server(tmp_path)
    server.start(background=False)
    key, secret = server.keys.create(
        "svc", ["ingest"], ["m"], now + timedelta(days=1), now
    )
    other, _ = server.keys.create("idle", ["read"], None, None, now)
    server.keys.revoke(other.id, now)

    def stored():
        return dict(
            server.store.query("SELECT id, last_used IS NOT NULL FROM api_keys")
        )

    server.keys.caller(secret.encode(), now)
    # the check itself wrote nothing
    assert stored() == {key.id: False, other.id: False}
    assert {k.id: k.last_used for k in server.keys.listing()} == {
        key.id: now,
        other.id: None,
    }
    server.keys.save_uses()
    assert stored() == {key.id: True, other.id: False}
    server.close()
    again = Server(tmp_path)
    again.start(background=False)
    read = {k.id: k for k in again.keys.listing()}
    assert read[key.id] == next(k for k in server.keys.listing() if k.id == key.id)
    assert read[other.id].state(now) == "revoked"
    assert again.keys.caller(secret.encode(), now).models == {"m"}
    again.close()


def test_without_keys_the_server_is_open_and_the_first_must_be_an_admin(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path)
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        assert client.get("/v1/models").status_code == 200
        for body in ({"scopes": ["ingest"]}, {"scopes": ["admin"], "models": ["m"]}):
            answer = client.post("/v1/keys", json={"name": "a", **body})
            assert answer.status_code == 422
            assert "make the first with the scope admin" in answer.json()["error"]
        secret = client.post(
            "/v1/keys", json={"name": "a", "scopes": ["admin"]}
        ).json()["secret"]
        assert client.get("/v1/models").status_code == 401
        admin = {"authorization": f"Bearer {secret}"}
        assert client.get("/v1/models", headers=admin).status_code == 200
        assert client.delete("/v1/keys/a", headers=admin).status_code == 200
        # revoking the last one does not open the server
        assert client.get("/v1/models").status_code == 401


def test_a_key_from_the_command_line_opens_the_server_to_other_machines(
    tmp_path: Path,
) -> None:
    created = run(
        "keys",
        "create",
        "--name",
        "svc",
        "--scope",
        "ingest",
        "--model",
        "m",
        "--expires",
        "90d",
        cwd=tmp_path,
    )
    assert created.returncode == 0, created.stderr
    secret = created.stdout.strip()
    assert key_id_in(secret.encode())
    assert "not shown again" in created.stderr
    listed = run("keys", "list", cwd=tmp_path).stdout
    assert "svc" in listed
    assert secret not in listed
    (key,) = json.loads(run("keys", "list", "--json", cwd=tmp_path).stdout)["keys"]
    assert (key["scopes"], key["models"], key["state"]) == (["ingest"], ["m"], "live")
    (tmp_path / "rows.jsonl").write_bytes(lines(event(0), event(1, model="n")))
    process, url = start_server(tmp_path / "driftdeck-data", host="127.0.0.2")
    try:
        # no key
        assert run("ingest", "rows.jsonl", "--url", url, cwd=tmp_path).returncode == 1
        sent = run(
            "ingest", "rows.jsonl", "--url", url, cwd=tmp_path, DRIFTDECK_KEY=secret
        )
        assert sent.returncode == 5
        assert "1 events accepted, 1 refused" in sent.stdout
        status = run("status", "--url", url, cwd=tmp_path, DRIFTDECK_KEY=secret)
        assert "needs a key with the scope read; yours has: ingest" in status.stderr
    finally:
        process.terminate()
        process.wait()
    assert run("keys", "revoke", "svc", cwd=tmp_path).stdout.startswith(
        f"key {key['id']} (svc) is revoked"
    )
    assert (
        "scopes"
        in run(
            "keys", "create", "--name", "svc", "--scope", "write", cwd=tmp_path
        ).stderr
    )


# headers, and places that must not contain a secret


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"host"]), st.binary(max_size=700)
        ),
        max_size=3,
    )
)
def test_any_headers_give_a_secret_or_one_sentence(
    headers: list[tuple[bytes, bytes]],
) -> None:
    try:
        secret = bearer_secret(headers)
    except Unauthorized as problem:
        assert "\n" not in str(problem)
        return
    assert 0 < len(secret) <= 512
    assert [
        v.split(None, 1)[0].lower() for k, v in headers if k == b"authorization"
    ] == [b"bearer"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"Basic abc", "is not `Bearer KEY`"),
        (b"Bearer", "is not `Bearer KEY`"),
        (b"", "is not `Bearer KEY`"),
        (b"Bearer " + b"a" * 600, "more than 512 bytes"),
        (b"Bearer \xff\xfe\x00", "not known"),
        (b"Bearer dd_000000000000_" + b"A" * 43, "not known"),
    ],
)
def test_a_malformed_header_is_401_with_the_error(
    guarded: Guarded, value: bytes, words: str
) -> None:
    host, port = guarded.client.base_url.host, guarded.client.base_url.port
    import socket

    with socket.create_connection((host, port), 10) as raw:
        raw.sendall(
            b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: "
            + value
            + b"\r\n\r\n"
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    if b"\x00" in value:
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        return
    assert answer.startswith(b"HTTP/1.1 401 "), answer
    assert words.encode() in answer


def test_the_scheme_is_read_in_any_case_and_after_any_spaces(guarded: Guarded) -> None:
    for value in (f"bearer {BOOT}", f"BEARER   {BOOT}"):
        assert (
            guarded.client.get(
                "/v1/models", headers={"authorization": value}
            ).status_code
            == 200
        )
    twice = [("authorization", f"Bearer {BOOT}"), ("authorization", "Bearer other")]
    answer = guarded.client.get("/v1/models", headers=twice)
    assert answer.status_code == 401
    assert "more than one Authorization header" in answer.json()["error"]


def test_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    boot = "boot-" + make_secret()[1]
    data = tmp_path / "data"
    log = (tmp_path / "log").open("wb")
    process, url = start_server(data, log=log, DRIFTDECK_KEY=boot, DRIFTDECK_DEBUG="1")
    responses: list[str] = []
    secrets = [boot]
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:

            def call(secret: str, method: str, path: str, **options: Any) -> None:
                headers = {
                    "authorization": f"Bearer {secret}",
                    **options.pop("headers", {}),
                }
                answer = client.request(method, path, headers=headers, **options)
                responses.append(answer.text + str(answer.headers))

            for scope in ("ingest", "read", "admin"):
                answer = client.post(
                    "/v1/keys",
                    json={"name": scope, "scopes": [scope]},
                    headers={"authorization": f"Bearer {boot}"},
                )
                secrets.append(answer.json()["secret"])
            secrets.append(make_secret()[1])  # a stranger's
            for secret in secrets:
                call(
                    secret,
                    "POST",
                    "/v1/events",
                    content=lines(event(0)) + b"{nope\n",
                    headers={"content-type": NDJSON},
                )
                for route in PERMISSIONS:
                    method, path = route.split()
                    for old, new in (
                        ("{model:name}", "m"),
                        ("{column:name}", "age"),
                        ("{alert}", "a"),
                        ("{key}", "zz"),
                    ):
                        path = path.replace(old, new)
                    if route != "POST /v1/keys":
                        call(secret, method, path, **REQUESTS.get(route, {}))
                call(secret, "GET", "/v1/nope")
    finally:
        process.terminate()
        process.wait()
        log.close()
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    for secret in secrets:
        assert not [text for text in responses if secret in text]
        assert secret.encode() not in written
    printed = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "status", "--json", "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # the invalid lines reached the database
    assert json.loads(printed)["accounting"]["refused"] >= 2


def test_checking_a_key_reads_and_writes_no_disk(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = guarded.make("read")
    monkeypatch.setattr(
        guarded.server.store,
        "query",
        lambda *_: pytest.fail("the check read the database"),
    )
    monkeypatch.setattr(
        guarded.server.store, "writing", lambda: pytest.fail("the check wrote")
    )
    assert guarded.server.keys.caller(secret.encode(), datetime.now(UTC)).scopes == {
        "read"
    }
