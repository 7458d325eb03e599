"""The whole of driftdeck.toml as one object."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from monitor.config.channel import ChannelConfig
from monitor.config.limits import Limits, Retention
from monitor.config.model_section import ModelConfig
from monitor.config.rule import DEFAULT_RULES, RuleConfig
from monitor.config.section import Duration, Section
from monitor.plugins import channels, engines, sources

DEFAULT_ENGINE = "in_process"


class DropConfig(Section):
    """[[drop]]: a folder of the server's machine whose finished files are read."""

    folder: Path
    kind: Literal["events", "labels"] = "events"
    model: str | None = None
    version: str | None = None
    format: str = ""
    timestamp: str | None = None
    prediction: str | None = None
    label: str | None = None
    id: str | None = None
    latency: str | None = None
    features: tuple[str, ...] | None = None
    when_done: Literal["move", "delete"] = "move"
    max_mb: Annotated[int, Field(ge=1)] = 1024
    memory_mb: Annotated[int, Field(ge=768)] = 2048
    seconds: Annotated[int, Field(ge=1)] = 300

    @field_validator("format")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value:
            _check_name(value, sources())
        return value


def _of_its_type(value: Any, handler: ValidatorFunctionWrapHandler) -> ChannelConfig:
    """A section [[channels]], read by the model of its type."""
    if not isinstance(value, Mapping):
        channel: ChannelConfig = handler(value)
        return channel
    type_ = value.get("type", ChannelConfig.model_fields["type"].default)
    if not isinstance(type_, str) or type_ not in channels():
        # only the common keys can be checked: the type is an error among them
        value = {k: v for k, v in value.items() if k in ChannelConfig.model_fields}
        return ChannelConfig.model_validate(value)
    model: type[ChannelConfig] = channels()[type_].CONFIG
    return model.model_validate(value)


class Config(Section):
    """The whole of driftdeck.toml; everything has a default."""

    models: dict[str, ModelConfig] = Field(default_factory=dict)
    rules: tuple[RuleConfig, ...] = ()
    default_rules: bool = True
    channels: tuple[
        Annotated[SerializeAsAny[ChannelConfig], WrapValidator(_of_its_type)], ...
    ] = ()
    drop: tuple[DropConfig, ...] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()
    notify_within: Duration = timedelta(hours=24)
    engine: str = DEFAULT_ENGINE
    # names beside its own that the server is reached by, such as those of a proxy
    allowed_hosts: tuple[str, ...] = ()
    folder: Path = Path()

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str) -> str:
        _check_name(value, engines())
        return value

    @model_validator(mode="after")
    def _has_unique_names(self) -> "Config":
        for key, sections in (("rules", self.rules), ("channels", self.channels)):
            names = [section.name for section in sections]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{key}: the name {repeated[0]!r} is used twice")
        return self

    @property
    def all_rules(self) -> tuple[RuleConfig, ...]:
        """The rules in force: the defaults, replaced by own ones of the same name."""
        own = {rule.name: rule for rule in self.rules}
        defaults: list[RuleConfig] = []
        if self.default_rules:
            defaults = [rule for rule in DEFAULT_RULES if rule.name not in own]
        return (*defaults, *own.values())

    def model(self, name: str) -> ModelConfig:
        """The section of a model; the defaults when it has none."""
        return self.models.get(name) or ModelConfig()


def _check_name(value: str, names: Iterable[str]) -> None:
    """Raises ValueError, listing the names, when `value` is none of them."""
    if value not in names:
        raise ValueError(f"{value!r} is unknown; known: {', '.join(names)}")


def utc(at: datetime) -> datetime:
    """A configured time as aware UTC; without an offset it is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
