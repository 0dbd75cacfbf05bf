# SPDX-License-Identifier: Apache-2.0
"""`python -m emulators all`: every emulator, and the configuration that is to be pasted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from config.load import load
from emulators import starting
from emulators.__main__ import EMULATORS
from emulators.starting import announce
from httpclient.http1 import HttpClient
from httpclient.http2 import Http2Client
from push.base import Delivered, Push, VisibleText
from push.providers.apns import ApnsProvider
from push.providers.apns_auth import ApnsCredentials
from push.providers.fcm import FcmProvider
from push.providers.fcm_auth import read_service_account
from tests.support import ROOT
from tests.support.vendors import Started, emulators

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """What it says at the start; it goes on until the module's tests are over."""
    with emulators("all", folder=tmp_path_factory.mktemp("all")) as started:
        yield started


def test_every_emulator_has_a_page(printed: Started) -> None:
    assert len(printed.urls) == len(EMULATORS)
    with httpx.Client(trust_env=False, verify=False) as http:
        for page in printed.urls.values():
            reply = http.get(page)
            assert (reply.status_code, reply.headers["content-type"][:9]) == (200, "text/html")


ASTRAY: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "GeTui": ("PUT", "/v2/TESTAPPID0000000000000/auth", 405, {"code": 405}),
    "ntfy": ("DELETE", "/topic", 404, {"code": 40401}),
    "Webhook": ("DELETE", "/hook/1", 405, {"error": "method not allowed"}),
    "Twilio": ("PUT", "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json", 405, {"code": 20004}),
    "Aliyun": ("DELETE", "/", 404, {"Code": "InvalidAction.NotFound"}),
    "Agora": ("DELETE", "/glimpse/emulated/users", 405, {"error": "method_not_allowed"}),
    "Sendbird": ("PATCH", "/v3/users", 405, {"error": True}),
}


def test_a_method_that_a_vendor_does_not_have_is_refused_in_its_words(printed: Started) -> None:
    with httpx.Client(trust_env=False) as http:
        for name, (method, path, status, document) in ASTRAY.items():
            reply = http.request(method, httpx.URL(printed.urls[name]).join(path))
            assert reply.status_code == status
            assert reply.json().items() >= document.items()
        for name, code in (("Twilio", "code"), ("Aliyun", "Code")):
            nowhere = http.get(httpx.URL(printed.urls[name]).join("/nowhere"))
            assert (nowhere.status_code, code in nowhere.json()) == (404, True)


def test_ports_of_all_are_those_of_the_documentation() -> None:
    page = "\n".join(page.read_text() for page in (ROOT / "docs/emulators").glob("*.md"))
    documented = {name: int(port) for name, port in re.findall(r"-m emulators (\w+) --port (\d+)", page)}
    port, given = 9101, {}
    for command, _ in EMULATORS:
        given[command.name or ""] = port
        port += 2 if command.name == "apns" else 1
    assert documented == {name: port for name, port in given.items() if name in documented}
    assert len(documented) == 8


def secret(path: str) -> str:
    """What is in a file that its owner alone may read."""
    assert Path(path).stat().st_mode & 0o077 == 0
    return Path(path).read_text()


def test_configuration_that_is_printed_is_a_good_one(printed: Started, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(printed.text.partition("# for config.yaml\n")[2])
    push = load(file).push
    assert push.fcm.base_url.startswith("http://127.0.0.1:")
    assert push.apns.base_url.startswith("https://127.0.0.1:")
    assert push.getui.app_id == "TESTAPPID0000000000000"


async def test_configuration_that_is_printed_is_all_that_a_server_needs(printed: Started) -> None:
    config: dict[str, Any] = printed.config["push"]
    fcm, apns = config["fcm"], config["apns"]
    account = read_service_account(secret(fcm["service_account_file"]), base_url=fcm["base_url"])
    credentials = ApnsCredentials(
        apns["team_id"],
        apns["key_id"],
        secret(apns["private_key_file"]),
        apns["topic"],
        base_url=apns["base_url"],
        ca_file=Path(apns["ca_file"]),
    )
    text = VisibleText("Title", "Text")
    providers = (
        FcmProvider(account, HttpClient(), text=text),
        ApnsProvider(credentials, Http2Client(credentials.url, ca_file=credentials.ca_file), text=text),
    )
    for provider in providers:
        assert await provider.send([Push("ab" * 32, "{}", "0" * 32, 60)]) == [Delivered()]
        await provider.close()


def test_blocks_of_several_emulators_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    first = starting.Started("A", "http://a", {"push": {"allow": ["http://a"], "a": {"base_url": "http://a/v2"}}})
    second = starting.Started("B", "http://b", {"push": {"allow": ["http://b", "http://a"]}, "chat": {"x": 1}})
    announce(first, second)
    announce(first)
    both, _, alone = capsys.readouterr().out.partition("A emulator at http://a (")
    assert yaml.safe_load(both.partition("# for config.yaml\n")[2]) == {
        "push": {"allow": ["http://a", "http://b"], "a": {"base_url": "http://a/v2"}},
        "chat": {"x": 1},
    }
    assert alone.startswith("push.a.base_url: http://a/v2)")
    assert yaml.safe_load(alone.partition("# for config.yaml\n")[2]) == first.config
