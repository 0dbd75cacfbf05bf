# SPDX-License-Identifier: Apache-2.0
"""The data directory of the last release: made by that release itself, kept as `last_release.json`, and laid out again.

`python -m tests.process.last_release COMMIT` makes the file anew, in a clone with the history: it starts the server of
that commit and has people use it. What is kept is rows and files, so that it can be laid out on each engine.
"""

import asyncio
import io
import json
import re
import subprocess
import sys
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import apsw

from models.clock import now_ms
from tests.process.generations import Started
from tests.support import ROOT
from tests.support.engines import Engine
from tests.support.harness import Person, Server, wait_until
from tests.support.launcher import Launched
from tests.support.pictures import jpeg
from tests.support.rows import insert
from tests.support.schemas import make, steps_up_to

KEPT = Path(__file__).with_suffix(".json")
NEVER_KEPT = ("migrations", "sqlite_sequence", "servers", "leases", "budgets")
"""Made by the migrations, or of that one process."""
FILES = ("keys.json", "images/**/*")
MOMENT = re.compile(r"\b1[78]\d{11}\b")
HOUR_MS = 3_600_000
GONE = "http://127.0.0.1:1"
"""Where no vendor is: what is for it waits."""


@dataclass(frozen=True)
class Laid:
    """A data directory as that release left it an hour ago, with the schema of `last_step`. `told` is what it said to
    its clients.
    """

    told: dict[str, Any]
    last_step: int

    def person(self, server: Server, name: str) -> Person:
        return Person(server, **self.told["people"][name])


def lay(data_dir: Path, engine: Engine) -> Laid:
    """Put the last release's rows and files there."""
    kept = json.loads(KEPT.read_text())
    shift = now_ms() - HOUR_MS - kept["made_at"]
    shifted = MOMENT.sub(lambda found: str(int(found[0]) + shift), json.dumps([kept["told"], kept["tables"]]))
    told, tables = json.loads(shifted)
    data_dir.mkdir(mode=0o700)
    asyncio.run(make(engine, steps_up_to(kept["last_step"], data_dir.parent / "steps")))
    for table, rows in tables.items():
        insert(engine, f"`{table}`", ", ".join(rows[0]), [[_bytes(value) for value in row.values()] for row in rows])
    for name, content in kept["files"].items():
        path = data_dir / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(b64decode(content))
        path.chmod(0o600)
    return Laid(told, kept["last_step"])


def _bytes(value: Any) -> Any:
    return b64decode(value["bytes"]) if isinstance(value, dict) else value


# -- how it was made --


class Released(Server):
    """The server of a commit, whose files are in `program`."""

    def __init__(self, folder: Path, program: Path) -> None:
        push = {"getui": {"app_id": "app", "app_key": "key", "master_secret": "secret", "base_url": GONE}}
        super().__init__(folder, {"push": push})
        self.program = program

    def start(self, **environment: str) -> "Released":
        super().start(**environment)
        self.client.event_hooks = {}  # it is described otherwise than this one
        return self

    def launch(self, arguments: list[str], log: IO[Any], environment: Mapping[str, str]) -> Launched:
        command = [sys.executable, "server.py", *arguments]
        out, where, variables = subprocess.PIPE, self.program, dict(environment)
        return Started(subprocess.Popen(command, cwd=where, env=variables, stdout=out, stderr=log, text=True))


def told_by(server: Server) -> dict[str, Any]:
    """What people know who have used the server: friends who talk, send images, are in a group, block and report. None
    of their pushes has gone out.
    """
    people = {name: server.register(name) for name in ("Ann", "Ben", "Cem", "Dan")}
    ann, ben, cem, dan = people.values()
    ann.befriend(ben)
    _ok(ben.request("POST", "/v1/devices", json={"provider": "getui", "token": "phone-of-ben"}))
    _ok(ann.request("PUT", "/v1/me/credentials", json={"login": "ann", "password": "correct horse"}))
    session = _ok(ben.request("POST", "/v1/tokens")).json()
    group = {"name": "friends", "members": [ben.uid, cem.uid]}
    group_id = _ok(ann.request("POST", "/v1/groups", json=group)).json()["group_id"]
    _ok(ben.request("PUT", f"/v1/blocks/{dan.uid}"))
    for to, text in (({"receiver_uid": ben.uid}, "said before"), ({"group_id": group_id}, "said to all")):
        _ok(ann.request("POST", "/v1/messages", json={**to, "kind": "text", "text": text}))
    pictures = [jpeg(3000), jpeg(4000)]
    waiting = {_ok(ann.send(ben, each)).headers["Message-Key"]: b64encode(each).decode() for each in pictures}
    fetched = _ok(ben.send(ann, jpeg(2000))).headers["Message-Key"]
    _ok(ann.get(fetched))
    _ok(dan.request("POST", "/v1/reports", json={"uid": ann.uid, "reason": "spam"}))
    wait_until(lambda: ben.status(fetched)["state"] == "consumed", what="the end of a fetched image")
    return {
        "people": {n: {"uid": p.uid, "ukey": p.ukey, "phone_hash": p.phone_hash} for n, p in people.items()},
        "refresh_token": session["refresh_token"],
        "group_id": group_id,
        "waiting": waiting,
        "fetched": fetched,
        "events": _ok(ben.request("GET", "/v1/events?after=0")).json()["items"],
    }


def _ok(reply: Any) -> Any:
    assert reply.is_success, reply.text
    return reply


def kept_of(data_dir: Path, told: dict[str, Any], commit: str) -> dict[str, Any]:
    """All that is to be laid out again."""
    tables: dict[str, list[dict[str, Any]]] = {}
    with apsw.Connection(str(data_dir / "glimpse.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        [(last_step,)] = db.execute("SELECT max(step) FROM migrations")
        for name in sorted(set(names).difference(NEVER_KEPT)):
            columns = [column for _, column, *_ in db.execute(f"PRAGMA table_info(`{name}`)")]
            rows = db.execute(f"SELECT * FROM `{name}`")
            if found := [dict(zip(columns, map(_text, row), strict=True)) for row in rows]:
                tables[name] = found
    paths = sorted({path for pattern in FILES for path in data_dir.glob(pattern) if path.is_file()})
    files = {str(path.relative_to(data_dir)): b64encode(path.read_bytes()).decode() for path in paths}
    made = {"made_by": commit, "made_at": now_ms(), "last_step": last_step}
    return {**made, "told": told, "tables": tables, "files": files}


def _text(value: Any) -> Any:
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else value


def main() -> None:
    """Write the file."""
    commit = subprocess.check_output(["git", "rev-parse", sys.argv[1]], cwd=ROOT, text=True).strip()
    with TemporaryDirectory() as folder:
        program = Path(folder, "program")
        packed = subprocess.check_output(["git", "archive", commit], cwd=ROOT)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(program, filter="data")
        server = Released(Path(folder), program).start()
        try:
            told = told_by(server)
        finally:
            code = server.stop()
        assert code == 0
        KEPT.write_text(json.dumps(kept_of(server.data_dir, told, commit), indent=1) + "\n")


if __name__ == "__main__":
    main()
