# SPDX-License-Identifier: Apache-2.0
"""Names whose servers never answer delay nobody but those who asked for them."""

import asyncio
import threading

import pytest

from httpclient.endpoints import LOOKUPS_PER_SITE, Endpoints
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio
PUBLIC = "93.184.216.34"


class Names:
    """Those of `slow.example` have no answer before `answers` is set, and those of `gone.example` have none at all."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []

    def look_up(self, host: str, _: int) -> list[str]:
        self.asked.append(host)
        if host.endswith("slow.example"):
            assert self.answers.wait(PATIENCE)
        if host.endswith("gone.example"):
            raise OSError
        return [PUBLIC]

    def slow(self) -> int:
        return sum(host.endswith("slow.example") for host in self.asked)


async def test_slow_names_of_one_site_hold_up_each_other_alone() -> None:
    names = Names()
    endpoints = Endpoints(look_up=names.look_up)
    waiting = [asyncio.create_task(endpoints.addresses(f"n{number}.slow.example", 443)) for number in range(100)]
    try:
        async with asyncio.timeout(PATIENCE):
            for number in range(20):
                assert await endpoints.addresses(f"n{number}.prompt.example", 443) == [PUBLIC]
                with pytest.raises(OSError, match=r"^$"):
                    await endpoints.addresses(f"n{number}.gone.example", 443)
            # Who asked has given up, and the threads are held all the same: no more are taken.
            for task in waiting[:50]:
                task.cancel()
            await asyncio.gather(*waiting[:50], return_exceptions=True)
            assert await endpoints.addresses("one.more.prompt.example", 443) == [PUBLIC]
            assert names.slow() == LOOKUPS_PER_SITE
            names.answers.set()
            assert await asyncio.gather(*waiting[50:]) == [[PUBLIC]] * 50
        assert names.slow() == LOOKUPS_PER_SITE + 50
    finally:
        names.answers.set()
        endpoints.close()
