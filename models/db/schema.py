# SPDX-License-Identifier: Apache-2.0
"""Every table, as SQLAlchemy Core describes it. What ships is `migrations/`; a test holds the two together.

Columns are integers, text and binary only. Times are milliseconds since the Unix epoch. Every id that leaves
the server is AUTOINCREMENT, so that it is never used again.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

Id = BigInteger().with_variant(Integer, "sqlite")
Digest = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
ENGINE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "sqlite_autoincrement": True,
}
PLAIN: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _person(name: str = "uid", *, nullable: bool = False, primary_key: bool = False) -> Column[int]:
    return Column(name, Id, ForeignKey("users.uid"), nullable=nullable, primary_key=primary_key)


users = Table(
    "users",
    metadata,
    Column("uid", Id, primary_key=True),
    Column("nickname", String(64), nullable=False),
    Column("region_num", String(3)),
    Column("phone_cipher", LargeBinary(128), comment="E.164 under the key ring"),
    Column("discoverable", Integer, nullable=False, server_default="1"),
    Column("terms_version", String(64)),
    Column("reg_time", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False, comment="last day of authentication; recycled numbers"),
    Column("disabled_at", BigInteger),
    Column("event_seq", BigInteger, nullable=False, server_default="0"),
    Column("pending_count", BigInteger, nullable=False, server_default="0"),
    Column("pending_bytes", BigInteger, nullable=False, server_default="0"),
    **ENGINE,
)

phone_index = Table(
    "phone_index",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False, comment="of the pepper"),
    Column("digest", Digest, primary_key=True, comment="HMAC-SHA256(pepper, phone_hash)"),
    _person(),
    Index("phone_index_uid", "uid"),
    **PLAIN,
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", Id, primary_key=True),
    _person(),
    Column("kind", String(16), nullable=False),
    Column("digest", Digest, nullable=False, comment="SHA-256 of a ukey"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index("credentials_uid", "uid", "kind"),
    Index("credentials_expiry", "expires_at"),
    **ENGINE,
)

devices = Table(
    "devices",
    metadata,
    Column("device_id", Id, primary_key=True),
    _person(),
    Column("provider", String(16), nullable=False),
    Column("app", String(64), nullable=False, server_default=""),
    Column("token", Text, nullable=False),
    Column("token_digest", Digest, nullable=False),
    Column("device_type", String(16), nullable=False, server_default=""),
    Column("registered_at", BigInteger, nullable=False, comment="when this token came; guards a late 'gone'"),
    Column("stale_at", BigInteger, comment="the provider took a push but will not send it"),
    Column("ended_at", BigInteger, comment="token gone, moved or account retrieved: no new pushes"),
    UniqueConstraint("provider", "app", "token_digest", name="devices_token"),
    Index("devices_uid", "uid", "ended_at"),
    Index("devices_ended", "ended_at"),
    **ENGINE,
)

activations = Table(
    "activations",
    metadata,
    Column("activation_id", String(32), primary_key=True),
    Column("phone_digest", Digest, nullable=False, comment="the phone_index digest, for budgets"),
    Column("phone_cipher", LargeBinary(128), nullable=False),
    Column("nickname", String(64), nullable=False),
    Column("cid", Text),
    Column("push_provider", String(16), nullable=False, server_default=""),
    Column("device_type", String(16), nullable=False, server_default=""),
    Column("terms_version", String(64)),
    Column("code_hmac", Digest, nullable=False),
    Column("attempts_left", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("resend_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index("activations_phone", "phone_digest", "created_at"),
    Index("activations_expiry", "expires_at"),
    **PLAIN,
)

messages = Table(
    "messages",
    metadata,
    Column("message_id", Id, primary_key=True),
    Column("message_key", String(64), nullable=False),
    Column("sender_uid", Id, ForeignKey("users.uid")),
    Column("receiver_uid", Id, ForeignKey("users.uid")),
    Column("send_time", BigInteger, nullable=False),
    Column("exist", Integer, nullable=False, comment="0 when nobody is left to fetch it"),
    Column("filetype", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Digest, nullable=False),
    Column("caption", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("recalled_at", BigInteger),
    Column(
        "purge_at", BigInteger, comment="when the file may go; null while somebody may fetch it, and when it is gone"
    ),
    Column("stored", Integer, nullable=False, comment="0 when the file is removed"),
    UniqueConstraint("message_key", name="messages_key"),
    Index("messages_expiry", "exist", "expires_at"),
    Index("messages_purge", "purge_at"),
    Index("messages_stored", "stored", "size"),
    Index("messages_sent", "send_time"),
    Index("messages_sender", "sender_uid"),
    **ENGINE,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("message_id", Id, ForeignKey("messages.message_id"), primary_key=True, autoincrement=False),
    _person("receiver_uid", primary_key=True),
    Column("sender_uid", Id, ForeignKey("users.uid")),
    Column("state", String(16), nullable=False),
    Column("consumed_at", BigInteger),
    Column("readable_until", BigInteger, comment="end of the grace after consumption"),
    Index("deliveries_inbox", "receiver_uid", "state", "message_id"),
    Index("deliveries_from", "receiver_uid", "sender_uid", "state", "message_id"),
    **PLAIN,
)

events = Table(
    "events",
    metadata,
    _person(primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False, comment="this person's own 1, 2, 3 …"),
    Column("type", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", Text, nullable=False, comment="JSON"),
    Index("events_at", "at"),
    **PLAIN,
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", Id, primary_key=True),
    Column("kind", String(32), nullable=False, comment="message | account_retrieved"),
    Column("message_id", Id, ForeignKey("messages.message_id")),
    Column("device_id", Id, ForeignKey("devices.device_id"), nullable=False),
    Column("state", String(16), nullable=False, comment="due | delivered | dropped | dead"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("next_at", BigInteger, nullable=False, comment="when it may be claimed; a lease moves it on"),
    Column("give_up_at", BigInteger, nullable=False),
    Column("lease", String(32), comment="who may settle it"),
    Column("reason", String(255), nullable=False, server_default=""),
    Column("settled_at", BigInteger),
    Index("outbox_due", "state", "next_at", "outbox_id"),
    Index("outbox_settled", "settled_at"),
    Index("outbox_message", "message_id"),
    Index("outbox_device", "device_id", "outbox_id"),
    **ENGINE,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_digest", Digest, primary_key=True, comment="SHA-256 over operation, caller and key"),
    Column("request_digest", Digest, nullable=False),
    Column("uid", Id, comment="whose reply it is, for erasure"),
    Column("reply", Text, nullable=False, comment="JSON, never a secret"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("idempotency_expiry", "expires_at"),
    Index("idempotency_uid", "uid"),
    **PLAIN,
)
