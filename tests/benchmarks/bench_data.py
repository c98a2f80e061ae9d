"""Data of the benchmarks: rows with prompts of a given size, and the result files of a job over them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.records import record_id

TEMPLATE = "Judge the review of {product} with number {number}:\n{review}\nAnswer with JSON."
PLACEHOLDERS = ("product", "number", "review")
SYSTEM = "You judge reviews of products and answer with one JSON object."
MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["praise", "complaint", "question"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string"}},
        "detail": {
            "type": "object",
            "properties": {"score": {"type": "integer"}, "reason": {"type": "string"}},
            "required": ["score"],
        },
        "answered": {"type": "boolean"},
    },
    "required": ["label", "confidence"],
}
_WORDS = [f"word{number}" for number in range(500)]


def write_rows(path: Path, count: int, prompt_bytes: int, *, first: int = 0) -> Path:
    """Write a Parquet file whose rows give prompts of about `prompt_bytes` bytes."""
    chance = random.Random(first)
    length = prompt_bytes - len(TEMPLATE) - 10
    texts = [" ".join(chance.choices(_WORDS, k=length // 7 + 1))[:length] for _ in range(200)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, make_rows(texts, 0, 1).schema) as writer:
        for start in range(first, first + count, 50_000):
            writer.write_table(make_rows(texts, start, min(50_000, first + count - start)))
    return path


def make_rows(texts: list[str], start: int, count: int) -> pa.Table:
    numbers = range(start, start + count)
    return pa.table(
        {
            "id": [f"{number:08d}" for number in numbers],
            "product": [f"product {number % 97}" for number in numbers],
            "number": list(numbers),
            "review": [f"{texts[number % len(texts)]}{number}" for number in numbers],
        }
    )


def make_answer(number: int) -> dict[str, Any]:
    return {
        "label": ("praise", "complaint", "question")[number % 3],
        "confidence": number % 100 / 100,
        "tags": ["one", "two", "three"],
        "detail": {"score": number % 9, "reason": "because the text says so in its second sentence " * 3},
        "answered": True,
    }


def write_results(path: Path, prompts: list[str], *, converse: bool = False) -> Path:
    """Write the result file of a job: shuffled lines that echo their input, in one of two formats."""
    order = list(range(len(prompts)))
    random.Random(0).shuffle(order)
    make_line = _converse_line if converse else _messages_line
    with path.open("w", encoding="ascii") as file:
        for number in order:
            line = {
                "recordId": record_id(number),
                **make_line(number, prompts[number], json.dumps(make_answer(number))),
            }
            file.write(json.dumps(line) + "\n")
    return path


def _messages_line(number: int, prompt: str, answer: str) -> dict[str, Any]:
    """Return the result line of an Anthropic model with the opening brace as prefill."""
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": "{"}]
    output = {
        "id": f"msg_{number:024d}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4",
        "content": [{"type": "text", "text": answer[1:]}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 300, "output_tokens": 90},
    }
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": messages}
    return {"modelInput": body, "modelOutput": output}


def _converse_line(_: int, prompt: str, answer: str) -> dict[str, Any]:
    output = {
        "output": {"message": {"role": "assistant", "content": [{"text": answer}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 300, "outputTokens": 90, "totalTokens": 390},
    }
    body = {"messages": [{"role": "user", "content": [{"text": prompt}]}], "inferenceConfig": {"maxTokens": 1024}}
    return {"modelInput": body, "modelOutput": output}
