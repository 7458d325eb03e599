"""The errors that driftdeck raises on purpose.

    DriftdeckError               a sentence for a person, an HTTP status, an exit code
    ├── ConfigError              driftdeck.toml has errors; all are reported at once
    ├── PluginError              a plug-in that cannot be loaded or breaks its contract
    ├── LayoutMismatch           two profiles whose bins mean different things
    ├── PayloadError      400    a body that cannot be read at all
    ├── Forbidden         403    a key without the scope or the model
    ├── NotFound          404    no such model, column or alert
    ├── Conflict          409    same Idempotency-Key, other body
    ├── TooLarge          413    more bytes or rows than the limit
    ├── UnsupportedMedia  415    a Content-Type or file ending without a source
    ├── InvalidRequest    422    a parameter with an invalid value
    ├── Unauthorized      401    no key, or a wrong one
    ├── Overloaded        503    retry after the given seconds
    │   └── TooMany       429    too many at once
    ├── StorageError             the data directory or database cannot be used
    └── Unreachable              no response from the server

A bad *row* is no error: it is a Refusal (see event.py), counted and quarantined.
"""

from collections.abc import Sequence


class DriftdeckError(Exception):
    """Base of all: `str(error)` is one sentence with the cause and the remedy."""

    status = 500
    exit_code = 1


class ConfigError(DriftdeckError):
    """The configuration has errors.

    `mistakes` has one sentence for each, with its key and the known values.
    """

    exit_code = 2

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.source = source
        self.mistakes = list(mistakes)
        lines = "\n".join(f"  - {m}" for m in self.mistakes)
        n = len(self.mistakes)
        count = "1 error" if n == 1 else f"{n} errors"
        super().__init__(f"{source} has {count}:\n{lines}")


class PluginError(DriftdeckError):
    """A plug-in cannot be loaded, breaks its contract, or has the name of another."""

    exit_code = 2


class LayoutMismatch(DriftdeckError, ValueError):
    """Two profiles cannot be merged or compared because their layouts differ."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(
            f"profiles have different layouts: {first} and {second}; rebuild one with the other's layout"
        )


class PayloadError(DriftdeckError):
    """The body as a whole cannot be parsed."""

    status = 400


class Unauthorized(DriftdeckError):
    """The request has no key, or a wrong one."""

    status = 401


class Forbidden(DriftdeckError):
    """The key is valid, but has no right to this."""

    status = 403


class NotFound(DriftdeckError):
    """The requested object does not exist."""

    status = 404


class Conflict(DriftdeckError):
    """The request contradicts an earlier one."""

    status = 409


class TooLarge(DriftdeckError):
    """The body is over a limit."""

    status = 413


class UnsupportedMedia(DriftdeckError):
    """No source reads this format."""

    status = 415


class InvalidRequest(DriftdeckError):
    """A parameter has an invalid value."""

    status = 422
    exit_code = 2


class Overloaded(DriftdeckError):
    """The server cannot accept more now; `retry_after` is in seconds."""

    status = 503

    def __init__(self, sentence: str, retry_after: int = 2) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class TooMany(Overloaded):
    """Too many requests at once."""

    status = 429


class StorageError(DriftdeckError):
    """The data directory or the database cannot be used."""

    status = 503
    exit_code = 3


class Unreachable(DriftdeckError):
    """No server responded."""

    status = 503
    exit_code = 4
