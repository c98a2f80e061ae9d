"""Objects in S3: whole files by parts, small objects with conditional writes, listings without an end at 1,000."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3transfer.exceptions import RetriesExceededError
from s3transfer.manager import TransferConfig, TransferManager

from bedrock_batch.aws.failures import AwsError, ErrorKind, translate, translating
from bedrock_batch.aws.service_models import supports
from bedrock_batch.errors import BedrockBatchError, ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MEBIBYTE = 1024 * 1024
PART_SIZE = 100 * MEBIBYTE
JSON_LINES = "application/jsonl"
# A download waits for the disk in chunks of 256 KiB; s3transfer's own limit of 1,000 of them could hold 256 MB.
DOWNLOAD_QUEUE = 64


class ObjectExistsError(BedrockBatchError):
    """A conditional write found an object under its key."""


class ObjectChangedError(BedrockBatchError):
    """A conditional replacement found another version than the one that was read, or none."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object as a listing shows it; `size` in bytes, `etag` with its quotes."""

    uri: str
    size: int
    last_modified: datetime
    etag: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.uri.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """The content of an object and the entity tag that `replace_bytes` asks for."""

    data: bytes
    etag: str


def parse_s3_path(s3_path: str) -> tuple[str, str]:
    """Return the bucket and the prefix (or key, possibly empty) of `s3://bucket/prefix`."""
    scheme, separator, rest = s3_path.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme.lower() != "s3" or not separator or not bucket:
        raise ConfigurationError(f"{s3_path!r} is not an S3 path: write s3://BUCKET/PREFIX")
    return bucket, prefix


def join_uri(base: str, *parts: str) -> str:
    """Return the URI of `parts` below `base`, with single slashes between them."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


class S3Storage:
    """The S3 of a run, with the same key and bucket owner on every call that takes them.

    `kms_key_id` encrypts what is written (SSE-KMS); `bucket_owner` is the account that must own the bucket: S3
    refuses the call otherwise. Failures are `AwsError`s. Safe to use from several threads.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        kms_key_id: str | None = None,
        bucket_owner: str | None = None,
        part_size: int = PART_SIZE,
        max_concurrency: int = 4,
    ) -> None:
        self._client: Any = client
        self._owner = {"ExpectedBucketOwner": bucket_owner} if bucket_owner else {}
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        self._transfer = TransferConfig(
            multipart_threshold=part_size,
            multipart_chunksize=part_size,
            max_request_concurrency=max_concurrency,
            max_io_queue_size=DOWNLOAD_QUEUE,
        )
        _teach_conditions(client)

    def upload_file(self, path: Path, uri: str, *, content_type: str = JSON_LINES) -> None:
        """Upload a file, in parts of `part_size` where it is larger; an upload that fails leaves no parts behind."""
        bucket, key = _split(uri)
        extra = {"ContentType": content_type, **self._encryption, **self._owner}
        with _transferring("UploadFile"), TransferManager(self._client, self._transfer) as manager:
            manager.upload(str(path), bucket, key, extra).result()

    def download_file(self, uri: str, path: Path) -> None:
        """Download an object to `path`, which appears only when it is complete."""
        bucket, key = _split(uri)
        with _transferring("DownloadFile"), TransferManager(self._client, self._transfer) as manager:
            manager.download(bucket, key, str(path), dict(self._owner)).result()

    def put_bytes(
        self,
        uri: str,
        data: bytes,
        *,
        if_none_match: bool = False,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write a small object and return its entity tag.

        With `if_none_match` the write succeeds only where no object is (`ObjectExistsError` otherwise).
        """
        condition = {"IfNoneMatch": "*"} if if_none_match else {}
        try:
            return self._put(uri, data, content_type, condition)
        except AwsError as error:
            if error.kind is ErrorKind.PRECONDITION:
                raise ObjectExistsError(f"{uri} exists already") from error
            raise

    def replace_bytes(self, uri: str, data: bytes, etag: str, *, content_type: str = "application/octet-stream") -> str:
        """Overwrite the version of an object that has `etag` and return the new tag; `ObjectChangedError` otherwise."""
        try:
            return self._put(uri, data, content_type, {"IfMatch": etag})
        except AwsError as error:
            if error.kind in (ErrorKind.PRECONDITION, ErrorKind.NOT_FOUND):
                raise ObjectChangedError(f"{uri} was changed or removed by somebody else") from error
            raise

    def get(self, uri: str) -> StoredBytes:
        """Return a small object with its entity tag; `AwsError` of kind `not_found` where there is none."""
        bucket, key = _split(uri)
        with translating("GetObject"):
            response = self._client.get_object(Bucket=bucket, Key=key, **self._owner)
            return StoredBytes(response["Body"].read(), response["ETag"])

    def get_bytes(self, uri: str) -> bytes:
        """Return the content of a small object."""
        return self.get(uri).data

    def find(self, uri: str) -> S3Object | None:
        """Return the object under exactly this key, or None."""
        bucket, key = _split(uri)
        try:
            with translating("HeadObject"):
                head = self._client.head_object(Bucket=bucket, Key=key, **self._owner)
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        return S3Object(uri, head["ContentLength"], head["LastModified"], head["ETag"])

    def exists(self, uri: str) -> bool:
        """Tell whether there is an object under exactly this key."""
        return self.find(uri) is not None

    def list_objects(self, prefix_uri: str) -> Iterator[S3Object]:
        """Yield every object whose key begins with the prefix, in key order, however many there are.

        A prefix is not a folder: end it with `/` to leave out `prefix-2/...`.
        """
        bucket, prefix = parse_s3_path(prefix_uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **self._owner)
        with translating("ListObjectsV2"):
            for page in pages:
                for item in page.get("Contents", []):
                    yield S3Object(f"s3://{bucket}/{item['Key']}", item["Size"], item["LastModified"], item["ETag"])

    def delete(self, uri: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        bucket, key = _split(uri)
        with translating("DeleteObject"):
            self._client.delete_object(Bucket=bucket, Key=key, **self._owner)

    def abort_uploads(self, prefix_uri: str) -> int:
        """Abort the unfinished multipart uploads below a prefix and return their number.

        A process that was killed while it uploaded could not do so itself, and their parts are charged for.
        """
        bucket, prefix = parse_s3_path(prefix_uri)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, Prefix=prefix, **self._owner
        )
        with translating("ListMultipartUploads"):
            uploads = [upload for page in pages for upload in page.get("Uploads", [])]
        for upload in uploads:
            with translating("AbortMultipartUpload"):
                self._client.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"], **self._owner
                )
        return len(uploads)

    def _put(self, uri: str, data: bytes, content_type: str, condition: dict[str, str]) -> str:
        bucket, key = _split(uri)
        extra = {"ContentType": content_type, **condition, **self._encryption, **self._owner}
        try:
            with translating("PutObject"):
                return str(self._client.put_object(Bucket=bucket, Key=key, Body=data, **extra)["ETag"])
        except AwsError as error:
            # The response to our own write was lost, the SDK repeated it, and the repetition met what we had written.
            if error.kind is ErrorKind.PRECONDITION and error.sdk_retries:
                stored = self.get(uri)
                if stored.data == data:
                    return stored.etag
            raise


def _split(uri: str) -> tuple[str, str]:
    bucket, key = parse_s3_path(uri)
    if not key:
        raise ConfigurationError(f"{uri!r} names a bucket and no object: write s3://BUCKET/KEY")
    return bucket, key


@contextmanager
def _transferring(operation: str) -> Iterator[None]:
    """Raise the failures of s3transfer as `AwsError`s too; it wraps the last of its own tries."""
    try:
        with translating(operation):
            yield
    except RetriesExceededError as error:
        raise translate(error.last_exception, operation) from error


_CONDITIONS = {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}


def _teach_conditions(client: Any) -> None:
    """Let a client that does not know conditional writes send their headers.

    S3 has them since August (If-None-Match) and November 2024 (If-Match); botocore 1.35.1 is older. Members that the
    client's service model has are left to it.
    """
    missing = {name: header for name, header in _CONDITIONS.items() if not supports(client, "PutObject", name)}
    if not missing:
        return

    def take(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["conditions"] = {header: params.pop(name) for name, header in missing.items() if name in params}

    def send(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params["headers"].update(context.get("conditions", {}))

    events = client.meta.events
    events.register("before-parameter-build.s3.PutObject", take, unique_id="bedrock-batch-take-conditions")
    events.register("before-call.s3.PutObject", send, unique_id="bedrock-batch-send-conditions")
