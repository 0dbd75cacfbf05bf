# SPDX-License-Identifier: Apache-2.0
"""A restart that nobody notices: SIGHUP starts another generation, on the same sockets, and the one before finishes."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.status_file import read_status
from ops.status import status
from tests.ops.commands import asked, invoke
from tests.process.crew import Line
from tests.process.generations import Load, Whole, whole
from tests.process.scraping import Metered, free_port
from tests.process.test_drain import read_answer, refuses_connections
from tests.support import PATIENCE, ROOT
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB
from tests.support.harness import Person, errors, wait_until
from tests.support.launcher import DEFAULT_SIGNALS
from tests.support.pictures import jpeg

SETTINGS = {"limits": {"enabled": False}, "storage": {"min_free_bytes": 1}}
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 700_000
REFUSED = "a restart was refused: this generation goes on"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Whole]:
    with whole(Whole(tmp_path, SETTINGS)) as server:
        yield server
    assert server.failures() == []


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def change(server: Whole, **sections: object) -> None:
    """Other settings from the next generation on."""
    server.config.write_text(json.dumps({**json.loads(server.config.read_text()), **sections}))


def expect(server: Whole, event: str) -> None:
    """This line of level error is what the test has provoked."""
    wait_until(lambda: event in server.events(), what="the line of the log")
    server.provoked.update(line for line in errors(server.log.read_text()) if json.loads(line)["event"] == event)


def check_restarts_under_load(server: Whole) -> None:
    """Two restarts while clients ask, send and follow: nobody is refused, cut off or forgotten."""
    people = [server.register(f"P{number}") for number in range(5)]

    async def restarted_twice() -> Load:
        load = Load(server, people, requesters=4, pace=0.05)
        running = asyncio.create_task(load.run(uploads=4, readers=10))
        for _ in range(2):
            await load.answers(40)
            await load.until(lambda: load.met.following == 10, "all readers")
            await asyncio.to_thread(server.restart)
        await load.answers(40)
        load.stop.set()
        await running
        return load

    met = asyncio.run(restarted_twice()).met
    assert met.wrong == []
    assert met.sent
    assert server.status()["generation"] == 3


def test_under_load_nobody_is_refused_cut_off_or_forgotten(server: Whole) -> None:
    check_restarts_under_load(server)


@ON_MARIADB
@NEEDS_MARIADBD
@pytest.mark.usefixtures("engine")
def test_several_workers_are_replaced_by_others_under_load(tmp_path: Path) -> None:
    with whole(Whole(tmp_path, {**SETTINGS, "server": {"workers": 2}})) as server:
        check_restarts_under_load(server)
    assert server.failures() == []


def is_last(kept: Line, person: Person) -> bool:
    """Whether what a generation answers on a kept connection is its last: it has let go of the sockets by then."""
    answer = kept.ask("GET", "/v1/inbox", person)
    assert answer.status == 200
    return answer.headers["Connection"] == "close"


def test_an_upload_under_way_is_finished_by_the_generation_that_took_it(server: Whole) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    old = server.status()["serving_pid"]
    with closing(Line(server)) as uploading, closing(Line(server)) as kept:
        uploading.begin_image(ann, ben, jpeg(LARGE))
        assert not is_last(kept, ben)
        server.restart()
        wait_until(lambda: is_last(kept, ben), what="the last answer of the one before")
        assert server.client.get("/readyz").status_code == 200
        assert exists(old)
        assert server.status()["leaving_pids"] == [old]
        uploading.finish_image()
        assert uploading.answer().status == 201
    wait_until(lambda: server.status()["leaving_pids"] == [], what="the end of the one before")
    assert not exists(old)
    assert ben.request("GET", "/v1/inbox").json()["items"]


def test_an_event_of_the_generation_before_reaches_who_follows_the_new_one(server: Whole) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    with closing(Line(server)) as uploading, closing(Line(server)) as kept:
        uploading.begin_image(ann, ben, jpeg(LARGE))
        assert not is_last(kept, ben)
        server.restart()
        wait_until(lambda: is_last(kept, ben), what="the last answer of the one before")
        with closing(Line(server)) as following, closing(following.events(ben)) as stream:
            uploading.finish_image()
            assert uploading.answer().status == 201
            while not (line := stream.readline()).startswith(b"event: "):
                assert line
    assert line == b"event: image\n"


def test_new_settings_come_into_force_and_a_new_port_is_opened(server: Whole) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ann.send(ben, jpeg(20_000)).status_code == 201
    metrics = free_port(1)
    change(server, images={"max_bytes": 10_000}, metrics={"port": metrics})
    server.restart()
    # On a kept connection the old one answers until it has heard that it lets go.
    wait_until(lambda: ann.send(ben, jpeg(20_000)).status_code == 413, what="the new settings")
    assert Metered(server, metrics).scrape()("http_connections") >= 0
    server.restart()  # the port is held from now on
    assert Metered(server, metrics).scrape()("http_connections") >= 0


def test_wrong_settings_leave_the_generation_that_serves_and_the_reason_is_told(server: Whole) -> None:
    before = server.status()
    change(server, images={"max_bytes": 0})
    assert "images.max_bytes" in server.refused_restart()
    assert server.client.get("/readyz").status_code == 200
    assert server.status()["serving_pid"] == before["serving_pid"]
    expect(server, REFUSED)
    told = invoke(status, server.data_dir, "--config", server.config)  # which is still wrong
    assert told.exit_code == 1
    assert "was refused: images.max_bytes" in told.output
    assert "generation 1 is process" in told.output
    change(server, images={"max_bytes": 10_000})
    server.restart()
    found = asked(status, server.data_dir)
    assert (found["running"], found["last_restart"]["outcome"]) == (True, "done")
    server.stop()
    assert asked(status, server.data_dir, status=1) == {"running": False}


def test_a_port_that_cannot_be_had_is_the_reason(server: Whole) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        change(server, metrics={"port": taken.getsockname()[1]})
        assert "metrics.port" in server.refused_restart()
    assert server.client.get("/readyz").status_code == 200
    expect(server, REFUSED)


def test_a_pending_migration_refuses_the_restart(server: Whole) -> None:
    server.database.execute("DELETE FROM migrations WHERE step = (SELECT max(step) FROM migrations)")
    assert "stop the server, then start it" in server.refused_restart()
    assert server.client.get("/readyz").status_code == 200
    expect(server, REFUSED)


def test_another_data_directory_refuses_the_restart(server: Whole) -> None:
    (server.data_dir / "server.lock").rename(server.data_dir / "elsewhere")
    assert "has another directory" in server.refused_restart()
    (server.data_dir / "elsewhere").rename(server.data_dir / "server.lock")
    expect(server, REFUSED)
    server.restart()


def test_who_comes_while_a_killed_generation_is_replaced_is_served(server: Whole) -> None:
    victim = server.status()["serving_pid"]
    os.kill(victim, signal.SIGSTOP)
    with server.connect() as waiting:
        os.kill(victim, signal.SIGKILL)
        waiting.sendall(GET)
        assert read_answer(waiting).startswith(b"HTTP/1.1 200")
    wait_until(lambda: bool(server.status()["serving_pid"] != victim), what="another generation")
    expect(server, "the generation before has died")


def test_generations_end_with_the_main_process(server: Whole) -> None:
    assert server.process
    serving = server.status()["serving_pid"]
    server.process.kill()
    server.wait()
    wait_until(lambda: not exists(serving), what="the end of the generation")


def test_two_generations_end_together(server: Whole) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    uploading = Line(server)
    uploading.begin_image(ann, ben, jpeg(LARGE))
    server.restart()
    server.terminate()
    wait_until(lambda: refuses_connections(server), what="the end of accepting")
    uploading.finish_image()
    assert uploading.answer().status == 201
    uploading.close()
    assert server.wait() == 0


def test_a_key_stroke_ends_all_cleanly(server: Whole) -> None:
    assert server.process
    server.restart()
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.wait() == 0


def test_a_terminal_that_is_closed_ends_the_server(tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = " ".join((*DEFAULT_SIGNALS, sys.executable, "server.py"))
    command = f"exec {program} --port 0 --data-dir {tmp_path / 'data'} >{said} 2>&1"
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv("/bin/sh", ["sh", "-c", command])
    wait_until(lambda: said.exists() and "listens" in said.read_text(), what="the greeting")
    os.close(terminal)
    try:
        wait_until(lambda: "the server has ended" in said.read_text(), what="the end")
    except BaseException:
        os.killpg(child, signal.SIGKILL)
        raise
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0
    assert "another generation" not in said.read_text()


def test_a_hangup_that_was_to_be_ignored_is(tmp_path: Path) -> None:
    class Ignoring(Whole):
        command = ("nohup", sys.executable, "server.py")

    with whole(Ignoring(tmp_path, SETTINGS)) as server:
        server.ask_to_restart()
        os.kill(server.status()["serving_pid"], signal.SIGKILL)
        wait_until(lambda: server.status()["generation"] == 2, what="another generation")
        assert server.status()["last_restart"] is None


ACTIVATED = """
import os, socket, sys
given = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("open", flush=True)
sys.stdin.readline()
os.dup2(given.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "server.py", *sys.argv[2:]])
"""


@contextmanager
def activated(port: int, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A server whose socket was opened for it; it begins when it reads a line."""
    with subprocess.Popen(
        [*DEFAULT_SIGNALS, sys.executable, "-c", ACTIVATED, str(port), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def test_sockets_of_the_service_manager_are_served_before_and_after_a_restart(tmp_path: Path) -> None:
    port, data_dir = free_port(1), tmp_path / "data"
    with (
        activated(port, "--port", str(port), "--data-dir", str(data_dir)) as process,
        socket.create_connection(("127.0.0.1", port), PATIENCE) as early,
    ):
        assert process.stdin
        early.sendall(GET)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert read_answer(early).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: (read_status(data_dir) or {}).get("generation") == 2, what="another generation")
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as late:
            late.sendall(GET)
            assert read_answer(late).startswith(b"HTTP/1.1 200")
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_a_socket_that_no_setting_names_is_refused(tmp_path: Path) -> None:
    given, configured = free_port(1), free_port(1)
    with activated(given, "--port", str(configured), "--data-dir", str(tmp_path / "data")) as process:
        _, said = process.communicate("go\n", PATIENCE)
    assert process.returncode == 1
    assert f"LISTEN_FDS has a socket on 127.0.0.1, port {given}, which no setting names" in said


def test_the_service_manager_is_told_when_it_serves_restarts_and_ends(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(PATIENCE)
        with whole(Whole(tmp_path, SETTINGS), NOTIFY_SOCKET=str(address)) as server:
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=generation 1")
            server.restart()
            assert manager.recv(4096).startswith(b"RELOADING=1\n")
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=generation 2")
            server.terminate()
            while (said := manager.recv(4096)) != b"STOPPING=1":
                assert said.startswith(b"READY=1")
            assert server.wait() == 0


def test_the_main_process_stays_small(server: Whole) -> None:
    assert server.process
    for _ in range(2):
        server.restart()
    wait_until(lambda: server.status()["leaving_pids"] == [], what="the end of those before")
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    assert pages * 4096 < 25 * 1024 * 1024
    assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 12
