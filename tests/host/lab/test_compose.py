"""The services in containers: the same questions, changes and failures as without, and nothing is touched in vain."""

from __future__ import annotations

import time

import pytest

from deploys.components.engine_settings import EngineSettings
from deploys.components.health_settings import CODE
from deploys.components.litellm.config import SELFTEST
from deploys.lib.containers import PROJECT
from tests.host.lab.conftest import Deployed, suite
from tests.host.lab.test_changes import alive_url
from tests.host.lab.test_refusals import Wrong, told
from tests.host.support import Server
from tests.host.support_contained import COMPOSE, containers, others, ready_url
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, health_url, run, say, until
from tests.host.support_ledger import ROLLBACK, last_run, state, torn
from tests.host.support_watch import differences, files_only, picture, polling
from tests.lab import engine, hosts
from tests.unit.test_health_app_support import HANG

pytestmark = pytest.mark.usefixtures("in_containers")
# Its metrics are started again with it.
GATEWAY = {"litellm", "litellm-metrics"}
SERVICES = {"postgres", "redis", "ollama", "health", *GATEWAY}


def is_ready(server: Server) -> bool:
    return server.sh(f"curl -fsS --noproxy '*' --max-time 5 {health_url(server)}/health/readiness").status == 0


def test_everything_asked_of_any_inventory_holds_in_containers(contained: Deployed) -> None:
    assert set(containers(contained.server)) == SERVICES
    suite(contained.name)


def test_the_second_run_changes_nothing_and_makes_no_container_anew(contained: Deployed) -> None:
    before = containers(contained.server)
    second = run(contained.name)
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    assert others(before, containers(contained.server)) == set()


def test_compose_by_hand_leaves_running_what_is_as_it_should_be(contained: Deployed) -> None:
    """Debian's Compose counts what a service waits for as part of it, which units leave out: the gateway begins anew.

    Its unit starts it meanwhile, so `up` may end with a word about a container that is gone.
    """
    server = contained.server
    before = containers(server)
    checked = server.sh(f"{COMPOSE} config --quiet")
    assert (checked.status, checked.out, checked.err) == (0, "", "")
    # The migration runs to its end, and everything that waits for it.
    done = server.sh(f"{COMPOSE} up -d 2>&1", 240)
    until(lambda: is_ready(server), 120, "the gateway is ready again")
    until(lambda: set(containers(server)) == SERVICES, 30, "every container runs")
    assert others(before, containers(server)) <= GATEWAY, done.out
    assert f"{PROJECT}-migrate-1  Exited" in done.out
    assert run(contained.name, VERIFY).status == 0


def test_a_change_touches_the_container_it_concerns_and_goes_back(contained: Deployed) -> None:
    server = contained.server
    wanted, files, before = last_run(server), state(server), containers(server)
    # A file of Redis', and one of the gateway's, which is told to read it.
    done = run(contained.name, SITE, litellm_cooldown_time=31, redis_maxmemory_policy="volatile-lfu")
    assert done.status == 0, done.problem
    assert "reload litellm.service" in done.log and "restart redis-server.service" in done.log
    changed = containers(server)
    assert others(before, changed) == {"redis"}, "the gateway's container is the one it was"
    assert Gateway(server).chat(SELFTEST).status == 200
    back = run(contained.name, ROLLBACK, run=wanted)
    assert back.status == 0 and "answers are right" in back.log, back.problem
    after = containers(server)
    assert others(changed, after) == {"redis"} and after["redis"].id == before["redis"].id
    assert differences(files, state(server)) == [] and torn(server) == []
    again = run(contained.name, ROLLBACK, run=wanted)
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    assert others(after, containers(server)) == set()
    assert Gateway(server).chat(SELFTEST).status == 200


def test_a_gateway_that_does_not_become_ready_is_put_back(contained: Deployed) -> None:
    """It passes its check: the certificate it is told of is asked for when it serves."""
    server = contained.server
    files, before = picture(server), containers(server)
    nowhere = {"SSL_CERTFILE_PATH": "/proc/nowhere", "SSL_KEYFILE_PATH": "/proc/nowhere"}
    done = run(contained.name, SITE, litellm_environment=nowhere)
    told(done, "the previous files were put back and litellm.service serves with them")
    say(f"      put back after {done.seconds:.0f} s")
    assert differences(files_only(files), files_only(picture(server))) == []
    assert others(before, containers(server)) == GATEWAY
    assert run(contained.name, VERIFY).status == 0


def test_a_restart_of_the_engine_interrupts_nobody(contained: Deployed) -> None:
    server = contained.server
    before, workers = containers(server), server.out("ls /run/litellm/workers")
    with polling({"gateway": alive_url(server), "ready": ready_url(server)}) as failures:
        server.out("systemctl restart docker.service")
        until(lambda: server.sh("docker info").status == 0, 60, "the engine answers")
        time.sleep(12)
    assert failures["gateway"] == [], failures
    assert others(before, containers(server)) == set()
    # Each unit waits for its container anew, and says that it is there when the container has been asked.
    for one in before.values():
        until(lambda unit=one.unit: server.sh(f"systemctl is-active {unit}").status == 0, 120, f"{one.unit} is active")
    assert server.out("ls /run/litellm/workers") == workers, "what the running gateway uses is gone"
    assert run(contained.name, VERIFY).status == 0


def test_killed_containers_and_programs_come_back(contained: Deployed) -> None:
    server = contained.server
    for way in ("docker kill portcullis-$name", "kill -9 $pid"):
        before = containers(server)
        for name, one in before.items():
            server.out(f"name={name} pid={one.pid}; {way}")
        took = until(
            lambda old=before: (
                {  # type: ignore[misc]
                    name for name, one in containers(server).items() if one.started != old[name].started
                }
                == SERVICES
            ),
            60,
            "every container runs again",
        )
        ready = until(lambda: is_ready(server), 120, "the gateway is ready again")
        say(f"      {way.split()[0]}: all run again after {took:.0f} s, and {ready:.0f} s later they are ready")
        assert {name: one.id for name, one in before.items()} == {n: one.id for n, one in containers(server).items()}
    assert Gateway(server).chat(SELFTEST).status == 200


def test_a_health_app_that_hangs_is_started_again(contained: Deployed) -> None:
    """It is the deployed program that stops in the middle; only how it is told to was put beside it."""
    server, told = contained.server, f"{CODE}/sitecustomize.py"
    server.out(f"cat >{told} <<'END'\n{HANG}END\nchmod 644 {told}; systemctl restart portcullis-health.service")
    try:
        until(lambda: is_ready(server), 120, "the health app is ready")
    finally:
        server.out(f"rm {told}")
    before, began = containers(server), server.out("date '+%F %T'")
    server.out("docker kill --signal USR1 portcullis-health")
    hung = time.monotonic()
    assert not is_ready(server), "it hangs"
    until(lambda: others(before, containers(server)) == {"health"}, 60, "it ends itself")
    ended = time.monotonic() - hung
    answers = until(lambda: is_ready(server), 60, "the health app is ready again")
    say(f"      it ended itself {ended:.0f} s after it had hung, and was ready {answers:.0f} s later")
    assert others(before, containers(server)) == {"health"}
    assert "Timeout (0:00:30)!" in server.out(f"journalctl -o cat -u portcullis-health --since '{began}'")


def test_everything_comes_back_after_a_reboot(contained: Deployed) -> None:
    server = contained.server
    container = engine.connect().containers.get(server.name)
    container.restart(timeout=60)
    hosts.wait_ready(container, 120, accept_failed_units=True)
    took = until(lambda: is_ready(server), 120, "the host is ready after its reboot")
    say(f"      ready {took:.0f} s after sshd")
    assert set(containers(server)) == SERVICES
    assert Gateway(server).chat(SELFTEST).status == 200


def test_a_containers_log_cannot_fill_the_disk(contained: Deployed) -> None:
    """A service with the same options for its log writes three times what may be kept."""
    server = contained.server
    s: EngineSettings = server.here.settings(EngineSettings)
    most = s.log_max_mb * s.log_files
    inspect = "docker inspect --format '{{json .HostConfig.LogConfig}}'"
    names = " ".join(f"portcullis-{name}" for name in containers(server))
    # Random, so that what is rotated does not become smaller by being packed.
    write = f"head -c {most * 9 // 4}M /dev/urandom | base64"
    try:
        server.out(f"{COMPOSE} run -T --no-deps --name flood --entrypoint sh health-check -c '{write}' >/dev/null", 300)
        said = server.out(f"{inspect} flood {names} | sort -u").splitlines()
        assert len(said) == 1 and f'"max-size":"{s.log_max_mb}m"' in said[0], said
        folder = "/var/lib/docker/containers/$(docker inspect --format '{{.Id}}' flood)"
        kept = int(server.out(f"du -sm {folder} | cut -f 1"))
    finally:
        server.out("docker rm -f flood")
    say(f"      of {most * 3} MB written {kept} MB are kept")
    assert 1 < kept <= most * 1.1


ZEROS = "sha256:" + "0" * 64
WRONG = {
    "a runtime that there is not": Wrong(("runtime", "'systemd' or 'compose'"), {"runtime": "podman"}),
    "a registry that cannot be reached": Wrong(
        ("engine_base_image", "127.0.0.1:9"), {"engine_base_image": f"127.0.0.1:9/python@{ZEROS}"}
    ),
    "packages that would take Debian's away": Wrong(
        ("engine_packages: the host has docker.io, which would be removed",), {"engine_packages": "docker"}
    ),
    "a base image without a digest": Wrong(("engine_base_image",), {"engine_base_image": "python:3.13-slim"}),
    "a port that something else holds": Wrong(("port 6390 (redis_port) is taken by python3",), {"redis_port": 6390}),
}


@pytest.mark.parametrize("mistake", list(WRONG))
def test_nothing_changes_for(contained: Deployed, mistake: str) -> None:
    server, wrong = contained.server, WRONG[mistake]
    server.out("systemctl is-active -q squatter || systemd-run -q --unit=squatter python3 -m http.server 6390; sleep 1")
    before, there = picture(server), containers(server)
    try:
        done = run(contained.name, SITE, **wrong.data)
    finally:
        server.out("systemctl stop squatter")
    told(done, "nothing was changed", *wrong.words)
    assert differences(before, picture(server)) == [] and others(there, containers(server)) == set()


def test_a_base_image_with_another_digest_is_refused(contained: Deployed) -> None:
    server = contained.server
    base = str(server.data["engine_base_image"]).partition("@")[0]
    before, there = picture(server), containers(server)
    done = run(contained.name, SITE, engine_base_image=f"{base}@{ZEROS}")
    told(done, "nothing was changed", "engine_base_image", ZEROS)
    assert differences(before, picture(server)) == [] and others(there, containers(server)) == set()


def test_an_engine_that_is_missing_and_cannot_be_installed_is_named(contained: Deployed) -> None:
    server = contained.server
    before, there = picture(server), containers(server)
    pin = "/etc/apt/preferences.d/lab"
    server.out(
        f"printf 'Package: docker-compose\\nPin: release *\\nPin-Priority: -1\\n' >{pin}; "
        "dpkg --remove --force-depends docker-compose >/dev/null"
    )
    try:
        done = run(contained.name)
    finally:
        server.out(f"rm {pin}; apt-get install -qq -y --no-install-recommends docker-compose >/dev/null", 120)
    told(done, "engine", "docker-compose")
    assert differences(files_only(before), files_only(picture(server))) == []
    assert others(there, containers(server)) == set()
