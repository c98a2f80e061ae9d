"""A simulated S3 in memory, with a client that looks like boto3's.

Like S3 it is strongly consistent, with conditional writes, paged listings and multipart uploads.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from faults.simulation.network import Network
from faults.simulation.primitives import WALL_START
from faults.simulation.scheduler import Machine, current_task
from faults.simulation.service_errors import refusal

T = TypeVar("T")
PAGE = 7  # S3 has 1,000; with fewer, small runs have a second page, too
SDK_ATTEMPTS = 3


@dataclass(frozen=True)
class StoredObject:
    data: bytes
    etag: str
    modified: datetime


@dataclass
class S3Model:
    """The objects of the only bucket, by key.

    `on_write` is called for each object that a process writes, as soon as it exists.
    """

    now: Callable[[], float]
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    on_write: Callable[[str, bytes, Machine | None], None] = lambda key, data, machine: None
    time: Callable[[], datetime] = field(init=False)

    def __post_init__(self) -> None:
        self.time = lambda: datetime.fromtimestamp(WALL_START + self.now(), timezone.utc)

    def put(self, key: str, data: bytes, writer: Machine | None = None, **conditions: str) -> dict[str, Any]:
        """Write an object if `IfNoneMatch` and `IfMatch` allow it."""
        known = self.objects.get(key)
        if "IfNoneMatch" in conditions and known is not None:
            raise refusal("PutObject", "PreconditionFailed", 412)
        if "IfMatch" in conditions:
            if known is None:
                raise refusal("PutObject", "NoSuchKey", 404)
            if known.etag != conditions["IfMatch"]:
                raise refusal("PutObject", "PreconditionFailed", 412)
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        self.objects[key] = StoredObject(data, etag, self.time())
        self.on_write(key, data, writer)
        return {"ETag": etag}

    def get(self, key: str, operation: str) -> StoredObject:
        if key not in self.objects:
            code, status = ("404", 404) if operation == "HeadObject" else ("NoSuchKey", 404)
            raise refusal(operation, code, status)
        return self.objects[key]

    def list_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))


class CutBody(io.BytesIO):
    """A body whose connection breaks when it is read."""

    def read(self, amount: int | None = -1) -> bytes:
        raise IncompleteReadError(actual_bytes=0, expected_bytes=len(self.getvalue()))


class S3Client:
    """The calls of the step; each goes through the network and is retried as boto3 retries calls to S3."""

    def __init__(self, model: S3Model, network: Network, meta: Any) -> None:
        self._model = model
        self._network = network
        self.meta = meta

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **rest: Any) -> dict[str, Any]:
        data = Body if isinstance(Body, bytes) else Body.read()
        conditions = {name: rest[name] for name in ("IfNoneMatch", "IfMatch") if name in rest}
        machine = current_task().machine
        return self._send("PutObject", Key, lambda: self._model.put(Key, data, machine, **conditions))

    def get_object(self, *, Bucket: str, Key: str, **rest: Any) -> dict[str, Any]:
        found = self._send("GetObject", Key, lambda: self._model.get(Key, "GetObject"))
        body = CutBody(found.data) if self._network.cuts_body() else io.BytesIO(found.data)
        return {"Body": body, "ETag": found.etag, "ContentLength": len(found.data), "LastModified": found.modified}

    def head_object(self, *, Bucket: str, Key: str, **rest: Any) -> dict[str, Any]:
        found = self._send("HeadObject", Key, lambda: self._model.get(Key, "HeadObject"))
        return {"ETag": found.etag, "ContentLength": len(found.data), "LastModified": found.modified}

    def delete_object(self, *, Bucket: str, Key: str, **rest: Any) -> dict[str, Any]:
        self._send("DeleteObject", Key, lambda: self._model.objects.pop(Key, None))
        return {}

    def list_objects_v2(
        self, *, Bucket: str, Prefix: str = "", ContinuationToken: str = "", **rest: Any
    ) -> dict[str, Any]:
        return self._send("ListObjectsV2", Prefix, lambda: self._list_page(Prefix, ContinuationToken))

    def _list_page(self, prefix: str, after: str) -> dict[str, Any]:
        keys = [key for key in self._model.list_keys(prefix) if key > after]
        found = [(key, self._model.objects[key]) for key in keys[:PAGE]]
        page: dict[str, Any] = {"IsTruncated": len(keys) > PAGE, "KeyCount": len(found)}
        if found:
            page["Contents"] = [
                {"Key": key, "Size": len(each.data), "ETag": each.etag, "LastModified": each.modified}
                for key, each in found
            ]
        if page["IsTruncated"]:
            page["NextContinuationToken"] = keys[PAGE - 1]
        return page

    def list_multipart_uploads(self, *, Bucket: str, Prefix: str = "", **rest: Any) -> dict[str, Any]:
        def read() -> list[dict[str, Any]]:
            uploads = self._model.uploads.items()
            return [{"UploadId": upload, "Key": key} for upload, key in uploads if key.startswith(Prefix)]

        found = self._send("ListMultipartUploads", Prefix, read)
        return {"IsTruncated": False, **({"Uploads": found} if found else {})}

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str, **rest: Any) -> dict[str, Any]:
        self._send("AbortMultipartUpload", Key, lambda: self._model.uploads.pop(UploadId, None))
        return {}

    def get_paginator(self, operation: str) -> Paginator:
        if operation == "list_objects_v2":
            return Paginator(self.list_objects_v2, "NextContinuationToken", "ContinuationToken")
        return Paginator(getattr(self, operation), "", "")

    def _send(self, operation: str, detail: str, effect: Callable[[], T]) -> T:
        """Send a request up to three times, and count the retries in `RetryAttempts`, as the SDK does."""
        for attempt in range(SDK_ATTEMPTS):
            try:
                return self._network.call(operation, effect, detail=detail, refuse=_refuse(operation), latency=0.03)
            except (ClientError, ConnectionError, HTTPClientError) as error:
                status = 500
                if isinstance(error, ClientError):
                    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    error.response["ResponseMetadata"]["RetryAttempts"] = attempt
                if status < 500 or attempt == SDK_ATTEMPTS - 1:
                    raise
                self._network.scheduler.sleep(self._network.scheduler.random.uniform(0.0, 2.0**attempt))
        raise AssertionError("unreachable")


def _refuse(operation: str) -> Callable[[str], Exception]:
    def make(outcome: str) -> Exception:
        if outcome == "throttled":
            return refusal(operation, "SlowDown", 503)
        return refusal(operation, "InternalError", 500)

    return make


@dataclass(frozen=True)
class Paginator:
    """The pages of a listing, like those of boto3's paginators."""

    function: Callable[..., dict[str, Any]]
    token: str
    argument: str

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self.function(**arguments)
            yield page
            if not page.get(self.token):
                return
            arguments[self.argument] = page[self.token]
