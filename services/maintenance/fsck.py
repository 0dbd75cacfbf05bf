# SPDX-License-Identifier: Apache-2.0
"""Whether the database and the files agree, and how what does not is mended.

Runs beside a server: whatever looks wrong is looked at again, since an upload, a download or a purge may have come
between. Files younger than the longest upload are left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from models.db.database import BATCH_ROWS, Busy, Database, DatabaseError, Transaction
from models.db.tables import events, image_files, integrity, messages, report_pictures, uploads
from models.db.tables.image_files import Kept
from models.db.tables.report_pictures import ReportPicture
from models.errors import StorageError
from models.message import DeliveryState, MessageId
from models.upload import Upload
from services.expiry import BATCH_WAITS, expire
from services.maintenance import stored_files
from services.maintenance.orphans import find_unknown
from services.maintenance.stored_files import StoredFile
from storage.base import BlobStore
from storage.keys import preview_key

EXAMPLES = 20
"""Shown of each kind; all are counted."""

DAMAGED = "damaged_database"
MISSING = "missing_files"
WRONG_SIZE = "wrong_size_files"
WRONG_CONTENT = "wrong_content_files"
UNREADABLE = "unreadable_files"
ORPHAN = "orphan_files"
MISCOUNTED = "wrong_counters"
PUSH_OF_NOTHING = "pushes_without_message"
BROKEN_UPLOAD = "broken_uploads"
KINDS = (DAMAGED, MISSING, WRONG_SIZE, WRONG_CONTENT, UNREADABLE, ORPHAN, MISCOUNTED, PUSH_OF_NOTHING, BROKEN_UPLOAD)


@dataclass(slots=True)
class Report:
    """What was checked, how often each kind of problem was found, up to 20 examples of each, and what was repaired.

    Examples are message ids, uids, outbox ids, keys of files, or SQLite's own words.
    """

    images: int = 0
    bytes: int = 0
    problems: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    examples: dict[str, list[int | str]] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Nothing was found."""
        return not any(self.problems.values())

    @property
    def left(self) -> int:
        """How many problems were found and not repaired."""
        return sum(self.problems.values()) - sum(self.repaired.values())

    def found(self, kind: str, example: int | str) -> None:
        """Count a problem of this kind, and keep the first few examples."""
        self.problems[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    def mended(self, kind: str, count: int) -> None:
        """Count so many problems of this kind as repaired."""
        self.repaired[kind] = self.repaired.get(kind, 0) + count


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fsck:
    """One run over one store and its database, which may be in use.

    With `repair`, an image whose file is missing or wrong ends as lost, and an image or a report loses its preview or
    picture; a wrong file is moved to `corrupt`, a file without a row is removed, counters are recounted, pushes without
    a message are deleted. An upload of which fewer bytes are there than were told ends. Unreadable files stay: the disk
    may recover. A damaged database is reported and nothing else is checked. `on_step` is told what is checked, and how
    much of it is done.
    """

    db: Database
    store: BlobStore
    clock: Callable[[], int]
    orphan_seconds: float
    repair: bool = False
    on_step: Callable[[str, int], None] = lambda _step, _done: None
    _report: Report = field(init=False, default_factory=Report)

    async def run(self) -> Report:
        """Check everything once."""
        self.on_step("database", 0)
        for line in await self._damages():
            self._report.found(DAMAGED, line)
        if self._report.clean:
            await self._check_images()
            await self._check_report_pictures()
            await self._check_files()
            await self._check_counters()
            await self._check_pushes()
            await self._check_uploads()
        return self._report

    async def _damages(self) -> list[str]:
        try:
            return await integrity.list_damages(self.db)
        except Busy:
            raise
        except DatabaseError as error:
            return [error.cause]

    async def _check_images(self) -> None:
        after = 0
        while kept := await image_files.list_kept(self.db, after=after, limit=BATCH_WAITS):
            self.on_step("images", self._report.images)
            after = kept[-1].message_id
            sizes = await self.store.sizes(file.key for image in kept for file in stored_files.files_of(image))
            lost = []
            for image in kept:
                file, *previews = stored_files.files_of(image)
                kind = await self._judge(file, sizes.get(file.key))
                if kind is None:
                    for preview in previews:
                        await self._check_preview(image.message_id, preview, sizes.get(preview.key))
                elif await self._is_kept(image.message_id):
                    self._report.found(kind, image.message_id)
                    lost.append((image, kind))
            if self.repair:
                await self._give_up([(image, kind) for image, kind in lost if kind != UNREADABLE])
            self._report.images += len(kept)
            self._report.bytes += sum(image.size for image in kept)

    async def _check_preview(self, message_id: MessageId, file: StoredFile, size: int | None) -> None:
        """An image whose preview is wrong goes on without it."""
        kind = await self._judge(file, size)
        if kind is None or not await self._is_kept(message_id):
            return
        self._report.found(kind, f"preview of {message_id}")
        if self.repair and kind != UNREADABLE:
            await self.db.write(partial(image_files.forget_preview, message_id=message_id))
            if kind != MISSING:
                await self.store.quarantine(file.key)
            self._report.mended(kind, 1)

    async def _check_report_pictures(self) -> None:
        after = 0
        while pictures := await report_pictures.list_after(self.db, after=after, limit=BATCH_WAITS):
            self.on_step("pictures of reports", self._report.images)
            after = pictures[-1].report_id
            sizes = await self.store.sizes(picture.picture_key for picture in pictures)
            for picture in pictures:
                file = StoredFile(picture.picture_key, picture.size, picture.sha256)
                kind = await self._judge(file, sizes.get(file.key))
                if kind and await report_pictures.find(self.db, picture.report_id):
                    self._report.found(kind, f"report {picture.report_id}")
                    if self.repair and kind != UNREADABLE:
                        await self._forget_picture(picture, kind)
            self._report.images += len(pictures)
            self._report.bytes += sum(picture.size for picture in pictures)

    async def _forget_picture(self, picture: ReportPicture, kind: str) -> None:
        """The report stays, without its picture."""
        if kind != MISSING:
            await self.store.quarantine(picture.picture_key)
        await self.db.write(partial(report_pictures.delete_some, report_ids=[picture.report_id]))
        self._report.mended(kind, 1)

    async def _judge(self, file: StoredFile, size: int | None) -> str | None:
        """What is wrong with a file that has this size, None for one that is not there."""
        if size is None:
            return MISSING
        if size != file.size:
            return WRONG_SIZE
        try:
            digest = await self.store.digest(file.key)
        except StorageError:
            return UNREADABLE
        if digest is None:
            return MISSING
        return None if digest == file.sha256 else WRONG_CONTENT

    async def _is_kept(self, message_id: MessageId) -> bool:
        """Whether the image's file should still be there: no file goes before the commit that says when."""
        image = await image_files.find_kept(self.db, message_id)
        return image is not None and (image.purge_at is None or image.purge_at > self.clock())

    async def _give_up(self, lost: list[tuple[Kept, str]]) -> None:
        """End images whose bytes are lost."""
        ids = [image.message_id for image, _ in lost]
        for image, kind in lost:
            if kind != MISSING:
                await self.store.quarantine(image.message_key)
            await self.store.remove(preview_key(image.message_key))
        while waits := await messages.list_waiting(self.db, ids, BATCH_WAITS):

            async def end(tx: Transaction, waits: list[messages.Waiting] = waits) -> int:
                return await expire(tx, waits, self.clock(), DeliveryState.LOST)

            await self.db.write(end)

        async def mark(tx: Transaction) -> None:
            for message_id in ids:
                await messages.end_if_nobody_waits(tx, message_id, self.clock())
            await image_files.mark_removed(tx, ids)

        if ids:
            await self.db.write(mark)
        for _, kind in lost:
            self._report.mended(kind, 1)

    async def _check_files(self) -> None:
        async for unknown in find_unknown(self.db, self.store, self.orphan_seconds):
            self.on_step("files", self._report.problems[ORPHAN])
            there = list(await self.store.sizes(unknown))
            known = await stored_files.known(self.db, there)
            orphans = [key for key in there if key not in known]
            for key in orphans:
                self._report.found(ORPHAN, key)
            if self.repair and orphans:
                await self.store.remove_many(orphans)
                self._report.mended(ORPHAN, len(orphans))

    async def _check_counters(self) -> None:
        after = 0
        self.on_step("counters", 0)
        while uids := await integrity.list_miscounted(self.db, after=after, limit=BATCH_ROWS):
            after = uids[-1]
            for uid in uids:
                self._report.found(MISCOUNTED, uid)
            if self.repair:

                async def unit(tx: Transaction, uids: list[int] = uids) -> None:
                    await events.lock_counters(tx, uids)
                    await integrity.recount(tx, uids)

                await self.db.write(unit)
                self._report.mended(MISCOUNTED, len(uids))

    async def _check_pushes(self) -> None:
        after = 0
        self.on_step("pushes", 0)
        while rows := await integrity.list_pushes_of_nothing(self.db, after=after, limit=BATCH_ROWS):
            after = rows[-1]
            for row in rows:
                self._report.found(PUSH_OF_NOTHING, row)
            if self.repair:

                async def unit(tx: Transaction, rows: list[int] = rows) -> None:
                    await integrity.delete_pushes(tx, rows)

                await self.db.write(unit)
                self._report.mended(PUSH_OF_NOTHING, len(rows))

    async def _check_uploads(self) -> None:
        """Of open uploads as many bytes must be there as were told; a file without one is left over."""
        after, seen = "", 0
        while found := await uploads.list_after(self.db, after=after, limit=BATCH_ROWS):
            after, seen = found[-1].upload_id, seen + len(found)
            self.on_step("uploads", seen)
            for upload in found:
                if await self._is_broken(upload):
                    self._report.found(BROKEN_UPLOAD, upload.upload_id)
                    if self.repair:
                        await self.db.write(partial(uploads.delete_one, upload_id=upload.upload_id))
                        await self.store.uploads.remove_many([upload.upload_id])
                        self._report.mended(BROKEN_UPLOAD, 1)
        old = await self.store.uploads.old_ids(self.orphan_seconds)
        for start in range(0, len(old), BATCH_ROWS):
            await self._judge_upload_files(old[start : start + BATCH_ROWS])

    async def _is_broken(self, upload: Upload) -> bool:
        if upload.message_id is not None:
            return False
        sizes = await self.store.uploads.sizes([upload.upload_id])
        # Looked at again afterwards: it may have ended between.
        now = await uploads.find(self.db, upload.upload_id)
        return now is not None and now.message_id is None and sizes.get(upload.upload_id, 0) < upload.stored

    async def _judge_upload_files(self, upload_ids: list[str]) -> None:
        needed = await uploads.list_open_ids(self.db, upload_ids)
        there = await self.store.uploads.sizes(set(upload_ids) - needed)
        for upload_id in there:
            self._report.found(ORPHAN, upload_id)
        if self.repair and there:
            await self.store.uploads.remove_many(there)
            self._report.mended(ORPHAN, len(there))
