"""The lines of result files that nearly all are: a record's own input, and an answer that is valid as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from bedrock_batch.accepted import AcceptedAnswers, PlainAnswer
from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.records import record_number
from bedrock_batch.responses import COMPLETE_STOP_REASONS
from bedrock_batch.staging import prompt_check

# So many answers are handed on together, or as many as are read from so many bytes.
ANSWERS_AT_ONCE = 1024
BYTES_AT_ONCE = 8 << 20

_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


# What is read of a plain line, in AWS's names: a message of Anthropic's or an answer of Converse, of one block of text.
# `gc=False`: they hold no cycles. `noqa`: the names are the service's. What is not named is skipped, and is not checked
# beyond that: not even that its text is UTF-8.
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
    modelOutput: _ModelOutput  # noqa: N815


decode_line = Decoder(_Line).decode


class PlainLines:
    """Hands the answers of plain lines to `answers`, many at once, and leaves all other lines alone.

    `awaited` are the CRC-32s of the prompts of the records that have no answer yet, by row number: one whose answer is
    taken leaves it.
    """

    def __init__(self, awaited: dict[int, int], answers: JobAnswers, model_id: str, prefilled: bool) -> None:
        self.count = 0
        self._awaited = awaited
        self._answers = answers
        self._prefilled = prefilled
        self._taken = AcceptedAnswers(model_id)
        self._bytes = 0

    def take(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        """Take the plain ones of some lines and yield the others, all in their order; to be read to its end.

        Each step is taken for all lines before the next one is: what the processor has at hand serves for all then.
        Some hundred kilobytes are best, for the same reason.
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
        """Hand on the answers that are held back."""
        if self._taken:
            self.count += len(self._taken)
            self._answers.add_accepted(self._taken)
            self._taken, self._bytes = AcceptedAnswers(self._taken.model_id), 0


def _read_line(line: bytes, awaited: Mapping[int, int]) -> PlainAnswer | None:
    """Return the answer on a line that holds a complete one and its record's own input, else None."""
    try:
        value = decode_line(line)
        number = record_number(value.recordId)
        echoed = value.modelInput.messages[0].content
        prompt = echoed if isinstance(echoed, str) else echoed[0].text
        if number is not None and awaited[number] == prompt_check(prompt):
            return _read_output(number, value.modelOutput)
    except (MsgspecError, ValueError, LookupError, RecursionError):
        pass  # another kind of line
    return None


def _read_output(number: int, output: _ModelOutput) -> PlainAnswer | None:
    content, stop_reason = output.content, output.stop_reason
    if output.output is not None:
        content, stop_reason = output.output.message.content, output.stopReason
    usage = output.usage  # counted as `answers.read_answer` does
    read = usage.inputTokens if usage.input_tokens is None else usage.input_tokens
    written = usage.outputTokens if usage.output_tokens is None else usage.output_tokens
    if content is None or read is None or written is None or stop_reason not in COMPLETE_STOP_REASONS:
        return None
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    cached += (usage.cacheReadInputTokens or 0) + (usage.cacheWriteInputTokens or 0)
    return number, content[0].text, stop_reason, read + cached, written
