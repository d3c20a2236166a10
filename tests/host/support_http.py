"""Requests to a gateway from its own host: keys and bodies travel over standard input, never in a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploys.components.litellm.component import base_url
from deploys.components.litellm.settings import LitellmSettings
from tests.host.support import Server

END = "--portcullis-end-of-the-answer--"


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP; ``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    def __repr__(self) -> str:
        return f"<{self.status} {self.text[:400]}>"


def _quoted(text: str) -> str:
    """A value as curl's configuration file takes it between double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def ask(
    server: Server,
    url: str,
    *,
    key: str = "",
    body: object | None = None,
    method: str = "",
    seconds: int = 120,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Ask ``url`` from ``server`` itself with curl. A connection that fails is status 0."""
    lines = [
        f"url = {_quoted(url)}",
        f"max-time = {seconds}",
        "silent",
        "show-error",
        "include",
        "no-buffer",
        'noproxy = "*"',
    ]
    # An upload of more than a kilobyte would wait for "100 Continue", and show it as a first answer.
    lines.append('header = "Expect:"')
    lines += [f"header = {_quoted(f'{name}: {value}')}" for name, value in (headers or {}).items()]
    if key:
        lines.append(f"header = {_quoted(f'Authorization: Bearer {key}')}")
    if body is not None:
        lines += ['header = "Content-Type: application/json"', f"data-binary = {_quoted(json.dumps(body))}"]
    if method:
        lines.append(f"request = {method}")
    script = "curl -K - <<'END-OF-CONFIG'\n" + "\n".join(lines) + "\nEND-OF-CONFIG\n"
    done = server.sh(script, seconds + 20)
    head, _, text = done.out.replace("\r\n", "\n").partition("\n\n")
    if not head.startswith("HTTP/"):
        return Reply(0, {}, done.err.strip())
    first, *rest = head.splitlines()
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return Reply(int(first.split()[1]), headers, text)


@dataclass(frozen=True)
class Gateway:
    """The gateway of one host, asked from that host."""

    server: Server

    @property
    def settings(self) -> LitellmSettings:
        found: LitellmSettings = self.server.here.settings(LitellmSettings)
        return found

    @property
    def master_key(self) -> str:
        return self.settings.master_key.get_secret_value()

    def ask(
        self, path: str, body: object | None = None, *, key: str | None = None, method: str = "", **headers: str
    ) -> Reply:
        """With the master key unless another, or none (""), is given; an underscore in a header's name is a dash."""
        used = self.master_key if key is None else key
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        url = base_url(self.server.here) + path
        return ask(self.server, url, key=used, body=body, method=method, headers=more)

    def chat(self, model: str, *, key: str | None = None, text: str = "ready?", **more: object) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **more}
        return self.ask("/v1/chat/completions", body, key=key)

    def new_key(self, **settings: object) -> str:
        """A virtual key that expires by itself within the hour; the caller deletes it."""
        reply = self.ask("/key/generate", {"duration": "1h", **settings})
        assert reply.status == 200, f"/key/generate: {reply!r}"
        return str(reply.json()["key"])

    def delete_key(self, key: str) -> Reply:
        return self.ask("/key/delete", {"keys": [key]})
