# SPDX-License-Identifier: Apache-2.0
"""What `doctor` looks at. Each check says what it found and, where that is not well, what to do; none mends a thing."""

import ctypes
import os
import resource
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.open_files import wanted_files
from app.preflight import unwritable_places
from app.providers import lane_names
from config.exposure import banner, guard
from config.load import Config
from models.clock import BELIEVED_MS, MINUTE_MS, SteadyClock, now_ms
from models.db.database import Database
from models.db.migration_steps import Progress
from models.db.tables import image_files, integrity, outbox_summary, users
from models.db.tables.outbox import State
from models.errors import StorageError
from models.key_rotation import under_way
from models.keys import KeyRingError, open_key_ring
from models.private_files import ADMIN_KEY, KEY_RING, OUTBOX_LOG, VAPID_KEY, is_open_to_others
from ops.opening import when
from services.machine_bus import trouble
from storage.bucket import Bucket
from storage.keys import path_of
from storage.ownership import RESTORING
from storage.places import ImagePlace
from storage.space import FLOOR_SHARE

OK, WARN, FAIL = "ok", "warn", "fail"
LEAST_SQLITE = (3, 51, 3)
"""Older ones can corrupt a database while its log starts over: https://www.sqlite.org/wal.html"""
LEAST_FREE_INODES = 10_000
"""Each image takes one."""
LATE_MS = 10 * MINUTE_MS
"""A notification is tried again within minutes: older ones wait for a reason."""
SAMPLE_IMAGES = 500
"""A quick look; `fsck` looks at all."""
WAKE_ADVICE = "see wake.url in the configuration; until it answers, events cross machines within a second"
BUCKET_ADVICE = "see storage.s3 in the configuration; until it answers, images are refused with 503 and none is lost"
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
TIMEX_BYTES = 512  # more than struct timex on any platform


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its `status` is ok, warn or fail; `advice` says what to do."""

    name: str
    status: str
    found: str
    advice: str = ""


def listening(config: Config) -> Iterator[Check]:
    """Whether the server would listen, and how safely."""
    refusals = guard(config)
    for refusal in refusals:
        yield Check("guard", FAIL, refusal, "until then the server does not start")
    if banner(config):
        yield Check("guard", WARN, "server.development_lan is on", "never on the Internet")
    elif not refusals:
        yield Check("guard", OK, f"may listen on {config.server.host}")


def places(config: Config) -> Iterator[Check]:
    """Where the server could not write."""
    for problem in unwritable_places(config):
        yield Check("place", FAIL, problem, "mount it writable, or give it to the server's user")


def modes(config: Config) -> Iterator[Check]:
    """Whether anybody else can read what the server keeps."""
    data_dir = config.data_dir
    if not data_dir.is_dir():
        yield Check("data", WARN, f"there is no {data_dir}", "the server makes it at its first start")
        return
    if (data_dir / RESTORING).exists():
        yield Check("data", FAIL, "a restore was cut off", "run it again with --force")
    files = [data_dir / name for name in (KEY_RING, VAPID_KEY, OUTBOX_LOG, ADMIN_KEY)]
    kept = [data_dir, config.images_directory, *files, *([config.database_path] if config.database_path else [])]
    there = [path for path in kept if path.exists()]
    wide = [path for path in there if is_open_to_others(path)]
    owner = data_dir.stat().st_uid
    foreign = [path for path in there if path.stat().st_uid != owner]
    for path in wide:
        yield Check("modes", FAIL, f"{path} is open to other users", f"chmod go= {path}")
    for path in foreign:
        yield Check("modes", FAIL, f"{path} belongs to another user than {data_dir}", f"chown {owner} {path}")
    if not wide and not foreign:
        yield Check("modes", OK, "what is kept is its owner's alone")


def disk(config: Config) -> Iterator[Check]:
    """Whether there is room, above the floor at which the server refuses images."""
    images = config.images_directory
    place = next(path for path in (images, *images.absolute().parents) if path.is_dir())
    about = os.statvfs(place)
    free, size = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    floor = min(config.storage.min_free_bytes, int(size * FLOOR_SHARE))
    said = f"{free} bytes free, images are refused under {floor}"
    if free < floor:
        yield Check("disk", FAIL, said, "make room, or lower storage.min_free_bytes")
    elif free < 2 * floor:
        yield Check("disk", WARN, said, "make room soon")
    else:
        yield Check("disk", OK, said)
    # Filesystems that make inodes as they need them say 0 of 0.
    if about.f_files and about.f_favail < LEAST_FREE_INODES:
        yield Check("inodes", FAIL, f"{about.f_favail} are free", "remove files: each image takes one")
    else:
        yield Check("inodes", OK, f"{about.f_favail} are free" if about.f_files else "without a limit")


async def bucket(config: Config) -> AsyncIterator[Check]:
    """Whether the object store answers, and is this server's."""
    place = config.image_place
    if place.bucket is None:
        return
    found = Bucket(place.bucket)
    try:
        used = await found.is_used()
    except StorageError as error:
        yield Check("bucket", FAIL, str(error.__cause__), BUCKET_ADVICE)
        return
    if used:
        yield Check("bucket", OK, f"{found} answers")
    else:
        yield Check("bucket", WARN, f"no server has used {found}", "right before the first start; else see its name")


async def wake_ups(config: Config) -> AsyncIterator[Check]:
    """Whether machines can be woken by the server of `wake.url`: they do without it, a second later."""
    if url := config.wake.url.get_secret_value():
        reason = await trouble(url, config.wake_channel)
        yield Check("wake-ups", WARN, reason, WAKE_ADVICE) if reason else Check("wake-ups", OK, "the server answers")


def clock() -> Check:
    """Whether the kernel's clock is kept by somebody. Source: adjtimex(2)."""
    answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if answer == TIME_ERROR:
        advice = "unless the host keeps it, run chrony or systemd-timesyncd: a clock that is off ends images early"
        return Check("clock", WARN, f"is not synchronised, it says {when(now_ms())}", advice)
    return Check("clock", OK, "is synchronised" if answer >= 0 else "cannot be asked")


def clock_jump(clock: SteadyClock) -> Check:
    """Whether the clock says what it should, by when the server last saw it."""
    jump = clock.jump
    if not jump:
        return Check("time", OK, "goes on from when it was last seen")
    said = f"is {abs(jump) // MINUTE_MS} minutes {'ahead of' if jump > 0 else 'behind'} what it should say"
    advice = "set it; where it is right: python -m ops clock accept. Until then nothing ends by its age"
    if clock.was_away and 0 < jump <= BELIEVED_MS:
        return Check("time", WARN, said, "a machine that was off looks the same: it is believed after as long")
    return Check("time", FAIL, said, advice)


def open_files(config: Config) -> Check:
    """Whether a server started like this command could hold `server.max_connections`, each with three open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_files(config)
    said = "no limit here" if hard == resource.RLIM_INFINITY else f"at most {hard} open here"
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return Check("files", WARN, said, f"raise LimitNOFILE or ulimit -Hn to {wanted} for all connections")
    return Check("files", OK, said)


def schema(progress: Progress) -> Check:
    """Whether the database is what this version works with."""
    if progress.pending:
        return Check("schema", WARN, f"is {progress.version}", "python -m ops migrate, or start the server: it does so")
    return Check("schema", OK, f"is {progress.version}")


async def sqlite(db: Database) -> Check:
    """Whether the library is one that loses nothing. Raises DatabaseError."""
    version = await integrity.sqlite_version(db)
    said = ".".join(map(str, version))
    if version < LEAST_SQLITE:
        return Check("sqlite", FAIL, said, "older ones can lose writes: install requirements.lock")
    return Check("sqlite", OK, said)


async def database(db: Database, config: Config, now: int) -> AsyncIterator[Check]:
    """What the rows say. Raises DatabaseError."""
    damages = await integrity.list_gross_damages(db)
    if damages:
        yield Check("database", FAIL, damages[0], "stop the server and restore the backup")
        return
    yield Check("database", OK, "is sound at a quick look")
    yield _keys(config.data_dir / KEY_RING, await users.find_phone_cipher(db))
    async for check in _outbox(db, config, now):
        yield check
    yield await _images(db, config.image_place, now)


def _keys(path: Path, sealed: bytes | None) -> Check:
    if sealed is None and not path.exists():
        return Check("keys", OK, "are made at the server's start")
    try:
        ring = open_key_ring(path, sealed=sealed)
    except (KeyRingError, OSError) as error:
        return Check("keys", FAIL, str(error), "without it no number opens and nobody gets in")
    if under_way(ring):
        return Check("keys", WARN, "a rotation was begun and has not ended", "python -m ops keys rotate")
    return Check("keys", OK, "open what they sealed")


async def _outbox(db: Database, config: Config, now: int) -> AsyncIterator[Check]:
    summaries = await outbox_summary.list_summaries(db)
    known = lane_names(config)
    well = True
    for summary in summaries:
        lane = f"{summary.provider}/{summary.app}" if summary.app else summary.provider
        said = f"{summary.count} {lane} {summary.state}, the oldest of {when(summary.oldest_at)}"
        if summary.state == State.DEAD:
            advice = "see why: python -m ops outbox list --state dead"
        elif (summary.provider, summary.app) not in known:
            advice = f"{lane} is not configured"
        elif summary.oldest_at < now - LATE_MS:
            advice = "see why: python -m ops outbox list --state due"
        else:
            continue
        well = False
        yield Check("outbox", WARN, said, advice)
    if well:
        yield Check("outbox", OK, "nothing waits long and nothing is dead")


async def _images(db: Database, place: ImagePlace, now: int) -> Check:
    """Whether the oldest images have their files."""
    kept = await image_files.list_kept(db, after=0, limit=SAMPLE_IMAGES)
    names = [path_of(image.message_key) for image in kept]
    try:
        there = await _there(place, names)
    except StorageError as error:
        return Check("images", FAIL, str(error.__cause__), BUCKET_ADVICE)
    lost = 0
    for image in kept:
        if path_of(image.message_key) not in there:
            # What has ended since the list was read may have lost its file rightly.
            again = await image_files.find_kept(db, image.message_id)
            lost += again is not None and (again.purge_at is None or again.purge_at > now)
    if lost:
        return Check("images", FAIL, f"{lost} of the oldest {len(kept)} have no file", "python -m ops fsck")
    return Check("images", OK, f"the oldest {len(kept)} have their files")


async def _there(place: ImagePlace, names: list[str]) -> set[str]:
    """Those of these files that are there. Raises StorageError."""
    if place.bucket is None:
        return {name for name in names if (place.directory / name).is_file()}
    return set(await Bucket(place.bucket).sizes(names))
