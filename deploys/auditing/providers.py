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
# Providers some of whose embedding and rerank models are in the price map under their full names.
SELLERS = CLOUD_ONLY - {"azure", "openai"} | {
    *("databricks", "fireworks_ai", "gigachat", "github_copilot", "libertai", "llamagate", "nebius", "novita"),
    *("nvidia_nim", "oci", "perplexity", "scaleway", "snowflake", "together_ai", "vercel_ai_gateway"),
}
# Names of mode embedding or rerank in the price map of 1.106.2 that stand there without a provider.
KNOWN_MODES = re.compile(
    r"text-embedding-(3-(large|small)|ada-002(-v2)?|00[45]|large-exp-03-07|preview-0409)|text-multilingual-embedding-002|"
    r"embed-(english|multilingual)(-light)?-v3\.0|rerank-((english|multilingual)-v3\.0|v3\.5|v4\.0-(fast|pro))|"
    r"gemini-embedding-(001|2(-preview)?)|multimodalembedding(@001)?|jina-reranker-v2-base-multilingual|"
    r"doubao-embedding(-[\w-]+)?|((us|eu|global)\.)?(amazon|cohere|twelvelabs)\.[\w-]*(embed|rerank)[\w:-]*"
)


def has_provider(model: str, version: str) -> bool:
    """Whether LiteLLM can tell who serves ``model``; in doubt it can."""
    if model in ("", "*") or model.startswith(("os.environ/", "$")):
        return True
    prefix, slash, _ = model.partition("/")
    if slash:
        return prefix in names(version, "providers")
    return re.split(r"[-.:@_]", model.lower())[0] in FAMILIES


def knows_mode(model: str, custom_provider: str, local: bool) -> bool:
    """Whether LiteLLM finds in its price map what an embedding or rerank model does; in doubt it does.

    It looks for ``model`` as it stands, then without its provider. A name without one that it does not know is an
    entry that it drops, unless ``custom_llm_provider`` says whose it is. ``local`` servers have models of anyone's.
    """
    own = not custom_provider or model.startswith(f"{custom_provider}/")
    prefix, slash, rest = model.partition("/") if own else ("", "", "")
    if KNOWN_MODES.fullmatch(rest if slash else model):
        return True
    # A deployment at Azure has the name its owner gave it; behind openai/ may be any server.
    return own and (not slash or (prefix in SELLERS and not local))
