# SPDX-License-Identifier: Apache-2.0
# Made by generate_sync.py of the module of this name in glimpse_client.aio: change that one.
"""Images out and in: sent once however often it is tried, acknowledged when the bytes are safe on the disk."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from glimpse_client.data import Sent
from glimpse_client.errors import DamagedImage, Refused
from glimpse_client.files import Outgoing, PartFile, Progress, make_folder
from glimpse_client.platform_sync import on_disk, sleep
from glimpse_client.protocol import Tries, Whole, start_of_range, upload_metadata, whole_image
from glimpse_client.sync.calls import Calls

LARGEST_WHOLE = 1024 * 1024
"""Bytes of an image that goes in one request: one question less, and a break costs no more than that."""
PIECE = 256 * 1024
OCTETS, TUS_PIECE = "application/octet-stream", "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}


def send(
    calls: Calls,
    picture: bytes | str | Path,
    fields: Mapping[str, str],
    *,
    thumbnail: bytes | None,
    idempotency_key: str | None,
    progress: Progress | None,
) -> Sent:
    """Send it with one Idempotency-Key for all tries: a large one goes on where it stopped."""
    key = idempotency_key or uuid4().hex
    outgoing = on_disk(partial(Outgoing, picture, progress))
    try:
        by = _send_whole if outgoing.size <= LARGEST_WHOLE else _send_on
        headers = by(calls, outgoing, fields, key, thumbnail)
    finally:
        outgoing.close()
    return Sent(
        message_id=int(headers["message-id"]),
        message_key=headers["message-key"],
        send_time=int(headers["send-time"]),
        metadata_removed=headers.get("metadata-removed"),
    )


def _send_whole(
    calls: Calls, outgoing: Outgoing, fields: Mapping[str, str], key: str, thumbnail: bytes | None
) -> Mapping[str, str]:
    """POST /v1/images; the headers of the answer."""
    preview = {} if thumbnail is None else {"thumb_file": ("preview", thumbnail, OCTETS)}

    def body() -> dict[str, Any]:
        outgoing.seek(0)
        return {"data": dict(fields), "files": {"img_file": ("image", outgoing, OCTETS), **preview}}

    return (calls.ask("POST", "/v1/images", body=body, headers={"Idempotency-Key": key})).headers


def _send_on(
    calls: Calls, outgoing: Outgoing, fields: Mapping[str, str], key: str, thumbnail: bytes | None
) -> Mapping[str, str]:
    """`/v1/uploads` by tus 1.0.0 (https://tus.io/protocols/resumable-upload); the headers of the last answer.

    The same key leads to the same upload, from another process too, and to its end where that has been.
    """
    said = {"Upload-Length": str(outgoing.size), "Upload-Metadata": upload_metadata(fields), "Content-Length": "0"}
    begun = calls.ask("POST", "/v1/uploads", headers={**TUS, **said, "Idempotency-Key": key})
    if "message-key" in begun.headers:
        return begun.headers
    place, offset = begun.headers["location"], int(begun.headers["upload-offset"])
    if thumbnail is not None:
        calls.ask("PUT", f"{place}/thumbnail", body=lambda: {"content": thumbnail}, headers={"Content-Type": OCTETS})
    tries = Tries(calls.patience)
    while True:
        try:
            return _append(calls, place, outgoing, offset)
        except (httpx.TransportError, Refused) as error:
            broken = isinstance(error, Refused) and error.code == "offset_mismatch"  # by a try that was taken for lost
            sleep(calls.pause(tries, httpx.WriteError(str(error)) if broken else error))
        there = int((calls.ask("HEAD", place, headers=TUS)).headers["upload-offset"])
        if there > offset:
            tries.progress()
        offset = there


def _append(calls: Calls, place: str, outgoing: Outgoing, offset: int) -> Mapping[str, str]:
    """One try of all that is missing. Without any byte it asks once more for the answer to the last."""

    def pieces() -> Iterator[bytes]:
        while piece := on_disk(partial(outgoing.read, PIECE)):
            yield piece

    outgoing.seek(offset)
    said = {"Upload-Offset": str(offset), "Content-Length": str(outgoing.size - offset), "Content-Type": TUS_PIECE}
    reply = calls.try_once("PATCH", place, lambda: {"content": pieces()}, headers={**TUS, **said})
    return reply.headers


def receive(calls: Calls, message_key: str, *, folder: Path, name: str | None, progress: Progress | None) -> Path:
    """Fetch an image into a file, make that safe on the disk, and only then tell the server."""
    on_disk(partial(make_folder, folder))
    part = on_disk(partial(PartFile, folder / f"{name or message_key}.part"))
    try:
        usual_name = _fetch(calls, message_key, part, progress)
        target = folder / (name or usual_name)
        on_disk(partial(part.publish, target))
    except Refused as refused:
        part.end(keep=refused.status not in (404, 410))
        raise
    finally:
        part.end(keep=True)
    _acknowledge(calls, message_key, target)
    return target


def _acknowledge(calls: Calls, message_key: str, target: Path) -> None:
    """Raises Refused for an image that its sender has taken back, of which nothing is kept."""
    try:
        calls.ask("DELETE", f"/v1/images/{message_key}")
    except Refused as refused:
        if refused.code == "image_recalled":
            on_disk(partial(target.unlink, missing_ok=True))
            raise
        if refused.status != 410:  # its time was over, or another device of the person was first: the bytes are here
            raise


def _fetch(calls: Calls, message_key: str, part: PartFile, progress: Progress | None) -> str:
    """All bytes into `part`, from where an earlier try stopped; the name for them. Raises DamagedImage."""
    tries = Tries(calls.patience)
    damaged = False
    while True:
        before = part.size
        try:
            whole = _fetch_once(calls, message_key, part, progress)
        except (httpx.TransportError, Refused) as error:
            if part.size > before:
                tries.progress()
            sleep(calls.pause(tries, error))
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


def _fetch_once(calls: Calls, message_key: str, part: PartFile, progress: Progress | None) -> Whole | None:
    """One try, from the first byte that is missing. None where `part` held as much as there is: it begins anew."""
    wanted = {"Accept-Encoding": "identity", **({"Range": f"bytes={part.size}-"} if part.size else {})}
    with calls.open(f"/v1/images/{message_key}", headers=wanted, params={"ack": "manual"}) as reply:
        resumed = reply.status_code == 206 and start_of_range(reply.headers) == part.size
        if not resumed:
            part.restart()
        if reply.status_code == 416:
            return None
        whole = whole_image(reply.headers, message_key)
        for piece in reply.iter_raw():
            on_disk(partial(part.write, piece))
            if progress is not None:
                progress(part.size, whole.size)
        return whole
