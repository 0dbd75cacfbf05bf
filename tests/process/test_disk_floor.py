# SPDX-License-Identifier: Apache-2.0
"""Too little is left of a disk, the database's or the images': nobody's writes take more, all else goes on."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.routes import ROUTES
from handlers.shared import Who
from tests.support.engines import ON_SQLITE
from tests.support.harness import Person, Server, running, wait_until
from tests.support.mounting import small_disk
from tests.support.pictures import png

DISK_BYTES = 32 << 20
PICTURE = png(3, 3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem of its own, of which a twentieth stays free."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, f"size={DISK_BYTES}"):
        yield place


@pytest.fixture(params=["database_space", "image_space"])
def full(request: pytest.FixtureRequest) -> str:
    """What a full disk is called by readyz."""
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path, disk: Path, full: str) -> Iterator[Server]:
    places = {"database_space": {"database": {"url": f"sqlite:///{disk}/glimpse.db"}}}
    images = {"storage": {"directory": str(disk / "images")}}
    with running(tmp_path, {"limits": {"enabled": False}, **places.get(full, images)}) as server:
        yield server


def fill(disk: Path) -> Path:
    """Leave half of what is to stay free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        written, left = 0, DISK_BYTES // 40
        while (free := int(subprocess.check_output(["stat", "-f", "-c", "%a", disk])) * 4096) > left:
            written += file.write(bytes(min(1 << 20, free - left)))
    return filler


def ask(person: Person, method: str, path: str, who: Who) -> tuple[int, str]:
    """The status and the code of a request that says nothing."""
    auth = person.auth if who in (Who.PERSON, Who.FORM) else None
    kind = {"files": {"img_file": ("x", PICTURE)}} if who is Who.FORM else {"json": {}}
    asked = person.server.client.build_request(method, path, **kind)  # type: ignore[arg-type]
    answer = person.server.client.send(asked, auth=auth)
    document = answer.json() if answer.content else {}
    return answer.status_code, str(document.get("code", ""))


@ON_SQLITE
def test_what_takes_room_is_refused_and_the_rest_goes_on(server: Server, disk: Path, full: str) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    group = ann.begin_group(ben)
    keys = [ann.send(ben, PICTURE).headers["message-key"] for _ in range(2)]
    ready = server.client.get("/readyz").json()
    assert ready["failing"] == []
    filler = fill(disk)
    # A session is asked for before there is anything to write.
    answers = {
        route.operation_id: ask(ann, route.method, re.sub(r"\{\w+\}", "1", route.path), route.who)
        for route in ROUTES
        if route.needs_room and route.who is not Who.SESSION
    }
    assert {name: answer for name, answer in answers.items() if answer[0] != 507} == {}
    red = server.client.get("/readyz")
    assert (red.status_code, red.json()["failing"]) == (503, [full])
    assert ben.get(keys[0]).content == PICTURE
    assert ben.request("DELETE", f"/v1/images/{keys[1]}").status_code == 204
    tokens = ben.request("POST", "/v1/tokens")
    assert tokens.status_code in (200, 201)
    refreshed = server.client.post("/v1/tokens/refresh", json={"refresh_token": tokens.json()["refresh_token"]})
    assert refreshed.status_code == 200
    assert ben.request("PUT", f"/v1/blocks/{ann.uid}").is_success
    assert ben.request("DELETE", f"/v1/groups/{group}/members/{ben.uid}").status_code == 204
    assert ben.request("DELETE", "/v1/me").is_success
    filler.unlink()
    wait_until(lambda: server.client.get("/readyz").status_code == 200, what="readiness")
    assert ann.send(server.register("Cat"), PICTURE).status_code == 201
