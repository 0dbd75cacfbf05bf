# SPDX-License-Identifier: Apache-2.0
"""How a server starts, and how it says that it cannot: by the real command, in one clear line per reason."""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest

from models.version import VERSION
from tests.support import PATIENCE, ROOT
from tests.support.certificates import own_certificate
from tests.support.harness import Server, running
from tests.support.pictures import jpeg

NEXT_VERSION = "INSERT INTO migrations (step, statement) VALUES (9999, 0)"


def refused(data_dir: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """The exit code and the complaint of a server that is to end by itself, having listened nowhere."""
    command = [sys.executable, "server.py", "--data-dir", str(data_dir), "--port", "0", *arguments]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )
    assert "listens" not in ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.returncode, [line for line in ended.stderr.splitlines() if not line.startswith("{")]


def test_a_server_without_a_bucket_does_without_its_client(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.process
        main = server.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        mapped = "".join(Path(f"/proc/{process}/maps").read_text() for process in (main, *children))
    assert "uvloop" in mapped
    assert "obstore" not in mapped


def greeting(server: Server) -> list[str]:
    """What the server prints behind the line that says where it listens."""
    assert server.process
    assert server.process.stdout
    lines: list[str] = []
    for line in server.process.stdout:
        lines.append(line.strip())
        if line.strip().startswith("tail "):
            return lines
    raise AssertionError(f"the greeting breaks off: {lines}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_loopback_the_defaults_are_refused_with_every_reason(tmp_path: Path, host: str) -> None:
    code, complaint = refused(tmp_path / "data", "--host", host)
    assert code == 2
    for key in ("activation.required", "sms.provider", "push.default_provider", "server.tls.cert"):
        assert [line for line in complaint if key in line], complaint
    assert not (tmp_path / "data").exists()


def test_an_unknown_key_names_the_nearest_and_every_problem_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"server": {"prot": 1}, "images": {"max_bytes": 0}}))
    code, complaint = refused(tmp_path / "data", "--config", str(config), GLIMPSE_LIMITS__ENABELD="true")
    assert code == 2
    text = "\n".join(complaint)
    for problem in (
        "server.prot: there is no such key; the nearest is server.port",
        "images.max_bytes",
        "limits.enabled",
    ):
        assert problem in text


def test_too_few_open_files_are_refused_with_the_number_that_is_needed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    server = [sys.executable, "server.py", "--data-dir", str(data_dir), "--port", "0"]
    limited = ["prlimit", "--nofile=64:64", *server]
    ended = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, "listens" in ended.stdout) == (2, False)
    assert "server.max_connections: 64 open files are allowed, at least 116 are needed" in ended.stderr
    assert not data_dir.exists()


def test_a_server_with_the_least_open_files_serves(tmp_path: Path) -> None:
    command = ["prlimit", "--nofile=116:116", sys.executable, "server.py", "--data-dir", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        url = next((line.split()[-1] for line in process.stdout if "listens on" in line), "")
        ready = httpx.get(f"{url}/readyz", trust_env=False, verify=False).status_code if url else 0
        process.terminate()
    assert ready == 200


def test_more_workers_than_sqlite_allows_are_refused(tmp_path: Path) -> None:
    code, complaint = refused(tmp_path / "data", GLIMPSE_SERVER__WORKERS="2")
    assert code == 2
    assert "server.workers: must be 1 with SQLite" in "\n".join(complaint)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, complaint = refused(tmp_path / "data", "--port", str(port))
    assert code == 1
    [line] = complaint
    assert line.endswith(f"server.host, server.port: cannot listen on 127.0.0.1, port {port}: Address already in use")


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    taken = tmp_path / "data"
    taken.touch()
    code, [complaint] = refused(taken)
    assert code == 2
    assert str(taken) in complaint


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.stop() == 0
    database = server.data_dir / "glimpse.db"
    with closing(apsw.Connection(str(database))) as connection:
        connection.execute(NEXT_VERSION)
    before = database.read_bytes()
    code, complaint = refused(server.data_dir)
    assert code == 2
    [line] = complaint
    assert line.startswith(f"Glimpse cannot start: database.url: {database} was migrated by a newer version of this")
    assert database.read_bytes() == before


def test_a_lost_key_ring_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.register()
        assert server.stop() == 0
    ring = server.data_dir / "keys.json"
    ring.rename(tmp_path / "elsewhere")
    code, [complaint] = refused(server.data_dir)
    assert code == 2
    assert str(ring) in complaint
    assert not ring.exists()


def test_a_second_start_finds_everything_again(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        picture = jpeg()
        key = ann.send(ben, picture).headers["Message-Key"]
        ring = (server.data_dir / "keys.json").read_bytes()
        assert server.stop() == 0
        server.start()
        assert (server.data_dir / "keys.json").read_bytes() == ring
        assert ann.request("GET", "/v1/me").json()["nickname"] == "Ann"
        assert ben.get(key).content == picture
        assert server.register("Eve").uid > ben.uid
    assert server.failures() == []


@pytest.mark.parametrize("program", [["server.py"], ["-m", "ops"]])
def test_the_version_can_be_asked_for(program: list[str], tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, *program, "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, f"Glimpse {VERSION}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_server_tells_its_version(newcomer: Server) -> None:
    assert newcomer.client.get("/").json()["version"] == VERSION
    assert newcomer.client.get("/readyz").json() == {"status": "ready", "failing": [], "version": VERSION}
    [started] = [line for line in newcomer.log.read_text().splitlines() if "the server has started" in line]
    assert json.loads(started)["version"] == VERSION


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


def test_what_the_greeting_tells_to_try_works(newcomer: Server) -> None:
    assert newcomer.port != 0
    lines = greeting(newcomer)
    ready, register = [
        json.loads(subprocess.run([*shlex.split(line), "-s"], capture_output=True, check=True, timeout=PATIENCE).stdout)
        for line in lines
        if line.startswith("curl ")
    ]
    assert ready["status"] == "ready"
    assert register.keys() == {"uid", "ukey", "phone_hash"}
    [follow] = [shlex.split(line) for line in lines if line.startswith("tail ")]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
        assert tail.stdout
        form = {"receiver_uid": str(register["uid"]), "phone_hash": register["phone_hash"], "ukey": register["ukey"]}
        sent = newcomer.client.post("/v1/images", data=form, files={"img_file": jpeg()})
        assert json.loads(tail.stdout.readline())["payload"]["message_key"] == sent.headers["Message-Key"]
        tail.terminate()


def test_a_server_on_ipv6_prints_an_address_that_works(tmp_path: Path) -> None:
    with running(tmp_path, {"server": {"host": "::1"}}) as server:
        [line] = [line for line in greeting(server) if line.endswith("/readyz")]
        assert httpx.get(line.split()[1], trust_env=False, verify=False).json()["status"] == "ready"


def test_with_a_certificate_of_its_own_the_server_speaks_tls_alone(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path)
    with running(tmp_path, {"server": {"tls": certificate.settings}}, trust=certificate.trust) as server:
        assert server.client.get("/readyz").json()["status"] == "ready"
        assert str(server.client.base_url).startswith("https://")
        with contextlib.suppress(ConnectionError), server.dial() as plain:
            plain.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/" not in plain.recv(100)
        server.register()
    assert server.failures() == []
