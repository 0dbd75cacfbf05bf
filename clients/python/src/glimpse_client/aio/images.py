# SPDX-License-Identifier: Apache-2.0
"""Images out and in: sent once however often it is tried, acknowledged when the bytes are safe on the disk."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from glimpse_client.aio.calls import AsyncCalls
from glimpse_client.data import Sent
from glimpse_client.errors import DamagedImage, Refused
from glimpse_client.files import Outgoing, PartFile, Progress, make_folder
from glimpse_client.platform_async import on_disk, sleep
from glimpse_client.protocol import Tries, Whole, start_of_range, whole_image


async def send(
    calls: AsyncCalls,
    picture: bytes | str | Path,
    fields: Mapping[str, str],
    *,
    thumbnail: bytes | None,
    idempotency_key: str | None,
    progress: Progress | None,
) -> Sent:
    """POST /v1/images, with one Idempotency-Key for all tries."""
    key = idempotency_key or uuid4().hex
    preview = {} if thumbnail is None else {"thumb_file": ("preview", thumbnail, "application/octet-stream")}

    def body() -> dict[str, Any]:
        outgoing.seek(0)
        files = {"img_file": ("image", outgoing, "application/octet-stream"), **preview}
        return {"data": dict(fields), "files": files}

    outgoing = await on_disk(partial(Outgoing, picture, progress))
    try:
        reply = await calls.ask("POST", "/v1/images", body=body, headers={"Idempotency-Key": key})
    finally:
        outgoing.close()
    return Sent(
        message_id=int(reply.headers["message-id"]),
        message_key=reply.headers["message-key"],
        send_time=int(reply.headers["send-time"]),
        metadata_removed=reply.headers.get("metadata-removed"),
    )


async def receive(
    calls: AsyncCalls, message_key: str, *, folder: Path, name: str | None, progress: Progress | None
) -> Path:
    """Fetch an image into a file, make that safe on the disk, and only then tell the server."""
    await on_disk(partial(make_folder, folder))
    part = await on_disk(partial(PartFile, folder / f"{name or message_key}.part"))
    try:
        usual_name = await _fetch(calls, message_key, part, progress)
        target = folder / (name or usual_name)
        await on_disk(partial(part.publish, target))
    except Refused as refused:
        part.end(keep=refused.status not in (404, 410))
        raise
    finally:
        part.end(keep=True)
    await _acknowledge(calls, message_key, target)
    return target


async def _acknowledge(calls: AsyncCalls, message_key: str, target: Path) -> None:
    """Raises Refused for an image that its sender has taken back, of which nothing is kept."""
    try:
        await calls.ask("DELETE", f"/v1/images/{message_key}")
    except Refused as refused:
        if refused.code == "image_recalled":
            await on_disk(partial(target.unlink, missing_ok=True))
            raise
        if refused.status != 410:  # its time was over, or another device of the person was first: the bytes are here
            raise


async def _fetch(calls: AsyncCalls, message_key: str, part: PartFile, progress: Progress | None) -> str:
    """All bytes into `part`, from where an earlier try stopped; the name for them. Raises DamagedImage."""
    tries = Tries(calls.patience)
    damaged = False
    while True:
        before = part.size
        try:
            whole = await _fetch_once(calls, message_key, part, progress)
        except (httpx.TransportError, Refused) as error:
            if part.size > before:
                tries.progress()
            await sleep(await _pause(calls, tries, error))
            continue
        if whole is None:
            continue
        if part.is_whole(whole.size, whole.digest):
            return whole.name
        if damaged:
            part.end(keep=False)
            raise DamagedImage(message_key)
        damaged = True
        part.restart()


async def _pause(calls: AsyncCalls, tries: Tries, error: httpx.TransportError | Refused) -> float:
    if isinstance(error, httpx.TransportError):
        return tries.pause_after_break(error)
    if not tries.renewed and await calls.renew(error, calls.who()):
        tries.renewed = True
        return 0
    return tries.pause_after_refusal(error)


async def _fetch_once(calls: AsyncCalls, message_key: str, part: PartFile, progress: Progress | None) -> Whole | None:
    """One try, from the first byte that is missing. None where `part` held as much as there is: it begins anew."""
    wanted = {"Accept-Encoding": "identity", **({"Range": f"bytes={part.size}-"} if part.size else {})}
    async with calls.open(f"/v1/images/{message_key}", headers=wanted, params={"ack": "manual"}) as reply:
        resumed = reply.status_code == 206 and start_of_range(reply.headers) == part.size
        if not resumed:
            part.restart()
        if reply.status_code == 416:
            return None
        whole = whole_image(reply.headers, message_key)
        async for piece in reply.aiter_raw():
            await on_disk(partial(part.write, piece))
            if progress is not None:
                progress(part.size, whole.size)
        return whole
