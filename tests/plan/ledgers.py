"""Hosts that do not exist with runs in their ledgers: an inventory for history.py and rollback.py."""

from __future__ import annotations

import json

ONE, TWO, THREE, HELD = (f"20260101T00000{number}Z-000{number}" for number in range(4))
HOSTS = ("db", "cache", "llm", "gw-1", "gw-2")


def _entry(run: str, **other: object) -> dict[str, object]:
    entry = {
        "run": run, "kind": "deploy", "who": "ada@desk", "machine": "desk", "revision": "0123456789ab",
        "command": "deploys/site.py", "began": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:10+00:00",
        "outcome": "done", "problem": "", "changed": ["litellm"], "began_with": ["litellm"], "packages": 0,
        "touches": {}, "damage": "",
    }  # fmt: skip
    return {**entry, **other}


def _part(component: str, what: str) -> dict[str, object]:
    change = {"path": f"/etc/{component}/it", "what": what, "lines": ["-now", "+then"]}
    part = {"component": component, "changes": [change], "untold": [], "pending": False, "stopped": ""}
    return {**part, "version": "1.2.3"}


DUMP = {
    "run": THREE, "folder": f"/var/backups/portcullis/{THREE}/database", "made": "2026-01-01T00:00:09Z", "rows": 12,
    "lost": {"keys": 1},
}  # fmt: skip


def _data(host: str, gateway: bool) -> dict[str, object]:
    """What a host says of the data, when a migration stands between."""
    wants = {"needed": True, "why": "the migration M drops", "extra": 1, "wanted": ["L"], "adds": [], "mark": "m"}
    present = f"/var/backups/portcullis/{THREE}"
    if gateway:
        return {"uses": {"litellm": wants}, "keeps": [], "present": {"litellm": present}}
    keeps = host == "db"
    return {"uses": {}, "keeps": ["postgres"] if keeps else [], "present": {"postgres": present} if keeps else {}}


def inventory(rewinds: bool = False, fails: bool = False) -> str:
    """Text of an inventory: the gateways have seen three runs, the others the first one; something differs there.

    With ``rewinds`` the earlier LiteLLM cannot use the database; with ``fails`` no gateway can be switched.
    """
    answers = {}
    for host in HOSTS:
        gateway = host.startswith("gw-")
        runs = [_entry(ONE), _entry(TWO), _entry(THREE, outcome="failed", problem="x")] if gateway else [_entry(ONE)]
        parts = [_part("litellm", "changes"), _part("health", "is removed")] if gateway else []
        answers[host] = {
            "$ledger list ": [json.dumps(runs)],
            "$ledger plan ": [json.dumps({"run": TWO if gateway else ONE, "components": parts, "problems": []})],
            **({"$ledger data ": [json.dumps(_data(host, gateway))]} if rewinds else {"$ledger data ": ["{}"]}),
            **({"store.sh match": [json.dumps(DUMP)]} if host == "db" else {}),
            **({"cat /var/lib/portcullis/switched/": {"success": False, "stderr": "not ready"}} if fails else {}),
            "$ledger verify ": [json.dumps({"component": "litellm", "question": "q", "right": True, "said": ""})],
        }
    return (
        "from inventories import fake\n"
        f"_ledgers = {answers!r}\n"
        "def _with(group):\n"
        "    return [(name, {**data, 'fake_responses': {**_ledgers[name[6:]], **data['fake_responses']}})\n"
        "            for name, data in group]\n"
        "postgres, redis, ollama, litellm = map(_with, (fake.postgres, fake.redis, fake.ollama, fake.litellm))\n"
    )


def held() -> str:
    """Text of an inventory one host of which has a run of another machine at work."""
    lock = {"run": HELD, "who": "ada@desk", "machine": "another", "command": "deploys/site.py", "since": "noon"}
    answer = [json.dumps(lock), "40", "portcullis-step-litellm.service"]
    return (
        "from inventories.fake import litellm, ollama, postgres, redis\n"
        f"_lock = {{'&& echo taken': {answer!r}}}\n"
        "redis = [(name, {**data, 'fake_responses': {**_lock, **data['fake_responses']}}) for name, data in redis]\n"
    )
