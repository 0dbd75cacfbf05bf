# SPDX-License-Identifier: Apache-2.0
"""The `twilio` SMS provider: Twilio's Messages resource.

Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from httpclient.http1 import Answer, HttpClient, NoAnswer
from push.sms.base import REQUEST_NOT_SENT, SmsMessage, SmsNotSent, SmsOutcome, SmsSent

TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class TwilioCredentials:
    """One account and what it sends from: a number in E.164 or the SID of a messaging service (MG…).

    With `api_key_sid` (SK…) that key signs in for the account, and `auth_token` is its secret.
    """

    base_url: str
    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    api_key_sid: str = ""


class TwilioSms:
    """One POST per SMS. Twilio knows no repeats: what may have been sent is not sent again."""

    name = "twilio"
    knows_repeats = False

    def __init__(self, credentials: TwilioCredentials, http: HttpClient) -> None:
        account = credentials.account_sid
        self._url = f"{credentials.base_url}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
        self._basic = b64encode(f"{credentials.api_key_sid or account}:{credentials.auth_token}".encode()).decode()
        from_service = credentials.sender.startswith("MG")
        self._sender = {"MessagingServiceSid" if from_service else "From": credentials.sender}
        self._http = http

    async def send(self, message: SmsMessage) -> SmsOutcome:
        form = urlencode({"To": message.to, "Body": message.text, **self._sender}).encode()
        headers = {"Authorization": f"Basic {self._basic}", "Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._http.post(self._url, content=form, headers=headers)
        if isinstance(answer, NoAnswer):
            return SmsNotSent(answer.reason, temporary=answer.reason in REQUEST_NOT_SENT)
        if 200 <= answer.status < 300:
            return SmsSent()
        reason = f"HTTP {answer.status}, twilio error {_code(answer)}"
        return SmsNotSent(reason, temporary=answer.status >= 500 or answer.status == TOO_MANY)

    async def close(self) -> None:
        await self._http.close()


def _code(answer: Answer) -> int:
    """Twilio's number for what went wrong, 0 where it gives none: https://www.twilio.com/docs/api/errors."""
    code = answer.json_object().get("code")
    return code if isinstance(code, int) else 0
