"""A file that is written atomically is complete or absent."""

from __future__ import annotations

import fcntl
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.environment.private_files import FILE_MODE, private_opener


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    """Another process would read half a file."""
    path = tmp_path / "folder" / "data.bin"
    with atomic_write(path) as file:
        file.write(b"data")
        assert not path.exists()
    assert path.read_bytes() == b"data"
    assert list(path.parent.iterdir()) == [path]


def _fail_halfway(file: BinaryIO) -> None:
    file.write(b"half")
    raise ZeroDivisionError


def test_an_error_keeps_the_file_of_before(tmp_path: Path) -> None:
    """A run that fails would destroy the output of the run before, or leave its own partial file behind."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        _fail_halfway(file)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_under_the_hidden_name_is_not_followed(tmp_path: Path) -> None:
    """Whoever can write to the output folder could have the step overwrite a file outside of it."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    path = tmp_path / "output" / "data.bin"
    path.parent.mkdir()
    (path.parent / ".data.bin.part").symlink_to(outside)
    with atomic_write(path) as file:
        file.write(b"data")
    assert (outside.read_bytes(), path.read_bytes()) == (b"kept", b"data")


def test_an_opener_decides_who_may_read_the_file(tmp_path: Path) -> None:
    """Other users of the machine could read prompts and answers while the file is written, and afterwards."""
    path = tmp_path / "ledger.json"
    with atomic_write(path, opener=private_opener) as file:
        file.write(b"data")
        (partial,) = tmp_path.iterdir()
        assert stat.S_IMODE(partial.stat().st_mode) == FILE_MODE
    assert stat.S_IMODE(path.stat().st_mode) == FILE_MODE


def test_a_deleted_folder_stays_deleted_on_request(tmp_path: Path) -> None:
    """A process whose ledger was deleted would go on with a new one beside the process that took its place."""
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "run" / "ledger.json", make_folder=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    """Two runs in one folder: the first would give its name to the half-written file of the second."""
    path = tmp_path / "data.bin"
    with atomic_write(path) as first:
        first.write(b"first")
        with pytest.raises(BlockingIOError, match="another process"), atomic_write(path) as second:
            second.write(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def _replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_a_file_that_was_replaced_while_it_was_written_gets_no_name(tmp_path: Path) -> None:
    """On a file system without locks, half of another process's file would appear as a complete output."""
    path, partial = tmp_path / "data.bin", tmp_path / ".data.bin.part"
    with pytest.raises(BlockingIOError, match="another process"), atomic_write(path):
        _replace(partial, b"half of theirs")
    assert not path.exists()
    assert partial.read_bytes() == b"half of theirs"


def test_a_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step could not write its outputs to a network drive."""

    def refuse(_: int, __: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "data.bin"
    (tmp_path / ".data.bin.part").write_bytes(b"left by a killed run")
    with atomic_write(path) as file:
        file.write(b"data")
    assert path.read_bytes() == b"data"
    assert list(tmp_path.iterdir()) == [path]
