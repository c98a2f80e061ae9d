"""The attributes of batch inference that callers of the original script read; see `realtime.public_attributes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bedrock_batch.aws.s3 import parse_s3_path
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.realtime.public_attributes import client_settings, read_only

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_s3 import S3Client


class PublicBatchAttributes:
    """What callers read from a processor with batch inference."""

    settings: Settings
    context: RunContext

    @read_only("batch_input_s3_path")
    def input_bucket(self) -> str | None:
        """The bucket of `batch_input_s3_path`, None without one."""
        return _bucket(self.settings.batch_input_s3_path)

    @read_only("batch_output_s3_path")
    def output_bucket(self) -> str | None:
        """The bucket of `batch_output_s3_path`, None without one."""
        return _bucket(self.settings.batch_output_s3_path)

    @read_only("batch_mode")
    def batch_mode(self) -> str:
        """`auto`, `batch` or `realtime`."""
        return self.settings.batch_mode

    @read_only("batch_threshold")
    def batch_threshold(self) -> int:
        """The number of records from which `auto` uses batch inference."""
        return self.settings.batch_threshold

    @read_only("max_records_per_job")
    def max_records_per_job(self) -> int:
        """The most records of one job."""
        return self.settings.max_records_per_job

    @read_only(client_settings("BEDROCK"))
    def bedrock_batch_client(self) -> BedrockClient:
        """The client that creates and describes jobs."""
        return self.context.clients.bedrock

    @read_only(client_settings("S3"))
    def s3_client(self) -> S3Client:
        """The client that reads and writes the objects of jobs."""
        return self.context.clients.s3


def _bucket(s3_path: str) -> str | None:
    return parse_s3_path(s3_path)[0] if s3_path else None
