# SPDX-License-Identifier: Apache-2.0
"""Requests written by hand, byte for byte, and what comes back: for clients that no library would play."""

import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from tests.support import PATIENCE
from tests.support.harness import Person, Server

BOUNDARY = "frontier"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
JSON = "Content-Type: application/json"
CLOSE = "Connection: close"
CLOSED_SECONDS = 15
"""Until a server with nothing more to say has closed: less than the 20 after which it closes any idle connection."""


@dataclass(frozen=True)
class Answer:
    """One HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem document; empty for anything else."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        code: str = json.loads(self.body)["code"]
        return code

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.code


def request(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    """A request as it goes over the wire; with a body also its length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(pieces: Iterable[bytes]) -> bytes:
    """A body in these chunks (RFC 9112, 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def image_part(image: bytes) -> bytes:
    return part("img_file", image, '; filename="x.jpg"')


def form(*parts: bytes) -> bytes:
    """A whole multipart body."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def by(person: Person) -> str:
    return f"Authorization: {person.basic}"


def answers(raw: bytes) -> list[Answer]:
    """The responses in these bytes. What has no length goes to the end."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", len(rest)))
        found.append(Answer(int(start.split(" ")[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes. Raises TimeoutError, and ConnectionError for a reset."""
    connection.settimeout(CLOSED_SECONDS)
    got = bytearray()
    while piece := connection.recv(65536):
        got += piece
    return bytes(got)


def read_answer(connection: socket.socket) -> Answer | None:
    """One response, the connection may stay open after it; None when the server closed instead."""
    connection.settimeout(PATIENCE)
    got = b""
    while True:
        head, end, rest = got.partition(b"\r\n\r\n")
        if end:
            (answer,) = answers(head + end)
            length = int(answer.headers.get("content-length", 0))
            if len(rest) >= length:
                return Answer(answer.status, answer.headers, rest[:length])
        piece = connection.recv(65536)
        if not piece:
            return None
        got += piece


def say_it_all_then_listen(server: Server, raw: bytes) -> list[Answer]:
    """As the simplest clients do. A connection that breaks before the server's orderly close is an error."""
    with server.connect() as connection:
        connection.sendall(raw)
        return answers(read_all(connection))


def provoke(server: Server, raw: bytes) -> list[Answer]:
    """What a client gets that does not mind how the connection ends."""
    with server.connect() as connection:
        got = bytearray()
        connection.settimeout(CLOSED_SECONDS)
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):  # a server that has answered need not read on
            connection.sendall(raw)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                got += piece
        return answers(bytes(got))


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an orderly end, also of TLS."""
    if isinstance(connection, ssl.SSLSocket):
        connection = socket.socket(fileno=connection.detach())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
