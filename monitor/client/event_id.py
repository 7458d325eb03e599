"""Event ids: UUID version 7, so that ids made one after the other lie side by side in the store."""

import os
import time


def new_event_id() -> str:
    """A UUIDv7 as text: 48 bits of milliseconds, 12 bits of the millisecond's fraction, 62 random bits.

    The fraction in `rand_a` is method 3 of RFC 9562, section 6.2; Python gets `uuid.uuid7` only with 3.14.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    noise = os.urandom(8)
    variant = 0b10 << 6 | noise[0] >> 2
    time_ = f"{milliseconds:012x}"
    return f"{time_[:8]}-{time_[8:]}-7{fraction:03x}-{variant:02x}{noise[1]:02x}-{noise[2:].hex()}"
