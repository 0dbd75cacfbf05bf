# SPDX-License-Identifier: Apache-2.0
"""Two machines on one database that wake each other: what goes over the line, and what operators see of it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from ops.config import config
from ops.doctor import doctor
from tests.process.scraping import Metered, free_port
from tests.support.engines import NEEDS_MARIADBD, ON_MARIADB, Engine
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import png
from tests.support.wake_server import ACCOUNT, PROGRAM, WakeServer

pytestmark = [
    ON_MARIADB,
    NEEDS_MARIADBD,
    pytest.mark.skipif(PROGRAM is None, reason="no redis-server is installed (make test-deps)"),
]

LOST = "no wake-ups from other machines"


@pytest.fixture
def wake_server() -> Iterator[WakeServer]:
    server = WakeServer()
    yield server
    server.close()


@pytest.fixture
def machines(tmp_path: Path, engine: Engine, wake_server: WakeServer) -> Iterator[tuple[Metered, Metered]]:
    """Each with a data directory of its own; the second has two workers."""
    ports = free_port(), free_port(2)
    shared = {
        **wake_server.settings,
        "database": {"url": engine.url},
        "storage": {"directory": str(tmp_path / "images"), "min_free_bytes": 1},
        "limits": {"enabled": False},
    }
    (tmp_path / "west/data").mkdir(0o700, parents=True)
    with running(tmp_path, {**shared, "metrics": {"port": ports[0]}}) as east:
        (tmp_path / "west/data/keys.json").symlink_to(east.data_dir / "keys.json")
        more = {"metrics": {"port": ports[1]}, "server": {"workers": 2}}
        with running(tmp_path / "west", {**shared, **more}) as west:
            yield Metered(east, ports[0]), Metered(west, ports[1])
            assert [line for each in (east, west) for line in each.failures() if LOST not in line] == []


def test_a_commit_is_told_to_other_machines_while_the_server_lives_and_found_when_it_does_not(
    machines: tuple[Metered, Metered], wake_server: WakeServer
) -> None:
    east, west = (each.server for each in machines)
    for each in machines:
        each.wait_for("wake_healthy", 1)
    ann, ben = east.register("Ann"), east.register("Ben", cid="ben")
    listener = Redis(host="127.0.0.1", port=wake_server.port, username=ACCOUNT[0], password=ACCOUNT[1])
    with listener, listener.pubsub() as channel:  # type: ignore[no-untyped-call]
        database = json.loads(east.config.read_text())["database"]["url"].rpartition("/")[2]
        channel.subscribe(f"glimpse:{database}")
        assert channel.get_message(timeout=60)
        ann.send(ben, png(1, 1))
        told = set()
        while ben.uid not in told:
            message = channel.get_message(timeout=60)
            assert message, "nothing was said of it"
            if message["type"] == "message":
                told |= {uid for said in message["data"].split(b"\n")[1:] for uid in json.loads(said)["uids"]}
    with ThreadPoolExecutor(1) as pool:
        cursor = 0
        for dead in (False, True, False):
            wake_server.kill() if dead else None
            waiting = pool.submit(
                replace(ben, server=west).request, "GET", "/v1/events", params={"after": cursor, "wait": 50}
            )
            wait_until(waiting.running, what="the poll")
            if cursor:
                ann.send(ben, png(2, 2))
            cursor = waiting.result(60).json()["items"][-1]["id"]
            for each in machines:
                each.wait_for("wake_healthy", int(not dead))
            wake_server.start() if dead else None
    assert cursor == 3


def test_operators_see_why_no_wake_ups_come(
    machines: tuple[Metered, Metered], wake_server: WakeServer, tmp_path: Path
) -> None:
    server: Server = machines[0].server
    words = ["--config", str(server.config), "--data-dir", str(server.data_dir)]

    def looked_at() -> tuple[str, str]:
        [check] = [
            each
            for each in json.loads(CliRunner().invoke(doctor, [*words, "--json"]).stdout)["checks"]
            if each["name"] == "wake-ups"
        ]
        return check["status"], check["found"]

    assert looked_at() == ("ok", "the server answers")
    assert CliRunner().invoke(config, ["check", *words]).exit_code == 0
    wake_server.kill()
    status, found = looked_at()
    assert (status, "Connect call failed" in found) == ("warn", True)
    checked = CliRunner().invoke(config, ["check", *words])
    assert (checked.exit_code, "wake.url: Error" in checked.stderr) == (2, True)
    shown = CliRunner().invoke(config, ["show", *words])
    assert ACCOUNT[1] not in shown.stdout
    assert "only%2Fof" not in shown.stdout
    wait_until(lambda: LOST in server.log.read_text(), what="a line of the log")
    secret = tmp_path / "wake-url"
    secret.write_text(wake_server.url + "\n")
    settings = json.loads(server.config.read_text())
    server.config.write_text(json.dumps({**settings, "wake": {"url_file": str(secret)}}))
    wake_server.start()
    assert looked_at()[0] == "ok"
