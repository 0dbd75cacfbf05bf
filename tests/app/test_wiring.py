# SPDX-License-Identifier: Apache-2.0
"""From the configuration to the providers: every vendor, several apps of one, and what is wrong in plain words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.providers import lane_names, push_providers
from config.exposure import guard
from config.load import Config, ConfigError, load
from emulators.apns_rules import Keys as ApnsKeys
from emulators.fcm_rules import Keys as FcmKeys
from emulators.keys import pem
from emulators.webhook import SECRET
from httpclient.endpoints import Endpoints
from tests.support.certificates import own_certificate

pytestmark = pytest.mark.anyio
Load = Callable[[dict[str, Any]], Config]
GETUI = {"app_id": "i", "app_key": "k", "master_secret": "m"}
APNS = {"team_id": "TEAM000001", "key_id": "KEY0000001", "topic": "com.example.app"}


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    def of(push: dict[str, Any]) -> Config:
        file = tmp_path / "own.yaml"
        file.write_text(json.dumps({"data_dir": str(tmp_path), "push": push}))
        return load(file)

    return of


async def test_every_vendor_and_each_app_of_it_is_a_provider(loaded: Load, tmp_path: Path) -> None:
    (tmp_path / "fcm.json").write_text(FcmKeys().service_account("https://oauth2.example/token"))
    (tmp_path / "apns.p8").write_text(pem(ApnsKeys().private_key))
    fcm = {"service_account_file": str(tmp_path / "fcm.json")}
    apns = {**APNS, "private_key_file": str(tmp_path / "apns.p8")}
    config = loaded(
        {
            "default_provider": "fcm",
            "getui": {"apps": {"chat": {**GETUI, "vendor_options": {"XM": {"/extra.channel_id": "1"}}}}},
            "fcm": {**fcm, "apps": {"staff": fcm}},
            "apns": {**apns, "apps": {"sandbox": {**apns, "sandbox": True}}},
            "webhook": {"secret": SECRET},
        }
    )
    providers = push_providers(config, Endpoints())
    wanted = {("getui", "chat"), ("fcm", ""), ("fcm", "staff"), ("apns", ""), ("apns", "sandbox")}
    wanted |= {(name, "") for name in ("log", "webpush", "ntfy", "webhook")}
    assert providers.keys() == lane_names(config) == wanted
    assert all(provider.name == name for (name, _), provider in providers.items())
    for provider in providers.values():
        await provider.close()


async def test_what_is_switched_off_is_no_provider_and_makes_no_key(loaded: Load, tmp_path: Path) -> None:
    config = loaded({"webpush": {"enabled": False}, "ntfy": {"enabled": False}})
    assert push_providers(config, Endpoints()).keys() == lane_names(config) == {("log", "")}
    assert not (tmp_path / "vapid.pem").exists()


@pytest.mark.parametrize(
    ("push", "problem"),
    [
        ({"getui": {"apps": {"x": {"app_id": "i"}}}}, "push.getui.apps.x: app_key, master_secret must be given too"),
        ({"getui": {"apps": {"x": {}}}}, "push.getui.apps.x: app_id, app_key, master_secret must be given too"),
        ({"getui": {"apps": {"no name": GETUI}}}, "push.getui.apps.no name: an app's name is 1 to 64 letters"),
        ({"getui": {"apps": {"x": {**GETUI, "secret": "s"}}}}, "push.getui.apps.x.secret: there is no such key"),
        ({"default_provider": "getui", "getui": {"apps": {"x": GETUI}}}, "push.getui: app_id, app_key, master_secret"),
        ({"default_provider": "fcm"}, "push.fcm: service_account must be given too"),
        ({"default_provider": "apns"}, "push.apns: team_id, key_id, topic, private_key must be given too"),
        ({"default_provider": "webhook"}, "push.webhook: secret must be given too"),
        ({"default_provider": "ntfy", "ntfy": {"enabled": False}}, "push.ntfy.enabled: must be true, since"),
        ({"default_provider": "pigeon"}, "push.default_provider: must be 'log', 'getui', 'fcm'"),
        ({"apns": {"private_key": "no key"}}, "push.apns.private_key: the private key is no P-256 key in PEM"),
        ({"fcm": {"service_account": "{}"}}, "push.fcm.service_account: the service account has no project_id"),
        ({"fcm": {"service_account_file": "/nowhere"}}, "push.fcm.service_account_file: /nowhere cannot be read"),
        ({"fcm": {"base_url": "http://fcm.example"}}, "push.fcm.base_url: must begin with https://"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(loaded: Load, push: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(push)
    [found] = caught.value.problems
    assert found.startswith(problem)


def test_an_apps_secrets_are_guarded_as_the_plain_ones_and_certificates_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("m")
    certificate = own_certificate(tmp_path).settings["cert"]
    app = {"app_id": "i", "app_key": "k", "master_secret_file": str(tmp_path / "secret")}
    push = {"getui": {"apps": {"x": app}}, "apns": {"ca_file": certificate}}
    (tmp_path / "own.yaml").write_text(json.dumps({"data_dir": str(tmp_path), "push": push}))
    for file in (tmp_path / "secret", Path(certificate)):
        file.chmod(0o644)
    refusals = guard(load(tmp_path / "own.yaml", host="192.0.2.1"))
    assert [refusal for refusal in refusals if "chmod" in refusal] == [
        f"{tmp_path}/secret is open to other users of this machine: chmod 600 {tmp_path}/secret"
    ]


def test_apps_can_be_given_by_the_environment(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_PUSH__GETUI__APPS", json.dumps({"chat": GETUI}))
    assert ("getui", "chat") in lane_names(loaded({}))
