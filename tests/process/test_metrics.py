# SPDX-License-Identifier: Apache-2.0
"""What a scrape says after people have used the server, and that nobody but an operator can ask."""

import contextlib
import json
import os
import re
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.load import ConfigError, load
from services.events import READERS_PER_PERSON
from tests.process.scraping import Metered, Scraped, metered
from tests.process.test_following import handshake, socket_of
from tests.support import PATIENCE
from tests.support.engines import NewFolder
from tests.support.harness import Person, Server, phone_number, running, wait_until
from tests.support.pictures import jpeg

QUICK = {"delivery": {"grace_seconds": 0}, "retention": {"interval_seconds": 1}}


def sent(reply: httpx.Response) -> str:
    assert reply.status_code == 201, reply.text
    return reply.headers["Message-Key"]


@pytest.fixture(scope="module")
def metered_server(new_folder: NewFolder) -> Iterator[Metered]:
    with metered(new_folder("metered"), QUICK) as metered_server:
        yield metered_server
        assert metered_server.server.failures() == []


@pytest.fixture
def ann(metered_server: Metered) -> Person:
    return metered_server.server.register("Ann")


@pytest.fixture
def ben(metered_server: Metered) -> Person:
    return metered_server.server.register("Ben", cid="cid-ben")


def levels(scraped: Scraped) -> set[float]:
    """The bytes that are stored and that are pending: one number when nothing is on its way out."""
    return {scraped("stored_bytes"), scraped("pending_bytes")}


def test_an_image_is_counted_from_its_sending_to_its_purge(metered_server: Metered, ann: Person, ben: Person) -> None:
    before = metered_server.scrape()
    key = sent(ann.send(ben, jpeg(3000)))
    kept = sent(ann.send(ben, jpeg(5000)))
    on_the_way = metered_server.wait_for(
        "push_settled_total", before("push_settled_total", provider="log", app="", state="delivered") + 2,
        provider="log", app="", state="delivered",
    )  # fmt: skip
    assert ben.get(key).status_code == 200
    assert ben.get(kept, headers={"Range": "bytes=0-9"}).status_code == 206
    after = metered_server.wait_for("images_purged_total", before("images_purged_total") + 1)

    def grown(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert {name: grown(f"images_{name}_total") for name in ("sent", "fetched", "consumed", "purged")} == {
        "sent": 2,
        "fetched": 1,
        "consumed": 1,
        "purged": 1,
    }
    assert {name: grown(f"images_{name}_bytes_total") for name in ("sent", "fetched", "consumed", "purged")} == {
        "sent": 8000,
        "fetched": 3000,
        "consumed": 3000,
        "purged": 3000,
    }
    assert on_the_way("stored_bytes") == on_the_way("pending_bytes") == before("stored_bytes") + 8000
    wait_until(
        lambda: levels(metered_server.scrape()) == {before("stored_bytes") + 5000}, what="the bytes that are left"
    )
    assert grown("push_attempts_total", provider="log", app="", outcome="delivered") == 2
    assert grown("push_delay_seconds_count") == 2
    assert 1 <= grown("push_call_seconds_count", provider="log", app="") <= 2
    assert grown("commit_units_count") == grown("commit_seconds_count") > 0
    assert grown("commit_units_sum") >= grown("commit_units_count")
    assert after("outbox_due", provider="log", app="") == after("outbox_oldest_seconds", provider="log", app="") == 0


def test_what_waits_in_its_grace_is_stored_and_no_longer_pending(tmp_path: Path) -> None:
    with metered(tmp_path, {}) as other:
        ann, ben = other.server.register("Ann"), other.server.register("Ben")
        key = sent(ann.send(ben, jpeg(4000)))
        sent(ann.send(ben, jpeg(2500)))
        assert ben.get(key).status_code == 200
        assert ben.get(key).status_code == 200
        scraped = other.wait_for("images_fetched_total", 2)
        assert scraped("images_consumed_total") == 1
        assert (scraped("stored_bytes"), scraped("pending_bytes")) == (6500, 2500)


def test_an_image_sent_again_with_its_key_is_one_image(metered_server: Metered, ann: Person, ben: Person) -> None:
    before, picture = metered_server.scrape(), jpeg()
    for _ in range(2):
        sent(ann.send(ben, picture, headers={"Idempotency-Key": "once"}))
    assert metered_server.scrape()("images_sent_total") == before("images_sent_total") + 1


def ask_for_a_code(server: Server) -> None:
    """Retrieve an account: its phone is known, so that a code goes out."""
    body = {"region_num": "86", "phone_num": phone_number(), "nickname": "Cleo"}
    assert [server.client.post("/v1/register", json=body).status_code for _ in range(2)] == [201, 202]


def test_codes_are_counted_as_sent_or_failed(metered_server: Metered, tmp_path: Path) -> None:
    before = metered_server.scrape()("sms_total", outcome="sent")
    ask_for_a_code(metered_server.server)
    metered_server.wait_for("sms_total", before + 1, outcome="sent")
    nowhere = {
        "provider": "webhook",
        "webhook": {"url": "http://127.0.0.1:9", "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
    }
    with metered(tmp_path, {"sms": nowhere}) as other:
        ask_for_a_code(other.server)
        scraped = other.wait_for("sms_total", 1, outcome="failed")
        assert scraped("sms_total", outcome="sent") == 0


def test_requests_are_counted_by_pattern_status_and_error(metered_server: Metered, ann: Person, ben: Person) -> None:
    before = metered_server.scrape()
    key = sent(ann.send(ben, jpeg()))
    assert ann.send(ben, b"no image").json()["code"] == "unsupported_image"
    assert ann.get(key).status_code == 404
    assert metered_server.server.client.get(f"/nowhere/{key}").status_code == 404
    assert metered_server.server.client.request("BREW", "/healthz").status_code == 405

    def count(method: str, route: str, status: str, error: str) -> float:
        labels = {"method": method, "route": route, "status": status, "error": error}
        return after("http_requests_total", **labels) - before("http_requests_total", **labels)

    after = metered_server.scrape()
    assert count("POST", "/v1/images", "201", "") == 1
    assert count("POST", "/v1/images", "415", "unsupported_image") == 1
    assert count("GET", "/v1/images/{message_key}", "404", "not_found") == 1
    assert count("GET", "unknown", "404", "not_found") == 1
    assert count("UNKNOWN", "unknown", "405", "method_not_allowed") == 1
    timed = {"method": "POST", "route": "/v1/images"}
    assert after("http_request_seconds_count", **timed) - before("http_request_seconds_count", **timed) == 2


def test_running_requests_and_open_connections_are_shown(metered_server: Metered, ann: Person) -> None:
    with metered_server.server.connect() as idle, metered_server.server.connect() as busy:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        head = f"POST /v1/images HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.basic}\r\n"
        busy.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9\r\n\r\n".encode())
        scraped = metered_server.wait_for("http_running_requests", 1)
        assert scraped("http_connections") >= 2
    metered_server.wait_for("http_running_requests", 0)


def test_nothing_that_belongs_to_a_person_is_in_a_label(metered_server: Metered, ann: Person, ben: Person) -> None:
    key = sent(ann.send(ben, jpeg()))
    ben.get(key)
    ann.request("GET", f"/v1/users/{ben.uid}")
    scraped = metered_server.scrape()
    for secret in (key, ann.phone_hash, ben.phone_hash, ann.ukey, ben.ukey, "cid-ben"):
        assert secret not in scraped.text
    assert scraped.values("route") >= {"/v1/users/{uid}", "/v1/images/{message_key}"}
    assert scraped.values("provider") == {"log", "ntfy", "webpush"}
    assert scraped.values("app") == {""}


def test_the_process_and_its_event_loop_are_measured(metered_server: Metered) -> None:
    scraped = metered_server.scrape()
    assert "process_resident_memory_bytes" in scraped.text
    assert scraped("storage_healthy") == scraped("database_healthy") == 1
    assert scraped("push_breaker_state", provider="log", app="") == 0
    wait_until(lambda: metered_server.scrape()("event_loop_lag_seconds_count") >= 2, what="a measure of the lag")


def test_a_series_is_there_before_the_first_failure(metered_server: Metered) -> None:
    text = metered_server.scrape().text
    assert 'glimpse_push_settled_total{app="",provider="log",state="dead"} 0.0' in text
    assert 'glimpse_push_attempts_total{app="",outcome="gone",provider="log"} 0.0' in text
    assert 'glimpse_sms_total{outcome="failed"} 0.0' in text
    assert 'glimpse_storage_errors_total{kind="full"} 0.0' in text


def test_the_public_port_has_no_metrics(metered_server: Metered) -> None:
    assert metered_server.server.client.get("/metrics").status_code == 404


def test_the_metrics_port_has_nothing_else(metered_server: Metered) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/healthz", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/v1/me", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
    ):
        reply = httpx.request(method, metered_server.url + path, trust_env=False, verify=False)
        assert (reply.status_code, reply.text) == (status, f"{status}\n"), (method, path)
        assert "server" not in reply.headers
    head = httpx.head(f"{metered_server.url}/metrics", trust_env=False, verify=False)
    assert (head.status_code, head.content) == (200, b"")


def listening_sockets(server: Server) -> int:
    assert server.process
    process = Path(f"/proc/{server.process.pid}")
    own = {os.readlink(link) for link in (process / "fd").iterdir()}
    rows = [line.split() for line in (process / "net/tcp").read_text().splitlines()[1:]]
    return sum(state == "0A" and f"socket:[{inode}]" in own for _, _, _, state, *_, inode in (row[:10] for row in rows))


def test_without_a_port_there_are_none(metered_server: Metered, tmp_path: Path) -> None:
    assert listening_sockets(metered_server.server) == 2
    with running(tmp_path) as server:
        assert listening_sockets(server) == 1


def test_the_public_port_is_refused_as_metrics_port(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{server: {port: 8080}, metrics: {port: 8080}}")
    with pytest.raises(ConfigError, match=r"^metrics\.port: must not be server\.port"):
        load(tmp_path / "own.yaml")


def test_a_port_that_is_taken_is_a_clear_end(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server(tmp_path, {"metrics": {"port": port}})
        with pytest.raises(AssertionError, match=r"metrics\.port: cannot listen"):
            server.start()
        assert server.process
        assert server.process.wait(PATIENCE) == 1
        assert server.process.stdout
        server.process.stdout.close()


def test_a_provider_that_is_down_shows_as_a_backlog(tmp_path: Path) -> None:
    getui = {"base_url": "http://127.0.0.1:9", "app_id": "i", "app_key": "k", "master_secret": "s"}
    with metered(tmp_path, {"push": {"default_provider": "getui", "getui": getui}}) as other:
        ann, ben = other.server.register("Ann"), other.server.register("Ben", cid="cid-ben")
        for _ in range(5):
            sent(ann.send(ben, jpeg()))
        scraped = other.wait_for("push_breaker_state", 2, provider="getui", app="")
        assert scraped("outbox_due", provider="getui", app="") == 5
        assert scraped("push_attempts_total", provider="getui", app="", outcome="retry") >= 1
        assert scraped("push_settled_total", provider="getui", app="", state="delivered") == 0
        waiting = {"provider": "getui", "app": ""}
        age = scraped("outbox_oldest_seconds", **waiting)
        wait_until(lambda: other.scrape()("outbox_oldest_seconds", **waiting) > age, what="ageing")


def test_an_image_whose_file_is_gone_or_too_short_shows(tmp_path: Path) -> None:
    with metered(tmp_path, {}) as other:
        ann, ben = other.server.register("Ann"), other.server.register("Ben")
        gone, short = ann.send(ben, jpeg()), ann.send(ben, jpeg())
        assert "glimpse_images_lost_total 0.0" in other.scrape().text
        for image in (gone, short):
            key = sent(image)
            file = other.server.data_dir / "images" / key[:2] / key[2:4] / key
            file.unlink() if image is gone else os.truncate(file, 5)
        assert ben.get(sent(gone)).json()["code"] == "content_lost"
        with pytest.raises(httpx.RemoteProtocolError):
            ben.get(sent(short))
        assert other.scrape()("images_lost_total") == 2
        said = [json.loads(line) for line in other.server.failures()]
        assert [(line["event"], line["message_id"], line["key"]) for line in said] == [
            ("image lost", int(image.headers["Message-Id"]), sent(image)[:8]) for image in (gone, short)
        ]


def test_a_disk_that_fails_shows(tmp_path: Path) -> None:
    with metered(tmp_path, {}) as other:
        ann, ben = other.server.register("Ann"), other.server.register("Ben")
        for shard in range(256):
            (other.server.data_dir / "images" / f"{shard:02x}").write_text("in the way")
        assert ann.send(ben, jpeg()).status_code == 503
        scraped = other.scrape()
        assert scraped("storage_errors_total", kind="failed") >= 1
        assert scraped("storage_healthy") == 0
        assert scraped("images_sent_total") == 0
        other.server.client.get("/readyz")
        assert other.scrape()("storage_healthy") == 1


def collected(scraped: Scraped) -> int:
    """How many objects the collector has found that held each other."""
    return sum(map(int, re.findall(r"^python_gc_objects_collected_total\{.*\} (\S+)\.0$", scraped.text, re.MULTILINE)))


def test_a_request_with_a_body_leaves_nothing_to_the_collector(tmp_path: Path) -> None:
    with metered(tmp_path, {"limits": {"enabled": False}}) as metered_server:
        ann, ben = metered_server.server.register("Ann"), metered_server.server.register("Ben")
        said = {"receiver_uid": ben.uid, "kind": "text", "text": "See you at eight."}
        found = []
        for _ in range(3):  # first what a process does once, such as compiling its statements
            for _ in range(200):
                assert ann.request("POST", "/v1/messages", json=said).status_code == 201
            found.append(collected(metered_server.scrape()))
        assert found[2] - found[1] < 200, found


def test_a_websocket_leaves_nothing_to_the_collector_either(tmp_path: Path) -> None:
    with metered(tmp_path, {"limits": {"enabled": False}}) as metered_server:
        ann = metered_server.server.register("Ann")
        found = []
        for _ in range(3):
            for _ in range(200):
                with socket_of(ann):
                    pass
            found.append(collected(metered_server.scrape()))
        assert found[2] - found[1] < 200, found


def test_a_crowd_of_readers_is_no_reason_for_a_full_collection(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    settings = {"limits": {"enabled": False}, "server": {"max_connections": 8192}, "events": {"max_readers": 8192}}
    with metered(tmp_path, settings) as metered_server, contextlib.ExitStack() as stack:
        people = [metered_server.server.register(f"P{number}") for number in range(60)]
        before = full_collections(metered_server.scrape())
        for person in people * READERS_PER_PERSON:
            reader = stack.enter_context(metered_server.server.connect())
            reader.sendall(handshake(person, "/v1/events/ws"))
            assert reader.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert full_collections(metered_server.scrape()) == before


def full_collections(scraped: Scraped) -> str:
    [count] = re.findall(r'^python_gc_collections_total\{generation="2"\} (\S+)$', scraped.text, re.MULTILINE)
    return str(count)
