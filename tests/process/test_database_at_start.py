# SPDX-License-Identifier: Apache-2.0
"""A server whose database is not there, or does not let it in, when it starts."""

import contextlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT
from tests.support.engines import NEEDS_MARIADBD, mariadb_server
from tests.support.harness import Server, wait_until
from tests.support.mariadb import MariaDB

DATABASE = "glimpse_at_start"

pytestmark = NEEDS_MARIADBD


def test_a_server_waits_for_its_database_at_its_start(tmp_path: Path) -> None:
    maria = MariaDB()
    try:
        with contextlib.closing(maria.connect()) as connection:
            connection.query(f"CREATE DATABASE {DATABASE}")
        maria.kill()
        server = Server(tmp_path, {"database": {"url": maria.url(DATABASE)}, "samples": {"enabled": False}})
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(server.start)
            wait_until(lambda: server.log.exists() and "waiting for the database" in server.log.read_text())
            maria.start()
            starting.result()
        assert server.client.get("/readyz").status_code == 200
        assert server.stop() == 0
    finally:
        maria.close()


def test_a_server_that_waits_for_its_database_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mysql://glimpse@127.0.0.1:{nobody.getsockname()[1]}/{DATABASE}"
        command = [sys.executable, "server.py", "--port", "0", "--data-dir", str(tmp_path / "data")]
        environment = {**os.environ, "GLIMPSE_DATABASE__URL": url}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr
            assert "waiting for the database" in server.stderr.readline()
            server.terminate()
            assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("only-of-this-test-run", "not-the-password"), "Access denied"),
        (("/glimpse_", "/glimpse_not_"), "Unknown database"),
    ],
)
def test_a_server_that_its_database_does_not_let_in_ends_and_says_so(
    tmp_path: Path, wrong: tuple[str, str], words: str
) -> None:
    url = mariadb_server().url(DATABASE).replace(*wrong)
    command = [sys.executable, "server.py", "--port", "0", "--data-dir", str(tmp_path / "data")]
    environment = {**os.environ, "GLIMPSE_DATABASE__URL": url}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Glimpse cannot start: database.url: " in ended.stderr
    assert words in ended.stderr
    assert "password" not in ended.stderr.replace("using password: YES", "")
