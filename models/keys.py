# SPDX-License-Identifier: Apache-2.0
"""The key ring: the secrets that encrypt and index phone numbers, authenticate codes and sign tokens.

It is one JSON file: data keys (AES-256) by id, peppers by version, one code key, token keys (HMAC-SHA256) by id.
Without it no stored number can be read or found, so it is made on the first start only and belongs in every backup.
Also here: the random secrets that are handed to people, and what is stored of them.
"""

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models import fault, private_files

FORMAT = 1
KEY_BYTES = 32  # AES-256, and the output of HMAC-SHA256
NONCE_BYTES = 12  # what GCM is made for: NIST SP 800-38D, section 8.2
ID_BYTES = 2  # 65,535 rotations
SEALED_AT = ID_BYTES + NONCE_BYTES
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `new_secret` makes."""
PURPOSE = b"glimpse phone number"
PICTURES = b"glimpse preview of an image"


class KeyRingError(Exception):
    """The key ring cannot be used. The text says what to do and holds no secret."""


class PhoneDigest(NamedTuple):
    """What a number is found by: HMAC-SHA256 of its hash under the pepper of that version."""

    version: int
    digest: bytes


@dataclass(slots=True)
class KeyRing:
    """`data_keys` and `token_keys` by id, `peppers` by version. A running server's ring changes by `adopt` alone.

    `data_key` encrypts and `token_key` signs what is new, `pepper` is the version that numbers are looked up by; what
    the other keys have encrypted or signed is accepted as long as they are in the ring. `generation` counts the changes
    of the file. `token_since` (milliseconds): since then no server has signed with another token key; 0 while unknown.
    `picture_keys`: what is left of token keys that have left the ring, good for the previews of older notifications.
    """

    data_keys: Mapping[int, bytes] = field(repr=False)
    data_key: int
    peppers: Mapping[int, bytes] = field(repr=False)
    pepper: int
    code_key: bytes = field(repr=False)
    token_keys: Mapping[int, bytes] = field(repr=False)
    token_key: int
    generation: int = 1
    token_since: int = 0
    picture_keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def adopt(self, newer: "KeyRing") -> None:
        """Become that ring, but keep the old data keys: a number may have been read before its key was dropped.

        Raises KeyRingError for a ring that is not a later state of this one.
        """
        if newer.code_key != self.code_key or newer.generation < self.generation:
            raise KeyRingError("The key ring's file is not a later state of the ring in use: restart the server.")
        opened = {**self.data_keys, **newer.data_keys}
        for each in fields(self):
            setattr(self, each.name, getattr(newer, each.name))
        self.data_keys = opened

    def encrypt_phone(self, e164: str) -> bytes:
        """Key id (2 bytes, big-endian), nonce (12), AES-256-GCM of the number and its tag (16).

        Source: NIST SP 800-38D; the key id is authenticated with the number.
        """
        prefix = self.data_key.to_bytes(ID_BYTES, "big")
        nonce = secrets.token_bytes(NONCE_BYTES)
        return prefix + nonce + _cipher(self.data_keys[self.data_key]).encrypt(nonce, e164.encode(), PURPOSE + prefix)

    def decrypt_phone(self, cipher: bytes) -> str:
        """The E.164 number. Raises KeyRingError when no key of this ring decrypts it."""
        prefix, nonce, sealed = cipher[:ID_BYTES], cipher[ID_BYTES:SEALED_AT], cipher[SEALED_AT:]
        key = self.data_keys.get(int.from_bytes(prefix, "big"))
        try:
            if key is None:
                raise InvalidTag
            return _cipher(key).decrypt(nonce, sealed, PURPOSE + prefix).decode()
        except (InvalidTag, ValueError):
            raise KeyRingError("A stored number does not open: this is not the key ring it was sealed with.") from None

    def phone_digest(self, phone_hash: str) -> PhoneDigest:
        """The digest that the number is looked up by now."""
        return PhoneDigest(self.pepper, hmac.digest(self.peppers[self.pepper], phone_hash.encode(), "sha256"))

    def phone_digests(self, phone_hash: str) -> dict[int, bytes]:
        """The digest under every live pepper, by version: what a registration writes."""
        text = phone_hash.encode()
        return {version: hmac.digest(pepper, text, "sha256") for version, pepper in self.peppers.items()}

    def code_hmac(self, activation_id: str, e164: str, code: str) -> bytes:
        """What is stored of a code: an HMAC-SHA256 that binds it to its activation and number."""
        return self._mac("code", activation_id, e164, code)

    def request_hmac(self, operation: str, body: str) -> bytes:
        """What is stored of a request that holds a number or a code: both are guessed from a plain hash."""
        return self._mac("request", operation, body)

    def public_id(self, uid: int) -> UUID:
        """A person's public id in rooms: stable, and reveals nothing, not even the uid. Has the form of a UUIDv5."""
        return UUID(bytes=self._mac("public id", str(uid))[:16], version=5)

    def picture_key(self, version: int) -> bytes:
        """What signs tokens for previews: made of the token key of that version, which nobody can make of it.

        Of a version that the ring has not, random bytes.
        """
        token_key = self.token_keys.get(version)
        if token_key is not None:
            return hmac.digest(token_key, PICTURES, "sha256")
        return self.picture_keys.get(version) or secrets.token_bytes(KEY_BYTES)

    def seal(self, upload_id: str, data: bytes) -> bytes:
        """Nonce (12 bytes) and AES-256-GCM of what cannot be cleaned yet, under a key of this upload alone."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._mac("upload", upload_id)).encrypt(nonce, data, None)

    def unseal(self, upload_id: str, sealed: bytes) -> bytes:
        """What was sealed. Raises KeyRingError where this is not the ring that sealed it."""
        nonce, cipher = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return AESGCM(self._mac("upload", upload_id)).decrypt(nonce, cipher, None)
        except InvalidTag:
            raise KeyRingError("The beginning of an upload does not open.") from None

    def _mac(self, *parts: str) -> bytes:
        return hmac.digest(self.code_key, json.dumps(parts).encode(), "sha256")


def new_secret() -> str:
    """A ukey or a refresh token: 256 random bits, base64url without padding, 43 characters."""
    return secrets.token_urlsafe(KEY_BYTES)


def secret_digest(secret: str) -> bytes:
    """What is stored of such a secret: its SHA-256, enough for 256 random bits."""
    return sha256(secret.encode()).digest()


def open_key_ring(path: Path, *, sealed: bytes | None) -> KeyRing:
    """The ring of this file, which is made when the database holds no number yet.

    `sealed` is any encrypted number of the database, or None. Raises KeyRingError when the file is damaged or
    readable by others, when it is missing though the database needs it, or when it does not decrypt that number.
    """
    if not path.exists():
        if sealed is not None:
            raise KeyRingError(f"{path} is missing, but the database holds numbers: restore it from the backup.")
        private_files.write_once(path, dump_key_ring(new_key_ring()))
    ring = read_key_ring(path)
    if sealed is not None:
        ring.decrypt_phone(sealed)
    return ring


def read_key_ring(path: Path) -> KeyRing:
    """The ring of an existing file. Raises KeyRingError, OSError."""
    return parse_key_ring(_read(path), name=str(path))


def replace_key_ring(path: Path, ring: KeyRing) -> None:
    """Replace the file's ring in one step; durable when this returns. Raises OSError.

    The caller holds the lock (`models.key_lock`), so drafts that are there are of a process that died, and are removed.
    """
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)
    draft = private_files.write_draft(path, dump_key_ring(ring))
    try:
        fault.point("before_ring_replaced")
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    private_files.sync_directory(path.parent)
    fault.point("after_ring_replaced")


def parse_key_ring(text: str, *, name: str) -> KeyRing:
    """The ring from its JSON text; `name` says in a KeyRingError where that text came from."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise KeyRingError(f"{name} has a format that this version does not know.")
        ring = KeyRing(
            data_keys={_number(name): _key(value) for name, value in document["data_keys"].items()},
            data_key=document["data_key"],
            peppers={_number(name): _key(value) for name, value in document["peppers"].items()},
            pepper=document["pepper"],
            code_key=_key(document["code_key"]),
            token_keys={_number(name): _key(value) for name, value in document["token_keys"].items()},
            token_key=document["token_key"],
            generation=document["generation"],
            token_since=document["token_since"],
            picture_keys={_number(name): _key(value) for name, value in document.get("picture_keys", {}).items()},
        )
        if not all(type(number) is int for number in (ring.generation, ring.token_since)):
            raise ValueError
        if ring.data_key not in ring.data_keys or ring.pepper not in ring.peppers:
            raise ValueError
        if ring.token_key not in ring.token_keys:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyRingError(f"{name} is damaged: restore it from the backup.") from None
    return ring


def dump_key_ring(ring: KeyRing) -> str:
    """The JSON text that `parse_key_ring` reads."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "data_keys": {str(number): _text(key) for number, key in ring.data_keys.items()},
        "data_key": ring.data_key,
        "peppers": {str(version): _text(pepper) for version, pepper in ring.peppers.items()},
        "pepper": ring.pepper,
        "code_key": _text(ring.code_key),
        "token_keys": {str(number): _text(key) for number, key in ring.token_keys.items()},
        "token_key": ring.token_key,
        "generation": ring.generation,
        "token_since": ring.token_since,
        "picture_keys": {str(number): _text(key) for number, key in ring.picture_keys.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def new_key_ring() -> KeyRing:
    first, pepper, code, token = (secrets.token_bytes(KEY_BYTES) for _ in range(4))
    return KeyRing({1: first}, 1, {1: pepper}, 1, code, {1: token}, 1)


@lru_cache(16)
def _cipher(key: bytes) -> AESGCM:
    """Of a data key, kept: making it takes twice as long as opening a number with it."""
    return AESGCM(key)


def _number(text: str) -> int:
    number = int(text)
    if not 0 < number < 1 << (8 * ID_BYTES):
        raise ValueError
    return number


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
    if len(key) != KEY_BYTES:
        raise ValueError
    return key


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _read(path: Path) -> str:
    if private_files.is_open_to_others(path):
        raise KeyRingError(f"{path} can be read by others: chmod 600 {path}")
    try:
        return path.read_text("ascii")
    except UnicodeDecodeError:
        raise KeyRingError(f"{path} is damaged: restore it from the backup.") from None
