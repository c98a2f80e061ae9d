"""The job runner's access to S3: through the server's own endpoint, as any other client."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INTERNAL_MARK = "local-bedrock-job"
"""In the user agent of the job runner's own S3 calls, which are neither recorded nor disturbed by faults."""

_TRANSFER = TransferConfig(
    multipart_threshold=64 * 1024 * 1024, multipart_chunksize=64 * 1024 * 1024, max_concurrency=2
)


def make_client(service: str, endpoint_url: str, region: str, mark: str | None = None, **config: Any) -> Any:
    """A boto3 client of the local endpoint with dummy credentials, whatever the environment says."""
    options: dict[str, Any] = {"proxies": {}, "user_agent_extra": mark or "local-bedrock-client", **config}
    if service == "s3":
        options.setdefault("s3", {"addressing_style": "path"})
    with _session_lock:
        return _session(region).client(service, endpoint_url=endpoint_url, config=Config(**options))


_session_lock = threading.Lock()


@lru_cache(maxsize=16)
def _session(region: str) -> Any:
    """One session per region: it keeps the service models, which take longest to load."""
    return boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local-bedrock",  # noqa: S106 - a dummy
        region_name=region,
    )


class Storage:
    """Reads a job's input and writes its output."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def bucket_exists(self, bucket: str) -> bool:
        """Whether the bucket exists."""
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError:
            return False
        return True

    def size_of(self, bucket: str, key: str) -> int | None:
        """Bytes of one object, None when there is no such object."""
        try:
            return self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError:
            return None

    def list_keys(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        """Key and size of every object below a prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", ())]

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Fetch one object into a file."""
        self._client.download_file(bucket, key, str(path), Config=_TRANSFER)

    def upload(self, path: Path, bucket: str, key: str, kms_key_id: str | None = None) -> None:
        """Write a file to one object, encrypted with a key where one is given."""
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._client.upload_file(str(path), bucket, key, ExtraArgs=extra, Config=_TRANSFER)

    def put_empty(self, bucket: str, keys: Iterable[str]) -> None:
        """Create many empty objects, past HTTP: a thousand requests would take seconds."""
        backend = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(bucket, key, b"")

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write bytes to one object."""
        self._client.put_object(Bucket=bucket, Key=key, Body=data)
