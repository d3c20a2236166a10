"""A real LiteLLM for tests that need one: which Python has it, and what it may see of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploys.components.litellm.model_list import Defaults

PYTHON = os.environ.get("PORTCULLIS_LITELLM_PYTHON", "")
NEEDED = pytest.mark.skipif(
    not PYTHON,
    reason="needs a Python with LiteLLM: set PORTCULLIS_LITELLM_PYTHON to what `python -m tests.lab litellm` prints",
)
DEFAULTS = Defaults(timeout=600, stream_timeout=300, local_parallel_requests=4)


def environment(home: Path) -> dict[str, str]:
    """No variable of this machine: LiteLLM takes keys, proxies and addresses from them."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TZ": "UTC",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
        "NO_COLOR": "1",
    }
