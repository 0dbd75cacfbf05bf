# SPDX-License-Identifier: Apache-2.0
"""The Agora sample, as docs/samples.md describes it. Every answer has a `code`, which is its HTTP status."""

from typing import Any

from handlers import errors
from handlers.route import ANYBODY, Route
from handlers.samples.base import ShapedHandler, account_name
from models.errors import AppError, InvalidField, NotFound, Unauthenticated
from models.user import UserId
from services.accounts.session_ids import new_session_id
from services.chat import Pass, read_wanted

AGORA = "agora"
BOOLEANS = {"true": True, "false": False}


class AgoraHandler(ShapedHandler):
    """What the sample's three calls share."""

    def failure(self, error: AppError) -> dict[str, Any]:
        return {"code": int(errors.STATUS[error.kind]), "errorInfo": error.code}

    def credentials(self) -> dict[str, Any]:
        """The account and password of the body, as native fields. Raises MalformedRequest, InvalidField."""
        fields = self.fields()
        kind, text = account_name("userAccount", fields.get("userAccount"))
        return {kind.value: text, "password": fields.get("userPassword")}

    async def grant(self, uid: UserId, **wanted: object) -> Pass:
        """A token of this person's. Raises InvalidField, RateLimited, ProviderNotConfigured, Unavailable."""
        checked = read_wanted({"provider": AGORA, **wanted})
        await self.services.limits.check("chat_token", address=None, uid=uid)
        return await self.services.chat.token(uid, checked)


class AgoraRegisterHandler(AgoraHandler):
    """POST /app/user/register."""

    async def post(self) -> None:
        least = self.services.settings.samples.min_password_bytes
        uid, _ = await self.services.passwords.sign_up(self.credentials(), self.address, min_password_bytes=least)
        await self.services.chat.username(uid, AGORA)
        self.reply(200, {"code": 200})


class AgoraLoginHandler(AgoraHandler):
    """POST /app/user/login."""

    async def post(self) -> None:
        uid, pair = await self.services.passwords.log_in(self.credentials(), self.address, new_session_id)
        given = await self.grant(uid)
        self.set_header("X-Session-Token", pair.refresh_token)
        self.reply(200, shown(given))


class AgoraTokenHandler(AgoraHandler):
    """GET /token, for anybody's account where the operator leaves it open, else for the caller's own."""

    async def get(self) -> None:
        query = self.query("userAccount", "channelName", "publisherRole")
        kind, text = account_name("userAccount", query.get("userAccount"))
        if "channelName" not in query:
            raise InvalidField(fields=[("channelName", "must be text")])
        role = BOOLEANS.get(query.get("publisherRole", "false").lower())
        self.services.chat.check_configured(AGORA)
        uid = await self.services.accounts.find_by_name(kind, text)
        if self.caller is not None and self.caller.uid != uid:
            raise NotFound
        given = await self.grant(uid, channel=query["channelName"], publisher=role)
        self.reply(200, {**shown(given), "agoraUid": str(uid)})

    async def admit(self) -> None:
        await super().admit()
        if not self.services.settings.samples.agora_open_token:
            scheme, _, session_id = self.request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated
            self.caller = await self.services.session_ids.caller(session_id.strip())


def shown(given: Pass) -> dict[str, Any]:
    """A token as the sample has it."""
    return {
        "code": 200,
        "accessToken": given.token.token,
        "expireTimestamp": given.token.expires_at,
        "chatUserName": given.chat_username,
    }


ROUTES = (
    Route("POST", "/app/user/register", AgoraRegisterHandler, ANYBODY, "register", "agoraRegister", sample=True),
    Route("POST", "/app/user/login", AgoraLoginHandler, ANYBODY, "login", "agoraLogIn", sample=True, without_room=True),
    Route("GET", "/token", AgoraTokenHandler, ANYBODY, "default", "agoraToken", sample=True),
)
