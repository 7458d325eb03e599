"""Waiting for writes on an event loop."""

import asyncio
from concurrent.futures import Future

import pytest

from monitor.api import durability
from monitor.api.durability import DiskWrite, wait_until_durable, when_durable
from monitor.errors import StorageError


def test_all_waiters_of_one_write_are_woken_by_one_call() -> None:
    async def wait() -> list[str]:
        write: DiskWrite = Future()
        order: list[str] = []
        loop = asyncio.get_running_loop()
        for name in "abc":
            when_durable(write, loop, lambda _, name=name: order.append(name))
        waiter = asyncio.create_task(wait_until_durable(write))
        await asyncio.sleep(0)
        assert len(durability._callbacks) == 1
        await asyncio.to_thread(write.set_result, None)
        await waiter
        return order

    assert asyncio.run(wait()) == ["a", "b", "c"]
    assert not durability._callbacks


def test_a_write_that_ended_calls_at_once() -> None:
    async def wait() -> list[DiskWrite]:
        write: DiskWrite = Future()
        write.set_result(None)
        calls: list[DiskWrite] = []
        when_durable(write, asyncio.get_running_loop(), calls.append)
        await wait_until_durable(write)
        return calls

    assert len(asyncio.run(wait())) == 1


def test_the_error_of_a_write_is_raised() -> None:
    async def wait() -> None:
        write: DiskWrite = Future()
        waiter = asyncio.create_task(wait_until_durable(write))
        await asyncio.sleep(0)
        await asyncio.to_thread(write.set_exception, StorageError("the disk is full"))
        await waiter

    with pytest.raises(StorageError, match="disk is full"):
        asyncio.run(wait())


def test_an_error_in_one_callback_does_not_stop_the_others() -> None:
    async def wait() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        write: DiskWrite = Future()
        calls: list[str] = []

        def fail(_: DiskWrite) -> None:
            raise ValueError("a callback failed")

        when_durable(write, loop, fail)
        when_durable(write, loop, lambda _: calls.append("second"))
        await asyncio.to_thread(write.set_result, None)
        await wait_until_durable(write)
        await asyncio.sleep(0)
        return calls

    assert asyncio.run(wait()) == ["second"]
