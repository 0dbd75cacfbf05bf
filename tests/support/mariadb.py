# SPDX-License-Identifier: Apache-2.0
"""A private MariaDB server: its own data directory, port and socket on loopback, gone when this process is gone."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from pymysql.connections import Connection
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import Cursor

from tests.support.guarded import Guarded

USER, PASSWORD = "glimpse", "only-of-this-test-run"
"""May do everything in databases whose name begins with `glimpse_`, and nothing else."""

SMALL = (
    *("--innodb-buffer-pool-size=48M", "--innodb-log-file-size=16M", "--innodb-log-buffer-size=2M"),
    *("--key-buffer-size=64K", "--aria-pagecache-buffer-size=256K", "--max-connections=400"),
    *("--skip-name-resolve", "--skip-log-bin", "--performance-schema=OFF"),
)
WHOLE_NUMBERS = {**conversions, FIELD_TYPE.DECIMAL: int, FIELD_TYPE.NEWDECIMAL: int}


def installed() -> bool:
    return bool(_program("mariadbd") and _program("mariadb-install-db"))


class MariaDB(Guarded):
    """One server. `directory` holds `data`, `log` and `socket`; options are mariadbd's and come last."""

    def __init__(self, *options: str, parent: Path | None = None) -> None:
        """Install the system tables and start; about a second. Raises RuntimeError with the server's log."""
        super().__init__("glimpse-maria-", parent)
        self.options = options
        self.socket = self.directory / "socket"
        self.port = _free_port()
        try:
            self._install()
            self.start()
            self._let_in()
        except BaseException:
            self.close()
            raise

    def _let_in(self) -> None:
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE USER IF NOT EXISTS {USER}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON `glimpse\\_%`.* TO {USER}@127.0.0.1")

    def _install(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.directory, "mysql")
        tables = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        made = subprocess.run(
            [
                _program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.directory / 'data'}",
                self._own_tmpdir,
                *tables,
                *_identity(),
                *SMALL,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{made.stdout}{made.stderr}")

    @property
    def _own_tmpdir(self) -> str:
        """A server that starts removes the temporary tables of all others that share its folder."""
        return f"--tmpdir={self.directory}"

    def start(self) -> None:
        """Start it, again after `stop` or `kill`, on the same port; returns when it answers."""
        command = [
            *(_program("mariadbd"), "--no-defaults", *_identity(), f"--datadir={self.directory / 'data'}"),
            *(f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--pid-file={self.directory / 'data/pid'}", self._own_tmpdir, *SMALL, *self.options),
        ]
        process = self.run(command)
        deadline = time.monotonic() + 60
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mariadbd did not start:\n{self.log.read_text()}")
            # Not by pymysql, which leaves the socket of a refused connection open.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.kill(signal.SIGTERM)

    def url(self, database: str) -> str:
        """As `database.url` wants it."""
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> Connection:
        """A connection of the administrator, by the socket; see `connect`."""
        return connect(unix_socket=str(self.socket), user="root", database=database)


def connect(**options: Any) -> Connection:
    """A connection that commits each statement, and takes several at once. Sums are integers."""
    return Connection(
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
        conv=WHOLE_NUMBERS,
        ssl_disabled=True,  # reading the trusted certificates takes longer than all the rest
        **options,
    )


def run(cursor: Cursor, statements: str) -> None:
    """Run statements with semicolons between them, to the last."""
    cursor.execute(statements)
    while cursor.nextset():
        pass


def _program(name: str) -> str:
    """Where it is, or nothing. Debian keeps servers where an ordinary user does not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") or ""


def _identity() -> list[str]:
    """mariadbd refuses to run as root."""
    return ["--user=mysql"] if os.geteuid() == 0 and pwd.getpwnam("mysql") else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
