"""Answers from a real model behind an OpenAI-compatible chat API (Ollama, vLLM, llama.cpp)."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from local_bedrock.errors import AwsError
from local_bedrock.questions import Question

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Upstream:
    """Calls `POST <url>/chat/completions`; pass it as the `answers` of a `LocalBedrock`.

    `model` is the model name to send; the default is the Bedrock model id. The assistant's prefill is not sent, because
    chat servers treat it in different ways; the local Bedrock cuts it off the full answer instead.
    """

    def __init__(self, url: str, model: str | None = None, timeout: float = 600.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the upstream {url!r} must be an http or https URL such as http://127.0.0.1:11434/v1")
        base = url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"
        self._url = f"{base}/chat/completions"
        self._model = model
        self._timeout = timeout
        # Requests to this machine must not go through a proxy that the environment sets.
        handlers = [urllib.request.ProxyHandler({})] if parts.hostname in _LOOPBACK else []
        self._opener = urllib.request.build_opener(*handlers)

    def __call__(self, model: str, question: Question) -> str:
        """Return the upstream's answer.

        Raise `AwsError` with `ModelTimeoutException` after the timeout, and with `ModelErrorException` after any other
        failure.
        """
        body = json.dumps(_chat_request(self._model or model, question)).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url, body, {"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                document = json.load(response)
            return str(document["choices"][0]["message"]["content"] or "")
        except TimeoutError as error:
            raise AwsError("ModelTimeoutException", f"the upstream did not answer in {self._timeout:g} s") from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise AwsError("ModelErrorException", f"the upstream {self._url} failed: {error}") from error


def _chat_request(model: str, question: Question) -> dict[str, Any]:
    system = [{"role": "system", "content": question.system}] if question.system else []
    request: dict[str, Any] = {"model": model, "messages": [*system, {"role": "user", "content": question.prompt}]}
    for name in ("max_tokens", "temperature", "top_p"):
        value = getattr(question, name)
        if value is not None:
            request[name] = value
    if question.stop_sequences:
        request["stop"] = list(question.stop_sequences)
    schema = _schema_of(question)
    if schema is not None:
        form = {"name": "answer", "schema": schema}
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    return request


def _schema_of(question: Question) -> Any:
    schema = question.output_schema
    if schema is None and question.forces_tool and question.tools:
        name = (question.tool_choice or "").removeprefix("tool:")
        schema = question.tools.get(name, next(iter(question.tools.values())))
    return json.loads(schema) if isinstance(schema, str) else schema
