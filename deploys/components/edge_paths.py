"""Which of the gateway's paths everybody may ask: those that use a model, and none that manages or shows anything.

Taken from LiteLLM 1.106.2, `LiteLLMRoutes` in litellm/proxy/_types.py, where each has a key checked by LiteLLM itself.
A path is let through only when all of it is one of these: `/v1/../key/list` and `/%6bey/list` are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

GroupName = Literal[
    "models", "chat", "embeddings", "responses", "audio", "images", "files", "assistants", "realtime", "google"
]
# A part of a path that stands for something: an id, or a model's name, which may have slashes. It has no % in it, and
# no part of it is `..`.
ID = r"[A-Za-z0-9_:@=~-][A-Za-z0-9_.:@=~-]*"
MODEL = rf"{ID}(/{ID})*"
DEPLOYED = rf"(/(openai/deployments|engines)/{MODEL}|(/v1)?)"

# Regular expressions of PCRE and Python alike, each for a whole path.
GROUPS: dict[GroupName, tuple[str, ...]] = {
    # Not /model/info: it shows where a model is, and with what it is asked.
    "models": (r"(/v1)?/models", rf"(/v1)?/models/{MODEL}", r"/model_group/info"),
    "chat": (
        rf"{DEPLOYED}/chat/completions",
        rf"{DEPLOYED}/completions",
        r"/v1/messages(/count_tokens)?",
        r"/utils/token_counter",
    ),
    "embeddings": (rf"{DEPLOYED}/embeddings", r"(/v[12])?/rerank", r"(/v1)?/moderations"),
    "responses": (rf"(/openai/v1|/v1)?/responses(/{ID}(/input_items|/cancel)?)?",),
    "audio": (r"(/v1)?/audio/(transcriptions|speech)",),
    "images": (r"(/v1)?/images/(generations|edits)",),
    "files": (rf"(/v1)?/files(/{ID}(/content)?)?", rf"(/v1)?/batches(/{ID}(/cancel)?)?"),
    "assistants": (rf"(/v1)?/assistants(/{ID})?", rf"(/v1)?/threads(/{ID}(/messages|/runs)?)?"),
    "realtime": (r"(/openai/v1|/v1)?/realtime",),
    "google": (rf"(/v1beta)?/models/{MODEL}:(countTokens|generateContent|streamGenerateContent)",),
}
# What may be sent twice: it asks a model for an answer and changes nothing that anybody keeps, but what was spent.
REPEATABLE = (
    *GROUPS["chat"],
    *GROUPS["embeddings"],
    r"(/v1)?/audio/speech",
    r"(/v1)?/images/generations",
    *GROUPS["google"],
)


def opened(groups: Iterable[GroupName], extra: Iterable[str]) -> list[str]:
    """A regular expression for each path that everybody may ask."""
    found = [f"^{one}$" for group in groups for one in GROUPS[group]]
    for path in extra:
        if path.endswith("*"):
            # Below it everything, but no way up from it.
            found.append(f"^{re.escape(path[:-1])}([^%.]|\\.(?!\\.))*$")
        else:
            found.append(f"^{re.escape(path)}$")
    return found


def repeatable() -> list[str]:
    """A regular expression for each path whose POST may be sent again."""
    return [f"^{one}$" for one in REPEATABLE]
