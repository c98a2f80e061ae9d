"""The operations of `bedrock-runtime`: InvokeModel, Converse and CountTokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_bedrock.answers import estimate_tokens
from local_bedrock.bodies import BodyError
from local_bedrock.converse import read_converse, write_converse
from local_bedrock.errors import AwsError
from local_bedrock.journal import Journal
from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.models import Model, ModelDesk
from local_bedrock.questions import Answer, Question, prompt_hash
from local_bedrock.wire import Response, json_headers


class Runtime:
    """Answers single requests."""

    def __init__(self, desk: ModelDesk, journal: Journal) -> None:
        self._desk = desk
        self._journal = journal

    def invoke_model(self, params: Mapping[str, Any]) -> Response:
        """InvokeModel: the body in the model's own shape, the answer in the same."""
        model = self._desk.resolve_on_demand(params["modelId"])
        try:
            question = self._desk.read_body(model, _read_json(params.get("body")), in_batch=False)
            answer = self._desk.answer(model, question)
        except BodyError as error:
            raise AwsError("ValidationException", error.message) from error
        self._journal.charge_realtime(prompt_hash(question.prompt, question.system))
        headers = {
            **json_headers(),
            "X-Amzn-Bedrock-Input-Token-Count": str(answer.input_tokens),
            "X-Amzn-Bedrock-Output-Token-Count": str(answer.output_tokens),
            "X-Amzn-Bedrock-Invocation-Latency": "1",
        }
        return Response(200, headers, dump_json(self._desk.write_body(model, answer)))

    def converse(self, params: Mapping[str, Any]) -> Response:
        """Converse: one shape for every model."""
        model = self._desk.resolve_on_demand(params["modelId"])
        question, answer = self._answer_converse(model, params)
        self._journal.charge_realtime(prompt_hash(question.prompt, question.system))
        return Response(200, json_headers(), dump_json(write_converse(answer)))

    def _answer_converse(self, model: Model, params: Mapping[str, Any]) -> tuple[Question, Answer]:
        if model.family.shape == "titan_embedding":
            raise AwsError("ValidationException", "This action doesn't support the model that you provided.")
        try:
            question = self._desk.check(model, read_converse(params), in_batch=False)
            return question, self._desk.answer(model, question)
        except BodyError as error:
            # Through Converse, Bedrock hands on what the model's own API said, with this in front.
            text = f"The model returned the following errors: {error.message}"
            raise AwsError("ValidationException", text) from error

    def count_tokens(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CountTokens: for Claude models by bare id only, as at AWS; counts by the local heuristic."""
        model = self._desk.resolve(params["modelId"])
        if model.family.shape != "anthropic" or model.by_profile or model.family.sampling == "none":
            raise AwsError("ValidationException", "The provided model doesn't support counting tokens.")
        source = params["input"]
        try:
            if "converse" in source:
                question = read_converse(source["converse"])
            else:
                question = self._desk.read_body(model, _read_json(source["invokeModel"]["body"]), in_batch=False)
        except BodyError as error:
            raise AwsError("ValidationException", error.message) from error
        return {"inputTokens": estimate_tokens(question.system, question.prompt)}


def _read_json(body: bytes | None) -> Any:
    try:
        return load_json(body or b"")
    except ValueError as error:
        raise BodyError("Malformed input request, please reformat your input and try again.") from error
