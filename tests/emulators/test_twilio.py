# SPDX-License-Identifier: Apache-2.0
"""The Twilio emulator itself: what a form may hold, what is answered, and the numbers that are always refused."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from emulators.twilio import Keys, TwilioState, running, segments

pytestmark = pytest.mark.anyio
PATH = f"/2010-04-01/Accounts/{Keys().account_sid}/Messages"
FORM = {"To": "+8613800138000", "From": Keys().sender, "Body": "Your code is 123456"}
SERVICE = "MG" + "a" * 32


class Caller:
    """Speaks the vendor's API by hand."""

    def __init__(self, vendor: TwilioState, http: httpx.AsyncClient) -> None:
        self.vendor = vendor
        self.http = http

    async def send(self, **changes: Any) -> tuple[int, Any]:
        """Status and document; a field that is None is left out."""
        form = {name: value for name, value in (FORM | changes).items() if value is not None}
        answer = await self.http.post(f"{PATH}.json", data=form)
        return answer.status_code, answer.json()


@pytest.fixture
async def caller(anyio_backend: str) -> AsyncIterator[Caller]:
    assert anyio_backend == "asyncio"
    auth = (Keys().account_sid, Keys().auth_token)
    async with (
        running() as (url, vendor),
        httpx.AsyncClient(base_url=url, trust_env=False, verify=False, auth=auth) as http,
    ):
        yield Caller(vendor, http)


async def test_message_is_described_as_twilio_does_and_found_again(caller: Caller) -> None:
    status, made = await caller.send()
    assert status == 201
    uri = f"{PATH}/{made['sid']}"
    assert made["uri"] == f"{uri}.json"
    assert made["subresource_uris"] == {"media": f"{uri}/Media.json"}
    assert {name: made[name] for name in ("num_segments", "num_media", "status", "api_version", "error_message")} == {
        "num_segments": "1",
        "num_media": "0",
        "status": "queued",
        "api_version": "2010-04-01",
        "error_message": None,
    }
    assert (await caller.http.get(made["uri"])).json() == made
    assert (await caller.http.get(f"{PATH}.json")).json()["messages"] == [made]
    assert (await caller.http.get(f"{PATH}/SM{'0' * 32}.json")).json()["code"] == 20404


async def test_message_is_redacted_canceled_and_removed(caller: Caller) -> None:
    _, made = await caller.send(MessagingServiceSid=SERVICE, ScheduleType="fixed", SendAt="2030-01-01T00:00:00Z")
    redacted = await caller.http.post(made["uri"], data={"Body": ""})
    assert (redacted.status_code, redacted.json()) == (200, made | {"body": ""})
    canceled = await caller.http.post(made["uri"], data={"Status": "canceled"})
    assert canceled.json()["status"] == "canceled"
    assert (await caller.http.post(made["uri"], data={"Body": "another"})).json()["code"] == 20001
    removed = await caller.http.delete(made["uri"])
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await caller.http.delete(made["uri"])).json()["code"] == 20404
    assert (await caller.http.delete(f"{PATH}.json")).json()["code"] == 20004
    assert (await caller.http.get(f"{PATH}.json")).json()["messages"] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"StatusCallback": "https://example.org/hook", "ValidityPeriod": "120", "SmartEncoded": "true"}, "queued"),
        ({"MessageIntent": "otp", "RiskCheck": "enable", "ProvideFeedback": "true", "Attempt": "1"}, "queued"),
        ({"From": "Glimpse"}, "queued"),
        ({"MessagingServiceSid": SERVICE}, "accepted"),
        ({"MessagingServiceSid": SERVICE, "From": None}, "accepted"),
        (
            {"MessagingServiceSid": SERVICE, "ScheduleType": "fixed", "SendAt": "2030-01-01T00:00:00Z"},
            "scheduled",
        ),
        ({"Body": None, "MediaUrl": ["https://example.org/1.png", "https://example.org/2.png"]}, "queued"),
        ({"Body": None, "ContentSid": "HX" + "a" * 32, "ContentVariables": "{}"}, "queued"),
    ],
)
async def test_every_field_of_twilios_is_taken(caller: Caller, changes: dict[str, Any], status: str) -> None:
    code, made = await caller.send(**changes)
    assert (code, made.get("status")) == (201, status)
    assert made["num_media"] == str(len(changes.get("MediaUrl", [])))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "13800138000"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550002"}, 21612),
        ({"To": "+15005550003"}, 21408),
        ({"To": "+15005550004"}, 21610),
        ({"To": "+15005550009"}, 21614),
        ({"From": "+15005550001"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"From": None}, 21603),
        ({"From": None, "MessagingServiceSid": "MG1"}, 21701),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"MediaUrl": ["ftp://example.org/1.png"]}, 21620),
        ({"MediaUrl": ["https://example.org/1.png"] * 11}, 21620),
        ({"Text": "hello"}, 20001),
        ({"Body": ["a", "b"]}, 20001),
    ],
)
async def test_what_twilio_refuses_is_refused(caller: Caller, changes: dict[str, Any], code: int) -> None:
    status, refused = await caller.send(**changes)
    assert (status, refused["status"], refused["code"]) == (400, 400, code)
    assert caller.vendor.inbox == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("中" * 70, 1),
        ("中" * 71, 2),
        ("😀" * 36, 2),
        ("", 1),
    ],
)
def test_text_is_cut_into_as_many_sms_as_it_takes(text: str, count: int) -> None:
    assert segments(text) == count
