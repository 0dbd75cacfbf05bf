# SPDX-License-Identifier: Apache-2.0
"""Images that a real nginx, set up as the page has it, sends on the server's word: `delivery.offload: x-accel`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import PATIENCE, proxies
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Person, Server, running, wait_until
from tests.support.pictures import jpeg
from tests.support.proxies import Proxy, proxy

pytestmark = [ON_SQLITE, pytest.mark.skipif("nginx" in proxies.missing(), reason="nginx is not installed")]

PICTURE = jpeg(300_000)
MANUAL = {"ack": "manual"}
OF_THE_CONNECTION = {"server", "date", "connection", "x-request-id"}


@dataclass(frozen=True)
class Place:
    """A server and the nginx in front of it."""

    server: Server
    nginx: Proxy
    client: httpx.Client

    def get(self, person: Person, key: str, method: str = "GET", **kwargs: object) -> httpx.Response:
        """As the person asks for an image through nginx."""
        return self.client.request(method, f"/v1/images/{key}", auth=person.auth, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(new_folder: NewFolder) -> Iterator[Place]:
    folder = new_folder("server")
    settings = {
        "server": {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"]},
        "delivery": {"offload": "x-accel"},
        "limits": {"enabled": False},
        "retention": {"interval_seconds": 1},
    }
    (folder / "proxy").mkdir()
    with (
        running(folder, settings) as server,
        proxy("nginx", folder / "proxy", server.port, server.data_dir / "images") as nginx,
        httpx.Client(
            base_url=f"http://127.0.0.1:{nginx.port}", trust_env=False, verify=False, timeout=PATIENCE
        ) as client,
    ):
        yield Place(server, nginx, client)
        assert server.failures() == []


@pytest.fixture
def people(place: Place) -> tuple[Person, Person]:
    return place.server.register("Ann"), place.server.register("Ben", cid="ben")


def named(reply: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in OF_THE_CONNECTION}


def test_what_nginx_sends_is_what_the_server_would_have_sent(place: Place, people: tuple[Person, Person]) -> None:
    ann, ben = people
    key = ann.send(ben, PICTURE).headers["Message-Key"]
    word = httpx.get(
        f"{place.server.client.base_url}/v1/images/{key}", params=MANUAL, auth=ben.auth, trust_env=False, verify=False
    )
    assert (word.content, word.headers["X-Accel-Redirect"]) == (b"", f"/glimpse-images/{key[:2]}/{key[2:4]}/{key}")
    usual, sent = place.get(ben, key, "HEAD", params=MANUAL), place.get(ben, key, params=MANUAL)
    assert (sent.status_code, sent.content) == (200, PICTURE)
    assert named(sent) == named(usual)
    assert sent.headers["X-Request-Id"]
    assert place.get(ben, key, params={**MANUAL, "disposition": "inline"}).headers["Content-Disposition"] == "inline"
    assert place.get(ann, key, params=MANUAL).status_code == 404
    assert place.client.get(f"/glimpse-images/{key[:2]}/{key[2:4]}/{key}").status_code == 404
    assert place.get(ben, key, params=MANUAL, headers={"If-None-Match": f'"{key}"'}).status_code == 304


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ({"Range": "bytes=100-199"}, 206, 100, 200),
        ({"Range": "bytes=-10"}, 206, len(PICTURE) - 10, len(PICTURE)),
        ({"Range": "bytes=299000-"}, 206, 299_000, len(PICTURE)),
        ({"Range": "bytes=0-1,5-6"}, 200, 0, len(PICTURE)),
        ({"Range": "bytes=100-199", "If-Range": '"KEY"'}, 206, 100, 200),
        ({"Range": "bytes=100-199", "If-Range": '"another"'}, 200, 0, len(PICTURE)),
        ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 200, 0, len(PICTURE)),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200, 0, len(PICTURE)),
        ({"If-Match": '"another"'}, 200, 0, len(PICTURE)),
    ],
)
def test_parts_are_what_the_server_would_have_sent(
    place: Place, people: tuple[Person, Person], asked: dict[str, str], status: int, start: int, end: int
) -> None:
    ann, ben = people
    key = ann.send(ben, PICTURE).headers["Message-Key"]
    headers = {name: value.replace("KEY", key) for name, value in asked.items()}
    sent = place.get(ben, key, params=MANUAL, headers=headers)
    itself = ben.get(key, headers=headers)
    assert (sent.status_code, sent.content) == (status, PICTURE[start:end])
    assert itself.content == sent.content
    assert sent.headers.get("Content-Range") == itself.headers.get("Content-Range")


def test_it_is_consumed_by_the_clients_word_alone(place: Place, people: tuple[Person, Person]) -> None:
    ann, ben = people
    key = ann.send(ben, PICTURE).headers["Message-Key"]
    for _ in range(2):
        assert place.get(ben, key, params=MANUAL).content == PICTURE
    assert ann.status(key)["state"] == "pending"
    assert place.get(ben, key, "DELETE").status_code == 204
    assert place.get(ben, key, params=MANUAL).status_code == 410
    wait_until(lambda: key not in {file.name for file in place.server.stored_files()}, what="the removal of the file")
    taken = ann.send(ben, PICTURE).headers["Message-Key"]
    assert place.get(ben, taken).content == PICTURE
    wait_until(lambda: ann.status(taken)["state"] == "consumed", what="the consumption by a fetch without a word")


def test_who_asks_the_server_itself_gets_the_bytes_from_it(tmp_path: Path) -> None:
    settings = {
        "server": {"behind_proxy": True, "trusted_proxies": ["192.0.2.1"]},
        "delivery": {"offload": "x-accel"},
        "limits": {"enabled": False},
    }
    with running(tmp_path, settings) as server:
        ann, ben = server.register("Ann"), server.register("Ben", cid="ben")
        reply = ben.get(ann.send(ben, PICTURE).headers["Message-Key"], params=MANUAL)
        assert reply.content == PICTURE
        assert "X-Accel-Redirect" not in reply.headers
