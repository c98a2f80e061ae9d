"""Which files of an input folder are read, and the warning about the others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bedrock_batch.dataset.splits import find_splits
from bedrock_batch.environment.container.instances import Instance
from bedrock_batch.errors import InputError


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


def split_names(folder: Path, instance: Instance | None = None) -> list[str]:
    splits = find_splits(folder, folder / "output", "training", logging.getLogger("splits"), instance)
    return [split.name for split in splits]


def test_a_split_folder_whose_files_cannot_be_read_ends_the_run(tmp_path: Path) -> None:
    """A run would go on without the training data, with no more than a warning."""
    for name in ("train/data.xlsx", "val/part/a.csv", "test/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("id,text\n1,x\n")
    with pytest.raises(InputError) as raised:
        split_names(tmp_path)
    message = str(raised.value)
    assert f"file in {tmp_path / 'train'} (it holds data.xlsx): convert its files, or remove the folder" in message
    assert f"file in {tmp_path / 'val'} (it holds part): convert" in message


def test_a_split_folder_without_data_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run without a validation set would end although its folder holds nothing, or only the mark of a tool."""
    for name in ("train/a.csv", "val/.DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("id,text\n1,x\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "_SUCCESS").touch()
    assert split_names(tmp_path) == ["train"]
    assert [text.split(":")[0] for text in caplog.messages] == ["split=val is skipped", "split=test is skipped"]


def test_an_instance_that_got_other_files_than_data_goes_on(tmp_path: Path) -> None:
    """One instance of several would fail because SageMaker gave it the readme and the others the data."""
    for name in ("train/a.csv", "val/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("id,text\n1,x\n")
    assert split_names(tmp_path, Instance("algo-1", 0, 2, frozenset({"train", "val"}))) == ["train"]
