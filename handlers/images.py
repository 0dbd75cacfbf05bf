# SPDX-License-Identifier: Apache-2.0
"""Images on their way out: fetching with an exact hand-over, acknowledging, recalling, status and inbox."""

import logging
from base64 import b64encode
from collections.abc import Mapping

from tornado.iostream import StreamClosedError

from handlers import paging
from handlers.base import BaseHandler
from handlers.negotiation import is_known
from handlers.ranges import requested_range
from handlers.route import PERSON, Route
from handlers.tcp_delivery import TcpDelivery
from models.errors import AppError, InvalidField, RangeNotSatisfiable
from models.imagefile import CONTENT_TYPES, EXTENSIONS
from models.message import Delivery, Message
from services.fields import raise_if_any
from services.reading import OpenImage, opened, report_lost
from storage.keys import path_of
from telemetry import metrics

log = logging.getLogger("glimpse.http")

AT_ONCE_BYTES = 1024 * 1024
"""By the kernel, of what is in memory; then others have their turn, and a recall is looked for."""
COPIED_BYTES = 128 * 1024
"""Where the kernel cannot copy by itself, as under TLS."""
PIECE_BYTES = 16 * 1024
"""Written while the kernel takes nothing more: so much waits in memory for a client that is slow."""
WISHES = {"ack": ("auto", "manual"), "disposition": ("attachment", "inline")}
"""What a client may say of how it is answered; without a word, the first."""
NGINX_LOCATION = "/glimpse-images/"
"""Of docs/nginx.md."""
CONDITIONS = ("If-Range", "If-Match", "If-Unmodified-Since")
SHOWN_BY_BROWSERS = frozenset({"jpeg", "png", "gif", "webp", "avif"})
"""Of anything else a browser would show nothing, or make a download all the same."""


class ServesImage(BaseHandler):
    """How an image is answered, whichever way it was asked for."""

    inline = False

    def wishes(self, *more: str) -> dict[str, str]:
        """The query's fields, with those that say how the image is to be answered. Raises InvalidField."""
        query = self.query(*more, *WISHES)
        raise_if_any(
            [(name, " or ".join(words)) for name, words in WISHES.items() if query.get(name, words[0]) not in words]
        )
        return query

    async def serve(self, delivery: Delivery, query: Mapping[str, str]) -> None:
        """Answer with the image, or a part of it, and consume it when the receiver's TCP has all of it.

        `query` is what `wishes` returned.
        """
        message = delivery.message
        self.inline = query.get("disposition") == "inline" and message.filetype in SHOWN_BY_BROWSERS
        if is_known(self.request.headers.get("If-None-Match"), self._etag(message)):
            self._describe(message)
            self.reply(304)
            return
        try:
            part = self._part(message)
        except RangeNotSatisfiable as error:
            self._refuse_range(error, message)
            return
        if self._may_be_redirected(query) and await self._redirect(delivery):
            return
        image = await self.services.reading.open_image(delivery)
        with opened(self.services.reading, image):
            self._describe(message)
            if self._may_be_sent_by_nginx(query):
                await self._have_nginx_send(image)
                return
            start, end = part or (0, message.size)
            self.set_header("Content-Length", str(end - start))
            if part:
                self.set_status(206)
                self.set_header("Content-Range", f"bytes {start}-{end - 1}/{message.size}")
            if self.request.method == "HEAD":
                self.finish()
            else:
                await self._stream(image, start, end, consumes=part is None and query.get("ack") != "manual")

    def _may_be_redirected(self, query: Mapping[str, str]) -> bool:
        """Who acknowledges by hand need not have the bytes from here (RFC 7240: a preference, which may be ignored)."""
        wished = [wish.strip() for wish in self.request.headers.get("Prefer", "").lower().split(",")]
        by_hand = self.request.method == "GET" and query.get("ack") == "manual"
        return by_hand and self.services.settings.offload == "presigned" and "redirect" in wished

    async def _redirect(self, delivery: Delivery) -> bool:
        url = await self.services.reading.hand_over(delivery, self._grace_ms())
        if url is None:
            return False
        self._describe(delivery.message)
        self.set_header("Location", url)
        self.set_header("Content-Length", "0")
        self.set_status(307)
        self.finish()
        return True

    def _may_be_sent_by_nginx(self, query: Mapping[str, str]) -> bool:
        """What nginx would judge by another ETag or time than ours is answered here."""
        asked = self.request
        by_hand = asked.method == "GET" and query.get("ack") == "manual"
        through_nginx = self.services.settings.offload == "x-accel" and self.services.proxies.trusts(self.peer)
        return by_hand and through_nginx and not any(name in asked.headers for name in CONDITIONS)

    async def _have_nginx_send(self, image: OpenImage) -> None:
        """Nginx puts the file in place of our empty body, and of its part where a range was asked for.

        Source: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers
        """
        await self.services.reading.restart_grace(image, self._grace_ms())
        self.clear_header("Accept-Ranges")  # nginx adds its own
        self.set_header("X-Accel-Redirect", NGINX_LOCATION + path_of(image.message.message_key))
        self.set_header("Content-Length", "0")
        self.finish()

    def _refuse_range(self, error: RangeNotSatisfiable, message: Message) -> None:
        self.refused = error
        self.set_header("Content-Range", f"bytes */{message.size}")
        self.write_problem(error)
        self.finish()

    async def _stream(self, image: OpenImage, start: int, end: int, *, consumes: bool) -> None:
        if self.connection.closed:
            return  # while the file was opened; there is no socket to ask any more
        delivery = TcpDelivery(self.connection.descriptor()) if consumes else None
        try:
            if not await self._send(image, start, end):
                self.connection.close()
                return
            if delivery is None:
                await self.services.reading.restart_grace(image, self._grace_ms())
            elif await delivery.completed(self.services.settings.stall_seconds):
                await self._consume(image)
            else:
                self.connection.close()
                return
            if self.get_status() == 200:
                metrics.image_fetched(image.message.size)
            self.finish()
        except StreamClosedError:
            self.connection.close()
        finally:
            if delivery is not None:
                delivery.close()

    async def _send(self, image: OpenImage, start: int, end: int) -> bool:
        """Head and bytes, as fast as they are taken; False where the image has ended meanwhile.

        Raises StreamClosedError, StorageError.
        """
        by_kernel = self.connection.sends_files
        if not by_kernel or end - start > AT_ONCE_BYTES:
            await self.services.turns.take()  # the first piece is as dear as those that follow
        if by_kernel:
            self.connection.file_follows = True  # the head goes with its first bytes
            await self.flush_within(self.services.settings.stall_seconds)
        while start < end:
            if await self.services.reading.is_recalled(image):
                return False
            sent = 0
            if by_kernel and await image.blob.cache(start, min(AT_ONCE_BYTES, end - start)):
                sent = self.connection.send_file(image.blob.file, start, min(AT_ONCE_BYTES, end - start))
            if not sent:
                most = PIECE_BYTES if by_kernel else COPIED_BYTES
                sent = await self._copy(image, start, min(most, end - start))
            if not sent:
                report_lost(image.message)
                return False
            start += sent
            if start < end:
                await self.services.turns.take()
        return True

    async def _copy(self, image: OpenImage, start: int, count: int) -> int:
        """Write a piece, and return when it is taken. Raises StreamClosedError, StorageError."""
        data = await image.blob.read(start, count)
        self.write(data)
        await self.flush_within(self.services.settings.stall_seconds)
        return len(data)

    async def _consume(self, image: OpenImage) -> None:
        try:
            await self.services.reading.finish_image(image, self._grace_ms())
        except AppError as error:
            # The receiver has all of it and is not to be troubled; the image merely stays to be fetched again.
            log.warning("an image was handed over and could not be consumed", extra={"error": error.code})

    def _grace_ms(self) -> int:
        """Behind a proxy the acknowledgement is only the proxy's."""
        settings = self.services.settings
        behind_proxy = self.services.proxies.trusts(self.peer)
        return int(1000 * (settings.proxy_grace_seconds if behind_proxy else settings.grace_seconds))

    def _part(self, message: Message) -> tuple[int, int] | None:
        if self.request.method != "GET":
            return None  # ranges are of GET alone (RFC 9110, 14.2)
        headers = self.request.headers
        return requested_range(headers.get("Range"), headers.get("If-Range"), self._etag(message), message.size)

    def _etag(self, message: Message) -> str:
        return f'"{message.message_key}"'

    def _attachment(self, message: Message) -> str:
        return f'attachment; filename="{message.message_key}.{EXTENSIONS[message.filetype]}"'

    def _describe(self, message: Message) -> None:
        for name, value in {
            "Content-Type": CONTENT_TYPES[message.filetype],
            "ETag": self._etag(message),
            "Repr-Digest": f"sha-256=:{b64encode(message.sha256).decode()}:",
            "Message-Id": str(message.message_id),
            "Send-Time": str(message.send_time),
            "Cache-Control": "private, no-store",
            "Content-Disposition": "inline" if self.inline else self._attachment(message),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Accept-Ranges": "bytes",
        }.items():
            self.set_header(name, value)
        if message.sender_uid is not None:
            self.set_header("Sender-Uid", str(message.sender_uid))


class ImageHandler(ServesImage):
    """GET and HEAD /v1/images/{message_key}."""

    recalls_caller = ("GET", "HEAD")

    async def get(self, message_key: str) -> None:
        assert self.caller
        query = self.wishes()
        delivery = await self.services.reading.find_image_for(self.caller, message_key)
        await self.serve(delivery, query)


class OldestImageHandler(ServesImage):
    """GET and HEAD /v1/images: the oldest image from one sender, as the original clients ask for it."""

    async def get(self) -> None:
        query = self.wishes("sender_phone", "receiver_phone")
        missing = [(name, "missing") for name in ("sender_phone", "receiver_phone") if name not in query]
        if missing:
            raise InvalidField(fields=missing)
        assert self.caller
        reading = self.services.reading
        delivery = await reading.find_oldest(self.caller, query["sender_phone"], query["receiver_phone"])
        await self.serve(delivery, query)


class AcknowledgeHandler(BaseHandler):
    """DELETE /v1/images/{message_key}: the receiver has it safely, or the sender takes it back."""

    async def delete(self, message_key: str) -> None:
        await self.services.reading.acknowledge(self.uid, message_key)
        self.reply(204)


class ImageStatusHandler(BaseHandler):
    """GET /v1/images/{message_key}/status, for the sender."""

    async def get(self, message_key: str) -> None:
        self.reply(200, await self.services.reading.status(self.uid, message_key))


class InboxHandler(BaseHandler):
    """GET /v1/inbox: the caller's pending images, oldest first."""

    recalls_caller = ("GET", "HEAD")

    async def get(self) -> None:
        assert self.caller
        wanted = paging.cursor(self.query("after", "before", "limit"))
        page = await self.services.reading.inbox(self.caller, wanted)
        self.reply(200, {"items": page.items, "next": page.next})


ROUTES = (
    Route("GET", "/v1/images", OldestImageHandler, PERSON, "default", "fetchOldestImage"),
    Route("HEAD", "/v1/images", OldestImageHandler, PERSON, "default", "headOldestImage"),
    Route("GET", "/v1/images/{message_key}", ImageHandler, PERSON, "default", "fetchImage"),
    Route("HEAD", "/v1/images/{message_key}", ImageHandler, PERSON, "default", "headImage"),
    Route("DELETE", "/v1/images/{message_key}", AcknowledgeHandler, PERSON, "default", "deleteImage"),
    Route("GET", "/v1/images/{message_key}/status", ImageStatusHandler, PERSON, "default", "imageStatus"),
    Route("GET", "/v1/inbox", InboxHandler, PERSON, "default", "inbox"),
)
