# SPDX-License-Identifier: Apache-2.0
"""Password accounts and tokens, as `operations/tokens.yaml` describes them."""

from typing import Any

from handlers.base import BaseHandler
from handlers.route import ANYBODY, PERSON, Route
from models.errors import InvalidField
from services.accounts.sessions import TokenPair


class SignupHandler(BaseHandler):
    """POST /v1/signup."""

    async def post(self) -> None:
        uid, pair = await self.services.passwords.sign_up(self.fields(), self.address)
        self.reply(201, {"uid": uid, **shown(pair)})


class LoginHandler(BaseHandler):
    """POST /v1/login."""

    async def post(self) -> None:
        _, pair = await self.services.passwords.log_in(self.fields(), self.address)
        self.reply(200, shown(pair))


class TokensHandler(BaseHandler):
    """POST /v1/tokens."""

    async def post(self) -> None:
        assert self.caller
        self.reply(200, shown(await self.services.tokens.open(self.caller)))


class RefreshHandler(BaseHandler):
    """POST /v1/tokens/refresh."""

    async def post(self) -> None:
        refresh_token = self.fields().get("refresh_token")
        if not isinstance(refresh_token, str):
            raise InvalidField(fields=[("refresh_token", "must be text")])
        self.reply(200, shown(await self.services.tokens.refresh(refresh_token)))


class LogoutHandler(BaseHandler):
    """POST /v1/logout."""

    async def post(self) -> None:
        assert self.caller
        await self.services.tokens.close(self.caller)
        self.reply(204)


class PasswordHandler(BaseHandler):
    """PUT /v1/me/password."""

    async def put(self) -> None:
        assert self.caller
        await self.services.passwords.change(self.caller, self.fields(), self.address)
        self.reply(204)


class CredentialsHandler(BaseHandler):
    """PUT /v1/me/credentials."""

    async def put(self) -> None:
        assert self.caller
        await self.services.passwords.add_name(self.caller, self.fields(), self.address)
        self.reply(204)


def shown(pair: TokenPair) -> dict[str, Any]:
    """The pair as section 6 has it."""
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_at": pair.expires_at,
        "refresh_token": pair.refresh_token,
    }


ROUTES = (
    Route("POST", "/v1/signup", SignupHandler, ANYBODY, "register", "signUp"),
    Route("POST", "/v1/login", LoginHandler, ANYBODY, "login", "logIn", without_room=True),
    Route("POST", "/v1/tokens", TokensHandler, PERSON, "default", "openSession", without_room=True),
    Route("POST", "/v1/tokens/refresh", RefreshHandler, ANYBODY, "default", "refreshTokens", without_room=True),
    Route("POST", "/v1/logout", LogoutHandler, PERSON, "default", "logOut", without_room=True),
    Route("PUT", "/v1/me/password", PasswordHandler, PERSON, "password", "changePassword", without_room=True),
    Route("PUT", "/v1/me/credentials", CredentialsHandler, PERSON, "password", "putCredentials", without_room=True),
)
