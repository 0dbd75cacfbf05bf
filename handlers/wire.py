# SPDX-License-Identifier: Apache-2.0
"""What the protocols of uploads that go on have in common: what a request says, whichever of them it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass

from tornado.httputil import HTTPHeaders

from models.errors import MalformedRequest
from models.upload import Upload

MOST_DIGITS = 15
"""Of a structured field's integer (RFC 9651, 3.3.1)."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A creation: the fields of the image, how long it will be where the sender knows, and whether this request's body
    ends it; None: where it reaches that length.
    """

    fields: Mapping[str, str]
    length: int | None
    completes: bool | None


@dataclass(frozen=True, slots=True)
class Continued:
    """An append: where it begins; the others as in `Announced`."""

    offset: int
    length: int | None
    completes: bool | None


def natural(headers: HTTPHeaders, name: str) -> int | None:
    """A header that is a number, None where it is not there. Raises MalformedRequest."""
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > MOST_DIGITS:
        raise MalformedRequest(f"{name} must be a number of at most {MOST_DIGITS} digits.")
    return int(text)


class Plain:
    """A request that speaks of no going on: the body is the image, and when it is cut nothing is left."""

    offers_interim = False
    refuses_more_as_ended = False
    status_of_look = status_of_piece = 204
    status_of_end = 201

    def __init__(self) -> None:
        self.always: dict[str, str] = {}

    def check_version(self) -> None:
        """There is none."""

    def check_question(self) -> None:
        """Any look and any end is one."""

    def checksum(self) -> bytes | None:
        return None

    def announced(self, query: Mapping[str, str], content_length: int | None) -> Announced:
        return Announced(query, content_length, completes=True)

    def continued(self) -> Continued:
        """Raises MalformedRequest: nothing says how."""
        raise MalformedRequest("Tus-Resumable or Upload-Complete is missing.")

    def state(self, upload: Upload, offset: int) -> dict[str, str]:  # noqa: ARG002 - nothing goes on
        return {}

    def look(self, upload: Upload) -> dict[str, str]:
        return self.state(upload, upload.received)

    def completeness(self, *, done: bool) -> dict[str, str]:  # noqa: ARG002 - the status says it
        return {}

    def limits(self, images_max_bytes: int, seconds: int) -> dict[str, str]:  # noqa: ARG002 - nothing goes on
        return {}
