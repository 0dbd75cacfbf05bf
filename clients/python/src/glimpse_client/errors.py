# SPDX-License-Identifier: Apache-2.0
"""What can go wrong: the server refuses, cannot be reached, or its bytes arrive damaged."""

from dataclasses import dataclass


class GlimpseError(Exception):
    """Any failure of this library's own."""


class Unreachable(GlimpseError):
    """No answer within the client's patience; `__cause__` is what the last try met.

    What was asked may have been done all the same, unless it is repeated with the same `idempotency_key`.
    """


class DamagedImage(GlimpseError):
    """Twice the bytes were not those that `Repr-Digest` names. Nothing was acknowledged: the image still waits."""


class CredentialsMissing(GlimpseError):
    """The call is for somebody, and the client is nobody yet: register, activate or log in first."""


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    field: str
    message: str


class Refused(GlimpseError):
    """The server's answer is a problem document (RFC 9457). Match on `code`, which is stable; `detail` is for people.

    `retry_after` is in seconds; None where the server names no time.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        fields: tuple[FieldProblem, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts_left: int | None = None,
    ) -> None:
        said = "; ".join(f"{each.field}: {each.message}" for each in fields)
        super().__init__(f"{code}: {detail}" + (f" ({said})" if said else ""))
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields
        self.request_id = request_id
        self.retry_after = retry_after
        self.attempts_left = attempts_left
