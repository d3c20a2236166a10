"""A host whose every secret can be recognised is deployed, used and looked through: nobody else finds one of them.

One thing is known, and README.md says it: while a migration runs, Prisma's command line has the database's password.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from deploys.components.edge import AUTHORITY
from deploys.components.litellm.config import SELFTEST
from deploys.lib.bill_document import VERSION
from tests.host import support_canary as canary
from tests.host.lab.conftest import Site, lab
from tests.host.support import Server
from tests.host.support_clients import Edge
from tests.host.support_http import Gateway
from tests.host.support_lab import AUDIT, SITE, VERIFY, Run, Running, run, say
from tests.host.support_ledger import HISTORY, ROLLBACK
from tests.host.support_watch import differences, picture

LOUD = ("-vvv", "--diff")
MIGRATION = "postgres_password in the cmdline of"
RUNS: dict[str, Run] = {}


@dataclass
class Sampling:
    """Processes of a host are looked at while something else goes on."""

    server: Server
    found: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def __enter__(self) -> Sampling:
        self.server.out("rm -f /run/canary-stop")
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        for line in canary.look(self.server, canary.SAMPLER):
            number, found = json.loads(line)
            self.seen.append(number)
            self.found += found

    def __exit__(self, *_: object) -> None:
        self.server.out("touch /run/canary-stop")
        self._thread.join(60)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One bare Debian 13 host of its own, as a salt key is given once; its edge is on it too."""
    for name in lab("ht-canary", "whole", "trixie", "root"):
        yield Site(name)


@pytest.fixture(scope="session")
def deploying(site: Site) -> Sampling:
    """The first deploy, with all that pyinfra can say, and what the host's processes showed meanwhile."""
    with Sampling(site.server) as watched:
        # The limit of a first deploy beside other labs, as the others have it.
        done = Running(site.name, SITE, *LOUD, environment=canary.environment(), **canary.settings()).finish(1500)
    assert done.status == 0, done.problem
    RUNS["the first deploy"] = done
    say(f"      deployed in {done.seconds:.0f} s; {watched.seen} processes were looked at")
    return watched


@pytest.fixture(scope="session")
def used(site: Site, deploying: Sampling, tmp_path_factory: pytest.TempPathFactory) -> Sampling:
    """Requests that go well and ones that fail, every kind of run that only looks, and a deploy that does nothing."""
    server, gateway = site.server, Gateway(site.server)
    authority = tmp_path_factory.mktemp("edge") / "ca.crt"
    values = dict(canary.VALUES.values())
    with Sampling(server) as watched:
        master, key = values["LITELLM_MASTER_KEY"], values["CANARY_KEY"]
        assert gateway.chat(SELFTEST, key=master).status == 200
        assert gateway.chat("gone", key=key).status >= 400, "its provider is not there"
        assert gateway.chat("gone", key=master, stream=True).status >= 400
        assert gateway.ask("/v1/models", key=key + "x").status == 401
        assert gateway.ask("/v1/models", key=master[:-1]).status == 401
        assert gateway.ask("/key/info", key=master).status < 500
        authority.write_text(server.out(f"cat {AUTHORITY}"))
        edge = Edge(server.address, authority)
        assert edge.ask("/v1/models", master)[0] == edge.ask("/v1/models", key)[0] == 200
        assert edge.ask("/v1/models", key + "x")[0] == 401
        server.out("systemctl start litellm-gateway-probe.service", 120)
        given = {"environment": canary.environment(), **canary.settings()}
        RUNS["a second deploy"] = run(site.name, SITE, *LOUD, "--debug", **given)
        RUNS["verify"] = run(site.name, VERIFY, *LOUD, **given)
        RUNS["the audit"] = run(site.name, AUDIT, *LOUD, **given)
        RUNS["the history"] = run(site.name, HISTORY, *LOUD)
        RUNS["backups"] = run(site.name, "deploys/backups.py", *LOUD, **given)
        others = {name: f"{value}other" for name, value in canary.environment().items() if "SALT" not in name}
        given["environment"] = {**canary.environment(), **others}
        RUNS["the plan of a rotation"] = run(site.name, SITE, *LOUD, "--debug", "--dry", **given)
        RUNS["the plan of going back"] = run(site.name, ROLLBACK, *LOUD, "--dry")
    for name, done in RUNS.items():
        # Backups' age, and what the audit has to say of a model whose server is away, are not the point here.
        assert done.status in (0, 1) and "Traceback" not in done.log, f"{name}: {done.problem}"
    for name in ("a second deploy", "the plan of a rotation", "the history"):
        assert RUNS[name].status == 0, RUNS[name].problem
    return watched


def test_no_process_shows_a_secret_during_a_first_deploy(deploying: Sampling) -> None:
    assert len(deploying.seen) == 2 and max(deploying.seen) > 200, "next to nothing was looked at"
    others = [one for one in deploying.found if not (one.startswith(MIGRATION) and "prisma" in one)]
    assert others == []
    say(f"      the exception that README.md names was seen {len(deploying.found)} times")


def test_no_process_shows_one_later(used: Sampling) -> None:
    assert len(used.seen) == 2 and max(used.seen) > 50
    assert used.found == []


def test_pyinfra_says_none_whatever_it_is_asked_to_say(used: Sampling) -> None:
    for name, done in RUNS.items():
        text = done.log + json.dumps(done.results)
        assert canary.found_in(text) == [], f"{name} at {LOUD}"
        assert "H4sI" not in text, f"{name} shows what was sent in packed form"
    assert all(len(done.log) > 1000 for done in RUNS.values()), "something said next to nothing"


def test_the_journal_has_none(site: Site, used: Sampling) -> None:
    assert canary.look(site.server, canary.JOURNAL) == []


def test_no_user_of_the_host_can_read_one_in_any_file(site: Site, used: Sampling) -> None:
    server = site.server
    server.out(f"umask 022; echo {next(iter(canary.looked_for().values()))} >/var/tmp/canary")
    try:
        found = canary.look(server, canary.READABLE, USERS=canary.USERS)
    finally:
        server.out("rm -f /var/tmp/canary")
    assert len([one for one in found if one.endswith(" in /var/tmp/canary")]) == len(canary.USERS), "it finds nothing"
    rest = [one for one in found if not one.endswith(" in /var/tmp/canary")]
    # Who makes the backups knows what they are encrypted with; the unit of the daily one is started as that user.
    rest = [one for one in rest if one != "postgres: ['backups_passphrase'] in /etc/pgbackrest/pgbackrest.conf"]
    assert rest == []


def test_the_ledger_has_them_only_where_going_back_needs_them_and_for_root_alone(site: Site, used: Sampling) -> None:
    server = site.server
    root = server.here.member.host.backup_root
    folders = (root, "/var/lib/portcullis", "/var/lib/portcullis-backups", "/var/lib/pgbackrest")
    *wrong, count = canary.look(server, canary.KEPT, FOLDERS=folders)
    assert wrong == [] and int(count) >= 4
    assert server.out(f"stat -c '%a %U %G' {root}") == "700 root root"
    open_ones = (
        f"find {root} \\( -type f -perm /077 \\) -path '*/provisions.json' -o -path '{root}/*/run.json' -perm /077"
    )
    assert server.out(open_ones) == ""


def test_a_crash_of_a_service_leaves_no_memory_behind(site: Site, used: Sampling) -> None:
    """A core file of the gateway would have every key in it."""
    server = site.server
    for _, unit in server.processes:
        pid = server.out(f"systemctl show -p MainPID --value {unit}")
        limits = server.out(f"cat /proc/{pid}/limits")
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4] == "0", f"{unit}: {line}"


def test_the_bill_of_materials_is_valid_has_no_secret_and_changes_nothing(
    site: Site, used: Sampling, tmp_path: Path
) -> None:
    before = picture(site.server)
    given = {"environment": canary.environment(), **canary.settings(), "to": str(tmp_path)}
    done = run(site.name, "deploys/sbom.py", **given)
    assert done.status == 0, done.problem
    assert differences(before, picture(site.server)) == []
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert JsonStrictValidator(VERSION).validate_str(text) is None and canary.found_in(text) == []
    purls = {one["purl"].partition("?")[0] for one in json.loads(text)["components"] if "purl" in one}
    wanted = ("deb/debian/redis-server", "pypi/litellm", "pypi/uv", "npm/prisma", "github/ollama/ollama")
    for start in (*wanted, "github/prisma/prisma-engines", "generic/ollama/tiny"):
        assert [one for one in purls if one.startswith(f"pkg:{start}@")], start
    say(f"      {done.seconds:.0f} s, {len(purls)} packages: {path.name}")
