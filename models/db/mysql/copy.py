# SPDX-License-Identifier: Apache-2.0
"""A MySQL database as a whole: written into a file while others write to it, and read back. For operators.

The server's own programs do it, mariadb-dump and mariadb or mysqldump and mysql: they know what a server can hold.
"""

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from models.db.database import DatabaseError
from models.db.mysql.connection import MysqlLocation
from models.private_files import create, open_unlinked

DUMPERS, CLIENTS = ("mariadb-dump", "mysqldump"), ("mariadb", "mysql")
# One snapshot for all tables, without a lock; blobs as hexadecimal digits, whatever the connection's character set.
DUMP_OPTIONS = (
    *("--single-transaction", "--quick", "--hex-blob", "--default-character-set=utf8mb4", "--no-tablespaces"),
    *("--skip-add-locks", "--skip-disable-keys", "--skip-triggers", "--skip-dump-date"),
)
LOOK_SECONDS = 0.5
"""Between two reports of how far the program is."""
ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})

OnStep = Callable[[int], None]


def dump(location: MysqlLocation, tables: Sequence[str], target: Path, on_step: OnStep = lambda _bytes: None) -> None:
    """Write these tables as they are at one moment into a new file (mode 0600), durable; whoever writes meanwhile.

    No table may be altered meanwhile. `on_step` is told how many bytes are written. Blocks. Raises FileExistsError,
    OSError, DatabaseError.
    Source: https://mariadb.com/docs/server/clients-and-utilities/backup-restore-and-import-clients/mariadb-dump
    """
    descriptor = create(target)
    with open(descriptor, "wb") as file:
        _run(
            DUMPERS,
            location,
            (*DUMP_OPTIONS, location.name, *tables),
            lambda: on_step(target.stat().st_size),
            stdout=file,
        )
        os.fsync(descriptor)


def load(location: MysqlLocation, source: Path, on_step: OnStep = lambda _bytes: None) -> None:
    """Run what `dump` has written. `on_step` is told how many bytes are read. Blocks. Raises OSError, DatabaseError."""
    descriptor = open_unlinked(source)
    with open(descriptor, "rb") as file:
        options = ("--batch", "--default-character-set=utf8mb4", location.name)
        # The program reads from this description of the file, and so moves its offset.
        _run(CLIENTS, location, options, lambda: on_step(os.lseek(descriptor, 0, os.SEEK_CUR)), stdin=file)


def _run(
    programs: Sequence[str],
    location: MysqlLocation,
    options: Sequence[str],
    look: Callable[[], None],
    *,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
) -> None:
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        raise DatabaseError(f"neither {' nor '.join(programs)} is installed: install the server's client programs")
    with _option_file(location) as file, tempfile.TemporaryFile() as said:
        command = [program, f"--defaults-file={file}", *options]
        with subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=said) as process:  # noqa: S603 - our own words
            try:
                _wait(process, look)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise DatabaseError(f"{Path(program).name}: {lines[-1] if lines else f'status {process.returncode}'}")


def _wait(process: subprocess.Popen[bytes], look: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            look()
        else:
            return


@contextmanager
def _option_file(location: MysqlLocation) -> Iterator[str]:
    """A file of mode 0600 that says where the database is, so that no password stands on a command line.

    Source: https://mariadb.com/docs/server/server-management/install-and-upgrade-mariadb/configuring-mariadb/
    configuring-mariadb-with-option-files
    """
    values: dict[str, Any] = {"user": location.user, "password": location.password}
    if location.unix_socket:
        values["socket"] = location.unix_socket
    else:
        values |= {"host": location.host, "port": location.port, "protocol": "tcp"}
    if location.ssl_ca:
        system = location.ssl_ca == "system"
        values["ssl-ca"] = ssl.get_default_verify_paths().cafile if system else location.ssl_ca
        # The one is MariaDB's word for it, the other MySQL's.
        values |= {"loose-ssl-verify-server-cert": "1", "loose-ssl-mode": "VERIFY_IDENTITY"}
    values |= {"ssl-cert": location.ssl_cert, "ssl-key": location.ssl_key}
    with tempfile.NamedTemporaryFile("w", prefix="glimpse-", suffix=".cnf", encoding="utf-8") as file:
        lines = (f'{name} = "{str(value).translate(ESCAPED)}"\n' for name, value in values.items() if value)
        file.write("[client]\n" + "".join(lines))
        file.flush()
        yield file.name
