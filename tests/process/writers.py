# SPDX-License-Identifier: Apache-2.0
"""A load of people who send and fetch images while their server dies and comes back, and what they were told."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx

from tests.process.invariants import Told
from tests.process.test_uploads import begin, send_piece
from tests.support.harness import Server, until_answered, wait_until
from tests.support.pictures import jpeg

SETTINGS = {
    "limits": {"enabled": False},
    "inbox": {"max_pending": 100_000, "per_stranger_percent": 100, "strangers_percent": 100},
    "retention": {"interval_seconds": 1},
}
WRITERS = 8
FILES_OF_A_WRITER = 2
"""Without a row, at most: the image that a writer sends, and the upload that it is made of."""
PIECE_BYTES = 60_000


class Crowd:
    """Writers who ask again until they are answered: a broken connection and a 5xx are no answer.

    Every fourth image goes as an upload in pieces, every third they fetch and acknowledge.
    """

    def __init__(self, server: Server, cid: str = "cid-ben") -> None:
        self.ann, self.ben = server.register("Ann"), server.register("Ben", cid=cid)
        self.told = Told()
        self.asked_again = 0
        self.uploads = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """They write for the length of a block, and each sees its last image through. Raises what a writer raised."""
        with ThreadPoolExecutor(WRITERS) as pool:
            under_way = [pool.submit(self._write, writer) for writer in range(WRITERS)]
            try:
                yield
            finally:
                self.over.set()
        for each in under_way:
            each.result()

    def wait_for_progress(self) -> None:
        """Until some more images were accepted."""
        goal = len(self.told.accepted) + random.randint(20, 60)
        wait_until(lambda: len(self.told.accepted) >= goal, what="progress")

    def _write(self, writer: int) -> None:
        number = 0
        while not self.over.is_set():
            picture, name = jpeg(random.randint(10_000, 200_000)), f"{writer}-{number}"
            key = self._upload(picture, name) if number % 4 == 3 else self._send(picture, name)
            with self._lock:
                self.told.accept(key, picture)
            if number % 3 == 0:
                gone = self._ask(lambda key=key: self.ben.request("DELETE", f"/v1/images/{key}"))  # type: ignore[misc]
                assert gone.status_code == 204, gone.text
                with self._lock:
                    self.told.acknowledged.add(key)
            number += 1

    def _send(self, picture: bytes, name: str) -> str:
        sent = self._ask(lambda: self.ann.send(self.ben, picture, headers={"Idempotency-Key": name}))
        assert sent.status_code == 201, sent.text
        key: str = sent.headers["Message-Key"]
        return key

    def _upload(self, picture: bytes, name: str) -> str:
        once = {"Idempotency-Key": name}
        begun = self._ask(lambda: begin(self.ann, len(picture), once, receiver_uid=self.ben.uid))
        assert begun.status_code == 201, begun.text
        upload, told = begun.headers["Location"], 0
        while True:
            piece = picture[told : told + PIECE_BYTES]
            reply = self._ask(partial(send_piece, self.ann, upload, told, piece))
            assert reply.status_code in (204, 409), reply.text
            offset = int(reply.headers["Upload-Offset"])
            assert offset >= told, f"{told} bytes of an upload were acknowledged, {offset} are left"
            if "Message-Key" in reply.headers:
                with self._lock:
                    self.uploads += 1
                key: str = reply.headers["Message-Key"]
                return key
            # Where all bytes are there and no message is, the last request is to be repeated as it was.
            told = offset if offset < len(picture) else told

    def _ask(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        refusals = []

        def answered() -> httpx.Response:
            reply = ask()
            if reply.is_server_error:
                refusals.append(reply.text)
                raise httpx.TransportError(reply.text)
            return reply

        try:
            return until_answered(answered, self._count)
        except AssertionError as error:
            raise AssertionError(f"{error}: {refusals}") from None

    def _count(self) -> None:
        with self._lock:
            self.asked_again += 1
