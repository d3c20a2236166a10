"""Entries of the model catalogue that are refused, each with the whole sentence a person reads."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.lib.settings import SettingsError
from tests.unit.catalogues import AZURE, COHERE, KEYS, OLLAMA, OPENAI, OTHER, VLLM, catalogue

ALONE = "without an address LiteLLM starts an Ollama server of its own"
WORD = ".model: LiteLLM's word before the name is added by itself; write"
CLOUD_MODEL = (
    ".model: a name with cloud at its end belongs to an Ollama server somebody signed in to; use provider "
    "'ollama_cloud' with 'gpt-oss:120b' and a key (given: 'gpt-oss:120b-cloud')"
)
LITERAL = "a literal value is refused; give a reference: env:NAME, file:PATH or cmd:COMMAND"
PRICE = "is dollars for one token; a price of 3 dollars for a million tokens is 0.000003 (given: 2.5)"
TOGETHER = "input_cost_per_token and output_cost_per_token go together; the other would count as 0"
UNIT = "is neither a duration with a unit, such as '30m', nor a number of seconds, -1 for ever (given: '30')"


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def refused(data: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        catalogue([OPENAI, data], KEYS)
    return caught.value.problems


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({**OPENAI, "api_keyy": "sk-1"}, ".api_keyy: unknown setting; did you mean api_key?"),
        ({**OPENAI, "mock_response": "x"}, ".mock_response: unknown setting"),
        (without(OPENAI, "name"), ".name: Field required"),
        (
            {**OPENAI, "name": "all-proxy-models"},
            ".name: means something else to LiteLLM; choose another name (given: 'all-proxy-models')",
        ),
        ({**OPENAI, "rpm": "5"}, ".rpm: Input should be a valid integer (given: '5')"),
        ({**OPENAI, "weight": 0}, ".weight: Input should be greater than or equal to 1 (given: 0)"),
        (
            {**OPENAI, "mode": "rerank"},
            ".mode: OpenAI does not do this here; it does chat and embedding and completion (given: 'rerank')",
        ),
        ({**COHERE, "mode": "chat"}, ".mode: Cohere does not do this here; it does rerank (given: 'chat')"),
        (
            {**COHERE, "provider": "voyage", "mode": "chat"},
            ".mode: Voyage AI does not do this here; it does embedding and rerank (given: 'chat')",
        ),
        ({**OPENAI, "model": "openai/gpt-4o"}, f"{WORD} 'gpt-4o' (given: 'openai/gpt-4o')"),
        ({**OPENAI, "model": "azure/x"}, f"{WORD} 'x' (given: 'azure/x')"),
        ({**OLLAMA, "model": "ollama_chat/x"}, f"{WORD} 'x' (given: 'ollama_chat/x')"),
        ({**VLLM, "model": "hosted_vllm/Q/x"}, f"{WORD} 'Q/x' (given: 'hosted_vllm/Q/x')"),
        ({**OLLAMA, "model": "gpt-oss:120b-cloud"}, CLOUD_MODEL),
        ({"name": "a", "provider": "ollama_cloud", "model": "gpt-oss:120b-cloud", "api_key": "env:KEY_A"}, CLOUD_MODEL),
        (without(OLLAMA, "api_base"), f".api_base: is needed for Ollama, such as 'http://127.0.0.1:11434': {ALONE}"),
        (
            without(VLLM, "api_base"),
            ".api_base: is needed for vLLM, such as 'http://10.0.0.5:8000/v1': there is no address to assume",
        ),
        (
            without(OTHER | {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}, "api_base"),
            ".api_base: is needed for an OpenAI-compatible endpoint, such as 'https://llm.example.org/v1': "
            "LiteLLM would ask OpenAI instead",
        ),
        (
            {**OPENAI, "model": "my-ollama"},
            f".api_base: is needed because 'ollama' is in the model's name; write 'https://api.openai.com/v1': {ALONE}",
        ),
        (
            {**OLLAMA, "api_base": "http://h:11434/"},
            ".api_base: 'http://h:11434/' ends with a slash, which would be doubled; write 'http://h:11434'",
        ),
        (
            {**OLLAMA, "api_base": "http://h:11434/v1"},
            ".api_base: 'http://h:11434/v1' must not end with /v1, which LiteLLM adds; write 'http://h:11434'",
        ),
        (
            {**OLLAMA, "api_base": "http://h/api/chat"},
            ".api_base: 'http://h/api/chat' must not end with /api/chat, which LiteLLM adds; write 'http://h'",
        ),
        (
            {**OLLAMA, "api_base": "https://ollama.com"},
            ".api_base: 'https://ollama.com' is Ollama's cloud; use provider 'ollama_cloud'",
        ),
        (
            {**VLLM, "api_base": "http://h:8000"},
            ".api_base: 'http://h:8000' must end with /v1, under which vLLM answers; write 'http://h:8000/v1'",
        ),
        (
            {**VLLM, "api_base": "http://h/v1/chat/completions"},
            ".api_base: 'http://h/v1/chat/completions' must end with /v1, under which vLLM answers; write "
            "'http://h/v1'",
        ),
        (
            {**AZURE, "api_base": "https://n.azure.com/openai/deployments/d"},
            ".api_base: 'https://n.azure.com/openai/deployments/d' must not end with /openai/deployments/d, "
            "which LiteLLM adds; write 'https://n.azure.com'",
        ),
        (
            {**OPENAI, "provider": "anthropic", "model": "c", "api_base": "https://h/v1"},
            ".api_base: 'https://h/v1' must not end with /v1, which LiteLLM adds; write 'https://h'",
        ),
        (
            {**OPENAI, "api_base": "h:80/v1"},
            ".api_base: 'h:80/v1' is not an address; it begins with http:// or https://",
        ),
        (
            {**OPENAI, "api_base": "http://u:pw@h/v1"},
            ".api_base: has a user name or a password in it; give a key as api_key",
        ),
        (
            {**OPENAI, "api_base": "http://h/v1?key=pw"},
            ".api_base: has a question mark or a fragment, and LiteLLM puts a path behind it; write it as "
            "'https://api.openai.com/v1'",
        ),
        ({**OPENAI, "api_key": "sk-literal"}, f".api_key: {LITERAL}"),
        (
            {**OPENAI, "api_key": 12345},
            ".api_key: must be a reference in quotes, such as env:NAME; this one is of type int",
        ),
        (without(OPENAI, "api_key"), ".api_key: is needed for OpenAI; write a reference such as env:OPENAI_API_KEY"),
        (
            {**OPENAI, "api_key": "none"},
            ".api_key: OpenAI answers nobody without a key; write a reference such as env:OPENAI_API_KEY",
        ),
        (
            {"name": "a", "provider": "ollama_cloud", "model": "m"},
            ".api_key: is needed for Ollama's cloud; write a reference such as env:OLLAMA_CLOUD_API_KEY",
        ),
        (
            {**OLLAMA, "mode": "embedding", "api_key": "env:KEY_A"},
            ".api_key: LiteLLM sends no key to Ollama when it asks for embeddings; use provider "
            "'openai_compatible' with api_base 'http://h:11434/v1'",
        ),
        (
            {**OLLAMA, "api_version": "2024-10-21"},
            ".api_version: is for Azure OpenAI only; leave it out (given: '2024-10-21')",
        ),
        (without(AZURE, "api_version"), ".api_version: is needed for Azure OpenAI: a date such as '2024-10-21'"),
        (
            without(AZURE, "base_model"),
            ".base_model: is needed for Azure OpenAI: the model behind the deployment, such as 'azure/gpt-4o'; "
            "without it nothing is known of its price and size, and every request logs an error",
        ),
        ({**OPENAI, "keep_alive": "30m"}, ".keep_alive: is for Ollama only; leave it out (given: '30m')"),
        ({**OLLAMA, "keep_alive": "30"}, f".keep_alive: {UNIT}"),
        (
            {**OLLAMA, "num_ctx": 4096, "context_window": 8192},
            ": context_window 8192 is more than num_ctx 4096, and Ollama cuts longer prompts without a word",
        ),
        (
            {**VLLM, "mode": "embedding", "stream_timeout": 3},
            ".stream_timeout: has no effect on a model of mode embedding; leave it out (given: 3)",
        ),
        (
            {**COHERE, "context_window": 3},
            ".context_window: has no effect on a model of mode rerank; leave it out (given: 3)",
        ),
        (
            {**COHERE, "input_cost_per_token": 0.0},
            ".input_cost_per_token: Cohere bills a rerank by search, which LiteLLM has in its table; leave it "
            "out (given: 0.0)",
        ),
        ({**OPENAI, "input_cost_per_token": 2.5}, f".input_cost_per_token: {PRICE}"),
        ({**OPENAI, "input_cost_per_token": 2.5e-6}, f": {TOGETHER}"),
        (
            {**OPENAI, "input_cost_per_token": float("nan")},
            ".input_cost_per_token: Input should be a finite number (given: nan)",
        ),
        (
            OTHER,
            ".input_cost_per_token: is needed for an OpenAI-compatible endpoint: LiteLLM would count every "
            "request as free; write 0.0 if it is",
        ),
        ("sk-literal", ": Input should be a valid dictionary or instance of ModelEntry"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_sentence(data: Any, sentence: str) -> None:
    assert refused(data) == [f"litellm_models[1]{sentence}"]


@pytest.mark.parametrize(
    ("base", "instead"),
    [
        ("https://api.deepseek.com", "https://api.deepseek.com/v1"),
        ("https://api.groq.com/openai/v1/chat/completions", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/api/v1/embeddings", "https://openrouter.ai/api/v1"),
    ],
)
def test_an_address_that_is_almost_right_is_refused_with_the_right_one(base: str, instead: str) -> None:
    data = {**OTHER, "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
    (sentence,) = refused({**data, "api_base": base})
    assert sentence.endswith(f"; write {instead!r}")
    assert catalogue([{**data, "api_base": instead}])[0].api_base == instead


def test_no_refusal_and_no_repr_shows_a_key() -> None:
    wrong = {**OPENAI, "api_key": "sk-literal", "api_base": "https://u:sk-literal@h/v1", "keyy": "sk-literal"}
    assert "sk-literal" not in str(refused(wrong)) + str(refused({"sk": "sk-literal"})) + str(refused(["sk-literal"]))
    made = catalogue([OPENAI], KEYS)
    assert KEYS["KEY_A"] not in repr(made) + made[0].model_dump_json()


def test_a_missing_key_is_said_under_the_entry() -> None:
    assert refused({**OPENAI, "api_key": "env:NOT_THERE"}) == [
        "litellm_models[1].api_key: env:NOT_THERE is set neither in the environment nor in secrets/test.env; "
        "export it, or add a line NOT_THERE=... to that file"
    ]
