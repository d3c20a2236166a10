"""How the edge is asked on its own host: by a name of its own, over TLS, as its clients ask it."""

from __future__ import annotations

import ipaddress
import re
from shlex import quote

from deploys.components import edge_acme, edge_paths
from deploys.components.edge_settings import EdgeSettings, is_address
from deploys.components.transport import lasting
from deploys.lib.component import Here, Probe
from deploys.lib.probes import bracketed, own_address, patiently

CERTIFICATE = "/etc/haproxy/edge.pem"
ADMIN = "/run/haproxy/admin.sock"
# Long enough to make another one, and to come to it.
WARNING_SECONDS = 14 * 86_400


def certificate(s: EdgeSettings) -> str:
    """Path of what it serves with."""
    return edge_acme.CERTIFICATE if s.tls == "acme" else CERTIFICATE


def listening(s: EdgeSettings) -> str:
    """Address and port at which its own host reaches it."""
    return f"{bracketed(own_address(s.listen))}:{s.port}"


def at(here: Here) -> tuple[str, str]:
    """Where the edge answers on its own host: a URL, and the option of curl that leads there."""
    s: EdgeSettings = here.settings(EdgeSettings)
    return f"https://{bracketed(s.names[0])}:{s.port}", f"--connect-to {quote(f'::{listening(s)}')}"


def asking(here: Here, path: str, *options: str) -> str:
    """A curl command that asks the edge and prints the answer's number."""
    url, way = at(here)
    words = " ".join(("curl -sS -k --noproxy '*' --max-time 20 -o /dev/null -w '%{http_code}'", way, *options))
    return f"{words} {quote(url + path)}"


def answered(here: Here, path: str, status: int, *options: str) -> str:
    """A shell command that is true when the edge answers with ``status``, and prints what it answers."""
    return f'said=$({asking(here, path, *options)}); echo "$said"; [ "$said" = {status} ]'


def _is_operator(s: EdgeSettings) -> bool:
    asker = ipaddress.ip_address(own_address(s.listen))
    return any(asker in ipaddress.ip_network(one) for one in s.operator_networks)


def _is_open(s: EdgeSettings, path: str) -> bool:
    return any(re.search(one, path) for one in edge_paths.opened(s.paths, s.extra_paths))


def refusal(here: Here) -> int:
    """What a request for the models without a key gets: a gateway's 401, or the edge's 403 where they are closed."""
    s: EdgeSettings = here.settings(EdgeSettings)
    return 401 if _is_operator(s) or _is_open(s, "/v1/models") else 403


def ready(here: Here) -> str:
    """A request without a key is refused, by a gateway behind it unless the path is closed."""
    return f"{{ {answered(here, '/v1/models', refusal(here))}; }} >/dev/null"


def probes(here: Here) -> list[Probe]:
    s: EdgeSettings = here.settings(EdgeSettings)
    found = [
        Probe("answers over TLS, by a gateway", answered(here, "/v1/models", refusal(here))),
        _lasting(here),
        Probe("serves the certificate that it was given", same_certificate(here)),
        Probe(
            "speaks no older TLS",
            f"! {{ {asking(here, '/v1/models', '--tls-max 1.1', '--ciphers DEFAULT@SECLEVEL=0')}; }} 2>/dev/null "
            "| grep -v '^000$'",
        ),
        Probe("does not answer to other names", answered(here, "/v1/models", 421, "-H 'Host: other.invalid'")),
    ]
    if edge_acme.wanted(here):
        found += edge_acme.probes()
    if len(here.of("litellm")) > 1:
        found.append(Probe("has every gateway ready", patiently(every_gateway(), times=8, pause=2)))
    every = ("/", "/ui/", "/key/list", "/v1/../key/list", "/health", "/metrics", "/docs")
    paths = [path for path in every if not _is_open(s, path)]
    if paths and not _is_operator(s):
        closed = " && ".join(f"{{ {answered(here, path, 403, '--path-as-is')}; }} >/dev/null" for path in paths)
        found.append(Probe("keeps what is for operators from others", f"{closed} && echo '{len(paths)} paths'"))
    return found


def _lasting(here: Here) -> Probe:
    if edge_acme.wanted(here):
        return edge_acme.lasting(WARNING_SECONDS)
    path = certificate(here.settings(EdgeSettings))
    return Probe("has a certificate for another two weeks", lasting(path, WARNING_SECONDS))


def same_certificate(here: Here) -> str:
    s: EdgeSettings = here.settings(EdgeSettings)
    name = "" if is_address(s.names[0]) else f"-servername {s.names[0]} "
    show = "openssl x509 -noout -fingerprint -sha256"
    return (
        f"theirs=$(timeout 10 openssl s_client -connect {quote(listening(s))} {name}</dev/null 2>/dev/null | {show}); "
        f'[ -n "$theirs" ] && [ "$theirs" = "$({show} -in {certificate(s)})" ]'
    )


def every_gateway() -> str:
    """A shell command that is true when HAProxy takes every gateway for ready, and prints how each is."""
    ask = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect('{ADMIN}'); "
        "s.sendall(b'show stat ready 4 -1\\n'); t = b''.join(iter(lambda: s.recv(65536), b'')).decode(); "
        "rows = [r.split(',') for r in t.splitlines() if r.startswith('ready,')]; "
        "print(*(r[1] + ' ' + r[17] for r in rows), sep=', '); "
        "raise SystemExit(not rows or any(r[17] != 'UP' for r in rows))"
    )
    return f"python3 -c {quote(ask)}"
