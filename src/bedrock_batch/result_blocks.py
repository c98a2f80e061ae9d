"""Result files in blocks of lines; Arrow finds the plain answers in a block, in a thread and without the interpreter.

Nearly every line of a job has one form: our record id, our input, a message of one text, as Anthropic's models or as
Converse write it. To make a tree of Python objects of each is half of the work. All other lines are read one by one, as
`results` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from pydantic_core import from_json

from bedrock_batch.outcome_columns import AcceptedAnswers
from bedrock_batch.records import RECORD_ID_WIDTH
from bedrock_batch.responses import COMPLETE_STOP_REASONS

# The JSON reader of pyarrow 14 ended the process (a segmentation fault) over damaged lines. Fuzzing found nothing in 26;
# the versions between were not tried, and every line is read by itself there.
OLDEST_ARROW = 26
BLOCK_BYTES = 4 << 20
BLOCKS_AHEAD = 2
LINES_LOOKED_AT = 20
NO_ROW = -1
# Beyond it a count of tokens is looked at one by one, whether it can be stored.
_COUNT_LIMIT = 2**40


@dataclass(frozen=True, slots=True)
class _Form:
    """Where a body holds what it says: the path to its blocks, its stop reason, its counts in `usage`."""

    content: tuple[str, ...]
    stop_reason: str
    counts: tuple[str, str, str, str]
    """Of input and output, and of the input that a prompt cache supplied and stored."""

    def arrow_type(self) -> pa.DataType:
        block = pa.struct(
            [("type", pa.string()), ("text", pa.string()), ("toolUse", pa.struct([("name", pa.string())]))]
        )
        kind: pa.DataType = pa.list_(block)
        for name in reversed(self.content[1:]):
            kind = pa.struct([(name, kind)])
        usage = pa.struct([(name, pa.int64()) for name in self.counts])
        return pa.struct([(self.content[0], kind), (self.stop_reason, pa.string()), ("usage", usage)])


_MESSAGES = _Form(
    ("content",),
    "stop_reason",
    ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
)
_CONVERSE = _Form(
    ("output", "message", "content"),
    "stopReason",
    ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
)


def _messages_type(content: pa.DataType) -> pa.DataType:
    return pa.struct([("messages", pa.list_(pa.struct([("content", content)])))])


# A prompt is the content of a message or the text of its first block.
_PROMPT = _messages_type(pa.string())
_PROMPT_BLOCK = _messages_type(pa.list_(pa.struct([("text", pa.string())])))
_NEWLINE, _OPENING, _CLOSING = b"\n{}"


@dataclass(frozen=True, slots=True)
class PlainLines:
    """What Arrow read in a block, by line: the row's number, NO_ROW where it is not plain, and what stands in it."""

    numbers: list[int]
    prompts: list[memoryview]
    texts: list[memoryview]
    stop_reasons: pa.Array
    input_tokens: pa.Array
    output_tokens: pa.Array

    def __iter__(self) -> Iterator[tuple[int, memoryview, memoryview]]:
        """Yield number, prompt and text of each line."""
        return zip(self.numbers, self.prompts, self.texts, strict=True)

    def accepted(self, rows: list[int], fields: list[dict[str, Any]], model_id: str) -> AcceptedAnswers:
        """Return the answers of some lines, whose fields are given."""
        numbers = [self.numbers[row] for row in rows]
        figures = self.stop_reasons, self.input_tokens, self.output_tokens
        return AcceptedAnswers(model_id, numbers, fields, *(each.take(pa.array(rows, pa.int64())) for each in figures))


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """Some whole lines of a result file, and what Arrow parses in them by a form, None where it cannot."""

    data: bytes
    table: pa.Table | None
    form: _Form


@dataclass(frozen=True, slots=True)
class ResultBlock:
    """Some whole lines of a result file, and what is plain in them; None where the lines must be read one by one."""

    data: bytes
    plain: PlainLines | None

    def lines(self) -> list[bytes]:
        """Return the lines; binary files end them at \\n only: U+2028 and its like stand inside JSON strings."""
        return self.data.split(b"\n")


def read_blocks(paths: Iterable[Path]) -> Generator[ResultBlock, None, None]:
    """Yield the blocks of result files, the next two being parsed in a thread while one is worked on.

    All that needs the interpreter is done here: the thread would wait for its turn each time it comes back from Arrow.
    """
    # In this order: the thread has ended when the files are closed.
    with closing(_raw_blocks(paths)) as blocks, ThreadPoolExecutor(1, thread_name_prefix="results") as pool:
        ahead = deque(pool.submit(_parse_next, blocks) for _ in range(BLOCKS_AHEAD))
        while (parsed := ahead.popleft().result()) is not None:
            ahead.append(pool.submit(_parse_next, blocks))
            yield ResultBlock(parsed.data, find_plain_lines(parsed))


def _parse_next(blocks: Iterator[bytes]) -> ParsedBlock | None:
    data = next(blocks, None)
    return None if data is None else parse_block(data)


def _raw_blocks(paths: Iterable[Path]) -> Generator[bytes, None, None]:
    for path in paths:
        with path.open("rb") as file:
            while data := file.read(BLOCK_BYTES):
                yield data if data.endswith(b"\n") else data + file.readline()


def reads_blocks() -> bool:
    """Whether the installed Arrow is trusted with whole blocks."""
    return int(pa.__version__.partition(".")[0]) >= OLDEST_ARROW


def parse_block(data: bytes) -> ParsedBlock:
    """Return a block as Arrow parses it, without a table where it is of another form than those known."""
    known = _find_form(data) if reads_blocks() else None
    if known is None:
        return ParsedBlock(data, None, _MESSAGES)
    input_type, form = known
    fields = [("recordId", pa.string()), ("modelInput", input_type), ("modelOutput", form.arrow_type())]
    try:
        table = pj.read_json(
            pa.BufferReader(data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:  # a line is no JSON, or of another form
        table = None
    return ParsedBlock(data, table, form)


def find_plain_lines(block: ParsedBlock) -> PlainLines | None:
    """Return the plain lines of a block, or None where it holds what Arrow does not read line by line."""
    if block.table is None or block.table.num_rows != _count_objects(block.data):
        return None
    return _plain_lines(block.table.combine_chunks().to_batches()[0], block.form)


def _count_objects(data: bytes) -> int | None:
    """Return the number of lines where each begins and ends an object, else None.

    Arrow looks for one object after the other, wherever lines end: only where no object can go over the end of a line,
    and there are as many objects as lines, is each line one.
    """
    characters = np.frombuffer(data, dtype=np.uint8, count=len(data) - data.endswith(b"\n"))
    ends = np.flatnonzero(characters == _NEWLINE)
    if len(characters) == 0 or characters[0] != _OPENING or characters[-1] != _CLOSING:
        return None
    is_whole = np.all(characters[ends - 1] == _CLOSING) and np.all(characters[ends + 1] == _OPENING)
    return len(ends) + 1 if is_whole else None


def _find_form(data: bytes) -> tuple[pa.DataType, _Form] | None:
    """Return the form of the echoed input and that of the answers, or None for another form than the known.

    One of the first lines decides, all of a job are alike.
    """
    for line in data.split(b"\n", LINES_LOOKED_AT)[:LINES_LOOKED_AT]:
        try:
            entry = from_json(line)
            prompt, body = entry["modelInput"]["messages"][0]["content"], entry["modelOutput"]
        except (ValueError, LookupError, TypeError):
            continue  # an error, say
        known = [form for form in (_CONVERSE, _MESSAGES) if isinstance(body, dict) and form.content[0] in body]
        return (_PROMPT if isinstance(prompt, str) else _PROMPT_BLOCK, known[0]) if known else None
    return None


def _plain_lines(batch: pa.RecordBatch, form: _Form) -> PlainLines:
    prompts = _first(pc.struct_field(batch["modelInput"], "messages"), "content")
    if pa.types.is_list(prompts.type):
        prompts = _first(prompts, "text")
    body, ids = batch["modelOutput"], batch["recordId"]
    content, stop_reasons = pc.struct_field(body, [*form.content]), pc.struct_field(body, form.stop_reason)
    texts, kinds, tools = (_first(content, name) for name in ("text", "type", "toolUse"))
    read, written, *cached = (pc.struct_field(body, ["usage", name]) for name in form.counts)
    cached = [pc.fill_null(count, 0) for count in cached]
    is_plain = _all(
        pc.match_substring_regex(ids, rf"^R[0-9]{{{RECORD_ID_WIDTH}}}$"),
        pc.is_valid(prompts),
        pc.equal(pc.list_value_length(content), 1),
        pc.equal(pc.fill_null(kinds, "text"), "text"),
        pc.is_null(tools),
        pc.is_valid(texts),
        pc.is_in(stop_reasons, pa.array(sorted(COMPLETE_STOP_REASONS))),
        *map(_is_storable, (read, written, *cached)),
    )
    numbers = pc.fill_null(pc.cast(pc.utf8_slice_codeunits(pc.if_else(is_plain, ids, None), 1), pa.int64()), NO_ROW)
    total = pc.add(read, pc.add(*cached))
    return PlainLines(numbers.to_pylist(), _views(prompts), _views(texts), stop_reasons, total, written)


def _first(lists: pa.Array, name: str) -> pa.Array:
    """Return a member of the first item of each list; null where there is none."""
    filled = pc.greater(pc.list_value_length(lists), 0)
    positions = pc.if_else(filled, lists.offsets.slice(0, len(lists)), None)
    return lists.values.field(name).take(positions)


def _is_storable(counts: pa.Array) -> pa.Array:
    return pc.and_(pc.greater_equal(counts, 0), pc.less(counts, _COUNT_LIMIT))


def _all(*conditions: pa.Array) -> pa.Array:
    result = conditions[0]
    for condition in conditions[1:]:
        result = pc.and_(result, condition)
    return pc.fill_null(result, False)


def _views(texts: pa.Array) -> list[memoryview]:
    """Return the bytes of each text, without copying them; nothing for a null."""
    offsets: npt.NDArray[Any] = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset :][: len(texts) + 1]
    bounds, data = offsets.tolist(), texts.buffers()[2]
    view = memoryview(data if data is not None else b"").cast("B")
    return [view[start:stop] for start, stop in pairwise(bounds)]
