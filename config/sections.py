# SPDX-License-Identifier: Apache-2.0
"""The typed form of config.yaml: one class a section, one field a key, in its order.

What each key means, and its default, stands in config.yaml and nowhere else.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.addresses import holds_password
from config.sources import Values, flat, keys_of
from config.types import (
    AccountRates,
    AddressRates,
    ApnsPrivateKey,
    Apps,
    BaseUrl,
    BucketName,
    BufferBytes,
    CertificateFile,
    Count,
    DatabaseUrl,
    Days,
    DeviceRates,
    Directory,
    HexDigits,
    Host,
    Hours,
    KeyPrefix,
    Lifetime,
    LongSeconds,
    Origins,
    PageOrigins,
    PasswordBytes,
    PathText,
    Percent,
    PhoneRates,
    Port,
    PrivateKeyFile,
    Proxies,
    PublicUrl,
    PushProvider,
    Rate,
    ReadableFile,
    Regions,
    Seconds,
    SecondsOrNone,
    Secret,
    SecretBaseUrl,
    SecretHexDigits,
    SecretUrl,
    SecretWord,
    ServiceAccount,
    Size,
    SizeOrNone,
    TestNumbers,
    Text,
    TwilioAccount,
    TwilioKey,
    VapidPrivateKey,
    VapidSubject,
    VendorOptions,
    WakeUrl,
    WebhookSecret,
    Word,
    Workers,
)
from models.db.engine import Location, parse_url
from models.db.mysql.connection import MysqlLocation
from storage.bucket_settings import BucketSettings
from storage.places import ImagePlace

LEAST_ORPHAN_SECONDS = 6 * 3600
"""Where nothing is written, a file has this long to get its record, however short uploads are: clocks differ."""
URLS = ("database.url", "wake.url")
"""Which may hold a password, and without one are no secret."""


class Section(BaseModel):
    """`NEEDED` are the keys without which a vendor's section cannot be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    NEEDED: ClassVar[tuple[str, ...]] = ()

    @property
    def is_begun(self) -> bool:
        """Whether any of the needed keys is given."""
        return len(self.missing) < len(self.NEEDED)

    @property
    def missing(self) -> list[str]:
        """The needed keys that are not given."""
        return [key for key in self.NEEDED if not getattr(self, key)]

    @property
    def sections(self) -> dict[str, "Section"]:
        """The sections within this one, by key."""
        return {key: value for key, value in self if isinstance(value, Section)}

    @property
    def plain(self) -> dict[str, Any]:
        """Its values by key, a secret as text; without `apps`, and without the `…_file` of a secret."""
        return {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value
            for key, value in self
            if key != "apps" and not (key.endswith("_file") and hasattr(self, key.removesuffix("_file")))
        }


class Switch(Section):
    """A section that has effect where it is `enabled`."""

    enabled: bool

    @property
    def is_begun(self) -> bool:
        return self.enabled


class Tls(Section):
    cert: CertificateFile
    key: PrivateKeyFile


class Server(Section):
    host: Host
    port: Port
    workers: Workers
    tls: Tls
    behind_proxy: bool
    trusted_proxies: Proxies
    development_lan: bool
    drain_seconds: SecondsOrNone
    idle_timeout_seconds: Seconds
    body_timeout_seconds: Seconds
    max_connections: Count
    max_unsent_bytes: BufferBytes
    public_url: PublicUrl
    cors_origins: PageOrigins


class Database(Section):
    url: Annotated[DatabaseUrl, Field(repr=False)]
    password_file: ReadableFile
    password: Secret


class ActivationBudgets(Section):
    per_number: Rate
    per_prefix: Rate
    per_address_block: Rate
    per_country: Rate
    total: Rate


class Activation(Section):
    required: bool
    test_numbers: TestNumbers
    recycled_after_days: Days
    budgets: ActivationBudgets


class SmsWebhook(Section):
    NEEDED = ("url", "secret")

    url: SecretUrl
    secret_file: ReadableFile
    secret: WebhookSecret


class Twilio(Section):
    NEEDED = ("account_sid", "auth_token", "sender")

    base_url: SecretBaseUrl
    account_sid: TwilioAccount
    api_key_sid: TwilioKey
    auth_token_file: ReadableFile
    auth_token: SecretWord
    sender: str


class Aliyun(Section):
    NEEDED = ("access_key_id", "access_key_secret", "sign_name", "template_code")

    base_url: SecretBaseUrl
    access_key_id: Word
    access_key_secret_file: ReadableFile
    access_key_secret: SecretWord
    sign_name: str
    template_code: Word


class Sms(Section):
    provider: Literal["log", "webhook", "twilio", "aliyun"]
    regions: Regions
    webhook: SmsWebhook
    twilio: Twilio
    aliyun: Aliyun


class GetuiApp(Section):
    NEEDED = ("app_id", "app_key", "master_secret")

    base_url: BaseUrl
    app_id: Word
    app_key: Word
    master_secret_file: ReadableFile
    master_secret: SecretWord
    vendor_options: VendorOptions


class Getui(GetuiApp):
    apps: Apps[GetuiApp]


class FcmApp(Section):
    NEEDED = ("service_account",)

    base_url: SecretBaseUrl
    token_url: SecretUrl
    service_account_file: ReadableFile
    service_account: ServiceAccount


class Fcm(FcmApp):
    apps: Apps[FcmApp]


class ApnsApp(Section):
    NEEDED = ("team_id", "key_id", "topic", "private_key")

    base_url: SecretBaseUrl
    ca_file: CertificateFile
    team_id: Word
    key_id: Word
    private_key_file: ReadableFile
    private_key: ApnsPrivateKey
    topic: Word
    sandbox: bool
    background: bool


class Apns(ApnsApp):
    apps: Apps[ApnsApp]


class Webpush(Switch):
    subject: VapidSubject
    private_key_file: ReadableFile
    private_key: VapidPrivateKey


class Ntfy(Switch):
    pass


class Webhook(Section):
    NEEDED = ("secret",)

    secret_file: ReadableFile
    secret: WebhookSecret


class PushPerOrigin(Section):
    at_once: Count
    per_second: Count
    new_at_once: Count


class PushPerPerson(Section):
    at_once: Count
    new_at_once: Count


class Push(Section):
    default_provider: PushProvider
    give_up_hours: Hours
    title: Text
    body: Text
    picture: Literal["none", "placeholder", "preview"] | None
    allow_endpoints: Origins
    per_origin: PushPerOrigin
    per_person: PushPerPerson
    getui: Getui
    fcm: Fcm
    apns: Apns
    webpush: Webpush
    ntfy: Ntfy
    webhook: Webhook

    @property
    def configured(self) -> dict[tuple[str, str], Section]:
        """What there are keys for, or is enabled, by vendor and app; the app of the vendor's own keys is ""."""
        return {
            (name, app): keys
            for name, vendor in self.sections.items()
            for app, keys in {"": vendor, **getattr(vendor, "apps", {})}.items()
            if keys.is_begun
        }


class Images(Section):
    max_bytes: Size
    max_pixels: Size
    ttl_seconds: Lifetime
    allow_opaque: bool
    metadata: Literal["location", "all", "keep"]
    previews: Literal["sender", "make", "off"]


class Uploads(Section):
    min_bytes_per_second: Size
    unknown_caller_max_bytes: Size
    buffer_bytes: BufferBytes
    expire_hours: Hours
    interim_responses: bool


class Delivery(Section):
    grace_seconds: SecondsOrNone
    proxy_grace_seconds: SecondsOrNone
    stall_seconds: Seconds
    offload: Literal["none", "presigned", "x-accel"]


class Wake(Section):
    url_file: ReadableFile
    url: WakeUrl


class S3(Section):
    NEEDED = ("bucket",)

    endpoint: SecretBaseUrl
    bucket: BucketName
    region: Word
    access_key_id: Word
    secret_access_key_file: ReadableFile
    secret_access_key: SecretWord
    prefix: KeyPrefix
    path_style: bool


class Storage(Section):
    kind: Literal["disk", "s3"]
    directory: PathText
    min_free_bytes: SizeOrNone
    max_bytes: SizeOrNone
    s3: S3


class Inbox(Section):
    max_pending: Count
    max_pending_bytes: Size
    per_friend_percent: Percent
    per_stranger_percent: Percent
    strangers_percent: Percent


class Messaging(Section):
    friends_only: bool


class Discovery(Section):
    per_day: Count
    per_network_per_day: Count
    total_per_day: Count


class Messages(Section):
    retention_days: Days


class Events(Section):
    retention_days: Days
    max_readers: Count


class Retention(Section):
    interval_seconds: Seconds
    orphan_seconds: LongSeconds | None


class Rates(Section):
    per_address: AddressRates
    per_account: AccountRates
    per_phone: PhoneRates
    per_device: DeviceRates


class Limits(Section):
    enabled: bool
    rates: Rates


class AgoraChat(Section):
    base_url: BaseUrl
    app_id: HexDigits
    app_certificate_file: ReadableFile
    app_certificate: SecretHexDigits
    org_name: Word
    app_name: Word


class SendbirdChat(Section):
    base_url: BaseUrl
    api_token_file: ReadableFile
    api_token: SecretWord


class Chat(Section):
    agora: AgoraChat
    sendbird: SendbirdChat


class Samples(Section):
    enabled: bool | None
    room_socket_port: Port
    min_password_bytes: PasswordBytes
    agora_open_token: bool | None


class Metrics(Section):
    host: Host
    port: Port


class Admin(Section):
    port: Port
    audit_days: Days


class Web(Section):
    enabled: bool


class Log(Section):
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["auto", "json", "console"]


Of = TypeVar("Of")


class Config(Section):
    """Every setting of a server. Secrets are SecretStr; sizes are in bytes, times in the unit that the name ends in."""

    server: Server
    data_dir: Directory
    database: Database
    activation: Activation
    sms: Sms
    push: Push
    images: Images
    uploads: Uploads
    delivery: Delivery
    wake: Wake
    storage: Storage
    inbox: Inbox
    messaging: Messaging
    discovery: Discovery
    messages: Messages
    events: Events
    retention: Retention
    limits: Limits
    chat: Chat
    web: Web
    samples: Samples
    metrics: Metrics
    admin: Admin
    log: Log

    _files_with_secrets: tuple[Path, ...] = ()

    @property
    def files_with_secrets(self) -> tuple[Path, ...]:
        """The files of the configuration that hold a secret itself, and not the name of its file."""
        return self._files_with_secrets

    def came_from(self, files: Mapping[Path, Values]) -> None:
        """Note these files, of which each says what it is mapped to."""
        named = [key.removesuffix("_file") for key in keys_of(self.model_dump()) if key.endswith("_file")]
        secrets = [key for key in named if key not in URLS]
        self._files_with_secrets = tuple(
            file
            for file, said in files.items()
            if any(flat(said).get(key) for key in secrets) or any(holds_password(flat(said).get(key)) for key in URLS)
        )

    def fill(self, kind: type[Of], *names: str, **more: Any) -> Of:
        """A dataclass of settings, which a part below is handed: each field is the key of its name in one of the
        sections `names`, or has the section's name in front (`images_max_bytes`), unless `more` gives its value.

        Raises TypeError for a field that none of them has, or several have.
        """
        sections = {name: self.sections[name].plain for name in names}
        times = Counter(key for values in sections.values() for key in values)
        known = {f"{name}_{key}": value for name, values in sections.items() for key, value in values.items()}
        known |= {key: value for values in sections.values() for key, value in values.items() if times[key] == 1}
        given = {field.name: known[field.name] for field in fields(kind) if field.name in known}  # type: ignore[arg-type]
        return kind(**given | more)

    @property
    def longest_upload_seconds(self) -> int:
        """How long the largest image may take at the slowest pace that is not cut."""
        return self.images.max_bytes // self.uploads.min_bytes_per_second + self.server.body_timeout_seconds

    @property
    def orphan_seconds(self) -> int:
        """How long a file without a record stays: what is written, or twice the longest upload."""
        return self.retention.orphan_seconds or max(LEAST_ORPHAN_SECONDS, 2 * self.longest_upload_seconds)

    @property
    def database_location(self) -> Location:
        """Where the database is, its password put in."""
        location = parse_url(self.database.url.replace("{data_dir}", str(self.data_dir)))
        password = self.database.password.get_secret_value()
        return replace(location, password=password) if isinstance(location, MysqlLocation) and password else location

    @property
    def database_path(self) -> Path | None:
        """The file that the database is, None on a server."""
        location = self.database_location
        return location if isinstance(location, Path) else None

    @property
    def wake_channel(self) -> str:
        """What the machines that share this database speak on, by `wake.url`."""
        location = self.database_location
        return f"glimpse:{location.name}" if isinstance(location, MysqlLocation) else ""

    @property
    def image_place(self) -> ImagePlace:
        """Where the images are."""
        return self.place_of(self.storage.kind)

    def place_of(self, kind: Literal["disk", "s3"]) -> ImagePlace:
        """Where the images are in a store of this kind."""
        return ImagePlace(self.images_directory, BucketSettings(**self.storage.s3.plain) if kind == "s3" else None)

    @property
    def images_directory(self) -> Path:
        """Where the images are; with a bucket, those on their way there."""
        return Path(self.storage.directory.replace("{data_dir}", str(self.data_dir)))
