# SPDX-License-Identifier: Apache-2.0
"""People report, and the operator reads and resolves."""

from typing import Any

import pytest

from ops.reports import reports
from tests.ops.commands import asked, invoke, refused
from tests.process.people.acts import alike, report, rows, told
from tests.support.harness import Person, Server
from tests.support.pictures import png


def test_a_person_and_a_message_are_reported_listed_and_resolved(server: Server, ann: Person, ben: Person) -> None:
    sent = int(ben.send(ann, png()).headers["Message-Id"])
    first = report(ann, uid=ben.uid, reason=" rude\x1b[2J ")
    second = report(ann, message_id=sent, reason="spam")
    assert (first.status_code, second.status_code) == (201, 201)
    ids = [first.json()["report_id"], second.json()["report_id"]]
    listed = asked(reports, server.data_dir, "list", "--limit", 2)
    newest, older = listed["reports"]
    assert newest | {"created_at": 0} == {
        "report_id": ids[1],
        "reporter_uid": ann.uid,
        "reported_uid": ben.uid,
        "message_id": sent,
        "reason": "spam",
        "created_at": 0,
        "resolved_at": None,
        "resolution": "",
    }
    assert (older["report_id"], older["message_id"], older["reason"]) == (ids[0], None, "rude\x1b[2J")
    assert r"'rude\x1b[2J'" in invoke(reports, server.data_dir, "list").stdout
    assert told(ben) == []
    for changed in (True, False):
        done = asked(reports, server.data_dir, "resolve", ids[1], "--note", f"{changed}")
        assert done == {"report_id": ids[1], "changed": changed}
    assert ids[1] not in [row["report_id"] for row in asked(reports, server.data_dir, "list")["reports"]]
    [row] = asked(reports, server.data_dir, "list", "--all", "--before", ids[1] + 1, "--limit", 1)["reports"]
    assert (row["report_id"], row["resolution"]) == (ids[1], "True")
    assert row["resolved_at"] >= row["created_at"] > 0
    assert "was resolved already" in invoke(reports, server.data_dir, "resolve", ids[1]).stdout
    assert "There is no such report" in refused(reports, server.data_dir, "resolve", 2**40)
    assert "at most 255" in refused(reports, server.data_dir, "resolve", ids[0], "--note", "x" * 256)


def test_only_a_message_that_one_has_received_is_reported(server: Server, ann: Person, ben: Person) -> None:
    sent = int(ann.send(ben, png()).headers["Message-Id"])
    before = rows(server, "SELECT count(*) FROM reports")
    others = [report(ann, message_id=sent, reason="mine"), report(server.register(), message_id=sent, reason="theirs")]
    assert others[0].status_code == 404
    assert alike(*others, report(ann, message_id=2**40, reason="none"), report(ann, uid=2**40, reason="nobody"))
    assert rows(server, "SELECT count(*) FROM reports") == before
    ben.request(
        "DELETE", f"/v1/images/{rows(server, 'SELECT message_key FROM messages WHERE message_id = ?', sent)[0][0]}"
    )
    assert report(ben, message_id=sent, reason="also when it is consumed").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "uid"),
        ({"uid": 1, "message_id": 1, "reason": "x"}, "uid"),
        ({"uid": "x", "reason": "x"}, "uid"),
        ({"message_id": -1, "reason": "x"}, "message_id"),
        ({"uid": 1}, "reason"),
        ({"uid": 1, "reason": " \n "}, "reason"),
        ({"uid": 1, "reason": "x" * 2001}, "reason"),
        ({"uid": 1, "reason": "a\0b"}, "reason"),
        ({"uid": 1, "reason": ["x"]}, "reason"),
        ({"uid": 1, "reason": "x", "more": 1}, "more"),
    ],
)
def test_what_is_no_report_is_refused(ann: Person, body: dict[str, Any], field: str) -> None:
    reply = report(ann, **body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert [error["field"] for error in reply.json()["errors"]] == [field]


def test_oneself_is_not_reported_and_reports_have_a_rate(ann: Person, ben: Person) -> None:
    assert report(ann, uid=ann.uid, reason="me").json()["code"] == "invalid_field"
    statuses = [report(ann, uid=ben.uid, reason="x" * 2000).status_code for _ in range(100)]
    assert statuses == [201] * 99 + [429]
