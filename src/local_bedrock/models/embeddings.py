"""InvokeModel bodies of the models that return vectors: Titan Text Embeddings and Cohere Embed.

A vector is the sum of the directions of the words of its text, so texts that share words lie close together. Sources:
the pages on the parameters of both families in the user guide of AWS, and public reports of their refusals.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from local_bedrock.answers.schema_answers import estimate_tokens
from local_bedrock.body_checks import BodyError
from local_bedrock.draws import Draw
from local_bedrock.questions import Answer, EmbeddingRequest, Question

_WORD = re.compile(r"\w+")
_POSITIONS = 12
"""The numbers of a vector that a word changes."""
_TITAN_TOKENS = 8_192
_LONGEST_TITAN_TEXT = 50_000
_MOST_TEXTS = 96
_LONGEST_COHERE_TEXT = 2_048
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
_TRUNCATIONS = {"v3": ("NONE", "START", "END"), "v4": ("NONE", "LEFT", "RIGHT")}


def malformed(detail: str) -> BodyError:
    """Return the error of a model that checks its body against a JSON schema."""
    return BodyError(f"Malformed input request: {detail}, please reformat your input and try again.")


def read_titan_1(body: Mapping[str, Any]) -> Question:
    """Read the body of Titan Embeddings G1, which has one field."""
    _refuse_fields(body, {"inputText"})
    return _embed([_read_titan_text(body)], EmbeddingRequest(dimensions=1_536))


def read_titan_2(body: Mapping[str, Any]) -> Question:
    """Read the body of Titan Text Embeddings V2."""
    _refuse_fields(body, {"inputText", "dimensions", "normalize", "embeddingTypes"})
    normalize = body.get("normalize", True)
    if not isinstance(normalize, bool):
        raise malformed(f"#/normalize: expected type: Boolean, found: {_kind(normalize)}")
    request = EmbeddingRequest(
        dimensions=_one_of(body.get("dimensions", 1_024), (256, 512, 1_024), "#/dimensions"),
        normalize=normalize,
        types=_read_types(body.get("embeddingTypes"), "#/embeddingTypes", ("float", "binary")),
    )
    return _embed([_read_titan_text(body)], request)


def _read_titan_text(body: Mapping[str, Any]) -> str:
    text = body.get("inputText")
    if text is None:
        raise malformed("#: required key [inputText] not found")
    if not isinstance(text, str):
        raise malformed(f"#/inputText: expected type: String, found: {_kind(text)}")
    if not text:
        raise malformed("expected minLength: 1, actual: 0")
    if len(text) > _LONGEST_TITAN_TEXT:
        raise malformed(f"expected maxLength: {_LONGEST_TITAN_TEXT}, actual: {len(text)}")
    tokens = estimate_tokens(text)
    if tokens > _TITAN_TOKENS:
        raise BodyError(
            f"400 Bad Request: Too many input tokens. Max input tokens: {_TITAN_TOKENS}, "
            f"request input token count: {tokens} "
        )
    return text


def read_cohere_3(body: Mapping[str, Any]) -> Question:
    """Read the body of Cohere Embed v3 (English and multilingual)."""
    _refuse_fields(body, {"texts", "images", "input_type", "truncate", "embedding_types"})
    texts = _read_cohere_texts(body, "v3")
    for i, text in enumerate(texts):
        if len(text) > _LONGEST_COHERE_TEXT:
            raise malformed(f"#/texts/{i}: expected maxLength: {_LONGEST_COHERE_TEXT}, actual: {len(text)}")
    return _embed(texts, EmbeddingRequest(dimensions=1_024, types=_read_cohere_types(body)))


def read_cohere_4(body: Mapping[str, Any]) -> Question:
    """Read the body of Cohere Embed v4, whose vectors have up to 1,536 numbers."""
    _refuse_fields(
        body,
        {"texts", "images", "inputs", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"},
    )
    dimensions = _one_of(body.get("output_dimension", 1_536), (256, 512, 1_024, 1_536), "#/output_dimension")
    return _embed(_read_cohere_texts(body, "v4"), EmbeddingRequest(dimensions, types=_read_cohere_types(body)))


def _read_cohere_texts(body: Mapping[str, Any], version: str) -> list[str]:
    """Return what is embedded. An image stands for itself; of an input, the texts and the images count."""
    if "input_type" not in body:
        raise malformed("#: required key [input_type] not found")
    _one_of(body["input_type"], _INPUT_TYPES, "#/input_type")
    _one_of(body.get("truncate", "NONE"), _TRUNCATIONS[version], "#/truncate")
    name = next((name for name in ("texts", "images", "inputs") if body.get(name) is not None), None)
    if name is None:
        raise malformed("#: required key [texts] not found")
    items = body[name]
    if not isinstance(items, list):
        raise malformed(f"#/{name}: expected type: JSONArray, found: {_kind(items)}")
    if len(items) > _MOST_TEXTS:
        raise malformed(f"#/{name}: expected maximum item count: {_MOST_TEXTS}, found: {len(items)}")
    return [_read_cohere_item(item, f"#/{name}/{i}") for i, item in enumerate(items)]


def _read_cohere_item(item: Any, path: str) -> str:
    if isinstance(item, Mapping):
        parts = item["content"]
        return "\n".join(part["text"] if "text" in part else part["image_url"] for part in parts)
    if not isinstance(item, str):
        raise malformed(f"{path}: expected type: String, found: {_kind(item)}")
    return item


def _read_cohere_types(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    return _read_types(body.get("embedding_types"), "#/embedding_types", tuple(_QUANTIZERS))


def _embed(texts: Sequence[str], request: EmbeddingRequest) -> Question:
    return Question(prompt="\n".join(texts), texts=tuple(texts), embedding=request)


def answer_embedding(question: Question, model: str, identity: str) -> Answer:
    """Return the vectors of a question's texts."""
    request = question.embedding or EmbeddingRequest()
    vectors = tuple(embed_text(text, model, request.dimensions, request.normalize) for text in question.texts)
    tokens = estimate_tokens(*question.texts)
    return Answer("", "end_turn", tokens, 0, identity, texts=question.texts, vectors=vectors, embedding=request)


def embed_text(text: str, model: str, dimensions: int, normalize: bool = True) -> tuple[float, ...]:
    """Return the vector of a text, of length 1 if `normalize` is true."""
    vector = [0.0] * dimensions
    for word, count in Counter(_WORD.findall(text.lower()) or [text]).items():
        for position, sign in _direction(word, model):
            vector[position % dimensions] += sign * count
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return tuple(value / length for value in vector) if normalize else tuple(vector)


@lru_cache(maxsize=10_000)
def _direction(word: str, model: str) -> tuple[tuple[int, float], ...]:
    draw = Draw.of(model, word)
    return tuple((draw.below(1 << 20), 1.0 - 2.0 * draw.below(2)) for _ in range(_POSITIONS))


def write_titan_1(answer: Answer, _model: str) -> dict[str, Any]:
    """Return the response of Titan Embeddings G1."""
    return {"embedding": list(answer.vectors[0]), "inputTextTokenCount": answer.input_tokens}


def write_titan_2(answer: Answer, model: str) -> dict[str, Any]:
    """Return the response of Titan Text Embeddings V2; a binary vector has a bit for each number."""
    vector = answer.vectors[0]
    forms = {"float": list(vector), "binary": [int(value > 0) for value in vector]}
    types = answer.embedding.types if answer.embedding is not None else None
    return {**write_titan_1(answer, model), "embeddingsByType": {name: forms[name] for name in types or ("float",)}}


def write_cohere(answer: Answer, _model: str) -> dict[str, Any]:
    """Return the response of Cohere Embed: a list of vectors, or a list for each of the types that were asked for."""
    types = answer.embedding.types if answer.embedding is not None else None
    embeddings: Any = [list(vector) for vector in answer.vectors]
    if types is not None:
        embeddings = {name: [_QUANTIZERS[name](vector) for vector in answer.vectors] for name in types}
    return {
        "id": f"{answer.identity[:8]}-0000-4000-8000-{answer.identity[8:20]}",
        "response_type": "embeddings_by_type" if types is not None else "embeddings_floats",
        "embeddings": embeddings,
        "texts": list(answer.texts),
    }


def _pack(vector: Sequence[float]) -> list[int]:
    """Return a byte for each eight numbers, the bit of the first number in front."""
    bits = "".join("1" if value > 0 else "0" for value in vector)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


_QUANTIZERS: Mapping[str, Callable[[Sequence[float]], list[Any]]] = {
    "float": list,
    "int8": lambda vector: [round(127 * value) for value in vector],
    "uint8": lambda vector: [128 + round(127 * value) for value in vector],
    "binary": lambda vector: [byte - 128 for byte in _pack(vector)],
    "ubinary": _pack,
}


def _refuse_fields(body: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in body:
        if name not in known:
            raise malformed(f"#: extraneous key [{name}] is not permitted")


def _read_types(value: Any, path: str, known: Sequence[str]) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise malformed(f"{path}: expected type: JSONArray, found: {_kind(value)}")
    return tuple(_one_of(item, known, f"{path}/{i}") for i, item in enumerate(value))


def _one_of(value: Any, known: Sequence[Any], path: str) -> Any:
    if isinstance(value, bool) or value not in known:
        raise malformed(f"{path}: {value} is not a valid enum value")
    return value


def _kind(value: Any) -> str:
    names = {str: "String", bool: "Boolean", int: "Integer", float: "Double", list: "JSONArray", type(None): "Null"}
    return names.get(type(value), "JSONObject")
