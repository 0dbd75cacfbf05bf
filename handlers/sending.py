# SPDX-License-Identifier: Apache-2.0
"""POST /v1/images: an image on its way in. The parsing is in `handlers.uploads`, the use case in `services.sending`."""

from handlers.receiving import ReceivingHandler
from handlers.route import FORM, Route
from handlers.uploads import IMAGE_FIELDS, OPAQUE, HashOnly, Upload
from models.errors import AppError, Unauthenticated, Unavailable
from models.metadata import Piece
from services.authentication import Caller
from services.previews import read_preview
from services.removal import digest_as_sent
from services.sending import SentImage, read_content
from storage.base import DiskWriter


class SendImageHandler(ReceivingHandler):
    """Refuses as early as it can: by length before anything, by rate, disk and credential before the body."""

    confirmed_by_service = recalls_caller = ("POST",)
    writer: DiskWriter | None = None
    key: str | None = None
    repeats = False
    refusal_unless_repeat: AppError | None = None
    unknown_bytes = 0

    async def admit(self) -> None:
        self.check_request()
        self.key = self.idempotency_key()
        boundary = self.boundary()
        if "Authorization" in self.request.headers:
            self.caller = await self.authenticate()
            await self._meet_caller()
        try:
            if not self.repeats:
                await self._admit_new()
        except AppError as error:
            # An earlier reply to this key must be given again, however full the disk or spent the budget.
            if self.key is None or self.caller is not None:
                raise
            self.refusal_unless_repeat = error
        await self._start_upload(boundary)

    def check_length(self) -> None:
        self.check_form_bytes(self.content_length or 0)

    async def _admit_new(self) -> None:
        await self.check_rate()
        self.check_room()
        self.reservation = self.services.sending.reserve(self.content_length or 0)

    async def _start_upload(self, boundary: str) -> None:
        self.writer = await self.services.sending.create(self.reservation) if self.reservation else None
        self.start_upload(boundary, self.writer or HashOnly(), IMAGE_FIELDS)

    async def _meet_caller(self) -> None:
        """The caller is known now: give the bytes before them free, and see whether this is a repeat."""
        self._forget_unknown_bytes()
        self.repeats = await self.services.sending.find_earlier(self.uid, self.key)
        if not self.repeats:
            await self.services.sending.admit(self.uid, self.content_length)

    async def take(self, chunk: bytes) -> None:
        upload = self.upload
        assert upload
        self.check_form_bytes(self.body_bytes)
        if self.caller is None:
            self._count_unknown_bytes(len(chunk))
        await upload.feed(chunk)
        if self.caller is None and {"phone_hash", "ukey"} <= upload.fields.keys():
            await self._believe(upload.fields)

    async def _believe(self, fields: dict[str, str]) -> None:
        self.caller = await self.services.authentication.basic(fields["phone_hash"], fields["ukey"], self.address)
        await self._meet_caller()

    async def post(self) -> None:
        upload, reservation = self.take_over()  # a commit is not to be cut
        try:
            rest = await upload.end()
            if self.caller is None:
                raise Unauthenticated
            sent = await self._finish(self.caller, upload, rest)
        finally:
            await upload.abort()
            if reservation:
                reservation.release()
        # Of an opaque image nothing was removed, though its bytes may have come before the word that it is one.
        if upload.remover is not None and upload.fields.get("filetype") != OPAQUE:
            self.set_header("Metadata-Removed", upload.remover.removal.value)
        self._tell(sent)

    def _tell(self, sent: SentImage) -> None:
        self.set_header("Location", f"/v1/images/{sent.message_key}")
        self.set_header("Message-Id", str(sent.message_id))
        self.set_header("Message-Key", sent.message_key)
        self.set_header("Send-Time", str(sent.send_time))
        self.reply(201)

    async def _finish(self, caller: Caller, upload: Upload, rest: list[Piece]) -> SentImage:
        sending = self.services.sending
        if self.repeats and self.key:
            await upload.sink.write(rest)
            sent_sha256 = digest_as_sent(upload.sink.sha256, upload.remover)
            return await sending.repeat(caller, self.key, read_content(upload.fields), sent_sha256)
        if self.refusal_unless_repeat:
            raise self.refusal_unless_repeat
        assert self.writer
        if self.content_length is None:
            sending.charge_bytes(caller.uid, upload.image_bytes)
        opaque = upload.fields.get("filetype") == OPAQUE
        preview = read_preview(upload.thumbnail, opaque=opaque, removal=upload.removal)
        draft = sending.draft(upload.fields, upload.header, upload.image_bytes, upload.remover, preview)
        return await sending.finish_image(caller, draft, self.writer, rest, self.key, address=self.address)

    def release(self) -> None:
        self._forget_unknown_bytes()
        super().release()

    def _count_unknown_bytes(self, count: int) -> None:
        if not self.services.unknown_callers.take(count):
            raise Unavailable("Too many uploads are on their way whose sender is not known yet.")
        self.unknown_bytes += count

    def _forget_unknown_bytes(self) -> None:
        self.services.unknown_callers.add(-self.unknown_bytes)
        self.unknown_bytes = 0


ROUTES = (Route("POST", "/v1/images", SendImageHandler, FORM, "default", "sendImage"),)
