"""The rules of Converse about conversations, content blocks and tools, which hold for every model.

The messages are those of AWS, as public reports quote them. Converse checks them before it asks the model, so they lack
the prefix of the model's own errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from local_bedrock.body_checks import BodyError
from local_bedrock.models.tool_schemas import is_json_schema

Messages = Sequence[Mapping[str, Any]]

_DOCUMENT_NAME = re.compile(r"(?:[a-zA-Z0-9\-()\[\]]|\s(?!\s))+")
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n")),
    ("jpeg", lambda data: data.startswith(b"\xff\xd8\xff")),
    ("gif", lambda data: data.startswith((b"GIF87a", b"GIF89a"))),
    ("webp", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP"),
)
"""The first bytes of the formats of images that Converse takes."""


def refuse_conversation(messages: Messages, tool_config: Mapping[str, Any]) -> None:
    """Raise `BodyError` if Converse does not accept the messages or the tools."""
    _refuse_roles(messages)
    for i, message in enumerate(messages):
        _refuse_content(message["content"], i)
    _refuse_tool_blocks(messages, bool(tool_config))
    _refuse_tools(tool_config.get("tools", ()))


def _refuse_roles(messages: Messages) -> None:
    roles = [message["role"] for message in messages]
    if roles[0] != "user":
        raise _refusal(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    if any(role == following for role, following in pairwise(roles)):
        raise _refusal(
            "A conversation must alternate between user and assistant roles. "
            "Make sure the conversation alternates between user and assistant roles and try again."
        )


def _refuse_content(blocks: Sequence[Mapping[str, Any]], position: int) -> None:
    if not blocks:
        raise _refusal(
            f"The content field in the Message object at messages.{position} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    for i, block in enumerate(blocks):
        _refuse_block(block, f"messages.{position}.content.{i}")
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        raise _refusal("A text block must be included when using documents. Add a text block and retry your request.")


def _refuse_block(block: Mapping[str, Any], path: str) -> None:
    if "text" in block and not block["text"].strip():
        raise _refusal(
            f"The text field in the ContentBlock object at {path} is blank. Add text to the text field, and try again."
        )
    if "document" in block and not _DOCUMENT_NAME.fullmatch(block["document"]["name"]):
        raise _refusal(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
            "parentheses, and square brackets. The name can't contain more than one consecutive whitespace character. "
            "Check that the file name conforms to these restrictions and retry your request."
        )
    result = block.get("toolResult")
    if result is not None and result.get("status") == "error" and not result["content"]:
        raise _refusal(f"The content field at {path}.toolResult cannot be empty when status value is error.")
    if "image" in block:
        _refuse_image(block["image"], path)


def _refuse_image(image: Mapping[str, Any], path: str) -> None:
    """Raise the model's own error, in Claude's words, if the bytes of an image have another format."""
    data = image["source"].get("bytes")
    if data is None:  # it lies in S3, where this server does not look
        return
    found = next((name for name, fits in _SIGNATURES if fits(data)), None)
    if found is None:
        raise BodyError("Could not process image")
    if found != image["format"]:
        raise BodyError(
            f"{path}.image.source.base64: The image was specified using the image/{image['format']} media type, "
            f"but the image appears to be a image/{found} image"
        )


def _refuse_tool_blocks(messages: Messages, has_tool_config: bool) -> None:
    """Raise `BodyError` unless each use of a tool has its result in the next message, and each result its use."""
    asked: list[str] = []
    for i, message in enumerate(messages):
        answered = list(_ids(message, "toolResult"))
        if (answered or any(_ids(message, "toolUse"))) and not has_tool_config:
            raise _refusal("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        if len(answered) > len(asked):
            raise _refusal(
                f"The number of toolResult blocks at messages.{i}.content exceeds the number of toolUse blocks of "
                "previous turn."
            )
        _refuse_open_uses(asked, answered, i)
        asked = list(_ids(message, "toolUse"))
    _refuse_open_uses(asked, [], len(messages))


def _refuse_open_uses(asked: Sequence[str], answered: Sequence[str], position: int) -> None:
    missing = [each for each in asked if each not in answered]
    if missing:
        raise _refusal(
            f"Expected toolResult blocks at messages.{position}.content for the following Ids: {', '.join(missing)}"
        )


def _ids(message: Mapping[str, Any], kind: str) -> Iterator[str]:
    return (block[kind]["toolUseId"] for block in message["content"] if kind in block)


def _refuse_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    names: set[str] = set()
    for i, tool in enumerate(tools):
        if "toolSpec" not in tool:
            continue
        name = tool["toolSpec"]["name"]
        if name in names:
            raise _refusal(f"The tool {name} is already defined at toolConfig.tools.{i}.")
        names.add(name)
        _refuse_tool_schema(tool["toolSpec"]["inputSchema"].get("json"), i)


def _refuse_tool_schema(schema: Any, position: int) -> None:
    path = f"toolConfig.tools.{position}.toolSpec.inputSchema.json"
    if not isinstance(schema, Mapping):
        raise _refusal(
            f"The format of the value at {path} is invalid. Provide a json object for the field and try again."
        )
    if schema.get("type") != "object":
        raise _refusal(f"The value at {path}.type must be one of the following: object.")
    if not is_json_schema(schema):
        raise wrong_tool_schema(position)


def wrong_tool_schema(position: int) -> BodyError:
    """Return the model's error for a tool whose schema is not a JSON Schema, in Claude's words."""
    return BodyError(
        f"tools.{position}.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
        "(https://json-schema.org/draft/2020-12). Learn more about tool use at "
        "https://docs.claude.com/en/docs/tool-use."
    )


def _refusal(message: str) -> BodyError:
    return BodyError(message, by_model=False)
