"""How the engine gets onto a host: Debian's packages, or those of Docker's own repository."""

from __future__ import annotations

from deploys import operations
from deploys.components.engine_settings import EngineSettings
from deploys.lib import apt
from deploys.lib.component import Here
from deploys.lib.programs import TOOLS
from deploys.lib.runtime import PROGRAM
from deploys.lib.tools import put_programs

DEBIAN = ["docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"]
DOCKER = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"]
# Recommended by these, and nothing that Debian has: somebody may want it.
MAY_SUPPLY = [*DOCKER, "docker-ce-rootless-extras"]
OFFICIAL, ORIGIN = "download.docker.com", "Docker"
PREFERENCES = apt.preferences("docker")
# Debian 12 has Docker 20.10 and the Compose of before, which knows neither our files nor BuildKit's.
TOO_OLD = ("12",)
KEY = "/etc/apt/keyrings/portcullis-docker.asc"
SOURCES = "/etc/apt/sources.list.d/portcullis-docker.sources"
# As https://docs.docker.com/engine/install/debian/ has it, with the key looked at. Two files that name one repository
# with different keys end every use of apt, so somebody's own stays the only one, and supplies what it did.
REPOSITORY = f"""
. "$DATA"; . /etc/os-release
if grep -qsF "$repository" $(ls -d /etc/apt/sources.list /etc/apt/sources.list.d/* | grep -vxF {SOURCES}); then
    rm -f {SOURCES} {PREFERENCES}; echo "the host has this repository already"
else
    install -d -m 0755 /etc/apt/keyrings
    curl -fsSL --retry 3 --max-time 120 -o {KEY}.part "$key"
    found=$(GNUPGHOME=$(mktemp -d) gpg --batch --show-keys --with-colons {KEY}.part |
        awk -F: '$1 == "pub" {{ keys++ }} $1 == "fpr" && !first {{ first = $10 }} END {{ print keys, first }}')
    [ "$found" = "1 $fingerprint" ] || {{ rm -f {KEY}.part
        echo "the key at $key is not the one of engine_repository_fingerprint (keys and first fingerprint: $found)"
        exit 1; }}
    chmod 0644 {KEY}.part; mv -f {KEY}.part {KEY}
    printf '%s\\n' "Types: deb" "URIs: $repository" "Suites: $VERSION_CODENAME" "Components: stable" \\
        "Architectures: $(dpkg --print-architecture)" "Signed-By: {KEY}" >{SOURCES}
    @CONFINED@
fi
apt-get -o DPkg::Lock::Timeout=300 -qq update
"""


def repository_script(repository: str) -> str:
    """The step that adds the repository, and lets it supply Docker and nothing in place of Debian's packages."""
    confined = apt.confined("docker", MAY_SUPPLY, apt.pin(repository, OFFICIAL, ORIGIN))
    return REPOSITORY.replace("@CONFINED@", confined)


def is_debians(here: Here) -> bool:
    """Whether the host gets Debian's own engine."""
    s: EngineSettings = here.settings(EngineSettings)
    return s.packages == "debian" or (s.packages == "auto" and here.member.release not in TOO_OLD)


def install(here: Here) -> None:
    packages(here)
    put_programs("engine | What makes and runs containers", TOOLS, [PROGRAM])


def packages(here: Here) -> None:
    if is_debians(here):
        operations.packages(name="engine | Packages", names=DEBIAN)
        return
    s: EngineSettings = here.settings(EngineSettings)
    key = s.repository_key or f"{s.repository}/gpg"
    operations.packages(name="engine | What looks at the repository's key", names=["gpg"])
    operations.step(
        name="engine | Package repository",
        key="engine-repository",
        script=repository_script(s.repository),
        # Settings' patterns keep out what a shell would not read as itself.
        stdin=f"repository='{s.repository}' key='{key}' fingerprint={s.repository_fingerprint}\n",
    )
    operations.packages(name="engine | Packages", names=DOCKER)


def problems(here: Here) -> list[str]:
    if is_debians(here) and here.member.release in TOO_OLD:
        return ["engine_packages: Compose of Debian 12 is 1.29, and 2.24 is needed; use `docker`"]
    return []
