# SPDX-License-Identifier: Apache-2.0
"""What one account, one address, one network, one host, one friend and one group can do to a server's other people.

Each attack is a coroutine that goes on until its time is over, however often it is refused, and says what it got.
`tests.process.attacks` runs them, each in a process and from an address of its own.
"""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from socket import socket

import httpx

from tests.support.pictures import jpeg

EMOJI = "\U0001f600"
LONGEST_TEXT = EMOJI * 8000
PATIENCE = 30
Auth = tuple[str, str]


@dataclass(frozen=True)
class Account:
    uid: int
    auth: Auth


@dataclass
class Crowd:
    """Connections from one address. `victim` is whose inbox is aimed at, `hosts` listen and can be named as devices.

    With `gives_up` it goes on only until it is refused, or the time is over.
    """

    port: int
    address: str
    victim: int
    seconds: float
    hosts: Sequence[socket]
    to_others: Connection
    gives_up: bool = False
    answers: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        transport = httpx.AsyncHTTPTransport(
            verify=False, local_address=self.address, limits=httpx.Limits(max_connections=None)
        )
        base = f"http://127.0.0.1:{self.port}"
        self.client = httpx.AsyncClient(transport=transport, base_url=base, timeout=PATIENCE, trust_env=False)

    async def begin(self) -> None:
        """Everything is ready: from here on others are asked how they fare."""
        self.to_others.send("ready")
        await asyncio.to_thread(self.to_others.recv)
        self.ends_at = time.monotonic() + self.seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends_at and not (self.gives_up and self.answers[429])

    async def ask(self, who: Account | None, method: str, path: str, **more: object) -> httpx.Response | None:
        """The answer, counted; None for a connection that was cut."""
        auth = who.auth if who else None
        try:
            reply = await self.client.request(method, path, auth=auth, **more)  # type: ignore[arg-type]
        except httpx.TransportError:
            self.answers[0] += 1
            return None
        self.answers[reply.status_code] += 1
        return reply

    async def need(self, who: Account | None, method: str, path: str, **more: object) -> httpx.Response:
        """The answer to what must succeed before the attack begins."""
        reply = await self.ask(who, method, path, **more)
        assert reply is not None
        assert reply.is_success, reply.text
        return reply

    async def accounts(self, count: int) -> list[Account]:
        async def one() -> Account:
            body = {"region_num": "86", "phone_num": f"137{secrets.randbelow(10**8):08d}", "nickname": "abuser"}
            made = (await self.need(None, "POST", "/v1/register", json=body)).json()
            return Account(made["uid"], (made["phone_hash"], made["ukey"]))

        return [await one() for _ in range(count)]

    async def group(self, owner: Account, others: Sequence[Account]) -> int:
        body = {"name": "g", "members": [each.uid for each in others]}
        group_id = (await self.need(owner, "POST", "/v1/groups", json=body)).json()["group_id"]
        for each in others:
            await self.need(each, "PUT", f"/v1/groups/{group_id}/members/{each.uid}", json={})
        return int(group_id)

    async def flood(self, *acts: Callable[[], Awaitable[object]], at_once: int = 8) -> None:
        """Do each of these again and again, until the time is over."""

        async def repeat(act: Callable[[], Awaitable[object]]) -> None:
            while self.goes_on:
                await act()

        await asyncio.gather(*[repeat(act) for act in acts for _ in range(at_once)])

    async def open(self, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent this. Raises OSError."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0), limit=1024)
        writer.write(head.encode())
        return reader, writer

    def image(self, who: Account, picture: bytes, **to: int) -> Callable[[], Awaitable[object]]:
        data = {name: str(value) for name, value in to.items()}
        return lambda: self.ask(who, "POST", "/v1/images", data=data, files={"img_file": ("x.jpg", picture)})

    def text(self, who: Account, text: str, **to: int) -> Callable[[], Awaitable[object]]:
        return lambda: self.ask(who, "POST", "/v1/messages", json={"kind": "text", "text": text, **to})


async def longest_texts(crowd: Crowd) -> str:
    """One account says the longest texts to a group of twenty."""
    abuser, *others = await crowd.accounts(20)
    group = await crowd.group(abuser, others)
    await crowd.begin()
    await crowd.flood(crowd.text(abuser, LONGEST_TEXT, group_id=group))
    return ""


async def group_changes(crowd: Crowd) -> str:
    """One group of a hundred is renamed, and somebody comes and goes, without an end."""
    abuser, *others = await crowd.accounts(100)
    restless = others.pop()
    group = await crowd.group(abuser, others)
    path = f"/v1/groups/{group}"

    async def rename() -> None:
        await crowd.ask(abuser, "PATCH", path, json={"name": secrets.token_hex(4)})

    async def come_and_go() -> None:
        await crowd.ask(abuser, "PUT", f"{path}/members/{restless.uid}", json={})
        await crowd.ask(restless, "PUT", f"{path}/members/{restless.uid}", json={})
        await crowd.ask(restless, "DELETE", f"{path}/members/{restless.uid}")

    await crowd.begin()
    await crowd.flood(rename, come_and_go, at_once=4)
    return ""


async def invitations(crowd: Crowd) -> str:
    """One account asks two hundred strangers into ever new groups."""
    abuser, *strangers = await crowd.accounts(201)
    body = {"name": "g", "members": [each.uid for each in strangers]}
    await crowd.begin()
    await crowd.flood(lambda: crowd.ask(abuser, "POST", "/v1/groups", json=body))
    return ""


async def untaken_lists(crowd: Crowd) -> str:
    """One account asks for 6.4 MB two hundred times and takes nothing."""
    writer, reader = await crowd.accounts(2)
    for _ in range(200):
        await crowd.need(writer, "POST", "/v1/messages", **_said(LONGEST_TEXT, reader.uid))
    basic = httpx.BasicAuth(*reader.auth)._auth_header
    await crowd.begin()
    path = f"/v1/messages?with_uid={writer.uid}&page=1&per_page=200"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic}\r\n\r\n"
    held = [await crowd.open(head) for _ in range(200)]
    await asyncio.sleep(max(0, crowd.ends_at - time.monotonic()))
    for _, each in held:
        each.close()
    return "200 replies of 6.4 MB asked for"


def _said(text: str, uid: int) -> dict[str, object]:
    return {"json": {"kind": "text", "text": text, "receiver_uid": uid}}


async def exports(crowd: Crowd) -> str:
    """Twenty accounts read all that is kept about them, ten times each at once, as fast as it comes."""
    writer, *readers = await crowd.accounts(21)
    for reader in readers:
        for _ in range(20):
            await crowd.need(writer, "POST", "/v1/messages", **_said(LONGEST_TEXT, reader.uid))
    await crowd.begin()
    asked = [crowd.ask(reader, "GET", "/v1/me/export") for reader in readers for _ in range(10)]
    await asyncio.gather(*asked)
    return ""


async def discovery(crowd: Crowd) -> str:
    """Sixty accounts of one network ask about numbers."""
    accounts = await crowd.accounts(60)
    found = 0

    async def look(who: Account) -> None:
        nonlocal found
        hashes = {"phone_hashes": [secrets.token_hex(32) for _ in range(500)]}
        reply = await crowd.ask(who, "POST", "/v1/contacts/discover", json=hashes)
        found += 500 if reply is not None and reply.is_success else 0

    await crowd.begin()
    await crowd.flood(*[partial(look, each) for each in accounts], at_once=1)
    return f"{found} numbers"


async def typed_numbers(crowd: Crowd) -> str:
    """One account asks about contact lists of what looks like numbers and is none."""
    [abuser] = await crowd.accounts(1)
    typed = {"phone_nums": [f"+861{secrets.randbelow(10**10):010d}"[:13] for _ in range(500)]}
    await crowd.begin()
    await crowd.flood(lambda: crowd.ask(abuser, "POST", "/v1/contacts/discover", json=typed))
    return ""


async def announced_uploads(crowd: Crowd) -> str:
    """One address without a credential announces 54 images of 20 MiB and sends a letter of them now and then."""
    await crowd.begin()
    form = '--b\r\nContent-Disposition: form-data; name="img_file"; filename="x"\r\n\r\n'
    length = 20 * 1024 * 1024
    head = (
        "POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n{form}"
    )
    await _hold(crowd, head, 54, drip=b"\xff" * 4096)
    return ""


async def idle_connections(crowd: Crowd) -> str:
    """One address keeps 1,030 connections open and asks for nothing."""
    await crowd.begin()
    await _hold(crowd, "", 1030)
    return ""


async def event_streams(crowd: Crowd) -> str:
    """52 accounts of one address follow their events twenty times each."""
    heads = []
    for each in await crowd.accounts(52):
        basic = httpx.BasicAuth(*each.auth)._auth_header
        heads += [f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {basic}\r\n\r\n"] * 20
    await crowd.begin()
    await asyncio.gather(*[_hold(crowd, head, 1) for head in heads])
    return ""


async def _hold(crowd: Crowd, head: str, count: int, drip: bytes = b"") -> None:
    """Keep so many connections, each opened again when it is closed."""

    async def one() -> None:
        while crowd.goes_on:
            with contextlib.suppress(OSError):
                reader, writer = await crowd.open(head)
                while crowd.goes_on and not reader.at_eof():
                    writer.write(drip)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await reader.read(4096)
                writer.close()
            await asyncio.sleep(0.1)

    await asyncio.gather(*[one() for _ in range(count)])


async def one_stranger(crowd: Crowd) -> str:
    """One stranger fills an inbox with small images."""
    [abuser] = await crowd.accounts(1)
    await crowd.begin()
    await crowd.flood(crowd.image(abuser, jpeg(1000), receiver_uid=crowd.victim))
    return ""


async def many_strangers(crowd: Crowd) -> str:
    """Thirty strangers fill an inbox."""
    abusers = await crowd.accounts(30)
    await crowd.begin()
    await crowd.flood(*[crowd.image(each, jpeg(1000), receiver_uid=crowd.victim) for each in abusers], at_once=1)
    return ""


async def large_images(crowd: Crowd) -> str:
    """One stranger fills an inbox with large images."""
    [abuser] = await crowd.accounts(1)
    await crowd.begin()
    await crowd.flood(crowd.image(abuser, jpeg(10_000_000), receiver_uid=crowd.victim), at_once=2)
    return ""


async def one_friend(crowd: Crowd) -> str:
    """One friend fills an inbox."""
    [abuser] = await crowd.accounts(1)
    await crowd.need(abuser, "POST", "/v1/friends", json={"uid": crowd.victim})
    await crowd.begin()  # whoever is asked accepts
    await crowd.flood(crowd.image(abuser, jpeg(1000), receiver_uid=crowd.victim))
    return ""


async def hanging_hosts(crowd: Crowd) -> str:
    """Three accounts have twenty devices each, all on hosts that take a call and never answer."""
    sender, *owners = await crowd.accounts(4)
    for number, host in enumerate(crowd.hosts):
        await crowd.need(owners[number % 3], "POST", "/v1/devices", json=_device(host))
    await crowd.begin()
    await crowd.flood(*[crowd.text(sender, "x", receiver_uid=each.uid) for each in owners], at_once=1)
    return ""


async def one_host(crowd: Crowd) -> str:
    """Twenty accounts have twenty devices each on one host, which answers after 100 ms."""
    sender, *owners = await crowd.accounts(20)
    calls = Counter[int]()
    at_once = most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                calls[int(time.monotonic())] += 1
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.1)
                at_once -= 1
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    serving = await asyncio.start_server(answer, sock=crowd.hosts[0])
    for owner in owners:
        for _ in range(20):
            await crowd.need(owner, "POST", "/v1/devices", json=_device(crowd.hosts[0]))
    await crowd.begin()
    await crowd.flood(*[crowd.text(sender, "x", receiver_uid=each.uid) for each in owners], at_once=1)
    serving.close()
    return f"at most {most} calls at once, {max(calls.values())} a second"


def _device(host: socket) -> dict[str, str]:
    url = f"http://127.0.0.1:{host.getsockname()[1]}/{secrets.token_hex(4)}"
    return {"provider": "webhook", "token": url, "device_type": "ANDROID"}


async def nonsense(crowd: Crowd) -> str:
    """One address sends what no parser of addresses or JSON takes."""
    asks = [
        "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        (
            "GET /v1/events/ws HTTP/1.1\r\nHost: x\r\nOrigin: http://[\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        "POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
        + "[" * 100_000,
    ]

    async def say(text: str) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await crowd.open(text)
            async with asyncio.timeout(PATIENCE):
                crowd.answers[int((await reader.readline() or b"x 0").split()[1])] += 1
            writer.close()

    await crowd.begin()
    await crowd.flood(*[partial(say, each) for each in asks], at_once=4)
    return ""


ATTACKS = (
    longest_texts,
    group_changes,
    invitations,
    untaken_lists,
    exports,
    discovery,
    typed_numbers,
    announced_uploads,
    idle_connections,
    event_streams,
    one_stranger,
    many_strangers,
    large_images,
    one_friend,
    hanging_hosts,
    one_host,
    nonsense,
)
