"""Real application servers: every prediction that a worker answered is logged, however the worker ends."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]

FLASK = """
    import os, time
    from flask import Flask, request
    from monitor.client import Client
    from monitor.client.wsgi import DriftdeckMiddleware

    app = Flask(__name__)
    client = Client(os.environ["MONITOR"], model="m", flush_interval=3600, spool=os.environ.get("SPOOL") or None)
    app.wsgi_app = DriftdeckMiddleware(app.wsgi_app, client, paths=["/predict"])


    @client.watch(model="inner")
    def risk(i):
        time.sleep(0.02)  # so that the next request finds this worker busy
        return i / 2


    @app.post("/predict")
    def predict():
        return {"prediction": risk(request.get_json()["features"]["i"]), "pid": os.getpid()}
"""

FASTAPI = """
    import os
    from fastapi import Body, FastAPI
    from monitor.client import Client
    from monitor.client.asgi import DriftdeckMiddleware

    app = FastAPI()
    client = Client(os.environ["MONITOR"], model="m", flush_interval=3600)
    app.add_middleware(DriftdeckMiddleware, client=client, paths=["/predict"])


    @app.post("/predict")
    async def predict(features: dict = Body(embed=True)):
        return {"prediction": features["i"] / 2, "pid": os.getpid()}
"""


def start(folder, source, command, monitor, spool=""):
    (folder / "service.py").write_text(textwrap.dedent(source))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{folder}",
        "MONITOR": monitor,
        "SPOOL": spool,
    }
    log = (folder / "service.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
    )
    log.close()
    return process


def ask(url, n):
    with httpx.Client(
        base_url=url,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=60,
    ) as http:

        def one(i):
            answer = http.post("/predict", json={"features": {"i": i}})
            assert answer.status_code == 200, answer.text
            return answer.json()["pid"]

        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(one, range(n)))


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    process.wait(60)


@pytest.mark.parametrize(
    "options",
    [["--workers", "3"], ["--workers", "3", "--preload"], ["--threads", "4"]],
    ids=" ".join,
)
@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_flask_under_gunicorn_logs_every_prediction_of_every_worker(
    tmp_path, collector, unused_url, wait_for, options, spooled
):
    bind = unused_url.removeprefix("http://")
    spool = str(tmp_path / "spool") if spooled else ""
    process = start(
        tmp_path,
        FLASK,
        ["gunicorn", "service:app", "--bind", bind, *options],
        collector.url,
        spool,
    )
    try:
        wait_for(
            lambda: (
                httpx.get(unused_url, trust_env=False, timeout=60).status_code == 404
            ),
            "gunicorn",
        )
        workers = ask(unused_url, 60)
    finally:
        stop(process)
    log = (tmp_path / "service.log").read_text()
    events = collector.of("/v1/events")
    assert sorted(e["features"]["i"] for e in events if e["model"] == "m") == list(
        range(60)
    ), log
    assert sorted(e["features"]["i"] for e in events if e["model"] == "inner") == list(
        range(60)
    ), log
    assert len(workers) > 1 or "--threads" in options
    assert "Traceback" not in log


def test_fastapi_under_uvicorn_flushes_at_sigterm(
    tmp_path, collector, unused_url, wait_for
):
    port = unused_url.rsplit(":", 1)[1]
    process = start(
        tmp_path, FASTAPI, ["uvicorn", "service:app", "--port", port], collector.url
    )
    try:
        wait_for(
            lambda: (
                httpx.get(unused_url, trust_env=False, timeout=60).status_code == 404
            ),
            "uvicorn",
        )
        ask(unused_url, 30)
    finally:
        stop(process)
    assert sorted(e["features"]["i"] for e in collector.of("/v1/events")) == list(
        range(30)
    )


def test_plain_process_flushes_at_sigterm_and_still_dies_of_it(tmp_path, collector):
    script = (
        "import sys, time; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', flush_interval=3600)\n"
        "for i in range(5): client.log({}, i)\n"
        "print('logged', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, collector.url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "logged\n"
    stop(process)
    process.stdout.close()
    assert process.returncode == -signal.SIGTERM
    assert [e["prediction"] for e in collector.of("/v1/events")] == list(range(5))


def test_own_handler_of_sigterm_stays(tmp_path, collector):
    script = (
        "import signal, sys; from monitor.client import Client\n"
        "signal.signal(signal.SIGTERM, print)\n"
        "Client(sys.argv[1], model='m')\n"
        "assert signal.getsignal(signal.SIGTERM) is print"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script, collector.url], timeout=60
        ).returncode
        == 0
    )
