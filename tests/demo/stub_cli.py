"""A stand-in for the driftdeck command: the same verbs over the same HTTP paths, without measuring anything."""

import argparse
import json
import os
import sys
import tomllib
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook

ALERT = {
    "id": "a1",
    "since": "2026-06-01T00:00:00Z",
    "state": "firing",
    "statistic": "psi",
    "column": "temp",
    "value": 0.41,
    "limit": 0.2,
    "text": "temp has moved away from the reference.",
    "finding": {"n": 912},
}
STATE: dict[str, list[str]] = {"loaded": []}


class Handler(BaseHTTPRequestHandler):
    """Answers what the story asks; evaluated once reference, events and labels have been announced."""

    channel: dict[str, str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        done = STATE["loaded"] == ["reference", "ingest", "labels"]
        answers = {
            "/readyz": {"status": "ok"},
            "/v1/models/flight-delay/overview": {
                "status": "breach" if done else "no_data",
                "freshness": {"pending": 0},
            },
            "/v1/models/flight-delay/findings": {
                "findings": [{"rule": "drift", "to": datetime.now(UTC).isoformat()}]
            },
            "/v1/alerts": {"alerts": [ALERT]},
            "/v1/models/flight-delay/drift": {
                "columns": [
                    {"column": "temp", "value": 0.41, "n": 9, "importance": 0.1}
                ]
            },
        }
        self._answer(
            200 if path in answers else 404, answers.get(path, {"error": "no"})
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/loaded":
            STATE["loaded"].append(body)
            if body == "labels":
                self._notify()
        self._answer(200, {"accepted": body.count("\n"), "refused": 0, "refusals": []})

    def _notify(self) -> None:
        body, now = (
            json.dumps({"type": "alert.firing", "data": {"column": "temp"}}),
            datetime.now(UTC),
        )
        headers = {"webhook-id": "m1", "webhook-timestamp": str(int(now.timestamp()))}
        headers["webhook-signature"] = Webhook(self.channel["secret"]).sign(
            "m1", now, body
        )
        urllib.request.urlopen(
            urllib.request.Request(self.channel["url"], body.encode(), headers)
        ).close()

    def _answer(self, status: int, value: object) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    verb = sys.argv[1]
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    for name in (
        "data",
        "config",
        "host",
        "port",
        "url",
        "model",
        "version",
        "timestamp",
        "prediction",
        "label",
        "id",
        "latency",
    ):
        parser.add_argument(f"--{name}")
    options = parser.parse_args(sys.argv[2:])
    with Path(os.environ["STUB_CALLS"]).open("a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    if os.environ.get("STUB_FAILS") == verb:
        sys.exit(f"{verb}: this cannot work")
    if verb in ("server", "ui"):
        if verb == "server":
            Handler.channel = tomllib.loads(Path(options.config).read_text())[
                "channels"
            ][0]
        ThreadingHTTPServer(("127.0.0.1", int(options.port)), Handler).serve_forever()
    request = urllib.request.Request(f"{options.url}/loaded", verb.encode())
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    main()
