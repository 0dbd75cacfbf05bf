# SPDX-License-Identifier: Apache-2.0
"""How others fare while somebody abuses the server as it ships: `python -m tests.process.attacks [--mariadb] [NAME…]`.

`make prove-attacks` runs every attack of `tests.process.abusers` against a server of its own, with every limit as in
config.yaml, and prints what two friends and a stranger meet meanwhile: their time beside the time before, and what was
refused to them. It fails when anything was, or when GET /healthz took too long twice.
"""

import asyncio
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from emulators.webhook import SECRET
from tests.process.abusers import ATTACKS, Crowd
from tests.process.test_slow_clients import memory_bytes
from tests.support import PATIENCE, engines
from tests.support.harness import Person, Server
from tests.support.pictures import jpeg
from tests.support.webhook_phone import Phone, running_phone

IDLE_SECONDS, SECONDS = 3.0, 8.0
PAUSE = 0.03
HANGING_HOSTS = 60
ABUSER, OTHERS = "127.0.0.2", "127.0.1.1"
"""Of two networks, and both this machine."""
SHUT_TO_STRANGERS = ("many_strangers",)
"""What strangers have in common of an inbox is theirs to fill; who is a friend must not notice."""
MOST_MS = 250
"""Of GET /healthz, 99th percentile: on a machine that does nothing else it is under 50."""
PICTURE = jpeg(20_000)


@dataclass
class Fared:
    """What others met: milliseconds by what they did, and what was refused."""

    took: dict[str, list[float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def percentile(self, what: str, percent: int) -> float:
        took = sorted(self.took.get(what, ()))
        return took[len(took) * percent // 100] if took else 0.0


@dataclass
class Others:
    """Ben, his friend Ann and a stranger, who do what people do."""

    ben: Person
    friend: Person
    stranger: Person
    client: httpx.Client
    phone: Phone
    sent: dict[int, float] = field(default_factory=dict)
    pushed: dict[int, float] = field(default_factory=dict)

    def live(self, seconds: float, pause: float = PAUSE) -> Fared:
        fared = Fared()
        ends_at, turn = time.monotonic() + seconds, 0
        self.sent.clear()
        while time.monotonic() < ends_at:
            turn += 1
            self._once(fared, self.friend if turn % 2 else self.stranger)
            time.sleep(pause)
        for message_id, at in self.sent.items():
            took = (self.pushed.get(message_id, time.perf_counter()) - at) * 1000
            fared.took.setdefault("push", []).append(took)
        return fared

    def _once(self, fared: Fared, sender: Person) -> None:
        self._timed(fared, "healthz", None, "GET", "/healthz")
        to = {"receiver_uid": str(self.ben.uid)}
        files = {"img_file": ("x.jpg", PICTURE)}
        reply = self._timed(fared, "send", sender, "POST", "/v1/images", data=to, files=files)
        if reply is not None:
            key = reply.headers["Message-Key"]
            self._timed(fared, "inbox", self.ben, "GET", "/v1/inbox")
            self._timed(fared, "fetch", self.ben, "GET", f"/v1/images/{key}?ack=manual")
            self._timed(fared, "acknowledge", self.ben, "DELETE", f"/v1/images/{key}")
        said = {"kind": "text", "text": "hello", "receiver_uid": self.ben.uid}
        began = time.perf_counter()
        reply = self._timed(fared, "text", sender, "POST", "/v1/messages", json=said)
        if reply is not None:  # not of the image, which is acknowledged: its push is dropped when it is late
            self.sent[reply.json()["message_id"]] = began
        hashes = {"phone_hashes": [self.ben.phone_hash]}
        self._timed(fared, "discover", sender, "POST", "/v1/contacts/discover", json=hashes)

    def _name(self, who: Person | None) -> str:
        return {self.ben: "Ben's ", self.friend: "friend's ", self.stranger: "stranger's "}[who] if who else ""

    def _timed(
        self, fared: Fared, what: str, who: Person | None, method: str, path: str, **more: object
    ) -> httpx.Response | None:
        began = time.perf_counter()
        try:
            reply = self.client.request(method, path, auth=who.auth if who else None, **more)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            fared.refused.append(f"{self._name(who)}{what} {type(error).__name__}")
            return None
        fared.took.setdefault(what, []).append((time.perf_counter() - began) * 1000)
        if not reply.is_success:
            fared.refused.append(f"{self._name(who)}{what} {reply.status_code}")
            return None
        return reply

    def heard(self) -> None:
        """The phone was called."""
        for body in self.phone.got.get(f"/204/{self.ben.uid}", ()):
            self.pushed.setdefault(body["message_id"], time.perf_counter())

    def accept(self) -> None:
        """Everybody who asks to be a friend."""
        for each in self.ben.request("GET", "/v1/friends?state=incoming").json()["items"]:
            assert self.ben.request("POST", f"/v1/friends/{each['uid']}/accept").is_success


@contextmanager
def scene(
    folder: Path, prepare: Callable[[Server], object] | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[Server, Others, list[socket.socket]]]:
    """A server as it ships, but that these hosts of this machine may be named by devices, and for `settings`.
    `prepare` sees it first.
    """
    with ExitStack() as stack:
        phone = stack.enter_context(running_phone())
        hosts = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(HANGING_HOSTS)]
        origins = [phone.url, *(f"http://127.0.0.1:{host.getsockname()[1]}" for host in hosts)]
        push = {"allow_endpoints": origins, "webhook": {"secret": SECRET}}
        server = Server(folder, {"push": push, **(settings or {})})
        if prepare:
            prepare(server)
        server.start()
        stack.callback(server.stop)
        yield server, stack.enter_context(others_of(server, phone)), hosts


@contextmanager
def others_of(server: Server, phone: Phone) -> Iterator[Others]:
    """New people, whom nobody has done anything to."""
    transport = httpx.HTTPTransport(verify=False, local_address=OTHERS)
    base = str(server.client.base_url)
    with httpx.Client(transport=transport, base_url=base, timeout=PATIENCE, trust_env=False) as client:
        ben, friend, stranger = (server.register() for _ in range(3))
        ben.befriend(friend)
        device = {"provider": "webhook", "token": f"{phone.url}/204/{ben.uid}", "device_type": "ANDROID"}
        assert ben.request("POST", "/v1/devices", json=device).is_success
        others = Others(ben, friend, stranger, client, phone)
        phone.before = others.heard
        yield others


def abuse(name: str, crowd: Crowd) -> None:
    """One attack, in a process of its own."""

    async def run() -> None:
        attack = next(each for each in ATTACKS if each.__name__ == name)
        said = await attack(crowd)
        answers = ", ".join(f"{count}x {status or 'cut'}" for status, count in sorted(crowd.answers.items()))
        crowd.to_others.send("; ".join(filter(None, [said, answers])))

    asyncio.run(run())


class Abuser:
    """One attack in a process of its own, ready to begin."""

    def __init__(
        self,
        name: str,
        server: Server,
        others: Others,
        hosts: list[socket.socket],
        *,
        seconds: float,
        gives_up: bool = False,
    ) -> None:
        self._hears, tells = multiprocessing.Pipe()
        crowd = Crowd(server.port, ABUSER, others.ben.uid, seconds, hosts, tells, gives_up=gives_up)
        self._process = multiprocessing.get_context("fork").Process(target=abuse, args=(name, crowd), daemon=True)
        self._process.start()
        self._hear()

    def begin(self) -> None:
        self._hears.send("go")

    def end(self) -> str:
        """What it got, when it has ended."""
        got = self._hear()
        self._process.join()
        return got

    def _hear(self) -> str:
        """What it says next. Raises AssertionError when it says nothing."""
        assert self._hears.poll(10 * PATIENCE)
        said: str = self._hears.recv()
        return said


def size(server: Server) -> int:
    files = [*server.database.files(), *(server.data_dir / "images").rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file())


def attacked(name: str) -> tuple[str, bool, bool]:
    """A row of the table; whether others were refused anything, and whether they waited too long."""
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as (server, others, hosts):
        before = others.live(IDLE_SECONDS)
        abuser = Abuser(name, server, others, hosts, seconds=SECONDS)
        others.accept()
        memory, disk = memory_bytes(server), size(server)
        abuser.begin()
        under = others.live(SECONDS)
        memory, disk = memory_bytes(server) - memory, size(server) - disk
        got = abuser.end()
        ready = server.client.get("/readyz").status_code
        hurt = [line for line in under.refused if not (name in SHUT_TO_STRANGERS and line == "stranger's send 429")]
        failures = [*hurt, *server.failures()]
    engines.release(Path(folder))
    times = [
        f"{before.percentile(what, percent):.0f} → {under.percentile(what, percent):.0f}" for what, percent in COLUMNS
    ]
    cells = [name, *times, str(len(under.refused)), f"{memory / 1e6:+.0f} MB", f"{disk / 1e6:+.1f} MB", str(ready), got]
    row = f"| {' | '.join(cells)} |" + "".join(f"\n    {line}" for line in failures[:5])
    return row, bool(failures), under.percentile("healthz", 99) > MOST_MS


COLUMNS = (("healthz", 99), ("send", 50), ("send", 99), ("inbox", 99), ("text", 99), ("push", 50), ("push", 99))
TITLES = ["attack", *(f"{what} p{each}" for what, each in COLUMNS), "refused", "memory", "disk", "ready", "it got"]


def main(arguments: list[str], say: Callable[[str], object]) -> int:
    if "--mariadb" in arguments:
        engines.use("mariadb")
    wanted = [each for each in arguments if not each.startswith("-")] or [each.__name__ for each in ATTACKS]
    hurt = 0
    say(f"| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|\n")
    for name in wanted:
        row, refused, slow = attacked(name)
        say(f"{row}\n")
        if slow and not refused:
            row, refused, slow = attacked(name)
            say(f"{row}\n")
        hurt += refused or slow
    return hurt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda text: (sys.stdout.write(text), sys.stdout.flush())))
