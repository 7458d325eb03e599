"""When a group of frames is on disk: all who wait for one group on an event loop are woken by one call from its thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

Durable = Future[None]
_waiting: dict[
    tuple[Durable, asyncio.AbstractEventLoop], list[Callable[[Durable], None]]
] = {}


def when_durable(
    done: Durable, loop: asyncio.AbstractEventLoop, call: Callable[[Durable], None]
) -> None:
    """Call on the loop's own thread, which this must be, with the future that is done; at once when it is."""
    if done.done():
        call(done)
        return
    calls = _waiting.get((done, loop))
    if calls is None:
        calls = _waiting[done, loop] = []
        done.add_done_callback(lambda _: _wake(done, loop))
    calls.append(call)


async def durable(done: Durable) -> None:
    """Return when it is on disk. Raises what kept it from getting there."""
    if not done.done():
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        when_durable(
            done, loop, lambda _: None if woken.done() else woken.set_result(None)
        )
        await woken
    done.result()


def _wake(done: Durable, loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.call_soon_threadsafe(_call_all, done, loop)
    except RuntimeError:  # the loop has ended, and with it all who waited
        _waiting.pop((done, loop), None)


def _call_all(done: Durable, loop: asyncio.AbstractEventLoop) -> None:
    for call in _waiting.pop((done, loop), ()):
        # each by itself: what fails in one is not the others'
        loop.call_soon(call, done)
