# SPDX-License-Identifier: Apache-2.0
"""What every program shares: what it is given, what it tells, and hosts that stand for others."""

import json
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

given: dict[str, Any] = json.loads(sys.stdin.read())


def tell(**found: Any) -> None:
    """Hand the caller what was found."""
    print(json.dumps(found, default=str))


def failure(error: Exception, *names: str) -> dict[str, Any]:
    """What an error says of itself: its class, and these attributes."""
    return {"error": type(error).__name__, **{name: getattr(error, name, None) for name in names}}


def elsewhere(url: str, hosts: dict[str, str]) -> str:
    """The URL, on the host that stands for its own: clients whose vendor's address cannot be set are led there."""
    parts = urlsplit(url)
    found = hosts.get(parts.netloc)
    if found is None:
        return url
    scheme, netloc, *_ = urlsplit(found)
    return urlunsplit((scheme, netloc, parts.path, parts.query, ""))


def lead_requests(hosts: dict[str, str]) -> None:
    """Have the library `requests` go elsewhere."""
    import requests  # noqa: PLC0415 - not every program has it

    send = requests.Session.send

    def sent(session: Any, request: Any, **options: Any) -> Any:
        request.url = elsewhere(request.url, hosts)
        return send(session, request, **options)

    requests.Session.send = sent


def lead_httpx(hosts: dict[str, str]) -> None:
    """Have the library `httpx` go elsewhere."""
    import httpx  # noqa: PLC0415 - not every program has it

    send = httpx.AsyncHTTPTransport.handle_async_request

    async def sent(transport: Any, request: Any) -> Any:
        request.url = httpx.URL(elsewhere(str(request.url), hosts))
        request.headers["Host"] = request.url.netloc.decode()
        return await send(transport, request)

    httpx.AsyncHTTPTransport.handle_async_request = sent  # type: ignore[method-assign]
