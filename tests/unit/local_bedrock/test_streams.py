"""The events of a stream carry the response that was split, and their encoding passes botocore's own parser."""

import base64
import json
import string

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from local_bedrock.models.anthropic_messages import write_message
from local_bedrock.models.converse import write_converse
from local_bedrock.models.other_bodies import write_chat, write_llama, write_nova
from local_bedrock.models.streams import split_converse, split_model_output
from local_bedrock.questions import Answer
from local_bedrock.wire.event_stream import encode_message

METRICS = {"inputTokenCount": 3, "outputTokenCount": 7, "invocationLatency": 1, "firstByteLatency": 1}
TEXTS = st.text(min_size=1, max_size=200)
ANSWERS = st.builds(
    Answer,
    text=TEXTS,
    stop_reason=st.just("end_turn"),
    input_tokens=st.just(3),
    output_tokens=st.just(7),
    identity=st.just("0" * 24),
    thought=st.none() | TEXTS,
) | st.builds(
    Answer,
    text=st.just(""),
    stop_reason=st.just("tool_use"),
    input_tokens=st.just(3),
    output_tokens=st.just(7),
    identity=st.just("0" * 24),
    tool_name=st.just("record"),
    tool_input=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


def chunks(shape, document):
    """Return the chunks of a stream, parsed."""
    events = list(split_model_output(shape, document, METRICS))
    assert {event.name for event in events} == {"chunk"}
    return [json.loads(base64.b64decode(event.document["bytes"])) for event in events]


@given(
    st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=20), st.text(max_size=50), max_size=5),
    st.binary(max_size=300),
    st.integers(1, 40),
)
def test_every_message_passes_botocores_parser(headers, payload, size):
    """An SDK would refuse a message, or wait for the rest of it for ever."""
    data = encode_message(headers, payload) * 2
    buffer = EventStreamBuffer()
    messages = []
    for start in range(0, len(data), size):
        buffer.add_data(data[start : start + size])
        messages += list(buffer)
    assert [(message.headers, message.payload) for message in messages] == [(headers, payload)] * 2


@given(ANSWERS)
def test_converse_events_join_to_the_response(answer):
    """A client would read another answer from the stream than from the whole response."""
    document = write_converse(answer)
    events = list(split_converse(document))
    blocks = {}
    for event in events:
        index = event.document.get("contentBlockIndex")
        block = blocks.setdefault(index, {"text": "", "input": "", "thought": ""})
        delta = event.document.get("delta", {})
        block["text"] += delta.get("text", "")
        block["input"] += delta.get("toolUse", {}).get("input", "")
        block["thought"] += delta.get("reasoningContent", {}).get("text", "")
    joined = [blocks[index] for index in range(len(document["output"]["message"]["content"]))]
    assert "".join(block["text"] for block in joined) == answer.text
    assert "".join(block["thought"] for block in joined) == (answer.thought or "")
    if answer.tool_name:
        assert json.loads(joined[0]["input"]) == answer.tool_input
    assert events[-2].document == {"stopReason": document["stopReason"]}
    assert events[-1].document == {"usage": document["usage"], "metrics": document["metrics"]}


@given(ANSWERS)
def test_messages_chunks_join_to_the_response(answer):
    """A client of Anthropic's SDK would read another answer from the stream than from the whole response."""
    document = write_message(answer, "anthropic.claude-x")
    message, texts = None, {}
    for chunk in chunks("anthropic", document):
        match chunk["type"]:
            case "message_start":
                message = chunk["message"]
            case "content_block_start":
                message["content"].append(chunk["content_block"])
            case "content_block_delta":
                (name,) = chunk["delta"].keys() - {"type"}
                key = (chunk["index"], {"partial_json": "input"}.get(name, name))
                texts[key] = texts.get(key, "") + chunk["delta"][name]
            case "message_delta":
                message |= chunk["delta"]
                message["usage"] |= chunk["usage"]
    for (index, name), text in texts.items():
        message["content"][index][name] = json.loads(text) if name == "input" else text
    assert message == document
    assert chunk == {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}


@given(ANSWERS)
def test_other_families_chunks_join_to_the_text(answer):
    """A client of another family would read another answer from the stream than from the whole response."""
    nova = chunks("nova", write_nova(answer, "amazon.nova-lite-v1:0"))
    deltas = [chunk["contentBlockDelta"]["delta"] for chunk in nova if "contentBlockDelta" in chunk]
    assert "".join(delta.get("text", "") for delta in deltas) == answer.text
    assert (
        nova[-1]["metadata"]["usage"]["outputTokens"]
        == nova[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"]
    )
    llama = chunks("llama", write_llama(answer, "meta.llama3-3-70b-instruct-v1:0"))
    assert "".join(chunk["generation"] for chunk in llama) == answer.text
    assert (llama[0]["prompt_token_count"], llama[-1]["stop_reason"]) == (3, "stop")
    chat = chunks("chat", write_chat(answer, "mistral.mistral-large-3"))
    deltas = [chunk["choices"][0]["delta"] for chunk in chat]
    assert "".join(delta.get("content", "") for delta in deltas) == answer.text
    calls = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ())]
    assert "".join(calls) == (json.dumps(answer.tool_input, ensure_ascii=False, separators=(",", ":")) if calls else "")


@pytest.mark.parametrize("position", [0, 9, 30, -1])
def test_a_changed_byte_is_found_by_botocore(position):
    """The check sums would hide that the encoding is wrong elsewhere."""
    data = bytearray(encode_message({":event-type": "chunk"}, b'{"bytes":""}'))
    data[position] ^= 1
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(data))
    with pytest.raises(Exception, match=r"Checksum|Header length|Payload length"):
        list(buffer)
