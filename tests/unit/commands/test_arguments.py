"""Arguments of the command line that become settings."""

from __future__ import annotations

import pytest

from bedrock_batch.commands.arguments import parse_arguments, setting_overrides
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import ConfigurationError

MODEL = {"BEDROCK_PRIMARY_MODEL_ID": "a.b"}


def test_a_sample_of_the_command_line_wins_over_the_environment() -> None:
    """A user would try twenty rows and pay for the number that the pipeline sets."""
    overrides = setting_overrides(parse_arguments(["--job_type", "training", "--sample", "20"]))
    settings, _ = load_settings({**MODEL, "BEDROCK_SAMPLE_RECORDS": "500"}, overrides)
    assert (settings.sample_records, settings.limit_records) == (20, None)


@pytest.mark.parametrize("flag", ["--limit", "--sample"])
def test_a_wrong_number_names_the_flag(flag: str) -> None:
    """A user would look for a variable that is not set."""
    overrides = setting_overrides(parse_arguments(["--job_type", "training", flag, "0"]))
    with pytest.raises(ConfigurationError, match=f"{flag}=.*at least 1"):
        load_settings(MODEL, overrides)


def test_the_first_rows_and_drawn_rows_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """A user would not know which of the two counts."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--job_type", "training", "--limit", "1", "--sample", "1"])
    assert ended.value.code == 2
    assert "--limit and --sample" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="BEDROCK_LIMIT_RECORDS and BEDROCK_SAMPLE_RECORDS both choose"):
        load_settings({**MODEL, "BEDROCK_LIMIT_RECORDS": "1", "BEDROCK_SAMPLE_RECORDS": "1"})
