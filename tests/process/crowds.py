# SPDX-License-Identifier: Apache-2.0
"""Crowds of clients that mean no good, and what the server is for others meanwhile and afterwards.

`python -m tests.process.crowds` plays them at full size (`make prove-transport`); the suite plays them small.
"""

import random
import resource
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.process.hostile_wire import JSON, read_answer, request, reset
from tests.process.test_slow_clients import memory_bytes
from tests.support.harness import Server, running, wait_until

ASK = request("GET", "/healthz")
SETTINGS = {
    "limits": {"enabled": False},
    "server": {"max_connections": 8192, "idle_timeout_seconds": 20, "body_timeout_seconds": 20},
}
STARTS = (
    b"",
    b"GET /healthz HT",
    ASK,
    ASK * 3,
    request("POST", "/v1/register", JSON, "Content-Length: 100") + b"{",
    request("POST", "/v1/register", JSON, "Transfer-Encoding: chunked") + b"5\r\n12",
    request("POST", "/v1/images", "Content-Length: 100000") + bytes(500),
    request("GET", "/v1/events/ws", "Connection: Upgrade", "Upgrade: websocket"),
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
)


def slow_heads(server: Server, count: int, rounds: int) -> float:
    """Milliseconds of GET /healthz, 99th percentile, while so many clients each send a letter of a head a round."""
    took: list[float] = []
    with ExitStack() as stack, server.connect() as bystander:
        crowd = [stack.enter_context(server.connect()) for _ in range(count)]
        for each in crowd:
            each.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        for _ in range(rounds):
            for at, each in enumerate(crowd):
                each.send(b"a")
                if at % (count // 20) == 0:
                    took.append(_ask(bystander))
    took.sort()
    return took[len(took) * 99 // 100]


def _ask(bystander: socket.socket) -> float:
    began = time.perf_counter()
    bystander.sendall(ASK)
    answer = read_answer(bystander)
    assert answer
    assert answer.status == 200
    return (time.perf_counter() - began) * 1000


def cut_connections(server: Server, count: int, seed: int) -> None:
    """So many connections, each ended at a random moment by a close, a reset or half an end."""
    chance = random.Random(seed)
    opened: list[socket.socket] = []
    for _ in range(count):
        connection = server.connect()
        raw = chance.choice(STARTS)
        connection.sendall(raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.5 else raw)
        opened.append(connection)
        if len(opened) > 50:
            _end(opened.pop(chance.randrange(len(opened))), chance)
    for each in opened:
        _end(each, chance)


def _end(connection: socket.socket, chance: random.Random) -> None:
    how = chance.randrange(3)
    if how == 0:
        reset(connection)
        return
    if how == 1:
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    connection.close()


def main() -> int:
    """2,000 slow heads, then 100,000 cut connections. 0 where nobody felt it and nothing is left of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16_384)), hard))
    with tempfile.TemporaryDirectory() as name, running(Path(name), SETTINGS) as server:
        p99 = slow_heads(server, 2000, 10)
        print(f"2,000 slow heads: GET /healthz p99 {p99:.1f} ms")
        cut_connections(server, 5000, seed=0)
        wait_until(lambda: server.open_files() < 60, seconds=30, what="the return of the descriptors")
        files, memory = server.open_files(), memory_bytes(server)
        cut_connections(server, 100_000, seed=1)
        wait_until(lambda: server.open_files() <= files + 1, seconds=30, what="the return of the descriptors")
        grown = (memory_bytes(server) - memory) / 1e6
        print(f"100,000 cut connections: {files} descriptors before, {server.open_files()} after, {grown:+.1f} MB")
        return int(p99 > 50 or grown > 10 or bool(server.failures()))


if __name__ == "__main__":
    sys.exit(main())
