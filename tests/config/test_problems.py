# SPDX-License-Identifier: Apache-2.0
"""What is refused, and in which words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import sources
from config.load import Config, ConfigError, from_command_line, load
from models.rules import MIN_TTL_SECONDS
from tests.support.certificates import own_certificate

Problems = Callable[[str], list[str]]
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("server: {prot: 1}", "server.prot", "server.port"),
        ("images: {max_byte: 1}", "images.max_byte", "images.max_bytes"),
        ("port: 1", "port", "server.port"),
        ("activaton: {required: true}", "activaton", "activation"),
        ("push: {getui: {master_secrte: x}}", "push.getui.master_secrte", "push.getui.master_secret"),
        ("limits: {rates: {per_account: {sends: 1/day}}}", "limits.rates.per_account.sends", "per_account.send"),
        ("Server: {port: 1}", "Server", "server"),
        ("_env_prefix: X", "_env_prefix", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_real_one(
    problems: Problems, text: str, unknown: str, nearest: str
) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"{unknown}: there is no such key; the nearest is ")
    assert nearest in problem.rpartition(" ")[2]


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("GLIMPSE_SERVER__PROT", "server.port"),
        ("GLIMPSE_PORT", "server.port"),
        ("GLIMPSE_DATA_DIR__X", "data_dir"),
        ("GLIMPSE_FAULTS", ""),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_real_key(
    monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError) as caught:
        load()
    (problem,) = caught.value.problems
    assert f"({variable}): there is no such key; the nearest is {nearest}" in problem


def test_a_renamed_key_is_named_with_its_new_name(problems: Problems) -> None:
    assert problems("messaging: {who: friends}\nevents: {allowed_origins: []}") == [
        "messaging.who: is called messaging.friends_only now",
        "events.allowed_origins: is called server.cors_origins now",
    ]


def test_a_key_that_config_yaml_has_lost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = sources.SHIPPED.read_text("utf-8")
    (tmp_path / "config.yaml").write_text(shipped.replace("  allow_opaque: false ", "  # "))
    monkeypatch.setattr(sources, "SHIPPED", tmp_path / "config.yaml")
    sources.shipped.cache_clear()
    try:
        with pytest.raises(ConfigError) as caught:
            load()
    finally:
        sources.shipped.cache_clear()
    assert caught.value.problems == ["images.allow_opaque: is missing; config.yaml must hold every key"]


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("GLIMPSE_SERVER", "{", "server (GLIMPSE_SERVER): is no JSON that can be read"),
        ("GLIMPSE_SERVER", "9000", "server (GLIMPSE_SERVER): must hold keys with values"),
        (
            "GLIMPSE_ACTIVATION__TEST_NUMBERS",
            "123456",
            "activation.test_numbers (GLIMPSE_ACTIVATION__TEST_NUMBERS): must",
        ),
        (
            "GLIMPSE_SERVER__TRUSTED_PROXIES__0",
            "x",
            "server.trusted_proxies.0 (GLIMPSE_SERVER__TRUSTED_PROXIES__0): there",
        ),
    ],
)
def test_a_variable_that_must_hold_a_mapping_and_does_not_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, problem: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError) as caught:
        load()
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_all_problems_are_reported_at_once(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_LOG__LEVEL", "loud")
    found = problems(
        "server: {port: 70000, prot: 1}\n"
        "images: {max_bytes: many}\n"
        "messages: {retention_days: 1}\n"
        "database: {url: 'mysql://user:canary@host/name'}\n"
    )
    assert sorted(problem.partition(":")[0] for problem in found) == [
        "database.url",
        "images.max_bytes",
        "log.level (GLIMPSE_LOG__LEVEL)",
        "messages.retention_days",
        "server.port",
        "server.prot",
    ]
    assert "canary" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {port: x}", "server.port: must be a whole number"),
        ("server: {port: 70000}", "server.port: must be at most 65535"),
        ("server: {workers: 0}", "server.workers: must be at least 1"),
        ("server: {host: ''}", "server.host: must not be empty"),
        ("server: {behind_proxy: perhaps}", "server.behind_proxy: must be true or false"),
        ("server:", "server: must hold keys with values"),
        ("push: {title: 5}", "push.title: must be text; write it in quotes"),
        ("sms: {provider: pigeon}", "sms.provider: must be 'log', 'webhook', 'twilio' or 'aliyun'"),
        ("limits: {rates: {per_account: {send: often}}}", "limits.rates.per_account.send: must be a number per period"),
        ("server: {trusted_proxies: [nginx]}", "server.trusted_proxies.0: must be an IP address or a network"),
        ("server: {trusted_proxies: [0.0.0.0/0]}", "server.trusted_proxies.0: names every address there is"),
        ("server: {tls: {cert: /nowhere}}", "server.tls.cert: /nowhere cannot be read: No such file"),
        ("server: {workers: 2}", "server.workers: must be 1 with SQLite"),
        ("database: {url: 'mysql://u:p@db.example/n'}", "database.url: needs ?ssl_ca=FILE"),
        ("database: {url: 'mysql://u:p@db.example/n?ssl_ca=/nowhere'}", "database.url: /nowhere cannot be read"),
        ("database: {url: 'mysql://u:p@127.0.0.1/n?pool=3'}", "database.url: has an option that there is not: pool"),
        ("database: {url: 'mysql://u:p@127.0.0.1'}", "database.url: must be sqlite:/// and a path, or mysql://"),
        ("database: {url: 'mysql://u:p]e[t@127.0.0.1/n'}", "database.url: must be sqlite:/// and a path, or mysql://"),
        (
            "database: {url: 'mysql://u:p\u2100t@127.0.0.1/n'}",
            "database.url: must be sqlite:/// and a path, or mysql://",
        ),
        ("database: {url: glimpse.db}", "database.url: must be sqlite:/// and a path"),
        ("push: {getui: {base_url: 'ftp://x'}}", "push.getui.base_url: must be an address that begins with https://"),
        ("sms: {webhook: {url: 'https://u:p@x'}}", "sms.webhook.url: must not carry a user or password"),
        (
            f"sms: {{provider: webhook, webhook: {{secret: {WEBHOOK_SECRET}}}}}",
            "sms.webhook.url: is needed, since sms.provider is webhook",
        ),
        (
            "sms: {provider: twilio, twilio: {account_sid: SKab, auth_token: t, sender: '+1'}}",
            "sms.twilio.account_sid: must be the account's, AC…; the SK… of an API key goes into api_key_sid",
        ),
        (
            "sms: {provider: twilio, twilio: {account_sid: ACab, api_key_sid: ACab, auth_token: t, sender: '+1'}}",
            "sms.twilio.api_key_sid: must be an API key's, SK…; without one leave it empty",
        ),
        (
            "push: {webpush: {subject: 'mailto:ops@localhost'}}",
            "push.webpush.subject: must name a public host: Apple's push service refuses every other subject",
        ),
        (
            "sms: {provider: twilio, twilio: {account_sid: A, auth_token: t}}",
            "sms.twilio.sender: is needed, since sms.provider is twilio",
        ),
        (
            "sms: {provider: aliyun, aliyun: {access_key_id: i, access_key_secret: s, sign_name: n}}",
            "sms.aliyun.template_code: is needed, since sms.provider is aliyun",
        ),
        ("chat: {agora: {app_id: x}}", "chat.agora.app_id: must be 32 hex digits"),
        ("chat: {sendbird: {api_token: x}}", "chat.sendbird.base_url, chat.sendbird.api_token: give both or none"),
        ("sms: {webhook: {url: 'http://sms.example'}}", "sms.webhook.url: must begin with https://, since secrets"),
        ("sms: {webhook: {url: 'http://192.168.0.2:9'}}", "sms.webhook.url: must begin with https://, since secrets"),
        ("sms: {webhook: {secret_file: /nowhere}}", "sms.webhook.secret_file: /nowhere cannot be read"),
        ("push: {default_provider: getui}", "push.getui: app_id, app_key, master_secret must be given too"),
        ("push: {getui: {app_id: x}}", "push.getui: app_key, master_secret must be given too"),
        ("retention: {orphan_seconds: 60}", "retention.orphan_seconds: must be at least 10300, twice the longest"),
        ("images: {ttl_seconds: 59}", "images.ttl_seconds: must be at least 60"),
        ("images: {ttl_seconds: 40000000}", "messages.retention_days: is shorter than images.ttl_seconds"),
        (
            "server: {behind_proxy: true}\ndelivery: {proxy_grace_seconds: 1}",
            "delivery.proxy_grace_seconds: is shorter than delivery.grace_seconds",
        ),
        ("activation: {test_numbers: {'138': '123456'}}", "activation.test_numbers.138: a number must be written like"),
        ("activation: {test_numbers: {'+8613800138000': 123456}}", "must be text; write it in quotes"),
        ("activation: {test_numbers: {'+8613800138000': '1'}}", "a code must be 4 to 10 digits in quotes"),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(text)
    assert problem in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {port: 1}\nserver: {port: 2}", "line 2: server stands here a second time"),
        ("server:\n  port: 1\n  port: 2", "line 3: port stands here a second time"),
        ("activation:\n  test_numbers:\n    +8613800138000: '123456'", "line 3: this key is not read as text"),
        ("server: {port: 1", "line 1: is no YAML"),
        ("[a, b]", "must hold keys with values"),
        ("just text", "must hold keys with values"),
    ],
)
def test_a_file_that_says_something_else_than_it_seems_is_refused(problems: Problems, text: str, problem: str) -> None:
    assert problem in problems(text)[0]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere/own\.yaml: cannot be read: No such file or directory"):
        load(Path("/nowhere/own.yaml"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"server: \xff")
    with pytest.raises(ConfigError, match="is no YAML"):
        load(tmp_path / "own.yaml")


def test_a_secret_given_twice_or_empty_is_refused(problems: Problems, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    assert problems(f"sms: {{webhook: {{secret: other, secret_file: {secret}}}}}") == [
        "sms.webhook.secret: is given here and by secret_file; keep one of them"
    ]
    secret.write_text("\n")
    assert "names is empty" in problems(f"sms: {{webhook: {{secret_file: {secret}}}}}")[0]


def test_a_certificate_without_its_key_is_refused(problems: Problems, tmp_path: Path) -> None:
    cert = own_certificate(tmp_path).settings["cert"]
    assert problems(f"server: {{tls: {{cert: {cert}}}}}") == ["server.tls.cert, server.tls.key: give both or none"]


def test_a_json_list_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_SERVER__TRUSTED_PROXIES", "[1")
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies \(GLIMPSE_\w+\): is no JSON"):
        load()


def test_a_wrong_argument_is_refused_like_a_wrong_key() -> None:
    with pytest.raises(ConfigError, match=r"server\.port: must be a whole number"):
        from_command_line(["--port", "http"])


def test_short_lifetimes_for_a_try_are_allowed(configured: Callable[[str], Config]) -> None:
    config = configured("images: {ttl_seconds: 60}\ndelivery: {grace_seconds: 0}\nretention: {interval_seconds: 1}")
    assert config.images.ttl_seconds == MIN_TTL_SECONDS


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/send", "http://[::1]:9", "http://localhost", "https://sms.example"]
)
def test_codes_may_go_in_clear_to_this_machine_alone(configured: Callable[[str], Config], url: str) -> None:
    assert configured(f"sms: {{webhook: {{url: '{url}'}}}}").sms.webhook.url == url
