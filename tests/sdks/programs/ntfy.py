# SPDX-License-Identifier: Apache-2.0
"""apprise: a notification to a topic of ntfy, open and closed."""

from urllib.parse import urlsplit

import apprise
from exchange import given, tell

host = urlsplit(given["url"]).netloc


def notify(address: str) -> bool:
    told = apprise.Apprise()
    assert told.add(address)
    return bool(told.notify(title="你好 Ann", body="New message", body_format=apprise.NotifyFormat.TEXT))


tell(
    plain=notify(f"ntfy://{host}/phone1?priority=high&tags=tada,skull&click=https://example.org"),
    closed=notify(f"ntfy://{host}/closed"),
    opened=notify(f"ntfy://tk_secret@{host}/closed?auth=token"),
)
