# SPDX-License-Identifier: Apache-2.0
"""Several workers behind one port, on one database: what holds for one process holds for all of them together."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.process.crew import Crew, Line, crew
from tests.process.invariants import Told, check_database, check_promises, orphans, pushes_due
from tests.process.scraping import Metered, free_port
from tests.process.test_drain import read_answer, refuses_connections
from tests.support import PATIENCE, ROOT
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, Engine
from tests.support.harness import Person, running, wait_until
from tests.support.pictures import jpeg

pytestmark = [
    ON_MARIADB,
    NEEDS_MARIADBD,
    pytest.mark.usefixtures("engine"),
]

ENDING = "ending: running requests may finish"
CLIENTS = 40
UPLOADS = 20
LARGE = 700_000
"""More than is kept in memory before a file is begun."""
MEGABYTE = 1 << 20
GET_ONCE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
WELL_WITHIN_SECONDS = 8
"""Of the ten after which a reader that nobody has woken looks by itself."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Crew]:
    with crew(tmp_path) as both:
        yield both
    assert both.server.failures() == []


def people(some: Crew) -> tuple[Person, Person]:
    return some.server.register("Ann"), some.server.register("Ben", cid="cid-ben")


def test_every_worker_serves_and_one_greeting_is_printed(tmp_path: Path) -> None:
    with crew(tmp_path, count=3) as three:
        assert len(three.pids) == 3
        for number in range(3):
            with three.line_to(number) as line:
                assert line.ask("GET", "/readyz").status == 200
        three.server.terminate()
        assert three.server.process
        assert "listens" not in three.server.process.stdout.read()  # whose end is that of the last worker, too
        assert three.server.wait() == 0
    assert three.server.failures() == []


def test_each_worker_has_a_metrics_port(tmp_path: Path) -> None:
    first = free_port(2)
    with crew(tmp_path, {"metrics": {"port": first}}) as both:
        scraped = [Metered(both.server, first + number) for number in range(2)]
        before = [each.scrape()("http_connections") for each in scraped]
        with both.line_to(1):
            scraped[1].wait_for("http_connections", before[1] + 1)
        assert scraped[0].scrape()("stored_bytes") == scraped[1].scrape()("stored_bytes") == 0


def test_a_killed_worker_takes_nobody_with_it_who_only_waited_and_is_replaced(pair: Crew) -> None:
    before = pair.pids
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(pair.server.connect()) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        victim, other = sorted(before)
        os.kill(victim, signal.SIGKILL)
        os.kill(other, signal.SIGCONT)
        answers = [read_answer(client) for client in clients]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    wait_until(lambda: len(pair.pids - before) == 1, what="another worker")
    assert other in pair.pids
    for number in range(2):
        wait_until(partial(pair.serves, number), what="a worker that serves")
        with pair.line_to(number) as line:
            assert line.ask("GET", "/readyz").status == 200
    pair.expect("a worker ended")


def test_a_worker_may_be_replaced_by_hand(pair: Crew) -> None:
    ann, ben = people(pair)
    old = pair.pid_of(0)
    with pair.line_to(0) as line:
        line.begin_image(ann, ben, jpeg(LARGE))
        wait_until(lambda: pair.uploads_running() == 1, what="the upload")
        os.kill(old, signal.SIGTERM)
        wait_until(lambda: ENDING in pair.server.log.read_text(), what="the end of the worker")
        assert pair.server.raw(GET_ONCE).startswith(b"HTTP/1.1 200")
        line.finish_image()
        assert line.answer().status == 201
    wait_until(lambda: old not in pair.pids and pair.serves(0), what="another worker")


def test_uploads_under_way_at_the_end_are_finished_by_every_worker(pair: Crew) -> None:
    ann, ben = people(pair)
    told, server = Told(), pair.server
    with ExitStack() as stack:
        lines = [stack.enter_context(pair.line_to(number % 2)) for number in range(UPLOADS)]
        pictures = [jpeg(LARGE + number) for number in range(UPLOADS)]
        for line, picture in zip(lines, pictures, strict=True):
            line.begin_image(ann, ben, picture)
        wait_until(lambda: pair.uploads_running() == UPLOADS, what="the uploads")
        server.terminate()
        wait_until(lambda: refuses_connections(server), what="the end of accepting")
        for line in lines:
            line.finish_image()
        for line, picture in zip(lines, pictures, strict=True):
            answer = line.answer()
            assert answer.status == 201, answer.body
            told.accept(answer.headers["Message-Key"], picture)
    assert server.wait() == 0
    check_database(server.data_dir)
    assert orphans(server.data_dir) == set()

    server.start()
    wait_until(lambda: pushes_due(server.data_dir) == 0, what="the pushes")
    check_promises(ben, told)


def next_event(stream: HTTPResponse) -> str:
    """Its type. Signs of life are passed over."""
    while line := stream.readline():
        if line.startswith(b"event: "):
            return line.removeprefix(b"event: ").strip().decode()
    return ""


def test_an_event_reaches_who_waits_at_another_worker(pair: Crew) -> None:
    ann, ben = people(pair)
    with pair.line_to(0) as waiting, pair.line_to(1) as sending:
        stream = waiting.events(ben)
        began = monotonic()
        assert sending.send(ann, ben, jpeg()).status == 201
        assert next_event(stream) == "image"
        assert monotonic() - began < WELL_WITHIN_SECONDS


def test_an_event_reaches_who_waits_at_another_machine(pair: Crew, tmp_path: Path) -> None:
    ann, ben = people(pair)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(mode=0o700, parents=True)
    shutil.copy(pair.server.data_dir / "keys.json", elsewhere / "data" / "keys.json")
    with running(elsewhere, {"database": {"url": pair.server.database.url}}) as other:
        line = Line(other)
        stream = line.events(ben)
        began = monotonic()
        assert ann.send(ben, jpeg()).status_code == 201
        assert next_event(stream) == "image"
        assert monotonic() - began < WELL_WITHIN_SECONDS
        line.close()


def test_an_image_that_is_acknowledged_is_removed_at_once_by_whichever_worker_does_so(tmp_path: Path) -> None:
    with crew(tmp_path, {"retention": {"interval_seconds": 3600}}) as both:
        ann, ben = people(both)
        for number in range(2):
            with both.line_to(number) as line:
                key = line.send(ann, ben, jpeg()).headers["Message-Key"]
                assert line.ask("GET", f"/v1/images/{key}?ack=manual", ben).status == 200
                assert line.ask("DELETE", f"/v1/images/{key}", ben).status in (200, 204)
            wait_until(lambda: both.server.stored_files() == [], what="the removal")
    assert both.server.failures() == []


def test_the_ceiling_on_stored_bytes_holds_for_all_and_a_dead_worker_gives_its_room_back(tmp_path: Path) -> None:
    with crew(tmp_path, {"storage": {"max_bytes": 5 * MEGABYTE}}) as both:
        ann, ben = people(both)
        picture = jpeg(3 * MEGABYTE)
        with both.line_to(0) as first, both.line_to(1) as second:
            first.begin_image(ann, ben, picture)
            wait_until(lambda: both.uploads_running() == 1, what="the upload")
            refused = second.send(ann, ben, picture)
            assert (refused.status, refused.json()["code"]) == (507, "storage_full")
            dead = both.pid_of(0)
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda: both.pid_of(0) != dead, what="another worker")
        with both.line_to(1) as second:
            assert second.send(ann, ben, picture).status == 201
        with both.line_to(1) as second:
            assert second.send(ann, ben, picture).status == 507
        both.expect("a worker ended")
    assert both.server.failures() == []


def test_what_unknown_callers_may_have_on_the_way_holds_for_all(tmp_path: Path) -> None:
    with crew(tmp_path, {"uploads": {"unknown_caller_max_bytes": MEGABYTE}}) as both:
        _, ben = people(both)
        with both.line_to(0) as first, both.line_to(1) as second:
            first.begin_image(None, ben, jpeg(LARGE))
            wait_until(lambda: both.uploads_running() == 1, what="the upload")
            second.begin_image(None, ben, jpeg(LARGE))
            assert second.answer().status == 503
        with both.line_to(1) as second:
            wait_until(lambda: both.uploads_running() == 0, what="the end of the upload")
            second.begin_image(None, ben, jpeg(LARGE))
            second.finish_image()
            assert second.answer().status == 401


def test_connections_are_bounded_for_all_together(tmp_path: Path) -> None:
    with crew(tmp_path, {"server": {"max_connections": 12}}) as both:
        both.server.client.close()
        opened: list[socket.socket] = []
        with ExitStack() as stack:

            def served() -> bool:
                connection = stack.enter_context(both.server.connect())
                opened.append(connection)
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                return read_answer(connection).startswith(b"HTTP/1.1 200")

            assert all(served() for _ in range(15)), "who has no request has to go first"
            wait_until(lambda: sum(map(is_open, opened)) <= 12, what="the end of those who were too many")
        wait_until(lambda: both.server.raw(GET_ONCE).startswith(b"HTTP/1.1 200"), what="room for another")


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True


def test_workers_end_when_their_supervisor_is_killed(pair: Crew) -> None:
    ann, ben = people(pair)
    workers, server = pair.pids, pair.server
    with pair.line_to(0) as line:
        line.begin_image(ann, ben, jpeg(LARGE))
        wait_until(lambda: pair.uploads_running() == 1, what="the upload")
        assert server.process
        server.process.kill()
        wait_until(lambda: ENDING in server.log.read_text(), what="the end")
        line.finish_image()
        assert line.answer().status == 201
    server.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), what="the end of all")
    check_database(server.data_dir)


def refusal(folder: Path, engine: Engine, **environment: str) -> subprocess.CompletedProcess[str]:
    """How a server of two workers ends that cannot start."""
    ended = subprocess.run(
        [sys.executable, "server.py", "--data-dir", str(folder / "data")],
        check=False,
        cwd=ROOT,
        env={**os.environ, "GLIMPSE_SERVER__WORKERS": "2", "GLIMPSE_DATABASE__URL": engine.url, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "listens" not in ended.stdout
    assert "Traceback" not in ended.stderr
    return ended


def test_what_no_worker_can_do_without_ends_the_server_with_its_message(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "data" / "images").mkdir(0o700, parents=True)
    (tmp_path / "data").chmod(0o700)
    (tmp_path / "data" / "images" / ".tmp").write_text("in the way")
    ended = refusal(tmp_path, engine, GLIMPSE_SERVER__PORT="0")
    assert ended.returncode == 1
    assert "Glimpse cannot start: " in ended.stderr


def test_a_port_that_is_taken_is_named_once(tmp_path: Path, engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = refusal(tmp_path, engine, GLIMPSE_SERVER__PORT=port)
    assert ended.returncode == 1
    assert ended.stderr.count(f"cannot listen on 127.0.0.1, port {port}") == 1


def test_many_at_once_are_served_by_all(pair: Crew) -> None:
    def ask(_: int) -> int:
        return pair.worker_of(httpx.get(f"{pair.server.client.base_url}/healthz").headers["X-Request-Id"])

    with ThreadPoolExecutor(8) as pool:
        served = list(pool.map(ask, range(CLIENTS)))
    assert set(served) == {0, 1}
