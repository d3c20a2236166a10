"""Translates Ollama's generate, chat, embed and show calls into llama-server's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from standin.common import seconds, stamp
from standin.runners import Pool
from standin.store import Name, describe

Request = dict[str, Any]
# Ollama's option -> the OpenAI-compatible one.
OPTIONS = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "repeat_penalty": "repeat_penalty",
}


def _openai(request: Request) -> Request:
    given = request.get("options") or {}
    result: Request = {new: given[old] for old, new in OPTIONS.items() if old in given}
    wanted = request.get("format")
    if wanted == "json":
        result["response_format"] = {"type": "json_object"}
    elif isinstance(wanted, dict):
        result["response_format"] = {"type": "json_schema", "json_schema": {"schema": wanted}}
    if request.get("tools"):
        result["tools"] = request["tools"]
    return result


def _metrics(started: float, load_ns: int, timings: dict[str, Any]) -> dict[str, int]:
    return {
        "total_duration": int((time.monotonic() - started) * 1e9),
        "load_duration": load_ns,
        "prompt_eval_count": timings.get("cache_n", 0) + timings.get("prompt_n", 0),
        "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
        "eval_count": timings.get("predicted_n", 0),
        "eval_duration": int(timings.get("predicted_ms", 0) * 1e6),
    }


def generate(pool: Pool, request: Request, chat: bool) -> Iterator[dict[str, Any]]:
    """The NDJSON objects of /api/chat or /api/generate."""
    started, model = time.monotonic(), Name(request.get("model")).short
    unload = seconds(request.get("keep_alive"), 1) == 0

    def item(text: str, **extra: Any) -> dict[str, Any]:
        content = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
        return {"model": model, "created_at": stamp(), **content, **extra}

    prompt = request.get("messages") if chat else request.get("prompt")
    if not prompt and unload:
        describe(Name(request.get("model")))  # an unknown model is an error here too
        pool.drop(lambda r: r.info["name"] == model)
        yield item("", done=True, done_reason="unload")
        return
    runner, load_ns = pool.get(request.get("model"), "chat", request.get("keep_alive"))
    if not prompt:
        yield item("", done=True, done_reason="load")
        return
    if not chat and request.get("raw"):
        events = runner.events("/v1/completions", {"prompt": prompt, **_openai(request)})
    else:
        system = [{"role": "system", "content": request["system"]}] if request.get("system") else []
        messages = prompt if chat else [*system, {"role": "user", "content": prompt}]
        events = runner.events("/v1/chat/completions", {"messages": messages, **_openai(request)})
    reason, timings = "stop", {}
    for event in events:
        timings = event.get("timings") or timings
        for choice in event.get("choices", []):
            if text := (choice.get("delta") or {}).get("content") or choice.get("text"):
                yield item(text, done=False)
            reason = choice.get("finish_reason") or reason
    yield item("", done=True, done_reason=reason, **_metrics(started, load_ns, timings))
    if unload:
        pool.drop(lambda r: r is runner)


def joined(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The one object a call with `"stream": false` gets."""
    last = items[-1]
    if "message" in last:
        last["message"]["content"] = "".join(i["message"]["content"] for i in items)
    else:
        last["response"] = "".join(i["response"] for i in items)
    return last


def embed(pool: Pool, request: Request) -> dict[str, Any]:
    """The answer of /api/embed."""
    started = time.monotonic()
    runner, load_ns = pool.get(request.get("model"), "embed", request.get("keep_alive"))
    given = request.get("input")
    texts = [given] if isinstance(given, str) else list(given or [])
    if not texts:
        return {"model": runner.info["name"], "embeddings": []}
    result = runner.json("/v1/embeddings", {"input": texts})
    return {
        "model": runner.info["name"],
        "embeddings": [entry["embedding"] for entry in result["data"]],
        "total_duration": int((time.monotonic() - started) * 1e9),
        "load_duration": load_ns,
        "prompt_eval_count": result.get("usage", {}).get("prompt_tokens", 0),
    }


def show(request: Request) -> dict[str, Any]:
    """The answer of /api/show."""
    listed, config = describe(Name(request.get("model") or request.get("name")))
    return {
        "modelfile": f"FROM {listed['name']}",
        "template": config.get("template", ""),
        "details": listed["details"],
        "model_info": config.get("model_info", {}),
        "capabilities": config.get("capabilities", ["completion"]),
        "modified_at": listed["modified_at"],
    }


def loaded(pool: Pool) -> list[dict[str, Any]]:
    """The loaded models as /api/ps lists them."""
    return [
        {
            **{key: value for key, value in runner.info.items() if key != "modified_at"},
            "size_vram": 0,
            "context_length": runner.context,
            "expires_at": stamp(runner.expires - time.time()),
        }
        for runner in list(pool.live.values())
    ]
