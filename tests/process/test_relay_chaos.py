# SPDX-License-Identifier: Apache-2.0
"""No push is lost: every vendor fails, hangs, resets and sets limits half of the time, and the server is killed."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.process.invariants import check_database, end_pauses, pushes_due, rows
from tests.support.harness import Person, Server, running, until_answered, wait_until
from tests.support.pictures import jpeg
from tests.support.push_vendors import LIMITED, PushVendors, Received, emulated
from tests.support.rounds import rounds

pytestmark = pytest.mark.usefixtures("engine")

ROUNDS = rounds(2, 12)
IMAGES_PER_ROUND = 30
SENDERS = 4
FAULTS = {"fail": 30, "hang": 10, "reset": 10}


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[PushVendors]:
    with emulated(tmp_path) as vendors:
        for vendor in vendors.each.values():
            vendor.tell("chances", **FAULTS)
        yield vendors


@pytest.fixture
def server(tmp_path: Path, vendors: PushVendors) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "push": {**vendors.push, "default_provider": "getui"}}
    with running(tmp_path, settings) as server:
        yield server


def register_one_for_each(server: Server, vendors: PushVendors) -> list[tuple[str, Person, str]]:
    """Vendor, person with one device there, and what the vendor calls that device."""
    key = server.client.get("/v1/push/vapid").json()["public_key"]
    people = []
    for name, vendor in vendors.each.items():
        token = vendor.token(1, key)
        people.append((name, server.register(name, push_provider=name, cid=token), vendor.target_of(token)))
    return people


def send(ann: Person, people: list[tuple[str, Person, str]], number: int) -> tuple[str, str, int]:
    """Vendor, target and message of a push that is to come."""
    name, person, target = people[number % len(people)]
    headers = {"Idempotency-Key": f"chaos-{number}"}
    reply = until_answered(partial(ann.send, person, jpeg(), headers=headers))
    assert reply.status_code == 201, reply.text
    return name, target, int(reply.headers["Message-Id"])


def everything(vendors: PushVendors) -> dict[str, list[Received]]:
    return {name: vendor.received() for name, vendor in vendors.each.items()}


def check_after_kill(server: Server, vendors: PushVendors) -> None:
    pushed = {push.message_id for pushes in everything(vendors).values() for push in pushes}
    check_database(server.data_dir, in_flight=ROUNDS * SENDERS, pushed=pushed)
    committed = {message_id for (message_id,) in rows(server.data_dir, "SELECT message_id FROM messages")}
    assert pushed <= committed, "a push without its image"


def tried(data_dir: Path, times: int) -> bool:
    """Whether the outbox has seen so many tries, good and bad."""
    [(tries,)] = rows(data_dir, "SELECT coalesce(sum(attempts), 0) FROM outbox")
    return bool(tries >= times)


def kill_while_pushing(server: Server, vendors: PushVendors, tries: int) -> None:
    wait_until(partial(tried, server.data_dir, tries), what="tries to push")
    server.kill()
    check_after_kill(server, vendors)
    end_pauses(server.data_dir)
    server.start()


def test_every_image_s_push_arrives_and_none_without_an_image(
    server: Server, vendors: PushVendors, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, people = server.register("Ann"), register_one_for_each(server, vendors)
    sent: list[tuple[str, str, int]] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        for first in range(0, ROUNDS * IMAGES_PER_ROUND, IMAGES_PER_ROUND):
            sending = pool.map(partial(send, ann, people), range(first, first + IMAGES_PER_ROUND))
            for name, vendor in vendors.each.items():
                vendor.tell("fault", kind=LIMITED[name], times=1, after=random.randint(0, 2))
            kill_while_pushing(server, vendors, first + random.randint(1, IMAGES_PER_ROUND // 2))
            sent += sending
    for vendor in vendors.each.values():
        vendor.tell("chances")
    kill_while_pushing(server, vendors, 0)
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    received = everything(vendors)
    arrived = {(name, push.target, push.message_id) for name, pushes in received.items() for push in pushes}
    assert arrived == set(sent)
    repeats = Counter({name: count_repeats(vendors, name, pushes) for name, pushes in received.items()})
    for name, vendor in vendors.each.items():
        assert vendor.ask("violations") == [], name
    with capsys.disabled():
        print(
            f"\n{ROUNDS + 1} kills, {FAULTS} percent of the calls: {len(sent)} images, {len(arrived)} pushes arrived,"
            f" 0 lost; repeated {sum(repeats.values())}: {dict(repeats)}"
        )


def count_repeats(vendors: PushVendors, name: str, pushes: list[Received]) -> int:
    """How many pushes came again, each under the id that it had before; a vendor may have kept the first alone."""
    ids = {(push.target, push.message_id): push.dedupe_id for push in pushes}
    assert all(ids[push.target, push.message_id] == push.dedupe_id for push in pushes), name
    assert len({*ids.values(), ""} - {""}) in (0, len(ids)), f"{name}: one id for two messages"
    dropped_there = sum(vendors.each[name].ask("repeated").values()) if name in ("getui", "webhook") else 0
    return len(pushes) - len(ids) + dropped_there
