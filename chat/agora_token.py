# SPDX-License-Identifier: Apache-2.0
"""Agora's AccessToken2, the tokens that begin with 007: how one is built, how one is read and checked.

All integers are little-endian; a string is its length in two bytes and its bytes.
Source: AgoraIO/Tools, DynamicKey/AgoraDynamicKey (AccessToken2)
"""

import base64
import hmac
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

VERSION = "007"
MAX_SECONDS = 86_400
MAX_SALT = 99_999_999
MAX_CONTENT_BYTES = 16_384

_HEX = re.compile(r"[0-9A-Fa-f]{32}")


class Kind(IntEnum):
    """The services that Glimpse issues tokens for."""

    RTC = 1
    RTM = 2
    CHAT = 5


EXTRAS = {Kind.RTC: 2, Kind.RTM: 1, Kind.CHAT: 1}
JOIN_CHANNEL, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA = 1, 2, 3, 4
RTM_LOGIN = 1
CHAT_USER, CHAT_APP = 1, 2


class BadToken(ValueError):
    """Not a token of ours: its form, its signature, or a service that cannot be read."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a token. `privileges` last so many seconds from the token's issue; `extras` are its strings."""

    kind: Kind
    privileges: Mapping[int, int]
    extras: Sequence[str]


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Times in seconds: `issued_at` since the Unix epoch, `lasts` from there."""

    app_id: str
    issued_at: int
    lasts: int
    salt: int
    services: Sequence[Service] = field(default=())

    def service(self, kind: Kind) -> Service | None:
        return next((service for service in self.services if service.kind is kind), None)


def rtc(channel: str, uid: int, seconds: int, *, publisher: bool) -> Service:
    """The right to join a channel, and for a publisher to send sound, picture and data there."""
    rights = (JOIN_CHANNEL, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA) if publisher else (JOIN_CHANNEL,)
    return Service(Kind.RTC, dict.fromkeys(rights, seconds), (channel, str(uid) if uid else ""))


def rtm(user_id: str, seconds: int) -> Service:
    return Service(Kind.RTM, {RTM_LOGIN: seconds}, (user_id,))


def chat_user(username: str, seconds: int) -> Service:
    return Service(Kind.CHAT, {CHAT_USER: seconds}, (username,))


def chat_app(seconds: int) -> Service:
    """The right to call Agora's REST interface for the whole app."""
    return Service(Kind.CHAT, {CHAT_APP: seconds}, ("",))


def build(token: Token, certificate: str) -> str:
    """The token's text. Raises ValueError for an app id or a certificate that is not 32 hex digits."""
    for name, value in (("app id", token.app_id), ("certificate", certificate)):
        if not _HEX.fullmatch(value):
            raise ValueError(f"the {name} is not 32 hex digits")
    info = signing_info(token)
    content = _text(signature(token.issued_at, token.salt, info, certificate)) + info
    return VERSION + base64.b64encode(zlib.compress(content)).decode()


def signing_info(token: Token) -> bytes:
    """The part that is signed."""
    head = _text(token.app_id.encode()) + struct.pack("<III", token.issued_at, token.lasts, token.salt)
    services = sorted(token.services, key=lambda service: service.kind)
    return head + struct.pack("<H", len(services)) + b"".join(map(_pack, services))


def signature(issued_at: int, salt: int, info: bytes, certificate: str) -> bytes:
    """HMAC-SHA256 under a key that the time and the salt make of the certificate."""
    key = hmac.digest(struct.pack("<I", issued_at), certificate.encode(), "sha256")
    return hmac.digest(hmac.digest(struct.pack("<I", salt), key, "sha256"), info, "sha256")


def content_of(text: str) -> bytes:
    """What the text carries, decompressed: two builds of zlib write the same content differently. Raises BadToken."""
    if not text.startswith(VERSION):
        raise BadToken("not a token of version 007")
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(base64.b64decode(text[len(VERSION) :], validate=True), MAX_CONTENT_BYTES)
    except (ValueError, zlib.error) as error:
        raise BadToken("neither base64 nor zlib") from error
    if not inflating.eof:
        raise BadToken("too long or cut off")
    return content


def read(text: str, certificate: str) -> Token:
    """What a token says, once its signature is right. Nothing is said of its age. Raises BadToken."""
    content = content_of(text)
    try:
        return _read(content, certificate)
    except BadToken:
        raise
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise BadToken("cut off") from error
    except ValueError as error:
        raise BadToken("a service that is not known here") from error


def _read(content: bytes, certificate: str) -> Token:
    signed, info = _take(content)
    app_id, rest = _take(info)
    issued_at, lasts, salt, count = struct.unpack_from("<IIIH", rest)
    if not hmac.compare_digest(signed, signature(issued_at, salt, info, certificate)):
        raise BadToken("the signature is wrong")
    rest, services = rest[14:], []
    for _ in range(count):
        service, rest = _unpack(rest)
        services.append(service)
    return Token(app_id.decode(), issued_at, lasts, salt, tuple(services))


def _pack(service: Service) -> bytes:
    rights = sorted(service.privileges.items())
    packed = struct.pack("<HH", service.kind, len(rights)) + b"".join(struct.pack("<HI", *right) for right in rights)
    return packed + b"".join(_text(extra.encode()) for extra in service.extras)


def _unpack(data: bytes) -> tuple[Service, bytes]:
    number, count = struct.unpack_from("<HH", data)
    kind, data = Kind(number), data[4:]
    privileges = dict(struct.unpack_from("<HI", data, 6 * index) for index in range(count))
    data, extras = data[6 * count :], []
    for _ in range(EXTRAS[kind]):
        extra, data = _take(data)
        extras.append(extra.decode())
    return Service(kind, privileges, tuple(extras)), data


def _text(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """A string and what follows it."""
    (length,) = struct.unpack_from("<H", data)
    if len(data) < 2 + length:
        raise IndexError
    return data[2 : 2 + length], data[2 + length :]
