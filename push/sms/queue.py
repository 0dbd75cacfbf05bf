# SPDX-License-Identifier: Apache-2.0
"""The bounded in-memory queue of codes that are sent by SMS after their commit.

It is not an outbox: only a code's HMAC is stored, so a crash loses what is queued and the person asks again.
"""

import asyncio
import logging
import random
from types import TracebackType

from models.errors import Unavailable
from push.sms.base import SmsMessage, SmsNotSent, SmsOutcome, SmsProvider
from telemetry import metrics

SEND_SECONDS = 10.0
# Before the second try, and part of its time: a gateway that failed for a moment has recovered by then.
PAUSE_SECONDS = 2.0
# By then the codes that fill the queue have had their first try.
RETRY_AFTER_SECONDS = 10

log = logging.getLogger(__name__)


class SmsQueue:
    """At most `size` codes that have a place or are under way; each has two tries of 10 s.

    The second comes 1 to 2 s after a temporary failure, and only where it cannot make two SMS of one.
    """

    def __init__(
        self,
        provider: SmsProvider,
        size: int = 64,
        *,
        send_seconds: float = SEND_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._provider = provider
        self._free = size
        self._send_seconds = send_seconds
        self._pause_seconds = pause_seconds
        self._sending: set[asyncio.Task[None]] = set()

    def reserve(self) -> "Place":
        """Reserve a place for one code before its activation is written. Raises Unavailable when full.

        Use it as `with queue.reserve() as place:`, commit, `place.put(message)`; an unused place is given back.
        """
        if self._free == 0:
            raise Unavailable("Too many codes are on their way.", retry_after=RETRY_AFTER_SECONDS)
        self._free -= 1
        return Place(self)

    async def close(self, *, within: float = 25) -> None:
        """Send what is queued, cancel the rest after `within` seconds, then close the provider."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._provider.close()

    def _give_back(self) -> None:
        self._free += 1

    def _put(self, message: SmsMessage) -> None:
        task = asyncio.create_task(self._send(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, message: SmsMessage) -> None:
        sent = False
        try:
            for pause in (0, random.uniform(self._pause_seconds / 2, self._pause_seconds)):  # noqa: S311 - no secret
                outcome = await self._try(message, pause)
                if not isinstance(outcome, SmsNotSent):
                    sent = True
                    return
                log.warning("sms not sent", extra={"provider": self._provider.name, "reason": outcome.reason})
                if not outcome.temporary:
                    return
        finally:
            metrics.sms_ended(sent=sent)
            self._give_back()

    async def _try(self, message: SmsMessage, pause: float) -> SmsOutcome:
        try:
            async with asyncio.timeout(self._send_seconds):
                await asyncio.sleep(pause)
                return await self._provider.send(message)
        except TimeoutError:
            return SmsNotSent("timed out", temporary=self._provider.knows_repeats)
        except Exception as error:  # noqa: BLE001 - its text may hold the number
            return SmsNotSent(f"raised {type(error).__name__}", temporary=False)


class Place:
    """One reserved place of an `SmsQueue`."""

    def __init__(self, queue: SmsQueue) -> None:
        self._queue: SmsQueue | None = queue

    def put(self, message: SmsMessage) -> None:
        """Send this message in the background. Raises RuntimeError if the place is already used."""
        if self._queue is None:
            raise RuntimeError("this place in the SMS queue is already used")
        queue, self._queue = self._queue, None
        queue._put(message)  # noqa: SLF001 - a place is its queue's own

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._queue is not None:
            self._queue._give_back()  # noqa: SLF001
            self._queue = None
