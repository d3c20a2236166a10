"""What a change does to a running gateway: a reload, a restart, or nothing at all because it was undone."""

from __future__ import annotations

from deploys.components.litellm.component import CONFIG, ENVIRONMENT
from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.settings import LitellmSettings
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_http import Gateway
from tests.host.support_lab import AUDIT, SITE, VERIFY, main_pid, run, say, until
from tests.host.support_watch import differences, files_only, picture, polling

GATEWAY = "litellm.service"


def alive_url(server: Server) -> str:
    s: LitellmSettings = server.here.settings(LitellmSettings)
    return f"http://{server.address}:{s.port}/health/liveliness"


def workers(server: Server) -> set[str]:
    return set(server.out(f"pgrep -P {main_pid(server, GATEWAY)} | sort").split())


def test_a_change_of_the_configuration_is_a_reload(trixie: Deployed) -> None:
    """The list of models is new, the master process the same, every worker another, and nobody was turned away."""
    server, gateway = trixie.server, Gateway(trixie.server)
    master, old = main_pid(server, GATEWAY), workers(server)
    with polling({"reload": alive_url(server)}) as failures:
        done = run(trixie.name, SITE, ollama_embedding_models=[], litellm_cooldown_time=31)
    assert done.status == 0, done.problem
    assert "reload litellm.service" in done.log
    assert main_pid(server, GATEWAY) == master
    until(lambda: not old & workers(server), 60, "the old workers are gone")
    assert "cooldown_time: 31" in server.out(f"cat {CONFIG}")
    assert not failures["reload"]
    listed = {model["id"] for model in gateway.ask("/v1/models").json()["data"]}
    assert listed == {"tiny", SELFTEST}


def test_a_change_of_the_environment_is_a_restart(trixie: Deployed) -> None:
    server = trixie.server
    master = main_pid(server, GATEWAY)
    with polling({"restart": alive_url(server)}) as failures:
        done = run(trixie.name, SITE, litellm_environment={"PORTCULLIS_TEST": "1"})
    assert done.status == 0, done.problem
    assert "restart litellm.service" in done.log
    new = main_pid(server, GATEWAY)
    assert new not in (0, master)
    assert "PORTCULLIS_TEST=1" in server.out(f"tr '\\0' '\\n' </proc/{new}/environ")
    spread = failures["restart"][-1][0] - failures["restart"][0][0] if failures["restart"] else 0
    say(f"      the restart could be noticed for {spread:.1f} s")


def test_a_configuration_litellm_refuses_is_undone(trixie: Deployed) -> None:
    """LiteLLM cannot read a number, so the checker fails, before the running service is touched."""
    server = trixie.server
    before = picture(server)
    with polling({"refused": alive_url(server)}) as failures:
        done = run(trixie.name, SITE, litellm_environment={"DEFAULT_MAX_RETRIES": "many"})
    assert done.status == 1, done.problem
    assert "the new files did not pass their check" in done.log
    assert "the previous files were put back; litellm.service was not touched" in done.log
    assert differences(before, picture(server)) == [], "files or services are not as before"
    assert failures["refused"] == []


def test_a_service_that_does_not_start_is_put_back(trixie: Deployed) -> None:
    """It passes its check, which has a socket of its own, and fails when it wants one in a folder that is not there."""
    server = trixie.server
    before = picture(server)
    done = run(trixie.name, SITE, redis_extra_config="unixsocket /nowhere/redis.sock")
    assert done.status == 1, done.problem
    assert "the previous files were put back and redis-server.service serves with them" in done.log
    assert differences(files_only(before), files_only(picture(server))) == []
    assert run(trixie.name, VERIFY).status == 0


def test_a_failed_change_is_one_plain_sentence(trixie: Deployed) -> None:
    done = run(trixie.name, SITE, redis_extra_config="maxclients many")
    assert done.status == 1
    told = [line for line in done.log.splitlines() if "did not pass their check" in line]
    assert len(told) == 1 and "maxclients many" in told[0], done.problem
    assert "Traceback" not in done.log


def test_a_file_edited_by_hand_is_put_right_and_kept(trixie: Deployed) -> None:
    server = trixie.server
    server.out(f"echo '# edited by hand' >>{CONFIG}; chmod 0666 {CONFIG}")
    done = run(trixie.name, SITE)
    assert done.status == 0, done.problem
    assert server.out(f"stat -c '%a %U %G' {CONFIG}") == "640 root litellm"
    kept = server.out(f"grep -l 'edited by hand' {server.here.member.host.backup_root}/*/files{CONFIG}")
    assert len(kept.splitlines()) == 1
    assert server.out(f"stat -c %a {ENVIRONMENT}") == "600"


def test_the_audit_finds_nothing_in_what_was_deployed_and_what_was_edited_in(trixie: Deployed) -> None:
    server = trixie.server
    before = picture(server)
    clean = run(trixie.name, AUDIT)
    assert clean.status == 0, clean.problem
    assert f"{server.name}: nothing found (LiteLLM" in clean.log
    assert differences(before, picture(server)) == [], "the audit changed something"
    server.out(f"cp -a {CONFIG} /root/kept; sed -i 's/^  proxy_batch_write_at:.*/  proxy_batch_writ_at: 10/' {CONFIG}")
    try:
        found = run(trixie.name, AUDIT)
    finally:
        server.out(f"mv -f /root/kept {CONFIG}")
    assert found.status == 1, found.problem
    assert "proxy_batch_writ_at" in found.log and "proxy_batch_write_at" in found.log
    secrets = [value for value in server.stored.values() if value in found.log]
    assert secrets == []
