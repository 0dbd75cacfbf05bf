# SPDX-License-Identifier: Apache-2.0
"""What a stranger may learn from the server, and what may get into its log."""

import json

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, FORM, JSON, by, form, image_part, part, provoke, request
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server
from tests.support.pictures import jpeg

pytestmark = ON_SQLITE

INSIDE = ["/metrics", "/debug", "/debug/pprof", "/ops", "/ops/purge", "/admin", "/.env", "/config.yaml", "/server.py"]


@pytest.mark.parametrize("path", [*INSIDE, "/static/../config.yaml", "//healthz", "/healthz/", "/v1", "/v1/../metrics"])
def test_nothing_of_the_inside_answers_from_outside(server: Server, path: str) -> None:
    claims = ["X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1", "X-Forwarded-Proto: https", "X-Scheme: https"]
    with unharmed(server):
        for method in ("GET", "POST", "DELETE"):
            (answer,) = provoke(server, request(method, path, *claims, CLOSE, body=b""))
            assert answer.refusal == (404, "not_found")


ANSWERED = {
    "a success": request("GET", "/healthz", CLOSE),
    "a refusal": request("GET", "/nope", CLOSE),
    "a stranger": request("GET", "/v1/me", CLOSE),
    "a broken request": b"GET /\r\n\r\n",
    "a wrong form": request("POST", "/v1/images", FORM, CLOSE, body=b"nonsense" * 100),
}


@pytest.mark.parametrize("raw", ANSWERED.values(), ids=ANSWERED.keys())
def test_no_answer_names_software_or_code(server: Server, raw: bytes) -> None:
    with unharmed(server):
        (answer,) = provoke(server, raw)
    assert not {"server", "x-powered-by", "strict-transport-security", "set-cookie"} & answer.headers.keys()
    told = (str(answer.headers) + answer.body.decode()).lower()
    assert not [word for word in ("tornado", "python", "traceback", ".py", "sqlite", "<html") if word in told]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "https://glimpse.example"])
def test_no_other_site_is_let_in(server: Server, ann: Person, origin: str) -> None:
    claims = [f"Origin: {origin}", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"]
    preflight = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"]
    with unharmed(server):
        found = [
            provoke(server, request("OPTIONS", "/v1/images", *claims, *preflight, CLOSE))[0],
            provoke(server, request("GET", "/v1/me", *claims, CLOSE))[0],
            provoke(server, request("GET", "/v1/me", *claims, by(ann), CLOSE))[0],
        ]
    assert [answer.status for answer in found] == [204, 401, 200]
    assert not [name for answer in found for name in answer.headers if name.startswith("access-control-")]


def test_an_answer_repeats_nothing_of_what_it_was_sent(server: Server) -> None:
    headers = ["X-Request-Id: canary", "User-Agent: canary", "Content-Type: canary", "Idempotency-Key: canary"]
    with unharmed(server):
        for path in ("/canary", "/v1/activations/canary", "/v1/register?canary=1"):
            (answer,) = provoke(server, request("POST", path, *headers, CLOSE, body=b'{"canary":"canary"}'))
            assert 400 <= answer.status < 500
            assert "canary" not in str(answer.headers)
            assert b"canary" not in answer.body


def test_the_log_has_one_honest_line_for_each_request_and_no_secret(server: Server, ann: Person) -> None:
    before = len(server.log.read_text())
    colours = "User-Agent: \x1b[31mred".replace("\x1b", "\x80")
    forged = '%0a{"level":"error","event":"forged"}'
    requests = [
        request("GET", f"/v1/inbox?ukey={ann.ukey}&canary=1", by(ann), colours, CLOSE),
        request("GET", f"/canary{forged.replace(' ', '%20')}", CLOSE),
        request("GET", f"/v1/images/{ann.phone_hash}", by(ann), "Referer: canary", CLOSE),
        request("CANARY", "/canary", CLOSE),
        request("POST", "/v1/register", JSON, CLOSE, body=b'{"nickname":"canary\\nforged"}'),
    ]
    with unharmed(server):
        for raw in requests:
            provoke(server, raw)
    said = server.log.read_text()[before:]
    lines = [json.loads(line) for line in said.splitlines()]
    assert len([line for line in lines if line["event"] == "request" and line["status"] >= 400]) == len(requests)
    assert not [word for word in ("canary", "CANARY", "forged", ann.ukey, ann.phone_hash) if word in said]
    assert all(character.isprintable() or character == "\n" for character in said)


def test_who_cannot_be_sent_to_is_refused_in_the_same_words(server: Server, ann: Person) -> None:
    strangers = [
        part("receiver_uid", b"999999999"),
        part("receiver_uid", str(2**63 - 1).encode()),
        part("receiver_phone", b"0" * 64),
        part("group_id", b"1"),
    ]
    told = set()
    with unharmed(server):
        for stranger in strangers:
            body = form(stranger, image_part(jpeg()))
            (answer,) = provoke(server, request("POST", "/v1/images", FORM, by(ann), CLOSE, body=body))
            assert answer.refusal == (403, "recipient_unavailable")
            told.add(answer.body.replace(answer.headers["x-request-id"].encode(), b""))
    assert len(told) == 1
    assert server.stored_files() == []
