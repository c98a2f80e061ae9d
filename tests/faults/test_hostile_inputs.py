"""Hostile inputs (links, bombs, damaged and absurd files) give a clear message before anything is paid for."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bedrock_batch.answers.schema.response_schema import load_validation_schema
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.commands.run import run_step
from bedrock_batch.dataset.splits import find_splits
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.errors import BedrockBatchError, ConfigurationError, InputError
from bedrock_batch.prompts.files import load_prompt_templates
from helpers.batch_runs import BUCKET, ENVIRON, SCHEMA, TEMPLATE, small, write_inputs
from helpers.step_command import run_process, step_command, step_environ
from local_bedrock import LocalBedrock

CANARY = "canary-7f3a"


@pytest.fixture
def processing(tmp_path: Path) -> Path:
    write_inputs(tmp_path / "processing" / "input", {"val/c.tsv": 3})
    return tmp_path / "processing"


def request_of(processing: Path, **environ: str) -> StepRequest:
    """Return a run without reachable endpoints: a call to AWS would give another error."""
    nowhere = {f"AWS_ENDPOINT_URL_{name}": "http://127.0.0.1:9" for name in ("BEDROCK", "BEDROCK_RUNTIME", "S3")}
    everything = {**ENVIRON, **nowhere, **environ}
    log = logging.Logger("hostile")
    return StepRequest(*container_paths(processing), everything, "training", processing_dir=processing, log=log)


def problems_of(processing: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        run_step(request_of(processing))
    return "\n".join(caught.value.problems)


def count_rows(processing: Path) -> int:
    folders = (processing / "input" / "data", processing / "output" / "data")
    splits = find_splits(*folders, "training", logging.Logger("hostile"), root=processing)
    return sum(split.count for split in splits)


# Links and paths


def link_file(folder: Path, target: Path) -> None:
    (folder / "data" / "val" / "d.tsv").symlink_to(target)


def link_folder(folder: Path, target: Path) -> None:
    (folder / "data" / "train").symlink_to(target.parent)


def link_template(folder: Path, target: Path) -> None:
    (folder / "templates" / "prompts.json").unlink()
    (folder / "templates" / "prompts.json").symlink_to(target)


def link_schema(folder: Path, target: Path) -> None:
    (folder / "schema" / "validation_schema_29991231_000000.json").symlink_to(target)


def link_loop(folder: Path, target: Path) -> None:
    (folder / "data" / "val" / "d.tsv").symlink_to(folder / "data" / "val" / "d.tsv")


@pytest.mark.parametrize("link", [link_file, link_folder, link_template, link_schema, link_loop])
def test_a_link_out_of_the_processing_directory_is_refused(
    processing: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    """An attacker who may write to the input prefix could send any file of the container to a model."""
    secret = tmp_path / "secrets" / "secret.tsv"
    secret.parent.mkdir()
    secret.write_text(f"id\ttext\n1\t{CANARY}\n")
    link(processing / "input", secret)
    told = problems_of(processing)
    assert "leads out of" in told
    assert CANARY not in told


def test_a_link_inside_the_processing_directory_is_followed(processing: Path) -> None:
    """A user could not share one file between two folders by a link."""
    os.link(processing / "input/data/val/c.tsv", processing / "input/data/val/hard.tsv")
    (processing / "input/data/val/soft.tsv").symlink_to(processing / "input/data/val/c.tsv")
    assert count_rows(processing) == 9


def test_a_pipe_and_a_socket_are_no_data_files(processing: Path) -> None:
    """The step would wait forever for a named pipe that nobody writes to."""
    os.mkfifo(processing / "input" / "data" / "val" / "d.tsv")
    assert count_rows(processing) == 3


# Tables

LONG_ROW = b"1," + b" " * (1 << 20) + b"\n"
WIDE = b",".join(b"c%d" % number for number in range(20_000))
FILES: dict[str, tuple[str, bytes, str]] = {
    "not-utf8": ("a.csv", b"id,text\n1,\xff\xfe\n", "UTF-8"),
    "cut-utf8": ("a.csv", b"id,text\n1,\xe6\x9d", "UTF-8"),
    "open-quote": ("a.csv", b'id,text\n1,"' + b"x" * 100_000, "quote"),
    "ragged": ("a.csv", b"id,text\n1,2,3\n", "cells"),
    "wide": ("a.csv", WIDE + b"\n" + b"1,\n", "cells"),
    "empty": ("a.csv", b"", "a.csv"),
    "no-gzip": ("a.csv.gz", b"id,text\n1,2\n", "gzip"),
    "cut-gzip": ("a.csv.gz", gzip.compress(b"id,text\n" + b"1,2\n" * 9999)[:60], "gzip"),
    "bomb": ("a.csv.gz", gzip.compress(b"id,text\n" + LONG_ROW * 300, compresslevel=9), "unpack"),
    "bomb-parquet": ("a.parquet.gz", gzip.compress(bytes(300 << 20), compresslevel=9), "unpack"),
    "no-parquet": ("a.parquet", b"PAR1" + bytes(64) + b"PAR1", "a.parquet"),
    "empty-parquet": ("a.parquet", b"", "a.parquet"),
}


@pytest.mark.parametrize(("name", "content", "part"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_table_is_refused_by_name(processing: Path, name: str, content: bytes, part: str) -> None:
    """The step would end with a traceback, fill the disk, or process rows that the file does not contain."""
    (processing / "input" / "data" / "train").mkdir()
    (processing / "input" / "data" / "train" / name).write_bytes(content)
    told = problems_of(processing)
    assert str(processing / "input" / "data" / "train" / name) in told
    assert part in told


def test_cells_of_any_content_pass_as_text(tmp_path: Path) -> None:
    """A cell of 10 MB, a NUL or a spreadsheet formula would end the step or be changed."""
    cells = ["x" * (10 << 20), "a\0b", "=1+1", "{text}{{}}", "\u202e\ufeff\u2028", "'; drop table rows; --", "NaN"]
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "".join('"' + cell.replace('"', '""') + '"\n' for cell in cells), encoding="utf-8")
    rows = [row["text"] for batch in open_table(path).batches() for row in batch.to_pylist()]
    assert rows == cells


def test_damaged_parquet_is_read_or_refused_but_never_more(tmp_path: Path) -> None:
    """One flipped bit in a file would crash the process, or end it with a traceback of a library."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": list(range(500)), "text": [f"text {n}" for n in range(500)]}), path)
    good = path.read_bytes()
    dice = random.Random(11)
    refused = 0
    for _ in range(150):
        broken = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        path.write_bytes(bytes(broken))
        refused += is_refused_by_name(path)
    assert refused > 50


def is_refused_by_name(path: Path) -> bool:
    try:
        open_table(path).count_rows()
    except InputError as error:
        return str(path) in str(error)
    return False


# Templates and schemas

DEEP = "[" * 100_000
TEXTS: dict[str, bytes] = {
    "deep": DEEP.encode(),
    "deep-object": ('{"properties":' * 20_000).encode(),
    "not-utf8": b'{"user_prompt_template": "\xff"}',
    "huge-number": b'{"user_prompt_template": ' + b"9" * 10_000 + b"}",
    "empty": b"",
    "cut": b'{"user_prompt_template": "x',
    "nul": b"\0" * 100,
    "number": b"1e400",
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_templates_and_schemas_that_are_no_json_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """A damaged file of the template step would end this step with a traceback or a stack overflow."""
    loaders = (("prompts.json", load_prompt_templates), ("validation_schema_1.json", load_validation_schema))
    for name, load in loaders:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            load(tmp_path)


def nested(levels: int, wrap: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return a schema of a text inside this many levels."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


SCHEMAS: dict[str, Any] = {
    "remote": {"a": {"$ref": "https://example.com/schema.json"}},
    "file": {"a": {"$ref": "file:///etc/passwd"}},
    "loop": {"a": {"$ref": "#/properties/a"}},
    "pattern": {"a": {"type": "string", "pattern": "("}},
    "no-schema": {"a": 7},
    "deep-objects": {"a": nested(90, lambda inner: {"type": "object", "properties": {"a": inner}})},
    "deep-arrays": {"a": nested(60, lambda inner: {"type": "array", "items": inner})},
    "deep-choices": {"a": nested(60, lambda inner: {"anyOf": [inner, {"type": "null"}]})},
}


@pytest.mark.parametrize("properties", SCHEMAS.values(), ids=SCHEMAS)
def test_schemas_that_reach_out_never_end_or_fit_no_column_are_refused(
    tmp_path: Path, properties: dict[str, Any]
) -> None:
    """A schema could make the step read files, call other hosts, hang, or fail after all rows were paid for."""
    path = tmp_path / "validation_schema_1.json"
    path.write_text(json.dumps({"type": "object", "properties": properties}))
    with pytest.raises(InputError, match="validation_schema_1"):
        load_validation_schema(tmp_path)


def test_of_repeated_keys_in_a_template_the_last_counts_as_everywhere_in_json(tmp_path: Path) -> None:
    """The step would use another prompt than a reviewer sees, who reads the last of two equal keys."""
    (tmp_path / "prompts.json").write_text('{"user_prompt_template": "a", "user_prompt_template": "b"}')
    assert load_prompt_templates(tmp_path)["user_prompt_template"] == "b"


# Secrets


def test_no_secret_and_no_row_is_in_any_log_summary_or_message(tmp_path: Path) -> None:
    """A reader of the log would see credentials or texts of customers."""
    opt_ml = tmp_path / "ml"
    processing = opt_ml / "processing"
    (opt_ml / "output").mkdir(parents=True)
    (opt_ml / "config").mkdir()
    (opt_ml / "config" / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    write_inputs(processing / "input", {"val/c.tsv": 12})
    data = processing / "input" / "data" / "val" / "c.tsv"
    data.write_text(data.read_text().replace("message", f"{CANARY}-row message"))
    secrets = {
        "AWS_SESSION_TOKEN": f"{CANARY}-session",
        "PIP_INDEX_URL": f"https://aws:{CANARY}-index@127.0.0.1/simple/",
        "BEDROCK_SECURE_PYPI_DOMAIN": "domain",
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05",
    }
    prompts = {"user_prompt_template": TEMPLATE + f" {CANARY}-template", "system_prompt": f"{CANARY}-system"}
    (processing / "input" / "templates" / "prompts.json").write_text(json.dumps(prompts))
    with LocalBedrock(small(), answers=SCHEMA) as local:
        local.create_bucket(BUCKET)
        environ = {**ENVIRON, **local.environment, "AWS_SECRET_ACCESS_KEY": f"{CANARY}-key", **secrets}
        for changes in (
            {},
            {"BEDROCK_BATCH_MODE": "realtime", "BEDROCK_MAX_TOKENS": "99"},
            {"BEDROCK_MAX_TOKENS": "-"},
        ):
            done = run_process(step_command(processing, "--job_type", "training"), step_environ(environ, changes))
            assert done.returncode == (2 if changes.get("BEDROCK_MAX_TOKENS") == "-" else 0), done.stderr
            assert CANARY not in done.stdout + done.stderr
        objects = local.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
        ledgers = [each["Key"] for each in objects if each["Key"].endswith("ledger.json")]
        assert len(ledgers) == 2
        for key in ledgers:
            assert CANARY.encode() not in local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert CANARY not in (opt_ml / "output" / "message").read_text()
    for path in (processing / "output" / "summary").iterdir():
        assert CANARY not in path.read_text(), path.name


def test_every_refusal_is_an_error_of_the_step() -> None:
    """The step would report wrong input as a defect of its own."""
    assert issubclass(ConfigurationError, BedrockBatchError)
    assert (ConfigurationError.exit_code, InputError.exit_code) == (2, 2)
