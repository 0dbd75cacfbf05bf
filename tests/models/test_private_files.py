# SPDX-License-Identifier: Apache-2.0
"""Files that their owner alone may read, and that are whole whenever somebody looks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models import private_files


@pytest.mark.parametrize("write", [private_files.write_new, private_files.write_once, private_files.replace])
def test_a_new_file_is_its_owner_s_alone_and_has_nothing_beside_it(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "secret"

    write(path, "whole")

    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not private_files.is_open_to_others(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_there_stays_or_is_replaced_as_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")

    private_files.write_once(path, "second")
    assert path.read_text() == "first"

    private_files.replace(path, "third")
    assert path.read_text() == "third"
    with pytest.raises(FileExistsError):
        private_files.write_new(path, "fourth")
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_a_file_is_neither_written_to_nor_read(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "secret"
    elsewhere.write_text("somebody's")
    path.symlink_to(elsewhere)

    with pytest.raises(FileExistsError):
        private_files.create(path)
    with pytest.raises(OSError, match="symbolic links"):
        private_files.open_unlinked(path)
    private_files.replace(path, "ours")

    assert elsewhere.read_text() == "somebody's"
    assert not path.is_symlink()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610])
def test_any_right_of_others_is_seen(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.touch()
    path.chmod(mode)

    assert private_files.is_open_to_others(path)
