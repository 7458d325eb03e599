"""What happens around the process: import, exit, fork, many threads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monitor.client import Client

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system has no fork"
)


def run(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_the_standard_library_only_and_nothing_else_of_monitor():
    loaded = run(
        "import sys; before = set(sys.modules); import monitor.client, monitor.client.asgi, monitor.client.wsgi\n"
        "print(*set(sys.modules) - before)"
    ).split()
    foreign = {
        name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert {
        name
        for name in foreign
        if name != "monitor" and not name.startswith("monitor.client")
    } == set()


def test_import_leaves_the_slow_modules_to_the_background_thread():
    script = "import sys, monitor.client; print(*sys.modules)"
    assert {"http.client", "ssl", "logging", "random", "uuid"}.isdisjoint(
        run(script).split()
    )


def test_events_are_flushed_at_exit(collector):
    run(
        "import sys; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', flush_interval=3600)\n"
        "for i in range(700): client.log({'i': i}, i)",
        collector.url,
    )
    assert [record["prediction"] for record in collector.records()] == list(range(700))


def test_exit_is_not_held_up_by_a_server_that_is_down(unused_url):
    out = run(
        "import sys; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', timeout=0.3); client.log({}, 1); print('done')",
        unused_url,
    )
    assert out == "done\n"


@needs_fork
def test_forked_child_sends_its_own_events_and_none_of_the_parents(collector):
    run(
        "import os, sys; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', flush_interval=3600)\n"
        "client.log({}, 'warm'); client.flush(20)\n"
        "for i in range(10): client.log({}, 'parent')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    assert client.stats()['queued'] == 0\n"
        "    client.log({}, 'child')\n"
        "    ok = client.flush(20)\n"
        "    os._exit(0 if ok and client.stats()['accepted'] == 1 else 1)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "sys.exit(os.waitstatus_to_exitcode(status))",
        collector.url,
    )
    predictions = [
        record["prediction"]
        for request in collector.requests
        for record in request.records
    ]
    assert sorted(predictions) == ["child"] + ["parent"] * 10 + ["warm"]


@needs_fork
def test_forked_child_has_random_bits_of_its_own():
    script = (
        "import os; from monitor.client import new_event_id\n"
        "new_event_id(); read, write = os.pipe()\n"
        "if os.fork() == 0: os.write(write, new_event_id().encode()); os._exit(0)\n"
        "print(new_event_id()[-17:] == os.read(read, 36).decode()[-17:])"
    )
    assert run(script) == "False\n"


@needs_fork
def test_multiprocessing_workers_flush_at_their_end(collector):
    run(
        "import multiprocessing, sys; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', flush_interval=3600)\n"
        "def work(i): client.log({}, i)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    workers = [context.Process(target=work, args=(i,)) for i in range(3)]\n"
        "    for worker in workers: worker.start()\n"
        "    for worker in workers: worker.join()",
        collector.url,
    )
    assert sorted(record["prediction"] for record in collector.records()) == [0, 1, 2]


def test_many_threads_lose_nothing(collector):
    with Client(collector.url, model="m", batch=64) as client:
        ids: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: ids.extend(client.log({}, i) for i in range(500))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(30)
        stats = client.stats()
    assert stats["logged"] == stats["accepted"] == 4_000
    assert sorted(record["event_id"] for record in collector.records()) == sorted(ids)


def test_closed_client_leaves_no_thread(collector):
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        client.flush(20)
    assert not any(
        thread.name == "driftdeck-client" and thread.is_alive()
        for thread in threading.enumerate()
    )


def test_middlewares_are_importable_by_their_short_name():
    from monitor.client import asgi, wsgi

    assert asgi.DriftdeckMiddleware is asgi.DriftdeckASGIMiddleware
    assert wsgi.DriftdeckMiddleware is wsgi.DriftdeckWSGIMiddleware
