# SPDX-License-Identifier: Apache-2.0
"""The typed form of config.yaml, and how its layers are put together.

What each key means stands in config.yaml and nowhere else. Only the two roots, `server` and `ops`, import this;
everything below them is handed plain values.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from config.push import Push, contradicting_push
from config.sections import (
    Activation,
    Chat,
    Database,
    Delivery,
    Discovery,
    Events,
    Images,
    Inbox,
    Limits,
    Log,
    Messages,
    Messaging,
    Metrics,
    Retention,
    Samples,
    Server,
    Sms,
    Storage,
    Uploads,
)
from config.sources import PREFIX, Environment, Layers, Values, Written, describe, keys_of, merge, nested, read, without
from models.db.engine import Location, parse_url
from models.db.mysql.connection import MysqlLocation

HIGHEST_PORT = 65_535
SHIPPED = Path(__file__).parent.with_name("config.yaml")


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are all that were found, in plain words."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class Config(Layers):
    """Every setting of a server. Secrets are SecretStr; sizes are in bytes, times in the unit that the name ends in."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False
    )

    server: Server = Server()
    data_dir: Path = Path("./data")
    database: Database = Database()
    activation: Activation = Activation()
    sms: Sms = Sms()
    push: Push = Push()
    images: Images = Images()
    uploads: Uploads = Uploads()
    delivery: Delivery = Delivery()
    storage: Storage = Storage()
    inbox: Inbox = Inbox()
    messaging: Messaging = Messaging()
    discovery: Discovery = Discovery()
    messages: Messages = Messages()
    events: Events = Events()
    retention: Retention = Retention()
    limits: Limits = Limits()
    chat: Chat = Chat()
    samples: Samples = Samples()
    metrics: Metrics = Metrics()
    log: Log = Log()

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
    def images_directory(self) -> Path:
        """Where the images are."""
        return Path(self.storage.directory.replace("{data_dir}", str(self.data_dir)))


def load(
    file: Path | None = None, *, host: str | None = None, port: int | str | None = None, data_dir: Path | None = None
) -> Config:
    """The configuration: config.yaml, over it `file`, then the environment, then what is given here.

    Raises ConfigError with every problem that was found.
    """
    problems: list[str] = []
    files = {path: read(path, problems) for path in (SHIPPED, file) if path}
    given = {"server.host": host, "server.port": port, "data_dir": data_dir}
    arguments = (nested(key, value) for key, value in given.items() if value is not None)
    values = reduce(merge, (*files.values(), Environment(Config)(), *arguments))
    config = _typed(values, problems)
    if problems or config is None:
        raise ConfigError(problems)
    config.came_from(files)
    return config


def from_command_line(arguments: Sequence[str]) -> Config:
    """The configuration of a server started with these arguments. Raises ConfigError; exits for --help."""
    parser = argparse.ArgumentParser(prog="server.py", description="Run a Glimpse server.")
    parser.add_argument("--host", help="address to listen on (server.host)")
    parser.add_argument("--port", help="port to listen on, 0 for any (server.port)")
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (data_dir)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a YAML file laid over config.yaml")
    given = parser.parse_args(arguments)
    return load(given.config, host=given.host, port=given.port, data_dir=given.data_dir)


def _typed(values: Values, problems: list[str]) -> Config | None:
    """The settings that these values make; what is wrong with them joins `problems`."""
    broken: list[str] = []
    config = None
    try:
        config = _build(values)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        known = keys_of(Config.model_construct().model_dump())
        problems += [describe(each, known) for each in errors]
        broken = [".".join(map(str, each["loc"])) for each in errors]
        for each in errors:
            values = without(values, each["loc"])
        with suppress(ValidationError):
            config = _build(values)
    if config:
        problems += [text for text in _contradictions(config) if not any(key in text for key in broken)]
    return config


def _build(values: Values) -> Config:
    return Config(_build_sources=((Written(Config, values),), {}))  # type: ignore[call-arg]  # the checker sees fields alone


def _contradictions(config: Config) -> Iterator[str]:
    """What is wrong with keys that are right one by one."""
    if config.server.workers > 1 and config.database_path:
        yield "server.workers: must be 1 with SQLite; more processes need a database.url of MySQL or MariaDB"
    yield from _contradicting_ports(config)
    if bool(config.server.tls.cert) != bool(config.server.tls.key):
        yield "server.tls.cert, server.tls.key: give both or none"
    yield from _missing_of_sms(config.sms)
    yield from contradicting_push(config.push)
    yield from _contradicting_chat(config.chat)
    yield from _contradicting_lifetimes(config)


def _contradicting_ports(config: Config) -> Iterator[str]:
    first, workers = config.metrics.port, config.server.workers
    if first and config.server.port in range(first, first + workers):
        each = "" if workers == 1 else f"; each of the {workers} workers has one, from metrics.port on"
        yield f"metrics.port: must not be server.port; metrics are for operators alone{each}"
    if first and first + workers - 1 > HIGHEST_PORT:
        yield f"metrics.port: must leave a port for each of the {workers} workers, up to {HIGHEST_PORT}"


def _missing_of_sms(sms: Sms) -> Iterator[str]:
    needed = {
        "webhook": {"url": sms.webhook.url},
        "twilio": sms.twilio.model_dump(exclude={"auth_token_file", "api_key_sid"}),
        "aliyun": sms.aliyun.model_dump(exclude={"access_key_secret_file"}),
    }
    for key, value in needed.get(sms.provider, {}).items():
        if not value:
            yield f"sms.{sms.provider}.{key}: is needed, since sms.provider is {sms.provider}"


def _contradicting_chat(chat: Chat) -> Iterator[str]:
    agora, sendbird = chat.agora, chat.sendbird
    if bool(agora.app_id) != bool(agora.app_certificate):
        yield "chat.agora.app_id, chat.agora.app_certificate: give both or none"
    if bool(agora.org_name) != bool(agora.app_name):
        yield "chat.agora.org_name, chat.agora.app_name: give both or none"
    if bool(sendbird.base_url) != bool(sendbird.api_token):
        yield "chat.sendbird.base_url, chat.sendbird.api_token: give both or none"


def _contradicting_lifetimes(config: Config) -> Iterator[str]:
    upload = config.images.max_bytes // config.uploads.min_bytes_per_second + config.server.body_timeout_seconds
    if config.retention.orphan_seconds < 2 * upload:
        yield (
            f"retention.orphan_seconds: must be at least {2 * upload}, twice the longest upload that images.max_bytes"
            " and uploads.min_bytes_per_second allow; a younger file may still get its row"
        )
    if config.messages.retention_days * 86_400 < config.images.ttl_seconds:
        yield "messages.retention_days: is shorter than images.ttl_seconds; an image would outlive its message"
    if config.server.behind_proxy and config.delivery.proxy_grace_seconds < config.delivery.grace_seconds:
        yield "delivery.proxy_grace_seconds: is shorter than delivery.grace_seconds; a proxy needs the longer one"
