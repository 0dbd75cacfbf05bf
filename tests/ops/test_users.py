# SPDX-License-Identifier: Apache-2.0
"""`ops users` beside a running server."""

import json
from pathlib import Path

import pytest

from models.phone import phone_hash
from ops.users import users
from tests.ops.commands import asked, invoke, refused
from tests.support.harness import Server, wait_until
from tests.support.pictures import png

NUMBER = "+8613912345678"


def test_a_person_is_found_by_uid_number_and_hash_and_nothing_secret_is_shown(server: Server) -> None:
    ann = server.register("Ann\u202e", phone_num=NUMBER[3:], cid="cid-of-ann")
    server.register("Ben").send(ann, png(1, 1))
    for who in (ann.uid, NUMBER, phone_hash(NUMBER)):
        about = asked(users, server.data_dir, "show", who)
        assert (about["uid"], about["nickname"], about["region_num"]) == (ann.uid, "Ann\u202e", "86")
        assert (about["devices"], about["pending_images"], about["disabled_at"]) == ({"log": 1}, 1, None)
        shown = invoke(users, server.data_dir, "show", who).output
        assert r"nickname: 'Ann\u202e'" in shown
        for secret in (NUMBER[1:], NUMBER[3:], ann.phone_hash, ann.ukey, "cid-of-ann"):
            assert secret not in shown + str(about)


def test_a_disabled_person_is_shut_out_at_once_and_let_in_again(server: Server) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ann.request("GET", "/v1/me").status_code == 200
    assert asked(users, server.data_dir, "disable", ann.uid) == {"uid": ann.uid, "disabled": True, "changed": True}
    assert ann.request("GET", "/v1/me").status_code == 401
    assert ben.send(ann, png(1, 1)).json()["code"] == "recipient_unavailable"
    since = asked(users, server.data_dir, "show", ann.uid)["disabled_at"]
    assert "disabled already" in invoke(users, server.data_dir, "disable", ann.uid).stdout
    assert asked(users, server.data_dir, "show", ann.uid)["disabled_at"] == since > 0
    assert "enabled now" in invoke(users, server.data_dir, "disable", ann.uid, "--undo").stdout
    assert ann.request("GET", "/v1/me").status_code == 200
    assert ben.send(ann, png(1, 1)).status_code == 201


@pytest.mark.parametrize("who", ["987654321", "+8613700000000", "0" * 64])
def test_nobody_is_said_in_one_line(server: Server, who: str) -> None:
    assert "there is no such person" in refused(users, server.data_dir, "show", who)
    assert "there is no such person" in refused(users, server.data_dir, "disable", who)


def test_what_names_nobody_is_refused(server: Server) -> None:
    for who in ("Ann", "13912345678901234567", "+0", "A" * 64):
        assert "name a person by uid" in refused(users, server.data_dir, "show", who)


def test_a_server_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert "there is no database" in refused(users, tmp_path, "show", "1")
    assert list(tmp_path.iterdir()) == []


def test_a_person_is_erased_for_good_when_that_is_meant(server: Server) -> None:
    ann, ben = server.register("Ann", cid="cid-of-ann-who-goes"), server.register("Ben")
    kept = set(server.stored_files())
    ben.send(ann, png(1, 1))
    planned = asked(users, server.data_dir, "delete", ann.uid, "--dry-run")
    assert (planned["uid"], planned["dry_run"], planned["rows"]["deliveries.receiver_uid"]) == (ann.uid, True, 1)
    assert invoke(users, server.data_dir, "delete", ann.uid, typed="n\n").exit_code == 1
    assert ann.request("GET", "/v1/me").status_code == 200
    done = asked(users, server.data_dir, "delete", ann.uid, "--yes")
    assert done == planned | {"dry_run": False}
    assert ann.request("GET", "/v1/me").status_code == 401
    assert ben.request("GET", f"/v1/users/{ann.uid}").status_code == 404
    assert "there is no such person" in refused(users, server.data_dir, "delete", str(ann.uid), "--yes")
    wait_until(lambda: set(server.stored_files()) == kept, what="the end of the waiting file")


def test_what_is_kept_of_a_person_is_one_document_and_the_same_as_they_get(server: Server) -> None:
    ann = server.register("Ann", cid="cid-of-ann-who-asks")
    server.register("Ben").send(ann, png(1, 1))
    printed = json.loads(invoke(users, server.data_dir, "export", ann.uid).stdout)
    own = ann.request("GET", "/v1/me/export").json()
    assert printed["profile"]["phone"].startswith("+86139")
    assert {name: printed[name] for name in ("profile", "received", "deliveries", "devices", "events")} == {
        name: own[name] for name in ("profile", "received", "deliveries", "devices", "events")
    }


def test_people_are_listed_newest_first_with_counts_and_page_by_page(server: Server) -> None:
    ann, ben, eve = (server.register(name, cid=f"cid-of-listed-{name}") for name in ("Ann", "Ben\u202e", "Eve"))
    eve.send(ben, png(1, 1))
    invoke(users, server.data_dir, "disable", ann.uid)
    before = str(eve.uid + 1)
    listed = asked(users, server.data_dir, "list", "--before", before, "--limit", "3")
    assert [about["uid"] for about in listed["users"]] == [eve.uid, ben.uid, ann.uid]
    assert listed["users"][1] == asked(users, server.data_dir, "show", ben.uid)
    assert (listed["accounts"] >= 3, listed["disabled"] >= 1) == (True, True)
    first = asked(users, server.data_dir, "list", "--before", before, "--limit", "1")
    assert ([about["uid"] for about in first["users"]], first["more"]) == ([eve.uid], True)
    printed = invoke(users, server.data_dir, "list", "--before", before, "--limit", "3")
    lines = printed.stdout.splitlines()
    assert lines[1].startswith(rf"{ben.uid}  'Ben\u202e'  region 86  registered ")
    assert "devices 1  images waiting 1" in lines[1]
    assert "disabled " in lines[2]
    assert f"{listed['accounts']} accounts, {listed['disabled']} of them disabled" in printed.stderr
    assert "cid-of-listed" not in printed.stdout


def test_people_are_found_by_uid_number_hash_and_a_part_of_the_nickname(server: Server) -> None:
    number = "+8613912340017"
    zoe, other = server.register("Zo\u00eb Quicksilver", phone_num=number[3:]), server.register("QUICKsand")

    def found(*what: object) -> list[int]:
        return [about["uid"] for about in asked(users, server.data_dir, "find", *what)["users"]]

    for what in (zoe.uid, number, "+86 139-1234-0017", phone_hash(number), "ZO\u00cb", "silver"):
        assert found(what) == [zoe.uid]
    assert found("quick") == [other.uid, zoe.uid]
    assert found("quick", "--before", other.uid) == [zoe.uid]
    assert asked(users, server.data_dir, "find", "quick", "--limit", "1")["more"]
    assert (
        f"There are more: --before {other.uid}."
        in invoke(users, server.data_dir, "find", "quick", "--limit", "1").stderr
    )
    assert "there is no such person" in refused(users, server.data_dir, "find", "nobody-of-that-name")
    assert "there is no such person" in refused(users, server.data_dir, "find", "+8613712340099")
