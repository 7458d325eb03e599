"""A plug-in is one file, or one entry point: a dummy of each kind from configuration to page."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Any

import httpx
import pytest
from conftest import Served
from events import NOW, event, lines
from typer.testing import CliRunner

from app import finding_text, reader, text
from monitor import plugins
from monitor.alerting.channel_sender import ChannelSender
from monitor.api import create_app
from monitor.cli import app
from monitor.config.config_file import read_config
from monitor.errors import ConfigError, PluginError
from monitor.ingest.file_batches import ColumnMapping, event_batches, source_of
from monitor.send.session import serving
from monitor.server.server import Server

FOLDERS = {
    "statistics": "monitor.statistics",
    "channels": "monitor.alerting.channels",
    "sources": "monitor.sources",
    "engines": "monitor.engines",
    "protocols": "monitor.protocols",
}
STATISTIC = '''
"""Distance of two means."""

from monitor.finding import Measurement

NAME = "mean_gap"
TITLE = "gap of the means"
GROUP = "data"
UNIT = ""
RANGE = (0.0, float("inf"))
FORMULA = "|mean of current - mean of reference|"
SOURCE = "a test"
KINDS = frozenset({"numeric"})
NEEDS_REFERENCE = True
MINIMUM = 50
DISTANCE = True


def measure(reference, current, **_):
    if reference is None or reference.mean is None or current.mean is None:
        return Measurement(None, None, None, current.n)
    gap = abs(current.mean - reference.mean)
    return Measurement(gap, gap - 1, gap + 1, current.n, reference.n, gap)
'''
CHANNEL = '''
"""A pager that is called by a token of the environment."""

import json
import os

from pydantic import model_validator

from monitor.config.channel import ChannelConfig
from monitor.contracts import Request

NAME = "pager"


class CONFIG(ChannelConfig):
    address: str
    token_env: str = "PAGER_TOKEN"

    @model_validator(mode="after")
    def _has_token(self):
        if not os.environ.get(self.token_env):
            raise ValueError(f"the environment variable {self.token_env} is not set")
        return self


def render(config, body, message_id, at):
    page = {"id": message_id, "what": body["data"]["text"]}
    headers = {"authorization": os.environ[config.token_env]}
    return Request(config.address, json.dumps(page).encode(), headers)
'''
SOURCE = '''
"""Rows with | between their values, names in the first line."""

import pyarrow as pa

from monitor.contracts import UNLIMITED, Chunk

MEDIA_TYPES = ("text/pipes",)
SUFFIXES = (".pipes",)


def read_bytes(body, limits=UNLIMITED):
    names, *rows = [line.split("|") for line in body.decode().splitlines()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return Chunk(pa.table(dict(zip(names, columns, strict=True))), 2, (), len(body))


def read_file(path, rows):
    yield read_bytes(path.read_bytes())
'''
ENGINE = '''
"""The embedded engine, with a list of the columns that it profiled."""

from monitor.engines import in_process

PROFILED = []


def profile(rows, columns):
    PROFILED.extend(column.column for column in columns)
    return in_process.profile(rows, columns)
'''
PROTOCOL = '''
"""Requests with `pairs`, responses with `scores`."""

import json

from monitor.contracts import Row, Target

NAME = "pairs"


def target(path):
    return Target(path.rsplit("/", 1)[-1])


def understands(body):
    return "pairs" in body


def read(request, response, wanted):
    scores = json.loads(response)["scores"] if response else []
    pairs = json.loads(request)["pairs"]
    return [Row(dict(pair), score) for pair, score in zip(pairs, scores, strict=True)]
'''
DUMMIES = {
    "statistics": ("mean_gap", STATISTIC),
    "channels": ("pager", CHANNEL),
    "sources": ("pipes", SOURCE),
    "engines": ("noting", ENGINE),
    "protocols": ("pairs", PROTOCOL),
}


def _clear() -> None:
    for registry in plugins.REGISTRIES:
        registry.cache_clear()


@dataclass
class Plugged:
    """A place for plug-ins: a file in a folder of this kind, or an installed package."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def add_file(self, kind: str, name: str, code: str) -> None:
        """Put a file into a folder that belongs to the package of this kind."""
        place = self.folder / kind
        place.mkdir(exist_ok=True)
        (place / f"{name}.py").write_text(code, encoding="utf-8")
        package = importlib.import_module(FOLDERS[kind])
        paths = [*package.__path__, str(place)]
        self.monkeypatch.setattr(package, "__path__", paths)
        self.monkeypatch.delitem(sys.modules, f"{FOLDERS[kind]}.{name}", raising=False)
        _clear()

    def install(self, kind: str, name: str, code: str, value: str = "") -> None:
        """Install a package `acme` that brings a plug-in by an entry point."""
        site, module = self.folder / "site", f"acme_{name}"
        about = site / "acme-1.0.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        (about / "METADATA").write_text("Name: acme\nVersion: 1.0\n", encoding="utf-8")
        entry = f"[driftdeck.{kind}]\n{name} = {value or module}\n"
        (about / "entry_points.txt").write_text(entry, encoding="utf-8")
        self.monkeypatch.syspath_prepend(str(site))
        self.monkeypatch.delitem(sys.modules, module, raising=False)
        _clear()


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugged]:
    """Plug-ins may be added; they are gone after the test."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    with monkeypatch.context() as patch:
        yield Plugged(folder, patch)
    _clear()


Add = Callable[[str], None]


@pytest.fixture(params=["file", "entry point"])
def add(request: pytest.FixtureRequest, plugged: Plugged) -> Add:
    """Add the dummy of a kind, once as a file and once by an entry point."""

    def add_dummy(kind: str) -> None:
        name, code = DUMMIES[kind]
        way = plugged.add_file if request.param == "file" else plugged.install
        way(kind, name, code)

    return add_dummy


@contextmanager
def running(folder: Path, toml: str) -> Iterator[Served]:
    """A server with this configuration behind real HTTP."""
    path = folder / "driftdeck.toml"
    path.write_text(dedent(toml), encoding="utf-8")
    server = Server(folder / "data", read_config(path))
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Served(server, client)


def send_older(served: Served) -> None:
    """A reference, then a day of events whose age is 20 higher, and an evaluation."""
    rows = [event(i, ts=(NOW - timedelta(minutes=i)).isoformat()) for i in range(1200)]
    csv = "age,country,premium,prediction\n" + "".join(
        f"{row['features']['age']},{row['features']['country']},"
        f"{row['features']['premium']},{row['prediction']}\n"
        for row in rows
    )
    headers = {"content-type": "text/csv"}
    path = "/v1/models/m/reference"
    assert served.client.put(path, content=csv, headers=headers).status_code == 200
    for row in rows:
        row["features"]["age"] += 20
    assert served.post("/v1/events", lines(*rows)).json()["accepted"] == 1200
    served.server.scheduler.tick()


RULE = """
    default_rules = false
    [[rules]]
    name = "gap"
    statistic = "mean_gap"
    limit = 5
"""


def test_statistic_from_rule_to_page(
    add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("statistics")
    with running(tmp_path, RULE) as served:
        send_older(served)
        overview = served.get("/v1/models/m/overview")
        assert overview["status"] == "breach"
        assert overview["groups"]["data"] == "breach"
        (reason,) = overview["reasons"]
        assert (reason["statistic"], reason["column"]) == ("mean_gap", "age")
        assert (reason["title"], reason["group"]) == ("gap of the means", "data")
        # by the hour the window holds other rows: 20 or 20.1
        assert reason["text"].startswith("age: gap of the means 20")
        drift = served.get("/v1/models/m/drift", statistic="mean_gap")
        statuses = {row["column"]: row["status"] for row in drift["columns"]}
        assert statuses == {"age": "breach", "reconstruction_error": "ok"}
        column = served.get("/v1/models/m/columns/age")
        assert "mean_gap" in [row["statistic"] for row in column["statistics"]]
        replay = served.get("/v1/models/m/replay", statistic="mean_gap", limit=5)
        assert replay["rules"][0]["alerts"] == 1
        # the dashboard
        monkeypatch.setenv("DRIFTDECK_URL", str(served.client.base_url))
        reader.forget()
        text.use_statistics(reader.statistics())
        assert text.statistic("mean_gap") == "gap of the means"
        assert "mean_gap" in text.rule_statistics()
        assert finding_text.finding(reason) == "age drifted"
        reader.forget()


@contextmanager
def receiving() -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A receiver: its address, and a token and JSON of each request."""
    requests: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            requests.append((self.headers["authorization"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/page", requests
    finally:
        server.shutdown()
        server.server_close()


def test_channel_from_configuration_to_delivery(
    add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("channels")
    monkeypatch.setenv("PAGER_TOKEN", "secret-of-the-pager")
    rule = (
        '[[rules]]\nname = "drift"\nstatistic = "psi"\nlimit = 0.2\ncolumns = ["age"]\n'
    )
    with receiving() as (address, pages):
        section = f'[[channels]]\nname = "p"\ntype = "pager"\naddress = "{address}"\n'
        with running(tmp_path, "default_rules = false\n" + rule + section) as served:
            send_older(served)
            (channel,) = served.server.config.channels
            now = datetime.now(UTC) + timedelta(minutes=1)
            ChannelSender(channel, served.server.store.alerts).send_due(now)
        ((token, page),) = pages
        assert token == "secret-of-the-pager"
        assert page["what"].startswith("age: drift (PSI) ")
        assert page["id"]


def check(folder: Path, toml: str) -> str:
    """The output of `driftdeck config check` on this configuration."""
    path = folder / "checked.toml"
    path.write_text(toml, encoding="utf-8")
    result = CliRunner().invoke(app, ["config", "check", str(path)])
    return result.output if result.exit_code == 0 else str(result.exception)


def test_config_check_asks_a_channel_for_its_own_keys_only(
    plugged: Plugged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged.add_file("channels", *DUMMIES["channels"])
    pager = '[[channels]]\nname = "p"\ntype = "pager"\n'
    monkeypatch.delenv("PAGER_TOKEN", raising=False)
    unset = check(tmp_path, pager + 'address = "http://x/"\n')
    assert "channels[0]: the environment variable PAGER_TOKEN is not set" in unset
    monkeypatch.setenv("PAGER_TOKEN", "t")
    assert "1 channels; no errors" in check(tmp_path, pager + 'address = "http://x/"\n')
    assert "channels[0].address is missing" in check(tmp_path, pager)
    unknown = check(tmp_path, pager + 'address = "http://x/"\nsecret = "s"\n')
    assert "channels[0].secret is unknown; known: name, type, severities" in unknown
    assert unknown.rstrip().endswith("address, token_env")
    other = check(tmp_path, '[[channels]]\nname = "p"\ntype = "pigeon"\n')
    assert "channels[0].type: 'pigeon' is unknown; known: pager, webhook" in other
    assert other.count("  - ") == 1
    webhook = check(tmp_path, '[[channels]]\nname = "p"\nurl = "http://x/"\n')
    assert "channels[0]: no signing secret: give `secret` or `secret_env`" in webhook


def test_source_by_body_and_file(add: Add, served: Served, tmp_path: Path) -> None:
    add("sources")
    now = NOW.isoformat()
    rows = [f"a{i}|{now}|{i}|0.5" for i in range(5)]
    body = "\n".join(["event_id|ts|age|prediction", *rows]).encode()
    answer = served.post("/v1/events?model=p", body, "text/pipes")
    assert answer.json() == {"accepted": 5, "refused": 0, "refusals": []}
    path = tmp_path / "more.pipes"
    path.write_bytes(body.replace(b"\na", b"\nb"))
    mapping = ColumnMapping(id="event_id")
    batches = list(event_batches(path, source_of(path), "digest", "p", None, mapping))
    for batch in (batch for batch in batches if batch.body):
        answer = served.post("/v1/events?model=p", batch.body, batch.media_type)
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == 5
    served.server.scheduler.tick()
    (model,) = served.get("/v1/models")["models"]
    assert (model["model"], model["events"]) == ("p", 10)


def test_engine_is_chosen_by_configuration(add: Add, tmp_path: Path) -> None:
    add("engines")
    with running(tmp_path, 'engine = "noting"') as served:
        send_older(served)
        engine: Any = plugins.engines()["noting"]
        assert {"latency_ms", "status", "prediction"} <= set(engine.PROFILED)
        assert served.get("/v1/models/m/overview")["predictions"]["n"] == 1200
    path = tmp_path / "driftdeck.toml"
    path.write_text('engine = "steam"', encoding="utf-8")
    with pytest.raises(ConfigError, match="engine: 'steam' is unknown; known: in_proc"):
        read_config(path)


def test_protocol_by_cloudevents(add: Add, served: Served) -> None:
    add("protocols")
    pairs = {"pairs": [[["age", 41]], [["age", 42]]]}
    for part, data in (("request", pairs), ("response", {"scores": [0.25, 0.75]})):
        headers = {
            "ce-specversion": "1.0",
            "ce-type": f"org.kubeflow.serving.inference.{part}",
            "ce-source": "http://localhost:9081/",
            "ce-id": "a-1",
            "ce-time": NOW.isoformat(),
            "ce-inferenceservicename": "scorer",
        }
        body = json.dumps(data).encode()
        kind = "application/json"
        answer = served.post("/v1/cloudevents", body, kind, **headers)
        assert answer.status_code == 200, answer.text
    served.server.scheduler.tick()
    (model,) = served.get("/v1/models")["models"]
    assert (model["model"], model["events"], model["features"]) == ("scorer", 2, 1)


# errors: each names the plug-in, its place, and what would be right


@pytest.mark.parametrize(
    ("kind", "wrong", "right", "sentence"),
    [
        ("statistics", "TITLE", "TITEL", "has no TITLE; right would be: its name for"),
        ("statistics", "MINIMUM = 50", "MINIMUM = '50'", "which is no int"),
        ("statistics", 'GROUP = "data"', 'GROUP = "x"', "one of: data, service, quali"),
        ("statistics", "def measure", "def mesure", "has no function measure"),
        ("statistics", '"mean_gap"', '"gap"', "right would be: NAME = 'mean_gap'"),
        ("channels", "CONFIG", "CONFIGURATION", "has no CONFIG; right would be: a sub"),
        ("sources", "MEDIA_TYPES", "TYPES", "has no MEDIA_TYPES; right would be: Con"),
        ("engines", "def profile", "def profil", "has no function profile"),
        ("protocols", "def target", "def aim", "has no function target"),
    ],
)
def test_broken_contract_is_one_sentence(
    plugged: Plugged, kind: str, wrong: str, right: str, sentence: str
) -> None:
    name, code = DUMMIES[kind]
    plugged.add_file(kind, name, code.replace(wrong, right, 1))
    with pytest.raises(PluginError, match=name) as error:
        plugins.load_all()
    assert sentence in str(error.value)
    assert f"{FOLDERS[kind]}.{name}" in str(error.value)


def test_two_plug_ins_of_one_name(plugged: Plugged) -> None:
    plugged.install("statistics", "psi", STATISTIC.replace("mean_gap", "psi"))
    with pytest.raises(PluginError) as error:
        plugins.statistics()
    assert str(error.value) == (
        "there are two plug-ins for the statistic 'psi': monitor.statistics.drift.psi "
        "and acme_psi (entry point of acme); rename or uninstall one"
    )


def test_entry_point_that_cannot_be_loaded_stops_the_start(
    plugged: Plugged, tmp_path: Path
) -> None:
    plugged.install("sources", "pipes", "import no_such_package", "acme_pipes")
    sentence = (
        "the plug-in 'pipes' cannot be loaded from acme_pipes (entry point of acme): "
        "ModuleNotFoundError: No module named 'no_such_package'; correct or uninstall it"
    )
    with pytest.raises(PluginError) as error:
        Server(tmp_path / "data")
    assert str(error.value) == sentence
    assert check(tmp_path, "") == sentence


def test_left_out_attributes_have_their_defaults(plugged: Plugged) -> None:
    plugged.add_file("statistics", *DUMMIES["statistics"])
    statistic = plugins.statistics()["mean_gap"]
    assert (statistic.COLUMNS, statistic.COMPARE, statistic.CAUSE) == (
        (),
        "value",
        "change",
    )
    assert not statistic.ON_COLUMN_PAGE
    assert statistic.growth(10, 10) == 0.0
