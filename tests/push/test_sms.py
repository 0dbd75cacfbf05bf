# SPDX-License-Identifier: Apache-2.0
"""The SMS queue, the webhook's signature, and the file of the `log` providers."""

import asyncio
import base64
import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from tornado.web import Application, RequestHandler

from emulators.http import serving
from httpclient.http1 import HttpClient
from models.errors import Unavailable
from push.base import Delivered, Push, Retry
from push.providers.log import LogProvider
from push.sms.base import SmsMessage, SmsNotSent, SmsOutcome, SmsSent
from push.sms.log import LogSms
from push.sms.queue import SmsQueue
from push.sms.webhook import WebhookSms
from push.webhook_signature import signature, signing_key

pytestmark = pytest.mark.anyio
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CODE = SmsMessage("+8613800138000", "Your code is 123456", "123456")


class ScriptedSms:
    name = "scripted"

    def __init__(self, *outcomes: SmsOutcome | Exception, knows_repeats: bool = True) -> None:
        self.knows_repeats = knows_repeats
        self.outcomes = list(outcomes)
        self.sent: list[SmsMessage] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.closed = False

    async def send(self, message: SmsMessage) -> SmsOutcome:
        self.sent.append(message)
        await self.may_answer.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else SmsSent()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        self.closed = True


def put(queue: SmsQueue, message: SmsMessage = CODE) -> None:
    with queue.reserve() as place:
        place.put(message)


async def test_full_queue_refuses_before_anything_is_written_and_recovers() -> None:
    provider = ScriptedSms()
    provider.may_answer.clear()
    queue = SmsQueue(provider, size=2)
    put(queue)
    put(queue)
    with pytest.raises(Unavailable) as refused:
        queue.reserve()
    assert refused.value.retry_after == 10
    provider.may_answer.set()
    await queue.close()
    assert len(provider.sent) == 2
    assert provider.closed
    queue.reserve()
    queue.reserve()


async def test_place_that_is_not_used_is_given_back() -> None:
    queue = SmsQueue(ScriptedSms(), size=1)
    with pytest.raises(OSError, match="commit"), queue.reserve():
        raise OSError("commit failed")
    put(queue)
    await queue.close()


async def test_place_takes_one_message() -> None:
    queue = SmsQueue(ScriptedSms())
    with queue.reserve() as place:
        place.put(CODE)
        with pytest.raises(RuntimeError):
            place.put(CODE)
    await queue.close()


@pytest.mark.parametrize(
    ("outcomes", "tries"),
    [
        ([SmsNotSent("busy", temporary=True), SmsSent()], 2),
        ([SmsNotSent("busy", temporary=True)] * 3, 2),
        ([SmsNotSent("no such number", temporary=False)], 1),
        ([ValueError("+8613800138000 123456")], 1),
    ],
)
async def test_temporary_failure_is_tried_once_more_with_the_same_id(
    outcomes: list[SmsOutcome | Exception], tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = ScriptedSms(*outcomes)
    queue = SmsQueue(provider, pause_seconds=0.02)
    put(queue)
    await queue.close()
    assert provider.sent == [CODE] * tries
    shown = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "sms not sent" in shown
    assert "123456" not in shown
    assert "13800138000" not in shown


@pytest.mark.parametrize(("knows_repeats", "tries"), [(True, 2), (False, 1)])
async def test_hanging_provider_is_cut_off_and_asked_again_only_where_it_knows_repeats(
    knows_repeats: bool, tries: int
) -> None:
    provider = ScriptedSms(knows_repeats=knows_repeats)
    provider.may_answer.clear()
    queue = SmsQueue(provider, size=1, send_seconds=0.5, pause_seconds=0.001)
    put(queue)
    await queue.close()
    assert len(provider.sent) == tries
    queue.reserve()


async def test_second_try_waits_a_moment_and_whoever_asked_does_not() -> None:
    provider = ScriptedSms(SmsNotSent("busy", temporary=True), SmsSent())
    queue = SmsQueue(provider, pause_seconds=0.2)
    put(queue)
    assert provider.sent == []
    began = asyncio.get_running_loop().time()
    await queue.close()
    assert provider.sent == [CODE] * 2
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_pause_is_part_of_the_second_try_s_time() -> None:
    provider = ScriptedSms(SmsNotSent("busy", temporary=True), SmsSent())
    queue = SmsQueue(provider, size=1, send_seconds=0.05, pause_seconds=3600)
    put(queue)
    await queue.close()
    assert provider.sent == [CODE]
    queue.reserve()


def test_message_shows_neither_number_nor_code() -> None:
    assert "138" not in repr(CODE)
    assert "123456" not in repr(CODE)


def test_signature_is_the_standards_own_vector() -> None:
    signed = signature(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!", "whsec_c2hvcnQ="])
def test_bad_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        signing_key(secret)


def test_longest_secret_is_taken() -> None:
    assert signing_key("whsec_" + base64.b64encode(b"k" * 64).decode()) == b"k" * 64


class Gateway(RequestHandler):
    status = 204
    seen: list[dict[str, str]]

    def initialize(self, seen: list[dict[str, str]], statuses: list[int]) -> None:
        self.seen = seen
        self.statuses = statuses

    def post(self) -> None:
        self.seen.append(Webhook(SECRET).verify(self.request.body, dict(self.request.headers)))
        self.set_status(self.statuses.pop(0) if self.statuses else 204)
        self.set_header("Location", "/elsewhere")


@pytest.fixture
async def gateway(anyio_backend: str) -> AsyncIterator[tuple[str, list[dict[str, str]], list[int]]]:
    assert anyio_backend == "asyncio"
    seen: list[dict[str, str]] = []
    statuses: list[int] = []
    handler = (r"/", Gateway, {"seen": seen, "statuses": statuses})
    async with serving(Application([handler], log_function=lambda _: None)) as url:
        yield f"{url}/", seen, statuses


async def test_webhook_is_verified_by_the_standards_library(
    gateway: tuple[str, list[dict[str, str]], list[int]],
) -> None:
    url, seen, _ = gateway
    sms = WebhookSms(url, SECRET, HttpClient())
    assert await sms.send(CODE) == SmsSent()
    assert seen == [{"to": CODE.to, "text": CODE.text, "code": CODE.code}]
    await sms.close()


@pytest.mark.parametrize(("status", "temporary"), [(400, False), (302, False), (429, True), (500, True), (503, True)])
async def test_webhook_status_becomes_an_outcome(
    gateway: tuple[str, list[dict[str, str]], list[int]], status: int, temporary: bool
) -> None:
    url, seen, statuses = gateway
    statuses.append(status)
    sms = WebhookSms(url, SECRET, HttpClient())
    assert await sms.send(CODE) == SmsNotSent(f"HTTP {status}", temporary=temporary)
    assert len(seen) == 1
    await sms.close()


async def test_log_file_holds_pushes_and_codes_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.log"
    path.write_text("")
    path.chmod(0o644)
    push = Push("token", '{"message_id":1}', "0" * 32, 60)
    assert await LogProvider(path).send([push, push]) == [Delivered()] * 2
    assert await LogSms(path).send(CODE) == SmsSent()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0].pop("at") > 0
    assert lines[0] == {"provider": "log", "token": "token", "payload": {"message_id": 1}}
    assert lines[2] == {"to": CODE.to, "text": CODE.text, "code": CODE.code}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_log_file_that_cannot_be_written_is_retried(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "outbox.log"
    [outcome] = await LogProvider(missing).send([Push("t", "{}", "0" * 32, 60)])
    assert isinstance(outcome, Retry)
    assert isinstance(await LogSms(missing).send(CODE), SmsNotSent)
