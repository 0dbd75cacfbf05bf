# SPDX-License-Identifier: Apache-2.0
"""Nobody is in a group unasked: invitations, as those who ask, those who are asked and everybody else see them."""

from models.clock import DAY_MS, now_ms
from tests.process.groups.world import (
    accept,
    add,
    alter,
    begin,
    code,
    crowd,
    events,
    inbox,
    invite,
    invited,
    join,
    put,
    remove,
    roles,
    room_of,
    send,
)
from tests.support.harness import Person, Server, wait_until
from tests.support.pictures import png


def waiting(person: Person) -> list[int]:
    """The groups that this person has been asked into."""
    items = person.request("GET", "/v1/groups", params={"state": "invited"}).json()["items"]
    return [item["group_id"] for item in items]


def test_who_is_asked_learns_so_and_gets_nothing_else_until_they_come(ann: Person, ben: Person, cat: Person) -> None:
    group_id = invite(ann, ben)
    add(ann, group_id, cat)
    assert send(ann, group_id, png()).status_code == 201
    assert ann.request("POST", "/v1/messages", json={"group_id": group_id, "kind": "text", "text": "x"}).is_success
    assert events(ben, "group_invited") == [{"group_id": group_id, "by": ann.uid, "role": "member"}]
    assert (inbox(ben), events(ben), events(ben, "message")) == ([], [], [])
    assert code(ben.request("GET", f"/v1/groups/{group_id}")) == (404, "not_found")
    assert code(send(ben, group_id, png())) == (403, "recipient_unavailable")
    assert ben.request("GET", "/v1/groups").json()["items"] == []
    [item] = ben.request("GET", "/v1/groups?state=invited").json()["items"]
    assert (item["group_id"], item["name"], item["role"], item["member_count"]) == (group_id, "Climbing", "member", 2)
    assert invited(cat, group_id) == {ben.uid: "member"}

    for _ in range(2):
        accept(ben, group_id)
    assert roles(ben, group_id) == {ann.uid: "owner", ben.uid: "member", cat.uid: "member"}
    assert (waiting(ben), invited(ann, group_id)) == ([], {})
    assert send(ann, group_id, png()).status_code == 201
    assert len(inbox(ben)) == 1, "what was sent before they came is not theirs"


def test_an_invitation_is_asked_again_changed_declined_and_taken_back(ann: Person, ben: Person, cat: Person) -> None:
    group_id = begin(ann, cat)
    for role in (None, "admin", None):
        assert put(ann, group_id, ben, role).status_code == 204
    assert invited(ann, group_id) == {ben.uid: "admin"}
    assert len(events(ben, "group_invited")) == 1
    assert remove(ben, group_id, ben).status_code == 204
    assert code(remove(ben, group_id, ben)) == (404, "not_found")
    assert code(put(ben, group_id, ben)) == (404, "not_found")
    assert put(ann, group_id, ben, "admin").status_code == 204
    assert code(remove(cat, group_id, ben)) == (403, "forbidden")
    assert remove(ann, group_id, ben).status_code == 204
    assert waiting(ben) == []
    changes = [(each["change"], each.get("by")) for each in events(cat) if each.get("uid") == ben.uid]
    ended = [("member_invited", ann.uid), ("invitation_ended", ben.uid)]
    assert changes == [*ended, ("member_invited", ann.uid), ("invitation_ended", ann.uid)]


def test_who_is_asked_in_by_somebody_they_block_does_not_see_it_until_they_unblock(ann: Person, ben: Person) -> None:
    assert ben.request("PUT", f"/v1/blocks/{ann.uid}").status_code == 204
    group_id = invite(ann, ben)
    assert invited(ann, group_id) == {ben.uid: "member"}
    assert (waiting(ben), events(ben, "group_invited")) == ([], [])
    assert code(put(ben, group_id, ben)) == code(remove(ben, group_id, ben)) == (404, "not_found")
    assert ben.request("DELETE", f"/v1/blocks/{ann.uid}").status_code == 204
    assert waiting(ben) == [group_id]


def test_an_invitation_counts_toward_the_size_and_its_end_gives_the_place_back(server: Server, ann: Person) -> None:
    uids = crowd(server, 255)
    made = ann.request("POST", "/v1/groups", json={"name": "x", "members": uids, "join": "open"}).json()
    late = server.register()
    assert code(put(ann, made["group_id"], late)) == (422, "group_too_large")
    assert code(join(late, made["room_gid"])) == (422, "group_too_large")
    assert ann.request("DELETE", f"/v1/groups/{made['group_id']}/members/{uids[0]}").status_code == 204
    assert join(late, made["room_gid"]).status_code == 200


def test_who_joins_an_open_group_uses_their_invitation_up(ann: Person, ben: Person) -> None:
    group_id = invite(ann, join="open")
    assert put(ann, group_id, ben, "admin").status_code == 204
    assert join(ben, room_of(ann, group_id)).status_code == 200
    assert (roles(ann, group_id), invited(ann, group_id)) == ({ann.uid: "owner", ben.uid: "admin"}, {})


def test_an_invitation_ends_with_its_group_with_either_account_and_after_30_days(
    server: Server, ann: Person, ben: Person, cat: Person
) -> None:
    groups = [invite(ann, ben), invite(ann, cat), invite(ann, ben)]
    assert ann.request("DELETE", f"/v1/groups/{groups[0]}").status_code == 204
    assert cat.request("DELETE", "/v1/me").status_code == 204
    assert invited(ann, groups[1]) == {}
    assert waiting(ben) == [groups[2]]
    alter(server, "UPDATE invitations SET invited_at = ? WHERE uid = ?", now_ms() - 31 * DAY_MS, ben.uid)
    server.stop()
    server.start()
    wait_until(lambda: waiting(ben) == [], what="the end of the invitation")
