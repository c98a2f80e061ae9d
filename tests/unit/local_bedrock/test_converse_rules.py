"""What Converse refuses in conversations and tools, in the words of AWS."""

import pytest

from helpers.local_bedrock_jobs import SCHEMA
from local_bedrock.body_checks import BodyError
from local_bedrock.models.converse import read_converse
from local_bedrock.models.converse_rules import refuse_conversation
from local_bedrock.models.families import family_of
from local_bedrock.models.rules import refuse_question

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


def user(*blocks):
    """Return a user message; a string stands for a text block."""
    return {"role": "user", "content": [{"text": each} if isinstance(each, str) else each for each in blocks]}


def model(*blocks):
    """Return an assistant message."""
    return {**user(*blocks), "role": "assistant"}


def use(name):
    """Return the block by which a model calls a tool."""
    return {"toolUse": {"toolUseId": name, "name": "record", "input": {}}}


def result(name, *content, **more):
    """Return the block with the result of a call."""
    return {"toolResult": {"toolUseId": name, "content": [{"text": each} for each in content], **more}}


def image(data, kind="png"):
    """Return an image block."""
    return {"image": {"format": kind, "source": {"bytes": data}}}


def document(name="report"):
    """Return a document block."""
    return {"document": {"format": "txt", "name": name, "source": {"bytes": b"text"}}}


def tools(*schemas, names=("record",) * 9):
    """Return a toolConfig with a tool for each schema."""
    specs = [{"name": name, "inputSchema": {"json": schema}} for name, schema in zip(names, schemas, strict=False)]
    return {"tools": [{"toolSpec": spec} for spec in specs]}


TOOLS = tools(SCHEMA)
REFUSED = [
    ("assistant first", [model("hi")], {}, "A conversation must start with a user message."),
    ("two users", [user("a"), user("b")], {}, "A conversation must alternate between user and assistant roles."),
    ("two assistants", [user("a"), model("b"), model("c")], {}, "A conversation must alternate"),
    ("empty", [user()], {}, "The content field in the Message object at messages.0 is empty."),
    ("blank", [user("a", " ")], {}, "The text field in the ContentBlock object at messages.0.content.1 is blank."),
    ("document alone", [user(document())], {}, "A text block must be included when using documents."),
    ("document name", [user("a", document("a_b"))], {}, "The document file name can only contain alphanumeric"),
    ("two spaces", [user("a", document("a  b"))], {}, "The document file name can only contain alphanumeric"),
    ("no image", [user("a", image(b"rubbish"))], {}, "Could not process image"),
    (
        "jpeg as png",
        [user("a", image(JPEG))],
        {},
        "messages.0.content.1.image.source.base64: The image was specified using the image/png media type, but the "
        "image appears to be a image/jpeg image",
    ),
    (
        "no toolConfig",
        [user("a"), model(use("1")), user(result("1"))],
        {},
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    (
        "use without result",
        [user("a"), model(use("1"), use("2")), user(result("1"))],
        TOOLS,
        "Expected toolResult blocks at messages.2.content for the following Ids: 2",
    ),
    ("other id", [user("a"), model(use("1")), user(result("3"))], TOOLS, "for the following Ids: 1"),
    ("use at the end", [user("a"), model(use("1"))], TOOLS, "Expected toolResult blocks at messages.2.content"),
    (
        "result without use",
        [user("a"), model("b"), user(result("1"))],
        TOOLS,
        "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.",
    ),
    (
        "empty error",
        [user("a"), model(use("1")), user(result("1", status="error"))],
        TOOLS,
        "The content field at messages.2.content.0.toolResult cannot be empty when status value is error.",
    ),
    ("names", [user("a")], tools(SCHEMA, SCHEMA), "The tool record is already defined at toolConfig.tools.1."),
    (
        "no schema",
        [user("a")],
        tools("text"),
        "The format of the value at toolConfig.tools.0.toolSpec.inputSchema.json is invalid.",
    ),
    (
        "not an object",
        [user("a")],
        tools({"type": "string"}),
        "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object.",
    ),
    (
        "bad schema",
        [user("a")],
        tools({"type": "object", "properties": {"a": {"type": "text"}}}),
        "tools.0.custom.input_schema: JSON schema is invalid.",
    ),
    ("required", [user("a")], tools({"type": "object", "required": ["a", "a"]}), "JSON schema is invalid."),
]


@pytest.mark.parametrize(
    ("messages", "tool_config", "message"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_converse_refuses_what_aws_refuses(messages, tool_config, message):
    """A client would meet the refusal for the first time at AWS, or match another text than AWS sends."""
    with pytest.raises(BodyError) as caught:
        refuse_conversation(messages, tool_config)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("messages", "tool_config"),
    [
        ([user("a"), model(use("1"), use("2")), user(result("2", "x"), result("1")), model("b"), user("c")], TOOLS),
        ([user("a", document("a (1) [b]-c"), image(PNG), image(JPEG, "jpeg"))], {}),
        ([user("a"), model("{")], tools(SCHEMA, SCHEMA, names=("a", "b"))),
        ([user("a")], tools({"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": [None]}}})),
    ],
    ids=["tools", "media", "prefill", "union"],
)
def test_a_right_conversation_is_taken(messages, tool_config):
    """A client that AWS serves would be refused."""
    refuse_conversation(messages, tool_config)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("amazon.nova-micro-v1:0", {"messages": [user("a", image(PNG))]}, "doesn't support the image content block"),
        ("amazon.nova-lite-v1:0", {"messages": [user("a", image(PNG))]}, None),
        ("qwen.qwen3-32b-v1:0", {"messages": [user("a", image(PNG))]}, "doesn't support the image content block"),
        ("qwen.qwen3-vl-235b-a22b", {"messages": [user("a", image(PNG))]}, None),
        (
            "meta.llama3-3-70b-instruct-v1:0",
            {"messages": [user("a"), model("{")]},
            "requires the last turn in the conv",
        ),
        (
            "meta.llama3-3-70b-instruct-v1:0",
            {"toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "record"}}}},
            "This model doesn't support the toolConfig.toolChoice.tool field. Remove toolConfig.toolChoice.tool",
        ),
        (
            "meta.llama4-scout-17b-instruct-v1:0",
            {"inferenceConfig": {"stopSequences": ["x"]}},
            "This model doesn't support the stopSequences field. Remove stopSequences and try again.",
        ),
        (
            "amazon.nova-lite-v1:0",
            {"additionalModelRequestFields": {"top_k": 5}},
            "Malformed input request: #: extraneous key [top_k] is not permitted",
        ),
        ("amazon.nova-lite-v1:0", {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}}, None),
        (
            "anthropic.claude-sonnet-4-20250514-v1:0",
            {"messages": [user("a"), model("{ ")]},
            "final assistant content cannot end with trailing whitespace",
        ),
    ],
)
def test_converse_refuses_what_the_model_lacks(name, change, message):
    """A client would learn only at AWS that the model does not have a feature."""
    question = read_converse({"messages": [user("a")], **change})
    if message is None:
        refuse_question(family_of(name), question, in_batch=False)
        return
    with pytest.raises(BodyError) as caught:
        refuse_question(family_of(name), question, in_batch=False)
    assert message in caught.value.message
