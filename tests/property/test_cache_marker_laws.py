"""Laws of cache markers: the same question with and without, and no text of a row before the marker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.cache_markers import CacheMarker, marked_request
from bedrock_batch.models.model_input import ModelInput, build_model_input
from bedrock_batch.prompts.template import PromptTemplate

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ROW_TEXT = "ROW-TEXT"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
MODELS = ("anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-pro-v1:0")


def make_input(model_id: str, system: str, mode: str = "auto") -> ModelInput:
    settings = settings_from_mapping({"primary_model_id": model_id, "structured_output": mode})
    return build_model_input(settings, model_id, system_prompt=system, schema=SCHEMA)


def blocks_of(content: Any) -> list[dict[str, Any]]:
    return [{"text": content}] if isinstance(content, str) else list(content or ())


def text_and_marked_text(body: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """Return the texts that the model reads, and what stands before the marker, None without one."""
    seen, marked = "", None
    texts = []
    for content in (body.get("system"), *(message["content"] for message in body["messages"])):
        whole = ""
        for block in blocks_of(content):
            whole += block.get("text", "")
            seen += block.get("text", "")
            if "cache_control" in block or "cachePoint" in block:
                assert marked is None, "one marker is enough"
                marked = seen
        texts.append(whole)
    return tuple(texts), marked


@pytest.mark.parametrize("model_id", MODELS)
@given(system=TEXT, before=TEXT.filter(str.strip), cell=TEXT, after=TEXT, ttl=st.sampled_from(["5m", "1h"]))
def test_a_marked_request_asks_the_same_question(
    model_id: str, system: str, before: str, cell: str, after: str, ttl: Any
) -> None:
    """The model would be asked something else, or the text of one row be kept, and billed, for all."""
    template = PromptTemplate(f"{before}{{cell}}{after}", ["cell"])
    prompt = template.render({"cell": ROW_TEXT + cell})
    asked = make_input(model_id, system)
    marked = marked_request(asked, CacheMarker(template.beginning, ttl), prompt)
    assert marked is not None
    body = json.loads(marked) if isinstance(marked, bytes) else marked
    texts, before_marker = text_and_marked_text(body)
    assert texts == text_and_marked_text(asked.body(prompt))[0]
    assert before_marker == system + before
    assert ROW_TEXT not in before_marker


@pytest.mark.parametrize("model_id", MODELS)
@pytest.mark.parametrize("mode", ["prefill", "tool", "prompt"])
def test_the_rest_of_the_request_stays(model_id: str, mode: str) -> None:
    """A marked request would lose its tool, its schema or its limit of tokens."""
    asked = make_input(model_id, "be brief", mode)
    for marker in (CacheMarker("Classify: "), CacheMarker("")):
        marked = marked_request(asked, marker, "Classify: x")
        assert marked is not None
        body, plain = json.loads(marked) if isinstance(marked, bytes) else marked, asked.body("Classify: x")
        assert body.keys() == plain.keys()
        changed = {name for name in body if body[name] != plain[name]}
        assert changed == ({"messages"} if marker.prefix else {"system"})
        assert body["messages"][1:] == plain["messages"][1:]


@pytest.mark.parametrize("prompt", ["Classify: ", "Classify:  \n", "other"])
def test_a_prompt_that_cannot_be_split_is_asked_as_a_whole(prompt: str) -> None:
    """The service refuses a block without text, and a prompt with another beginning would be cut."""
    assert marked_request(make_input(MODELS[0], ""), CacheMarker("Classify: "), prompt) is None


def test_a_template_with_rules_in_front_has_no_beginning() -> None:
    """The rules of one row would be marked for all."""
    from bedrock_batch.prompts.routing import RoutedRules

    rules = RoutedRules((), "rules")
    assert PromptTemplate("Classify: {text}", rules=rules).beginning == ""
    assert PromptTemplate("Apply {routed_rules} to {text}", rules=rules).beginning == "Apply "
    assert PromptTemplate("{text}?").beginning == ""
