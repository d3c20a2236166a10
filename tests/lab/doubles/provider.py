"""Every model provider at once: `python3 provider.py PORT LOG [HOST]` answers by protocol and writes down requests.

Needs nothing but Python, so that it can be copied to a host alone. Answers are always the same; a word in the model's
name asks for trouble: `fail-STATUS`, `fail-400-context`, `fail-content`, `slow-SECONDS` (before the answer),
`stall-SECONDS` (within a stream), `flaky-TIMES` and `flaky-TIMES-STATUS` (fails so often, then works), `hang`,
`drop` (no answer at all). `after-SECONDS` beside a failure adds `Retry-After`. For an unknown path, a webhook's or a
collector's, the words are looked for in the path. GET /_log gives the log, POST /_reset empties it and all counters.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

KEPT = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "traceparent", "content-type", "user-agent")
CONTEXT = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
SAFETY = "Your request was rejected as a result of our safety system."
# OpenAI's words for kinds of errors; any other is the server's own fault. Callers go by them as much as by the status.
KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
WORDS = ("pong ", "from ", "the ", "double")
TEXT, VECTOR = "".join(WORDS), [0.25, -0.5, 0.75]
USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}


class Double(ThreadingHTTPServer):
    """The server, its log and its counters."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], log: Path) -> None:
        super().__init__(address, Handler)
        self.path, self.lock = log, threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.path.write_text("")
            self.asked: Counter[str] = Counter()

    def write(self, record: dict[str, Any]) -> int:
        """Add to the log; returns how often this model was asked since the last reset."""
        with self.lock:
            with self.path.open("a") as log:
                log.write(json.dumps(record) + "\n")
            self.asked[record["model"]] += 1
            return self.asked[record["model"]]


class Handler(BaseHTTPRequestHandler):
    server: Double

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/_log":
            return self.send(self.server.path.read_bytes())
        self.note("", {}, b"")
        models = [{"name": "double:latest", "model": "double:latest", "id": "double", "object": "model", "size": 1}]
        self.send({"object": "list", "data": models, "models": models, "status": "ok", "version": "0.0.0"})

    def do_POST(self) -> None:
        raw = self.body()
        path = urlsplit(self.path).path
        if path == "/_reset":
            self.server.reset()
            return self.send({"status": "ok"})
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        fields = body if isinstance(body, dict) else {}
        # Gemini's and Azure's are in the path; a colon may be part of the name, the last one begins the method.
        in_path = re.search(r"/(?:models|deployments)/([^/]+?)(?::\w+)?(?:/|$)", path)
        model = str(fields.get("model") or (unquote(in_path[1]) if in_path else ""))
        words = model or path
        count = self.note(words, body, raw)
        time.sleep(seconds("slow", words))
        if "hang" in words:
            return time.sleep(3600)
        if "drop" in words:
            return None
        if failure := failed(words, count):
            status, code, text = failure
            wait = re.search(r"after-(\d+)", words)
            error = {"message": text, "type": KINDS.get(status, "server_error"), "param": None, "code": code}
            return self.send({"error": error}, status, {"Retry-After": wait[1]} if wait else {})
        answer = answered(path, model, f"double-{count}", fields)
        if isinstance(answer, dict):
            return self.send(answer)
        # Pieces with the end of the connection as their end.
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson" if "/api/" in path else "text/event-stream")
        self.end_headers()
        for number, piece in enumerate(answer):
            time.sleep(seconds("stall", model) if number == 1 else 0)
            self.wfile.write(piece)
            self.wfile.flush()

    def body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        else:
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw

    def note(self, model: str, body: Any, raw: bytes) -> int:
        url = urlsplit(self.path)
        record = {"at": time.time(), "method": self.command, "path": url.path, "query": dict(parse_qsl(url.query))}
        record["headers"] = {name: self.headers[name] for name in KEPT if name in self.headers}
        # Hexadecimal for what is not JSON: a trace's id can be looked for in a collector's protocol buffers.
        return self.server.write({**record, "model": model, "body": {"hex": raw.hex()} if body is None else body})

    def send(self, value: Any, status: int = 200, more: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        base = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in {**base, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def handle_one_request(self) -> None:
        # A caller that gave up is what `slow` and `hang` are for.
        with suppress(BrokenPipeError, ConnectionResetError):
            super().handle_one_request()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def seconds(word: str, text: str) -> float:
    return float((re.search(rf"{word}-(\d+(?:\.\d+)?)", text) or ("", 0))[1])


def failed(words: str, count: int) -> tuple[int, str, str] | None:
    """Status, code and text of the failure that ``words`` ask for at the ``count``th request."""
    if "fail-400-context" in words:
        return 400, "context_length_exceeded", CONTEXT
    if "fail-content" in words:
        return 400, "content_policy_violation", SAFETY
    if found := re.search(r"flaky-(\d+)(?:-(\d{3}))?", words):
        return (int(found[2] or 500), "flaky", f"failure {count} of {found[1]}") if count <= int(found[1]) else None
    if found := re.search(r"fail-(\d{3})", words):
        return int(found[1]), "scripted", f"the double answers {found[1]} as its name says"
    return None


def answered(path: str, model: str, name: str, fields: dict[str, Any]) -> dict[str, Any] | Iterator[bytes]:
    """What the protocol of ``path`` answers when all is well; nothing in particular for an unknown one."""
    given = fields.get("input") or fields.get("documents") or fields.get("requests") or ""
    count = len(given) if isinstance(given, list) else 1
    last, stream = path.rpartition("/")[2], fields.get("stream")
    if last == "completions":
        chat = path.endswith("/chat/completions")
        usage = bool((fields.get("stream_options") or {}).get("include_usage"))
        return openai_stream(name, model, chat, usage) if stream else openai(name, model, chat)
    if last == "embeddings":
        data = [{"object": "embedding", "index": index, "embedding": VECTOR} for index in range(count)]
        return {"object": "list", "model": model, "data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    if last == "rerank":
        # Cohere's form, with `data` and `usage` beside it for Voyage and vLLM.
        results = [{"index": index, "relevance_score": round(1 / (index + 2), 3)} for index in range(count)]
        units = {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 7, "output_tokens": 0}}
        return {"id": name, "model": model, "results": results, "data": results, "meta": units, "usage": USAGE}
    if last == "messages":
        return anthropic_stream(name, model) if stream else anthropic(name, model, [{"type": "text", "text": TEXT}])
    if last.endswith(":streamGenerateContent"):
        return (sse(gemini(word, word is WORDS[-1])) for word in WORDS)
    if last.endswith(":generateContent"):
        return gemini(TEXT, True)
    if last.endswith((":batchEmbedContents", ":embedContent")):
        return {"embeddings": [{"values": VECTOR}] * count, "embedding": {"values": VECTOR}}
    if path.endswith("/api/chat"):
        return ollama_stream(model) if fields.get("stream", True) else ollama(model, TEXT, True)
    if path.endswith("/api/embed"):
        return {"model": model, "embeddings": [VECTOR] * count, "prompt_eval_count": 7}
    return {"model_info": {"general.architecture": "double"}} if path.endswith("/api/show") else {}


def sse(value: Any, event: str = "") -> bytes:
    return ((f"event: {event}\n" if event else "") + f"data: {json.dumps(value)}\n\n").encode()


def openai(name: str, model: str, chat: bool) -> dict[str, Any]:
    text = {"message": {"role": "assistant", "content": TEXT}} if chat else {"text": TEXT}
    kind, choice = "chat.completion" if chat else "text_completion", {"index": 0, "finish_reason": "stop", **text}
    return {"id": name, "object": kind, "created": 1, "model": model, "choices": [choice], "usage": USAGE}


def openai_stream(name: str, model: str, chat: bool, usage: bool) -> Iterator[bytes]:
    base = {"id": name, "object": "chat.completion.chunk" if chat else "text_completion", "created": 1, "model": model}
    for number, word in enumerate((*WORDS, "")):
        piece: dict[str, Any] = {"delta": {"role": "assistant", "content": word}} if chat else {"text": word}
        yield sse({**base, "choices": [{"index": 0, **piece, "finish_reason": "stop" if number == 4 else None}]})
    if usage:
        yield sse({**base, "choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def anthropic(name: str, model: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    usage, stop = {"input_tokens": 7, "output_tokens": 4}, "end_turn" if content else None
    message = {"id": name, "type": "message", "role": "assistant", "model": model, "content": content}
    return {**message, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def anthropic_stream(name: str, model: str) -> Iterator[bytes]:
    yield sse({"type": "message_start", "message": anthropic(name, model, [])}, "message_start")
    block, start, delta = {"type": "text", "text": ""}, "content_block_start", "content_block_delta"
    yield sse({"type": start, "index": 0, "content_block": block}, start)
    for word in WORDS:
        yield sse({"type": delta, "index": 0, "delta": {"type": "text_delta", "text": word}}, delta)
    yield sse({"type": "content_block_stop", "index": 0}, "content_block_stop")
    end = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}}
    yield sse({"type": "message_delta", **end}, "message_delta") + sse({"type": "message_stop"}, "message_stop")


def gemini(text: str, done: bool) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 4, "totalTokenCount": 11}
    return {"candidates": [{**candidate, **({"finishReason": "STOP"} if done else {})}], "usageMetadata": usage}


def ollama(model: str, text: str, done: bool) -> dict[str, Any]:
    counts = {"done_reason": "stop", "prompt_eval_count": 7, "eval_count": 4, "total_duration": 1} if done else {}
    message = {"role": "assistant", "content": text}
    return {"model": model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done, **counts}


def ollama_stream(model: str) -> Iterator[bytes]:
    for number, word in enumerate((*WORDS, "")):
        yield json.dumps(ollama(model, word, number == len(WORDS))).encode() + b"\n"


if __name__ == "__main__":
    port, log, *host = sys.argv[1:]
    Double((host[0] if host else "127.0.0.1", int(port)), Path(log)).serve_forever()
