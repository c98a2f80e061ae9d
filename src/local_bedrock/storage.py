"""The access of jobs to S3, which uses the server's own endpoint as every other client does."""

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
"""Marks the server's own calls in the user agent. They are not recorded and get no faults."""

_TRANSFER = TransferConfig(
    multipart_threshold=64 * 1024 * 1024, multipart_chunksize=64 * 1024 * 1024, max_concurrency=2
)


def make_client(service: str, endpoint_url: str, region: str, mark: str | None = None, **config: Any) -> Any:
    """Return a boto3 client for the local endpoint, with dummy credentials regardless of the environment."""
    options: dict[str, Any] = {"proxies": {}, "user_agent_extra": mark or "local-bedrock-client", **config}
    if service.startswith("bedrock"):
        options.setdefault("signature_version", "v4")  # or boto3 takes an API key from the environment, which needs TLS
    if service == "s3":
        options.setdefault("s3", {"addressing_style": "path"})
    with _session_lock:
        return _session(region).client(service, endpoint_url=endpoint_url, config=Config(**options))


_session_lock = threading.Lock()


@lru_cache(maxsize=16)
def _session(region: str) -> Any:
    """Return the session of a region. It is shared because it caches the service models, which load slowly."""
    return boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local-bedrock",  # noqa: S106 - a dummy
        region_name=region,
    )


class Storage:
    """Reads the input of jobs and writes their output."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def bucket_exists(self, bucket: str) -> bool:
        """Tell whether a bucket exists."""
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError:
            return False
        return True

    def size_of(self, bucket: str, key: str) -> int | None:
        """Return the size of an object in bytes, or None if it does not exist."""
        try:
            return self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError:
            return None

    def list_keys(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        """Return key and size of every object below a prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", ())]

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Download an object to a file."""
        self._client.download_file(bucket, key, str(path), Config=_TRANSFER)

    def upload(self, path: Path, bucket: str, key: str, kms_key_id: str | None = None) -> None:
        """Upload a file to an object, encrypted with `kms_key_id` if it is given."""
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._client.upload_file(str(path), bucket, key, ExtraArgs=extra, Config=_TRANSFER)

    def put_empty(self, bucket: str, keys: Iterable[str]) -> None:
        """Create many empty objects directly in moto, because a thousand requests would take seconds."""
        backend = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(bucket, key, b"")

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write bytes to an object."""
        self._client.put_object(Bucket=bucket, Key=key, Body=data)
