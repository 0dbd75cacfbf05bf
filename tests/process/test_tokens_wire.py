# SPDX-License-Identifier: Apache-2.0
"""Password accounts and tokens over the wire: what clients send, in good faith and in bad."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, JSON, provoke, request
from tests.process.test_credentials import basic, told
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running
from tests.support.pictures import jpeg

RIGHT = "correct horse"
RATES = {"per_account": {"login_failure": "5/hour"}, "per_address": {"login_failure": "100000/hour"}}


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {"limits": {"rates": RATES}, "log": {"level": "debug"}}
    with running(new_folder("tokens"), settings) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def ann(server: Server) -> Person:
    return server.register("Ann")


def by_token(server: Server, tokens: dict[str, Any], method: str, path: str, **kwargs: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return server.client.request(method, path, headers=headers, **kwargs)


def sign_up(server: Server, email: str, **fields: Any) -> dict[str, Any]:
    reply = server.client.post("/v1/signup", json={"email": email, "password": RIGHT, **fields})
    assert reply.status_code == 201, reply.text
    tokens: dict[str, Any] = reply.json()
    return tokens


def log_in(server: Server, **fields: Any) -> httpx.Response:
    return server.client.post("/v1/login", json={"password": RIGHT, **fields})


def test_an_account_with_a_password_lives(server: Server, ann: Person) -> None:
    ben = sign_up(server, "Ben@Example.org", device_token="token-of-ben", device_type="WEB")
    me = by_token(server, ben, "GET", "/v1/me").json()
    assert {"uid": ben["uid"], "email": "ben@example.org", "login": None, "nickname": "Ben"}.items() <= me.items()
    assert me["phone_hash"] is None
    form, picture = {"receiver_uid": str(ben["uid"])}, jpeg()
    image = {"img_file": ("x.jpg", picture, "image/jpeg")}
    sent = ann.request("POST", "/v1/images", data=form, files=image)
    assert sent.status_code == 201
    assert by_token(server, ben, "GET", sent.headers["Location"]).content == picture
    answer = by_token(server, ben, "POST", "/v1/images", data={"receiver_uid": str(ann.uid)}, files=image)
    assert answer.status_code == 201

    phone = log_in(server, email="ben@example.org").json()
    renewed = server.client.post("/v1/tokens/refresh", json={"refresh_token": ben["refresh_token"]}).json()
    assert by_token(server, renewed, "POST", "/v1/logout").status_code == 204
    for tokens in (ben, renewed):
        assert by_token(server, tokens, "GET", "/v1/me").status_code == 401
    change = {"current_password": RIGHT, "password": "battery staple"}
    assert by_token(server, phone, "PUT", "/v1/me/password", json=change).status_code == 204
    assert log_in(server, email="ben@example.org").status_code == 401
    assert log_in(server, email="ben@example.org", password="battery staple").status_code == 200
    proof = {"password": "battery staple"}
    assert by_token(server, phone, "POST", "/v1/me/ukey", json=proof).json()["code"] == "forbidden"


def test_a_phone_account_has_both_ways_in(server: Server, ann: Person) -> None:
    tokens = ann.request("POST", "/v1/tokens").json()
    assert by_token(server, tokens, "GET", "/v1/me").json() == ann.request("GET", "/v1/me").json()
    assert by_token(server, tokens, "POST", "/v1/tokens").json()["code"] == "forbidden"
    assert ann.request("POST", "/v1/logout").json()["code"] == "forbidden"
    sign_up(server, "taken@example.org")
    names = [({"email": "taken@example.org"}, 409), ({"login": "Ann.1"}, 204), ({"email": "ann@example.org"}, 204)]
    for name, status in names:
        reply = ann.request("PUT", "/v1/me/credentials", json={**name, "password": RIGHT})
        assert reply.status_code == status, reply.text
    me = ann.request("GET", "/v1/me").json()
    assert (me["login"], me["email"], me["phone_hash"]) == ("ann.1", "ann@example.org", ann.phone_hash)
    assert log_in(server, login="ANN.1").status_code == 200
    key = by_token(server, tokens, "POST", "/v1/me/ukey", json={"password": RIGHT}).json()
    assert (key["phone_hash"], key["uid"]) == (ann.phone_hash, ann.uid)
    assert ann.request("GET", "/v1/me").status_code == 200


def test_a_token_alone_makes_nobody_the_owner(server: Server) -> None:
    eve = server.register("Eve")
    tokens = eve.request("POST", "/v1/tokens").json()
    first = {"login": f"eve{eve.uid}", "password": RIGHT}
    wanted = [
        ("POST", "/v1/me/ukey", {}),
        ("POST", "/v1/me/ukey", {"password": RIGHT}),
        ("PUT", "/v1/me/credentials", first),
        ("PUT", "/v1/me/password", {"password": RIGHT}),
    ]
    for method, path, body in wanted:
        reply = by_token(server, tokens, method, path, json=body)
        assert (reply.status_code, reply.json()["code"]) == (403, "proof_required"), path
    assert eve.request("PUT", "/v1/me/credentials", json=first).status_code == 204
    wrong = by_token(server, tokens, "POST", "/v1/me/ukey", json={"password": "guess"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "forbidden")
    assert by_token(server, tokens, "POST", "/v1/me/ukey", json={"password": RIGHT}).status_code == 201


@pytest.mark.parametrize("path", ["/v1/me/ukey", "/v1/me/credentials"])
def test_all_other_sessions_end_where_that_is_wanted(server: Server, path: str) -> None:
    owner = server.register("Owner", cid="c" * 32)
    stolen = owner.request("POST", "/v1/tokens").json()
    spare = owner.request("POST", "/v1/me/ukey").json()["ukey"]
    wish = {"end_other_sessions": True}
    if path.endswith("ukey"):
        assert owner.request("POST", path, json={"end_other_sessions": "maybe"}).status_code == 422
        reply = owner.request("POST", path, json=wish)
    else:
        reply = owner.request("PUT", path, json={"login": f"owner{owner.uid}", "password": RIGHT, **wish})
    assert reply.status_code in (201, 204), reply.text
    assert by_token(server, stolen, "GET", "/v1/me").status_code == 401
    assert server.client.get("/v1/me", auth=(owner.phone_hash, spare)).status_code == 401
    assert owner.request("GET", "/v1/devices").json()["items"] == []
    assert owner.request("GET", "/v1/me").status_code == 200


def test_reuse_ends_the_session_in_words_of_its_own(server: Server) -> None:
    first = sign_up(server, "reuse@example.org")
    ask = {"refresh_token": first["refresh_token"]}
    second = server.client.post("/v1/tokens/refresh", data=ask).json()
    third = server.client.post("/v1/tokens/refresh", json={"refresh_token": second["refresh_token"]}).json()
    reused = server.client.post("/v1/tokens/refresh", json=ask)
    assert (reused.status_code, reused.json()["code"]) == (401, "token_reused")
    for tokens in (first, second, third):
        assert by_token(server, tokens, "GET", "/v1/me").json()["code"] == "unauthenticated"
    again = server.client.post("/v1/tokens/refresh", json=ask)
    assert (again.status_code, again.json()["code"]) == (401, "unauthenticated")


def test_a_wrong_token_is_refused_in_the_words_of_a_wrong_key(server: Server, ann: Person) -> None:
    tokens = sign_up(server, "wrong@example.org")
    token = tokens["access_token"]
    head, claims, signature = token.split(".")
    ended = ann.request("POST", "/v1/tokens").json()
    by_token(server, ended, "POST", "/v1/logout")
    values = [
        "",
        "x",
        tokens["refresh_token"],
        ended["access_token"],
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[::-1]}",
        f"{head}.{claims[:-2]}.{signature}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        f"{token}, Bearer {token}",
        "a" * 6000,
        "[]",
        "null",
        '{"a":1}',
        "\xe9" * 40,
    ]
    with unharmed(server):
        (wrong_key,) = provoke(server, request("GET", "/v1/me", basic(f"{ann.phone_hash}:{'A' * 43}"), CLOSE))
        for value in values:
            (answer,) = provoke(server, request("GET", "/v1/me", f"Authorization: Bearer {value}", CLOSE))
            assert told(answer) == told(wrong_key), value
        (right,) = provoke(server, request("GET", "/v1/me", f"Authorization: bearer  {token}", CLOSE))
    assert right.status == 200


def test_no_refused_login_tells_why(server: Server) -> None:
    sign_up(server, "known@example.org")
    asked = [
        {"email": "known@example.org", "password": "wrong horse"},
        {"email": "unknown@example.org", "password": RIGHT},
        {"login": "' OR 1=1--", "password": RIGHT},
        {"login": "x" * 5000, "password": "\0"},
    ]
    with unharmed(server):
        answers = [
            provoke(server, request("POST", "/v1/login", JSON, CLOSE, body=json.dumps(fields).encode()))[0]
            for fields in asked
        ]
    assert answers[0].refusal == (401, "unauthenticated")
    assert {told(answer) for answer in answers} == {told(answers[0])}


BAD = [b"null", b"[]", b"1", b'"x"', b"{", b'{"email":null}', b'{"email":1,"password":2}', b'{"login":["a"]}']
BAD += [b'{"login":"abc","password":"%s"}' % (b"x" * size) for size in (0, 1025, 300_000)]
BAD += [b'{"login":"abc","password":"%s"}' % ("\u0323\u0301" * 60_000).encode()]
BAD += [b'{"login":"\\ud800bc","password":"12345678"}', b'{"refresh_token":null}', b'{"refresh_token":["a"]}', b"\xff"]


@pytest.mark.parametrize("path", ["/v1/signup", "/v1/login", "/v1/tokens/refresh"])
def test_what_is_no_request_is_refused_and_leaves_nothing(server: Server, path: str) -> None:
    with unharmed(server):
        for body in BAD:
            (answer,) = provoke(server, request("POST", path, JSON, CLOSE, body=body))
            assert answer.refusal in {(400, "malformed_request"), (413, "too_large"), (422, "invalid_field")}, body


@pytest.mark.parametrize("path", ["/v1/me/password", "/v1/me/credentials"])
def test_what_changes_nothing_is_said_so(server: Server, path: str) -> None:
    tokens = sign_up(server, f"nothing{path.rpartition('/')[2]}@example.org")
    for body in BAD:
        by = f"Authorization: Bearer {tokens['access_token']}"
        (answer,) = provoke(server, request("PUT", path, JSON, by, CLOSE, body=body))
        assert answer.status in (400, 413, 422), body
    assert log_in(server, email=f"nothing{path.rpartition('/')[2]}@example.org").status_code == 200


def test_guesses_are_bounded_and_another_address_of_the_owner_is_not(server: Server) -> None:
    sign_up(server, "guessed@example.org")
    with ThreadPoolExecutor(20) as pool:
        guesses = [{"email": "guessed@example.org", "password": f"guess {number}"} for number in range(40)]
        replies = list(pool.map(lambda fields: log_in(server, **fields), guesses))
    codes = [reply.status_code for reply in replies]
    assert codes.count(401) <= 5
    assert set(codes) <= {401, 429, 503}
    assert log_in(server, email="guessed@example.org").status_code == 429
    assert log_in(server, email="known@example.org").status_code == 200


def test_fifty_logins_at_once_are_answered_and_others_meanwhile(server: Server, ann: Person) -> None:
    sign_up(server, "busy@example.org")
    with ThreadPoolExecutor(51) as pool:
        logins = [pool.submit(log_in, server, email="busy@example.org") for _ in range(50)]
        while not all(login.done() for login in logins):
            assert ann.request("GET", "/v1/me").status_code == 200
    replies = [login.result() for login in logins]
    codes = {reply.status_code for reply in replies}
    assert 200 in codes
    assert codes <= {200, 429, 503}
    assert all("Retry-After" in reply.headers for reply in replies if reply.status_code != 200)


def test_exchanges_at_once_leave_one_chain(server: Server) -> None:
    tokens = sign_up(server, "race@example.org")
    ask = {"refresh_token": tokens["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: server.client.post("/v1/tokens/refresh", json=ask), range(16)))
    assert {reply.status_code for reply in replies} == {200}
    again = [
        server.client.post("/v1/tokens/refresh", json={"refresh_token": r.json()["refresh_token"]}) for r in replies
    ]
    assert [reply.status_code for reply in again].count(200) == 1


def test_nothing_of_a_password_or_token_is_kept_in_clear(server: Server) -> None:
    tokens = sign_up(server, "canary@example.org", password="canary-password-1")
    wrong = log_in(server, email="canary@example.org", password="canary-password-2")
    assert wrong.status_code == 401
    change = {"current_password": "canary-password-1", "password": "canary-password-3"}
    assert by_token(server, tokens, "PUT", "/v1/me/password", json=change).status_code == 204
    renewed = server.client.post("/v1/tokens/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    server.client.post("/v1/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    server.client.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}x"})
    secrets = [
        "canary-password",
        *(str(pair[name]) for pair in (tokens, renewed) for name in ("access_token", "refresh_token")),
    ]
    secrets += [pair["access_token"].rpartition(".")[2] for pair in (tokens, renewed)]
    assert server.process
    files = (*filter(Path.is_file, server.data_dir.rglob("*")), *server.database.files())
    places = [path.read_bytes() for path in files]
    places.append(server.log.read_bytes())
    assert b"canary@example.org" in b"".join(places)
    assert [secret for secret in secrets if any(secret.encode() in place for place in places)] == []
    assert b"canary@example.org" not in server.log.read_bytes()
