"""Settings: the values that are accepted, the values that are refused, and the messages."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.environment.settings import VARIABLES, Settings, load_settings, settings_from_mapping
from bedrock_batch.errors import ConfigurationError

MODEL = {"BEDROCK_PRIMARY_MODEL_ID": "anthropic.claude-sonnet-4-20250514-v1:0"}
ROLE = "arn:aws:iam::123456789012:role/BedrockBatchRole"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/12345678-1234-1234-1234-123456789012"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0"
IDS_17 = ",".join(f"subnet-{i}" for i in range(17))
IDS_6 = ",".join(f"sg-{i}" for i in range(6))


def settings(**environ: str) -> Settings:
    return load_settings(MODEL | environ)[0]


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(MODEL | environ)
    return caught.value.problems


@functools.cache
def pattern_of(shape: str) -> str:
    return Session().get_component("data_loader").load_service_model("bedrock", "service-2")["shapes"][shape]["pattern"]


# What is accepted


def test_only_the_model_is_needed() -> None:
    """A user who sets the model alone could not start."""
    loaded, warnings = load_settings(MODEL)
    assert loaded.primary_model_id == MODEL["BEDROCK_PRIMARY_MODEL_ID"]
    assert warnings == []


def test_the_attributes_are_the_rows_of_the_table() -> None:
    """A variable without an attribute would be read and have no effect."""
    assert {field.name for field in dataclasses.fields(Settings)} == {variable.field for variable in VARIABLES}
    assert len({variable.name for variable in VARIABLES}) == len({variable.field for variable in VARIABLES})


ACCEPTED = [
    ("BEDROCK_TEMPERATURE", "0", 0.0),
    ("BEDROCK_TEMPERATURE", "1", 1.0),
    ("BEDROCK_TEMPERATURE", "None", None),
    ("BEDROCK_TOP_P", "none", None),
    ("BEDROCK_TOP_P", ".5", 0.5),
    ("BEDROCK_MAX_TOKENS", " 4096 ", 4096),
    ("BEDROCK_MAX_RETRIES", "0", 0),
    ("BEDROCK_MAX_CONCURRENT_WORKERS", "1000", 1000),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "0.5", 0.5),
    ("BEDROCK_BATCH_TIMEOUT_HOURS", "168", 168),
    ("BEDROCK_MAX_RECORDS_PER_JOB", "100000", 100_000),
    ("BEDROCK_MAX_ERROR_RATE", "0.05", 0.05),
    ("BEDROCK_BATCH_RESUME", "FALSE", False),
    ("BEDROCK_BATCH_RESUME", "no", False),
    ("BEDROCK_SKIP_ERROR_RECORDS", "Yes", True),
    ("BEDROCK_SKIP_ERROR_RECORDS", "1", True),
    ("BEDROCK_BATCH_MODE", "REALTIME", "realtime"),
    ("BEDROCK_API", "converse", "converse"),
    ("BEDROCK_STRUCTURED_OUTPUT", "JSON_Schema, tool", "json_schema,tool"),
    ("AWS_DEFAULT_REGION", "us-gov-west-1", "us-gov-west-1"),
    ("BEDROCK_BATCH_ROLE_ARN", ROLE, ROLE),
    ("BEDROCK_BATCH_ROLE_ARN", ROLE.replace("aws:", "aws-cn:", 1), ROLE.replace("aws:", "aws-cn:", 1)),
    (
        "BEDROCK_BATCH_ROLE_ARN",
        ROLE.replace("role/", "role/service-role/"),
        ROLE.replace("role/", "role/service-role/"),
    ),
    ("BEDROCK_BATCH_INPUT_S3_PATH", "s3://bucket/a/b/", "s3://bucket/a/b"),
    ("BEDROCK_BATCH_OUTPUT_S3_PATH", "s3://bucket", "s3://bucket"),
    ("BEDROCK_BATCH_JOB_NAME_PREFIX", "team.a+b-1", "team.a+b-1"),
    ("BEDROCK_BATCH_KMS_KEY_ID", KEY, KEY),
    ("BEDROCK_BATCH_KMS_KEY_ID", "alias/my-key", "alias/my-key"),
    ("BEDROCK_BATCH_BUCKET_OWNER", "012345678901", "012345678901"),
    ("BEDROCK_BATCH_TAGS", '{"team": "search", "cost:center": ""}', (("team", "search"), ("cost:center", ""))),
    ("BEDROCK_INFERENCE_PROFILE_ARN", PROFILE, PROFILE),
    ("BEDROCK_INFERENCE_PROFILE_ARN", "us.anthropic.claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6"),
    ("BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS", '["a.b", "c.d"]', ("a.b", "c.d")),
    ("BEDROCK_OUTPUT_COLUMN_PREFIX", "Antwort ", "Antwort "),
    ("BEDROCK_SYSTEM_PROMPT", "  Sei kurz.\n", "  Sei kurz.\n"),
    ("BEDROCK_PRICES", "{}", {}),
    ("BEDROCK_TOOL_NAME", " my-tool_1 ", "my-tool_1"),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"größe": "size (cm)"}', '{"größe": "size (cm)"}'),
    ("BEDROCK_TOOL_DESCRIPTION", " Ablage: größer\n", " Ablage: größer\n"),
]


@pytest.mark.parametrize(("name", "text", "value"), ACCEPTED, ids=[f"{name}={text}" for name, text, _ in ACCEPTED])
def test_a_good_value_is_read(name: str, text: str, value: object) -> None:
    """A value that AWS and the documentation accept would be refused or read as something else."""
    field = next(variable.field for variable in VARIABLES if variable.name == name)
    assert getattr(settings(**{name: text}), field) == value


def test_ids_of_the_network_are_read_in_both_notations() -> None:
    """A JSON array of subnets, as a pipeline writes it, would be refused or taken for one id."""
    read = settings(BEDROCK_BATCH_SUBNET_IDS="subnet-1, subnet-2", BEDROCK_BATCH_SECURITY_GROUP_IDS='["sg-1", "sg-2"]')
    assert read.batch_subnet_ids == ("subnet-1", "subnet-2")
    assert read.batch_security_group_ids == ("sg-1", "sg-2")


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
@pytest.mark.parametrize("blank", ["", " "], ids=["empty", "space"])
def test_an_empty_variable_is_not_set(variable: Any, blank: str) -> None:
    """A pipeline that passes every variable, some of them empty, would fail to start."""
    if variable.required or (variable.type.is_prose and blank):
        return
    assert getattr(settings(**{variable.name: blank}), variable.field) == variable.parse(variable.default)


def test_the_second_region_variable_counts_where_the_first_is_unset() -> None:
    """A run in Frankfurt whose container sets AWS_REGION alone would send its rows to Virginia."""
    assert settings(AWS_REGION="eu-central-1").region_name == "eu-central-1"
    assert settings(AWS_REGION="eu-central-1", AWS_DEFAULT_REGION="eu-west-1").region_name == "eu-west-1"


def test_every_region_that_botocore_knows_is_accepted() -> None:
    """A user in a region of another partition could not start."""
    session = Session()
    regions = [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("s3", partition, allow_non_regional=False)
    ]
    assert len(regions) > 30
    for region in regions:
        assert settings(AWS_DEFAULT_REGION=region).region_name == region


# What is refused

REFUSED = [
    ("BEDROCK_TEMPERATURE", "1.1"),
    ("BEDROCK_TEMPERATURE", "-0.1"),
    ("BEDROCK_TEMPERATURE", "nan"),
    ("BEDROCK_TEMPERATURE", "0,5"),
    ("BEDROCK_TOP_P", "2"),
    ("BEDROCK_MAX_TOKENS", "0"),
    ("BEDROCK_MAX_TOKENS", "4096.0"),
    ("BEDROCK_MAX_TOKENS", "4_096"),
    ("BEDROCK_MAX_TOKENS", "9" * 5000),
    ("BEDROCK_MAX_TOKENS", "none"),
    ("BEDROCK_MAX_TOKENS", "true"),
    ("BEDROCK_BATCH_SIZE", "0"),
    ("BEDROCK_MAX_RETRIES", "-1"),
    ("BEDROCK_MAX_CONCURRENT_WORKERS", "0"),
    ("BEDROCK_MAX_CONCURRENT_WORKERS", "1001"),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "0"),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "1e-320"),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "1e300"),
    ("BEDROCK_READ_TIMEOUT_SECONDS", "1e300"),
    ("BEDROCK_BATCH_LEASE_SECONDS", "1e300"),
    ("BEDROCK_ANSWER_MAX_AGE_DAYS", "1e300"),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "inf"),
    ("BEDROCK_RATE_LIMIT_PER_SECOND", "1_0"),
    ("BEDROCK_BATCH_TIMEOUT_HOURS", "0"),
    ("BEDROCK_BATCH_TIMEOUT_HOURS", "169"),
    ("BEDROCK_MAX_ERROR_RATE", "0"),
    ("BEDROCK_MAX_ERROR_RATE", "1.01"),
    ("BEDROCK_BATCH_RESUME", "on"),
    ("BEDROCK_BATCH_MODE", "offline"),
    ("BEDROCK_CONCURRENCY_MODE", "parallel"),
    ("BEDROCK_BATCH_FALLBACK", "none"),
    ("BEDROCK_API", "InvokeModel"),
    ("BEDROCK_STRUCTURED_OUTPUT", "tools"),
    ("BEDROCK_STRUCTURED_OUTPUT", "auto,tool"),
    ("BEDROCK_STRUCTURED_OUTPUT", "tool,tool"),
    ("BEDROCK_STRUCTURED_OUTPUT", "tool,"),
    ("BEDROCK_OUTPUT_COLUMN_MAP", "category:label"),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '[["category", "label"]]'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": 1}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": {"a": "b"}}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": " "}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "a\\nb"}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "\\ud83d"}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "label", "category": "kind"}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "label", "kind": "label"}'),
    ("BEDROCK_OUTPUT_COLUMN_MAP", "{" * 100_000),
    ("BEDROCK_TOOL_NAME", "record answer"),
    ("BEDROCK_TOOL_NAME", "antwörten"),
    ("BEDROCK_TOOL_NAME", "x" * 65),
    ("BEDROCK_TOOL_NAME", "a\nb"),
    ("AWS_DEFAULT_REGION", "Frankfurt"),
    ("AWS_DEFAULT_REGION", "eu-central"),
    ("BEDROCK_PRIMARY_MODEL_ID", "claude sonnet"),
    ("BEDROCK_FALLBACK_MODEL_ID", "-x"),
    ("BEDROCK_BATCH_ROLE_ARN", "BedrockBatchRole"),
    ("BEDROCK_BATCH_ROLE_ARN", ROLE.replace("role/", "user/")),
    ("BEDROCK_BATCH_ROLE_ARN", ROLE + "x" * 2048),
    ("BEDROCK_BATCH_INPUT_S3_PATH", "bucket/prefix"),
    ("BEDROCK_BATCH_INPUT_S3_PATH", "s3://bucket/dt=2026-01-01"),
    ("BEDROCK_BATCH_INPUT_S3_PATH", "s3://bucket/a//b"),
    ("BEDROCK_BATCH_INPUT_S3_PATH", "s3://bucket/a b"),
    ("BEDROCK_BATCH_OUTPUT_S3_PATH", "s3://bucket/größe"),
    ("BEDROCK_BATCH_OUTPUT_S3_PATH", "s3://Bucket/a"),
    ("BEDROCK_BATCH_OUTPUT_S3_PATH", "s3://bucket/" + "a" * 800),
    ("BEDROCK_BATCH_JOB_NAME_PREFIX", "my_team"),
    ("BEDROCK_BATCH_JOB_NAME_PREFIX", "-team"),
    ("BEDROCK_BATCH_JOB_NAME_PREFIX", "a" * 37),
    ("BEDROCK_BATCH_KMS_KEY_ID", "my-key"),
    ("BEDROCK_BATCH_BUCKET_OWNER", "12345"),
    ("BEDROCK_BATCH_TAGS", "team=search"),
    ("BEDROCK_BATCH_TAGS", '["team"]'),
    ("BEDROCK_BATCH_TAGS", '{"team": 1}'),
    ("BEDROCK_BATCH_TAGS", '{"aws:team": "search"}'),
    ("BEDROCK_BATCH_TAGS", '{"": "search"}'),
    ("BEDROCK_BATCH_TAGS", '{"team": "search&find"}'),
    ("BEDROCK_BATCH_TAGS", "[" * 100_000),
    ("BEDROCK_BATCH_TAGS", json.dumps({f"tag{i}": "" for i in range(201)})),
    ("BEDROCK_BATCH_SUBNET_IDS", "subnet 1"),
    ("BEDROCK_BATCH_SUBNET_IDS", "subnet-1,,subnet-2"),
    ("BEDROCK_BATCH_SUBNET_IDS", IDS_17),
    ("BEDROCK_BATCH_SECURITY_GROUP_IDS", IDS_6),
    ("BEDROCK_INFERENCE_PROFILE_ARN", PROFILE.replace("inference-profile", "provisioned-model")),
    ("BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS", "a.b"),
    ("BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS", '["a.b", 1]'),
    ("BEDROCK_OUTPUT_COLUMN_PREFIX", "llm\n"),
    ("BEDROCK_OUTPUT_COLUMN_PREFIX", "x" * 65),
    ("BEDROCK_MAX_COST_USD", "free"),
    ("BEDROCK_PRICES", '{"m": {"input": 1}}'),
    ("BEDROCK_PRICES", '{"m": {"input": 1, "output": "2"}}'),
    ("BEDROCK_PRICES", '{"m": {"input": 1, "output": true}}'),
    ("BEDROCK_PRICES", '{"m": {"input": 1, "output": -2}}'),
    ("BEDROCK_PRICES", '{"m": {"input": 1, "output": NaN}}'),
    ("BEDROCK_PRICES", '{"m": {"input": 1, "output": 2, "cached": 3}}'),
    ("BEDROCK_PRICES", "[]"),
    ("BEDROCK_SYSTEM_PROMPT", "caf\udce9"),
    ("BEDROCK_BATCH_TIMEOUT_HOURS", "\udce9"),
    ("USE_SECURE_PYPI", "maybe"),
    ("BEDROCK_SECURE_PYPI_DOMAIN", "My_Domain"),
    ("BEDROCK_SECURE_PYPI_REPOSITORY", "a/b"),
]


@pytest.mark.parametrize(("name", "text"), REFUSED, ids=[f"{name}-{index}" for index, (name, _) in enumerate(REFUSED)])
def test_a_bad_value_is_refused_with_what_is_accepted(name: str, text: str) -> None:
    """A wrong value would be found by AWS after the upload, or never."""
    variable = next(variable for variable in VARIABLES if variable.name == name)
    (problem,) = problems(**{name: text})
    assert problem.startswith(name)
    assert problem.endswith(f"is not accepted: use {variable.accepted}")
    assert len(problem) < 500
    problem.encode("utf-8")


def test_all_problems_come_in_one_message() -> None:
    """A user with four mistakes would need four starts to find them."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"BEDROCK_TEMPERATURE": "hot", "BEDROCK_BATCH_MODE": "x", "BEDROCK_BATCH_SIZE": "0"})
    assert {re.split("[= ]", problem)[0] for problem in caught.value.problems} == {
        "BEDROCK_PRIMARY_MODEL_ID", "BEDROCK_TEMPERATURE", "BEDROCK_BATCH_MODE", "BEDROCK_BATCH_SIZE",
    }  # fmt: skip
    assert caught.value.exit_code == 2


def test_a_prompt_is_never_shown_in_a_problem() -> None:
    """A user's prompt, which may be confidential, would land in a log."""
    (problem,) = problems(BEDROCK_USER_PROMPT_TEMPLATE="confidential\udce9")
    assert "confidential" not in problem


def test_a_tool_is_not_described_by_spaces() -> None:
    """A description that says nothing would reach the model, and the text of another would be shown in a log."""
    (problem,) = problems(BEDROCK_TOOL_DESCRIPTION="  ")
    assert problem == "BEDROCK_TOOL_DESCRIPTION is not accepted: use a text that is more than spaces"
    assert "confidential" not in json.dumps(settings(BEDROCK_TOOL_DESCRIPTION="confidential").public())


CONTRADICTIONS = [
    ({"BEDROCK_MIN_RECORDS_PER_JOB": "200", "BEDROCK_MAX_RECORDS_PER_JOB": "150"}, ["BEDROCK_MIN_RECORDS_PER_JOB=200"]),
    (
        {"BEDROCK_BATCH_POLL_INITIAL_SECONDS": "90", "BEDROCK_BATCH_POLL_MAX_SECONDS": "60"},
        ["BEDROCK_BATCH_POLL_INITIAL_SECONDS=90.0"],
    ),
    ({"BEDROCK_BATCH_SUBNET_IDS": "subnet-1"}, ["BEDROCK_BATCH_SUBNET_IDS"]),
    ({"BEDROCK_BATCH_WAIT": "false", "BEDROCK_BATCH_RESUME": "false"}, ["BEDROCK_BATCH_WAIT=false needs"]),
    ({"BEDROCK_BATCH_SECURITY_GROUP_IDS": "sg-1"}, ["BEDROCK_BATCH_SUBNET_IDS"]),
    (
        {"BEDROCK_BATCH_MODE": "batch", "BEDROCK_BATCH_FALLBACK": "fail", "BEDROCK_BATCH_ROLE_ARN": ROLE},
        ["BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH"],
    ),
    ({"USE_SECURE_PYPI": "true"}, ["BEDROCK_SECURE_PYPI_DOMAIN", "BEDROCK_SECURE_PYPI_REPOSITORY"]),
]


@pytest.mark.parametrize(
    ("environ", "begins"),
    CONTRADICTIONS,
    ids=["records", "poll", "subnets alone", "no resume", "groups alone", "batch or fail", "secure index"],
)
def test_values_that_contradict_each_other_are_refused(environ: dict[str, str], begins: list[str]) -> None:
    """Two settings that cannot both hold would be found in the middle of a paid run."""
    found = problems(**environ)
    assert [problem.startswith(begin) for problem, begin in zip(found, begins, strict=True)] == [True] * len(begins)


def test_a_feature_that_is_not_built_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would believe in a feature that does not exist."""
    known = tuple(dataclasses.replace(each, available=each.name != "BEDROCK_MAX_COST_USD") for each in VARIABLES)
    monkeypatch.setattr("bedrock_batch.environment.settings.VARIABLES", known)
    expected = "BEDROCK_MAX_COST_USD is not available in this version: leave it unset"
    assert problems(BEDROCK_MAX_COST_USD="5") == (expected,)


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40), st.sampled_from(VARIABLES)
)
def test_any_text_is_read_or_refused(text: str, variable: Any) -> None:
    """A strange value would end in a traceback instead of a sentence."""
    with contextlib.suppress(ConfigurationError):
        loaded, _ = load_settings(MODEL | {variable.name: text})
        json.dumps(loaded.public())


# Warnings


def test_a_misspelt_variable_is_told_together_with_what_it_leaves_unset() -> None:
    """A user who misspells the model's variable would read that it is not set, and see it set."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"BEDROCK_PRIMARY_MODEL": "some.model"})
    assert (
        "BEDROCK_PRIMARY_MODEL is not a variable of this step and is ignored; did you mean BEDROCK_PRIMARY_MODEL_ID?"
        in (caught.value.problems)
    )


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    """A misspelt variable would silently keep its default."""
    _, warnings = load_settings(MODEL | {"BEDROCK_BATCH_TRESHOLD": "5", "BEDROCK_ZZZZ": "private", "OTHER": "x"})
    assert warnings == [
        "BEDROCK_BATCH_TRESHOLD is not a variable of this step and is ignored; did you mean BEDROCK_BATCH_THRESHOLD?",
        "BEDROCK_ZZZZ is not a variable of this step and is ignored",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BEDROCK_MAX_RECORDS_PER_JOB", "50001"),
        ("BEDROCK_MIN_RECORDS_PER_JOB", "99"),
        ("BEDROCK_MAX_JOB_FILE_BYTES", str(1024**3 + 1)),
        ("BEDROCK_INFERENCE_PROFILE_ARN", PROFILE.replace("us-east-1", "eu-west-1")),
    ],
)
def test_a_value_beyond_a_usual_quota_is_a_warning(name: str, text: str) -> None:
    """A job that AWS will probably refuse would come as a surprise, or a raised quota could not be used."""
    _, warnings = load_settings(MODEL | {name: text})
    assert len(warnings) == 1
    assert warnings[0].startswith(name)


# Overrides and mappings


def test_the_command_line_wins_over_the_environment() -> None:
    """`--batch-size` would have no effect where the pipeline sets the variable."""
    environ = MODEL | {"BEDROCK_BATCH_SIZE": "20", "BEDROCK_MAX_RETRIES": "bad"}
    loaded, _ = load_settings(environ, {"batch_size": 7, "max_retries": 2})
    assert (loaded.batch_size, loaded.max_retries) == (7, 2)
    assert load_settings(MODEL | {"BEDROCK_BATCH_SIZE": "20"}, {"batch_size": None})[0].batch_size == 20


def test_a_bad_flag_is_named_as_the_flag() -> None:
    """A user who typed a flag would be told about a variable that was never set."""
    with pytest.raises(ConfigurationError, match=r"^--batch-size=0 is not accepted"):
        load_settings(MODEL, {"batch_size": 0})


def test_a_mapping_takes_python_values_and_text() -> None:
    """A notebook user could not pass numbers, lists and dicts as they are."""
    read = settings_from_mapping(
        {
            "primary_model_id": "a.b",
            "temperature": None,
            "top_p": "none",
            "max_tokens": np.int64(100),
            "rate_limit_per_second": np.float64(2.5),
            "batch_resume": False,
            "batch_role_arn": None,
            "validation_schema": {"properties": {"größe": {"type": "string"}}},
            "input_placeholders": ["a", "b"],
            "inference_profile_required_models": '["a.b"]',
            "batch_tags": {"team": "search"},
            "batch_subnet_ids": ("subnet-1",),
            "batch_security_group_ids": ["sg-1"],
            "system_prompt": "",
        }
    )
    assert (read.temperature, read.top_p, read.max_tokens, read.rate_limit_per_second) == (None, None, 100, 2.5)
    assert (read.batch_resume, read.batch_role_arn, read.batch_size) == (False, "", 10)
    assert json.loads(read.validation_schema) == {"properties": {"größe": {"type": "string"}}}
    assert json.loads(read.input_placeholders) == ["a", "b"]
    assert (read.inference_profile_required_models, read.batch_tags) == (("a.b",), (("team", "search"),))
    assert (read.batch_subnet_ids, read.batch_security_group_ids) == (("subnet-1",), ("sg-1",))


def test_a_mapping_takes_the_lower_case_variable_names_too() -> None:
    """A caller who lower-cases the environment, as the contract allows, would be told that the keys are unknown."""
    read = settings_from_mapping({"bedrock_primary_model_id": "a.b", "bedrock_batch_fallback": "error"})
    assert (read.primary_model_id, read.batch_fallback) == ("a.b", "error")


def test_the_problems_of_a_mapping_speak_of_its_keys() -> None:
    """A notebook user would be told about environment variables and about one mistake at a time."""
    with pytest.raises(ConfigurationError) as caught:
        settings_from_mapping(
            {"batch_treshold": 5, "max_tokens": True, "top_p": object(), "api": "auto", "bedrock_api": "converse"}
        )
    assert [re.split("[= ]", problem)[0] for problem in caught.value.problems] == [
        "'batch_treshold'", "api", "primary_model_id", "max_tokens", "top_p",
    ]  # fmt: skip
    assert "did you mean batch_threshold?" in caught.value.problems[0]


def test_settings_read_back_from_their_own_values() -> None:
    """A caller who changes one setting of an existing run could not build the rest from it."""
    first = settings(
        BEDROCK_TOP_P="none", BEDROCK_BATCH_INPUT_S3_PATH="s3://bucket/a/", BEDROCK_BATCH_TAGS='{"team": "search"}'
    )
    assert settings_from_mapping(dataclasses.asdict(first)) == first


def test_the_public_form_holds_no_text_of_the_user() -> None:
    """A confidential prompt or schema would be published with the summary."""
    shown = settings(
        BEDROCK_SYSTEM_PROMPT="confidential",
        BEDROCK_USER_PROMPT_TEMPLATE="file:prompts/a.txt",
        BEDROCK_VALIDATION_SCHEMA='{"confidential": 1}',
    ).public()
    assert "confidential" not in json.dumps(shown)
    assert shown["system_prompt"].startswith("12 characters, sha256 ")
    assert shown["user_prompt_template"] == "file:prompts/a.txt"
    assert shown["batch_threshold"] == 1000


# AWS's own rules


@pytest.mark.parametrize(
    ("shape", "field"),
    [("S3Uri", "batch_input_s3_path"), ("RoleArn", "batch_role_arn"), ("KmsKeyId", "batch_kms_key_id")],
)
@given(data=st.data())
def test_what_the_service_accepts_is_accepted(shape: str, field: str, data: st.DataObject) -> None:
    """A value that AWS accepts could not be used."""
    if shape == "S3Uri" and re.fullmatch(pattern_of(shape), "s3://bucket/a=b"):
        pytest.skip("this botocore describes S3 URIs more widely than the service takes them")
    ascii_only = st.characters(min_codepoint=33, max_codepoint=126)
    text = data.draw(
        st.from_regex(pattern_of(shape), fullmatch=True, alphabet=ascii_only).filter(lambda t: len(t) < 800)
    )
    wanted = text.rstrip("/") if shape == "S3Uri" else text
    assert getattr(settings_from_mapping({"primary_model_id": "a.b", field: text}), field) == wanted


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9+.-]{0,35}", fullmatch=True))
def test_an_accepted_prefix_makes_an_accepted_job_name(prefix: str) -> None:
    """AWS would refuse a job's name after its input was uploaded."""
    accepted = settings_from_mapping({"primary_model_id": "a.b", "batch_job_name_prefix": prefix}).batch_job_name_prefix
    name = f"{accepted}-0123456789abcdef-000000"
    assert len(name) <= 63
    assert re.fullmatch(pattern_of("ModelInvocationJobName"), name)


def test_the_settings_load_without_heavy_libraries() -> None:
    """A configuration error would take seconds to appear."""
    code = (
        "import sys; import bedrock_batch.environment.settings;"
        "print([m for m in ('pandas', 'pyarrow', 'boto3', 'botocore', 'pydantic') if m in sys.modules])"
    )
    src = Path(__file__).parents[3] / "src"
    done = subprocess.run([sys.executable, "-c", code], cwd=src, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
