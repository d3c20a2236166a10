"""Going back as it is asked for on the command line: keys that mean nothing there stop it before anything is asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyinfra.api import DeployError
from pyinfra.connectors.ssh import SSHConnector

from deploys.components import COMPONENTS
from deploys.guard import ARGUMENTS
from deploys.lib import back


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
