"""The documentation knows every part, its twin says the same, and the repository holds nothing it should not."""

import re
import runpy
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from monitor import errors
from monitor.alerting.channels.webhook import WebhookConfig
from monitor.api.app import ROUTERS
from monitor.cli import app
from monitor.config.config import Config, DropConfig
from monitor.config.config_file import read_config
from monitor.config.limits import Limits, Retention
from monitor.config.model_section import ModelConfig, ReferenceConfig
from monitor.config.rule import DEFAULT_RULES, RuleConfig
from monitor.config.section import duration
from monitor.plugins import channels, engines, sources, statistics

ROOT = Path(__file__).parent.parent
README, TWIN = "README.md", "README.zh-Hant.md"
DOCUMENTS = (README, TWIN)
MEASUREMENTS = sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "docs" / "measurements").glob("*.md")
)
WAYS_IN = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "ways-in").glob("*.md")
)
SECTIONS = (
    Config,
    ModelConfig,
    ReferenceConfig,
    RuleConfig,
    WebhookConfig,
    DropConfig,
    Limits,
    Retention,
)
# example values in the README's configuration, where the default is "none" or is chosen
# by the statistic
EXAMPLES = {
    "rows_per_second",
    "segments",
    "importance",
    "warn",
    "minimum",
    "compare",
    "version",
    "raw_days",
    "profile_days",
    "label",
}
MAX_BYTES = 2_000_000
# in parts, so that this file does not name such a path itself
MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w.}])/" + r"work/\w",
            "/" + r"home/\w",
            "/" + r"Users/\w",
            "/" + r"root/",
        )
    )
)


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(name: str, language: str = "[a-z]*") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.S | re.M)


def headings(name: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text(name), flags=re.S | re.M)
    return re.findall(r"^(#+) ", prose, re.M)


def documented() -> dict[str, Any]:
    """The README's example of the whole configuration."""
    return tomllib.loads("\n".join(fences(README, "toml")))


def verbs(command: Any, path: str = "driftdeck") -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from verbs(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


VERBS = dict(verbs(typer.main.get_command(app)))
ROUTES = sorted(
    f"{method} {route.path.replace(':name', '')}"
    for router in ROUTERS
    for route in router.routes
    for method in route.methods
)


def parts() -> Iterator[tuple[str, str]]:
    """(what it is, how the documentation has to name it)"""
    for name in statistics():
        yield f"statistic {name}", f"`{name}`"
    for name, source in sources().items():
        for suffix in source.SUFFIXES:
            yield f"ending of {name}", f"`{suffix}`"
        for media_type in source.MEDIA_TYPES:
            yield f"Content-Type of {name}", f"`{media_type}`"
    for name in engines():
        yield f"engine {name}", f"`{name}`"
    for channel in channels().values():
        yield f"channel {channel.NAME}", f'type = "{channel.NAME}"'
    for verb in VERBS:
        yield f"verb {verb}", f"`{verb}"
    for route in ROUTES:
        yield f"route {route}", f"`{route}`"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_part_is_documented(document: str) -> None:
    missing = [
        f"{what}: {name}" for what, name in parts() if name not in text(document)
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_environment_variable_is_documented(document: str) -> None:
    sources = [
        p for folder in ("monitor", "app") for p in (ROOT / folder).rglob("*.py")
    ]
    used = {
        name
        for path in sources
        for name in re.findall(r"DRIFTDECK_[A-Z]+", path.read_text(encoding="utf-8"))
    }
    assert sorted(name for name in used if f"`{name}`" not in text(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_error_status_and_exit_code_is_documented(document: str) -> None:
    kinds = [
        k
        for k in vars(errors).values()
        if isinstance(k, type) and issubclass(k, errors.DriftdeckError)
    ]
    codes = {k.status for k in kinds if k.status != 500} | {k.exit_code for k in kinds}
    assert (
        sorted(code for code in codes if f"\n| {code} | " not in text(document)) == []
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_configuration_key_is_documented(section: type[BaseModel]) -> None:
    lines = fences(README, "toml")[0]
    keys = [
        field.alias or name
        for name, field in section.model_fields.items()
        if name != "folder"
    ]
    known = re.compile(
        r"^(?:# )?([a-z_]+) = |^\[models\.churn\.([a-z_]+)\]|^\[+([a-z_]+)|or ([a-z_]+) = ",
        re.M,
    )
    found = {name for match in known.findall(lines) for name in match if name}
    assert [key for key in keys if key not in found] == []


def test_documented_configuration_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRIFTDECK_WEBHOOK_SECRET", "whsec_" + "A" * 32)
    path = tmp_path / "driftdeck.toml"
    path.write_text(fences(README, "toml")[0], encoding="utf-8")
    assert read_config(path).all_rules


def test_documented_defaults_are_the_defaults() -> None:
    shown = documented()
    rule, channel, model = (
        shown["rules"][0],
        shown["channels"][0],
        shown["models"]["churn"],
    )
    pairs = [
        (Config, shown),
        (ModelConfig, model),
        (ReferenceConfig, model["reference"]),
        (RuleConfig, rule),
        (WebhookConfig, channel),
        (DropConfig, shown["drop"][0]),
        (Limits, shown["limits"]),
    ]
    wrong = []
    for section, values in pairs:
        for name, field in section.model_fields.items():
            if (
                name in values
                and name not in EXAMPLES
                and not field.is_required()
                and field.default is not None
            ):
                given = values[name]
                if isinstance(given, (dict, list)) and not isinstance(
                    field.default, (tuple, list)
                ):
                    continue  # a section of its own
                default, given = _plain(field.default), _plain(given)
                if section is Config and name in ("rules", "channels", "drop"):
                    continue
                if default != given:
                    wrong.append(
                        f"{section.__name__}.{name}: documented {given!r}, is {default!r}"
                    )
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_default_rules_are_documented(document: str) -> None:
    for rule in DEFAULT_RULES:
        row = next(
            (
                line
                for line in text(document).splitlines()
                if line.startswith(f"| `{rule.name}` |")
            ),
            "",
        )
        assert f"`{rule.statistic}`" in row, rule.name
        assert f"| {rule.limit}" in row, rule.name
        assert f"| {_shown(rule.window.total_seconds())} |" in row, rule.name
        assert rule.severity in row, rule.name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_statistics_table_has_minimum_and_comparison(document: str) -> None:
    for name, statistic in statistics().items():
        row = next(
            (
                line
                for line in text(document).splitlines()
                if line.startswith(f"| `{name}` |")
            ),
            "",
        )
        assert f"| {statistic.MINIMUM} | " in row, name
        assert f"| {statistic.COMPARE} |" in row, name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_shown_exist_with_their_options(document: str) -> None:
    for line in "\n".join(fences(document, "sh")).splitlines():
        if not line.startswith("driftdeck "):
            continue
        words = line.split(" & ")[0].split()
        verb = next((v for v in VERBS if words[: len(v.split())] == v.split()), None)
        assert verb is not None, line
        known = {
            option for parameter in VERBS[verb].params for option in parameter.opts
        }
        assert [w for w in words if w.startswith("--") and w not in known] == [], line


def test_twin_has_the_same_code_and_as_many_headings() -> None:
    assert fences(TWIN) == fences(README)
    assert headings(TWIN) == headings(README)
    rows = [
        [line.count("|") for line in text(d).splitlines() if line.startswith("|")]
        for d in DOCUMENTS
    ]
    assert len(rows[0]) == len(rows[1]), "the tables have different numbers of rows"


@pytest.mark.parametrize(
    "document",
    (
        *DOCUMENTS,
        "docs/architecture.md",
        "docs/decisions.md",
        "CHANGELOG.md",
        *MEASUREMENTS,
        *WAYS_IN,
    ),
)
def test_local_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    links = re.findall(r"\]\(((?!https?://|#)[^)\s]+)\)", text(document))
    assert [link for link in links if not (folder / link.split("#")[0]).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_way_in_is_linked(document: str) -> None:
    assert [page for page in WAYS_IN if f"]({page})" not in text(document)] == []


def test_architecture_page_gives_each_file_the_first_line_of_its_docstring() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "tree.py"))
    assert page["current"]() == page["tree"](), "run `make tree`"


def tracked() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [
        path
        for name in found.stdout.split("\0")
        if name and (path := ROOT / name).is_file()
    ]


def test_tracked_files_are_small_and_name_no_machine() -> None:
    large, named = [], []
    for path in tracked():
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            large.append(str(path))
        if b"\0" not in content[:8000] and MACHINE_PATHS.search(
            content.decode("utf-8", "replace")
        ):
            named.append(str(path))
    assert (large, named) == ([], [])
    assert not [path for path in tracked() if path.name == "uv.lock"]


def _plain(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d+[smhdw]", value):
        return duration(value)
    return tuple(value) if isinstance(value, list) else value


def _shown(seconds: float) -> str:
    return f"{seconds / 86400:g}d" if seconds >= 86400 else f"{seconds / 3600:g}h"
