# SPDX-License-Identifier: Apache-2.0
"""The streaming receiver of an image: Tornado's chunks in, form fields and stored bytes out.

A small form is gathered and read at its end, and its image written, hashed and synced in one visit to a thread. Of a
large one pieces are gathered to batches for the storage: it is never whole in memory.
Nothing about accounts or rules here.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from handlers.forms import DEFAULT_CHARSET, Event, FormReader, Part
from models.errors import ImageTooLarge, InvalidField, TooLarge, UnsupportedImage
from models.imagefile import HeaderReader
from models.metadata import MetadataRemover, Piece, Removal, Unreadable
from models.shared_counters import SharedCounter
from services.fields import raise_if_any, unknown
from services.previews import MAX_PREVIEW_BYTES, THUMB_FIELD

IMAGE_FIELD = "img_file"
OPAQUE = "opaque"
MAX_FIELD_BYTES = 4096
"""A caption of 500 characters is the longest field of an image, up to 2,000 bytes."""
_TEXTS = ("phone_hash", "ukey", "receiver_uid", "receiver_phone", "group_id", "ttl_seconds", "caption", "filetype")
IMAGE_FIELDS = {**dict.fromkeys((*_TEXTS, "placeholder"), MAX_FIELD_BYTES), THUMB_FIELD: MAX_PREVIEW_BYTES}
MAX_SEGMENTS = 16
"""Parts of a form: an image, and the fields that the operation knows."""
BATCH_BYTES = 64 * 1024
"""Of each of many uploads, written in one visit of a thread: what a connection reads ahead during the last one."""
WHOLE_BYTES = 512 * 1024
"""Most images: written, hashed and synced in one visit."""
FORM_OVERHEAD_BYTES = 64 * 1024 + MAX_PREVIEW_BYTES
"""Boundaries, part headers and fields around the image, and its preview."""


class ImageSink(Protocol):
    """Where image bytes go: `storage.disk` keeps them, `HashOnly` does not."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> bytes: ...

    async def write(self, data: bytes | list[Piece]) -> None: ...

    async def abort(self) -> None: ...


class HashOnly:
    """Counts and hashes and keeps nothing: for a repeat, whose image is there already."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    async def write(self, data: bytes | list[Piece]) -> None:
        joined = data if isinstance(data, bytes) else b"".join(data)
        self.size += len(joined)
        await asyncio.to_thread(self._hash.update, joined)

    async def abort(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class BufferBudget:
    """Bytes that all uploads together may have at one time, those of the processes beside this one included."""

    limit: int
    counter: SharedCounter = field(default_factory=SharedCounter)

    @property
    def used(self) -> int:
        return self.counter.total

    @property
    def spent(self) -> bool:
        return self.used >= self.limit

    @property
    def batch_bytes(self) -> int:
        """How much one upload gathers before a thread writes it: most images whole, while there is room for that."""
        return WHOLE_BYTES if 16 * self.used < self.limit else BATCH_BYTES

    @property
    def has_room(self) -> bool:
        """Whether a small form may go on to be gathered: half of all is for those."""
        return 2 * self.used < self.limit

    def add(self, n_bytes: int) -> None:
        """Bytes that are there by now, whatever the limit; negative when they have gone."""
        self.counter.add(n_bytes)

    def take(self, n_bytes: int) -> bool:
        """Bytes that are to come; whether the limit allows them. If not, none are taken."""
        self.counter.add(n_bytes)
        if self.used > self.limit:
            self.counter.add(-n_bytes)
            return False
        return True


class Upload:
    """One multipart/form-data body on its way: an image and these `fields`, each with the bytes that it may have.

    `feed` each chunk, then `end`; `abort` at any time. What is `gathered` is read at the end, if the budget lets it be.
    """

    def __init__(
        self,
        boundary: str,
        *,
        sink: ImageSink,
        fields: Mapping[str, int],
        images_max_bytes: int,
        budget: BufferBudget,
        removal: Removal | None = None,
        gathered: bool = False,
    ) -> None:
        self._gathered = bytearray() if gathered else None
        self._form = FormReader(boundary, max_parts=MAX_SEGMENTS)
        self.sink = sink
        self._limits = {DEFAULT_CHARSET: MAX_FIELD_BYTES, **fields}
        self.fields: dict[str, str] = {}
        self.thumbnail: bytes | None = None
        """The preview that the sender gives, unread."""
        self.header = HeaderReader()
        self.remover: MetadataRemover | None = None
        """What cleans the image, from its first byte on; None where nothing is to be removed."""
        self.removal = removal
        self._held = 0
        self.image_bytes = 0
        self._images_max_bytes = images_max_bytes
        self._budget = budget
        self._batch: list[Piece] = []
        self._batch_bytes = 0
        self._part: Part | None = None
        self._seen: set[str] = set()
        self._value = bytearray()

    @property
    def has_image(self) -> bool:
        """Whether the part with the image has begun, be it empty."""
        return IMAGE_FIELD in self._seen

    async def feed(self, chunk: bytes) -> None:
        """Take a piece of the body. What follows the form's last boundary is ignored (RFC 2046, 5.1.1).

        Raises MalformedRequest, InvalidField (unknown or repeated field), TooLarge (a field), ImageTooLarge,
        UnsupportedImage (metadata that cannot be found in bounded work), and what the storage raises.
        """
        if self._gathered is not None:
            if len(self._gathered) + len(chunk) <= WHOLE_BYTES and self._budget.has_room:
                self._gathered += chunk
                self._budget.add(len(chunk))
                return
            chunk = bytes(self._take_gathered()) + chunk
        self._take(self._form.feed(chunk))
        if self._batch_bytes >= self._budget.batch_bytes or (self._batch and self._budget.spent):
            await self._write_batch()

    async def end(self) -> list[Piece]:
        """The body has ended: what of the image is not yet written. Raises MalformedRequest for a cut form,
        UnsupportedImage.
        """
        if self._gathered is None:
            self._form.end()
        else:
            self._take(self._form.whole(self._take_gathered()))
        if self.remover is not None:
            self._keep(self._cleaned(self.remover.end))
        return self._take_batch()

    async def abort(self) -> None:
        """Drop everything. May be called again."""
        self._take_gathered()
        self._take_batch()
        self._budget.add(-self._held)
        self._held = 0
        await self.sink.abort()

    def _take_gathered(self) -> bytearray:
        gathered, self._gathered = self._gathered or bytearray(), None
        self._budget.add(-len(gathered))
        return gathered

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Part):
                self._start(event)
            elif event is None:
                self._finish_field()
            else:
                self._add(event)

    def _start(self, part: Part) -> None:
        raise_if_any(unknown([part.name], {IMAGE_FIELD, *self._limits}))
        if part.name in self._seen:
            raise InvalidField(fields=[(part.name, "given more than once")])
        self._seen.add(part.name)
        self._part = part
        if part.name == IMAGE_FIELD and self.removal is not None and self.fields.get("filetype") != OPAQUE:
            self.remover = MetadataRemover(self.removal)

    def _add(self, data: bytes) -> None:
        if self._part and self._part.name == IMAGE_FIELD:
            self.image_bytes += len(data)
            if self.image_bytes > self._images_max_bytes:
                raise ImageTooLarge(f"An image has at most {self._images_max_bytes} bytes.")
            self.header.feed(data)
            remover = self.remover
            self._keep([data] if remover is None else self._cleaned(lambda: remover.feed(data)))
        else:
            self._value += data
            most = self._limits[self._part.name] if self._part else 0
            if len(self._value) > most:
                raise TooLarge(f"This field has at most {most} bytes.")

    def _cleaned(self, step: Callable[[], list[Piece]]) -> list[Piece]:
        try:
            return step()
        except Unreadable as error:
            raise UnsupportedImage("The file is built as no camera or program builds one.") from error

    def _keep(self, pieces: list[Piece]) -> None:
        """Add to the batch. What the remover holds is there twice: as it was, and as it will be."""
        self._batch += pieces
        n_bytes = sum(map(len, pieces))
        self._batch_bytes += n_bytes
        held = 2 * self.remover.held if self.remover is not None else 0
        self._budget.add(n_bytes + held - self._held)
        self._held = held

    def _finish_field(self) -> None:
        if self._part and self._part.name != IMAGE_FIELD:
            if self._part.name == THUMB_FIELD:
                self.thumbnail = bytes(self._value)
            else:
                text = self._form.text(self._part, self._value)
                if self._part.name != DEFAULT_CHARSET:
                    self.fields[self._part.name] = text
        self._value.clear()
        self._part = None

    def _take_batch(self) -> list[Piece]:
        batch, self._batch = self._batch, []
        self._budget.add(-self._batch_bytes)
        self._batch_bytes = 0
        return batch

    async def _write_batch(self) -> None:
        size = self._batch_bytes
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        try:
            await self.sink.write(batch)
        finally:
            self._budget.add(-size)
