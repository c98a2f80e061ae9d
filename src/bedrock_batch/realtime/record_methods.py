"""The steps of one record under the names of the specification, for notebooks and for the check of a single row.

A run of the step does not call these methods. They use the same parts, one row at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.prompts.template import PromptTemplate
from bedrock_batch.records import Answer, ModelOutput, Record, RecordError, RecordOutput

if TYPE_CHECKING:
    from pydantic import BaseModel


class RecordMethods(ABC):
    """The methods of a processor for one row, step by step."""

    settings: Settings
    schema: ResponseSchema | None
    template: PromptTemplate
    parser: AnswerParser
    effective_model_id: str

    @property
    @abstractmethod
    def model_input(self) -> ModelInput:
        """How the primary model is asked at present."""

    @abstractmethod
    def invoke_record(self, record: Record) -> RecordOutput:
        """Return the output of the model for one record, or the error that explains why there is none."""

    @property
    def response_model_class(self) -> type[BaseModel] | None:
        """The Pydantic model made from the validation schema."""
        return self.schema.model_class if self.schema else None

    def process_single_case(self, row_data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the answer to one row and its status, under the names of the specification.

        An answer that is not JSON adds its text as `raw_response` and the reason as `json_error`.
        """
        answer = self.parser.parse(self.invoke_record(Record(0, self.template.render(row_data))))
        prefix = self.settings.output_column_prefix
        return {
            **answer.fields,
            "processing_status": answer.status,
            "error_message": answer.error,
            f"{prefix}status": answer.status,
            f"{prefix}error": answer.error,
            "validation_passed": answer.validation_passed,
            "parse_status": answer.parse_status,
            **_json_failure(answer),
        }

    def _format_prompt(self, row_data: Mapping[str, Any]) -> str:
        return self.template.render(row_data)

    def _invoke_bedrock(self, prompt: str) -> dict[str, Any]:
        output = self.invoke_record(Record(0, prompt))
        if isinstance(output, RecordError):
            raise RunError(f"Bedrock API error: {output.message}")
        return output.body

    def _parse_response_with_pydantic(self, response: dict[str, Any]) -> dict[str, Any]:
        output = ModelOutput(0, response, self.effective_model_id, "realtime", prefilled=self.model_input.prefilled)
        answer = self.parser.parse(output)
        status = {"parse_status": answer.parse_status, "validation_passed": answer.validation_passed}
        return {**answer.fields, **status, "validation_error": answer.validation_error, **_json_failure(answer)}

    def _create_response_model_from_schema(self) -> type[BaseModel] | None:
        return self.response_model_class


def _json_failure(answer: Answer) -> dict[str, str | None]:
    if answer.json_error is None:
        return {}
    return {"raw_response": answer.raw_response, "json_error": answer.json_error}
