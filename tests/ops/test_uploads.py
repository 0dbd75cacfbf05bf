# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of uploads that have not ended, and how they look after them."""

from pathlib import Path

from ops.fsck import fsck
from ops.uploads import uploads
from tests.ops.commands import asked, invoke
from tests.process.test_uploads import TUS, begin, send_piece
from tests.support.harness import running
from tests.support.pictures import jpeg


def test_open_uploads_are_listed_and_dropped(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        picture = jpeg(30_000)
        upload, sent = [begin(ann, len(picture), receiver_uid=ben.uid).headers["Location"] for _ in range(2)]
        send_piece(ann, upload, 0, picture[:10_000])
        send_piece(ann, sent, 0, picture)
        [row] = asked(uploads, server.data_dir, "list")["uploads"]
        number = upload.rpartition("/")[2]
        assert (row["upload_id"], row["uid"], row["receiver_uid"]) == (number, ann.uid, ben.uid)
        assert (row["received"], row["length"]) == (10_000, 30_000)
        assert f"to uid {ben.uid}  10000 of 30000 bytes" in invoke(uploads, server.data_dir, "list").stdout
        assert asked(uploads, server.data_dir, "drop", number, "0" * 32, status=1) == {"asked": 2, "done": 1}
        assert not (server.data_dir / "images/.uploads" / number).exists()
        assert ann.request("HEAD", upload, headers=TUS).status_code == 404
        assert ann.request("HEAD", sent, headers=TUS).status_code == 200


def test_fsck_finds_uploads_without_their_bytes_and_files_without_an_upload(tmp_path: Path) -> None:
    settings = {"retention": {"orphan_seconds": 86_400}}
    with running(tmp_path, settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben")
        whole, short, gone = [begin(ann, 30_000, receiver_uid=ben.uid).headers["Location"] for _ in range(3)]
        for upload in (whole, short, gone):
            send_piece(ann, upload, 0, jpeg(30_000)[:10_000])
        folder = server.data_dir / "images/.uploads"
        short_file, gone_file = [folder / upload.rpartition("/")[2] for upload in (short, gone)]
        short_file.write_bytes(short_file.read_bytes()[:9999])
        gone_file.unlink()
        found = asked(fsck, server.data_dir, status=1)
        assert found["problems"]["broken_uploads"] == 2
        assert sorted(found["examples"]["broken_uploads"]) == sorted([short_file.name, gone_file.name])
        assert asked(fsck, server.data_dir, "--repair")["repaired"] == {"broken_uploads": 2}
        assert asked(fsck, server.data_dir)["problems"]["broken_uploads"] == 0
        assert ann.request("HEAD", short, headers=TUS).status_code == 404
        assert ann.request("HEAD", whole, headers=TUS).headers["Upload-Offset"] == "10000"
