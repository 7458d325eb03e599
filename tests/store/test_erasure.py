"""Erasure: no byte of a person is left in any file, and every count is as it was."""

import gzip
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Served
from events import NDJSON, NOW, event, lines

from monitor.config.columns import ColumnPolicy
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.errors import InvalidRequest
from monitor.server.server import Server, contains_any

PERSON = "Grace.Hopper+1906@example"


@contextmanager
def opened(folder: Path, **model: Any) -> Iterator[Server]:
    with closing(
        Server(folder, Config(models={"m": ModelConfig(**model)}, default_rules=False))
    ) as server:
        server.start(background=False)
        yield server


def of(i: int, person: str, **changes: Any) -> dict[str, Any]:
    return event(
        i,
        features={"user": person, "age": float(i % 70)},
        tags={"session": f"s-{person}"},
        **changes,
    )


def fill(server: Server) -> None:
    body = [of(i, PERSON if i % 10 == 0 else f"other-{i % 37}") for i in range(3000)]
    for start in range(0, 3000, 500):
        server.collector.events(
            lines(*body[start : start + 500]), NDJSON
        ).durable.result(60)
    server.collector.events(
        lines(of(9001, PERSON, ts="never"), of(9002, "other-1", ts="never")),
        NDJSON,
        "key-1",
    ).durable.result(60)
    labels = [
        {"event_id": f"e{i}", "model": "m", "label": True} for i in range(0, 3000, 5)
    ]
    server.collector.labels(lines(*labels), NDJSON).durable.result(60)
    server.scheduler.load_all()


def files_with(folder: Path, text: str) -> list[str]:
    return [
        p.name
        for p in folder.rglob("*")
        if p.is_file() and contains_any(p, [text.encode()])
    ]


def profile_counts(server: Server) -> list[tuple[Any, ...]]:
    return server.store.query(
        'SELECT "column", bin, sum(n) FROM profile_bins GROUP BY ALL ORDER BY ALL'
    )


def test_a_persons_rows_are_gone_from_every_file_and_the_counts_stay(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, entity="user") as server:
        fill(server)
        assert files_with(tmp_path, PERSON)  # so that what follows can fail
        before, totals = profile_counts(server), server.store.ledger.totals()
        done = server.erase(PERSON, None, ["m"])
        assert (done.rows.events, done.rows.labels, done.rows.quarantined) == (
            300,
            300,
            1,
        )
        assert done.rewritten and done.remaining == []
        assert files_with(tmp_path, PERSON) == []
        assert profile_counts(server) == before
        assert server.store.ledger.totals() == totals
        assert [q.event_id for q in server.store.ledger.refused()] == ["e9002"]
        server.collector.events(lines(of(9100, "other-1")), NDJSON).durable.result(60)
        server.scheduler.load_all()
        ((left,),) = server.store.query(
            f"SELECT count(*) FROM {server.store.model('m').events}"
        )
        assert left == 2701
    with opened(tmp_path) as server:
        assert files_with(tmp_path, PERSON) == []
        assert server.store.ledger.totals()["stored"] == totals["stored"] + 1


def test_a_category_of_the_reference_loses_its_name_and_keeps_its_counts(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as server:
        fill(server)
        assert server.store.references.about("m").status == "provisional"
        field = server.store.model("m").schema.by_name["user"].field
        assert PERSON in server.store.layouts("m")[field].category_bins
        before = server.store.references.profiles("m")[field].counts.tolist()
        for person in (PERSON, "other-1"):
            server.erase(person, "user", ["m"])
        layout = server.store.layouts("m")[field]
        assert PERSON not in layout.category_bins and {"(erased)", "(erased 2)"} <= set(
            layout.category_bins
        )
        assert server.store.references.profiles("m")[field].counts.tolist() == before
        assert (
            sum(
                p.n
                for p in server.store.profiles(
                    "m",
                    NOW.replace(year=2000, tzinfo=None),
                    NOW.replace(year=2100, tzinfo=None),
                )[field]
            )
            == 3000
        )


def test_a_tag_and_a_hashed_column_can_name_the_person(tmp_path: Path) -> None:
    with opened(tmp_path, columns={"user": ColumnPolicy(keep="hash")}) as server:
        fill(server)
        hashed = server.collector.policy("m").entity("user", PERSON)
        done = server.erase(PERSON, "user", ["m"])
        assert done.rows.events == 300
        assert files_with(tmp_path, hashed) == []
        assert server.erase(f"s-{PERSON}", "tags.session", ["m"]).rows.events == 0


def test_erasing_by_a_column_that_nobody_named_is_a_clear_error(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        fill(server)
        with pytest.raises(InvalidRequest, match="give the column that names a person"):
            server.erase(PERSON, None, ["m"])
        assert server.erase("nobody", "no-such-column", ["m"]).rows.events == 0


def test_over_http_and_while_others_read_and_write(served: Served) -> None:
    body = lines(*(of(i, PERSON if i % 2 else "x") for i in range(100)))
    headers = {"content-type": NDJSON, "content-encoding": "gzip"}
    served.client.post("/v1/events", content=gzip.compress(body), headers=headers)
    served.get("/v1/models/m/overview") if served.client.post(
        "/v1/flush"
    ).status_code == 200 else None
    done = served.client.post(
        "/v1/erase", json={"entity": PERSON, "by": "user", "model": "m"}
    ).json()
    assert done["events"] == 50 and done["left"] == [] and done["rewritten"]
    assert served.get("/v1/accounting")["totals"]["stored"] == 100
    assert served.client.post("/v1/erase", json={"entity": PERSON}).status_code == 422
    assert (
        served.client.post(
            "/v1/erase", json={"entity": PERSON, "by": "user", "model": "nope"}
        ).status_code
        == 404
    )
    assert (
        json.loads(served.post("/v1/events", lines(of(200, "x"))).text)["accepted"] == 1
    )
