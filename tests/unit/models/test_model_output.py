"""Reading the response bodies of all model families."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.models.model_output import OutputContent, read_output
from bedrock_batch.records import Billing

ANTHROPIC = {
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": '{"a"'},
        {"type": "text", "text": ": 1}"},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 1, "output_tokens": 3},
}
ANTHROPIC_TOOL = {
    "content": [{"type": "text", "text": "I call"}, {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm"}}, "text": None, "toolUse": None},
                {"text": '{"a": 1}', "image": None, "toolUse": None},
            ],
        }
    },
    "stopReason": "end_turn",
    "usage": {"inputTokens": 10, "outputTokens": 3, "totalTokens": 13, "cacheReadInputTokens": 5},
}
CONVERSE_TOOL = {
    "output": {"message": {"content": [{"toolUse": {"name": "n", "input": {"a": 1}}, "text": None}]}},
    "stopReason": "tool_use",
    "usage": None,
}
OPENAI = {
    "choices": [{"message": {"content": '{"a": 1}', "tool_calls": None}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3},
}
OPENAI_PARTS = {"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}, "finish_reason": "length"}]}
OPENAI_TOOL = {
    "choices": [
        {
            "message": {"content": None, "tool_calls": [{"function": {"arguments": '{"a": 1}'}}]},
            "finish_reason": "tool_calls",
        }
    ]
}
OPENAI_REFUSAL = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
LLAMA = {"generation": '{"a": 1}', "prompt_token_count": 10, "generation_token_count": 3, "stop_reason": "stop"}

CACHED = Billing(cache_read=5, cache_write=1)
READ = Billing(cache_read=5)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param(ANTHROPIC, OutputContent('{"a": 1}', "end_turn", 16, 3, billing=CACHED), id="anthropic"),
        pytest.param(ANTHROPIC_TOOL, OutputContent("I call", "tool_use", 1, 2, {"a": 1}), id="anthropic-tool"),
        pytest.param(CONVERSE, OutputContent('{"a": 1}', "end_turn", 15, 3, billing=READ), id="converse-nulls"),
        pytest.param(CONVERSE_TOOL, OutputContent("", "tool_use", None, None, {"a": 1}), id="converse-tool"),
        pytest.param(OPENAI, OutputContent('{"a": 1}', "stop", 10, 3), id="openai"),
        pytest.param(OPENAI_PARTS, OutputContent("x", "length"), id="openai-parts"),
        pytest.param(OPENAI_TOOL, OutputContent('{"a": 1}', "tool_calls"), id="openai-tool"),
        pytest.param(OPENAI_REFUSAL, OutputContent("", "refusal"), id="openai-refusal"),
        pytest.param(LLAMA, OutputContent('{"a": 1}', "stop", 10, 3), id="llama"),
    ],
)
def test_each_family_is_read(body: dict[str, Any], answer: OutputContent) -> None:
    """All answers of a family would be empty, or its tokens would not be counted."""
    assert read_output(body) == answer


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"content": None},
        {"content": "text"},
        {
            "content": [
                None,
                1,
                "x",
                {},
                {"type": "text"},
                {"type": "text", "text": 5},
                {"type": "tool_use", "input": "x"},
            ]
        },
        {"output": "x"},
        {"output": {"message": None}},
        {"output": {"message": {"content": {"text": "x"}}}, "stopReason": 5},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"message": []}]},
        {"choices": [{"message": {"content": 5, "tool_calls": [None, {"function": 5}]}}]},
        {"generation": 5},
        {"usage": [1], "content": []},
        {"usage": {"input_tokens": -1, "output_tokens": True}, "content": []},
        {"usage": {"input_tokens": 2**70, "output_tokens": "3"}, "content": []},
    ],
    ids=str,
)
def test_a_body_of_no_known_form_is_an_empty_answer(body: Any) -> None:
    """One malformed body would end the run."""
    answer = read_output(body)
    assert (answer.text, answer.tool_input, answer.stop_reason) == ("", None, None)
    assert (answer.input_tokens, answer.output_tokens) == (None, None)


def test_token_counts_stay_within_64_bits() -> None:
    """The column of tokens could not be written."""
    usage = {"input_tokens": 2**63 - 1, "cache_read_input_tokens": 2**63 - 1, "output_tokens": 1}
    assert read_output({"content": [], "usage": usage}).input_tokens == 2**63 - 1


@pytest.mark.parametrize(
    ("body", "billing"),
    [
        ({"usage": {"input_tokens": 1}}, None),
        ({"usage": {"input_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}}, None),
        ({"usage": {"inputTokens": 1}, "serviceTier": {"type": "flex"}}, Billing("flex")),
        ({"usage": {"inputTokens": 1}, "serviceTier": None}, None),
        (
            {
                "usage": {
                    "input_tokens": 1,
                    "cache_creation_input_tokens": 9,
                    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 7},
                }
            },
            Billing(cache_write=2, cache_write_1h=7),
        ),
        (
            {
                "usage": {
                    "inputTokens": 1,
                    "cacheWriteInputTokens": 9,
                    "cacheDetails": [{"ttl": "5m", "inputTokens": 2}, {"ttl": "1h", "inputTokens": 7}],
                }
            },
            Billing(cache_write=2, cache_write_1h=7),
        ),
    ],
)
def test_the_billing_is_read(body: dict[str, Any], billing: Billing | None) -> None:
    """The cost of a run would be that of another tier, or without its cache."""
    assert read_output({"content": [], **body}).billing == billing
