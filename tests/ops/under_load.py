# SPDX-License-Identifier: Apache-2.0
"""A backup made beside a server that takes images all the time, and what must be there after its restore."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from models.db.database import SKIPPED_IDS
from ops.backup import backup
from tests.ops.commands import asked
from tests.support.harness import Person, running, wait_until
from tests.support.pictures import jpeg, png

T = TypeVar("T")


def send(ann: Person, ben: Person, image: bytes) -> str:
    """The image's key."""
    reply = ann.send(ben, image)
    assert reply.status_code == 201, reply.text
    return reply.headers["message-key"]


@contextmanager
def all_the_while(act: Callable[[], T]) -> Iterator[list[T]]:
    """Do this over and over beside the block; what came of each."""
    stop, done = threading.Event(), list[T]()

    def go_on() -> None:
        while not stop.is_set():
            done.append(act())

    acting = threading.Thread(target=go_on)
    acting.start()
    try:
        yield done
    finally:
        stop.set()
        acting.join()


@dataclass(frozen=True)
class BackedUp:
    """What was accepted before the backup, and what the command said of it."""

    ann: Person
    ben: Person
    images: dict[str, bytes]
    made: dict[str, Any]


def back_up_under_load(folder: Path, target: Path, *, nickname: str = "Ben") -> BackedUp:
    """Back up a new server in `folder` while images come; `nickname` is the receiver's."""
    folder.mkdir()
    with running(folder, {"limits": {"enabled": False}, "inbox": {"max_pending": 100_000}}) as server:
        ann, ben = server.register("Ann", cid="ann"), server.register(nickname, cid="ben")
        images = {send(ann, ben, image): image for image in (png(2, 3), jpeg(), png(7, 7))}
        with all_the_while(lambda: send(ann, ben, png(1, 1))) as extra:
            wait_until(lambda: len(extra) > 0, what="the first image beside the backup")
            made = asked(backup, server.data_dir, target, "--with-images")
            accepted = len(extra)
            wait_until(lambda: len(extra) > accepted, what="an image after the backup")
        assert len(images) <= made["images"]["files"] <= len(images) + len(extra)
        assert (made["images"]["gone"], server.failures()) == (0, [])
    return BackedUp(ann, ben, images, made)


def go_on_after_restore(folder: Path, backed_up: BackedUp) -> None:
    """A server over what was restored in `folder` has all of it, and gives ids that no phone knows."""
    with running(folder) as server:
        ann, ben = replace(backed_up.ann, server=server), replace(backed_up.ben, server=server)
        assert {key: ben.get(key).content for key in backed_up.images} == backed_up.images
        assert int(ann.send(ben, png(1, 1)).headers["message-id"]) > SKIPPED_IDS
        assert server.register("Eve").uid > SKIPPED_IDS
        group = ann.request("POST", "/v1/groups", json={"name": "the first one"}).json()
        assert group["group_id"] > SKIPPED_IDS, "the backup knew no groups, and yet clients may"
        [(event_seq,)] = server.database.rows("SELECT event_seq FROM users WHERE uid = ?", ben.uid)
        assert event_seq > SKIPPED_IDS
        assert server.failures() == []
