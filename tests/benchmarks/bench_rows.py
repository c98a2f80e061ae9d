"""Rows to job files, and result files to a table: our code compared with row-wise code (R) and the limit (L)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq
from bench_data import MODEL, PLACEHOLDERS, SCHEMA, SYSTEM, TEMPLATE, write_results, write_rows
from bench_measure import Rate, measure

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.batch.job_files.files import write_job_files
from bedrock_batch.batch.job_files.plan import JobLimits
from bedrock_batch.batch.results.fast_reader import decode_line
from bedrock_batch.batch.results.reader import SentRecords, read_results
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.dataset.row_source import text_columns
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.prompts.template import PromptTemplate
from bedrock_batch.records import Record, prompt_check, record_id

SETTINGS = settings_from_mapping({"primary_model_id": MODEL, "max_tokens": 1024})
MODEL_INPUT = build_model_input(SETTINGS, MODEL, system_prompt=SYSTEM)
PARSER_SCHEMA = ResponseSchema(SCHEMA)


def _body(prompt: str) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "temperature": 1.0,
        "top_p": 0.999,
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": "{"}],
        "system": SYSTEM,
    }


def stage(path: Path, folder: Path) -> int:
    """Our code: Parquet to job files on disk, planned, checked and hashed."""
    template = PromptTemplate(TEMPLATE, PLACEHOLDERS, SYSTEM)

    def records():
        number = 0
        for batch in open_table(path).batches():
            for prompt in template.render_rows(text_columns(batch, template.placeholders), batch.num_rows):
                yield Record(number, prompt)
                number += 1

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return sum(
        len(job.numbers) for job in write_job_files(records(), MODEL_INPUT, JobLimits(100, 45_000, 900 << 20), folder)
    )


def stage_row_wise(path: Path, folder: Path) -> int:
    """R: `iterrows`, `str.replace` for each placeholder, `json.dumps`."""
    frame = pd.read_parquet(path)
    with (folder / "row-wise.jsonl").open("w") as file:
        for position, row in frame.iterrows():
            prompt = TEMPLATE
            for name in PLACEHOLDERS:
                prompt = prompt.replace("{" + name + "}", str(row[name]))
            file.write(json.dumps({"recordId": f"record_{position}", "modelInput": _body(prompt)}) + "\n")
    return len(frame)


def stage_bare(path: Path, folder: Path) -> int:
    """L: join and serialise with orjson, and nothing else."""
    table = pq.read_table(path)
    columns = [table[name].to_pylist() for name in PLACEHOLDERS]
    with (folder / "bare.jsonl").open("wb") as file:
        for number, (product, count, review) in enumerate(zip(*columns, strict=True)):
            prompt = "".join(
                ("Judge the review of ", product, " with number ", str(count), ":\n", review, "\nAnswer with JSON.")
            )
            file.write(orjson.dumps({"recordId": record_id(number), "modelInput": _body(prompt)}) + b"\n")
    return table.num_rows


def stage_floor(path: Path, folder: Path, prompt_bytes: int) -> int:
    """Input and output only: decode the Parquet file, and write as many bytes as the lines have."""
    line = orjson.dumps({"recordId": record_id(0), "modelInput": _body("x" * prompt_bytes)}) + b"\n"
    count = 0
    with (folder / "floor.jsonl").open("wb") as file:
        for batch in open_table(path).batches():
            file.write(line * batch.num_rows)
            count += batch.num_rows
    return count


def read(path: Path, sent: SentRecords) -> int:
    """Our code: result file to Arrow columns, joined by id, checked, repaired, validated, in row order."""
    parser, columns = AnswerParser(PARSER_SCHEMA), AnswerColumns(PARSER_SCHEMA, "llm_")
    with TemporaryDirectory(dir=path.parent) as folder:
        answers = AnswerCollector(
            parser, columns, CostTracker(PriceBook({})), Path(folder) / "answers", lambda _: False
        )
        read_results([path], sent, answers, unanswered="missing")
        return sum(batch.num_rows for _, batch in answers.rows(0, len(sent.checks), {}))


def _text(result: Mapping[str, Any], converse: bool) -> str:
    output = result["modelOutput"]
    return output["output"]["message"]["content"][0]["text"] if converse else "{" + output["content"][0]["text"]


def read_row_wise(path: Path, converse: bool) -> int:
    """R: `json.loads` per line, a dict per row, `DataFrame(list)`."""
    rows = []
    with path.open() as file:
        for line in file:
            result = json.loads(line)
            answer = PARSER_SCHEMA.model_class.model_validate_json(_text(result, converse)).model_dump()
            rows.append(
                {"id": result["recordId"], "llm_status": "success"} | {f"llm_{k}": v for k, v in answer.items()}
            )
    return len(pd.DataFrame(rows))


def read_bare(path: Path, converse: bool) -> int:
    """L: parse the line with orjson, validate the answer with pydantic-core, and nothing else."""
    validate = PARSER_SCHEMA.model_class.__pydantic_validator__.validate_json
    count = 0
    with path.open("rb") as file:
        for line in file:
            validate(_text(orjson.loads(line), converse))
            count += 1
    return count


def read_floor(path: Path) -> int:
    """Parse the lines with the fastest parser, and nothing else."""
    with path.open("rb", buffering=1 << 20) as file:
        return sum(decode_line(line) is not None for line in file)


def compare_staging(folder: Path, rows: int, prompt_bytes: int, rounds: int) -> dict[str, Rate]:
    """Return rows per second from Parquet to JSONL on disk of the three ways, and of input and output only."""
    path = write_rows(folder / f"rows-{prompt_bytes}.parquet", rows, prompt_bytes)
    ways: dict[str, Callable[[], int]] = {
        "ours": lambda: stage(path, folder / "staged"),
        "R": lambda: stage_row_wise(path, folder),
        "L": lambda: stage_bare(path, folder),
        "floor": lambda: stage_floor(path, folder, prompt_bytes),
    }
    return measure(ways, rounds)


def compare_reading(folder: Path, rows: int, rounds: int, converse: bool) -> dict[str, Rate]:
    """Return rows per second from a result file to a table of the three ways, and of parsing only."""
    prompts = [f"Judge the review of product {n % 97}: {'word ' * 195}{n}" for n in range(rows)]
    path = write_results(folder / f"results-{converse}.jsonl.out", prompts, converse=converse)
    sent = SentRecords({n: prompt_check(prompt) for n, prompt in enumerate(prompts)}, MODEL, prefilled=not converse)
    ways: dict[str, Callable[[], int]] = {
        "ours": lambda: read(path, sent),
        "R": lambda: read_row_wise(path, converse),
        "L": lambda: read_bare(path, converse),
        "floor": lambda: read_floor(path),
    }
    return measure(ways, rounds)
