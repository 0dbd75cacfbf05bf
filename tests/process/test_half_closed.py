# SPDX-License-Identifier: Apache-2.0
"""Clients that end their side and listen on: on plain connections they are answered. TLS has a farewell of its own, see
tests/transport/test_tls.py.
"""

import socket
from collections.abc import Iterator

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import JSON, answers, read_all, request
from tests.support.engines import ON_SQLITE
from tests.support.harness import Server

pytestmark = ON_SQLITE


@pytest.fixture(autouse=True)
def _nobody_is_harmed(server: Server) -> Iterator[None]:
    with unharmed(server):
        yield


@pytest.mark.parametrize(
    "raw",
    [
        request("POST", "/v1/register", JSON, body=b"{}"),
        request("GET", "/healthz") * 3,
        request("POST", "/v1/register", JSON, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["one", "three", "chunks"],
)
def test_a_client_that_ends_its_side_is_answered(server: Server, raw: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        found = answers(read_all(connection))
    assert [answer.status for answer in found] == ([200] * 3 if b"healthz" in raw else [422])


@pytest.mark.parametrize("raw", [b"GET /healthz HT", request("POST", "/v1/register", "Content-Length: 5") + b"12"])
def test_a_client_that_ends_its_side_in_the_middle_is_closed(server: Server, raw: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""
