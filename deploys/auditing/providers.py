"""Who serves a model, as far as its name says: providers, and names that LiteLLM knows without one."""

from __future__ import annotations

import re

from deploys.auditing.known import names

# First words of the names in its price map that resolve without a provider.
_FAMILIES_WORDS = """
    ai21 amazon us writer apac eu twelvelabs global anthropic au jp babbage chat chatdolphin chatgpt gpt claude
    cohere command c4ai computer davinci deepseek dolphin embed ft gemini deep google daybreak j2 jamba medlm
    meta minimax mistral moonshot moonshotai multimodalembedding nvidia o1 o3 o4 omni openai qwen rerank
    stability text tts whisper zai sora in dall imagen codex
"""
FAMILIES = frozenset(_FAMILIES_WORDS.split())
_CLOUD_ONLY_WORDS = """
    azure azure_ai anthropic bedrock cohere gemini groq mistral openai vertex_ai voyage xai
"""
CLOUD_ONLY = frozenset(_CLOUD_ONLY_WORDS.split())


def has_provider(model: str, version: str) -> bool:
    """Whether LiteLLM can tell who serves ``model``; in doubt it can."""
    if model in ("", "*") or model.startswith(("os.environ/", "$")):
        return True
    prefix, slash, _ = model.partition("/")
    if slash:
        return prefix in names(version, "providers")
    return re.split(r"[-.:@_]", model.lower())[0] in FAMILIES
