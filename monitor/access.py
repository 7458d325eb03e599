"""API keys and callers: a key's secret, its scopes and models, and a caller's rights."""

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
MAX_SECRET_BYTES = 512  # a longer one is never hashed
MAX_SHOWN_NAME = 200  # characters
_SECRET = re.compile(rb"dd_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class ApiKey:
    """A stored key: `digest` is the SHA-256 of its secret, which is stored nowhere.

    `models` None means every model. Times are aware UTC.
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
        """Return "live", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return "live"


@dataclass(frozen=True)
class Caller:
    """The sender of a request: its scopes and models; `models` None means every model."""

    id: str
    scopes: frozenset[str]
    models: frozenset[str] | None = None

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the caller has the scope; admin includes all scopes."""
        if scope not in self.scopes and "admin" not in self.scopes:
            scopes = ", ".join(sorted(self.scopes))
            raise Forbidden(
                f"this needs a key with the scope {scope}; yours has: {scopes}"
            )

    def sees(self, model: str) -> bool:
        """True when the model is one of the caller's."""
        return self.models is None or model in self.models

    def require_model(self, model: str) -> None:
        """Raise Forbidden unless the model is one of the caller's.

        The message is the same whether the model exists or not.
        """
        if not self.sees(model):
            raise Forbidden(
                f"this key is not for the model {model[:MAX_SHOWN_NAME]!r}; "
                f"it is for: {self.named_models}"
            )

    def require_all_models(self) -> None:
        """Raise Forbidden when the caller is limited to some models."""
        if self.models is not None:
            raise Forbidden(
                f"this needs a key for all models; yours is for: {self.named_models}"
            )

    @property
    def named_models(self) -> str:
        """The caller's models in words."""
        return "all models" if self.models is None else ", ".join(sorted(self.models))


def make_secret() -> tuple[str, str]:
    """Return (id, secret) of a new key: 256 random bits.

    Its prefix is one that scanners of leaked secrets can search for.
    """
    id_ = secrets.token_hex(6)
    return id_, f"{PREFIX}{id_}_{secrets.token_urlsafe(32)}"


def key_id_in(secret: bytes) -> str | None:
    """Return the id of the key in a well-formed secret; None for anything else."""
    match = _SECRET.fullmatch(secret)
    return match[1].decode() if match else None


def digest(secret: bytes) -> bytes:
    """Return the digest of a secret: SHA-256.

    A secret has 256 random bits, so that a slow hash would not make it safer.
    """
    return hashlib.sha256(secret).digest()


def equal_digests(digest: bytes, expected: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(digest, expected)


def bearer_secret(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the secret in the header `Authorization: Bearer KEY`.

    Raises Unauthorized, without repeating the header.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise Unauthorized(
            "send the key as `Authorization: Bearer KEY` "
            "(the commands read it from DRIFTDECK_KEY)"
        )
    if len(values) > 1:
        raise Unauthorized(
            "the request has more than one Authorization header; send one"
        )
    scheme, _, secret = values[0].strip().partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret:
        raise Unauthorized(
            "the Authorization header is not `Bearer KEY` "
            "(the commands read the key from DRIFTDECK_KEY)"
        )
    if len(secret) > MAX_SECRET_BYTES:
        raise Unauthorized(
            f"the key has more than {MAX_SECRET_BYTES} bytes; "
            "it is not one of this server's"
        )
    return secret
