# SPDX-License-Identifier: Apache-2.0
"""Small bodies that are no JSON, no form, or not what was asked for."""

import json

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, JSON, by, form, part, provoke, request
from tests.process.wires import BOTH_WIRES
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server

pytestmark = BOTH_WIRES

WWW_FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=frontier"
PHONE = {"region_num": "86", "phone_num": "13800138000"}

MALFORMED = {
    "no JSON": (JSON, b"{"),
    "a list": (JSON, b"[]"),
    "a text": (JSON, b'"a"'),
    "null": (JSON, b"null"),
    "NaN": (JSON, b'{"a":NaN}'),
    "UTF-16": (JSON, '{"a":1}'.encode("utf-16")),
    "Latin-1": (JSON, b'{"a":"\xe9"}'),
    "a byte order mark": (JSON, b'\xef\xbb\xbf{"a":1}'),
    "a lone surrogate": (JSON, b'{"nickname":"\\ud800"}'),
    "a lone surrogate as a name": (JSON, b'{"\\ud800":1}'),
    "a member twice": (JSON, b'{"nickname":"a","nickname":"b"}'),
    "two documents": (JSON, b"{}{}"),
    "100,000 brackets": (JSON, b"[" * 100_000),
    "100,000 braces": (JSON, b'{"a":' * 40_000),
    "a number of 200,000 digits": (JSON, b'{"nickname":' + b"9" * 200_000 + b"}"),
    "a form with a broken escape": (WWW_FORM, b"nickname=%ff"),
    "a form in Latin-1": (WWW_FORM, b"nickname=\xe9"),
    "a form of 100,000 fields": (WWW_FORM, b"a=1&" * 50_000),
    "a cut multipart form": (MULTIPART, form(part("nickname", b"Ann"))[:-6]),
    "a multipart form of 1,000 parts": (MULTIPART, form(*[part(f"f{number}", b"") for number in range(1000)])),
    "a multipart form in Latin-1": (MULTIPART, form(part("nickname", b"\xe9"))),
}


@ON_SQLITE
@pytest.mark.parametrize(("kind", "body"), MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("path", ["/v1/register", "/v1/activations/0123456789abcdef0123456789abcdef"])
def test_what_cannot_be_read_is_refused(server: Server, path: str, kind: str, body: bytes) -> None:
    with unharmed(server):
        (answer,) = provoke(server, request("POST", path, kind, CLOSE, body=body))
    assert answer.refusal == (400, "malformed_request")


FORMS = {
    "curl's with a trailing ampersand": (WWW_FORM, b"nickname=Ann&"),
    "one with nothing between ampersands": (WWW_FORM, b"&&nickname=Ann&&"),
    "one in raw UTF-8": (WWW_FORM, "nickname=Jörg".encode()),
    "one in escapes": (WWW_FORM, b"nickname=J%C3%B6rg+Fu%C3%9F"),
    "one with a name alone": (WWW_FORM, b"nickname=Ann&terms_version"),
    "a multipart form with a story before it": (MULTIPART, b"story\r\n" + form(part("nickname", b"Ann"))),
    "a multipart form with blanks": (MULTIPART, form(part("nickname", b"Ann")).replace(b"frontier", b"frontier  ")),
    "a multipart form in Latin-1 that says so": (
        MULTIPART,
        form(part("nickname", b"J\xf6rg", "\r\nContent-Type: text/plain; charset=iso-8859-1")),
    ),
    "a multipart form with a file's name in GBK": (
        MULTIPART,
        form(part("nickname", b"Ann", '; filename="x"')).replace(b'"x"', b'"\xcb\xd5"'),
    ),
}


@ON_SQLITE
@pytest.mark.parametrize(("kind", "body"), FORMS.values(), ids=FORMS.keys())
def test_forms_are_read_as_browsers_and_curl_send_them(server: Server, kind: str, body: bytes) -> None:
    """Read: what is missed is the phone number, and nothing else."""
    with unharmed(server):
        (answer,) = provoke(server, request("POST", "/v1/register", kind, CLOSE, body=body))
    assert answer.refusal == (422, "invalid_field")
    assert [wrong["field"] for wrong in json.loads(answer.body)["errors"]] == ["region_num", "phone_num"]


@ON_SQLITE
@pytest.mark.parametrize(
    "kind", ["Content-Type: text/xml", "Content-Type: application/octet-stream", "Content-Type: \xe9", "X: y"]
)
def test_what_is_of_no_known_type_is_refused(server: Server, kind: str) -> None:
    with unharmed(server):
        (answer,) = provoke(server, request("POST", "/v1/register", kind, CLOSE, body=b"<a/>"))
    assert answer.refusal == (415, "unsupported_type")


WRONG: list[object] = [
    None,
    True,
    1.5,
    -1,
    10**30,
    [],
    {},
    ["a"],
    {"a": {}},
    "",
    " ",
    "\0",
    "a\nb",
    "\u2028",
    "x" * 65,
    "x" * 100_000,
]


@pytest.mark.parametrize("value", WRONG, ids=[repr(value)[:12] for value in WRONG])
@pytest.mark.parametrize("field", ["nickname", "phone_num", "region_num"])
def test_a_field_of_another_kind_is_refused(server: Server, field: str, value: object) -> None:
    body = {**PHONE, "nickname": "Ann", field: value}
    with unharmed(server):
        (answer,) = provoke(server, request("POST", "/v1/register", JSON, CLOSE, body=json.dumps(body).encode()))
    assert answer.refusal in ((422, "invalid_field"), (422, "invalid_phone"))
    assert len(answer.body) < 2000


@pytest.mark.parametrize("field", ["cid", "push_provider", "device_type", "terms_version"])
@pytest.mark.parametrize("value", [1, True, [], {"a": 1}, "\0", "a\nb", "x" * 5000])
def test_an_optional_field_of_another_kind_is_refused(server: Server, field: str, value: object) -> None:
    body = {**PHONE, "nickname": "Ann", field: value}
    with unharmed(server):
        (answer,) = provoke(server, request("POST", "/v1/register", JSON, CLOSE, body=json.dumps(body).encode()))
    assert answer.refusal == (422, "invalid_field")


def test_a_push_provider_that_has_no_keys_here_is_refused(server: Server) -> None:
    body = {**PHONE, "nickname": "Ann", "cid": "token", "push_provider": "getui"}
    (answer,) = provoke(server, request("POST", "/v1/register", JSON, CLOSE, body=json.dumps(body).encode()))
    assert answer.refusal == (422, "invalid_field")
    assert json.loads(answer.body)["errors"] == [
        {"field": "push_provider", "message": "getui is not configured on this server"}
    ]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 65, "x" * 10_000, "short"])
def test_an_idempotency_key_that_is_none_is_refused(server: Server, key: str) -> None:
    raw = request("POST", "/v1/register", JSON, f"Idempotency-Key: {key}".strip(), CLOSE, body=b"{}")
    with unharmed(server):
        (answer,) = provoke(server, raw)
    assert answer.refusal == (400, "malformed_request")


INJECTIONS = [
    "' OR 1=1--",
    "\\xbf\\x27",
    "%00",
    "{0.__class__}",
    "{{7*7}}",
    "${7*7}",
    "=cmd|' /C calc'!A0",
    "<b>",
    "\u202e",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_name_that_means_something_elsewhere_is_a_name(server: Server, ann: Person, text: str) -> None:
    with unharmed(server):
        body = json.dumps({"nickname": text}).encode()
        (answer,) = provoke(server, request("PATCH", "/v1/me", by(ann), JSON, CLOSE, body=body))
    assert answer.status == 200
    assert ann.request("GET", f"/v1/users/{ann.uid}").json()["nickname"] == text.strip()


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=1e2", "limit=%00", "limit=9999999999999999999999", "after=x"]
)
def test_a_page_that_cannot_be_is_refused(server: Server, ann: Person, query: str) -> None:
    for text in (query, f"{query}&{query}", query + "&order=1;DROP TABLE users"):
        with unharmed(server):
            (answer,) = provoke(server, request("GET", f"/v1/inbox?{text.replace(' ', '%20')}", by(ann), CLOSE))
        assert answer.refusal == (422, "invalid_field")


@pytest.mark.parametrize("uid", ["0", "-1", "1e0", "%00", "1%00", "9" * 19, "9" * 5000, "%d9%a1", "1;", "' OR 1=1--"])
def test_a_uid_that_is_none_is_not_found(server: Server, ann: Person, uid: str) -> None:
    with unharmed(server):
        raw = request("GET", f"/v1/users/{uid.replace(' ', '%20')}", by(ann), CLOSE)
        (answer,) = provoke(server, raw)
    assert answer.refusal == (404, "not_found")
