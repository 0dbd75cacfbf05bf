# SPDX-License-Identifier: Apache-2.0
"""An object store on its bad days: what is told, and that nothing is lost."""

import asyncio
import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.errors import StorageError
from storage import bucket
from storage.bucket import Bucket
from storage.places import ImagePlace, open_store
from storage.s3 import S3Store
from tests.storage.test_contract import new_key, put, whole
from tests.support import ROOT
from tests.support.bad_line import Fault, bad_line
from tests.support.clock import FAKETIME
from tests.support.seaweed import READER, Seaweed

pytestmark = pytest.mark.anyio

IMAGE = os.urandom(300_000)
OBJECT = ".*/[0-9a-f]{64}$"
ALL_AGES = -3600
ASK = """
import asyncio, json, sys
from storage.bucket import Bucket
from storage.bucket_settings import BucketSettings
asyncio.run(Bucket(BucketSettings(**json.loads(sys.argv[1]))).is_used())
"""


@contextmanager
def opened(seaweed: Seaweed, root: Path, **changed: Any) -> Iterator[S3Store]:
    store = open_store(ImagePlace(root, seaweed.settings(**changed)), min_free_bytes=1)
    assert isinstance(store, S3Store)
    yield store
    store.close()


@contextmanager
def behind(seaweed: Seaweed, root: Path, *faults: Fault) -> Iterator[S3Store]:
    """A store behind a line that does this."""
    with (
        bad_line(seaweed.port, faults) as line,
        opened(seaweed, root, endpoint=f"http://127.0.0.1:{line.port}") as store,
    ):
        yield store


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_a_store_refuses_for_a_moment_is_asked_again(
    seaweed: Seaweed, root: Path, method: str, status: int
) -> None:
    with behind(seaweed, root, Fault("answer", method, OBJECT, status=status, times=2)) as store:
        assert await whole(store, await put(store, IMAGE)) == IMAGE
        assert store.healthy


async def test_a_connection_that_is_reset_is_made_again_for_a_read(seaweed: Seaweed, root: Path) -> None:
    faults = [Fault("refuse", "GET", OBJECT), Fault("cut_reply", "GET", OBJECT, after_bytes=100_000)]
    with behind(seaweed, root, *faults) as store:
        assert await whole(store, await put(store, IMAGE)) == IMAGE


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", "PUT", OBJECT, status=503, times=100),
        Fault("refuse", "PUT", OBJECT, times=100),
        Fault("cut_request", "PUT", OBJECT, after_bytes=100_000, times=100),
    ],
    ids=["slow down", "reset", "cut in the middle"],
)
async def test_what_a_store_goes_on_refusing_is_not_there_and_it_is_unhealthy_until_a_probe(
    seaweed: Seaweed, root: Path, fault: Fault
) -> None:
    key = new_key()
    with behind(seaweed, root, fault) as store:
        with pytest.raises(StorageError):
            await put(store, IMAGE, key)
        assert (store.healthy, store.stored_bytes, store.receiving) == (False, 0, False)
        assert await store.open(key) is None
        assert (await store.probe(), store.healthy) == (True, True)


async def test_an_image_whose_answer_was_lost_is_refused_and_swept(seaweed: Seaweed, root: Path) -> None:
    key = new_key()
    with behind(seaweed, root, Fault("lose_reply", "PUT", OBJECT)) as store:
        with pytest.raises(StorageError):
            await put(store, IMAGE, key)
        assert store.stored_bytes == 0
        assert [batch async for batch in store.sweep_candidates(ALL_AGES)] == [[key]]
        assert await store.digest(key) == hashlib.sha256(IMAGE).digest()


@pytest.mark.usefixtures("nothing_left")
async def test_a_store_that_hangs_is_given_up(seaweed: Seaweed, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "QUICK", timedelta(seconds=0.2))
    monkeypatch.setattr(bucket, "RETRYING", timedelta(seconds=0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with opened(seaweed, root, endpoint=endpoint) as store:
            for asked in (put(store, b"some"), store.open(new_key()), store.remove_many([new_key()])):
                with pytest.raises(StorageError) as refused:
                    await asked
                assert "does not answer" in str(refused.value.__cause__)
            assert (await store.probe(), store.healthy) == (False, False)


async def test_a_large_image_that_breaks_off_leaves_nothing_under_its_key(
    seaweed: Seaweed, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "WHOLE_BYTES", 1_000_000)
    monkeypatch.setattr(bucket, "PART_BYTES", 5 * 1024 * 1024)
    key, data = new_key(), os.urandom(1024 * 1024) * 12
    broken = Fault("cut_request", "PUT", OBJECT, after_bytes=1_000_000, times=100, skip=1)
    with behind(seaweed, root, broken) as store:
        with pytest.raises(StorageError):
            await put(store, data, key)
        assert (await store.open(key), store.stored_bytes) == (None, 0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bucket": "no-such-bucket"}, "there is no such bucket"),
        ({"secret_access_key": "wrong"}, "the secret key is not the access key's"),
        ({"access_key_id": "NOBODY"}, "it does not know the access key"),
        ({"endpoint": "http://127.0.0.1:1"}, "does not answer, or cannot be reached"),
    ],
    ids=["bucket", "secret", "key", "endpoint"],
)
async def test_settings_that_lead_nowhere_are_told_and_lose_nothing(
    seaweed: Seaweed, root: Path, changed: dict[str, Any], reason: str
) -> None:
    key = new_key()
    with opened(seaweed, root, **changed) as store:
        for asked in (store.sizes([key]), store.digest(key), store.remove(key), store.open(key), put(store, b"some")):
            with pytest.raises(StorageError) as refused:
                await asked
        assert reason in str(refused.value.__cause__)
        with pytest.raises(StorageError):
            await anext(store.sweep_candidates(0))
        assert not await store.probe()
    with pytest.raises(StorageError) as refused:
        await Bucket(seaweed.settings(**changed)).is_used()
    assert reason in str(refused.value.__cause__)


async def test_keys_that_may_only_read_are_told(seaweed: Seaweed, root: Path) -> None:
    prefix = seaweed.settings().prefix
    with opened(seaweed, root, prefix=prefix) as store:
        key = await put(store, b"some")
    with opened(seaweed, root, prefix=prefix, access_key_id=READER[0], secret_access_key=READER[1]) as store:
        assert await whole(store, key) == b"some"
        for asked in (put(store, b"some"), store.remove(key), store.quarantine(key)):
            with pytest.raises(StorageError) as refused:
                await asked
            assert "the keys may not do this" in str(refused.value.__cause__)
        assert (await whole(store, key), await store.probe()) == (b"some", False)


async def test_a_clock_that_is_an_hour_off_is_told(seaweed: Seaweed) -> None:
    command = [sys.executable, "-c", ASK, json.dumps(asdict(seaweed.settings()))]
    environment = {**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    asking = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await asking.communicate()
    assert b"its clock and this machine's differ too much" in said


async def test_ages_go_by_the_clock_of_the_store(seaweed: Seaweed, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(seaweed, root) as store:
        key = await put(store, b"some")
        monkeypatch.setattr("time.time", lambda: 4e9)  # this machine's is decades ahead
        assert await store.old_keys(int(key[:2], 16), 600) == []
        assert await store.old_keys(int(key[:2], 16), ALL_AGES) == [key]


async def test_a_download_whose_image_is_removed_ends_with_what_was_read_ahead(seaweed: Seaweed, root: Path) -> None:
    with opened(seaweed, root) as store:
        key = await put(store, IMAGE * 4)
        blob = await store.open(key)
        assert blob is not None
        assert await store.remove(key)
        assert await blob.read(0, 262_144) == IMAGE[:262_144]
        with pytest.raises(StorageError):
            await blob.read(900_000, 1000)
        blob.close()
