# SPDX-License-Identifier: Apache-2.0
"""The `aliyun` SMS provider: SendSms of Alibaba Cloud's Short Message Service.

Source: https://www.alibabacloud.com/help/en/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from httpclient.http1 import Answer, HttpClient, NoAnswer
from push.sms import aliyun_signature
from push.sms.base import REQUEST_NOT_SENT, SmsMessage, SmsNotSent, SmsOutcome, SmsSent

ACTION, VERSION = "SendSms", "2017-05-25"
MAINLAND = "+86"
OK = "OK"

_CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")


@dataclass(frozen=True, slots=True)
class AliyunCredentials:
    """One access key, and the approved signature and template that codes are sent with."""

    base_url: str
    access_key_id: str
    access_key_secret: str = field(repr=False)
    sign_name: str
    template_code: str


class AliyunSms:
    """One signed POST per SMS; the template gets the code as `code`.

    SendSms knows no repeats: what may have been sent is not sent again. `now` is the time in UTC.
    """

    name = "aliyun"
    knows_repeats = False

    def __init__(
        self,
        credentials: AliyunCredentials,
        http: HttpClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials = credentials
        self._host = urlsplit(credentials.base_url).netloc
        self._http = http
        self._now = now

    async def send(self, message: SmsMessage) -> SmsOutcome:
        query = aliyun_signature.canonical_query(
            {
                "PhoneNumbers": _number(message.to),
                "SignName": self._credentials.sign_name,
                "TemplateCode": self._credentials.template_code,
                "TemplateParam": json.dumps({"code": message.code}, separators=(",", ":")),
            }
        )
        url = f"{self._credentials.base_url}/?{query}"
        answer = await self._http.post(url, content=b"", headers=self._headers(query))
        if isinstance(answer, NoAnswer):
            return SmsNotSent(answer.reason, temporary=answer.reason in REQUEST_NOT_SENT)
        return _outcome(answer)

    async def close(self) -> None:
        await self._http.close()

    def _headers(self, query: str) -> dict[str, str]:
        headers = {
            "host": self._host,
            "x-acs-action": ACTION,
            "x-acs-version": VERSION,
            "x-acs-date": self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        key, secret = self._credentials.access_key_id, self._credentials.access_key_secret
        return {**headers, "Authorization": aliyun_signature.authorization(query, headers, key=key, secret=secret)}


def _number(e164: str) -> str:
    """As SendSms wants it: a mainland number bare, any other behind its country code without the plus sign."""
    return e164.removeprefix(MAINLAND) if e164.startswith(MAINLAND) else e164.removeprefix("+")


def _outcome(answer: Answer) -> SmsOutcome:
    """Business errors come with status 200: the code in the body decides."""
    code = answer.json_object().get("Code")
    if code == OK and answer.status == 200:
        return SmsSent()
    said = code if isinstance(code, str) and _CODE.fullmatch(code) else f"HTTP {answer.status}"
    temporary = answer.status >= 500 or said == "isp.SYSTEM_ERROR" or said.startswith("Throttling")
    return SmsNotSent(f"aliyun: {said}", temporary=temporary)
