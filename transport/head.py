# SPDX-License-Identifier: Apache-2.0
"""The head of a request: bytes to method, path, header fields, and where the body ends (RFC 9112, sections 2 to 6).

Strict: what another recipient on the way might read in another way is refused, never mended. Lines end with CRLF alone,
a header's name touches its colon, a length stands once and in digits, a transfer coding is `chunked` or none. A request
to upgrade is a request like any other: only a handler of WebSockets looks at it, so that its body is never lost.
"""

import re
from typing import NamedTuple

from tornado.httputil import HTTPHeaders

from models.errors import MalformedRequest
from transport.fields import Fields

MAX_LENGTH_DIGITS = 18
"""More bytes than anybody can send; int() takes quadratic time in the digits."""

_LETTER = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rf"({_LETTER}+) ([\x21-\x7e]+) HTTP/1\.([0-9])")
_FIELDS = re.compile(rf"(?:\r\n{_LETTER}++:[\t\x20-\x7e\x80-\xff]*+)*+")
_AUTHORITY = r"(?:[A-Za-z0-9\-._~%!$&'()*+;=]*|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\])(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rf"https?://(?!:|/)({_AUTHORITY})(/[^?]*)?(\?.*)?", re.IGNORECASE)


class Head(NamedTuple):
    """A request without its body. `target` is in origin form also where it came in absolute form (RFC 9112, 3.2).

    `length` is None for a chunked body, 0 without a body. `persistent`: whether the client would use the
    connection again.
    """

    method: str
    target: str
    version: str
    headers: HTTPHeaders
    host: str
    length: int | None
    persistent: bool
    waits_for_continue: bool


def parse(head: bytes) -> Head:
    """The head in these bytes, without the empty line that ends it. Raises MalformedRequest."""
    text = head.decode("latin-1")
    line_end = text.find("\r\n")
    first_line = text if line_end < 0 else text[:line_end]
    found = _REQUEST_LINE.fullmatch(first_line)
    if found is None:
        raise MalformedRequest("The request line cannot be read.")
    method, target, minor = found.groups()
    lines = [] if line_end < 0 else text[line_end + 2 :].split("\r\n")
    if lines and not _FIELDS.fullmatch(text, line_end):
        raise MalformedRequest("A header field cannot be read.")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    is_1_0 = minor == "0"
    length = _length(fields, is_1_0=is_1_0)
    host = _host(fields, is_1_0=is_1_0)
    target, named = _origin_form(method, target)
    if named is not None:
        host, fields["host"] = named, [named]  # whatever the header says (RFC 9112, 3.2.2)
    return Head(
        method,
        target,
        "HTTP/1.0" if is_1_0 else "HTTP/1.1",
        Fields(fields),
        host,
        length,
        _is_persistent(fields, is_1_0=is_1_0),
        not is_1_0 and length != 0 and fields.get("expect", [""])[0].lower() == "100-continue",
    )


def _length(fields: dict[str, list[str]], *, is_1_0: bool) -> int | None:
    """RFC 9112, section 6.3. Raises MalformedRequest wherever two readers could disagree."""
    codings, lengths = fields.get("transfer-encoding"), fields.get("content-length")
    if codings is not None:
        # In HTTP/1.0 there is no such header: who sent it cannot be told from who added it (RFC 9112, section 6.1).
        if lengths is not None or is_1_0 or len(codings) > 1 or codings[0].lower() != "chunked":
            raise MalformedRequest("Where the body ends cannot be told.")
        return None
    if lengths is None:
        return 0
    text = lengths[0]
    if len(lengths) > 1 or not (text.isascii() and text.isdigit()) or len(text) > MAX_LENGTH_DIGITS:
        raise MalformedRequest("Where the body ends cannot be told.")
    return int(text)


def _host(fields: dict[str, list[str]], *, is_1_0: bool) -> str:
    hosts = fields.get("host", [""] if is_1_0 else [])
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("A request names one host.")
    return hosts[0]


def _origin_form(method: str, target: str) -> tuple[str, str | None]:
    """Path and query of a target, and the authority if it names one."""
    if target[0] == "/":
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        authority, path, query = absolute.groups()
        return (path or "/") + (query or ""), authority
    if (target == "*" and method == "OPTIONS") or (method == "CONNECT" and _HOST.fullmatch(target)):
        return target, None
    raise MalformedRequest("The request target cannot be read.")


def _is_persistent(fields: dict[str, list[str]], *, is_1_0: bool) -> bool:
    options = fields.get("connection")
    if options is None:
        return not is_1_0
    words = {word.strip().lower() for option in options for word in option.split(",")}
    return "close" not in words and (not is_1_0 or "keep-alive" in words)
