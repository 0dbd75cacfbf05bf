# SPDX-License-Identifier: Apache-2.0
"""standardwebhooks and svix: what each signs is posted, and what Glimpse has signed is verified by each."""

import datetime as dt
import urllib.error
import urllib.request

import standardwebhooks
import svix.webhooks
from exchange import given, tell

NOW = dt.datetime.now(dt.UTC)
BODY = '{"message_id": 42}'


def post(message_id: str, signature: str) -> int:
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }
    request = urllib.request.Request(given["hook"], BODY.encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status


clients = {
    "standardwebhooks": standardwebhooks.Webhook(given["secret"]),
    "svix": svix.webhooks.Webhook(given["secret"]),
}
verified = []
for name, client in clients.items():
    client.verify(given["body"], given["headers"])
    verified.append(name)
    try:
        client.verify(given["body"] + " ", given["headers"])
        verified.append(f"{name} takes anything")
    except standardwebhooks.WebhookVerificationError:
        pass
tell(
    posted=[post(f"msg_{name}", client.sign(f"msg_{name}", NOW, BODY)) for name, client in clients.items()],
    forged=post("msg_forged", clients["svix"].sign("msg_other", NOW, BODY)),
    verified=verified,
)
