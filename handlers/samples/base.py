# SPDX-License-Identifier: Apache-2.0
"""What the front doors for the sample clients share, as docs/samples.md describes it."""

import json
from abc import abstractmethod
from typing import Any

from handlers import bodies, errors
from handlers.base import BaseHandler
from models.errors import AppError, InvalidField
from models.login import NameKind


class SampleHandler(BaseHandler):
    """A handler whose clients were written for another back end."""

    def fields(self) -> dict[str, Any]:
        """As everywhere; what looks like JSON is read as such, since those back ends never asked for its type."""
        body = b"".join(self._body)
        return bodies.json_object(body) if body.lstrip()[:1] == b"{" else super().fields()


class ShapedHandler(SampleHandler):
    """A handler whose refusals are the sample's, whoever raised them and when."""

    @abstractmethod
    def failure(self, error: AppError) -> dict[str, Any]:
        """The body of a refusal."""

    def write_problem(self, error: AppError) -> None:
        self.set_status(errors.STATUS[error.kind])
        for name, value in errors.headers(error, browser="Sec-Fetch-Mode" in self.request.headers).items():
            self.set_header(name, value)
        body = json.dumps(self.failure(error)).encode()
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)


def account_name(field_name: str, value: object) -> tuple[NameKind, str]:
    """What somebody calls their account, which may be an email or a login. Raises InvalidField."""
    if not isinstance(value, str):
        raise InvalidField(fields=[(field_name, "must be text")])
    return (NameKind.EMAIL if "@" in value else NameKind.LOGIN), value
