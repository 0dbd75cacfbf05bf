# SPDX-License-Identifier: Apache-2.0
"""No push is lost: a provider that fails, hangs and resets half of the time, and a server that is killed meanwhile."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.getui_rules import Keys
from tests.harness import ROOT, Person, Server, running, until_answered, wait_until
from tests.pictures import jpeg
from tests.process.invariants import check_database, let_leases_end, pushes_due, rows

ROUNDS = 8
IMAGES_PER_ROUND = 20
SENDERS = 4
FAULTS = {"fail": 30, "hang": 10, "reset": 10}
CID = "cid-ben"


class Vendor:
    """The GeTui emulator as a process of its own, and its control plane."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, what: str, **query: str) -> Any:
        return httpx.get(f"{self.url}/__{what}", params=query, trust_env=False).json()

    def heal(self) -> None:
        httpx.post(f"{self.url}/__chances", json={}, trust_env=False).raise_for_status()

    def received(self) -> list[tuple[int, str]]:
        """What the receiver's phone has got: message and request id of each push."""
        items = self.ask("inbox", cid=CID)
        return [(json.loads(item["transmission"])["message_id"], item["request_id"]) for item in items]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    chances = [f"--{name}={percent}" for name, percent in FAULTS.items()]
    command = [sys.executable, "-m", "emulators", "getui", *chances]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r"emulator at (\S+)", process.stdout.readline())
        assert found
        yield Vendor(found[1])
        process.terminate()


@pytest.fixture
def server(tmp_path: Path, vendor: Vendor) -> Iterator[Server]:
    keys = Keys()
    getui = {
        "base_url": f"{vendor.url}/v2",
        "app_id": keys.app_id,
        "app_key": keys.app_key,
        "master_secret": keys.master_secret,
    }
    settings = {"limits": {"enabled": False}, "push": {"default_provider": "getui", "getui": getui}}
    with running(tmp_path, settings) as server:
        yield server


def send(ann: Person, ben: Person, number: int) -> int:
    headers = {"Idempotency-Key": f"chaos-{number}"}
    reply = until_answered(partial(ann.send, ben, jpeg(), headers=headers))
    assert reply.status_code == 201, reply.text
    return int(reply.headers["Message-Id"])


def check_after_kill(server: Server, vendor: Vendor) -> None:
    pushed = {message_id for message_id, _ in vendor.received()}
    check_database(server.data_dir, in_flight=ROUNDS * SENDERS, pushed=pushed)
    committed = {message_id for (message_id,) in rows(server.data_dir, "SELECT message_id FROM messages")}
    assert pushed <= committed, "a push without its image"


def tried(data_dir: Path, times: int) -> bool:
    """Whether the outbox has seen so many tries, good and bad."""
    [(tries,)] = rows(data_dir, "SELECT coalesce(sum(attempts), 0) FROM outbox")
    return bool(tries >= times)


def kill_while_pushing(server: Server, vendor: Vendor, tries: int) -> None:
    wait_until(partial(tried, server.data_dir, tries), seconds=60, what="tries to push")
    server.kill()
    check_after_kill(server, vendor)
    let_leases_end(server.data_dir)
    server.start()


def test_every_image_s_push_arrives_and_none_without_an_image(
    server: Server, vendor: Vendor, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid=CID)
    sent: list[int] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        for first in range(0, ROUNDS * IMAGES_PER_ROUND, IMAGES_PER_ROUND):
            sending = pool.map(partial(send, ann, ben), range(first, first + IMAGES_PER_ROUND))
            kill_while_pushing(server, vendor, first + random.randint(1, IMAGES_PER_ROUND // 2))
            sent += sending
    vendor.heal()
    kill_while_pushing(server, vendor, 0)
    wait_until(lambda: pushes_due(server.data_dir) == 0, seconds=30, what="the pushes")
    received, repeated = vendor.received(), vendor.ask("repeated")
    assert Counter(message_id for message_id, _ in received) == Counter(sent)
    assert len({request_id for _, request_id in received}) == len(sent)
    assert repeated.keys() <= {request_id for _, request_id in received}
    assert vendor.ask("violations") == []
    with capsys.disabled():
        print(
            f"\n{ROUNDS + 1} kills, {FAULTS} percent of the calls: {len(sent)} images, {len(received)} pushes,"
            f" {sum(repeated.values())} repeated, 0 lost"
        )
