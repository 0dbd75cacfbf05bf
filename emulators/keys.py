# SPDX-License-Identifier: Apache-2.0
"""Key material of the emulators: made on the spot, kept in a directory where the next start finds it again."""

import ipaddress
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Key = TypeVar("Key", ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)
CERTIFICATE_DAYS = 90


def p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: PrivateKey) -> str:
    """The private key as PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def kept(path: Path, make: Callable[[], Key]) -> Key:
    """The key in this file, which is made where there is none."""
    try:
        return load_pem_private_key(path.read_bytes(), password=None)  # type: ignore[return-value]
    except FileNotFoundError:
        key = make()
        write(path, pem(key))
        return key


def write(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, and its directory where it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def keep_certificate(path: Path, key: ec.EllipticCurvePrivateKey, host: str) -> None:
    """Have a self-signed certificate in this file, good for this host, `localhost` and 127.0.0.1 for a day or more.

    It is kept while it serves, so that who read it need not read it again.
    """
    names = x509.SubjectAlternativeName(
        [_general_name(name) for name in sorted({"localhost", "127.0.0.1", host})],
    )
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        known = None
    if (
        known is None
        or known.public_key() != key.public_key()
        or known.not_valid_after_utc < datetime.now(UTC) + timedelta(days=1)
        or known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value != names
    ):
        write(path, _certificate(key, names))


def _certificate(key: ec.EllipticCurvePrivateKey, names: x509.SubjectAlternativeName) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulator")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(Encoding.PEM).decode()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
