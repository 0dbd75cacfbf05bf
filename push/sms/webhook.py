# SPDX-License-Identifier: Apache-2.0
"""The `webhook` SMS provider: posts each code to the operator's own gateway.

Signed as Standard Webhooks 1.0.0 asks (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import json
import time

from push.http import HttpClient, NoAnswer
from push.sms.base import NotSent, Sent, SmsMessage, SmsOutcome

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that every such secret has
SECRET_BYTES = range(24, 65)
TEMPORARY = {408, 425, 429}


class WebhookSms:
    """POSTs `{"to","text","code"}` to `url`; 2xx is sent, 408, 425, 429 and 5xx are temporary.

    `secret` is `whsec_` and the base64 of 24 to 64 bytes. Raises ValueError for any other.
    """

    name = "webhook"

    def __init__(self, url: str, secret: str, http: HttpClient) -> None:
        self._url = url
        self._key = signing_key(secret)
        self._http = http

    async def send(self, message: SmsMessage) -> SmsOutcome:
        body = json.dumps({"to": message.to, "text": message.text, "code": message.code}).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self._key, message.message_id, timestamp, body),
        }
        answer = await self._http.post(self._url, content=body, headers=headers)
        if isinstance(answer, NoAnswer):
            return NotSent(answer.reason, temporary=True)
        if 200 <= answer.status < 300:
            return Sent()
        return NotSent(f"HTTP {answer.status}", temporary=answer.status >= 500 or answer.status in TEMPORARY)

    async def close(self) -> None:
        await self._http.close()


def signing_key(secret: str) -> bytes:
    """The bytes of a `whsec_` secret. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` header: `v1,` and the base64 of HMAC-SHA256 over id, timestamp (seconds) and body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
