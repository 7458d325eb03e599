"""driftdeck.toml to a typed Config; all mistakes are reported at once, each with its key and the known values."""

import base64
import os
import tomllib
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from monitor.calendar import Calendar
from monitor.config.columns import ColumnPolicy
from monitor.config.limits import Limits, Retention
from monitor.config.section import Duration, Section
from monitor.errors import ConfigError
from monitor.plugins import load


class ReferenceConfig(Section):
    """[models.NAME.reference]: a file (path from the configuration's folder) or a stored period."""

    file: Path | None = None
    timestamp: str = "ts"
    prediction: str = "prediction"
    label: str | None = None
    start: datetime | None = Field(None, alias="from")
    end: datetime | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _one_of(self) -> "ReferenceConfig":
        if (self.file is None) == (self.start is None or self.end is None):
            raise ValueError("give either `file`, or both `from` and `to`")
        return self


class DetectorConfig(Section):
    """[models.NAME.detector]: the calibrated detector of one model.

    `days`: at most one false page in that many days is what it is set to. `tolerance`
    is the shift, in reference sd, that is nothing to be called for. `selftest_days`: so
    often it is tried on known changes by itself, 0 for never. `segments`: the first
    segments are watched apart, too. `labels`: warn when they no longer come. The clock
    and the holidays are those of the people behind the traffic.
    """

    enabled: bool = True
    days: Annotated[float, Field(ge=1, le=3650)] = 90
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    timezone: str = "UTC"
    country: str | None = None
    subdivision: str | None = None
    special_days: tuple[date, ...] = ()
    selftest_days: Annotated[float, Field(ge=0, le=365)] = 7
    segments: bool = False
    labels: bool = True

    @model_validator(mode="after")
    def _known(self) -> "DetectorConfig":
        self.calendar  # noqa: B018 (asked for its error)
        return self

    @cached_property
    def calendar(self) -> Calendar:
        """The model's clock and special days."""
        return Calendar(
            self.timezone, self.country, self.subdivision, self.special_days
        )


class ModelConfig(Section):
    """[models.NAME]: what cannot be seen from the events."""

    task: Literal["auto", "binary", "classification", "regression"] = "auto"
    reference: ReferenceConfig | None = None
    segments: tuple[str, ...] = ()
    importance: dict[str, float] = Field(default_factory=dict)
    columns: dict[str, ColumnPolicy] = Field(default_factory=dict)
    undeclared: Literal["keep", "drop"] = "keep"
    entity: str | None = None
    reconstruction_error: bool = True
    detector: DetectorConfig = DetectorConfig()

    @field_validator("importance")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        bad = [name for name, share in value.items() if not 0 <= share < float("inf")]
        if bad:
            raise ValueError(f"the importance of {bad[0]!r} must be 0 or more")
        return value


class RuleConfig(Section):
    """[[rules]]: one statistic, over one window, against one limit."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    statistic: str
    limit: float
    warn: float | None = None
    model: str = "*"
    columns: tuple[str, ...] | Literal["*"] = "*"
    window: Duration = timedelta(days=1)
    align: Literal["day", "week"] | None = None
    up_to: Duration | None = None
    minimum: Annotated[int, Field(ge=0)] | None = None
    compare: Literal["value", "increase"] | None = None
    direction: Literal["above", "below"] = "above"
    severity: Literal["critical", "warning"] = "warning"
    hold: Duration = timedelta(0)
    clear: Duration = timedelta(0)
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    segment: str = ""
    version: str | None = None
    against: Annotated[
        str, Field(pattern=r"^(reference|previous|weeks|version:.{1,200})$")
    ] = "reference"

    @field_validator("statistic")
    @classmethod
    def _known(cls, value: str) -> str:
        known = load("statistics")
        if value not in known:
            raise ValueError(f"{value!r} is unknown; known: {', '.join(known)}")
        return value

    @field_validator("name")
    @classmethod
    def _own(cls, value: str) -> str:
        if value.startswith("detector."):
            raise ValueError("names that begin with `detector.` are the detector's own")
        return value

    @field_validator("window")
    @classmethod
    def _long_enough(cls, value: timedelta) -> timedelta:
        if not timedelta(minutes=1) <= value <= timedelta(days=366):
            raise ValueError("a window has 1 minute to 366 days")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "RuleConfig":
        unit = {"day": timedelta(days=1), "week": timedelta(weeks=1)}.get(
            self.align or ""
        )
        if unit and self.window % unit:
            raise ValueError(
                f"a window aligned to the {self.align} has whole {self.align}s, like {unit.days}d or {2 * unit.days}d"
            )
        if self.up_to is not None and not self.window <= self.up_to <= timedelta(
            days=366
        ):
            raise ValueError("`up_to` is at least the window and at most 366 days")
        return self


class ChannelConfig(Section):
    """[[channels]]: where alerts are sent.

    The secret may be given by environment: secret_env.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    type: str = "webhook"
    url: Annotated[str, Field(pattern=r"^https?://")]
    secret: str | None = None
    secret_env: str | None = None
    severities: tuple[Literal["critical", "warning"], ...] = ("critical", "warning")
    models: tuple[str, ...] | Literal["*"] = "*"

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        known = [module.TYPE for module in load("channels").values()]
        if value not in known:
            raise ValueError(f"{value!r} is unknown; known: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _has_secret(self) -> "ChannelConfig":
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
        found = self.secret or (
            os.environ.get(self.secret_env) if self.secret_env else None
        )
        if not found:
            where = (
                f"the environment variable {self.secret_env} is not set"
                if self.secret_env
                else "give `secret` or `secret_env`"
            )
            raise ValueError(f"no signing secret: {where}")
        return found


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
    def _known(cls, value: str) -> str:
        known = load("sources")
        if value and value not in known:
            raise ValueError(f"{value!r} is unknown; known: {', '.join(known)}")
        return value


DEFAULT_RULES = (
    RuleConfig(name="drift", statistic="psi", limit=0.2, warn=0.1, hold=timedelta(0)),
    RuleConfig(name="missing-values", statistic="missing_rate", limit=0.05, warn=0.02),
    RuleConfig(name="type-errors", statistic="type_error_rate", limit=0.01),
    RuleConfig(name="new-values", statistic="new_category_share", limit=0.01),
    RuleConfig(
        name="service-errors",
        statistic="error_rate",
        limit=0.02,
        window=timedelta(hours=1),
        severity="critical",
    ),
    RuleConfig(
        name="prediction-errors",
        statistic="wrong_share",
        limit=0.05,
        warn=0.02,
        severity="critical",
        window=timedelta(days=7),
    ),
)


class Config(Section):
    """The whole of driftdeck.toml; everything has a default."""

    models: dict[str, ModelConfig] = Field(default_factory=dict)
    rules: tuple[RuleConfig, ...] = ()
    default_rules: bool = True
    channels: tuple[ChannelConfig, ...] = ()
    drop: tuple[DropConfig, ...] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()
    notify_within: Duration = timedelta(hours=24)
    folder: Path = Path()

    @model_validator(mode="after")
    def _unique(self) -> "Config":
        for what, names in (
            ("rules", [r.name for r in self.rules]),
            ("channels", [c.name for c in self.channels]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: the name {twice[0]!r} is used twice")
        return self

    @property
    def all_rules(self) -> tuple[RuleConfig, ...]:
        """The rules in force: the defaults, replaced by own ones of the same name."""
        own = {rule.name: rule for rule in self.rules}
        defaults = (
            [r for r in DEFAULT_RULES if r.name not in own]
            if self.default_rules
            else []
        )
        return (*defaults, *own.values())

    def model(self, name: str) -> ModelConfig:
        """The section of a model; the defaults when it has none."""
        return self.models.get(name) or ModelConfig()


def read_config(path: Path | None) -> Config:
    """The configuration in `path`, or the defaults when None.

    Raises ConfigError with every mistake.
    """
    if path is None:
        return Config()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            str(path), ["there is no such file; leave out --config to use the defaults"]
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not TOML: {error}"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    if "folder" in data:
        raise ConfigError(str(path), [_unknown("folder", Config)])
    try:
        return Config(**{**data, "folder": path.resolve().parent})
    except ValidationError as error:
        raise ConfigError(
            str(path), [_sentence(e, data) for e in error.errors()]
        ) from None


def _sentence(error: ErrorDetails, data: dict[str, Any]) -> str:
    location = [
        part
        for part in error["loc"]
        if not (
            isinstance(part, str)
            and part.startswith(("literal[", "tuple[", "constrained"))
        )
    ]
    key = _key(location)
    if error["type"] == "extra_forbidden":
        return _unknown(key, _section(location[:-1]))
    if error["type"] == "missing":
        return f"{key} is missing; it is required"
    message = (
        error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    )
    message = message.replace("String should match pattern", "text that matches")
    if error["type"] in ("value_error",):
        return f"{key}: {message}" if key else message
    return f"{key} = {_shown(error['input'])} is wrong; expected {message}"


def _unknown(key: str, section: type[BaseModel] | None) -> str:
    known = (
        [f.alias or name for name, f in section.model_fields.items()] if section else []
    )
    if section is Config:
        known.remove("folder")
    return f"{key} is unknown; known: {', '.join(known)}"


def _section(location: list[Any]) -> type[BaseModel] | None:
    match [part for part in location if isinstance(part, str)]:
        case []:
            return Config
        case ["models", _]:
            return ModelConfig
        case ["models", _, "reference"]:
            return ReferenceConfig
        case ["models", _, "columns", _]:
            return ColumnPolicy
        case ["models", _, "detector"]:
            return DetectorConfig
        case ["rules"]:
            return RuleConfig
        case ["channels"]:
            return ChannelConfig
        case ["drop"]:
            return DropConfig
        case ["limits"]:
            return Limits
        case ["retention"]:
            return Retention
    return None


def _key(location: list[Any]) -> str:
    text = ""
    for part in location:
        text += (
            f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
        )
    return text


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text[:80]


def utc(at: datetime) -> datetime:
    """A configured time as aware UTC; without an offset it is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
