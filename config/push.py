# SPDX-License-Identifier: Apache-2.0
"""The section `push` of config.yaml, a part per vendor. What each key means stands in config.yaml and nowhere else."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from config.types import (
    ApnsPrivateKey,
    Apps,
    HttpUrl,
    Origins,
    Positive,
    ReadableFile,
    Secret,
    SecretUrl,
    ServiceAccount,
    Text,
    VapidPrivateKey,
    VapidSubject,
    VendorOptions,
    WebhookSecret,
)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GetuiApp(Section):
    base_url: HttpUrl = "https://restapi.getui.com/v2"
    app_id: str = ""
    app_key: str = ""
    master_secret_file: ReadableFile = ""
    master_secret: Secret = SecretStr("")
    vendor_options: VendorOptions = {}


class Getui(GetuiApp):
    apps: Apps[GetuiApp] = {}


class FcmApp(Section):
    base_url: SecretUrl = "https://fcm.googleapis.com"
    token_url: SecretUrl = ""
    service_account_file: ReadableFile = ""
    service_account: ServiceAccount = SecretStr("")


class Fcm(FcmApp):
    apps: Apps[FcmApp] = {}


class ApnsApp(Section):
    base_url: SecretUrl = ""
    ca_file: ReadableFile = ""
    team_id: str = ""
    key_id: str = ""
    private_key_file: ReadableFile = ""
    private_key: ApnsPrivateKey = SecretStr("")
    topic: str = ""
    sandbox: bool = False
    background: bool = False


class Apns(ApnsApp):
    apps: Apps[ApnsApp] = {}


class Webpush(Section):
    enabled: bool = True
    subject: VapidSubject = ""
    private_key_file: ReadableFile = ""
    private_key: VapidPrivateKey = SecretStr("")


class Ntfy(Section):
    enabled: bool = True


class Webhook(Section):
    secret_file: ReadableFile = ""
    secret: WebhookSecret = SecretStr("")


class Push(Section):
    default_provider: Literal["log", "getui", "fcm", "apns", "webpush", "ntfy", "webhook"] = "log"
    give_up_hours: Positive = 72
    title: Text = "Glimpse"
    body: Text = "You have a new image."
    allow_endpoints: Origins = ()
    getui: Getui = Getui()
    fcm: Fcm = Fcm()
    apns: Apns = Apns()
    webpush: Webpush = Webpush()
    ntfy: Ntfy = Ntfy()
    webhook: Webhook = Webhook()


def configured_apps(push: Push) -> dict[str, Mapping[str, Section]]:
    """By vendor, the apps that there are keys for; the one of the vendor's own keys is ""."""
    return {
        vendor: {name: app for name, app in _apps(getattr(push, vendor)).items() if any(_needed(app).values())}
        for vendor in ("getui", "fcm", "apns", "webhook")
    }


def contradicting_push(push: Push) -> Iterator[str]:
    """What is wrong with keys that are right one by one."""
    for vendor, apps in configured_apps(push).items():
        named = {f"{vendor}.apps.{name}": app for name, app in _apps(getattr(push, vendor)).items() if name}
        for path, app in {**({vendor: apps[""]} if "" in apps else {}), **named}.items():
            yield from _missing(path, app)
        if push.default_provider == vendor and "" not in apps:
            yield from _missing(vendor, getattr(push, vendor))
    chosen = getattr(push, push.default_provider, None)
    if isinstance(chosen, Webpush | Ntfy) and not chosen.enabled:
        name = push.default_provider
        yield f"push.{name}.enabled: must be true, since push.default_provider is {name}"


def _apps(vendor: Section) -> dict[str, Section]:
    named: Mapping[str, Section] = getattr(vendor, "apps", {})
    return {"": vendor, **named}


def _missing(path: str, app: Section) -> Iterator[str]:
    missing = [key for key, value in _needed(app).items() if not value]
    if missing:
        yield f"push.{path}: {', '.join(missing)} must be given too"


def _needed(app: Section) -> dict[str, str | SecretStr]:
    """The keys without which an app cannot be used."""
    match app:
        case GetuiApp():
            return {"app_id": app.app_id, "app_key": app.app_key, "master_secret": app.master_secret}
        case FcmApp():
            return {"service_account": app.service_account}
        case ApnsApp():
            keys = {"team_id": app.team_id, "key_id": app.key_id, "topic": app.topic}
            return {**keys, "private_key": app.private_key}
        case Webhook():
            return {"secret": app.secret}
    return {}
