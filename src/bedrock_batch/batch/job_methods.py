"""The steps of a batch run one by one, under the names of the specification, for notebooks.

A run of the step streams instead (see `batch_run`). These methods use the same parts, hold everything in memory, and
keep no ledger.
"""

from __future__ import annotations

import json
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.validation_retries import is_worth_repeating
from bedrock_batch.aws.invocation_jobs import (
    TERMINAL,
    client_request_token,
    create_job,
    describe_job,
    job_name,
    validate_job_name,
)
from bedrock_batch.aws.s3 import join_uri, parse_s3_path
from bedrock_batch.batch.job_files.plan import job_limits, plan_jobs
from bedrock_batch.batch.jobs.creation import job_request
from bedrock_batch.batch.jobs.download import RESULT_SUFFIX
from bedrock_batch.batch.jobs.job import next_poll
from bedrock_batch.batch.results.reader import SentRecords, read_results
from bedrock_batch.dataset.row_source import TableSource
from bedrock_batch.environment.context import make_storage
from bedrock_batch.errors import JobError
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from bedrock_batch.realtime.row_processor import render_records
from bedrock_batch.records import Record, prompt_check

if TYPE_CHECKING:
    import pandas as pd

_RAISED = frozenset({"Failed", "Stopped", "Expired"})


class JobMethods(BedrockProcessor):
    """A processor with a method for each step of a batch run."""

    def convert_df_to_jsonl(self, df: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the batch records of a frame: `recordId` from the position, `modelInput` from the rendered prompt."""
        return [
            {"recordId": record.record_id, "modelInput": self.model_input.body(record.prompt)}
            for record in self._records(df)
        ]

    def upload_jsonl_to_s3(self, jsonl_records: Sequence[Mapping[str, Any]]) -> str:
        """Upload records to a new object below `batch_input_s3_path` and return its URI."""
        uri = join_uri(self.settings.batch_input_s3_path, "single", uuid4().hex, "input.jsonl")
        with tempfile.TemporaryDirectory(dir=self.context.state_folder) as folder:
            path = Path(folder) / "input.jsonl"
            with path.open("w", encoding="ascii", newline="\n") as file:
                file.writelines(f"{json.dumps(record)}\n" for record in jsonl_records)
            make_storage(self.settings, self.context).upload_file(path, uri)
        return uri

    def create_batch_job(self, input_s3_uri: str) -> str:
        """Create a job for an uploaded object and return its ARN.

        Raises what `aws.invocation_jobs.create_job` raises.
        """
        settings, run_id = self.settings, uuid4().hex[:16]
        name = job_name(settings.batch_job_name_prefix, run_id, 0)
        output_uri = join_uri(settings.batch_output_s3_path, "single", run_id) + "/"
        token = client_request_token(run_id, input_s3_uri)
        request = job_request(settings, self.model_input, name, input_s3_uri, output_uri, token)
        return create_job(self.context.clients.bedrock, request)

    def monitor_batch_job(self, job_arn: str) -> dict[str, Any]:
        """Wait until a job has ended and return its description at AWS.

        JobError if the job failed, expired or was stopped; what it has answered can still be downloaded.
        """
        (response,) = self._monitor_multiple_batch_jobs([job_arn])
        if response["status"] in _RAISED:
            raise JobError(f"job {job_arn} ended as {response['status']}: {response.get('message', 'no message')}")
        return response

    def _monitor_multiple_batch_jobs(self, job_arns: Iterable[str]) -> list[dict[str, Any]]:
        """Wait until all jobs have ended, in any status, and return their descriptions in the same order."""
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
        """Return the frame with the answer columns added; answers are joined by `recordId`, and no row moves."""
        from bedrock_batch.dataset.frames import append_columns

        sent = SentRecords(
            {record.number: prompt_check(record.prompt) for record in self._records(original_df)},
            self.model_input.model_id,
            self.model_input.prefilled,
        )
        with tempfile.TemporaryDirectory(dir=self.context.state_folder) as folder:
            path = Path(folder) / f"results{RESULT_SUFFIX}"
            path.write_text("".join(f"{json.dumps(result)}\n" for result in batch_results), encoding="ascii")
            answers = self.job_answers(Path(folder) / "answers")
            errors = read_results([path], sent, answers, unanswered="missing").errors
            others = {number: self.parser.parse(error) for number, error in errors.items()} | answers.replaceable
            batches = [batch for _, batch in answers.rows(0, len(original_df), others)]
            table = pa.Table.from_batches(batches, schema=self.columns.arrow_schema)
            return append_columns(original_df, self.public_columns(table))

    def job_answers(self, folder: Path) -> AnswerCollector:
        """Return a collector for the answers of a job; answers that may be asked for again stay replaceable."""
        repeats = self.settings.validation_retries > 0
        may_be_replaced = is_worth_repeating if repeats else lambda _: False
        return AnswerCollector(self.parser, self.columns, self.spending, folder, may_be_replaced, self.recorder)

    @abstractmethod
    def process_batch_inference(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the answer columns added, by batch inference even for few rows."""

    def _process_multi_batch_jobs(self, df: pd.DataFrame) -> pd.DataFrame:
        return self.process_batch_inference(df)

    def _split_dataframe_for_batch(self, df: pd.DataFrame) -> list[pd.DataFrame]:
        """Return the frame in parts of one job each, without the rows that no job can hold."""
        limits = job_limits(self.settings, len(df))
        sizes = [len(self.model_input.jsonl_line(r.record_id, r.prompt)) for r in self._records(df)]
        return [df.iloc[list(positions)] for positions in plan_jobs(sizes, limits).jobs]

    def _records(self, df: pd.DataFrame) -> Iterator[Record]:
        from bedrock_batch.dataset.frames import frame_to_table

        return render_records(self.template, TableSource(frame_to_table(df)), self.prompt_size)

    def _parse_s3_path(self, s3_path: str) -> tuple[str, str]:
        return parse_s3_path(s3_path)

    def _validate_job_name(self, job_name: str) -> bool:
        if not validate_job_name(job_name):
            raise ValueError(
                f"{job_name!r} is not a name for a batch job: use 1 to 63 letters, digits, '.', '+' and '-'"
            )
        return True


def _json_or_none(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
