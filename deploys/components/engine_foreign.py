"""What a host has of Docker that is somebody else's, and whether its registry has the base image; before any change."""

from __future__ import annotations

import json
from shlex import quote

from deploys.components.engine_files import DAEMON, values
from deploys.components.engine_install import is_debians
from deploys.components.engine_settings import ROOTED, EngineSettings, built_elsewhere
from deploys.lib.component import Here, Probe
from deploys.lib.containers import LABEL
from deploys.lib.render import ROOT
from deploys.lib.transaction import STATE
from deploys.lib.way_in import came

FOREIGN, MANIFEST, MOVED = (
    (ROOT / "payload" / "engine" / name).read_text() for name in ("foreign.py", "manifest.py", "rooted.py")
)
# In the ledger from the moment before a run of ours first writes it.
OURS = f"grep -qsF {DAEMON} {STATE}/served/engine/files.tsv {STATE}/pending/engine"


# Builds have the variables of /etc/environment, units have not; root's own configuration is for both, and for people.
ELSEWHERE = """
value() { sed -nE "s/^[[:space:]]*(export +)?$1=[\\"']?([^\\"']*).*/\\2/p" /etc/environment 2>/dev/null | tail -n 1; }
file=$(value DOCKER_CONFIG)
file=${file:-/root/.docker}/config.json
used=$(sed -nE 's/.*"currentContext": *"([^"]*)".*/\\1/p' "$file" 2>/dev/null)
found=''
case $(value DOCKER_HOST) in '' | unix:///run/docker.sock | unix:///var/run/docker.sock) ;;
    *) found="DOCKER_HOST in /etc/environment; remove it" ;;
esac
case $(value DOCKER_CONTEXT) in '' | default) ;; *) found="DOCKER_CONTEXT in /etc/environment; remove it" ;; esac
case $used in '' | default) ;; *) found="the context $used in $file; say: docker context use default" ;; esac
[ -z "$found" ] || {
    echo "images would go to another engine than the host's own, where the services run, because of $found"; exit 1; }
"""


def refusals(here: Here, image: str) -> list[Probe]:
    s: EngineSettings = here.settings(EngineSettings)
    ours = json.dumps(values(s))
    other = "docker-ce" if is_debians(here) else "docker.io"
    instead = "docker" if is_debians(here) else "debian"
    asked = question(s, image, bool(here.member.host.extra_ca_certificates))
    return [
        Probe("another engine than the host's own", ELSEWHERE),
        Probe(
            "somebody else's packages",
            f"[ \"$(dpkg-query --show --showformat='${{db:Status-Status}}' {other} 2>/dev/null)\" != installed ] || {{ "
            f'echo "engine_packages: the host has {other}, which would be removed; use \\`{instead}\\`, or remove it"; '
            "exit 1; }",
        ),
        Probe(
            "somebody else's daemon.json",
            f"{OURS} && exit 0; [ -s {DAEMON} ] || exit 0; python3 -c {quote(FOREIGN)} {DAEMON} {quote(ours)}",
        ),
        Probe(
            "somebody else's containers",
            f"{OURS} && exit 0; command -v docker >/dev/null || exit 0; "
            # Ours may be left from before a run that went to another runtime and was cut off.
            "found=$(timeout 10 docker ps --format '{{.Names}} {{.Label \"com.docker.compose.project\"}}' 2>/dev/null "
            "| awk '$2 != \"portcullis\" {print $1}' | sort | paste -s -d ' '); "
            '[ -z "$found" ] || { echo "the host has a container engine that Portcullis did not set up, with the '
            "containers $found; it would be restarted, which ends them. Stop them for this run, or use another "
            'host"; exit 1; }',
        ),
        Probe("a network of its own that nobody has", cut_off(here)),
        Probe(
            "another place for what the engine has",
            "command -v docker >/dev/null || exit 0; "
            f'[ -n "$(timeout 10 docker ps --quiet --filter label={LABEL} 2>/dev/null)" ] || exit 0; '
            f"python3 -c {quote(MOVED)} {DAEMON} {quote(ours)} {quote(json.dumps(ROOTED))}",
        ),
        Probe(
            "a host that allows what containers are given",
            f"prlimit --nofile={s.open_files}:{s.open_files} true 2>/dev/null || {{ "
            f'echo "engine_open_files: the host allows $(ulimit -Hn) at most, and no container would start with '
            f'{s.open_files}; lower it"; exit 1; }}',
        ),
        # Where images are built elsewhere, the host itself has no need of it.
        *([] if built_elsewhere(here) else [Probe("a base image that can be fetched", asked)]),
    ]


def cut_off(here: Here) -> str:
    """Shell text that says whom the engine's first start would cut off: it takes what no route but the default has.

    It starts while its package is installed, before it is told anything that is not there already.
    """
    others = " ".join(quote(member.address) for member in here.site if member.address)
    return (
        "! dockerd --version >/dev/null 2>&1 || exit 0; command -v ip >/dev/null || exit 0; "
        f"! grep -qsE '\"(bip|bridge|default-address-pools)\"' {DAEMON} || exit 0; {came()}; "
        f"for address in ${{connection%% *}} {others}; do case $address in 172.17.*) ;; *) continue ;; esac; "
        '[ -z "$(ip -4 route show to match "$address" | grep -v "^default")" ] || continue; '
        'echo "Docker takes the network 172.17.0.0/16 for itself, and $address is there, behind a router: it would be '
        f'cut off. Write a network that nobody has to {DAEMON}, such as {{\\"bip\\": \\"192.168.213.1/24\\"}}, and the '
        'same to engine_extra_config"; exit 1; done'
    )


def question(s: EngineSettings, image: str, unverified: bool) -> str:
    """Shell text that says why the engine could not fetch the image; silent when it can, has it, or nobody can tell.

    ``unverified``: the host may only be about to learn whom to trust; the engine looks at certificates when it fetches.
    """
    if "proxies" in s.extra:
        return "true"  # a way that only the engine takes
    asked = json.dumps(
        {"insecure": s.insecure_registries, "mirrors": s.registry_mirrors, "unverified": unverified}, sort_keys=True
    )
    return (
        f"docker image inspect {image} >/dev/null 2>&1 && exit 0; command -v python3 >/dev/null || exit 0; "
        # The engine's own way out, where somebody has given it one.
        "way=$(systemctl show -p Environment --value docker.service 2>/dev/null | tr ' ' '\\n' | "
        f"grep -iE '^(https?|no)_proxy='); env $way python3 -c {quote(MANIFEST)} {image} {quote(asked)}"
    )
