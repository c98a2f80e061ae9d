"""The steps of a batch run one by one, as the specification names them, for notebooks and for looking into a run.

A run of the step does not go through these methods: it streams (see `staging`, `jobs` and `results`). They use the same
parts, hold everything in memory, and keep no ledger.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from bedrock_batch.aws.invocation_jobs import (
    TERMINAL,
    client_request_token,
    create_job,
    describe_job,
    job_name,
    validate_job_name,
)
from bedrock_batch.aws.s3 import join_uri, parse_s3_path
from bedrock_batch.context import make_storage
from bedrock_batch.errors import JobError
from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.jobs.creation import job_request
from bedrock_batch.jobs.fetch import RESULT_SUFFIX
from bedrock_batch.jobs.job import next_poll
from bedrock_batch.jsonl import JobLimits, plan_jobs
from bedrock_batch.processor import BedrockProcessor
from bedrock_batch.repeats import is_worth_repeating
from bedrock_batch.results import SentRecords, read_results
from bedrock_batch.sources import TableSource
from bedrock_batch.staging import prompt_check

if TYPE_CHECKING:
    import pandas as pd

_RAISED = frozenset({"Failed", "Stopped", "Expired"})


class BatchSteps(BedrockProcessor):
    """A processor that can also do each step of a batch run by itself."""

    def convert_df_to_jsonl(self, df: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the batch records of a frame: `recordId` by position, and the `modelInput` of its rendered prompt."""
        return [
            {"recordId": record.record_id, "modelInput": self.model_input.body(record.prompt)}
            for record in self.records(_source_of(df))
        ]

    def upload_jsonl_to_s3(self, jsonl_records: Sequence[Mapping[str, Any]]) -> str:
        """Upload records under a key of their own below `batch_input_s3_path` and return the object's URI."""
        uri = join_uri(self.settings.batch_input_s3_path, "single", uuid4().hex, "input.jsonl")
        with tempfile.TemporaryDirectory(dir=self.context.state_folder) as folder:
            path = Path(folder) / "input.jsonl"
            with path.open("w", encoding="ascii", newline="\n") as file:
                file.writelines(f"{json.dumps(record)}\n" for record in jsonl_records)
            make_storage(self.settings, self.context).upload_file(path, uri)
        return uri

    def create_batch_job(self, input_s3_uri: str) -> str:
        """Create a job over an object of records and return its ARN.

        Raises what `aws.invocation_jobs.create_job` raises.
        """
        settings, run_id = self.settings, uuid4().hex[:16]
        name = job_name(settings.batch_job_name_prefix, run_id, 0)
        output_uri = join_uri(settings.batch_output_s3_path, "single", run_id) + "/"
        token = client_request_token(run_id, input_s3_uri)
        request = job_request(settings, self.model_input, name, input_s3_uri, output_uri, token)
        return create_job(self.context.clients.bedrock, request)

    def monitor_batch_job(self, job_arn: str) -> dict[str, Any]:
        """Wait until a job has ended and return AWS's description of it.

        Raises JobError for a job that failed, expired or was stopped; what it answered until then can be downloaded.
        """
        (response,) = self._monitor_multiple_batch_jobs([job_arn])
        if response["status"] in _RAISED:
            raise JobError(f"job {job_arn} ended as {response['status']}: {response.get('message', 'no message')}")
        return response

    def _monitor_multiple_batch_jobs(self, job_arns: Iterable[str]) -> list[dict[str, Any]]:
        """Wait until all jobs have ended, however, and return their descriptions in the same order."""
        settings, context = self.settings, self.context
        ended: dict[str, dict[str, Any]] = {}
        waiting = list(dict.fromkeys(job_arns))
        checks = 0
        while True:
            for arn in [arn for arn in waiting if arn not in ended]:
                response = describe_job(context.clients.bedrock, arn)
                context.log.info("job=%s status=%s", arn, response["status"])
                if response["status"] in TERMINAL:
                    ended[arn] = response
            if len(ended) == len(waiting):
                return [ended[arn] for arn in waiting]
            wait = next_poll(
                checks, settings.batch_poll_initial_seconds, settings.batch_poll_max_seconds, context.uniform
            )
            checks += 1
            context.sleep(wait)

    def download_batch_results(self, job_response: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the lines of a job's result files that are JSON objects."""
        folder = job_response["jobArn"].rsplit("/", 1)[-1]
        uri = join_uri(job_response["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"], folder) + "/"
        storage = make_storage(self.settings, self.context)
        names = [item.uri for item in storage.list_objects(uri) if item.name.endswith(RESULT_SUFFIX)]
        lines = [line for name in names for line in storage.get_bytes(name).split(b"\n") if line.strip()]
        return [value for value in map(_json_or_none, lines) if isinstance(value, dict)]

    def convert_batch_results_to_df(
        self, batch_results: Sequence[Mapping[str, Any]], original_df: pd.DataFrame
    ) -> pd.DataFrame:
        """Return the frame with the answer columns added: joined by `recordId`, every row kept in its place."""
        from bedrock_batch.tables.frames import append_columns

        sent = SentRecords(
            {record.number: prompt_check(record.prompt) for record in self.records(_source_of(original_df))},
            self.model_input.model_id,
            self.model_input.prefilled,
        )
        with tempfile.TemporaryDirectory(dir=self.context.state_folder) as folder:
            path = Path(folder) / f"results{RESULT_SUFFIX}"
            path.write_text("".join(f"{json.dumps(result)}\n" for result in batch_results), encoding="ascii")
            answers = self.job_answers(Path(folder) / "answers")
            errors = read_results([path], sent, answers, unanswered="missing").errors
            outcomes = {number: self.parser.parse(error) for number, error in errors.items()} | answers.opened
            batches = [batch for _, batch in answers.rows(0, len(original_df), outcomes)]
            table = pa.Table.from_batches(batches, schema=self.columns.arrow_schema)
            return append_columns(original_df, self.public_columns(table))

    def job_answers(self, folder: Path) -> JobAnswers:
        """Return a place for the answers of a job; those that may be asked for again are kept open in it."""
        repeats = self.settings.validation_retries > 0
        is_open = is_worth_repeating if repeats else lambda _: False
        return JobAnswers(self.parser, self.columns, self.spending, folder, is_open)

    def process_batch_inference(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the answer columns added, by batch inference whatever its size."""
        return self._with(batch_mode="batch").process_batch(df)

    def _process_multi_batch_jobs(self, df: pd.DataFrame) -> pd.DataFrame:
        return self.process_batch_inference(df)

    def _split_dataframe_for_batch(self, df: pd.DataFrame) -> list[pd.DataFrame]:
        """Return the frame in parts that are each one job; rows that no job can hold are in none."""
        settings = self.settings
        limits = JobLimits(settings.min_records_per_job, settings.max_records_per_job, settings.max_job_file_bytes)
        sizes = [len(self.model_input.jsonl_line(r.record_id, r.prompt)) for r in self.records(_source_of(df))]
        return [df.iloc[list(positions)] for positions in plan_jobs(sizes, limits).jobs]

    def _parse_s3_path(self, s3_path: str) -> tuple[str, str]:
        return parse_s3_path(s3_path)

    def _validate_job_name(self, job_name: str) -> bool:
        return validate_job_name(job_name)


def _source_of(df: pd.DataFrame) -> TableSource:
    from bedrock_batch.tables.frames import frame_to_table

    return TableSource(frame_to_table(df))


def _json_or_none(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
