# SPDX-License-Identifier: Apache-2.0
"""Servers for clients that were written from the samples' documents: one as it comes, one with hosted chat services."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.process.samples.world import Hosted
from tests.support.engines import NewFolder
from tests.support.harness import Server, running
from tests.support.vendors import vendor


@pytest.fixture(scope="package")
def room_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="package")
def server(new_folder: NewFolder, room_port: int) -> Iterator[Server]:
    """Without credentials for any hosted service."""
    settings = {
        "limits": {"enabled": False},
        "samples": {"room_socket_port": room_port},
        "delivery": {"stall_seconds": 1},
    }
    with running(new_folder("samples"), settings) as server:
        yield server
        assert server.stop() == 0
        assert server.failures() == []


@pytest.fixture(scope="package")
def hosted(new_folder: NewFolder, server: Server, room_port: int) -> Iterator[Hosted]:
    """With both hosted services, and with a room socket's port that the other server has already."""
    with ExitStack() as stack:
        agora, sendbird = (stack.enter_context(vendor(name)) for name in ("agora", "sendbird"))
        settings = {
            "limits": {"enabled": False},
            "samples": {"room_socket_port": room_port},
            "chat": {**agora.config["chat"], **sendbird.config["chat"]},
        }
        second = stack.enter_context(running(new_folder("hosted"), settings))
        assert second.port != server.port
        yield Hosted(second, agora, sendbird)
        assert second.failures() == []
