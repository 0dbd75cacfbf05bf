# SPDX-License-Identifier: Apache-2.0
"""APNs' provider token: an ES256 JWT of our own signing, kept as long as Apple wants it kept.

https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PRODUCTION_URL = "https://api.push.apple.com"
SANDBOX_URL = "https://api.sandbox.push.apple.com"
# Apple refuses a token after 60 minutes, and a new one within 20.
KEPT_MS = 50 * 60_000
SHORTEST_MS = 20 * 60_000


@dataclass(frozen=True, slots=True)
class ApnsCredentials:
    """A team's signing key and one app of it. `private_key` is the PEM of the .p8 file, `topic` the bundle id.

    `base_url`, all before `/3/device`, stands in place of Apple's host; `ca_file` holds the certificates to trust
    there. `background` wakes the app and shows nothing: Apple holds back what is more than a few an hour.
    """

    team_id: str
    key_id: str
    private_key: str = field(repr=False)
    topic: str
    sandbox: bool = False
    base_url: str = ""
    ca_file: Path | str | None = None
    background: bool = False

    @property
    def url(self) -> str:
        """All before the path of a call."""
        return self.base_url.rstrip("/") or (SANDBOX_URL if self.sandbox else PRODUCTION_URL)


class ApnsAuth:
    """The provider token. Raises ValueError for an invalid private key. `clock` is in milliseconds."""

    def __init__(self, credentials: ApnsCredentials, clock: Callable[[], int]) -> None:
        self._credentials = credentials
        self._key = p256_key(credentials.private_key)
        self._clock = clock
        self._token = ""
        self._made_at = 0
        self._unproven = False

    def token(self) -> str:
        """The token to send with."""
        if not self._token or not 0 <= self._clock() - self._made_at < KEPT_MS:
            self._make(unproven=False)
        return self._token

    def after_refusal(self, refused: str) -> str | None:
        """A token other than the one that APNs called expired; None where a new one would fare no better.

        A token that took the place of a refused one and never served is kept for 20 minutes: then our clock is
        wrong, and a new one for every push would only earn us a 429.
        """
        if self._token == refused:
            if self._unproven and 0 <= self._clock() - self._made_at < SHORTEST_MS:
                return None
            self._make(unproven=True)
        return self._token

    def served(self, token: str) -> None:
        """Note that APNs took this token, so that its later refusal means that it has ended."""
        if token == self._token:
            self._unproven = False

    def _make(self, *, unproven: bool) -> None:
        self._made_at, self._unproven = self._clock(), unproven
        claims = {"iss": self._credentials.team_id, "iat": self._made_at // 1000}
        headers = {"kid": self._credentials.key_id}
        self._token = jwt.encode(claims, self._key, algorithm="ES256", headers=headers)


def p256_key(pem: str) -> EllipticCurvePrivateKey:
    """The key of this PEM text. Raises ValueError."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("the private key is no P-256 key in PEM")
    return key
