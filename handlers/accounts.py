# SPDX-License-Identifier: Apache-2.0
"""Registration, activation and the caller's own account: section 1 of the HTTP contract."""

from dataclasses import asdict

from handlers.base import BaseHandler
from models.errors import NotFound
from models.ids import parse_id
from services.enrolment import Issued

MIN_KEY_CHARACTERS = 22


class RegisterHandler(BaseHandler):
    """POST /v1/register."""

    async def post(self) -> None:
        key = self.idempotency_key(MIN_KEY_CHARACTERS)
        answer = await self.services.accounts.register(self.fields(), key)
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
        self.reply(202, asdict(await self.services.activation.resend(activation_id)))


class MeHandler(BaseHandler):
    """GET and PATCH /v1/me."""

    async def get(self) -> None:
        self.reply(200, await self.services.accounts.me(self.uid))

    async def patch(self) -> None:
        self.reply(200, await self.services.accounts.patch_me(self.uid, self.fields()))


class UkeyHandler(BaseHandler):
    """POST /v1/me/ukey."""

    async def post(self) -> None:
        # A repeat is safe without the key, which is only held to its form.
        self.idempotency_key(MIN_KEY_CHARACTERS)
        assert self.caller
        ukey = await self.services.accounts.renew_ukey(self.caller)
        self.reply(201, {"uid": self.caller.uid, "ukey": ukey, "phone_hash": self.caller.phone_hash})


class UserHandler(BaseHandler):
    """GET /v1/users/{uid}."""

    async def get(self, uid: str) -> None:
        wanted = parse_id(uid)
        if wanted is None:
            raise NotFound
        self.reply(200, await self.services.accounts.get_user(wanted))
