#!/usr/bin/python3
"""Bring teams and virtual keys of a LiteLLM gateway to what is wanted, through its API; or only say what differs.

    bootstrap.py URL ENVIRONMENT [--check] <WANTED

WANTED is JSON: {"teams": {id: {field: value}}, "keys": {alias: {field: value, "sha256": ..., "value": ...}}}. A field
that is null is cleared. `value` is the key itself, needed where one is made; `sha256` is what LiteLLM keeps of it, and
enough to compare. The administrator's key is read from the file ENVIRONMENT. With --check nothing is changed and no
value is needed. Exit status: 0 when all is as wanted (now), 1 when something differs (--check), 2 when it cannot be
done. Teams and keys that are not named are left alone. Runs on the host as root with the system's Python.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 60
# LiteLLM keeps when a key expires and not how long it was to live; this is where the wanted time is noted.
NOTE = "portcullis_duration"
# Lists without an order, and what LiteLLM has as null or false alike.
UNORDERED, FLAGS = ("models",), ("blocked",)


class Trouble(Exception):
    """Something that keeps the gateway from becoming as wanted."""


class Gateway:
    """The gateway's API, asked with the administrator's key."""

    def __init__(self, url: str, key: str, secrets: list[str]) -> None:
        self.url, self.key, self.secrets = url, key, [*secrets, key]
        # A loopback or private address: a proxy for the internet is not on the way.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: object = None, missing_is_none: bool = False, **query: str) -> Any:
        address = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(address, data, headers)
            with self.opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404 and missing_is_none:
                return None
            raise Trouble(f"{path}: {error.code} {self.hide(reason(error.read()))}") from None
        except (OSError, ValueError) as error:
            raise Trouble(f"{path}: {self.hide(str(error))}") from None

    def hide(self, text: str) -> str:
        """``text`` without any of the keys: an API's message may repeat what it was sent."""
        for secret in self.secrets:
            text = text.replace(secret, "(key)")
        return text

    def team(self, name: str) -> dict[str, Any] | None:
        found = self.ask("/team/info", missing_is_none=True, team_id=name)
        return None if found is None else dict(found["team_info"])

    def keys(self, **query: str) -> list[dict[str, Any]]:
        found = self.ask("/key/list", return_full_object="true", size="100", **query)
        return [dict(item) for item in found["keys"]]


def reason(body: bytes) -> str:
    """What an error of the API says."""
    try:
        return str(json.loads(body)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")


def master_key(environment: Path) -> str:
    """The administrator's key, from a file in systemd's form."""
    for line in environment.read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "LITELLM_MASTER_KEY":
            return re.sub(r"\\(.)", r"\1", value.removeprefix('"').removesuffix('"'))
    raise Trouble(f"{environment} has no LITELLM_MASTER_KEY")


def same(field: str, wanted: Any, present: Any) -> bool:
    if field in UNORDERED:
        return sorted(wanted or []) == sorted(present or [])
    if field in FLAGS:
        return bool(wanted) == bool(present)
    return bool(wanted == present)


def differences(wanted: dict[str, Any], present: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ: what they are, and what is wanted."""
    return {
        field: (present.get(field), value)
        for field, value in wanted.items()
        if not same(field, value, present.get(field))
    }


def show(value: Any) -> str:
    return "nothing" if value in (None, [], "") else json.dumps(value)


def changes(what: str, found: dict[str, tuple[Any, Any]]) -> list[str]:
    return [f"{what}: {field} was {show(old)}, now {show(new)}" for field, (old, new) in found.items()]


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with a value: what is null needs no mention where something is made."""
    return {field: value for field, value in fields.items() if value not in (None, [])}


def team(gateway: Gateway, name: str, wanted: dict[str, Any], check: bool) -> list[str]:
    """Bring one team to what is wanted; a line for each change."""
    present = gateway.team(name)
    if present is None:
        if not check:
            gateway.ask("/team/new", {"team_id": name, "team_alias": name, **given(wanted)})
        return [f"team {name}: made"]
    found = differences(wanted, present)
    if found and not check:
        gateway.ask("/team/update", {"team_id": name, **{field: new for field, (_, new) in found.items()}})
    return changes(f"team {name}", found)


def make_key(gateway: Gateway, alias: str, wanted: dict[str, Any], spend: float = 0.0) -> None:
    fields = dict(wanted)
    value, digest = fields.pop("value", None), fields.pop("sha256")
    if not value:
        raise Trouble(f"key {alias}: its value is not given, so it cannot be made")
    taken = [item for item in gateway.keys(key_hash=digest) if item.get("key_alias") != alias]
    if taken:
        # LiteLLM would answer 200, and leave the other key as it is.
        raise Trouble(f"key {alias}: its value is that of the key {taken[0].get('key_alias') or 'without a name'!r}")
    lives = fields.get("duration")
    note = {"metadata": {NOTE: lives}} if lives else {}
    body = {"key": value, "key_alias": alias, **given(fields), **note, **({"spend": spend} if spend else {})}
    gateway.ask("/key/generate", body)


def key(gateway: Gateway, alias: str, wanted: dict[str, Any], check: bool) -> list[str]:
    """Bring one key to what is wanted; a line for each change."""
    present = gateway.keys(key_alias=alias)
    if not present:
        if not check:
            make_key(gateway, alias, wanted)
        return [f"key {alias}: made"]
    old = present[0]
    if old.get("token") != wanted["sha256"]:
        if not check:
            if not wanted.get("value"):
                raise Trouble(f"key {alias}: its value is not given, so it cannot be replaced")
            # Two keys cannot have one alias. Should this end here, the next run finds no key and makes it.
            gateway.ask("/key/delete", {"key_aliases": [alias]})
            make_key(gateway, alias, wanted, spend=float(old.get("spend") or 0))
        return [f"key {alias}: replaced, its value has changed"]
    notes = dict(old.get("metadata") or {})
    fields = {field: value for field, value in wanted.items() if field not in ("value", "sha256")}
    found = differences(fields, {**old, "duration": notes.get(NOTE)})
    if found and not check:
        body: dict[str, Any] = {field: new for field, (_, new) in found.items()}
        if "duration" in body:
            others = {name: value for name, value in notes.items() if name != NOTE}
            body["metadata"] = {**others, NOTE: body["duration"]} if body["duration"] else others
        gateway.ask("/key/update", {"key": old["token"], **body})
    return changes(f"key {alias}", found)


def main(arguments: list[str]) -> int:
    url, environment, *rest = arguments
    check = "--check" in rest
    wanted = json.load(sys.stdin)
    teams, keys = wanted.get("teams", {}), wanted.get("keys", {})
    for fields in keys.values():
        if fields.get("value"):
            fields["sha256"] = hashlib.sha256(fields["value"].encode()).hexdigest()
    lines = 0
    try:
        values = [fields["value"] for fields in keys.values() if fields.get("value")]
        gateway = Gateway(url.rstrip("/"), master_key(Path(environment)), values)
        # Teams first: a key may belong to one.
        for step, entries in ((team, teams), (key, keys)):
            for name, fields in entries.items():
                for line in step(gateway, name, fields, check):
                    lines += 1
                    print(line, flush=True)
    except (Trouble, OSError) as error:
        print(f"portcullis: {error}", file=sys.stderr)
        return 2
    return 1 if check and lines else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
