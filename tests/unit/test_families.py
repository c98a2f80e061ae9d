"""Model families: the row of a model id, and how a setting overrides it."""

from __future__ import annotations

import pytest

from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import (
    FAMILIES,
    FAMILY_NAMES,
    UNKNOWN,
    Family,
    base_model_id,
    capabilities_of,
    hides_model,
    is_profile,
    parse_overrides,
    same_model,
    with_overrides,
)

ACCOUNT = "arn:aws:bedrock:eu-central-1:123456789012"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"

# Ids as AWS gives them (docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html), and their families.
IDS = {
    "anthropic.claude-3-haiku-20240307-v1:0": "claude-3",
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "claude-3-5",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0": "claude-4",
    SONNET_4: "claude-4",
    f"{SONNET_4}:200k": "claude-4",
    f"eu.{SONNET_4}": "claude-4",
    f"global.{SONNET_4}": "claude-4",
    f"us-gov.{SONNET_4}": "claude-4",
    f"arn:aws:bedrock:eu-central-1::foundation-model/{SONNET_4}": "claude-4",
    f"{ACCOUNT}:inference-profile/eu.{SONNET_4}": "claude-4",
    f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.{SONNET_4}": "claude-4",
    "us.anthropic.claude-opus-4-20250514-v1:0": "claude-opus-4",
    "us.anthropic.claude-opus-4-1-20250805-v1:0": "claude-opus-4-1",
    "jp.anthropic.claude-haiku-4-5-20251001-v1:0": "claude-4-5",
    "au.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5",
    "global.anthropic.claude-opus-4-5-20251101-v1:0": "claude-4-5",
    "global.anthropic.claude-sonnet-4-6": "claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-6-v1": "claude-opus-4-6",
    "us.anthropic.claude-opus-4-7": "claude-opus-4-7",
    "us.anthropic.claude-opus-4-8": "claude-opus-4-8",
    "us.anthropic.claude-sonnet-5": "claude-sonnet-5",
    "us.anthropic.claude-sonnet-5-5": "claude-sonnet-5-5",
    "us.anthropic.claude-haiku-5-5": "claude-haiku-5-5",
    "us.anthropic.claude-opus-5": "claude-opus-5",
    "us.anthropic.claude-opus-5-5": "claude-opus-5-5",
    "us.anthropic.claude-fable-5": "claude-fable-5",
    "us.anthropic.claude-fable-5-1": "claude-fable-5",
    "us.anthropic.claude-mythos-5-1": "claude-mythos-5",
    "us.anthropic.claude-sonnet-6": "claude",
    "us.anthropic.claude-sonnet-5-preview": "claude",
    "amazon.nova-micro-v1:0": "nova",
    "amazon.nova-lite-v1:0:300k": "nova",
    "us.amazon.nova-premier-v1:0": "nova-premier",
    "us.amazon.nova-2-lite-v1:0": "nova-2",
    "us.meta.llama3-1-8b-instruct-v1:0": "llama-3",
    "us.meta.llama3-3-70b-instruct-v1:0": "llama-3",
    "us.meta.llama4-maverick-17b-instruct-v1:0": "llama-4",
    "mistral.mistral-large-3-675b-instruct": "mistral-large-3",
    "mistral.ministral-3-8b-instruct": "ministral-3",
    "mistral.mistral-large-2402-v1:0": "mistral",
    "us.deepseek.r1-v1:0": "deepseek-r1",
    "deepseek.v3-v1:0": "deepseek-v3",
    "deepseek.v3.2": "deepseek-v3-2",
    "openai.gpt-oss-20b-1:0": "gpt-oss",
    "openai.gpt-oss-120b-1:0": "gpt-oss",
    "openai.gpt-5": "gpt-5",
    "openai.gpt-5-mini": "gpt-5",
    "us.openai.gpt-5.6-v1:0": "gpt-5",
    "openai.gpt-6": "gpt-5",
    "xai.grok-4-fast-v1:0": "grok",
    "qwen.qwen3-32b-v1:0": "qwen-3-tiers",
    "qwen.qwen3-235b-a22b-2507-v1:0": "qwen-3-235b",
    "qwen.qwen3-coder-30b-a3b-v1:0": "qwen-3",
    "us.amazon.nova-pro-v1:0": "nova-pro",
    "cohere.command-r-plus-v1:0": "other",
    f"{ACCOUNT}:application-inference-profile/abc123def456": "other",
    f"{ACCOUNT}:provisioned-model/abc123def456": "other",
}


@pytest.mark.parametrize(("model_id", "family"), IDS.items(), ids=IDS)
def test_an_id_belongs_to_one_family(model_id: str, family: str) -> None:
    """A request would contain what only another model accepts, and every record would be refused."""
    assert capabilities_of(model_id).family == family


def test_every_row_is_reached_by_some_id() -> None:
    """A row that an earlier row hides would have no effect."""
    assert set(IDS.values()) == set(FAMILY_NAMES)
    assert len(set(FAMILY_NAMES)) == len(FAMILY_NAMES)


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.accepts.family)
def test_a_known_name_is_in_no_other_row_before_its_own(row: Family) -> None:
    """The order of the rows would decide how a model is asked."""
    names = [name for name in row.names if not name.endswith("*")]
    assert [capabilities_of(name) for name in names] == [row.accepts] * len(names)


@pytest.mark.parametrize(
    ("model_id", "bare", "hidden", "profile"),
    [
        (SONNET_4, SONNET_4, False, False),
        (f"us.{SONNET_4}", SONNET_4, False, True),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_4}", SONNET_4, False, False),
        (f"{ACCOUNT}:inference-profile/eu.{SONNET_4}", SONNET_4, False, True),
        (f"{ACCOUNT}:application-inference-profile/abc", "abc", True, True),
    ],
    ids=["bare", "profile id", "model ARN", "profile ARN", "application profile"],
)
def test_an_id_says_if_it_is_a_profile_or_hides_its_model(
    model_id: str, bare: str, hidden: bool, profile: bool
) -> None:
    """The step would give advice about inference profiles, or look one up, for the wrong ids."""
    assert (base_model_id(model_id), hides_model(model_id), is_profile(model_id)) == (bare, hidden, profile)


def test_a_setting_names_another_row_and_changes_members() -> None:
    """A user could not use a model that is newer than the table."""
    given = parse_overrides({"family": "claude-4-5", "json_schema": False, "max_output_tokens": 1000, "burndown": 2})
    able = with_overrides(UNKNOWN, given)
    expected = capabilities_of("anthropic.claude-haiku-4-5-20251001-v1:0")
    assert (able.family, able.sampling, able.prefill) == ("claude-4-5", expected.sampling, True)
    assert (able.json_schema, able.max_output_tokens, able.burndown) == (False, 1000, 2)
    assert with_overrides(expected, {"prefill": None}).prefill is None
    assert with_overrides(expected, {}) is not None


@pytest.mark.parametrize(
    "value",
    [
        '{"prefil": false}',
        '{"prefill": "no"}',
        '{"family": "claude-9"}',
        '{"sampling": "some"}',
        '{"max_output_tokens": 0}',
        '{"max_output_tokens": 1.5}',
        '{"burndown": true}',
        '["prefill"]',
        "prefill",
    ],
)
def test_a_setting_that_says_nothing_sensible_is_refused(value: str) -> None:
    """A typo in the override would be ignored, and every record would be refused."""
    with pytest.raises(ConfigurationError, match="BEDROCK_MODEL_CAPABILITIES"):
        load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b", "BEDROCK_MODEL_CAPABILITIES": value})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("us.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6", True),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", True),
        ("anthropic.claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0", False),
        ("anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5-5", False),
    ],
)
def test_ids_of_one_model_are_recognised(one: str, other: str, same: bool) -> None:
    """A user would be warned of a profile that is right, or not of one that leads to another model."""
    assert same_model(one, other) is same_model(other, one) is same
