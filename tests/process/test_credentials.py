# SPDX-License-Identifier: Apache-2.0
"""Wrong credentials, guesses and floods of them: refused alike, bounded, and never at the owner's cost."""

from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, FORM, JSON, Answer, by, form, image_part, part, provoke, request
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, phone_number, running
from tests.support.pictures import jpeg

HASH = "0" * 64
KEY = "A" * 43


def basic(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return f"Authorization: Basic {b64encode(raw).decode()}"


HEADERS = {
    "nothing": "X: y",
    "an empty header": "Authorization: ",
    "only a scheme": "Authorization: Basic",
    "another scheme": f"Authorization: Digest username={HASH}",
    "a token": "Authorization: Bearer e30.e30.e30",
    "no base64": "Authorization: Basic ***",
    "base64 without its end": "Authorization: Basic YTpi=",
    "Latin-1": "Authorization: Basic \xe9",
    "no colon": basic(HASH),
    "nothing in it": basic(""),
    "a colon": basic(":"),
    "no phone": basic(f":{KEY}"),
    "no key": basic(f"{HASH}:"),
    "a key of one letter": basic(f"{HASH}:a"),
    "a key of 7 KB": basic(f"{HASH}:{'a' * 7000}"),
    "a key with a NUL": basic(f"{HASH}:\0{KEY}"),
    "a key beyond ASCII": basic(f"{HASH}:{'é' * 43}"),
    "a key in no UTF-8": basic(HASH.encode() + b":\xff\xfe"),
    "a key that is a list": basic(f'{HASH}:["{KEY}"]'),
    "a key that is null": basic(f"{HASH}:null"),
    "a key with a line break": basic(f"{HASH}:{KEY}\n"),
    "SQL": basic(f"' OR 1=1--:{KEY}"),
    "a phone in capitals": basic(f"{'A' * 64}:{KEY}"),
    "a plain number": basic(f"+8613800138000:{KEY}"),
    "two at once": f"{basic(f'{HASH}:{KEY}')}\r\n{basic(f'{HASH}:{KEY}')}",
}


def told(answer: Answer) -> tuple[Any, ...]:
    """All of an answer but what is another every time."""
    request_id = answer.headers["x-request-id"].encode()
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return answer.status, answer.body.replace(request_id, b""), tuple(sorted(headers.items()))


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_whatever_is_no_credential_is_refused_in_the_same_words(server: Server, ann: Person, header: str) -> None:
    with unharmed(server):
        (wrong_key,) = provoke(server, request("GET", "/v1/me", basic(f"{ann.phone_hash}:{KEY}"), CLOSE))
        (answer,) = provoke(server, request("GET", "/v1/me", header, CLOSE))
    assert answer.refusal == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="glimpse", Basic realm="glimpse"'
    assert told(answer) == told(wrong_key)


def test_a_browser_is_not_made_to_ask_for_a_password(server: Server) -> None:
    (answer,) = provoke(server, request("GET", "/v1/me", "Sec-Fetch-Mode: cors", CLOSE))
    assert answer.headers["www-authenticate"] == 'Bearer realm="glimpse"'


@pytest.mark.parametrize("ukey", [b"", b"a", b"a" * 4096, b"\0" * 43, "é".encode() * 43, b"null", b"[]", b"\r\n"])
def test_a_wrong_key_in_the_form_is_refused_in_the_same_words(server: Server, ann: Person, ukey: bytes) -> None:
    def send(phone_hash: str, key: bytes) -> Answer:
        fields = [part("phone_hash", phone_hash.encode()), part("ukey", key), part("receiver_uid", b"1")]
        body = form(*fields, image_part(jpeg()))
        return provoke(server, request("POST", "/v1/images", FORM, CLOSE, body=body))[0]

    with unharmed(server):
        answers = [send(ann.phone_hash, ukey), send(HASH, ukey), send(HASH, KEY.encode())]
    assert {told(answer) for answer in answers} == {told(answers[0])}
    assert answers[0].refusal == (401, "unauthenticated")
    assert server.stored_files() == []


@pytest.fixture(scope="module")
def strict(new_folder: NewFolder) -> Iterator[Server]:
    rates = {"per_account": {"login_failure": "5/hour"}, "per_address": {"login_failure": "12/hour"}}
    with running(new_folder("strict"), {"limits": {"rates": rates}}) as server:
        yield server
        assert server.failures() == []


def test_guesses_are_bounded_whatever_address_they_claim_and_the_owner_is_not_locked_out(strict: Server) -> None:
    ann, ben = strict.register("Ann"), strict.register("Ben")

    def guess(person: Person, number: int) -> int:
        claims = [f"X-Forwarded-For: 10.0.0.{number}, 127.0.0.1", f"X-Real-Ip: 10.0.0.{number}", "X-Scheme: https"]
        header = basic(f"{person.phone_hash}:{KEY}")
        (answer,) = provoke(strict, request("GET", "/v1/me", header, *claims, CLOSE))
        assert ("retry-after" in answer.headers) == (answer.status == 429)
        return answer.status

    with unharmed(strict):
        assert [guess(ann, number) for number in range(8)] == [401] * 5 + [429] * 3
        assert [guess(ben, number) for number in range(8)] == [401] * 4 + [429] * 4
        for person in (ann, ben):
            (answer,) = provoke(strict, request("GET", "/v1/me", by(person), CLOSE))
            assert answer.status == 200


def test_a_thousand_hops_are_read_by_nobody(strict: Server) -> None:
    ann = strict.register("Ann")
    hops = "X-Forwarded-For: " + ", ".join(["127.0.0.1"] * 1000)
    with unharmed(strict):
        (answer,) = provoke(strict, request("GET", "/v1/me", by(ann), hops, CLOSE))
    assert answer.status == 200


NUMBER = "+8613800138000"


@pytest.fixture(scope="module")
def proving(new_folder: NewFolder) -> Iterator[Server]:
    activation = {"required": True, "test_numbers": {NUMBER: "123456"}}
    with running(new_folder("proving"), {"activation": activation}) as server:
        yield server
        assert server.failures() == []


def start(server: Server, phone_num: str = "13800138000", region_num: str = "86") -> httpx.Response:
    body = {"region_num": region_num, "phone_num": phone_num, "nickname": "Ann"}
    return server.client.post("/v1/register", json=body)


def test_of_a_hundred_guesses_at_once_five_are_looked_at(proving: Server) -> None:
    activation = start(proving).json()["activation_id"]
    path = f"/v1/activations/{activation}"

    def guess(code: str) -> tuple[int, str]:
        return provoke(proving, request("POST", path, JSON, CLOSE, body=b'{"code":"%s"}' % code.encode()))[0].refusal

    with unharmed(proving), ThreadPoolExecutor(50) as pool:
        found = list(pool.map(guess, (f"{number:06d}" for number in range(100))))
    assert found.count((403, "code_incorrect")) == 5
    assert found.count((410, "activation_gone")) == 95
    assert guess("123456") == (410, "activation_gone")


CODES = [
    '"١٢٣٤٥٦"',
    "123456",
    "null",
    '["123456"]',
    '{"a":1}',
    '""',
    '"123456\\n"',
    '"%s"' % ("1" * 5000),
    "1e5",
    "true",
]


@pytest.mark.parametrize("code", CODES)
def test_what_is_no_code_costs_no_try(proving: Server, code: str) -> None:
    path = f"/v1/activations/{start(proving).json()['activation_id']}"
    with unharmed(proving):
        for _ in range(6):
            (answer,) = provoke(proving, request("POST", path, JSON, CLOSE, body=b'{"code":%s}' % code.encode()))
            assert answer.refusal == (422, "invalid_field")
        (right,) = provoke(proving, request("POST", path, JSON, CLOSE, body=b'{"code":"123456"}'))
    assert right.status == 201


def test_codes_to_one_number_are_bounded_and_the_number_may_be_typed_in_any_way(proving: Server) -> None:
    number = phone_number()
    typed = [number, f"{number[:3]} {number[3:7]} {number[7:]}", f"{number[:3]}-{number[3:]}", number, number]
    with unharmed(proving):
        replies = [
            start(proving, each, region) for each, region in zip(typed, ["86", "+86", "86", "86", "86"], strict=True)
        ]
    assert [reply.status_code for reply in replies] == [202, 202, 202, 429, 429]
    assert "Retry-After" in replies[3].headers


@pytest.mark.parametrize(
    ("region_num", "phone_num"),
    [
        *(("881", "612345678"), ("979", "123456789"), ("870", "773111632"), ("44", "9098790879"), ("49", "9001234567")),
        *(
            ("86", "110"),
            ("86", "1" * 5000),
            ("1", "8005550199"),
            ("800", "12345678"),
            ("0", "1"),
        ),
        *(
            ("86", "13800138000;ext=5"),
            ("86", "tel:13800138000"),
            ("86' OR 1=1--", "13800138000"),
            ("999", "13800138000"),
        ),
    ],
)
def test_no_code_goes_where_a_code_would_cost_or_cannot_arrive(
    proving: Server, region_num: str, phone_num: str
) -> None:
    with unharmed(proving):
        reply = start(proving, phone_num, region_num)
    assert (reply.status_code, reply.json()["code"]) in ((422, "invalid_phone"), (422, "invalid_field"))
