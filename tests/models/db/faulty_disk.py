# SPDX-License-Identifier: Apache-2.0
"""A disk under SQLite that fails, or keeps a commit waiting, when a test says so."""

import threading

import apsw

from tests.support import PATIENCE


class FaultyDisk(apsw.VFS):
    """SQLite's default file system while it is registered.

    `next_write` and `next_sync` are met once, by a write-ahead log; `next_open` once; `every_read` until it is unset.
    """

    def __init__(self) -> None:
        self.every_read: apsw.Error | None = None
        self.next_open: apsw.Error | None = None
        self.next_write: apsw.Error | None = None
        self.next_sync: apsw.Error | None = None
        self.syncing = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        super().__init__("faulty", "unix", makedefault=True)

    def hold_sync(self) -> None:
        """Every sync from now on sets `syncing` and waits for `release_sync`."""
        self.syncing.clear()
        self._go_on.clear()

    def release_sync(self) -> None:
        self._go_on.set()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        error, self.next_open = self.next_open, None
        if error:
            raise error
        return _FaultyFile(self, name, flags)

    def before_read(self) -> None:
        if self.every_read:
            raise self.every_read

    def before_write(self) -> None:
        error, self.next_write = self.next_write, None
        if error:
            raise error

    def before_sync(self) -> None:
        self.syncing.set()
        self._go_on.wait(PATIENCE)
        error, self.next_sync = self.next_sync, None
        if error:
            raise error


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._disk.before_read()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._is_log:
            self._disk.before_write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._is_log:
            self._disk.before_sync()
        super().xSync(flags)
