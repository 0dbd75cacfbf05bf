# SPDX-License-Identifier: Apache-2.0
"""The attacks of `tests.process.attacks`, small: who is refused and who is not, and what an abuser leaves behind."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from config.load import load
from tests.process.abusers import ATTACKS
from tests.process.attacks import SHUT_TO_STRANGERS, Abuser, Others, others_of, scene, size
from tests.process.test_slow_clients import memory_bytes
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server, wait_until

pytestmark = ON_SQLITE

SETTINGS: dict[str, Any] = {
    "inbox": {"max_pending": 60, "max_pending_bytes": 50_000_000},
    "limits": {"rates": {"per_account": {"delivery": "2000/hour", "export": "2/hour"}}},
}
"""As shipped, but for a tenth of what takes long to spend."""
SECONDS = 2.0
"""How long those go on who are not refused by what they do, but crowded out."""
CHARGED = (
    "longest_texts",
    "group_changes",
    "invitations",
    "exports",
    "discovery",
    "typed_numbers",
    "one_stranger",
    "many_strangers",
    "large_images",
    "one_friend",
)
"""They are told that it was enough."""
MOST_MEMORY_BYTES = 60_000_000
MOST_DISK_BYTES = 60_000_000
Place = tuple[Server, Others, list[socket.socket]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with scene(tmp_path_factory.mktemp("server"), settings=SETTINGS) as place:
        yield place
        assert place[0].failures() == []


@pytest.mark.parametrize("name", [attack.__name__ for attack in ATTACKS])
def test_who_abuses_is_refused_and_nobody_else(place: Place, name: str) -> None:
    server, first, hosts = place
    with others_of(server, first.phone) as others:
        charged = name in CHARGED
        seconds = PATIENCE if charged else SECONDS
        abuser = Abuser(name, server, others, hosts, seconds=seconds, gives_up=charged)
        others.accept()
        memory, disk = memory_bytes(server), size(server)
        abuser.begin()
        fared = others.live(SECONDS)
        got = abuser.end()
        wait_until(lambda: others.sent.keys() <= others.pushed.keys(), what="the pushes of everybody else")
    refused = [line for line in fared.refused if not (name in SHUT_TO_STRANGERS and line == "stranger's send 429")]
    assert refused == []
    assert others.sent
    statuses = {int(status) for status in re.findall(r"[0-9]x ([0-9]{3})", got)}
    assert 429 in statuses or not charged, got
    assert max(statuses, default=0) < 500, got
    assert memory_bytes(server) - memory < MOST_MEMORY_BYTES
    assert size(server) - disk < MOST_DISK_BYTES
    if name == "one_host":
        at_once, a_second = map(int, re.findall("[0-9]+", got)[:2])
        shares = load(None).push.per_origin
        assert at_once <= shares.at_once
        assert a_second <= 2 * shares.per_second  # what a second has kept from the one before, and its own
