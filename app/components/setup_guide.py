"""How to send data: copyable commands, and a tick when the first event has arrived."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app import figures, reader
from app.components import cards
from app.text import t

LOOK_EVERY_S = 3

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
    """The whole guide.

    `models` are those that already send; with none, it waits for the first.
    """
    lead = t("setup.lead_more", n=len(models)) if models else t("setup.lead")
    st.markdown(
        f"{lead}  \n:small[:gray[{t('setup.server', url=reader.server_url())}]]"
    )
    left, right = st.columns([1.5, 1], gap="small")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with left:
        with cards.card("curl", t("setup.step1")):
            st.code(
                _filled(CURL, now, ' -H "Authorization: Bearer $DRIFTDECK_KEY"'),
                language="bash",
            )
        with cards.card("python", t("setup.step2")):
            key = ', "Authorization": f"Bearer {os.environ[\'DRIFTDECK_KEY\']}"'
            st.code(_filled(PYTHON, now, key), language="python")
        with cards.card("labels", t("setup.step3"), t("setup.step3_cap")):
            st.code(
                _filled(LABEL, now, ' -H "Authorization: Bearer $DRIFTDECK_KEY"'),
                language="bash",
            )
    with right:
        with cards.card("tick", t("setup.status")):
            st.fragment(run_every=LOOK_EVERY_S, key="tick")(_tick)(len(models))
        with cards.card("next", t("setup.next")):
            for key in (
                "setup.required",
                "setup.next_1",
                "setup.next_2",
                "setup.next_3",
            ):
                st.markdown(t(key))


def _filled(template: str, now: str, key: str) -> str:
    """The command for this server; the key is only shown where a key is in use."""
    return template.format(
        url=reader.server_url(), now=now, key=key if reader.has_key() else ""
    )


def _tick(n_before: int) -> None:
    """Looks for models every few seconds and says what has arrived."""
    try:
        answer = reader.models()
    except reader.ReadError as error:
        cards.unreachable(error)
        return
    models = answer["models"]
    if not models:
        st.markdown(f":gray[:material/hourglass_top: {t('setup.waiting')}]")
        return
    if n_before == 0:
        st.success(
            t("setup.arrived", name=models[0]["model"]), icon=":material/check_circle:"
        )
        st.page_link(
            "views/overview.py", label=t("setup.open"), icon=":material/monitor_heart:"
        )
    for one in models[:12]:
        age = figures.seconds_between(one["last_event"], answer.get("now"))
        line = t(
            "setup.seen",
            name=one["model"],
            n=figures.count(one["events"]),
            age=figures.duration(age),
        )
        st.markdown(f":green[:material/check_circle:] {line}")
