# SPDX-License-Identifier: Apache-2.0
"""The catalogue of what can go wrong for a caller.

Inner layers raise these and know no HTTP number; `handlers.errors` alone maps a kind to a status.
`code` is stable: clients match on it. `message` is the fixed title; `detail` says what to do about this case
and never repeats input or the text of an unknown exception.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import ClassVar


class Kind(Enum):
    """What sort of refusal this is; one HTTP status each."""

    MALFORMED = auto()
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    METHOD = auto()
    CONFLICT = auto()
    GONE = auto()
    TOO_LARGE = auto()
    HEADERS_TOO_LARGE = auto()
    UNSUPPORTED = auto()
    RANGE = auto()
    PRECONDITION = auto()
    CHECKSUM = auto()
    INVALID = auto()
    RATE_LIMITED = auto()
    INTERNAL = auto()
    UNAVAILABLE = auto()
    STORAGE_FULL = auto()


class AppError(Exception):
    """A refusal that the caller can read.

    `retry_after` is in seconds; `fields` are (field, message) pairs, `usual_fields` where none are given; `extra` joins
    the problem document. `cause` says what we failed at, where it is our failure: it is for the log and never reaches a
    caller.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL
    code: ClassVar[str] = "internal_error"
    message: ClassVar[str] = "Something went wrong on the server."
    usual_fields: ClassVar[Sequence[tuple[str, str]]] = ()
    cause = ""

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        fields: Sequence[tuple[str, str]] = (),
        extra: Mapping[str, int | str] | None = None,
    ) -> None:
        super().__init__(detail or self.message)
        self.detail = detail or self.message
        self.retry_after = retry_after
        self.fields = tuple(fields or self.usual_fields)
        self.extra = dict(extra or {})


class MalformedRequest(AppError):
    kind, code, message = Kind.MALFORMED, "malformed_request", "The request cannot be read."


class Unauthenticated(AppError):
    kind, code, message = Kind.UNAUTHENTICATED, "unauthenticated", "A valid credential is needed."


class TokenReused(AppError):
    kind, code, message = (
        Kind.UNAUTHENTICATED,
        "token_reused",
        "This refresh token was used before; its session has ended.",
    )


class Forbidden(AppError):
    kind, code, message = Kind.FORBIDDEN, "forbidden", "This is not allowed."


class CrossSite(AppError):
    kind, code = Kind.FORBIDDEN, "cross_site"
    message = "Pages of other sites may not do this in your name."


class ProofRequired(AppError):
    kind, code = Kind.FORBIDDEN, "proof_required"
    message = "This needs the ukey or the password, not a token."


class PhoneRequired(AppError):
    kind, code = Kind.FORBIDDEN, "phone_required"
    message = "This needs an account with a phone."


class CodeIncorrect(AppError):
    kind, code, message = Kind.FORBIDDEN, "code_incorrect", "The code is wrong."


class RecipientUnavailable(AppError):
    kind, code, message = (
        Kind.FORBIDDEN,
        "recipient_unavailable",
        "This person cannot be sent anything.",
    )


class NotFound(AppError):
    kind, code, message = Kind.NOT_FOUND, "not_found", "There is nothing here for you."


class NoPendingImage(AppError):
    kind, code, message = (
        Kind.NOT_FOUND,
        "no_pending_image",
        "No image from this sender is waiting.",
    )


class ProviderNotConfigured(AppError):
    kind, code, message = (
        Kind.NOT_FOUND,
        "provider_not_configured",
        "The server has no credentials for this provider.",
    )


class MethodNotAllowed(AppError):
    kind, code, message = Kind.METHOD, "method_not_allowed", "This address has no such method."


class Conflict(AppError):
    kind, code, message = Kind.CONFLICT, "conflict", "This contradicts what is there."


class IdempotencyConflict(AppError):
    kind, code, message = (
        Kind.CONFLICT,
        "idempotency_conflict",
        "This Idempotency-Key was used with other content.",
    )


class Taken(AppError):
    kind, code, message = Kind.CONFLICT, "taken", "This email or login is somebody's already."


class OffsetMismatch(AppError):
    kind, code, message = Kind.CONFLICT, "offset_mismatch", "The upload does not go on at this offset."


class UploadComplete(AppError):
    kind, code, message = Kind.MALFORMED, "upload_complete", "This upload has ended, and its image is sent."


class UnsupportedVersion(AppError):
    kind, code, message = Kind.PRECONDITION, "unsupported_version", "This version of tus is not spoken here."


class ChecksumMismatch(AppError):
    kind, code, message = Kind.CHECKSUM, "checksum_mismatch", "The bytes are not those of the checksum."


class Gone(AppError):
    kind, code, message = Kind.GONE, "gone", "This is no longer there."


class ActivationGone(AppError):
    kind, code, message = (
        Kind.GONE,
        "activation_gone",
        "This activation is used, expired or unknown.",
    )


class CursorExpired(AppError):
    kind, code, message = Kind.GONE, "cursor_expired", "What came after this event is no longer kept."


class NoThumbnail(AppError):
    kind, code, message = Kind.NOT_FOUND, "no_thumbnail", "This image has no preview."


class ImageConsumed(AppError):
    kind, code, message = Kind.GONE, "image_consumed", "You already have this image."


class ImageExpired(AppError):
    kind, code, message = Kind.GONE, "image_expired", "This image was not fetched in time."


class ImageRecalled(AppError):
    kind, code, message = Kind.GONE, "image_recalled", "The sender took this image back."


class ContentLost(AppError):
    kind, code, message = Kind.GONE, "content_lost", "The server no longer has this image's bytes."


class TooLarge(AppError):
    kind, code, message = Kind.TOO_LARGE, "too_large", "The request is too large."


class HeadersTooLarge(AppError):
    kind, code, message = Kind.HEADERS_TOO_LARGE, "headers_too_large", "The request's head is too large."


class ImageTooLarge(AppError):
    kind, code, message = Kind.TOO_LARGE, "image_too_large", "The image has too many bytes."


class UnsupportedType(AppError):
    kind, code, message = (
        Kind.UNSUPPORTED,
        "unsupported_type",
        "This content type or encoding is not taken here.",
    )


class UnsupportedImage(AppError):
    kind, code, message = (
        Kind.UNSUPPORTED,
        "unsupported_image",
        "The bytes are no image that is taken here.",
    )


class RangeNotSatisfiable(AppError):
    kind, code, message = Kind.RANGE, "range_not_satisfiable", "The image has no such range."


class InvalidField(AppError):
    kind, code, message = Kind.INVALID, "invalid_field", "A field is missing or wrong."


class InvalidPhone(AppError):
    kind, code, message = (
        Kind.INVALID,
        "invalid_phone",
        "This is not a phone number that can receive an SMS.",
    )


class RegionNotAllowed(AppError):
    kind, code, message = Kind.INVALID, "region_not_allowed", "No code is sent to numbers of this country."


class EndpointNotAllowed(AppError):
    kind, code, message = Kind.INVALID, "endpoint_not_allowed", "Pushes are not sent to such an address."


class MissingImage(AppError):
    kind, code, message = Kind.INVALID, "missing_image", "The image is missing or empty."
    usual_fields = (("img_file", "is missing or empty"),)


class ImageDimensions(AppError):
    kind, code, message = Kind.INVALID, "image_dimensions", "The image has too many pixels."
    usual_fields = (("img_file", "has too many pixels"),)


class EmptyGroup(AppError):
    kind, code, message = Kind.INVALID, "empty_group", "There is nobody else in this group."


class GroupTooLarge(AppError):
    kind, code, message = Kind.INVALID, "group_too_large", "A group has at most 256 members."


class RateLimited(AppError):
    kind, code, message = Kind.RATE_LIMITED, "rate_limited", "Too many requests."


class SmsLimited(RateLimited):
    code, message = "sms_limited", "Too many codes were sent."


class InboxFull(AppError):
    kind, code, message = Kind.RATE_LIMITED, "inbox_full", "The receiver's inbox is full."


class DiscoveryBudget(AppError):
    kind, code, message = (
        Kind.RATE_LIMITED,
        "discovery_budget",
        "Too many phone numbers have been asked about today.",
    )


class InternalError(AppError):
    pass


class Unavailable(AppError):
    kind, code, message = (
        Kind.UNAVAILABLE,
        "unavailable",
        "The server cannot do this now; try again.",
    )


class StorageError(Unavailable):
    """The disk refused; the upload or download that met it has failed."""


class StorageFull(AppError):
    kind, code, message = Kind.STORAGE_FULL, "storage_full", "The server has no room for images."


def cause_of(error: BaseException | None) -> str:
    """What we failed at, said by the error or by the one that it was raised from; empty where nothing failed."""
    while error is not None:
        if isinstance(error, AppError) and error.cause:
            return error.cause
        error = error.__cause__
    return ""
