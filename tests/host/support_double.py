"""The protocol double on a host of the lab, and everything a gateway can be told that shows there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploys.lib.render import ROOT
from tests.host.support import Server
from tests.host.support_http import ask
from tests.lab.doubles.expected import KEYS, entries

PROGRAM = ROOT / "tests" / "lab" / "doubles" / "provider.py"
PORT = 9601
BASE = f"http://127.0.0.1:{PORT}"
COOLDOWN_SECONDS = 20
APP_KEY = "sk-lab-app-0123456789abcdef0123456789ab"
# What the variables hold that the settings below name; secrets of the lab, worth nothing.
ENVIRONMENT = {**KEYS, "LAB_SLACK": f"{BASE}/slack", "LAB_HOOK": f"{BASE}/hook", "LAB_APP_KEY": APP_KEY}


def paid(name: str, model: str, **more: object) -> dict[str, object]:
    """An entry of a provider that costs money, answered by the double in the way that the model's name says."""
    base = {"provider": "openai", "api_base": f"{BASE}/v1", "api_key": "env:DOUBLE_OPENAI_KEY"}
    price = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}
    return {"name": name, "model": model, **base, **price, **more}


def settings() -> dict[str, object]:
    """Settings of a gateway whose models are all played by the double, each with a fate of its own."""
    return {
        "litellm_models": [
            *entries(BASE),
            paid("spare", "spare", context_window=8192),
            paid("spacious", "spacious", context_window=65536),
            paid("broken", "fail-500", context_window=8192),
            paid("flaky", "flaky-1"),
            paid("short", "fail-400-context", context_window=8192),
            paid("touchy", "fail-content"),
            paid("limited", "limited", rpm=3),
            paid("slow", "slow-8", timeout=2),
            paid("stalling", "stall-8", stream_timeout=2),
            paid("tardy", "slow-4"),
            paid("pair", "pair-fail-429"),
            paid("pair", "pair-good"),
        ],
        "litellm_groups": {"code": "spare", "secret-code": {"model": "spare", "hidden": True}},
        "litellm_fallbacks": {"broken": ["spare"]},
        "litellm_context_window_fallbacks": {"short": ["spacious"]},
        "litellm_content_policy_fallbacks": {"touchy": ["spare"]},
        "litellm_cooldown_time": COOLDOWN_SECONDS,
        "litellm_enforce_model_rate_limits": True,
        "litellm_background_health_checks": True,
        "litellm_health_check_interval": 30,
        "litellm_health_check_timeout": 5,
        "litellm_health_check_concurrency": 4,
        "litellm_slack_webhook": "env:LAB_SLACK",
        "litellm_alert_webhook": "env:LAB_HOOK",
        "litellm_alerting_threshold": 2,
        "litellm_otel_endpoint": BASE,
        "litellm_log_sink": f"{BASE}/sink",
        "litellm_probe_interval_seconds": 10,
        "litellm_probe_failures": 2,
        "litellm_teams": {"lab": {"models": ["spare"], "rpm_limit": 1000}},
        "litellm_keys": {"lab-app": {"team": "lab", "value": "env:LAB_APP_KEY", "models": ["spare"]}},
    }


@dataclass(frozen=True)
class Double:
    """The double on one host."""

    server: Server

    def start(self) -> None:
        """Start it anew with an empty log."""
        text = PROGRAM.read_text()
        self.server.out(f"cat >/usr/local/lib/lab-double.py <<'END-OF-DOUBLE'\n{text}\nEND-OF-DOUBLE\n")
        self.server.out(
            "systemctl stop lab-double 2>/dev/null; systemd-run --quiet --collect --unit=lab-double "
            f"python3 /usr/local/lib/lab-double.py {PORT} /run/lab-double.log; "
            f"for i in $(seq 50); do curl -fsS --noproxy '*' {BASE}/ >/dev/null 2>&1 && break; sleep 0.2; done"
        )

    def stop(self) -> None:
        self.server.out("systemctl stop lab-double; rm -f /usr/local/lib/lab-double.py /run/lab-double.log")

    def reset(self) -> None:
        ask(self.server, f"{BASE}/_reset", body={})

    def seen(self, model: str = "", path: str = "") -> list[dict[str, Any]]:
        """What was sent since the last reset, of one model or to one path if it is given."""
        lines = ask(self.server, f"{BASE}/_log").text.splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        posts = [record for record in records if record["method"] == "POST"]
        return [r for r in posts if (not model or r["model"] == model) and (not path or r["path"] == path)]
