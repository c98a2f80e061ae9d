"""The steps of one record, as the specification names them, for notebooks and for looking at a single row.

A run of the step does not go through these methods: they use the same parts, one row at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bedrock_batch.config import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.model_input import ModelInput
from bedrock_batch.prompts import PromptTemplate
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, ModelInvocationRecord, RecordError
from bedrock_batch.responses import ResponseParser
from bedrock_batch.schema import ResponseSchema

if TYPE_CHECKING:
    from pydantic import BaseModel


class RecordSteps(ABC):
    """What a processor does with one row, step by step."""

    settings: Settings
    schema: ResponseSchema | None
    template: PromptTemplate
    parser: ResponseParser
    effective_model_id: str

    @property
    @abstractmethod
    def model_input(self) -> ModelInput:
        """How the primary model is asked at present."""

    @abstractmethod
    def invoke_record(self, record: ModelInvocationRecord) -> ModelInvocationOutput:
        """Return the answer of the model to one record, or the reason why there is none."""

    @property
    def response_model_class(self) -> type[BaseModel] | None:
        """The Pydantic model made from the validation schema."""
        return self.schema.model_class if self.schema else None

    def process_single_case(self, row_data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the answer to one row, with its status, as the specification names them."""
        outcome = self.parser.parse(self.invoke_record(ModelInvocationRecord(0, self.template.render(row_data))))
        prefix = self.settings.output_column_prefix
        return {
            **outcome.fields,
            "processing_status": outcome.status,
            "error_message": outcome.error,
            f"{prefix}status": outcome.status,
            f"{prefix}error": outcome.error,
            "validation_passed": outcome.validation_passed,
            "parse_status": outcome.parse_status,
        }

    def _format_prompt(self, row_data: Mapping[str, Any]) -> str:
        return self.template.render(row_data)

    def _invoke_bedrock(self, prompt: str) -> dict[str, Any]:
        output = self.invoke_record(ModelInvocationRecord(0, prompt))
        if isinstance(output, RecordError):
            raise RunError(f"Bedrock API error: {output.message}")
        return output.body

    def _parse_response_with_pydantic(self, response: dict[str, Any]) -> dict[str, Any]:
        answer = ModelAnswer(0, response, self.effective_model_id, "realtime", prefilled=self.model_input.prefilled)
        outcome = self.parser.parse(answer)
        status = {"parse_status": outcome.parse_status, "validation_passed": outcome.validation_passed}
        return {**outcome.fields, **status, "validation_error": outcome.validation_error}

    def _create_response_model_from_schema(self) -> type[BaseModel] | None:
        return self.response_model_class
