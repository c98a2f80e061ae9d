"""Objects in S3: multipart transfers of files, conditional writes of small objects, and complete listings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3transfer.exceptions import RetriesExceededError
from s3transfer.futures import TransferFuture
from s3transfer.manager import TransferConfig, TransferManager

from bedrock_batch.atomic_write import Opener, atomic_write
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError, answering, ask, translate
from bedrock_batch.aws.s3_events import check_transfers, teach_conditions
from bedrock_batch.aws.shapes import DescribedObject, ListedObjects, ListedUploads, ReadObject, WrittenObject
from bedrock_batch.errors import BedrockBatchError, ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MEBIBYTE = 1024 * 1024
PART_SIZE = 100 * MEBIBYTE
JSON_LINES = "application/jsonl"
# Chunks of 256 KiB that wait for the disk; the default of s3transfer, 1,000, could hold 256 MB in memory.
DOWNLOAD_QUEUE = 64


class ObjectExistsError(BedrockBatchError):
    """A conditional write found an object under its key."""


class ObjectChangedError(BedrockBatchError):
    """A conditional replacement found another version of the object than the caller had read, or none."""


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
    """The S3 storage of a run: every call has the same KMS key and expected bucket owner.

    `kms_key_id` encrypts written objects (SSE-KMS). `bucket_owner` is the account that must own the bucket: S3 refuses
    the call otherwise. Failures are raised as `AwsError`. Safe to use from several threads.
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
        self._transfers: list[TransferFuture] = []
        self._transfers_cancelled = False
        teach_conditions(client)
        check_transfers(client)

    def upload_file(self, path: Path, uri: str, *, content_type: str = JSON_LINES) -> None:
        """Upload a file, in parts if it is larger than `part_size`; a failed upload leaves no parts behind."""
        bucket, key = _split(uri)
        extra = {"ContentType": content_type, **self._encryption, **self._owner}
        self._carry_out("UploadFile", lambda manager: manager.upload(str(path), bucket, key, extra))

    def download_file(self, uri: str, path: Path, *, opener: Opener | None = None) -> None:
        """Download an object to `path`, which appears only when it is complete; `opener` creates the file."""
        bucket, key = _split(uri)
        with atomic_write(path, opener=opener) as file:
            self._carry_out("DownloadFile", lambda manager: manager.download(bucket, key, file, dict(self._owner)))

    def cancel_transfers(self) -> None:
        """Cancel all transfers and refuse new ones, without waiting for their end.

        Their callers get a CancelledError of `concurrent.futures`. Cancelled transfers leave no parts behind.
        """
        self._transfers_cancelled = True
        for transfer in tuple(self._transfers):
            transfer.cancel()

    def _carry_out(self, operation: str, begin: Callable[[TransferManager], TransferFuture]) -> None:
        """Run a transfer to its end."""
        manager = TransferManager(self._client, self._transfer)
        # Outside the `with` block: if the manager cannot start a thread here, leaving the block would wait forever.
        transfer = begin(manager)
        self._transfers.append(transfer)
        try:
            if self._transfers_cancelled:
                transfer.cancel()
            with _transferring(operation), manager:
                transfer.result()
        finally:
            self._transfers.remove(transfer)

    def put_bytes(
        self,
        uri: str,
        data: bytes,
        *,
        if_none_match: bool = False,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write a small object and return its entity tag.

        With `if_none_match`, raise `ObjectExistsError` if the object exists.
        """
        condition = {"IfNoneMatch": "*"} if if_none_match else {}
        try:
            return self._put(uri, data, content_type, condition)
        except AwsError as error:
            if error.kind is ErrorKind.PRECONDITION:
                raise ObjectExistsError(f"{uri} exists already") from error
            raise

    def replace_bytes(self, uri: str, data: bytes, etag: str, *, content_type: str = "application/octet-stream") -> str:
        """Overwrite the version with `etag` and return the new tag; raise `ObjectChangedError` if it is not current."""
        try:
            return self._put(uri, data, content_type, {"IfMatch": etag})
        except AwsError as error:
            if error.kind in (ErrorKind.PRECONDITION, ErrorKind.NOT_FOUND):
                raise ObjectChangedError(f"{uri} was changed or removed by somebody else") from error
            raise

    def get(self, uri: str) -> StoredBytes:
        """Return a small object with its entity tag; raise `AwsError` of kind `not_found` if it does not exist."""
        bucket, key = _split(uri)
        with answering("GetObject"):
            response = self._client.get_object(Bucket=bucket, Key=key, **self._owner)
            return StoredBytes(response["Body"].read(), ReadObject.model_validate(response).e_tag)

    def get_bytes(self, uri: str) -> bytes:
        """Return the content of a small object."""
        return self.get(uri).data

    def get_range(self, uri: str, start: int, count: int) -> bytes:
        """Return `count` bytes of an object from the byte `start` on."""
        bucket, key = _split(uri)
        wanted = f"bytes={start}-{start + count - 1}"
        with answering("GetObject"):
            response = self._client.get_object(Bucket=bucket, Key=key, Range=wanted, **self._owner)
            return bytes(response["Body"].read())

    def find(self, uri: str) -> S3Object | None:
        """Return the object under exactly this key, or None."""
        bucket, key = _split(uri)
        try:
            head = ask("HeadObject", self._client.head_object, DescribedObject, Bucket=bucket, Key=key, **self._owner)
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        return S3Object(uri, head.content_length, head.last_modified, head.e_tag)

    def exists(self, uri: str) -> bool:
        """Return whether there is an object under exactly this key."""
        return self.find(uri) is not None

    def list_objects(self, prefix_uri: str) -> Iterator[S3Object]:
        """Yield every object whose key begins with the prefix, in the order of the keys, from all pages.

        A prefix is not a folder: end it with `/` to exclude `prefix-2/...`.
        """
        bucket, prefix = parse_s3_path(prefix_uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **self._owner)
        with answering("ListObjectsV2"):
            for page in pages:
                for item in ListedObjects.model_validate(page).contents:
                    if not item.key.startswith(prefix):
                        raise ValueError("it holds a key that does not begin with the prefix")
                    yield S3Object(f"s3://{bucket}/{item.key}", item.size, item.last_modified, item.e_tag)

    def delete(self, uri: str) -> None:
        """Delete an object; do nothing if it does not exist."""
        bucket, key = _split(uri)
        with answering("DeleteObject"):
            self._client.delete_object(Bucket=bucket, Key=key, **self._owner)

    def abort_uploads(self, prefix_uri: str) -> int:
        """Abort the unfinished multipart uploads below a prefix and return their number.

        A process that is killed during an upload leaves its parts behind, and they are charged for.
        """
        bucket, prefix = parse_s3_path(prefix_uri)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, Prefix=prefix, **self._owner
        )
        with answering("ListMultipartUploads"):
            uploads = [upload for page in pages for upload in ListedUploads.model_validate(page).uploads]
        for upload in uploads:
            with answering("AbortMultipartUpload"):
                self._client.abort_multipart_upload(
                    Bucket=bucket, Key=upload.key, UploadId=upload.upload_id, **self._owner
                )
        return len(uploads)

    def _put(self, uri: str, data: bytes, content_type: str, condition: dict[str, str]) -> str:
        bucket, key = _split(uri)
        extra = {"ContentType": content_type, **condition, **self._encryption, **self._owner}
        try:
            send = self._client.put_object
            return ask("PutObject", send, WrittenObject, Bucket=bucket, Key=key, Body=data, **extra).e_tag
        except AwsError as error:
            # The response to our write was lost, and the SDK's retry met the object that the first try had written.
            is_met = error.kind is ErrorKind.PRECONDITION and error.sdk_retries
            if is_met or error.kind is ErrorKind.DAMAGED_RESPONSE:
                stored = self.get(uri)
                if stored.data == data:
                    return stored.etag
            raise


def _split(uri: str) -> tuple[str, str]:
    bucket, key = parse_s3_path(uri)
    if not key:
        raise ConfigurationError(f"{uri!r} names a bucket but no object: write s3://BUCKET/KEY")
    return bucket, key


@contextmanager
def _transferring(operation: str) -> Iterator[None]:
    """Raise the failures of s3transfer, which wraps the error of its last try, as `AwsError` too."""
    try:
        with answering(operation):
            yield
    except RetriesExceededError as error:
        raise translate(error.last_exception, operation) from error
