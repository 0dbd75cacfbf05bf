# SPDX-License-Identifier: Apache-2.0
"""How the web app is served: to browsers alone, whole from one origin, and named by what is in it."""

import gzip
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import httpx
import phonenumbers
import pytest

from handlers.web import ROOT, load
from tests.support.engines import NewFolder
from tests.support.harness import Server, running

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br"}
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types glimpse"
)
BUDGET = 120 * 1024

pytestmark = pytest.mark.only_on("sqlite")


class Page(HTMLParser):
    """What a page loads, and what it says inline."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag in ("script", "link"):
            self.loads.append(given.get("src") or given.get("href") or "")
        if (tag == "script" and "src" not in given) or tag == "style":
            self.inline.append(tag)


def get(server: Server, path: str, **headers: str) -> httpx.Response:
    """As a browser, whose requests the interface's description says nothing of."""
    with httpx.Client(trust_env=False, verify=False) as client:
        return client.get(f"http://127.0.0.1:{server.port}{path}", headers={**BROWSER, **headers})


def test_a_browser_gets_the_app_and_a_program_what_this_server_is(server: Server) -> None:
    page = get(server, "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["Cache-Control"] == "no-cache"
    assert "Accept" in page.headers.get_list("Vary", split_commas=True)
    told = server.client.get("/")
    assert told.json()["name"] == "Glimpse"
    assert "Accept" in told.headers.get_list("Vary", split_commas=True)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("Text/HTML ; charset=utf-8;q=0.1", "text/html; charset=utf-8"),
        ("application/json, text/html;q=0.000", "application/json"),
        ("text/htmlx, */*", "application/json"),
    ],
)
def test_who_does_not_take_a_page_gets_none(server: Server, accept: str, kind: str) -> None:
    assert get(server, "/", Accept=accept).headers["Content-Type"] == kind


def test_who_does_not_take_compression_gets_none(server: Server) -> None:
    assert "Content-Encoding" not in get(server, "/", **{"Accept-Encoding": "br, gzip;q=0"}).headers
    assert get(server, "/", **{"Accept-Encoding": "GZIP ; q=0.5"}).headers["Content-Encoding"] == "gzip"


def test_a_page_that_the_browser_has_is_not_sent_again(server: Server) -> None:
    page = get(server, "/")
    for known in (page.headers["ETag"], f'"other", W/{page.headers["ETag"]}', "*"):
        again = get(server, "/", **{"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")


def test_the_first_load_is_small_whole_and_from_one_origin(server: Server) -> None:
    page = get(server, "/")
    found = Page(page.text)
    assert found.inline == []
    assert all(path.startswith("/assets/") for path in found.loads)
    size = len(gzip.compress(page.content, 9))
    for path in set(found.loads):
        asset = get(server, path)
        assert asset.status_code == 200, path
        assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        size += int(asset.headers["Content-Length"])
    assert size < BUDGET
    [told] = re.findall(r"The first load is (\d+) KB", (ROOT / "docs/web.md").read_text("utf-8"))
    assert abs(size / 1024 - int(told)) < 3


def test_whoever_takes_nothing_compressed_gets_the_file_as_it_is(server: Server) -> None:
    [main] = [path for path in Page(get(server, "/").text).loads if path.endswith("/web/main.js")][:1]
    plain = get(server, main, **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == get(server, main).content == (ROOT / "web/main.js").read_bytes()
    assert "Accept-Encoding" in plain.headers.get_list("Vary", split_commas=True)


def test_every_module_finds_what_it_imports() -> None:
    names = set(load().assets)
    for name, asset in load().assets.items():
        if name.endswith(".js"):
            for imported in re.findall(r"^(?:import|export) [^;]*?'(\.[^']+)'", asset.body.decode(), re.MULTILINE):
                path = (ROOT / name).parent / imported
                assert path.resolve().relative_to(ROOT).as_posix() in names, f"{name}: {imported}"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/0000000000000000/web/main.js",
        f"/assets/{load().version}/web/../config.yaml",
        f"/assets/{load().version}/web/icons/make.py",
        f"/assets/{load().version}/web/index.html",
        f"/assets/{load().version}/config.yaml",
    ],
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    raw = server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 404 ")


def test_the_service_worker_is_asked_for_each_time_and_knows_the_version(server: Server) -> None:
    worker = get(server, "/sw.js")
    assert worker.headers["Cache-Control"] == "no-cache"
    assert f"glimpse-{load().version}" in worker.text


def test_the_icons_and_the_manifest_are_there(server: Server) -> None:
    [path] = [path for path in Page(get(server, "/").text).loads if path.endswith(".webmanifest")]
    manifest = get(server, path).json()
    assert manifest["start_url"] == manifest["scope"] == "/"
    for icon in manifest["icons"]:
        assert get(server, f"{path.rpartition('/')[0]}/{icon['src']}").headers["Content-Type"] == icon["type"]


def test_where_it_is_off_a_browser_too_is_told_what_this_server_is(new_folder: NewFolder) -> None:
    with running(new_folder("without"), {"web": {"enabled": False}}) as server:
        assert get(server, "/").json()["name"] == "Glimpse"
        assert get(server, "/sw.js").status_code == 404
        needed = Page(get(server, "/docs").text).loads
        assert [get(server, path).status_code for path in needed] == [200] * len(needed)


def test_a_qr_code_is_drawn_for_whoever_is_signed_in(server: Server) -> None:
    ann = server.register("Ann")
    drawn = ann.request("GET", "/v1/qr", params={"text": "http://127.0.0.1/#/u/1"})
    picture = ET.fromstring(drawn.json()["svg"])
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert ann.request("GET", "/v1/qr", params={"text": "x" * 301}).status_code == 422
    assert ann.request("GET", "/v1/qr").status_code == 422
    assert server.client.get("/v1/qr", params={"text": "x"}).status_code == 401


def test_the_countries_are_those_of_libphonenumber() -> None:
    [literal] = re.findall(r"const CODES = \((.*?)\)\.split", (ROOT / "web/app/countries.js").read_text(), re.DOTALL)
    listed = "".join(re.findall(r"'([^']*)'", literal)).split()
    known = sorted(phonenumbers.SUPPORTED_REGIONS)
    assert listed == [f"{region}{phonenumbers.country_code_for_region(region)}" for region in known]


def test_the_renderer_stays_small() -> None:
    assert len((ROOT / "web/ui/render.js").read_text().splitlines()) <= 150
