# SPDX-License-Identifier: Apache-2.0
"""Images that come in several requests: begun, gone on with, and at their end sent as any other.

An offset is told when the bytes before it are synced and the row says so. Bytes that are metadata and cannot be cleaned
before more has come are sealed in the row; what stands in the file is clean. Who goes on reads the file once more: so
any process can, and none keeps anything in memory between two requests.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from models import fault, rules
from models.addressee import Receiver, ToGroup, ToPerson
from models.clock import DAY_MS, HOUR_MS
from models.db.database import Database, Transaction, UniqueViolation
from models.db.tables import uploads
from models.errors import (
    AppError,
    ImageTooLarge,
    Kind,
    MalformedRequest,
    MissingImage,
    NotFound,
    OffsetMismatch,
    RateLimited,
    RecipientUnavailable,
    Unavailable,
    UnsupportedImage,
    UploadComplete,
)
from models.group import GroupId
from models.imagefile import HeaderReader
from models.keys import KeyRing, KeyRingError
from models.message import MessageId
from models.metadata import MetadataRemover, Piece, Removal, Unreadable
from models.upload import Upload
from models.user import NOBODY, UserId
from services import delivery, idempotency
from services.authentication import Caller
from services.fields import addressed_by, addressee
from services.previews import Shown, read_placeholder, read_preview
from services.removal import digest_as_sent
from services.sending import (
    ADDRESSEES,
    CONTENT,
    ImageDraft,
    OutgoingImage,
    Sending,
    SentImage,
    image_digest,
    read_content,
)
from storage.base import BlobStore, Reservation
from storage.upload_files import UploadFile, is_upload_id

OPERATION = "upload"
WHOLE_BODY = "body"
"""What a refusal calls a preview that came without a form's field around it."""
FIELDS = (*CONTENT, "placeholder")
"""What a creation says of the image."""
MOST_OPEN = 20
"""Of one person; then the oldest without a byte gives way."""
BEAT_SECONDS = 1.0
"""So often what has come is synced and told, and a process looks whether another has taken the upload over."""
LOCK_SECONDS = 5.0
"""Another process lets go within a beat, unless it is sending the image."""
LOCK_PAUSE_SECONDS = 0.05
READ_AGAIN_SHARE = 16
"""What is read again is charged as so much less than what comes: or pieces of one byte would be the dearest."""
FINAL = frozenset({Kind.FORBIDDEN, Kind.UNSUPPORTED, Kind.INVALID, Kind.TOO_LARGE, Kind.MALFORMED})
"""What is said against an image for good: its upload ends with it. After anything else it may be tried again."""


@dataclass(eq=False, repr=False, kw_only=True)
class Uploads:
    """The use cases. `clock` gives milliseconds; `removal` is what every image loses but opaque ones."""

    db: Database
    store: BlobStore
    keys: KeyRing
    sending: Sending
    removal: Removal | None
    images_max_bytes: int
    expire_hours: int
    clock: Callable[[], int]
    holder: str = field(default_factory=lambda: secrets.token_hex(16))
    """This process, by a name of its own."""
    _running: "dict[str, Append]" = field(default_factory=dict)

    async def begin(
        self, caller: Caller, fields: Mapping[str, str], length: int | None, key: str | None, address: str
    ) -> Upload:
        """A new upload of `length` bytes, None where the sender does not know; or the one that this key began.

        The receiver and the room are looked at before the first byte. Raises InvalidField, MissingImage, ImageTooLarge,
        StorageFull, RateLimited, IdempotencyConflict, and what `Sending.finish_image` says against the receiver.
        """
        to = addressee(name := addressed_by(fields, ADDRESSEES), fields[name])
        ttl_text = fields.get("ttl_seconds")
        ttl_seconds = None if ttl_text is None else rules.check_ttl(ttl_text, self.sending.policy)
        caption = rules.check_caption(fields.get("caption"))
        rules.check_filetype(fields.get("filetype"), self.sending.policy)
        read_placeholder(fields.get("placeholder"))
        self._check_length(length)
        request = idempotency.request(OPERATION, str(caller.uid), key, lambda: _digest(fields, length))
        earlier = await self._earlier(caller, request)
        if earlier is not None and (upload := await self._find_own(caller, earlier)):
            return upload
        await self.sending.admit(caller.uid, None)
        self.store.reserve(length or 0).release()
        begun = _Begun(secrets.token_hex(16), fields, ttl_seconds, caption, length, request, earlier is not None)
        try:
            receiver = await self.sending.receiver(caller, to, address)
            await self.db.write(lambda tx: self._record(tx, caller, receiver, begun))
        except RecipientUnavailable:
            await self.sending.discovery.charge_unavailable(caller.uid, to, address)
            raise
        except UniqueViolation:
            # The same key has come twice at once: whoever is second is answered like the first.
            if earlier := await self._earlier(caller, request):
                return await self.find(caller, earlier)
            raise
        return await self.find(caller, begun.upload_id)

    async def find(self, caller: Caller, upload_id: str) -> Upload:
        """As it was told last, whoever is sending to it. Raises NotFound."""
        upload = await self._find_own(caller, upload_id)
        if upload is None:
            raise NotFound
        return upload

    async def look(self, caller: Caller, upload_id: str) -> Upload:
        """How far it is. Who is sending to it is cut, so that an append that begins there is taken. Raises NotFound."""
        await self._stop(upload_id)
        return await self._taken(caller, upload_id)

    async def put_thumbnail(self, caller: Caller, upload_id: str, data: bytes) -> None:
        """Show this of it before it is opened, in place of what was to be shown. Raises InvalidField, NotFound,
        UploadComplete.
        """
        upload = await self.find(caller, upload_id)
        preview = read_preview(data, opaque=upload.filetype is not None, removal=self.removal, field=WHOLE_BODY)
        assert preview

        async def unit(tx: Transaction) -> bool:
            return await uploads.set_thumbnail(tx, upload_id, preview.data)

        if not await self.db.write(unit):
            raise UploadComplete

    async def drop(self, caller: Caller, upload_id: str) -> None:
        """End it without an image; one whose image is sent is only forgotten. Raises NotFound."""
        await self.look(caller, upload_id)
        await self.forget(upload_id)

    async def forget(self, upload_id: str) -> None:
        """End it for good: the row, then the bytes."""

        async def unit(tx: Transaction) -> None:
            await uploads.delete_one(tx, upload_id)

        await self.db.write(unit)
        await self.store.uploads.remove_many([upload_id])

    async def append(self, caller: Caller, upload_id: str, *, cut: Callable[[], None], expected: int) -> "Append":
        """Go on with it, alone: who is sending to it is cut. `cut` is called when somebody else goes on.

        `expected` is how many bytes are to come, for which there must be room. Raises NotFound, StorageFull,
        Unavailable. The caller must `leave` it in every case.
        """
        if not is_upload_id(upload_id):
            raise NotFound
        await self._stop(upload_id)
        going_on = Append(self, upload_id, cut)
        self._running[upload_id] = going_on
        try:
            await going_on.open(caller, expected)
        except BaseException:
            await going_on.leave()
            raise
        return going_on

    async def close(self) -> None:
        """Save what has come of all that run."""
        for upload_id in list(self._running):
            await self._stop(upload_id)

    # -- what `Append` calls --

    def ended(self, going_on: "Append") -> None:
        if self._running.get(going_on.upload_id) is going_on:
            del self._running[going_on.upload_id]

    async def save(self, upload: Upload) -> bool:
        """Tell how far it is; False where it is over or another process's."""

        async def unit(tx: Transaction) -> bool:
            return await uploads.save(
                tx,
                upload.upload_id,
                holder=self.holder,
                received=upload.received,
                stored=upload.stored,
                held=upload.held,
                expires_at=upload.expires_at,
            )

        return await self.db.write(unit)

    def next_expiry(self) -> int:
        """When what gets no byte more from now on is gone."""
        return self.clock() + self.expire_hours * HOUR_MS

    async def is_mine(self, upload_id: str) -> bool:
        upload = await uploads.find(self.db, upload_id)
        return upload is not None and upload.message_id is None and upload.holder == self.holder

    async def opened(
        self, caller: Caller, upload_id: str, reservation: Reservation
    ) -> tuple[Upload, UploadFile | None]:
        """The upload with its file, locked; without one where it has ended. Raises NotFound, Unavailable."""
        deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
        while True:
            upload = await self._taken(caller, upload_id)
            if upload.message_id is not None:
                await self.store.uploads.remove_many([upload_id])  # left by a process that died
                return upload, None
            try:
                file = await self.store.uploads.open(upload_id, upload.stored, reservation)
            except FileNotFoundError:
                await self.forget(upload_id)
                raise NotFound from None
            if file is not None and not self.db.shared:
                return upload, file
            if file is not None:
                # Whoever had it may have told more, or sent it, before it let go.
                now = await self.find(caller, upload_id)
                if now == upload:
                    return upload, file
                await file.close()
            elif asyncio.get_running_loop().time() > deadline:
                raise Unavailable("Another request is still sending to this upload.", retry_after=1)
            else:
                await asyncio.sleep(LOCK_PAUSE_SECONDS)

    # -- inside --

    async def _stop(self, upload_id: str) -> None:
        """Cut who is sending to it here, and wait until what has come is saved."""
        while going_on := self._running.get(upload_id):
            going_on.cut()
            await going_on.over.wait()

    async def _find_own(self, caller: Caller, upload_id: str) -> Upload | None:
        upload = await uploads.find(self.db, upload_id) if is_upload_id(upload_id) else None
        return upload if upload and upload.uid == caller.uid and upload.expires_at > self.clock() else None

    async def _taken(self, caller: Caller, upload_id: str) -> Upload:
        """The upload, which no other process tells anything of from now on."""

        async def unit(tx: Transaction) -> None:
            await uploads.take(tx, upload_id, holder=self.holder)

        upload = await self.find(caller, upload_id)
        if upload.message_id is None and upload.holder != self.holder:
            await self.db.write(unit)
            upload = await self.find(caller, upload_id)
        return upload

    def _check_length(self, length: int | None) -> None:
        if length == 0:
            raise MissingImage
        if (length or 0) > self.images_max_bytes:
            raise ImageTooLarge(f"An image has at most {self.images_max_bytes} bytes.")

    async def _earlier(self, caller: Caller, request: idempotency.Request | None) -> str | None:
        """The upload that this request began before; it may be gone."""
        reply = await idempotency.find_reply(self.db, request, self.clock(), caller=caller)
        return str(reply["upload_id"]) if reply else None

    async def _record(self, tx: Transaction, caller: Caller, to: Receiver, begun: "_Begun") -> None:
        now = self.clock()
        announced = OutgoingImage(
            sender=caller,
            to=to,
            size=begun.length or 1,
            lifetime_ms=0,
            message_key="",
            filetype="",
            caption="",
            sha256=b"",
        )
        await delivery.check(tx, announced, self.sending.policy, now=now)
        await _make_room(tx, caller.uid)
        await uploads.insert_new(
            tx,
            upload_id=begun.upload_id,
            uid=caller.uid,
            receiver_uid=to.receiver_uid,
            group_id=to.group_id,
            caption=begun.caption,
            ttl_seconds=begun.ttl_seconds,
            filetype=begun.fields.get("filetype"),
            placeholder=begun.fields.get("placeholder"),
            length=begun.length,
            holder=self.holder,
            now=now,
            expires_at=self.next_expiry(),
        )
        reply = {"upload_id": begun.upload_id}
        if begun.request and begun.is_stale:
            await idempotency.forget(tx, begun.request)
        await idempotency.remember(tx, begun.request, reply, uid=caller.uid, now=now, keep_ms=DAY_MS)


@dataclass(frozen=True, slots=True)
class _Begun:
    upload_id: str
    fields: Mapping[str, str]
    ttl_seconds: int | None
    caption: str
    length: int | None
    request: idempotency.Request | None
    is_stale: bool
    """Whether the key stands for an upload that is gone."""


class Again:
    """A body that has come before: it is read for its digest alone."""

    def __init__(self, removal: Removal | None) -> None:
        self._remover = MetadataRemover(removal) if removal is not None else None
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Raises UnsupportedImage."""
        remover = self._remover
        for piece in [data] if remover is None else _readable(lambda: remover.feed(data)):
            self._digest.update(piece)

    def end(self) -> bytes:
        """What stands for the bytes as they were sent. Raises UnsupportedImage."""
        for piece in [] if self._remover is None else _readable(self._remover.end):
            self._digest.update(piece)
        return digest_as_sent(self._digest.digest(), self._remover)


class Append:
    """One request that sends bytes to an upload, or that repeats its last one.

    `offset` is how far it is, with all that was taken here. Calls come one at a time but for `cut`, `beat` and `leave`.
    """

    def __init__(self, service: Uploads, upload_id: str, cut: Callable[[], None]) -> None:
        self.upload_id = upload_id
        self.over = asyncio.Event()
        self.header = HeaderReader()
        self.remover: MetadataRemover | None = None
        self.offset = 0
        self._service = service
        self._cut = cut
        self._file: UploadFile | None = None
        self._reservation: Reservation | None = None
        self._tail = b""
        self._unsaved = False
        self._trusted = True
        self._finishing = False
        self._keeps = True
        self._working = asyncio.Lock()  # the heartbeat saves too, beside the request that writes, finishes or leaves
        self._beating: asyncio.Task[None] | None = None
        self.upload: Upload

    @property
    def held(self) -> int:
        """Bytes that are kept in memory for now, twice: as they came and as they will be."""
        return 2 * self.remover.held if self.remover else 0

    async def open(self, caller: Caller, expected: int) -> None:
        """As `Uploads.append`."""
        self._reservation = self._service.store.reserve(0)
        self.upload, self._file = await self._service.opened(caller, self.upload_id, self._reservation)
        if self._file is None:
            self.offset = self.upload.received
            return
        self._reservation.cover(expected)  # what did not count has made room by now
        self._service.sending.charge_bytes(caller.uid, self.upload.stored // READ_AGAIN_SHARE)
        if self.upload.filetype is None and self._service.removal is not None:
            self.remover = MetadataRemover(self._service.removal)
        await self._read_again(self._file)
        self._beating = asyncio.create_task(self._beat())

    def check_offset(self, offset: int) -> None:
        """Raises OffsetMismatch unless it goes on there."""
        if offset != self.offset:
            raise OffsetMismatch(f"It goes on at {self.offset}.")

    def check_room_for(self, n_bytes: int) -> None:
        """Raises ImageTooLarge where so many bytes more are more than an image has."""
        if self.offset + n_bytes > self._service.images_max_bytes:
            raise ImageTooLarge(f"An image has at most {self._service.images_max_bytes} bytes.")

    def distrust(self) -> None:
        """What comes from now on counts only when `trust` is called: its checksum follows."""
        self._trusted = False

    def trust(self) -> None:
        self._trusted = True

    def keep_nothing(self) -> None:
        """Nobody can go on with it: when this request ends without an image, the upload does."""
        self._keeps = False

    async def set_length(self, length: int) -> None:
        """The sender knows by now how long it is."""

        async def unit(tx: Transaction) -> None:
            await uploads.set_length(tx, self.upload_id, length)

        if self.upload.length is None:
            await self._service.db.write(unit)
            self.upload = replace(self.upload, length=length)

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises ImageTooLarge, MalformedRequest for more than were announced, UnsupportedImage,
        which all end the upload; StorageFull, StorageError.
        """
        async with self._working:
            try:
                self.check_room_for(len(data))
                if self.upload.length is not None and self.offset + len(data) > self.upload.length:
                    raise MalformedRequest("More bytes came than the upload's length.")
                await self._take(data)
            except AppError as error:
                await self._end_if_final(error)
                raise
            self._unsaved = True

    async def save(self) -> int:
        """Make all that was taken durable and tell so; the offset. Raises NotFound where it is not ours any more."""
        async with self._working:
            if not await self._save():
                raise NotFound
            return self.offset

    async def finish(self, caller: Caller, address: str, *, key: str | None = None, content: str = "") -> SentImage:
        """The last byte was taken: send the image. What is said against it for good ends the upload too. `key` and
        `content` are as in `Sending.finish_image`, where all of it came in this request.

        Raises as `Sending.draft` and `Sending.finish_image` do.
        """
        self._finishing = True
        async with self._working:
            assert self._file
            if self._beating:
                self._beating.cancel()
            try:
                sent = await self._send(caller, self._file, address, key, content)
            except AppError as error:
                await self._end_if_final(error)
                raise
            self._keeps = True
            fault.point("after_upload_sent")
            with suppress(AppError):
                await self._file.remove()
            return sent

    async def leave(self) -> None:
        """The request is over: save what has come and let others go on. May be called again; never raises."""
        if self._beating:
            self._beating.cancel()
        async with self._working:
            try:
                with suppress(AppError):
                    if not self._keeps:
                        await self._service.forget(self.upload_id)
                    elif self._is_worth_saving():
                        await self._save()
            finally:
                if self._file is not None:
                    with suppress(AppError):
                        await self._file.close()
                    self._file = None
                if self._reservation is not None:
                    self._reservation.release()
                self._service.ended(self)
                self.over.set()

    def cut(self) -> None:
        """Somebody else goes on: end the request, unless its last byte is there."""
        if not self._finishing:
            self._cut()

    async def _end_if_final(self, error: AppError) -> None:
        self._finishing = True  # nothing more is saved
        if error.kind in FINAL:
            await self._service.forget(self.upload_id)

    async def _read_again(self, file: UploadFile) -> None:
        """Bring header and remover to where the upload stopped."""
        while self.offset < self.upload.stored:
            piece = await file.read(self.offset)
            self._clean(piece[: self.upload.stored - self.offset])
        if self.upload.held:
            try:
                tail = self._service.keys.unseal(self.upload_id, self.upload.held)
            except KeyRingError as error:
                raise NotFound from error
            await self._take(tail)

    async def _take(self, data: bytes) -> None:
        emitted = self.offset - self._held()
        cleaned = b"".join(self._clean(data))
        if cleaned:
            assert self._file
            await self._file.write(cleaned, emitted)

    def _clean(self, data: bytes) -> list[Piece]:
        self.header.feed(data)
        self.offset += len(data)
        if self.remover is None:
            return [data]
        remover = self.remover
        cleaned = _readable(lambda: remover.feed(data))
        held = self.remover.held
        self._tail = (self._tail + data)[-held:] if held else b""
        return cleaned

    def _held(self) -> int:
        return self.remover.held if self.remover else 0

    async def _save(self) -> bool:
        assert self._file
        upload = replace(
            self.upload,
            received=self.offset,
            stored=self.offset - len(self._tail),
            held=self._service.keys.seal(self.upload_id, self._tail) if self._tail else None,
            expires_at=self._service.next_expiry(),
        )
        if upload.received == self.upload.received:
            return True
        await self._file.sync()
        fault.point("before_offset_told")
        if not await self._service.save(upload):
            return False
        fault.point("after_offset_told")
        self.upload, self._unsaved = upload, False
        await self._file.told()
        return True

    def _is_worth_saving(self) -> bool:
        """Whether what has come is told, though its request has not ended. Never all of it: a client would take that
        for the end, and no image would have become of it.
        """
        if self._file is None or self._finishing or not (self._unsaved and self._trusted):
            return False
        return self.offset != self.upload.length

    async def _beat(self) -> None:
        """Save what has come, from time to time; and see whether somebody else has gone on."""
        still_mine = True
        while still_mine:
            await asyncio.sleep(BEAT_SECONDS)
            # What a full disk or a database that is away does not take now is told by a later beat; the sender hears of
            # it from what they send, and not by a cut.
            with suppress(AppError):
                async with self._working:
                    if self._is_worth_saving() and self._file and self._file.is_sync_due:
                        still_mine = await self._save()
                    elif self._service.db.shared:
                        still_mine = await self._service.is_mine(self.upload_id)
        self.cut()

    async def _send(self, caller: Caller, file: UploadFile, address: str, key: str | None, content: str) -> SentImage:
        emitted = self.offset - self._held()
        if self.remover is not None:
            rest = b"".join(_readable(self.remover.end))
            if rest:
                await file.write(rest, emitted)
        policy, upload = self._service.sending.policy, self.upload
        draft = ImageDraft(
            to=receiver_of(upload),
            filetype=rules.check_image(self.offset, self.header, upload.filetype, policy),
            ttl_seconds=upload.ttl_seconds or policy.ttl_seconds,
            caption=upload.caption or "",
            size=self.offset,
            content=content,
            remover=self.remover,
            given=await self._shown(),
            upload_id=self.upload_id,
        )
        return await self._service.sending.finish_image(caller, draft, file, b"", key, address=address)

    async def _shown(self) -> Shown:
        """What its sender shows of it: a preview may have come while the bytes did."""
        upload = await uploads.find(self._service.db, self.upload_id) or self.upload
        preview = read_preview(upload.thumbnail, opaque=upload.filetype is not None, removal=None)
        return Shown(upload.placeholder, preview)


def _readable(step: Callable[[], list[Piece]]) -> list[Piece]:
    try:
        return step()
    except Unreadable as error:
        raise UnsupportedImage("The file is built as no camera or program builds one.") from error


def image_of(upload: Upload) -> SentImage | None:
    """What has become of an upload, once it has ended."""
    if upload.message_id is None or upload.message_key is None or upload.send_time is None:
        return None
    return SentImage(MessageId(upload.message_id), upload.message_key, upload.send_time)


def receiver_of(upload: Upload) -> Receiver:
    """Whom it is for; nobody where they have left."""
    if upload.group_id is not None:
        return ToGroup(GroupId(upload.group_id))
    return ToPerson(UserId(upload.receiver_uid) if upload.receiver_uid else NOBODY)


async def _make_room(tx: Transaction, uid: UserId) -> None:
    """For one more: the oldest without a byte gives way. Raises RateLimited where all have some."""
    found = await uploads.list_open(tx, uid)
    if len(found) < MOST_OPEN:
        return
    empty = next((upload_id for upload_id, received in found if not received), None)
    if empty is None:
        raise RateLimited(f"Of your uploads {MOST_OPEN} are not finished: go on with them, or end some.")
    await uploads.delete_open(tx, empty)


def _digest(fields: Mapping[str, Any], length: int | None) -> bytes:
    """What a creation's Idempotency-Key stands for."""
    return image_digest(read_content(fields), str(length).encode())
