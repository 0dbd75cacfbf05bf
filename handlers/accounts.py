# SPDX-License-Identifier: Apache-2.0
"""Registration, activation and the caller's own account, as `operations/accounts.yaml` describes them."""

from contextlib import aclosing
from dataclasses import asdict

from handlers.base import BaseHandler
from handlers.route import ANYBODY, PERSON, Route
from models.errors import NotFound
from models.ids import parse_id
from services.accounts.account_issuing import Issued
from services.fields import read_flag

MIN_KEY_CHARACTERS = 22
"""128 bits in base64: a repeat with the key gets a ukey, so that a key must not be guessed."""
LEAST_BYTES = 8 * 1024
"""Less of an export waits for more: most of its lists are short."""


class RegisterHandler(BaseHandler):
    """POST /v1/register."""

    async def post(self) -> None:
        key = self.idempotency_key(MIN_KEY_CHARACTERS)
        answer = await self.services.accounts.register(self.fields(), key, self.address)
        if isinstance(answer, Issued):
            self.reply(201, {"uid": answer.uid, "ukey": answer.ukey, "phone_hash": answer.phone_hash})
        else:
            self.reply(202, asdict(answer))


class ActivationHandler(BaseHandler):
    """POST /v1/activations/{activation_id}."""

    async def post(self, activation_id: str) -> None:
        key = self.idempotency_key(MIN_KEY_CHARACTERS)
        issued = await self.services.activation.confirm(activation_id, self.fields(), key)
        body = {"uid": issued.uid, "ukey": issued.ukey, "phone_hash": issued.phone_hash}
        self.reply(201, {**body, "retrieved": issued.retrieved})


class ActivationResendHandler(BaseHandler):
    """POST /v1/activations/{activation_id}/resend."""

    async def post(self, activation_id: str) -> None:
        self.reply(202, asdict(await self.services.activation.resend(activation_id, self.address)))


class MeHandler(BaseHandler):
    """GET, PATCH and DELETE /v1/me."""

    async def get(self) -> None:
        self.reply(200, await self.services.accounts.me(self.uid))

    async def patch(self) -> None:
        self.reply(200, await self.services.accounts.patch_me(self.uid, self.fields()))

    async def delete(self) -> None:
        await self.services.account_deletion.leave(self.uid)
        self.reply(204)


class ExportHandler(BaseHandler):
    """GET /v1/me/export: written piece by piece, as fast as the client takes it."""

    async def get(self) -> None:
        async with aclosing(self.services.export.pieces(self.uid)) as pieces:
            self.write(await anext(pieces))
            self.connection.pace()
            self.set_header("Content-Disposition", f'attachment; filename="glimpse-{self.uid}.json"')
            waiting = 0
            async for piece in pieces:
                self.write(piece)
                waiting += len(piece)
                if waiting >= LEAST_BYTES:
                    waiting = 0
                    await self.flush_within(self.services.settings.stall_seconds)
                    await self.services.turns.take()
        self.finish()


class UkeyHandler(BaseHandler):
    """POST /v1/me/ukey."""

    async def post(self) -> None:
        # A repeat is safe without the key, which is only held to its form.
        self.idempotency_key(MIN_KEY_CHARACTERS)
        assert self.caller
        fields = self.fields()
        end_other_sessions = read_flag(fields, "end_other_sessions")
        await self.services.passwords.prove(self.caller, fields.get("password"), self.address)
        ukey = await self.services.accounts.renew_ukey(self.caller, end_other_sessions=end_other_sessions)
        self.reply(201, {"uid": self.caller.uid, "ukey": ukey, "phone_hash": self.caller.phone_hash})


class UserHandler(BaseHandler):
    """GET /v1/users/{uid}."""

    async def get(self, uid: str) -> None:
        wanted = parse_id(uid)
        if wanted is None:
            raise NotFound
        self.reply(200, await self.services.accounts.get_user(wanted))


ROUTES = (
    Route("POST", "/v1/register", RegisterHandler, ANYBODY, "register", "register"),
    Route("POST", "/v1/activations/{activation_id}", ActivationHandler, ANYBODY, "code", "activate"),
    Route("POST", "/v1/activations/{activation_id}/resend", ActivationResendHandler, ANYBODY, "code", "resendCode"),
    Route("GET", "/v1/me", MeHandler, PERSON, "default", "getMe"),
    Route("PATCH", "/v1/me", MeHandler, PERSON, "default", "patchMe", without_room=True),
    Route("DELETE", "/v1/me", MeHandler, PERSON, "default", "deleteMe"),
    Route("GET", "/v1/me/export", ExportHandler, PERSON, "export", "exportMe"),
    Route("POST", "/v1/me/ukey", UkeyHandler, PERSON, "default", "renewUkey", without_room=True),
    Route("GET", "/v1/users/{uid}", UserHandler, PERSON, "default", "getUser"),
)
