# SPDX-License-Identifier: Apache-2.0
"""The running server answers its own description, and every operation of it answers as described.

Every reply that the harness sees is judged by `tests.support.contract`; here each operation is called for its success.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.openapi import document, resolve
from handlers.web import POLICY
from tests.support import contract
from tests.support.harness import Person, Server, phone_number, running
from tests.support.pictures import jpeg

CODE = "314159"
ELSEWHERE = {
    "resendCode",  # a new code may be asked for after a minute
    "socketEvents",  # is no HTTP any more when it succeeds
    "chatToken",  # needs a vendor: test_chat_tokens.py
    # tests/process/samples
    "sendbirdSignUp",
    "agoraRegister",
    "agoraLogIn",
    "agoraToken",
    "roomRegister",
    "roomLogIn",
    "createRoom",
    "sendRoomMessage",
    "roomHistory",
    "showThumbnail",  # needs a token out of a notification: test_previews.py
    "vapidKey",  # Web Push is off: test_webpush_key.py
}


def test_the_server_answers_its_description(server: Server) -> None:
    assert server.client.get("/openapi.json").json() == document()


def test_the_page_comes_with_the_policy_of_the_web_app(server: Server) -> None:
    reply = server.client.get("/docs")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"] == POLICY


def test_the_root_leads_to_addresses_that_answer(server: Server) -> None:
    root = server.client.get("/").json()
    for name in ("docs", "openapi", "health", "ready"):
        assert server.client.get(root[name]).status_code == 200


def test_every_reply_that_the_harness_sees_is_judged(server: Server) -> None:
    assert contract.check in server.client.event_hooks["response"]


@pytest.fixture
def number() -> str:
    return phone_number()


@pytest.fixture
def lenient(tmp_path: Path, number: str) -> Iterator[Server]:
    """A server that knows the code of one number."""
    settings = {"activation": {"test_numbers": {f"+86{number}": CODE}}}
    with running(tmp_path, settings) as server:
        yield server
        assert server.failures() == []


def retrieve(server: Server, number: str) -> Person:
    """The person who registered this number before, by its code; on the way the refusals of an activation."""
    newcomer = {"region_num": 86, "phone_num": number, "nickname": "Ann", "device_type": "IOS"}
    started = server.client.post("/v1/register", json=newcomer)
    assert started.status_code == 202
    address = f"/v1/activations/{started.json()['activation_id']}"
    answers = [
        server.client.post(f"{address}/resend"),
        server.client.post(address, json={"code": "000000"}),
        server.client.post(address, json={"code": "x"}),
        done := server.client.post(address, json={"code": CODE}),
        server.client.post(address, json={"code": CODE}),
        server.client.post(f"{address}/resend"),
    ]
    assert [answer.status_code for answer in answers] == [429, 403, 422, 201, 410, 410]
    account = done.json()
    assert account["retrieved"]
    return Person(server, account["uid"], account["ukey"], account["phone_hash"])


def use_account(person: Person) -> None:
    person.request("GET", "/v1/me")
    person.request("PATCH", "/v1/me", json={"nickname": "Ann B.", "discoverable": False})
    person.request("GET", f"/v1/users/{person.uid}")
    person.request("GET", "/v1/me/export")
    person.request("GET", "/v1/qr", params={"text": "http://127.0.0.1/#/u/1"})
    person.request("POST", "/v1/me/ukey")


def use_tokens(person: Person) -> None:
    client, secret = person.server.client, {"password": "correct horse"}
    client.post("/v1/signup", json={**secret, "email": "eve@example.org"})
    person.request("PUT", "/v1/me/credentials", json={**secret, "login": "ann"})
    tokens = client.post("/v1/login", json={**secret, "login": "ann"}).json()
    client.post("/v1/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    changed = {"current_password": secret["password"], "password": "battery staple"}
    person.request("PUT", "/v1/me/password", json=changed)
    opened = person.request("POST", "/v1/tokens").json()
    client.post("/v1/logout", headers={"Authorization": f"Bearer {opened['access_token']}"})


def use_images(ann: Person, ben: Person) -> None:
    key = ann.send(ben, jpeg(), thumbnail=jpeg(width=64, height=48), caption="hello").headers["Message-Key"]
    ben.request("GET", f"/v1/images/{key}/thumbnail")
    ben.request("GET", "/v1/inbox", params={"limit": 1, "after": 0})
    ben.request("HEAD", f"/v1/images/{key}")
    ben.get(key, params={"ack": "manual"})
    ben.get(key, headers={"Range": "bytes=0-9"})
    oldest = {"sender_phone": ann.phone_hash, "receiver_phone": ben.phone_hash}
    ben.request("HEAD", "/v1/images", params=oldest)
    ben.request("GET", "/v1/images", params={**oldest, "ack": "manual"})
    ben.request("DELETE", f"/v1/images/{key}")
    ann.status(key)


def use_uploads(ann: Person, ben: Person) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    piece = {**tus, "Content-Type": "application/offset+octet-stream"}
    to = {"Upload-Metadata": f"receiver_uid {b64encode(str(ben.uid).encode()).decode()}"}
    picture = jpeg(2000)
    for last in ({**piece, "Upload-Offset": "0"}, {**piece, "Upload-Offset": "3"}):
        begun = ann.request("POST", "/v1/uploads", headers={**tus, **to, "Upload-Length": "2000"})
        ann.request("HEAD", begun.headers["Location"], headers=tus)
        ann.request("PUT", f"{begun.headers['Location']}/thumbnail", content=jpeg(600, width=64, height=48))
        ann.request("PATCH", begun.headers["Location"], headers=last, content=picture)
        ann.request("DELETE", begun.headers["Location"], headers=tus)
    for path in ("/v1/uploads", "/v1/uploads/x"):
        ann.server.client.options(path)


def use_groups(ann: Person, ben: Person) -> None:
    made = ann.request("POST", "/v1/groups", json={"name": "Climbing", "members": [], "join": "open"}).json()
    group = f"/v1/groups/{made['group_id']}"
    ben.request("POST", "/v1/groups/join", json={"room_gid": made["room_gid"]})
    ben.request("GET", "/v1/groups", params={"limit": 1})
    ben.request("GET", group)
    ann.request("PATCH", group, json={"name": "Bouldering"})
    ann.request("PUT", f"{group}/members/{ben.uid}", json={"role": "admin"})
    ann.request("DELETE", f"{group}/members/{ben.uid}")
    ann.request("DELETE", group)


def use_people(ann: Person, ben: Person) -> None:
    ann.request("POST", "/v1/contacts/discover", json={"phone_hashes": [ben.phone_hash]})
    ann.request("POST", "/v1/friends", json={"uid": ben.uid})
    ben.request("GET", "/v1/friends", params={"state": "incoming"})
    ben.request("POST", f"/v1/friends/{ann.uid}/accept")
    ann.request("DELETE", f"/v1/friends/{ben.uid}")
    ann.request("PUT", f"/v1/blocks/{ben.uid}")
    ann.request("GET", "/v1/blocks")
    ann.request("DELETE", f"/v1/blocks/{ben.uid}")
    ann.request("POST", "/v1/reports", json={"uid": ben.uid, "reason": "rude"})


def use_messages(ann: Person, ben: Person) -> None:
    sent = ann.request("POST", "/v1/messages", json={"receiver_uid": ben.uid, "kind": "text", "text": "hello"}).json()
    ben.request("GET", "/v1/messages", params={"with_uid": ann.uid, "page": 1})
    ben.request("GET", "/v1/conversations")
    ben.request("PUT", f"/v1/conversations/{ann.uid}/read", json={"up_to": sent["message_id"]})
    ann.request("DELETE", f"/v1/messages/{sent['message_id']}")
    ben.request("GET", "/v1/events", params={"after": 0})
    with ben.server.client.stream("GET", "/v1/events/stream", auth=ben.auth):
        pass


def use_devices(ann: Person) -> None:
    made = ann.request("POST", "/v1/devices", json={"provider": "log", "token": "ann-2", "device_type": "IOS"}).json()
    device = f"/v1/devices/{made['device_id']}"
    ann.request("PUT", device, json={"token": "ann-3"})
    ann.request("GET", "/v1/devices")
    ann.request("POST", f"{device}/test-push")
    ann.request("GET", f"{device}/pushes")
    ann.request("DELETE", device)


def test_every_operation_succeeds_as_described(lenient: Server, number: str) -> None:
    succeeded: set[str | None] = set()

    def note(response: httpx.Response) -> None:
        if response.is_success:
            succeeded.add(contract.operation_of(response.request.method, response.request.url.path))

    lenient.client.event_hooks = {"response": [*lenient.client.event_hooks["response"], note]}
    for path in ("/", "/healthz", "/readyz", "/openapi.json", "/docs"):
        lenient.client.get(path)
    for path in ("/healthz", "/readyz"):
        lenient.client.head(path)
    lenient.register("Ann", phone_num=number)
    ann, ben = retrieve(lenient, number), lenient.register("Ben", cid="cid-ben")
    use_images(ann, ben)
    use_uploads(ann, ben)
    use_account(ann)
    use_tokens(ann)
    use_groups(ann, ben)
    use_people(ann, ben)
    use_messages(ann, ben)
    use_devices(ann)
    lenient.register("Cat").request("DELETE", "/v1/me")
    assert succeeded == set(contract.operations()) - ELSEWHERE


def test_a_body_may_be_left_out_where_it_is_described_so_and_nowhere_else(server: Server) -> None:
    ann = server.register("Ann")
    place = belongings(ann)
    for name, operation in contract.operations().items():
        path = operation["path"]
        if "requestBody" in operation and "/uploads" not in path and path.startswith("/v1/"):
            reply = ann.request(operation["method"], path.format(activation_id="0" * 32, **place))
            is_refused = reply.status_code in (400, 410, 415, 422)
            assert is_refused == operation["requestBody"].get("required", False), (name, reply.text)


def belongings(person: Person) -> dict[str, int]:
    """What the paths of operations about the person's own things have in their places."""
    group_id = person.begin_group(name="Climbing", join="open")
    made = person.request("POST", "/v1/devices", json={"provider": "log", "token": f"{person.uid}-1"})
    return {
        "group_id": group_id,
        "device_id": made.json()["device_id"],
        "uid": person.uid,
        "conversation": person.uid,
    }


SUFFICIENT = {"registerDevice": {"provider": "log", "token": "ann-2"}, "replaceDeviceToken": {"token": "ann-3"}}
"""For bodies whose examples lead elsewhere."""


Ask = Callable[[dict[str, Any]], httpx.Response]


def bodies(ann: Person, ben: Person) -> Iterator[tuple[Ask, dict[str, Any], str, Any]]:
    """How to ask with a body, one that succeeds where an example can, and a field of it with its schema, for all."""
    ann.request("PUT", "/v1/me/credentials", json={"login": f"ann-{ann.uid}", "password": "battery staple"})
    people = {"receiver_uid": ben.uid, "members": [ben.uid], "uid": ben.uid}
    place = belongings(ann)
    for name, operation in contract.operations().items():
        path = operation["path"]
        if contract.described_request(name) is None or "/uploads" in path or not path.startswith("/v1/"):
            continue
        media = operation["requestBody"]["content"]["application/json"]
        example = SUFFICIENT.get(name) or media.get("example") or next(iter(media["examples"].values()))["value"]
        body = {field: people.get(field, value) for field, value in example.items()}

        def ask(body: dict[str, Any], method: str = operation["method"], path: str = path) -> httpx.Response:
            return ann.request(method, path.format(activation_id="0" * 32, **place), json=body)

        for field, schema in resolve(media["schema"])["properties"].items():
            yield ask, body, field, schema


def test_null_is_as_if_left_out_where_it_is_described_and_refused_elsewhere(server: Server) -> None:
    for ask, body, field, schema in bodies(server.register("Ann"), server.register("Ben")):
        rest = {other: value for other, value in body.items() if other != field}
        expected = ask(rest).status_code == 422 if contract.strict(schema).is_valid(None) else True
        reply = ask({**rest, field: None})
        assert (reply.status_code == 422) == expected, (reply.url, field)


OF_ANY_KIND: tuple[Any, ...] = (True, 1, -1, 2**70, 1.5, "x", " ", "1", "x" * 9000, [], ["x"], ["1"], {})


def test_a_value_is_taken_only_where_its_kind_is_described(server: Server) -> None:
    for ask, body, field, _ in bodies(server.register("Ann"), server.register("Ben")):
        for value in OF_ANY_KIND:
            ask({**body, field: value})  # what is taken is judged by the description


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/images/0/1", "/docs/"])
def test_a_path_that_is_not_described_is_not_found(server: Server, path: str) -> None:
    assert server.client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "OPTIONS", "TRACE", "FOO"])
def test_a_method_that_is_not_described_is_refused(server: Server, method: str) -> None:
    reply = server.client.request(method, "/v1/me")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH")


def test_a_path_of_its_own_is_none_of_those_with_variables(server: Server) -> None:
    ann = server.register("Ann")
    for method in ("GET", "PATCH", "DELETE"):
        reply = ann.request(method, "/v1/groups/join")
        assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")
