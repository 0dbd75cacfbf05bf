# SPDX-License-Identifier: Apache-2.0
"""Many sends of one provider at a time, of which one never ends."""

import asyncio
from collections import Counter
from collections.abc import Callable

from push.base import Outcome, Provider, Push

SENDS = 16


async def outcomes_beside_one_that_hangs(provider: Provider, push: Callable[[int], Push]) -> Counter[Outcome]:
    """Send two pushes at a time, `SENDS` times at once, and count the outcomes of all but the send that hangs."""
    sends = [asyncio.create_task(provider.send([push(n), push(100 + n)])) for n in range(1, SENDS + 1)]
    while sum(send.done() for send in sends) < SENDS - 1:
        await asyncio.wait([send for send in sends if not send.done()], return_when=asyncio.FIRST_COMPLETED)
    [hung] = [send for send in sends if not send.done()]
    hung.cancel()
    await asyncio.wait([hung])
    return Counter(outcome for send in sends if send is not hung for outcome in send.result())
