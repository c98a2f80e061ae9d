"""Values of Arrow columns that Python has no object for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bedrock_batch.arrow_values import python_values

FAR = pa.array([10**12, 0, None], pa.timestamp("s"))
TWINS = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param(FAR, ["33658-09-27 01:46:40", FAR[1].as_py(), None], id="timestamp"),
        pytest.param(pa.array([10**7], pa.date32()), ["29349-01-26"], id="date"),
        pytest.param(pa.array([-(10**6)], pa.date32()), ["-768-02-04"], id="date-before-christ"),
        pytest.param(pa.array([2**62], pa.duration("s")), ["4611686018427387904 seconds"], id="duration"),
        pytest.param(
            pa.array([60_000_000], pa.timestamp("us", "Mars/Olympus")),
            ["1970-01-01 00:01:00.000000+00:00"],
            id="unknown-zone",
        ),
        pytest.param(FAR.slice(0, 1).dictionary_encode(), ["33658-09-27 01:46:40"], id="dictionary"),
        pytest.param(
            pa.ListArray.from_arrays([0, 1, 3], FAR), [["33658-09-27 01:46:40"], [FAR[1].as_py(), None]], id="list"
        ),
        pytest.param(
            pa.StructArray.from_arrays([FAR.slice(0, 1), pa.array(["x"])], names=["t", "u"]),
            [{"t": "33658-09-27 01:46:40", "u": "x"}],
            id="struct",
        ),
        pytest.param(TWINS, [[("a", 1), ("a", 2)]], id="two-fields-of-one-name"),
        pytest.param(
            pa.array([[("k", 10**12)]], pa.map_(pa.string(), pa.timestamp("s"))),
            [[("k", "33658-09-27 01:46:40")]],
            id="map",
        ),
    ],
)
def test_a_value_that_python_lacks_becomes_text(column: pa.Array, values: list[object]) -> None:
    """One date beyond the year 9999 would end the run after earlier rows were paid for, and every restart again."""
    assert python_values(column) == values
