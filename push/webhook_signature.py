# SPDX-License-Identifier: Apache-2.0
"""How a webhook is signed: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that every such secret has
SECRET_BYTES = range(24, 65)


def signing_key(secret: str) -> bytes:
    """The bytes of a `whsec_` secret. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` header: `v1,` and the base64 of HMAC-SHA256 over id, timestamp (seconds) and body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def signed_headers(key: bytes, message_id: str, body: bytes, *, now: int) -> dict[str, str]:
    """The headers of a JSON webhook that is sent at `now` (ms). `message_id` is the same on every try."""
    timestamp = str(now // 1000)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, message_id, timestamp, body),
    }
