"""API keys: kept in the database as digests, checked in memory."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitor.access import Caller, Key, digest, id_in, make_secret, same
from monitor.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from monitor.store.alert_store import aware

if TYPE_CHECKING:
    from monitor.store.store import Store

COLUMNS = "id, name, digest, scopes, models, created, expires, revoked, last_used"


class KeyStore:
    """The keys of one data directory; checking one touches no disk."""

    def __init__(self, store: "Store") -> None:
        self.store = store
        self._lock = threading.Lock()
        self._used: dict[str, datetime] = {}
        rows = store.query(f"SELECT {COLUMNS} FROM api_keys")
        self._keys = {row[0]: _key(row) for row in rows}

    @property
    def required(self) -> bool:
        """True once a key was made, even if none is live any more: revoking the last key does not open the server."""
        return bool(self._keys)

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        models: Sequence[str] | None,
        expires: datetime | None,
        now: datetime,
    ) -> tuple[Key, str]:
        """A new key and its secret, which is nowhere else."""
        number, secret = make_secret()
        key = Key(
            number,
            name,
            digest(secret.encode()),
            tuple(scopes),
            None if models is None else tuple(models),
            now,
            expires,
        )
        with self.store.writing() as con:
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
        with self._lock:
            self._keys = {**self._keys, key.id: key}
        return key, secret

    def listing(self) -> list[Key]:
        """Every key ever made, the newest first, with its last use."""
        keys = [
            replace(k, last_used=self._used.get(k.id, k.last_used))
            for k in self._keys.values()
        ]
        return sorted(keys, key=lambda k: k.created, reverse=True)

    def revoke(self, name: str, now: datetime) -> Key:
        """The key with this id, or the only live one of this name, revoked.

        Raises NotFound or Conflict.
        """
        found = self._keys.get(name)
        if found is None:
            named = [
                k for k in self._keys.values() if k.name == name and k.revoked is None
            ]
            if not named:
                raise NotFound(
                    f"there is no live key with the id or name {name[:100]!r}; see `driftdeck keys list`"
                )
            if len(named) > 1:
                ids = ", ".join(sorted(k.id for k in named))
                raise Conflict(
                    f"{len(named)} keys are called {name!r}; revoke one by its id: {ids}"
                )
            found = named[0]
        if found.revoked is None:
            found = replace(found, revoked=now)
            with self.store.writing() as con:
                con.execute(
                    "UPDATE api_keys SET revoked = ? WHERE id = ?", [now, found.id]
                )
            with self._lock:
                self._keys = {**self._keys, found.id: found}
        return found

    def caller(self, secret: bytes, now: datetime) -> Caller:
        """Who bears this secret. Raises Unauthorized, without repeating it."""
        known = self._keys.get(id_in(secret) or "")
        # an unknown id costs the same as a wrong secret
        if (
            not same(digest(secret), known.digest if known else bytes(32))
            or known is None
        ):
            raise Unauthorized(
                "the key is not known to this server: set DRIFTDECK_KEY to one that is, or make one with `driftdeck keys create`"
            )
        state = known.state(now)
        if state != "live":
            since = known.revoked or known.expires or now
            raise Unauthorized(
                f"the key {known.id} ({known.name}) {'was revoked' if state == 'revoked' else 'expired'} "
                f"on {since:%Y-%m-%d %H:%M} UTC; an admin makes a new one with `driftdeck keys create`"
            )
        self._used[known.id] = now
        return Caller(
            known.id,
            frozenset(known.scopes),
            None if known.models is None else frozenset(known.models),
        )

    def save_uses(self) -> None:
        """Write down when keys were last used, for those used since the last time this was called."""
        with self._lock:
            used, self._used = self._used, {}
            self._keys = {
                i: replace(k, last_used=used.get(i, k.last_used))
                for i, k in self._keys.items()
            }
        if used:
            with self.store.writing() as con:
                con.execute(
                    "UPDATE api_keys SET last_used = u.at FROM (SELECT unnest($ids) AS id, unnest($times) AS at) u "
                    "WHERE api_keys.id = u.id",
                    {"ids": list(used), "times": list(used.values())},
                )


def check_first(
    book: KeyStore, scopes: Sequence[str], models: Sequence[str] | None
) -> None:
    """Raises InvalidRequest when a first key would lock everybody out of managing keys."""
    if not book.required and ("admin" not in scopes or models is not None):
        raise InvalidRequest(
            "from the first key on every request needs one: make the first with the scope admin and for all models, "
            "or start the server with DRIFTDECK_KEY set"
        )


def _key(row: tuple[Any, ...]) -> Key:
    number, name, hexed, scopes, models, created, *times = row
    expires, revoked, last_used = (aware(t) for t in times)
    made = aware(created) or datetime.now(UTC)
    return Key(
        number,
        name,
        bytes.fromhex(hexed),
        tuple(scopes),
        models and tuple(models),
        made,
        expires,
        revoked,
        last_used,
    )
