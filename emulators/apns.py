# SPDX-License-Identifier: Apache-2.0
"""A stand-in for APNs' provider API: HTTP/2 over TLS, with a certificate made on the spot.

As a process: `python -m emulators apns`. In a test: `async with running() as apns:`. What it kept is read, and what
is to happen is set, on a second port that speaks plain HTTP.
"""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tornado.web import Application

from emulators import keys as keys_of
from emulators.apns_http2 import FAULTS_AFTER, FAULTS_BEFORE, ApnsConnection
from emulators.apns_rules import STATES, STATUS_OF, ApnsState, Keys
from emulators.http import ControlHandler, Fault, PageHandler, listen, serving
from emulators.starting import KEYS_DIRECTORY, Started, serve, with_chances

KINDS = (*FAULTS_BEFORE, *FAULTS_AFTER, *STATUS_OF)


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens. `url` is its page's; `base_url` and `ca_file` are what `push.apns` is to have."""

    url: str
    base_url: str
    ca_file: Path
    state: ApnsState
    opened: set[ApnsConnection]


class Control(ControlHandler):
    """`/__…`: read what arrived, set what is to happen."""

    state: ApnsState

    def shown(self) -> dict[str, Any]:
        state = self.state
        token = self.get_query_argument("token", None)
        return {
            "inbox": state.inbox if token is None else state.inbox.get(token, []),
            "violations": state.violations,
            "calls": {**state.calls, "connections": state.connections},
        }

    def _set_fault(self, kind: str, times: int = 1, after: int = 0) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        self.state.faults.queue.append(Fault(kind, int(times), int(after)))

    def _set_token(self, token: str, state: str, timestamp: int | None = None) -> None:
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}")
        self.state.targets[token.lower()] = (state, self.state.clock.now() if timestamp is None else int(timestamp))

    def _set_strict(self, *, on: bool) -> None:
        self.state.strict = bool(on)

    def _set_reset(self) -> None:
        vars(self.state).update(vars(ApnsState(self.state.keys)))


def application(state: ApnsState) -> Application:
    """The page and the control plane."""
    own = {"state": state}
    return Application(
        [(r"/__([a-z_]+)", Control, own), (r"/", PageHandler, own | {"title": "APNs"})], log_function=lambda _: None
    )


async def listen_http2(
    state: ApnsState, directory: Path, host: str, port: int
) -> tuple[asyncio.Server, str, Path, set[ApnsConnection]]:
    """Serve the vendor's API: the server, its URL, the certificate's file, and the connections that are open."""
    key = keys_of.kept(directory / "apns-tls.pem", keys_of.p256_key)
    certificate = (directory / "apns-ca.pem").resolve()
    keys_of.keep_certificate(certificate, key, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, directory / "apns-tls.pem")
    context.set_alpn_protocols(["h2"])
    opened: set[ApnsConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ApnsConnection(state, opened), host, port, ssl=context)
    return server, f"https://{host}:{server.sockets[0].getsockname()[1]}", certificate, opened


@asynccontextmanager
async def running(keys: Keys | None = None) -> AsyncIterator[Running]:
    """An emulator on free ports of loopback for as long as the block runs."""
    state = ApnsState(keys or Keys())
    with tempfile.TemporaryDirectory() as directory:
        server, base_url, certificate, opened = await listen_http2(state, Path(directory), "127.0.0.1", 0)
        try:
            async with serving(application(state)) as url:
                yield Running(url, base_url, certificate, state, opened)
        finally:
            server.close()
            for connection in list(opened):
                connection.abort()
            await server.wait_closed()


@click.command("apns")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="of the vendor's API; the page is on the next one; 0: free ones")
@click.option("--keys", default=str(KEYS_DIRECTORY), show_default=True, help="directory for key and certificate")
@click.option("--topic", default="com.example.app", show_default=True)
@with_chances("pushes")
def command(*, host: str, port: int, keys: str, topic: str, chances: dict[str, float]) -> None:
    """Emulate APNs until interrupted."""
    asyncio.run(serve(host, port, lambda host, ports: start(host, ports, Path(keys), topic, chances)))


async def start(
    host: str,
    ports: Iterator[int],
    directory: Path = KEYS_DIRECTORY,
    topic: str = "com.example.app",
    chances: dict[str, float] | None = None,
) -> Started:
    """Listen on the next two ports, and write the signing key's file and the certificate's."""
    signing = (directory / "apns-AuthKey.p8").resolve()
    keys = Keys(topic=topic, private_key=keys_of.kept(signing, keys_of.p256_key))
    state = ApnsState(keys)
    state.faults.chances = chances or {}
    _server, base_url, certificate, _ = await listen_http2(state, directory, host, next(ports))
    _, url = listen(application(state), host, next(ports))
    settings = {
        "base_url": base_url,
        "ca_file": str(certificate),
        "team_id": keys.team_id,
        "key_id": keys.key_id,
        "private_key_file": str(signing),
        "topic": keys.topic,
    }
    return Started("APNs", url, {"push": {"apns": settings}})
