# SPDX-License-Identifier: Apache-2.0
"""Who may ask the operator's page for anything: whoever has its token, on this machine, from no other page."""

import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.operator_page import ASKED, ID
from models.clock import now_ms
from tests.process.scraping import Scraped, free_port
from tests.support.engines import NewFolder
from tests.support.harness import Server, running, wait_until
from tests.support.pictures import png
from tests.support.push_vendors import emulated


@dataclass
class Desk:
    """The page of a server as its operator asks it."""

    server: Server
    port: int

    @property
    def token(self) -> str:
        return (self.server.data_dir / "admin.token").read_text().strip()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, headers=headers, trust_env=False, verify=False, timeout=60, **more)

    def acts(self) -> list[tuple[str, str, str]]:
        rows = self.ask("GET", "/api/audit").json()["acts"]
        return [(row["operator"], row["act"], row["about"]) for row in rows]


@pytest.fixture(scope="module")
def desk(new_folder: NewFolder) -> Iterator[Desk]:
    port = free_port()
    with running(new_folder("server"), {"limits": {"enabled": False}, "admin": {"port": port}}) as server:
        yield Desk(server, port)
        assert server.failures() == []


@pytest.mark.parametrize("pattern", ASKED)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_nobody_without_the_token_gets_anything(desk: Desk, pattern: str, method: str) -> None:
    for given in ("", "Bearer", "Bearer x", f"Basic {desk.token}", f"Bearer {desk.token[:-1]}"):
        reply = desk.ask(method, pattern.replace(ID, "1"), headers={"Authorization": given})
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated"), given


@pytest.mark.parametrize("path", ["/", "/api/overview", "/api/people", "/api/people/987654321", "/api/metrics"])
def test_head_is_answered_as_get_is_without_the_content(desk: Desk, path: str) -> None:
    got, head = desk.ask("GET", path), desk.ask("HEAD", path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0
    assert desk.ask("HEAD", path, headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/api/outbox/retry", "/api/people/1/export", "/api/reports/1/picture"])
def test_head_does_nothing_that_is_an_act(desk: Desk, path: str) -> None:
    before = desk.acts()
    assert desk.ask("HEAD", path).status_code == 405
    assert desk.acts() == before


@pytest.mark.parametrize("path", ["/", "/api/overview", "/nowhere"])
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:80", "[x"]
)
def test_a_name_that_leads_here_from_elsewhere_is_refused(desk: Desk, path: str, host: str) -> None:
    reply = desk.ask("GET", path, headers={"Host": host})
    assert reply.status_code in (400, 403), reply.text
    assert reply.status_code == 400 or reply.json()["code"] == "cross_site"


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1:1", "[::1]:80"])
def test_a_tunnel_may_have_another_port(desk: Desk, host: str) -> None:
    assert desk.ask("GET", "/api/overview", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_another_page_may_not_ask(desk: Desk, origin: str) -> None:
    refused = desk.ask("GET", "/api/overview", headers={"Origin": origin})
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    own = desk.ask("GET", "/api/overview", headers={"Origin": f"http://127.0.0.1:{desk.port}"})
    assert own.status_code == 200


def test_the_token_is_its_owners_alone_and_lasts(desk: Desk) -> None:
    file = desk.server.data_dir / "admin.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(desk.token) >= 43


def test_the_page_has_a_strict_policy_and_the_public_port_none_of_it(desk: Desk) -> None:
    page = httpx.get(f"http://127.0.0.1:{desk.port}/", trust_env=False, verify=False)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    [script] = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    assert httpx.get(f"http://127.0.0.1:{desk.port}{script}", trust_env=False, verify=False).status_code == 200
    for path in (script, "/api/overview"):
        raw = desk.server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert raw.startswith(b"HTTP/1.1 404 ")


def test_a_person_is_found_shut_out_exported_and_ended_on_record(desk: Desk) -> None:
    ann = desk.server.register("Ann of the page")
    found = desk.ask("GET", "/api/people", params={"what": "of the PAGE"}).json()
    assert [each["uid"] for each in found["people"]] == [ann.uid]
    assert desk.ask("GET", "/api/people", params={"what": ann.phone_hash}).json()["people"] == found["people"]
    assert desk.ask("PATCH", f"/api/people/{ann.uid}", json={"disabled": True}).json() == {"changed": True}
    assert ann.request("GET", "/v1/me").status_code == 401
    assert desk.ask("PATCH", f"/api/people/{ann.uid}", json={"disabled": False}).json() == {"changed": True}
    assert ann.request("GET", "/v1/me").status_code == 200
    exported = desk.ask("POST", f"/api/people/{ann.uid}/export")
    assert exported.json()["profile"]["nickname"] == "Ann of the page"
    assert desk.ask("GET", f"/api/people/{ann.uid}/deletion").json()["rows"]["credentials.uid"] == 1
    assert desk.ask("DELETE", f"/api/people/{ann.uid}").status_code == 204
    assert desk.ask("GET", f"/api/people/{ann.uid}").json()["code"] == "not_found"
    assert desk.acts()[:4] == [
        ("page", "users delete", f"uid {ann.uid}"),
        ("page", "users export", f"uid {ann.uid}"),
        ("page", "users disable --undo", f"uid {ann.uid}"),
        ("page", "users disable", f"uid {ann.uid}"),
    ]


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/export"), ("GET", "/deletion")])
def test_nobody_is_not_found_and_leaves_no_record(desk: Desk, method: str, path: str) -> None:
    before = desk.acts()
    body = {"json": {"disabled": True}} if method == "PATCH" else {}
    reply = desk.ask(method, f"/api/people/987654321{path}", **body)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert desk.acts() == before


def test_a_report_shows_its_picture_until_it_is_resolved(desk: Desk) -> None:
    ann, ben = desk.server.register("Ann"), desk.server.register("Ben")
    picture = png(8, 8)
    message_id = int(ann.send(ben, picture).headers["message-id"])
    told = ben.request("POST", "/v1/reports", json={"message_id": message_id, "reason": "rude"}).json()
    path = f"/api/reports/{told['report_id']}"
    assert desk.ask("GET", "/api/reports").json()["reports"][0]["reason"] == "rude"
    assert desk.ask("GET", path).json()["picture"]["filetype"] == "png"
    shown = desk.ask("POST", f"{path}/picture")
    assert (shown.headers["Content-Type"], shown.content) == ("image/png", picture)
    assert desk.ask("PATCH", path, json={"note": "x" * 256}).json()["code"] == "invalid_field"
    assert desk.ask("PATCH", path, json={"note": "warned"}).json() == {"changed": True}
    assert desk.ask("POST", f"{path}/picture").status_code == 404
    assert told["report_id"] not in [each["report_id"] for each in desk.ask("GET", "/api/reports").json()["reports"]]
    [resolved, *_] = desk.ask("GET", "/api/reports", params={"all": "true"}).json()["reports"]
    assert resolved["resolution"] == "warned"
    assert [act for _, act, about in desk.acts() if about == f"report {told['report_id']}"] == [
        "reports resolve",
        "reports show --picture",
    ]


def test_what_was_given_up_is_sent_again_at_once_and_what_waits_is_dropped(desk: Desk) -> None:
    ann, ben = desk.server.register("Ann"), desk.server.register("Ben", cid="cid-of-the-page")
    desk.server.database.execute("UPDATE devices SET provider = 'getui' WHERE token = 'cid-of-the-page'")
    for _ in range(2):
        ann.send(ben, png(1, 1))
    waiting = desk.ask("GET", "/api/outbox", params={"state": "due", "provider": "getui"}).json()["notifications"]
    lanes = {lane["provider"]: lane for lane in desk.ask("GET", "/api/overview").json()["lanes"]}
    assert (lanes["getui"]["due"], lanes["getui"]["breaker"], lanes["log"]["breaker"]) == (2, None, "closed")
    [second, first] = [row["outbox_id"] for row in waiting]
    assert desk.ask("POST", "/api/outbox/drop", json={"ids": [second]}).json() == {"done": 1}
    dead = f"SET state = 'dead', reason = 'bad key', provider = 'log' WHERE outbox_id = {first}"
    desk.server.database.execute(f"UPDATE outbox {dead}")
    desk.server.database.execute("UPDATE devices SET provider = 'log' WHERE token = 'cid-of-the-page'")
    [given_up] = desk.ask("GET", "/api/outbox", params={"state": "dead"}).json()["notifications"]
    assert given_up["reason"] == "bad key"
    assert desk.ask("POST", "/api/outbox/retry", json={"provider": "log", "app": ""}).json() == {"done": 1}
    log = desk.server.data_dir / "outbox.log"
    wait_until(lambda: log.exists() and "cid-of-the-page" in log.read_text(), what="the push")
    assert desk.acts()[:2] == [
        ("page", "outbox retry", f"notification {first}"),
        ("page", "outbox drop", f"notification {second}"),
    ]


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": 1}, {"ids": list(range(1, 1002))}])
def test_notifications_are_named_by_ids(desk: Desk, body: dict[str, object]) -> None:
    for path in ("retry", "drop"):
        assert desk.ask("POST", f"/api/outbox/{path}", json=body).json()["code"] == "invalid_field"


def test_the_numbers_are_those_of_metrics(desk: Desk) -> None:
    told = desk.ask("GET", "/api/metrics")
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'glimpse_push_breaker_state{app="",provider="log"} 0.0' in told.text


def test_a_provider_that_asks_for_a_pause_shows_until_when(new_folder: NewFolder) -> None:
    folder, port = new_folder("paused"), free_port()
    with emulated(folder, ["fcm"]) as vendors:
        settings = {"admin": {"port": port}, "push": {**vendors.push, "default_provider": "fcm"}}
        with running(folder, settings) as server:
            desk = Desk(server, port)
            ann, ben = server.register("Ann"), server.register("Ben", cid=vendors.each["fcm"].token(1))
            lanes = {lane["provider"]: lane for lane in desk.ask("GET", "/api/overview").json()["lanes"]}
            assert lanes["fcm"]["paused_until"] is None
            vendors.each["fcm"].tell("fault", kind="RESOURCE_EXHAUSTED")
            began = now_ms()
            ann.send(ben, png(1, 1))

            def paused_until() -> int | None:
                lanes = {lane["provider"]: lane for lane in desk.ask("GET", "/api/overview").json()["lanes"]}
                assert lanes["fcm"]["breaker"] == "closed"
                until: int | None = lanes["fcm"]["paused_until"]
                return until

            wait_until(lambda: paused_until() is not None, what="the vendor's answer")
            assert began + 60_000 <= (paused_until() or 0) + 1 <= now_ms() + 60_001
            scraped = Scraped(desk.ask("GET", "/api/metrics").text)
            assert 0 < scraped("push_paused_seconds", provider="fcm", app="") <= 60
            assert scraped("push_paused_seconds", provider="log", app="") == 0


def test_the_token_is_the_same_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, {"admin": {"port": port}}) as server:
        desk = Desk(server, port)
        first = desk.token
        assert desk.ask("GET", "/api/overview").json()["failing"] == []
        server.stop()
        server.start()
        assert desk.token == first
        assert desk.ask("GET", "/api/overview").status_code == 200


@pytest.mark.only_on("mariadb")
def test_one_of_several_workers_serves_the_page_also_after_its_death(new_folder: NewFolder) -> None:
    port = free_port()
    with running(new_folder("workers"), {"admin": {"port": port}, "server": {"workers": 2}}) as server:
        desk = Desk(server, port)
        ann = server.register("Ann")
        for _ in range(5):
            assert desk.ask("GET", f"/api/people/{ann.uid}").json()["nickname"] == "Ann"
        assert server.process
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        replies: list[int] = []

        def answered() -> bool:
            with contextlib.suppress(httpx.TransportError):
                replies.append(desk.ask("GET", "/api/overview").status_code)
            return bool(replies)

        wait_until(answered, what="the page of the worker that came after", pause=0.2)
        assert replies == [200]
