# SPDX-License-Identifier: Apache-2.0
"""Resumable uploads of HTTP (draft-ietf-httpbis-resumable-upload), in the versions that clients speak.

A request that names none of `VERSIONS` is read as the last.
"""

from collections.abc import Mapping

from tornado.httputil import HTTPHeaders

from handlers.wire import Announced, Continued, natural
from models.errors import MalformedRequest, UnsupportedType
from models.upload import Upload

VERSIONS = (3, 5, 6, 8)
LATEST = 8
NAMES_VERSION = "Upload-Draft-Interop-Version"
PIECE_TYPE = "application/partial-upload"
TRUE, FALSE = "?1", "?0"


def speaks(headers: HTTPHeaders) -> bool:
    """Whether a request is of this protocol."""
    return any(name in headers for name in (NAMES_VERSION, "Upload-Complete", "Upload-Incomplete"))


class Ietf:
    """One request by a version of the draft."""

    status_of_look = 204
    status_of_end = 201

    def __init__(self, headers: HTTPHeaders) -> None:
        self._headers = headers
        named = headers.get(NAMES_VERSION, "")
        self._named = int(named) if named.isascii() and named.isdigit() and len(named) < 3 else None
        self._version = self._named or LATEST
        self.offers_interim = self._named in VERSIONS
        self.status_of_piece = 201 if self._version < 7 else 204
        self.refuses_more_as_ended = self._version >= 6
        self.always = {NAMES_VERSION: str(self._named)} if self.offers_interim else {}

    def check_version(self) -> None:
        """Whatever a client names, it is read as the one that it is nearest to."""

    def announced(self, query: Mapping[str, str], content_length: int | None) -> Announced:
        """A creation. Raises MalformedRequest."""
        completes = self._completes()
        return Announced(query, self._length(0, content_length, completes=completes), completes)

    def continued(self) -> Continued:
        """An append. Raises MalformedRequest, UnsupportedType."""
        kind = self._headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self._version >= 6 and kind != PIECE_TYPE:
            raise UnsupportedType(f"Send {PIECE_TYPE}.")
        offset = natural(self._headers, "Upload-Offset")
        if offset is None:
            raise MalformedRequest("Upload-Offset is missing.")
        completes, content_length = self._completes(), natural(self._headers, "Content-Length")
        return Continued(offset, self._length(offset, content_length, completes=completes), completes)

    def checksum(self) -> bytes | None:
        """The draft has none of its own."""
        return None

    def check_question(self) -> None:
        """A look or an end is about no bytes, as the versions up to 6 insist. Raises MalformedRequest."""
        names = ("Upload-Offset", "Upload-Complete", "Upload-Incomplete")
        if self._version <= 6 and any(name in self._headers for name in names):
            raise MalformedRequest("This request has no offset.")

    def options(self, images_max_bytes: int) -> dict[str, str]:
        """What is taken here."""
        return {**self.always, "Upload-Limit": f"max-size={images_max_bytes}"}

    def state(self, upload: Upload, offset: int) -> dict[str, str]:
        """How far an upload is, and whether an image has become of it."""
        return {**self.always, "Upload-Offset": str(offset), **self.completeness(done=upload.message_id is not None)}

    def look(self, upload: Upload) -> dict[str, str]:
        """As `state`, with its length where that is known."""
        length = {"Upload-Length": str(upload.length)} if self._version >= 7 and upload.length is not None else {}
        return {**self.state(upload, upload.received), **length}

    def completeness(self, *, done: bool) -> dict[str, str]:
        """Whether the image is there."""
        if self._version == 3:
            return {"Upload-Incomplete": FALSE if done else TRUE}
        return {"Upload-Complete": TRUE if done else FALSE}

    def limits(self, images_max_bytes: int, seconds: int) -> dict[str, str]:
        """How large an image may be, and for how long the upload is kept without another byte."""
        if self._version < 6:
            return {}
        age = "expires" if self._version == 6 else "max-age"
        return {"Upload-Limit": f"max-size={images_max_bytes}, {age}={seconds}"}

    def _completes(self) -> bool:
        name, ends = ("Upload-Incomplete", FALSE) if self._version == 3 else ("Upload-Complete", TRUE)
        value = self._headers.get(name)
        if value not in (TRUE, FALSE):
            raise MalformedRequest(f"{name} must be ?1 or ?0.")
        return value == ends

    def _length(self, offset: int, content_length: int | None, *, completes: bool) -> int | None:
        said = natural(self._headers, "Upload-Length") if self._version >= 7 else None
        seen = offset + content_length if completes and content_length is not None else None
        if said is not None and seen is not None and said != seen:
            raise MalformedRequest("Upload-Length is not what the body makes of it.")
        return said if seen is None else seen
