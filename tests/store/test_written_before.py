"""A data directory that an earlier version wrote: it opens, reads the same, and its spool is loaded."""

import importlib.util
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from monitor.server.server import Server

WRITTEN = Path(__file__).parent / "written_before"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_folder", WRITTEN / "make_folder.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(WRITTEN / "data.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "data"


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "contents.json").read_text())


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with closing(Server(folder, MAKER.config())) as server:
        server.scheduler.clock = lambda: MAKER.END
        yield server


def test_a_folder_of_before_reads_the_same(
    server: Server, expected: dict[str, Any]
) -> None:
    read = MAKER.contents(server)
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        assert json.dumps(read[name]) == json.dumps(value), name
    assert len(expected["alerts"]) >= 3 and len(expected["findings"]) >= 3
    assert expected["due"] and expected["deliveries"] and expected["transitions"]
    assert expected["fits"] and expected["state"] and expected["accepted"]
    assert any(a["acknowledged_by"] == "grace" for a in expected["alerts"])
    assert any(a["finding"]["moved"] for a in expected["alerts"])


def test_rows_in_the_spool_of_before_are_loaded(
    server: Server, expected: dict[str, Any]
) -> None:
    server.start(background=False)
    first, _, events, labels = expected["spans"]["m"]
    span = server.store.span("m")
    assert span[0] is not None and span[0].isoformat() == first
    assert span[2:] == (events + 25, labels + 1)
    assert server.store.model("m").schema.by_name["new"].kind == "numeric"
    totals = server.store.ledger.totals()
    assert totals["received"] == expected["totals"]["received"] + 26
    assert totals["stored"] == expected["totals"]["stored"] + 26


def test_alerts_of_before_are_written_as_they_were(
    server: Server, expected: dict[str, Any]
) -> None:
    bodies = "SELECT id, body FROM alerts ORDER BY id"
    before = server.store.query(bodies)
    for alert in server.store.alerts.listing(["m"], "all", 100):
        server.store.alerts.change(alert.id, "ada", MAKER.END)
    assert server.store.query(bodies) == before
    evaluated = server.store.alerts.evaluated()
    model = server.store.model("m")
    stored = 'SELECT "key", body FROM findings ORDER BY ALL'
    findings = server.store.query(stored)
    server.store.alerts.save(
        model.id,
        model.name,
        evaluated[model.id],
        server.store.alerts.latest_findings("m"),
        [],
        [],
        [],
    )
    assert server.store.query(stored) == findings


def test_evaluation_goes_on_where_it_was(server: Server) -> None:
    server.start(background=False)
    server.scheduler.clock = lambda: MAKER.END + MAKER.timedelta(hours=3)
    server.scheduler.evaluate_due(settle=MAKER.timedelta(0))
    detector = server.scheduler.detector_runner.detector_store
    state = detector.state(server.store.model("m").id)
    assert state is not None and state[0] > MAKER.END
    alerts = server.store.alerts.listing(["m"], "all", 100)
    assert any(alert.last_seen > MAKER.END for alert in alerts)


def test_the_script_still_makes_such_a_folder(tmp_path: Path) -> None:
    MAKER.main(tmp_path)
    with duckdb.connect(str(tmp_path / "data" / "driftdeck.duckdb")) as con:
        assert con.execute("SELECT count(*) FROM alerts").fetchall()[0][0] >= 3
    assert (tmp_path / "data.tar.xz").stat().st_size < 300_000
    assert "make_folder" not in sys.modules
