# SPDX-License-Identifier: Apache-2.0
"""Coroutines that begin at once."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from transport.first_step import begin

pytestmark = pytest.mark.gen_test(timeout=30)
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


async def from_the_loop(coroutine: Any) -> asyncio.Future[Any] | None:
    """What `begin` returns where no task runs, as in a protocol's callback."""
    told: asyncio.Future[asyncio.Future[Any] | None] = asyncio.get_running_loop().create_future()

    def call() -> None:
        try:
            told.set_result(begin(coroutine))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            told.set_exception(error)

    asyncio.get_running_loop().call_soon(call)
    return await told


async def test_who_never_waits_needs_no_task() -> None:
    seen = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    before = asyncio.all_tasks()
    assert await from_the_loop(work()) is None
    assert seen[0] is not None
    assert asyncio.all_tasks() == before


async def test_who_waits_goes_on_in_a_task_with_its_own_context() -> None:
    async def work() -> list[object]:
        NAME.set("Ann")
        first = asyncio.current_task()
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return [NAME.get(), asyncio.current_task() is not first]

    future = await from_the_loop(work())
    assert future is not None
    assert await future == ["Ann", True]
    assert NAME.get() == "nobody"


async def test_what_it_raises_is_told_at_once_or_by_the_future() -> None:
    async def fail(*, later: bool) -> None:
        if later:
            await asyncio.sleep(0)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await from_the_loop(fail(later=False))
    future = await from_the_loop(fail(later=True))
    assert future is not None
    with pytest.raises(ValueError, match=r"^$"):
        await future


async def test_a_timeout_that_began_in_the_first_step_ends_it() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
            return "too late"
        return "in time"

    future = await from_the_loop(work())
    assert future is not None
    assert await future == "too late"


async def test_a_timeout_that_was_not_needed_leaves_no_trace() -> None:
    async def work() -> int:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task
        return task.cancelling()

    future = await from_the_loop(work())
    assert future is not None
    assert await future == 0


async def test_a_group_of_tasks_that_began_in_the_first_step_hears_of_failures() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError

    async def work() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* KeyError:
            pass
        return "heard"

    future = await from_the_loop(work())
    assert future is not None
    assert await future == "heard"


async def test_it_can_be_cancelled() -> None:
    heard = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            await asyncio.sleep(0)
            raise

    future = await from_the_loop(work())
    assert future is not None
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert heard == ["cancelled"]


async def test_within_a_task_it_is_a_task_of_its_own() -> None:
    async def work() -> int:
        return 5

    future = begin(work())
    assert future is not None
    assert await future == 5
