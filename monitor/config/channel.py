"""[[channels]]: the keys that every type of notification channel has."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from monitor.config.section import Section
from monitor.plugins import channels

DEFAULT_TYPE = "webhook"


class ChannelConfig(Section):
    """[[channels]]: a receiver of notifications.

    A type of channel, a file in alerting/channels/, adds its own keys in a subclass,
    and checks its own secrets there.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    type: str = DEFAULT_TYPE
    severities: tuple[Literal["critical", "warning"], ...] = ("critical", "warning")
    models: tuple[str, ...] | Literal["*"] = "*"

    @field_validator("type")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in channels():
            raise ValueError(f"{value!r} is unknown; known: {', '.join(channels())}")
        return value
