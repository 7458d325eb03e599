"""Memory of request bodies: reservations in a shared pool."""

from collections.abc import Iterator

import pytest

from monitor.api import request_body
from monitor.api.request_body import MAX_IN_FLIGHT_BYTES, BodyMemory
from monitor.errors import TooMany

MB = 1 << 20


@pytest.fixture(autouse=True)
def empty_pools() -> Iterator[None]:
    yield
    assert request_body._small_bodies.bytes == request_body._large_bodies.bytes == 0


def test_small_bodies_share_their_memory_until_it_is_used_up() -> None:
    memories = [BodyMemory(32 * MB) for _ in range(3)]
    memories[0].reserve(32 * MB)
    memories[1].reserve(32 * MB)
    with pytest.raises(TooMany, match="send again in a second"):
        memories[2].reserve(1)
    memories[0].release()
    memories[2].reserve(32 * MB)
    for memory in memories:
        memory.release()


def test_a_reservation_can_be_lowered_while_the_pool_is_full() -> None:
    first, second = BodyMemory(MB), BodyMemory(MB)
    first.reserve(MAX_IN_FLIGHT_BYTES - MB)
    second.reserve(MB)
    second.reserve(1000)
    assert second.bytes == 1000
    first.release()
    second.release()


def test_a_large_body_alone_fits_and_does_not_block_small_ones() -> None:
    large, small = BodyMemory(512 * MB), BodyMemory(MB)
    large.reserve(512 * MB)
    small.reserve(MB)
    large.release()
    small.release()
