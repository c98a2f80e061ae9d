"""The variables of input fields, output columns and failed records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.variable import Group

INPUT = Group("Input fields")
OUTPUT = Group("Output and failed records")

MissingColumns = Literal["warn", "error"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How input fields are read, and what the output files hold."""

    routed_rules_column: str = INPUT.setting(
        values.COLUMN_NAME,
        "The column in which a record names the rules that its prompt shows: a list, a JSON list, or names with commas "
        "between.",
        default="selected_rule_names",
    )
    missing_columns: MissingColumns = INPUT.setting(
        values.choice(MissingColumns),
        "What to do if a file has no column for one of several placeholders: warn, with [Missing: name] in its "
        "prompts, or error. A file without a column for any of them is always an error.",
        default="warn",
    )
    max_input_field_length: int = INPUT.setting(
        values.integer(1),
        "Characters of one input field, at most; a longer one is cut if truncation is enabled.",
        default="400000",
    )
    truncation_enabled: bool = INPUT.setting(values.BOOLEAN, "Cut input fields that are too long.", default="true")
    log_truncations: bool = INPUT.setting(
        values.BOOLEAN, "Log which fields were cut and by how much (never their text).", default="true"
    )
    output_column_prefix: str = OUTPUT.setting(
        values.COLUMN_PREFIX, "The prefix of the names of the columns that the step adds.", default="llm_"
    )
    output_column_map: str = OUTPUT.setting(
        values.REFERENCE_OR_COLUMN_MAP,
        "The names of the columns of some answer fields, in place of the prefix and the name of the field.",
        default="{}",
    )
    output_metadata: bool = OUTPUT.setting(
        values.BOOLEAN,
        "Add columns for model_id, input_tokens, output_tokens, stop_reason, attempts, source, repair and json_error.",
        default="false",
    )
    csv_escape_formulas: bool = OUTPUT.setting(
        values.BOOLEAN,
        "Put an apostrophe before text of answers that begins with =, +, -, @, tab or carriage return, in CSV and TSV.",
        default="false",
    )
    skip_error_records: bool = OUTPUT.setting(
        values.BOOLEAN, "Leave records without an answer out of the output.", default="false"
    )
    max_error_rate: float = OUTPUT.setting(
        values.FRACTION_ABOVE_ZERO,
        "The run fails, after it has written its outputs, if the share of failed records reaches this.",
        default="1.0",
    )
