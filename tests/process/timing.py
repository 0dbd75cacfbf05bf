# SPDX-License-Identifier: Apache-2.0
"""Whether the time of an answer tells what the answer does not: `python -m tests.process.timing` (`make prove-timing`).

Two questions that have the same answer are asked in turns, 200 times. Whoever takes the slower of each two for the one
with more behind it must not be right more often than by chance, in either direction.
"""

import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.process.people.acts import ask, block
from tests.support.harness import Person, Server, running
from tests.support.pictures import png

PAIRS = 200
MOST_RIGHT = 120
"""Of 200 tosses of a coin more than this, or fewer than 80, come once in 250 times; twice in a row, in 60,000."""
SETTINGS = {
    "limits": {
        "rates": {
            "per_address": {"register": "100000/hour"},
            "per_account": {"send": "100000/day", "befriend": "100000/day", "delivery": "100000/hour"},
        }
    },
    "inbox": {"max_pending": 100_000},
    "discovery": {"per_day": 100_000},
}
Act = Callable[[], httpx.Response]
Pairs = Iterator[tuple[Act, Act]]


def guessed(pairs: Pairs, status: int) -> int:
    """How often the slower of two answers was the second question's."""
    right = 0
    for _ in range(PAIRS):
        acts = next(pairs)
        took = [0.0, 0.0]
        for at in random.sample((0, 1), 2):
            began = time.perf_counter()
            reply = acts[at]()
            took[at] = time.perf_counter() - began
            assert reply.status_code == status, reply.text
        right += took[1] > took[0]
    return right


def image(sender: Person, **receiver: object) -> Act:
    data = {name: str(value) for name, value in receiver.items()}
    return lambda: sender.request("POST", "/v1/images", data=data, files={"img_file": ("x.png", png())})


def text(sender: Person, uid: int) -> Act:
    said = {"kind": "text", "text": "hello", "receiver_uid": uid}
    return lambda: sender.request("POST", "/v1/messages", json=said)


def unknown_or_not_a_friend(server: Server) -> Pairs:
    ben = server.register()
    while True:
        stranger = server.register()
        yield image(ben, receiver_phone=secrets.token_hex(32)), image(ben, receiver_phone=stranger.phone_hash)


def unknown_or_not_a_friend_by_text(server: Server) -> Pairs:
    ben, stranger = server.register(), server.register()
    while True:
        yield text(ben, 2**40), text(ben, stranger.uid)


def images_with_and_without_a_block(server: Server) -> Pairs:
    ben, free, blocking = (server.register() for _ in range(3))
    block(blocking, ben)
    while True:
        yield image(ben, receiver_uid=free.uid), image(ben, receiver_uid=blocking.uid)


def texts_with_and_without_a_block(server: Server) -> Pairs:
    ben, free, blocking = (server.register() for _ in range(3))
    block(blocking, ben)
    while True:
        yield text(ben, free.uid), text(ben, blocking.uid)


def requests_with_and_without_a_block(server: Server) -> Pairs:
    ben = server.register()
    while True:
        free, blocking = server.register(), server.register()
        block(blocking, ben)
        yield (lambda free=free: ask(ben, free)), (lambda blocking=blocking: ask(ben, blocking))  # type: ignore[misc]


QUESTIONS: list[tuple[Callable[[Server], Pairs], bool, int]] = [
    (unknown_or_not_a_friend, True, 403),
    (unknown_or_not_a_friend_by_text, True, 403),
    (images_with_and_without_a_block, False, 201),
    (texts_with_and_without_a_block, False, 201),
    (requests_with_and_without_a_block, False, 201),
]


def main() -> int:
    told = 0
    with tempfile.TemporaryDirectory() as folder:
        for friends_only in (True, False):
            place = Path(folder) / str(friends_only)
            place.mkdir()
            with running(place, {**SETTINGS, "messaging": {"friends_only": friends_only}}) as server:
                for begin, among_friends, status in QUESTIONS:
                    if among_friends is friends_only:
                        told += _tells(begin, server, status)
    return told


def _tells(begin: Callable[[Server], Pairs], server: Server, status: int) -> bool:
    """Whether the times tell, asked once more where they seem to."""
    for _ in range(2):
        right = guessed(begin(server), status)
        sys.stdout.write(f"{begin.__name__}: {right} of {PAIRS} guessed right\n")
        if PAIRS - MOST_RIGHT <= right <= MOST_RIGHT:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
