"""An input that changes during a run ends the run: no row gets the answer of another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bedrock_batch.errors import InputChangedError
from helpers.batch_runs import World
from helpers.run_checks import answers_of, check_paid_once
from helpers.table_files import make_rows, write_table
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]
FILES = {"train/a.csv": 15, "train/b.csv.gz": 15, "val/c.parquet": 20}


def rewritten(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]], world: World) -> None:
    start = {"a.csv": 0, "b.csv.gz": 15, "c.parquet": 30}[path.name]
    write_table(path, change(world.inputs[start : start + FILES[f"{path.parent.name}/{path.name}"]]))


def reordered(path: Path, world: World) -> None:
    rewritten(path, lambda rows: rows[::-1], world)


def shortened(path: Path, world: World) -> None:
    rewritten(path, lambda rows: rows[:-5], world)


def lengthened(path: Path, world: World) -> None:
    rewritten(path, lambda rows: [*rows, *make_rows(30, 500)], world)


def replaced(path: Path, world: World) -> None:
    """Replace the file by one that differs in two rows."""
    other = path.with_name(f".{path.name}")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def edited_in_secret(path: Path, world: World) -> None:
    """Change bytes in place, and keep size and time."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def deleted(path: Path, world: World) -> None:
    path.unlink()


CHANGES = [reordered, shortened, lengthened, replaced, edited_in_secret, deleted]


@pytest.mark.parametrize("mode", ["batch", "realtime"])
@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_input_ends_the_run_and_a_restored_one_continues_it(
    make_world: MakeWorld, change: Callable[[Path, World], None], name: str, mode: str
) -> None:
    """Rows would get the answers of other rows, with exit code 0."""
    world = make_world(files=FILES, BEDROCK_BATCH_MODE=mode)
    path = world.processing / "input" / "data" / name
    original, times = path.read_bytes(), path.stat()
    operation = "GetModelInvocationJob" if mode == "batch" else "InvokeModel"

    def hurt(call: CallInfo) -> None:
        if call.operation == operation and call.when == "after" and not changed:
            changed.append(call.operation)
            change(path, world)

    changed: list[str] = []
    world.local.on_call(hurt)
    run = world.run()
    assert changed
    assert isinstance(run.error, InputChangedError)
    assert run.error.exit_code == 1
    assert str(path) in str(run.error)
    assert run.rows == {}
    assert not list((world.processing / "output" / "data").rglob("*.part"))

    path.write_bytes(original)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = world.answer()
    assert [row["id"] for row in again.all_rows] == [row["id"] for row in world.inputs]
    check_paid_once(again)
    assert len(answers_of(again.all_rows)) == 50


def test_an_added_row_under_the_same_size_and_time_is_reported_as_a_change(make_world: MakeWorld) -> None:
    """The run would fail with a traceback about its own segments, which does not name the changed file."""
    world = make_world(files={"train/a.csv": 20}, BEDROCK_BATCH_MODE="realtime")
    path = world.processing / "input" / "data" / "train" / "a.csv"
    path.write_text("text\n" + "".join(f"row {number:02d}\n" for number in range(20)))
    times = path.stat()
    changed: list[str] = []

    def split_a_row(call: CallInfo) -> None:
        if call.operation == "InvokeModel" and call.when == "after" and not changed:
            changed.append(call.operation)
            path.write_bytes(path.read_bytes().replace(b"row 07", b"row\n07"))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    world.local.on_call(split_a_row)
    run = world.run()
    assert isinstance(run.error, InputChangedError), run.error
    assert str(path) in str(run.error)
    assert run.rows == {}


def test_text_that_a_change_made_unreadable_is_reported_as_a_change(make_world: MakeWorld) -> None:
    """A Parquet file that is damaged after the check of its text would fail the run with a traceback."""
    files = {"train/a.csv": 2, "train/b.parquet": 20}
    world = make_world(files=files, BEDROCK_BATCH_MODE="realtime", BEDROCK_CONCURRENCY_MODE="sequential")
    path = world.processing / "input" / "data" / "train" / "b.parquet"
    texts = [f"text {number:02d}" for number in range(20)]
    table = pa.table({"id": texts, "text": texts})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    times, original = path.stat(), path.read_bytes()

    def damage(_: CallInfo) -> None:
        if path.read_bytes() == original:
            path.write_bytes(original.replace(b"text 07", b"text\xff07"))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    world.local.on_call(damage)
    run = world.run()
    assert path.read_bytes() != original
    assert isinstance(run.error, InputChangedError), run.error
    assert str(path) in str(run.error)
    assert run.rows == {}


def test_a_change_while_outputs_are_written_leaves_none_of_them(make_world: MakeWorld) -> None:
    """The first split would be published although the second one is of another version of the data."""
    world = make_world(files=FILES)
    last = world.processing / "input" / "data" / "val" / "c.parquet"
    writing = world.processing / "output" / "data" / "train" / ".train_processed_data.csv.part"

    run = world.answer()
    assert run.rows
    for path in (world.processing / "output" / "data").rglob("*_processed_data*"):
        path.unlink()

    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if writing.exists():
                edited_in_secret(last, world)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        again = world.run()
    finally:
        stop.set()
        thread.join()
    assert isinstance(again.error, InputChangedError)
    assert again.rows == {}
