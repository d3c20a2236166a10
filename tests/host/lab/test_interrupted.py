"""A run that is killed at any moment is continued by the next one; nothing has to be mended by hand."""

from __future__ import annotations

import pytest

from deploys.components import redis
from deploys.components.litellm import component as litellm
from deploys.lib.component import ConfigFile
from tests.host.lab.conftest import Site, suite
from tests.host.support import Server
from tests.host.support_lab import SITE, VERIFY, Running, cut_off, run, say
from tests.host.support_watch import differences, files_only, picture

ACTIVE = "systemctl is-active --quiet"
KILL_TRANSACT = "systemctl kill -s KILL portcullis-transact-{}.service"


def step(key: str) -> str:
    """Whether the step whose key begins so is at work."""
    return f"systemctl list-units --no-legend --state=active,activating 'portcullis-step-{key}*' | grep -q ."


# In the order in which a first deploy comes to them: where it is cut off, and what else breaks at that moment.
MOMENTS = {
    # Killing dpkg leaves packages half-installed, as a power failure does.
    # PostgreSQL's: the first ones are so few that they are there before anyone has looked twice.
    "packages are unpacked": (
        "[ -d /var/lib/portcullis/steps/packages-postgresql-common ] && pgrep -x dpkg",
        "sleep 0.3; pkill -KILL -x dpkg; pkill -KILL apt-get; true", "ackages",
    ),
    "redis' files are switched": ("[ -s /var/lib/portcullis/pending/redis ]", KILL_TRANSACT.format("redis"), "redis"),
    "a model is pulled": (step("ollama-model"), "systemctl kill -s KILL 'portcullis-step-ollama-model*'", "Models"),
    # This step goes on without anyone watching; the next run waits for its end.
    "the python environment is made": (step("litellm-venv"), "sleep 1", "Python environment"),
    "the gateway's files are checked": (
        "systemctl is-active litellm-check.service | grep -q activating", KILL_TRANSACT.format("litellm"), "litellm"
    ),
    "the gateway starts": (
        "[ \"$(systemctl show -p MainPID --value litellm.service)\" -gt 0 ]", KILL_TRANSACT.format("litellm"), "litellm"
    ),
}  # fmt: skip


@pytest.mark.parametrize("moment", list(MOMENTS))
def test_a_run_is_cut_off_while(bookworm: Site, moment: str) -> None:
    when, then, operation = MOMENTS[moment]
    cut = cut_off(bookworm.name, bookworm.server, when, then)
    say(f"      cut off in: {cut}")
    assert operation in cut


def test_the_next_run_comes_to_a_good_end(bookworm: Site) -> None:
    done = run(bookworm.name)
    assert done.status == 0, done.problem
    assert run(bookworm.name, VERIFY).status == 0
    assert _older_than_their_files(bookworm.server) == []


def _older_than_their_files(server: Server) -> list[str]:
    """Services that were started before one of the files that need a restart was written."""
    old = []
    for component, unit in server.processes:
        paths = " ".join(f.path for f in component.files(server.here) if f.effect == "restart")
        started = server.out(f'date -d "$(systemctl show -p ExecMainStartTimestamp --value {unit})" +%s')
        newest = server.out(f"stat -c %Y {paths} | sort -n | tail -n 1")
        if int(started) + 1 < int(newest):
            old.append(unit)
    return old


def test_the_run_after_it_changes_nothing(bookworm: Site) -> None:
    second = run(bookworm.name)
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem


def test_everything_asked_of_any_inventory_holds_for_debian_12(bookworm: Site) -> None:
    suite(bookworm.name)


def test_new_files_are_in_use_after_a_run_that_was_cut_off_before_the_restart(bookworm: Site) -> None:
    """`did change` is forgotten by the next run; the age of the process is not."""
    server = bookworm.server
    written = "[ -s /var/lib/portcullis/pending/redis ] && grep -q '^maxmemory 200mb' /etc/redis/redis.conf"
    cut_off(bookworm.name, server, written, KILL_TRANSACT.format("redis"), redis_maxmemory_mb=200)
    assert _maxmemory(server) != 200 * 1024 * 1024, "the restart came before the cut"
    done = run(bookworm.name, SITE, redis_maxmemory_mb=200)
    assert done.status == 0, done.problem
    assert _maxmemory(server) == 200 * 1024 * 1024


def _maxmemory(server: Server) -> int:
    secret = f"$(cat {redis.HEALTH_SECRET})"
    info = server.out(f"REDISCLI_AUTH={secret} redis-cli --user health info memory | tr -d '\\r'")
    return int(next(line.partition(":")[2] for line in info.splitlines() if line.startswith("maxmemory:")))


def test_a_broken_change_after_a_cut_off_one_goes_back_to_what_served(bookworm: Site) -> None:
    server = bookworm.server
    assert run(bookworm.name).status == 0
    before = picture(server)
    written = "[ -s /var/lib/portcullis/pending/redis ] && grep -q '^maxmemory 210mb' /etc/redis/redis.conf"
    cut_off(bookworm.name, server, written, KILL_TRANSACT.format("redis"), redis_maxmemory_mb=210)
    broken = run(bookworm.name, SITE, redis_extra_config="unixsocket /nowhere/redis.sock")
    assert broken.status == 1, broken.problem
    assert "the previous files were put back" in broken.log
    assert differences(files_only(before), files_only(picture(server))) == []
    assert run(bookworm.name, VERIFY).status == 0


def test_two_operators_at_once_do_not_mix(bookworm: Site) -> None:
    """One of them is told that the other is at work, and what that one does ends well."""
    assert run(bookworm.name).status == 0
    both = [Running(bookworm.name, litellm_cooldown_time=33) for _ in range(2)]
    done = sorted((one.finish() for one in both), key=lambda one: one.status)
    assert [one.status for one in done] == [0, 1], done[0].problem + done[1].problem
    assert "holds the lock" in done[1].log and "nothing was changed: " in done[1].log
    config: list[ConfigFile] = [f for f in litellm.config_files(bookworm.server.here) if f.path == litellm.CONFIG]
    assert config and "cooldown_time: 33" in bookworm.server.out(f"cat {litellm.CONFIG}")
    assert run(bookworm.name).status == 0
