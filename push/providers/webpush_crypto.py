# SPDX-License-Identifier: Apache-2.0
"""A browser's subscription, and a message that only it can read: RFC 8291 over the `aes128gcm` coding of RFC 8188."""

import json
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push.providers.webpush_vapid import decode

LONGEST_PLAINTEXT = 3993
RECORD_SIZE = 4096
SALT_BYTES = 16
AUTH_BYTES = 16
POINT_BYTES = 65
LAST_RECORD = b"\x02"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a browser is told, and the keys that it gave: all of it is secret."""

    endpoint: str = field(repr=False)
    public: ec.EllipticCurvePublicKey = field(repr=False)
    auth: bytes = field(repr=False)


def parse_subscription(token: str) -> Subscription:
    """The subscription object as a browser serialises it, without a look at the endpoint. Raises ValueError.

    The text of the error shows nothing of the subscription.
    """
    try:
        document = json.loads(token)
        endpoint, keys = document["endpoint"], document["keys"]
        point, auth = decode(keys["p256dh"]), decode(keys["auth"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("token is no subscription") from None
    if not isinstance(endpoint, str) or len(auth) != AUTH_BYTES or len(point) != POINT_BYTES:
        raise ValueError("token is no subscription")
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("p256dh is not a point on the curve") from None
    return Subscription(endpoint, public, auth)


def encrypt(
    plaintext: bytes,
    subscription: Subscription,
    *,
    private: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body to send: header and a single record. Key pair and salt are new for each message but in tests."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(SALT_BYTES)
    ours, theirs = _point(private.public_key()), _point(subscription.public)
    shared = private.exchange(ec.ECDH(), subscription.public)
    secret = _hkdf(subscription.auth, shared, b"WebPush: info\0" + theirs + ours, 32)
    key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
    header = salt + RECORD_SIZE.to_bytes(4, "big") + bytes([len(ours)]) + ours
    return header + AESGCM(key).encrypt(nonce, plaintext + LAST_RECORD, None)


def _point(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
