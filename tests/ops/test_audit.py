# SPDX-License-Identifier: Apache-2.0
"""`ops audit`: what operators did by command stands there, with who and to whom, and what changed nothing does not."""

import os
import pwd

import pytest

from ops.audit import audit
from ops.clock import clock
from ops.outbox import outbox
from ops.purge import purge
from ops.reports import reports
from ops.users import users
from tests.ops.commands import asked, invoke
from tests.support.harness import Server, wait_until
from tests.support.pictures import png


def acts(server: Server, *arguments: object) -> list[tuple[str, str]]:
    """What was done and to whom, the newest first."""
    return [(each["act"], each["about"]) for each in asked(audit, server.data_dir, *arguments)["acts"]]


def test_what_was_done_to_people_is_on_record_by_uid_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    ann = server.register("Ann")
    before = len(acts(server))
    for command in (("show", ann.uid), ("disable", ann.uid), ("disable", ann.uid), ("delete", ann.uid, "--dry-run")):
        asked(users, server.data_dir, *command)
    asked(users, server.data_dir, "disable", ann.uid, "--undo")
    assert invoke(users, server.data_dir, "export", ann.uid).exit_code == 0
    asked(users, server.data_dir, "delete", ann.uid, "--yes")
    found = acts(server)
    assert found[: len(found) - before] == [
        ("users delete", f"uid {ann.uid}"),
        ("users export", f"uid {ann.uid}"),
        ("users disable --undo", f"uid {ann.uid}"),
        ("users disable", f"uid {ann.uid}"),
    ]
    [newest] = asked(audit, server.data_dir, "--limit", 1)["acts"]
    assert newest["operator"] == f"ops, {pwd.getpwuid(os.getuid()).pw_name}"
    assert "Ann" not in invoke(audit, server.data_dir).output
    assert f"users delete  uid {ann.uid}" in invoke(audit, server.data_dir, "--limit", 1).stdout


def test_whoever_became_root_by_sudo_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "mallory")
    asked(users, server.data_dir, "disable", server.register("Ann").uid)
    assert asked(audit, server.data_dir, "--limit", 1)["acts"][0]["operator"] == "ops, mallory"


def test_a_report_that_was_looked_at_and_resolved_is_on_record(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    message_id = int(ann.send(ben, png(8, 8)).headers["message-id"])
    told = ben.request("POST", "/v1/reports", json={"message_id": message_id, "reason": "rude"}).json()
    number, file = told["report_id"], server.folder / f"picture-{told['report_id']}.png"
    asked(reports, server.data_dir, "show", number, "--picture", file)
    for _ in range(2):
        asked(reports, server.data_dir, "resolve", number, "--note", "disabled")
    assert acts(server)[:2] == [
        ("reports resolve", f"report {number}"),
        ("reports show --picture", f"report {number}"),
    ]


def test_pushes_that_were_retried_and_dropped_are_on_record(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben", cid="cid-ben")
    server.database.execute("UPDATE devices SET provider = 'getui' WHERE token = 'cid-ben'")
    for _ in range(2):
        ann.send(ben, png(1, 1))
    ids = [row["outbox_id"] for row in asked(outbox, server.data_dir, "list", "--provider", "getui")["notifications"]]
    asked(outbox, server.data_dir, "drop", *ids, "--yes")
    server.database.execute(f"UPDATE outbox SET state = 'dead' WHERE outbox_id = {ids[0]}")
    asked(outbox, server.data_dir, "retry", ids[0])
    assert acts(server)[:2] == [
        ("outbox retry", f"notification {ids[0]}"),
        ("outbox drop", f"2 notifications of {min(ids)} to {max(ids)}"),
    ]


def test_upkeep_is_on_record_and_a_look_is_not(server: Server) -> None:
    asked(purge, server.data_dir, "--dry-run")
    asked(purge, server.data_dir)
    asked(clock, server.data_dir, "accept")
    assert acts(server)[:2] == [("clock accept", ""), ("purge", "")]
    [first, second] = asked(audit, server.data_dir, "--limit", 2)["acts"]
    older = asked(audit, server.data_dir, "--before", first["audit_id"], "--limit", 1)
    assert (older["acts"], older["more"]) == ([second], True)


def test_a_record_ends_by_its_age(server: Server) -> None:
    asked(clock, server.data_dir, "accept")
    server.database.execute("UPDATE audit SET at = 1")
    asked(purge, server.data_dir)
    wait_until(lambda: acts(server) == [("purge", "")], what="the end of the old records")
