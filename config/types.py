# SPDX-License-Identifier: Apache-2.0
"""The kinds of value that config.yaml holds, each with what it must look like. Messages follow the key's path."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from config import addresses, files
from config.sources import find, shipped
from httpclient.endpoints import parse_origin
from models.rates import parse as parse_rate
from push.providers.apns_auth import p256_key
from push.providers.fcm_auth import read_service_account, rsa_key
from push.providers.webpush_vapid import check_subject, parse_key
from push.registry import VENDORS
from push.webhook_signature import signing_key

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY_PREFIX = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
REGION = re.compile(r"[1-9][0-9]{0,2}|[A-Z]{2}")
CALLING_CODES = {
    str(code)
    for code, countries in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    if countries != (phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY,)
}


def _from_file(value: Any, info: ValidationInfo) -> Any:
    """The secret itself, or what stands in the file that the key `…_file` beside it names."""
    file = info.data.get(f"{info.field_name}_file")
    if not file:
        return value
    if value:
        raise ValueError(f"is given here and by {info.field_name}_file; keep one of them")
    secret = files.read_text(file).strip()
    if not secret:
        raise ValueError(f"the file that {info.field_name}_file names is empty")
    return secret


def _readable(path: str) -> str:
    if path:
        files.read_text(path)
    return path


def _certificates(path: str) -> str:
    if path:
        files.check_certificates(path)
    return path


def _private_key(path: str) -> str:
    if path:
        files.check_private_key(path)
    return path


def _directory(given: Any) -> Any:
    """Text, or a path as the command line gives it; pydantic says what is neither."""
    if isinstance(given, str) and "{" in given:
        raise ValueError("must not hold placeholders; others may hold {data_dir}")
    return addresses.path(given) if isinstance(given, str) else given


def _origin(text: str) -> str:
    parse_origin(text)
    return text


def _bucket_name(text: str) -> str:
    """As buckets are called.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if text and not BUCKET_NAME.fullmatch(text):
        raise ValueError("must be 3 to 63 small letters, digits, dots or hyphens, as a bucket is called")
    return text


def _key_prefix(text: str) -> str:
    if text and not KEY_PREFIX.fullmatch(text):
        raise ValueError("must be words of letters, digits, dots, hyphens or underscores, with / between them")
    return text


def _word(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be written in plain ASCII, without blanks and line ends")
    return text


def _secret_word(text: SecretStr) -> SecretStr:
    _word(text.get_secret_value())
    return text


def _wake_url(url: SecretStr) -> SecretStr:
    addresses.wake_url(url.get_secret_value())
    return url


def _phone(number: str) -> str:
    if not (number.startswith("+") and number[1:].isascii() and number[1:].isdigit() and 8 <= len(number) <= 16):
        raise ValueError('a number must be written like "+8613800138000", with its plus sign and in quotes')
    if not phonenumbers.is_valid_number(phonenumbers.parse(number)):
        raise ValueError("is no number that anybody can have")
    return number


def _code(code: SecretStr) -> SecretStr:
    digits = code.get_secret_value()
    if not (digits.isascii() and digits.isdigit() and 4 <= len(digits) <= 10):
        raise ValueError('a code must be 4 to 10 digits in quotes, like "123456"')
    return code


def _region(value: Any) -> str:
    """YAML reads 86 as a number, and the country NO as no."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not REGION.fullmatch(text):
        raise ValueError('must be a calling code like 86 or a country like "CN", in quotes')
    if text not in phonenumbers.SUPPORTED_REGIONS and text not in CALLING_CODES:
        raise ValueError("is neither a country nor the calling code of one")
    return text


def _class_per(scope: str) -> AfterValidator:
    """A class of requests that config.yaml gives a rate for this scope."""

    def check(key: str) -> str:
        if key not in find(shipped()[0], "limits", "rates", f"per_{scope}"):
            raise PydanticCustomError("extra_forbidden", "unknown")
        return key

    return AfterValidator(check)


def _push_provider(name: str) -> str:
    if name not in VENDORS:
        *others, last = map(repr, VENDORS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
    return name


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _hex(digits: str) -> str:
    if digits and not re.fullmatch(r"[0-9A-Fa-f]{32}", digits):
        raise ValueError("must be 32 hex digits")
    return digits


def _secret_hex(digits: SecretStr) -> SecretStr:
    _hex(digits.get_secret_value())
    return digits


def _subject(address: str) -> str:
    if address:
        check_subject(address)
    return address


def _twilio_account(sid: str) -> str:
    if sid.startswith("SK"):
        raise ValueError("must be the account's, AC…; the SK… of an API key goes into api_key_sid")
    return sid


def _twilio_key(sid: str) -> str:
    if sid and not sid.startswith("SK"):
        raise ValueError("must be an API key's, SK…; without one leave it empty")
    return sid


def _vapid_key(key: SecretStr) -> SecretStr:
    if key.get_secret_value():
        parse_key(key.get_secret_value())
    return key


def _webhook_secret(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value():
        signing_key(secret.get_secret_value())
    return secret


def _apns_key(key: SecretStr) -> SecretStr:
    if key.get_secret_value():
        p256_key(key.get_secret_value())
    return key


def _service_account(text: SecretStr) -> SecretStr:
    if text.get_secret_value():
        rsa_key(read_service_account(text.get_secret_value()).private_key)
    return text


def _app_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise ValueError("an app's name is 1 to 64 letters, digits, dots, dashes and underscores")
    return name


def _list(value: Any) -> Any:
    """A list from the environment, where everything is text: JSON, or with commas."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith(("[", "{")):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON that can be read") from None


def _number(value: Any) -> Any:
    """Not `yes` or `on`, which YAML reads as true and Python counts as 1."""
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


Of = TypeVar("Of")
Whole = Annotated[int, BeforeValidator(_number)]
# Bounds that nothing real comes near, below which no sum of times or sizes leaves the 63 bits of a database's integer.
Count = Annotated[Whole, Field(ge=1, le=10**9)]
Percent = Annotated[Whole, Field(ge=1, le=100)]
Size = Annotated[Whole, Field(ge=1, le=1 << 50)]
SizeOrNone = Annotated[Whole, Field(ge=0, le=1 << 50)]
BufferBytes = Annotated[Whole, Field(ge=1 << 20, le=1 << 50)]
Seconds = Annotated[Whole, Field(ge=1, le=86_400)]
SecondsOrNone = Annotated[Whole, Field(ge=0, le=86_400)]
LongSeconds = Annotated[Whole, Field(ge=1, le=100 * 366 * 86_400)]
Lifetime = Annotated[Whole, Field(ge=60, le=100 * 366 * 86_400)]
Hours = Annotated[Whole, Field(ge=1, le=100 * 366 * 24)]
Days = Annotated[Whole, Field(ge=1, le=100 * 366)]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Workers = Annotated[Whole, Field(ge=1, le=64)]
PasswordBytes = Annotated[Whole, Field(ge=1, le=1024)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Word = Annotated[str, AfterValidator(_word)]
BucketName = Annotated[str, AfterValidator(_bucket_name)]
KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
Rate = Annotated[str, AfterValidator(_rate)]
PushProvider = Annotated[str, AfterValidator(_push_provider)]
AddressRates = dict[Annotated[str, _class_per("address")], Rate]
AccountRates = dict[Annotated[str, _class_per("account")], Rate]
PhoneRates = dict[Annotated[str, _class_per("phone")], Rate]
DeviceRates = dict[Annotated[str, _class_per("device")], Rate]
Host = Annotated[Text, AfterValidator(addresses.listening_host)]
BaseUrl = Annotated[str, AfterValidator(addresses.base_url)]
SecretUrl = Annotated[str, AfterValidator(addresses.url), AfterValidator(addresses.secret_url)]
SecretBaseUrl = Annotated[BaseUrl, AfterValidator(addresses.secret_url)]
PublicUrl = Annotated[str, AfterValidator(addresses.public_url)]
DatabaseUrl = Annotated[
    str, AfterValidator(addresses.database_url), PlainSerializer(addresses.without_password, when_used="json")
]
PageOrigins = Annotated[tuple[Annotated[str, AfterValidator(addresses.page_origin)], ...], BeforeValidator(_list)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_list)]
Proxies = Annotated[tuple[Annotated[str, AfterValidator(addresses.proxy)], ...], BeforeValidator(_list)]
PathText = Annotated[str, AfterValidator(addresses.path)]
Directory = Annotated[Path, BeforeValidator(_directory)]
ReadableFile = Annotated[str, AfterValidator(_readable)]
CertificateFile = Annotated[str, AfterValidator(_certificates)]
PrivateKeyFile = Annotated[str, AfterValidator(_private_key)]
Secret = Annotated[SecretStr, BeforeValidator(_from_file)]
SecretWord = Annotated[Secret, AfterValidator(_secret_word)]
SecretHexDigits = Annotated[Secret, AfterValidator(_secret_hex)]
HexDigits = Annotated[str, AfterValidator(_hex)]
TwilioAccount = Annotated[Word, AfterValidator(_twilio_account)]
TwilioKey = Annotated[Word, AfterValidator(_twilio_key)]
VapidSubject = Annotated[str, AfterValidator(_subject)]
VapidPrivateKey = Annotated[Secret, AfterValidator(_vapid_key)]
WakeUrl = Annotated[Secret, AfterValidator(_wake_url)]
WebhookSecret = Annotated[Secret, AfterValidator(_webhook_secret)]
ApnsPrivateKey = Annotated[Secret, AfterValidator(_apns_key)]
ServiceAccount = Annotated[Secret, AfterValidator(_service_account)]
AppName = Annotated[str, AfterValidator(_app_name)]
Apps = dict[AppName, Of]
VendorOptions = dict[str, dict[str, Any]]
Phone = Annotated[str, AfterValidator(_phone)]
Code = Annotated[SecretStr, AfterValidator(_code)]
TestNumbers = dict[Phone, Code]
Regions = Annotated[tuple[Annotated[str, BeforeValidator(_region)], ...], BeforeValidator(_list)]
