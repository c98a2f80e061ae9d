"""S3 over HTTP against moto: parts, conditions, long listings, and the arguments of every call."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.aws.s3 import ObjectChangedError, ObjectExistsError, S3Storage, join_uri, parse_s3_path
from bedrock_batch.errors import ConfigurationError
from helpers.aws_clients import clients_at, moto_s3_url
from helpers.scripted_http import Reply, Request, scripted_server

PART = 5 * 1024 * 1024
OWNER = "123456789012"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_s3_url() as url:
        yield url


@pytest.fixture
def clients(s3_url: str) -> ClientFactory:
    return clients_at(s3_url)


@pytest.fixture
def bucket(clients: ClientFactory, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    clients.s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def storage(clients: ClientFactory) -> S3Storage:
    return S3Storage(clients.s3, part_size=PART)


def write_random(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    return data


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b", ("bucket", "a/b")),
        ("s3://bucket/a/b/", ("bucket", "a/b/")),
        ("s3://bucket/a//b", ("bucket", "a//b")),
        ("S3://bucket/a", ("bucket", "a")),
    ],
)
def test_an_s3_path_is_a_bucket_and_a_prefix(path: str, expected: tuple[str, str]) -> None:
    """Jobs would read and write under another prefix than the user gave."""
    assert parse_s3_path(path) == expected


@pytest.mark.parametrize("path", ["", "bucket/a", "s3:/bucket", "s3:///a", "https://bucket/a"])
def test_what_is_no_s3_path_is_named(path: str) -> None:
    """A mistyped path would fail in the middle of the run with an error of botocore."""
    with pytest.raises(ConfigurationError, match="is not an S3 path"):
        parse_s3_path(path)


def test_uris_are_joined_with_single_slashes() -> None:
    """Bedrock refuses `//` in the paths of a job."""
    assert join_uri("s3://b/p/", "/run/", "x.jsonl") == join_uri("s3://b/p", "run", "x.jsonl") == "s3://b/p/run/x.jsonl"


@pytest.mark.parametrize("size", [0, 100, PART, 2 * PART + 1], ids=["empty", "small", "one part", "three parts"])
def test_a_file_comes_back_as_it_was(storage: S3Storage, bucket: str, tmp_path: Path, size: int) -> None:
    """A job would be given other records than were rendered."""
    data = write_random(tmp_path / "x.jsonl", size)
    storage.upload_file(tmp_path / "x.jsonl", f"s3://{bucket}/in/x.jsonl")
    storage.download_file(f"s3://{bucket}/in/x.jsonl", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_large_file_goes_up_in_parts(clients: ClientFactory, storage: S3Storage, bucket: str, tmp_path: Path) -> None:
    """A job file above 5 GB could not be uploaded, and one of 900 MB would start over after any fault."""
    write_random(tmp_path / "x", 2 * PART + 1)
    storage.upload_file(tmp_path / "x", f"s3://{bucket}/x")
    head = clients.s3.head_object(Bucket=bucket, Key="x")
    assert head["ETag"].endswith('-3"')
    assert head["ContentType"] == "application/jsonl"


def test_an_upload_that_fails_leaves_no_parts(
    clients: ClientFactory, storage: S3Storage, bucket: str, tmp_path: Path
) -> None:
    """Orphaned parts are charged for month after month and no listing shows them."""
    write_random(tmp_path / "x", 3 * PART)

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if params["query_string"]["partNumber"] == 2:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "UploadPart")

    clients.s3.meta.events.register("before-call.s3.UploadPart", refuse)
    with pytest.raises(AwsError) as caught:
        storage.upload_file(tmp_path / "x", f"s3://{bucket}/x")
    assert (caught.value.kind, caught.value.operation) == (ErrorKind.ACCESS_DENIED, "UploadFile")
    assert clients.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert not storage.exists(f"s3://{bucket}/x")


def test_an_interrupted_upload_leaves_no_parts(
    clients: ClientFactory, storage: S3Storage, bucket: str, tmp_path: Path
) -> None:
    """Ctrl-C during an upload would leave parts that are charged for."""
    write_random(tmp_path / "x", 3 * PART)

    def interrupt(**_: Any) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    clients.s3.meta.events.register("before-call.s3.UploadPart", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.upload_file(tmp_path / "x", f"s3://{bucket}/x")
    assert clients.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert not storage.exists(f"s3://{bucket}/x")


def test_cancelled_uploads_end_without_parts_and_no_other_begins(
    clients: ClientFactory, storage: S3Storage, bucket: str, tmp_path: Path
) -> None:
    """A run that is stopped would send gigabytes to their end, or leave parts that are charged for."""
    write_random(tmp_path / "x", 8 * PART)
    sent: list[str] = []

    def cancel(**_: Any) -> None:
        sent.append("part")
        storage.cancel_transfers()

    clients.s3.meta.events.register("before-call.s3.UploadPart", cancel)
    for _ in range(2):
        with pytest.raises(CancelledError):
            storage.upload_file(tmp_path / "x", f"s3://{bucket}/x")
    assert len(sent) < 8
    assert clients.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert not storage.exists(f"s3://{bucket}/x")


def test_parts_of_a_killed_process_are_cleared_below_the_prefix_only(
    clients: ClientFactory, storage: S3Storage, bucket: str
) -> None:
    """A killed run would leave its parts for ever, or the next one abort the uploads of somebody else."""
    for key in ("run-1/a", "run-1/b", "run-2/a"):
        clients.s3.create_multipart_upload(Bucket=bucket, Key=key)
    assert storage.abort_uploads(f"s3://{bucket}/run-1/") == 2
    assert [upload["Key"] for upload in clients.s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["run-2/a"]


def test_a_failed_download_leaves_no_file(storage: S3Storage, bucket: str, tmp_path: Path) -> None:
    """Half a result file would be read as if it were whole."""
    with pytest.raises(AwsError) as caught:
        storage.download_file(f"s3://{bucket}/missing", tmp_path / "x")
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_of_two_conditional_writes_succeeds(storage: S3Storage, bucket: str) -> None:
    """Two runs would both believe that the ledger is theirs, and pay for the same records twice."""
    uri = f"s3://{bucket}/ledger"
    storage.put_bytes(uri, b"first", if_none_match=True)
    with pytest.raises(ObjectExistsError, match="ledger exists already"):
        storage.put_bytes(uri, b"second", if_none_match=True)
    assert storage.get_bytes(uri) == b"first"
    storage.put_bytes(uri, b"third")
    assert storage.get_bytes(uri) == b"third"


def test_a_replacement_needs_the_version_that_was_read(storage: S3Storage, bucket: str) -> None:
    """Of two writers to one ledger the later would wipe out the other's jobs."""
    uri = f"s3://{bucket}/ledger"
    etag = storage.put_bytes(uri, b"1")
    assert storage.get(uri).etag == etag
    newer = storage.replace_bytes(uri, b"2", etag)
    with pytest.raises(ObjectChangedError, match="changed or removed"):
        storage.replace_bytes(uri, b"3", etag)
    assert storage.replace_bytes(uri, b"4", newer) != newer
    assert storage.get_bytes(uri) == b"4"


def test_a_replacement_of_a_removed_object_is_refused(storage: S3Storage, bucket: str) -> None:
    """A ledger that somebody removed would come back with half of its history."""
    uri = f"s3://{bucket}/ledger"
    etag = storage.put_bytes(uri, b"1")
    storage.delete(uri)
    with pytest.raises(ObjectChangedError):
        storage.replace_bytes(uri, b"2", etag)


def test_a_repeated_write_meets_its_own_object() -> None:
    """A lost response to the first write of a ledger would stop the run, as if another run had begun it."""
    found = Reply(body=b"mine", headers={"ETag": '"e1"'})
    refused = Reply(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>")
    with scripted_server(Reply(lost=True), refused, found) as server:
        assert S3Storage(clients_at(server.url).s3).put_bytes("s3://bucket/k", b"mine", if_none_match=True) == '"e1"'
    assert [request.method for request in server.requests] == ["PUT", "PUT", "GET"]


def test_a_repeated_write_meets_the_object_of_another() -> None:
    """A run would take the ledger of another for its own."""
    found = Reply(body=b"theirs", headers={"ETag": '"e1"'})
    refused = Reply(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>")
    with scripted_server(Reply(lost=True), refused, found) as server, pytest.raises(ObjectExistsError):
        S3Storage(clients_at(server.url).s3).put_bytes("s3://bucket/k", b"mine", if_none_match=True)


def test_conditions_reach_s3_from_any_sdk() -> None:
    """With an old botocore the conditions of the ledger would be refused or, worse, be left out."""
    with scripted_server(Reply(body=b"", headers={"ETag": '"e"'})) as server:
        storage = S3Storage(clients_at(server.url).s3)
        storage.put_bytes("s3://bucket/k", b"1", if_none_match=True)
        storage.replace_bytes("s3://bucket/k", b"2", '"e"')
        storage.put_bytes("s3://bucket/k", b"3")
    sent = [(_header(request, "if-none-match"), _header(request, "if-match")) for request in server.requests]
    assert sent == [("*", None), (None, '"e"'), (None, None)]


def test_an_old_sdk_writes_under_conditions_too(clients: ClientFactory, bucket: str) -> None:
    """On the botocore of many SageMaker images the ledger could not be kept safely at all."""
    members = clients.s3.meta.service_model.operation_model("PutObject").input_shape.members  # type: ignore[union-attr]  # stubs: no shape
    for name in ("IfNoneMatch", "IfMatch"):
        members.pop(name, None)  # what botocore 1.35.1 knows
    storage = S3Storage(clients.s3)
    etag = storage.put_bytes(f"s3://{bucket}/k", b"1", if_none_match=True)
    with pytest.raises(ObjectExistsError):
        storage.put_bytes(f"s3://{bucket}/k", b"2", if_none_match=True)
    storage.replace_bytes(f"s3://{bucket}/k", b"3", etag)
    with pytest.raises(ObjectChangedError):
        storage.replace_bytes(f"s3://{bucket}/k", b"4", etag)


def test_a_denial_is_not_taken_for_a_missing_object() -> None:
    """A run without the right to read would begin again, and pay for everything a second time."""
    with scripted_server(Reply(403)) as server:
        storage = S3Storage(clients_at(server.url).s3)
        for attempt in (
            lambda: storage.exists("s3://bucket/k"),
            lambda: storage.put_bytes("s3://bucket/k", b"", if_none_match=True),
            lambda: storage.replace_bytes("s3://bucket/k", b"", "e"),
        ):
            with pytest.raises(AwsError) as caught:
                attempt()
            assert caught.value.kind is ErrorKind.ACCESS_DENIED


def test_a_download_that_breaks_off_again_and_again_is_a_transient_failure(tmp_path: Path) -> None:
    """Half a result file would be taken for a whole one, or an error of s3transfer end the run."""
    cut = Reply(body=b"x" * 100, headers={"ETag": '"e"'}, cut=True)
    whole = Reply(body=b"x" * 200, headers={"ETag": '"e"'})
    with scripted_server(whole, cut) as server, pytest.raises(AwsError) as caught:
        S3Storage(clients_at(server.url).s3).download_file("s3://bucket/k", tmp_path / "x")
    assert (caught.value.kind, caught.value.operation) == (ErrorKind.TRANSIENT, "DownloadFile")
    assert list(tmp_path.iterdir()) == []


def _header(request: Request, name: str) -> str | None:
    return {key.lower(): value for key, value in request.headers.items()}.get(name)


def test_a_listing_goes_beyond_its_first_page(clients: ClientFactory, storage: S3Storage, bucket: str) -> None:
    """Results after the first 1,000 of a listing would be counted as missing, and asked and paid again."""
    pages: list[str] = []

    def shorten_pages(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3
        pages.append(params["Prefix"])

    clients.s3.meta.events.register("provide-client-params.s3.ListObjectsV2", shorten_pages)
    for number in range(10):
        clients.s3.put_object(Bucket=bucket, Key=f"job/{number:04d}.jsonl.out", Body=b"x" * (number % 3))
    clients.s3.put_object(Bucket=bucket, Key="job-2/other.jsonl.out", Body=b"")
    found = list(storage.list_objects(f"s3://{bucket}/job/"))
    assert [item.name for item in found] == [f"{number:04d}.jsonl.out" for number in range(10)]
    assert [item.size for item in found[:3]] == [0, 1, 2]
    assert len(pages) == 4
    assert list(storage.list_objects(f"s3://{bucket}/nothing/")) == []


def test_what_exists_is_told_from_what_does_not(storage: S3Storage, bucket: str) -> None:
    """A run would upload a job again that is there, or wait for one that is not."""
    storage.put_bytes(f"s3://{bucket}/a/b", b"12")
    found = storage.find(f"s3://{bucket}/a/b")
    assert found is not None
    assert (found.size, found.uri, found.name) == (2, f"s3://{bucket}/a/b", "b")
    assert not storage.exists(f"s3://{bucket}/a")
    storage.delete(f"s3://{bucket}/a/b")
    storage.delete(f"s3://{bucket}/a/b")
    assert not storage.exists(f"s3://{bucket}/a/b")


def test_a_missing_bucket_is_told_from_a_missing_object(storage: S3Storage, bucket: str) -> None:
    """A mistyped bucket would fail object by object instead of ending the run with the setting to change."""
    with pytest.raises(AwsError) as caught:
        storage.put_bytes("s3://no-such-bucket-here/k", b"")
    assert caught.value.kind is ErrorKind.BUCKET_NOT_FOUND
    with pytest.raises(AwsError) as caught:
        storage.get_bytes(f"s3://{bucket}/k")
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_a_bucket_alone_is_no_object(storage: S3Storage) -> None:
    """botocore's complaint about an empty key does not say which setting is wrong."""
    with pytest.raises(ConfigurationError, match="names a bucket but no object"):
        storage.put_bytes("s3://bucket/", b"")


def test_key_and_owner_are_on_every_call_that_takes_them(clients: ClientFactory, bucket: str, tmp_path: Path) -> None:
    """An object would be written unencrypted, or into a bucket that changed hands."""
    sent: list[tuple[str, dict[str, Any], set[str]]] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        sent.append((model.name, dict(params), set(model.input_shape.members)))

    clients.s3.meta.events.register("provide-client-params.s3", record)
    storage = S3Storage(clients.s3, part_size=PART, kms_key_id=KEY, bucket_owner=OWNER)
    write_random(tmp_path / "small", 10)
    write_random(tmp_path / "large", PART + 1)
    for name in ("small", "large"):
        storage.upload_file(tmp_path / name, f"s3://{bucket}/{name}")
        storage.download_file(f"s3://{bucket}/{name}", tmp_path / f"{name}.back")
    etag = storage.put_bytes(f"s3://{bucket}/k", b"", if_none_match=True)
    storage.replace_bytes(f"s3://{bucket}/k", b"", etag)
    storage.get_bytes(f"s3://{bucket}/k")
    storage.exists(f"s3://{bucket}/k")
    list(storage.list_objects(f"s3://{bucket}/"))
    clients.s3.create_multipart_upload(Bucket=bucket, Key="stale", ExpectedBucketOwner=OWNER, SSEKMSKeyId=KEY)
    storage.abort_uploads(f"s3://{bucket}/")
    storage.delete(f"s3://{bucket}/k")
    operations = {name for name, _, _ in sent}
    assert operations >= {
        "PutObject", "GetObject", "HeadObject", "ListObjectsV2", "DeleteObject", "CreateMultipartUpload",
        "UploadPart", "CompleteMultipartUpload", "ListMultipartUploads", "AbortMultipartUpload",
    }  # fmt: skip
    for name, params, members in sent:
        assert params.get("ExpectedBucketOwner") == (OWNER if "ExpectedBucketOwner" in members else None), name
        if name in ("PutObject", "CreateMultipartUpload"):
            assert params["SSEKMSKeyId"] == KEY, name
    assert clients.s3.head_object(Bucket=bucket, Key="large")["ServerSideEncryption"] == "aws:kms"


def test_a_server_that_is_not_there_is_a_transient_failure() -> None:
    """A short loss of the network would end a run of a day."""
    with scripted_server(Reply()) as server:
        url = server.url
    clients = clients_at(url)

    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=url)

    clients.s3.meta.events.register("before-send.s3", refuse)
    with pytest.raises(AwsError) as caught:
        S3Storage(clients.s3).get_bytes("s3://bucket/k")
    assert caught.value.kind is ErrorKind.TRANSIENT
