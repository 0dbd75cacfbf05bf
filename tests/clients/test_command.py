# SPDX-License-Identifier: Apache-2.0
"""A whole life by the command `glimpse`, as it is installed, against a running server."""

import fcntl
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import run
from tests.support import PATIENCE
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Person, Server, phone_number, running, wait_until
from tests.support.pictures import jpeg, png

pytestmark = ON_SQLITE  # the library that it uses is tried on each engine

CODE = "123456"


@dataclass
class Desk:
    """A terminal on which people use one server."""

    glimpse: Path
    server: Server
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GLIMPSE_URL": f"http://127.0.0.1:{self.server.port}",
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "HOME": str(self.folder),
        }

    @property
    def credentials(self) -> Path:
        return self.folder / "config" / "glimpse" / "credentials.json"

    def call(self, account: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(self.glimpse, "--account", account, *words, environment={**self.environment, **environment})

    def says(self, account: str, *words: str) -> str:
        """What it prints when it succeeds."""
        done = self.call(account, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def register(self, account: str) -> str:
        number = f"+86{phone_number()}"
        self.says(account, "register", number, "--nickname", account.title())
        return number

    def known(self, account: str) -> dict[str, Any]:
        [known] = json.loads(self.credentials.read_text()).values()
        return dict(known[account])

    def uid(self, account: str) -> int:
        return int(self.known(account)["uid"])

    def forget_access_token(self, account: str) -> dict[str, Any]:
        """As if its time were over; the session as it was."""
        [(url, known)] = json.loads(self.credentials.read_text()).items()
        spent = {**known[account], "access_token": "over"}
        self.credentials.write_text(json.dumps({url: {**known, account: spent}}))
        return spent


@pytest.fixture(scope="module")
def server(new_folder: NewFolder) -> Iterator[Server]:
    number = f"+86{phone_number()}"
    with running(new_folder("command"), {"activation": {"test_numbers": {number: CODE}}}) as server:
        yield server
        assert server.failures() == []


@pytest.fixture
def desk(environment: Path, server: Server, tmp_path: Path) -> Desk:
    return Desk(environment / "bin" / "glimpse", server, tmp_path)


def test_a_whole_life(desk: Desk, tmp_path: Path) -> None:
    desk.register("ann")
    bens_number = desk.register("ben")
    assert desk.credentials.stat().st_mode & 0o777 == 0o600
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(jpeg(200_000))

    key = desk.says("ann", "send", str(picture), "--to", bens_number, "--caption", "two\x1b[31m words")
    assert key in desk.says("ben", "inbox")
    assert "\x1b" not in desk.says("ben", "inbox")
    path = Path(desk.says("ben", "get", key, "--folder", str(tmp_path / "got")))
    assert path.read_bytes() == picture.read_bytes()
    assert key not in desk.says("ben", "inbox")

    again = desk.says("ann", "send", str(picture), "--to", str(desk.uid("ben")), "--key", "mine")
    assert desk.says("ann", "send", str(picture), "--to", str(desk.uid("ben")), "--key", "mine") == again
    watched = Path(desk.says("ben", "watch", "--count", "1", "--folder", str(tmp_path / "watched")))
    assert watched.name == f"{again}.jpg"

    assert desk.says("ann", "text", "hello", "--to", str(desk.uid("ben"))).isdecimal()
    assert desk.says("ann", "text", "hello again", "--to", bens_number).isdecimal()
    assert "nobody is found by +8613900139999" in desk.call("ann", "text", "hello", "--to", "+8613900139999").stderr
    assert "Ben" in desk.says("ann", "friends", "--find", bens_number)
    desk.says("ann", "friends", "--add", str(desk.uid("ben")))
    assert "incoming" in desk.says("ben", "friends")
    assert "friends" in desk.says("ben", "friends", "--add", str(desk.uid("ann")))
    assert "climbing" in desk.says("ann", "groups", "--create", "climbing", "--member", str(desk.uid("ben")))
    assert "invited" in desk.says("ben", "groups")

    exported = Path(desk.says("ben", "export", str(tmp_path / "all.json")))
    assert json.loads(exported.read_text())["profile"]["uid"] == desk.uid("ben")
    assert exported.stat().st_mode & 0o777 == 0o600


def test_a_number_that_needs_a_code(desk: Desk) -> None:
    number = next(iter(json.loads(desk.server.config.read_text())["activation"]["test_numbers"]))
    desk.says("cleo", "register", number)
    desk.says("cleo", "register", number, "--code", CODE)
    wrong = desk.call("cleo", "register", number, "--code", "000000")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "code_incorrect" in wrong.stderr


def test_a_login_by_password_is_kept_renewed_and_ended(desk: Desk) -> None:
    name, password = f"dora{phone_number()}@example.org", {"GLIMPSE_PASSWORD": "correct horse"}
    made = desk.call("dora", "login", "--new", name, "--nickname", "Dora", **password)
    assert made.returncode == 0, made.stderr
    assert "correct horse" not in desk.credentials.read_text()
    desk.says("dora", "friends")
    assert desk.call("desk", "login", name, **password).returncode == 0
    wrong = desk.call("desk", "login", name, GLIMPSE_PASSWORD="something else")
    assert (wrong.returncode, wrong.stderr.partition(": ")[2].partition(":")[0]) == (1, "unauthenticated")

    desk.says("desk", "groups")
    spent = desk.forget_access_token("desk")
    with ThreadPoolExecutor() as pool:  # of several commands at once one renews it
        called = [pool.submit(desk.call, "desk", "groups") for _ in range(4)]
    assert [each.result().stderr for each in called] == [""] * 4
    assert desk.known("desk")["refresh_token"] != spent["refresh_token"]

    desk.says("desk", "logout")
    assert desk.call("desk", "friends").returncode == 3
    desk.says("dora", "friends")


def test_a_login_that_has_ended_elsewhere_is_forgotten_by_logout(desk: Desk) -> None:
    made = desk.call("dora", "login", "--new", f"dora{phone_number()}@example.org", GLIMPSE_PASSWORD="correct horse")
    assert made.returncode == 0, made.stderr
    kept = desk.credentials.read_bytes()
    desk.says("dora", "logout")
    desk.credentials.write_bytes(kept)
    desk.says("dora", "logout")
    assert desk.call("dora", "friends").returncode == 3


def test_an_account_is_not_stored_while_another_command_renews_a_session(desk: Desk) -> None:
    """Each writes all accounts: what the other has stored meanwhile would be lost."""
    desk.register("ann")
    number = f"+86{phone_number()}"
    with desk.credentials.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        storing = subprocess.Popen(
            [desk.glimpse, "--account", "ben", "register", number],
            env={**os.environ, **desk.environment},
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: storing.poll() is not None or waits_for_a_lock(storing.pid), what="the command")
        known = json.loads(desk.credentials.read_text())
    assert storing.communicate(timeout=PATIENCE)[1].startswith(number.encode())
    assert [[*accounts] for accounts in known.values()] == [["ann"]]
    assert desk.uid("ben")


def waits_for_a_lock(pid: int) -> bool:
    """Source: proc_locks(5)"""
    return any(f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line)


def test_who_is_nobody_is_told_what_to_do(desk: Desk) -> None:
    done = desk.call("nobody", "inbox")
    assert done.returncode == 3
    assert "glimpse --account nobody register" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_a_line_and_a_code(desk: Desk, tmp_path: Path) -> None:
    desk.register("ann")
    (tmp_path / "words.txt").write_text("words")
    done = desk.call("ann", "send", str(tmp_path / "words.txt"), "--to", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("glimpse: unsupported_image: ")
    assert len(done.stderr.splitlines()) == 1


def test_credentials_go_into_a_keyring_where_there_is_one(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file_keyring.py").write_text(FILE_KEYRING)
    keyring = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "file_keyring.FileKeyring"}
    keyring["KEYRING_FILE"] = str(tmp_path / "keyring.json")
    assert desk.call("ann", "register", f"+86{phone_number()}", **keyring).returncode == 0
    assert desk.call("ann", "inbox", **keyring).returncode == 0
    assert "ukey" in (tmp_path / "keyring.json").read_text()
    assert not desk.credentials.exists()

    locked = desk.call("ann", "inbox", **keyring, KEYRING_LOCKED="yes")
    assert locked.returncode == 1
    assert locked.stderr.startswith("glimpse: the keyring cannot be used")
    in_a_file = desk.call("ann", "register", f"+86{phone_number()}", **keyring, GLIMPSE_CREDENTIALS=str(tmp_path / "k"))
    assert in_a_file.returncode == 0
    assert "ukey" in (tmp_path / "k").read_text()


def test_a_terminal_of_kitty_is_shown_the_picture_and_a_bar(desk: Desk, tmp_path: Path) -> None:
    desk.register("ben")
    ann, ben = desk.server.register("Ann"), desk.uid("ben")
    key = ann.send(Person(desk.server, ben, "", ""), png()).headers["Message-Key"]
    seen = on_a_terminal(desk, tmp_path, "--account", "ben", "get", key, TERM="xterm-kitty")
    assert b"\x1b_Ga=T,f=100" in seen
    assert f"{key}.png".encode() in seen


def on_a_terminal(desk: Desk, folder: Path, *words: str, **environment: str) -> bytes:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [desk.glimpse, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **desk.environment, **environment},
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(PATIENCE) == 0, seen
    return seen


FILE_KEYRING = '''
import json, os, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

class FileKeyring(KeyringBackend):
    """A keyring of a package of its own, as systems have them."""
    priority = 1
    file = pathlib.Path(os.environ["KEYRING_FILE"])

    def _known(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        if "KEYRING_LOCKED" in os.environ:
            raise KeyringLocked("it is locked")
        return self._known().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps({**self._known(), f"{service} {username}": password}))
'''
