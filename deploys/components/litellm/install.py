"""How LiteLLM gets onto a host: a folder per version, built whole before the `current` link points at it."""

from __future__ import annotations

import hashlib
from shlex import quote

from deploys import operations
from deploys.components.litellm.settings import PAYLOAD, LitellmSettings
from deploys.lib import bill, pyenv
from deploys.lib.component import Here
from deploys.lib.probes import system_user
from deploys.lib.render import render
from deploys.lib.runtime import contained

ROOT = "/opt/litellm"
# The commit of Prisma's engines that prisma==0.11.0 (Prisma 5.4.2) is made for, and the platform Debian 12 and 13
# both run: OpenSSL 3.x has one interface, and the engines know it under the name of its first release.
ENGINE_COMMIT = "ac9d7041ed77bcc8a8dbd2ab6616b39013829574"
ENGINE_PLATFORM = "debian-openssl-3.0.x"
# Files that run code in every Python of an environment; only those that virtual environments make themselves.
ALLOWED_PTH = ("_virtualenv.pth", "distutils-precedence.pth")


def requirements(s: LitellmSettings) -> str:
    return (PAYLOAD / s.version / "requirements.txt").read_text()


def npm_files() -> str:
    """package.json and package-lock.json of Prisma's command line, as a shell script that writes them."""
    parts = []
    for name in ("package.json", "package-lock.json"):
        text = (PAYLOAD / "npm" / name).read_text()
        parts.append(f"cat >{name} <<'FILE'\n{text.rstrip()}\nFILE\n")
    return "".join(parts)


def scripts(s: LitellmSettings, folder: str, python: str = "/usr/bin/python3") -> dict[str, str]:
    """Every script that fills ``folder``, by the name of its step."""
    return {
        "venv": pyenv.venv_script(folder, python) + render("litellm/venv.sh.j2", s, folder=folder, allowed=ALLOWED_PTH),
        "prisma": render(
            "litellm/prisma.sh.j2",
            s,
            folder=folder,
            npm_files=npm_files(),
            commit=ENGINE_COMMIT,
            platform=ENGINE_PLATFORM,
        ),
    }


def version_folder(here: Here) -> str:
    """The folder of this version, lock and way of building it: an installation that serves is never changed."""
    s: LitellmSettings = here.settings(LitellmSettings)
    whole = requirements(s) + "".join(scripts(s, "FOLDER").values()) + here.member.release
    return f"{ROOT}/{s.version}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def prepare() -> None:
    """What the gateway needs of the host however it runs."""
    operations.packages(name="litellm | Packages", names=[*pyenv.PACKAGES, "openssl", "libatomic1"])
    operations.step(
        name="litellm | System user",
        key="litellm-user",
        script=system_user("litellm", "/var/lib/litellm") + "\ninstall -d -m 0755 /etc/litellm /opt/litellm",
    )


def install(here: Here) -> None:
    s: LitellmSettings = here.settings(LitellmSettings)
    folder = version_folder(here)
    made = scripts(s, folder)
    name = folder.rpartition("/")[2]
    prepare()
    operations.step(
        name="litellm | Python environment, from the hash-locked set",
        key=f"litellm-venv-{name}",
        script=made["venv"],
        stdin=requirements(s),
        creates=f"{folder}/venv/bin/litellm",
    )
    operations.step(
        name="litellm | Prisma's engines and database client",
        key=f"litellm-prisma-{name}",
        script=made["prisma"],
        creates=f"{folder}/prisma/query-engine",
    )


def mirror_check(s: LitellmSettings) -> str:
    """A shell command for the host that says why Prisma's engines cannot be had; silent and true when they can."""
    if s.prisma_query_engine:
        urls = [s.prisma_query_engine, s.prisma_schema_engine or ""]
    else:
        base = f"{s.prisma_mirror}/all_commits/{ENGINE_COMMIT}/{ENGINE_PLATFORM}"
        urls = [f"{base}/query-engine.gz.sha256"]
    # A bare host has no curl yet; apt brings its own downloader.
    asks = [
        f"{{ curl -fsS --max-time 15 -o /dev/null {quote(url)} 2>/dev/null || {{ "
        "try=$(mktemp -d) && chmod 0755 $try && "
        f"/usr/lib/apt/apt-helper download-file {quote(url)} $try/file >/dev/null 2>&1; "
        "done=$?; rm -rf $try; [ $done = 0 ]; }; } || "
        f"{{ echo 'cannot fetch {url}: LiteLLM needs Prisma engines for its database; let the host reach it, or set "
        "litellm_prisma_mirror to a mirror inside your network'; exit 1; }"
        for url in urls
    ]
    return "; ".join(asks)


def materials(here: Here) -> list[str]:
    """The environment that serves, Prisma's command line and its engines; what is in an image is the image's."""
    if contained(here):
        return []
    folder = f"{ROOT}/current"
    # Both are of one commit, so each is named by its folder there as well.
    purl = f"pkg:github/prisma/prisma-engines@{ENGINE_COMMIT}"
    engines = [
        bill.file(f"{folder}/prisma/{name}", f"prisma-{name}", ENGINE_COMMIT, f"{purl}#{name}")
        for name in ("query-engine", "schema-engine")
    ]
    return [bill.locked(folder), bill.node_modules(f"{folder}/prisma/cache"), *engines]
