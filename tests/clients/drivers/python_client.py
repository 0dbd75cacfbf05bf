# SPDX-License-Identifier: Apache-2.0
"""Drives `glimpse_client` through the table of behaviour; its two clients have the same operations."""

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from glimpse_client import AsyncClient, Client, Credentials, DamagedImage, Refused, Session, Unreachable


def run(kind: type[Client] | type[AsyncClient], task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each step of a task came to."""
    return asyncio.run(_Driver(kind, task).run())


class _Driver:
    def __init__(self, kind: type[Client] | type[AsyncClient], task: Mapping[str, Any]) -> None:
        who = Credentials(**task["who"]) if task["who"] else None
        self.client: Any = kind(task["url"], who, patience=task["patience"], silence=task["silence"])
        self.folder = Path(task["folder"])
        self.steps = task["steps"]

    async def run(self) -> list[dict[str, Any]]:
        try:
            return [await self._step(**step) for step in self.steps]
        finally:
            await _done(self.client.aclose() if isinstance(self.client, AsyncClient) else self.client.close())

    async def _step(self, do: str, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": await getattr(self, f"_{do}", partial(self._plain, do))(**given)}
        except Refused as refused:
            return {"error": refused.code, "status": refused.status, "retry_after": refused.retry_after}
        except Unreachable:
            return {"error": "unreachable"}
        except DamagedImage:
            return {"error": "damaged_image"}
        except OSError:
            return {"error": "disk"}

    async def _plain(self, do: str, **given: Any) -> Any:
        found = await _done(getattr(self.client, do)(**given))
        return vars(found)

    async def _me(self) -> str:
        return str((await _done(self.client.me())).nickname)

    async def _receive(self, message_key: str, folder: str | None = None) -> int:
        return _size(await _done(self.client.receive(message_key, folder or self.folder)))

    async def _events(self, after: int, count: int) -> list[int]:
        return [event.id for event in await _first(self.client.events(after), count)]

    async def _arrivals(self, count: int) -> list[str]:
        return [arrival.message_key for arrival in await _first(self.client.arrivals(), count)]

    async def _forget_access_token(self) -> None:
        session = self.client.credentials
        assert isinstance(session, Session)
        self.client._calls.credentials = replace(session, access_token="spent")


def _size(path: Path) -> int:
    return path.stat().st_size


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _first(iterator: Any, count: int) -> list[Any]:
    found: list[Any] = []
    if hasattr(iterator, "__anext__"):
        while len(found) < count:
            found.append(await anext(iterator))
        await iterator.aclose()
    else:
        while len(found) < count:
            found.append(next(iterator))
        iterator.close()
    return found
