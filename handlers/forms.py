# SPDX-License-Identifier: Apache-2.0
"""multipart/form-data, read the same wherever it comes: all that RFC 2046 and RFC 7578 allow.

`multipart` reads the parts. What it refuses and the RFCs do not is taken out before it sees it: text before the form,
and blanks behind a boundary. A form that is there as a whole, and written as browsers and libraries write them, is read
at once; a test holds the two to the same answer. Nothing about what fields there are.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from models.errors import MalformedRequest

CHARSETS = frozenset(
    {
        *("utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1251", "cp1252", "koi8-r", "utf-16"),
        *("gb2312", "gbk", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "iso2022_jp"),
    }
)
"""By Python's names. Others, such as `idna`, cost more than they are worth."""

MAX_HEADER_BYTES = 16 << 10
"""Of one header line of a part, as of a request's whole head: a file's name may be long, and counts for nothing."""
MAX_HEADERS = 20
"""Of a part. Three of them mean something."""

DEFAULT_CHARSET = "_charset_"
_BLANKS = b" \t"
# Quoted text is passed over: a file may be called `a; name=b`.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"(?:\\.|[^"\\])*")?')


_PLAIN_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="([A-Za-z0-9_]{1,64})"(?:; filename="[\w .()+=@,-]{0,255}")?\r\n'
    rb"(?:Content-Type: [\w.+-]{1,64}/[\w.+-]{1,64}\r\n)?\r\n"
)


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of one part. Its bytes follow it, and None follows those."""

    name: str
    charset: str | None = None

    @classmethod
    def of(cls, segment: MultipartSegment) -> "Part":
        """Raises MalformedRequest for none or several names (of which RFC 6266, 4.1, wants none taken), and for one not
        in UTF-8: nobody needs its other words.
        """
        words = [value for name, value in segment.headerlist if name.lower() == "content-disposition"]
        n_names = sum(parameter.lower() == "name" for word in words for parameter in _PARAMETER.findall(word))
        if len(words) > 1 or n_names > 1:
            raise MalformedRequest("A part of the form has several names.")
        if not segment.name and not n_names:
            raise MalformedRequest("A part of the form has no name.")
        try:
            name = str(segment.name).encode("latin-1").decode()
        except UnicodeDecodeError as error:
            raise MalformedRequest("The name of a part of the form is not UTF-8.") from error
        return cls(name, segment.charset)


Event = Part | bytes | None


class _Parser(PushMultipartParser):  # type: ignore[misc]  # the library has no types
    """Holds no part against a Content-Length of its own: other fields than those that tell what a part is are ignored
    (RFC 7578, 4.8).
    """

    def _on_segment_headerline(self, line: bytes) -> None:
        super()._on_segment_headerline(b"X-" + line if line[:14].lower() == b"content-length" else line)


class FormReader:
    """The parts of one form, from pieces of any length. Parts are what they are, however the form is cut.

    Raises MalformedRequest for a boundary that cannot be used.
    """

    def __init__(self, boundary: str, *, max_parts: int) -> None:
        try:
            # Words in a part's header that are not asked for need not be text: Latin-1 has all bytes.
            self._parser = _Parser(
                boundary,
                max_header_size=MAX_HEADER_BYTES,
                max_header_count=MAX_HEADERS,
                max_segment_count=max_parts,
                header_charset="latin-1",
            )
            self._delimiter = b"\r\n--" + boundary.encode()
        except (MultipartError, UnicodeEncodeError) as error:
            raise MalformedRequest("The boundary cannot be used.") from error
        self._max_parts = max_parts
        self._begun = False
        # The last bytes that were given to the parser; before the form, a line break that nobody sent.
        self._last = b"\r\n"
        self._charset: str | None = None

    def whole(self, body: bytes | bytearray) -> Iterable[Event]:
        """All of a form: what `feed` gives for it, and `end`. Raises MalformedRequest, at once or while it is read."""
        plain = self._plain_parts(body)
        return self._whole(bytes(body)) if plain is None else plain

    def _whole(self, body: bytes) -> Iterator[Event]:
        yield from self.feed(body)
        self.end()

    def _plain_parts(self, body: bytes | bytearray) -> list[Event] | None:
        """The parts of a form without anything odd; None for any other."""
        found: list[Event] = []
        at = len(self._delimiter) - 2
        if not body.startswith(self._delimiter[2:]):
            return None
        for _ in range(self._max_parts):
            head = _PLAIN_HEAD.match(body, at)
            # From the end of the header's last line on: what looks like a boundary there is odd, too.
            end = body.find(self._delimiter, head.end() - 2) if head else -1
            if not head or end < head.end():
                break
            content = bytes(memoryview(body)[head.end() : end])
            found += [Part(head[1].decode()), content, None] if content else [Part(head[1].decode()), None]
            at = end + len(self._delimiter)
        return found if body[at : at + 5] in (b"--", b"--\r\n") else None

    @cached_property
    def _padded(self) -> re.Pattern[bytes]:
        return re.compile(b"(" + re.escape(self._delimiter) + b")[ \t]+")

    def feed(self, piece: bytes) -> Iterator[Event]:
        """A part, some of its bytes, or None at its end. What follows the last boundary is ignored.

        Raises MalformedRequest.
        """
        piece = self._unpadded(piece) if self._begun else self._without_preamble(piece)
        if not piece:
            return
        try:
            for event in self._parser.parse(piece):
                yield Part.of(event) if isinstance(event, MultipartSegment) else event
        except MultipartError as error:
            raise MalformedRequest("The form cannot be read.") from error

    def end(self) -> None:
        """Raises MalformedRequest where the last boundary has not come. Nothing may be fed after this."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise MalformedRequest("The form is cut off.") from error

    def text(self, part: Part, value: bytes | bytearray) -> str:
        """A part's bytes by its own charset, by the form's (RFC 7578, 4.6), or as UTF-8. Raises MalformedRequest."""
        try:
            text = value.decode(_charset(part.charset or self._charset or "utf-8"))
        except (LookupError, UnicodeDecodeError) as error:
            raise MalformedRequest("A field of the form is not in its charset.") from error
        if part.name == DEFAULT_CHARSET:
            self._charset = text
        return text

    def _without_preamble(self, piece: bytes) -> bytes:
        """RFC 2046, 5.1.1: text before the first boundary, which begins a line, means nothing."""
        data = self._last + piece
        found = data.find(self._delimiter)
        if found < 0:
            self._last = data[-len(self._delimiter) :]
            return b""
        self._begun = True
        self._last = b"\r\n"
        return self._unpadded(data[found + 2 :])

    def _unpadded(self, piece: bytes) -> bytes:
        """RFC 2046, 5.1.1: blanks between a boundary and the end of its line mean nothing."""
        length = len(self._delimiter)
        if self._last == self._delimiter:
            piece = piece.lstrip(_BLANKS)
        seam = self._last + piece[: length + 1]
        for blank in (b" ", b"\t"):
            padded = self._delimiter + blank
            if padded in seam or padded in piece:
                piece = self._padded.sub(rb"\1", self._last + piece)[len(self._last) :]
        self._last = (self._last + piece[-length:])[-length:]
        return piece


def _charset(name: str) -> str:
    """Python's name of a charset. Raises LookupError for one that is not taken."""
    found = codecs.lookup(name).name
    if found not in CHARSETS:
        raise LookupError(found)
    return found
