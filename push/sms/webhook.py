# SPDX-License-Identifier: Apache-2.0
"""The `webhook` SMS provider: posts each code to the operator's own gateway, signed as any webhook of ours."""

import json

from httpclient.http1 import HttpClient, NoAnswer
from push.base import now_ms
from push.sms.base import SmsMessage, SmsNotSent, SmsOutcome, SmsSent
from push.webhook_signature import signed_headers, signing_key


class WebhookSms:
    """POSTs `{"to","text","code"}` to `url`; 2xx is sent, 408, 425, 429 and 5xx are temporary.

    `secret` is `whsec_` and the base64 of 24 to 64 bytes. Raises ValueError for any other.
    """

    name = "webhook"
    knows_repeats = True

    def __init__(self, url: str, secret: str, http: HttpClient) -> None:
        self._url = url
        self._key = signing_key(secret)
        self._http = http

    async def send(self, message: SmsMessage) -> SmsOutcome:
        body = json.dumps({"to": message.to, "text": message.text, "code": message.code}).encode()
        headers = signed_headers(self._key, message.message_id, body, now=now_ms())
        answer = await self._http.post(self._url, content=body, headers=headers)
        if isinstance(answer, NoAnswer):
            return SmsNotSent(answer.reason, temporary=True)
        if 200 <= answer.status < 300:
            return SmsSent()
        return SmsNotSent(f"HTTP {answer.status}", temporary=answer.is_temporary())

    async def close(self) -> None:
        await self._http.close()
