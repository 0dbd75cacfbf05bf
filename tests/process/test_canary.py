# SPDX-License-Identifier: Apache-2.0
"""A whole life under watch: no number, phone hash, key or code is left anywhere but in the developer's outbox.log."""

import json
import re
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, phone_number, running, wait_until
from tests.support.pictures import jpeg

pytestmark = pytest.mark.usefixtures("engine")

CAPTION = "a-caption-for-two-people"
FILE_NAME = "file-name-of-a-phone.jpg"
IN_QUERY = "said-in-a-query"
IN_PATH = "said-in-a-path"
IN_BODY = "said-in-a-broken-body"
IDEMPOTENCY_KEY = "idempotency-key-of-a-phone"
CIDS = ("cid-of-a-phone-in-clear-1", "cid-of-a-phone-in-clear-2")
PRIVATE = 0o077
CODE_DIGITS = 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {
        "limits": {"enabled": False},
        "activation": {"required": True},
        "log": {"level": "debug"},
        "retention": {"interval_seconds": 1},
    }
    with running(tmp_path, settings) as server:
        yield server


class Life:
    """One phone, and every secret that it has had."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.number = phone_number()
        self.codes: list[str] = []
        self.ukeys: list[str] = []
        self.activations: list[str] = []

    def register(self, cid: str) -> Person:
        """Register, or retrieve the account, with a wrong code before the right one."""
        form = {"region_num": "+86", "phone_num": f"{self.number[:3]} {self.number[3:7]}-{self.number[7:]}"}
        asked = self.server.client.post(
            "/v1/register",
            data={**form, "nickname": "Canary", "cid": cid},
            headers={"Idempotency-Key": f"{IDEMPOTENCY_KEY}-{cid}"},
        )
        assert asked.status_code == 202, asked.text
        address = f"/v1/activations/{asked.json()['activation_id']}"
        self.codes.append(self._next_code())
        wrong = str((int(self.codes[-1]) + 1) % 10**6).zfill(6)
        assert self.server.client.post(address, json={"code": wrong}).status_code == 403
        self.codes.append(wrong)
        issued = self.server.client.post(address, json={"code": self.codes[-2]})
        assert issued.status_code == 201, issued.text
        answer = issued.json()
        self.ukeys.append(answer["ukey"])
        return Person(self.server, answer["uid"], answer["ukey"], answer["phone_hash"])

    def _next_code(self) -> str:
        def told() -> list[dict[str, Any]]:
            log = self.server.data_dir / "outbox.log"
            lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
            return [line for line in lines if self.number in line.get("to", "") and line["code"] not in self.codes]

        wait_until(lambda: bool(told()), what="a code")
        return str(told()[0]["code"])

    def secrets(self, phone_hash: str) -> list[bytes]:
        """Every spelling of what must be nowhere; a code is six digits."""
        first, second, third = self.number[:3], self.number[3:7], self.number[7:]
        texts = [self.number, f"{first} {second} {third}", f"{first}-{second}-{third}", f"{first} {second}-{third}"]
        texts += [phone_hash, phone_hash.upper(), phone_hash[:32], *self.ukeys]
        texts += [b64encode(f"{phone_hash}:{ukey}".encode()).decode()[:60] for ukey in self.ukeys]
        found = [text.encode() for text in texts]
        found += [urlsafe_b64decode(ukey + "=" * (-len(ukey) % 4)) for ukey in self.ukeys]
        return [*found, bytes.fromhex(phone_hash), *(code.encode() for code in self.codes)]


def live(server: Server, ann: Person, ben: Person, day: int) -> None:
    """Everything that an account does, well and badly."""
    picture = jpeg(30_000)
    files = {"img_file": (FILE_NAME, picture, "image/jpeg")}
    form = {"receiver_phone": ben.phone_hash, "phone_hash": ann.phone_hash, "ukey": ann.ukey, "caption": CAPTION}
    key = {"Idempotency-Key": f"{IDEMPOTENCY_KEY}-{day}"}
    client = server.client
    sent = [client.post("/v1/images", data=form, files=files, headers=key) for _ in range(2)]
    assert {reply.status_code for reply in sent} == {201}
    assert client.post("/v1/images", data={**form, "ukey": "x"}, files=files).status_code == 401
    assert ann.send(ben, picture, colour=IN_BODY).status_code == 422
    query = {"sender_phone": ann.phone_hash, "receiver_phone": ben.phone_hash}
    assert ben.request("GET", "/v1/images", params={**query, "ack": "manual"}).content == picture
    assert ben.request("GET", "/v1/images", params={**query, "other": IN_QUERY}).status_code == 422
    assert ben.request("GET", f"/v1/{IN_PATH}/{ann.phone_hash}", params={"ukey": ann.ukey}).status_code == 404
    for body in (b"{" + IN_BODY.encode() + ann.phone_hash.encode(), json.dumps({"phone_num": IN_BODY}).encode()):
        reply = client.post("/v1/register", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code in (400, 422)
    for path in ("/v1/me", "/v1/inbox", f"/v1/users/{ben.uid}", f"{sent[0].headers['Location']}/status"):
        assert ann.request("GET", path, params={} if "inbox" in path else None).status_code == 200
    assert ben.request("DELETE", sent[0].headers["Location"]).status_code == 204


def traces(server: Server, needles: list[bytes]) -> list[tuple[str, bytes]]:
    """Where the needles stand: in the data directory's files and their names, the database, the arguments, the log."""
    assert server.process
    places = {path: path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file()}
    places |= {path: path.read_bytes() for path in server.database.files()}
    del places[server.data_dir / "outbox.log"]
    texts = {str(path): content for path, content in places.items()}
    texts["the names of files"] = "\n".join(texts).encode()
    arguments = Path(f"/proc/{server.process.pid}/cmdline")
    texts["the process's arguments"] = arguments.read_bytes() if arguments.exists() else b""
    texts["the log"] = server.log.read_bytes()
    return [(where, needle) for where, text in texts.items() for needle in needles if stands_in(needle, text)]


def stands_in(needle: bytes, text: bytes) -> bool:
    """A code's digits count where they stand alone, and not within other digits."""
    if needle not in text:  # tens of megabytes, most of them without any
        return False
    alone = rb"(?<![0-9a-f.])%s(?![0-9a-f])" if len(needle) == CODE_DIGITS else rb"%s"
    return re.search(alone % re.escape(needle), text) is not None


def test_nothing_secret_is_left_anywhere(server: Server) -> None:
    lives = [Life(server), Life(server)]
    ann, ben = [life.register(cid) for life, cid in zip(lives, CIDS, strict=True)]
    live(server, ann, ben, day=1)
    again = lives[0].register("cid-of-the-next-phone")
    assert again.uid == ann.uid
    assert ann.request("GET", "/v1/me").status_code == 401
    renewed = again.request("POST", "/v1/me/ukey")
    lives[0].ukeys.append(renewed.json()["ukey"])
    last = Person(server, ann.uid, lives[0].ukeys[-1], ann.phone_hash)
    live(server, last, ben, day=2)

    secrets = lives[0].secrets(ann.phone_hash) + lives[1].secrets(ben.phone_hash)
    unkept = [text.encode() for text in (IDEMPOTENCY_KEY, FILE_NAME, IN_QUERY, IN_PATH, IN_BODY)]
    unlogged = [text.encode() for text in (CAPTION, *CIDS)]
    outbox = (server.data_dir / "outbox.log").read_bytes()
    for kept_there in (ann.phone_hash, lives[0].number, lives[0].codes[0]):
        assert kept_there.encode() in outbox
    assert any(CIDS[1].encode() in path.read_bytes() for path in server.database.files())
    assert traces(server, secrets + unkept) == []
    assert [needle for needle in unlogged if needle in server.log.read_bytes()] == []
    server.kill()
    assert traces(server, secrets + unkept) == []
    server.start()
    assert server.stop() == 0
    assert traces(server, secrets + unkept) == []


@ON_SQLITE
def test_what_the_server_keeps_is_its_owner_s_alone(server: Server) -> None:
    ann = Life(server).register(CIDS[0])
    ann.send(ann, jpeg())
    wait_until(lambda: bool(server.stored_files()), what="the file")
    kept = [server.data_dir, *server.data_dir.rglob("*")]
    assert {"keys.json", "outbox.log", "glimpse.db", "glimpse.db-wal", "images"} <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & PRIVATE] == []
    assert (server.data_dir / "keys.json").stat().st_mode & 0o777 == 0o600
    assert (server.data_dir / "outbox.log").stat().st_mode & 0o777 == 0o600
    assert server.data_dir.stat().st_mode & 0o777 == 0o700
