"""A generic webhook, signed by the Standard Webhooks specification (HMAC-SHA256 over id.timestamp.body)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from monitor.contracts import Request

TYPE = "webhook"


def render(
    url: str, secret: str, body: Mapping[str, Any], message_id: str, at: datetime
) -> Request:
    """The signed request for one message; only the timestamp and signature differ between tries."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    at = at.astimezone(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": "driftdeck",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, text),
    }
    return Request(url, text.encode(), headers)
