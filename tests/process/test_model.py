# SPDX-License-Identifier: Apache-2.0
"""Random lives of images on the real server, with crashes, against a small model of what must hold."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support import ROOT
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, phone_number, running, wait_until
from tests.support.pictures import jpeg
from tests.support.rounds import rounds

GRACE_SECONDS = 1
BIG = 3_000_000
CODES = {"recalled": "image_recalled", "expired": "image_expired", "consumed": "image_consumed"}


@dataclass
class Someone:
    """A person of the model; `now` is who they are after the last retrieval."""

    number: str
    now: Person


@dataclass
class Image:
    sender: Someone
    receiver: Someone
    key: str
    picture: bytes
    state: str = "pending"
    again_until: float = field(default=0.0)


class Lives(RuleBasedStateMachine):
    """Each step is a request or a mishap; after each, every inbox and every status is what the model says."""

    server: ClassVar[Server]
    people = Bundle("people")
    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Image] = []
        self.everybody: list[Someone] = []
        self.crashed = self.purged = False  # once in a life: they take seconds

    @rule(target=people)
    def register(self) -> Someone:
        number = phone_number()
        person = Someone(number, self.server.register(phone_num=number, cid=f"cid-{number}"))
        self.everybody.append(person)
        return person

    @rule(target=images, sender=people, receiver=people, size=st.sampled_from([200, 70_000, BIG]), repeat=st.booleans())
    def send(self, sender: Someone, receiver: Someone, size: int, repeat: bool) -> Image:
        picture = jpeg(size)
        key = {"Idempotency-Key": f"{len(self.known)}-{sender.number}"}
        replies = [sender.now.send(receiver.now, picture, headers=key) for _ in range(1 + repeat)]
        assert {reply.status_code for reply in replies} == {201}
        assert len({reply.headers["Message-Key"] for reply in replies}) == 1
        image = Image(sender, receiver, replies[0].headers["Message-Key"], picture)
        self.known.append(image)
        return image

    @rule(image=images)
    def fetch(self, image: Image) -> None:
        asked_at = time.monotonic()
        reply = image.receiver.now.get(image.key)
        if image.state == "pending":
            assert (reply.status_code, reply.content == image.picture) == (200, True)
            wait_until(lambda: image.sender.now.status(image.key)["state"] == "consumed", what="the consumption")
            image.state = "consumed"
        elif reply.status_code == 200:
            assert image.state == "consumed"
            assert asked_at < image.again_until + 0.5
            assert reply.content == image.picture
        else:
            assert (reply.status_code, reply.json()["code"]) == (410, CODES[image.state])
        if reply.status_code == 200:
            image.again_until = time.monotonic() + GRACE_SECONDS

    @rule(image=images)
    def abort(self, image: Image) -> None:
        if len(image.picture) < BIG:
            return
        credential = b64encode(":".join(image.receiver.now.auth).encode()).decode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            connection.connect(("127.0.0.1", self.server.port))
            connection.sendall(
                f"GET /v1/images/{image.key} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credential}\r\n\r\n".encode()
            )
            connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @rule(image=images)
    def acknowledge(self, image: Image) -> None:
        reply = image.receiver.now.request("DELETE", f"/v1/images/{image.key}")
        if image.state in ("pending", "consumed"):
            assert reply.status_code == 204
            image.state, image.again_until = "consumed", 0
        else:
            assert reply.json()["code"] == CODES[image.state]

    @rule(image=images)
    def recall(self, image: Image) -> None:
        if image.sender is image.receiver:
            return
        reply = image.sender.now.request("DELETE", f"/v1/images/{image.key}")
        if image.state in ("pending", "recalled"):
            assert reply.status_code == 204
            image.state = "recalled"
        else:
            assert reply.json()["code"] == CODES[image.state]

    @rule(image=images, stranger=people)
    def pry(self, image: Image, stranger: Someone) -> None:
        if stranger is not image.receiver:
            assert stranger.now.get(image.key).status_code == 404

    @rule(image=images)
    def expire(self, image: Image) -> None:
        """Its time ends: the shortest that a client may ask for is a minute, so the row is told so."""
        past = int(time.time() * 1000) - 1
        self.server.database.execute("UPDATE messages SET expires_at = ? WHERE message_key = ?", past, image.key)
        if image.state == "pending":
            image.state = "expired"

    @rule(person=people)
    def retrieve(self, person: Someone) -> None:
        body = {"region_num": "86", "phone_num": person.number, "nickname": "again"}
        codes = len(self._codes(person.number))
        started = self.server.client.post("/v1/register", json=body)
        assert started.status_code == 202
        wait_until(lambda: len(self._codes(person.number)) > codes, what="the code")
        path = f"/v1/activations/{started.json()['activation_id']}"
        reply = self.server.client.post(path, json={"code": self._codes(person.number)[-1]})
        assert reply.status_code == 201, reply.text
        before, fresh = person.now, reply.json()
        assert (fresh["uid"], fresh["retrieved"]) == (before.uid, True)
        assert before.request("GET", "/v1/me").status_code == 401
        person.now = Person(self.server, fresh["uid"], fresh["ukey"], fresh["phone_hash"])

    def _codes(self, number: str) -> list[str]:
        """The codes that have gone out to this number."""
        log = self.server.data_dir / "outbox.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [str(found["code"]) for line in lines if (found := json.loads(line)).get("to") == f"+86{number}"]

    @precondition(lambda self: bool(self.known) and not self.crashed)
    @rule()
    def crash(self) -> None:
        self.crashed = True
        self.server.kill()
        self.server.start()

    @precondition(lambda self: bool(self.known) and not self.purged)
    @rule()
    def purge(self) -> None:
        self.purged = True
        command = [sys.executable, "-m", "ops", "purge", "--config", str(self.server.config)]
        subprocess.run([*command, "--data-dir", str(self.server.data_dir)], cwd=ROOT, check=True, capture_output=True)

    @invariant()
    def inboxes_hold_what_is_pending(self) -> None:
        for person in self.everybody:
            items = person.now.request("GET", "/v1/inbox", params={"limit": 200}).json()["items"]
            pending = [image.key for image in self.known if image.receiver is person and image.state == "pending"]
            assert [item["message_key"] for item in items] == pending

    @invariant()
    def senders_see_the_state(self) -> None:
        for image in self.known:
            assert image.sender.now.status(image.key)["state"] == image.state

    def teardown(self) -> None:
        """What is pending is on the disk, and what is not goes from it."""
        names = {path.name for path in self.server.stored_files()}
        assert {image.key for image in self.known if image.state == "pending"} <= names
        ended = {image.key for image in self.known if image.state != "pending"}
        wait_until(lambda: not ended & {path.name for path in self.server.stored_files()}, what="the removal")


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    settings = {
        "limits": {"enabled": False},
        "delivery": {"grace_seconds": GRACE_SECONDS},
        "retention": {"interval_seconds": 1},
    }
    with running(new_folder("model"), settings) as server:
        yield server
        with contextlib.suppress(FileNotFoundError):
            assert server.failures() == []


def test_random_lives_match_the_model(server: Server) -> None:
    Lives.server = server
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=rounds(4, 60) if server.database.name == "sqlite" else rounds(2, 30),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
