"""Small files of the answer store are merged by a later run, and nothing is paid for again because of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from bedrock_batch.answer_store.segments import encode_segment
from helpers.batch_runs import BUCKET, World, small
from helpers.table_files import make_rows, write_table
from local_bedrock import CallFault

ROWS = 80
REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}


def objects(world: World) -> list[str]:
    prefix = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    found = world.local.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for item in found.get("Contents", [])]


def scatter(world: World) -> None:
    """Replace the segment of the first run by one segment for each answer, as many small runs would leave them."""
    client: Any = world.local.client("s3")
    (key,) = objects(world)
    table = pq.read_table(io.BytesIO(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()))
    for row in range(table.num_rows):
        name, data = encode_segment(table.slice(row, 1))
        client.put_object(Bucket=BUCKET, Key=f"{key.rpartition('/')[0]}/{name}", Body=data)
    client.delete_object(Bucket=BUCKET, Key=key)


def charged_with_rows(world: World, count: int) -> int:
    write_table(world.processing / "input" / "data" / "train" / "a.csv", make_rows(count))
    before = world.local.charges.total()
    run = world.answer()
    assert len(run.all_rows) == count
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    return world.local.charges.total() - before


@pytest.mark.parametrize("may_delete", [True, False], ids=["may-delete", "may-not-delete"])
def test_a_later_run_merges_small_files(make_world: Callable[..., World], may_delete: bool) -> None:
    """Each start would read as many files as there were runs, or a run without the right to delete would fail."""
    faults = () if may_delete else (CallFault("S3.DeleteObject", code="AccessDenied"),)
    world = make_world(files={"train/a.csv": ROWS}, **REALTIME)
    assert charged_with_rows(world, ROWS) == ROWS
    scatter(world)
    assert len(objects(world)) == ROWS
    if not may_delete:
        limited = make_world(small(calls=faults), files={"train/a.csv": ROWS}, **REALTIME)
        limited.environ["BEDROCK_ANSWERS_S3_PATH"] = world.environ["BEDROCK_ANSWERS_S3_PATH"]
        world = limited
    assert charged_with_rows(world, ROWS + 1) == 1
    # A run that may not delete leaves what it has merged, the merged file, its own answer and its empty marker.
    assert len(objects(world)) == (1 if may_delete else ROWS + 3)
    assert charged_with_rows(world, ROWS + 2) == 1
    reads = world.local.count("S3.GetObject")
    before = len(objects(world))
    assert charged_with_rows(world, ROWS + 3) == 1
    assert len(objects(world)) == before + (1 if may_delete else 2)
    assert world.local.count("S3.GetObject") - reads < 20
