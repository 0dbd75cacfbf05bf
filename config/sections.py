# SPDX-License-Identifier: Apache-2.0
"""The sections of config.yaml but for `push`. What each key means stands in config.yaml and nowhere else."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from config.types import (
    AccountRates,
    AddressRates,
    Amount,
    DatabaseUrl,
    DeviceRates,
    HexDigits,
    HttpUrl,
    Lifetime,
    PageOrigins,
    PasswordBytes,
    PhoneRates,
    Port,
    Positive,
    Proxies,
    PublicUrl,
    Rate,
    ReadableFile,
    Regions,
    Secret,
    SecretHexDigits,
    SecretUrl,
    TestNumbers,
    Text,
    TwilioAccount,
    TwilioKey,
    Workers,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Section):
    cert: ReadableFile = ""
    key: ReadableFile = ""


class Server(_Section):
    host: Text = "127.0.0.1"
    port: Port = 8080
    workers: Workers = 1
    tls: Tls = Tls()
    behind_proxy: bool = False
    trusted_proxies: Proxies = ()
    development_lan: bool = False
    drain_seconds: Amount = 25
    idle_timeout_seconds: Positive = 20
    body_timeout_seconds: Positive = 30
    max_connections: Positive = 1024
    public_url: PublicUrl = ""
    cors_origins: PageOrigins = ()


class Database(_Section):
    url: DatabaseUrl = Field(default="sqlite:///{data_dir}/glimpse.db", repr=False)
    password_file: ReadableFile = ""
    password: Secret = SecretStr("")


class ActivationBudgets(_Section):
    per_number: Rate = "5/day"
    per_prefix: Rate = "20/hour"
    per_address_block: Rate = "60/hour"
    per_country: Rate = "1000/day"
    total: Rate = "2000/day"


class Activation(_Section):
    required: bool = False
    test_numbers: TestNumbers = {}
    recycled_after_days: Positive = 90
    budgets: ActivationBudgets = ActivationBudgets()


class SmsWebhook(_Section):
    url: SecretUrl = ""
    secret_file: ReadableFile = ""
    secret: Secret = SecretStr("")


class Twilio(_Section):
    base_url: SecretUrl = "https://api.twilio.com"
    account_sid: TwilioAccount = ""
    api_key_sid: TwilioKey = ""
    auth_token_file: ReadableFile = ""
    auth_token: Secret = SecretStr("")
    sender: str = ""


class Aliyun(_Section):
    base_url: SecretUrl = "https://dysmsapi.aliyuncs.com"
    access_key_id: str = ""
    access_key_secret_file: ReadableFile = ""
    access_key_secret: Secret = SecretStr("")
    sign_name: str = ""
    template_code: str = ""


class Sms(_Section):
    provider: Literal["log", "webhook", "twilio", "aliyun"] = "log"
    regions: Regions = ()
    webhook: SmsWebhook = SmsWebhook()
    twilio: Twilio = Twilio()
    aliyun: Aliyun = Aliyun()


class Images(_Section):
    max_bytes: Positive = 20_971_520
    max_pixels: Positive = 100_000_000
    ttl_seconds: Lifetime = 2_592_000
    allow_opaque: bool = False


class Uploads(_Section):
    min_bytes_per_second: Positive = 4096
    unknown_caller_max_bytes: Positive = 268_435_456
    buffer_bytes: Positive = 33_554_432


class Delivery(_Section):
    grace_seconds: Amount = 60
    proxy_grace_seconds: Amount = 600
    stall_seconds: Positive = 60


class Storage(_Section):
    directory: Text = "{data_dir}/images"
    min_free_bytes: Amount = 1_073_741_824
    max_bytes: Amount = 0


class Inbox(_Section):
    max_pending: Positive = 200
    max_pending_bytes: Positive = 524_288_000


class Messaging(_Section):
    who: Literal["anyone", "friends"] = "anyone"


class Discovery(_Section):
    per_day: Positive = 2000


class Messages(_Section):
    retention_days: Positive = 365


class Events(_Section):
    retention_days: Positive = 7
    max_readers: Positive = 20_000


class Retention(_Section):
    interval_seconds: Positive = 5
    orphan_seconds: Positive = 21_600


class Rates(_Section):
    per_address: AddressRates = {
        "default": "12000/minute",
        "register": "600/hour",
        "code": "600/hour",
        "login": "600/minute",
        "login_failure": "3000/hour",
    }
    per_account: AccountRates = {
        "default": "6000/minute",
        "send": "1000/day",
        "login_failure": "300/hour",
        "password": "60/hour",
        "chat_token": "120/hour",
        "message": "600/minute",
        "device": "300/hour",
        "test_push": "20/hour",
        "befriend": "500/day",
        "group": "500/day",
        "report": "100/day",
        "export": "10/hour",
    }
    per_phone: PhoneRates = {"register": "30/hour", "test_number": "30/hour"}
    per_device: DeviceRates = {"test_push": "10/hour"}

    @field_validator("*")
    @classmethod
    def _lay_over_defaults(cls, given: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        """A scope given as one JSON value in the environment names some classes; the others keep their rates."""
        assert info.field_name
        return {**cls.model_fields[info.field_name].default, **given}


class Limits(_Section):
    enabled: bool = True
    rates: Rates = Rates()


class AgoraChat(_Section):
    base_url: HttpUrl = "https://a61.chat.agora.io"
    app_id: HexDigits = ""
    app_certificate_file: ReadableFile = ""
    app_certificate: SecretHexDigits = SecretStr("")
    org_name: str = ""
    app_name: str = ""


class SendbirdChat(_Section):
    base_url: HttpUrl = ""
    api_token_file: ReadableFile = ""
    api_token: Secret = SecretStr("")


class Chat(_Section):
    agora: AgoraChat = AgoraChat()
    sendbird: SendbirdChat = SendbirdChat()


class Samples(_Section):
    enabled: bool | None = None
    room_socket_port: Port = 2004
    min_password_bytes: PasswordBytes = 3
    agora_open_token: bool | None = None


class Metrics(_Section):
    host: Text = "127.0.0.1"
    port: Port = 0


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
