# SPDX-License-Identifier: Apache-2.0
"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): how its requests are read and its replies are worded.

Spoken are the core and the extensions of `EXTENSIONS`; the checksum is SHA-256.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from email.utils import formatdate

from tornado.httputil import HTTPHeaders

from handlers.wire import Announced, Continued, natural
from models.errors import MalformedRequest, UnsupportedType, UnsupportedVersion
from models.upload import Upload
from services.fields import raise_if_any, unknown
from services.uploads import FIELDS

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
ALGORITHM = "sha256"
PIECE_TYPE = "application/offset+octet-stream"
OCTETS = "application/octet-stream"
"""What clients say that were generated from the description of the interface."""
DIGEST_BYTES = 32


class Tus:
    """One request by tus."""

    offers_interim = False
    refuses_more_as_ended = False
    status_of_look = 200
    status_of_piece = 204
    status_of_end = 204

    def __init__(self, headers: HTTPHeaders) -> None:
        self._headers = headers
        self._spoken = headers.get("Tus-Resumable") == VERSION
        self.always = {"Tus-Resumable": VERSION} | ({} if self._spoken else {"Tus-Version": VERSION})

    def check_version(self) -> None:
        """Raises UnsupportedVersion."""
        if not self._spoken:
            raise UnsupportedVersion

    def announced(self, query: Mapping[str, str], content_length: int | None) -> Announced:
        """A creation. Raises MalformedRequest, UnsupportedType, InvalidField."""
        raise_if_any(unknown(query, ()))
        length = natural(self._headers, "Upload-Length")
        if length is None:
            raise MalformedRequest("Upload-Length is missing.")
        if content_length != 0:
            self._check_type()
        return Announced(_metadata(self._headers.get("Upload-Metadata", "")), length, None)

    def continued(self) -> Continued:
        """An append. Raises MalformedRequest, UnsupportedType."""
        self._check_type()
        offset = natural(self._headers, "Upload-Offset")
        if offset is None:
            raise MalformedRequest("Upload-Offset is missing.")
        return Continued(offset, None, None)

    def checksum(self) -> bytes | None:
        """The SHA-256 that the body is to have. Raises MalformedRequest."""
        given = self._headers.get("Upload-Checksum")
        if given is None:
            return None
        algorithm, _, value = given.partition(" ")
        try:
            digest = b64decode(value.strip(), validate=True)
        except ValueError:
            digest = b""
        if algorithm != ALGORITHM or len(digest) != DIGEST_BYTES:
            raise MalformedRequest("Upload-Checksum must be sha256 and the digest in base64.")
        return digest

    def options(self, images_max_bytes: int) -> dict[str, str]:
        """What is spoken here."""
        return {
            **self.always,
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(images_max_bytes),
            "Tus-Checksum-Algorithm": ALGORITHM,
        }

    def state(self, upload: Upload, offset: int) -> dict[str, str]:
        """How far an upload is."""
        return {**self.always, "Upload-Offset": str(offset), "Upload-Expires": _date(upload.expires_at)}

    def look(self, upload: Upload) -> dict[str, str]:
        """As `state`, with what its creation said."""
        given = {name: getattr(upload, name, None) for name in FIELDS}
        told = {name: value for name, value in given.items() if value not in (None, "")}
        metadata = {"Upload-Metadata": _pairs(told)} if told else {}
        return {**self.state(upload, upload.received), "Upload-Length": str(upload.length), **metadata}

    def completeness(self, *, done: bool) -> dict[str, str]:  # noqa: ARG002 - the offset says it
        return {}

    def limits(self, images_max_bytes: int, seconds: int) -> dict[str, str]:  # noqa: ARG002 - `options` says them
        return {}

    def check_question(self) -> None:
        """Any look and any end is one."""

    def _check_type(self) -> None:
        if self._headers.get("Content-Type", "").partition(";")[0].strip().lower() not in (PIECE_TYPE, OCTETS):
            raise UnsupportedType(f"Send {PIECE_TYPE}.")


def _metadata(text: str) -> dict[str, str]:
    """Keys and values, which are in base64. Raises MalformedRequest, InvalidField for a key that is not known."""
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            decoded = b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise MalformedRequest("A value of Upload-Metadata must be UTF-8 text in base64.") from None
        if not key or key in found:
            raise MalformedRequest("Upload-Metadata must be pairs of a key and a value, each key once.")
        found[key] = decoded
    raise_if_any(unknown(found, FIELDS))
    return found


def _pairs(fields: Mapping[str, object]) -> str:
    return ",".join(f"{name} {b64encode(str(value).encode()).decode()}" for name, value in fields.items())


def _date(at: int) -> str:
    return formatdate(at / 1000, usegmt=True)
