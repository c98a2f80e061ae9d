"""The frame of a question names the model that is asked, and no other."""

from __future__ import annotations

from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.models.question_frame import model_of

SONNET = "anthropic.claude-sonnet-4-20250514-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl"


def frame_of(model_id: str, **config: str) -> str:
    settings = settings_from_mapping({"primary_model_id": SONNET, "user_prompt_template": "x", **config})
    return build_model_input(settings, model_id).frame


def test_an_application_profile_stands_for_the_model_that_the_settings_name_with_it() -> None:
    """A pipeline that moves to a profile for its costs would pay for every row again."""
    assert model_of(frame_of(ARN, inference_profile_arn=ARN)) == SONNET


def test_the_profile_of_a_fallback_model_does_not_stand_for_the_primary_model() -> None:
    """Answers of a fallback model would be kept as those of the primary model, and given to its rows."""
    assert model_of(frame_of(ARN, fallback_model_id=ARN)) == ARN.replace("/", "_")
