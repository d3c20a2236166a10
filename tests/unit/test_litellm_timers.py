"""The timers that ask the gateway: what they are told, how long they may take, and which models are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components.litellm import timers as litellm_timers
from deploys.components.litellm.timers import TimersSettings
from deploys.lib.settings import SettingsError, settings_from
from tests.unit import site

MODES = {"toolkit-selftest": "chat", "llama": "chat", "nomic": "embedding", "whisper": "audio_transcription"}


def told(**data: Any) -> TimersSettings:
    return settings_from(data, "litellm_", TimersSettings, site.resolve)


def test_models_that_cannot_be_asked_are_refused_by_name() -> None:
    assert litellm_timers.problems(told(litellm_probe_models=["llamma", "whisper", "llama"]), MODES) == [
        "litellm_probe_models: 'llamma' is not a model of the gateway; did you mean llama?",
        "litellm_probe_models: 'whisper' is a model for audio_transcription; only chat and embedding are asked",
    ]
    with pytest.raises(SettingsError) as caught:
        told(litellm_probe_models=["a", "a"])
    assert caught.value.problems == ["litellm_probe_models: names a twice (given: ['a', 'a'])"]


def test_the_units_give_every_question_its_time_and_name_no_secret() -> None:
    made = litellm_timers.files(
        told(litellm_probe_models=["llama"], litellm_probe_timeout_seconds=20),
        "http://127.0.0.1:4100",
        "toolkit-selftest",
        MODES,
        True,
        {"LITELLM_MASTER_KEY": SecretStr("sk-x"), "DATABASE_URL": SecretStr("postgresql://x")},
        ["192.0.2.0/24"],
    )
    texts = {file.path.rpartition("/")[2]: file.text for file in made}
    assert "\nTimeoutStartSec=100\n" in texts["litellm-gateway-probe.service"], "two models of 20 s, and alerts"
    assert "\nTimeoutStartSec=180\n" in texts["litellm-cache-health.service"]
    assert all(file.effect == "none" for file in made), "the gateway goes on undisturbed"
    assert [name for name, file in zip(texts, made, strict=True) if file.secret] == ["probe.env"]
    assert texts["probe.env"].splitlines()[1:] == ['LITELLM_MASTER_KEY="sk-x"'], "no more than it needs"
    assert set(litellm_timers.timers(told())) <= set(texts)
    assert json.loads(texts["probe.json"])["models"] == {"llama": "chat"}
