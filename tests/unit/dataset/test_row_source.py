"""The columns of a batch as text, by the names of a template."""

from __future__ import annotations

import pyarrow as pa

from bedrock_batch.dataset.row_source import text_columns


def test_of_columns_with_one_name_the_first_counts() -> None:
    """A prompt would hold another cell than the one that the documentation names."""
    batch = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
    assert text_columns(batch, ["x", "y"]) == {"x": ["a"]}


def test_a_name_that_no_file_can_hold_is_missing() -> None:
    """A placeholder with half of a surrogate pair would end the run in a traceback."""
    batch = pa.RecordBatch.from_arrays([pa.array(["a"])], names=["x"])
    assert text_columns(batch, ["x", "y\ud800"]) == {"x": ["a"]}
