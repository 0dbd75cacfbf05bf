# SPDX-License-Identifier: Apache-2.0
"""Who we are to a push service: VAPID, RFC 8292. A key pair for life, and a token per service for some hours."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from httpclient.endpoints import NotAllowed, check_form, is_public

PRIVATE_BYTES = 32
TOKEN_MS = 12 * 3_600_000
RENEW_MS = 3_600_000
KEPT_TOKENS = 1000

MAILTO = re.compile(r"mailto:[^@\s?]+@([^@\s?/#]+)(\?\S*)?")
# Nobody can have a name under these: RFC 2606, RFC 6761, RFC 7686, RFC 9476.
RESERVED_NAMES = (".test", ".example", ".invalid", ".onion", ".alt", ".arpa")


@dataclass(frozen=True, slots=True)
class VapidKey:
    """A P-256 key pair. Browsers subscribe with `public`: 65 bytes, base64url, 87 characters."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> str:
        return encode(self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    @property
    def pem(self) -> str:
        """What `parse_key` reads."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def new_key() -> VapidKey:
    return VapidKey(ec.generate_private_key(ec.SECP256R1()))


def parse_key(text: str) -> VapidKey:
    """The pair of a private key, as PEM or as the base64url of its 32 bytes. Raises ValueError, which shows no key."""
    text = text.strip()
    try:
        private = load_pem_private_key(text.encode(), None) if text.startswith("-----BEGIN") else _from_number(text)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ValueError("a VAPID private key is a P-256 key, as PEM or as the base64url of 32 bytes")
    return VapidKey(private)


def _from_number(text: str) -> PrivateKeyTypes:
    number = decode(text)
    if len(number) != PRIVATE_BYTES:
        raise ValueError
    return ec.derive_private_key(int.from_bytes(number, "big"), ec.SECP256R1())


def check_subject(subject: str) -> None:
    """Whether this can be where a push service reaches the operator; Apple's refuses every push where it cannot.

    Raises ValueError for what is neither a `mailto:` nor an `https:` address, and for one with an IP address or a
    reserved name in place of a public host. Source: RFC 8292, section 2.1.
    """
    mail = MAILTO.fullmatch(subject)
    if mail is None and not subject.startswith("https://"):
        raise ValueError("must begin with mailto: or https://, as in mailto:you@example.org")
    url = f"https://{mail[1]}/" if mail else subject
    try:
        check_form(url, frozenset())
        host = httpx.URL(url).host
    except NotAllowed:
        host = ""
    if not host or is_public(host) or host.endswith(RESERVED_NAMES):
        raise ValueError("must name a public host: Apple's push service refuses every other subject")


class Vapid:
    """Makes the `Authorization` header per push service and keeps it. `clock` is in milliseconds.

    `subject` is a `mailto:` or `https:` address at which the push service reaches the operator; empty for none.
    """

    def __init__(self, key: VapidKey, subject: str, clock: Callable[[], int]) -> None:
        self._key = key
        self._subject = subject
        self._clock = clock
        self._kept: dict[str, tuple[str, int]] = {}

    def authorization(self, origin: str) -> str:
        """The header's value for this origin, good for an hour at least and twelve at most."""
        now = self._clock()
        header, until = self._kept.get(origin, ("", 0))
        if not now + RENEW_MS <= until <= now + TOKEN_MS:  # the clock may have been set back
            until = now + TOKEN_MS
            header = f"vapid t={self._token(origin, until // 1000)}, k={self._key.public}"
            if len(self._kept) >= KEPT_TOKENS:
                del self._kept[next(iter(self._kept))]
            self._kept[origin] = (header, until)
        return header

    def _token(self, origin: str, until: int) -> str:
        claims = {"aud": origin, "exp": until} | ({"sub": self._subject} if self._subject else {})
        return jwt.encode(claims, self._key.private, algorithm="ES256")


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a base64url text, padded or not. Raises ValueError."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64url") from None
