# SPDX-License-Identifier: Apache-2.0
"""A MariaDB database of 200,000 messages with all that hangs on them, made in the server out of its sequences."""

MESSAGES, PEOPLE, GROUPS, MEMBERS = 200_000, 20_000, 500, 10
NOW = 1_800_000_000_000
DAY = 86_400_000

# Message n was sent n * 1,000 ms before the newest. Every tenth is a text, every fortieth went to a group; of the
# images to people the last 4,000 or so still wait.
_OF_GROUP = "seq % 40 = 1"
_KIND = "IF(seq % 10 = 0, 'text', 'image')"
_WAITS = f"seq > {MESSAGES - 5000} AND seq % 10 != 0"
_SENDER = f"1 + seq * 7 % {PEOPLE}"
_RECEIVER = f"1 + (seq * 7 + 1 + seq % 50) % {PEOPLE}"
_SENT = f"{NOW} - ({MESSAGES} - seq) * 1000"
_STATE = "IF(m.kind = 'text', 'sent', IF(m.exist = 1, 'pending', 'consumed'))"
_TOKEN = "UNHEX(SHA2({}, 256))"


def _rows(table: str, count: int, **columns: str) -> str:
    return f"INSERT INTO `{table}` ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM seq_1_to_{count}"


_DELIVERED = f"SELECT m.message_id, m.receiver_uid, m.sender_uid, {_STATE} FROM messages m WHERE m.group_id IS NULL"
_SHARED = f"SELECT m.message_id, g.uid, m.sender_uid, {_STATE} FROM messages m JOIN group_members g USING (group_id)"
_PUSH = "kind, message_id, device_id, provider, app, state, created_at, next_at, give_up_at, settled_at"
_PUSHED = (
    "SELECT 'message', d.message_id, d.receiver_uid, 'log', '', IF(m.exist = 1, 'due', 'delivered'), m.send_time,"
    f" m.send_time, m.send_time + {3 * DAY}, IF(m.exist = 1, NULL, m.send_time + 1000)"
    f" FROM deliveries d JOIN messages m USING (message_id) WHERE m.message_id > {MESSAGES * 3 // 4}"
)
_TALKED = (
    "SELECT sender_uid, receiver_uid, MAX(message_id) FROM messages WHERE receiver_uid IS NOT NULL"
    " GROUP BY sender_uid, receiver_uid"
)
_EVENTS = (
    "SELECT receiver_uid, row_number() OVER (PARTITION BY receiver_uid ORDER BY message_id), 'image', send_time,"
    " concat('{\"message_id\": ', message_id, ', \"sender_uid\": 1}')"
    " FROM (SELECT d.receiver_uid, message_id, m.send_time FROM deliveries d JOIN messages m USING (message_id)"
    f" WHERE m.message_id > {MESSAGES * 3 // 4}) AS delivered"
)

FILL = (
    "SET foreign_key_checks = 0, unique_checks = 0, autocommit = 0",
    _rows("users", PEOPLE, uid="seq", nickname="concat('p', seq)", phone_cipher="'x'", reg_time="1", seen_at="1"),
    _rows("phone_index", PEOPLE, version="1", digest=_TOKEN.format("seq"), uid="seq"),
    _rows("credentials", PEOPLE, uid="seq", kind="'ukey'", digest=_TOKEN.format("seq"), created_at="1"),
    _rows(
        "refresh_tokens",
        PEOPLE,
        uid="seq",
        family="md5(seq)",
        digest=_TOKEN.format("seq"),
        created_at=str(NOW),
        expires_at=f"{NOW} + seq",
    ),
    _rows(
        "devices",
        PEOPLE,
        device_id="seq",
        uid="seq",
        provider="'log'",
        token="seq",
        token_digest=_TOKEN.format("seq"),
        registered_at="1",
        ended_at=f"IF(seq % 100 = 0, {NOW} - {DAY} * 20 + seq, NULL)",
    ),
    _rows(
        "groups", GROUPS, group_id="seq", room_gid="lpad(seq, 8, 'a')", name="'g'", join_policy="'open'", created_at="1"
    ),
    _rows(
        "group_members",
        GROUPS * MEMBERS,
        group_id=f"1 + seq % {GROUPS}",
        uid=f"1 + seq * 3 % {PEOPLE}",
        role="'member'",
        joined_at="1",
        joined_after="0",
    ),
    _rows(
        "messages",
        MESSAGES,
        message_id="seq",
        kind=_KIND,
        message_key="IF(seq % 10 = 0, NULL, sha2(seq, 256))",
        sender_uid=_SENDER,
        receiver_uid=f"IF({_OF_GROUP}, NULL, {_RECEIVER})",
        group_id=f"IF({_OF_GROUP}, 1 + seq % {GROUPS}, NULL)",
        send_time=_SENT,
        exist=f"IF({_WAITS}, 1, 0)",
        filetype="'jpeg'",
        size="350000",
        sha256=_TOKEN.format("seq"),
        caption="''",
        body='IF(seq % 10 = 0, \'{"text": "hello"}\', NULL)',
        expires_at=f"{_SENT} + {30 * DAY}",
        stored=f"IF({_WAITS} OR seq > {MESSAGES - 5500}, 1, 0)",
        purge_at=f"IF(seq > {MESSAGES - 5500} AND seq <= {MESSAGES - 5000}, {_SENT} + 60000, NULL)",
    ),
    f"INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state) {_DELIVERED} UNION ALL {_SHARED}",
    f"INSERT INTO events (uid, event_id, type, at, data) {_EVENTS}",
    f"INSERT INTO outbox ({_PUSH}) {_PUSHED}",
    _rows(
        "friendships",
        PEOPLE * 2,
        uid=f"1 + seq % {PEOPLE}",
        other_uid=f"1 + (seq + 1 + seq DIV {PEOPLE}) % {PEOPLE}",
        state="ELT(1 + seq % 3, 'friends', 'incoming', 'outgoing')",
        since="1",
    ),
    f"INSERT INTO conversations (uid, peer_uid, last_message_id) {_TALKED}",
    _rows("blocks", 5000, uid="seq", blocked_uid="seq + 1", created_at="1"),
    _rows(
        "idempotency",
        PEOPLE,
        key_digest=_TOKEN.format("seq"),
        request_digest=_TOKEN.format("seq"),
        uid="seq",
        reply="'{}'",
        created_at=str(NOW),
        expires_at=f"{NOW} + seq",
    ),
    _rows("budgets", 5000, key_digest=_TOKEN.format("seq"), spent="1", expires_at=f"{NOW} + seq"),
    "COMMIT",
    "ANALYZE TABLE "
    + ", ".join(
        f"`{table}`"
        for table in (
            "users",
            "phone_index",
            "credentials",
            "refresh_tokens",
            "devices",
            "groups",
            "group_members",
            "conversations",
            "messages",
            "deliveries",
            "events",
            "outbox",
            "friendships",
            "blocks",
            "idempotency",
            "budgets",
        )
    ),
)
"""What fills a migrated, empty database."""
