# SPDX-License-Identifier: Apache-2.0
"""Uploads that go on in another worker, on another machine, and through the nginx of docs/install.md."""

from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.models.metadata.parts import PLACE
from tests.process.crew import Answer, crew
from tests.process.test_uploads import PIECE, begin, offset_of, send_piece
from tests.process.test_uploads_hostile import WITH_PLACE, file_of
from tests.support import PATIENCE, proxies
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, ON_SQLITE, Engine
from tests.support.harness import Person, running, wait_until
from tests.support.pictures import jpeg
from tests.support.seaweed import Seaweed, as_config


def ask(connection: HTTPConnection, person: Person, method: str, upload: str, body: bytes, **fields: object) -> Answer:
    said = {"Authorization": person.basic, **{name.replace("_", "-"): str(value) for name, value in fields.items()}}
    connection.request(method, upload, body or None, said)
    reply = connection.getresponse()
    return Answer(reply.status, reply.headers, reply.read())


@ON_MARIADB
@NEEDS_MARIADBD
@pytest.mark.usefixtures("engine")
def test_another_worker_goes_on_and_the_first_lets_go(tmp_path: Path) -> None:
    with crew(tmp_path, count=2) as both:
        server = both.server
        ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
        upload = begin(ann, len(WITH_PLACE), receiver_uid=ben.uid).headers["Location"]
        with both.line_to(0) as first, both.line_to(1) as second:
            one, other = first._connection, second._connection
            cut = 60  # within Exif
            said = {name.replace("-", "_"): value for name, value in PIECE.items()}
            part = ask(one, ann, "PATCH", upload, WITH_PLACE[:cut], Upload_Offset=0, **said)
            assert (part.status, part.headers["Upload-Offset"]) == (204, str(cut))
            one.putrequest("PATCH", upload)
            for name, value in {**PIECE, "Upload-Offset": cut, "Content-Length": len(WITH_PLACE) - cut}.items():
                one.putheader(name, str(value))
            one.putheader("Authorization", ann.basic)
            one.putheader("Expect", "100-continue")
            one.endheaders()
            assert one.sock.recv(100).startswith(b"HTTP/1.1 100 ")
            one.send(WITH_PLACE[cut : cut + 5000])
            tus = {"Tus_Resumable": "1.0.0"}
            told = ask(other, ann, "HEAD", upload, b"", **tus)
            offset = int(told.headers["Upload-Offset"])
            assert cut <= offset <= cut + 5000
            assert PLACE not in file_of(server, upload).read_bytes()
            assert one.sock.recv(100) == b"", "a look alone cuts who was sending in another worker"
            done = ask(other, ann, "PATCH", upload, WITH_PLACE[offset:], Upload_Offset=offset, **said)
            assert done.status == 204
        got = ben.get(done.headers["Message-Key"] or "").content
        assert len(got) == len(WITH_PLACE)
        assert PLACE not in got
        assert server.failures() == []


@ON_MARIADB
@NEEDS_MARIADBD
def test_another_machine_goes_on_and_the_first_lets_go(tmp_path: Path, engine: Engine, seaweed: Seaweed) -> None:
    settings = {
        "database": {"url": engine.url},
        "storage": as_config(seaweed.settings()),
        "limits": {"enabled": False},
    }
    (tmp_path / "west/data").mkdir(0o700, parents=True)
    with running(tmp_path, settings) as east:
        (tmp_path / "west/data/keys.json").symlink_to(east.data_dir / "keys.json")
        with running(tmp_path / "west", settings) as west:
            ann, ben = east.register("Ann"), east.register("Ben", cid="cid-ben")
            there = replace(ann, server=west)
            upload = begin(ann, len(WITH_PLACE), receiver_uid=ben.uid).headers["Location"]
            cut = 60  # within Exif
            assert send_piece(ann, upload, 0, WITH_PLACE[:cut]).headers["Upload-Offset"] == str(cut)
            with closing(HTTPConnection("127.0.0.1", east.port, timeout=PATIENCE)) as first:
                first.putrequest("PATCH", upload)
                for name, value in {**PIECE, "Upload-Offset": cut, "Content-Length": len(WITH_PLACE) - cut}.items():
                    first.putheader(name, str(value))
                first.putheader("Authorization", ann.basic)
                first.endheaders(WITH_PLACE[cut : cut + 5000])
                wait_until(lambda: file_of(east, upload).exists(), what="who sends on the first machine")
                offset = offset_of(there, upload)
                assert cut <= offset <= cut + 5000
                middle = offset + 100
                assert send_piece(there, upload, offset, WITH_PLACE[offset:middle]).status_code == 204
                assert first.sock.recv(100) == b"", "the first machine lets go"
            assert offset_of(ann, upload) == middle
            done = send_piece(ann, upload, middle, WITH_PLACE[middle:])
            again = send_piece(there, upload, middle, WITH_PLACE[middle:])
            assert (done.status_code, again.headers["Message-Key"]) == (204, done.headers["Message-Key"])
            got = replace(ben, server=west).get(done.headers["Message-Key"]).content
            assert len(got) == len(WITH_PLACE)
            assert PLACE not in got
            assert (east.failures(), west.failures()) == ([], [])


@ON_SQLITE
@pytest.mark.skipif("nginx" in proxies.missing(), reason="needs nginx: make test-deps")
def test_through_nginx_tus_goes_on_and_no_104_is_taken_for_the_answer(tmp_path: Path) -> None:
    settings = {"server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]}}
    (tmp_path / "proxy").mkdir()
    picture = jpeg(300_000)
    with running(tmp_path, settings) as server, proxies.proxy("nginx", tmp_path / "proxy", server.port) as nginx:
        ann, ben = server.register("Ann"), server.register("Ben")
        upload = begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"]
        broken = HTTPConnection("127.0.0.1", nginx.port, timeout=PATIENCE)
        broken.putrequest("PATCH", upload)
        for name, value in {**PIECE, "Upload-Offset": 0, "Content-Length": len(picture)}.items():
            broken.putheader(name, str(value))
        broken.putheader("Authorization", ann.basic)
        broken.endheaders(picture[:200_000])
        broken.close()
        file = file_of(server, upload)
        wait_until(lambda: file.exists() and file.stat().st_size > 0, what="what has come")
        again = HTTPConnection("127.0.0.1", nginx.port, timeout=PATIENCE)
        offset = int(ask(again, ann, "HEAD", upload, b"", Tus_Resumable="1.0.0").headers["Upload-Offset"])
        said = {name.replace("-", "_"): value for name, value in PIECE.items()}
        done = ask(again, ann, "PATCH", upload, picture[offset:], Upload_Offset=offset, **said)
        assert ben.get(done.headers["Message-Key"] or "").content == picture
        whole = ask(
            again,
            ann,
            "POST",
            f"/v1/uploads?receiver_uid={ben.uid}",
            picture,
            Upload_Complete="?1",
            Upload_Draft_Interop_Version=8,
        )
        again.close()
        assert (whole.status, whole.headers["Upload-Complete"]) == (201, "?1")
        assert ben.get(whole.headers["Message-Key"] or "").content == picture
        assert server.failures() == []
