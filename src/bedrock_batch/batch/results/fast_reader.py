"""The fast path for result lines: the record's own input and an answer that is valid without repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, MsgspecError, Raw, Struct
from msgspec.json import Decoder

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AcceptedAnswers, PlainAnswer
from bedrock_batch.models.model_output import COMPLETE_STOP_REASONS
from bedrock_batch.records import prompt_check, record_number

# Answers are passed on in groups of this many, or of this many bytes of lines.
ANSWERS_AT_ONCE = 1024
BYTES_AT_ONCE = 8 << 20

_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


# The members of a plain line: a message of Anthropic or a response of Converse, with one block of text. Other members
# are skipped without a check, even of their encoding. `gc=False` is safe, since the values hold no cycles. The names
# are those of AWS, hence `noqa: N815`.
class _Block(Struct, gc=False):
    text: str
    type: Literal["text"] | None = None
    toolUse: None = None  # noqa: N815


class _EchoedBlock(Struct, gc=False):
    text: str


class _EchoedMessage(Struct, gc=False):
    content: str | list[_EchoedBlock]


class _EchoedInput(Struct, gc=False):
    messages: list[_EchoedMessage]


class _ConverseMessage(Struct, gc=False):
    content: tuple[_Block]


class _ConverseOutput(Struct, gc=False):
    message: _ConverseMessage


class _Usage(Struct, gc=False):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    inputTokens: _Count | None = None  # noqa: N815
    outputTokens: _Count | None = None  # noqa: N815
    cacheReadInputTokens: _Count | None = None  # noqa: N815
    cacheWriteInputTokens: _Count | None = None  # noqa: N815


class _ModelOutput(Struct, gc=False):
    usage: _Usage
    content: tuple[_Block] | None = None
    stop_reason: str | None = None
    output: _ConverseOutput | None = None
    stopReason: str | None = None  # noqa: N815


class _Line(Struct, gc=False):
    recordId: str  # noqa: N815
    modelInput: _EchoedInput  # noqa: N815
    modelOutput: Raw  # noqa: N815


decode_line = Decoder(_Line).decode
decode_output = Decoder(_ModelOutput).decode


class FastResultReader:
    """Adds the answers of plain lines to `answers`, many at once, and yields all other lines.

    `awaited` are the CRC-32s of the prompts of the records that have no answer yet, by row number: one whose answer is
    taken leaves it.
    """

    def __init__(
        self, awaited: dict[int, int], answers: AnswerCollector, model_id: str, prefilled: bool, frame: str = ""
    ) -> None:
        self.count = 0
        self._awaited = awaited
        self._answers = answers
        self._prefilled = prefilled
        self._taken = AcceptedAnswers(model_id, frame, prefilled)
        self._bytes = 0

    def take(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        """Read the lines that the fast path understands and yield all others in order; consume the iterator fully.

        Each step runs over all lines before the next step begins, which keeps its code and data in the cache. Some
        hundred kilobytes of lines are best.
        """
        awaited = self._awaited
        answers = [_read_line(line, awaited) for line in lines]
        accepted = iter(self._answers.accept((answer[1] for answer in answers if answer is not None), self._prefilled))
        kept: list[PlainAnswer] = []
        kept_fields: list[dict[str, Any]] = []
        for line, answer in zip(lines, answers, strict=True):
            fields = None if answer is None else next(accepted)
            if answer is not None and fields is not None and answer[0] in awaited:
                del awaited[answer[0]]
                kept.append(answer)
                kept_fields.append(fields)
            else:
                yield line
        self._taken.extend(kept, kept_fields)
        self._bytes += sum(map(len, lines))
        if len(self._taken) >= ANSWERS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Pass on the answers that wait for a full group."""
        if self._taken:
            self.count += len(self._taken)
            self._answers.add_accepted(self._taken)
            self._taken, self._bytes = self._taken.begin_next(), 0


def _read_line(line: bytes, awaited: Mapping[int, int]) -> PlainAnswer | None:
    """Return the answer if the line has a complete one and echoes the record's own prompt, otherwise None."""
    try:
        value = decode_line(line)
        number = record_number(value.recordId)
        echoed = value.modelInput.messages[0].content
        prompt = echoed if isinstance(echoed, str) else echoed[0].text
        if number is not None and awaited[number] == prompt_check(prompt):
            return _read_output(number, value.modelOutput, decode_output(value.modelOutput))
    except (MsgspecError, ValueError, LookupError, RecursionError):
        pass  # another kind of line
    return None


def _read_output(number: int, body: Raw, output: _ModelOutput) -> PlainAnswer | None:
    content, stop_reason = output.content, output.stop_reason
    if output.output is not None:
        content, stop_reason = output.output.message.content, output.stopReason
    usage = output.usage  # counted as `models.model_output.read_output` does
    read = usage.inputTokens if usage.input_tokens is None else usage.input_tokens
    written = usage.outputTokens if usage.output_tokens is None else usage.output_tokens
    if content is None or read is None or written is None or stop_reason not in COMPLETE_STOP_REASONS:
        return None
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    cached += (usage.cacheReadInputTokens or 0) + (usage.cacheWriteInputTokens or 0)
    return number, content[0].text, stop_reason, read + cached, written, body
