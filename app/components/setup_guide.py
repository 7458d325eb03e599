"""The guide for sending data: copyable commands, and the events received so far."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app import figures, reader
from app.components import cards
from app.text import t

LOOK_EVERY_S = 3
MAX_MODELS = 12
NEXT_STEPS = ("setup.required", "setup.next_1", "setup.next_2", "setup.next_3")
SHELL_KEY = ' -H "Authorization: Bearer $DRIFTDECK_KEY"'
PYTHON_KEY = ', "Authorization": f"Bearer {os.environ[\'DRIFTDECK_KEY\']}"'

CURL = """curl -sS {url}/v1/events -H 'Content-Type: application/json'{key} -d '{{
  "event_id": "first-1",
  "model": "my-model", "version": "v1",
  "ts": "{now}",
  "features": {{"temperature": 21.5, "station": "north"}},
  "prediction": 0.83,
  "latency_ms": 12.4, "status": 200
}}'"""

PYTHON = """import json, os, urllib.request, uuid
from datetime import UTC, datetime

event = {{
    "event_id": str(uuid.uuid4()),
    "model": "my-model",
    "version": "v1",
    "ts": datetime.now(UTC).isoformat(),
    "features": {{"temperature": 21.5, "station": "north"}},
    "prediction": 0.83,
    "latency_ms": 12.4,
}}
request = urllib.request.Request(
    "{url}/v1/events",
    data=json.dumps(event).encode(),
    headers={{"Content-Type": "application/json"{key}}},
)
print(urllib.request.urlopen(request, timeout=5).read().decode())"""

LABEL = """curl -sS {url}/v1/labels -H 'Content-Type: application/json'{key} -d '{{
  "event_id": "first-1", "model": "my-model", "label": 1, "ts": "{now}"
}}'"""


def show(models: list[dict[str, Any]]) -> None:
    """Draw the whole guide.

    `models` are those that send events; without any, it waits for the first.
    """
    lead = t("setup.lead_more", n=len(models)) if models else t("setup.lead")
    server = t("setup.server", url=reader.server_url())
    st.markdown(f"{lead}  \n{cards.small_gray(server)}")
    left, right = st.columns([1.5, 1], gap="small")
    with left:
        _commands(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    with right:
        with cards.card("tick", t("setup.status")):
            watch = st.fragment(run_every=LOOK_EVERY_S, key="tick")(_received)
            watch(len(models))
        with cards.card("next", t("setup.next")):
            for key in NEXT_STEPS:
                st.markdown(t(key))


def _commands(now: str) -> None:
    with cards.card("curl", t("setup.step1")):
        st.code(_filled(CURL, now, SHELL_KEY), language="bash")
    with cards.card("python", t("setup.step2")):
        st.code(_filled(PYTHON, now, PYTHON_KEY), language="python")
    with cards.card("labels", t("setup.step3"), t("setup.step3_cap")):
        st.code(_filled(LABEL, now, SHELL_KEY), language="bash")


def _filled(template: str, now: str, key: str) -> str:
    """Return the command for this server, with a key where one is in use."""
    shown_key = key if reader.has_key() else ""
    return template.format(url=reader.server_url(), now=now, key=shown_key)


def _received(n_before: int) -> None:
    """Look for models and show which have sent events."""
    try:
        response = reader.models()
    except reader.ReadError as error:
        cards.unreachable(error)
        return
    models = response["models"]
    if not models:
        st.markdown(f":gray[:material/hourglass_top: {t('setup.waiting')}]")
        return
    if n_before == 0:
        arrived = t("setup.arrived", name=models[0]["model"])
        st.success(arrived, icon=":material/check_circle:")
        label = t("setup.open")
        st.page_link("views/overview.py", label=label, icon=":material/monitor_heart:")
    for model in models[:MAX_MODELS]:
        age = figures.seconds_between(model["last_event"], response.get("now"))
        line = t(
            "setup.seen",
            name=model["model"],
            n=figures.count(model["events"]),
            age=figures.duration(age),
        )
        st.markdown(f":green[:material/check_circle:] {line}")
