"""Which paths an edge opens to everybody, and which requests it may send twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploys.components import edge_paths
from deploys.components.edge_settings import EdgeSettings
from tests.unit import site


def opened(path: str, **data: Any) -> bool:
    s: EdgeSettings = site.whole(**data).settings(EdgeSettings)
    return any(re.search(one, path) for one in edge_paths.opened(s.paths, s.extra_paths))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/completions",
        "/openai/deployments/gpt-4o/chat/completions",
        "/openai/deployments/meta/llama-3.1/chat/completions",
        "/engines/llama3.2:3b/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/models/meta-llama/Llama-3.1-8B",
        "/v1/embeddings",
        "/v2/rerank",
        "/v1/responses",
        "/v1/responses/resp_ab.cd-1/input_items",
        "/v1/files/file-abc123/content",
        "/v1/audio/transcriptions",
        "/v1/realtime",
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
    ],
)
def test_what_uses_a_model_is_open(path: str) -> None:
    assert opened(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/ui",
        "/ui/",
        "/key/list",
        "/key/generate",
        "/team/new",
        "/user/info",
        "/config/update",
        "/model/new",
        "/model/info",
        "/v1/model/info",
        "/spend/logs",
        "/global/spend/reset",
        "/health",
        "/health/readiness",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/sso/key/generate",
        "/v1/../key/list",
        "/v1/models/../../key/list",
        "/v1/models/..%2f..%2fkey/list",
        "/%6bey/list",
        "//key/list",
        "/v1/chat/completions/",
        "/v1/chat/completions/../../../key/list",
        "/openai/deployments/../key/list/chat/completions",
        "/openai/deployments/./x/chat/completions",
        "/v1/mcp/server",
        "/v1/model/new",
        "/key/list\n/v1/models",
    ],
)
def test_everything_else_is_for_operators(path: str) -> None:
    assert not opened(path)


def test_paths_are_taken_away_and_added_by_settings() -> None:
    assert not opened("/v1/files", edge_paths=["chat", "models"]) and opened("/v1/models", edge_paths=["models"])
    assert not opened("/v1/traces") and opened("/v1/traces", edge_extra_paths=["/v1/traces"])
    wide = {"edge_extra_paths": ["/gemini/*"]}
    assert opened("/gemini/v1beta/models/x.y:generateContent", **wide)
    for path in ("/gemini", "/gemini/../key/list", "/gemini/%2e%2e/key/list", "/geminix"):
        assert not opened(path, **wide), path


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/responses", "/v1/threads", "/key/generate"])
def test_what_makes_something_is_not_sent_twice(path: str) -> None:
    assert not any(re.search(one, path) for one in edge_paths.repeatable())
    assert any(re.search(one, "/v1/chat/completions") for one in edge_paths.repeatable())
