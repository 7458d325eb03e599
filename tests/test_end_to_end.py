"""The main job as a user runs it: two processes, the sample data, one planted fault, one signed alert, the page."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import NDJSON
from playwright.sync_api import Page, sync_playwright
from receiver import SECRET, Receiver
from standardwebhooks import Webhook

from monitor.client import Client

DATA = Path(__file__).parent.parent / "data"
PAGES = {
    "": "Is the model OK right now?",
    "service": "Is it up and fast?",
    "drift": "What changed in the incoming data?",
    "alerts": "What needs me?",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[tuple[str, str]]:
    """`driftdeck up` with the sample's configuration and a channel; (server address, dashboard address)."""
    folder = tmp_path_factory.mktemp("up")
    config = folder / "driftdeck.toml"
    channel = (
        f'\n[[channels]]\nname = "hook"\nurl = "{receiver.url}"\nsecret = "{SECRET}"\n'
    )
    importance = (DATA / "driftdeck.toml").read_text()
    config.write_text(channel + "\n" + importance)
    port, ui_port = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "up",
        "--data",
        str(folder / "data"),
        "--config",
        str(config),
    ]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [*command, "--port", str(port), "--ui-port", str(ui_port)],
        stdout=log,
        stderr=log,
    )
    try:
        for url in (
            f"http://127.0.0.1:{port}/readyz",
            f"http://127.0.0.1:{ui_port}/_stcore/health",
        ):
            wait(
                lambda url=url: (
                    httpx.get(url, trust_env=False, timeout=60).status_code == 200
                ),
                f"{url} to answer",
                60,
            )
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        text = (folder / "log").read_text()
        assert "Traceback" not in text, text[-3000:]


def wait(condition: Any, what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if condition():
                return
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def verb(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def http(running: tuple[str, str]) -> Iterator[httpx.Client]:
    """A client of the running server."""
    with httpx.Client(base_url=running[0], trust_env=False, timeout=60) as client:
        yield client


def test_the_planted_fault_reaches_the_webhook_once(
    running: tuple[str, str], http: httpx.Client, receiver: Receiver
) -> None:
    server, _ = running
    verb(
        "reference",
        "set",
        "flight-delay",
        str(DATA / "reference.parquet"),
        "--label",
        "label",
        "--url",
        server,
    )
    verb("ingest", str(DATA / "events.jsonl"), "--url", server)
    verb("labels", str(DATA / "labels.csv"), "--model", "flight-delay", "--url", server)
    (model,) = http.get("/v1/models").json()["models"]
    assert (model["events"], model["labels"]) == (2500, 2390)
    rows = [
        json.loads(line)
        for line in (DATA / "events.jsonl").read_text().splitlines()[:400]
    ]
    now = datetime.now(UTC)
    with Client(server, model="flight-delay", version="live") as client:
        # the service fails one request in four during the last hour
        for i, row in enumerate(rows):
            at = now - timedelta(minutes=50) + timedelta(seconds=7 * i)
            client.log(
                row["features"],
                row["prediction"],
                ts=at,
                latency_ms=5.0,
                status=503 if i % 4 == 0 else 200,
            )
        client.flush(20)
        assert client.stats()["accepted"] == 400

    def told() -> list[dict[str, Any]]:
        messages = [
            Webhook(SECRET).verify(body, headers) for headers, body in receiver.got
        ]
        return [m for m in messages if m["data"]["rule"] == "service-errors"]

    wait(told, "the alert")
    (message,) = told()
    assert message["type"] == "alert.firing"
    assert (message["data"]["model"], message["data"]["column"]) == (
        "flight-delay",
        None,
    )
    assert message["data"]["value"] == pytest.approx(0.25, abs=0.01)

    def alert() -> dict[str, Any]:
        found = http.get("/v1/alerts", params={"state": "firing"}).json()["alerts"]
        return next(a for a in found if a["rule"] == "service-errors")

    assert alert()["id"] == message["data"]["alert_id"]
    wait(
        lambda: [d["status"] for d in alert()["deliveries"]] == ["delivered"],
        "the delivery to be recorded",
    )
    assert len(told()) == 1


@pytest.fixture(scope="module")
def page(chromium: str, running: tuple[str, str]) -> Iterator[Page]:
    """A page in real Chromium that notes errors and requests to anybody else."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="UTC"
        )
        page = context.new_page()
        yield page
        browser.close()


def opened(page: Page, address: str) -> dict[str, list[str]]:
    """Open an address and wait until its charts are drawn; the errors and foreign requests on the way."""
    seen: dict[str, list[str]] = {"errors": [], "foreign": []}
    page.on("pageerror", lambda e: seen["errors"].append(str(e)))
    page.on(
        "request",
        lambda r: (
            None
            if "127.0.0.1" in r.url or r.url.startswith(("data:", "blob:"))
            else seen["foreign"].append(r.url)
        ),
    )
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector("h1", timeout=40_000)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget]') && !document.querySelector('[data-testid=stSkeleton]')",
        timeout=40_000,
    )
    return seen


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_error_untranslated_text_or_foreign_request(
    page: Page, running: tuple[str, str], path: str, language: str
) -> None:
    _, dashboard = running
    seen = opened(
        page, f"{dashboard}/{path}?lang={language}&model=flight-delay&rng=30d"
    )
    title = page.locator("h1").first.inner_text()
    text = page.locator("[data-testid=stMain]").inner_text()
    assert not seen["errors"]
    assert not seen["foreign"]
    assert page.locator("[data-testid=stException]").count() == 0
    assert "Traceback" not in text
    if language == "en":
        assert title == PAGES[path]
        assert not any("\u4e00" <= c <= "\u9fff" for c in text.replace("中文", ""))
    else:
        assert any("\u4e00" <= c <= "\u9fff" for c in title)
        for english in (
            "Latency",
            "Errors",
            "Drift",
            "Alerts",
            "limit",
            "since",
            "Acknowledge",
            "Open alerts",
            "Is the",
            "rows",
        ):
            assert f"{english} " not in text, english


def test_an_event_is_in_the_figures_within_seconds(http: httpx.Client) -> None:
    # a model of its own: the others of this file may run elsewhere
    def stored() -> int:
        answer = http.get("/v1/models/fresh/overview")
        return answer.json()["freshness"]["stored"] if answer.is_success else 0

    row = json.loads((DATA / "events.jsonl").read_text().splitlines()[0])
    row |= {
        "model": "fresh",
        "event_id": "fresh-1",
        "ts": datetime.now(UTC).isoformat(),
    }
    http.post("/v1/events", content=json.dumps(row), headers={"content-type": NDJSON})
    wait(lambda: stored() == 1, "the event", 60)
