# SPDX-License-Identifier: Apache-2.0
"""A server whose images are in the bucket of a real object store: their life there, its bad days, and its operators."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import obstore
import pytest
from click.testing import CliRunner
from obstore.store import S3Store as Client

from ops.backup import backup
from ops.config import config
from ops.doctor import doctor
from ops.fsck import fsck
from ops.restore import restore
from tests.process.test_uploads import begin, send_whole
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg, png
from tests.support.seaweed import KEYS, Seaweed, as_config

PICTURE = jpeg(300_000)
TEXT = {"kind": "text", "text": "still here"}


@pytest.fixture(scope="module")
def weed() -> Iterator[Seaweed]:
    """One that tests of this module may stop."""
    weed = Seaweed()
    yield weed
    weed.close()


@pytest.fixture(scope="module")
def server(weed: Seaweed, new_folder: NewFolder) -> Iterator[Server]:
    settings = {
        "storage": as_config(weed.settings()),
        "limits": {"enabled": False},
        "retention": {"interval_seconds": 1},
        "delivery": {"grace_seconds": 0, "offload": "presigned"},
    }
    with running(new_folder("server"), settings) as server:
        yield server
        assert server.failures() == []


def objects(server: Server) -> list[str]:
    """The names of all objects of this server but its mark."""
    s3 = json.loads(server.config.read_text())["storage"]["s3"]
    client = Client(
        s3["bucket"],
        prefix=s3["prefix"],
        endpoint=s3["endpoint"],
        access_key_id=KEYS[0],
        secret_access_key=KEYS[1],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    return sorted(entry["path"] for batch in obstore.list(client) for entry in batch if entry["path"] != "probe")


def run(command: click.Command, server: Server, *arguments: object, status: int = 0) -> Any:
    """The document of a command beside this server."""
    words = [*map(str, arguments), "--config", str(server.config), "--data-dir", str(server.data_dir), "--json"]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def send(sender: Person, receiver: Person) -> str:
    return sender.send(receiver, PICTURE, thumbnail=png(8, 8)).headers["Message-Key"]


def waiting(person: Person) -> list[str]:
    return [item["message_key"] for item in person.request("GET", "/v1/inbox").json()["items"]]


def test_an_image_and_its_preview_live_in_the_bucket_until_it_is_consumed(
    server: Server, ann: Person, ben: Person
) -> None:
    key = send(ann, ben)
    place = f"{key[:2]}/{key[2:4]}/{key}"
    assert objects(server) == [place, f"{place}.t"]
    assert server.stored_files() == []
    assert ben.request("GET", f"/v1/images/{key}/thumbnail").status_code == 200
    part = ben.get(key, headers={"Range": "bytes=100000-100099"})
    assert (part.status_code, part.content) == (206, PICTURE[100_000:100_100])
    assert ben.get(key).content == PICTURE
    wait_until(lambda: objects(server) == [], what="the removal of both objects")


def test_an_upload_in_pieces_ends_in_the_bucket(server: Server, ann: Person, ben: Person) -> None:
    begun = begin(ann, len(PICTURE), receiver_uid=ben.uid)
    send_whole(ann, begun.headers["Location"], PICTURE, 100_000)
    (key,) = waiting(ben)
    assert ben.get(key).content == PICTURE
    wait_until(lambda: objects(server) == [], what="the removal of the object")
    assert server.stored_files() == []


def test_who_wishes_it_has_the_bytes_from_the_store_itself(server: Server, ann: Person, ben: Person) -> None:
    key = send(ann, ben)
    manual, wish = {"ack": "manual"}, {"Prefer": "respond-async, redirect"}
    usual = ben.get(key, params=manual)
    sent_on = ben.get(key, params=manual, headers=wish)
    assert (usual.status_code, sent_on.status_code, sent_on.content) == (200, 307, b"")
    same = ("ETag", "Repr-Digest", "Message-Id", "Send-Time", "Sender-Uid", "Content-Disposition", "Cache-Control")
    assert [sent_on.headers[name] for name in same] == [usual.headers[name] for name in same]
    location = sent_on.headers["Location"]
    assert httpx.get(location, trust_env=False, verify=False).content == PICTURE
    assert httpx.get(location, trust_env=False, verify=False, headers={"Range": "bytes=5-9"}).content == PICTURE[5:10]
    assert httpx.get(location.replace(key, "0" * 64), trust_env=False, verify=False).status_code == 403
    assert "X-Amz-Expires=60&" in location
    assert ben.request("HEAD", f"/v1/images/{key}", params=manual, headers=wish).status_code == 200
    assert ann.get(key, params=manual, headers=wish).status_code == 404
    assert waiting(ben) == [key]
    assert ben.get(key, headers=wish).content == PICTURE
    assert ben.get(key, params=manual, headers=wish).status_code == 410
    wait_until(lambda: objects(server) == [], what="the removal before the store is gone in the next test")


def test_while_the_store_is_gone_images_are_refused_and_none_is_lost(
    server: Server, weed: Seaweed, ann: Person, ben: Person
) -> None:
    key, once = send(ann, ben), {"Idempotency-Key": "once"}
    weed.kill()
    refused = ann.send(ben, PICTURE, headers=once)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    fetched = ben.get(key)
    assert (fetched.status_code, int(fetched.headers["Retry-After"]) > 0) == (503, True)
    assert ann.request("POST", "/v1/messages", json={**TEXT, "receiver_uid": ben.uid}).status_code == 201
    ready = server.client.get("/readyz")
    assert (ready.status_code, "storage" in ready.text) == (503, True)
    (found,) = [check for check in run(doctor, server, status=1)["checks"] if check["name"] == "bucket"]
    assert (found["status"], "cannot be reached" in found["found"]) == ("fail", True)
    checked = CliRunner().invoke(config, ["check", "--config", str(server.config), "--data-dir", str(server.data_dir)])
    assert (checked.exit_code, "storage.s3: " in checked.stderr) == (2, True)
    weed.start()
    wait_until(lambda: server.client.get("/readyz").status_code == 200, what="readiness")
    assert ann.send(ben, PICTURE, headers=once).status_code == 201
    assert [ben.get(each).content for each in waiting(ben)] == [PICTURE] * 2
    told = [line for line in server.failures() if "the bucket refused" in line]
    assert told
    assert not any("[redacted]" in line for line in told)
    server.provoked.update(told)


def test_a_removal_that_met_a_stopped_store_comes_soon_after_its_return(
    server: Server, weed: Seaweed, ann: Person, ben: Person
) -> None:
    key = send(ann, ben)
    wait_until(lambda: len(objects(server)) == 2, what="the removal of what was fetched")
    weed.kill()
    assert ben.request("DELETE", f"/v1/images/{key}").status_code == 204
    put_off = "SELECT 1 FROM messages WHERE message_key = ? AND purge_at > send_time + 14000"
    wait_until(lambda: bool(server.database.rows(put_off, key)), what="the removal in vain")
    weed.start()
    wait_until(lambda: objects(server) == [], what="the removal of both objects")
    server.provoked.update(line for line in server.failures() if "the bucket refused" in line)


def test_operators_check_back_up_and_restore_what_is_in_the_bucket(
    server: Server, weed: Seaweed, ann: Person, ben: Person, tmp_path: Path
) -> None:
    wait_until(lambda: objects(server) == [], what="the removal of what was fetched")
    key = send(ann, ben)
    assert run(fsck, server)["clean"]
    assert run(doctor, server)["healthy"]
    assert run(backup, server, tmp_path / "backup", "--with-images")["images"]["files"] == 2
    (tmp_path / "other").mkdir()
    other = Server(tmp_path / "other", {"storage": as_config(weed.settings()), "limits": {"enabled": False}})
    assert run(restore, other, tmp_path / "backup")["images"] == 2
    assert [name.rpartition("/")[2] for name in objects(other)] == [key, f"{key}.t"]
    other.start()
    assert Person(other, ben.uid, ben.ukey, ben.phone_hash).get(key).content == PICTURE
    assert other.stop() == 0


def test_a_bucket_that_no_server_has_used_is_not_taken_for_one_that_lost_everything(
    server: Server, weed: Seaweed, ann: Person, ben: Person, tmp_path: Path
) -> None:
    send(ann, ben)
    elsewhere = tmp_path / "elsewhere.yaml"
    settings = json.loads(server.config.read_text())
    elsewhere.write_text(json.dumps({**settings, "storage": as_config(weed.settings())}))
    words = ["--repair", "--config", str(elsewhere), "--data-dir", str(server.data_dir)]
    refused = CliRunner().invoke(fsck, words)
    assert (refused.exit_code, "no server has used this bucket" in refused.stderr) == (2, True)
    assert run(fsck, server)["clean"]
