# SPDX-License-Identifier: Apache-2.0
"""What the server prints once it listens: where it is, where its data are, and what to try first."""

from app.listen import Sockets, bare_host
from app.providers import outbox_log
from config.exposure import banner
from config.load import Config


def print_greeting(config: Config, sockets: Sockets) -> None:
    print(greeting(config, sockets.port), flush=True)


def greeting(config: Config, port: int) -> str:
    """What a newcomer reads on the terminal."""
    scheme = "https" if config.server.tls.cert else "http"
    host = bare_host(config)
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    providers = {"pushes": config.push.default_provider, "SMS codes": config.sms.provider}
    logged = " and ".join(what for what, provider in providers.items() if provider == "log")
    lines = [
        banner(config),
        f"Glimpse listens on {url}",
        f"  data: {config.data_dir.resolve()}",
        f"  {logged}: {outbox_log(config).resolve()}" if logged else "",
        "  open it in two browser windows, or try:" if config.web.enabled else "  try:",
        f"    curl {url}/readyz",
        f"    curl {url}/v1/register -d region_num=86 -d phone_num=13812345678 -d nickname=Zoe -d cid=zoe",
        f"    tail -F {outbox_log(config)}" if logged else "",
    ]
    return "\n".join(line for line in lines if line)
