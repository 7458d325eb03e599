"""Waiting on an event loop until the spool has written a group of records to disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

# set by the spool's thread once the records are on disk
DiskWrite = Future[None]
Callback = Callable[[DiskWrite], None]
# All requests of one write and one loop share one call across threads: each such call
# wakes the loop, which costs more than the callbacks themselves.
_callbacks: dict[tuple[DiskWrite, asyncio.AbstractEventLoop], list[Callback]] = {}


def when_durable(
    write: DiskWrite, loop: asyncio.AbstractEventLoop, callback: Callback
) -> None:
    """Call `callback(write)` on the loop's thread once the write ended, well or not.

    Must be called on that thread. A write that has ended calls at once.
    """
    if write.done():
        callback(write)
        return
    callbacks = _callbacks.get((write, loop))
    if callbacks is None:
        callbacks = _callbacks[write, loop] = []
        write.add_done_callback(lambda _: _wake_loop(write, loop))
    callbacks.append(callback)


async def wait_until_durable(write: DiskWrite) -> None:
    """Return when the write is on disk. Raises the error that prevented it."""
    if not write.done():
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def wake(_: DiskWrite) -> None:
            if not ended.done():
                ended.set_result(None)

        when_durable(write, loop, wake)
        await ended
    write.result()


def _wake_loop(write: DiskWrite, loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.call_soon_threadsafe(_call_all, write, loop)
    except RuntimeError:  # the loop has ended, and with it every request on it
        _callbacks.pop((write, loop), None)


def _call_all(write: DiskWrite, loop: asyncio.AbstractEventLoop) -> None:
    for callback in _callbacks.pop((write, loop), ()):
        # one by one, so that an error in one callback does not stop the others
        loop.call_soon(callback, write)
