# SPDX-License-Identifier: Apache-2.0
"""What speaks to vendors, made from the configuration: push providers, SMS gateways, hosted chat services."""

from pathlib import Path

from chat.agora import Agora, AgoraCredentials
from chat.base import ChatService
from chat.sendbird import Sendbird, SendbirdCredentials
from config.exposure import is_public
from config.load import Config
from config.sections import ApnsApp, FcmApp, GetuiApp, begun
from httpclient.endpoints import Endpoints
from httpclient.http1 import HttpClient
from models.clock import now_ms
from models.private_files import OUTBOX_LOG, VAPID_KEY
from push.base import Provider, VisibleText
from push.providers.apns_auth import ApnsCredentials
from push.providers.fcm_auth import FcmCredentials, read_service_account
from push.providers.getui_auth import GetuiCredentials
from push.providers.host_shares import PerOrigin, PerPerson, Shares
from push.providers.webpush_vapid import VapidKey, parse_key
from push.registry import Vendors, build
from push.sms.aliyun import AliyunCredentials, AliyunSms
from push.sms.base import SmsProvider
from push.sms.log import LogSms
from push.sms.twilio import TwilioCredentials, TwilioSms
from push.sms.webhook import WebhookSms
from push.vapid_file import open_vapid_key


def push_providers(config: Config, endpoints: Endpoints) -> dict[tuple[str, str], Provider]:
    """By name and app. `endpoints` judges the URLs that devices name. Makes the VAPID key where there is none."""
    return build(vendors(config), endpoints, host_shares(config), text=VisibleText(config.push.title, config.push.body))


def host_shares(config: Config) -> Shares:
    """A worker's part in the shares of a machine, at least 1 of each."""
    origin, person, workers = config.push.per_origin, config.push.per_person, config.server.workers

    def part(whole: int) -> int:
        return max(1, whole // workers)

    return Shares(
        PerOrigin(part(origin.at_once), part(origin.per_second), part(origin.new_at_once)),
        PerPerson(part(person.at_once), part(person.new_at_once)),
    )


def vendors(config: Config, *, may_make: bool = True, webpush: bool = True) -> Vendors:
    """What the configuration has keys for, without Web Push if so asked.

    Unless it `may_make` the VAPID key, there is no Web Push before the key is there. Raises OSError, VapidFileError.
    """
    push = config.push
    return Vendors(
        outbox_log=None if is_public(config) else outbox_log(config),
        getui={name: _getui(app) for name, app in begun(push.getui, push.getui.apps).items()},
        fcm={name: _fcm(app) for name, app in begun(push.fcm, push.fcm.apps).items()},
        apns={name: _apns(app) for name, app in begun(push.apns, push.apns.apps).items()},
        webpush=vapid_key(config) if webpush and push.webpush.enabled and (may_make or _has_key(config)) else None,
        webpush_subject=push.webpush.subject,
        ntfy=push.ntfy.enabled,
        webhook=push.webhook.secret.get_secret_value(),
    )


def lane_names(config: Config) -> set[tuple[str, str]]:
    """Name and app of every push provider that there is; nothing is made."""
    push = config.push
    found = {(vendor, app) for vendor, apps in push.apps.items() for app in apps}
    plain = {"log": not is_public(config), "webpush": push.webpush.enabled, "ntfy": push.ntfy.enabled}
    return found | {(name, "") for name, is_there in plain.items() if is_there}


def vapid_key(config: Config) -> VapidKey:
    """The key pair that browsers subscribe with: the configured one, or the one of the data directory."""
    configured = config.push.webpush.private_key.get_secret_value()
    return parse_key(configured) if configured else open_vapid_key(config.data_dir / VAPID_KEY)


def _has_key(config: Config) -> bool:
    return bool(config.push.webpush.private_key.get_secret_value()) or (config.data_dir / VAPID_KEY).exists()


def outbox_log(config: Config) -> Path:
    """Where the `log` providers of push and SMS write."""
    return config.data_dir / OUTBOX_LOG


def sms_provider(config: Config) -> SmsProvider:
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


def _getui(app: GetuiApp) -> GetuiCredentials:
    secret = app.master_secret.get_secret_value()
    return GetuiCredentials(app.base_url, app.app_id, app.app_key, secret, vendor_options=app.vendor_options)


def _fcm(app: FcmApp) -> FcmCredentials:
    text = app.service_account.get_secret_value()
    return read_service_account(text, base_url=app.base_url, token_url=app.token_url)


def _apns(app: ApnsApp) -> ApnsCredentials:
    return ApnsCredentials(
        team_id=app.team_id,
        key_id=app.key_id,
        private_key=app.private_key.get_secret_value(),
        topic=app.topic,
        sandbox=app.sandbox,
        base_url=app.base_url,
        ca_file=Path(app.ca_file) if app.ca_file else None,
        background=app.background,
    )
