# SPDX-License-Identifier: Apache-2.0
"""FCM's access token: a service account's signed assertion, exchanged, kept, renewed once for all who need it.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from httpclient.http1 import Answer, HttpClient, NoAnswer
from push.base import Retry

BASE_URL = "https://fcm.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
RENEW_EARLY_MS = 300_000
SHORTEST_USE_MS = 10_000
# After a refusal, and before a token that took a refused one's place and never served is replaced too.
PAUSE_MS = 5_000


@dataclass(frozen=True, slots=True)
class FcmCredentials:
    """A Firebase project's service account. `private_key` is its PEM; `base_url` is all before `/v1/projects`."""

    project_id: str
    client_email: str
    private_key: str = field(repr=False)
    private_key_id: str = ""
    base_url: str = BASE_URL
    token_url: str = TOKEN_URL


def read_service_account(service_account: str, *, base_url: str = BASE_URL, token_url: str = "") -> FcmCredentials:
    """The credentials in the JSON file that Firebase's console hands out.

    `token_url` stands in place of the file's own `token_uri`. Raises ValueError.
    """
    try:
        document = json.loads(service_account)
    except (ValueError, RecursionError):
        raise ValueError("the service account is no JSON") from None
    names = ("project_id", "client_email", "private_key")
    missing = [name for name in names if not isinstance(document, dict) or not isinstance(document.get(name), str)]
    if missing:
        raise ValueError(f"the service account has no {', '.join(missing)}")
    return FcmCredentials(
        **{name: document[name] for name in names},
        private_key_id=str(document.get("private_key_id", "")),
        base_url=base_url,
        token_url=token_url or str(document.get("token_uri") or TOKEN_URL),
    )


class FcmAuth:
    """The project's access token. It lives an hour and is renewed 5 minutes early, or when FCM refuses it.

    Raises ValueError for an invalid private key. `clock` is in milliseconds since the epoch.
    """

    def __init__(self, credentials: FcmCredentials, http: HttpClient, clock: Callable[[], int]) -> None:
        self._credentials = credentials
        self._key = rsa_key(credentials.private_key)
        self._http = http
        self._clock = clock
        self._lock = asyncio.Lock()  # one renewal for all pushes that find the token too old
        self._token = ""
        self._began_at = self._renew_at = self._ends_at = 0
        self._unproven = False
        self._refusal = Retry("")
        self._refused_until = 0

    async def token(self, *, refused: str | None = None) -> str | Retry:
        """A token other than the one `refused`, or why there is none.

        Whoever waits takes what the first one brings, a token or a refusal.
        """
        async with self._lock:
            now = self._clock()
            if self._token != refused:
                return self._token if now < self._renew_at else await self._renew(now)
            if self._unproven and 0 <= now - self._began_at < PAUSE_MS:
                return Retry("HTTP 401: token refused twice")
            self._ends_at = 0
            got = await self._renew(now)
            self._unproven = isinstance(got, str)
            return got

    def served(self, token: str) -> None:
        """Note that FCM took this token, so that its later refusal means that it has ended."""
        if token == self._token:
            self._unproven = False

    async def _renew(self, now: int) -> str | Retry:
        """Exchange an assertion for a new token; while that fails, the one at hand serves until its end."""
        if not 0 < self._refused_until - now <= PAUSE_MS:  # further ahead than that, the clock was set back
            answer = await self._http.post(
                self._credentials.token_url,
                content=urlencode({"grant_type": GRANT, "assertion": self._assertion(now // 1000)}).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            got = self._accept(answer, now)
            if isinstance(got, str):
                return got
            self._refusal, self._refused_until = got, now + PAUSE_MS
        return self._token if now < self._ends_at else self._refusal

    def _assertion(self, now: int) -> str:
        """The signed assertion; `now` is in seconds. Its audience is Google's address, whoever is asked."""
        claims = {
            "iss": self._credentials.client_email,
            "scope": SCOPE,
            "aud": TOKEN_URL,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        key_id = self._credentials.private_key_id
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": key_id} if key_id else None)

    def _accept(self, answer: Answer | NoAnswer, now: int) -> str | Retry:
        if isinstance(answer, NoAnswer):
            return Retry(f"auth: {answer.reason}")
        document = answer.json_object()
        token = document.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            said = document.get("error") if document.get("error") in OAUTH_ERRORS else ""
            return Retry(f"auth: HTTP {answer.status} {said}".strip(), after=answer.retry_after())
        seconds = document.get("expires_in")
        life_ms = 1000 * seconds if type(seconds) is int and 0 < seconds <= 86_400 else 1000 * ASSERTION_SECONDS
        self._token = token
        self._began_at, self._ends_at = now, now + life_ms
        self._renew_at = now + max(life_ms - RENEW_EARLY_MS, min(SHORTEST_USE_MS, life_ms))
        return token


# RFC 6749, section 5.2: nothing else of the answer is kept, since it may quote the assertion.
OAUTH_ERRORS = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)


def rsa_key(pem: str) -> RSAPrivateKey:
    """The key of this PEM text. Raises ValueError."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the private key is no RSA key in PEM")
    return key
