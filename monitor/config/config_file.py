"""The file driftdeck.toml: read into a Config, all errors reported at once as sentences."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.channel import DEFAULT_TYPE, ChannelConfig
from monitor.config.columns import ColumnPolicy
from monitor.config.config import Config, DropConfig
from monitor.config.limits import Limits, Retention
from monitor.config.model_section import DetectorConfig, ModelConfig, ReferenceConfig
from monitor.config.rule import RuleConfig
from monitor.errors import ConfigError
from monitor.plugins import channels

MAX_SHOWN_CHARACTERS = 80  # of a wrong value
# [models.NAME.KEY]
_OF_A_MODEL: dict[str, type[BaseModel]] = {
    "reference": ReferenceConfig,
    "columns": ColumnPolicy,
    "detector": DetectorConfig,
}
_SECTIONS: dict[str, type[BaseModel]] = {
    "rules": RuleConfig,
    "drop": DropConfig,
    "limits": Limits,
    "retention": Retention,
}


def read_config(path: Path | None) -> Config:
    """The configuration in `path`, or the defaults when None.

    Raises ConfigError with every error of the file.
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
    if "folder" in data:  # a field of Config, but no key of the file
        raise ConfigError(str(path), [_unknown("folder", Config)])
    try:
        return Config(**{**data, "folder": path.resolve().parent})
    except ValidationError as error:
        sentences = [_sentence(details, data) for details in error.errors()]
        raise ConfigError(str(path), sentences) from None


def _sentence(error: ErrorDetails, data: Mapping[str, Any]) -> str:
    location = [part for part in error["loc"] if not _is_of_pydantic(part)]
    key = _key(location)
    if error["type"] == "extra_forbidden":
        return _unknown(key, _section(location[:-1], data))
    if error["type"] == "missing":
        return f"{key} is missing; it is required"
    message = error["msg"].removeprefix("Value error, ")
    message = message.removeprefix("Input should be ")
    message = message.replace("String should match pattern", "text that matches")
    if error["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} = {_shown(error['input'])} is wrong; expected {message}"


def _is_of_pydantic(part: int | str) -> bool:
    """True for the part of a location that is no key: the branch of a union."""
    return isinstance(part, str) and part.startswith(
        ("literal[", "tuple[", "constrained", "function-")
    )


def _unknown(key: str, section: type[BaseModel] | None) -> str:
    names: list[str] = []
    if section is not None:
        names = [f.alias or name for name, f in section.model_fields.items()]
    if section is Config:
        names.remove("folder")
    return f"{key} is unknown; known: {', '.join(names)}"


def _section(
    location: list[int | str], data: Mapping[str, Any]
) -> type[BaseModel] | None:
    """The section of a location in the file; None if there is none."""
    match location:
        case []:
            return Config
        case ["models", _]:
            return ModelConfig
        case ["models", _, str(name), *_]:
            return _OF_A_MODEL.get(name)
        case ["channels", int(place)]:
            return _channel_section(data["channels"][place])
        case [str(name), *_]:
            return _SECTIONS.get(name)
    return None


def _channel_section(channel: Mapping[str, Any]) -> type[BaseModel]:
    type_ = channel.get("type", DEFAULT_TYPE)
    if type_ not in channels():
        return ChannelConfig
    section: type[BaseModel] = channels()[type_].CONFIG
    return section


def _key(location: list[int | str]) -> str:
    """A location as a key: models.churn.task, rules[2].statistic."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text[:MAX_SHOWN_CHARACTERS]
