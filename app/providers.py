# SPDX-License-Identifier: Apache-2.0
"""What speaks to vendors, made from the configuration: push providers, SMS gateways, hosted chat services."""

import os
import secrets
from pathlib import Path
from typing import Any

from chat.agora import Agora, AgoraCredentials
from chat.base import ChatService
from chat.sendbird import Sendbird, SendbirdCredentials
from config.exposure import is_public
from config.load import Config
from httpclient.endpoints import Endpoints
from httpclient.http1 import HttpClient
from models.clock import now_ms
from models.private_files import ADMIN_KEY, OUTBOX_LOG, VAPID_KEY, write_once
from push.base import Provider, VisibleText
from push.host_shares import PerOrigin, PerPerson, Shares
from push.providers.webpush_vapid import VapidKey, parse_key
from push.registry import build
from push.sms.aliyun import AliyunCredentials, AliyunSms
from push.sms.base import SmsProvider
from push.sms.log import LogSms
from push.sms.twilio import TwilioCredentials, TwilioSms
from push.sms.webhook import WebhookSms
from push.vapid_file import open_vapid_key
from push.vendor import Tools

WEBPUSH = ("webpush", "")


def push_providers(config: Config, endpoints: Endpoints) -> dict[tuple[str, str], Provider]:
    """By name and app. `endpoints` judges the URLs that devices name. Makes the VAPID key where there is none."""
    return build(push_settings(config), push_tools(config, endpoints))


def push_tools(config: Config, endpoints: Endpoints) -> Tools:
    """What push providers are built with. `endpoints` judges the URLs that devices name."""
    return Tools(endpoints, host_shares(config), VisibleText(config.push.title, config.push.body))


def host_shares(config: Config) -> Shares:
    """A worker's part in the shares of a machine, at least 1 of each."""
    origin, person, workers = config.push.per_origin, config.push.per_person, config.server.workers

    def part(whole: int) -> int:
        return max(1, whole // workers)

    return Shares(
        PerOrigin(part(origin.at_once), part(origin.per_second), part(origin.new_at_once)),
        PerPerson(part(person.at_once), part(person.new_at_once)),
    )


def push_settings(
    config: Config, *, may_make: bool = True, webpush: bool = True
) -> dict[tuple[str, str], dict[str, Any]]:
    """What the push providers of this configuration are built from, by name and app; without Web Push if so asked.

    Unless it `may_make` the VAPID key, there is no Web Push before the key is there. Raises OSError, VapidFileError.
    """
    found = {lane: section.plain for lane, section in config.push.configured.items()}
    if not is_public(config):
        found["log", ""] = {"path": outbox_log(config)}
    if WEBPUSH in found:
        if webpush and (may_make or _has_key(config)):
            found[WEBPUSH]["private_key"] = vapid_key(config).pem
        else:
            del found[WEBPUSH]
    return found


def lane_names(config: Config) -> set[tuple[str, str]]:
    """Name and app of every push provider that there is; nothing is made."""
    return config.push.configured.keys() | (set() if is_public(config) else {("log", "")})


def vapid_key(config: Config) -> VapidKey:
    """The key pair that browsers subscribe with: the configured one, or the one of the data directory."""
    configured = config.push.webpush.private_key.get_secret_value()
    return parse_key(configured) if configured else open_vapid_key(config.data_dir / VAPID_KEY)


def _has_key(config: Config) -> bool:
    return bool(config.push.webpush.private_key.get_secret_value()) or os.path.lexists(config.data_dir / VAPID_KEY)


def admin_token(config: Config) -> str:
    """What opens the operator's page, made where there is none. Raises OSError."""
    path = config.data_dir / ADMIN_KEY
    if not path.exists():
        write_once(path, f"{secrets.token_urlsafe(32)}\n")
    return path.read_text("ascii").strip()


def outbox_log(config: Config) -> Path:
    """Where the `log` providers of push and SMS write."""
    return config.data_dir / OUTBOX_LOG


def sms_provider(config: Config) -> SmsProvider:
    """What sends codes by SMS: `sms.provider`."""
    if config.sms.provider == "log":
        return LogSms(outbox_log(config))
    if config.sms.provider == "twilio":
        twilio = config.sms.twilio
        token = twilio.auth_token.get_secret_value()
        credentials = TwilioCredentials(
            twilio.base_url, twilio.account_sid, token, twilio.sender, api_key_sid=twilio.api_key_sid
        )
        return TwilioSms(credentials, HttpClient())
    if config.sms.provider == "aliyun":
        aliyun = config.sms.aliyun
        secret = aliyun.access_key_secret.get_secret_value()
        return AliyunSms(
            AliyunCredentials(aliyun.base_url, aliyun.access_key_id, secret, aliyun.sign_name, aliyun.template_code),
            HttpClient(),
        )
    webhook = config.sms.webhook
    return WebhookSms(webhook.url, webhook.secret.get_secret_value(), HttpClient())


def chat_services(config: Config) -> dict[str, ChatService]:
    """The hosted chat services that there are credentials for, by name."""
    agora, sendbird = config.chat.agora, config.chat.sendbird
    found: list[ChatService] = []
    if agora.app_id:
        certificate = agora.app_certificate.get_secret_value()
        credentials = AgoraCredentials(agora.base_url, agora.app_id, certificate, agora.org_name, agora.app_name)
        found.append(Agora(credentials, HttpClient(), clock=now_ms))
    if sendbird.base_url:
        token = sendbird.api_token.get_secret_value()
        found.append(Sendbird(SendbirdCredentials(sendbird.base_url, token), HttpClient(), clock=now_ms))
    return {service.name: service for service in found}
