# SPDX-License-Identifier: Apache-2.0
"""Where the command keeps who one is: the system's keyring where the package `keyring` is, else a file of mode 0600."""

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from glimpse_client.data import Credentials, Session, read
from glimpse_client.files import sync_folder

if os.name == "posix":
    import fcntl

SERVICE = "glimpse"

Who = Credentials | Session
"""A phone's key, or a login by password."""


class AccountStore(Protocol):
    """Credentials by the server's address and a name for the account."""

    def get(self, url: str, account: str) -> Who | None: ...

    def put(self, url: str, account: str, who: Who) -> None: ...

    def forget(self, url: str, account: str) -> None: ...


def account_store() -> AccountStore:
    """`GLIMPSE_CREDENTIALS` names a file, and then the keyring is not asked."""
    keyring = None if "GLIMPSE_CREDENTIALS" in os.environ else _usable_keyring()
    return FileStore(_file()) if keyring is None else KeyringStore(keyring)


def _file() -> Path:
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get("GLIMPSE_CREDENTIALS") or folder / "glimpse" / "credentials.json")


@contextmanager
def renewing(store: AccountStore, url: str, account: str) -> Iterator[Session | None]:
    """While no other command renews a session or stores an account: of a session that is renewed by two at once, both
    come to an end, and one that is not stored has come to its end too.
    """
    path = _file().with_suffix(".lock")
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        if os.name == "posix":
            fcntl.flock(file, fcntl.LOCK_EX)
        known = store.get(url, account)
        yield known if isinstance(known, Session) else None


def _read(found: Mapping[str, Any]) -> Who:
    return read(Session, found) if "access_token" in found else read(Credentials, found)


def _usable_keyring() -> Any:
    """The package, where it is installed and has a keyring that works here."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    return keyring if keyring.get_keyring().priority > 0 else None


class KeyringStore:
    """The system's keyring. Raises OSError where it is locked or fails."""

    def __init__(self, keyring: Any) -> None:
        self._keyring = keyring

    def get(self, url: str, account: str) -> Who | None:
        with self._failing_as_a_disk_does():
            found = self._keyring.get_password(SERVICE, f"{account} at {url}")
        return None if found is None else _read(json.loads(found))

    def put(self, url: str, account: str, who: Who) -> None:
        with self._failing_as_a_disk_does():
            self._keyring.set_password(SERVICE, f"{account} at {url}", json.dumps(asdict(who)))

    def forget(self, url: str, account: str) -> None:
        with self._failing_as_a_disk_does():
            self._keyring.delete_password(SERVICE, f"{account} at {url}")

    @contextmanager
    def _failing_as_a_disk_does(self) -> Iterator[None]:
        try:
            yield
        except self._keyring.errors.KeyringError as error:
            raise OSError(f"the keyring cannot be used ({error}); GLIMPSE_CREDENTIALS names a file instead") from error


class FileStore:
    """A JSON file that only its owner can read. Replaced whole, so that a power cut leaves the old one or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, url: str, account: str) -> Who | None:
        found = self._all().get(url, {}).get(account)
        return None if found is None else _read(found)

    def put(self, url: str, account: str, who: Who) -> None:
        known = self._all()
        known.setdefault(url, {})[account] = asdict(who)
        self._write(known)

    def forget(self, url: str, account: str) -> None:
        known = self._all()
        known.get(url, {}).pop(account, None)
        self._write(known)

    def _write(self, known: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        sync_folder(self.path.parent)

    def _all(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        found: Mapping[str, Any] = json.loads(self.path.read_text("utf-8"))
        return dict(found)
