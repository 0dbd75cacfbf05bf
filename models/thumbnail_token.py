# SPDX-License-Identifier: Apache-2.0
"""Tokens that show one image's preview to one device until the image ends: what stands in a notification.

No row is needed: a token is the message, the device, the end and an HMAC over them, and names the key that made it.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from models.keys import KeyRing

_FACTS = struct.Struct(">HQQQ")
MAC_BYTES = 16
"""128 bits: nobody guesses one, and the notification stays small."""
CHARACTERS = (_FACTS.size + MAC_BYTES) * 4 // 3
"""42 bytes in base64url, without padding."""


@dataclass(frozen=True, slots=True)
class ThumbnailToken:
    """Which message's preview, for which device, and until when (milliseconds)."""

    message_id: int
    device_id: int
    ends_at: int


class ThumbnailTokens:
    """Signs with the ring's present token key and reads what it or a retired one has signed."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def sign(self, token: ThumbnailToken) -> str:
        version = self._keys.token_key
        facts = _FACTS.pack(version, token.message_id, token.device_id, token.ends_at)
        return urlsafe_b64encode(facts + self._mac(version, facts)).decode()

    def read(self, text: str, now: int) -> ThumbnailToken | None:
        """What the token says, None for one that is changed, not ours, or over at `now` (milliseconds)."""
        if len(text) != CHARACTERS or not text.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(text)
        except ValueError:
            return None
        # Decoders pass over letters that are none: only one way to write a token is taken.
        if urlsafe_b64encode(sealed).decode() != text:
            return None
        facts, mac = sealed[: _FACTS.size], sealed[_FACTS.size :]
        version, *said = _FACTS.unpack(facts)
        if not hmac.compare_digest(mac, self._mac(version, facts)):
            return None
        token = ThumbnailToken(*said)
        return token if now < token.ends_at else None

    def _mac(self, version: int, facts: bytes) -> bytes:
        """Random bytes for an unknown version: nothing equals them."""
        return hmac.digest(self._keys.picture_key(version), facts, "sha256")[:MAC_BYTES]
