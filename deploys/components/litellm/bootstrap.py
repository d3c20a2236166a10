"""Teams, budgets and virtual keys that the gateway must have, and how it is brought to them through its API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from shlex import quote
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from deploys.components.litellm.routing import unknown
from deploys.lib.checks import weakness
from deploys.lib.patterns import worded
from deploys.lib.programs import TOOLS
from deploys.lib.settings import Secret, Settings

BOOTSTRAP = f"{TOOLS}/litellm-bootstrap.py"
# As LiteLLM's duration_in_seconds reads them. It also takes a number without a unit, as seconds, which nobody means.
DURATION = worded(r"^[1-9]\d*(s|m|h|d|w|mo)$", "a whole number above 0 and a unit, s, m, h, d, w or mo, such as 30d")
# Names LiteLLM knows in lists of models beside those of models.
SPECIAL_MODELS = ("all-proxy-models", "all-team-models", "no-default-models")
NAME = worded(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "up to 64 letters, digits and . _ -, beginning with a letter or a digit"
)
Name = Annotated[str, StringConstraints(pattern=NAME)]


class Limits(Settings):
    """What a team and a key have in common."""

    models: list[str] = Field(default_factory=list, description="Model groups it may use; all when empty.")
    max_budget: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="US dollars it may spend, within `budget_duration`."
    )
    budget_duration: str | None = Field(None, pattern=DURATION, description="Time after which spend begins at 0 again.")
    rpm_limit: int | None = Field(None, ge=0, description="Requests a minute.")
    tpm_limit: int | None = Field(None, ge=0, description="Tokens a minute.")
    blocked: bool = Field(False, description="Refuse every request.")

    @model_validator(mode="after")
    def _budget(self) -> Limits:
        if self.budget_duration and self.max_budget is None:
            raise ValueError("budget_duration without max_budget limits nothing")
        return self


class Team(Limits):
    """A team; all its keys together keep to its limits."""


class VirtualKey(Limits):
    """A virtual key; what it is called is its alias."""

    team: str | None = Field(None, description="One of `litellm_teams`.")
    duration: str | None = Field(None, pattern=DURATION, description="Time after which it expires; never by default.")
    max_parallel_requests: int | None = Field(None, ge=1, description="Requests in flight.")
    value: Secret = Field(description="The key itself, `sk-` and 32 characters or more, as a reference.")

    @field_validator("value")
    @classmethod
    def _strong(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.startswith("sk-"):
            raise ValueError("the key must begin with sk-, or LiteLLM refuses it")
        # Its digest is in a command line on the host and in the database: only a strong key cannot be found from it.
        if why := weakness(text, 35):
            raise ValueError(f"the key {why}")
        return value


class BootstrapSettings(Settings):
    """Teams and keys the gateway must have. What is not named here is left alone, and what is taken out stays."""

    teams: dict[Name, Team] = Field(
        default_factory=dict,
        description="Teams by name, with `models`, `max_budget` (US dollars), `budget_duration`, `rpm_limit`, "
        "`tpm_limit`, `blocked`. One that is taken out of the settings stays in the gateway.",
    )
    keys: dict[Name, VirtualKey] = Field(
        default_factory=dict,
        repr=False,  # somebody will put a key here itself: no value is in any message
        description="Virtual keys by alias, with `value` (a reference such as env:APP_KEY), `team`, `duration`, "
        "`max_parallel_requests` and what teams have. One that is taken out of the settings stays in the gateway: set "
        "`blocked` first.",
    )

    @field_validator("keys", mode="before")
    @classmethod
    def _no_key_as_alias(cls, value: object) -> object:
        # Before anything else is: other messages, metrics and logs show an alias.
        if isinstance(value, dict) and any(isinstance(alias, str) and alias.startswith("sk-") for alias in value):
            raise ValueError(
                "an alias begins with sk-, as a key does, and aliases are shown; write the alias before the colon and "
                "a reference to the key as its value"
            )
        return value

    @model_validator(mode="after")
    def _keys_of_teams(self) -> BootstrapSettings:
        found, seen = [], dict[str, str]()
        for alias, key in self.keys.items():
            if key.team is not None and key.team not in self.teams:
                found.append(
                    f"litellm_keys: {alias!r} is of the team {key.team!r}, which is not in litellm_teams "
                    f"({', '.join(self.teams) or 'there is none'})"
                )
            elif key.team is not None and (allowed := self.teams[key.team].models):
                more = [model for model in key.models if model not in allowed and model not in SPECIAL_MODELS]
                if more:
                    found.append(
                        f"litellm_keys: {alias!r} may use {', '.join(more)}, and its team {key.team!r} may not; the "
                        "gateway would refuse it"
                    )
            other = seen.setdefault(digest(key), alias)
            if other != alias:
                found.append(f"litellm_keys: {alias!r} has the value of {other!r}; LiteLLM would make one key of them")
        if found:
            raise ValueError("; ".join(found))
        return self


def digest(key: VirtualKey) -> str:
    """What LiteLLM keeps of a key, in its database and as its name for it."""
    return hashlib.sha256(key.value.get_secret_value().encode()).hexdigest()


def _limits(entry: Limits) -> dict[str, Any]:
    return entry.model_dump(exclude={"team", "value"})


def wanted(s: BootstrapSettings, secrets: bool = False) -> str:
    """The program's standard input: with ``secrets`` the keys' values, without them their digests only."""
    keys = {}
    for alias, key in s.keys.items():
        keys[alias] = {**_limits(key), "team_id": key.team, "sha256": digest(key)}
        if secrets:
            keys[alias]["value"] = key.value.get_secret_value()
    return json.dumps({"teams": {name: _limits(team) for name, team in s.teams.items()}, "keys": keys})


def check_command(s: BootstrapSettings, url: str, environment: str) -> str:
    """A shell command that is true when the gateway has everything as wanted; no secret is in it."""
    return f"printf %s {quote(wanted(s))} | /usr/bin/python3 {BOOTSTRAP} {url} {environment} --check"


def apply_command(url: str, environment: str) -> str:
    """A shell command that brings the gateway there; it reads ``wanted(s, secrets=True)``."""
    return f"/usr/bin/python3 {BOOTSTRAP} {url} {environment}"


def problems(s: BootstrapSettings, models: Iterable[str], master_key: SecretStr) -> list[str]:
    """What is wrong with teams and keys, given the names under which ``models`` can be asked for."""
    known = [*models]
    found = []
    for kind, entries in (("teams", s.teams), ("keys", s.keys)):
        for name, entry in entries.items():
            found += [
                unknown(f"litellm_{kind}", f"{name!r} may use ", model, known)
                for model in entry.models
                if model not in known and model not in SPECIAL_MODELS
            ]
    admin = hashlib.sha256(master_key.get_secret_value().encode()).hexdigest()
    found += [
        f"litellm_keys: {alias!r} has the value of the administrator's key, whose rights it would have"
        for alias, key in s.keys.items()
        if digest(key) == admin
    ]
    return found
