"""Help of every command: complete sentences, with the brackets of TOML sections."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from monitor.cli import app

ROOT = typer.main.get_command(app)
TABLE_HEADER = re.compile(r"\[+[A-Za-z][\w.]*\]+")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield a command and all below it, each with its path."""
    yield pytest.param(path, command, id=" ".join(path) or "driftdeck")
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def words(text: str) -> str:
    """The text without the frame and the line breaks of a terminal."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(("path", "command"), [*commands(ROOT)])
def test_help_shows_every_sentence_with_its_brackets(
    path: tuple[str, ...], command: Any
) -> None:
    wide = {"COLUMNS": "300", "TERMINAL_WIDTH": "300"}
    run = CliRunner().invoke(app, [*path, "--help"], env=wide)
    assert run.exit_code == 0, run.output
    shown = words(run.output)
    parameters = [parameter.help for parameter in command.params if parameter.help]
    sentences = [
        text.replace("\\[", "[") for text in (command.help, *parameters) if text
    ]
    assert sentences
    for sentence in sentences:
        assert words(sentence) in shown
        for header in TABLE_HEADER.findall(sentence):
            assert header in shown


def test_some_help_names_a_toml_section() -> None:
    runner = CliRunner()
    wide = {"COLUMNS": "300"}
    replay = words(runner.invoke(app, ["replay", "--help"], env=wide).output)
    importance = words(runner.invoke(app, ["importance", "--help"], env=wide).output)
    assert "as in [[rules]]." in replay
    assert "[models.NAME.importance]" in importance
