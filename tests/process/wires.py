# SPDX-License-Identifier: Apache-2.0
"""The same servers with TLS of their own and without: what strangers send is met alike on both."""

import select
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import PATIENCE
from tests.support.certificates import own_certificate
from tests.support.harness import Server, running

BOTH_WIRES = pytest.mark.parametrize("wire", ["plain", "tls"], indirect=True, scope="module")
"""For a module whose tests run once on each; those with TLS on SQLite alone."""


@contextmanager
def running_on(wire: str, folder: Path, settings: Mapping[str, Any]) -> Iterator[Server]:
    """A server on this wire for the length of a block."""
    if wire == "plain":
        with running(folder, settings) as server:
            yield server
        return
    certificate = own_certificate(folder)
    secured = {**settings, "server": {**settings.get("server", {}), "tls": certificate.settings}}
    with running(folder, secured, trust=certificate.trust) as server:
        yield server


def reply_begins(connection: socket.socket) -> bool:
    """Whether a reply comes. Under TLS, which shows nothing unread, its first byte is taken."""
    if isinstance(connection, ssl.SSLSocket):
        return bool(connection.recv(1))
    return bool(select.select([connection], [], [], PATIENCE)[0] and connection.recv(1, socket.MSG_PEEK))
