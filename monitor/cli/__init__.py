"""The command `driftdeck`: each file brings its commands and wires their parts."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from monitor import __version__
from monitor.cli import (  # noqa: F401  each file registers its commands
    compare_commands,
    data_commands,
    domain_classifier_command,
    importance_command,
    kafka_commands,
    key_commands,
    quarantine_commands,
    replay_command,
    run_commands,
    selftest_command,
    send_commands,
)
from monitor.cli.options import app
from monitor.errors import DriftdeckError

INTERRUPTED = 130
INPUT_OUTPUT_ERROR = 3
UNEXPECTED = 70


def main() -> None:
    """Run a command; print an expected failure as one sentence on standard error."""
    try:
        # a command that ends with typer.Exit returns its code
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except DriftdeckError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        place = error.filename or "input or output"
        _fail(f"{place}: {error.strerror or error}", INPUT_OUTPUT_ERROR)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is not None:  # a wrong option: typer prints it with the valid ones
            show()
            sys.exit(getattr(error, "exit_code", 1))
        if type(error).__name__ == "Abort":
            sys.exit(INTERRUPTED)
        if os.environ.get("DRIFTDECK_DEBUG"):
            raise
        _fail(
            f"unexpected: {type(error).__name__}: {error}"
            " (DRIFTDECK_DEBUG=1 shows where)",
            UNEXPECTED,
        )


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"driftdeck {__version__}")
        raise typer.Exit


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"driftdeck: {sentence}", err=True)
    sys.exit(code)
