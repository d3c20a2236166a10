"""A stand-in for LiteLLM's management API, which answers as 1.106.2 was seen to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.local_server import serving

MASTER = 'sk-ad"min$0123456789abcdef0123456789abcdef'
TEAM = {"models": [], "max_budget": None, "budget_duration": None, "rpm_limit": None, "tpm_limit": None}
KEY = {**TEAM, "team_id": None, "max_parallel_requests": None, "expires": None}


class Api:
    """Teams, keys by their digest, and every call that was made."""

    def __init__(self) -> None:
        self.teams: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def writes(self) -> list[str]:
        return [path for path, _ in self.calls if path not in ("/team/info", "/key/list")]

    def answer(self, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        self.calls.append((path, given))
        if path == "/team/info":
            team = self.teams.get(given["team_id"])
            return (200, {"team_id": given["team_id"], "team_info": team}) if team else (404, error("Team not found"))
        if path == "/key/list":
            hits = [
                key
                for key in self.keys.values()
                if all(key[field] == given[name] for name, field in FILTERS.items() if name in given)
            ]
            return 200, {"keys": hits, "total_count": len(hits)}
        if path == "/team/new":
            self.teams[given["team_id"]] = {**TEAM, "blocked": False, **given}
        elif path == "/team/update":
            self.teams[given["team_id"]].update(given)
        elif path == "/key/generate":
            return self.generate(given)
        elif path == "/key/update":
            self.update(given)
        elif path == "/key/delete":
            gone = [token for token, key in self.keys.items() if key["key_alias"] in given["key_aliases"]]
            for token in gone:
                del self.keys[token]
        return 200, {}

    def generate(self, given: dict[str, Any]) -> tuple[int, Any]:
        if any(key["key_alias"] == given["key_alias"] for key in self.keys.values()):
            return 400, error(f"Key with alias '{given['key_alias']}' already exists.")
        if given.get("models") == ["forbidden"]:
            return 400, error(f"the key {given['key']} may not use forbidden")
        fields = dict(given)
        token = hashlib.sha256(fields.pop("key").encode()).hexdigest()
        expires = fields.pop("duration", None)
        row = {**KEY, "token": token, "spend": 0.0, "metadata": {}, "blocked": None, **fields, "expires": expires}
        self.keys.setdefault(token, row)  # an insert that does nothing when the row is there, and a 200 all the same
        return 200, {**row, "key": given["key"]}

    def update(self, given: dict[str, Any]) -> None:
        fields = dict(given)
        key = self.keys[fields.pop("key")]
        if "duration" in fields:
            key["expires"] = fields.pop("duration")
        key.update(fields)


FILTERS = {"key_alias": "key_alias", "key_hash": "token"}


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "auth_error", "code": "400"}}


@contextmanager
def served(api: Api) -> Iterator[str]:
    """The address under which ``api`` answers, to the administrator's key only."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self, given: dict[str, Any]) -> None:
            allowed = self.headers["Authorization"] == f"Bearer {MASTER}"
            status, body = api.answer(urlsplit(self.path).path, given) if allowed else (401, error("who are you"))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self.reply(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *arguments: object) -> None:
            pass

    with serving(Handler) as address:
        yield f"http://{address}"
