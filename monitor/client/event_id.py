"""Event ids: UUID version 7, so that ids made one after the other lie side by side in the store."""

import os
import time

_VERSION_7 = 0x7 << 76
_VARIANT_RFC_9562 = 0b10 << 62


def new_event_id() -> str:
    """A UUIDv7 as text: 48 bits of milliseconds, 12 bits of the millisecond's fraction, 62 random bits.

    The fraction in `rand_a` is method 3 of RFC 9562, section 6.2; Python gets `uuid.uuid7` only with 3.14.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    random_bits = int.from_bytes(os.urandom(8), "big") >> 2
    number = (milliseconds << 80) | _VERSION_7 | (fraction << 64) | _VARIANT_RFC_9562 | random_bits
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
