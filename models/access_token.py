# SPDX-License-Identifier: Apache-2.0
"""Access tokens: JWTs (RFC 9068's type) that this server signs and reads, with one algorithm and no choice of it.

HS256: nobody but this server reads them, and it costs a twentieth of a public-key signature to check.
"""

import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jwt

from models.keys import KeyRing
from models.user import UserId

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "glimpse"
TYPE = "at+jwt"
LIFETIME_MS = 15 * 60 * 1000
"""How long a copied token is good at most. A client asks for the next one four times an hour."""
LEEWAY_SECONDS = 5  # for clocks that were set back, or another machine's
MAX_CHARACTERS = 1024
"""More than twice what ours have: nothing longer is hashed."""
KNOWN_TOKENS = 4096
"""Tokens in use at once whose signature is checked only once: a few megabytes."""

# The one way to write 32 bytes as 43 letters: decoders also take others, and skip other characters.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_CLAIMS = ("iss", "aud", "sub", "sid", "iat", "exp", "jti")
_FAMILY_CHARACTERS = 32  # 16 random bytes in hex


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token says: who, from which family of refresh tokens, and how long. Times are in seconds."""

    uid: UserId
    family: str = field(repr=False)
    issued_at: int
    expires_at: int


class AccessTokens:
    """Signs with the ring's present key and reads what any of its keys has signed, whenever the ring changes."""

    def __init__(self, keys: KeyRing) -> None:
        self._ring = keys
        # Times are held against the caller's clock, once the signature is known to be right.
        self._jwt = jwt.PyJWT(options={"verify_exp": False, "verify_iat": False, "require": [*_CLAIMS]})
        self._load()

    def _load(self) -> None:
        ring = self._ring
        self._generation = ring.generation
        self._signing = str(ring.token_key), ring.token_keys[ring.token_key]
        # A header is ours letter by letter or the token is refused: no algorithm, type, `crit` or `jku` to be read.
        self._keys = {_header(str(number), key): key for number, key in ring.token_keys.items()}
        self._verified = lru_cache(KNOWN_TOKENS)(self._verify)

    def _follow(self) -> None:
        if self._ring.generation != self._generation:
            self._load()

    def sign(self, uid: UserId, family: str, now: int) -> tuple[str, int]:
        """A new token, and when it ends. Times are in milliseconds."""
        self._follow()
        issued_at = now // 1000
        expires_at = issued_at + LIFETIME_MS // 1000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(uid),
            "sid": family,
            "iat": issued_at,
            "exp": expires_at,
            "jti": secrets.token_hex(16),
        }
        return _encode(claims, *self._signing), expires_at * 1000

    def read(self, text: str, now: int) -> AccessToken | None:
        """What the token says, None for one that is not ours or not of this time (milliseconds)."""
        self._follow()
        token, seconds = self._known(text) if len(text) <= MAX_CHARACTERS else None, now / 1000
        if token is None or not token.issued_at - LEEWAY_SECONDS <= seconds < token.expires_at:
            return None
        return token

    def _known(self, text: str) -> AccessToken | None:
        try:
            return self._verified(text)
        except (jwt.InvalidTokenError, ValueError, KeyError):
            return None

    def _verify(self, text: str) -> AccessToken:
        """Raises InvalidTokenError, ValueError, KeyError. Its results are kept: checking costs more than a look-up."""
        if not _FORM.fullmatch(text):
            raise ValueError
        key = self._keys[text.partition(".")[0]]
        claims = self._jwt.decode(text, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
        return _token(claims)


def _encode(claims: dict[str, Any], kid: str, key: bytes) -> str:
    return jwt.encode(claims, key, ALGORITHM, headers={"typ": TYPE, "kid": kid})


def _header(kid: str, key: bytes) -> str:
    """A token's first part, the same in all that this key signs."""
    return _encode({}, kid, key).partition(".")[0]


def _token(claims: dict[str, Any]) -> AccessToken:
    """Raises ValueError for what this server does not write."""
    subject, family, times = claims["sub"], claims["sid"], (claims["iat"], claims["exp"])
    if not (isinstance(family, str) and len(family) == _FAMILY_CHARACTERS and all(type(time) is int for time in times)):
        raise ValueError
    return AccessToken(UserId(int(subject)), family, *times)
