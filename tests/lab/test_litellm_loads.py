"""Any catalogue the types admit, in the router of a real LiteLLM: every entry is kept and every word is read."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.model_list import Defaults, ids, model_list, problems, variables
from tests.lab.real_litellm import DEFAULTS, NEEDED, PYTHON, environment
from tests.unit.catalogues import entry, random_catalogues

pytestmark = NEEDED
# Run by LiteLLM's own Python: one process for all of it, because importing LiteLLM takes longer than the rest.
SCRIPT = """
import json, sys
from pathlib import Path
import litellm
from litellm.types.router import LiteLLM_Params, LiteLLMParamsTypedDict, ModelInfo

asked, answer = json.load(sys.stdin), {"kept": [], "picked": []}
for models in asked["catalogues"]:
    router = litellm.Router(model_list=models, ignore_invalid_deployments=True)
    answer["kept"].append([model["model_info"]["id"] for model in router.model_list])
for models in asked["groups"]:
    router = litellm.Router(model_list=models)
    name = models[0]["model_name"]
    picks = [router.get_available_deployment(name, [{"role": "user", "content": "x"}]) for _ in range(60)]
    answer["picked"].append(sorted({pick["model_info"]["id"] for pick in picks}))
answer["params"] = [*LiteLLM_Params.model_fields, *LiteLLMParamsTypedDict.__annotations__]
answer["info"] = [*ModelInfo.model_fields]
package = Path(litellm.__file__).parent
files = "router.py", "proxy/health_check.py", "proxy/proxy_server.py", "utils.py"
text = "".join((package / name).read_text() for name in files)
answer["read"] = [word for word in asked["words"] if f'.get("{word}"' in text or f'.pop("{word}"' in text]
json.dump(answer, sys.stdout)
"""
# In no class of LiteLLM's: it takes the words of the second kind out of its dictionaries one by one, and those of the
# first, as the double sees, are sent to Ollama.
LOOSE_PARAMS = ("keep_alive", "num_ctx")
LOOSE_INFO = (
    *("mode", "litellm_provider", "max_input_tokens", "max_output_tokens"),
    *("health_check_timeout", "disable_background_health_check"),
)
# Two entries of one group that differ in a setting, and which of them LiteLLM then asks at all.
SHARES = [({"rpm": [5, 0]}, ["0"]), ({"tpm": [0, 5]}, ["1"]), ({"weight": [0, 1]}, ["1"]), ({"order": [0, 1]}, ["1"])]
SHARES += [({"rpm": [5, 5]}, ["0", "1"]), ({"order": [2, 1]}, ["1"]), ({"rpm": [5, 0], "weight": [1, 1]}, ["0", "1"])]


def group(fields: dict[str, list[int]]) -> list[ModelEntry]:
    data = {"name": "g", "provider": "openai", "model": "gpt-4o", "api_key": "env:A"}
    pairs = [{**data, "id": str(n), **{name: both[n] for name, both in fields.items() if both[n]}} for n in (0, 1)]
    return [entry(pair, {"A": "k" * 20}) for pair in pairs]


@pytest.fixture(scope="module")
def catalogues() -> list[list[ModelEntry]]:
    return random_catalogues(60)


@pytest.fixture(scope="module")
def router(catalogues: list[list[ModelEntry]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    asked = {
        "catalogues": [model_list(models, DEFAULTS) for models in catalogues],
        "groups": [model_list(group(fields), Defaults()) for fields, _ in SHARES],
        "words": LOOSE_INFO,
    }
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT],
        input=json.dumps(asked),
        env=environment(tmp_path_factory.mktemp("home"))
        | {name: "k" * 20 for models in catalogues for name in variables(models)}
        | {"PORTCULLIS_MODEL_KEY_OPENAI": "k" * 20},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_litellm_keeps_every_entry_of_any_catalogue(router: dict[str, Any], catalogues: list[list[ModelEntry]]) -> None:
    assert len(catalogues) >= 60
    assert router["kept"] == [ids(models) for models in catalogues]


def test_litellm_reads_every_word_that_is_rendered(router: dict[str, Any]) -> None:
    # Some words are rare, and which catalogues there are depends also on what else was imported: in 60 one was missing.
    made = [row for models in random_catalogues(400) for row in model_list(models, DEFAULTS)]
    params = {word for row in made for word in row["litellm_params"]}
    info = {word for row in made for word in row["model_info"]}
    assert params - set(router["params"]) == set(LOOSE_PARAMS)
    assert info - set(router["info"]) == set(LOOSE_INFO)
    assert router["read"] == list(LOOSE_INFO)


def test_litellm_never_asks_an_entry_without_the_share_that_others_have(router: dict[str, Any]) -> None:
    """What `problems` refuses is true: with some shares missing, part of the group gets nothing."""
    assert router["picked"] == [asked for _, asked in SHARES]
    for fields, _ in SHARES:
        whole = all(all(both) for both in fields.values()) or ("weight" in fields and all(fields["weight"]))
        assert bool(problems(group(fields))) is not whole, fields
