"""The keys of the summary that exist for callers of the original script; each repeats what other keys of ours say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.outputs.figures import Figures
from bedrock_batch.outputs.split_files import RunResult, SplitResult

# What the entry of a file repeats of its figures.
_FILE_FIGURES = (
    "total_records",
    "successful_records",
    "failed_records",
    "validation_passed_records",
    "success_rate",
    "validation_rate",
)


def original_keys(processor: BedrockBatchProcessor, result: RunResult, started: datetime) -> dict[str, Any]:
    """Return the keys of the original's summary as JSON values; `truncation_stats` and splits hold the others."""
    files = [_describe_file(split, name, found) for split in result.splits for name, found in split.files.items()]
    return {
        "total_files": len(files),
        "files_processed": files,
        "effective_model_id": processor.effective_model_id,
        "model_info": _describe_model(processor),
        "template_integration": _describe_template(processor),
        "processing_timestamp": started.isoformat(),
    }


def describe_split(split: SplitResult, processor: BedrockBatchProcessor) -> dict[str, Any]:
    """Return the figures of a split, with whether batch inference was used for rows of it."""
    return {**split.as_dict(), "batch_processing_used": processor.batch_used and _went_through_batch(split.figures)}


def _went_through_batch(figures: Figures) -> bool:
    """Return whether rows were answered in batch, or asked again in real time after a job left them unanswered."""
    return bool(figures.sources["batch"] or figures.fallback_causes.keys() - {"not_batchable"})


def _describe_file(split: SplitResult, name: str, figures: Figures) -> dict[str, Any]:
    counts = figures.as_dict()
    return {"split_name": split.name, "file": name, **{key: counts[key] for key in _FILE_FIGURES}}


def _describe_model(processor: BedrockBatchProcessor) -> dict[str, Any]:
    settings, report = processor.settings, processor.primary_model.report()
    return {
        "primary_model_id": settings.primary_model_id,
        "effective_model_id": processor.effective_model_id,
        "fallback_model_id": settings.fallback_model_id or None,
        "inference_profile_info": processor.inference_profile_info,
        "region_name": settings.region_name,
        "api": report["api"],
        "structured_output": report["structured_output"],
    }


def _describe_template(processor: BedrockBatchProcessor) -> dict[str, Any]:
    template, schema = processor.template, processor.schema
    return {
        "has_system_prompt": bool(template.system_prompt),
        "input_placeholders": list(template.placeholders),
        "has_validation_schema": schema is not None,
        "schema_fields": list(schema.fields) if schema else [],
        "response_model_name": schema.model_class.__name__ if schema else None,
    }
