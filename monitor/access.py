"""Who may do what: a key's secret, its scopes and models, and the caller that a request turns out to be."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from monitor.errors import Forbidden, Unauthorized

SCOPES = ("ingest", "read", "admin")
PREFIX = "dd_"
LONGEST = 512  # bytes of a key; a longer one is never hashed
_SECRET = re.compile(rb"dd_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """A stored key; the secret itself is not in it, only its SHA-256.

    `models` None means every model.
    """

    id: str
    name: str
    digest: bytes
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None

    def state(self, now: datetime) -> str:
        """ "live", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "live"


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the scopes, and the models it is about; None means every model."""

    id: str
    scopes: frozenset[str]
    models: frozenset[str] | None = None

    def require(self, scope: str) -> None:
        """Raises Forbidden when the caller lacks the scope; admin has them all."""
        if scope not in self.scopes and "admin" not in self.scopes:
            have = ", ".join(sorted(self.scopes))
            raise Forbidden(
                f"this needs a key with the scope {scope}; yours has: {have}"
            )

    def sees(self, model: str) -> bool:
        """True when the model is one of the caller's."""
        return self.models is None or model in self.models

    def require_model(self, model: str) -> None:
        """Raises Forbidden, in the same words whether the model exists or not."""
        if not self.sees(model):
            raise Forbidden(
                f"this key is not for the model {model[:200]!r}; it is for: {self.named_models}"
            )

    def require_all_models(self) -> None:
        """Raises Forbidden when the caller is limited to some models."""
        if self.models is not None:
            raise Forbidden(
                f"this needs a key for all models; yours is for: {self.named_models}"
            )

    @property
    def named_models(self) -> str:
        """The caller's models in words."""
        return "all models" if self.models is None else ", ".join(sorted(self.models))


def make_secret() -> tuple[str, str]:
    """(id, secret) of a new key: 256 random bits behind a prefix that scanners of leaked secrets can look for."""
    number = secrets.token_hex(6)
    return number, f"{PREFIX}{number}_{secrets.token_urlsafe(32)}"


def id_in(secret: bytes) -> str | None:
    """The id that a well-formed secret names; None for anything else."""
    found = _SECRET.fullmatch(secret)
    return found[1].decode() if found else None


def digest(secret: bytes) -> bytes:
    """What is kept of a secret.

    It has 256 random bits, so a slow hash would only slow us.
    """
    return hashlib.sha256(secret).digest()


def same(given: bytes, expected: bytes) -> bool:
    """True when two digests are equal, found out in constant time."""
    return hmac.compare_digest(given, expected)


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The secret in `Authorization: Bearer KEY`.

    Raises Unauthorized, without repeating what was sent.
    """
    given = [value for name, value in headers if name == b"authorization"]
    if not given:
        raise Unauthorized(
            "send the key as `Authorization: Bearer KEY` (the commands read it from DRIFTDECK_KEY)"
        )
    if len(given) > 1:
        raise Unauthorized(
            "the request has more than one Authorization header; send one"
        )
    scheme, _, secret = given[0].strip().partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret:
        raise Unauthorized(
            "the Authorization header is not `Bearer KEY` (the commands read the key from DRIFTDECK_KEY)"
        )
    if len(secret) > LONGEST:
        raise Unauthorized(
            f"the key has more than {LONGEST} bytes; it is none of this server's"
        )
    return secret
