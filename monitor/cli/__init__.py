"""The command `driftdeck`: verbs, and the only place that wires parts together."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from monitor import __version__
from monitor.cli import (  # noqa: F401  each file registers its commands
    analysis_commands,
    compare_commands,
    data_commands,
    kafka_commands,
    key_commands,
    quarantine_commands,
    run_commands,
    send_commands,
)
from monitor.cli.options import app
from monitor.errors import DriftdeckError


def main() -> None:
    """Run a verb; every expected failure is one sentence on standard error and an exit code."""
    try:
        # a verb that ends with typer.Exit gives its code back
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except DriftdeckError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 3)
    except Exception as error:
        show, code = getattr(error, "show", None), getattr(error, "exit_code", 1)
        if show is not None:  # a wrong option: typer says which, and what is known
            show()
            sys.exit(code)
        if type(error).__name__ == "Abort":
            sys.exit(130)
        if os.environ.get("DRIFTDECK_DEBUG"):
            raise
        _fail(
            f"unexpected: {type(error).__name__}: {error} (DRIFTDECK_DEBUG=1 shows where)",
            70,
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
