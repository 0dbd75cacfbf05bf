# SPDX-License-Identifier: Apache-2.0
"""Hostile ways to ask for an image, and hostile things in the place where one should be."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.hostile_watch import unharmed
from tests.process.hostile_wire import CLOSE, by, provoke, read_answer, request, reset
from tests.support.harness import Person, Server
from tests.support.pictures import jpeg

PICTURE = jpeg(5000)
NOT_THERE = {
    "an escaped traversal": "..%2f..%2f..%2fetc%2fpasswd",
    "a traversal": "../../../../etc/passwd",
    "a twice escaped traversal": "%252e%252e%252fetc%252fpasswd",
    "an overlong slash": "..%c0%af..%c0%afetc",
    "a NUL": "%00",
    "a broken escape": "%zz",
    "no UTF-8": "%ff%fe",
    "dots": "%2e%2e",
    "the temporary directory": ".tmp",
    "an absolute path": "%2fetc%2fpasswd",
    "a short key": "0" * 63,
    "a long key": "0" * 65,
    "a key with a line break": "0" * 64 + "%0a",
    "a key of full-width digits": "%ef%bc%90" * 64,
    "a key nobody has": "0" * 64,
    "10,000 characters": "a" * 10_000,
}


@pytest.fixture
def key(ann: Person, ben: Person) -> str:
    found: str = ann.send(ben, PICTURE).headers["Message-Key"]
    return found


@pytest.mark.parametrize("name", NOT_THERE.values(), ids=NOT_THERE.keys())
def test_what_is_no_key_is_not_found(server: Server, ben: Person, name: str) -> None:
    with unharmed(server):
        for method, path in (("GET", name), ("DELETE", name), ("GET", f"{name}/status"), ("HEAD", name)):
            (answer,) = provoke(server, request(method, f"/v1/images/{path}", by(ben), CLOSE))
            assert answer.status in ((404,) if method != "DELETE" or "/" not in name else (404, 405))


def test_a_thousand_guesses_find_nothing_and_look_alike(server: Server, ben: Person, key: str) -> None:
    guesses = [os.urandom(32).hex() for _ in range(1000)] + [key[:-1], key + "0", key.upper(), key + "."]
    seen = set()
    with unharmed(server), server.connect() as connection:
        for guess in guesses:
            connection.sendall(request("GET", f"/v1/images/{guess}", by(ben)))
            answer = read_answer(connection)
            assert answer
            changing = (answer.headers["x-request-id"].encode(), b"")
            seen.add((answer.refusal, answer.body.replace(*changing), tuple(sorted(answer.headers))))
    ((refusal, _, _),) = seen
    assert refusal == (404, "not_found")


QUESTIONS = {
    "no parameter": ("", 422),
    "one parameter": ("?sender_phone=x", 422),
    "an unknown one": ("?sender_phone=x&receiver_phone=y&z=1", 422),
    "one twice": ("?sender_phone=x&sender_phone=y&receiver_phone=z", 422),
    "no hashes": ("?sender_phone=%00&receiver_phone=%00", 404),
    "no UTF-8": ("?sender_phone=%ff&receiver_phone=%ff", 422),
    "SQL": ("?sender_phone='%20OR%201=1--&receiver_phone='%20OR%201=1--", 404),
    "10 KB": ("?sender_phone=" + "a" * 10_000 + "&receiver_phone=b", 404),
}


@pytest.mark.parametrize(("query", "status"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_wrong_question_for_the_oldest_image_is_refused(
    server: Server, ben: Person, key: str, query: str, status: int
) -> None:
    with unharmed(server):
        (answer,) = provoke(server, request("GET", f"/v1/images{query}", by(ben), CLOSE))
    assert answer.status == status
    assert ben.request("HEAD", f"/v1/images/{key}").status_code == 200


RANGES = {
    "bytes=0-0": (206, PICTURE[:1]),
    "bytes=-1": (206, PICTURE[-1:]),
    "bytes=-99999": (206, PICTURE),
    "bytes=4999-9999999999": (206, PICTURE[-1:]),
    "bytes=0-": (206, PICTURE),
    "bytes=4998-18446744073709551615": (206, PICTURE[-2:]),
    "bytes=-18446744073709551616": (206, PICTURE),
    "bytes=5000-": (416, None),
    "bytes=-0": (416, None),
    "bytes=9-3": (416, None),
    "bytes=-": (416, None),
    "bytes=1e3-": (416, None),
    "bytes=\xb2-": (416, None),
    "bytes=" + "9" * 5000 + "-": (416, None),
    "items=0-5": (200, PICTURE),
    "bytes=" + "0-0," * 999 + "0-0": (200, PICTURE),
}


@pytest.mark.parametrize(("wanted", "expected"), RANGES.items(), ids=[text[:20] for text in RANGES])
def test_a_part_is_served_or_refused_and_consumes_nothing(
    ann: Person, ben: Person, key: str, wanted: str, expected: tuple[int, bytes | None]
) -> None:
    server = ben.server
    with unharmed(server):
        raw = request("GET", f"/v1/images/{key}?ack=manual", by(ben), f"Range: {wanted}", CLOSE)
        (answer,) = provoke(server, raw)
    status, content = expected
    assert answer.status == status
    assert content is None or answer.body == content
    assert ann.status(key)["state"] == "pending"


@pytest.mark.parametrize("known", ["*", '"{key}"'])
def test_whoever_says_they_have_it_gets_no_body_and_consumes_nothing(
    server: Server, ann: Person, ben: Person, key: str, known: str
) -> None:
    with unharmed(server):
        raw = request("GET", f"/v1/images/{key}", by(ben), f"If-None-Match: {known.format(key=key)}", CLOSE)
        (answer,) = provoke(server, raw)
    assert (answer.status, answer.body) == (304, b"")
    assert ann.status(key)["state"] == "pending"


def test_three_questions_at_once_on_one_connection_get_three_whole_answers(
    server: Server, ben: Person, key: str
) -> None:
    ask = request("GET", f"/v1/images/{key}", by(ben))
    with unharmed(server):
        found = provoke(server, ask + ask + request("GET", f"/v1/images/{key}", by(ben), CLOSE))
    assert [answer.body for answer in found] == [PICTURE] * 3


def plant_link(place: Path) -> None:
    place.symlink_to("/etc/passwd")


def plant_link_to_another(place: Path) -> None:
    other = place.with_name("0" * 64)
    other.write_bytes(PICTURE)
    place.symlink_to(other)


def plant_linked_shard(place: Path) -> None:
    elsewhere = place.parent.with_name("elsewhere")
    place.parent.rename(elsewhere)
    (elsewhere / place.name).write_bytes(PICTURE)
    place.parent.symlink_to(elsewhere)


def plant_pipe(place: Path) -> None:
    os.mkfifo(place)


def plant_directory(place: Path) -> None:
    place.mkdir()


def plant_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def plant_nothing(place: Path) -> None:
    assert not place.exists()


PLANTS = [
    plant_link,
    plant_link_to_another,
    plant_linked_shard,
    plant_pipe,
    plant_directory,
    plant_device,
    plant_nothing,
]


@pytest.mark.parametrize("plant", PLANTS)
def test_what_was_planted_in_the_store_is_never_served(
    server: Server, ann: Person, ben: Person, key: str, plant: Callable[[Path], None]
) -> None:
    place = server.data_dir / "images" / key[:2] / key[2:4] / key
    place.unlink()
    plant(place)
    with unharmed(server, provokes="image lost"):
        (answer,) = provoke(server, request("GET", f"/v1/images/{key}", by(ben), CLOSE))
    assert answer.refusal == (410, "content_lost")
    assert ann.status(key)["state"] == "pending"
    shutil.rmtree(place.parent.with_name("elsewhere"), ignore_errors=True)


def test_a_file_that_is_too_short_is_an_answer_that_ends_too_soon(
    server: Server, ann: Person, ben: Person, key: str
) -> None:
    os.truncate(server.data_dir / "images" / key[:2] / key[2:4] / key, 1234)
    with unharmed(server, provokes="image lost"):
        (answer,) = provoke(server, request("GET", f"/v1/images/{key}", by(ben), CLOSE))
    assert (answer.status, answer.headers["content-length"]) == (200, "5000")
    assert answer.body == PICTURE[:1234]
    assert ann.status(key)["state"] == "pending"


def test_a_hundred_at_once_who_ask_for_heads_parts_and_strangers_images_consume_nothing(
    server: Server, ann: Person, ben: Person, key: str
) -> None:
    eve = server.register("Eve")
    asked = [
        request("HEAD", f"/v1/images/{key}", by(ben), CLOSE),
        request("GET", f"/v1/images/{key}", by(ben), "Range: bytes=0-4999", CLOSE),
        request("GET", f"/v1/images/{key}", by(eve), CLOSE),
        request("DELETE", f"/v1/images/{key}", by(eve), CLOSE),
    ]
    with unharmed(server), ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda number: provoke(server, asked[number % 4])[0].status, range(100)))
    assert [found[number::4] for number in range(4)] == [[200] * 25, [206] * 25, [404] * 25, [404] * 25]
    assert ann.status(key)["state"] == "pending"


def test_receivers_who_leave_while_the_image_is_opened_trouble_nobody(server: Server, ben: Person, key: str) -> None:
    asked = request("GET", f"/v1/images/{key}?ack=manual", by(ben))
    with unharmed(server):
        for _ in range(300):
            with server.connect() as connection:
                connection.sendall(asked)
                reset(connection)
