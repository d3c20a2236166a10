"""Going back as it is asked for on the command line: keys that mean nothing there stop it before anything is asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyinfra.api import DeployError
from pyinfra.connectors.ssh import SSHConnector

from deploys import facts
from deploys.components import COMPONENTS
from deploys.guard import ARGUMENTS
from deploys.lib import apply, back


@pytest.mark.parametrize(
    "given", ["onyl=litellm", "run=yesterday", "only=litelm", "litellm_port=4001", "run=", "ssh_user=x", "_sudo=true"]
)
def test_keys_of_going_back_are_checked(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    key, _, value = given.partition("=")
    one = SimpleNamespace(data=SimpleNamespace(dict=lambda: {key: value}), connector_cls=SSHConnector)
    monkeypatch.setattr(back, "host", one)
    monkeypatch.setitem(ARGUMENTS, "data", (given,))
    if key in ("ssh_user", "_sudo") or given == "run=":  # how a host is reached may be said
        assert back.settings_here(COMPONENTS).run == ""
        return
    said = {
        "onyl": "onyl: unknown setting; did you mean only?",
        "run": "run: must be a run's name, such as 20260131T235959Z-a1b2 (given: 'yesterday')",
        "only": "only: there is no component litelm; did you mean litellm?",
        "litellm_port": "litellm_port: going back takes no settings; the earlier run's come back",
    }[key]
    with pytest.raises(DeployError) as caught:
        back.settings_here(COMPONENTS)
    assert str(caught.value) == f"nothing was changed: {said}"


class Asked:
    """A host as look_back() asks it: a plan that goes back over hardening, and one answer to every other question."""

    name = "gw-1"

    def __init__(self, passed: bool) -> None:
        self.answer = (passed, "" if passed else "sshd would read what it has not read", 0)

    def get_fact(self, fact: type, **given: object) -> object:
        if fact is facts.WayBack:
            return {"run": "r", "problems": [], "components": [{"component": "hardening"}], "switch": []}
        assert fact is facts.Answer
        return self.answer


@pytest.mark.parametrize("passed", [True, False])
def test_what_a_component_refuses_to_go_back_over_is_asked_where_the_plan_has_it(
    monkeypatch: pytest.MonkeyPatch, passed: bool
) -> None:
    asked = Asked(passed)
    monkeypatch.setattr(back, "host", asked)
    monkeypatch.setattr(apply, "host", asked)
    monkeypatch.setattr(back, "inventory", SimpleNamespace(get_host=lambda name: asked))
    monkeypatch.setattr(back, "_target", lambda run: ("r", ()))
    monkeypatch.setattr(back, "hold", lambda *_: "")
    monkeypatch.setattr(back, "_rewind", lambda *_: SimpleNamespace(needed=False, users=()))
    monkeypatch.setattr(back.history, "way_back", lambda *_: [])
    monkeypatch.setattr(back, "only_looks", lambda: True)
    settings = back.BackSettings.model_construct(run="r", only="", restore_dump=False, backup_root="/b")
    if passed:
        assert back.look_back(settings, COMPONENTS)[0]["run"] == "r"
        return
    with pytest.raises(DeployError) as caught:
        back.look_back(settings, COMPONENTS)
    assert str(caught.value) == "nothing was changed: gw-1: sshd would read what it has not read"
    others = [component for component in COMPONENTS if component.name != "hardening"]
    assert back.look_back(settings, others)[0]["run"] == "r"
