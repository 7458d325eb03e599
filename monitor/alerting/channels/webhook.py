"""A webhook with a Standard Webhooks signature (HMAC-SHA256)."""

import base64
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, model_validator
from standardwebhooks import Webhook

from monitor.config.channel import ChannelConfig
from monitor.contracts import Request

NAME = "webhook"


class WebhookConfig(ChannelConfig):
    """[[channels]] with type = "webhook".

    The secret stands in the file, or in the environment variable `secret_env`.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    secret: str | None = None
    secret_env: str | None = None

    @model_validator(mode="after")
    def _has_secret(self) -> "WebhookConfig":
        key = self.key
        try:
            base64.b64decode(key.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise ValueError(
                "the secret must be whsec_ and base64 of 24 to 64 random bytes"
            ) from None
        return self

    @property
    def key(self) -> str:
        """The signing secret, from the file or the environment.

        Raises ValueError when there is none.
        """
        secret = self.secret
        if not secret and self.secret_env:
            secret = os.environ.get(self.secret_env)
        if secret:
            return secret
        reason = "give `secret` or `secret_env`"
        if self.secret_env:
            reason = f"the environment variable {self.secret_env} is not set"
        raise ValueError(f"no signing secret: {reason}")


CONFIG = WebhookConfig


def render(
    config: WebhookConfig, body: Mapping[str, Any], message_id: str, at: datetime
) -> Request:
    """The signed request for one message; attempts differ in timestamp and signature only."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    at = at.astimezone(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": "driftdeck",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(config.key).sign(message_id, at, text),
    }
    return Request(config.url, text.encode(), headers)
