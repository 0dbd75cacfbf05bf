# SPDX-License-Identifier: Apache-2.0
"""Blame before a body has ended: whoever sends it all first can read them, and they cost the server little."""

import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import (
    CLOSE,
    FORM,
    JSON,
    answers,
    by,
    chunked,
    form,
    image_part,
    part,
    provoke,
    read_answer,
    request,
    reset,
    say_it_all_then_listen,
)
from tests.process.wires import BOTH_WIRES, running_on
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import jpeg

pytestmark = [ON_SQLITE, BOTH_WIRES]

BIG = bytes(25_000_000)
STRANGER = "Authorization: Basic eDp5"

REFUSALS = {
    "a path that is not there": ("POST", "/nope", [], (404, "not_found")),
    "a path with a broken escape": ("POST", "/v1/activations/%ff", [JSON], (413, "too_large")),
    "a method that is not there": ("PUT", "/healthz", [], (405, "method_not_allowed")),
    "a method that nobody knows": ("BREW", "/healthz", [], (405, "method_not_allowed")),
    "a method in small letters": ("get", "/healthz", [], (405, "method_not_allowed")),
    "a method named like our own": ("FINISH", "/nope", [], (404, "not_found")),
    "a GET with a body": ("GET", "/healthz", [], (413, "too_large")),
    "JSON that is too long": ("POST", "/v1/register", [JSON], (413, "too_large")),
    "an image that is too long": ("POST", "/v1/images", [FORM], (413, "image_too_large")),
    "a stranger": ("POST", "/v1/me/ukey", [JSON, STRANGER], (413, "too_large")),
    "a compressed body": ("POST", "/v1/register", [JSON, "Content-Encoding: gzip"], (415, "unsupported_type")),
    "a length and an expectation": ("POST", "/v1/images", [FORM, "Expect: 100-continue"], (413, "image_too_large")),
    "an expectation in capitals": ("POST", "/v1/register", [JSON, "Expect: 100-Continue"], (413, "too_large")),
}


@pytest.mark.parametrize(("method", "path", "headers", "refusal"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_client_that_sends_25_mb_first_reads_the_refusal(
    server: Server, method: str, path: str, headers: list[str], refusal: tuple[int, str]
) -> None:
    with unharmed(server):
        (answer,) = say_it_all_then_listen(server, request(method, path, *headers, body=BIG))
    assert answer.refusal == refusal
    assert answer.headers["connection"] == "close"


def test_the_refusal_is_read_20_times_of_20(server: Server) -> None:
    raw = request("POST", "/v1/images", FORM, STRANGER, body=BIG)
    with unharmed(server):
        found = [say_it_all_then_listen(server, raw) for _ in range(20)]
    assert [[answer.refusal for answer in one] for one in found] == [[(413, "image_too_large")]] * 20


def test_six_at_once_read_it_too(server: Server) -> None:
    body = bytes(15_000_000)
    raw = request("POST", "/v1/images", FORM, STRANGER, body=body)
    with unharmed(server), ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: say_it_all_then_listen(server, raw), range(12)))
    assert [[answer.refusal for answer in one] for one in found] == [[(401, "unauthenticated")]] * 12


def test_a_chunked_body_that_grows_too_long_is_refused_on_its_way(server: Server, ann: Person, ben: Person) -> None:
    piece = bytes(65_536)
    endless = chunked([form(part("receiver_uid", str(ben.uid).encode()))[:-15] + b"\r\n", *[piece] * 340])
    image = [part("receiver_uid", str(ben.uid).encode()) + image_part(jpeg())[:-2], *[piece] * 340]
    behind = [form(part("receiver_uid", str(ben.uid).encode())), *[b"\r\n" * 32_768] * 340]
    for path, headers, body, code in (
        ("/v1/register", [JSON], endless, "too_large"),
        ("/v1/images", [FORM, by(ann)], chunked(image), "image_too_large"),
        ("/v1/images", [FORM, by(ann)], chunked(behind), "image_too_large"),
    ):
        with unharmed(server):
            raw = request("POST", path, *headers, "Transfer-Encoding: chunked") + body
            (answer,) = say_it_all_then_listen(server, raw)
        assert answer.refusal == (413, code)
    assert server.stored_files() == []


def test_a_declared_ten_gigabytes_is_refused_without_being_invited(server: Server, ann: Person) -> None:
    head = request("POST", "/v1/images", FORM, by(ann), "Content-Length: 10000000000", "Expect: 100-continue")
    with unharmed(server):
        (answer,) = say_it_all_then_listen(server, head)
    assert answer.refusal == (413, "image_too_large")


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_a_welcome_body_is_invited(server: Server, ann: Person, ben: Person, expect: str) -> None:
    body = form(part("receiver_uid", str(ben.uid).encode()), image_part(jpeg()))
    head = request("POST", "/v1/images", FORM, by(ann), f"Expect: {expect}", f"Content-Length: {len(body)}", CLOSE)
    with unharmed(server), server.connect() as connection:
        connection.sendall(head)
        invitation = read_answer(connection)
        assert invitation
        assert invitation.status == 100
        connection.sendall(body)
        answer = read_answer(connection)
    assert answer
    assert answer.status == 201


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue", "Expect: 100-Continue"])
@pytest.mark.parametrize(("size", "status"), [(25_000_000, 413), (15_000_000, 401)])
def test_curl_reads_the_refusal(server: Server, tmp_path: Path, expect: str, size: int, status: int) -> None:
    (tmp_path / "image").write_bytes(bytes(size))
    address = f"{'https' if server.trust else 'http'}://127.0.0.1:{server.port}/v1/images"
    command = ["curl", "-sSk", "-i", "--noproxy", "*", "-H", expect, "-u", "x:y", "-F", "img_file=@image", address]
    with unharmed(server):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    (answer,) = answers(done.stdout)
    assert answer.status == status
    assert answer.code


def test_a_refusal_without_a_body_keeps_the_connection(server: Server) -> None:
    asked = [
        (request("GET", "/nope"), 404),
        (request("HEAD", "/v1/images/" + "0" * 64), 401),
        (request("DELETE", "/healthz"), 405),
        (request("GET", "/v1/inbox", STRANGER), 401),
        (request("GET", "/v1/users/%ff", STRANGER), 401),
    ]
    with unharmed(server), server.connect() as connection:
        for raw, status in asked:
            connection.sendall(raw)
            if raw.startswith(b"HEAD"):
                head = connection.recv(65536)
                assert head.startswith(b"HTTP/1.1 401 ")
                assert head.endswith(b"\r\n\r\n")
                continue
            answer = read_answer(connection)
            assert answer
            assert answer.status == status


def test_a_known_path_names_its_methods(server: Server) -> None:
    (answer,) = provoke(server, request("BREW", "/v1/images/abc", CLOSE))
    assert answer.refusal == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, wire: str) -> Iterator[Server]:
    with running_on(wire, tmp_path_factory.mktemp("small"), {"images": {"max_bytes": 100_000}}) as server:
        yield server


def test_a_body_that_never_ends_is_cut(small: Server) -> None:
    with unharmed(small), small.connect() as connection:
        connection.sendall(request("POST", "/v1/images", FORM, "Content-Length: 10000000000"))
        with pytest.raises((ConnectionError, ssl.SSLEOFError)):
            connection.sendall(BIG + BIG)


def test_more_who_are_refused_than_are_waited_for_leave_the_server_well(small: Server) -> None:
    with unharmed(small):
        connections = [small.connect() for _ in range(80)]
        for connection in connections:
            connection.sendall(request("POST", "/nope", "Content-Length: 1000000"))
        assert all((answer := read_answer(each)) and answer.status == 404 for each in connections)
        for connection in connections:
            reset(connection)


def test_what_is_refused_is_not_kept_in_memory(server: Server) -> None:
    assert server.process
    status = Path(f"/proc/{server.process.pid}/status")

    def megabytes() -> int:
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) // 1024

    before, worst = megabytes(), 0
    with unharmed(server), server.connect() as connection:
        connection.sendall(request("POST", "/nope", "Content-Length: 40000000"))
        for _ in range(400):
            connection.sendall(bytes(100_000))
            worst = max(worst, megabytes())
        wait_until(lambda: b"not_found" in connection.recv(65536), what="the refusal")
    assert worst - before < 20
