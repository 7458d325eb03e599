"""API keys: stored as digests, checked in memory."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from monitor.access import (
    ApiKey,
    Caller,
    digest,
    equal_digests,
    key_id_in,
    make_secret,
)
from monitor.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from monitor.store.database import Database, aware

COLUMNS = "id, name, digest, scopes, models, created, expires, revoked, last_used"
MAX_SHOWN_NAME = 100  # characters


class KeyStore:
    """The keys of one data directory; checking a key reads no disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._used: dict[str, datetime] = {}
        rows = database.query(f"SELECT {COLUMNS} FROM api_keys")
        self._keys = {row[0]: _key_of(row) for row in rows}

    @property
    def required(self) -> bool:
        """True once a key was created, even if none is live any more.

        So revoking the last key does not open the server.
        """
        return bool(self._keys)

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        models: Sequence[str] | None,
        expires: datetime | None,
        now: datetime,
    ) -> tuple[ApiKey, str]:
        """Create a key; return it and its secret, which is stored nowhere.

        `models` None means all models, `expires` None never.
        """
        id_, secret = make_secret()
        key = ApiKey(
            id_,
            name,
            digest(secret.encode()),
            tuple(scopes),
            None if models is None else tuple(models),
            now,
            expires,
        )
        with self._database.writing() as con:
            con.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                [
                    key.id,
                    name,
                    key.digest.hex(),
                    list(key.scopes),
                    key.models and list(key.models),
                    now,
                    expires,
                ],
            )
        self._put(key)
        return key, secret

    def listing(self) -> list[ApiKey]:
        """Return every key ever created, the newest first, with its last use."""
        keys = [_with_use(key, self._used) for key in self._keys.values()]
        return sorted(keys, key=lambda key: key.created, reverse=True)

    def revoke(self, name: str, now: datetime) -> ApiKey:
        """Revoke the key with this id, or the only live one with this name; return it.

        Raises NotFound or Conflict.
        """
        key = self._keys.get(name) or self._live_key(name)
        if key.revoked is not None:
            return key
        key = replace(key, revoked=now)
        with self._database.writing() as con:
            con.execute("UPDATE api_keys SET revoked = ? WHERE id = ?", [now, key.id])
        self._put(key)
        return key

    def _live_key(self, name: str) -> ApiKey:
        keys = [
            key
            for key in self._keys.values()
            if key.name == name and key.revoked is None
        ]
        if not keys:
            raise NotFound(
                f"there is no live key with the id or name {name[:MAX_SHOWN_NAME]!r}; "
                "see `driftdeck keys list`"
            )
        if len(keys) > 1:
            ids = ", ".join(sorted(key.id for key in keys))
            raise Conflict(
                f"{len(keys)} keys are called {name!r}; revoke one by its id: {ids}"
            )
        return keys[0]

    def caller(self, secret: bytes, now: datetime) -> Caller:
        """Return the caller that this secret stands for.

        Raises Unauthorized, without repeating the secret.
        """
        key = self._keys.get(key_id_in(secret) or "")
        # an unknown id costs the same time as a wrong secret
        expected = key.digest if key else bytes(32)
        if not equal_digests(digest(secret), expected) or key is None:
            raise Unauthorized(
                "the key is not known to this server: set DRIFTDECK_KEY to one that "
                "is, or make one with `driftdeck keys create`"
            )
        state = key.state(now)
        if state != "live":
            since = key.revoked or key.expires or now
            verb = "was revoked" if state == "revoked" else "expired"
            raise Unauthorized(
                f"the key {key.id} ({key.name}) {verb} on {since:%Y-%m-%d %H:%M} UTC; "
                "an admin makes a new one with `driftdeck keys create`"
            )
        self._used[key.id] = now
        models = None if key.models is None else frozenset(key.models)
        return Caller(key.id, frozenset(key.scopes), models)

    def save_uses(self) -> None:
        """Store the last use of the keys that were used since the previous call."""
        with self._lock:
            used, self._used = self._used, {}
            self._keys = {id_: _with_use(key, used) for id_, key in self._keys.items()}
        if used:
            with self._database.writing() as con:
                con.execute(
                    "UPDATE api_keys SET last_used = u.at FROM "
                    "(SELECT unnest($ids) AS id, unnest($times) AS at) u "
                    "WHERE api_keys.id = u.id",
                    {"ids": list(used), "times": list(used.values())},
                )

    def _put(self, key: ApiKey) -> None:
        with self._lock:
            self._keys = {**self._keys, key.id: key}


def check_first(
    store: KeyStore, scopes: Sequence[str], models: Sequence[str] | None
) -> None:
    """Raise InvalidRequest when a first key would let no caller manage keys."""
    if not store.required and ("admin" not in scopes or models is not None):
        raise InvalidRequest(
            "from the first key on every request needs one: make the first with the "
            "scope admin and for all models, or start the server with DRIFTDECK_KEY set"
        )


def _key_of(row: tuple[Any, ...]) -> ApiKey:
    id_, name, digest_hex, scopes, models, created, expires, revoked, last_used = row
    return ApiKey(
        id_,
        name,
        bytes.fromhex(digest_hex),
        tuple(scopes),
        models and tuple(models),
        aware(created),
        aware(expires),
        aware(revoked),
        aware(last_used),
    )


def _with_use(key: ApiKey, used: dict[str, datetime]) -> ApiKey:
    return replace(key, last_used=used.get(key.id, key.last_used))
