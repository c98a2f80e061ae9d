"""Reads the variables of the original script as the settings of this step that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bedrock_batch.environment.reader import SettingsReader, as_text
from bedrock_batch.environment.variables.variable import Variable

_SAME_VALUE = ("secure_pypi_domain", "secure_pypi_domain_owner", "secure_pypi_repository")

# The output modes in the order of preference, by `use_structured_output` and `use_tool_calling`. A mode that is
# switched off is never taken, not even in the place of another.
_OUTPUT_MODES: dict[tuple[bool | None, bool | None], str] = {
    (True, True): "tool,json_schema",
    (True, None): "json_schema,tool",
    (True, False): "json_schema,prefill,prompt",
    (None, True): "tool",
    (None, False): "prefill,json_schema,prompt",
    (False, True): "tool,prefill,prompt",
    (False, None): "prefill,prompt",
    (False, False): "prefill,prompt",
}


def take_aliases(
    reader: SettingsReader,
    variables: Sequence[Variable],
    given: dict[str, Any],
    aliases: Iterable[tuple[Variable, Any]],
) -> None:
    """Put what the aliases of `variables` stand for into `given`, which has the values of the variables by field.

    An alias without a value is not set. The reader gets a note on each of the others, or the problem with it.
    """
    known: dict[str, Any] = {}
    shown: dict[str, list[str]] = {variable.field: [] for variable in variables}
    for alias, value in aliases:
        if alias.stands_for in shown and _is_set(value):
            reader.read(alias, value)
            if alias.field in reader.values:
                known[alias.field] = reader.values.pop(alias.field)
                shown[alias.stands_for].append(reader.shown(alias, value))
    meant = translate_aliases(known)
    for variable in variables:
        if variable.field in meant:
            _take(reader, variable, meant[variable.field], shown[variable.field], known, given)
    if "secure_pypi_role_account" in known:
        by_field = {variable.field: variable for variable in variables}
        _check_role(reader, by_field, known["secure_pypi_role_account"], shown["secure_pypi_role_arn"][0], given)


def _take(
    reader: SettingsReader,
    variable: Variable,
    text: str,
    names: Sequence[str],
    known: Mapping[str, Any],
    given: dict[str, Any],
) -> None:
    """Put the text that aliases stand for into `given`, unless the setting is given and agrees with them."""
    label, own = reader.label(variable), given[variable.field]
    if not _is_set(own):
        given[variable.field] = own = text
    elif (value := _value(variable, own)) is not None and contradicts(variable, value, text, known):
        reader.problems.append(
            f"{reader.shown(variable, own)} contradicts {' and '.join(names)}, which means {label}={text}: keep one"
        )
        return
    reader.notes += [f"{name} is read as {label}={as_text(own, variable)}" for name in names]


def _check_role(
    reader: SettingsReader, variables: Mapping[str, Variable], account: str, name: str, given: Mapping[str, Any]
) -> None:
    """Add the problem with an account that stands for a role of the package index, or a note if there is none."""
    switch, label = variables["use_secure_pypi"], reader.label(variables["secure_pypi_role_arn"])
    role, is_secure = given["secure_pypi_role_arn"], _value(switch, given["use_secure_pypi"])
    if _is_set(role):
        if f"::{account}:" in str(role):
            reader.notes.append(f"{name} is the account of {label}")
        else:
            reader.problems.append(f"{label}={role!r} contradicts {name}, which is another account: keep one")
    elif is_secure:
        reader.problems.append(
            f"{name} names the account of a role but not the role: set {label}=arn:aws:iam::{account}:role/NAME"
        )
    else:
        reader.notes.append(f"{name} has no effect without {reader.label(switch)}=true")


def _is_set(given: Any) -> bool:
    return given is not None and bool(str(given).strip())


def _value(variable: Variable, given: Any) -> Any:
    """Return the value of a variable, None if it is not set or not accepted."""
    try:
        text = as_text(given, variable)
        return variable.parse(text) if text else None
    except (TypeError, ValueError):
        return None


def translate_aliases(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that the aliases stand for, by the attribute of `Settings`.

    `known` has the value of each alias that is set, by its `field`.
    """
    texts: dict[str, str] = {field: known[field] for field in _SAME_VALUE if field in known}
    if "adaptive_rate_limiting" in known:
        texts["adaptive_rate"] = str(known["adaptive_rate_limiting"]).lower()
    if "use_converse_api" in known:
        texts["api"] = "converse" if known["use_converse_api"] else "invoke_model"
    if (modes := _OUTPUT_MODES.get(_output_flags(known))) is not None:
        texts["structured_output"] = modes
    return texts


def contradicts(variable: Variable, own: Any, text: str, known: Mapping[str, Any]) -> bool:
    """Return whether the value `own` of a setting is another than `text`, for which its aliases stand.

    Output modes contradict their aliases only where one of these excludes them: a tool is structured output, too.
    """
    if variable.field != "structured_output":
        return bool(own != variable.parse(text))
    return not all(_allows(mode, *_output_flags(known)) for mode in own.split(","))


def _output_flags(known: Mapping[str, Any]) -> tuple[bool | None, bool | None]:
    return known.get("use_structured_output"), known.get("use_tool_calling")


def _allows(mode: str, structured: bool | None, tool: bool | None) -> bool:
    match mode:
        case "tool":
            return tool is True or (tool is None and structured is True)
        case "json_schema":
            return structured is True or (structured is None and tool is False)
        case "prefill" | "prompt":
            return structured is not True and tool is not True
        case _:  # auto
            return False
