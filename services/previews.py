# SPDX-License-Identifier: Apache-2.0
"""What a sender shows of an image before it is opened: a preview, which is a file beside it, and a placeholder."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from models.errors import InvalidField
from models.imagefile import HeaderReader
from models.message import Preview
from models.metadata import MetadataRemover, Removal, Unreadable
from models.rules import OPAQUE

THUMB_FIELD = "thumb_file"
PREVIEW_TYPES = ("jpeg", "png", "webp")
MAX_PREVIEW_BYTES = 64 * 1024
MAX_PREVIEW_SIDE = 512
MAX_PLACEHOLDER_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class OpenPreview:
    """A preview as it is shown: its filetype and its bytes."""

    filetype: str
    data: bytes


_WANTED = f"JPEG, PNG or WebP, at most {MAX_PREVIEW_BYTES} bytes and {MAX_PREVIEW_SIDE} pixels a side"


def read_preview(data: bytes | None, *, opaque: bool, removal: Removal | None) -> Preview | None:
    """The preview that these bytes are, without what `removal` says that nobody may read; None where none is given.

    Of an opaque image it is opaque too, and left as it is. Raises InvalidField.
    """
    if data is None:
        return None
    if not 1 <= len(data) <= MAX_PREVIEW_BYTES:
        raise InvalidField(fields=[(THUMB_FIELD, _WANTED)])
    if opaque:
        return _preview(OPAQUE, data)
    header = HeaderReader()
    header.feed(data)
    sides = (header.width or 0, header.height or 0)
    if header.filetype not in PREVIEW_TYPES or not min(sides) >= 1 or max(sides) > MAX_PREVIEW_SIDE:
        raise InvalidField(fields=[(THUMB_FIELD, _WANTED)])
    return _preview(header.filetype, _cleaned(data, removal) if removal is not None else data)


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


def _preview(filetype: str, data: bytes) -> Preview:
    return Preview(filetype, data, hashlib.sha256(data).digest())


def _cleaned(data: bytes, removal: Removal) -> bytes:
    remover = MetadataRemover(removal)
    try:
        return b"".join([*remover.feed(data), *remover.end()])
    except Unreadable as error:
        raise InvalidField(fields=[(THUMB_FIELD, "is built as no camera or program builds one")]) from error
