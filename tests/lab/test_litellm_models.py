"""The audit knows which embedding and rerank models LiteLLM's own table has: LiteLLM is asked the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.lab.real_litellm import NEEDED, PYTHON, environment
from tests.unit.test_audit_models import MODELS

QUESTION = """
import json, sys, litellm
from litellm.litellm_core_utils.health_check_helpers import default_health_check_mode as default
from litellm.proxy.health_check import resolve_health_check_mode as resolve
for model, provider, _ in json.load(sys.stdin):
    known = resolve({}, {"model": model, "custom_llm_provider": provider or None})
    if known in (None, "chat"):
        bare, whose, *_ = litellm.get_llm_provider(model=model, custom_llm_provider=provider or None)
        known = default(requested_model=model, model=bare, custom_llm_provider=whose)
    print("KNOWN" if known in ("embedding", "rerank") else "CHAT")
"""


@NEEDED
def test_litellm_itself_answers_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [PYTHON, "-c", QUESTION],
        input=json.dumps(MODELS),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    answers = [line for line in done.stdout.splitlines() if line in ("KNOWN", "CHAT")]
    assert answers == ["KNOWN" if known else "CHAT" for _, _, known in MODELS], done.stderr[-2000:]
