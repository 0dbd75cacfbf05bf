# SPDX-License-Identifier: Apache-2.0
"""Proxies in front of a server, as operators run them, and what each says that it passed on."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support import ROOT

PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/sbin:/bin"
NAMES = ("nginx", "haproxy", "caddy")


Reader = Callable[[str], tuple[str, str] | None]
Maker = Callable[[Path, int, int, Path], tuple[list[str], Reader]]


@dataclass(frozen=True)
class Proxy:
    """One that runs. `passed_on` are the requests of its access log, as method and path."""

    port: int
    log: Path
    read: Reader

    def passed_on(self) -> list[tuple[str, str]]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [found for line in lines if (found := self.read(line))]


def missing() -> list[str]:
    return [name for name in NAMES if not shutil.which(name, path=PATH)]


@contextmanager
def proxy(name: str, folder: Path, server_port: int, images: Path | None = None) -> Iterator[Proxy]:
    """It runs for the length of a block, with all patience cut to a second. nginx sends what is in `images` itself."""
    port, log = _free_port(), folder / "proxy.log"
    log.touch()
    makers: dict[str, Maker] = {"nginx": partial(_nginx, images=images), "haproxy": _haproxy, "caddy": _caddy}
    command, read = makers[name](folder, port, server_port, log)
    binary = shutil.which(name, path=PATH)
    assert binary
    home = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "out").open("w") as out, log.open("a") as lines:
        stdout, stderr = lines if name == "haproxy" else out, lines if name == "caddy" else out
        process = subprocess.Popen([binary, *command], stdout=stdout, stderr=stderr, env=home)
        try:
            _wait_for(port, process, folder / "out")
            yield Proxy(port, log, read)
        finally:
            process.terminate()
            process.wait(10)


def _plain(line: str) -> tuple[str, str] | None:
    found = re.search(r"PASSED (\S+) (\S+)", line)
    return (found[1], found[2]) if found else None


def _nginx(
    folder: Path, port: int, server_port: int, log: Path, images: Path | None = None
) -> tuple[list[str], Reader]:
    """The server block of docs/install.md, without its TLS, and that of docs/nginx.md for images."""
    [block] = blocks("install")
    assert "proxy_pass" in block, "the documented nginx is elsewhere"
    if images is not None:
        _, sends_images = blocks("nginx")
        assert "alias /srv/glimpse/images/;" in sends_images
        inner = sends_images.replace("alias /srv/glimpse/images/;", f"alias {images}/;")
        block = block.rstrip().removesuffix("}") + inner + "}\n"
    block = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", block)
    block = re.sub(r"\n *ssl_certificate[^\n]*", "", block).replace(":8080", f":{server_port}")
    conf = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
    temporary += "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("uwsgi", "scgi"))
    patience = "client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s; lingering_timeout 1s;"
    conf.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {}\nhttp {\n"
        f"log_format passed 'PASSED $request_method $request_uri $upstream_status';\n"
        f"map $upstream_status $passed {{ '' 0; default 1; }}\n"
        f"access_log {log} passed if=$passed;\n{temporary}{patience}\n{block}}}\n"
    )
    return ["-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log")], _plain


def blocks(page: str) -> list[str]:
    """What a page of docs has nginx be told."""
    return re.findall(r"```nginx\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL)


def _haproxy(folder: Path, port: int, server_port: int, log: Path) -> tuple[list[str], Reader]:  # noqa: ARG001
    conf = folder / "haproxy.cfg"
    conf.write_text(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n"
        '  log-format "PASSED %HM %HU %b/%s"\n'
        "  timeout client 1s\n  timeout server 5s\n  timeout connect 5s\n  timeout http-request 1s\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend glimpse\n"
        f"backend glimpse\n  server one 127.0.0.1:{server_port}\n"
    )

    def read(line: str) -> tuple[str, str] | None:
        return _plain(line) if line.endswith("glimpse/one") else None

    return ["-f", str(conf), "-db"], read


def _caddy(folder: Path, port: int, server_port: int, log: Path) -> tuple[list[str], Reader]:  # noqa: ARG001
    conf = folder / "Caddyfile"
    conf.write_text(
        "{\n admin off\n auto_https off\n"
        " servers {\n  timeouts {\n   read_body 1s\n   read_header 1s\n   idle 1s\n  }\n }\n}\n"
        f"http://127.0.0.1:{port}, http://x:{port} {{\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:{server_port}\n"
        " log\n}\n"
    )

    def read(line: str) -> tuple[str, str] | None:
        said = json.loads(line)
        is_access = said.get("logger", "").startswith("http.log.access")
        return (said["request"]["method"], said["request"]["uri"]) if is_access else None

    return ["run", "--config", str(conf), "--adapter", "caddyfile"], read


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], out: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, out.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(out.read_text())
