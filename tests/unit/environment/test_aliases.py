"""The names of the original script: what each is read as, and what is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.environment.settings import (
    BY_NAME,
    Settings,
    alias_notes,
    alias_notes_of_mapping,
    load_settings,
    settings_from_mapping,
)
from bedrock_batch.environment.variables.aliases import ALIASES
from bedrock_batch.errors import ConfigurationError

MODEL = {"BEDROCK_PRIMARY_MODEL_ID": "anthropic.claude-sonnet-4-20250514-v1:0"}
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/packages"
FLAGS = ("BEDROCK_USE_STRUCTURED_OUTPUT", "BEDROCK_USE_TOOL_CALLING")


def settings(**environ: str) -> Settings:
    loaded, warnings = load_settings(MODEL | environ)
    assert warnings == []
    return loaded


def problem(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(MODEL | environ)
    (only,) = caught.value.problems
    return only


READ = [
    ("BEDROCK_USE_CONVERSE_API", "true", "BEDROCK_API", "converse"),
    ("BEDROCK_USE_CONVERSE_API", "No", "BEDROCK_API", "invoke_model"),
    ("BEDROCK_ADAPTIVE_RATE_LIMITING", "0", "BEDROCK_ADAPTIVE_RATE", False),
    ("BEDROCK_ADAPTIVE_RATE_LIMITING", " TRUE ", "BEDROCK_ADAPTIVE_RATE", True),
    ("BEDROCK_USE_TOOL_CALLING", "true", "BEDROCK_STRUCTURED_OUTPUT", "tool"),
    ("BEDROCK_USE_STRUCTURED_OUTPUT", "true", "BEDROCK_STRUCTURED_OUTPUT", "json_schema,tool"),
    ("SECURE_PYPI_DOMAIN", "my-domain", "BEDROCK_SECURE_PYPI_DOMAIN", "my-domain"),
    ("SECURE_PYPI_DOMAIN_OWNER", ACCOUNT, "BEDROCK_SECURE_PYPI_DOMAIN_OWNER", ACCOUNT),
    ("SECURE_PYPI_REPOSITORY", "shared", "BEDROCK_SECURE_PYPI_REPOSITORY", "shared"),
]


@pytest.mark.parametrize(("name", "text", "own", "value"), READ, ids=[f"{name}={text}" for name, text, *_ in READ])
def test_a_name_of_the_original_is_read_and_told(name: str, text: str, own: str, value: Any) -> None:
    """A caller of the original script would see the variable ignored, or not see what it was taken for."""
    assert getattr(settings(**{name: text}), BY_NAME[own].field) == value
    (note,) = alias_notes(MODEL | {name: text})
    shown = str(value).lower() if isinstance(value, bool) else value
    assert note == f"{name}={text!r} is read as {own}={shown}"


@pytest.mark.parametrize(
    ("structured", "tool", "modes"),
    [
        ("true", "true", "tool,json_schema"),
        ("true", "", "json_schema,tool"),
        ("true", "false", "json_schema,prefill,prompt"),
        ("", "true", "tool"),
        ("", "false", "prefill,json_schema,prompt"),
        ("false", "true", "tool,prefill,prompt"),
        ("false", "", "prefill,prompt"),
        ("false", "false", "prefill,prompt"),
        ("", "", "auto"),
    ],
)
def test_the_two_switches_together_choose_the_output_modes(structured: str, tool: str, modes: str) -> None:
    """A model would be sent a tool or a schema that the caller has switched off."""
    environ = dict(zip(FLAGS, (structured, tool), strict=True))
    assert settings(**environ).structured_output == modes
    assert len(alias_notes(MODEL | environ)) == bool(structured) + bool(tool)


REFUSED = [
    ("BEDROCK_USE_STRUCTURED_OUTPUT", "json_schema"),
    ("BEDROCK_USE_TOOL_CALLING", "auto"),
    ("BEDROCK_USE_CONVERSE_API", "converse"),
    ("BEDROCK_ADAPTIVE_RATE_LIMITING", "on"),
    ("SECURE_PYPI_DOMAIN", "My_Domain"),
    ("SECURE_PYPI_DOMAIN_OWNER", "12"),
    ("SECURE_PYPI_REPOSITORY", "a/b"),
    ("SECURE_PYPI_ROLE_ACCOUNT", ROLE),
    ("SECURE_PYPI_ROLE_ACCOUNT", "१२३४५६७८९०१२"),
    ("BEDROCK_USE_TOOL_CALLING", "\udce9"),
]


@pytest.mark.parametrize(("name", "text"), REFUSED, ids=[f"{name}-{index}" for index, (name, _) in enumerate(REFUSED)])
def test_a_bad_value_is_refused_under_the_name_that_was_set(name: str, text: str) -> None:
    """A wrong value would count as not set, or be told under a name that the user never wrote."""
    (alias,) = (alias for alias in ALIASES if alias.name == name)
    found = problem(**{name: text})
    assert found.startswith(f"{name}=")
    assert found.endswith(f"is not accepted: use {alias.accepted}")
    found.encode("utf-8")


CONTRADICTORY = [
    {"BEDROCK_API": "invoke_model", "BEDROCK_USE_CONVERSE_API": "true"},
    {"BEDROCK_API": "auto", "BEDROCK_USE_CONVERSE_API": "false"},
    {"BEDROCK_ADAPTIVE_RATE": "true", "BEDROCK_ADAPTIVE_RATE_LIMITING": "false"},
    {"BEDROCK_SECURE_PYPI_DOMAIN": "one", "SECURE_PYPI_DOMAIN": "two"},
    {"BEDROCK_SECURE_PYPI_DOMAIN_OWNER": ACCOUNT, "SECURE_PYPI_DOMAIN_OWNER": "210987654321"},
    {"BEDROCK_SECURE_PYPI_REPOSITORY": "one", "SECURE_PYPI_REPOSITORY": "two"},
    {"BEDROCK_SECURE_PYPI_ROLE_ARN": ROLE, "SECURE_PYPI_ROLE_ACCOUNT": "210987654321"},
    {"BEDROCK_STRUCTURED_OUTPUT": "prefill", "BEDROCK_USE_STRUCTURED_OUTPUT": "true"},
    {"BEDROCK_STRUCTURED_OUTPUT": "auto", "BEDROCK_USE_STRUCTURED_OUTPUT": "false"},
    {"BEDROCK_STRUCTURED_OUTPUT": "prefill,tool", "BEDROCK_USE_TOOL_CALLING": "false"},
    {"BEDROCK_STRUCTURED_OUTPUT": "json_schema", **dict.fromkeys(FLAGS, "false")},
]


@pytest.mark.parametrize("environ", CONTRADICTORY, ids=lambda environ: list(environ)[-1])
def test_another_value_under_the_own_name_is_refused(environ: dict[str, str]) -> None:
    """Which of two values counts would be a matter of luck."""
    found = problem(**environ)
    assert [f"{name}={value!r}" for name, value in environ.items() if f"{name}={value!r}" not in found] == []
    assert found.endswith(": keep one")


@pytest.mark.parametrize(
    "environ",
    [
        {"BEDROCK_API": "converse", "BEDROCK_USE_CONVERSE_API": "true"},
        {"BEDROCK_ADAPTIVE_RATE": "1", "BEDROCK_ADAPTIVE_RATE_LIMITING": "true"},
        {"BEDROCK_STRUCTURED_OUTPUT": "tool", "BEDROCK_USE_STRUCTURED_OUTPUT": "true"},
        {"BEDROCK_STRUCTURED_OUTPUT": "prompt", "BEDROCK_USE_TOOL_CALLING": "false"},
        {"BEDROCK_SECURE_PYPI_ROLE_ARN": ROLE, "SECURE_PYPI_ROLE_ACCOUNT": ACCOUNT},
    ],
    ids=lambda environ: list(environ)[-1],
)
def test_the_same_under_both_names_is_accepted(environ: dict[str, str]) -> None:
    """A pipeline that sets both names while it moves from one to the other would not start."""
    own = dict([next(iter(environ.items()))])
    assert settings(**environ) == settings(**own)
    assert len(alias_notes(MODEL | environ)) == 1


def test_the_account_of_a_role_is_not_its_name() -> None:
    """The packages would be fetched without the role that the caller meant."""
    secure = {"USE_SECURE_PYPI": "true", "SECURE_PYPI_DOMAIN": "my-domain", "SECURE_PYPI_REPOSITORY": "shared"}
    found = problem(**secure, SECURE_PYPI_ROLE_ACCOUNT=ACCOUNT)
    assert found.startswith(f"SECURE_PYPI_ROLE_ACCOUNT='{ACCOUNT}' names the account of a role")
    assert found.endswith(f"set BEDROCK_SECURE_PYPI_ROLE_ARN=arn:aws:iam::{ACCOUNT}:role/NAME")
    given = settings(**secure, SECURE_PYPI_ROLE_ACCOUNT=ACCOUNT, BEDROCK_SECURE_PYPI_ROLE_ARN=ROLE)
    assert given.secure_pypi_role_arn == ROLE


def test_an_account_without_the_secure_index_is_told_and_no_obstacle() -> None:
    """A pipeline that passes the account to every step would not start with the public index."""
    assert settings(SECURE_PYPI_ROLE_ACCOUNT=ACCOUNT) == settings()
    (note,) = alias_notes(MODEL | {"SECURE_PYPI_ROLE_ACCOUNT": ACCOUNT})
    assert note == f"SECURE_PYPI_ROLE_ACCOUNT='{ACCOUNT}' has no effect without USE_SECURE_PYPI=true"


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: alias.name)
@pytest.mark.parametrize("blank", ["", " "], ids=["empty", "space"])
def test_an_empty_alias_is_not_set(alias: Any, blank: str) -> None:
    """A pipeline that passes every variable, some of them empty, would change what a run does."""
    assert settings(**{alias.name: blank}) == settings()
    assert alias_notes(MODEL | {alias.name: blank}) == []


def test_a_mapping_takes_the_same_names_in_lower_case() -> None:
    """A notebook that passes the configuration of the original script would be told that its keys are unknown."""
    config = {
        "primary_model_id": "a.b",
        "use_tool_calling": True,
        "bedrock_use_converse_api": "true",
        "adaptive_rate_limiting": False,
        "tool_name": "file_case",
        "bedrock_tool_description": "Files a case.",
        "secure_pypi_domain": "my-domain",
        "secure_pypi_role_account": None,
        "use_structured_output": "",
    }
    read = settings_from_mapping(config)
    assert (read.structured_output, read.api, read.adaptive_rate) == ("tool", "converse", False)
    assert (read.tool_name, read.tool_description) == ("file_case", "Files a case.")
    assert read.secure_pypi_domain == "my-domain"
    assert alias_notes_of_mapping(config) == [
        "use_converse_api='true' is read as api=converse",
        "use_tool_calling=True is read as structured_output=tool",
        "adaptive_rate_limiting=False is read as adaptive_rate=false",
    ]


def test_the_problems_of_a_mapping_speak_of_its_keys() -> None:
    """A notebook user would be told about environment variables, or about one mistake at a time."""
    config = {
        "primary_model_id": "a.b",
        "use_tool_calling": [],
        "use_converse_api": True,
        "api": "invoke_model",
        "adaptive_rate_limiting": True,
        "bedrock_adaptive_rate_limiting": False,
    }
    with pytest.raises(ConfigurationError) as caught:
        settings_from_mapping(config)
    assert list(caught.value.problems) == [
        "adaptive_rate_limiting is given twice, also as bedrock_adaptive_rate_limiting: give it once",
        "use_tool_calling (a list) is not accepted: use true or false (also 1, 0, yes, no; any case)",
        "api='invoke_model' contradicts use_converse_api=True, which means api=converse: keep one",
    ]


def test_a_misspelt_alias_is_named_with_the_nearest() -> None:
    """A caller of the original script who misspells a variable would not learn what it is called."""
    _, warnings = load_settings(MODEL | {"BEDROCK_USE_TOOL_CALING": "true"})
    assert warnings == [
        "BEDROCK_USE_TOOL_CALING is not a variable of this step and is ignored; did you mean BEDROCK_USE_TOOL_CALLING?"
    ]


MODES = st.lists(st.sampled_from(["prefill", "tool", "json_schema", "prompt"]), min_size=1, unique=True).map(",".join)


@given(
    own=st.one_of(st.just(""), st.just("auto"), MODES), flags=st.tuples(*[st.sampled_from(["", "true", "false"])] * 2)
)
def test_no_output_mode_is_taken_that_a_switch_excludes(own: str, flags: tuple[str, str]) -> None:
    """A switch would be followed on its own and forgotten beside another setting."""
    environ = {"BEDROCK_STRUCTURED_OUTPUT": own, **dict(zip(FLAGS, flags, strict=True))}
    modes: list[str] = []
    with contextlib.suppress(ConfigurationError):
        modes = settings(**environ).structured_output.split(",")
    if not modes:
        assert own
        assert any(flags)
        return
    assert own in ("", ",".join(modes))
    structured, tool = flags
    assert not (tool == "false" and "tool" in modes)
    assert not (structured == "false" and "json_schema" in modes)
    assert not (tool == "true" and modes[0] not in ("tool", "json_schema"))
    assert not (structured == "true" and tool != "true" and modes[0] not in ("json_schema", "tool"))


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40), st.sampled_from(ALIASES)
)
def test_any_text_is_read_or_refused(text: str, alias: Any) -> None:
    """A strange value would end in a traceback instead of a sentence."""
    with contextlib.suppress(ConfigurationError):
        load_settings(MODEL | {alias.name: text})
    alias_notes(MODEL | {alias.name: text})
