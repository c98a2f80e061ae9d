"""Which files of an input folder are read, and the warning about the others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bedrock_batch.dataset.splits import find_splits


def test_what_is_not_read_is_told_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file left beside the split folders would be missing from the outputs without a warning."""
    (tmp_path / "train" / "old").mkdir(parents=True)
    for name in ("more.csv", "train/a.csv", "train/.b.csv", "train/notes.md"):
        (tmp_path / name).write_text("id,text\n1,x\n")
    with caplog.at_level(logging.INFO):
        (split,) = find_splits(tmp_path, tmp_path / "output", "training", logging.getLogger("splits"))
    assert [file.path.name for file in split.files] == ["a.csv"]
    assert caplog.messages == [
        f"{tmp_path / 'more.csv'} is ignored: only the files in split folders (train) are read",
        f"{tmp_path / 'train' / '.b.csv'} is ignored: a hidden file",
        f"{tmp_path / 'train' / 'notes.md'} is ignored: neither CSV, TSV nor Parquet by its name",
        f"{tmp_path / 'train' / 'old'} is ignored: a folder",
    ]
