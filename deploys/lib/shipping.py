"""What is asked of a host, and done on it, for an image that is built elsewhere: as shell text, and what it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from deploys.lib.images import PROGRAMS, Image, asked_of_the_host, made_of, written
from deploys.lib.transaction import STATE

# Where a host has what is sent to it, and what is fetched from it; root's alone.
FOLDER = f"{STATE}/shipped"
# A login for a registry, in memory, for as long as the images come.
LOGIN = "/run/portcullis-login"


@dataclass(frozen=True)
class Inputs:
    """What a host has for an image: the ``values`` of its arguments, by name, and digests of its ``folders``."""

    architecture: str
    values: tuple[tuple[str, str], ...]
    folders: tuple[tuple[str, str], ...]


def packed(path: str) -> str:
    """Shell text that prints a folder of the host as an archive that is the same for the same files."""
    return f"tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C {path} -cf - ."


def question(image: Image) -> str:
    """The shell command whose output ``inputs`` reads."""
    lines = [f'echo "value {name} ${name}"' for name, _ in image.arguments]
    lines += [f'echo "folder {name} $({packed(path)} | sha256sum | cut -c 1-64)"' for name, path in image.contexts]
    return f'{asked_of_the_host(image)}echo "architecture $(dpkg --print-architecture)"\n' + "\n".join(lines)


def inputs(output: Sequence[str]) -> Inputs:
    """Read the output of ``question``."""
    found: dict[str, list[tuple[str, str]]] = {"architecture": [], "value": [], "folder": []}
    for line in output:
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        found[kind].append((name, value))
    return Inputs(found["architecture"][0][0], tuple(found["value"]), tuple(found["folder"]))


def stem(image: Image, given: Inputs) -> str:
    """The name of an image among those of all hosts: its tag, and a digest of what hosts may have otherwise."""
    digest = hashlib.sha256(repr(given).encode()).hexdigest()[:12]
    return f"{image.tag.replace(':', '-')}-{digest}"


def arrival(image: Image, given: Inputs) -> str:
    """Its tag until all of it is there, on the machine that builds it and on the host."""
    return f"{image.tag}-{stem(image, given).rpartition('-')[2]}"


def gathered() -> str:
    """Shell text that prints the host's way to package indexes (payload/images/gather.sh), as base64 text.

    Logins may be in it: what it is packed in lies in memory, and is gone when the command ends.
    """
    gather = (PROGRAMS / "gather.sh").read_text()
    return (
        "set -eu; set -a; [ ! -r /etc/environment ] || . /etc/environment; set +a\n"
        "umask 077; work=$(mktemp -d /run/portcullis-gather-XXXXXX); trap 'rm -rf \"$work\"' EXIT\n"
        f"{written([('$work/gather.sh', gather)])}"
        'sh "$work/gather.sh" "$work" >"$work/said" 2>&1 || { tail -n 1 "$work/said"; exit 1; }\n'
        'base64 "$work/host.tar.gz"'
    )


def pack(path: str, file: str) -> str:
    """Shell text that puts a folder of the host into ``file``, to be fetched."""
    return f"set -e; umask 077; mkdir -p {FOLDER}; {packed(path)} | gzip -1 >{file}"


def _named(image: Image, found: str, used_by: str) -> str:
    # The one it had before loses its name, and goes at the end of the run. What it was made of lies where a host that
    # builds has it. A file that names it is newer then, so that its service is restarted as for any other change.
    return (
        f"docker tag {found} {image.tag}\ndocker image rm {found} >/dev/null\n"
        f'context={image.folder}; rm -rf "$context"; mkdir -p "$context"\n{made_of(image)}'
        f"if grep -qsF {image.tag} {used_by}; then touch {used_by}; fi\n"
    )


def load_script(image: Image, given: Inputs, sha256: str, used_by: str) -> str:
    """Shell text, for ``operations.step``, that takes in the archive of ``image`` in ``FOLDER``.

    ``used_by`` is the compose file that may name the image already.
    """
    return (
        f"file={FOLDER}/{stem(image, given)}.tar.gz\ntrap 'rm -f \"$file\"' EXIT\n"
        f'[ "$(sha256sum <"$file" | cut -c 1-64)" = {sha256} ] || {{ '
        f"echo 'what arrived of {image.tag} is not what was sent (SHA-256 {sha256}); run again'; exit 1; }}\n"
        f"echo 'loading {image.tag}'\n"
        'docker load --quiet --input "$file" >/dev/null\n'
        f"{_named(image, arrival(image, given), used_by)}echo 'loaded {image.tag}'\n"
    )


def login(registry: str, user: str) -> str:
    """Shell text that logs a host in to ``registry`` for ``pull_script``; standard input is the password."""
    server = registry.partition("/")[0]
    return (
        f"umask 077; rm -rf {LOGIN}; mkdir -p {LOGIN}; "
        f"said=$(DOCKER_CONFIG={LOGIN} docker login --username {quote(user)} --password-stdin {server} 2>&1) || {{ "
        f'rm -rf {LOGIN}; echo "engine_registry_user: {server} does not take the login: '
        '$(echo "$said" | tail -n 1)" >&2; exit 1; }'
    )


def pull_script(image: Image, reference: str, used_by: str) -> str:
    """Shell text, for ``operations.step``, that fetches ``image`` from a registry: ``reference`` has its digest."""
    return (
        f"trap 'rm -rf {LOGIN}' EXIT\n"
        f"echo 'fetching {reference}'\n"
        # Else with what somebody has given root of this host.
        f"[ ! -d {LOGIN} ] || export DOCKER_CONFIG={LOGIN}\n"
        f"said=$(docker pull --quiet {reference} 2>&1) || {{ "
        f'echo "{image.tag} cannot be had from the registry: $(echo "$said" | tail -n 1)"; exit 1; }}\n'
        f"{_named(image, reference, used_by)}echo 'fetched {image.tag}'\n"
    )
