# SPDX-License-Identifier: Apache-2.0
"""pywebpush: pushes by both of its clients, with and without words, and refusals."""

import asyncio

import aiohttp
from exchange import failure, given, tell
from py_vapid import Vapid02
from pywebpush import WebPushException, webpush, webpush_async

key = Vapid02()
key.generate_keys()
claims = {"sub": "mailto:ops@example.org"}


def push(subscription: object, data: str | None, **options: object) -> object:
    try:
        answer = webpush(subscription, data, vapid_private_key=key, vapid_claims=dict(claims), **options)
    except WebPushException as error:
        return failure(error, "message")
    return answer.status_code


async def push_async(subscription: object, data: str) -> int:
    async with aiohttp.ClientSession() as session:
        answer = await webpush_async(
            subscription, data, vapid_private_key=key, vapid_claims=dict(claims), ttl=60, aiohttp_session=session
        )
        status: int = answer.status
        return status


mine, gone = given["mine"], given["gone"]
tell(
    plain=push(mine, "hello"),
    long=push(mine, "waiting", ttl=10**7, headers={"Topic": "a-b_c", "Urgency": "high"}),
    silent=push(mine, None, ttl=0),
    later=asyncio.run(push_async(mine, "again")),
    gone=push(gone, "hello", ttl=60),
)
