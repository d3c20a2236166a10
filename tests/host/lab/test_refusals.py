"""Wrong input stops a run with one plain line before anything is changed on a host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploys.lib.render import ROOT
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_lab import SITE, Run, run
from tests.host.support_watch import differences, picture
from tests.lab import inventory
from tests.lab.lab import Lab

TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Wrong:
    """One mistake and the words the answer must have."""

    words: tuple[str, ...]
    data: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


WRONG = {
    "a misspelt key": Wrong(("redis_prot", "did you mean redis_port?"), {"redis_prot": 6380}),
    "a value of the wrong type": Wrong(("redis_port", "valid integer"), {"redis_port": "many"}),
    "a value out of its limits": Wrong(("litellm_workers", "less than or equal to 64"), {"litellm_workers": 65}),
    "a secret in the data": Wrong(
        ("redis_password", "literal value is refused"), {"redis_password": "hunter2-literal"}
    ),
    "a secret that is not there": Wrong(
        ("redis_password", "env:NO_SUCH_SECRET is set neither"), {"redis_password": "env:NO_SUCH_SECRET"}
    ),
    "a weak master key": Wrong(("litellm_master_key",), environment={"LITELLM_MASTER_KEY": "sk-1234"}),
    "another salt key": Wrong(
        ("litellm_salt_key", "another salt key"), environment={"LITELLM_SALT_KEY": "0123456789abcdef" * 4}
    ),
    "a model that does not fit": Wrong(("ollama_models", "huge", "MiB"), {"ollama_models": ["tiny", "huge"]}),
    "a pool that does not fit": Wrong(
        ("max_connections is 40", "too many"),
        {"postgres_max_connections": 40, "litellm_database_connection_pool_limit": 100},
    ),
    "more memory than there is": Wrong(("memory:", "MiB too much"), {"memory_mb": 1024}),
    "a release of LiteLLM that steals": Wrong(("1.82.8", "malicious"), {"litellm_version": "1.82.8"}),
    "an old release of Ollama": Wrong(("ollama_version", "is older than"), {"ollama_version": "0.20.0"}),
    "a component that there is not": Wrong(("components", "radis"), {"components": "radis"}),
    "a certificate that is none": Wrong(
        ("extra_ca_certificates", "is not a PEM certificate"), {"extra_ca_certificates": [str(ROOT / "config.py")]}
    ),
    "a public address for Ollama": Wrong(("ollama_bind", "no authentication"), {"ollama_bind": "0.0.0.0"}),
}


def told(done: Run, *words: str) -> None:
    """The run failed, and said so in a line that has all of ``words``, without a traceback."""
    assert done.status != 0, f"the run went on: {done.problem}"
    assert TRACEBACK not in done.log, done.problem
    plain = " ".join(done.log.split())
    for word in words:
        assert word in plain, f"{word!r} is not in: {done.log[-1500:]}"


@pytest.fixture(scope="module")
def before(trixie: Deployed) -> dict[str, str]:
    return picture(trixie.server)


@pytest.mark.parametrize("mistake", list(WRONG))
def test_nothing_changes_for(trixie: Deployed, before: dict[str, str], mistake: str) -> None:
    wrong = WRONG[mistake]
    done = run(trixie.name, SITE, *wrong.options, environment=wrong.environment, **wrong.data)
    told(done, "nothing was changed", *wrong.words)
    assert "hunter2-literal" not in done.log, "the literal secret was repeated"
    assert differences(before, picture(trixie.server)) == []


def test_a_host_that_cannot_be_reached(trixie: Deployed, before: dict[str, str], tmp_path: Path) -> None:
    """The host that can be reached is left alone too."""
    hosts = tmp_path / "lab.py"
    hosts.write_text(
        "from tests.lab.inventory import groups as _groups\n"
        f"_found = _groups({trixie.name!r})\n"
        "_gone = ('gone', {**_found['litellm'][0][1], 'ssh_hostname': '10.213.77.253'})\n"
        "postgres, redis, ollama, litellm = (_found[g] for g in ('postgres', 'redis', 'ollama', 'litellm'))\n"
        "litellm = [*litellm, _gone]\n"
    )
    done = run(trixie.name, SITE, inventory=str(hosts), environment={"PYTHONPATH": str(ROOT)})
    told(done, "gone")
    assert differences(before, picture(trixie.server)) == []


def test_an_inventory_that_is_not_there(trixie: Deployed) -> None:
    done = run(trixie.name, SITE, inventory="inventories/labb.py")
    assert done.status != 0, done.problem


def test_a_limit_that_matches_nothing(trixie: Deployed) -> None:
    done = run(trixie.name, SITE, "--limit", "no-such-host")
    assert done.status != 0, done.problem


def test_the_wrong_folder(trixie: Deployed, before: dict[str, str], tmp_path: Path) -> None:
    done = run(
        trixie.name, str(ROOT / SITE), inventory=str(ROOT / "inventories/lab.py"), cwd=tmp_path,
        environment={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.status != 0, done.problem
    assert differences(before, picture(trixie.server)) == []


def test_prismas_engines_out_of_reach(trixie: Deployed, before: dict[str, str]) -> None:
    """Another mirror is another installation, which is not there yet: it must be found out before anything is made."""
    done = run(trixie.name, SITE, litellm_prisma_mirror="http://127.0.0.1:9/mirror")
    told(done, "nothing was changed", "Prisma engines", "litellm_prisma_mirror")
    assert differences(before, picture(trixie.server)) == []


def test_an_archive_with_another_checksum_leaves_the_old_version_running(trixie: Deployed) -> None:
    server = trixie.server
    pid = server.out("systemctl show -p MainPID --value ollama.service")
    link = server.out("readlink /opt/ollama/current")
    done = run(trixie.name, SITE, ollama_sha256="f" * 64)
    told(done, "nothing was unpacked")
    assert server.out("readlink /opt/ollama/current") == link
    assert server.out("systemctl show -p MainPID --value ollama.service") == pid
    assert set(server.out("ls /opt/ollama").split()) == {"current", link.rpartition("/")[2]}


BARE = """from tests.lab.inventory import connection as _connection
from tests.lab.lab import Lab as _Lab
_host = next(h for h in _Lab("ht-bare").hosts())
postgres = redis = ollama = litellm = [(_host.name, _connection(_host))]
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A host on which nothing of ours was ever installed, and an inventory for it."""
    lab = Lab("ht-bare")
    lab.down()
    host = lab.start_host("ht-bare-gw", "trixie", ("postgres", "redis", "ollama", "litellm"))
    path = tmp_path_factory.mktemp("bare") / "lab.py"
    path.write_text(BARE)
    yield Server(host.name, inventory.connection(host), {}), str(path)
    lab.down()


def _bare_picture(server: Server) -> str:
    return server.out(
        "find /etc /opt /usr/local /var/lib/portcullis -xdev -printf '%p %m %u %T@\\n' 2>/dev/null | sort | md5sum"
    )


def test_a_port_that_something_else_holds(bare: tuple[Server, str]) -> None:
    server, hosts = bare
    server.out("systemd-run --quiet --unit=squatter python3 -m http.server 4100; sleep 1")
    before = _bare_picture(server)
    done = run("ht-bare", SITE, inventory=hosts, environment={"PYTHONPATH": str(ROOT)})
    server.out("systemctl stop squatter")
    told(done, "nothing was changed", "port 4100 (litellm_port) is taken by python3")
    assert _bare_picture(server) == before


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ('ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian 11"\n', ("Debian 11", "needs Debian 12 or 13")),
        ('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n', ("Ubuntu 24.04", "needs Debian 12 or 13")),
    ],
    ids=["an older Debian", "another system"],
)
def test_a_release_that_is_not_supported(bare: tuple[Server, str], release: str, words: tuple[str, ...]) -> None:
    server, hosts = bare
    server.out(f"cp /usr/lib/os-release /root/kept; cat >/usr/lib/os-release <<'R'\n{release}R")
    before = _bare_picture(server)
    done = run("ht-bare", SITE, inventory=hosts, environment={"PYTHONPATH": str(ROOT)})
    server.out("cat /root/kept >/usr/lib/os-release")
    told(done, "nothing was changed", *words)
    assert _bare_picture(server) == before
