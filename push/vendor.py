# SPDX-License-Identifier: Apache-2.0
"""What the server knows of a push vendor: a `Vendor`, declared in the provider's module, listed by `push.registry`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from httpclient.endpoints import Endpoints
from httpclient.http1 import ANSWER_SECONDS, HttpClient
from push.base import Provider, VisibleText
from push.host_shares import Shares
from push.tokens import TokenReader

Settings = Mapping[str, Any]
"""What the section `push.NAME` of config.yaml says, by its keys; a secret as text, wherever it came from."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What providers are built with. `text` is what phones show beside a payload.

    `endpoints` judges the URLs that devices name, `shares` bounds the calls to their hosts.
    """

    endpoints: Endpoints
    shares: Shares
    text: VisibleText
    answer_seconds: float = ANSWER_SECONDS

    def client_to_vendor(self) -> HttpClient:
        """Asks whatever address the configuration names."""
        return HttpClient(answer_seconds=self.answer_seconds)

    def client_to_devices(self) -> HttpClient:
        """Asks no address that devices must not name."""
        return HttpClient(endpoints=self.endpoints, answer_seconds=self.answer_seconds)


@dataclass(frozen=True, slots=True)
class Vendor:
    """`name` is the provider's in config.yaml, in the API and in the database.

    `token` says in the API's description what an app registers, `read_token` reads it. `build` raises ValueError for an
    invalid key, and OSError for a file that cannot be read. `made_up_token` is in the form of a token, and no device
    has it: a vendor that says so of a push has taken our keys first.
    """

    name: str
    token: str
    read_token: TokenReader
    build: Callable[[Settings, Tools], Provider]
    made_up_token: str | None = None
