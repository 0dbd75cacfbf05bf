# SPDX-License-Identifier: Apache-2.0
"""SMS gateways and hosted chat services, made from the configuration."""

from app.providers import outbox_log
from chat.agora import Agora, AgoraCredentials
from chat.base import ChatService
from chat.sendbird import Sendbird, SendbirdCredentials
from config.load import Config
from httpclient.http1 import HttpClient
from models.clock import now_ms
from push.sms.aliyun import AliyunCredentials, AliyunSms
from push.sms.base import SmsProvider
from push.sms.log import LogSms
from push.sms.twilio import TwilioCredentials, TwilioSms
from push.sms.webhook import WebhookSms


def sms_provider(config: Config) -> SmsProvider:
    if config.sms.provider == "log":
        return LogSms(outbox_log(config))
    if config.sms.provider == "twilio":
        twilio = config.sms.twilio
        token = twilio.auth_token.get_secret_value()
        return TwilioSms(TwilioCredentials(twilio.base_url, twilio.account_sid, token, twilio.sender), HttpClient())
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
