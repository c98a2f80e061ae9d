"""The work of one batch job: it checks the input, answers the records in shuffled order and writes the output to S3."""

from __future__ import annotations

import mmap
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from local_bedrock.batch.jobs import Job, JobFailure, JobWork
from local_bedrock.batch.records import RecordProcessor
from local_bedrock.behaviour import Behaviour
from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.storage import Storage

_PARTS_OF_PHASE = 10


@dataclass(slots=True)
class InputFile:
    """A downloaded input file, with the byte range of each record."""

    name: str
    """The path below the input prefix."""
    path: Path
    spans: list[tuple[int, int]] = field(default_factory=list)


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class BatchWorker(JobWork):
    """Works on temporary files, so that memory does not grow with the size of the job."""

    def __init__(
        self, storage: Storage, behaviour: Behaviour, make_processor: Callable[[Job], RecordProcessor]
    ) -> None:
        self._storage = storage
        self._behaviour = behaviour
        self._make_processor = make_processor
        self._folder = Path(tempfile.mkdtemp(prefix="local-bedrock-"))
        self._files: list[InputFile] = []
        self._outputs: list[tuple[str, Path]] = []

    def validate(self, job: Job) -> None:
        """Download the input and check it as AWS does in the status `Validating`."""
        for position, (key, name, size) in enumerate(self._find_input(job)):
            if size > self._behaviour.max_input_file_bytes:
                raise JobFailure(
                    f"Input file {name} of batch job {job.arn} is larger ({size} bytes) than the allowed maximum of: "
                    f"{self._behaviour.max_input_file_bytes} bytes"
                )
            path = self._folder / f"{position}.jsonl"
            self._storage.download(_input_bucket(job), key, path)
            self._files.append(_index_file(InputFile(name, path)))
        if self._behaviour.refuse_duplicate_record_ids:
            _refuse_duplicates(self._files)
        total = sum(len(each.spans) for each in self._files)
        least, most = self._behaviour.min_records_per_job, self._behaviour.max_records_per_job
        if total < least:
            raise JobFailure(
                f"Batch job {job.arn} contains less records ({total}) than the required minimum of: {least}"
            )
        if total > most:
            raise JobFailure(f"Batch job {job.arn} contains more records ({total}) than the allowed maximum of: {most}")
        job.total = total

    def _find_input(self, job: Job) -> list[tuple[str, str, int]]:
        uri = job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        bucket, key = split_uri(uri)
        size = self._storage.size_of(bucket, key) if key and not key.endswith("/") else None
        if size is not None:
            if not key.endswith(".jsonl"):
                raise JobFailure(f"The input file {uri} must have the extension .jsonl")
            return [(key, key.rpartition("/")[2], size)]
        prefix = key.rstrip("/") + "/" if key else ""
        found = [(each, each[len(prefix) :], size) for each, size in self._storage.list_keys(bucket, prefix)]
        found = [entry for entry in found if entry[0].endswith(".jsonl")]
        if not found:
            raise JobFailure(
                f"Could not validate ListBucket permissions for S3URI {uri}: no .jsonl object was found there"
            )
        return found

    def process(self, job: Job, pause: Callable[[float], bool]) -> bool:
        """Answer the share of the records that the job's fault allows, in shuffled order within each file."""
        processor = self._make_processor(job)
        allowed = round(job.total * job.fault.share)
        step = max(1, -(-allowed // _PARTS_OF_PHASE))
        handled = 0
        for each in self._files:
            path = each.path.with_suffix(".out")
            self._outputs.append((each.name, path))
            with path.open("wb") as target:
                for line in _shuffled_lines(each, f"{self._behaviour.seed} {job.name} {each.name}"):
                    if handled == allowed:
                        break
                    if handled % step == 0 and not pause(step / allowed):
                        return False
                    handled += 1
                    _answer(job, processor, line, target)
        return True

    def write_output(self, job: Job) -> None:
        """Write one `.jsonl.out` per input file, and `manifest.json.out`, to the job's output folder."""
        target = job.request["outputDataConfig"]["s3OutputDataConfig"]
        bucket, prefix = split_uri(target["s3Uri"])
        folder = "/".join(part for part in (prefix.strip("/"), job.id) if part)
        for name, path in self._outputs:
            for part_name, part in _split_parts(name, path, job.fault.output_parts):
                self._storage.upload(part, bucket, f"{folder}/{part_name}.out", target.get("s3EncryptionKeyId"))
                job.output_keys.append(f"{folder}/{part_name}.out")
        if job.fault.extra_objects:
            extra = (f"{folder}/_partial/{i:05d}.tmp" for i in range(job.fault.extra_objects))
            self._storage.put_empty(bucket, extra)
        if job.fault.manifest != "absent":
            self._storage.put(bucket, f"{folder}/manifest.json.out", dump_json(_manifest(job)))

    def close(self) -> None:
        """Remove the temporary files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _input_bucket(job: Job) -> str:
    return split_uri(job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])[0]


def _index_file(each: InputFile) -> InputFile:
    position = 0
    with each.path.open("rb") as source:
        for number, line in enumerate(source, 1):
            if line.strip():
                if not _is_object(line):
                    raise JobFailure(
                        f"Input file {each.name} is not in the JSONL format: line {number} is not a JSON object"
                    )
                each.spans.append((position, position + len(line)))
            position += len(line)
    return each


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(load_json(line), dict)
    except ValueError:
        return False


def _refuse_duplicates(files: list[InputFile]) -> None:
    seen: set[str] = set()
    for each in files:
        for line in _lines(each, each.spans):
            record_id = load_json(line).get("recordId")
            if record_id in seen:
                raise JobFailure(f"Input file {each.name} contains the recordId {record_id} more than once")
            if record_id is not None:
                seen.add(record_id)


def _lines(each: InputFile, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    if not spans:
        return
    with each.path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start, end in spans:
            yield content[start:end]


def _shuffled_lines(each: InputFile, seed: str) -> Iterator[bytes]:
    spans = list(each.spans)
    random.Random(seed).shuffle(spans)  # noqa: S311 - the order must be reproducible, not secret
    return _lines(each, spans)


def _answer(job: Job, processor: RecordProcessor, line: bytes, target: BinaryIO) -> None:
    record_id, fate, lines = processor.process(line)
    job.fates[record_id] = fate
    if fate.outcome == "error":
        job.failed += 1
    elif fate.outcome != "missing":
        job.succeeded += 1
    job.processed = job.failed + job.succeeded
    for out in lines:
        target.write(out + b"\n")


def _split_parts(name: str, path: Path, parts: int) -> list[tuple[str, Path]]:
    if parts <= 1:
        return [(name, path)]
    targets = [(f"{name.removesuffix('.jsonl')}.part-{i + 1}.jsonl", path.with_suffix(f".{i}")) for i in range(parts)]
    lines = path.read_bytes().splitlines(keepends=True)
    for i, (_, target) in enumerate(targets):
        target.write_bytes(b"".join(lines[i::parts]))
    return targets


def _manifest(job: Job) -> dict[str, Any]:
    off = 1 if job.fault.manifest == "wrong" else 0
    return {
        "totalRecordCount": job.total + off,
        "processedRecordCount": job.processed + off,
        "successRecordCount": job.succeeded + off,
        "errorRecordCount": job.failed,
        "inputTokenCount": sum(fate.input_tokens for fate in job.fates.values() if fate.charged),
        "outputTokenCount": sum(fate.output_tokens for fate in job.fates.values() if fate.charged),
    }
