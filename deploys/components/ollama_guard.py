"""What the network may ask of an Ollama: HAProxy before it lets the gateways' hosts use models, and change none.

Ollama itself knows neither keys nor rights: whoever reaches it may pull, make, copy and delete models. With a guard it
listens on loopback only, where the deploy and its own host's programs reach it as before.
"""

from __future__ import annotations

import ipaddress

from deploys import operations
from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.component import ConfigFile, Here, Probe
from deploys.lib.probes import bracketed
from deploys.lib.render import render

UNIT = "portcullis-ollama-guard.service"
CONFIG = "/etc/portcullis/ollama-guard.cfg"
MEMORY_MB = 64
_FILE = f"/etc/systemd/system/{UNIT}"
# A reload cuts nobody off, but leaves the process in the sandbox it was started with. When a file was put where it is,
# which its ctime tells, is younger than the process where this or an earlier version of the unit has come since.
AGAIN = (
    f'began=$(date -d "$(systemctl show -P ExecMainStartTimestamp {UNIT})" +%s); '
    # A start that the clock has yet to reach says nothing about age.
    f'if [ "$(stat -c %Z {_FILE})" -gt "$began" ] || [ "$began" -gt "$(date +%s)" ]; '
    f"then systemctl daemon-reload && systemctl restart {UNIT}; else systemctl reload {UNIT}; fi"
)
# From Ollama 0.35's routes (server/routes.go). `show` is a question, by POST: LiteLLM asks it what a model can do.
# Whole paths only: expressions are compiled to code at the start, which its sandbox does not let it do.
READS = ("/", "/api/version", "/api/tags", "/api/ps", "/v1/models")
USES = (
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
)


def address(here: Here) -> str:
    """Where the gateways reach this host's Ollama: loopback when every one is on this host, else its address."""
    s: OllamaSettings = here.settings(OllamaSettings)
    if s.bind:
        return s.bind
    elsewhere = [m for m in here.of("litellm") if m.name != here.member.name]
    return here.member.address if elsewhere and here.member.address else "127.0.0.1"


def guarded(here: Here) -> bool:
    """Whether HAProxy stands before it: where it is wanted and one address is asked over the network.

    At every address at once it could not listen beside Ollama, which has the port on loopback.
    """
    s: OllamaSettings = here.settings(OllamaSettings)
    where = ipaddress.ip_address(address(here))
    return s.requests == "inference" and not (where.is_loopback or where.is_unspecified)


def listen(here: Here) -> str:
    """Where Ollama itself listens."""
    where = address(here)
    if not guarded(here):
        return where
    return "::1" if ipaddress.ip_address(where).version == 6 else "127.0.0.1"


def reached_at(here: Here, where: str) -> str:
    """The URL at ``where``, as others ask it; without a slash at the end."""
    place = ipaddress.ip_address(where)
    if place.is_unspecified:
        # "Every address" is where it listens, not where anyone can ask it.
        place = ipaddress.ip_address(here.member.address or ("127.0.0.1" if place.version == 4 else "::1"))
    return f"http://{bracketed(str(place))}:{here.settings(OllamaSettings).port}"


def install(here: Here) -> None:
    if not guarded(here):
        return
    operations.packages(name="ollama | Packages of its guard", names=["haproxy"])
    if not here.member.has("edge"):
        # Debian starts it with a file that serves nobody. With a file of somebody's own it is somebody's.
        operations.unless(
            name="ollama | HAProxy's own service, which serves nobody",
            test="! systemctl is-enabled --quiet haproxy.service || dpkg -V haproxy | grep -q /haproxy.cfg",
            command="systemctl disable --quiet --now haproxy.service",
        )


def files(here: Here) -> list[ConfigFile]:
    if not guarded(here):
        return []
    s: OllamaSettings = here.settings(OllamaSettings)
    askers = [member.address for member in here.of("litellm") if member.address]
    text = render(
        "ollama/guard.cfg.j2",
        s,
        where=f"{bracketed(address(here))}:{s.port}",
        inside=f"{bracketed(listen(here))}:{s.port}",
        # This host itself, for questions whether it works.
        askers=list(dict.fromkeys([*askers, *([here.member.address] if here.member.address else [])])),
        reads=READS,
        uses=USES,
    )
    unit = render("ollama/guard.service.j2", None, config=CONFIG, memory_mb=MEMORY_MB)
    return [
        ConfigFile(CONFIG, text, effect="none"),
        ConfigFile(_FILE, unit, effect="none"),
    ]


def check(here: Here) -> list[str]:
    """HAProxy takes the file, and has read it when it is another than before."""
    if not guarded(here):
        return []
    s: OllamaSettings = here.settings(OllamaSettings)
    return [
        f'said=$(haproxy -c -q -f {CONFIG} 2>&1) || {{ printf "%s\\n" "$said" | head -n 2; exit 1; }}',
        # Where it does not run it is started by what follows, and needs the address at which Ollama may be yet.
        f"if systemctl is-active --quiet {UNIT}; then {AGAIN}; "
        f"elif ss -Hltn | awk '{{print $4}}' | grep -qxF '{bracketed(address(here))}:{s.port}'; then "
        "systemctl stop ollama.service; fi",
    ]


def back(here: Here) -> str:
    """It has read what did not stay; also where this run wanted none any more, and one before it was cut off."""
    return f"! systemctl is-active --quiet {UNIT} || {{ {AGAIN}; }}"


def probes(here: Here) -> list[Probe]:
    if not guarded(here):
        return []
    url = reached_at(here, address(here))
    ask = "curl -sS --noproxy '*' --max-time 10 -o /dev/null -w '%{http_code}'"
    asked = f"$({ask} -d '{{}}' {url}/api/pull) $({ask} -X DELETE {url}/api/delete) $({ask} {url}/api/version)"
    return [
        Probe(
            "lets the network use models and change none", f'said="{asked}"; echo "$said"; [ "$said" = "403 403 200" ]'
        )
    ]
