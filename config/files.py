# SPDX-License-Identifier: Apache-2.0
"""What must be in the files that settings name: text, certificates, private keys. Every error is a ValueError."""

import os
import ssl
import stat

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MOST_BYTES = 1 << 20
"""A system's whole list of authorities has a quarter of this."""


def read_text(path: str) -> str:
    """The text of a regular file: a pipe or a device might never end. Raises ValueError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(f"{path} is no regular file")
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no text") from None
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path} is too large for what it should hold")
    return text


def check_certificates(path: str) -> None:
    """That there are certificates in PEM, whose first is a server's own. Raises ValueError."""
    certificates(path)


def certificates(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, at least one. Raises ValueError."""
    try:
        return x509.load_pem_x509_certificates(read_text(path).encode())
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(path) else f"{path} holds no certificate in PEM") from None


def check_private_key(path: str) -> None:
    """That there is a private key in PEM which needs no passphrase. Raises ValueError."""
    text = read_text(path).encode()
    try:
        load_pem_private_key(text, password=None)
    except TypeError:
        raise ValueError(f"{path} is locked with a passphrase; give the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no private key in PEM") from None


def check_pair(cert: str, key: str) -> None:
    """That TLS can be spoken with this certificate and this key. Raises ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise ValueError(f"{key} is not the key of the certificate in {cert}") from None
        raise ValueError(f"{cert} and {key} cannot be used for TLS: {reason}") from None
