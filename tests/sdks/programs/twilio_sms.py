# SPDX-License-Identifier: Apache-2.0
"""twilio: messages by the account and by an API key, fetched and listed again, and refusals."""

from exchange import failure, given, lead_requests, tell
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

lead_requests({"api.twilio.com": given["base_url"]})
account = Client(given["account_sid"], given["auth_token"])
key = Client(given["api_key_sid"], given["api_key_secret"], given["account_sid"])


def refusal(by: Client = account, **message: str) -> dict[str, object]:
    """How a message is refused."""
    try:
        by.messages.create(**{"to": "+8613800138000", "from_": given["sender"], "body": "hello", **message})
    except TwilioRestException as error:
        return failure(error, "code", "status")
    return {}


sent = account.messages.create(to="+8613800138000", from_=given["sender"], body="Your code is 123456")
more = key.messages.create(
    to="+14155552671",
    messaging_service_sid="MG" + "0" * 32,
    body="Your code is 123456",
    status_callback="https://example.org/hook",
    validity_period=120,
    smart_encoded=True,
    provide_feedback=True,
    content_retention="retain",
    message_intent="otp",
    risk_check="enable",
    shorten_urls=False,
)
fetched = account.messages(sent.sid).fetch()
tell(
    sent=[sent.status, sent.num_segments, sent.uri, sent.direction, sent.date_created is not None],
    more=[more.status, more.num_segments, more.account_sid],
    fetched=fetched.body,
    listed=len(account.messages.list(limit=10)),
    refusals=[
        refusal(to="+15005550001"),
        refusal(to="+15005550009"),
        refusal(from_="+15005550008"),
        refusal(body="x" * 1601),
    ],
    stranger=refusal(Client(given["account_sid"], "wrong")),
)
