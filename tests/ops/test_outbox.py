# SPDX-License-Identifier: Apache-2.0
"""`ops outbox` beside a running server, and over many rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops.outbox import outbox
from tests.ops.commands import asked, invoke
from tests.support.engines import Engine
from tests.support.harness import Server, wait_until
from tests.support.pictures import png

ROWS = 450


def notifications(server: Server, *arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(outbox, server.data_dir, "list", *arguments)["notifications"]
    return found


def pushes(server: Server, token: str) -> list[int]:
    """The message ids that this token was told of."""
    path = server.data_dir / "outbox.log"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line["payload"]["message_id"] for line in lines if line.get("token") == token]


def test_a_dead_notification_is_sent_again_by_the_running_server(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="ben")
    message_id = int(ann.send(ben, png(1, 1)).headers["message-id"])
    wait_until(lambda: bool(notifications(server, "--state", "delivered")), what="the push")
    [row] = notifications(server)
    dead = "UPDATE outbox SET state = 'dead', reason = 'rejected: x\x1b', attempts = 9, give_up_at = 1"
    server.database.execute(dead)
    assert r"'rejected: x\x1b'" in invoke(outbox, server.data_dir, "list", "--state", "dead").stdout
    assert asked(outbox, server.data_dir, "retry", row["outbox_id"]) == {"asked": 1, "done": 1, "dry_run": False}
    wait_until(lambda: pushes(server, "ben") == [message_id] * 2, what="the second push")
    wait_until(lambda: bool(notifications(server, "--state", "delivered")), what="the settling")
    [again] = notifications(server)
    assert (again["attempts"], again["give_up_at"] > row["created_at"]) == (1, True)
    assert asked(outbox, server.data_dir, "retry", row["outbox_id"], 10**9, status=1)["done"] == 0


def test_what_waits_for_one_provider_is_listed_and_dropped(server: Server) -> None:
    ann = server.register("Ann")
    ben, eve = (server.register(name, cid=f"{name}-secret") for name in ("Ben", "Eve"))
    server.database.execute("UPDATE devices SET provider = 'getui' WHERE token LIKE '%-secret'")
    for person in (ben, ben, eve):
        ann.send(person, png(1, 1))
    chosen = ("--state", "due", "--provider", "getui")
    assert [row["uid"] for row in notifications(server, *chosen)] == [eve.uid, ben.uid, ben.uid]
    assert "secret" not in invoke(outbox, server.data_dir, "list").output
    short = asked(outbox, server.data_dir, "list", *chosen, "--limit", 2)
    assert (len(short["notifications"]), short["more"]) == (2, True)

    everything = ("drop", "--all-due", "--provider", "getui")
    assert asked(outbox, server.data_dir, *everything, "--dry-run")["asked"] == 3
    denied = invoke(outbox, server.data_dir, *everything, typed="n\n")
    assert (denied.exit_code, "Drop 3 notifications" in denied.stderr) == (1, True)
    assert len(notifications(server, *chosen)) == 3
    one = notifications(server, *chosen)[0]["outbox_id"]
    assert "1 of 1 dropped" in invoke(outbox, server.data_dir, "drop", one, typed="y\n").stdout
    assert asked(outbox, server.data_dir, *everything, "--yes")["done"] == 2
    assert asked(outbox, server.data_dir, "drop", one, "--yes", status=1)["done"] == 0
    dropped = notifications(server, "--state", "dropped")
    assert {row["reason"] for row in dropped} == {"dropped by the operator"}
    assert notifications(server, *chosen) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["retry", 1, "--all-dead"],
        ["retry", 1, "--device", 1],
        ["drop", "--all-due"],
        ["drop"],
        ["drop", 1, "--provider", "log"],
    ],
)
def test_what_is_not_said_clearly_is_not_done(server: Server, arguments: list[object]) -> None:
    result = invoke(outbox, server.data_dir, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name IDs, or all" in result.stderr


def test_many_rows_go_in_many_transactions_and_all_of_them(tmp_path: Path, engine: Engine) -> None:
    engine.migrate()
    data_dir = tmp_path / "data"
    engine.execute("INSERT INTO users (uid, nickname, reg_time, seen_at) VALUES (1, 'x', 0, 0)")
    device = "INSERT INTO devices (device_id, uid, provider, token, token_digest, registered_at) VALUES (?,1,?,'',?,0)"
    for number, provider in ((1, "log"), (2, "getui")):
        engine.execute(device, number, provider, bytes([number]) * 32)
    many = (
        "INSERT INTO outbox (kind, device_id, provider, state, created_at, next_at, give_up_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "SELECT 'message', ?, ?, 'dead', 0, 0, 0 FROM n"
    )
    engine.execute(many, ROWS, 1, "log")
    engine.execute(many, ROWS, 2, "getui")
    chat = ("--provider", "getui", "--app", "chat")
    engine.execute("UPDATE outbox SET app = 'chat' WHERE outbox_id % 9 = 0 AND device_id = 2")
    assert asked(outbox, data_dir, "retry", "--all-dead", *chat)["done"] == ROWS / 9
    listed = asked(outbox, data_dir, "list", "--state", "due", "--device", 2)["notifications"]
    assert {(row["device_id"], row["provider"], row["app"]) for row in listed} == {(2, "getui", "chat")}
    assert " getui/chat " in invoke(outbox, data_dir, "list", *chat).stdout
    assert asked(outbox, data_dir, "list", "--device", 1, *chat)["notifications"] == []
    assert asked(outbox, data_dir, "retry", "--all-dead")["done"] == 2 * ROWS - ROWS / 9
    assert asked(outbox, data_dir, "drop", "--all-due", *chat, "--yes")["done"] == ROWS / 9
    assert asked(outbox, data_dir, "drop", "--all-due", "--device", 2, "--yes")["done"] == ROWS - ROWS / 9
    states = engine.rows("SELECT device_id, state, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1")
    assert states == [(1, "due", ROWS), (2, "dropped", ROWS)]
