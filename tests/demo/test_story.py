"""The story starts everything in order, tells what was found, and leaves nothing behind."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from monitor.demo import delay_model, flights, history, processes, story
from monitor.demo.processes import DemoError, children

STUB = (sys.executable, str(Path(__file__).with_name("stub_cli.py")))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def short(monkeypatch, found, model):
    """The story with the flights and the model of the other tests, and a past of two days."""
    few = flights.Flights(
        found.reference.head(500), found.current.head(3_000), found.weeks
    )
    part = delay_model.DelayModel(
        model.pipeline, model.version, model.held_out[:500], model.importance
    )
    monkeypatch.setattr(flights, "load", lambda day: few)
    monkeypatch.setattr(delay_model, "train", lambda reference: part)


@pytest.fixture
def calls(monkeypatch, tmp_path):
    path = tmp_path / "calls"
    monkeypatch.setenv("STUB_CALLS", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def play(tmp_path, **options):
    out = io.StringIO()
    ports = (free_port(), free_port())
    console = Console(file=out, width=120)
    try:
        story.run(
            tmp_path / "demo",
            "127.0.0.1",
            *ports,
            console=console,
            command=STUB,
            **options,
        )
    finally:
        assert not any(map(is_taken, ports))
    return out.getvalue(), ports


def test_story_is_told_from_start_to_end(short, calls, tmp_path):
    text, (server_port, ui_port) = play(tmp_path, seconds=0.5, requests_per_second=20)
    assert [call[0] for call in calls()] == [
        "server",
        "reference",
        "ingest",
        "labels",
        "ui",
    ]
    assert "500 flights of reference" in text and "3,000 predictions" in text
    assert (
        "psi temp" in text and "0.41" in text and "2026-06-01" in text and "912" in text
    )
    assert "signature verified: 1" in text and "alert.firing" in text
    assert f"Dashboard: http://127.0.0.1:{ui_port}" in text
    server, reference, ingest, labels, ui = calls()
    assert server[server.index("--port") + 1] == str(server_port)
    url = f"http://127.0.0.1:{server_port}"
    assert all(
        call[call.index("--url") + 1] == url for call in (reference, ingest, labels, ui)
    )
    assert reference[1:3] == ["set", "flight-delay"] and reference[-4:-2] == [
        "--label",
        "label",
    ]
    assert all(Path(name).exists() for name in ingest[1 : ingest.index("--model")])


def test_secret_of_the_webhook_is_readable_by_its_owner_only(short, calls, tmp_path):
    play(tmp_path, seconds=0)
    assert (tmp_path / "demo" / "driftdeck.toml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [
        ("server", "the server stopped with exit code 1: server: this cannot"),
        ("ingest", "`driftdeck ingest"),
    ],
)
def test_child_that_fails_ends_the_story_with_its_reason(
    short, calls, tmp_path, monkeypatch, verb, sentence
):
    monkeypatch.setenv("STUB_FAILS", verb)
    with pytest.raises(DemoError, match=sentence):
        play(tmp_path)


def test_port_in_use_is_said_before_anything_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            DemoError,
            match=f"port {port} on 127.0.0.1 for the server cannot be used",
        ):
            story.run(
                tmp_path, "127.0.0.1", port, 1, console=Console(file=io.StringIO())
            )
    assert list(tmp_path.iterdir()) == []


def test_second_run_starts_fresh(tmp_path):
    story._start_fresh(tmp_path)
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "old").touch()
    story._start_fresh(tmp_path)
    assert not (tmp_path / "server").exists()


def test_data_of_somebody_else_is_not_touched(tmp_path):
    mine = tmp_path / "server" / "mine"
    mine.parent.mkdir()
    mine.touch()
    with pytest.raises(DemoError, match="is not of the demo"):
        story.run(
            tmp_path,
            "127.0.0.1",
            free_port(),
            free_port(),
            console=Console(file=io.StringIO()),
        )
    assert mine.exists()


def test_child_that_ignores_the_request_to_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "MAX_STOP_S", 0.3)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with children([sys.executable, "-c", stubborn], tmp_path) as started:
        started.start("stubborn")
        end = time.monotonic() + 300
        while not (tmp_path / "stubborn.log").read_text() and time.monotonic() < end:
            time.sleep(0.02)
        process = started._running[0][1]
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_children_too(tmp_path, number):
    script = (
        "import signal, sys, time; from pathlib import Path; from monitor.demo.processes import children\n"
        # ignored, if a shell started the tests behind itself
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    with children([sys.executable, '-c', 'import time; time.sleep(60)'], Path(sys.argv[1])) as started:\n"
        "        started.start('sleeper')\n"
        "        print(started._running[0][1].pid, flush=True)\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        child = int(process.stdout.readline())
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == "stopped\n"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_live_traffic_starts_where_the_history_ends(found):
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    schedule = history.live_schedule(found.current, now, story.SEED)
    assert (schedule["ts"] > now).sum() == (found.current["ts"] > now).sum() > 0
