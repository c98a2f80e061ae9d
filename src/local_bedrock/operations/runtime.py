"""The operations of `bedrock-runtime`: InvokeModel, Converse, their streams, and CountTokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_bedrock.answers.schema_answers import estimate_tokens
from local_bedrock.behaviour import Behaviour
from local_bedrock.body_checks import BodyError
from local_bedrock.errors import AwsError
from local_bedrock.journal import Journal
from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.models.converse import read_converse, write_converse
from local_bedrock.models.prompt_cache import MarkedPrefix, PromptCache, marked_prefix
from local_bedrock.models.registry import Model, ModelRegistry
from local_bedrock.models.service_tiers import check_tier
from local_bedrock.models.streams import split_converse, split_model_output
from local_bedrock.questions import Answer, Question, prompt_hash
from local_bedrock.wire.event_stream import EventStream
from local_bedrock.wire.protocol import Response, json_headers

REALTIME_OPERATIONS = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


class Runtime:
    """Answers requests in real time."""

    def __init__(self, registry: ModelRegistry, journal: Journal, behaviour: Behaviour) -> None:
        self._registry = registry
        self._journal = journal
        self._behaviour = behaviour
        self._cache = PromptCache(time.time)

    def invoke_model(self, params: Mapping[str, Any]) -> Response:
        """InvokeModel: request and response bodies have the model's own format."""
        model = self._registry.resolve_on_demand(params["modelId"])
        tier = check_tier(self._behaviour, model.id, params.get("serviceTier"))
        answer = self._answer_body(model, params, tier)
        headers = {
            **_tier_header(tier),
            **json_headers(),
            "X-Amzn-Bedrock-Input-Token-Count": str(answer.input_tokens),
            "X-Amzn-Bedrock-Output-Token-Count": str(answer.output_tokens),
            "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(answer.cache_read),
            "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(answer.cache_written),
            "X-Amzn-Bedrock-Invocation-Latency": "1",
        }
        return Response(200, headers, dump_json(self._registry.write_body(model, answer)))

    def stream_model(self, params: Mapping[str, Any]) -> EventStream:
        """InvokeModelWithResponseStream: the chunks have the model's own format."""
        model = self._registry.resolve_on_demand(params["modelId"])
        if model.family.embeds:
            raise AwsError("ValidationException", "The model is unsupported for streaming")
        tier = check_tier(self._behaviour, model.id, params.get("serviceTier"))
        answer = self._answer_body(model, params, tier)
        metrics = {
            "inputTokenCount": answer.input_tokens,
            "outputTokenCount": answer.output_tokens,
            "invocationLatency": 1,
            "firstByteLatency": 1,
        }
        events = split_model_output(model.family.shape, self._registry.write_body(model, answer), metrics)
        return EventStream({"X-Amzn-Bedrock-Content-Type": "application/json", **_tier_header(tier)}, events)

    def _answer_body(self, model: Model, params: Mapping[str, Any], tier: str | None) -> Answer:
        _refuse_guardrail(params.get("guardrailIdentifier"))
        try:
            body = _read_json(params.get("body"))
            question = self._registry.read_body(model, body, in_batch=False)
            answer = self._registry.answer(model, question)
        except BodyError as error:
            raise AwsError("ValidationException", error.message) from error
        return self._charge(model, question, answer, tier, marked_prefix(body))

    def _charge(
        self, model: Model, question: Question, answer: Answer, tier: str | None, prefix: MarkedPrefix | None
    ) -> Answer:
        """Charge an answer, and return it with the use of the prompt cache."""
        cached = self._cache.use(model.id, prefix, answer.input_tokens)
        rest = answer.input_tokens - cached.read - cached.written
        tokens = {
            "input": rest,
            "output": answer.output_tokens,
            "cache_read": cached.read,
            f"cache_write_{cached.ttl}": cached.written,
        }
        self._journal.charge_realtime(prompt_hash(question.prompt, question.system), tier or "default", tokens)
        return replace(
            answer, input_tokens=rest, cache_read=cached.read, cache_written=cached.written, cache_ttl=cached.ttl
        )

    def converse(self, params: Mapping[str, Any]) -> Response:
        """Converse: all models share one format."""
        model = self._registry.resolve_on_demand(params["modelId"])
        tier = self._tier_of(model, params)
        document = write_converse(self._answer_converse(model, params, tier))
        if tier:
            document["serviceTier"] = {"type": tier}
        return Response(200, json_headers(), dump_json(document))

    def _tier_of(self, model: Model, params: Mapping[str, Any]) -> str | None:
        """Return the tier that serves a Converse request; raise `AwsError` if it is refused."""
        return check_tier(self._behaviour, model.id, (params.get("serviceTier") or {}).get("type"))

    def stream_converse(self, params: Mapping[str, Any]) -> EventStream:
        """ConverseStream: the events of all models share one format."""
        model = self._registry.resolve_on_demand(params["modelId"])
        if params.get("toolConfig") and not model.family.streams_tools:
            raise AwsError("ValidationException", "This model doesn't support tool use in streaming mode.")
        tier = self._tier_of(model, params)
        return EventStream({}, split_converse(write_converse(self._answer_converse(model, params, tier))))

    def _answer_converse(self, model: Model, params: Mapping[str, Any], tier: str | None) -> Answer:
        _refuse_guardrail(params.get("guardrailConfig"))
        if model.family.embeds:
            raise AwsError("ValidationException", "This action doesn't support the model that you provided.")
        try:
            question = self._registry.check(model, read_converse, params, in_batch=False)
            answer = self._registry.answer(model, question)
        except BodyError as error:
            # Converse passes on the message of the model's own API with this prefix.
            prefix = "The model returned the following errors: " if error.by_model else ""
            text = f"{prefix}{error.message}"
            raise AwsError("ValidationException", text) from error
        return self._charge(model, question, answer, tier, marked_prefix(params))

    def count_tokens(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CountTokens: as at AWS, for bare ids of Claude models only. The count is an estimate."""
        model = self._registry.resolve(params["modelId"])
        if model.family.shape != "anthropic" or model.by_profile or model.family.sampling == "none":
            raise AwsError("ValidationException", "The provided model doesn't support counting tokens.")
        source = params["input"]
        try:
            if "converse" in source:
                question = self._registry.check(model, read_converse, source["converse"], in_batch=False)
            else:
                question = self._registry.read_body(model, _read_json(source["invokeModel"]["body"]), in_batch=False)
        except BodyError as error:
            raise AwsError("ValidationException", error.message) from error
        return {"inputTokens": estimate_tokens(question.system, question.prompt)}


def _tier_header(tier: str | None) -> dict[str, str]:
    return {"X-Amzn-Bedrock-Service-Tier": tier} if tier else {}


def _refuse_guardrail(named: Any) -> None:
    """Raise `AwsError` if a request names a guardrail, because this server has none."""
    if named:
        text = "The guardrail identifier or version provided in the request does not exist."
        raise AwsError("ValidationException", text)


def _read_json(body: bytes | None) -> Any:
    try:
        return load_json(body or b"")
    except ValueError as error:
        raise BodyError("Malformed input request, please reformat your input and try again.") from error
