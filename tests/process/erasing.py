# SPDX-License-Identifier: Apache-2.0
"""How people fare while retention erases old rows: `python -m tests.process.erasing [--mariadb] [MESSAGES]`.

Each message has four rows: 250000 make a million, as `make prove-erasing` does on SQLite, with a tenth of that on
MariaDB. It fails when the 99th percentile of sending an image, or of asking for the inbox, is more than five times what
it is on an empty server.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from models.clock import DAY_MS, now_ms
from tests.process.attacks import Fared, scene
from tests.support import engines
from tests.support.engines import SqliteEngine
from tests.support.harness import Server

MESSAGES = 25_000
ROWS_OF_EACH = 4
SECONDS, MOST_SECONDS = 60.0, 600.0
PAUSE = 0.3
"""Between two things that people do: with fewer of them than the rates of a server as it comes allow in that time."""
MOST = 5
WHAT = ("send", "inbox")
PEOPLE = 100
# `{seq}`: FROM of a column `seq`; `{then}`: older than anything is kept.
FILLING = """
INSERT INTO users (uid, nickname, region_num, reg_time, seen_at, event_seq)
    SELECT seq, 'x', '86', 1, 1, {messages} {people};
INSERT INTO messages (message_id, message_key, sender_uid, receiver_uid, send_time, exist, filetype, size, sha256,
    caption, expires_at, stored)
    SELECT seq, {key}, 1 + seq % 100, 1 + (seq + 1) % 100, {then} + seq, 0, 'jpeg', 350000, {digest}, '', {then} + seq,
    0 {seq};
INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state, consumed_at)
    SELECT seq, 1 + (seq + 1) % 100, 1 + seq % 100, 'consumed', {then} {seq};
INSERT INTO events (uid, event_id, type, at, data, message_id)
    SELECT 1 + (seq + 1) % 100, seq, 'image', {then}, '', seq {seq};
INSERT INTO outbox (kind, message_id, device_id, provider, app, state, attempts, created_at, next_at, give_up_at,
    settled_at)
    SELECT 'message', seq, 1, 'log', '', 'delivered', 1, {then}, {then}, {then}, {then} + seq {seq}
"""


def fill(server: Server, messages: int) -> None:
    """So many old messages with all that hangs on them, among a hundred people."""
    server.database.migrate()
    sqlite = isinstance(server.database, SqliteEngine)

    def numbers(last: int) -> str:
        counted = f"SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < {last}"
        return f"FROM (WITH RECURSIVE n(seq) AS ({counted}) SELECT seq FROM n)" if sqlite else f"FROM seq_1_to_{last}"

    words = {
        "messages": messages,
        "people": numbers(PEOPLE),
        "seq": numbers(messages),
        "then": now_ms() - 400 * DAY_MS,
        "key": "lower(hex(randomblob(32)))" if sqlite else "SHA2(UUID(), 256)",
        "digest": "randomblob(32)" if sqlite else "UNHEX(SHA2(UUID(), 256))",
    }
    for text in FILLING.format(**words).split(";"):
        server.database.execute(text)


def left(server: Server) -> int:
    """Old rows that are still there."""
    [(messages,)] = server.database.rows("SELECT count(*) FROM messages WHERE send_time < ?", now_ms() - 399 * DAY_MS)
    [(outbox,)] = server.database.rows("SELECT count(*) FROM outbox WHERE created_at < ?", now_ms() - 399 * DAY_MS)
    [(events,)] = server.database.rows("SELECT count(*) FROM events WHERE at < ?", now_ms() - 399 * DAY_MS)
    return int(2 * messages + outbox + events)  # a message's delivery goes with it


def fared(prepare: Callable[[Server], object] | None) -> tuple[Fared, float, int]:
    """What people met until all was erased, a minute at least and ten at most; rows erased a second; rows left."""
    found = Fared()
    with tempfile.TemporaryDirectory() as folder:
        with scene(Path(folder), prepare) as (server, others, _):
            before, began = left(server), time.monotonic()
            while not found.took or (left(server) and time.monotonic() - began < MOST_SECONDS):
                more = others.live(SECONDS, PAUSE)
                for what, took in more.took.items():
                    found.took.setdefault(what, []).extend(took)
                assert more.refused == []
            still = left(server)
            rate = (before - still) / (time.monotonic() - began)
        engines.release(Path(folder))
    return found, rate, still


def slower(messages: int, say: Callable[[str], object]) -> bool:
    """Whether people wait too long."""
    idle, *_ = fared(None)
    under, gone, still = fared(lambda server: fill(server, messages))
    ratios = []
    for what in WHAT:
        before, after = idle.percentile(what, 99), under.percentile(what, 99)
        ratios.append(after / before)
        say(f"{what}: p50 {idle.percentile(what, 50):.1f} → {under.percentile(what, 50):.1f} ms, ")
        say(f"p99 {before:.1f} → {after:.1f} ms ({after / before:.1f} times); ")
    say(f"{gone:.0f} rows a second went of {ROWS_OF_EACH * messages}, {still} are left\n")
    return max(ratios) > MOST


def main(arguments: list[str], say: Callable[[str], object]) -> int:
    if "--mariadb" in arguments:
        engines.use("mariadb")
    messages = int(next((each for each in arguments if each.isdigit()), MESSAGES))
    return int(slower(messages, say) and slower(messages, say))  # a busy machine is asked once more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda text: (sys.stdout.write(text), sys.stdout.flush())))
