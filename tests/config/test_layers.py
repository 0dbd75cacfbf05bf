# SPDX-License-Identifier: Apache-2.0
"""Which layer wins, and what each may hold."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import Config, ConfigError, from_command_line, load
from tests.support.own_config import Write

Configured = Callable[[str], Config]
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0" * 4


def test_the_shipped_file_alone_is_a_configuration_that_runs_on_loopback() -> None:
    config = load()
    assert (config.server.host, config.server.port, config.activation.required) == ("127.0.0.1", 8080, False)


def test_each_layer_wins_over_the_one_below_and_keeps_what_it_does_not_name(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("server: {host: 127.0.0.2, port: 1001, drain_seconds: 3, idle_timeout_seconds: 4}\n")
    monkeypatch.setenv("GLIMPSE_SERVER__PORT", "1002")
    monkeypatch.setenv("GLIMPSE_SERVER__IDLE_TIMEOUT_SECONDS", "5")
    config = from_command_line(["--config", str(file), "--port", "0", "--data-dir", "elsewhere"])
    server = config.server
    assert (server.host, server.port, server.drain_seconds, server.idle_timeout_seconds) == ("127.0.0.2", 0, 3, 5)
    assert server.body_timeout_seconds == 30
    assert config.database_path == Path("elsewhere/glimpse.db")
    assert from_command_line(["--host", "::1"]).server.host == "::1"


def test_an_absolute_data_dir_makes_an_absolute_database_path() -> None:
    assert load(data_dir=Path("/srv/glimpse")).database_path == Path("/srv/glimpse/glimpse.db")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_changes_nothing(configured: Configured, text: str) -> None:
    assert configured(text) == load()


@pytest.mark.parametrize("text", ["10.0.0.1, 10.1.0.0/16", '["10.0.0.1", "10.1.0.0/16"]'])
def test_a_list_in_the_environment_is_json_or_has_commas(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GLIMPSE_SERVER__TRUSTED_PROXIES", text)
    assert load().server.trusted_proxies == ("10.0.0.1", "10.1.0.0/16")


def test_a_mapping_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_ACTIVATION__TEST_NUMBERS", '{"+8613800138000": "012345"}')
    assert load().activation.test_numbers["+8613800138000"].get_secret_value() == "012345"


def test_a_rate_can_be_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load().limits.rates.per_account
    monkeypatch.setenv("GLIMPSE_LIMITS__RATES__PER_ACCOUNT__SEND", "5/10 minutes")
    assert load().limits.rates.per_account == shipped | {"send": "5/10 minutes"}


def test_rates_given_as_one_mapping_leave_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load().limits.rates
    for scope, rates in shipped.model_dump().items():
        for name in rates:
            monkeypatch.setenv(f"GLIMPSE_LIMITS__RATES__{scope.upper()}", json.dumps({name: "7/day"}))
            assert getattr(load().limits.rates, scope) == rates | {name: "7/day"}


def test_a_section_can_be_given_as_one_mapping(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_SERVER", '{"port": 1002, "tls": {}}')
    monkeypatch.setenv("GLIMPSE_SERVER__HOST", "::1")
    server = load(write("server: {port: 1001, workers: 1, drain_seconds: 3}")).server
    assert (server.host, server.port, server.drain_seconds, server.tls.cert) == ("::1", 1002, 3, "")


def test_a_named_app_has_what_its_vendors_section_ships_with(configured: Configured) -> None:
    app = "{app_id: i, app_key: k, master_secret: m}"
    getui = configured(f"push: {{getui: {{base_url: 'http://127.0.0.1:9', apps: {{second: {app}}}}}}}").push.getui
    assert getui.apps["second"].base_url == load().push.getui.base_url
    assert (getui.apps["second"].app_id, getui.app_id) == ("i", "")


def test_a_named_app_can_be_given_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    account = '{"not":"a-setting"}'
    monkeypatch.setenv("GLIMPSE_PUSH__APNS__APPS__BETA__TOPIC", "org.example.beta")
    monkeypatch.setenv("GLIMPSE_PUSH__GETUI__APPS", '{"Second": {"app_id": "i", "app_key": "k"}}')
    monkeypatch.setenv("GLIMPSE_PUSH__GETUI__APPS__SECOND__MASTER_SECRET", account)
    with pytest.raises(ConfigError) as caught:
        load()
    assert caught.value.problems == [
        "push.getui.apps.Second: master_secret must be given too",
        "push.getui.apps.second: app_id, app_key must be given too",
        "push.apns.apps.beta: team_id, key_id, private_key must be given too",
    ]


def test_fault_injection_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_FAULT", "after_link")
    assert load().server.port == 8080


def test_a_secret_comes_from_its_file_without_the_line_end(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{WEBHOOK_SECRET}\n")
    config = configured(f"sms: {{webhook: {{secret_file: {tmp_path}/secret}}}}")
    assert config.sms.webhook.secret.get_secret_value() == WEBHOOK_SECRET


def test_no_secret_is_in_what_the_configuration_prints_of_itself(configured: Configured) -> None:
    config = configured(
        "push: {getui: {app_id: i, app_key: k, master_secret: canary-one}}\n"
        "sms: {twilio: {auth_token: canary-two}}\n"
        'activation: {test_numbers: {"+8613800138000": "424242"}}\n'
    )
    printed = repr(config) + str(config) + str(config.model_dump(mode="json"))
    assert "canary" not in printed
    assert "424242" not in printed


def test_an_address_is_taken_without_its_last_slash(configured: Configured) -> None:
    assert configured("push: {getui: {base_url: 'http://127.0.0.1:9/v2/'}}").push.getui.base_url.endswith("/v2")
