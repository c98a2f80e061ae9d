"""The instance of this process among those of a job, and its share of rows and limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.environment.container.instances import Instance, read_instance
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import InputError


def instances(count: int) -> list[Instance]:
    return [Instance(f"algo-{index + 1}", index, count) for index in range(count)]


@given(total=st.integers(0, 10_000), count=st.integers(1, 100))
def test_hosts_cover_each_row_once_and_evenly(total: int, count: int) -> None:
    """A row would be paid for twice or never, or one instance would work while the others wait."""
    shares = [instance.rows_of(total) for instance in instances(count)]
    assert [row for share in shares for row in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(jobs=st.integers(1, 200), count=st.integers(1, 100))
def test_the_quota_of_jobs_is_used_up_and_shared_fairly(jobs: int, count: int) -> None:
    """Instances would be refused jobs that another one holds, or leave a part of the account's quota unused."""
    settings, _ = load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b", "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": str(jobs)})
    shares = [instance.share(settings).max_concurrent_batch_jobs for instance in instances(count)]
    assert min(shares) >= 1
    assert sum(shares) == max(jobs, count) if jobs >= count else all(share == 1 for share in shares)
    assert max(shares) - min(shares) <= 1


def test_rate_and_cost_limits_are_those_of_the_whole_job() -> None:
    """Four instances would send four times the requests and spend four times the money that the user allowed."""
    settings, _ = load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b", "BEDROCK_RATE_LIMIT_PER_SECOND": "10"})
    share = instances(4)[1].share(settings)
    assert (share.rate_limit_per_second, share.max_cost_usd) == (2.5, None)
    assert instances(1)[0].share(settings) == settings


def write_config(opt_ml: Path, name: str, content: object) -> None:
    (opt_ml / "config").mkdir(exist_ok=True)
    (opt_ml / "config" / name).write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["S3Input", "DatasetDefinition"])
def test_each_channel_is_sharded_or_not_for_itself(tmp_path: Path, kind: str) -> None:
    """If only the training data are sharded, one of the two inputs would be read wrongly."""
    key = {"S3Input": "S3DataDistributionType", "DatasetDefinition": "DataDistributionType"}[kind]
    data = "/opt/ml/processing/input/data"
    inputs = [
        {"InputName": "a", kind: {"LocalPath": f"{data}/train", key: "ShardedByS3Key"}},
        {"InputName": "b", kind: {"LocalPath": f"{data}/val", key: "FullyReplicated"}},
    ]
    write_config(tmp_path, "processingjobconfig.json", {"ProcessingInputs": inputs})
    write_config(tmp_path, "resourceconfig.json", {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})
    instance = read_instance(tmp_path, ("train", "val", "test"))
    assert (instance.name, instance.index, instance.count, instance.suffix) == ("algo-2", 1, 2, "-algo-2")
    assert [instance.has_own_part(folder) for folder in ("train", "val", "")] == [True, False, False]


def test_a_host_alone_has_everything_and_no_mark(tmp_path: Path) -> None:
    """Outputs of a job on one instance would be named as if there were others, and a pipeline would not find them."""
    write_config(tmp_path, "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    assert read_instance(tmp_path, ()) == Instance()
    assert Instance().suffix == ""
    assert Instance().has_own_part("")


def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    """A damaged description of the job would make the step write outside of its output folder."""
    write_config(tmp_path, "resourceconfig.json", {"current_host": "../x", "hosts": ["../x", "b"]})
    with pytest.raises(InputError, match="not a valid instance name"):
        read_instance(tmp_path, ())
