# SPDX-License-Identifier: Apache-2.0
"""One picture's whole way, by curl: a place in it, a line that is cut five times, a notification that shows it."""

import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.models.metadata.parts import EXIF_SEGMENT, PLACE, jpeg
from tests.support import PATIENCE
from tests.support.bad_line import BadLine, Fault, bad_line
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg as plain_jpeg
from tests.support.push_vendors import PushVendor, emulated

CUTS = 5
CUT_AFTER_BYTES = 40_000
FAULT = Fault("cut_request", "PATCH", "/v1/uploads/.*", after_bytes=CUT_AFTER_BYTES, times=CUTS)
TUS = ("-H", "Tus-Resumable: 1.0.0")
WORDS = b"\xff\xfe\xff\xff" + b"kept" * 16_383 + b"!"
"""A comment, as long as one can be."""
PICTURE = jpeg(EXIF_SEGMENT, *[WORDS] * 8)
PREVIEW = plain_jpeg(600, width=64, height=48)


@dataclass(frozen=True)
class Train:
    """A server behind a line that is cut, and the phone's vendor."""

    server: Server
    line: BadLine
    vendor: PushVendor

    def curl(self, person: Person, *arguments: str, folder: Path) -> str:
        """The head of the answer, or nothing where the line was cut."""
        address, *rest = arguments
        command = ["curl", "-sS", "-i", "--noproxy", "*", "-u", ":".join(person.auth), *TUS, *rest]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{self.line.port}{address}"],
            cwd=folder,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout.decode("latin-1") if done.returncode == 0 else ""


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    with emulated(tmp_path, ["fcm"]) as vendors, bad_line(0, [FAULT]) as line:
        settings = {
            "server": {"public_url": f"http://127.0.0.1:{line.port}"},
            "push": {**vendors.push, "default_provider": "fcm", "picture": "preview"},
        }
        with running(tmp_path, settings) as server:
            line.server_port = server.port
            yield Train(server, line, vendors.each["fcm"])


def field(head: str, name: str) -> str:
    found = re.search(rf"^{name}: *([^\r]*)", head, re.MULTILINE | re.IGNORECASE)
    assert found, head
    return found[1]


def send_rest(train: Train, ann: Person, upload: str, folder: Path) -> str:
    """What is not there yet, from where the server says that it goes on; the answer's head, if there was one."""
    offset = int(field(train.curl(ann, upload, "-I", folder=folder), "Upload-Offset"))
    (folder / "rest").write_bytes(PICTURE[offset:])
    said = ("-X", "PATCH", "-H", f"Upload-Offset: {offset}", "-H", "Content-Type: application/offset+octet-stream")
    return train.curl(ann, upload, *said, "--data-binary", "@rest", folder=folder)


def test_it_arrives_whole_without_its_place_after_it_was_shown(train: Train, tmp_path: Path) -> None:
    ann, ben = train.server.register("Ann"), train.server.register("Ben", cid=train.vendor.token(1))
    (tmp_path / "preview").write_bytes(PREVIEW)
    said = ("-H", f"Upload-Length: {len(PICTURE)}", "-H", f"Upload-Metadata: receiver_uid {encoded(ben.uid)}")
    upload = field(train.curl(ann, "/v1/uploads", "-X", "POST", *said, folder=tmp_path), "Location")
    train.curl(ann, f"{upload}/thumbnail", "-T", "preview", "-H", "Content-Type: image/jpeg", folder=tmp_path)

    answers = [send_rest(train, ann, upload, tmp_path) for _ in range(CUTS + 1)]
    assert answers[:CUTS] == [""] * CUTS
    key = field(answers[CUTS], "Message-Key")
    assert field(answers[CUTS], "Metadata-Removed") == "location"

    wait_until(lambda: len(train.vendor.received()) == 1, what="the push")
    assert b64encode(PREVIEW).decode() in httpx.get(train.vendor.url, trust_env=False, verify=False).text
    assert ann.status(key)["state"] == "pending"

    got = ben.get(key, params={"ack": "manual"})
    behind = PICTURE.index(WORDS)
    assert PLACE in PICTURE
    assert PLACE not in got.content
    assert (len(got.content), got.content[behind:]) == (len(PICTURE), PICTURE[behind:])
    assert ann.status(key)["state"] == "pending"
    assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
    assert ann.status(key)["state"] == "consumed"


def encoded(value: int) -> str:
    return b64encode(str(value).encode()).decode()
