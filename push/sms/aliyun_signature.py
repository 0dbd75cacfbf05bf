# SPDX-License-Identifier: Apache-2.0
"""Alibaba Cloud's request signature V3, ACS3-HMAC-SHA256.

Source: https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"


def canonical_query(query: Mapping[str, str]) -> str:
    """Names and values percent-encoded by RFC 3986, in the order of the names."""
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def canonical_request(method: str, path: str, query: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """What is hashed and signed, and the names of the headers in it. `headers` have lower-case names."""
    names = sorted(name for name in headers if name in {"host", "content-type"} or name.startswith("x-acs-"))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    signed = ";".join(names)
    return "\n".join((method, path, query, lines, signed, headers["x-acs-content-sha256"])), signed


def signature(request: str, secret: str) -> str:
    """64 lower-case hex digits."""
    text = f"{ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def authorization(query: str, headers: Mapping[str, str], *, key: str, secret: str) -> str:
    """The value of the Authorization header for a POST to / with this query."""
    request, signed = canonical_request("POST", "/", query, headers)
    return f"{ALGORITHM} Credential={key},SignedHeaders={signed},Signature={signature(request, secret)}"
