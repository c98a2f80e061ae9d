"""Bodies and vectors of Titan Text Embeddings and Cohere Embed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_bedrock.answers.schema_answers import Answerer
from local_bedrock.behaviour import Behaviour
from local_bedrock.body_checks import BodyError
from local_bedrock.models.embeddings import embed_text
from local_bedrock.models.families import family_of
from local_bedrock.models.registry import Model, ModelRegistry

TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "cohere.embed-v4:0"
REGISTRY = ModelRegistry(Behaviour(), Answerer(Behaviour()), lambda: None)


def invoke(name, **body):
    """Return the response of a model to a body."""
    model = Model(name, name, False, family_of(name))
    return REGISTRY.write_body(model, REGISTRY.answer(model, REGISTRY.read_body(model, body, in_batch=False)))


def cohere(name=COHERE_3, **more):
    """Return the response of a Cohere model to two texts."""
    return invoke(name, **{"texts": ["red apple", "blue sky"], "input_type": "search_document", **more})


def length(vector):
    """Return the length of a vector."""
    return math.sqrt(math.fsum(value * value for value in vector))


@given(st.text(min_size=1, max_size=300), st.sampled_from([256, 512, 1024]))
def test_vectors_have_the_length_that_was_asked_for(text, dimensions):
    """An index of vectors would refuse the answer, or rank by the length of the texts."""
    vector = invoke(TITAN_2, inputText=text, dimensions=dimensions)["embedding"]
    assert len(vector) == dimensions
    assert length(vector) == pytest.approx(1)


def test_titan_2_answers_in_the_forms_that_were_asked_for():
    """A client of binary vectors could not be tested."""
    plain = invoke(TITAN_2, inputText="red apple")
    assert plain == {
        "embedding": plain["embedding"],
        "inputTextTokenCount": 2,
        "embeddingsByType": plain["embeddingsByType"],
    }
    assert plain["embeddingsByType"] == {"float": plain["embedding"]}
    bits = invoke(TITAN_2, inputText="red apple", embeddingTypes=["binary"])["embeddingsByType"]["binary"]
    assert bits == [int(value > 0) for value in plain["embedding"]]
    raw = invoke(TITAN_2, inputText="red apple apple", normalize=False)["embedding"]
    assert length(raw) > 1
    assert len(invoke(TITAN_1, inputText="red apple")["embedding"]) == 1536


def test_texts_that_share_words_are_similar():
    """A search in a test would find anything but the text that was asked for."""
    asked, near, far = (
        embed_text(text, TITAN_2, 1024) for text in ("a red apple", "the apple is red", "blue sky today")
    )
    assert sum(map(float.__mul__, asked, near)) > 0.5 > abs(sum(map(float.__mul__, asked, far)))


def test_cohere_answers_a_vector_for_each_text():
    """A client of Cohere would assign vectors to the wrong texts."""
    answer = cohere()
    assert (answer["response_type"], answer["texts"]) == ("embeddings_floats", ["red apple", "blue sky"])
    assert [len(vector) for vector in answer["embeddings"]] == [1024, 1024]
    assert answer["embeddings"][1] == cohere(texts=["blue sky"])["embeddings"][0]


def test_cohere_answers_by_type():
    """A client that asks for small numbers would read floats."""
    types = ["float", "int8", "uint8", "binary", "ubinary"]
    answer = cohere(COHERE_4, embedding_types=types, output_dimension=256)
    assert answer["response_type"] == "embeddings_by_type"
    first = {name: vectors[0] for name, vectors in answer["embeddings"].items()}
    assert {name: len(vector) for name, vector in first.items()} == {
        "float": 256, "int8": 256, "uint8": 256, "binary": 32, "ubinary": 32,
    }  # fmt: skip # one line for one thing
    bounds = {"int8": (-128, 127), "uint8": (0, 255), "binary": (-128, 127), "ubinary": (0, 255)}
    assert all(low <= value <= high for name, (low, high) in bounds.items() for value in first[name])


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (TITAN_1, {"inputText": "a", "dimensions": 256}, "#: extraneous key [dimensions] is not permitted"),
        (TITAN_2, {}, "#: required key [inputText] not found"),
        (TITAN_2, {"inputText": ""}, "expected minLength: 1, actual: 0"),
        (TITAN_2, {"inputText": ["a"]}, "#/inputText: expected type: String, found: JSONArray"),
        (TITAN_2, {"inputText": "a", "dimensions": 300}, "#/dimensions: 300 is not a valid enum value"),
        (TITAN_2, {"inputText": "a", "normalize": "yes"}, "#/normalize: expected type: Boolean, found: String"),
        (TITAN_2, {"inputText": "a", "embeddingTypes": ["int8"]}, "#/embeddingTypes/0: int8 is not a valid enum value"),
        (TITAN_2, {"inputText": "a" * 50_001}, "expected maxLength: 50000, actual: 50001"),
        (
            TITAN_2,
            {"inputText": "a" * 40_000},
            "Too many input tokens. Max input tokens: 8192, request input token count: 10000",
        ),
        (COHERE_3, {"texts": ["a"]}, "#: required key [input_type] not found"),
        (COHERE_3, {"texts": ["a"], "input_type": "other"}, "#/input_type: other is not a valid enum value"),
        (COHERE_3, {"input_type": "search_query"}, "#: required key [texts] not found"),
        (COHERE_3, {"texts": ["a"] * 97, "input_type": "search_query"}, "expected maximum item count: 96, found: 97"),
        (COHERE_3, {"texts": ["a" * 2049], "input_type": "search_query"}, "#/texts/0: expected maxLength: 2048"),
        (COHERE_4, {"texts": [1], "input_type": "search_query"}, "#/texts/0: expected type: String, found: Integer"),
        (COHERE_4, {"inputs": [{"content": 1}], "input_type": "search_query"}, "Malformed input request"),
    ],
)
def test_a_wrong_body_is_refused(model, body, message):
    """A wrong body would be noticed only with an AWS account."""
    with pytest.raises(BodyError) as caught:
        invoke(model, **body)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "anthropic.claude-haiku-4-5-20251001-v1:0",
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": "abcd" * 200_001}],
            },
            "prompt is too long: 200001 tokens > 200000 maximum",
        ),
        (
            "mistral.ministral-3-8b-instruct",
            {"messages": [{"role": "user", "content": "abcd" * 128_001}]},
            "Input is too long for requested model.",
        ),
    ],
)
def test_a_prompt_over_the_context_is_refused(name, body, message):
    """A client that shortens long prompts could not be tested."""
    with pytest.raises(BodyError) as caught:
        invoke(name, **body)
    assert caught.value.message == message
