"""Prompt caching over HTTP: the shared text is written once, read by all others, priced, and never marked in a job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.batch_runs import World, sent_lines
from helpers.botocore_models import CACHED_PROMPTS
from local_bedrock import LocalBedrock

SONNET = "us.anthropic.claude-sonnet-4-6"
NOVA = "amazon.nova-pro-v1:0"
MakeWorld = Callable[..., World]
pytestmark = CACHED_PROMPTS


def long_world(make_world: MakeWorld, **environ: str) -> World:
    """Return a world whose template begins with 1,400 tokens that all rows share."""
    world = make_world(**environ)
    place = world.processing / "input" / "templates" / "prompts.json"
    prompts = json.loads(place.read_text(encoding="utf-8"))
    prompts["user_prompt_template"] = "Read this with care. " * 280 + "{text}"
    place.write_text(json.dumps(prompts), encoding="utf-8")
    return world


@pytest.mark.parametrize(("model_id", "prices"), [(SONNET, (3.3, 0.33, 4.125, 16.5)), (NOVA, (0.8, 0.2, 0.8, 3.2))])
def test_the_shared_text_is_written_once_and_read_by_all_others(
    make_world: MakeWorld, model_id: str, prices: tuple[float, ...]
) -> None:
    """A user would pay in full for a long prompt with each row, or for writing it again and again."""
    world = long_world(make_world, BEDROCK_PRIMARY_MODEL_ID=model_id, BEDROCK_BATCH_MODE="realtime")
    run = world.answer(BEDROCK_CONCURRENCY_MODE="concurrent", BEDROCK_MAX_CONCURRENT_WORKERS="4")
    billed, caching, rows = world.local.billed_tokens, run.summary["prompt_caching"], len(run.all_rows)
    written, read = billed["default", "cache_write_5m"], billed["default", "cache_read"]
    assert written > 1024
    assert read == written * (rows - 1)
    assert (caching["cache_write_tokens"], caching["cache_read_tokens"]) == (written, read)
    kinds = ("input", "cache_read", "cache_write_5m", "output")
    expected = sum(billed["default", kind] * price for kind, price in zip(kinds, prices, strict=True)) / 1e6
    assert run.summary["cost"]["total_usd"] == pytest.approx(expected, rel=1e-3)
    assert caching["saved_usd"] > 0.3 * expected
    assert sum(int(row["llm_input_tokens"]) for row in run.all_rows) == billed["default", "input"] + read + written


def test_the_answers_are_those_without_a_cache_and_are_not_asked_again(make_world: MakeWorld) -> None:
    """A user who turns the cache on or off would get other answers, or pay for the same ones again."""
    world = long_world(make_world, BEDROCK_PRIMARY_MODEL_ID=SONNET, BEDROCK_BATCH_MODE="realtime")
    cached = world.answer()
    asked = world.local.count("InvokeModel")
    plain = world.answer(BEDROCK_PROMPT_CACHING="off", BEDROCK_VALIDATION_RETRIES="1")
    assert world.local.count("InvokeModel") == asked
    fresh = world.answer(BEDROCK_PROMPT_CACHING="off", BEDROCK_ANSWER_REUSE="false", BEDROCK_BATCH_RESUME="false")
    assert world.local.count("InvokeModel") == 2 * asked
    answers = [[row["llm_category"] for row in run.all_rows] for run in (cached, plain, fresh)]
    assert answers[0] == answers[1] == answers[2]


def test_jobs_hold_no_marker_and_their_answers_serve_marked_requests(make_world: MakeWorld) -> None:
    """AWS refuses every record of a job with a marker; and real time would pay for what a job has answered."""
    world = long_world(make_world, BEDROCK_PRIMARY_MODEL_ID=SONNET)
    world.answer()
    lines = [line for job in world.local.jobs for line in sent_lines(world, job)]
    assert lines
    assert "cache_control" not in json.dumps(lines)
    run = world.answer(BEDROCK_BATCH_MODE="realtime", BEDROCK_VALIDATION_RETRIES="1")
    assert run.summary["cost"]["reused"]["records"] == len(run.all_rows)


def test_a_refused_marker_is_given_up(make_world: MakeWorld) -> None:
    """A run on a model that does not take markers, whatever the table says, would fail row by row."""
    model = "meta.llama3-3-70b-instruct-v1:0"
    world = long_world(make_world, BEDROCK_PRIMARY_MODEL_ID=f"us.{model}", BEDROCK_BATCH_MODE="realtime")
    run = world.answer(BEDROCK_MODEL_CAPABILITIES='{"prompt_cache": true, "cache_minimum": 1024}')
    assert run.summary["failed_records"] == 0
    (note,) = run.summary["prompt_caching"]["notes"]
    assert "cache_marker=refused: " in note
    assert run.summary["prompt_caching"]["cache_read_tokens"] == 0


def test_the_local_cache_follows_the_rules_of_aws(tmp_path: Path) -> None:
    """Tests of prompt caching would pass against a cache that AWS does not have."""
    del tmp_path
    text = "Read this with care. " * 280
    with LocalBedrock() as server:
        client = server.client("bedrock-runtime")

        def usage(*, shared: str, ttl: str = "5m", row: str = "a", model: str = NOVA) -> tuple[int, int, int]:
            content = [{"text": shared}, {"cachePoint": {"type": "default", "ttl": ttl}}, {"text": row}]
            answer = client.converse(modelId=model, messages=[{"role": "user", "content": content}])["usage"]
            return answer.get("cacheReadInputTokens", 0), answer.get("cacheWriteInputTokens", 0), answer["inputTokens"]

        first = usage(shared=text)
        assert first[0] == 0
        assert first[1] > 1024
        assert usage(shared=text, row="b")[:2] == (first[1], 0)
        assert usage(shared=text + "!")[0] == 0
        assert usage(shared="Read this.")[:2] == (0, 0)
        assert usage(shared=text, model="us.anthropic.claude-haiku-4-5-20251001-v1:0")[:2] == (0, 0)
        hour = usage(shared=text + "?", ttl="1h", model=SONNET)
        assert server.billed_tokens["default", "cache_write_1h"] == hour[1] > 0
