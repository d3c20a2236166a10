"""Back to any earlier run, byte for byte; and everything that is refused before it begins."""

from __future__ import annotations

import time

import pytest

from deploys.components.litellm.config import SELFTEST
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_changes import alive_url
from tests.host.lab.test_upgrade import other_ollama
from tests.host.support import Server
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, Running, run, say, until
from tests.host.support_ledger import HISTORY, ROLLBACK, last_run, runs, state, torn
from tests.host.support_watch import differences, polling

REDIS_CONFIG = "/etc/redis/redis.conf"
# State by name, and what makes it of the one before: a reload, a restart of two services and another version, and one
# that takes a unit away and tells the database another password.
CHANGES: dict[str, dict[str, object]] = {
    "A": {"litellm_cooldown_time": 31},
    "B": {"litellm_cooldown_time": 32, "redis_maxmemory_mb": 200},
    "C": {"litellm_recycle": "timer", "litellm_metrics": False, "environment": {"POSTGRES_PASSWORD": "another-" * 6}},
}


def change(name: str) -> dict[str, object]:
    return {**CHANGES[name], **(other_ollama() if name == "B" else {})}


SEEN: dict[str, tuple[str, dict[str, str]]] = {}


def works(server: Server) -> None:
    reply = Gateway(server).chat(SELFTEST)
    assert reply.status == 200, reply


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_is_made_and_remembered(trixie: Deployed, name: str) -> None:
    if name == "A":
        run(trixie.name)
    done = run(trixie.name, SITE, **change(name))
    assert done.status == 0, done.problem
    server = trixie.server
    SEEN[name] = (last_run(server), state(server))
    assert runs(server)[-1]["outcome"] == "done"
    works(server)


@pytest.mark.parametrize("name", ["B", "A", "C"])
def test_each_earlier_state_comes_back_to_the_last_byte(trixie: Deployed, name: str) -> None:
    server = trixie.server
    wanted, before = SEEN[name]
    done = run(trixie.name, ROLLBACK, run=wanted)
    assert done.status == 0, done.problem
    assert "answers are right" in done.log
    assert differences(before, state(server)) == []
    works(server)
    again = run(trixie.name, ROLLBACK, run=wanted)
    assert again.status == 0, again.problem
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    assert torn(server) == []


def test_without_a_name_it_is_the_run_before_the_last_deploy(trixie: Deployed) -> None:
    server = trixie.server
    dry = run(trixie.name, ROLLBACK, "--dry")
    assert dry.status == 0, dry.problem
    assert "/etc/litellm/.env changes" in dry.log and "what differs is not shown" in dry.log
    assert "+  cooldown_time: 32" in dry.log and "Role litellm: told again" in dry.log
    assert differences(SEEN["C"][1], state(server)) == [], "a dry run changed something"
    secrets = [value for value in (*server.stored.values(), "another-another") if value in dry.log]
    assert secrets == []
    for _ in range(2):
        done = run(trixie.name, ROLLBACK)
        assert done.status == 0, done.problem
        assert differences(SEEN["B"][1], state(server)) == []


def test_one_component_alone_goes_back(trixie: Deployed) -> None:
    server = trixie.server
    done = run(trixie.name, ROLLBACK, run=SEEN["A"][0], only="redis")
    assert done.status == 0, done.problem
    now, of_a, of_b = state(server), SEEN["A"][1], SEEN["B"][1]
    assert differences(of_a, of_b), "the states do not differ at all"
    assert now[REDIS_CONFIG] == of_a[REDIS_CONFIG] != of_b[REDIS_CONFIG]
    assert now["/etc/litellm/config.yaml"] == of_b["/etc/litellm/config.yaml"]
    works(server)


def test_history_tells_who_did_what_and_what_going_back_touches(trixie: Deployed) -> None:
    told = run(trixie.name, HISTORY)
    assert told.status == 0, told.problem
    for wanted, _ in SEEN.values():
        assert wanted in told.log
    assert "deploys/site.py --data litellm_cooldown_time" in told.log
    assert "going back to it touches" in told.log
    assert told.totals["hosts"] == 0, "it has no operations"


def test_going_back_over_a_change_of_the_configuration_is_quick(trixie: Deployed) -> None:
    """Timed from the command to every worker's serving with the earlier file; what is asked after that is asked again.

    The figure is stated, and far below the limit where nobody else is at work: a busy machine is not its slowness.
    """
    server = trixie.server
    assert run(trixie.name, ROLLBACK, run=SEEN["B"][0]).status == 0
    deployed = run(trixie.name, SITE, **{**change("B"), "litellm_cooldown_time": 77})
    assert deployed.status == 0, deployed.problem
    with polling({"rollback": alive_url(server)}) as failures:
        going = Running(trixie.name, ROLLBACK)
        until(lambda: going.operation == "Summary" or not going.alive(), 120, "the gateway serves as before")
        serving = time.monotonic() - going.began
        done = going.finish()
    assert done.status == 0, done.problem
    say(f"      serves as before after {serving:.1f} s; the gateway missed {len(failures['rollback'])} polls meanwhile")
    assert serving < max(60, deployed.seconds), "longer than a deploy takes"
    assert "cooldown_time: 32" in server.out("cat /etc/litellm/config.yaml")
    assert not failures["rollback"]


REFUSED = {
    "unknown run": ({"run": "20200101T000000Z-abcd"}, "no host has seen 20200101T000000Z-abcd; it could be one of: 20"),
    "no run at all": ({"run": "yesterday"}, "run: "),
    "unknown component": ({"only": "reddis"}, "only: there is no component reddis; did you mean redis?"),
    "misspelt key": ({"rnu": "x"}, "rnu: unknown setting; did you mean run?"),
    "a setting": ({"redis_port": 6380}, "redis_port: going back takes no settings; the earlier run's come back"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_makes_no_sense_is_refused_in_a_sentence(trixie: Deployed, case: str) -> None:
    before, known = state(trixie.server), runs(trixie.server)
    data, sentence = REFUSED[case]
    done = run(trixie.name, ROLLBACK, **data)
    assert done.status == 1 and "nothing was changed: " in done.log, done.problem
    assert sentence in done.log and "Traceback" not in done.log, done.problem
    assert state(trixie.server) == before and runs(trixie.server) == known


def test_a_copy_that_was_damaged_is_not_gone_back_to(trixie: Deployed) -> None:
    server, wanted = trixie.server, SEEN["A"][0]
    before = state(server)
    path = f"{server.here.member.host.backup_root}/{wanted}/components/redis/f/1"
    # Another file under its name: the same content may lie in other runs, which stay whole.
    server.out(f"cp -a {path} /root/kept; cp -a {path} {path}.new; echo x >>{path}.new; mv -f {path}.new {path}")
    try:
        done = run(trixie.name, ROLLBACK, run=wanted)
        assert done.status == 1, done.problem
        assert f"run {wanted} cannot be gone back to: what it kept of redis is not what it wrote" in done.log
        assert state(server) == before
        assert wanted in run(trixie.name, HISTORY).log
    finally:
        server.out(f"mv -f /root/kept {path}")


def test_going_back_to_what_no_longer_works_leaves_everything_as_it_was(trixie: Deployed) -> None:
    """The earlier redis.conf was fine then; today something else stands in its way."""
    server = trixie.server
    assert run(trixie.name, SITE, redis_extra_config="unixsocket /run/lab-gone/x.sock").status == 1
    server.out("install -d -o redis -g redis /run/lab-gone; mkdir -p /etc/systemd/system/redis-server.service.d; "
               "printf '[Service]\\nReadWritePaths=-/run/lab-gone\\n' "
               ">/etc/systemd/system/redis-server.service.d/lab.conf; systemctl daemon-reload")  # fmt: skip
    try:
        then = run(trixie.name, SITE, redis_extra_config="unixsocket /run/lab-gone/x.sock")
        assert then.status == 0, then.problem
        wanted = last_run(server)
        assert run(trixie.name).status == 0
        server.out("rm -rf /run/lab-gone")
        before = state(server)
        done = run(trixie.name, ROLLBACK, run=wanted, only="redis")
        assert done.status == 1, done.problem
        assert "the previous files were put back and redis-server.service serves with them" in done.log
        assert differences(before, state(server)) == []
        assert runs(server)[-1]["outcome"] == "failed" and torn(server) == []
    finally:
        server.out("rm -f /etc/systemd/system/redis-server.service.d/lab.conf; systemctl daemon-reload")
    assert run(trixie.name, VERIFY).status == 0


def test_a_full_disk_for_copies_is_refused_before_anything_changes(trixie: Deployed) -> None:
    server, full = trixie.server, "/var/backups/full"
    before = state(server)
    server.out(f"mkdir -p {full}; mount -t tmpfs -o size=4m,mode=0700 tmpfs {full}")
    try:
        done = run(trixie.name, SITE, backup_root=full, litellm_cooldown_time=88)
    finally:
        server.out(f"umount {full}; rmdir {full}")
    assert done.status == 1, done.problem
    assert f"backup_root: {full} has 4 MB left" in done.log and "Traceback" not in done.log
    assert state(server) == before
