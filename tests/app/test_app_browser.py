"""The dashboard in a real browser: its own process, no requests to other hosts."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
# on a deep link the client first asks whether the app lives under that path
KNOWN_NOISE = ("404 (Not Found)", "Infinite extent for field")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def dashboard(chromium: str) -> Iterator[str]:
    """The address of a freshly started dashboard over a fake server."""
    server, app = free_port(), free_port()
    environment = os.environ | {"DRIFTDECK_URL": f"http://127.0.0.1:{server}"}
    fake = [
        sys.executable,
        str(Path(__file__).parent / "fake_server.py"),
        "--port",
        str(server),
    ]
    streamlit = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app/main.py",
        "--server.port",
        str(app),
    ]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in (fake, [*streamlit, "--server.address", "127.0.0.1"])
    ]
    try:
        wait_for(f"http://127.0.0.1:{server}/healthz")
        wait_for(f"http://127.0.0.1:{app}/_stcore/health")
        yield f"http://127.0.0.1:{app}"
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(10)


@pytest.fixture(scope="module")
def page(chromium: str, dashboard: str) -> Iterator[Any]:
    """A tab that collects requests to other hosts and console errors.

    They are in `page.elsewhere` and `page.complaints`.
    """
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        tab = browser.new_page(
            locale="en-GB",
            timezone_id="Asia/Taipei",
            viewport={"width": 1440, "height": 900},
        )
        tab.set_default_timeout(20_000)
        tab.elsewhere, tab.complaints = [], []
        ours = (dashboard, dashboard.replace("http", "ws", 1), "data:", "blob:")
        tab.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(ours)
                else tab.elsewhere.append(request.url)
            ),
        )
        tab.on(
            "console",
            lambda message: (
                tab.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        yield tab
        browser.close()


def opened(page: Any, address: str) -> None:
    """Open a page and wait until it is complete: a moving target is missed by a click."""
    page.goto(address)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.locator("h1").first.wait_for()


def test_deep_link_into_a_fresh_process_draws_the_page(
    page: Any, dashboard: str
) -> None:
    opened(page, f"{dashboard}/drift?range=24h&feature=carrier")
    page.get_by_text("carrier · reference and current").wait_for()
    page.locator(".main-svg").first.wait_for()
    assert page.locator("h1").inner_text() == "What changed in the incoming data?"
    assert page.get_by_text("H<b>A</b>").count()


def test_choices_are_in_the_url_and_survive_reload_and_the_back_button(
    page: Any, dashboard: str
) -> None:
    opened(page, dashboard)
    page.get_by_text("Open alerts").wait_for()
    page.get_by_text("24h", exact=True).click()
    page.wait_for_url("**range=24h**")
    page.get_by_role("link", name="Service").click()
    page.get_by_role("heading", name="Is it up and fast?").wait_for()
    assert "range=24h" in page.url
    page.go_back()
    page.get_by_role("heading", name="Is the model OK right now?").wait_for()
    page.reload()
    page.get_by_text("Open alerts").wait_for()
    assert "range=24h" in page.url


def test_acknowledging_shows_who_and_leaves_the_page_intact(
    page: Any, dashboard: str
) -> None:
    opened(page, dashboard)
    page.get_by_role("button", name="Acknowledge").first.click()
    page.get_by_text("acknowledged by unnamed user").wait_for()
    page.get_by_text("Acknowledged by unnamed user.").wait_for()
    tint = page.evaluate(
        "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    )
    assert tint == "rgb(244, 246, 248)"


def test_ingestion_is_reached_by_navigation_and_shows_records_as_text(
    page: Any, dashboard: str
) -> None:
    opened(page, dashboard)
    page.get_by_role("link", name="Ingestion").click()
    page.get_by_role("heading", name="Is monitoring itself alive?").wait_for()
    page.locator(".main-svg").first.wait_for()
    page.get_by_text("received rows are accounted for").wait_for()
    assert page.locator("[data-testid=stMain] script").count() == 0


def test_accepting_a_change_asks_first_and_then_says_who_did(
    page: Any, dashboard: str
) -> None:
    opened(page, f"{dashboard}/drift")
    page.get_by_role("button", name="Set as new normal").click()
    page.get_by_text("Cannot be undone.").wait_for()
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_text("Set as new normal by unnamed user.").wait_for()
    page.get_by_text("Open changes").wait_for(state="hidden")


def test_nothing_was_asked_of_anyone_else_and_nothing_complained(page: Any) -> None:
    assert page.elsewhere == []
    assert [
        text
        for text in page.complaints
        if not any(noise in text for noise in KNOWN_NOISE)
    ] == []
