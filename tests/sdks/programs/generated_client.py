# SPDX-License-Identifier: Apache-2.0
"""A client that openapi-python-client makes of the interface description, from registration to acknowledgement.

Run where it is installed; reads its task as JSON, and writes as JSON what it found.
"""

import base64
import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from exchange import given, tell

SILENT = "post_hooks: []\n"
"""Nothing reformats what is made: it is read by nobody."""


def generate(folder: Path, description: str) -> str:
    """Make the package `glimpse_made` in the folder; what the generator says of it."""
    (folder / "config.yaml").write_text(SILENT)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", description, "--meta", "none"]
    options = ["--output-path", str(folder / "glimpse_made"), "--config", str(folder / "config.yaml")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def call(client: Any, subject: str, operation: str, **given: Any) -> Any:
    """What an operation answered, parsed."""
    module = importlib.import_module(f"glimpse_made.api.{subject}.{operation}")
    return module.sync(client=client, **given)


def live(url: str, numbers: list[str], picture: bytes) -> dict[str, Any]:
    """Two people; one sends the other a picture, who learns of it, fetches it and says so."""
    made, models = importlib.import_module("glimpse_made"), importlib.import_module("glimpse_made.models")
    types = importlib.import_module("glimpse_made.types")
    stranger = made.Client(base_url=url)
    people = [
        call(stranger, "accounts", "register", body=models.Registration(phone_num=number, nickname="Ann"))
        for number in numbers
    ]
    ann, ben = (signed_in(made, url, person) for person in people)
    file = types.File(payload=io.BytesIO(picture), file_name="x.png", mime_type="image/png")
    form = models.ImageForm(img_file=file, receiver_uid=people[1].uid)
    refused = call(ann, "images", "send_image", body=models.ImageForm(img_file=file, receiver_uid=2**40))
    file.payload.seek(0)
    importlib.import_module("glimpse_made.api.images.send_image").sync_detailed(client=ann, body=form)
    [event] = call(ben, "events", "list_events", after=0).items
    key = event.data.message_key
    waiting = call(ben, "images", "inbox").items
    fetched = call(ben, "images", "fetch_image", message_key=key, ack=models.FetchImageAck.MANUAL)
    importlib.import_module("glimpse_made.api.images.delete_image").sync_detailed(client=ben, message_key=key)
    status = call(ann, "images", "image_status", message_key=key)
    return {
        "uids": [person.uid for person in people],
        "refused": [type(refused).__name__, refused.status, refused.code],
        "event": [type(event).__name__, event.type_, event.data.sender_uid],
        "waiting": [item.message_key == key for item in waiting],
        "fetched": base64.b64encode(fetched.payload.getvalue()).decode(),
        "state": status.state.value,
    }


def signed_in(made: Any, url: str, person: Any) -> Any:
    proof = base64.b64encode(f"{person.phone_hash}:{person.ukey}".encode()).decode()
    return made.AuthenticatedClient(base_url=url, token=proof, prefix="Basic")


folder = Path(given["folder"])
said = generate(folder, given["description"])
sys.path.insert(0, str(folder))
tell(said=said, **live(given["url"], given["numbers"], base64.b64decode(given["picture"])))
