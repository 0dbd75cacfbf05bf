# SPDX-License-Identifier: Apache-2.0
"""The kinds of value that config.yaml holds, each with what it must look like. Messages follow the key's path."""

import json
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from httpclient.endpoints import parse_origin
from models.db.engine import SQLITE, parse_url
from models.db.mysql.connection import MysqlLocation
from models.origin import is_page_origin, normal_origin
from models.rates import names
from models.rates import parse as parse_rate
from push.providers.apns_auth import p256_key
from push.providers.fcm_auth import read_service_account, rsa_key
from push.providers.webpush_vapid import check_subject, parse_key
from push.webhook_signature import signing_key

REGION = re.compile(r"[1-9][0-9]{0,2}|[A-Z]{2}")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, brackets and IPv4 mapping taken off; None for a name."""
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host. Of names only "localhost": any other may resolve to anything."""
    address = address_of(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _from_file(value: Any, info: ValidationInfo) -> Any:
    """The secret itself, or what stands in the file that the key `…_file` beside it names."""
    file = info.data.get(f"{info.field_name}_file")
    if not file:
        return value
    if value:
        raise ValueError(f"is given here and by {info.field_name}_file; keep one of them")
    secret = Path(file).read_text("utf-8").strip()
    if not secret:
        raise ValueError(f"the file that {info.field_name}_file names is empty")
    return secret


def _readable(path: str) -> str:
    try:
        if path:
            Path(path).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no text") from None
    return path


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an address that begins with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or password")
    return url.rstrip("/")


def _origin(text: str) -> str:
    parse_origin(text)
    return text


def _public_url(url: str) -> str:
    if url and (normal_origin(url) is None or not url.startswith(("http://", "https://"))):
        raise ValueError("must be the address that clients call this server by, as in https://glimpse.example.org")
    return url.rstrip("/")


def _page_origin(text: str) -> str:
    origin = normal_origin(text)
    if origin is None:
        raise ValueError("must be one origin, as in https://app.example.org, with no path behind it")
    if not is_page_origin(origin):
        raise ValueError("must begin with https://, or be http://localhost, capacitor://localhost or ionic://localhost")
    return origin


def _secret_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://, since secrets travel there; http:// is for this machine alone")
    return url


def _database_url(url: str) -> str:
    try:
        location = parse_url(url)
    except ValueError as error:
        raise ValueError(f"{error}, as in {SQLITE}{{data_dir}}/glimpse.db") from None
    if isinstance(location, MysqlLocation):
        for file in filter(None, (location.ssl_cert, location.ssl_key, location.ssl_ca.removeprefix("system"))):
            _readable(file)
        if not (location.ssl_ca or location.unix_socket or is_loopback(location.host)):
            raise ValueError("needs ?ssl_ca=FILE (or ssl_ca=system) for a server that is not on this machine")
    return url


def holds_password(url: object) -> bool:
    """Whether there is one in the URL itself."""
    return isinstance(url, str) and bool(urlsplit(url).password)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":**********@", 1) if parts.password else url


def _proxy(text: str) -> str:
    try:
        names_all = ip_network(text, strict=False).prefixlen == 0
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    if names_all:
        raise ValueError("names every address there is; name the proxy alone")
    return text


def _phone(number: str) -> str:
    if not (number.startswith("+") and number[1:].isascii() and number[1:].isdigit() and 8 <= len(number) <= 16):
        raise ValueError('a number must be written like "+8613800138000", with its plus sign and in quotes')
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
    return text


def _one_of(*keys: str) -> AfterValidator:
    def check(key: str) -> str:
        if key not in keys:
            raise PydanticCustomError("extra_forbidden", "unknown")
        return key

    return AfterValidator(check)


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
    except ValueError:
        raise ValueError("is no JSON that can be read") from None


Of = TypeVar("Of")
Amount = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Lifetime = Annotated[int, Field(ge=60)]
Port = Annotated[int, Field(ge=0, le=65535)]
Workers = Annotated[int, Field(ge=1, le=64)]
PasswordBytes = Annotated[int, Field(ge=1, le=1024)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Rate = Annotated[str, AfterValidator(_rate)]
AddressRates = dict[Annotated[str, _one_of(*names("address"))], Rate]
AccountRates = dict[Annotated[str, _one_of(*names("account"))], Rate]
PhoneRates = dict[Annotated[str, _one_of(*names("phone"))], Rate]
DeviceRates = dict[Annotated[str, _one_of(*names("device"))], Rate]
ReadableFile = Annotated[str, AfterValidator(_readable)]
Secret = Annotated[SecretStr, BeforeValidator(_from_file)]
SecretHexDigits = Annotated[Secret, AfterValidator(_secret_hex)]
HexDigits = Annotated[str, AfterValidator(_hex)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
TwilioAccount = Annotated[str, AfterValidator(_twilio_account)]
TwilioKey = Annotated[str, AfterValidator(_twilio_key)]
VapidSubject = Annotated[str, AfterValidator(_subject)]
VapidPrivateKey = Annotated[Secret, AfterValidator(_vapid_key)]
WebhookSecret = Annotated[Secret, AfterValidator(_webhook_secret)]
ApnsPrivateKey = Annotated[Secret, AfterValidator(_apns_key)]
ServiceAccount = Annotated[Secret, AfterValidator(_service_account)]
AppName = Annotated[str, AfterValidator(_app_name)]
Apps = dict[AppName, Of]
VendorOptions = dict[str, dict[str, Any]]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
PageOrigins = Annotated[tuple[Annotated[str, AfterValidator(_page_origin)], ...], BeforeValidator(_list)]
SecretUrl = Annotated[HttpUrl, AfterValidator(_secret_url)]
Phone = Annotated[str, AfterValidator(_phone)]
Code = Annotated[SecretStr, AfterValidator(_code)]
TestNumbers = dict[Phone, Code]
Proxies = Annotated[tuple[Annotated[str, AfterValidator(_proxy)], ...], BeforeValidator(_list)]
Regions = Annotated[tuple[Annotated[str, BeforeValidator(_region)], ...], BeforeValidator(_list)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_list)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url), PlainSerializer(_without_password, when_used="json")]
