# SPDX-License-Identifier: Apache-2.0
"""Crowds of clients that mean no good, and what the server is for others meanwhile and afterwards.

`python -m tests.process.crowds` plays them at full size (`make prove-transport`); the suite plays them small.
"""

import itertools
import math
import random
import resource
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from services.events import READERS_PER_PERSON
from tests.process.hostile_watch import computed
from tests.process.hostile_wire import FORM, JSON, by, form, image_part, part, read_answer, request, reset
from tests.process.test_following import lengthen_log
from tests.process.test_slow_clients import memory_bytes
from tests.process.wires import running_on
from tests.support.harness import Server, wait_until
from tests.support.pictures import jpeg

ASK = request("GET", "/healthz")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
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


@dataclass
class Answers:
    """How long GET /healthz took each time, in seconds, and how long the server computed meanwhile: what others run on
    the machine does not count there.
    """

    took: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)

    def ask(self, server: Server, bystander: socket.socket) -> None:
        began, before = time.perf_counter(), computed(server)
        bystander.sendall(ASK)
        answer = read_answer(bystander)
        assert answer
        assert answer.status == 200
        self.took.append(time.perf_counter() - began)
        self.computed.append(computed(server) - before)

    @property
    def p99_ms(self) -> float:
        return 1000 * sorted(self.took)[len(self.took) * 99 // 100]


def slow_heads(server: Server, count: int, rounds: int) -> Answers:
    """What a bystander is answered while so many clients each send a letter of a head a round."""
    return _beside(server, count, rounds, starts=[b"GET /healthz HTTP/1.1\r\nX: "], go_on=_send_a_letter)


def slow_bodies(server: Server, count: int, rounds: int) -> Answers:
    """As `slow_heads`, of the bodies of pictures on their way."""
    ann, ben = server.register("Ann"), server.register("Ben")
    picture = jpeg(200_000)
    body = form(part("receiver_uid", str(ben.uid).encode()), image_part(picture))
    head = request("POST", "/v1/images", FORM, by(ann), f"Content-Length: {len(body)}")
    return _beside(server, count, rounds, starts=[head + body[:1000]], go_on=_send_a_letter)


def slow_readers(server: Server, count: int, rounds: int) -> Answers:
    """As `slow_heads`, of clients who each read a little of a picture a round."""
    ann, ben = server.register("Ann"), server.register("Ben")
    key = ann.send(ben, jpeg(3_000_000)).headers["Message-Key"]
    ask = request("GET", f"/v1/images/{key}?ack=manual", by(ben))
    return _beside(server, count, rounds, starts=[ask], go_on=_read_a_little, window=4096)


def slow_sockets(server: Server, count: int, rounds: int) -> Answers:
    """As `slow_heads`, of WebSockets on which each reads a little of many long events a round. Who takes one for too
    long is cut meanwhile.
    """
    people = [server.register(f"Ann {number}") for number in range(math.ceil(count / READERS_PER_PERSON))]
    for person in people:
        lengthen_log(server, person.uid, events=20, letters=16_000)
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    starts = [request("GET", "/v1/events/ws?after=0", by(person), *upgrade) for person in people]
    return _beside(server, count, rounds, starts=starts, go_on=_read_a_little_or_the_end, window=4096)


SLOW: dict[str, Callable[[Server, int, int], Answers]] = {
    "heads": slow_heads,
    "bodies": slow_bodies,
    "readers": slow_readers,
    "sockets": slow_sockets,
}


def _send_a_letter(connection: socket.socket) -> None:
    connection.send(b"a")


def _read_a_little(connection: socket.socket) -> None:
    assert connection.recv(16)


def _read_a_little_or_the_end(connection: socket.socket) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        assert not connection.recv(16).startswith(b"HTTP/1.1 4"), "it was refused"


def _beside(
    server: Server,
    count: int,
    rounds: int,
    *,
    starts: Sequence[bytes],
    go_on: Callable[[socket.socket], None],
    window: int = 0,
) -> Answers:
    answers = Answers()
    with ExitStack() as stack, server.connect() as bystander:
        crowd = [stack.enter_context(server.connect(window)) for _ in range(count)]
        for each, start in zip(crowd, itertools.cycle(starts), strict=False):
            each.sendall(start)
        for each in crowd:
            go_on(each)  # what is asked at first is work that has to be done; from now on they only dawdle
        Answers().ask(server, bystander)
        for _ in range(rounds):
            for at, each in enumerate(crowd):
                go_on(each)
                if at % (count // 20) == 0:
                    answers.ask(server, bystander)
    return answers


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
    """2,000 of each slow kind, then 100,000 cut connections, plain and with TLS. 0 where nobody felt it and nothing is
    left of it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 32_768)), hard))
    return sum(_played_on(wire) for wire in ("plain", "tls"))


def _played_on(wire: str) -> int:
    """How much was wrong."""
    print(f"{wire}:")
    wrong = 0
    with tempfile.TemporaryDirectory() as name, running_on(wire, Path(name), SETTINGS) as server:
        for kind, play in SLOW.items():
            p99 = play(server, 2000, 10).p99_ms
            print(f"2,000 slow {kind}: GET /healthz p99 {p99:.1f} ms", flush=True)
            wrong += p99 > 50
        cut_connections(server, 5000, seed=0)
        wait_until(lambda: server.open_files() < 60, seconds=30, what="the return of the descriptors")
        files, memory = server.open_files(), memory_bytes(server)
        cut_connections(server, 100_000, seed=1)
        wait_until(lambda: server.open_files() <= files + 1, seconds=30, what="the return of the descriptors")
        grown = (memory_bytes(server) - memory) / 1e6
        print(f"100,000 cut connections: {files} descriptors before, {server.open_files()} after, {grown:+.1f} MB")
        return wrong + (grown > 10) + len(server.failures())


if __name__ == "__main__":
    sys.exit(main())
