# SPDX-License-Identifier: Apache-2.0
"""What pages of other origins can do from within a browser, which is whom the rules for them speak to.

One small server is three origins: `localhost` is listed, `127.0.0.1` is not, and a frame in a sandbox is `null`.
"""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page

from handlers.origins import ALLOWED_HEADERS
from tests.support import browser as browsers
from tests.support.browser import chromium
from tests.support.engines import ON_SQLITE, NewFolder
from tests.support.harness import Person, Server, phone_number, running
from tests.support.pictures import png

pytestmark = [
    ON_SQLITE,
    pytest.mark.skipif(browsers.PROGRAM is None, reason="no chromium is installed (make test-deps)"),
]

PAGE = '<!doctype html><link rel="icon" href="data:,"><iframe sandbox="allow-scripts allow-forms" srcdoc="-"></iframe>'

CALL = """
async ([url, options]) => {
  try {
    const reply = await fetch(url, options);
    return [reply.status, await reply.text(), Object.fromEntries(reply.headers)];
  } catch (error) {
    return [0, String(error), {}];
  }
}
"""
SEND = """
async ([url, options, picture, receiver]) => {
  const form = new FormData();
  form.append("receiver_uid", receiver);
  form.append("img_file", new Blob([Uint8Array.from(picture)]), "x.png");
  const reply = await fetch(url, { ...options, method: "POST", body: form });
  return [reply.status, Object.fromEntries(reply.headers)];
}
"""
OPEN = """
([url, first]) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  setTimeout(resolve, 30000, "silence");
  socket.onopen = () => socket.send(first);
  socket.onmessage = ({ data }) => resolve(data);
  socket.onclose = ({ code }) => resolve(String(code));
})
"""
SUBMIT = """
([action, number]) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action });
  for (const [name, value] of Object.entries({ phone_num: number, nickname: "visitor" })) {
    form.append(Object.assign(document.createElement("input"), { name, value }));
  }
  document.body.append(form);
  form.submit();
}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the pages' server."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text(PAGE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(new_folder: NewFolder, pages: int) -> Iterator[Server]:
    settings = {"limits": {"enabled": False}, "server": {"cors_origins": [f"http://localhost:{pages}"]}}
    with running(new_folder("elsewhere"), settings) as server:
        yield server
        assert server.failures() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def listed(page: Page, pages: int) -> Page:
    page.goto(f"http://localhost:{pages}/")
    return page


@pytest.fixture(params=["unlisted", "null"])
def stranger(request: pytest.FixtureRequest, page: Page, pages: int) -> Frame:
    """A page that is not listed, or one without an origin."""
    page.goto(f"http://127.0.0.1:{pages}/")
    [own, sandboxed] = page.frames
    return own if request.param == "unlisted" else sandboxed


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def as_bearer(person: Person) -> str:
    token: str = person.request("POST", "/v1/tokens").json()["access_token"]
    return token


def is_new(server: Server, number: str) -> bool:
    reply = server.client.post("/v1/register", json={"phone_num": number, "nickname": "Ann"})
    return reply.status_code == 201


def test_a_listed_page_registers_sends_and_reads_what_the_reply_says(server: Server, listed: Page) -> None:
    ben = server.register("Ben")
    body = f'{{"phone_num":"+86{phone_number()}","nickname":"Ann"}}'
    headers = {"Content-Type": "application/json", "Idempotency-Key": "0123456789abcdef012345"}
    made = listed.evaluate(CALL, [url(server, "/v1/register"), {"method": "POST", "headers": headers, "body": body}])
    assert made[0] == 201, made
    assert made[2]["x-request-id"]
    as_ann = {"headers": {"Authorization": f"Bearer {as_bearer(server.register('Ann'))}"}}
    status, told = listed.evaluate(SEND, [url(server, "/v1/images"), as_ann, list(png()), ben.uid])
    assert status == 201
    assert {"location", "message-id", "message-key", "send-time", "x-request-id"} <= told.keys()
    changed = listed.evaluate(CALL, [url(server, "/v1/me"), {**as_ann, "method": "PATCH", "body": "{}"}])
    assert changed[0] in (200, 415), changed


def test_a_listed_page_may_send_every_header_that_is_allowed(server: Server, listed: Page) -> None:
    headers = {name: "1" for name in ALLOWED_HEADERS.split(", ") if name != "Authorization"}
    assert listed.evaluate(CALL, [url(server, "/healthz"), {"headers": headers}])[0] == 200
    odd = listed.evaluate(CALL, [url(server, "/healthz"), {"headers": {"X-Odd": "1"}}])
    assert odd[:2] == [0, "TypeError: Failed to fetch"]


def test_a_listed_page_reads_why_it_is_refused(server: Server, listed: Page) -> None:
    status, text, headers = listed.evaluate(CALL, [url(server, "/v1/me"), {}])
    assert (status, '"code":"unauthenticated"' in text.replace(" ", "")) == (401, True)
    assert headers["content-type"] == "application/problem+json"


def test_a_listed_page_follows_events_by_websocket(server: Server, listed: Page) -> None:
    ann, ben = server.register("Ann"), server.register("Ben")
    assert ann.request("POST", "/v1/messages", json={"receiver_uid": ben.uid, "kind": "text", "text": "hi"})
    first = f'{{"access_token":"{as_bearer(ben)}"}}'
    told = listed.evaluate(OPEN, [url(server, "/v1/events/ws?after=0").replace("http", "ws"), first])
    assert '"text":"hi"' in told.replace(" ", "")


def test_any_other_page_reads_nothing(server: Server, stranger: Frame) -> None:
    for options in ({}, {"method": "POST", "body": "{}", "headers": {"Content-Type": "application/json"}}):
        assert stranger.evaluate(CALL, [url(server, "/healthz"), options])[:2] == [0, "TypeError: Failed to fetch"]


def test_any_other_page_registers_nobody_in_a_visitors_name(server: Server, page: Page, stranger: Frame) -> None:
    number = f"+86{phone_number()}"
    options = {"method": "POST", "mode": "no-cors", "body": f"phone_num=%2B{number[1:]}&nickname=visitor"}
    options["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}  # type: ignore[assignment]
    with page.expect_response(url(server, "/v1/register")) as blind:
        assert stranger.evaluate(CALL, [url(server, "/v1/register"), options])[:2] == [0, ""]
    assert blind.value.status == 403
    with page.expect_response(url(server, "/v1/register")) as submitted:
        stranger.evaluate(SUBMIT, [url(server, "/v1/register"), number])
    assert submitted.value.status == 403
    assert is_new(server, number)


def test_any_other_page_opens_no_websocket(server: Server, stranger: Frame) -> None:
    ann = server.register("Ann")
    first = f'{{"access_token":"{as_bearer(ann)}"}}'
    assert stranger.evaluate(OPEN, [url(server, "/v1/events/ws?after=0").replace("http", "ws"), first]) == "1006"
