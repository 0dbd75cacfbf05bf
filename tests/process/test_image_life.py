# SPDX-License-Identifier: Apache-2.0
"""An image from its sender to its receiver and gone, over HTTP."""

import hashlib
import json
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import gif, jpeg, png

pytestmark = pytest.mark.usefixtures("engine")


def pending(person: Person) -> list[str]:
    return [item["message_key"] for item in person.request("GET", "/v1/inbox").json()["items"]]


def sent(reply: httpx.Response) -> str:
    assert reply.status_code == 201, reply.text
    return reply.headers["Message-Key"]


def pushes(server: Server) -> list[dict[str, object]]:
    lines = (server.data_dir / "outbox.log").read_text().splitlines()
    return [json.loads(line)["payload"] for line in lines if "payload" in line]


def test_an_image_arrives_with_a_push_and_is_gone_after_the_grace(tmp_path: Path) -> None:
    with running(tmp_path, {"delivery": {"grace_seconds": 1}, "retention": {"interval_seconds": 1}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        picture = jpeg(300_000)
        reply = ann.send(ben, picture)
        key = sent(reply)
        assert reply.content == b""
        assert reply.headers["Location"] == f"/v1/images/{key}"
        wait_until(lambda: (server.data_dir / "outbox.log").exists() and bool(pushes(server)), what="the push")
        assert pushes(server) == [
            {
                "sender_region": "86",
                "sender_phone": ann.phone_hash,
                "sender_uid": ann.uid,
                "message_id": int(reply.headers["Message-Id"]),
                "message_key": key,
                "send_time": int(reply.headers["Send-Time"]),
            }
        ]
        assert [path.relative_to(server.data_dir / "images") for path in server.stored_files()] == [
            Path(key[:2], key[2:4], key)
        ]
        fetched = ben.get(key)
        assert fetched.content == picture
        wait_until(lambda: ann.status(key)["state"] == "consumed")
        assert ben.get(key).content == picture, "within the grace the same person may fetch it again"
        wait_until(lambda: not server.stored_files(), what="the purge")
        gone = ben.get(key)
        assert (gone.status_code, gone.json()["code"]) == (410, "image_consumed")
        assert ann.get(key).status_code == 404


def test_the_reply_describes_the_image(ann: Person, ben: Person) -> None:
    picture = png()
    key = sent(ann.send(ben, picture, caption="hello"))
    reply = ben.get(key, params={"ack": "manual"})
    digest = b64encode(hashlib.sha256(picture).digest()).decode()
    expected = {
        "Content-Type": "image/png",
        "Content-Length": str(len(picture)),
        "ETag": f'"{key}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Sender-Uid": str(ann.uid),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'attachment; filename="{key}.png"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    assert {name: reply.headers[name] for name in expected} == expected
    assert {"Message-Id", "Send-Time", "X-Request-Id"} <= {name.title() for name in reply.headers}
    assert "Server" not in reply.headers


def test_head_range_not_modified_and_manual_ack_do_not_consume(ann: Person, ben: Person) -> None:
    picture = jpeg(5000)
    key = sent(ann.send(ben, picture))
    head = ben.request("HEAD", f"/v1/images/{key}")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5000", b"")
    part = ben.get(key, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, picture[100:200])
    assert part.headers["Content-Range"] == "bytes 100-199/5000"
    assert ben.get(key, headers={"Range": "bytes=-10"}).content == picture[-10:]
    assert ben.get(key, headers={"Range": "bytes=0-"}).status_code == 206
    bad = ben.get(key, headers={"Range": "bytes=5000-"})
    assert (bad.status_code, bad.headers["Content-Range"]) == (416, "bytes */5000")
    assert ben.get(key, headers={"If-None-Match": f'"{key}"'}).status_code == 304
    assert ben.get(key, params={"ack": "manual"}).content == picture
    assert ann.status(key)["state"] == "pending"
    assert pending(ben) == [key]


def test_a_manual_acknowledgement_removes_the_file_at_once_and_may_be_repeated(
    server: Server, ann: Person, ben: Person
) -> None:
    key = sent(ann.send(ben, jpeg()))
    assert ben.get(key, params={"ack": "manual"}).status_code == 200
    assert [ben.request("DELETE", f"/v1/images/{key}").status_code for _ in range(3)] == [204, 204, 204]
    status = ann.status(key)
    assert status["state"] == "consumed"
    assert status["receivers"] == [{"uid": ben.uid, "state": "consumed", "consumed_at": status["consumed_at"]}]
    wait_until(lambda: not any(path.name == key for path in server.stored_files()), what="the removal")
    assert ben.get(key).json()["code"] == "image_consumed"


def test_a_sender_recalls_what_nobody_has_fetched(server: Server, ann: Person, ben: Person) -> None:
    key = sent(ann.send(ben, jpeg()))
    assert ann.request("DELETE", f"/v1/images/{key}").status_code == 204
    assert ann.request("DELETE", f"/v1/images/{key}").status_code == 204
    assert ben.get(key).json()["code"] == "image_recalled"
    assert ann.status(key)["state"] == "recalled"
    assert pending(ben) == []
    wait_until(lambda: not any(path.name == key for path in server.stored_files()), what="the removal")


def test_a_consumed_image_cannot_be_recalled(ann: Person, ben: Person) -> None:
    key = sent(ann.send(ben, jpeg()))
    ben.request("DELETE", f"/v1/images/{key}")
    assert ann.request("DELETE", f"/v1/images/{key}").json()["code"] == "image_consumed"


def test_nobody_else_sees_that_there_is_an_image(server: Server, ann: Person, ben: Person) -> None:
    key = sent(ann.send(ben, jpeg()))
    eve = server.register("Eve")
    answers = [
        person.request(method, f"/v1/images/{name}{rest}")
        for person in (eve,)
        for name in (key, "0" * 64, "nonsense", key.upper(), key + ".")
        for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/status"))
    ]
    answers.append(ann.get(key))
    answers.append(ben.request("GET", f"/v1/images/{key}/status"))
    assert {reply.status_code for reply in answers} == {404}
    assert {(reply.json()["code"], reply.json()["detail"]) for reply in answers} == {
        ("not_found", answers[0].json()["detail"])
    }
    assert server.client.get(f"/v1/images/{key}").status_code == 401


def test_the_original_form_answers_the_oldest_image_of_that_sender(ann: Person, ben: Person) -> None:
    pictures = [jpeg(3000), jpeg(4000)]
    for picture in pictures:
        sent(ann.send(ben, picture))
    question = {"sender_phone": ann.phone_hash, "receiver_phone": ben.phone_hash}
    assert ben.request("HEAD", "/v1/images", params=question).headers["Content-Length"] == "3000"
    for picture in pictures:
        reply = ben.request("GET", "/v1/images", params=question)
        assert reply.content == picture
        wait_until(lambda: ann.status(reply.headers["ETag"].strip('"'))["state"] == "consumed")  # noqa: B023 - asked now
    empty = ben.request("GET", "/v1/images", params=question)
    assert (empty.status_code, empty.json()["code"]) == (404, "no_pending_image")
    assert ann.request("GET", "/v1/images", params=question).json()["code"] == "not_found"


def test_the_original_clients_send_their_credential_in_the_form(server: Server, ann: Person, ben: Person) -> None:
    picture = gif()
    form = {"phone_hash": ann.phone_hash, "ukey": ann.ukey, "receiver_phone": ben.phone_hash}
    files = {"img_file": ("x", picture)}
    key = sent(server.client.post("/v1/images", data=form, files=files))
    assert ben.get(key).content == picture
    wrong = server.client.post("/v1/images", data={**form, "ukey": "wrong"}, files=files)
    unknown = server.client.post("/v1/images", data={**form, "phone_hash": "0" * 64}, files=files)
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json()["detail"] == unknown.json()["detail"]


def test_an_image_may_come_in_pieces_and_before_its_fields(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(400_000)
    boundary = b"frontier"

    def part(name: str, value: bytes) -> bytes:
        return b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, name.encode(), value)

    body = part("img_file", picture) + part("receiver_uid", str(ben.uid).encode()) + part("ukey", ann.ukey.encode())
    body += part("phone_hash", ann.phone_hash.encode()) + b"--%s--\r\n" % boundary
    pieces = (body[start : start + 7777] for start in range(0, len(body), 7777))
    reply = server.client.post(
        "/v1/images", content=pieces, headers={"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    )
    assert ben.get(sent(reply)).content == picture


def test_an_inbox_pages_by_cursor(ann: Person, ben: Person) -> None:
    keys = [sent(ann.send(ben, jpeg(), caption=str(number))) for number in range(5)]
    first = ben.request("GET", "/v1/inbox", params={"limit": 2}).json()
    second = ben.request("GET", "/v1/inbox", params={"limit": 3, "after": first["next"]}).json()
    assert [item["message_key"] for item in first["items"] + second["items"]] == keys
    assert second["next"] is None
    item = first["items"][0]
    assert item["sender_phone"] == ann.phone_hash
    assert {
        "message_id",
        "sender_uid",
        "sender_region",
        "group_id",
        "filetype",
        "size",
        "caption",
        "send_time",
        "expires_at",
    } <= item.keys()
    assert (item["filetype"], item["caption"], item["size"]) == ("jpeg", "0", 2048)


def test_an_idempotency_key_gives_the_first_reply_again(ann: Person, ben: Person) -> None:
    picture = jpeg(200_000)
    key = {"Idempotency-Key": f"once-{ann.uid}"}
    first = ann.send(ben, picture, headers=key)
    again = ann.send(ben, picture, headers=key)
    for name in ("Location", "Message-Id", "Message-Key", "Send-Time"):
        assert again.headers[name] == first.headers[name]
    ben.request("DELETE", first.headers["Location"])
    assert ann.send(ben, picture, headers=key).headers["Message-Id"] == first.headers["Message-Id"]
    assert pending(ben) == []
    for other in (ann.send(ben, jpeg(), headers=key), ann.send(ben, picture, headers=key, caption="other")):
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert ben.send(ann, picture, headers=key).headers["Message-Id"] != first.headers["Message-Id"]


def test_racing_uploads_with_one_key_make_one_image(server: Server, ann: Person, ben: Person) -> None:
    picture = jpeg(50_000)
    before = len(server.stored_files())
    with ThreadPoolExecutor(20) as pool:
        key = {"Idempotency-Key": "race"}
        replies = list(pool.map(lambda _: ann.send(ben, picture, headers=key), range(20)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.headers["Message-Key"] for reply in replies}) == 1
    assert len(pending(ben)) == 1
    assert len(server.stored_files()) == before + 1


@pytest.mark.parametrize(
    ("fields", "image", "status", "code"),
    [
        ({}, b"", 422, "missing_image"),
        ({}, b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_image"),
        ({}, b"MZ" + bytes(500), 415, "unsupported_image"),
        ({}, png(60_000, 60_000), 422, "image_dimensions"),
        ({"receiver_uid": "999999999"}, jpeg(), 403, "recipient_unavailable"),
        ({"receiver_uid": "0"}, jpeg(), 422, "invalid_field"),
        ({"receiver_uid": "١"}, jpeg(), 422, "invalid_field"),
        ({"receiver_uid": "1" * 30}, jpeg(), 422, "invalid_field"),
        ({"receiver_phone": "0" * 64}, jpeg(), 422, "invalid_field"),
        ({"ttl_seconds": "59"}, jpeg(), 422, "invalid_field"),
        ({"ttl_seconds": "99999999"}, jpeg(), 422, "invalid_field"),
        ({"ttl_seconds": "1e3"}, jpeg(), 422, "invalid_field"),
        ({"caption": "x" * 501}, jpeg(), 422, "invalid_field"),
        ({"caption": "a\0b"}, jpeg(), 422, "invalid_field"),
        ({"filetype": "opaque"}, jpeg(), 422, "invalid_field"),
        ({"colour": "red"}, jpeg(), 422, "invalid_field"),
        ({"caption": "x" * 9000}, jpeg(), 413, "too_large"),
    ],
)
def test_a_refused_upload_says_why_and_leaves_nothing(
    server: Server, ann: Person, ben: Person, fields: dict[str, str], image: bytes, status: int, code: str
) -> None:
    before = len(server.stored_files())
    reply = ann.request(
        "POST",
        "/v1/images",
        data={"receiver_uid": str(ben.uid), **fields},
        files={"img_file": ("x.jpg", image, "image/jpeg")},
    )
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert [bool(wrong["field"] and wrong["message"]) for wrong in reply.json().get("errors", ())] == [True] * (
        status == 422
    )
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert pending(ben) == []
    assert len(server.stored_files()) == before


def test_captions_come_back_exactly(ann: Person, ben: Person) -> None:
    caption = "Grüße 🌍\n{0.__class__} {{7*7}} '; DROP TABLE users; -- \u202e"
    sent(ann.send(ben, jpeg(), caption=caption))
    assert ben.request("GET", "/v1/inbox").json()["items"][0]["caption"] == caption


def test_a_hostile_file_name_changes_nothing(ann: Person, ben: Person) -> None:
    for name in ("../../../etc/passwd", "..\\x", "C:\\x.jpg", "a\r\nX-Evil: 1", "\u202egpj.exe", "x" * 3000):
        reply = ann.request(
            "POST", "/v1/images", data={"receiver_uid": str(ben.uid)}, files={"img_file": (name, jpeg(), "text/html")}
        )
        key = sent(reply)
        fetched = ben.get(key)
        assert fetched.headers["Content-Disposition"] == f'attachment; filename="{key}.jpg"'
        assert fetched.headers["Content-Type"] == "image/jpeg"


def test_opaque_bytes_pass_where_the_operator_allows_it(tmp_path: Path) -> None:
    with running(tmp_path, {"images": {"allow_opaque": True}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        secret = bytes(range(256)) * 40
        fetched = ben.get(sent(ann.send(ben, secret, filetype="opaque")))
        assert fetched.content == secret
        assert fetched.headers["Content-Type"] == "application/octet-stream"


def test_a_full_inbox_refuses_and_50_uploads_at_its_edge_do_not_overshoot(tmp_path: Path) -> None:
    settings = {
        "inbox": {"max_pending": 10, "per_stranger_percent": 100, "strangers_percent": 100},
        "limits": {"enabled": False},
    }
    with running(tmp_path, settings) as server, ThreadPoolExecutor(50) as pool:
        ann, ben = server.register("Ann"), server.register("Ben")
        replies = list(pool.map(lambda _: ann.send(ben, jpeg(20_000)), range(50)))
        refused = [reply for reply in replies if reply.status_code != 201]
        assert len(refused) == 40
        assert {(reply.status_code, reply.json()["code"]) for reply in refused} == {(429, "inbox_full")}
        assert all("Retry-After" in reply.headers for reply in refused)
        assert len(pending(ben)) == len(server.stored_files()) == 10
        key = pending(ben)[0]
        ben.request("DELETE", f"/v1/images/{key}")
        assert ann.send(ben, jpeg()).status_code == 201


def test_a_full_store_refuses_before_the_body_and_does_not_overshoot(tmp_path: Path) -> None:
    settings = {"storage": {"max_bytes": 500_000}, "limits": {"enabled": False}}
    with running(tmp_path, settings) as server, ThreadPoolExecutor(20) as pool:
        ann, ben = server.register("Ann"), server.register("Ben")
        key = {"Idempotency-Key": "before-it-was-full"}
        picture = jpeg(100_000)
        first = ann.send(ben, picture, headers=key)
        replies = list(pool.map(lambda _: ann.send(ben, jpeg(100_000)), range(20)))
        refused = [reply for reply in replies if reply.status_code != 201]
        assert {(reply.status_code, reply.json()["code"]) for reply in refused} == {(507, "storage_full")}
        stored = sum(path.stat().st_size for path in server.stored_files())
        assert 200_000 <= stored <= 500_000
        while ann.send(ben, jpeg(50_000)).status_code == 201:
            pass
        assert ann.send(ben, picture, headers=key).headers["Message-Id"] == first.headers["Message-Id"]
        assert ben.get(first.headers["Message-Key"]).content == picture
        ben.request("DELETE", first.headers["Location"])
        wait_until(lambda: ann.send(ben, jpeg(50_000)).status_code == 201, what="room after a removal")


def test_50_parallel_fetches_and_acknowledgements_consume_once(ann: Person, ben: Person) -> None:
    picture = jpeg(100_000)
    key = sent(ann.send(ben, picture))

    def act(number: int) -> tuple[int, bool]:
        if number % 2:
            return ben.request("DELETE", f"/v1/images/{key}").status_code, True
        reply = ben.get(key)
        return reply.status_code, reply.status_code != 200 or reply.content == picture

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(act, range(100)))
    assert {status for status, _ in results} <= {200, 204, 410}
    assert all(whole for _, whole in results)
    assert [status for status, _ in results].count(204) == 50
    assert ann.status(key)["state"] == "consumed"


def test_an_inbox_pages_backwards_too(ann: Person, ben: Person) -> None:
    ids = [int(ann.send(ben, jpeg()).headers["Message-Id"]) for _ in range(4)]
    page = ben.request("GET", "/v1/inbox", params={"before": ids[2]}).json()
    assert [item["message_id"] for item in page["items"]] == ids[:2]


def test_a_list_of_tags_and_a_weak_one_are_known(ann: Person, ben: Person) -> None:
    key = sent(ann.send(ben, jpeg()))
    for known in (f'"x", "{key}"', f'W/"{key}"', "*"):
        assert ben.get(key, headers={"If-None-Match": known}).status_code == 304
    assert ann.status(key)["state"] == "pending"


def test_each_fetch_of_a_consumed_image_restarts_its_grace(tmp_path: Path) -> None:
    with running(tmp_path, {"delivery": {"grace_seconds": 600}, "limits": {"enabled": False}}) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        key = sent(ann.send(ben, jpeg()))
        ben.get(key)
        wait_until(lambda: ann.status(key)["state"] == "consumed")

        def grace_left() -> float:
            [(until,)] = server.database.rows("SELECT readable_until FROM deliveries")
            return float(until / 1000 - time.time())

        def let_pass(seconds: int) -> None:
            server.database.execute("UPDATE deliveries SET readable_until = readable_until - ?", seconds * 1000)

        for fetch, status in (({"params": {"ack": "manual"}}, 200), ({"headers": {"Range": "bytes=0-9"}}, 206)):
            let_pass(300)
            assert grace_left() < 300
            assert ben.get(key, **fetch).status_code == status
            wait_until(lambda: grace_left() > 300, what="a new grace")
        let_pass(600)
        assert ben.get(key, headers={"If-None-Match": "*"}).status_code == 410


def test_monitors_may_ask_by_head_and_proxies_in_absolute_form(server: Server) -> None:
    for path in ("/healthz", "/readyz"):
        reply = server.client.head(path)
        assert (reply.status_code, reply.content) == (200, b"")
    answer = server.raw(b"GET http://example.org/healthz HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
