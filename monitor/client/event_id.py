"""Event ids: UUID version 7, so that ids made in sequence are neighbours in the store."""

import os
import time

# one call of the system for each id would cost a third of the id
IDS_PER_RANDOM_READ = 128
_tails: list[str] = []


def new_event_id() -> str:
    """Make a UUIDv7 as text.

    It has 48 bits of milliseconds, 12 bits of the millisecond's fraction and 62 random
    bits. The fraction in `rand_a` is method 3 of RFC 9562, section 6.2. Python has
    `uuid.uuid7` only from 3.14.
    """
    # units of 1/4096 ms: the 60 bits of time and fraction in one number
    units = time.time_ns() * 64 // 15_625
    try:
        tail = _tails.pop()
    except IndexError:
        tail, *others = _random_tails()
        _tails.extend(others)
    return "%08x-%04x-7%03x-%s" % (  # noqa: UP031
        units >> 28,
        units >> 12 & 0xFFFF,
        units & 0xFFF,
        tail,
    )


def _random_tails() -> list[str]:
    """Make the variant and the 62 random bits of many ids with one system call."""
    noise = os.urandom(8 * IDS_PER_RANDOM_READ)
    pieces = (noise[i : i + 8] for i in range(0, len(noise), 8))
    return [
        f"{0x80 | piece[0] & 0x3F:02x}{piece[1]:02x}-{piece[2:].hex()}"
        for piece in pieces
    ]


if hasattr(os, "register_at_fork"):
    # a child must not use its parent's random bits again
    os.register_at_fork(after_in_child=_tails.clear)
