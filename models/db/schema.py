# SPDX-License-Identifier: Apache-2.0
"""Every table, as SQLAlchemy Core describes it. What ships is `migrations/`; a test holds the two together.

Columns are integers, text and binary only. Times are milliseconds since the Unix epoch. Every id that leaves
the server is AUTOINCREMENT, so that it is never used again.

A column made by `_person` names somebody: with their account its row ends, or, where it may be null, what it says of
them. A table that is `exported` is a list in the export of the person whom its first such column names: all of it but
what is `not_exported`, with the reason. Tables that need more than that have it in `tables/erasure.py` and
`tables/personal_data.py`.
"""

from collections.abc import Iterator
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
Picture = LargeBinary(1 << 24).with_variant(mysql.MEDIUMBLOB(), "mysql")
"""A small one, or a part of one, in a row."""
Digest = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
ENGINE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "sqlite_autoincrement": True,
}
PLAIN: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}


SECRET, DIGEST, INTERNAL = "a secret", "finds a row and says nothing", "how the server works, not what it knows"
ELSEWHERE = "is shown by another list"
PERSON, NOT_EXPORTED, EXPORTED = "person", "not exported", "exported"


def _person(name: str = "uid", *, reference: bool = True, **more: Any) -> Column[int]:
    """A column that names somebody. Without a `reference` the database does not hold it against `users`."""
    keys = (ForeignKey("users.uid"),) if reference else ()
    more.setdefault("nullable", False)
    return Column(name, Id, *keys, info={PERSON: True, **more.pop("info", {})}, **more)


def not_exported(reason: str) -> dict[str, Any]:
    """Of a column that people are not shown in their export."""
    return {NOT_EXPORTED: reason}


def exported(name: str, about: str) -> dict[str, Any]:
    """Of a table that is a list in people's export, under this name; its description says what it is `about`."""
    return {EXPORTED: (name, about)}


def naming_people() -> Iterator[Column[int]]:
    """Every column that names somebody, of tables that refer to others before those that they refer to."""
    for table in reversed(metadata.sorted_tables):
        yield from (column for column in table.columns if PERSON in column.info)


def shown(table: Table) -> list[Column[Any]]:
    """The columns that people may see of rows that are theirs."""
    return [column for column in table.columns if NOT_EXPORTED not in column.info]


users = Table(
    "users",
    metadata,
    Column("uid", Id, primary_key=True),
    Column("nickname", String(64), nullable=False),
    Column("region_num", String(3)),
    Column(
        "phone_cipher",
        LargeBinary(128),
        comment="E.164 under the key ring",
        info=not_exported("the number itself is shown"),
    ),
    Column("email", String(254), comment="folded"),
    Column("login", String(64), comment="folded"),
    Column("password_hash", String(255), comment="argon2id, as argon2-cffi writes it", info=not_exported(SECRET)),
    Column("discoverable", Integer, nullable=False, server_default="1"),
    Column("terms_version", String(64)),
    Column("reg_time", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False, comment="last day of authentication; recycled numbers"),
    Column("disabled_at", BigInteger),
    Column(
        "leaving_at",
        BigInteger,
        comment="the account is being erased; whoever finds it so goes on with that",
        info=not_exported(INTERNAL),
    ),
    Column("event_seq", BigInteger, nullable=False, server_default="0", info=not_exported(INTERNAL)),
    Column("pending_count", BigInteger, nullable=False, server_default="0"),
    Column("pending_bytes", BigInteger, nullable=False, server_default="0"),
    Column("read_receipts", Integer, nullable=False, server_default="1", comment="whether others learn what is read"),
    UniqueConstraint("email", name="users_email"),
    UniqueConstraint("login", name="users_login"),
    Index("users_leaving", "leaving_at"),
    **ENGINE,
)

phone_index = Table(
    "phone_index",
    metadata,
    Column(
        "version", Integer, primary_key=True, autoincrement=False, comment="of the pepper", info=not_exported(INTERNAL)
    ),
    Column("digest", Digest, primary_key=True, comment="HMAC-SHA256(pepper, phone_hash)", info=not_exported(DIGEST)),
    _person(info=not_exported("an index of the number, which the profile shows")),
    Index("phone_index_uid", "uid"),
    **PLAIN,
)

servers = Table(
    "servers",
    metadata,
    Column("server_id", String(32), primary_key=True),
    Column("key_generation", BigInteger, nullable=False, comment="of the key ring that it goes by"),
    Column("started_at", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False, server_default="0", comment="counted up as long as it lives"),
    **PLAIN,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True, comment="of the work that one process does for all"),
    Column("holder", String(32), nullable=False, comment="random, another each time that it is taken"),
    Column("renewals", BigInteger, nullable=False, comment="counted up as long as its holder lives"),
    **PLAIN,
)

clock_sightings = Table(
    "clock_sightings",
    metadata,
    Column("sighting_id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("wall", BigInteger, nullable=False),
    Column("boot", String(64), nullable=False, comment="the boot_id of the machine that saw it"),
    Column("since_boot", BigInteger, nullable=False, comment="milliseconds, by CLOCK_BOOTTIME of that machine"),
    **PLAIN,
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", Id, primary_key=True, info=not_exported(INTERNAL)),
    _person(),
    Column("kind", String(16), nullable=False),
    Column("digest", Digest, nullable=False, comment="SHA-256 of a ukey", info=not_exported(SECRET)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index("credentials_uid", "uid", "kind"),
    Index("credentials_expiry", "expires_at"),
    **ENGINE,
    info=exported("ukeys", "The account's keys, by their times."),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_id", Id, primary_key=True, info=not_exported(INTERNAL)),
    _person(),
    Column(
        "family",
        String(32),
        nullable=False,
        comment="all tokens that one login has led to",
        info=not_exported(INTERNAL),
    ),
    Column("digest", Digest, nullable=False, comment="SHA-256 of the token", info=not_exported(SECRET)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, comment="when it was exchanged for its successor"),
    UniqueConstraint("digest", name="refresh_tokens_digest"),
    Index("refresh_tokens_family", "family", "token_id"),
    Index("refresh_tokens_uid", "uid", "used_at", "token_id"),
    Index("refresh_tokens_expiry", "expires_at"),
    **ENGINE,
    info=exported("sessions", "Refresh tokens, by their times."),
)

devices = Table(
    "devices",
    metadata,
    Column("device_id", Id, primary_key=True),
    _person(),
    Column("provider", String(16), nullable=False),
    Column("app", String(64), nullable=False, server_default=""),
    Column("token", Text, nullable=False, info=not_exported(SECRET)),
    Column("token_digest", Digest, nullable=False, info=not_exported(SECRET)),
    Column("device_type", String(16), nullable=False, server_default=""),
    Column("registered_at", BigInteger, nullable=False, comment="when this token came; guards a late 'gone'"),
    Column("stale_at", BigInteger, comment="the provider took a push but will not send it"),
    Column("ended_at", BigInteger, comment="token gone, moved or account retrieved: no new pushes"),
    UniqueConstraint("provider", "app", "token_digest", name="devices_token"),
    Index("devices_uid", "uid", "ended_at"),
    Index("devices_ended", "ended_at"),
    **ENGINE,
    info=exported("devices", "Devices, without their tokens."),
)

activations = Table(
    "activations",
    metadata,
    Column("activation_id", String(32), primary_key=True, info=not_exported(SECRET)),
    Column("phone_digest", Digest, nullable=False, comment="the phone_index digest, for budgets"),
    Column("phone_cipher", LargeBinary(128), nullable=False, info=not_exported("the number itself is shown")),
    Column("nickname", String(64), nullable=False),
    Column("cid", Text, info=not_exported(SECRET)),
    Column("push_provider", String(16), nullable=False, server_default=""),
    Column("device_type", String(16), nullable=False, server_default=""),
    Column("terms_version", String(64)),
    Column("code_hmac", Digest, nullable=False, info=not_exported(SECRET)),
    Column("attempts_left", Integer, nullable=False, info=not_exported(INTERNAL)),
    Column("sends", Integer, nullable=False),
    Column("resend_at", BigInteger, nullable=False, info=not_exported(INTERNAL)),
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
    Column(
        "kind", String(16), nullable=False, server_default="image", comment="image | text | image_link | video_link"
    ),
    Column("message_key", String(64), comment="of an image"),
    _person("sender_uid", nullable=True, comment="null when the sender's account is gone"),
    _person("receiver_uid", nullable=True, comment="null when it is for a group"),
    Column("group_id", Id, comment="outlives the group"),
    Column("send_time", BigInteger, nullable=False),
    Column("exist", Integer, nullable=False, comment="0 when nobody is left to fetch it", info=not_exported(INTERNAL)),
    Column("filetype", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Digest),
    Column("caption", Text, nullable=False),
    Column("body", Text, comment="of what is no image: JSON"),
    Column("expires_at", BigInteger, nullable=False),
    Column("recalled_at", BigInteger),
    Column(
        "purge_at",
        BigInteger,
        comment="when the file may go; null while somebody may fetch it, and when it is gone",
        info=not_exported(INTERNAL),
    ),
    Column("stored", Integer, nullable=False, comment="0 when the file is removed", info=not_exported(INTERNAL)),
    Column("placeholder", String(64), comment="ThumbHash, base64"),
    Column("preview_type", String(16), comment="a filetype; null without a preview, and when its file is removed"),
    Column("preview_size", BigInteger, nullable=False, server_default="0"),
    Column("preview_sha256", Digest),
    UniqueConstraint("message_key", name="messages_key"),
    Index("messages_expiry", "exist", "expires_at"),
    Index("messages_purge", "purge_at"),
    Index("messages_stored", "stored", "message_id", "size", "preview_size"),
    Index("messages_oldest", "stored", "send_time"),
    Index("messages_pair", "sender_uid", "receiver_uid", "message_id"),
    Index("messages_receiver", "receiver_uid", "message_id"),
    Index("messages_group", "group_id", "message_id"),
    **ENGINE,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("message_id", Id, ForeignKey("messages.message_id"), primary_key=True, autoincrement=False),
    _person("receiver_uid", primary_key=True),
    _person("sender_uid", nullable=True),
    Column("state", String(16), nullable=False),
    Column("consumed_at", BigInteger),
    Column("readable_until", BigInteger, comment="end of the grace after consumption"),
    Index("deliveries_inbox", "receiver_uid", "state", "message_id"),
    Index("deliveries_from", "receiver_uid", "sender_uid", "state", "message_id"),
    Index("deliveries_sender", "sender_uid"),
    **PLAIN,
)

events = Table(
    "events",
    metadata,
    _person(primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False, comment="this person's own 1, 2, 3 …"),
    Column("type", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column(
        "data",
        Text().with_variant(mysql.MEDIUMTEXT(), "mysql"),
        nullable=False,
        comment="JSON; {} where the message says it all",
    ),
    Column("message_id", Id, comment="whose event is rendered out of the message when it is read; outlives it"),
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
    Column("provider", String(16), nullable=False, comment="the device's, so that each is claimed for itself"),
    Column("app", String(64), nullable=False, server_default=""),
    Column("state", String(16), nullable=False, comment="due | delivered | dropped | dead"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column(
        "next_at",
        BigInteger,
        nullable=False,
        comment="when it may be claimed; a lease moves it on",
        info=not_exported(INTERNAL),
    ),
    Column("give_up_at", BigInteger, nullable=False, info=not_exported(INTERNAL)),
    Column("lease", String(32), comment="who may settle it", info=not_exported(INTERNAL)),
    Column("reason", String(255), nullable=False, server_default=""),
    Column("settled_at", BigInteger),
    Index("outbox_due", "state", "provider", "app", "next_at", "outbox_id"),
    Index("outbox_settled", "settled_at"),
    Index("outbox_message", "message_id"),
    Index("outbox_device", "device_id", "outbox_id"),
    **ENGINE,
)

friendships = Table(
    "friendships",
    metadata,
    _person(primary_key=True),
    _person("other_uid", primary_key=True),
    Column("state", String(16), nullable=False, comment="friends | incoming | outgoing, as uid sees it"),
    Column("since", BigInteger, nullable=False),
    Index("friendships_state", "uid", "state", "other_uid"),
    Index("friendships_other", "other_uid"),
    **PLAIN,
    info=exported("friends", "Friends, and requests both ways."),
)

blocks = Table(
    "blocks",
    metadata,
    _person(primary_key=True),
    _person("blocked_uid", primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Index("blocks_blocked", "blocked_uid"),
    **PLAIN,
    info=exported("blocks", "Whom the person blocks."),
)

groups = Table(
    "groups",
    metadata,
    Column("group_id", Id, primary_key=True),
    Column("room_gid", String(8), nullable=False, comment="for sharing"),
    Column("name", String(64), nullable=False),
    Column("join_policy", String(8), nullable=False, comment="invite | open"),
    Column(
        "shared_history",
        Integer,
        nullable=False,
        server_default="0",
        comment="1: a room, where whoever comes in reads what was said before",
    ),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("room_gid", name="groups_room_gid"),
    **ENGINE,
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Id, ForeignKey("groups.group_id"), primary_key=True, autoincrement=False),
    _person(primary_key=True),
    Column("role", String(8), nullable=False, comment="owner | admin | member"),
    Column("joined_at", BigInteger, nullable=False),
    Column(
        "joined_after",
        BigInteger,
        nullable=False,
        comment="the group's newest message_id then, 0 for none",
        info=not_exported(INTERNAL),
    ),
    Column("last_message_id", BigInteger, nullable=False, server_default="0", comment="the newest that reached them"),
    Column("read_up_to", BigInteger, nullable=False, server_default="0", comment="a message_id"),
    Index("group_members_uid", "uid", "group_id"),
    Index("group_members_last", "uid", "last_message_id"),
    **PLAIN,
)

conversations = Table(
    "conversations",
    metadata,
    _person(primary_key=True),
    _person("peer_uid", primary_key=True),
    Column("last_message_id", BigInteger, nullable=False, comment="the newest between them that reached uid"),
    Column("read_up_to", BigInteger, nullable=False, server_default="0", comment="a message_id"),
    Index("conversations_last", "uid", "last_message_id"),
    Index("conversations_peer", "peer_uid"),
    **PLAIN,
)

invitations = Table(
    "invitations",
    metadata,
    Column("invitation_id", Id, primary_key=True, info=not_exported(INTERNAL)),
    Column("group_id", Id, ForeignKey("groups.group_id"), nullable=False),
    _person(),
    Column("role", String(8), nullable=False, comment="admin | member, once they have said yes"),
    _person("invited_by", nullable=True, comment="null when that account is gone"),
    Column("invited_at", BigInteger, nullable=False),
    UniqueConstraint("group_id", "uid", name="invitations_group"),
    Index("invitations_uid", "uid", "group_id"),
    Index("invitations_by", "invited_by"),
    Index("invitations_age", "invited_at"),
    **ENGINE,
)

reports = Table(
    "reports",
    metadata,
    Column("report_id", Id, primary_key=True),
    _person("reporter_uid", nullable=True, comment="null when the reporter's account is gone"),
    _person("reported_uid", nullable=True, comment="null when the reported account is gone"),
    Column("message_id", Id, comment="outlives the message"),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Column(
        "resolution",
        String(255),
        nullable=False,
        server_default="",
        info=not_exported("the operator's word to the operator"),
    ),
    Index("reports_open", "resolved_at", "report_id"),
    Index("reports_reporter", "reporter_uid"),
    Index("reports_reported", "reported_uid"),
    **ENGINE,
    info=exported("reports", "Reports that the person made."),
)

report_pictures = Table(
    "report_pictures",
    metadata,
    Column("report_id", Id, ForeignKey("reports.report_id"), primary_key=True, autoincrement=False),
    Column("picture_key", String(64), nullable=False),
    Column("filetype", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Digest, nullable=False),
    Column("purge_at", BigInteger, comment="when the file may go; null until the report is resolved"),
    UniqueConstraint("picture_key", name="report_pictures_key"),
    Index("report_pictures_purge", "purge_at"),
    **PLAIN,
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("operator", String(64), nullable=False, comment="the page, or ops and who typed it"),
    Column("act", String(32), nullable=False, comment="as in ops: users disable"),
    Column("about", String(255), nullable=False, comment="ids and counts: no number, no name"),
    Index("audit_age", "at"),
    **ENGINE,
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(32), primary_key=True, info=not_exported(INTERNAL)),
    _person(reference=False, nullable=True, comment="whose it is; null when that account is gone"),
    _person(
        "receiver_uid",
        reference=False,
        nullable=True,
        comment="whom it is for; null for a group, and when that account is gone",
    ),
    Column("group_id", Id),
    Column("caption", Text),
    Column("ttl_seconds", Integer),
    Column("filetype", String(16), comment="as the sender says; null: read from the bytes"),
    Column("placeholder", String(64)),
    Column(
        "thumbnail",
        Picture,
        comment="the sender's own preview, clean",
        info=not_exported("is on its way to somebody, and shown with the image"),
    ),
    Column("length", BigInteger, comment="null while the sender does not know it"),
    Column("received", BigInteger, nullable=False, server_default="0", comment="the offset that was told"),
    Column(
        "stored",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="bytes in the file, synced",
        info=not_exported(INTERNAL),
    ),
    Column(
        "held",
        Picture,
        comment="sealed: those between, which cannot be cleaned before more has come",
        info=not_exported("is on its way to somebody"),
    ),
    Column("holder", String(32), nullable=False, comment="the process that may write", info=not_exported(INTERNAL)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("message_id", Id, comment="what became of it; null while it is open"),
    Column("message_key", String(64), info=not_exported(ELSEWHERE)),
    Column("send_time", BigInteger, info=not_exported(ELSEWHERE)),
    Index("uploads_uid", "uid", "message_id", "created_at"),
    Index("uploads_receiver", "receiver_uid"),
    Index("uploads_open", "message_id", "stored"),
    Index("uploads_expiry", "expires_at"),
    **PLAIN,
    info=exported("uploads", "Images sent in several requests, a day back."),
)

chat_accounts = Table(
    "chat_accounts",
    metadata,
    _person(primary_key=True),
    Column("provider", String(16), primary_key=True),
    Column("username", String(64), nullable=False, comment="random; what the hosted service knows the person by"),
    Column("created_at", BigInteger, comment="null until the service has the account"),
    **PLAIN,
    info=exported("chat_accounts", "Accounts at hosted chat services."),
)

budgets = Table(
    "budgets",
    metadata,
    Column("key_digest", Digest, primary_key=True, comment="SHA-256 over what is counted, for whom, and its window"),
    Column("spent", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("budgets_expiry", "expires_at"),
    **PLAIN,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column(
        "key_digest",
        Digest,
        primary_key=True,
        comment="SHA-256 over operation, caller and key",
        info=not_exported(DIGEST),
    ),
    Column("request_digest", Digest, nullable=False, info=not_exported(DIGEST)),
    _person(reference=False, nullable=True, comment="whose reply it is, for erasure"),
    Column("reply", Text, nullable=False, comment="JSON, never a secret", info=not_exported(ELSEWHERE)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("idempotency_expiry", "expires_at"),
    Index("idempotency_uid", "uid"),
    **PLAIN,
    info=exported("requests", "When an `Idempotency-Key` was used."),
)
