"""Conversion between pandas frames, tables and files, for any frame of a notebook."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bedrock_batch.dataset.frames import (
    append_columns,
    frame_to_table,
    load_dataframe_with_format,
    save_dataframe_with_format,
    table_to_frame,
)
from bedrock_batch.errors import InputError


def test_csv_is_loaded_as_text_with_null_apart_from_empty(tmp_path: Path) -> None:
    """`00123` would become 123 and `NA` a missing value, as with pandas' own reader."""
    path = tmp_path / "data.csv"
    path.write_text('a,a,b\n00123,NA,\n1e5,"",9007199254740993\n')
    frame, file_format = load_dataframe_with_format(str(path))
    assert file_format == "csv"
    assert list(frame.columns) == ["a", "a", "b"]
    assert frame.iloc[0].tolist()[:2] == ["00123", "NA"]
    assert pd.isna(frame.iloc[0, 2])
    assert frame.iloc[1].tolist() == ["1e5", "", "9007199254740993"]


@pytest.mark.parametrize("file_format", ["csv", "tsv", "parquet"])
def test_what_is_loaded_is_saved_as_it_was(tmp_path: Path, file_format: str) -> None:
    """Loading and saving a file would change it."""
    frame = pd.DataFrame({"id": ["007", None, ""], "n": ["1", "2", "3"]})
    path = save_dataframe_with_format(frame, tmp_path / "train.v1", file_format)
    assert path == tmp_path / f"train.v1.{file_format}"
    loaded, found = load_dataframe_with_format(path)
    assert found == file_format
    again = save_dataframe_with_format(loaded, tmp_path / f"again.{file_format}", file_format)
    assert again == tmp_path / f"again.{file_format}"
    if file_format != "parquet":
        assert again.read_bytes() == path.read_bytes()
    pd.testing.assert_frame_equal(load_dataframe_with_format(again)[0], loaded)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """A frame would be written under a suffix that nothing reads."""
    with pytest.raises(InputError, match="'xlsx' is not one of csv, tsv, parquet"):
        save_dataframe_with_format(pd.DataFrame({"a": [1]}), tmp_path / "data", "xlsx")


MIXED: list[tuple[str, list[object], list[str | None]]] = [
    ("numbers-and-text", [1, "a", None, 2.5, float("nan")], ["1", "a", None, "2.5", None]),
    ("larger-than-int64", [2**70, 1, pd.NA], ["1180591620717411303424", "1", None]),
    ("complex", [1j, None], ["1j", None]),
    ("bytes-and-numbers", [b"x\xff", 1, pd.NaT], ["x\\xff", "1", None]),
    ("objects-and-text", [{"k": [1, None]}, "y", ["ä"]], ['{"k": [1, null]}', "y", '["ä"]']),
    ("arrays-and-text", [np.array([1, 2]), "y", (1, np.int64(2))], ["[1, 2]", "y", "[1, 2]"]),
    ("lone-surrogate", ["a\ud800", "b"], ["a\\ud800", "b"]),
]


@pytest.mark.parametrize(("values", "texts"), [case[1:] for case in MIXED], ids=[case[0] for case in MIXED])
def test_a_column_of_many_types_becomes_text(values: list[object], texts: list[str | None]) -> None:
    """`process_batch` would fail on a frame that pandas itself has no trouble with."""
    table = frame_to_table(pd.DataFrame({"a": pd.Series(values, dtype=object), "n": range(len(values))}))
    assert table.column(0).to_pylist() == texts
    assert table.schema.field(1).type == pa.int64()


def test_typed_columns_keep_type_and_value() -> None:
    """A number, date, decimal or list would reach the prompt and the output in another form."""
    frame = pd.DataFrame(
        {
            "int": pd.array([1, None], dtype="Int64"),
            "float": [0.1, np.nan],
            "bool": pd.array([True, None], dtype="boolean"),
            "category": pd.Categorical(["x", None]),
            "when": pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Berlin"),
            "date": [datetime.date(1, 1, 1), None],
            "decimal": [decimal.Decimal("1.10"), None],
            "list": [np.array([1, 2]), None],
            "dict": [{"k": "v"}, None],
            "period": pd.period_range("2020-01", periods=2, freq="M"),
        }
    )
    table = frame_to_table(frame)
    back = table_to_frame(table)
    assert [back[name].iloc[0] for name in ("int", "float", "bool", "category", "decimal")] == [
        1, 0.1, True, "x", decimal.Decimal("1.10"),
    ]  # fmt: skip
    assert back["when"].iloc[0] == frame["when"].iloc[0]
    assert back["date"].iloc[0] == datetime.date(1, 1, 1)
    assert back["list"].iloc[0] == [1, 2]
    assert back["dict"].iloc[0] == {"k": "v"}
    assert list(back["period"]) == list(frame["period"])
    assert back.drop(columns="period").iloc[1].isna().all()


INDEXES = [
    pd.RangeIndex(3),
    pd.RangeIndex(10, 16, 2, name="row"),
    pd.Index([5, 3, 5]),
    pd.Index(["x", "y", "z"], name="key"),
    pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["one", None]),
]


@pytest.mark.parametrize("index", INDEXES, ids=["default", "range", "nameless", "named", "levels"])
@pytest.mark.parametrize("names", [["v", "w"], ["v", "v"]], ids=["unique", "repeated"])
def test_the_index_comes_back(index: pd.Index, names: list[str], tmp_path: Path) -> None:
    """The rows of a filtered or keyed frame could no longer be joined with where they came from."""
    frame = pd.DataFrame([[1, "a"], [2, "b"], [3, None]], index=index, columns=names)
    table = frame_to_table(frame)
    assert table.column_names[:2] == names
    path = save_dataframe_with_format(frame, tmp_path / "data", "parquet")
    for back in (table_to_frame(table), load_dataframe_with_format(path)[0]):
        assert list(back.columns) == names
        assert back.index.tolist() == index.tolist()
        assert list(back.index.names) == list(index.names)


def test_csv_keeps_a_named_index_as_a_column_and_drops_a_nameless_one(tmp_path: Path) -> None:
    """A key would be lost, or a column without a name appear that the input did not have."""
    frame = pd.DataFrame({"v": ["a", "b"]}, index=pd.Index([5, 7], name="key"))
    assert save_dataframe_with_format(frame, tmp_path / "a", "csv").read_text() == "v,key\na,5\nb,7\n"
    assert save_dataframe_with_format(frame.rename_axis(None), tmp_path / "b", "csv").read_text() == "v\na\nb\n"
    levels = frame.set_index(pd.Index(["x", "y"]), append=True)
    assert save_dataframe_with_format(levels, tmp_path / "c", "csv").read_text() == "v,key\na,5\nb,7\n"


def test_labels_that_are_no_text_become_text() -> None:
    """A frame that was read without a header, with numbers as labels, could not be processed."""
    assert frame_to_table(pd.DataFrame([[1, 2]])).column_names == ["0", "1"]
    assert frame_to_table(pd.DataFrame([[1, 2]], columns=[1, "1"])).column_names == ["1", "1"]


def test_a_frame_without_rows_or_columns_passes() -> None:
    """An empty selection would be an error instead of an empty result."""
    assert frame_to_table(pd.DataFrame({"a": []})).num_rows == 0
    assert frame_to_table(pd.DataFrame(index=[1, 2])).num_rows == 2
    assert table_to_frame(pa.table({"a": pa.array([], pa.string())})).shape == (0, 1)


def test_added_columns_stand_beside_untouched_ones() -> None:
    """A notebook would get its own columns back with other types, or in another order."""
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": pd.Categorical(["x", "y"])}, index=[7, 7])
    joined = append_columns(frame, pa.table({"llm_x": ["p", None], "b": [1, 2]}))
    assert list(joined.columns) == ["a", "b", "llm_x", "b"]
    pd.testing.assert_frame_equal(joined.iloc[:, :2], frame)
    assert joined.iloc[:, 3].tolist() == [1, 2]
    assert pd.isna(joined.iloc[1, 2])


def test_metadata_that_is_not_of_pandas_is_no_obstacle(tmp_path: Path) -> None:
    """A file whose metadata names an index that the file does not hold could not be loaded."""
    for described in (b"{}", b'{"index_columns": ["gone"]}', b'{"index_columns": [{"kind": "range", "stop": 9}]}'):
        table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": described})
        assert table_to_frame(table)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("file_format", ["csv", "tsv", "parquet"])
def test_a_compressed_file_is_loaded_and_saved_under_its_own_name(tmp_path: Path, file_format: str) -> None:
    """A notebook that writes a file back would find the old rows in it, and the new ones in data.csv.gz.csv."""
    path = tmp_path / f"data.{file_format}.gz"
    assert save_dataframe_with_format(pd.DataFrame({"a": ["x", "y"]}), path, file_format) == path
    frame, found = load_dataframe_with_format(path)
    assert (found, frame["a"].to_list()) == (file_format, ["x", "y"])
    assert path.read_bytes()[:2] == b"\x1f\x8b"
