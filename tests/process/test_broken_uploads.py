# SPDX-License-Identifier: Apache-2.0
"""Uploads whose connection ends too soon: nothing of them stays, whenever and however it ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.process.hostile_watch import statuses, unharmed
from tests.process.hostile_wire import (
    CLOSE,
    FORM,
    answers,
    by,
    form,
    image_part,
    part,
    read_all,
    request,
    reset,
)
from tests.process.wires import BOTH_WIRES, running_on
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import jpeg

pytestmark = BOTH_WIRES

IMAGE_BYTES = 1_000_000
ROOM = {"limits": {"enabled": False}, "storage": {"max_bytes": 2_000_000}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, wire: str) -> Iterator[Server]:
    with running_on(wire, tmp_path_factory.mktemp("server"), ROOM) as server:
        yield server
        assert server.failures() == []


def upload(sender: Person, receiver: Person, image: bytes) -> bytes:
    body = form(part("receiver_uid", str(receiver.uid).encode()), image_part(image))
    return request("POST", "/v1/images", FORM, by(sender), CLOSE, body=body)


@pytest.mark.parametrize("ends_by_reset", [False, True])
@pytest.mark.parametrize("sent", [40, 400, 600, 70_000, 500_000, IMAGE_BYTES, -1])
def test_an_upload_that_breaks_off_leaves_nothing(
    server: Server, ann: Person, ben: Person, sent: int, ends_by_reset: bool
) -> None:
    raw = upload(ann, ben, jpeg(IMAGE_BYTES))
    with unharmed(server):
        connection = server.connect()
        connection.sendall(raw[:sent])
        if ends_by_reset:
            reset(connection)
        else:
            connection.close()
    assert server.stored_files() == []
    assert inbox(ben) == []


def test_many_broken_uploads_give_their_room_back(server: Server, ann: Person, ben: Person) -> None:
    raw = upload(ann, ben, jpeg(IMAGE_BYTES))

    def break_off(number: int) -> None:
        connection = server.connect()
        connection.sendall(raw[: number * 20_000 + 500])
        reset(connection)

    with unharmed(server, 507), ThreadPoolExecutor(8) as pool:
        list(pool.map(break_off, range(48)))
    reply = ann.send(ben, jpeg(1_900_000))
    assert reply.status_code == 201
    ben.request("DELETE", reply.headers["Location"])
    wait_until(lambda: server.stored_files() == [], what="the removal")


def test_a_broken_upload_is_told_in_the_log(server: Server, ann: Person, ben: Person) -> None:
    before = statuses(server.log.read_text()).count(499)
    with server.connect() as connection:
        connection.sendall(upload(ann, ben, jpeg(IMAGE_BYTES))[:5000])
    wait_until(lambda: statuses(server.log.read_text()).count(499) == before + 1, what="the line")


def test_who_leaves_after_the_last_byte_has_sent_it_or_not_at_all(server: Server, ann: Person, ben: Person) -> None:
    with unharmed(server):
        for number in range(20):
            connection = server.connect()
            connection.sendall(upload(ann, ben, jpeg(2000 + number)))
            (reset if number % 2 else type(connection).close)(connection)
    wait_until(lambda: len(inbox(ben)) == len(server.stored_files()), what="the end of the last commit")
    assert len({item["size"] for item in inbox(ben)}) == len(inbox(ben))
    for item in inbox(ben):
        assert len(ben.get(item["message_key"], params={"ack": "manual"}).content) == item["size"]


def inbox(person: Person) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = person.request("GET", "/v1/inbox").json()["items"]
    return items


def test_two_requests_at_once_are_two_images(server: Server, ann: Person, ben: Person) -> None:
    first, second = jpeg(30_000), jpeg(40_000)
    raw = upload(ann, ben, first).replace(CLOSE.encode() + b"\r\n", b"") + upload(ann, ben, second)
    with unharmed(server), server.connect() as connection:
        connection.sendall(raw)
        found = answers(read_all(connection))
    assert [answer.status for answer in found] == [201, 201]
    keys = [answer.headers["message-key"] for answer in found]
    assert [ben.get(key).content for key in keys] == [first, second]
