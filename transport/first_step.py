# SPDX-License-Identifier: Apache-2.0
"""Coroutines whose first step runs at once; a task is made when they first wait.

Most requests never wait, and a task costs them a turn of the event loop. While the first step runs, a `Stand` is
`asyncio.current_task()`, by asyncio's interface for tasks of other makers
(https://docs.python.org/3/library/asyncio-extending.html): what it was told, it tells the task that takes over.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any, cast


def begin(awaited: object) -> asyncio.Future[Any] | None:
    """Start it; None when it has ended already (or there is nothing to await), else the future of its end.

    Raises what its first step raises.
    """
    if awaited is None:
        return None
    if isinstance(awaited, asyncio.Future):
        if awaited.done() and not awaited.cancelled() and awaited.exception() is None:
            return None
        return awaited
    if asyncio.iscoroutine(awaited):
        return _begin(awaited)
    assert isinstance(awaited, Awaitable)
    return asyncio.ensure_future(awaited)


class Stand:
    """What a coroutine's first step takes for its task."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._asked = 0

    def cancel(self, msg: object = None) -> bool:
        self._asked += 1
        return self._task.cancel(msg) if self._task else True

    def uncancel(self) -> int:
        self._asked -= 1
        return self._task.uncancel() if self._task else self._asked

    def cancelling(self) -> int:
        return self._task.cancelling() if self._task else self._asked

    def done(self) -> bool:
        return self._task is not None and self._task.done()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def get_name(self) -> str:
        return "first step"

    def hand_over(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        for _ in range(self._asked):
            task.cancel()


def _begin(coro: Coroutine[Any, Any, Any]) -> asyncio.Future[Any] | None:
    loop = asyncio.get_running_loop()
    if asyncio.current_task(loop) is not None:
        return loop.create_task(coro)  # somebody's task runs: there is only one at a time
    context, stand = copy_context(), Stand()
    try:
        waits_for = context.run(_step, loop, stand, coro)
    except StopIteration:
        return None
    task = loop.create_task(_rest(coro, waits_for), context=context)
    stand.hand_over(task)
    return task


def _step(loop: asyncio.AbstractEventLoop, stand: Stand, coro: Coroutine[Any, Any, Any]) -> Any:
    as_task = cast("asyncio.Task[Any]", stand)
    asyncio._enter_task(loop, as_task)  # noqa: SLF001 - documented, see above
    try:
        return coro.send(None)
    finally:
        asyncio._leave_task(loop, as_task)  # noqa: SLF001


@coroutine
def _rest(coro: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """The coroutine from where its first step left it: the task waits for what that waited for."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - a cancellation, which is the coroutine's to hear
            try:
                waits_for = coro.throw(error)
            except StopIteration as end:
                return end.value
        else:
            return (yield from coro.__await__())
