"""Secrets are rotated on a running gateway: the earlier value is refused, the new one taken, and what that costs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from urllib.request import Request

import pytest

from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.settings import LitellmSettings
from deploys.components.redis import cli
from deploys.lib.render import ROOT
from deploys.lib.secrets import read_env_file
from scripts import rotate_secrets
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, run, say
from tests.host.support_ledger import ROLLBACK, last_run, state
from tests.host.support_watch import differences, polling

NAMES = ("LITELLM_MASTER_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
# Every value each secret has had, the one in use last; filled by the tests in their order.
VALUES: dict[str, list[str]] = {}
BEFORE: dict[str, str] = {}


def environment() -> dict[str, str]:
    """What a run is given: these go before the secrets file, which other labs use too."""
    return {name: values[-1] for name, values in VALUES.items()}


def takes(server: Server, name: str, value: str) -> bool:
    """Whether the host takes ``value``, asked as whoever has it would."""
    if name == "LITELLM_MASTER_KEY":
        status = Gateway(server).ask("/key/list", key=value).status
        assert status in (200, 401), status
        return status == 200
    if name == "POSTGRES_PASSWORD":
        ask = "psql -X -A -t 'host=127.0.0.1 user=litellm dbname=litellm sslmode=prefer' -c 'SELECT 1'"
        done = server.sh(f"export PGPASSWORD={value}; {ask}")
        assert done.out.strip() == "1" or "password authentication failed" in done.err, done
        return done.status == 0
    said = server.out(f"export REDISCLI_AUTH={value}; {cli(server.here)} --user litellm --no-auth-warning ping 2>&1")
    assert "PONG" in said or "WRONGPASS" in said, said
    return "PONG" in said.splitlines()


def new_value(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command makes of a copy of the lab's secrets file; other labs use the file itself."""
    (folder / "secrets").mkdir(mode=0o700)
    shutil.copy(ROOT / "secrets" / "lab.env", folder / "secrets" / "lab.env")
    (folder / "lab.py").touch()
    monkeypatch.setattr(rotate_secrets, "ROOT", folder)
    monkeypatch.setattr("sys.argv", ["rotate_secrets.py", str(folder / "lab.py"), name])
    assert rotate_secrets.main() == 0
    return read_env_file(folder / "secrets" / "lab.env")[name]


def chat_of(server: Server, key: str) -> Request:
    """A request with a virtual key, from this machine."""
    s: LitellmSettings = server.here.settings(LitellmSettings)
    body = {"model": SELFTEST, "messages": [{"role": "user", "content": "ready?"}]}
    return Request(
        f"http://{server.address}:{s.port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )


@pytest.mark.parametrize("name", NAMES)
def test_after_a_deploy_the_earlier_value_is_refused_and_the_new_one_taken(
    trixie: Deployed, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = trixie.server
    if not VALUES:
        assert run(trixie.name).status == 0
        BEFORE.update(state(server), run=last_run(server))
        VALUES.update({one: [server.stored[one]] for one in NAMES})
    old, new = VALUES[name][-1], new_value(tmp_path, name, monkeypatch)
    assert takes(server, name, old) and not takes(server, name, new)
    key = Gateway(server).ask("/key/generate", {"duration": "1h"}, key=VALUES[NAMES[0]][-1]).json()["key"]
    VALUES[name].append(new)
    with polling({f"chats while {name} is rotated": chat_of(server, key)}, every=0.2) as failures:
        done = run(trixie.name, environment=environment())
    assert done.status == 0, done.problem
    (failed,) = failures.values()
    gap = failed[-1][0] - failed[0][0] if failed else 0
    why = dict(Counter(reason for _, reason in failed))
    say(f"      {name}: run of {done.seconds:.0f} s, {len(failed)} requests failed within {gap:.1f} s: {why}")
    assert takes(server, name, new) and not takes(server, name, old)
    assert Gateway(server).chat(SELFTEST, key=key).status == 200, "virtual keys go on"
    # It is the gateway's restart, which takes a busy machine longer; nothing before it and nothing after it.
    assert gap < 180, failed
    again = run(trixie.name, environment=environment())
    assert again.status == 0, again.problem
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem


def test_everything_works_with_the_new_values(trixie: Deployed) -> None:
    done = run(trixie.name, VERIFY, environment=environment())
    assert done.status == 0, done.problem


def test_a_part_of_the_site_cannot_go_back_alone_to_an_earlier_password(trixie: Deployed) -> None:
    """The gateway's files of before have a password that its database refuses by now: everything stays as it is."""
    server = trixie.server
    before = state(server)
    done = run(trixie.name, ROLLBACK, run=BEFORE["run"], only="litellm")
    assert done.status == 1 and "Traceback" not in done.log, done.problem
    assert differences(before, state(server)) == []
    for name in NAMES:
        assert takes(server, name, VALUES[name][-1]) and not takes(server, name, VALUES[name][0]), name


def test_going_back_brings_the_earlier_values_back_and_the_next_deploy_the_new_ones(trixie: Deployed) -> None:
    server = trixie.server
    done = run(trixie.name, ROLLBACK, run=BEFORE["run"])
    assert done.status == 0, done.problem
    assert differences({k: v for k, v in BEFORE.items() if k != "run"}, state(server)) == []
    for name in NAMES:
        assert takes(server, name, VALUES[name][0]) and not takes(server, name, VALUES[name][-1]), name
    done = run(trixie.name, SITE, environment=environment())
    assert done.status == 0, done.problem
    for name in NAMES:
        assert takes(server, name, VALUES[name][-1]) and not takes(server, name, VALUES[name][0]), name
    assert run(trixie.name).status == 0, "with the secrets file's own values again, for what comes after"
