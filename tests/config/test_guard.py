# SPDX-License-Identifier: Apache-2.0
"""Where a server may listen, and with what."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.providers import lane_names
from config.exposure import banner, guard
from config.load import Config
from tests.support.certificates import own_certificate

WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 4
pytestmark = pytest.mark.anyio
Configured = Callable[[str], Config]

SAFE = """
data_dir: {folder}
server: {{host: 0.0.0.0, behind_proxy: true, trusted_proxies: [10.0.0.1]}}
activation: {{required: true}}
sms: {{provider: webhook, webhook: {{url: "https://sms.example/send", secret_file: {folder}/secret}}}}
push: {{default_provider: getui, getui: {{app_id: i, app_key: k, master_secret_file: {folder}/master}}}}
"""


@pytest.fixture
def safe(tmp_path: Path) -> str:
    """A configuration that may listen anywhere."""
    for name, secret in (("secret", WEBHOOK_SECRET), ("master", "m")):
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    return SAFE.format(folder=tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"])
def test_on_loopback_everything_goes(configured: Configured, host: str) -> None:
    config = configured(f"server: {{host: '{host}', development_lan: true}}")
    assert (guard(config), banner(config)) == ([], "")


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "[::]", "192.168.1.5", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "64:ff9b::7f00:1"],
)
def test_beyond_loopback_the_defaults_are_refused_with_what_to_change(configured: Configured, host: str) -> None:
    refusals = guard(configured(f"server: {{host: '{host}'}}"))
    assert len(refusals) == 4
    for key in ("activation.required", "sms.provider", "push.default_provider", "server.tls.cert"):
        assert sum(key in refusal for refusal in refusals) == 1


@pytest.mark.parametrize("host", ["example.org", "localhost.example.org", "127.1", "0", "0x7f000001"])
def test_a_name_is_not_taken_for_loopback(configured: Configured, host: str) -> None:
    assert guard(configured(f"server: {{host: '{host}'}}"))


def test_a_safe_configuration_may_listen_anywhere(configured: Configured, safe: str) -> None:
    assert guard(configured(safe)) == []


@pytest.mark.parametrize(
    ("secure", "unsafe", "key"),
    [
        ("required: true", "required: false", "activation.required"),
        ("{provider: webhook", "{provider: log", "sms.provider"),
        ("default_provider: getui", "default_provider: log", "push.default_provider"),
        ("behind_proxy: true", "behind_proxy: false", "server.tls.cert"),
        (", trusted_proxies: [10.0.0.1]", "", "server.trusted_proxies"),
    ],
)
def test_each_thing_missing_is_one_refusal(
    configured: Configured, safe: str, secure: str, unsafe: str, key: str
) -> None:
    assert secure in safe
    (refusal,) = guard(configured(safe.replace(secure, unsafe)))
    assert f"set {key}" in refusal


def test_tls_of_our_own_needs_no_proxy(configured: Configured, safe: str, tmp_path: Path) -> None:
    tls = own_certificate(tmp_path).settings
    proxy = "behind_proxy: true, trusted_proxies: [10.0.0.1]"
    own = safe.replace(proxy, f"tls: {json.dumps(tls)}")
    assert guard(configured(own)) == []
    for file in tls.values():
        Path(file).chmod(0o644)
    assert guard(configured(own)) == [f"{tls['key']} is open to other users of this machine: chmod 600 {tls['key']}"]


@pytest.mark.parametrize("name", ["keys.json", "vapid.pem", "secret", "master"])
@pytest.mark.parametrize("lan", ["false", "true"])
def test_a_secret_file_that_others_can_read_is_refused(
    configured: Configured, safe: str, tmp_path: Path, name: str, lan: str
) -> None:
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o604)
    (refusal,) = guard(configured(safe.replace("host:", f"development_lan: {lan}, host:")))
    assert f"chmod 600 {tmp_path}/{name}" in refusal


def test_a_password_in_the_url_of_the_database_makes_that_file_a_secret(
    configured: Configured, tmp_path: Path, safe: str
) -> None:
    config = configured(safe + "database: {url: 'mysql://u:p@127.0.0.1/n'}")
    (tmp_path / "own.yaml").chmod(0o644)
    assert guard(config) == [
        f"{tmp_path}/own.yaml is open to other users of this machine: chmod 600 {tmp_path}/own.yaml"
    ]
    assert guard(configured(safe + "database: {url: 'mysql://u@127.0.0.1/n'}")) == []


@pytest.mark.parametrize("name", ["secret", "master"])
@pytest.mark.parametrize(("lan", "mode", "refused"), [("false", 0o644, 1), ("true", 0o644, 1), ("false", 0o640, 0)])
def test_a_secret_in_a_configuration_file_makes_that_file_a_secret(
    configured: Configured, safe: str, tmp_path: Path, name: str, lan: str, mode: int, refused: int
) -> None:
    key = {"secret": "secret", "master": "master_secret"}[name]
    inline = safe.replace(f"{key}_file: {tmp_path}/{name}", f"{key}: {WEBHOOK_SECRET}")
    assert inline.count(WEBHOOK_SECRET) == 1
    config = configured(inline.replace("host:", f"development_lan: {lan}, host:"))
    (tmp_path / "own.yaml").chmod(mode)
    assert (
        guard(config)
        == [f"{tmp_path}/own.yaml is open to other users of this machine: chmod 600 {tmp_path}/own.yaml"][:refused]
    )


def test_a_configuration_file_without_a_secret_may_be_read_by_all(
    configured: Configured, safe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIMPSE_SMS__WEBHOOK__SECRET", WEBHOOK_SECRET)
    config = configured(safe.replace(f"secret_file: {tmp_path}/secret", 'secret: ""'))
    (tmp_path / "own.yaml").chmod(0o644)
    assert config.sms.webhook.secret.get_secret_value() == WEBHOOK_SECRET
    assert guard(config) == []


@pytest.mark.parametrize(
    ("server", "public"),
    [
        ("host: 127.0.0.1", False),
        ("host: 192.168.1.5", True),
        ("host: 192.168.1.5, development_lan: true", False),
        ("host: 8.8.8.8, development_lan: true", True),
    ],
)
def test_a_public_server_has_no_provider_that_writes_to_a_file(
    configured: Configured, server: str, public: bool
) -> None:
    usual = {("webpush", ""), ("ntfy", "")} | (set() if public else {("log", "")})
    assert lane_names(configured(f"server: {{{server}}}")) == usual
    getui = "push: {getui: {app_id: i, app_key: k, master_secret: m}}"
    assert lane_names(configured(f"server: {{{server}}}\n{getui}")) == usual | {("getui", "")}


@pytest.mark.parametrize(
    "host", ["192.168.1.5", "10.1.2.3", "172.31.0.1", "169.254.1.1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1"]
)
def test_development_lan_allows_private_addresses_with_a_banner(configured: Configured, host: str) -> None:
    config = configured(f"server: {{host: '{host}', development_lan: true}}")
    assert guard(config) == []
    assert host in banner(config)
    assert "every address" not in banner(config)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_development_lan_says_what_listening_everywhere_means(configured: Configured, host: str) -> None:
    config = configured(f"server: {{host: '{host}', development_lan: true}}")
    assert guard(config) == []
    assert f"{host} means every address of this machine, public ones too." in banner(config)


@pytest.mark.parametrize("host", ["8.8.8.8", "172.32.0.1", "100.64.0.1", "192.0.2.1", "2001:db8::1", "phone.local"])
def test_development_lan_allows_no_public_address_and_no_name(configured: Configured, host: str) -> None:
    refusals = guard(configured(f"server: {{host: '{host}', development_lan: true}}"))
    assert len(refusals) == 5
    assert refusals[-1] == f"server.development_lan covers private addresses only, and {host} is none"


def test_a_safe_configuration_shows_no_banner(configured: Configured, safe: str) -> None:
    assert banner(configured(safe.replace("host:", "development_lan: true, host:"))) == ""


@pytest.mark.parametrize(
    ("subject", "refused"),
    [
        ("mailto:you@example.org", True),
        ("mailto:you@push.Example.COM", True),
        ("https://example.net/contact", True),
        ("mailto:you@counterexample.org", False),
        ("mailto:you@example.org.uk", False),
        ("", False),
    ],
)
def test_subject_of_an_example_is_for_this_machine_alone(
    configured: Configured, safe: str, subject: str, refused: bool
) -> None:
    text = safe.replace("push: {", f"push: {{webpush: {{subject: '{subject}'}}, ")
    found = guard(configured(text))
    assert [refusal for refusal in found if "push.webpush.subject" in refusal] == found
    assert bool(found) == refused
    assert guard(configured(text.replace("0.0.0.0", "127.0.0.1"))) == []
