# SPDX-License-Identifier: Apache-2.0
"""What is shown of an image before it is opened: a preview, which is a file beside it, and a placeholder. Its sender
gives them, or they are made of the image.
"""

import base64
import binascii
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass

from models.errors import AppError, InvalidField
from models.imagefile import HeaderReader
from models.message import Preview
from models.metadata import MetadataRemover, Removal, Unreadable
from models.rules import OPAQUE
from models.user import UserId
from previewing import protocol
from previewing.maker import Made, PreviewMaker
from storage.base import Blob, BlobStore

log = logging.getLogger("glimpse.previews")

THUMB_FIELD = "thumb_file"
PREVIEW_TYPES = ("jpeg", "png", "webp")
DECODED_TYPES = ("jpeg", "png", "gif", "webp")
"""Of these a preview can be made."""
PIECE_BYTES = 256 * 1024
MAX_PREVIEW_BYTES = protocol.MAX_PREVIEW_BYTES
"""Of one that a sender gives, as of one that is made."""
MAX_PREVIEW_SIDE = 512
MAX_PLACEHOLDER_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class OpenPreview:
    """A preview as it is shown: its filetype and its bytes."""

    filetype: str
    data: bytes


_WANTED = f"JPEG, PNG or WebP, at most {MAX_PREVIEW_BYTES} bytes and {MAX_PREVIEW_SIDE} pixels a side"


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands for one image, as its sender gave it or as it was made."""

    placeholder: str | None
    preview: Preview | None


NOTHING = Shown(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """Where previews come from. `kept` is false where nobody is to see any; `maker` is None where none are made."""

    store: BlobStore
    kept: bool = True
    maker: PreviewMaker | None = None

    async def complete(self, given: Shown, *, key: str, filetype: str, whose: UserId) -> Shown:
        """What stands for the stored image with this key, `given` being what its sender `whose` says; at once, or
        within seconds where it is made.
        """
        if not self.kept:
            return NOTHING
        if given.preview is not None or self.maker is None or filetype not in DECODED_TYPES:
            return given
        try:
            made = await self._make(self.maker, key, whose)
        except AppError as error:
            log.warning("an image cannot be read for its preview", extra={"error": error.code})
            made = None
        if made is None:
            return given
        placeholder = base64.b64encode(made.placeholder).decode()
        return Shown(given.placeholder or placeholder, _preview("jpeg", made.preview))

    async def _make(self, maker: PreviewMaker, key: str, whose: UserId) -> Made | None:
        blob = await self.store.open(key)
        if blob is None:
            return None
        with closing(blob):
            return await maker.make(whose, blob.size, _pieces(blob))


def read_preview(
    data: bytes | None, *, opaque: bool, removal: Removal | None, field: str = THUMB_FIELD
) -> Preview | None:
    """The preview that these bytes are, without what `removal` says that nobody may read; None where none is given.

    Of an opaque image it is opaque too, and left as it is. Raises InvalidField, which says that it came as `field`.
    """
    if data is None:
        return None
    if not 1 <= len(data) <= MAX_PREVIEW_BYTES:
        raise InvalidField(fields=[(field, _WANTED)])
    if opaque:
        return _preview(OPAQUE, data)
    header = HeaderReader()
    header.feed(data)
    sides = (header.width or 0, header.height or 0)
    if header.filetype not in PREVIEW_TYPES or not min(sides) >= 1 or max(sides) > MAX_PREVIEW_SIDE:
        raise InvalidField(fields=[(field, _WANTED)])
    return _preview(header.filetype, _cleaned(data, removal, field) if removal is not None else data)


def read_placeholder(text: str | None) -> str | None:
    """A ThumbHash in base64, as it came. Raises InvalidField."""
    if text is None:
        return None
    try:
        is_hash = len(text) <= MAX_PLACEHOLDER_CHARACTERS and bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        is_hash = False
    if not is_hash:
        raise InvalidField(fields=[("placeholder", f"base64, 1 to {MAX_PLACEHOLDER_CHARACTERS} characters")])
    return text


async def _pieces(blob: Blob) -> AsyncIterator[bytes]:
    offset = 0
    while piece := await blob.read(offset, PIECE_BYTES):
        offset += len(piece)
        yield piece


def _preview(filetype: str, data: bytes) -> Preview:
    return Preview(filetype, data, hashlib.sha256(data).digest())


def _cleaned(data: bytes, removal: Removal, field: str) -> bytes:
    remover = MetadataRemover(removal)
    try:
        return b"".join([*remover.feed(data), *remover.end()])
    except Unreadable as error:
        raise InvalidField(fields=[(field, "is built as no camera or program builds one")]) from error
