# SPDX-License-Identifier: Apache-2.0
"""Files that settings may name, good ones and each kind of bad one, by the names that the table of mistakes uses."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from models.db.sqlite import migrate

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def make_all(folder: Path) -> None:
    """Fill this folder."""
    make_keys(folder)
    make_service_accounts(folder)
    make_databases(folder)
    make_data_directories(folder)
    (folder / "empty").touch()
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    (folder / "hello").write_text("hello\n")
    (folder / "two_lines").write_text("first\nsecond\n")
    (folder / "large").write_bytes(b"x" * (1 << 21))
    (folder / "twice.yaml").write_text("server: {port: 1}\nserver: {port: 2}\n")
    (folder / "endless.yaml").write_text("server: &s\n  tls: *s\n")
    (folder / "deep.yaml").write_text("server: " + "[" * 5000)
    (folder / "date.yaml").write_text("data_dir: 2024-99-99\n")
    (folder / "object.yaml").write_text("server: !!python/object:os.system {}\n")


def make_keys(folder: Path) -> None:
    first = make_pair(folder, "tls")
    make_pair(folder, "weak", rsa.generate_private_key(65537, 1024))
    write_key(folder / "other.key", ec.generate_private_key(ec.SECP256R1()))
    write_key(folder / "p384.key", ec.generate_private_key(ec.SECP384R1()))
    write_key(folder / "locked.key", first, passphrase=b"open sesame")
    (folder / "cut.key").write_bytes((folder / "tls.key").read_bytes()[:100])
    (folder / "cut.crt").write_bytes((folder / "tls.crt").read_bytes()[:300])


def make_pair(folder: Path, name: str, key: Private | None = None, *, from_: datetime | None = None) -> Private:
    """A certificate of two hours, from an hour ago unless that is said, and its key; the key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    begin = from_ or datetime.now(UTC) - timedelta(hours=1)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(begin).not_valid_after(begin + timedelta(hours=2))
    certificate = dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(certificate)
    write_key(folder / f"{name}.key", key)
    return key


def write_key(file: Path, key: Private, *, passphrase: bytes = b"") -> None:
    file.write_bytes(pem(key, passphrase=passphrase))
    file.chmod(0o600)


def pem(key: Private, *, passphrase: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


def make_service_accounts(folder: Path) -> None:
    key = pem(rsa.generate_private_key(65537, 2048)).decode()
    good = {"project_id": "p", "client_email": "e@p.example", "private_key": key}
    wrong = {
        "account": good,
        "account_list": [],
        "account_without_key": {"project_id": "p", "client_email": "e"},
        "account_with_ec_key": {**good, "private_key": (folder / "tls.key").read_text()},
        "account_with_cut_key": {**good, "private_key": key[:200]},
    }
    for name, document in wrong.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    (folder / "account_cut.json").write_text(json.dumps(good)[:50])
    (folder / "account_deep.json").write_text("[" * 100_000)


def make_databases(folder: Path) -> None:
    (folder / "text.db").write_text("This is no database.\n" * 100)
    (folder / "zeros.db").write_bytes(bytes(8192))
    (folder / "directory.db").mkdir()
    for name in ("newer", "torn", "headless"):
        migrate.run(folder / f"{name}.db")
    run(folder / "newer.db", "INSERT INTO migrations (step, statement) VALUES (9999, 0)")
    run(folder / "torn.db", "PRAGMA journal_mode = DELETE")
    run(folder / "headless.db", "PRAGMA journal_mode = DELETE")
    whole = (folder / "torn.db").read_bytes()
    (folder / "torn.db").write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    (folder / "headless.db").write_bytes(b"\0" * 100 + whole[100:])
    run(folder / "shop.db", "CREATE TABLE orders (id INTEGER)")
    run(folder / "blog.db", "CREATE TABLE migrations (name TEXT)")


def run(database: Path, statement: str) -> None:
    with closing(apsw.Connection(str(database))) as connection:
        connection.execute(statement).fetchall()


def make_data_directories(folder: Path) -> None:
    for name in ("torn_ring", "list_ring", "open_ring", "directory_ring", "torn_vapid", "open_vapid", "lost_ring"):
        (folder / name).mkdir()
    (folder / "torn_ring" / "keys.json").write_text('{"format": 1, "data_')
    (folder / "list_ring" / "keys.json").write_text("[]")
    (folder / "open_ring" / "keys.json").write_text("{}")
    (folder / "directory_ring" / "keys.json").mkdir()
    (folder / "torn_vapid" / "vapid.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1()))[:80])
    (folder / "open_vapid" / "vapid.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    for private in ("torn_ring/keys.json", "list_ring/keys.json", "torn_vapid/vapid.pem"):
        (folder / private).chmod(0o600)
    for public in ("open_ring/keys.json", "open_vapid/vapid.pem"):
        (folder / public).chmod(0o644)
    migrate.run(folder / "lost_ring" / "glimpse.db")
    account = "INSERT INTO users (nickname, phone_cipher, reg_time, seen_at) VALUES ('Ann', x'00', 1, 1)"
    run(folder / "lost_ring" / "glimpse.db", account)
    (folder / "a_file").touch()
    (folder / "a_link").symlink_to(folder / "a_link")
    (folder / "far_link").symlink_to("x" * 300)
