# SPDX-License-Identifier: Apache-2.0
"""The directory tree of a store. Every call blocks, follows no symbolic link, and raises OSError as it comes.

`ab/cd/abcd…` are images, `ab/cd/abcd….t` their previews, `.tmp` holds uploads where the filesystem has no nameless
files, `.uploads` those that go on in another request, `corrupt` what an operator should look at. Directories are 0700,
files 0600.
"""

import errno
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from models import fault, private_files
from storage import cached
from storage.keys import is_file_key, path_of

log = logging.getLogger("glimpse.storage")

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NO_FILE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
ABSENT = (FileNotFoundError, NotADirectoryError)
PROBE_BYTES = 4096
"""A block: an empty file would not show that data can be written."""
PIECES_AT_ONCE = 1024
"""The most that Linux takes in one call (IOV_MAX)."""


@dataclass(frozen=True, slots=True)
class TemporaryFile:
    """A file under no key. `name` is under `.tmp`, None for a nameless one; or under another `directory`."""

    fd: int
    name: str | None
    directory: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken out of the store: how many files, and their bytes."""

    files: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class NewImage:
    """A file that is to be an image under this key."""

    file: TemporaryFile
    key: str


class _Publication:
    """How far each of some images has come: `left` are those that have not failed."""

    def __init__(self, images: Sequence[NewImage]) -> None:
        self._images = images
        self._failed: dict[NewImage, OSError] = {}

    @property
    def left(self) -> list[NewImage]:
        return [image for image in self._images if image not in self._failed]

    @property
    def errors(self) -> list[OSError | None]:
        return [self._failed.get(image) for image in self._images]

    def fail(self, image: NewImage, error: OSError) -> None:
        self._failed[image] = error

    def each(self, step: Callable[[NewImage], None]) -> None:
        for image in self.left:
            if error := _failure_of(partial(step, image)):
                self.fail(image, error)


class _Shards:
    """The directories of some new images, each opened once; they end with `opened`."""

    def __init__(self, tree: "Tree", root: int, opened: ExitStack) -> None:
        self._tree = tree
        self._opened = opened
        self._fds = {"": root}
        self._synced: dict[str, OSError | None] = {}

    def open(self, image: NewImage) -> None:
        """Make the image's directories if need be."""
        for parent, path in _way_to(image.key):
            if path not in self._fds:
                fd = self._tree.open_made(self._fds[parent], path)
                self._fds[path] = self._opened.enter_context(_closing(fd))

    def sync_parents(self, image: NewImage) -> None:
        """Make the entries of the image's directories durable, once all are made. A sync that failed is not tried
        again.
        """
        for parent, path in _way_to(image.key):
            if self._tree.is_fresh(path):
                if parent not in self._synced:
                    self._synced[parent] = _failure_of(partial(os.fsync, self._fds[parent]))
                if error := self._synced[parent]:
                    raise error
                self._tree.is_durable(path)

    def of(self, image: NewImage) -> int:
        """The directory of an image."""
        return self._fds[_way_to(image.key)[-1][1]]

    def grouped(self, images: Iterable[NewImage]) -> Iterator[tuple[int, list[NewImage]]]:
        """These images by their directories."""
        found: dict[int, list[NewImage]] = {}
        for image in images:
            found.setdefault(self.of(image), []).append(image)
        yield from found.items()


class Tree:
    """One store's directories. Any thread may call, several at once."""

    def __init__(self, root: Path) -> None:
        # Shards whose entry in their parent may not be durable yet: whoever meets one there syncs the parent too.
        self._fresh: set[str] = set()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        private_files.sync_directory(root.parent)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._temporary = self._make_directory(self._root, ".tmp")
        self._corrupt = self._make_directory(self._root, "corrupt")
        self.uploads = self._make_directory(self._root, ".uploads")
        self._nameless = self._takes_nameless()

    def close(self) -> None:
        for fd in (self.uploads, self._corrupt, self._temporary, self._root):
            os.close(fd)

    def open_temporary(self) -> TemporaryFile:
        """A new empty file; it ends by `discard`, after `publish` or without."""
        if self._nameless:
            return TemporaryFile(os.open(".", NAMELESS, private_files.MODE, dir_fd=self._root), None)
        name = secrets.token_hex(16)
        return TemporaryFile(os.open(name, private_files.NEW, private_files.MODE, dir_fd=self._temporary), name)

    def publish(self, file: TemporaryFile, key: str) -> None:
        """Make the file an image. When this returns it is there after a power cut; when it raises it is not there.

        Raises FileExistsError, and leaves alone what is there, when the key is taken.
        """
        (error,) = self.publish_all([NewImage(file, key)])
        if error is not None:
            raise error

    def publish_all(self, images: Sequence[NewImage]) -> list[OSError | None]:
        """As `publish`, of all at once; what each failed by, which is nothing to the others.

        One step of all before the next of any, so that the first sync commits what the filesystem has to write down
        for all of them.
        """
        publication = _Publication(images)
        with ExitStack() as opened:
            shards = _Shards(self, self._root, opened)
            publication.each(shards.open)
            publication.each(lambda image: os.fsync(image.file.fd))
            publication.each(shards.sync_parents)
            publication.each(lambda image: self._link_new(image, shards.of(image)))
            for shard, linked in shards.grouped(publication.left):
                self._sync_linked(shard, linked, publication)
        return publication.errors

    def _link_new(self, image: NewImage, shard: int) -> None:
        fault.point("before_link")
        self._link(image.file, shard, image.key)
        fault.point("after_link")

    def _sync_linked(self, shard: int, linked: Sequence[NewImage], publication: _Publication) -> None:
        try:
            os.fsync(shard)
        except OSError as error:
            for image in linked:
                with suppress(OSError):
                    os.unlink(image.key, dir_fd=shard)
                publication.fail(image, error)
        else:
            for _ in linked:
                fault.point("after_dirsync")

    def link(self, key: str, name: str) -> int | None:
        """Give an image a second key, durably; its size, None when there is no image.

        The second file is as old as the moment: a sweep leaves it alone until its row is there. Raises
        FileExistsError when the key is taken.
        """
        try:
            with self._shard(key, _open_directory) as source, self._shard(name, self._make_directory) as target:
                about = os.stat(key, dir_fd=source, follow_symlinks=False)
                if not stat.S_ISREG(about.st_mode):
                    return None
                os.link(key, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
                os.utime(name, dir_fd=target, follow_symlinks=False)
                os.fsync(target)
        except ABSENT:
            return None
        return about.st_size

    def discard(self, file: TemporaryFile) -> None:
        """Forget the temporary file; an image made of it stays."""
        with suppress(OSError):
            os.close(file.fd)
        if file.name is not None:
            with suppress(OSError):
                os.unlink(file.name, dir_fd=self._temporary)

    def open_cached(self, key: str) -> tuple[int, int] | None:
        """A descriptor of the image's file and its size, if there is one and the disk is not needed to find it. Never
        blocks.
        """
        fd = cached.open_cached(self._root, path_of(key), READ)
        if fd is None:
            return None
        about = os.fstat(fd)
        if stat.S_ISREG(about.st_mode):
            return fd, about.st_size
        os.close(fd)
        return None

    def open_image(self, key: str) -> int | None:
        """A descriptor of the image's file, None when there is none or something planted in its place."""
        try:
            with self._shard(key, _open_directory) as shard:
                fd = os.open(key, READ, dir_fd=shard)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            _warn_of_planted(key)
            return None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        _warn_of_planted(key)
        return None

    def remove(self, keys: Iterable[str]) -> Taken:
        """Remove these images for good; one that is not there is removed already.

        Nothing is synced: a file that comes back after a power cut has no row, and goes with the next sweep.
        """
        files = size = 0
        for _, group in groupby(sorted(keys), key=lambda key: key[:4]):
            taken = self._remove_from_shard(list(group))
            files += taken.files
            size += taken.size
        return Taken(files, size)

    def quarantine(self, key: str) -> Taken:
        """Move an image to `corrupt`."""
        try:
            with self._shard(key, _open_directory) as shard:
                size = os.stat(key, dir_fd=shard, follow_symlinks=False).st_size
                os.rename(key, key, src_dir_fd=shard, dst_dir_fd=self._corrupt)
                os.fsync(self._corrupt)
                os.fsync(shard)
        except ABSENT:
            return Taken(0, 0)
        return Taken(1, size)

    def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """The bytes of each of these images that is there."""
        found = {}
        for key in keys:
            with suppress(*ABSENT), self._shard(key, _open_directory) as shard:
                about = os.stat(key, dir_fd=shard, follow_symlinks=False)
                if stat.S_ISREG(about.st_mode):
                    found[key] = about.st_size
        return found

    def old_keys(self, outer: str, cutoff: float) -> list[str]:
        """The keys under one outer directory (`ab`) whose file was last written before `cutoff` (Unix seconds)."""
        keys = []
        with suppress(*ABSENT), _closing(_open_directory(self._root, outer)) as outer_fd:
            for inner in os.listdir(outer_fd):
                with suppress(NotADirectoryError), _closing(_open_directory(outer_fd, inner)) as inner_fd:
                    keys += [
                        key
                        for key in _old_files(inner_fd, cutoff)
                        if is_file_key(key) and path_of(key) == f"{outer}/{inner}/{key}"
                    ]
        return keys

    def remove_strays(self, cutoff: float) -> int:
        """Remove temporary files last written before `cutoff` (Unix seconds); how many."""
        strays = _old_files(self._temporary, cutoff)
        for name in strays:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._temporary)
        return len(strays)

    def probe(self) -> None:
        """Write, sync and remove a small file."""
        name = f"probe-{secrets.token_hex(16)}"
        fd = os.open(name, private_files.NEW, private_files.MODE, dir_fd=self._temporary)
        try:
            write_all(fd, [bytes(PROBE_BYTES)])
            os.fsync(fd)
        finally:
            self.discard(TemporaryFile(fd, name))
        os.fsync(self._temporary)

    def _link(self, file: TemporaryFile, shard: int, key: str) -> None:
        if file.name is None:
            # Without a src_dir_fd this is link(2), which does not follow /proc's link and answers EXDEV.
            os.link(f"/proc/self/fd/{file.fd}", key, src_dir_fd=self._root, dst_dir_fd=shard)
        else:
            source = self._temporary if file.directory is None else file.directory
            os.link(file.name, key, src_dir_fd=source, dst_dir_fd=shard, follow_symlinks=False)

    def _remove_from_shard(self, keys: list[str]) -> Taken:
        sizes = []
        with suppress(*ABSENT), self._shard(keys[0], _open_directory) as shard:
            for key in keys:
                with suppress(FileNotFoundError):
                    size = os.stat(key, dir_fd=shard, follow_symlinks=False).st_size
                    fault.point("before_unlink")
                    os.unlink(key, dir_fd=shard)
                    fault.point("after_unlink")
                    sizes.append(size)
        return Taken(len(sizes), sum(sizes))

    @contextmanager
    def _shard(self, key: str, enter: Callable[[int, str], int]) -> Iterator[int]:
        outer, inner, _ = path_of(key).split("/")
        with (
            _closing(enter(self._root, outer)) as outer_fd,
            _closing(enter(outer_fd, f"{outer}/{inner}")) as inner_fd,
        ):
            yield inner_fd

    def _make_directory(self, parent: int, path: str) -> int:
        """Open a directory, made if need be; its entry in the parent is durable when this returns."""
        fd = self.open_made(parent, path)
        if self.is_fresh(path):
            try:
                os.fsync(parent)
            except OSError:
                os.close(fd)
                raise
            self.is_durable(path)
        return fd

    def open_made(self, parent: int, path: str) -> int:
        """Open a directory, made if need be."""
        try:
            return _open_directory(parent, path)
        except FileNotFoundError:
            self._fresh.add(path)
            with suppress(FileExistsError):
                os.mkdir(_name(path), 0o700, dir_fd=parent)
            return _open_directory(parent, path)

    def is_fresh(self, path: str) -> bool:
        """Whether a directory's entry in its parent may not be durable yet: its parent is to be synced."""
        return path in self._fresh

    def is_durable(self, path: str) -> None:
        """Its parent has been synced since it was made."""
        self._fresh.discard(path)

    def _takes_nameless(self) -> bool:
        """Whether a nameless file can be made here and linked: it takes the filesystem and /proc."""
        name = secrets.token_hex(16)
        try:
            fd = os.open(".", NAMELESS, private_files.MODE, dir_fd=self._root)
        except OSError:
            return False
        try:
            self._link(TemporaryFile(fd, None), self._temporary, name)
        except OSError:
            return False
        finally:
            self.discard(TemporaryFile(fd, name))
        return True


def write_all(fd: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Write every byte, however few the system takes at a time."""
    left, at = list(pieces), 0
    while at < len(left):
        written = os.writev(fd, left[at : at + PIECES_AT_ONCE])
        while at < len(left) and written >= len(left[at]):
            written -= len(left[at])
            at += 1
        if written:
            left[at] = memoryview(left[at])[written:]


def _failure_of(step: Callable[[], None]) -> OSError | None:
    try:
        step()
    except OSError as error:
        return error
    return None


def _way_to(key: str) -> list[tuple[str, str]]:
    """The directories on the way to an image, each behind its parent: the root is the empty path."""
    outer, inner, _ = path_of(key).split("/")
    return [("", outer), (outer, f"{outer}/{inner}")]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _open_directory(parent: int, path: str) -> int:
    return os.open(_name(path), DIRECTORY, dir_fd=parent)


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _old_files(directory: int, cutoff: float) -> list[str]:
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode) and about.st_mtime < cutoff:
                    names.append(entry.name)
    return names


def _warn_of_planted(key: str) -> None:
    log.warning("something that is no image file lies in the store", extra={"path": f"{key[:2]}/{key[2:4]}/{key[:8]}…"})
