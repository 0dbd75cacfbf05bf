# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: what is under way is brought to an end, what is new is refused, and nothing accepted is lost."""

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulators.getui_rules import Keys
from tests.process.invariants import Told, check_database, check_promises, orphans, pushes_due
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg
from tests.support.stopping import hang

pytestmark = pytest.mark.usefixtures("engine")

UPLOADS = 30
CROWD = 400
DRAIN_SECONDS = 3
BOUNDARY = b"frontier"
SETTINGS = {
    "limits": {"enabled": False},
    "server": {"drain_seconds": DRAIN_SECONDS},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, SETTINGS) as server:
        yield server
    assert server.failures() == []


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Server]:
    """A server that would wait longer than any machine needs."""
    with running(tmp_path, {**SETTINGS, "server": {"drain_seconds": PATIENCE}}) as server:
        yield server
    assert server.failures() == []


def form(receiver: Person, picture: bytes) -> bytes:
    def part(name: bytes, value: bytes) -> bytes:
        return b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (BOUNDARY, name, value)

    return part(b"receiver_uid", str(receiver.uid).encode()) + part(b"img_file", picture) + b"--%s--\r\n" % BOUNDARY


class Upload:
    """An image that its sender trickles into a connection."""

    def __init__(self, sender: Person, receiver: Person, picture: bytes) -> None:
        self.picture = picture
        self._connection = sender.server.connect()
        body = form(receiver, picture)
        kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
        lines = (f"Authorization: {sender.basic}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "\r\n")
        head = "\r\n".join(("POST /v1/images HTTP/1.1", "Host: x", *lines)).encode()
        self._pieces = iter([head + body[: len(body) // 2], body[len(body) // 2 : -100], body[-100:]])

    def go_on(self) -> None:
        """Send the next piece of three."""
        self._connection.sendall(next(self._pieces))

    def answer(self) -> bytes:
        """What came back before the connection ended or fell silent; nothing when it was cut."""
        with self._connection:
            return read_answer(self._connection)


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
            answer += piece
    return answer


def refuses_connections(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionError:
        return True
    return False


def uploads_running(server: Server) -> int:
    """How many uploads have bytes on the disk: each holds a nameless file of the store."""
    assert server.process
    links = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return sum("(deleted)" in link.readlink().name for link in links if link.is_symlink())


def started_uploads(server: Server, ann: Person, ben: Person) -> list[Upload]:
    uploads = [Upload(ann, ben, jpeg(1_300_000 + number)) for number in range(UPLOADS)]
    for upload in uploads:
        upload.go_on()
    wait_until(lambda: uploads_running(server) == UPLOADS, what="the uploads")
    return uploads


def test_uploads_under_way_are_finished_and_their_pushes_not_lost(patient: Server) -> None:
    server = patient
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    uploads = started_uploads(server, ann, ben)
    kept = server.connect()
    server.terminate()
    wait_until(lambda: refuses_connections(server), what="the end of accepting")
    kept.sendall(f"GET /v1/inbox HTTP/1.1\r\nHost: x\r\nAuthorization: {ben.basic}\r\n\r\n".encode())
    with kept:
        assert read_answer(kept)[:12] in (b"", b"HTTP/1.1 503")
    for upload in uploads:
        upload.go_on()
    for upload in uploads:
        upload.go_on()
    told = Told()
    for upload in uploads:
        answer = upload.answer()
        assert answer.startswith(b"HTTP/1.1 201"), answer
        told.accept(answer.partition(b"Message-Key: ")[2][:64].decode(), upload.picture)
    assert server.wait() == 0
    check_database(server.data_dir)

    server.start()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    check_promises(ben, told)
    check_database(server.data_dir)


@ON_SQLITE
def test_a_crowd_that_had_asked_when_the_end_came_is_answered(patient: Server) -> None:
    server = patient
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(server.connect()) for _ in range(CROWD)]
        server.client.get("/healthz")  # all of them are accepted by now
        assert server.process
        hang(server.process.pid)
        for each in crowd:
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        server.terminate()
        server.process.send_signal(signal.SIGCONT)
        heads = [read_answer(each) for each in crowd]
    assert server.wait() == 0
    refused = [head for head in heads if not head.startswith(b"HTTP/1.1 200")]
    assert refused, "nobody stood in line: the test shows nothing"
    assert {head[:12] for head in refused} == {b"HTTP/1.1 503"}
    assert all(b"\r\nConnection: close\r\n" in head for head in refused)


def test_uploads_that_do_not_end_are_cut_and_leave_nothing(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    uploads = started_uploads(server, ann, ben)
    server.terminate()
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began > DRAIN_SECONDS - 0.5
    assert [upload.answer() for upload in uploads] == [b""] * UPLOADS
    check_database(server.data_dir)
    assert orphans(server.data_dir) == set()


def test_a_download_under_way_is_finished(patient: Server) -> None:
    server = patient
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    picture = jpeg(8_000_000)
    key = ann.send(ben, picture).headers["Message-Key"]
    with server.client.stream("GET", f"/v1/images/{key}", auth=ben.auth) as reply:
        pieces = reply.iter_raw(65536)
        got = next(pieces)
        server.terminate()
        wait_until(lambda: refuses_connections(server), what="the end of accepting")
        got += b"".join(pieces)
    assert got == picture
    assert server.wait() == 0
    server.start()
    assert ann.status(key)["state"] == "consumed"


@pytest.mark.parametrize("guests", [0, 20])
def test_an_idle_server_ends_at_once(patient: Server, guests: int) -> None:
    server = patient
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    picture = jpeg(8_000_000)
    key = ann.send(ben, picture).headers["Message-Key"]
    with contextlib.ExitStack() as stack:
        for _ in range(guests):
            gone, idle = server.connect(), stack.enter_context(server.connect())
            gone.sendall(f"GET /v1/images/{key} HTTP/1.1\r\nHost: x\r\nAuthorization: {ben.basic}\r\n\r\n".encode())
            gone.recv(1024)
            gone.close()
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(idle).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 30


def test_a_provider_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    keys = Keys()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        getui = {
            "base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v2",
            "app_id": keys.app_id,
            "app_key": keys.app_key,
            "master_secret": keys.master_secret,
        }
        with running(tmp_path, {**SETTINGS, "push": {"default_provider": "getui", "getui": getui}}) as server:
            ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
            assert ann.send(ben, jpeg()).status_code == 201
            silent.settimeout(PATIENCE)
            with silent.accept()[0]:
                began = time.monotonic()
                assert server.stop() == 0
                assert time.monotonic() - began < 25, "as long as a call to a provider may take"
    assert pushes_due(server.data_dir) == 1
