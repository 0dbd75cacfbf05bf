# SPDX-License-Identifier: Apache-2.0
"""Which pages of the Web may call: our own, and those of the origins that the operator lists.

What a browser says of itself is believed (a page cannot forge it), and nothing else is asked: a client that is no
browser sends neither header. Sources: the Fetch standard (CORS protocol) and the W3C's Fetch Metadata.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from models.origin import normal_origin

READING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

PREFLIGHT_SECONDS = 600
"""How long a browser may remember a preflight; Chrome takes two hours at most."""
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, Range, If-None-Match, Last-Event-ID, Prefer, user, Tus-Resumable, "
    "Upload-Length, Upload-Offset, Upload-Metadata, Upload-Checksum, Upload-Complete, Upload-Incomplete, "
    "Upload-Draft-Interop-Version"
)
EXPOSED_HEADERS = (
    "Location, Content-Location, Message-Id, Message-Key, Send-Time, Sender-Uid, Metadata-Removed, Retry-After, "
    "X-Request-Id, X-Session-Token, ETag, Repr-Digest, Content-Range, Tus-Resumable, Tus-Version, Tus-Extension, "
    "Tus-Max-Size, Upload-Offset, Upload-Length, Upload-Limit, Upload-Complete, Upload-Expires"
)


@dataclass(frozen=True, slots=True)
class Origins:
    """The listed origins, and our own where it is configured; each in its normal form."""

    listed: Collection[str]
    own: str | None

    def is_listed(self, origin: str | None) -> bool:
        """Whether pages of this origin, as a browser sends it, may call everything."""
        return origin is not None and normal_origin(origin) in self.listed

    def is_welcome(self, origin: str, reached_as: str | None) -> bool:
        """Whether it is listed or our own. `reached_as` is what the client called us by."""
        found = normal_origin(origin)
        return found is not None and (found in self.listed or found == (self.own or reached_as))

    def is_cross_site(self, method: str, headers: Mapping[str, str], reached_as: Callable[[], str | None]) -> bool:
        """Whether another site's page wants something changed in the name of whoever looks at it. `reached_as` tells
        what the client called us by.

        A call with an Authorization header is not such: a page can only send a credential that it was given.
        """
        if method in READING or "Authorization" in headers:
            return False
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        if origin is None and site is None:
            return False
        if site in ("same-origin", "none"):
            return False
        return origin is None or not self.is_welcome(origin, reached_as())

    def reply_headers(self, origin: str | None) -> dict[str, str]:
        """What tells a browser that a listed page may read the reply. Caches keep replies apart by origin."""
        if not self.listed:
            return {}
        found = {"Vary": "Origin"}
        if origin is not None and self.is_listed(origin):
            found |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED_HEADERS}
        return found

    def preflight_headers(self, origin: str | None, methods: Collection[str]) -> dict[str, str]:
        """What answers a browser that asks before it calls; for an origin that is not listed it may not."""
        if not self.is_listed(origin):
            return {}
        return {
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
