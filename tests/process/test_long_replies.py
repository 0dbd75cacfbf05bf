# SPDX-License-Identifier: Apache-2.0
"""Clients that take the longest replies as fast as they come: others' requests are answered in between."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.hostile_wire import read_answer, request
from tests.process.test_untaken import SETTINGS, export, of, pair
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server, running
from tests.support.rows import insert

pytestmark = ON_SQLITE

READERS = 20
SHARE = 8
"""No answer may take this part of the time in which so many read at once."""
ASK = request("GET", "/healthz")
EVENTS = 20_000


def log(server: Server) -> tuple[str, str]:
    """The whole of a long log, to its last event."""
    ann = server.register("Ann")
    rows = [(ann.uid, number, "friend_request", 1, '{"uid": 1}') for number in range(1, EVENTS + 1)]
    insert(server.database, "events", "uid, event_id, type, at, data", rows)
    server.database.execute("UPDATE users SET event_seq = ? WHERE uid = ?", EVENTS, ann.uid)
    return "/v1/events/stream?after=0", of(ann)


def read(server: Server, path: str, credential: str) -> None:
    """All of a reply, as fast as it comes."""
    with server.connect() as connection:
        connection.sendall(request("GET", path, credential, "Connection: close"))
        last = f'"id":{EVENTS},'.encode()
        tail = b""
        while (piece := connection.recv(1 << 20)) and last not in tail + piece:
            tail = piece[-50:]


def ask(bystander: socket.socket) -> float:
    """Seconds until an answer."""
    began = time.perf_counter()
    bystander.sendall(ASK)
    assert read_answer(bystander)
    return time.perf_counter() - began


@pytest.mark.parametrize("longest", [pair, export, log])
def test_those_who_read_fast_are_not_all_served_before_anybody_else(
    tmp_path: Path, longest: Callable[[Server], tuple[str, str]]
) -> None:
    with running(tmp_path, SETTINGS) as server, server.connect() as bystander, ThreadPoolExecutor(READERS) as crowd:
        path, credential = longest(server)
        ask(bystander)
        began = time.perf_counter()
        reading = [crowd.submit(read, server, path, credential) for _ in range(READERS)]
        worst = 0.0
        while not all(each.done() for each in reading):
            worst = max(worst, ask(bystander))
        took = time.perf_counter() - began
        for each in reading:
            each.result()
        assert worst < took / SHARE, (worst, took)
        assert server.failures() == []
