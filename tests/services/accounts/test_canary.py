# SPDX-License-Identifier: Apache-2.0
"""What must never be found in the database's files."""

import pytest

from models.errors import CodeIncorrect
from services.accounts.account_issuing import Started
from tests.services.accounts.world import World
from tests.support.harness import phone_number

pytestmark = pytest.mark.anyio

KEY = "k" * 22


async def test_nothing_that_identifies_or_lets_in_is_in_the_files(strict: World) -> None:
    number = phone_number()
    ann = {"region_num": "86", "phone_num": number, "nickname": "Ann"}
    started, code = await strict.start(ann)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    with pytest.raises(CodeIncorrect):
        await strict.activation.confirm(started.activation_id, {"code": wrong}, None)
    answer = await strict.accounts.register(ann, KEY)
    assert isinstance(answer, Started)
    later = await strict.code()
    issued = await strict.activation.confirm(answer.activation_id, {"code": later}, "j" * 22)
    ukey = await strict.accounts.renew_ukey(await strict.login(issued))
    await strict.login(issued, ukey)

    secrets = [f"+86{number}", f"86{number}", number, issued.phone_hash, issued.ukey, ukey, KEY, "j" * 22]
    secrets += [f'"{used}"' for used in (code, wrong, later)]
    hidden = [secret.encode() for secret in secrets]
    hidden += [bytes.fromhex(issued.phone_hash)]
    stored = b"".join(file.read_bytes() for file in strict.engine.files())

    assert b"Ann" in stored
    assert [secret for secret in hidden if secret in stored] == []
    for row in strict.rows("select code_hmac, phone_cipher, phone_digest from activations"):
        for value in row:
            assert not any(used.encode() in value for used in (code, wrong, later))
