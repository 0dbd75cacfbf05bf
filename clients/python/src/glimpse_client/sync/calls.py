# SPDX-License-Identifier: Apache-2.0
# Made by generate_sync.py of the module of this name in glimpse_client.aio: change that one.
"""Requests that are repeated until there is an answer, and credentials that are renewed meanwhile."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import httpx

from glimpse_client.data import Credentials, Session, read
from glimpse_client.errors import CredentialsMissing, Refused
from glimpse_client.platform_sync import Lock, sleep
from glimpse_client.protocol import Tries, as_json, authorization, refusal

TIMEOUT = httpx.Timeout(30, connect=10)
"""Seconds without a byte. Streams of events have their own."""
USER_AGENT = "glimpse-client-python"

Body = Callable[[], dict[str, Any]]
"""Makes the arguments of httpx that hold a body; called anew for each try."""
Alone = Callable[[], AbstractContextManager[Session | None]]
"""Keeps other programs from renewing the same session for the length of a block; gives what is stored of it."""


class Calls:
    """The way to one server, as one person. `keep` is told each new session before it is used.

    `alone` is entered while a session is renewed.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | Session | None,
        keep: Callable[[Session], object] | None,
        alone: Alone = nullcontext,
        patience: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT, transport=transport, headers={"User-Agent": USER_AGENT})
        self.credentials = credentials
        self.keep = keep
        self.alone = alone
        self.patience = patience
        self._renewing = Lock()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body = dict,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        anonymous: bool = False,
    ) -> httpx.Response:
        """The first answer below 400. Raises Refused, Unreachable, CredentialsMissing."""
        tries = Tries(self.patience, repeatable)
        while True:
            try:
                return self.try_once(method, path, body, headers=headers, params=params, anonymous=anonymous)
            except (httpx.TransportError, Refused) as error:
                pause = self.pause(tries, error, anonymous=anonymous)
            sleep(pause)

    def try_once(
        self,
        method: str,
        path: str,
        body: Body = dict,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        anonymous: bool = False,
    ) -> httpx.Response:
        """The answer below 400 of one try. Raises Refused, httpx.TransportError, CredentialsMissing."""
        sent = {**(headers or {}), **({} if anonymous else self.who())}
        reply = self.http.request(method, path, headers=sent, params=params, **body())
        if reply.status_code >= 400:
            raise refusal(reply.status_code, reply.headers, reply.content)
        return reply

    def pause(self, tries: Tries, error: httpx.TransportError | Refused, *, anonymous: bool = False) -> float:
        """Seconds to wait before the next try; a session that has run out is renewed. Raises Refused, Unreachable."""
        if isinstance(error, httpx.TransportError):
            return tries.pause_after_break(error)
        if not anonymous and not tries.renewed and self.renew(error):
            tries.renewed = True
            return 0
        return tries.pause_after_refusal(error)

    def ask_json(self, method: str, path: str, document: Any = None, **options: Any) -> Any:
        """What the answer's JSON says, None where it has none."""
        body: Body = dict if document is None else lambda: {"json": document}
        return as_json((self.ask(method, path, body=body, **options)).content)

    @contextmanager
    def open(
        self, path: str, *, headers: Mapping[str, str], params: Mapping[str, Any], silence: float | None = None
    ) -> Iterator[httpx.Response]:
        """One try of a GET whose answer is read piece by piece; `silence` is the longest wait for a piece, in seconds.

        Raises Refused, httpx.TransportError.
        """
        timeout = TIMEOUT if silence is None else httpx.Timeout(silence, connect=10)
        sent = {**headers, **self.who()}
        with self.http.stream("GET", path, headers=sent, params=params, timeout=timeout) as reply:
            if reply.status_code >= 400 and reply.status_code != 416:
                raise refusal(reply.status_code, reply.headers, reply.read())
            yield reply

    def who(self) -> dict[str, str]:
        """The header that says who is calling. Raises CredentialsMissing."""
        if self.credentials is None:
            raise CredentialsMissing("register, activate or log in first")
        return {"Authorization": authorization(self.credentials)}

    def renew(self, refused: Refused) -> bool:
        """Whether this was refused because a session had run out, and there is a fresh one now. Raises Refused."""
        if not isinstance(self.credentials, Session) or (refused.status, refused.code) != (401, "unauthenticated"):
            return False
        spent = self.credentials
        with self._renewing:
            if self.credentials is spent:  # nobody else has renewed it meanwhile
                with self.alone() as stored:
                    if stored is None or stored.refresh_token == spent.refresh_token:
                        self.begin(self._renewed(spent))
                    else:  # another program has
                        self.credentials = stored
        return True

    def _renewed(self, spent: Session) -> Session:
        document = {"refresh_token": spent.refresh_token}
        return read(Session, self.ask_json("POST", "/v1/tokens/refresh", document, anonymous=True))

    def begin(self, session: Session) -> None:
        """Go by this session from now on."""
        if self.keep is not None:
            self.keep(session)
        self.credentials = session
