# SPDX-License-Identifier: Apache-2.0
"""A disk that fails once, at every call of an image's way: `python -m tests.process.io_errors [--every N] [--go-on]`.

`make prove-io` sends an image, sends one in pieces, and hands one over, again and again: in the n-th turn the n-th call
on any file of the server fails, until a turn has fewer calls. Whoever was refused asks again. The suite takes some.
"""

import errno
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import httpx

from tests.process.invariants import Told, consumptions, end_well, inbox
from tests.process.test_uploads import begin, send_piece
from tests.support.failing_io import COMPILER, FailingIo
from tests.support.harness import Server, until_answered
from tests.support.pictures import jpeg

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"per_stranger_percent": 100, "strangers_percent": 100},
    "retention": {"interval_seconds": 3600},
}
"""Nothing but the requests has files to work on."""
ERRORS = (errno.EIO, errno.ENOSPC)
BYTES, PIECE_BYTES = 150_000, 80_000
REFUSED = {500, 503, 507}
EXPECTED = {
    "the disk failed",
    "the disk is full",
    "the database failed",
    "pushes cannot be read from the database",
    "the outbox cannot be looked after",
    "a file cannot be removed",
    "retention failed",
}
"""What the log may tell at level error."""


class Scene:
    """A server whose disk fails on demand, and two people."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, SETTINGS)
        self.disk = FailingIo(folder, self.server.data_dir)
        self.server.start(**self.disk.environment)
        self.ann, self.ben = self.server.register("Ann"), self.server.register("Ben", cid="cid-ben")
        self.told = Told()
        self.answers: Counter[int] = Counter()

    def ask(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """What is answered in the end; a refusal for the disk is asked again."""

        def answered() -> httpx.Response:
            reply = request()
            self.answers[reply.status_code] += 1
            if reply.status_code in REFUSED:
                raise httpx.TransportError(reply.text)
            return reply

        return until_answered(answered)

    def accept(self, reply: httpx.Response, picture: bytes) -> str:
        assert reply.status_code in (201, 204), reply.text
        key: str = reply.headers["Message-Key"]
        self.told.accept(key, picture)
        assert inbox(self.ben) == [key]
        assert self.ask(lambda: self.ben.get(key, params={"ack": "manual"})).content == picture
        return key

    def forget(self, key: str) -> None:
        assert self.ask(lambda: self.ben.request("DELETE", f"/v1/images/{key}")).status_code == 204
        self.told.acknowledged.add(key)
        assert inbox(self.ben) == []
        assert consumptions(self.server.data_dir, key) == 1

    def end(self) -> None:
        end_well(self.server, self.ben, self.told)


def sent(scene: Scene, nth: int, error: int) -> None:
    """An image in one request."""
    picture, once = jpeg(BYTES), {"Idempotency-Key": f"sent-{nth}-{error}"}
    with scene.disk.failing(nth, error):
        reply = scene.ask(lambda: scene.ann.send(scene.ben, picture, headers=once))
    scene.forget(scene.accept(reply, picture))


def sent_in_pieces(scene: Scene, nth: int, error: int) -> None:
    """An image in two."""
    picture, once = jpeg(BYTES), {"Idempotency-Key": f"pieces-{nth}-{error}"}
    with scene.disk.failing(nth, error):
        begun = scene.ask(lambda: begin(scene.ann, len(picture), once, receiver_uid=scene.ben.uid))
        offset = 0
        while True:
            piece = picture[offset : offset + PIECE_BYTES]
            reply = scene.ask(partial(send_piece, scene.ann, begun.headers["Location"], offset, piece))
            told = int(reply.headers["Upload-Offset"])
            assert told >= offset
            if "Message-Key" in reply.headers:
                break
            offset = told if told < len(picture) else offset
    scene.forget(scene.accept(reply, picture))


def handed_over(scene: Scene, nth: int, error: int) -> None:
    """An image fetched and acknowledged."""
    picture = jpeg(BYTES)
    key = scene.accept(scene.ann.send(scene.ben, picture), picture)
    with scene.disk.failing(nth, error):
        assert scene.ask(lambda: scene.ben.get(key)).content == picture
        assert scene.ask(lambda: scene.ben.request("DELETE", f"/v1/images/{key}")).status_code == 204
    scene.forget(key)


WAYS = (sent, sent_in_pieces, handed_over)


def failed_at_each_call(scene: Scene, way: Callable[[Scene, int, int], None], every: int, error: int) -> Counter[str]:
    """The calls that failed, one in each turn, until a turn has fewer calls."""
    failed: Counter[str] = Counter()
    nth = 1
    while True:
        way(scene, nth, error)
        if not scene.disk.failed:
            return failed
        failed[scene.disk.failed] += 1
        nth += every


def failed_everywhere(folder: Path, every: int) -> dict[str, Counter[str]]:
    """By way and errno, which calls failed how often. Raises AssertionError for an image that is lost or doubled, and
    for an error that the server did not expect.
    """
    scene, found = Scene(folder), {}
    try:
        for way in WAYS:
            for error in ERRORS:
                found[f"{way.__name__}, {errno.errorcode[error]}"] = failed_at_each_call(scene, way, every, error)
        scene.end()
    finally:
        if scene.server.process and scene.server.process.poll() is None:
            scene.server.kill()
    logged = {json.loads(line)["event"] for line in scene.server.failures()}
    assert logged <= EXPECTED, logged
    return found


@click.command()
@click.option("--every", default=1, show_default=True, help="not each call, but each so many")
@click.option("--go-on", is_flag=True, help="succeed although the machine cannot do it")
def main(*, every: int, go_on: bool) -> None:
    """Fail at each call of an image's way."""
    if COMPILER is None:
        click.echo("left out, there is no C compiler: errors of the disk")
        sys.exit(not go_on)
    with tempfile.TemporaryDirectory() as name:
        for what, failed in failed_everywhere(Path(name), every).items():
            calls = ", ".join(f"{count} {call}" for call, count in failed.most_common())
            click.echo(f"{what}: {failed.total()} calls failed, one at a time ({calls}); 0 lost, 0 doubled")


if __name__ == "__main__":
    main()
