"""Teams and virtual keys: refusals, and the program that brings a gateway to them, against a stand-in for its API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components.litellm import bootstrap
from deploys.components.litellm.bootstrap import BootstrapSettings
from deploys.lib.render import ROOT, quote_env
from deploys.lib.secrets import SecretError
from deploys.lib.settings import SettingsError, settings_from
from tests.unit.gateway_api import MASTER, Api, served

KEYS = {
    "env:APP_KEY": "sk-app-0123456789abcdef0123456789abcdef",
    "env:NEW_KEY": "sk-new-fedcba9876543210fedcba9876543210",
    "env:WEAK_KEY": "sk-1234",
    "env:BARE_KEY": "0123456789abcdef0123456789abcdef01234567",
}


def resolve(reference: str) -> SecretStr:
    if reference not in KEYS:
        raise SecretError("is not a reference such as env:NAME")
    return SecretStr(KEYS[reference])


def make(**data: Any) -> BootstrapSettings:
    own = {f"litellm_{key}": value for key, value in data.items()}
    return settings_from(own, "litellm_", BootstrapSettings, resolve)


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        make(**data)
    (problem,) = caught.value.problems
    return problem


TEAMS: dict[str, Any] = {"research": {"models": ["small"], "max_budget": 20, "budget_duration": "30d"}}
APP: dict[str, Any] = {"value": "env:APP_KEY", "team": "research", "rpm_limit": 50, "duration": "90d"}


class Host:
    """The program with the stand-in, as the commands of the component call it."""

    def __init__(self, url: str, environment: Path) -> None:
        self.url, self.environment = url, str(environment)

    def check(self, s: BootstrapSettings) -> int:
        command = bootstrap.check_command(s, self.url, self.environment)
        assert not [key for key in KEYS.values() if key in command]
        return subprocess.run(command, shell=True, capture_output=True).returncode

    def apply(self, s: BootstrapSettings, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            bootstrap.apply_command(self.url, self.environment),
            shell=True,
            capture_output=True,
            text=True,
            input=bootstrap.wanted(s, secrets=True) if given is None else given,
        )

    def changes(self, s: BootstrapSettings) -> list[str]:
        """What applying ``s`` says it changes: a check sees it before, and nothing more after."""
        before = self.check(s)
        done = self.apply(s)
        assert (done.returncode, done.stderr) == (0, "")
        assert before == (1 if done.stdout else 0)
        assert self.check(s) == 0
        return done.stdout.splitlines()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def host(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(bootstrap, "BOOTSTRAP", str(ROOT / "payload" / "litellm" / "bootstrap.py"))
    environment = tmp_path / "env"
    environment.write_text(f"# ours\nTZ=UTC\nLITELLM_MASTER_KEY={quote_env(MASTER)}\n")
    with served(api) as url:
        yield Host(url, environment)


def test_what_is_missing_is_made_once(host: Host, api: Api) -> None:
    s = make(teams=TEAMS, keys={"app": APP})
    assert host.changes(s) == ["team research: made", "key app: made"]
    assert api.writes() == ["/team/new", "/key/generate"]
    (key,) = api.keys.values()
    assert key["token"] == bootstrap.digest(s.keys["app"])
    assert (key["team_id"], key["rpm_limit"], key["expires"]) == ("research", 50, "90d")
    assert host.changes(s) == []
    assert len(api.writes()) == 2


def test_only_what_differs_is_changed_and_what_is_no_longer_said_is_cleared(host: Host, api: Api) -> None:
    host.changes(make(teams=TEAMS, keys={"app": APP}))
    teams = {"research": {"models": ["small"], "tpm_limit": 1000}}
    keys = {"app": {**APP, "duration": "30d", "models": ["small"], "blocked": True}}
    assert host.changes(make(teams=teams, keys=keys)) == [
        "team research: max_budget was 20.0, now nothing",
        'team research: budget_duration was "30d", now nothing',
        "team research: tpm_limit was nothing, now 1000",
        'key app: models was nothing, now ["small"]',
        "key app: blocked was false, now true",
        'key app: duration was "90d", now "30d"',
    ]
    assert api.teams["research"]["max_budget"] is None
    sent = dict(api.calls)["/key/update"]
    assert sorted(sent) == ["blocked", "duration", "key", "metadata", "models"], "the rest is left alone"


def test_notes_of_others_on_a_key_stay(host: Host, api: Api) -> None:
    host.changes(make(teams=TEAMS, keys={"app": APP}))
    (key,) = api.keys.values()
    key["metadata"]["owner"] = "somebody"
    host.changes(make(teams=TEAMS, keys={"app": {**APP, "duration": None}}))
    assert key["metadata"] == {"owner": "somebody"}
    assert key["expires"] is None


def test_a_key_with_another_value_is_replaced_and_keeps_what_it_has_spent(host: Host, api: Api) -> None:
    host.changes(make(teams=TEAMS, keys={"app": APP}))
    next(iter(api.keys.values()))["spend"] = 3.5
    s = make(teams=TEAMS, keys={"app": {**APP, "value": "env:NEW_KEY"}})
    assert host.changes(s) == ["key app: replaced, its value has changed"]
    (key,) = api.keys.values()
    assert (key["token"], key["spend"]) == (bootstrap.digest(s.keys["app"]), 3.5)


def test_a_value_that_another_key_has_is_not_taken_for_made(host: Host, api: Api) -> None:
    """LiteLLM answers 200 to it, and leaves the other key as it is."""
    host.changes(make(keys={"first": {"value": "env:APP_KEY"}}))
    done = host.apply(make(keys={"second": {"value": "env:APP_KEY"}}))
    assert done.returncode == 2
    assert done.stderr == "portcullis: key second: its value is that of the key 'first'\n"
    assert len(api.keys) == 1


def test_teams_and_keys_of_others_are_left_alone(host: Host, api: Api) -> None:
    host.changes(make(teams=TEAMS, keys={"app": APP}))
    assert host.changes(make()) == []
    assert (len(api.teams), len(api.keys)) == (1, 1)


def test_what_the_api_refuses_is_said_without_a_key(host: Host, api: Api) -> None:
    done = host.apply(make(keys={"app": {"value": "env:APP_KEY", "models": ["forbidden"]}}))
    assert done.returncode == 2
    assert done.stderr == "portcullis: /key/generate: 400 the key (key) may not use forbidden\n"


def test_without_values_nothing_is_made(host: Host, api: Api) -> None:
    s = make(keys={"app": {"value": "env:APP_KEY"}})
    done = host.apply(s, bootstrap.wanted(s))
    assert (done.returncode, api.writes()) == (2, [])
    assert done.stderr == "portcullis: key app: its value is not given, so it cannot be made\n"


def test_a_wrong_administrators_key_and_a_gateway_that_is_away_are_trouble(host: Host, tmp_path: Path) -> None:
    s = make(teams=TEAMS)
    Path(host.environment).write_text('LITELLM_MASTER_KEY="sk-other"\n')
    assert (host.check(s), host.apply(s).stderr) == (2, "portcullis: /team/info: 401 who are you\n")
    Path(host.environment).write_text("TZ=UTC\n")
    assert host.apply(s).stderr == f"portcullis: {host.environment} has no LITELLM_MASTER_KEY\n"
    away = Host("http://127.0.0.1:9", tmp_path / "none")
    assert away.check(s) == 2


def test_the_values_of_keys_are_on_standard_input_only() -> None:
    s = make(teams=TEAMS, keys={"app": APP})
    assert KEYS["env:APP_KEY"] not in bootstrap.wanted(s)
    assert json.loads(bootstrap.wanted(s, secrets=True))["keys"]["app"]["value"] == KEYS["env:APP_KEY"]
    assert KEYS["env:APP_KEY"] not in repr(s) + str(s.model_dump())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"keys": {"app": {"value": "env:APP_KEY", "team": "reserch"}}, "teams": TEAMS},
            "litellm: litellm_keys: 'app' is of the team 'reserch', which is not in litellm_teams (research)",
        ),
        (
            {"keys": {"app": {**APP, "models": ["small", "large"]}}, "teams": TEAMS},
            "litellm: litellm_keys: 'app' may use large, and its team 'research' may not; the gateway would refuse it",
        ),
        (
            {"keys": {"app": {"value": "env:APP_KEY"}, "again": {"value": "env:APP_KEY"}}},
            "litellm: litellm_keys: 'again' has the value of 'app'; LiteLLM would make one key of them",
        ),
    ],
)
def test_keys_and_teams_that_contradict_each_other_are_refused(data: dict[str, Any], sentence: str) -> None:
    assert refused(**data) == sentence


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"value": "env:WEAK_KEY"}, "the key is a well-known default"),
        ({"value": "env:BARE_KEY"}, "the key must begin with sk-, or LiteLLM refuses it"),
        ({"value": KEYS["env:APP_KEY"]}, "is not a reference such as env:NAME"),
        (
            {"value": "env:APP_KEY", "duration": "90"},
            "must be a whole number above 0 and a unit, s, m, h, d, w or mo, such as 30d (given: '90')",
        ),
        ({"value": "env:APP_KEY", "budget_duration": "1d"}, "budget_duration without max_budget limits nothing"),
    ],
)
def test_a_key_that_is_wrong_by_itself_is_refused_and_not_repeated(entry: dict[str, Any], sentence: str) -> None:
    problem = refused(keys={"app": entry})
    assert problem.startswith("litellm_keys.app")
    assert problem.endswith(f": {sentence}")
    assert not [value for value in KEYS.values() if value in problem]


def test_models_must_be_there_and_the_administrators_key_is_not_given_away() -> None:
    s = make(teams={"research": {"models": ["smal", "all-proxy-models"]}}, keys={"app": {"value": "env:APP_KEY"}})
    assert bootstrap.problems(s, ["small", "large"], SecretStr(KEYS["env:APP_KEY"])) == [
        "litellm_teams: 'research' may use 'smal', which is not a model group; did you mean small? "
        "(known: large, small)",
        "litellm_keys: 'app' has the value of the administrator's key, whose rights it would have",
    ]
    assert bootstrap.problems(make(teams=TEAMS), ["small"], SecretStr(MASTER)) == []
