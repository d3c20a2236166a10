"""What a third-party repository may supply, as apt itself decides it; and that nothing of Debian's is taken from it."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploys.components import engine_install, postgres_install
from deploys.components.engine_settings import EngineSettings
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib import apt
from tests.unit.test_engine import run

THIRD = "127.0.0.2"
PACKAGE = (
    "Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: ./{name}.deb\nSize: 1\nSHA256: {digest}\n\n"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def repository(folder: Path, packages: dict[str, str]) -> Path:
    folder.mkdir()
    text = "".join(PACKAGE.format(name=name, version=v, digest="0" * 64) for name, v in packages.items())
    (folder / "Packages").write_text(text)
    return folder


@pytest.fixture
def offers(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A root folder with apt's own files, and the address of a repository that offers more than it should."""
    if not shutil.which("apt-cache"):
        pytest.skip("this machine has no apt")
    third = repository(tmp_path / "third", {"docker-ce": "5:28", "postgresql-17": "17.9", "bash": "99", "openssl": "9"})
    debian = repository(tmp_path / "debian", {"bash": "5.2", "openssl": "3.0", "docker.io": "20"})
    server = ThreadingHTTPServer((THIRD, 0), partial(Quiet, directory=str(third)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = tmp_path / "root"
    for name in ("etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    address = f"http://{THIRD}:{server.server_port}/"
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{debian} ./\ndeb [trusted=yes] {address} ./\n")
    yield root, address
    server.shutdown()
    server.server_close()


def candidates(root: Path, *names: str) -> dict[str, str]:
    """The version of each package that apt would install."""
    options = [f"Dir={root}", "Dir::State::status=" + str(root / "var/lib/dpkg/status"), "APT::Sandbox::User=root"]
    options += ["Acquire::http::Proxy=false", "Acquire::Languages=none", "Dir::Etc::Trusted=/dev/null"]
    words = [word for option in options for word in ("-o", option)]
    done = subprocess.run(["apt-get", *words, "update"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(["apt-cache", *words, "policy", *names], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)$", shown, re.MULTILINE)
    return dict(found)


def write(root: Path, name: str, packages: Sequence[str], pinned: str) -> None:
    text = apt.confined(name, packages, pinned).replace("/etc/apt", f"{root}/etc/apt")
    subprocess.run(["sh", "-c", f"umask 077; {text}"], check=True)
    (made,) = (root / "etc/apt/preferences.d").iterdir()
    assert made.name == f"portcullis-{name}" and oct(made.stat().st_mode & 0o777) == "0o644"


@pytest.mark.parametrize("allowed", [engine_install.MAY_SUPPLY, postgres_install.MAY_SUPPLY], ids=["docker", "pgdg"])
def test_a_repository_supplies_its_own_packages_and_none_of_debians(
    offers: tuple[Path, str], allowed: list[str]
) -> None:
    root, address = offers
    names = ("docker-ce", "postgresql-17", "bash", "openssl", "docker.io")
    assert candidates(root, *names)["bash"] == "99", "without preferences the higher version wins"
    write(root, "x", allowed, apt.pin(address, THIRD, "X"))
    own = "docker-ce" in allowed
    assert candidates(root, *names) == {
        "docker-ce": "5:28" if own else "(none)",
        "postgresql-17": "(none)" if own else "17.9",
        "bash": "5.2",
        "openssl": "3.0",
        "docker.io": "20",
    }


def test_a_mirrors_host_may_have_debians_packages_too() -> None:
    assert apt.pin("https://download.docker.com/linux/debian", "download.docker.com", "Docker") == (
        'origin "download.docker.com"'
    )
    for mirror in ("https://mirror.example.org/docker", "https://download.docker.com.example.org/", "http://[::1]/x"):
        assert apt.pin(mirror, "download.docker.com", "Docker") == "release o=Docker"


def test_both_third_party_repositories_are_signed_by_one_key_and_confined() -> None:
    docker = engine_install.repository_script(EngineSettings().repository)
    pgdg = postgres_install.repository_script(PostgresSettings.model_fields["repository"].default)
    for script, host, sources in (
        (docker, "download.docker.com", engine_install.SOURCES),
        (pgdg, "apt.postgresql.org", postgres_install.SOURCES),
    ):
        assert script.count("Signed-By: /") == 1 and f'Pin: origin "{host}"' in script and sources in script
        assert "Pin-Priority: -1" in script and "@CONFINED@" not in script
        # In place before apt looks at the repository for the first time.
        assert script.index("Pin-Priority: -1") < script.index("-qq update")
        assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_repository_that_somebody_else_uses_is_not_confined(tmp_path: Path) -> None:
    script = postgres_install.repository_script(PostgresSettings.model_fields["repository"].default)
    for name in ("etc/apt/sources.list.d", "etc/apt/preferences.d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text("VERSION_CODENAME=trixie\n")
    (tmp_path / "data").write_text("URIs: https://apt.postgresql.org/pub/repos/apt\n")
    own = script.replace("/etc/", f"{tmp_path}/etc/").replace("$DATA", f"{tmp_path}/data")
    preferences = tmp_path / postgres_install.PREFERENCES[1:]
    for _ in range(2):
        assert run(own, tmp_path, **{"apt-get": "exit 0"}) == (0, "")
        assert "Package: postgresql-* libpq5 pgbackrest\n" in preferences.read_text()
    theirs = tmp_path / "etc/apt/sources.list.d/pgdg.list"
    theirs.write_text("deb https://apt.postgresql.org/pub/repos/apt trixie-pgdg main\n")
    assert run(own, tmp_path, **{"apt-get": "exit 0"}) == (0, "")
    assert not preferences.exists()
