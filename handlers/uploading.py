# SPDX-License-Identifier: Apache-2.0
"""`/v1/uploads`: images that go on where they stopped. The wording is that of `handlers.tus` or `handlers.ietf`, the
use cases are in `services.uploads`.
"""

import asyncio
import hashlib
from contextlib import suppress
from hmac import compare_digest

from handlers.base import BaseHandler
from handlers.ietf import Ietf, speaks
from handlers.receiving import LONGEST_UPLOAD_SECONDS, ReceivingHandler
from handlers.route import ANYBODY, PERSON, Route
from handlers.tus import Tus
from handlers.wire import Plain
from models.errors import (
    AppError,
    ChecksumMismatch,
    ImageTooLarge,
    Kind,
    MalformedRequest,
    OffsetMismatch,
    Unauthenticated,
    UploadComplete,
)
from models.upload import Upload
from services.authentication import Caller
from services.sending import SentImage, read_content
from services.uploads import FIELDS, FINAL, Again, Append, image_of

UPLOADS = "/v1/uploads"
UPLOADS_METHODS = ("OPTIONS", "POST")
UPLOAD_METHODS = ("DELETE", "HEAD", "OPTIONS", "PATCH")
INTERIM = "104 Upload Resumption Supported"
GATHER_SECONDS = 5.0
"""What a slow line brings is written after so long, however little it is: until then no other process can go on with
it, and it is gone when this one dies. Sooner would be a sync for every few packets.
"""

_leaving: set[asyncio.Task[None]] = set()


class SpeaksOfUploads(ReceivingHandler):
    """Reads which protocol a request speaks, and answers in it."""

    wire: Tus | Ietf | Plain

    async def admit(self) -> None:
        await super().admit()
        headers = self.request.headers
        if "Tus-Resumable" in headers:
            self.wire = Tus(headers)
        else:
            self.wire = Ietf(headers) if speaks(headers) or self.request.method != "POST" else Plain()
        self.of_refusals = self.wire.always
        self.say(self.wire.always)
        self.wire.check_version()

    def set_default_headers(self) -> None:
        """Those of a refusal too, for which Tornado begins afresh."""
        super().set_default_headers()
        self.say(getattr(self, "of_refusals", {}))

    def say(self, fields: dict[str, str]) -> None:
        for name, value in fields.items():
            self.set_header(name, value)

    @property
    def sender(self) -> Caller:
        if self.caller is None:
            raise Unauthenticated
        return self.caller

    def seconds_left(self, upload: Upload) -> int:
        return max(0, upload.expires_at - self.services.uploads.clock()) // 1000

    @property
    def images_max_bytes(self) -> int:
        return self.services.settings.images_max_bytes


class UploadOptionsHandler(BaseHandler):
    """OPTIONS of both paths: what is spoken here, or a browser's question before a page may call."""

    async def options(self, **_: str) -> None:
        headers = self.request.headers
        if "Access-Control-Request-Method" in headers:
            methods = UPLOADS_METHODS if self.request.path == UPLOADS else UPLOAD_METHODS
            found = self.services.origins.preflight_headers(headers.get("Origin"), methods)
        else:
            most = self.services.settings.images_max_bytes
            found = {**Tus(headers).options(most), **Ietf(headers).options(most)}
        for name, value in found.items():
            self.set_header(name, value)
        self.reply(204)


class TakesBytes(SpeaksOfUploads):
    """Hands a body on to an upload, whose bytes stay when the connection is lost."""

    confirmed_by_service = ("POST", "PATCH")
    appending: Append | None = None
    completes: bool | None = None
    begins_at = 0
    place: dict[str, str] | None = None
    """Of a creation: where the upload is, which all its answers say as long as it is one."""
    repeated: Upload | None = None
    """An upload that has ended: this request is its last one once more."""
    checksum: bytes | None = None
    key: str | None = None
    content = ""
    """Of an image that comes in this one request: its Idempotency-Key, and what is said of it."""
    again: Again | None = None

    def initialize(self, **kwargs: object) -> None:  # type: ignore[override]
        super().initialize(**kwargs)  # type: ignore[arg-type]
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._gathering_since = 0.0
        self._held = 0
        self._digest = hashlib.sha256()

    def check_length(self) -> None:
        if (self.content_length or 0) > self.images_max_bytes:
            raise ImageTooLarge(f"An image has at most {self.images_max_bytes} bytes.")

    async def go_on(self, upload_id: str, begins_at: int, *, length: int | None) -> None:
        """Take the body from now on as what follows `begins_at`. Raises as `Uploads.append`, OffsetMismatch."""
        self.begins_at = begins_at
        try:
            self.services.sending.charge_bytes(self.uid, self.content_length or 0)
            appending = await self.services.uploads.append(
                self.sender, upload_id, cut=self.connection.close, expected=self.content_length or 0
            )
        except AppError:
            await self._say_where_it_is(upload_id)
            raise
        try:
            await self._look(appending, length)
        except BaseException:
            await appending.leave()
            raise
        if self.repeated is not None:
            await appending.leave()
            return
        self.appending = appending
        self.connection.set_body_timeout(LONGEST_UPLOAD_SECONDS)
        self.watch_rate()

    async def _look(self, appending: Append, length: int | None) -> None:
        """Whether the body is taken, or is that of the last request once more."""
        if self._closed:
            raise MalformedRequest
        upload = appending.upload
        self._say_state(upload, appending.offset)
        if upload.message_id is None:
            await self._check(appending, length)
            return
        self._check_repeat(upload)
        self.repeated = upload

    async def _check(self, appending: Append, length: int | None) -> None:
        appending.check_offset(self.begins_at)
        known = appending.upload.length
        if known is not None and length is not None and known != length:
            raise MalformedRequest("The upload was announced with another length.")
        if known is not None and self.begins_at + (self.content_length or 0) > known:
            raise MalformedRequest("The body goes beyond the upload's length.")
        appending.check_room_for(self.content_length or 0)
        if length is not None:
            await appending.set_length(length)
        self.checksum = self.wire.checksum()
        if self.checksum is not None:
            appending.distrust()

    def _check_repeat(self, upload: Upload) -> None:
        """Raises OffsetMismatch, UploadComplete for what is not the last request once more."""
        ends_at = None if self.content_length is None else self.begins_at + self.content_length
        if self.completes is not False and self.begins_at <= upload.received and ends_at in (None, upload.received):
            return
        self._refuse_more(upload)

    def _refuse_more(self, upload: Upload) -> None:
        if self.wire.refuses_more_as_ended:
            raise UploadComplete
        raise OffsetMismatch(f"It has ended at {upload.received}.")

    async def take(self, chunk: bytes) -> None:
        if self.appending is None:
            if self.body_bytes > self.images_max_bytes:
                raise ImageTooLarge(f"An image has at most {self.images_max_bytes} bytes.")
            if self.again is not None:
                self.again.feed(chunk)
            return
        if self.checksum is not None:
            self._digest.update(chunk)
        budget, now = self.services.buffers, asyncio.get_running_loop().time()
        if not self._pieces:
            self._gathering_since = now
        self._pieces.append(chunk)
        self._pieces_bytes += len(chunk)
        budget.add(len(chunk))
        is_old = now - self._gathering_since >= GATHER_SECONDS
        if self._pieces_bytes >= budget.batch_bytes or budget.spent or is_old:
            try:
                await self._write(self.appending)
            except AppError as error:
                refusing = self.appending
                await self._leave()
                self._say_refused(refusing, error)
                raise

    async def end(self) -> tuple[SentImage | None, Upload, int]:
        """The body is whole: the image that has become of it, or how far the upload is."""
        self.stop_watch()
        if self.repeated is not None:
            if self.begins_at + self.body_bytes != self.repeated.received:
                self._refuse_more(self.repeated)
            return image_of(self.repeated), self.repeated, self.repeated.received
        appending, self.appending = self.appending, None
        assert appending
        try:
            return await self._settle(appending)
        except AppError as error:
            await appending.leave()  # by then is saved what can be
            self._say_refused(appending, error)
            raise
        finally:
            self._forget_buffers()
            await appending.leave()

    async def _settle(self, appending: Append) -> tuple[SentImage | None, Upload, int]:
        if self.content_length is None:
            self.services.sending.charge_bytes(self.uid, self.body_bytes)
        await self._write(appending)
        if self.checksum is not None:
            if not compare_digest(self.checksum, self._digest.digest()):
                raise ChecksumMismatch
            appending.trust()
        completes = appending.offset == appending.upload.length if self.completes is None else self.completes
        if completes:
            sent = await appending.finish(self.sender, self.address, key=self.key, content=self.content)
            return sent, appending.upload, appending.offset
        offset = await appending.save()
        return None, appending.upload, offset

    async def _say_where_it_is(self, upload_id: str) -> None:
        """How far an upload is that this request may not go on with; nothing where that cannot be known."""
        with suppress(AppError):
            upload = await self.services.uploads.find(self.sender, upload_id)
            self._say_state(upload, upload.received)

    def _say_state(self, upload: Upload, offset: int) -> None:
        """How far it is, in this answer, whatever it will be."""
        self.of_refusals = {**(self.place or {}), **self.wire.state(upload, offset)}
        self.say(self.of_refusals)

    def _say_refused(self, appending: Append, error: AppError) -> None:
        """Whether the upload has ended with this refusal, or where it goes on."""
        if error.kind in FINAL or error.kind is Kind.NOT_FOUND:
            self.of_refusals = {**self.wire.always, **self.wire.completeness(done=error.kind in FINAL)}
            self.clear()
        else:
            self._say_state(appending.upload, appending.upload.received)

    def tell_image(self, sent: SentImage, *, cleaned: bool) -> None:
        """What a reply says of the image that has become of an upload."""
        removal = self.services.settings.images_metadata
        if removal is not None and cleaned:
            self.set_header("Metadata-Removed", removal.value)
        place = f"/v1/images/{sent.message_key}"
        self.say({"Location": place, "Content-Location": place, "Message-Key": sent.message_key})
        self.say({"Message-Id": str(sent.message_id), "Send-Time": str(sent.send_time)})
        self.say(self.wire.completeness(done=True))

    async def _write(self, appending: Append) -> None:
        data, n_bytes = b"".join(self._pieces), self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0
        try:
            if data:
                await appending.write(data)
        finally:
            self.services.buffers.add(appending.held - self._held - n_bytes)
            self._held = appending.held

    def release(self) -> None:
        super().release()
        if self.appending is not None:
            leaving = asyncio.ensure_future(self._save_and_leave())
            _leaving.add(leaving)
            leaving.add_done_callback(_leaving.discard)

    async def _save_and_leave(self) -> None:
        if self.appending is not None:
            with suppress(AppError):
                await self._write(self.appending)
        await self._leave()

    async def _leave(self) -> None:
        appending, self.appending = self.appending, None
        self._forget_buffers()
        if appending is not None:
            await appending.leave()

    def _forget_buffers(self) -> None:
        self.services.buffers.add(-self._pieces_bytes - self._held)
        self._pieces, self._pieces_bytes, self._held = [], 0, 0


class UploadsHandler(TakesBytes):
    """POST /v1/uploads begins an upload, with its first bytes or all of them."""

    async def admit(self) -> None:
        await super().admit()
        fields, key = self.query(*FIELDS), self.idempotency_key()
        if isinstance(self.wire, Plain):
            self.key, self.content, key = key, read_content(fields), None
            if await self.services.sending.find_earlier(self.uid, self.key):
                self.again = Again(None if fields.get("filetype") else self.services.settings.images_metadata)
                self.connection.set_body_timeout(LONGEST_UPLOAD_SECONDS)
                self.watch_rate()
                return
        announced = self.wire.announced(fields, self.content_length)
        self.completes = announced.completes
        upload = await self.services.uploads.begin(self.sender, announced.fields, announced.length, key, self.address)
        place = f"/v1/uploads/{upload.upload_id}"
        if not isinstance(self.wire, Plain):
            self.place = {"Location": place}
            self.say(self.place)
        self._inform(place, upload)
        self.begun = upload
        if upload.message_id is not None:
            # Without a body it asks what has become of the upload; with one it is the whole image once more.
            self.repeated, self.begins_at = upload, 0 if self.content_length != 0 else upload.received
        elif not upload.received and self.content_length != 0:
            await self.go_on(upload.upload_id, 0, length=announced.length)
            if self.appending is not None and isinstance(self.wire, Plain):
                self.appending.keep_nothing()

    def _inform(self, place: str, upload: Upload) -> None:
        """That it may be gone on with (104), where nobody stands between who would take that for the answer."""
        own_port = not self.services.proxies.trusts(self.peer)
        if self.wire.offers_interim and (own_port or self.services.settings.interim_responses):
            limits = self.wire.limits(self.images_max_bytes, self.seconds_left(upload))
            self.connection.inform(INTERIM, {"Location": place, **self.wire.always, **limits})

    async def post(self) -> None:
        if self.again is not None and self.key is not None:
            self.stop_watch()
            sent = await self.services.sending.repeat(self.sender, self.key, self.content, self.again.end())
            self.tell_image(sent, cleaned="filetype" not in self.query(*FIELDS))
        else:
            await self._tell_upload()
        self.reply(201)

    async def _tell_upload(self) -> None:
        sent, upload, offset = image_of(self.begun), self.begun, self.begun.received
        if self.appending is not None:
            sent, upload, offset = await self.end()
        self.say(self.wire.state(upload, offset))
        if sent is not None:
            self.tell_image(sent, cleaned=upload.filetype is None)
        else:
            self.say(self.wire.limits(self.images_max_bytes, self.seconds_left(upload)))
        self.say(self.place or {})


class UploadHandler(TakesBytes):
    """HEAD, PATCH and DELETE /v1/uploads/{upload_id}."""

    async def admit(self) -> None:
        await super().admit()
        if self.request.method == "PATCH":
            continued = self.wire.continued()
            self.completes = continued.completes
            await self.go_on(self.path_kwargs["upload_id"], continued.offset, length=continued.length)

    async def head(self, upload_id: str) -> None:
        self.wire.check_question()
        upload = await self.services.uploads.look(self.sender, upload_id)
        self.say(self.wire.look(upload))
        self.say(self.wire.limits(self.images_max_bytes, self.seconds_left(upload)))
        self.reply(self.wire.status_of_look)

    async def patch(self, upload_id: str) -> None:
        del upload_id
        sent, upload, offset = await self.end()
        self.say(self.wire.state(upload, offset))
        if sent is not None:
            self.tell_image(sent, cleaned=upload.filetype is None)
        self.reply(self.wire.status_of_piece if sent is None else self.wire.status_of_end)

    async def delete(self, upload_id: str) -> None:
        self.wire.check_question()
        await self.services.uploads.drop(self.sender, upload_id)
        self.reply(204)


class UploadThumbnailHandler(BaseHandler):
    """PUT /v1/uploads/{upload_id}/thumbnail: what is shown of the image before it is opened."""

    async def put(self, upload_id: str) -> None:
        if self.caller is None:
            raise Unauthenticated
        await self.services.uploads.put_thumbnail(self.caller, upload_id, b"".join(self._body))
        self.reply(204)


ROUTES = (
    Route("OPTIONS", "/v1/uploads", UploadOptionsHandler, ANYBODY, "default", "uploadsOptions"),
    Route("POST", "/v1/uploads", UploadsHandler, PERSON, "default", "beginUpload"),
    Route("OPTIONS", "/v1/uploads/{upload_id}", UploadOptionsHandler, ANYBODY, "default", "uploadOptions"),
    Route("HEAD", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "headUpload"),
    Route("PATCH", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "continueUpload"),
    Route("DELETE", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "dropUpload"),
    Route("PUT", "/v1/uploads/{upload_id}/thumbnail", UploadThumbnailHandler, PERSON, "default", "putUploadThumbnail"),
)
