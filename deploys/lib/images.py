"""Images of containers: what goes in, their tags, and the shell text that makes them, on whichever machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from shlex import quote

from deploys.lib.render import ROOT
from deploys.lib.transaction import STATE

FOLDER = "/opt/portcullis/images"
COMPOSE = "/etc/portcullis/compose"
PROGRAMS = ROOT / "payload" / "images"
# What the host had when an image was built, and the folder that an image has and the host only stands in for.
HOST_LABEL = "portcullis.host"
FOLDER_LABEL = "portcullis.folder"
# Mounts of a build's step. The first is for whatever comes over a network, the second for Debian packages on top.
HOST = (
    "--mount=type=secret,id=host,required=true --mount=type=tmpfs,target=/host --mount=type=bind,target=/build,readonly"
)
APT = (
    "--mount=type=cache,id=portcullis-lists,target=/var/lib/apt/lists,sharing=locked "
    "--mount=type=cache,id=portcullis-archives,target=/var/cache/apt,sharing=locked"
)
# How a HEALTHCHECK asks the health app, in Python, for an image has no curl; `c` is what got the question. Where it
# answers is the variable's to say, because its port is a setting.
HEALTH_URL = "http://127.0.0.1:4001"
ASK_HEALTH = (
    "import os, http.client as h; c = h.HTTPConnection(os.environ['PORTCULLIS_HEALTH'].partition('//')[2], timeout=4); "
    "c.request('GET', '/health/liveness')"
)
# Lines of BuildKit's plain output without their numbers and clocks, and without those that say nothing by themselves:
# the state of its steps, rules, and the excerpt of the Dockerfile that follows a failure.
READABLE = (
    r"sed -u -E -e 's/^#[0-9]+ ([0-9]+\.[0-9]+ )?//' -e 's/--mount=[^ ]+ +//g' "
    r"-e '/^(DONE .*|CACHED|\.\.\.|-{6,}|Dockerfile:[0-9]+| *[0-9]+ \| .*| > .*|)$/d' -e 's/^(.{150}).+/\1.../'"
)
# Why a build failed: what its step said last, which stands between two rules; or, where no step failed, BuildKit.
REASON = (
    r"""why=$(awk '/^------$/ { n++; next } n == 1 && !/^ > / { print }' "$work/log" | """
    r"sed -E 's/^[0-9]+\.[0-9]+ //' | grep . | tail -n 6); "
    r"""[ -n "$why" ] || why=$(sed -nE 's/^ERROR: (failed to solve: )?//p' "$work/log" | """
    r"sed 's/.*failed to resolve source metadata for /the base image cannot be had: /' | tail -n 1); "
    r"""printf '%s\n' "$why" """
)


# By the engine and not by the build, which does not speak to a registry without TLS that the engine is told to trust.
PULL = (
    "for base in $(sed -n 's/^FROM \\([^ ]*@sha256:[0-9a-f]*\\).*/\\1/p' \"$context/Dockerfile\" | sort -u); do\n"
    '    docker image inspect "$base" >/dev/null 2>&1 && continue\n'
    '    echo "fetching $base"\n'
    '    docker pull --quiet "$base" >/dev/null 2>"$work/log" || {\n'
    '        echo "the base image $base cannot be had: $(tail -n 1 "$work/log" | cut -c 1-300)"; exit 1; }\ndone\n'
)


@dataclass(frozen=True)
class Image:
    """One image, by everything that goes into it.

    ``files`` lie beside the Dockerfile. ``contexts`` are folders of the host, by the name a Dockerfile copies from.
    ``arguments`` are build arguments only the host knows: a shell command prints each one's value there.
    """

    name: str
    version: str
    dockerfile: str
    files: tuple[tuple[str, str], ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def everything(self) -> tuple[tuple[str, str], ...]:
        """Every file of the build's folder, with its text."""
        programs = ((name, (PROGRAMS / name).read_text()) for name in ("host.sh", "packages.sh", "user.sh"))
        return (("Dockerfile", self.dockerfile), *programs, *self.files)

    @property
    def digest(self) -> str:
        whole = repr((self.name, self.version, self.everything, self.contexts, self.arguments))
        return hashlib.sha256(whole.encode()).hexdigest()[:8]

    @property
    def tag(self) -> str:
        return f"portcullis-{self.name}:{self.version}-{self.digest}"

    @property
    def folder(self) -> str:
        """Where the Dockerfile and its files lie on the host, for whoever wants to read them or build by hand."""
        return f"{FOLDER}/{self.name}-{self.digest}"


def package_version(package: str) -> str:
    """A shell command that prints the version of a Debian package on the host; nothing where it is not installed."""
    return f"dpkg-query -W -f '${{Version}}' {package} 2>/dev/null"


# What the host's sources offer of the libraries that every service loads, as one number: another one makes an image
# anew. Not what is installed, which later packages of a first run may change; its lists are new by then.
LIBRARIES = (
    "LIBRARIES",
    "LC_ALL=C apt-cache policy libc6 libssl3 libssl3t64 zlib1g libsystemd0 2>/dev/null | "
    "sed -n 's/^  Candidate: //p' | cksum | cut -d ' ' -f 1",
)


def user_ids(user: str) -> str:
    """A shell command that prints the numbers of a user of the host, as `UID:GID`."""
    return f"getent passwd {user} | cut -d : -f 3,4"


def _host_words(image: Image) -> str:
    """What the image is built for on this host, as a word of shell text: the values of all arguments."""
    return '"on ' + " ".join(f"{name}=$({command})" for name, command in image.arguments) + '"'


def present(image: Image) -> str:
    """A shell command that is true when the image is there, built for what the host has now.

    The tag cannot know the version of a host's package: an upgrade there makes the image one of before, and the next
    run builds it again under the same tag.
    """
    inspect = f"docker image inspect -f '{{{{ index .Config.Labels \"{HOST_LABEL}\" }}}}' {image.tag} 2>/dev/null"
    return f'[ "$({inspect})" = {_host_words(image)} ]'


def asked_of_the_host(image: Image) -> str:
    """Shell text that has the host's value of every argument in a variable of its name; or says what it has not got."""
    values = "".join(
        f"{name}=$({command}) || true\n"
        f'[ -n "${name}" ] || {{ echo {quote(f"{image.name}: the host has nothing to say for {name}: {command}")}; '
        "exit 1; }\n"
        for name, command in image.arguments
    )
    folders = "".join(
        f"[ -d {path} ] || {{ echo '{image.name}: {path} is missing on this host'; exit 1; }}\n"
        for _, path in image.contexts
    )
    return values + folders


def written(files: Iterable[tuple[str, str]]) -> str:
    """Shell text that writes ``files``, by paths that a shell may still have to complete."""
    text = ""
    for path, content in files:
        assert content.endswith("\n") and "\nEND OF FILE\n" not in content, path
        text += f"cat >\"{path}\" <<'END OF FILE'\n{content}END OF FILE\n"
    return text


def made_of(image: Image) -> str:
    """Shell text that writes the Dockerfile and all beside it to ``$context``."""
    return written((f"$context/{name}", text) for name, text in image.everything)


def making(image: Image, tag: str, folders: Iterable[tuple[str, str]]) -> str:
    """Shell text that builds ``image`` as ``tag`` from ``$context``, or ends with the reason.

    In ``$work`` is the host's part, host.tar.gz; the values of arguments are variables. ``folders`` are the image's
    contexts, where they lie on the machine that builds.
    """
    values = " ".join(f"{name}=${name}" for name, _ in image.arguments)
    options = [
        # The engine's own builder, whatever another one somebody has made the default.
        "--builder default --progress plain --load --provenance=false --network host",
        '--secret "id=host,src=$work/host.tar.gz"',
        *(f'--build-context "{name}={path}"' for name, path in folders),
        *(f'--build-arg "{name}=${name}"' for name, _ in image.arguments),
        f'--label {HOST_LABEL}="on {values}"',
        f"--label portcullis.image={image.name} --tag {tag}",
    ]
    return (
        f"{PULL}echo 'building {tag}'\n"
        f'{{ docker buildx build {" ".join(options)} "$context" 2>&1 && : >"$work/done" || true; }} | '
        f'tee "$work/log" | {READABLE}\n'
        f'[ -e "$work/done" ] || {{ echo "building {tag} failed:"; {REASON}; exit 1; }}\n'
    )


def build_script(image: Image) -> str:
    """Shell text that builds the image on its host, for ``operations.step``: nothing is tagged before all is there.

    A run that was killed left no image, so the next one begins anew; what BuildKit has of it already is used.
    """
    # What packs the host's part runs beside the build, and is nothing of the image.
    gather = written([("$work/gather.sh", (PROGRAMS / "gather.sh").read_text())])
    return (
        f"context={image.folder} work=/run/portcullis-build/{image.name}\n"
        "docker buildx version >/dev/null 2>&1 || { echo 'docker buildx is missing on this host: images cannot be "
        "built'; exit 1; }\n"
        f'{asked_of_the_host(image)}rm -rf "$context" "$work"; mkdir -p "$context"; (umask 077; mkdir -p "$work")\n'
        # Logins of package indexes are in the one. The other, what a build has kept for another time, is larger than
        # the image: builds that fail for want of room would leave less each time.
        "trap 'rm -rf \"$work\"; docker builder prune --force >/dev/null 2>&1 || true' EXIT\n"
        f'{made_of(image)}{gather}sh "$work/gather.sh" "$work"\n'
        f"{making(image, image.tag, image.contexts)}"
        f"echo 'built {image.tag}'\n"
    )


OURS = "docker image ls --format '{{.Repository}}:{{.Tag}}' 'portcullis-*'"


def _named(backup_root: str) -> str:
    """Shell text that puts every image that is named into ``$named``; what a rollback starts, its bundle names."""
    places = f"{COMPOSE} {quote(backup_root)}/*/components/*/f {STATE}/staged"
    return f"named=$(grep -rhoaE 'portcullis-[a-z0-9-]+:[A-Za-z0-9_.-]+' {places} 2>/dev/null | sort -u)"


def pruned(backup_root: str) -> str:
    """A shell command that is true when ``prune_script`` has nothing to do."""
    return (
        f'{_named(backup_root)}; [ -n "$named" ] || exit 0; for image in $({OURS}); do '
        'printf \'%s\\n\' "$named" | grep -qxF "$image" || '
        '[ -n "$(docker ps -aq --filter ancestor="$image")" ] || exit 1; done'
    )


def prune_script(backup_root: str) -> str:
    """Shell text that removes our images that no compose file, ledger entry or container has any more.

    Without a single name nothing is removed: it was not found, then.
    """
    return (
        f"{_named(backup_root)}\n"
        'if [ -z "$named" ]; then echo "no image is named anywhere: none is removed"; else\n'
        f"for image in $({OURS}); do\n"
        '    printf \'%s\\n\' "$named" | grep -qxF "$image" && continue\n'
        # Docker itself refuses what a container uses, running or not.
        '    docker image rm "$image" >/dev/null 2>&1 && echo "removed $image"\ndone\n'
        # Predecessors of an image that was built again under its tag; then what builds left behind.
        "docker image prune --force --filter label=portcullis.image >/dev/null\n"
        "docker builder prune --force >/dev/null\n"
        # What an image was made from stays as long as it does.
        f"there=$({OURS} | sed 's/^portcullis-\\([^:]*\\):.*-/\\1-/')\n"
        f"for folder in {FOLDER}/*; do\n"
        '    printf \'%s\\n\' "$there" | grep -qxF "${folder##*/}" || rm -rf "$folder"\ndone\nfi\n'
    )
